/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/fd.h"
#include "fake_guest.h"
#include "guest/channel.h"

static struct fake_guest guest;
static struct fake_channel peer;
static struct guest_mem mem;
static struct signal_map cells;
static struct channel channel;
static struct guest_range range;

static struct channel_params params(void)
{
	range = (struct guest_range){peer.ring_gpa, 2 * 4 * 4096};
	return (struct channel_params){
		.ring = &range,
		.ring_ranges = 1,
		.downstream_page = 4,
		.relid = 67,
		.target_vp = 0,
		.kick_fd = fd_dup(peer.kick_fd),
		.irq_fd = fd_dup(peer.irq_fd),
	};
}

static void set_up(void)
{
	struct channel_params p;

	fake_guest_init(&guest, 1u << 20, 2);
	fake_channel_init(&peer, &guest, 67, 0, 4);
	fake_guest_map(&guest, &mem);
	cr_assert_eq(signal_map_init(&cells, guest.cells_fd), 0);
	p = params();
	cr_assert_eq(channel_init(&channel, &mem, &cells, &p), 0);
}

static void tear_down(void)
{
	channel_done(&channel);
	signal_map_done(&cells);
	guest_mem_done(&mem);
	fake_channel_done(&peer);
	fake_guest_done(&guest);
}

TestSuite(channel, .init = set_up, .fini = tear_down);

Test(channel, signals_the_vcpu_that_it_targets)
{
	cr_assert_eq(ring_write(&channel.out, 11, 0, 1, "x", 1), 0);
	cr_assert_eq(channel_commit(&channel), 0);
	cr_assert(fake_channel_irq(&peer, 0));
	cr_assert_not(fake_channel_take_flag(&peer, 1));
	cr_assert(fake_channel_take_flag(&peer, 0));
	cr_assert_eq(channel_retarget(&channel, 1), 0);
	channel_signal(&channel);
	cr_assert(fake_channel_take_flag(&peer, 1));
	cr_assert_eq(channel_retarget(&channel, 2), -EINVAL);
}

Test(channel, fires_though_the_flag_is_set)
{
	channel_signal(&channel);
	cr_assert(fake_channel_irq(&peer, 0));
	channel_signal(&channel);
	cr_assert(fake_channel_irq(&peer, 0));
}

Test(channel, nothing_without_an_event_page)
{
	atomic_store(&guest.cells->cell[0].flags_gpa, SIGNAL_CELL_NONE);
	channel_signal(&channel);
	cr_assert_not(fake_channel_irq(&peer, 0));
	atomic_store(&guest.cells->cell[0].flags_gpa, UINT64_C(1) << 40);
	channel_signal(&channel);
	cr_assert_not(fake_channel_irq(&peer, 0));
	atomic_store(&guest.cells->cell[0].flags_gpa, guest.flags_gpa[1]);
	channel_signal(&channel);
	cr_assert(fake_channel_take_flag(&peer, 1), "the cell is read anew each time");
}

Test(channel, kicks)
{
	struct ring_packet packet;
	uint64_t count;
	char buf[64];

	cr_assert_eq(fake_put_inband(&peer, 1, "x", 1), 0);
	channel_clear_kick(&channel);
	cr_assert_lt(read(channel.kick_fd, &count, sizeof(count)), 0, "it is taken off");
	channel_clear_kick(&channel);
	cr_assert_eq(ring_read(&channel.in, buf, sizeof(buf), &packet), 0);
	cr_assert_eq(channel_commit(&channel), 0);
	cr_assert_eq(peer.out->read_index, 32);
	cr_assert_not(fake_channel_irq(&peer, 0), "nobody waits for room");
}

Test(channel, init_refuses)
{
	struct channel_params p;
	struct channel other;

#define REFUSED(error, ...)                                                                                            \
	p = params();                                                                                                  \
	__VA_ARGS__;                                                                                                   \
	cr_assert_eq(channel_init(&other, &mem, &cells, &p), error, #__VA_ARGS__)

	REFUSED(-EINVAL, p.relid = 0);
	REFUSED(-EINVAL, p.relid = CHANNEL_RELID_MAX + 1);
	REFUSED(-EINVAL, p.target_vp = 2);
	REFUSED(-EINVAL, p.downstream_page = 0);
	REFUSED(-EINVAL, p.downstream_page = 1);
	REFUSED(-EINVAL, p.downstream_page = 7);
	REFUSED(-EINVAL, p.downstream_page = 8);
	REFUSED(-EINVAL, p.downstream_page = UINT32_MAX);
	REFUSED(-EINVAL, range.gpa = 1u << 20);
	REFUSED(-EINVAL, range.len = UINT64_MAX - 4095);
	REFUSED(-EPROTO, peer.out->read_index = 3);
	peer.out->read_index = 0;
	REFUSED(-EPROTO, peer.in->write_index = 3 * 4096);
}

Test(channel, foreign_cells)
{
	struct signal_map map;
	int fd = fd_memfd("cells", 4096);

	cr_assert_eq(signal_map_init(&map, fd), -EINVAL, "no magic");
	guest.cells->cpus = 1000;
	cr_assert_eq(signal_map_init(&map, guest.cells_fd), -EINVAL, "more cells than bytes");
	guest.cells->cpus = 2;
	close(fd);
}
