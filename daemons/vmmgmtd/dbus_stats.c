/* SPDX-License-Identifier: Apache-2.0 */
/* A VM's statistics as values of the bus: GetStatistics in data/org.bulkhead.VM1.xml names them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "dbus_faces.h"
#include "vsp/stats_read.h"

/* An entry of an a{sv} whose value is a container. */
struct entry {
	struct msgbus_out pair, variant, inside;
};

static void open_entry(struct msgbus_out *dict, const char *key, const char *signature, struct entry *entry)
{
	msgbus_out_open(dict, 'e', NULL, &entry->pair);
	msgbus_out_write(&entry->pair, "s", key);
	msgbus_out_open(&entry->pair, 'v', signature, &entry->variant);
	msgbus_out_open(&entry->variant, 'a', signature + 1, &entry->inside);
}

static void close_entry(struct entry *entry)
{
	msgbus_out_close(&entry->inside);
	msgbus_out_close(&entry->variant);
	msgbus_out_close(&entry->pair);
}

/* ---- requests ---- */

static void put_histogram(struct msgbus_out *dict, const uint64_t bucket[STATS_BUCKETS])
{
	struct msgbus_out row;
	struct entry entry;

	open_entry(dict, "histogram", "a(ttt)", &entry);
	for (unsigned int i = 0; i < STATS_BUCKETS; i++) {
		if (!bucket[i])
			continue;
		msgbus_out_open(&entry.inside, 'r', NULL, &row);
		msgbus_out_write(&row, "ttt", stats_bucket_from(i),
				 i + 1 < STATS_BUCKETS ? stats_bucket_from(i + 1) : UINT64_MAX, bucket[i]);
		msgbus_out_close(&row);
	}
	close_entry(&entry);
}

static void put_requests(struct msgbus_out *dict, const char *key, const struct stats_requests *requests)
{
	static const char *const parts[STATS_PARTS] = {
		[STATS_WAIT] = "wait", [STATS_BACK_END] = "backend", [STATS_COMPLETION] = "completion"};
	struct entry entry, part;
	uint64_t ns = 0;

	open_entry(dict, key, "a{sv}", &entry);
	msgbus_out_entry(&entry.inside, "reqs", "t", requests->reqs);
	msgbus_out_entry(&entry.inside, "bytes", "t", requests->bytes);
	msgbus_out_entry(&entry.inside, "errors", "t", requests->errors);
	msgbus_out_entry(&entry.inside, "timed", "t", requests->timed);
	for (unsigned int p = 0; p < STATS_PARTS; p++)
		ns += requests->ns[p];
	msgbus_out_entry(&entry.inside, "times", "t", ns);
	for (unsigned int p = 0; p < STATS_PARTS; p++) {
		open_entry(&entry.inside, parts[p], "a{sv}", &part);
		msgbus_out_entry(&part.inside, "times", "t", requests->ns[p]);
		put_histogram(&part.inside, requests->bucket[p]);
		close_entry(&part);
	}
	close_entry(&entry);
}

/* ---- disks ---- */

static const char *image_of(const struct domain *domain, const char *target)
{
	for (size_t i = 0; i < domain->disk_count; i++)
		if (!strcmp(domain->disks[i].target, target) && domain->disks[i].image)
			return domain->disks[i].image;
	return "";
}

static void put_disk(struct msgbus_out *list, const struct domain *domain, const struct stats_copy *stats,
		     const struct stats_unit_copy *unit)
{
	static const char *const classes[STATS_CLASSES] = {
		[STATS_DISK_READ] = "rd",	  [STATS_DISK_WRITE] = "wr",	[STATS_DISK_FLUSH] = "fl",
		[STATS_DISK_DISCARD] = "discard", [STATS_DISK_OTHER] = "other",
	};
	struct msgbus_out dict;

	msgbus_out_open(list, 'a', "{sv}", &dict);
	msgbus_out_entry(&dict, "name", "s", unit->name);
	msgbus_out_entry(&dict, "id", "t", unit->id);
	msgbus_out_entry(&dict, "path", "s", image_of(domain, unit->name));
	msgbus_out_entry(&dict, "queue", "u", unit->queue);
	msgbus_out_entry(&dict, "queue_peak", "u", unit->queue_peak);
	for (unsigned int c = 0; c < STATS_CLASSES; c++)
		put_requests(&dict, classes[c], &unit->class[c]);
	msgbus_out_close(&dict);
}

/* ---- NICs ---- */

/* Channels of a NIC: the primary one has its name, the others NAME.NUMBER. */
static bool is_channel_of(const char *channel, const char *nic)
{
	size_t len = strlen(nic);

	return !strncmp(channel, nic, len) && (channel[len] == '\0' || channel[len] == '.');
}

static void put_channels_of(struct msgbus_out *dict, const char *nic, const struct stats_copy *stats)
{
	uint64_t kicks = 0, interrupts = 0;

	for (size_t c = 0; c < stats->channels; c++) {
		if (!is_channel_of(stats->channel[c].name, nic))
			continue;
		kicks += stats->channel[c].kicks;
		interrupts += stats->channel[c].interrupts;
	}
	msgbus_out_entry(dict, "kicks", "t", kicks);
	msgbus_out_entry(dict, "interrupts", "t", interrupts);
}

/* Names and counters, of one way. */
struct nic_count {
	const char *name;
	enum stats_nic_count count;
};

static void put_way(struct msgbus_out *dict, const char *way, const struct nic_count *counts,
		    const struct stats_unit_copy *unit)
{
	uint64_t dropped = 0;
	struct entry entry;

	open_entry(dict, way, "a{sv}", &entry);
	for (; counts->name; counts++) {
		msgbus_out_entry(&entry.inside, counts->name, "t", unit->count[counts->count]);
		if (!strncmp(counts->name, "drop_", 5))
			dropped += unit->count[counts->count];
	}
	msgbus_out_entry(&entry.inside, "drop", "t", dropped);
	close_entry(&entry);
}

static void put_nic(struct msgbus_out *list, const struct domain *domain, const struct stats_copy *stats,
		    const struct stats_unit_copy *unit)
{
	static const struct nic_count rx[] = {
		{"pkts", STATS_NIC_RX_PACKETS},		{"bytes", STATS_NIC_RX_BYTES},
		{"errs", STATS_NIC_RX_ERRORS},		{"filtered", STATS_NIC_RX_FILTERED},
		{"drop_unready", STATS_NIC_RX_UNREADY}, {NULL}};
	static const struct nic_count tx[] = {
		{"pkts", STATS_NIC_TX_PACKETS},		{"bytes", STATS_NIC_TX_BYTES},
		{"errs", STATS_NIC_TX_ERRORS},		{"drop_unready", STATS_NIC_TX_UNREADY},
		{"drop_refused", STATS_NIC_TX_REFUSED}, {NULL}};
	struct msgbus_out dict;

	msgbus_out_open(list, 'a', "{sv}", &dict);
	msgbus_out_entry(&dict, "name", "s", unit->name);
	msgbus_out_entry(&dict, "id", "t", unit->id);
	put_way(&dict, "rx", rx, unit);
	put_way(&dict, "tx", tx, unit);
	msgbus_out_entry(&dict, "lost", "t", unit->count[STATS_NIC_LOST]);
	msgbus_out_entry(&dict, "queue", "u", unit->queue);
	msgbus_out_entry(&dict, "queue_peak", "u", unit->queue_peak);
	put_channels_of(&dict, unit->name, stats);
	put_requests(&dict, "transfers", &unit->class[STATS_NIC_TRANSFER]);
	msgbus_out_close(&dict);
}

/* ---- units ---- */

static const struct list {
	const char *key;
	enum stats_kind kind;
	void (*put)(struct msgbus_out *list, const struct domain *domain, const struct stats_copy *stats,
		    const struct stats_unit_copy *unit);
} lists[] = {{"block", STATS_DISK, put_disk}, {"net", STATS_NIC, put_nic}};

static void put_list(struct msgbus_out *dict, const struct list *list, const struct domain *domain,
		     const struct stats_copy *stats, size_t count)
{
	struct entry entry;

	open_entry(dict, list->key, "aa{sv}", &entry);
	for (size_t i = 0; i < count; i++)
		for (size_t u = 0; u < stats[i].units; u++)
			if (stats[i].unit[u].kind == list->kind)
				list->put(&entry.inside, domain, &stats[i], &stats[i].unit[u]);
	close_entry(&entry);
}

/* ---- channels ---- */

static void put_counts(struct msgbus_out *dict, const struct stats_channel_copy *channel)
{
	msgbus_out_entry(dict, "requests", "t", channel->requests);
	msgbus_out_entry(dict, "kicks", "t", channel->kicks);
	msgbus_out_entry(dict, "wakes", "t", channel->wakes);
	msgbus_out_entry(dict, "interrupts", "t", channel->interrupts);
	msgbus_out_entry(dict, "quiet", "t", channel->quiet);
}

static void add_counts(struct stats_channel_copy *sum, const struct stats_channel_copy *channel)
{
	sum->requests += channel->requests;
	sum->kicks += channel->kicks;
	sum->wakes += channel->wakes;
	sum->interrupts += channel->interrupts;
	sum->quiet += channel->quiet;
}

static void put_channels(struct msgbus_out *dict, const struct stats_copy *stats, size_t count)
{
	struct stats_channel_copy sum = {0};
	struct msgbus_out channel;
	struct entry entry;

	open_entry(dict, "channel", "aa{sv}", &entry);
	for (size_t i = 0; i < count; i++) {
		for (size_t c = 0; c < stats[i].channels; c++) {
			msgbus_out_open(&entry.inside, 'a', "{sv}", &channel);
			msgbus_out_entry(&channel, "name", "s", stats[i].channel[c].name);
			put_counts(&channel, &stats[i].channel[c]);
			msgbus_out_close(&channel);
			add_counts(&sum, &stats[i].channel[c]);
		}
	}
	close_entry(&entry);
	open_entry(dict, "vmbus", "a{sv}", &entry);
	put_counts(&entry.inside, &sum);
	close_entry(&entry);
}

/* ---- the reply ---- */

struct reply {
	struct vm *vm;
	struct msgbus_call *call;
};

static void on_stats(int error, const char *text, const struct stats_copy *stats, size_t count, void *arg)
{
	struct reply reply = *(struct reply *)arg;
	struct msgbus_out out, dict;

	free(arg);
	if (error) {
		msgbus_fail(reply.call, error, text);
		return;
	}
	msgbus_reply_begin(reply.call, &out);
	msgbus_out_open(&out, 'a', "{sv}", &dict);
	msgbus_out_entry(&dict, "time", "t", clock_now_ns());
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		put_list(&dict, &lists[i], vm_domain(reply.vm), stats, count);
	put_channels(&dict, stats, count);
	msgbus_out_close(&dict);
	msgbus_reply_end(reply.call, &out);
}

void dbus_stats_reply(struct vm *vm, struct msgbus_call *call)
{
	struct reply *reply = malloc(sizeof(*reply));

	if (!reply) {
		msgbus_fail(call, -ENOMEM, "no memory");
		return;
	}
	*reply = (struct reply){vm, call};
	vm_get_statistics(vm, on_stats, reply);
}
