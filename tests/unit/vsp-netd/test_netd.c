/* SPDX-License-Identifier: Apache-2.0 */
/* The whole of a vsp-netd in this process: NICs over stream sockets, which come and go. */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abi/ndis.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "daemons/vsp-netd/netd_int.h"
#include "fake_netvsc.h"
#include "proto/network.pb-c.h"
#include "vsp/stats.h"
#include "vsp/stats_read.h"

#define TEXT(s) ((char *)(s)) /* generated structs have no const */
#define CALL_ID 1000u

static struct loop *loop;
static struct fake_guest guest;
static struct fake_channel peer;
static struct fake_worker *worker;
static struct vsp *vsp;
static struct netd *netd;
static struct fake_nic nic;
static int wire = -1;

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

/* A process that serves. @fds: @settings' */
static void start(const struct settings *settings, int *fds, size_t nfds)
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

static void set_up(void)
{
	struct fake_provider provider = {.name = "network", .config = "", .vm_name = "vm1"};
	static const struct settings settings;

	cr_assert_eq(loop_new(&loop), 0);
	fake_guest_init(&guest, 16u << 20, 2);
	fake_channel_init(&peer, &guest, 9, 0, 17);
	worker = fake_worker_new(loop, &guest, &provider);
	fake_nic_init(&nic, &guest, worker);
	start(&settings, NULL, 0);
}

static void tear_down(void)
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

TestSuite(netd, .init = set_up, .fini = tear_down, .timeout = 60);

/* ---- the manager ---- */

static uint32_t heard;	       /* status of the last control message */
static unsigned int completed; /* transmits */
static unsigned int refused;   /* of them */

/* The guest takes what there is. */
static void take_all(void)
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

static bool is_over(void *arg)
{
	take_all();
	return *(int *)arg <= 0;
}

/* Return: what came of it. */
static int change(Bulkhead__Network__Change *msg, const int *fds, size_t nfds)
{
	static uint8_t bytes[4096];
	static int outcome;

	msg->version = 1;
	fake_worker_change_begin(worker, bytes, bulkhead__network__change__pack(msg, bytes), fds, nfds, &outcome);
	cr_assert_eq(fake_worker_run_until(worker, is_over, &outcome), 0, "the change is never over");
	return outcome;
}

static void describe(Bulkhead__Network__Nic *msg, const char *alias, uint8_t number)
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

static int attach(const char *alias, uint8_t number)
{
	Bulkhead__Network__Change msg = BULKHEAD__NETWORK__CHANGE__INIT;
	Bulkhead__Network__Nic attached;
	int fds[2], r;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	describe(&attached, alias, number);
	msg.attach = &attached;
	r = change(&msg, &fds[1], 1);
	close(fds[1]);
	if (wire >= 0)
		close(wire);
	wire = fds[0];
	return r;
}

static int detach(uint8_t number, uint32_t timeout_ms)
{
	Bulkhead__Network__Change msg = BULKHEAD__NETWORK__CHANGE__INIT;
	Bulkhead__Network__Detach detached = BULKHEAD__NETWORK__DETACH__INIT;
	uint8_t guid[16] = {number};

	detached.instance_guid = (ProtobufCBinaryData){sizeof(guid), guid};
	detached.timeout_ms = timeout_ms;
	msg.detach = &detached;
	return change(&msg, NULL, 0);
}

/* Whether nobody holds the other end of the wire any more. */
static bool wire_closed(void)
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

static void wait_event(enum fake_nic_event event)
{
	struct awaited awaited = {.event = event};

	cr_assert_eq(fake_worker_run_until(worker, has_event, &awaited), 0, "event %d does not come", event);
}

/* As far as its buffers: a guest may take long for them. */
static void begin_nic(size_t offer)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_INIT};

	message.init.min_version = message.init.max_version = NVSP_VERSION_61;
	fake_channel_reset(&peer);
	cr_assert_eq(fake_worker_open(worker, offer, &peer), 0);
	cr_assert_eq(fake_nic_put(&peer, CALL_ID, &message, true), 0);
	wait_event(FAKE_NIC_COMPLETED);
	cr_assert_eq(fake_nic_lend(&peer, CALL_ID, true), 0);
	wait_event(FAKE_NIC_COMPLETED);
	cr_assert_eq(fake_nic_lend(&peer, CALL_ID, false), 0);
	wait_event(FAKE_NIC_COMPLETED);
}

static void go_on_nic(void)
{
	const uint32_t filter = RNDIS_FILTER_DIRECTED | RNDIS_FILTER_BROADCAST;

	cr_assert_eq(fake_nic_put_initialize(&nic, &peer, CALL_ID, 1), 0);
	wait_event(FAKE_NIC_CONTROL);
	cr_assert_eq(fake_nic_put_set(&nic, &peer, CALL_ID, 2, OID_GEN_CURRENT_PACKET_FILTER, &filter, 4), 0);
	wait_event(FAKE_NIC_CONTROL);
}

static void open_nic(size_t offer)
{
	begin_nic(offer);
	go_on_nic();
}

static void send_frame(void)
{
	uint8_t frame[60] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5};

	cr_assert_eq(fake_nic_put_frame(&nic, &peer, 7, 0, frame, sizeof(frame), NULL, 0), 0);
}

static bool wire_has(void *arg)
{
	uint8_t bytes[64];

	(void)arg;
	return recv(wire, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_PEEK) == (ssize_t)sizeof(bytes);
}

/* ---- tests ---- */

Test(netd, comes_and_goes)
{
	for (uint8_t i = 1; i <= 3; i++) {
		size_t offer = fake_worker_offers(worker);
		uint8_t bytes[64];

		cr_assert_eq(attach("net0", i), 0);
		cr_assert_eq(fake_worker_offers(worker), offer + 2, "a channel for each vCPU");
		cr_assert_eq(netd_nics(netd), 1);
		open_nic(offer);
		send_frame();
		cr_assert_eq(fake_worker_run_until(worker, wire_has, NULL), 0);
		cr_assert_eq(recv(wire, bytes, sizeof(bytes), 0), (ssize_t)sizeof(bytes));
		cr_assert_eq(detach(i, 3000), 0);
		cr_assert_eq(heard, RNDIS_STATUS_MEDIA_DISCONNECT);
		cr_assert_eq(netd_nics(netd), 0);
		cr_assert(wire_closed());
		cr_assert(fake_worker_offer(worker, offer)->withdrawn &&
			  fake_worker_offer(worker, offer + 1)->withdrawn);
	}
}

Test(netd, without_a_guest)
{
	cr_assert_eq(attach("net0", 1), 0);
	cr_assert_eq(attach("net0", 2), -EEXIST);
	cr_assert(wire_closed());
	cr_assert_eq(attach("net0", 1), 0, "asked again, for the answer was lost");
	cr_assert_eq(detach(1, 3000), 0);
	cr_assert_eq(detach(1, 3000), -ENOENT);
	for (uint8_t i = 0; i < SETTINGS_NICS_MAX; i++)
		cr_assert_eq(attach((char[]){'n', (char)('0' + i), '\0'}, 20 + i), 0);
	cr_assert_eq(attach("n9", 99), -ENOSPC);
	cr_assert_eq(netd_nics(netd), SETTINGS_NICS_MAX);
}

static bool has_heard(void *arg)
{
	take_all();
	return heard == *(uint32_t *)arg;
}

static void begin_detach(uint32_t timeout_ms, int *outcome)
{
	static uint8_t guid[16] = {1}, bytes[256];
	Bulkhead__Network__Change msg = BULKHEAD__NETWORK__CHANGE__INIT;
	Bulkhead__Network__Detach detached = BULKHEAD__NETWORK__DETACH__INIT;

	*outcome = 1;
	detached.instance_guid = (ProtobufCBinaryData){sizeof(guid), guid};
	detached.timeout_ms = timeout_ms;
	msg.version = 1;
	msg.detach = &detached;
	fake_worker_change_begin(worker, bytes, bulkhead__network__change__pack(&msg, bytes), NULL, 0, outcome);
}

/* Until the change is over. Return: how many frames it has sent meanwhile. */
static unsigned int keep_sending(const int *outcome)
{
	unsigned int sent = 0;

	for (int i = 0; i < 1000 && *outcome == 1; i++) {
		/* what it sends now is not read any more */
		if (netd->nics == 0 || netd->nic[0]->presence == NETD_GOING) {
			cr_assert_eq(fake_worker_run_until(worker, is_over, (void *)outcome), 0);
			break;
		}
		send_frame();
		sent++;
		fake_worker_run(worker);
		take_all();
		poll(NULL, 0, 10);
	}
	return sent;
}

/* The guest is told, and goes on: it keeps its NIC, and its link. */
Test(netd, a_guest_that_goes_on_sending)
{
	int outcome;

	cr_assert_eq(attach("net0", 1), 0);
	open_nic(0);
	begin_detach(700, &outcome);
	(void)keep_sending(&outcome);
	cr_assert_eq(outcome, -ETIMEDOUT);
	cr_assert_eq(netd_nics(netd), 1);
	cr_assert_eq(fake_worker_run_until(worker, has_heard, &(uint32_t){RNDIS_STATUS_MEDIA_CONNECT}), 0);
	cr_assert_eq(detach(1, 0), 0, "by force");
}

static void run_for(uint64_t ns)
{
	for (uint64_t end = clock_now_ns() + ns; clock_now_ns() < end; poll(NULL, 0, 10)) {
		fake_worker_run(worker);
		take_all();
	}
}

/* A driver that sets a NIC up waits for each answer for ever, whatever becomes of the NIC: nothing is taken from it
 * before it has done so. */
Test(netd, a_guest_that_sets_it_up)
{
	int outcome;

	cr_assert_eq(attach("net0", 1), 0);
	begin_nic(0);
	begin_detach(60000, &outcome);
	run_for(NETD_SETUP_NS + NETD_QUIET_NS);
	cr_assert_eq(outcome, 1, "it may be busy with the next step");
	go_on_nic();
	cr_assert_eq(fake_worker_run_until(worker, is_over, &outcome), 0);
	cr_assert_eq(outcome, 0);
}

/* It has been promised a sub-channel, and has not opened it yet. */
Test(netd, a_guest_that_opens_sub_channels)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_SUBCHANNEL};
	struct fake_channel sub;
	int outcome;

	fake_channel_init(&sub, &guest, 10, 1, 17);
	cr_assert_eq(attach("net0", 1), 0);
	open_nic(0);
	message.subchannel_request.operation = NVSP_SUBCHANNEL_ALLOCATE;
	message.subchannel_request.count = 1;
	cr_assert_eq(fake_nic_put(&peer, CALL_ID, &message, true), 0);
	wait_event(FAKE_NIC_COMPLETED);
	begin_detach(60000, &outcome);
	run_for(NETD_SETUP_NS + NETD_QUIET_NS);
	cr_assert_eq(outcome, 1, "it may be busy with its ring");
	cr_assert_eq(fake_worker_open(worker, 1, &sub), 0);
	cr_assert_eq(fake_worker_run_until(worker, is_over, &outcome), 0);
	cr_assert_eq(outcome, 0);
	fake_channel_done(&sub);
}

/* Whose channels are closed for a successor, has let go of nothing: that is asked again. */
Test(netd, a_detach_during_a_hand_over)
{
	int outcome;

	cr_assert_eq(attach("net0", 1), 0);
	begin_nic(0);
	begin_detach(60000, &outcome);
	cr_assert_eq(fake_worker_hand_over(worker), 0);
	run_for(NETD_SETUP_NS + NETD_QUIET_NS);
	cr_assert_eq(outcome, 1);
	cr_assert_eq(netd_nics(netd), 1);
	cr_assert_not(fake_worker_offer(worker, 0)->withdrawn);
}

/* A driver that has given up in the middle of it does not keep a NIC for ever. */
Test(netd, a_guest_that_stops_to_set_it_up)
{
	int outcome;

	cr_assert_eq(attach("net0", 1), 0);
	begin_nic(0);
	begin_detach(60000, &outcome);
	run_for(NETD_BEGIN_NS + NS_PER_SEC / 2);
	cr_assert_eq(fake_worker_run_until(worker, is_over, &outcome), 0);
	cr_assert_eq(outcome, 0);
}

Test(netd, a_guest_that_never_sets_it_up)
{
	int outcome;

	cr_assert_eq(attach("net0", 1), 0);
	begin_nic(0);
	begin_detach(700, &outcome);
	cr_assert_eq(fake_worker_run_until(worker, is_over, &outcome), 0);
	cr_assert_eq(outcome, -ETIMEDOUT);
	cr_assert_eq(netd_nics(netd), 1);
	cr_assert_eq(detach(1, 0), 0, "by force");
}

/* Nothing more is given to a guest that shall let go: what came while it does would keep it for ever. */
Test(netd, what_comes_does_not_keep_a_nic)
{
	static const uint8_t record[4 + 60] = {[3] = 60, [4] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 2, 8};
	unsigned int frames;
	int outcome;

	cr_assert_eq(attach("net0", 1), 0);
	open_nic(0);
	begin_detach(5000, &outcome);
	cr_assert_eq(fake_worker_run_until(worker, has_heard, &(uint32_t){RNDIS_STATUS_MEDIA_DISCONNECT}), 0);
	frames = nic.frames;
	for (int i = 0; i < 2000 && outcome == 1; i++) {
		(void)!send(wire, record, sizeof(record), MSG_DONTWAIT | MSG_NOSIGNAL);
		fake_worker_run(worker);
		take_all();
		poll(NULL, 0, 10);
	}
	cr_assert_eq(outcome, 0);
	cr_assert_eq(nic.frames, frames);
}

/* One that does not give back what it has got would wait for the host to take it, for ever. */
Test(netd, a_guest_that_keeps_sections)
{
	int outcome;

	cr_assert_eq(attach("net0", 1), 0);
	open_nic(0);
	nic.keeps = true;
	begin_detach(700, &outcome);
	cr_assert_eq(fake_worker_run_until(worker, is_over, &outcome), 0);
	cr_assert_eq(outcome, -ETIMEDOUT);
	cr_assert_eq(detach(1, 0), 0, "by force");
}

static bool has_frames(void *arg)
{
	take_all();
	return nic.frames >= *(unsigned int *)arg;
}

static bool has_failed(void *arg)
{
	(void)arg;
	return vsp_failed(netd->nic[0]->netvsp.channel[0]);
}

/* It has sections, and is owed an answer; then it breaks its ring: none of it will ever come back, or be answered. */
Test(netd, a_guest_that_has_broken_its_ring)
{
	static const uint8_t record[4 + 60] = {[3] = 60, [4] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 2, 8};
	unsigned int frames = 1;
	int outcome;

	cr_assert_eq(attach("net0", 1), 0);
	open_nic(0);
	nic.keeps = true;
	frames += nic.frames;
	cr_assert_eq(send(wire, record, sizeof(record), 0), (ssize_t)sizeof(record));
	cr_assert_eq(fake_worker_run_until(worker, has_frames, &frames), 0);
	cr_assert_eq(fake_nic_put_query(&nic, &peer, CALL_ID, 3, OID_GEN_LINK_SPEED), 0);
	peer.out->write_index = 12;
	fake_kick(&peer);
	cr_assert_eq(fake_worker_run_until(worker, has_failed, NULL), 0);
	begin_detach(60000, &outcome);
	cr_assert_eq(fake_worker_run_until(worker, is_over, &outcome), 0, "it need not wait so long");
	cr_assert_eq(outcome, 0);
	cr_assert_eq(netd_nics(netd), 0);
	cr_assert(fake_worker_offer(worker, 0)->withdrawn);
}

/* By force: nothing passes any more, all is answered, and only then the channel goes. */
Test(netd, a_busy_guest_is_forced_out)
{
	int outcome;

	cr_assert_eq(attach("net0", 1), 0);
	open_nic(0);
	completed = refused = 0;
	begin_detach(0, &outcome);
	cr_assert_eq(fake_worker_run_until(worker, has_heard, &(uint32_t){RNDIS_STATUS_MEDIA_DISCONNECT}), 0);
	for (int i = 0; i < 40; i++)
		send_frame();
	cr_assert_eq(fake_worker_run_until(worker, is_over, &outcome), 0);
	cr_assert_eq(outcome, 0);
	cr_assert_eq(completed, 40);
	cr_assert_eq(refused, 40);
	cr_assert(wire_closed(), "nothing has come there, either");
	cr_assert_eq(netd_nics(netd), 0);
}

/* It does not listen, either: what it has put into its ring before the channel goes is answered all the same. */
Test(netd, a_guest_that_never_stops_is_forced_out)
{
	unsigned int sent;
	int outcome;

	cr_assert_eq(attach("net0", 1), 0);
	open_nic(0);
	completed = 0;
	begin_detach(0, &outcome);
	sent = keep_sending(&outcome);
	cr_assert_eq(outcome, 0);
	take_all();
	cr_assert_eq(completed, sent);
	cr_assert_eq(netd_nics(netd), 0);
}

/* More than it takes at a time, and nothing behind it that would wake it. */
Test(netd, a_burst_comes_whole)
{
	enum { LEN = 60, RECORDS = 200 };

	static uint8_t burst[RECORDS * (4 + LEN)];
	unsigned int records = RECORDS;

	cr_assert_eq(attach("net0", 1), 0);
	open_nic(0);
	for (size_t i = 0; i < RECORDS; i++) {
		put_be32(burst + i * (4 + LEN), LEN);
		memset(burst + i * (4 + LEN) + 4, 0xff, 6);
	}
	cr_assert_eq(send(wire, burst, sizeof(burst), 0), (ssize_t)sizeof(burst));
	cr_assert_eq(fake_worker_run_until(worker, has_frames, &records), 0);
	cr_assert_eq(nic.frames, RECORDS);
}

/* One guest's NIC that takes nothing does not hold up another one, and what waits for it stays outside. */
Test(netd, a_nic_that_is_not_served_by_its_guest)
{
	static uint8_t record[4 + 60] = {[3] = 60, [4] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 2, 8, 0};
	static struct fake_nic first;
	struct fake_channel first_peer;
	unsigned int given = 0;
	uint8_t bytes[64];
	int stuck;

	cr_assert_eq(attach("net0", 1), 0);
	open_nic(0);
	nic.keeps = true;
	/* until the wire is full: nothing is read of it any more */
	for (int full = 0; full < 50; full++) {
		while (send(wire, record, sizeof(record), MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof(record)) {
			given++;
			full = 0;
		}
		fake_worker_run(worker);
		take_all();
	}
	cr_assert_leq(nic.frames, nic.sections);
	cr_assert_gt(given, nic.frames);
	stuck = dup(wire);
	first = nic;
	first_peer = peer;
	/* its driver goes on as if the first one were not there */
	cr_assert_eq(attach("net1", 2), 0);
	fake_channel_init(&peer, &guest, 10, 0, 17);
	fake_nic_init(&nic, &guest, worker);
	open_nic(2);
	send_frame();
	cr_assert_eq(fake_worker_run_until(worker, wire_has, NULL), 0);
	cr_assert_eq(recv(wire, bytes, sizeof(bytes), 0), (ssize_t)sizeof(bytes));
	cr_assert_eq(send(wire, record, sizeof(record), 0), (ssize_t)sizeof(record));
	wait_event(FAKE_NIC_FRAMES);
	cr_assert_eq(fake_nic_poll(&first, &first_peer), FAKE_NIC_NOTHING);
	fake_channel_done(&first_peer);
	close(stuck);
}

static bool told_down(void *arg)
{
	Bulkhead__Network__Status *status;
	size_t len;
	const void *bytes = fake_worker_status(worker, &len);
	bool down;

	(void)arg;
	status = bulkhead__network__status__unpack(NULL, len, bytes);
	down = status && status->n_nics == 1 && !status->nics[0]->link && status->nics[0]->mac.len == 6;
	bulkhead__network__status__free_unpacked(status, NULL);
	return down;
}

Test(netd, is_set)
{
	Bulkhead__Network__Change msg = BULKHEAD__NETWORK__CHANGE__INIT;
	Bulkhead__Network__Nic set;

	cr_assert_eq(attach("net0", 1), 0);
	open_nic(0);
	describe(&set, "net0", 1);
	set.link_down = 1;
	msg.set = &set;
	cr_assert_eq(change(&msg, NULL, 0), 0);
	cr_assert_eq(fake_worker_run_until(worker, has_heard, &(uint32_t){RNDIS_STATUS_MEDIA_DISCONNECT}), 0);
	cr_assert_eq(fake_worker_run_until(worker, told_down, NULL), 0, "the manager hears of it");
	set.link_down = 0;
	cr_assert_eq(change(&msg, NULL, 0), 0);
	cr_assert_eq(fake_worker_run_until(worker, has_heard, &(uint32_t){RNDIS_STATUS_MEDIA_CONNECT}), 0);
	set.alias = TEXT("other");
	cr_assert_eq(change(&msg, NULL, 0), -EINVAL);
}

/* ---- statistics ---- */

/* Of the only NIC, of NUMBER, as a manager reads it. Return: its number; 0: there is none. */
static uint64_t read_unit(struct stats_unit_copy *ret)
{
	struct stats_copy copy;
	uint64_t id = 0;

	cr_assert_eq(stats_read(vsp_stats(vsp)->fd, &copy), 0);
	cr_assert_leq(copy.units, 1);
	if (copy.units > 0) {
		*ret = copy.unit[0];
		id = ret->id;
	}
	stats_copy_done(&copy);
	return id;
}

Test(netd, what_passes_is_counted)
{
	uint8_t frame[64] = {0, 0, 0, 60, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5};
	struct stats_unit_copy unit;
	uint64_t first;

	cr_assert_eq(read_unit(&unit), 0);
	cr_assert_eq(attach("net0", 1), 0);
	first = read_unit(&unit);
	cr_assert(first && unit.kind == STATS_NIC && !strcmp(unit.name, "net0"));
	open_nic(0);
	send_frame();
	cr_assert_eq(fake_worker_run_until(worker, wire_has, NULL), 0);
	cr_assert_eq(send(wire, frame, sizeof(frame), MSG_NOSIGNAL), (ssize_t)sizeof(frame));
	wait_event(FAKE_NIC_FRAMES);
	cr_assert_eq(read_unit(&unit), first);
	cr_assert(unit.count[STATS_NIC_TX_PACKETS] == 1 && unit.count[STATS_NIC_TX_BYTES] == 60);
	cr_assert(unit.count[STATS_NIC_RX_PACKETS] == 1 && unit.count[STATS_NIC_RX_BYTES] == 60);
	cr_assert_eq(unit.class[STATS_NIC_TRANSFER].reqs, 1);
	cr_assert_eq(detach(1, 0), 0);
	cr_assert_eq(read_unit(&unit), 0);
	cr_assert_eq(attach("net0", 1), 0);
	cr_assert_neq(read_unit(&unit), first, "another one");
	cr_assert_eq(unit.count[STATS_NIC_TX_PACKETS], 0);
}

/* ---- a successor ---- */

static const uint8_t broadcast[4 + 60] = {[3] = 60, [4] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 2, 8};

/* The process is killed; the next one has NICs 1 to @nics: the last one over the wire that is there. */
static void restart(uint8_t nics)
{
	struct settings settings = {.nics = nics};
	int fds[SETTINGS_NICS_MAX], pair[2];

	for (uint8_t i = 0; i < nics; i++) {
		settings.nic[i] = (struct nic_settings){.instance = {{(uint8_t)(i + 1)}},
							.mac = {2, 0, 0, 0, 0, 1},
							.backend = NIC_STREAM,
							.fd_index = i,
							.queues = 1,
							.fd_generation = 1,
							.mtu = 1500};
		snprintf(settings.nic[i].alias, sizeof(settings.nic[i].alias), "net%u", i);
		cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		fds[i] = pair[1];
		close(wire);
		wire = pair[0];
	}
	fake_worker_disconnect(worker);
	fake_worker_run(worker);
	netd_free(netd);
	vsp_free(vsp);
	fake_worker_set_was_open(worker, true);
	fake_worker_set_gather(worker, true);
	start(&settings, fds, nics);
}

static void take_over(size_t offer, struct fake_channel *channel)
{
	int outcome;

	fake_worker_open_begin(worker, offer, channel, true, NULL, &outcome);
	cr_assert_eq(fake_worker_run_until(worker, is_over, &outcome), 0);
	cr_assert_eq(outcome, 0);
}

static bool is_past(void *arg)
{
	return clock_now_ns() >= *(uint64_t *)arg;
}

static bool has_dropped(void *arg)
{
	struct stats_unit_copy unit;

	(void)arg;
	return read_unit(&unit) && unit.count[STATS_NIC_RX_UNREADY] > 0;
}

/* Until it drops what comes for nobody. */
static void wait_dropped(void)
{
	cr_assert_eq(send(wire, broadcast, sizeof(broadcast), MSG_NOSIGNAL), (ssize_t)sizeof(broadcast));
	cr_assert_eq(fake_worker_run_until(worker, has_dropped, NULL), 0);
}

/* However slow this machine is: whoever drops has been told to. */
static void be_patient(void)
{
	cr_assert_gt(netd->patience_ns, 0);
	netd->patience_ns = clock_now_ns() + 3600 * NS_PER_SEC;
}

/* However long the worker takes: what has come for the second NIC meanwhile is its guest's. */
Test(netd, a_slow_take_over_drops_nothing)
{
	struct fake_channel first;
	unsigned int frames;
	uint64_t late_ns;

	cr_assert_eq(attach("net0", 1), 0);
	cr_assert_eq(attach("net1", 2), 0);
	fake_channel_init(&first, &guest, 10, 0, 17);
	cr_assert_eq(fake_worker_open(worker, 0, &first), 0);
	open_nic(2);
	restart(2);
	take_over(0, &first);
	frames = nic.frames + 1;
	cr_assert_eq(send(wire, broadcast, sizeof(broadcast), MSG_NOSIGNAL), (ssize_t)sizeof(broadcast));
	late_ns = clock_now_ns() + NETD_LOOK_NS + 200 * NS_PER_MS;
	cr_assert_eq(fake_worker_run_until(worker, is_past, &late_ns), 0);
	take_over(2, &peer);
	cr_assert_eq(fake_worker_resumed(worker), 0);
	cr_assert_eq(fake_worker_run_until(worker, has_frames, &frames), 0);
	fake_channel_done(&first);
}

/* News of one NIC, of which the manager is to hear, say nothing of the others. */
Test(netd, what_changes_meanwhile_does_not_hurry)
{
	uint64_t soon_ns;

	cr_assert_eq(attach("net0", 1), 0);
	restart(1);
	be_patient();
	netd_on_changed(netd);
	cr_assert_eq(send(wire, broadcast, sizeof(broadcast), MSG_NOSIGNAL), (ssize_t)sizeof(broadcast));
	soon_ns = clock_now_ns() + 3 * NETD_TELL_NS;
	cr_assert_eq(fake_worker_run_until(worker, is_past, &soon_ns), 0);
	cr_assert_not(has_dropped(NULL));
}

Test(netd, the_worker_says_that_no_nic_was_open)
{
	cr_assert_eq(attach("net0", 1), 0);
	restart(1);
	be_patient();
	cr_assert_eq(fake_worker_resumed(worker), 0);
	wait_dropped();
}

Test(netd, an_old_worker_says_nothing)
{
	cr_assert_eq(attach("net0", 1), 0);
	restart(1);
	wait_dropped();
	cr_assert_geq(clock_now_ns(), netd->patience_ns);
}
