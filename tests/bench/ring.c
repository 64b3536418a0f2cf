/* SPDX-License-Identifier: Apache-2.0 */
/* Ring put and get of 64 bytes on one core: writer and reader over the same guest pages, each packet published (or each
 * batch). */
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fd.h"
#include "bench.h"
#include "guest/ring.h"

#define RING_PAGES 33u
#define MESSAGES   400000u
#define LIMIT_NS   30.0
#define STRETCH_NS 20.0

static struct guest_mem mem;
static struct ring ring;
static struct ring_reader reader;
static struct ring_writer writer;

static int set_up(void)
{
	struct guest_range range = {.len = RING_PAGES * GUEST_PAGE_SIZE};
	int fd = fd_memfd("bench-ring", range.len);
	int r;

	if (fd < 0)
		return fd;
	guest_mem_init(&mem);
	r = guest_mem_add(&mem, 0, range.len, fd, 0);
	close(fd);
	if (r == 0)
		r = ring_map(&mem, &range, 1, &ring);
	if (r == 0)
		r = ring_reader_init(&reader, &ring, 0);
	return r < 0 ? r : ring_writer_init(&writer, &ring, 0);
}

/* Time that this thread ran: others on the same core do not count. */
static uint64_t cpu_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* *@arg: packets a batch. Return: ns a packet, or -1. */
static double put_get(void *arg)
{
	const unsigned int batch = *(const unsigned int *)arg;
	uint64_t payload[8] = {0}, buf[16], start = cpu_now_ns();
	struct ring_packet packet;

	for (unsigned int i = 0; i < MESSAGES / batch; i++) {
		for (unsigned int j = 0; j < batch; j++) {
			payload[0] = i;
			if (ring_write(&writer, VMPACKET_DATA_INBAND, 0, i, payload, sizeof(payload)) < 0)
				return -1;
		}
		if (ring_writer_commit(&writer) < 0)
			return -1;
		for (unsigned int j = 0; j < batch; j++)
			if (ring_read(&reader, buf, sizeof(buf), &packet) < 0 || packet.transaction_id != i ||
			    buf[2] != i)
				return -1;
		if (ring_reader_commit(&reader) < 0)
			return -1;
	}
	return (double)(cpu_now_ns() - start) / (MESSAGES / batch * batch);
}

static unsigned int one = 1, many = 16;

static const struct bench_case cases[] = {
	{
		.name = "ring_put_get_64",
		.unit = "ns",
		.lower_is_better = true,
		.ours = put_get,
		.peer_value = LIMIT_NS,
		.peer_name = "limit",
		.must = 1.0,
		.stretch = LIMIT_NS / STRETCH_NS,
		.arg = &one,
	},
	{
		.name = "ring_put_get_64_batch16",
		.unit = "ns",
		.lower_is_better = true,
		.ours = put_get,
		.peer_value = LIMIT_NS,
		.peer_name = "limit",
		.must = 1.0,
		.stretch = LIMIT_NS / STRETCH_NS,
		.arg = &many,
	},
};

int main(int argc, char **argv)
{
	int r;

	if (set_up() < 0)
		return 1;
	r = bench_main(argc, argv, cases, ARRAY_SIZE(cases));
	ring_unmap(&ring);
	guest_mem_done(&mem);
	return r;
}
