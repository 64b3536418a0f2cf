/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vsp-netd that dies at each place of base/death.h in turn, over a fake guest and with a stream socket behind it,
 * whose other end is the test's: whatever it dies of, every packet of the guest is completed exactly once, every
 * control message answered exactly once, no frame comes twice, in either direction, and only those are lost that were
 * under way, and counted as dropped.
 *
 * Usage: test_deaths_net [PLAN]...   a PLAN is a value of BULKHEAD_DEATHS; without: each point alone.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/ndis.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/death.h"
#include "daemons/vsp-netd/netvsp_int.h"
#include "fake_netvsc.h"
#include "life.h"
#include "proto/network.pb-c.h"
#include "vsp/block.h"

#define PROGRAM	   "tests/deaths/vsp-netd-deaths"
#define TEXT(s)	   ((char *)(s)) /* argv has no const */
#define RING_PAGES 5u
#define FRAMES	   40u /* each way, a round */
#define ROUNDS	   2u
#define QUERIES	   5u
#define IDS	   64u
#define CONTROL_ID 60u
#define FRAME_LEN  100u
#define LOST_MAX   64u /* frames of a batch, for each death */

static struct {
	struct life life;
	struct fake_guest guest;
	struct fake_channel peer;
	struct fake_nic nic;
	int wire; /* our end */

	bool in_flight[IDS];
	unsigned int waiting;
	bool bare;		     /* the message has an answer without a status */
	uint32_t asked, answered;    /* control messages: numbers of the last ones */
	uint32_t links, link_wanted; /* times that the guest was told of the link */
	int change;		     /* outcome of the manager's change under way */
	unsigned int killed;	     /* by us, at no point */
	/* sequence numbers */
	uint32_t sent, arrived, arrivals; /* from the guest: last one sent, last one that came, how many came */
	uint32_t given, got, gots;	  /* to the guest */
	uint64_t frames_seen;
	uint8_t in[65536];
	size_t in_len;
} run;

static void fail(const char *what, unsigned long number)
{
	life_fail(&run.life, what, number);
}

/* ---- what comes ---- */

static void take_completion(void)
{
	uint64_t id = run.nic.completed_id;
	uint32_t status;

	if (id >= IDS || !run.in_flight[id]) {
		fail("a completion of what is not in flight", (unsigned long)id);
		return;
	}
	run.in_flight[id] = false;
	run.waiting--;
	status = run.nic.answer.type == NVSP_MESSAGE_INIT_COMPLETE ? run.nic.answer.init_complete.status
								   : run.nic.answer.send_buffer_complete.status;
	if (id == CONTROL_ID && run.bare ? run.nic.answer_len != 0 : status != NVSP_STATUS_SUCCESS)
		fail("a request failed", (unsigned long)id);
}

static void take_control(void)
{
	if (get_le32(run.nic.message) == RNDIS_MESSAGE_INDICATE_STATUS) {
		run.links++;
		return;
	}
	if (get_le32(run.nic.message) == (RNDIS_MESSAGE_RESET | RNDIS_COMPLETION)) {
		/* it has no number */
		put_le32(run.nic.message + 12, get_le32(run.nic.message + 8));
		put_le32(run.nic.message + 8, run.answered + 1);
	}
	if (get_le32(run.nic.message + 8) != run.answered + 1 || run.answered == run.asked)
		fail("an answer to what was not asked, or twice", get_le32(run.nic.message + 8));
	run.answered = get_le32(run.nic.message + 8);
	if (get_le32(run.nic.message + 12) != RNDIS_STATUS_SUCCESS)
		fail("an answer that says no", run.answered);
}

/* The frames of a packet come together: each is looked at where it lies. */
static void take_frames(void *arg, const uint8_t *frame, uint32_t len)
{
	uint32_t number = get_le32(frame + 20);

	(void)arg;
	if (len != FRAME_LEN || number <= run.got || number > run.given)
		fail("a frame for the guest that was none, or comes twice", number);
	run.got = number;
	run.gots++;
}

static void receive(void)
{
	enum fake_nic_event event;

	while ((event = fake_nic_poll(&run.nic, &run.peer)) != FAKE_NIC_NOTHING) {
		if (event == FAKE_NIC_COMPLETED)
			take_completion();
		else if (event == FAKE_NIC_CONTROL)
			take_control();
	}
	if (run.nic.bad)
		fail("a packet that contradicts itself", (unsigned long)run.nic.bad);
}

static void read_wire(void)
{
	ssize_t n = recv(run.wire, run.in + run.in_len, sizeof(run.in) - run.in_len, MSG_DONTWAIT);
	size_t at = 0;

	run.in_len += n > 0 ? (size_t)n : 0;
	while (run.in_len - at >= 4 && run.in_len - at >= 4 + (size_t)get_be32(run.in + at)) {
		uint32_t len = get_be32(run.in + at), number = get_le32(run.in + at + 4 + 20);

		if (len != FRAME_LEN || number <= run.arrived || number > run.sent)
			fail("a frame of the guest's that was none, or comes twice", number);
		run.arrived = number;
		run.arrivals++;
		at += 4 + len;
	}
	memmove(run.in, run.in + at, run.in_len - at);
	run.in_len -= at;
}

/* Once more round. */
static void step(void)
{
	life_step(&run.life);
	receive();
	read_wire();
}

static bool wait_for(bool (*done)(void), const char *what)
{
	return life_wait_for(&run.life, done, what);
}

static void look(void)
{
	receive();
	read_wire();
}

static bool all_completed(void)
{
	look();
	return run.waiting == 0;
}

static bool all_answered(void)
{
	look();
	return run.waiting == 0 && run.answered == run.asked;
}

/* The last frame of a round is sent until it comes: then all others have come, or are lost. */
static bool last_arrived(void)
{
	look();
	return run.waiting == 0 && run.arrived == run.sent;
}

static bool last_got(void)
{
	look();
	return run.got == run.given;
}

static bool link_heard(void)
{
	look();
	return run.links >= run.link_wanted;
}

/* Those that we killed have been replaced: a socket ends before its process does. */
static bool replaced(void)
{
	look();
	return run.life.deaths >= run.killed;
}

static bool serves(void)
{
	look();
	return run.life.open_asked && run.life.opened <= 0;
}

/* ---- the guest ---- */

static void flying(uint64_t id)
{
	if (run.in_flight[id])
		abort();
	run.in_flight[id] = true;
	run.waiting++;
}

static bool call(const struct nvsp_message *message)
{
	if (fake_nic_put(&run.peer, CONTROL_ID, message, true) < 0)
		abort();
	flying(CONTROL_ID);
	return wait_for(all_completed, "a message is not completed");
}

static bool query(uint32_t oid)
{
	if (fake_nic_put_query(&run.nic, &run.peer, CONTROL_ID, ++run.asked, oid) < 0)
		abort();
	flying(CONTROL_ID);
	return wait_for(all_answered, "a query is not answered");
}

static bool set_filter(void)
{
	const uint32_t filter = RNDIS_FILTER_DIRECTED | RNDIS_FILTER_BROADCAST;

	if (fake_nic_put_set(&run.nic, &run.peer, CONTROL_ID, ++run.asked, OID_GEN_CURRENT_PACKET_FILTER, &filter, 4) <
	    0)
		abort();
	flying(CONTROL_ID);
	return wait_for(all_answered, "a set is not answered");
}

static bool lend(bool receive_buffer)
{
	if (fake_nic_lend(&run.peer, CONTROL_ID, receive_buffer) < 0)
		abort();
	flying(CONTROL_ID);
	return wait_for(all_completed, "a buffer is not taken");
}

/* ---- its messages, one by one ---- */

/* One that is completed with nothing. */
static bool tell(const struct nvsp_message *message)
{
	bool ok;

	run.bare = true;
	ok = call(message);
	run.bare = false;
	return ok;
}

static bool control(uint32_t type, bool answered)
{
	uint32_t id = run.asked + 1;

	if (fake_nic_put_control(&run.nic, &run.peer, CONTROL_ID, type, &id, sizeof(id)) < 0)
		abort();
	run.asked += answered;
	flying(CONTROL_ID);
	return wait_for(all_answered, "a control message is not answered");
}

static bool say_init(void)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_INIT};

	message.init.min_version = message.init.max_version = NVSP_VERSION_61;
	return call(&message);
}

static bool say_config(void)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_SEND_NDIS_CONFIG};

	message.ndis_config.frame_bytes = 1514;
	return tell(&message);
}

static bool say_ndis_version(void)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_SEND_NDIS_VERSION};

	message.ndis_version.major = 6;
	return tell(&message);
}

static bool lend_receive(void)
{
	return lend(true);
}

static bool lend_send(void)
{
	return lend(false);
}

static bool say_initialize(void)
{
	if (fake_nic_put_initialize(&run.nic, &run.peer, CONTROL_ID, ++run.asked) < 0)
		abort();
	flying(CONTROL_ID);
	return wait_for(all_answered, "INITIALIZE is not answered");
}

static bool say_sub_channels(void)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_SUBCHANNEL};

	message.subchannel_request.operation = NVSP_SUBCHANNEL_ALLOCATE;
	return call(&message);
}

static bool say_data_path(void)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_SWITCH_DATA_PATH};

	return tell(&message);
}

static bool say_keepalive(void)
{
	return control(RNDIS_MESSAGE_KEEPALIVE, true);
}

static bool say_reset(void)
{
	return control(RNDIS_MESSAGE_RESET, true);
}

static bool say_halt(void)
{
	return control(RNDIS_MESSAGE_HALT, false);
}

static bool say_query(void)
{
	return query(OID_GEN_LINK_SPEED);
}

static bool take_back(uint32_t type)
{
	struct nvsp_message message = {.type = type};

	return tell(&message);
}

static bool revoke_receive(void)
{
	return take_back(NVSP_MESSAGE_REVOKE_RECEIVE_BUFFER);
}

static bool revoke_send(void)
{
	return take_back(NVSP_MESSAGE_REVOKE_SEND_BUFFER);
}

/* Every message that a guest may send, in an order in which each has its effect. */
static bool (*const messages[])(void) = {
	say_init,	  say_config,	 say_ndis_version, lend_receive,  lend_send,	  say_initialize, set_filter,
	say_sub_channels, say_data_path, say_query,	   say_keepalive, say_reset,	  set_filter,	  revoke_send,
	lend_send,	  say_halt,	 revoke_receive,   lend_receive,  say_initialize, set_filter,	  say_query,
};

static bool shake_hands(void)
{
	bool ok = life_open(&run.life);

	for (size_t i = 0; ok && i < ARRAY_SIZE(messages); i++)
		ok = messages[i]();
	return ok;
}

static void make_frame(uint8_t *frame, uint32_t number, bool to_guest)
{
	const uint8_t guest_mac[6] = {2, 0, 0, 0, 0, 1}, other[6] = {2, 0, 0, 0, 0, 2};

	memset(frame, 0, FRAME_LEN);
	memcpy(frame, to_guest ? guest_mac : other, 6);
	memcpy(frame + 6, to_guest ? other : guest_mac, 6);
	put_be16(frame + 12, 0x88b5);
	put_le32(frame + 20, number);
}

static bool send_frame(uint32_t id)
{
	uint8_t frame[FRAME_LEN];

	make_frame(frame, ++run.sent, false);
	while (fake_nic_put_frame(&run.nic, &run.peer, id, id % 16, frame, sizeof(frame), NULL, 0) == -EAGAIN) {
		step();
		if (run.life.failures)
			return false;
	}
	flying(id);
	return true;
}

static bool give_frame(void)
{
	uint8_t bytes[4 + FRAME_LEN];

	put_be32(bytes, FRAME_LEN);
	make_frame(bytes + 4, ++run.given, true);
	if (send(run.wire, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)sizeof(bytes))
		fail("the wire is full", 0);
	return run.life.failures == 0;
}

/* Until one comes: those before it have come, or are lost for good. */
static bool drain(void)
{
	for (unsigned int i = 0; i < 4 && run.arrived != run.sent; i++)
		if (!send_frame(0) || !wait_for(all_completed, "a frame is not completed"))
			return false;
	for (unsigned int i = 0; i < 4 && run.got != run.given; i++) {
		uint64_t until = clock_now_ns() + 300 * NS_PER_MS;

		give_frame();
		while (run.got != run.given && clock_now_ns() < until)
			if (step(), poll(NULL, 0, 1) < 0)
				break;
	}
	return wait_for(last_arrived, "no frame of the guest's arrives") &&
	       wait_for(last_got, "no frame comes to the guest");
}

static bool one_round(void)
{
	for (uint32_t i = 0; i < FRAMES; i++) {
		if (!give_frame() || !send_frame(i % (CONTROL_ID - 1)))
			return false;
		if (i % 16 == 15 && !wait_for(all_completed, "frames are not completed"))
			return false;
	}
	for (uint32_t i = 0; i < QUERIES; i++)
		if (!query(OID_GEN_LINK_SPEED))
			return false;
	return wait_for(all_completed, "frames are not completed") && drain();
}

/* ---- the manager ---- */

static void describe(Bulkhead__Network__Nic *nic)
{
	static uint8_t guid[16] = {7}, mac[6] = {2, 0, 0, 0, 0, 1};

	bulkhead__network__nic__init(nic);
	nic->instance_guid = (ProtobufCBinaryData){sizeof(guid), guid};
	nic->alias = TEXT("net0");
	nic->mac = (ProtobufCBinaryData){sizeof(mac), mac};
	nic->backend = BULKHEAD__NETWORK__BACKEND__BACKEND_STREAM;
	nic->queues = 1;
	nic->mtu = 1500;
}

static bool change_over(void)
{
	look();
	return run.change <= 0;
}

/* Asked again of whoever comes next, if nobody lives to answer; as the manager does. @kill: one that is asked dies. */
static bool change(Bulkhead__Network__Change *msg, int fd, bool kill_one)
{
	static uint8_t bytes[1024];
	size_t len;

	msg->version = 1;
	len = bulkhead__network__change__pack(msg, bytes);
	for (int i = 0; i < 5; i++) {
		if (!wait_for(replaced, "it is not replaced") || !wait_for(serves, "it does not serve"))
			return false;
		/* one that dies has it in its socket, and does not look */
		if (kill_one)
			kill(run.life.child, SIGSTOP);
		fake_worker_change_begin(run.life.worker, bytes, len, &fd, fd >= 0, &run.change);
		if (kill_one)
			kill(run.life.child, SIGKILL);
		run.killed += kill_one;
		kill_one = false;
		if (!wait_for(change_over, "a change is never over"))
			return false;
		if (run.change == 0)
			return true;
	}
	fail("a change is refused", (unsigned long)-run.change);
	return false;
}

/* The link goes down and comes again, by its settings: the guest hears of it once each, whoever dies. */
static bool set_link(bool down, bool kill_one)
{
	Bulkhead__Network__Change msg = BULKHEAD__NETWORK__CHANGE__INIT;
	Bulkhead__Network__Nic nic;
	uint32_t before = run.links;

	describe(&nic);
	nic.link_down = down;
	msg.set = &nic;
	if (!change(&msg, -1, kill_one))
		return false;
	run.link_wanted = before + 1;
	return wait_for(link_heard, "the guest does not hear of its link") && query(OID_GEN_MEDIA_CONNECT_STATUS);
}

static bool capture(bool kill_one)
{
	static const uint8_t guid[16] = {7};
	Bulkhead__Network__Change msg = BULKHEAD__NETWORK__CHANGE__INIT;
	Bulkhead__Network__Capture captured = BULKHEAD__NETWORK__CAPTURE__INIT;
	int fds[2];
	bool ok;

	if (pipe2(fds, O_CLOEXEC) < 0)
		abort();
	captured.instance_guid = (ProtobufCBinaryData){sizeof(guid), (uint8_t *)guid};
	msg.capture = &captured;
	ok = change(&msg, fds[1], kill_one);
	close(fds[1]);
	close(fds[0]);
	return ok;
}

/* What was behind the NIC goes: the guest is told, once. */
static bool unplug(void)
{
	uint32_t before = run.links;
	uint64_t until;

	close(run.wire);
	run.wire = open("/dev/null", O_RDWR | O_CLOEXEC);
	run.link_wanted = before + 1;
	if (!wait_for(link_heard, "the guest does not hear of its link"))
		return false;
	until = clock_now_ns() + 100 * NS_PER_MS;
	while (clock_now_ns() < until)
		if (step(), poll(NULL, 0, 1) < 0)
			break;
	if (run.links != before + 1)
		fail("the guest is told of its link so often", run.links);
	return query(OID_GEN_MEDIA_CONNECT_STATUS);
}

/* ---- one run ---- */

static void new_worker(int fd)
{
	static uint8_t bytes[256];
	Bulkhead__Network__Config config = BULKHEAD__NETWORK__CONFIG__INIT;
	Bulkhead__Network__Nic nic = BULKHEAD__NETWORK__NIC__INIT, *nics[] = {&nic};
	struct fake_provider provider = {.name = "network", .config = bytes, .fds = &fd, .fd_count = 1};

	describe(&nic);
	config.version = 1;
	config.n_nics = 1;
	config.nics = nics;
	provider.config_len = bulkhead__network__config__pack(&config, bytes);
	run.life.worker = fake_worker_new(run.life.loop, &run.guest, &provider);
}

static void set_up(const char *plan)
{
	int fds[2];

	memset(&run, 0, sizeof(run));
	if (loop_new(&run.life.loop) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		abort();
	run.wire = fds[0];
	run.life.program = PROGRAM;
	run.life.plan = plan;
	run.life.peer = &run.peer;
	fake_guest_init(&run.guest, 8u << 20, 1);
	fake_channel_init(&run.peer, &run.guest, 9, 0, RING_PAGES);
	new_worker(fds[1]);
	close(fds[1]);
	fake_nic_init(&run.nic, &run.guest, run.life.worker);
	run.nic.on_frame = take_frames;
}

static void tear_down(void)
{
	life_end(&run.life);
	fake_worker_free(run.life.worker);
	fake_channel_done(&run.peer);
	fake_guest_done(&run.guest);
	loop_free(run.life.loop);
	close(run.wire);
}

/* What the state block says, whoever serves. */
static uint64_t dropped(void)
{
	int fd = fake_worker_offer(run.life.worker, 0)->block_fd;
	struct block_header *header = mmap(NULL, sizeof(*header), PROT_READ, MAP_SHARED, fd, 0);
	uint64_t count = 0;

	if (header == MAP_FAILED ||
	    pread(fd, &count, sizeof(count), header->state_offset + offsetof(struct netvsp_state, dropped)) !=
		    (ssize_t)sizeof(count))
		abort();
	munmap(header, sizeof(*header));
	return count;
}

/* All that are lost are counted as dropped, and not many others: of those under way at a death, one each way, nobody
 * can say. */
static void check_lost(void)
{
	uint32_t sent = run.sent - run.arrivals, given = run.given - run.gots;
	uint64_t counted = dropped();

	/* of the guest's, the one that was with the port, and those that the port had put together */
	if (sent > run.life.deaths * 20)
		fail("frames of the guest's lost", sent);
	if (given > run.life.deaths * LOST_MAX)
		fail("frames for the guest lost", given);
	if (counted < sent + given)
		fail("frames are lost, and not counted as dropped; so many are", counted);
	if (counted > sent + given + run.life.deaths * 2)
		fail("frames are counted as dropped that have come; in all", counted);
}

/* The old one must not take them any more. */
static void give_between(void)
{
	for (uint32_t i = 0; i < FRAMES; i++)
		(void)give_frame();
	poll(NULL, 0, 20);
}

/* With frames on their way, both ways: who goes by plan loses none. */
static bool hand_over(void)
{
	for (uint32_t i = 0; i < FRAMES; i++)
		if (!give_frame() || (i < 16 && !send_frame(i)))
			return false;
	run.life.between = give_between;
	life_hand_over(&run.life);
	if (!wait_for(all_completed, "frames are not completed") || !one_round())
		return false;
	if (run.life.deaths == 0 && run.sent - run.arrivals + run.given - run.gots > 0)
		fail("lost by a planned hand-over", run.sent - run.arrivals + run.given - run.gots);
	return true;
}

/* Return: whether all was well. */
static bool run_plan(const char *text, unsigned int rounds, bool *ret_never)
{
	bool ok;

	set_up(text);
	life_spawn(&run.life);
	ok = shake_hands();
	for (unsigned int round = 0; ok && round < rounds; round++)
		ok = one_round();
	if (ok && rounds > 0)
		ok = hand_over();
	/* who comes after one that was set otherwise gets the settings of the beginning here: so only where we say when
	 */
	if (ok && strcmp(text, "-") == 0)
		ok = set_link(true, true) && set_link(false, true) && capture(true);
	if (ok && rounds > 0)
		ok = unplug();
	if (ok)
		check_lost();
	ok = ok && run.life.failures == 0;
	*ret_never = ok && run.life.deaths < life_planned(&run.life) + run.killed;
	if (ok && run.life.deaths > life_planned(&run.life) + run.killed) {
		fail("died more often than it should", run.life.deaths);
		ok = false;
	}
	printf("%s: %s: %u deaths, lost %u of the guest's frames, %u for it, counted %llu%s\n", ok ? "ok" : "FAIL",
	       text, run.life.deaths, run.sent - run.arrivals, run.given - run.gots,
	       run.life.was_opened ? (unsigned long long)dropped() : 0, *ret_never ? " (not passed so often)" : "");
	fflush(stdout);
	tear_down();
	return ok;
}

/* Those of a disk, of what is counted, and of the cautious. */
static bool is_ours(const char *point)
{
	static const char *const others[] = {"stats-", "reserve-", "recover-trial", "own-table", "own-freed"};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (!strncmp(point, others[i], strlen(others[i])))
			return false;
	return true;
}

static bool run_one(const char *text, bool *ret_never)
{
	return run_plan(text, ROUNDS, ret_never);
}

static bool run_point(const char *first, const char *point, unsigned int passage, bool must_pass)
{
	return life_run_point(run_one, first, point, passage, must_pass);
}

static bool run_all(void)
{
	bool ok = true;

	for (size_t i = 0; i < (size_t)LIFE_POINTS; i++) {
		if (!is_ours(life_points[i]))
			continue;
		if (!strncmp(life_points[i], "recover-", 8)) {
			ok &= run_point("accept-cursor:30", life_points[i], 1, true);
			continue;
		}
		if (!strcmp(life_points[i], "net-link-written")) {
			ok &= run_point("-", life_points[i], 1, true); /* after the hand-over */
			continue;
		}
		ok &= run_point("", life_points[i], 1, true);
		/* in the midst of its traffic */
		if (!strcmp(life_points[i], "outcome-done") || !strcmp(life_points[i], "commit-add"))
			ok &= run_point("", life_points[i], 40, false);
		if (!strncmp(life_points[i], "net-", 4) || !strncmp(life_points[i], "own-", 4))
			ok &= run_point("", life_points[i], 4, false);
	}
	return ok;
}

/* At each message of the guest's, and at each answer, that it sends before it has traffic. */
static bool run_messages(void)
{
	static const char *const at[] = {"accept-cursor", "outcome-state", "net-answer-numbered"};
	bool ok = true;

	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		bool never = false;

		for (unsigned int passage = 1; ok && !never && passage <= ARRAY_SIZE(messages); passage++) {
			char text[128];

			snprintf(text, sizeof(text), "%s:%u", at[i], passage);
			ok = run_plan(text, 0, &never);
		}
	}
	return ok;
}

static bool run_everything(void)
{
	bool never, ok = run_all();

	ok &= run_messages();
	return run_plan("-", ROUNDS, &never) && ok;
}

int main(int argc, char **argv)
{
	return life_main(argc, argv, run_one, run_everything);
}
