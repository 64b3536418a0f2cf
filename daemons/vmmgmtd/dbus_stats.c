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

/* ---- disks ---- */

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

static const char *image_of(const struct domain *domain, const char *target)
{
	for (size_t i = 0; i < domain->disk_count; i++)
		if (!strcmp(domain->disks[i].target, target) && domain->disks[i].image)
			return domain->disks[i].image;
	return "";
}

static void put_disk(struct msgbus_out *list, const struct domain *domain, const struct stats_unit_copy *unit)
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

static void put_disks(struct msgbus_out *dict, const struct domain *domain, const struct stats_copy *stats,
		      size_t count)
{
	struct entry entry;

	open_entry(dict, "block", "aa{sv}", &entry);
	for (size_t i = 0; i < count; i++)
		for (size_t u = 0; u < stats[i].units; u++)
			if (stats[i].unit[u].kind == STATS_DISK)
				put_disk(&entry.inside, domain, &stats[i].unit[u]);
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
	put_disks(&dict, vm_domain(reply.vm), stats, count);
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
