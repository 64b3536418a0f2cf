/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/stats.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define MIB (1024.0 * 1024.0)

/* ---- from JSON ---- */

static uint64_t number(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) ? json_object_get_uint64(value) : 0;
}

static struct json_object *inside(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(object, key, &value);
	return value;
}

/* A number of a JSON object, and where it is kept. */
struct counter {
	const char *key;
	size_t at;
	bool gauge; /* it says what is now: nothing has come since before */
};

#define WAY(member) offsetof(struct stats_way, member)
static const struct counter way_counters[] = {
	{"pkts", WAY(packets), false}, {"bytes", WAY(bytes), false},	      {"errs", WAY(errors), false},
	{"drop", WAY(dropped), false}, {"drop_unready", WAY(unready), false}, {"drop_refused", WAY(refused), false},
};

#define NIC(member) offsetof(struct stats_nic, member)
static const struct counter nic_counters[] = {
	{"id", NIC(id), true},	      {"lost", NIC(lost), false},
	{"kicks", NIC(kicks), false}, {"interrupts", NIC(interrupts), false},
	{"queue", NIC(queue), true},  {"queue_peak", NIC(queue_peak), true},
};

#define BUS(member) offsetof(struct stats_reading, member)
static const struct counter bus_counters[] = {
	{"requests", BUS(requests), false},
	{"kicks", BUS(kicks), false},
	{"interrupts", BUS(interrupts), false},
};

static void take_counters(struct json_object *from, const struct counter *rows, size_t count, void *ret)
{
	for (size_t i = 0; i < count; i++)
		*(uint64_t *)((char *)ret + rows[i].at) = number(from, rows[i].key);
}

/* So often more; bars stay sorted. */
static void add_bar(struct stats_histogram *histogram, const struct stats_bar *bar)
{
	size_t i = 0;

	while (i < histogram->count && histogram->bar[i].from < bar->from)
		i++;
	if (i < histogram->count && histogram->bar[i].from == bar->from) {
		histogram->bar[i].times += bar->times;
		return;
	}
	if (histogram->count == STATS_BUCKETS_MAX)
		return;
	memmove(&histogram->bar[i + 1], &histogram->bar[i], (histogram->count - i) * sizeof(*bar));
	histogram->bar[i] = *bar;
	histogram->count++;
}

static void add_histogram(struct stats_histogram *histogram, struct json_object *bars)
{
	size_t count = json_object_is_type(bars, json_type_array) ? json_object_array_length(bars) : 0;

	for (size_t i = 0; i < count; i++) {
		struct json_object *row = json_object_array_get_idx(bars, i);
		struct stats_bar bar;

		if (!json_object_is_type(row, json_type_array) || json_object_array_length(row) != 3)
			continue;
		bar.from = json_object_get_uint64(json_object_array_get_idx(row, 0));
		bar.to = json_object_get_uint64(json_object_array_get_idx(row, 1));
		bar.times = json_object_get_uint64(json_object_array_get_idx(row, 2));
		add_bar(histogram, &bar);
	}
}

static void add_parts(struct stats_histogram part[STATS_PARTS_SHOWN], struct json_object *class)
{
	static const char *const parts[STATS_PARTS_SHOWN] = {"wait", "backend", "completion"};

	for (size_t p = 0; p < STATS_PARTS_SHOWN; p++)
		add_histogram(&part[p], inside(inside(class, parts[p]), "histogram"));
}

static void add_class(struct stats_disk *disk, struct json_object *class, uint64_t *reqs, uint64_t *bytes)
{
	*reqs = number(class, "reqs");
	if (bytes)
		*bytes = number(class, "bytes");
	disk->errors += number(class, "errors");
	add_parts(disk->part, class);
}

static void take_name(struct json_object *from, char *ret, size_t size)
{
	struct json_object *name = inside(from, "name");

	snprintf(ret, size, "%s", name ? json_object_get_string(name) : "?");
}

static void take_disk(struct json_object *from, struct stats_disk *ret)
{
	take_name(from, ret->name, sizeof(ret->name));
	ret->id = number(from, "id");
	ret->queue = number(from, "queue");
	ret->queue_peak = number(from, "queue_peak");
	add_class(ret, inside(from, "rd"), &ret->reads, &ret->read_bytes);
	add_class(ret, inside(from, "wr"), &ret->writes, &ret->written_bytes);
	add_class(ret, inside(from, "fl"), &ret->flushes, NULL);
	add_class(ret, inside(from, "discard"), &ret->discards, NULL);
}

void stats_nic_take(struct json_object *from, struct stats_nic *ret)
{
	*ret = (struct stats_nic){0};
	take_name(from, ret->name, sizeof(ret->name));
	take_counters(from, nic_counters, ARRAY_SIZE(nic_counters), ret);
	take_counters(inside(from, "rx"), way_counters, ARRAY_SIZE(way_counters), &ret->rx);
	take_counters(inside(from, "tx"), way_counters, ARRAY_SIZE(way_counters), &ret->tx);
	add_parts(ret->part, inside(from, "transfers"));
}

static size_t length(struct json_object *list, size_t max)
{
	size_t count = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

	return MIN(count, max);
}

int stats_reading_take(struct json_object *from, struct stats_reading *ret)
{
	struct json_object *disks = inside(from, "block"), *nics = inside(from, "net");
	struct stats_reading reading = {
		.time_ns = number(from, "time"),
		.disks = length(disks, STATS_DISKS_MAX),
		.nics = length(nics, STATS_NICS_MAX),
	};

	take_counters(inside(from, "vmbus"), bus_counters, ARRAY_SIZE(bus_counters), &reading);
	reading.disk = calloc(reading.disks + 1, sizeof(*reading.disk));
	reading.nic = calloc(reading.nics + 1, sizeof(*reading.nic));
	if (!reading.disk || !reading.nic) {
		stats_reading_done(&reading);
		return -ENOMEM;
	}
	for (size_t i = 0; i < reading.disks; i++)
		take_disk(json_object_array_get_idx(disks, i), &reading.disk[i]);
	for (size_t i = 0; i < reading.nics; i++)
		stats_nic_take(json_object_array_get_idx(nics, i), &reading.nic[i]);
	*ret = reading;
	return 0;
}

void stats_reading_done(struct stats_reading *reading)
{
	free(reading->disk);
	free(reading->nic);
	*reading = (struct stats_reading){0};
}

/* ---- differences ---- */

/* Counters only grow; who finds one that does not has read two histories. */
static void take_off(uint64_t *now, uint64_t before)
{
	*now = *now >= before ? *now - before : *now;
}

static void counters_since(const struct counter *rows, size_t count, void *now, const void *before)
{
	for (size_t i = 0; i < count; i++)
		if (!rows[i].gauge)
			take_off((uint64_t *)((char *)now + rows[i].at),
				 *(const uint64_t *)((const char *)before + rows[i].at));
}

static void histogram_since(struct stats_histogram *now, const struct stats_histogram *before)
{
	for (size_t i = 0, j = 0; i < now->count; i++) {
		while (j < before->count && before->bar[j].from < now->bar[i].from)
			j++;
		if (j < before->count && before->bar[j].from == now->bar[i].from)
			take_off(&now->bar[i].times, before->bar[j].times);
	}
}

static void parts_since(struct stats_histogram now[STATS_PARTS_SHOWN],
			const struct stats_histogram before[STATS_PARTS_SHOWN])
{
	for (size_t p = 0; p < STATS_PARTS_SHOWN; p++)
		histogram_since(&now[p], &before[p]);
}

static void disk_since(struct stats_disk *now, const struct stats_disk *before)
{
	take_off(&now->reads, before->reads);
	take_off(&now->read_bytes, before->read_bytes);
	take_off(&now->writes, before->writes);
	take_off(&now->written_bytes, before->written_bytes);
	take_off(&now->flushes, before->flushes);
	take_off(&now->discards, before->discards);
	take_off(&now->errors, before->errors);
	parts_since(now->part, before->part);
}

static void nic_since(struct stats_nic *now, const struct stats_nic *before)
{
	counters_since(nic_counters, ARRAY_SIZE(nic_counters), now, before);
	counters_since(way_counters, ARRAY_SIZE(way_counters), &now->rx, &before->rx);
	counters_since(way_counters, ARRAY_SIZE(way_counters), &now->tx, &before->tx);
	parts_since(now->part, before->part);
}

void stats_reading_since(struct stats_reading *reading, const struct stats_reading *before)
{
	counters_since(bus_counters, ARRAY_SIZE(bus_counters), reading, before);
	for (size_t i = 0; i < reading->disks; i++)
		for (size_t j = 0; j < before->disks; j++)
			if (before->disk[j].id == reading->disk[i].id)
				disk_since(&reading->disk[i], &before->disk[j]);
	for (size_t i = 0; i < reading->nics; i++)
		for (size_t j = 0; j < before->nics; j++)
			if (before->nic[j].id == reading->nic[i].id)
				nic_since(&reading->nic[i], &before->nic[j]);
}

/* ---- percentiles ---- */

uint64_t stats_percentile(const struct stats_histogram *histogram, unsigned int percent)
{
	double all = 0, below = 0, rank;

	for (size_t i = 0; i < histogram->count; i++)
		all += (double)histogram->bar[i].times;
	rank = all * percent / 100;
	for (size_t i = 0; i < histogram->count; i++) {
		const struct stats_bar *bar = &histogram->bar[i];

		if (bar->times == 0 || below + (double)bar->times < rank) {
			below += (double)bar->times;
			continue;
		}
		/* the last one has no end */
		if (bar->to <= bar->from || bar->to == UINT64_MAX)
			return bar->from;
		return bar->from + (uint64_t)((double)(bar->to - bar->from) * (rank - below) / (double)bar->times);
	}
	return 0;
}

void stats_put_time(char *ret, size_t size, uint64_t ns)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = {{"s", 1e9}, {"ms", 1e6}, {"us", 1e3}};

	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		double value = (double)ns / units[i].ns;

		if (value < 1)
			continue;
		snprintf(ret, size, "%.*f%s", value < 10 ? 2 : value < 100 ? 1 : 0, value, units[i].unit);
		return;
	}
	snprintf(ret, size, "%" PRIu64 "ns", ns);
}

/* ---- tables ---- */

static void print_parts(FILE *out, const struct stats_histogram part[STATS_PARTS_SHOWN])
{
	for (size_t p = 0; p < STATS_PARTS_SHOWN; p++) {
		char p50[16], p99[16], both[33];

		stats_put_time(p50, sizeof(p50), stats_percentile(&part[p], 50));
		stats_put_time(p99, sizeof(p99), stats_percentile(&part[p], 99));
		snprintf(both, sizeof(both), "%s/%s", p50, p99);
		fprintf(out, " %18s", both);
	}
	fputc('\n', out);
}

#define PARTS_HEAD "WAIT p50/p99", "BACKEND p50/p99", "COMPLETION p50/p99"

static void print_bus(FILE *out, const struct stats_reading *reading)
{
	double requests = reading->requests ? (double)reading->requests : 1;

	fprintf(out, "vmbus: %" PRIu64 " requests, %" PRIu64 " kicks (%.3f each), %" PRIu64 " interrupts (%.3f each)\n",
		reading->requests, reading->kicks, (double)reading->kicks / requests, reading->interrupts,
		(double)reading->interrupts / requests);
}

/* @seconds: that passed. */
static void print_nics(FILE *out, const struct stats_reading *reading, double seconds, bool rates)
{
	if (!reading->nics)
		return;
	fprintf(out, "%-8s %10s %10s %10s %10s %7s %7s %9s %9s %9s %18s %18s %18s\n", "NIC", rates ? "RX/s" : "RX",
		rates ? "MiB/s" : "MiB", rates ? "TX/s" : "TX", rates ? "MiB/s" : "MiB", "ERRORS", "DROPPED", "QUEUE",
		"KICKS/PKT", "IRQS/PKT", PARTS_HEAD);
	for (size_t i = 0; i < reading->nics; i++) {
		const struct stats_nic *nic = &reading->nic[i];
		double packets = (double)MAX(nic->rx.packets + nic->tx.packets, UINT64_C(1));
		char queue[48];

		snprintf(queue, sizeof(queue), "%" PRIu64 "/%" PRIu64, nic->queue, nic->queue_peak);
		fprintf(out, "%-8s %10.0f %10.1f %10.0f %10.1f %7" PRIu64 " %7" PRIu64 " %9s %9.3f %9.3f", nic->name,
			(double)nic->rx.packets / seconds, (double)nic->rx.bytes / seconds / MIB,
			(double)nic->tx.packets / seconds, (double)nic->tx.bytes / seconds / MIB,
			nic->rx.errors + nic->tx.errors, nic->rx.dropped + nic->tx.dropped + nic->lost, queue,
			(double)nic->kicks / packets, (double)nic->interrupts / packets);
		print_parts(out, nic->part);
	}
}

static void print_way(FILE *out, const char *name, const struct stats_way *way)
{
	fprintf(out, "  %s %" PRIu64 " packets, %.1f MiB", name, way->packets, (double)way->bytes / MIB);
	if (way->errors)
		fprintf(out, ", %" PRIu64 " errors", way->errors);
	if (way->dropped)
		fprintf(out, ", %" PRIu64 " dropped:", way->dropped);
	if (way->unready)
		fprintf(out, " %" PRIu64 " without a link", way->unready);
	if (way->refused)
		fprintf(out, " %" PRIu64 " of others' addresses", way->refused);
	fputc('\n', out);
}

void stats_nic_print(FILE *out, const struct stats_nic *nic)
{
	print_way(out, "rx", &nic->rx);
	print_way(out, "tx", &nic->tx);
	if (nic->lost)
		fprintf(out, "  %" PRIu64 " lost, perhaps, when a vsp-netd died\n", nic->lost);
}

static void print_disk_totals(FILE *out, const struct stats_reading *reading)
{
	fprintf(out, "%-8s %10s %10s %10s %10s %8s %8s %7s %9s %18s %18s %18s\n", "DISK", "READS", "MiB", "WRITES",
		"MiB", "FLUSHES", "DISCARDS", "ERRORS", "QUEUE", PARTS_HEAD);
	for (size_t i = 0; i < reading->disks; i++) {
		const struct stats_disk *disk = &reading->disk[i];
		char queue[48];

		snprintf(queue, sizeof(queue), "%" PRIu64 "/%" PRIu64, disk->queue, disk->queue_peak);
		fprintf(out,
			"%-8s %10" PRIu64 " %10.1f %10" PRIu64 " %10.1f %8" PRIu64 " %8" PRIu64 " %7" PRIu64 " %9s",
			disk->name, disk->reads, (double)disk->read_bytes / MIB, disk->writes,
			(double)disk->written_bytes / MIB, disk->flushes, disk->discards, disk->errors, queue);
		print_parts(out, disk->part);
	}
}

static void print_disk_rates(FILE *out, const struct stats_reading *reading, double seconds)
{
	fprintf(out, "%-8s %9s %9s %9s %9s %8s %8s %7s %6s %18s %18s %18s\n", "DISK", "READS/s", "MiB/s", "WRITES/s",
		"MiB/s", "FLUSH/s", "DISCD/s", "ERRORS", "QUEUE", PARTS_HEAD);
	for (size_t i = 0; i < reading->disks; i++) {
		const struct stats_disk *disk = &reading->disk[i];

		fprintf(out, "%-8s %9.0f %9.1f %9.0f %9.1f %8.0f %8.0f %7" PRIu64 " %6" PRIu64, disk->name,
			(double)disk->reads / seconds, (double)disk->read_bytes / seconds / MIB,
			(double)disk->writes / seconds, (double)disk->written_bytes / seconds / MIB,
			(double)disk->flushes / seconds, (double)disk->discards / seconds, disk->errors, disk->queue);
		print_parts(out, disk->part);
	}
}

void stats_print_totals(FILE *out, const struct stats_reading *reading)
{
	if (reading->disks || !reading->nics)
		print_disk_totals(out, reading);
	print_nics(out, reading, 1, false);
	print_bus(out, reading);
}

void stats_print_rates(FILE *out, const struct stats_reading *reading, double seconds)
{
	if (reading->disks || !reading->nics)
		print_disk_rates(out, reading, seconds);
	print_nics(out, reading, seconds, true);
	print_bus(out, reading);
}
