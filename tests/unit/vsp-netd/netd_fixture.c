/* SPDX-License-Identifier: Apache-2.0 */
#include "netd_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abi/ndis.h"
#include "base/bytes.h"

struct loop *loop;
struct fake_guest guest;
struct fake_channel peer;
struct fake_worker *worker;
struct vsp *vsp;
struct netd *netd;
struct fake_nic nic;
int wire = -1;

static void worker_gone(void *arg, const char *why)
{
	(void)arg;
	(void)why;
}

static void on_change(void *arg, const void *bytes, size_t len, int *fds, size_t nfds, struct vsp_change *call)
{
	struct nic_change change;
	struct err err = {0};

	(void)arg;
	if (settings_parse_change(bytes, len, nfds, &change, &err) < 0)
		vsp_changed(call, &err);
	else
		netd_change(netd, &change, fds, nfds, call);
}

static void on_gathered(void *arg)
{
	(void)arg;
	netd_gathered(netd);
}

void nd_start(const struct settings *settings, int *fds, size_t nfds)
{
	struct vsp_config config = {
		.name = "network", .worker_gone = worker_gone, .change = on_change, .gathered = on_gathered};
	struct err err = {0};

	config.worker_path = fake_worker_path(worker);
	cr_assert_eq(vsp_attach(loop, &config, &vsp, &err), 0, "%s", err.text);
	cr_assert_eq(netd_open(loop, vsp, settings, fds, nfds, &netd, &err), 0, "%s", err.text);
	cr_assert_eq(vsp_stats_begin(vsp, &err), 0, "%s", err.text);
	netd_observe(netd, vsp_stats(vsp));
	cr_assert_eq(netd_offer(netd, &err), 0, "%s", err.text);
	cr_assert_eq(vsp_ready(vsp, &err), 0, "%s", err.text);
	cr_assert_eq(fake_worker_wait_ready(worker), 0);
}

void nd_set_up(void)
{
	struct fake_provider provider = {.name = "network", .config = "", .vm_name = "vm1"};
	static const struct settings settings;

	cr_assert_eq(loop_new(&loop), 0);
	fake_guest_init(&guest, 16u << 20, 2);
	fake_channel_init(&peer, &guest, 9, 0, 17);
	worker = fake_worker_new(loop, &guest, &provider);
	fake_nic_init(&nic, &guest, worker);
	nd_start(&settings, NULL, 0);
}

void nd_tear_down(void)
{
	netd_free(netd);
	vsp_free(vsp);
	fake_worker_free(worker);
	fake_channel_done(&peer);
	fake_guest_done(&guest);
	loop_free(loop);
	if (wire >= 0)
		close(wire);
}

/* ---- the manager ---- */

uint32_t heard;
unsigned int completed, refused;

void nd_take_all(void)
{
	enum fake_nic_event event;

	while ((event = fake_nic_poll(&nic, &peer)) != FAKE_NIC_NOTHING) {
		if (event == FAKE_NIC_CONTROL)
			heard = get_le32(nic.message + 8);
		completed += event == FAKE_NIC_COMPLETED;
		refused +=
			event == FAKE_NIC_COMPLETED && nic.answer.rndis_packet_complete.status == NVSP_STATUS_FAILURE;
	}
}

bool nd_is_over(void *arg)
{
	nd_take_all();
	return *(int *)arg <= 0;
}

int nd_change(Bulkhead__Network__Change *msg, const int *fds, size_t nfds)
{
	static uint8_t bytes[4096];
	static int outcome;

	msg->version = 1;
	fake_worker_change_begin(worker, bytes, bulkhead__network__change__pack(msg, bytes), fds, nfds, &outcome);
	cr_assert_eq(fake_worker_run_until(worker, nd_is_over, &outcome), 0, "the change is never over");
	return outcome;
}

void nd_describe(Bulkhead__Network__Nic *msg, const char *alias, uint8_t number)
{
	static uint8_t guid[16], mac[6] = {2, 0, 0, 0, 0, 1};

	bulkhead__network__nic__init(msg);
	guid[0] = number;
	msg->instance_guid = (ProtobufCBinaryData){sizeof(guid), guid};
	msg->alias = TEXT(alias);
	msg->mac = (ProtobufCBinaryData){sizeof(mac), mac};
	msg->backend = BULKHEAD__NETWORK__BACKEND__BACKEND_STREAM;
	msg->queues = 1;
	msg->mtu = 1500;
}

int nd_attach(const char *alias, uint8_t number)
{
	Bulkhead__Network__Change msg = BULKHEAD__NETWORK__CHANGE__INIT;
	Bulkhead__Network__Nic attached;
	int fds[2], r;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	nd_describe(&attached, alias, number);
	msg.attach = &attached;
	r = nd_change(&msg, &fds[1], 1);
	close(fds[1]);
	if (wire >= 0)
		close(wire);
	wire = fds[0];
	return r;
}

void nd_begin_detach(uint8_t number, uint32_t timeout_ms, int *outcome)
{
	uint8_t guid[16] = {number};
	static uint8_t bytes[256];
	Bulkhead__Network__Change msg = BULKHEAD__NETWORK__CHANGE__INIT;
	Bulkhead__Network__Detach detached = BULKHEAD__NETWORK__DETACH__INIT;

	*outcome = 1;
	detached.instance_guid = (ProtobufCBinaryData){sizeof(guid), guid};
	detached.timeout_ms = timeout_ms;
	msg.version = 1;
	msg.detach = &detached;
	fake_worker_change_begin(worker, bytes, bulkhead__network__change__pack(&msg, bytes), NULL, 0, outcome);
}

int nd_detach(uint8_t number, uint32_t timeout_ms)
{
	static int outcome;

	nd_begin_detach(number, timeout_ms, &outcome);
	cr_assert_eq(fake_worker_run_until(worker, nd_is_over, &outcome), 0, "the change is never over");
	return outcome;
}

/* Whether nobody holds the other end of the wire any more. */
bool nd_wire_closed(void)
{
	char c;

	return recv(wire, &c, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

/* ---- the guest ---- */

struct awaited {
	enum fake_nic_event event;
	bool there;
};

static bool has_event(void *arg)
{
	struct awaited *awaited = arg;

	awaited->there = awaited->there || fake_nic_poll(&nic, &peer) == awaited->event;
	return awaited->there;
}

void nd_wait(enum fake_nic_event event)
{
	struct awaited awaited = {.event = event};

	cr_assert_eq(fake_worker_run_until(worker, has_event, &awaited), 0, "event %d does not come", event);
}

void nd_begin(size_t offer)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_INIT};

	message.init.min_version = message.init.max_version = NVSP_VERSION_61;
	fake_channel_reset(&peer);
	cr_assert_eq(fake_worker_open(worker, offer, &peer), 0);
	cr_assert_eq(fake_nic_put(&peer, ND_CALL_ID, &message, true), 0);
	nd_wait(FAKE_NIC_COMPLETED);
	cr_assert_eq(fake_nic_lend(&peer, ND_CALL_ID, true), 0);
	nd_wait(FAKE_NIC_COMPLETED);
	cr_assert_eq(fake_nic_lend(&peer, ND_CALL_ID, false), 0);
	nd_wait(FAKE_NIC_COMPLETED);
}

void nd_go_on(void)
{
	const uint32_t filter = RNDIS_FILTER_DIRECTED | RNDIS_FILTER_BROADCAST;

	cr_assert_eq(fake_nic_put_initialize(&nic, &peer, ND_CALL_ID, 1), 0);
	nd_wait(FAKE_NIC_CONTROL);
	cr_assert_eq(fake_nic_put_set(&nic, &peer, ND_CALL_ID, 2, OID_GEN_CURRENT_PACKET_FILTER, &filter, 4), 0);
	nd_wait(FAKE_NIC_CONTROL);
}

void nd_open(size_t offer)
{
	nd_begin(offer);
	nd_go_on();
}

void nd_send_frame(void)
{
	uint8_t frame[60] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5};

	cr_assert_eq(fake_nic_put_frame(&nic, &peer, 7, 0, frame, sizeof(frame), NULL, 0), 0);
}

bool nd_wire_has(void *arg)
{
	uint8_t bytes[64];

	(void)arg;
	return recv(wire, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_PEEK) == (ssize_t)sizeof(bytes);
}

bool nd_has_heard(void *arg)
{
	nd_take_all();
	return heard == *(uint32_t *)arg;
}

bool nd_has_frames(void *arg)
{
	nd_take_all();
	return nic.frames >= *(unsigned int *)arg;
}
