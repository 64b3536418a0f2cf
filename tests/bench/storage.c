/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsp-storaged against qemu-storage-daemon's vhost-user-blk (if it is installed) and against io_uring alone: CPU time
 * of the back end's process for each read, latency, interrupts and kicks, memory. This process is guest and worker;
 * every read's data is checked. Run it from a folder on ext4, with a release build.
 *
 * Limits: two processes of one program differ by some per cent here, now more, now less: a cost of the state block
 * below that does not show.
 */
#include "storage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "bench.h"
#include "process.h"

#define PIECES	    (STORAGE_IMAGE_LEN / STORAGE_PIECE)
#define WINDOW_NS   (350 * NS_PER_MS)
#define SAMPLES_MAX (1u << 19)
#define LUNS	    33u /* of the instance whose memory is compared with that of one LUN */
#define OURS	    "../../daemons/vsp-storaged/vsp-storaged"
#define NO_BLOCK    "vsp-storaged-none"

enum target_id {
	TARGET_OURS,
	TARGET_OURS_DIRECT,
	TARGET_OURS_OWN,
	TARGET_OURS_SPIN,
	TARGET_NO_BLOCK,
	TARGET_QSD,
	TARGET_QSD_DIRECT,
	TARGET_QSD_OWN,
	TARGET_QSD_SPIN,
	TARGET_FLOOR,
	TARGETS,
};

enum metric {
	METRIC_CPU, /* us of the back end for each read */
	METRIC_P50, /* us from asking to the answer */
	METRIC_WALL,
	METRIC_OBSERVED,   /* the time that the statistics have of what the guest sees */
	METRIC_INTERRUPTS, /* for each read */
	METRIC_KICKS,
};

struct load {
	enum target_id ours, peer;
	enum metric metric;
	unsigned int depth;
	uint32_t len;
	bool sequential;
};

static struct storage_target *targets[TARGETS];
static int image = -1, image_direct = -1;
static uint32_t seed = 1;
static uint32_t *samples; /* ns */
static size_t sample_count;

void storage_pin_guest(enum storage_mode mode)
{
	process_pin(mode == STORAGE_EVENTS ? 1 : 0);
}

void storage_pin_service(enum storage_mode mode)
{
	(void)mode;
	process_pin(1);
}

static int make_image(void)
{
	char path[] = "bench-storage-XXXXXX";
	uint32_t piece[STORAGE_PIECE / 4] = {0};

	image = mkostemp(path, O_CLOEXEC);
	if (image < 0)
		return -errno;
	image_direct = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	unlink(path);
	for (uint32_t i = 0; i < PIECES; i++) {
		piece[0] = i;
		if (pwrite(image, piece, STORAGE_PIECE, (off_t)i * STORAGE_PIECE) != STORAGE_PIECE)
			return -EIO;
	}
	return fdatasync(image) < 0 ? -errno : 0;
}

/* ---- targets ---- */

static int start_ours(enum target_id id, int fd, enum storage_mode mode, const char *program)
{
	struct storage_ours how = {
		.program = program, .number = (uint8_t)(id + 1), .mode = mode, .images = &fd, .luns = 1};

	return storage_ours_start(&how, &targets[id]);
}

/* A target is started when it is first measured. */
static int start(enum target_id id)
{
	switch (id) {
	case TARGET_OURS:
		return start_ours(id, image, STORAGE_EVENTS, OURS);
	case TARGET_OURS_DIRECT:
		return start_ours(id, image_direct, STORAGE_EVENTS, OURS);
	case TARGET_OURS_OWN:
		return start_ours(id, image, STORAGE_EVENTS_OWN, OURS);
	case TARGET_OURS_SPIN:
		return start_ours(id, image, STORAGE_SPIN, OURS);
	case TARGET_NO_BLOCK:
		return start_ours(id, image, STORAGE_EVENTS, NO_BLOCK);
	case TARGET_QSD:
		return storage_qsd_start(image, false, STORAGE_EVENTS, &targets[id]);
	case TARGET_QSD_DIRECT:
		return storage_qsd_start(image, true, STORAGE_EVENTS, &targets[id]);
	case TARGET_QSD_OWN:
		return storage_qsd_start(image, false, STORAGE_EVENTS_OWN, &targets[id]);
	case TARGET_QSD_SPIN:
		return storage_qsd_start(image, false, STORAGE_SPIN, &targets[id]);
	default:
		return storage_floor_start(image, &targets[id]);
	}
}

static void stop_all(void)
{
	for (size_t i = 0; i < TARGETS; i++)
		if (targets[i])
			targets[i]->ops->stop(targets[i]);
}

/* ---- one measurement ---- */

/* Reads under way. */
struct run {
	struct storage_target *target;
	const struct load *load;
	uint32_t piece[STORAGE_DEPTH_MAX]; /* the first that the slot reads */
	uint64_t since[STORAGE_DEPTH_MAX];
	uint32_t next; /* sequential */
};

static uint32_t pick(struct run *run)
{
	uint32_t step = run->load->len / STORAGE_PIECE;

	if (run->load->sequential) {
		run->next = (run->next + step) % PIECES;
		return run->next;
	}
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % PIECES / step * step;
}

static int ask(struct run *run, unsigned int slot)
{
	run->piece[slot] = pick(run);
	run->since[slot] = clock_now_ns();
	return run->target->ops->put(run->target, slot, (uint64_t)run->piece[slot] * STORAGE_PIECE, run->load->len);
}

/* Whether the slot holds what it asked for; what it holds is spoilt, so that a read left out shows. */
static bool good(const struct run *run, unsigned int slot)
{
	uint8_t *at = run->target->area + (size_t)slot * run->load->len;

	for (uint32_t i = 0; i < run->load->len / STORAGE_PIECE; i++, at += STORAGE_PIECE) {
		if (get_le32(at) != run->piece[slot] + i)
			return false;
		put_le32(at, UINT32_MAX);
	}
	return true;
}

/* All answers that are there; ask again if @more. Return: how many; -1. */
static int turn(struct run *run, bool more)
{
	int slot, taken = 0;

	while ((slot = run->target->ops->get(run->target)) >= 0) {
		if (sample_count < SAMPLES_MAX)
			samples[sample_count++] = (uint32_t)(clock_now_ns() - run->since[slot]);
		if (!good(run, (unsigned int)slot) || (more && ask(run, (unsigned int)slot) < 0))
			return -1;
		taken++;
	}
	return slot == -EAGAIN ? taken : -1;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static double p50_us(void)
{
	qsort(samples, sample_count, sizeof(*samples), compare);
	return sample_count ? (double)samples[sample_count / 2] / 1000 : -1;
}

static uint64_t sampled_ns(void)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < sample_count; i++)
		sum += samples[i];
	return sum;
}

/* Return: reads done within the window; 0: it failed. */
static unsigned long run_window(struct run *run)
{
	uint64_t end = clock_now_ns() + WINDOW_NS;
	unsigned long done = 0, flying = run->load->depth;

	sample_count = 0;
	for (unsigned int i = 0; i < run->load->depth; i++)
		if (ask(run, i) < 0)
			return 0;
	while (flying > 0) {
		bool more = clock_now_ns() < end;
		int n;

		if (run->target->ops->wait(run->target) < 0)
			return 0;
		n = turn(run, more);
		if (n < 0)
			return 0;
		done += (unsigned long)n;
		flying -= more ? 0 : (unsigned long)n;
	}
	return done;
}

static double measure(const struct load *load, enum target_id id)
{
	struct run run = {.load = load};
	double cpu, wall;
	uint64_t interrupts, kicks, observed;
	unsigned long done;
	int r = targets[id] ? 0 : start(id);

	if (r < 0) {
		fprintf(stderr, "storage: target %u: %s\n", id, strerror(-r));
		return -1;
	}
	run.target = targets[id];
	cpu = process_seconds(run.target->clock);
	wall = process_seconds(CLOCK_MONOTONIC);
	interrupts = run.target->interrupts;
	kicks = run.target->kicks;
	observed = load->metric == METRIC_OBSERVED ? storage_ours_observed(run.target) : 0;
	storage_pin_guest(run.target->mode);
	done = run_window(&run);
	if (done == 0)
		return -1;
	switch (load->metric) {
	case METRIC_CPU:
		return (process_seconds(run.target->clock) - cpu) * 1e6 / (double)done;
	case METRIC_P50:
		return p50_us();
	case METRIC_WALL:
		return (process_seconds(CLOCK_MONOTONIC) - wall) * 1e6 / (double)done;
	case METRIC_OBSERVED:
		return (double)(storage_ours_observed(run.target) - observed) / (double)sampled_ns();
	case METRIC_INTERRUPTS:
		return (double)(run.target->interrupts - interrupts) / (double)done;
	default:
		return (double)(run.target->kicks - kicks) / (double)done;
	}
}

static double ours(void *arg)
{
	const struct load *load = arg;

	return measure(load, load->ours);
}

static double peer(void *arg)
{
	const struct load *load = arg;

	return measure(load, load->peer);
}

/* ---- memory ---- */

/* KiB for each LUN but the first. */
static double lun_memory(void *arg)
{
	int images[LUNS];
	double kib[2] = {-1, -1};

	(void)arg;
	for (size_t i = 0; i < LUNS; i++)
		images[i] = image;
	for (size_t i = 0; i < 2; i++) {
		struct storage_ours how = {
			.program = OURS, .number = (uint8_t)(100 + i), .images = images, .luns = i ? LUNS : 1};
		struct storage_target *target;

		if (storage_ours_start(&how, &target) < 0)
			return -1;
		kib[i] = storage_ours_private(target);
		target->ops->stop(target);
		if (kib[i] < 0)
			return -1;
	}
	return MAX(kib[1] - kib[0], 1.0) / (LUNS - 1);
}

/* ---- the program ---- */

#define QD32(target, against, what)                                                                                    \
	&(struct load)                                                                                                 \
	{                                                                                                              \
		TARGET_##target, TARGET_##against, METRIC_##what, 32, 4096, false                                      \
	}
#define QD8(target, against, what)                                                                                     \
	&(struct load)                                                                                                 \
	{                                                                                                              \
		TARGET_##target, TARGET_##against, METRIC_##what, 8, 4096, false                                       \
	}
#define QD1(target, against, what)                                                                                     \
	&(struct load)                                                                                                 \
	{                                                                                                              \
		TARGET_##target, TARGET_##against, METRIC_##what, 1, 4096, false                                       \
	}
#define SEQ(target, against, what)                                                                                     \
	&(struct load)                                                                                                 \
	{                                                                                                              \
		TARGET_##target, TARGET_##against, METRIC_##what, 8, 131072, true                                      \
	}
#define QSD   .lower_is_better = true, .ours = ours, .peer = peer, .peer_name = "qsd vhost-user-blk"
#define LIMIT .lower_is_better = true, .ours = ours, .peer_name = "limit"

static const struct bench_case cases[] = {
	{"read4k_qd32_cpu_floor", "us", true, ours, peer, 0, "io_uring floor", 0.50, 0.65, QD32(OURS, FLOOR, CPU)},
	{"read4k_qd32_cpu", "us", QSD, .must = 1.6, .stretch = 2.3, .arg = QD32(OURS, QSD, CPU)},
	{"read4k_qd32_cpu_own", "us", QSD, .arg = QD32(OURS_OWN, QSD_OWN, CPU)},
	{"read4k_qd8_cpu", "us", QSD, .arg = QD8(OURS, QSD, CPU)},
	{"read4k_qd8_p50", "us", QSD, .arg = QD8(OURS, QSD, P50)},
	{"read4k_qd1_poll_p50", "us", QSD, .must = 1.5, .stretch = 2.2, .arg = QD1(OURS_SPIN, QSD_SPIN, P50)},
	{"read4k_qd1_events_p50", "us", QSD, .must = 0.95, .stretch = 1.1, .arg = QD1(OURS, QSD, P50)},
	{"read4k_qd1_events_p50_own", "us", QSD, .arg = QD1(OURS_OWN, QSD_OWN, P50)},
	{"read4k_qd1_events_cpu", "us", QSD, .arg = QD1(OURS, QSD, CPU)},
	{"seq128k_qd8_cpu", "us", QSD, .must = 1.1, .stretch = 1.3, .arg = SEQ(OURS, QSD, CPU)},
	{"direct4k_qd32_cpu", "us", QSD, .must = 1.3, .stretch = 1.55, .arg = QD32(OURS_DIRECT, QSD_DIRECT, CPU)},
	{"direct4k_qd32_wall", "us", QSD, .must = 0.95, .stretch = 1.05, .arg = QD32(OURS_DIRECT, QSD_DIRECT, WALL)},
	{"direct4k_qd32_p50", "us", QSD, .must = 1 / 1.15, .stretch = 1.0, .arg = QD32(OURS_DIRECT, QSD_DIRECT, P50)},
	{"interrupts_qd32", "per I/O", LIMIT, .peer_value = 0.10, .must = 1.0, .stretch = 0.10 / 0.035,
	 .arg = QD32(OURS, OURS, INTERRUPTS)},
	{"kicks_qd32", "per I/O", LIMIT, .peer_value = 0.10, .must = 1.0, .stretch = 0.10 / 0.035,
	 .arg = QD32(OURS, OURS, KICKS)},
	{"direct_interrupts_qd32", "per I/O", LIMIT, .peer_value = 0.10, .must = 1.0,
	 .arg = QD32(OURS_DIRECT, OURS_DIRECT, INTERRUPTS)},
	{"direct_kicks_qd32", "per I/O", LIMIT, .peer_value = 0.10, .must = 1.0,
	 .arg = QD32(OURS_DIRECT, OURS_DIRECT, KICKS)},
	{"observed_qd1_poll", "of the guest's time", .ours = ours, .peer_value = 1.0, .peer_name = "all of it",
	 .arg = QD1(OURS_SPIN, OURS_SPIN, OBSERVED)},
	{"observed_qd32_poll", "of the guest's time", .ours = ours, .peer_value = 1.0, .peer_name = "all of it",
	 .arg = QD32(OURS_SPIN, OURS_SPIN, OBSERVED)},
	{"observed_qd32", "of the guest's time", .ours = ours, .peer_value = 1.0, .peer_name = "all of it",
	 .arg = QD32(OURS, OURS, OBSERVED)},
	{"observed_direct_qd32", "of the guest's time", .ours = ours, .peer_value = 1.0, .peer_name = "all of it",
	 .arg = QD32(OURS_DIRECT, OURS_DIRECT, OBSERVED)},
	{"state_block_cpu", "us", true, ours, peer, 0, "no state block", 1 / 1.05, 0, QD32(OURS, NO_BLOCK, CPU)},
	{"lun_memory", "KiB", true, lun_memory, NULL, 200, "limit", 1.0, 0, NULL},
};

/* Those whose peer is installed. Return: how many are in @ret. */
static size_t possible(struct bench_case *ret)
{
	bool have_qsd = storage_qsd_installed();
	size_t n = 0;

	if (!have_qsd)
		fprintf(stderr,
			"note: qemu-storage-daemon (package qemu-system-common) is not installed: no comparison "
			"with it\n");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (have_qsd || strncmp(cases[i].peer_name, "qsd", 3) != 0)
			ret[n++] = cases[i];
	return n;
}

int main(int argc, char **argv)
{
	struct bench_case list[ARRAY_SIZE(cases)];
	int r;

	samples = malloc(SAMPLES_MAX * sizeof(*samples));
	r = samples ? make_image() : -ENOMEM;
	if (r < 0)
		fprintf(stderr, "storage: %s\n", strerror(-r));
	else
		r = bench_main(argc, argv, list, possible(list));
	stop_all();
	free(samples);
	return r < 0 ? 1 : r;
}
