/* SPDX-License-Identifier: Apache-2.0 */
/* A VM's statistics (GetStatistics, as JSON) for people: what has come between two readings, rates, percentiles. */
#ifndef CLI_STATS_H
#define CLI_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/json.h"

#define STATS_BUCKETS_MAX 256u
#define STATS_DISKS_MAX	  256u
#define STATS_NICS_MAX	  256u

/* How often a time was at least from[i] and less than to[i] nanoseconds; sorted. */
struct stats_histogram {
	size_t count;
	struct stats_bar {
		uint64_t from, to, times;
	} bar[STATS_BUCKETS_MAX];
};

enum { STATS_PART_WAIT, STATS_PART_BACKEND, STATS_PART_COMPLETION, STATS_PARTS_SHOWN };

struct stats_disk {
	char name[48];
	uint64_t id;
	uint64_t reads, read_bytes, writes, written_bytes, flushes, discards, errors;
	uint64_t queue, queue_peak;			/* now */
	struct stats_histogram part[STATS_PARTS_SHOWN]; /* of reads, writes, flushes, discards */
};

/* Frames one way. */
struct stats_way {
	uint64_t packets, bytes, errors, dropped;
	uint64_t unready, refused; /* of those dropped */
};

struct stats_nic {
	char name[48];
	uint64_t id;
	struct stats_way rx, tx; /* to the guest; of the guest */
	uint64_t lost, kicks, interrupts;
	uint64_t queue, queue_peak;			/* now */
	struct stats_histogram part[STATS_PARTS_SHOWN]; /* of transfers */
};

/* One reading. */
struct stats_reading {
	uint64_t time_ns;
	uint64_t requests, kicks, interrupts;
	size_t disks;
	struct stats_disk *disk; /* heap */
	size_t nics;
	struct stats_nic *nic; /* heap */
};

/** stats_reading_take - from the JSON of a GetStatistics reply; what is missing there is 0. Return: 0 or -ENOMEM. */
int stats_reading_take(struct json_object *from, struct stats_reading *ret);
void stats_reading_done(struct stats_reading *reading);

/** stats_nic_take - one of the list "net". */
void stats_nic_take(struct json_object *from, struct stats_nic *ret);
/** stats_nic_print - a line for each way, and what was dropped on it and why. */
void stats_nic_print(FILE *out, const struct stats_nic *nic);

/** stats_reading_since - what has come to @reading since @before; what was not there then counts whole. */
void stats_reading_since(struct stats_reading *reading, const struct stats_reading *before);

/** stats_percentile - the time in nanoseconds that @percent per cent stayed below; 0 if there are none. */
uint64_t stats_percentile(const struct stats_histogram *histogram, unsigned int percent);

/** stats_put_time - "870ns", "12.5us", "3.40ms", "1.20s". */
void stats_put_time(char *ret, size_t size, uint64_t ns);

/** stats_print_totals, stats_print_rates - a line for each disk, one for each NIC, and one for the bus. @seconds: that
 * passed. */
void stats_print_totals(FILE *out, const struct stats_reading *reading);
void stats_print_rates(FILE *out, const struct stats_reading *reading, double seconds);

#endif
