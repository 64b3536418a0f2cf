/* SPDX-License-Identifier: Apache-2.0 */
/* The whole of a vsp-netd in this process: NICs over stream sockets, which come, change and are counted; its
 * successors. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abi/ndis.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "netd_fixture.h"
#include "vsp/stats.h"
#include "vsp/stats_read.h"

TestSuite(netd, .init = nd_set_up, .fini = nd_tear_down, .timeout = 60);

Test(netd, comes_and_goes)
{
	for (uint8_t i = 1; i <= 3; i++) {
		size_t offer = fake_worker_offers(worker);
		uint8_t bytes[64];

		cr_assert_eq(nd_attach("net0", i), 0);
		cr_assert_eq(fake_worker_offers(worker), offer + 2, "a channel for each vCPU");
		cr_assert_eq(netd_nics(netd), 1);
		nd_open(offer);
		nd_send_frame();
		cr_assert_eq(fake_worker_run_until(worker, nd_wire_has, NULL), 0);
		cr_assert_eq(recv(wire, bytes, sizeof(bytes), 0), (ssize_t)sizeof(bytes));
		cr_assert_eq(nd_detach(i, 3000), 0);
		cr_assert_eq(heard, RNDIS_STATUS_MEDIA_DISCONNECT);
		cr_assert_eq(netd_nics(netd), 0);
		cr_assert(nd_wire_closed());
		cr_assert(fake_worker_offer(worker, offer)->withdrawn &&
			  fake_worker_offer(worker, offer + 1)->withdrawn);
	}
}

Test(netd, without_a_guest)
{
	cr_assert_eq(nd_attach("net0", 1), 0);
	cr_assert_eq(nd_attach("net0", 2), -EEXIST);
	cr_assert(nd_wire_closed());
	cr_assert_eq(nd_attach("net0", 1), 0, "asked again, for the answer was lost");
	cr_assert_eq(nd_detach(1, 3000), 0);
	cr_assert_eq(nd_detach(1, 3000), -ENOENT);
	for (uint8_t i = 0; i < SETTINGS_NICS_MAX; i++)
		cr_assert_eq(nd_attach((char[]){'n', (char)('0' + i), '\0'}, 20 + i), 0);
	cr_assert_eq(nd_attach("n9", 99), -ENOSPC);
	cr_assert_eq(netd_nics(netd), SETTINGS_NICS_MAX);
}

/* More than it takes at a time, and nothing behind it that would wake it. */
Test(netd, a_burst_comes_whole)
{
	enum { LEN = 60, RECORDS = 200 };

	static uint8_t burst[RECORDS * (4 + LEN)];
	unsigned int records = RECORDS;

	cr_assert_eq(nd_attach("net0", 1), 0);
	nd_open(0);
	for (size_t i = 0; i < RECORDS; i++) {
		put_be32(burst + i * (4 + LEN), LEN);
		memset(burst + i * (4 + LEN) + 4, 0xff, 6);
	}
	cr_assert_eq(send(wire, burst, sizeof(burst), 0), (ssize_t)sizeof(burst));
	cr_assert_eq(fake_worker_run_until(worker, nd_has_frames, &records), 0);
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

	cr_assert_eq(nd_attach("net0", 1), 0);
	nd_open(0);
	nic.keeps = true;
	/* until the wire is full: nothing is read of it any more */
	for (int full = 0; full < 50; full++) {
		while (send(wire, record, sizeof(record), MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof(record)) {
			given++;
			full = 0;
		}
		fake_worker_run(worker);
		nd_take_all();
	}
	cr_assert_leq(nic.frames, nic.sections);
	cr_assert_gt(given, nic.frames);
	stuck = dup(wire);
	first = nic;
	first_peer = peer;
	/* its driver goes on as if the first one were not there */
	cr_assert_eq(nd_attach("net1", 2), 0);
	fake_channel_init(&peer, &guest, 10, 0, 17);
	fake_nic_init(&nic, &guest, worker);
	nd_open(2);
	nd_send_frame();
	cr_assert_eq(fake_worker_run_until(worker, nd_wire_has, NULL), 0);
	cr_assert_eq(recv(wire, bytes, sizeof(bytes), 0), (ssize_t)sizeof(bytes));
	cr_assert_eq(send(wire, record, sizeof(record), 0), (ssize_t)sizeof(record));
	nd_wait(FAKE_NIC_FRAMES);
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

	cr_assert_eq(nd_attach("net0", 1), 0);
	nd_open(0);
	nd_describe(&set, "net0", 1);
	set.link_down = 1;
	msg.set = &set;
	cr_assert_eq(nd_change(&msg, NULL, 0), 0);
	cr_assert_eq(fake_worker_run_until(worker, nd_has_heard, &(uint32_t){RNDIS_STATUS_MEDIA_DISCONNECT}), 0);
	cr_assert_eq(fake_worker_run_until(worker, told_down, NULL), 0, "the manager hears of it");
	set.link_down = 0;
	cr_assert_eq(nd_change(&msg, NULL, 0), 0);
	cr_assert_eq(fake_worker_run_until(worker, nd_has_heard, &(uint32_t){RNDIS_STATUS_MEDIA_CONNECT}), 0);
	set.alias = TEXT("other");
	cr_assert_eq(nd_change(&msg, NULL, 0), -EINVAL);
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
	cr_assert_eq(nd_attach("net0", 1), 0);
	first = read_unit(&unit);
	cr_assert(first && unit.kind == STATS_NIC && !strcmp(unit.name, "net0"));
	nd_open(0);
	nd_send_frame();
	cr_assert_eq(fake_worker_run_until(worker, nd_wire_has, NULL), 0);
	cr_assert_eq(send(wire, frame, sizeof(frame), MSG_NOSIGNAL), (ssize_t)sizeof(frame));
	nd_wait(FAKE_NIC_FRAMES);
	cr_assert_eq(read_unit(&unit), first);
	cr_assert(unit.count[STATS_NIC_TX_PACKETS] == 1 && unit.count[STATS_NIC_TX_BYTES] == 60);
	cr_assert(unit.count[STATS_NIC_RX_PACKETS] == 1 && unit.count[STATS_NIC_RX_BYTES] == 60);
	cr_assert_eq(unit.class[STATS_NIC_TRANSFER].reqs, 1);
	cr_assert_eq(nd_detach(1, 0), 0);
	cr_assert_eq(read_unit(&unit), 0);
	cr_assert_eq(nd_attach("net0", 1), 0);
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
	nd_start(&settings, fds, nics);
}

static void take_over(size_t offer, struct fake_channel *channel)
{
	int outcome;

	fake_worker_open_begin(worker, offer, channel, true, NULL, &outcome);
	cr_assert_eq(fake_worker_run_until(worker, nd_is_over, &outcome), 0);
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

	cr_assert_eq(nd_attach("net0", 1), 0);
	cr_assert_eq(nd_attach("net1", 2), 0);
	fake_channel_init(&first, &guest, 10, 0, 17);
	cr_assert_eq(fake_worker_open(worker, 0, &first), 0);
	nd_open(2);
	restart(2);
	take_over(0, &first);
	frames = nic.frames + 1;
	cr_assert_eq(send(wire, broadcast, sizeof(broadcast), MSG_NOSIGNAL), (ssize_t)sizeof(broadcast));
	late_ns = clock_now_ns() + NETD_LOOK_NS + 200 * NS_PER_MS;
	cr_assert_eq(fake_worker_run_until(worker, is_past, &late_ns), 0);
	take_over(2, &peer);
	cr_assert_eq(fake_worker_resumed(worker), 0);
	cr_assert_eq(fake_worker_run_until(worker, nd_has_frames, &frames), 0);
	fake_channel_done(&first);
}

/* News of one NIC, of which the manager is to hear, say nothing of the others. */
Test(netd, what_changes_meanwhile_does_not_hurry)
{
	uint64_t soon_ns;

	cr_assert_eq(nd_attach("net0", 1), 0);
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
	cr_assert_eq(nd_attach("net0", 1), 0);
	restart(1);
	be_patient();
	cr_assert_eq(fake_worker_resumed(worker), 0);
	wait_dropped();
}

Test(netd, an_old_worker_says_nothing)
{
	cr_assert_eq(nd_attach("net0", 1), 0);
	restart(1);
	wait_dropped();
	cr_assert_geq(clock_now_ns(), netd->patience_ns);
}
