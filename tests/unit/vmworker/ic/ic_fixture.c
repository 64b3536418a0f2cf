/* SPDX-License-Identifier: Apache-2.0 */
#include "ic_fixture.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "abi/ring.h"
#include "base/bytes.h"

struct icf icf;

/* ---- a bus that has one provider ---- */

int bus_provider_add(struct bus *bus, const char *name, const struct bus_provider_ops *ops, void *arg,
		     struct bus_provider **ret_provider)
{
	icf.ops = ops;
	icf.arg = arg;
	return 0;
}

int bus_offer_add(struct bus_provider *provider, const struct bus_offer_desc *desc, uint32_t *ret_offer_id)
{
	assert(icf.offered < IC_SERVICES);
	icf.offers[icf.offered++] = *desc;
	*ret_offer_id = icf.offered;
	return 0;
}

void bus_provider_back(struct bus_provider *provider)
{
}

void bus_opened(struct bus_provider *provider, uint32_t offer_id, int status)
{
	icf.opened++;
	icf.open_status = status;
}

void bus_closed(struct bus_provider *provider, uint32_t offer_id)
{
	icf.closed++;
}

void bus_retargeted(struct bus_provider *provider, uint32_t offer_id)
{
	icf.retargeted++;
}

void bus_quiesced(struct bus_provider *provider)
{
	icf.quiesced++;
}

/* ---- the VM ---- */

static void changed(void *arg)
{
	icf.changes++;
}

static uint64_t reference_time(void *arg)
{
	return REFERENCE_TIME;
}

void icf_init(void)
{
	const struct ic_host host = {.changed = changed, .reference_time = reference_time};
	int r;

	memset(&icf, 0, sizeof(icf));
	r = loop_new(&icf.loop);
	assert(r == 0);
	fake_guest_init(&icf.guest, 1u << 20, 2);
	fake_guest_map(&icf.guest, &icf.mem);
	r = signal_map_init(&icf.cells, icf.guest.cells_fd);
	assert(r == 0);
	for (unsigned int n = 0; n < IC_SERVICES; n++)
		fake_channel_init(&icf.channel[n], &icf.guest, n + 1, 0, RING_PAGES);
	r = ic_new(icf.loop, NULL, &icf.mem, &icf.cells, &host, &icf.ic);
	assert(r == 0);
	ic_running(icf.ic, true);
}

void icf_done(void)
{
	ic_free(icf.ic);
	signal_map_done(&icf.cells);
	guest_mem_done(&icf.mem);
	for (unsigned int n = 0; n < IC_SERVICES; n++)
		fake_channel_done(&icf.channel[n]);
	fake_guest_done(&icf.guest);
	loop_free(icf.loop);
}

void icf_open(unsigned int n)
{
	struct fake_channel *channel = &icf.channel[n];
	const struct guest_range ring = {channel->ring_gpa, 2ull * RING_PAGES * GUEST_PAGE_SIZE};
	const struct bus_open open = {
		.relid = channel->relid,
		.target_vp = 0,
		.ring = &ring,
		.ring_ranges = 1,
		.downstream_page = RING_PAGES,
		.kick_fd = channel->kick_fd,
		.irq_fd = channel->irq_fd,
		.block_fd = -1,
	};

	fake_channel_reset(channel);
	icf.ops->open(icf.arg, n + 1, &open);
}

void icf_close(unsigned int n)
{
	icf.ops->close(icf.arg, n + 1);
}

void icf_pump(void)
{
	for (int i = 0; i < 8; i++)
		loop_run_once(icf.loop, false);
}

/* ---- messages ---- */

struct ic_message icf_next(unsigned int n, struct fake_packet *ret_packet)
{
	struct ic_message message;
	int r = fake_get(&icf.channel[n], ret_packet);

	assert(r == 0 && ret_packet->type == VMPACKET_DATA_INBAND);
	r = ic_parse(ret_packet->payload, ret_packet->payload_len, &message);
	assert(r == 0 && message.flags == (IC_FLAG_TRANSACTION | IC_FLAG_REQUEST));
	return message;
}

bool icf_silent(unsigned int n)
{
	return !fake_peek(&icf.channel[n]);
}

void icf_send(unsigned int n, const struct ic_message *message)
{
	uint8_t payload[IC_HEADERS_LEN + IC_BODY_MAX];
	size_t len = ic_build(message, payload);
	int r = fake_put(&icf.channel[n], VMPACKET_DATA_INBAND, 0, message->transaction_id, NULL, 0, payload, len);

	assert(r == 0);
	icf_pump();
}

void icf_answer(unsigned int n, const struct ic_message *request, uint32_t status)
{
	struct ic_message message = *request;

	message.status = status;
	message.flags = IC_FLAG_TRANSACTION | IC_FLAG_RESPONSE;
	icf_send(n, &message);
}

void icf_choose(unsigned int n, uint16_t major, uint16_t minor)
{
	const struct {
		struct ic_negotiate head;
		struct ic_version framework, version;
	} __attribute__((packed)) body = {{1, 1, 0}, {3, 0}, {major, minor}};
	struct fake_packet packet;
	struct ic_message message = icf_next(n, &packet);

	assert(message.type == IC_MESSAGE_NEGOTIATE);
	message.body = &body;
	message.len = sizeof(body);
	icf_answer(n, &message, IC_STATUS_OK);
}

void icf_use(unsigned int n, uint16_t major, uint16_t minor)
{
	icf_open(n);
	assert(icf.open_status == 0);
	icf_choose(n, major, minor);
}

static void on_answer(void *arg, const struct err *err)
{
	icf.answers++;
	icf.answer = *err;
}

void icf_ask(uint32_t flags)
{
	ic_shutdown(icf.ic, flags, 90, on_answer, NULL);
}

void icf_tick(unsigned int n)
{
	ic_channel_on_timer(&icf.ic->channel[n]);
}
