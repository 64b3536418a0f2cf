/* SPDX-License-Identifier: Apache-2.0 */
#include "netvsp_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"

#define CALL_ID 1000u

struct loop *loop;
struct fake_guest guest;
struct fake_channel peer, subs[NV_SUBS];
struct fake_worker *worker;
struct vsp *vsp;
struct netvsp netvsp;
struct fake_nic nic;
struct nv_port nv_port;
static uint32_t request_id;

/* ---- the port ---- */

void port_connect(struct port *port, const struct port_client *client)
{
	(void)port;
	nv_port.connected = client;
	nv_port.listening = nv_port.held = false;
	nv_port.settings_then = nv_port.settings;
	nv_port.began_empty = client && nv_port.empty;
	nv_port.empty = !client;
	if (client)
		nv_port.client = *client;
}

void port_hold(struct port *port)
{
	(void)port;
	nv_port.connected = nv_port.listening = nv_port.empty = false;
	nv_port.held = true;
}

uint64_t port_lost(const struct port *port)
{
	(void)port;
	return nv_port.lost;
}

void port_forget_lost(struct port *port)
{
	(void)port;
	nv_port.lost = 0;
}

void port_offloads(const struct port *port, struct oid_nic *ret)
{
	(void)port;
	ret->lso_max_bytes = 65535;
	ret->checksums = ret->coalescing = true;
}

bool port_link(const struct port *port)
{
	(void)port;
	return nv_port.up;
}

unsigned int port_queues(const struct port *port)
{
	(void)port;
	return 2;
}

void port_counters(const struct port *port, struct oid_counters *ret)
{
	(void)port;
	ret->sent = nv_port.sent;
}

void port_set(struct port *port, const struct oid_settings *settings)
{
	(void)port;
	nv_port.settings = *settings;
}

int port_transmit(struct port *port, unsigned int queue, const struct port_frame *frame)
{
	size_t at = frame->head_len;

	(void)port;
	if (nv_port.full > 0) {
		nv_port.full--;
		return -EAGAIN;
	}
	nv_port.frame = *frame;
	nv_port.queue = queue;
	nv_port.sent++;
	memcpy(nv_port.bytes, frame->head, frame->head_len);
	for (unsigned int i = 0; i < frame->rests; i++) {
		memcpy(nv_port.bytes + at, frame->rest[i].iov_base, frame->rest[i].iov_len);
		at += frame->rest[i].iov_len;
	}
	cr_assert_eq(at, frame->len);
	return 0;
}

void port_transmit_end(struct port *port)
{
	(void)port;
	nv_port.ends++;
}

int port_receive(struct port *port, unsigned int queue, const struct iovec *iov, unsigned int iovs,
		 struct port_received *ret)
{
	size_t at = 0;

	(void)port;
	(void)queue;
	if (nv_port.in_count == 0)
		return -EAGAIN;
	nv_port.in_count--;
	for (unsigned int i = 0; i < iovs && at < nv_port.in_len; i++) {
		size_t step = MIN(iov[i].iov_len, nv_port.in_len - at);

		memcpy(iov[i].iov_base, nv_port.in + at, step);
		at += step;
	}
	if (at < nv_port.in_len)
		return 0;
	*ret = nv_port.received;
	ret->len = nv_port.in_len;
	ret->head_len = MIN(ret->len, sizeof(ret->head));
	memcpy(ret->head, nv_port.in, ret->head_len);
	(void)headers_parse(ret->head, ret->head_len, &ret->headers);
	return 1;
}

void port_listen(struct port *port, unsigned int queue, bool listen)
{
	(void)port;
	(void)queue;
	nv_port.listening = listen;
}

/* ---- life ---- */

static void worker_gone(void *arg, const char *why)
{
	(void)arg;
	(void)why;
}

static void start(void)
{
	struct nic_settings settings = {
		.alias = "net0", .mac = {2, 0, 0, 0, 0, 1}, .mtu = 1500, .speed = SETTINGS_DEFAULT_SPEED};
	struct vsp_offer_desc offer = {
		.interface_guid = NVSP_NIC_INTERFACE_GUID, .instance_guid = {{2}}, .name = "net0"};
	struct vsp_config config = {.name = "network", .worker_gone = worker_gone};
	struct err err = {0};

	memset(&netvsp, 0, sizeof(netvsp));
	config.worker_path = fake_worker_path(worker);
	cr_assert_eq(vsp_attach(loop, &config, &vsp, &err), 0, "%s", err.text);
	cr_assert_eq(vsp_stats_begin(vsp, &err), 0, "%s", err.text);
	netvsp_init(&netvsp, vsp, NULL, &settings, NV_SUBS);
	netvsp.stats = stats_unit(vsp_stats(vsp), STATS_NIC, "net0", (uint8_t[STATS_PLACE_LEN]){2}, false);
	cr_assert_eq(vsp_offer(vsp, &offer, &netvsp_ops, &netvsp, &err), 0, "%s", err.text);
	for (uint16_t i = 1; i <= NV_SUBS; i++) {
		offer.subchannel_index = i;
		cr_assert_eq(vsp_offer(vsp, &offer, &netvsp_sub_ops, &netvsp, &err), 0, "%s", err.text);
	}
	cr_assert_eq(vsp_ready(vsp, &err), 0, "%s", err.text);
	cr_assert_eq(fake_worker_wait_ready(worker), 0);
}

void nv_init(void)
{
	struct fake_provider provider = {.name = "network", .config = "", .vm_name = "vm1"};

	memset(&nv_port, 0, sizeof(nv_port));
	nv_port.up = true;
	cr_assert_eq(loop_new(&loop), 0);
	fake_guest_init(&guest, 8u << 20, 2);
	fake_channel_init(&peer, &guest, 9, 0, 17);
	for (uint32_t i = 0; i < NV_SUBS; i++)
		fake_channel_init(&subs[i], &guest, 10 + i, 1, 17);
	worker = fake_worker_new(loop, &guest, &provider);
	fake_nic_init(&nic, &guest, worker);
	start();
	cr_assert_eq(fake_worker_open(worker, 0, &peer), 0);
}

void nv_done(void)
{
	netvsp_done(&netvsp);
	vsp_free(vsp);
	fake_worker_free(worker);
	fake_channel_done(&peer);
	for (uint32_t i = 0; i < NV_SUBS; i++)
		fake_channel_done(&subs[i]);
	fake_guest_done(&guest);
	loop_free(loop);
}

bool nv_is_over(void *arg)
{
	return *(int *)arg <= 0;
}

void nv_restart_begin(unsigned int open_subs)
{
	int outcome[1 + NV_SUBS];

	fake_worker_disconnect(worker);
	fake_worker_run(worker);
	netvsp_done(&netvsp);
	vsp_free(vsp);
	fake_worker_set_was_open(worker, true);
	fake_worker_set_gather(worker, true);
	start();
	for (size_t i = 0; i < open_subs + 1u; i++) {
		fake_worker_open_begin(worker, i, i == 0 ? &peer : &subs[i - 1], true, NULL, &outcome[i]);
		cr_assert_eq(fake_worker_run_until(worker, nv_is_over, &outcome[i]), 0);
		cr_assert_eq(outcome[i], 0);
	}
}

void nv_restart(unsigned int open_subs)
{
	nv_restart_begin(open_subs);
	cr_assert_eq(fake_worker_resumed(worker), 0);
}

/* ---- the guest ---- */

struct awaited {
	enum fake_nic_event event;
	bool there;
};

static bool has_event(void *arg)
{
	struct awaited *awaited = arg;
	enum fake_nic_event event = FAKE_NIC_NOTHING;

	if (awaited->there)
		return true;
	event = fake_nic_poll(&nic, &peer);
	for (size_t i = 0; i < NV_SUBS && event == FAKE_NIC_NOTHING; i++)
		event = fake_nic_poll(&nic, &subs[i]);
	awaited->there = event == awaited->event;
	return awaited->there;
}

void nv_wait(enum fake_nic_event event)
{
	struct awaited awaited = {.event = event};

	cr_assert_eq(fake_worker_run_until(worker, has_event, &awaited), 0, "event %d does not come", event);
	cr_assert_eq(nic.bad, 0);
}

void nv_idle(void)
{
	fake_worker_run(worker);
	cr_assert_eq(fake_nic_poll(&nic, &peer), FAKE_NIC_NOTHING);
	for (size_t i = 0; i < NV_SUBS; i++)
		cr_assert_eq(fake_nic_poll(&nic, &subs[i]), FAKE_NIC_NOTHING);
}

uint32_t nv_call(struct nvsp_message message)
{
	cr_assert_eq(fake_nic_put(&peer, CALL_ID, &message, true), 0);
	nv_wait(FAKE_NIC_COMPLETED);
	cr_assert_eq(nic.completed_id, CALL_ID);
	return nic.answer.type == NVSP_MESSAGE_INIT_COMPLETE ? nic.answer.init_complete.status
							     : nic.answer.send_buffer_complete.status;
}

void nv_negotiate(uint32_t version)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_INIT};

	message.init.min_version = message.init.max_version = version;
	cr_assert_eq(nv_call(message), NVSP_STATUS_SUCCESS);
	cr_assert_eq(nic.answer.type, NVSP_MESSAGE_INIT_COMPLETE);
	cr_assert_eq(nic.answer_len, NVSP_MESSAGE_LEN);
	if (version > NVSP_VERSION_1) {
		message = (struct nvsp_message){.type = NVSP_MESSAGE_SEND_NDIS_CONFIG};
		message.ndis_config.frame_bytes = 1514;
		message.ndis_config.capabilities = NVSP_CAPABILITY_IEEE8021Q | NVSP_CAPABILITY_TEAMING |
						   (version >= NVSP_VERSION_61 ? NVSP_CAPABILITY_RSC : 0);
		cr_assert_eq(fake_nic_put(&peer, 0, &message, false), 0);
	}
	message = (struct nvsp_message){.type = NVSP_MESSAGE_SEND_NDIS_VERSION};
	message.ndis_version.major = 6;
	cr_assert_eq(fake_nic_put(&peer, 0, &message, false), 0);
	for (int receive = 1; receive >= 0; receive--) {
		cr_assert_eq(fake_nic_lend(&peer, CALL_ID, receive), 0);
		nv_wait(FAKE_NIC_COMPLETED);
		cr_assert_eq(nic.answer_len, NVSP_MESSAGE_LEN);
		cr_assert_eq(nic.answer.send_buffer_complete.status, NVSP_STATUS_SUCCESS);
	}
}

/* The request is completed, then answered. */
static uint32_t answered(size_t status_at)
{
	nv_wait(FAKE_NIC_COMPLETED);
	cr_assert_eq(nic.completed_id, CALL_ID);
	cr_assert_eq(nic.answer.type, NVSP_MESSAGE_SEND_RNDIS_PACKET_COMPLETE);
	cr_assert_eq(nic.answer.rndis_packet_complete.status, NVSP_STATUS_SUCCESS);
	nv_wait(FAKE_NIC_CONTROL);
	cr_assert_eq(get_le32(nic.message + 8), request_id);
	return get_le32(nic.message + status_at);
}

uint32_t nv_initialize(void)
{
	cr_assert_eq(fake_nic_put_initialize(&nic, &peer, CALL_ID, ++request_id), 0);
	return answered(12);
}

uint32_t nv_query(uint32_t oid)
{
	cr_assert_eq(fake_nic_put_query(&nic, &peer, CALL_ID, ++request_id, oid), 0);
	return answered(12);
}

uint32_t nv_set(uint32_t oid, const void *info, uint32_t len)
{
	cr_assert_eq(fake_nic_put_set(&nic, &peer, CALL_ID, ++request_id, oid, info, len), 0);
	return answered(12);
}

void nv_ready(uint32_t version)
{
	const uint32_t filter = RNDIS_FILTER_DIRECTED | RNDIS_FILTER_BROADCAST;

	nv_negotiate(version);
	cr_assert_eq(nv_initialize(), RNDIS_STATUS_SUCCESS);
	cr_assert_eq(nv_set(OID_GEN_CURRENT_PACKET_FILTER, &filter, 4), RNDIS_STATUS_SUCCESS);
	cr_assert_eq(nv_port.settings.filter, filter);
	cr_assert(nv_port.listening);
}

static bool has_asked(void *arg)
{
	(void)arg;
	return fake_worker_subchannels(worker) == NV_SUBS;
}

void nv_open_subs(void)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_SUBCHANNEL};

	message.subchannel_request.operation = NVSP_SUBCHANNEL_ALLOCATE;
	message.subchannel_request.count = 7;
	cr_assert_eq(nv_call(message), NVSP_STATUS_SUCCESS);
	cr_assert_eq(nic.answer.subchannel_complete.count, NV_SUBS);
	cr_assert_eq(fake_worker_run_until(worker, has_asked, NULL), 0);
	for (size_t i = 0; i < NV_SUBS; i++)
		cr_assert_eq(fake_worker_open(worker, 1 + i, &subs[i]), 0);
	cr_assert_eq(nv_set_rss(2), RNDIS_STATUS_SUCCESS);
}

uint32_t nv_set_rss(uint32_t channel)
{
	const uint32_t table[FAKE_NIC_RSS_TABLE] = {channel, channel, channel, channel};
	uint8_t info[FAKE_NIC_RSS_BYTES];

	fake_nic_build_rss(info, table);
	return nv_set(OID_GEN_RECEIVE_SCALE_PARAMETERS, info, sizeof(info));
}

void nv_deliver(unsigned int count)
{
	cr_assert(nv_port.listening);
	nv_port.in_count = count;
	nv_port.client.ops->readable(nv_port.client.arg, 0);
}

void nv_make_frame(uint8_t *frame, size_t len)
{
	for (size_t i = 0; i < len; i++)
		frame[i] = (uint8_t)(i * 7);
	memset(frame, 2, 12);
	put_be16(frame + 12, 0x0800);
	frame[14] = 0x45;
	put_be16(frame + 16, (uint16_t)(len - 14));
	put_be16(frame + 20, 0);
	frame[23] = 6;
	frame[46] = 0x50;
}

void nv_send(struct fake_channel *channel, uint64_t id, uint32_t section)
{
	uint8_t frame[60];

	nv_make_frame(frame, sizeof(frame));
	cr_assert_eq(fake_nic_put_frame(&nic, channel, id, section, frame, sizeof(frame), NULL, 0), 0);
}
