// SPDX-License-Identifier: Apache-2.0
#include "bus_fixture.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fd.h"

struct fx fx;

static void post_message(void *arg, uint32_t vp, const void *payload, size_t len)
{
	struct fx_message *message;

	assert(fx.tail < FX_MESSAGES && len <= VMBUS_MESSAGE_PAYLOAD_MAX && vp < FX_CPUS);
	message = &fx.messages[fx.tail++];
	message->vp = vp;
	message->len = len;
	memcpy(message->bytes, payload, len);
}

static int kick_assign(void *arg, uint32_t connection_id, int fd)
{
	if (fx.kick_result < 0)
		return fx.kick_result;
	assert(fx.kicks_held < FX_KICKS);
	fx.kicks[fx.kicks_held].connection_id = connection_id;
	fx.kicks[fx.kicks_held++].fd = fd;
	return 0;
}

static void kick_release(void *arg, uint32_t connection_id, int fd)
{
	unsigned int i = 0;

	while (i < fx.kicks_held && fx.kicks[i].connection_id != connection_id)
		i++;
	assert(i < fx.kicks_held && fx.kicks[i].fd == fd);
	fx.kicks[i] = fx.kicks[--fx.kicks_held];
}

static int irq_assign(void *arg, uint32_t vp, int fd)
{
	unsigned int i = 0;

	if (fx.irq_result < 0)
		return fx.irq_result;
	while (i < fx.irqs_held && fx.irqs[i].fd != fd)
		i++;
	assert(i < FX_KICKS);
	if (i == fx.irqs_held)
		fx.irqs_held++;
	fx.irqs[i].fd = fd;
	fx.irqs[i].vp = vp;
	return 0;
}

static void irq_release(void *arg, int fd)
{
	unsigned int i = 0;

	while (i < fx.irqs_held && fx.irqs[i].fd != fd)
		i++;
	assert(i < fx.irqs_held);
	fx.irqs[i] = fx.irqs[--fx.irqs_held];
}

static void raise_event(void *arg, uint32_t vp, uint32_t flag)
{
	fx.raised[vp]++;
	fx.raised_flag = flag;
}

static uint32_t cpus(void *arg)
{
	return FX_CPUS;
}

static const struct bus_guest_ops guest_ops = {
	.post_message = post_message,
	.kick_assign = kick_assign,
	.kick_release = kick_release,
	.irq_assign = irq_assign,
	.irq_release = irq_release,
	.raise_event = raise_event,
	.cpus = cpus,
};

static void note(struct fx_provider *provider, enum fx_call call, uint32_t offer_id)
{
	provider->calls[call]++;
	provider->last = call;
	provider->last_offer = offer_id;
}

static void provider_open(void *arg, uint32_t offer_id, const struct bus_open *open)
{
	struct fx_provider *provider = arg;

	note(provider, FX_OPEN, offer_id);
	provider->open = *open;
	memcpy(provider->ring, open->ring, MIN(open->ring_ranges, ARRAY_SIZE(provider->ring)) * sizeof(open->ring[0]));
	memcpy(provider->user_data, open->user_data, sizeof(provider->user_data));
	if (provider->answers)
		bus_opened(provider->bus, offer_id, provider->open_status);
}

static void provider_close(void *arg, uint32_t offer_id)
{
	struct fx_provider *provider = arg;

	note(provider, FX_CLOSE, offer_id);
	if (provider->answers)
		bus_closed(provider->bus, offer_id);
}

static void provider_retarget(void *arg, uint32_t offer_id, uint32_t vp)
{
	struct fx_provider *provider = arg;

	note(provider, FX_RETARGET, offer_id);
	provider->vp = vp;
	if (provider->answers)
		bus_retargeted(provider->bus, offer_id);
}

static void provider_quiesce(void *arg)
{
	struct fx_provider *provider = arg;

	note(provider, FX_QUIESCE, 0);
	if (provider->answers)
		bus_quiesced(provider->bus);
}

static void provider_revoke(void *arg, uint32_t offer_id, uint32_t gpadl)
{
	struct fx_provider *provider = arg;

	note(provider, FX_REVOKE, offer_id);
	provider->gpadl = gpadl;
	if (provider->answers)
		bus_revoked(provider->bus, offer_id, gpadl);
}

static void provider_resumed(void *arg)
{
	struct fx_provider *provider = arg;

	provider->resumed++;
	provider->opens_then = provider->calls[FX_OPEN];
}

static const struct bus_provider_ops provider_ops = {
	.open = provider_open,
	.close = provider_close,
	.retarget = provider_retarget,
	.quiesce = provider_quiesce,
	.revoke = provider_revoke,
	.resumed = provider_resumed,
};

void fx_init(void)
{
	int fd = fd_memfd("fake-guest", FX_MEM_LEN), r;

	memset(&fx, 0, sizeof(fx));
	r = loop_new(&fx.loop);
	assert(r == 0 && fd >= 0);
	guest_mem_init(&fx.mem);
	r = guest_mem_add(&fx.mem, FX_MEM_GPA, FX_MEM_LEN, fd, 0);
	assert(r == 0);
	close(fd);
	r = bus_new(fx.loop, &fx.mem, &guest_ops, NULL, &fx.bus);
	assert(r == 0);
	fx.provider.answers = true;
	fx.connection = VMBUS_MESSAGE_CONNECTION_ID_4;
	fx_provider_add(&fx.provider);
}

void fx_done(void)
{
	bus_free(fx.bus);
	guest_mem_done(&fx.mem);
	loop_free(fx.loop);
}

void fx_provider_add(struct fx_provider *provider)
{
	int r = bus_provider_add(fx.bus, "fake", &provider_ops, provider, &provider->bus);

	assert(r == 0);
	bus_provider_back(provider->bus);
}

void fx_provider_replace(struct fx_provider *provider)
{
	bus_provider_away(provider->bus);
	bus_provider_back(provider->bus);
}

int fx_offer(struct fx_provider *provider, uint8_t n, uint32_t *ret_offer_id)
{
	struct bus_offer_desc desc = {
		.interface_guid = VMBUS_GUID_SCSI,
		.instance_guid = {{1, [15] = n}},
		.flags = VMBUS_OFFER_ENUMERATE_DEVICE_INTERFACE,
		.block_bytes = FX_BLOCK_BYTES,
	};

	desc.user_defined[0] = n;
	return bus_offer_add(provider->bus, &desc, ret_offer_id);
}

void fx_send(const void *message, size_t len)
{
	bus_message(fx.bus, fx.connection, VMBUS_MESSAGE_TYPE, message, len);
}

const void *fx_next(uint32_t type, size_t len)
{
	const struct fx_message *message = &fx.messages[fx.head];

	if (fx.head == fx.tail || get_le32(message->bytes) != type || message->len < len)
		return NULL;
	fx.head++;
	return message->bytes;
}

bool fx_silent(void)
{
	return fx.head == fx.tail;
}

void fx_contact(uint32_t version, uint32_t vp)
{
	struct vmbus_msg_initiate_contact msg = {
		.header.msgtype = VMBUS_MSG_INITIATE_CONTACT,
		.vmbus_version_requested = version,
		.target_vcpu = vp,
	};

	if (version >= VMBUS_VERSION_5_0)
		msg.msg_sint = VMBUS_MESSAGE_SINT;
	else
		msg.interrupt_page = FX_MEM_GPA;
	fx.connection = version >= VMBUS_VERSION_5_0 ? VMBUS_MESSAGE_CONNECTION_ID_4 : VMBUS_MESSAGE_CONNECTION_ID;
	fx_send(&msg, sizeof(msg));
}

void fx_simple(uint32_t type)
{
	struct vmbus_msg_header msg = {.msgtype = type};

	fx_send(&msg, sizeof(msg));
}

void fx_relid(uint32_t type, uint32_t relid)
{
	struct vmbus_msg_relid msg = {.header.msgtype = type, .child_relid = relid};

	fx_send(&msg, sizeof(msg));
}

void fx_pair(uint32_t type, uint32_t relid, uint32_t value)
{
	struct vmbus_msg_modify_channel msg = {.header.msgtype = type, .child_relid = relid, .target_vp = value};

	fx_send(&msg, sizeof(msg));
}

void fx_open(uint32_t relid, uint32_t open_id, uint32_t gpadl, uint32_t vp, uint32_t downstream)
{
	struct vmbus_msg_open_channel msg = {
		.header.msgtype = VMBUS_MSG_OPENCHANNEL,
		.child_relid = relid,
		.openid = open_id,
		.ringbuffer_gpadlhandle = gpadl,
		.target_vp = vp,
		.downstream_ringbuffer_pageoffset = downstream,
		.userdata = {0xaa, [119] = 0xbb},
	};

	fx_send(&msg, sizeof(msg));
}

void fx_gpadl(uint32_t relid, uint32_t gpadl, uint64_t pfn, uint32_t pages)
{
	struct {
		struct vmbus_msg_gpadl_header h;
		uint32_t byte_count, byte_offset;
		uint64_t pfn[26];
	} __attribute__((packed)) header = {
		.h.header.msgtype = VMBUS_MSG_GPADL_HEADER,
		.h.child_relid = relid,
		.h.gpadl = gpadl,
		.h.range_buflen = (uint16_t)(8 + 8 * pages),
		.h.rangecount = 1,
		.byte_count = pages * 4096,
	};
	struct {
		struct vmbus_msg_gpadl_body b;
		uint64_t pfn[28];
	} __attribute__((packed)) body = {.b.header.msgtype = VMBUS_MSG_GPADL_BODY, .b.gpadl = gpadl};
	uint32_t done = 0, n = 0;

	while (n < 26 && done < pages)
		header.pfn[n++] = pfn + done++;
	fx_send(&header, sizeof(header) - 8 * (26 - n));
	while (done < pages) {
		n = 0;
		while (n < 28 && done < pages)
			body.pfn[n++] = pfn + done++;
		fx_send(&body, sizeof(body) - 8 * (28 - n));
	}
}
