/* SPDX-License-Identifier: Apache-2.0 */
/* Our vsp-netd. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/ndis.h"
#include "base/bytes.h"
#include "fake_netvsc.h"
#include "network.h"
#include "proto/network.pb-c.h"
#include "service.h"

#define GUEST_LEN  (24u << 20)
#define SLOT_PAGES 18u
#define CALL_ID	   9999u
#define PROGRAM	   "../../daemons/vsp-netd/vsp-netd"

struct ours {
	struct network_target target;
	struct service service;
	struct fake_nic nic;
	uint64_t slots_gpa;
	uint32_t message_len; /* in each slot */
	uint64_t done;	      /* frames that were completed */
	uint64_t taken;	      /* of nic.frames */
	uint64_t given;	      /* frames of network_ours_put() */
	const uint8_t *frame; /* that comes, of load() */
	size_t frame_len;
};

static struct ours *to_ours(struct network_target *target)
{
	return CONTAINER_OF(target, struct ours, target);
}

/* ---- packets ---- */

static void take_all(struct ours *ours)
{
	enum fake_nic_event event;

	while ((event = fake_nic_poll(&ours->nic, &ours->service.channel)) != FAKE_NIC_NOTHING)
		ours->done += event == FAKE_NIC_COMPLETED;
}

static uint8_t *slot_memory(struct ours *ours, unsigned int slot)
{
	return fake_guest_ptr(&ours->service.guest, ours->slots_gpa + (uint64_t)slot * SLOT_PAGES * GUEST_PAGE_SIZE);
}

static int put(struct ours *ours, unsigned int slot)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_SEND_RNDIS_PACKET};
	uint64_t pages[SLOT_PAGES];

	for (unsigned int i = 0; i < SLOT_PAGES; i++)
		pages[i] = ours->slots_gpa + ((uint64_t)slot * SLOT_PAGES + i) * GUEST_PAGE_SIZE;
	message.rndis_packet.channel_type = NVSP_CHANNEL_DATA;
	message.rndis_packet.section = NVSP_NO_SECTION;
	return fake_put_pages(&ours->service.channel, slot, pages,
			      (ours->message_len + GUEST_PAGE_SIZE - 1) / GUEST_PAGE_SIZE, 0, ours->message_len,
			      &message, NVSP_MESSAGE_LEN);
}

static int ours_load(struct network_target *target, const struct virtio_net_hdr *hdr, const uint8_t *frame, size_t len)
{
	struct ours *ours = to_ours(target);
	const struct fake_info info = {RNDIS_INFO_LARGE_SEND,
				       hdr->gso_size | RNDIS_LSO_VERSION_2 | 34u << RNDIS_LSO_TRANSPORT_OFFSET_SHIFT};

	ours->frame = frame;
	ours->frame_len = len;
	for (unsigned int i = 0; i < NETWORK_DEPTH; i++) {
		uint8_t *to = slot_memory(ours, i);

		ours->message_len = (uint32_t)fake_nic_build(to, frame, len, &info, hdr->gso_type ? 1 : 0);
	}
	return 0;
}

/* As many as fit are under way. */
static int ours_send(struct network_target *target, unsigned int count)
{
	struct ours *ours = to_ours(target);
	uint64_t end = ours->done + count, put_until = ours->done;

	while (ours->done < end) {
		while (put_until < end && put_until - ours->done < NETWORK_DEPTH &&
		       put(ours, (unsigned int)(put_until % NETWORK_DEPTH)) == 0)
			put_until++;
		if (!fake_peek(&ours->service.channel) && service_wait(&ours->service) < 0)
			return -ETIMEDOUT;
		take_all(ours);
	}
	target->kicks = ours->service.channel.kicks;
	target->interrupts = ours->service.channel.interrupts;
	return ours->nic.bad ? -EPROTO : 0;
}

static int ours_take(struct network_target *target)
{
	struct ours *ours = to_ours(target);
	uint64_t before = ours->taken;

	if (!fake_peek(&ours->service.channel)) {
		if (!fake_unmask(&ours->service.channel) && !fake_channel_irq(&ours->service.channel, 0))
			return 0;
		fake_mask(&ours->service.channel);
	}
	take_all(ours);
	ours->taken = ours->nic.frames;
	target->kicks = ours->service.channel.kicks;
	target->interrupts = ours->service.channel.interrupts;
	return ours->nic.bad ? -EPROTO : (int)(ours->taken - before);
}

static void ours_stop(struct network_target *target)
{
	struct ours *ours = to_ours(target);

	service_done(&ours->service);
	free(ours);
}

/* ---- for one who is the guest himself ---- */

int network_ours_put(struct network_target *target, const uint8_t *frame, size_t len)
{
	struct ours *ours = to_ours(target);
	unsigned int slot = (unsigned int)(ours->given % NETWORK_DEPTH);

	if (ours->given - ours->done >= NETWORK_DEPTH)
		return -EAGAIN;
	ours->message_len = (uint32_t)fake_nic_build(slot_memory(ours, slot), frame, len, NULL, 0);
	if (put(ours, slot) < 0)
		return -EAGAIN;
	ours->given++;
	return 0;
}

int network_ours_take(struct network_target *target)
{
	struct ours *ours = to_ours(target);

	(void)fake_channel_irq(&ours->service.channel, 0);
	do {
		fake_mask(&ours->service.channel);
		take_all(ours);
	} while (fake_unmask(&ours->service.channel));
	return ours->nic.bad ? -EPROTO : 0;
}

int network_ours_fd(const struct network_target *target)
{
	return CONTAINER_OF(target, const struct ours, target)->service.channel.irq_fd;
}

static const struct network_target_ops ours_ops = {ours_load, ours_send, ours_take, ours_stop};

/* ---- the beginning ---- */

struct awaited {
	struct ours *ours;
	enum fake_nic_event event;
	bool there;
};

static bool has_event(void *arg)
{
	struct awaited *awaited = arg;

	if (!awaited->there)
		awaited->there = fake_nic_poll(&awaited->ours->nic, &awaited->ours->service.channel) == awaited->event;
	return awaited->there;
}

static int await(struct ours *ours, enum fake_nic_event event)
{
	struct awaited awaited = {ours, event, false};

	return fake_worker_run_until(ours->service.worker, has_event, &awaited);
}

static int negotiate(struct ours *ours)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_INIT};

	message.init.min_version = message.init.max_version = NVSP_VERSION_61;
	if (fake_nic_put(&ours->service.channel, CALL_ID, &message, true) < 0 || await(ours, FAKE_NIC_COMPLETED) < 0)
		return -EIO;
	message = (struct nvsp_message){.type = NVSP_MESSAGE_SEND_NDIS_CONFIG};
	message.ndis_config.frame_bytes = 1514;
	message.ndis_config.capabilities = NVSP_CAPABILITY_IEEE8021Q | NVSP_CAPABILITY_RSC;
	if (fake_nic_put(&ours->service.channel, 0, &message, false) < 0)
		return -EIO;
	message = (struct nvsp_message){.type = NVSP_MESSAGE_SEND_NDIS_VERSION};
	message.ndis_version.major = 6;
	if (fake_nic_put(&ours->service.channel, 0, &message, false) < 0)
		return -EIO;
	for (int receive = 1; receive >= 0; receive--)
		if (fake_nic_lend(&ours->service.channel, CALL_ID, receive) < 0 ||
		    await(ours, FAKE_NIC_COMPLETED) < 0 ||
		    ours->nic.answer.send_buffer_complete.status != NVSP_STATUS_SUCCESS)
			return -EIO;
	return 0;
}

static int answered(struct ours *ours)
{
	if (await(ours, FAKE_NIC_COMPLETED) < 0 || await(ours, FAKE_NIC_CONTROL) < 0)
		return -EIO;
	return get_le32(ours->nic.message + 12) == RNDIS_STATUS_SUCCESS ? 0 : -EPROTO;
}

/* Frames longer than the MTU, with checksums that nobody has filled in. */
static int ask_for_coalescing(struct ours *ours)
{
	if (fake_nic_put_set(&ours->nic, &ours->service.channel, CALL_ID, 3, OID_TCP_OFFLOAD_PARAMETERS,
			     &fake_nic_coalescing, sizeof(fake_nic_coalescing)) < 0)
		return -EIO;
	return answered(ours);
}

static int shake_hands(struct ours *ours, bool coalesces)
{
	const uint32_t filter = RNDIS_FILTER_DIRECTED | RNDIS_FILTER_BROADCAST;

	if (negotiate(ours) < 0 || fake_nic_put_initialize(&ours->nic, &ours->service.channel, CALL_ID, 1) < 0 ||
	    answered(ours) < 0 ||
	    fake_nic_put_set(&ours->nic, &ours->service.channel, CALL_ID, 2, OID_GEN_CURRENT_PACKET_FILTER, &filter,
			     4) < 0 ||
	    answered(ours) < 0 || (coalesces && ask_for_coalescing(ours) < 0))
		return -EIO;
	fake_mask(&ours->service.channel);
	ours->target.clock = ours->service.clock;
	ours->target.pid = ours->service.pid;
	return 0;
}

static void start_worker(struct ours *ours, const struct network_ours *how)
{
	static uint8_t guid[16] = {1}, config[256];
	Bulkhead__Network__Config message = BULKHEAD__NETWORK__CONFIG__INIT;
	Bulkhead__Network__Nic nic = BULKHEAD__NETWORK__NIC__INIT, *nics = &nic;
	struct fake_provider provider = {
		.name = "network", .config = config, .fds = &how->fd, .fd_count = 1, .vm_name = "bench"};

	nic.instance_guid = (ProtobufCBinaryData){sizeof(guid), guid};
	nic.alias = (char *)"net0";
	nic.mac = (ProtobufCBinaryData){6, (uint8_t *)how->mac};
	nic.backend =
		how->stream ? BULKHEAD__NETWORK__BACKEND__BACKEND_STREAM : BULKHEAD__NETWORK__BACKEND__BACKEND_TAP;
	nic.large_frames = how->stream;
	nic.segment_max = how->segment_max;
	nic.queues = 1;
	nic.mtu = 1500;
	message.version = 1;
	message.nics = &nics;
	message.n_nics = 1;
	provider.config_len = bulkhead__network__config__pack(&message, config);
	ours->service.worker = fake_worker_new(ours->service.loop, &ours->service.guest, &provider);
}

/* A frame of load() has come, or is another one. */
static void compare(void *arg, const uint8_t *frame, uint32_t len)
{
	struct ours *ours = arg;

	if (len != ours->frame_len || memcmp(frame, ours->frame, len) != 0)
		ours->nic.bad++;
}

int network_ours_start(const struct network_ours *how, struct network_target **ret)
{
	const char *argv[8] = {PROGRAM, "--name", "bench"};
	struct ours *ours = calloc(1, sizeof(*ours));
	int r;

	if (!ours)
		return -ENOMEM;
	r = service_init(&ours->service, GUEST_LEN, 1);
	if (r < 0) {
		free(ours);
		return r;
	}
	ours->target.ops = &ours_ops;
	ours->slots_gpa = fake_guest_alloc(&ours->service.guest, (size_t)NETWORK_DEPTH * SLOT_PAGES);
	start_worker(ours, how);
	fake_nic_init(&ours->nic, &ours->service.guest, ours->service.worker);
	ours->nic.on_frame = how->on_frame ? how->on_frame : compare;
	ours->nic.arg = how->on_frame ? how->arg : ours;
	r = service_start(&ours->service, argv, NULL, NULL);
	if (r == 0)
		r = shake_hands(ours, how->coalesces);
	if (r < 0)
		ours_stop(&ours->target);
	else
		*ret = &ours->target;
	return r;
}
