/* SPDX-License-Identifier: Apache-2.0 */
#include "vsp/stats.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "vsp/stats_read.h"

static const uint8_t place[STATS_PLACE_LEN] = {1, 2, 3}, other_place[STATS_PLACE_LEN] = {4};

static struct stats *fresh(void)
{
	struct stats *stats;

	cr_assert_eq(stats_new(&stats), 0);
	return stats;
}

/* As a successor finds it. */
static struct stats *again(struct stats *stats)
{
	struct stats *next;
	const char *why;
	int fd = fd_dup(stats->fd);

	stats_free(stats);
	cr_assert_eq(stats_continue(fd, &next, &why), 0);
	close(fd);
	return next;
}

static struct stats_unit *disk(struct stats *stats)
{
	return stats_unit(stats, STATS_DISK, "sda", place, false);
}

/* ---- buckets ---- */

Test(stats, each_time_has_its_bucket)
{
	for (unsigned int i = 0; i < STATS_BUCKETS; i++) {
		cr_assert_eq(stats_bucket(stats_bucket_from(i)), i);
		cr_assert_eq(stats_bucket(stats_bucket_from(i + 1) - 1), i);
		cr_assert_lt(stats_bucket_from(i), stats_bucket_from(i + 1));
		/* none is wider than a fourth of what it begins with */
		if (i >= 4)
			cr_assert_leq(stats_bucket_from(i + 1) - stats_bucket_from(i), stats_bucket_from(i) / 4);
	}
	cr_assert_eq(stats_bucket(0), 0);
	cr_assert_eq(stats_bucket(UINT64_MAX), STATS_BUCKETS - 1);
	cr_assert_gt(stats_bucket_from(STATS_BUCKETS - 1), UINT64_C(400000000000));
}

/* ---- units ---- */

Test(stats, units_are_gone_on_with)
{
	struct stats *stats = fresh();
	struct stats_unit *unit = disk(stats);
	uint64_t id = unit->id;

	stats_add(&unit->class[STATS_DISK_READ].reqs, 5);
	stats_enter(unit);
	stats = again(stats);
	unit = disk(stats);
	cr_assert_eq(unit->id, id);
	cr_assert_eq(unit->class[STATS_DISK_READ].reqs, 5);
	/* nothing is under way any more; how much was is remembered */
	cr_assert_eq(unit->queue, 0);
	cr_assert_eq(unit->queue_peak, 1);
	stats_free(stats);
}

Test(stats, another_disk_begins_anew)
{
	struct stats *stats = fresh();
	struct stats_unit *unit = disk(stats), *next;
	uint64_t id = unit->id;

	stats_add(&unit->class[STATS_DISK_WRITE].bytes, 4096);
	/* of another name or place, or the same once more */
	cr_assert_neq(stats_unit(stats, STATS_DISK, "sda", other_place, false), unit);
	cr_assert_neq(stats_unit(stats, STATS_DISK, "sdb", place, false), unit);
	cr_assert_neq(disk(stats), unit);
	stats_unit_end(stats, unit);
	next = stats_unit(stats, STATS_DISK, "sda", place, true);
	cr_assert_eq(next, unit); /* the same place in the block */
	cr_assert_neq(next->id, id);
	cr_assert_eq(next->class[STATS_DISK_WRITE].bytes, 0);
	/* fresh is fresh, also where one of a predecessor would do */
	stats = again(stats);
	cr_assert_neq(stats_unit(stats, STATS_DISK, "sda", place, true)->id, id);
	stats_free(stats);
}

Test(stats, what_nobody_claims_is_gone)
{
	struct stats *stats = fresh();
	struct stats_copy copy;

	disk(stats);
	stats_unit(stats, STATS_DISK, "sdb", other_place, false);
	stats = again(stats);
	stats_unit(stats, STATS_DISK, "sdb", other_place, false);
	stats_sweep(stats);
	cr_assert_eq(stats_read(stats->fd, &copy), 0);
	cr_assert_eq(copy.units, 1);
	cr_assert_str_eq(copy.unit[0].name, "sdb");
	stats_copy_done(&copy);
	stats_free(stats);
}

Test(stats, places_have_an_end)
{
	struct stats *stats = fresh();
	struct stats_unit *last = NULL;
	char name[16];

	for (unsigned int i = 0; i < STATS_UNITS_MAX; i++)
		last = stats_unit(stats, STATS_DISK, "sda", place, true);
	cr_assert_not_null(last);
	cr_assert_null(disk(stats));
	stats_unit_end(stats, last);
	cr_assert_eq(disk(stats), last);
	for (unsigned int i = 0; i < STATS_CHANNELS_MAX; i++) {
		snprintf(name, sizeof(name), "scsi%u", i);
		cr_assert_not_null(stats_channel(stats, name, i));
	}
	cr_assert_null(stats_channel(stats, "more", 0));
	stats_channel_end(&stats->block->channel[7]);
	cr_assert_eq(stats_channel(stats, "more", 0), &stats->block->channel[7]);
	cr_assert_eq(stats_channel(stats, "scsi9", 3), &stats->block->channel[9]);
	stats_free(stats);
}

/* A channel's slots are memory that stays: who comes takes the place of who has gone. */
Test(stats, places_of_channels_are_taken_again)
{
	struct stats *stats = fresh();
	struct stats_channel *first = stats_channel(stats, "net0", 0), *second = stats_channel(stats, "net1", 1);
	char name[16];

	for (unsigned int i = 2; i < 50; i++) {
		stats_channel_end(first);
		snprintf(name, sizeof(name), "net%u", i);
		cr_assert_eq(stats_channel(stats, name, i), first);
	}
	cr_assert_eq(stats_channel(stats, "net1", 0), second);
	cr_assert_eq(stats->block->header.channels, 2);
	stats_free(stats);
}

/* ---- counts ---- */

static void accept(struct stats *stats, struct stats_channel *channel, uint32_t n, uint32_t sequence)
{
	stats_slots(stats, channel)[n] = (struct stats_slot){.sequence = sequence, .seen_ns = 1};
}

Test(stats, once_each)
{
	struct stats *stats = fresh();
	struct stats_channel *channel = stats_channel(stats, "scsi0", 0);
	struct stats_account account = {.unit = disk(stats), .bytes = 512, .class = STATS_DISK_READ};
	const struct stats_class *class = &account.unit->class[STATS_DISK_READ];

	/* sequence numbers wrap */
	accept(stats, channel, 3, UINT32_MAX);
	stats_count(stats, channel, 3, UINT32_MAX, &account);
	stats_count(stats, channel, 3, UINT32_MAX, &account);
	cr_assert_eq(class->reqs, 1);
	cr_assert_eq(class->bytes, 512);
	cr_assert_eq(class->errors, 0);
	accept(stats, channel, 3, 0);
	account.error = true;
	stats_count(stats, channel, 3, 0, &account);
	stats_count(stats, channel, 3, 0, &account);
	cr_assert_eq(class->reqs, 2);
	cr_assert_eq(class->bytes, 1024);
	cr_assert_eq(class->errors, 1);
	/* a state block that begins anew numbers anew */
	stats_channel_fresh(stats, channel);
	stats_count(stats, channel, 3, 0, &account);
	cr_assert_eq(class->reqs, 3);
	stats_free(stats);
}

/* A death between any two stores of stats_count(): tests/deaths dies there, this makes what it leaves. */
Test(stats, an_intent_is_made_good)
{
	for (unsigned int half = 0; half < 3; half++) {
		struct stats *stats = fresh();
		struct stats_channel *channel = stats_channel(stats, "scsi0", 0);
		struct stats_account account = {.unit = disk(stats), .bytes = 512, .class = STATS_DISK_WRITE};
		struct stats_class *class = &account.unit->class[STATS_DISK_WRITE];

		accept(stats, channel, 5, 77);
		channel->intent.unit = 0;
		channel->intent.class = STATS_DISK_WRITE;
		channel->intent.slot = 5;
		channel->intent.sequence = 77;
		channel->intent.reqs = 11;
		channel->intent.bytes = 5632;
		channel->intent.errors = 2;
		channel->intent.state = STATS_INTENT_VALID;
		class->reqs = half > 0 ? 11 : 10;
		class->bytes = half > 1 ? 5632 : 5120;
		stats = again(stats);
		channel = stats_channel(stats, "scsi0", 0);
		account.unit = disk(stats);
		class = &account.unit->class[STATS_DISK_WRITE];
		cr_assert_eq(class->reqs, 11);
		cr_assert_eq(class->bytes, 5632);
		cr_assert_eq(class->errors, 2);
		/* others are counted before the channel is taken over, and another successor comes in between */
		stats_add(&class->reqs, 1);
		stats = again(stats);
		channel = stats_channel(stats, "scsi0", 0);
		account.unit = disk(stats);
		class = &account.unit->class[STATS_DISK_WRITE];
		cr_assert_eq(class->reqs, 12);
		stats_channel_recover(stats, channel);
		stats_count(stats, channel, 5, 77, &account);
		cr_assert_eq(class->reqs, 12);
		cr_assert_eq(channel->intent.state, STATS_INTENT_NONE);
		stats_free(stats);
	}
}

Test(stats, an_intent_is_not_trusted)
{
	struct stats *stats = fresh();
	struct stats_intent *intent = &stats_channel(stats, "scsi0", 0)->intent;

	intent->unit = UINT16_MAX;
	intent->state = STATS_INTENT_VALID;
	stats = again(stats);
	intent = &stats->block->channel[0].intent;
	intent->unit = 0;
	intent->class = UINT16_MAX;
	stats = again(stats);
	intent = &stats->block->channel[0].intent;
	intent->class = 0;
	intent->slot = UINT32_MAX;
	stats = again(stats);
	stats_channel_recover(stats, &stats->block->channel[0]);
	stats->block->header.units = UINT32_MAX;
	stats->block->header.channels = UINT32_MAX;
	stats = again(stats);
	cr_assert_not_null(disk(stats));
	cr_assert_not_null(stats_channel(stats, "scsi0", SIZE_MAX));
	stats_free(stats);
}

/* ---- times ---- */

Test(stats, times_have_parts)
{
	struct stats *stats = fresh();
	struct stats_account account = {.unit = disk(stats), .class = STATS_DISK_FLUSH};
	struct stats_class *class = &account.unit->class[STATS_DISK_FLUSH];
	struct stats_times times = {.seen_ns = 1000, .given_ns = 3000, .done_ns = 1003000};

	account.id = account.unit->id;
	stats->now_ns = 1003100;
	stats_times_add(stats, &account, &times, 1);
	cr_assert_eq(class->timed, 1);
	cr_assert_eq(class->ns[STATS_WAIT], 2000);
	cr_assert_eq(class->ns[STATS_BACK_END], 1000000);
	cr_assert_eq(class->ns[STATS_COMPLETION], 100);
	cr_assert_eq(class->bucket[STATS_WAIT][stats_bucket(2000)], 1);
	cr_assert_eq(class->bucket[STATS_BACK_END][stats_bucket(1000000)], 1);
	cr_assert_eq(class->bucket[STATS_COMPLETION][1], 1);
	stats_times_add(stats, &account, &times, 4);
	cr_assert_eq(class->timed, 5);
	cr_assert_eq(class->ns[STATS_WAIT], 10000);
	cr_assert_eq(class->bucket[STATS_WAIT][stats_bucket(2000)], 5);
	/* of one that has gone meanwhile */
	account.id++;
	stats_times_add(stats, &account, &times, 1);
	cr_assert_eq(class->timed, 5);
	stats_free(stats);
}

/* ---- what is refused ---- */

static void refused(int fd, int expected)
{
	struct stats *stats = NULL;
	struct stats_copy copy = {0};
	const char *why = NULL;

	cr_assert_eq(stats_continue(fd, &stats, &why), expected);
	cr_assert_null(stats);
	cr_assert_not_null(why);
	cr_assert_eq(stats_read(fd, &copy), expected);
	cr_assert_null(copy.unit);
}

Test(stats, other_blocks_are_refused)
{
	struct stats *stats = fresh();
	struct stats_header *header = &stats->block->header;
	int fd;

	header->version++;
	refused(stats->fd, -EPROTONOSUPPORT);
	header->version--;
	header->magic++;
	refused(stats->fd, -EPROTO);
	header->magic--;
	header->bytes++;
	refused(stats->fd, -EPROTO);
	header->bytes--;
	/* shorter than it says, in several ways */
	header->channels = 1;
	fd = fd_memfd("short", sizeof(struct stats_header));
	cr_assert_eq(pwrite(fd, header, sizeof(*header), 0), sizeof(*header));
	refused(fd, -EPROTO);
	close(fd);
	fd = fd_memfd("empty", 0);
	refused(fd, -EPROTO);
	close(fd);
	/* no memory */
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	refused(fd, -EPROTO);
	close(fd);
	stats_free(stats);
}

/* Its size can be taken from under whoever maps it. */
Test(stats, what_can_shrink_is_not_mapped)
{
	int fd = memfd_create("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct stats *stats = NULL;
	const char *why = NULL;

	cr_assert_eq(ftruncate(fd, sizeof(struct stats_block)), 0);
	cr_assert_eq(stats_continue(fd, &stats, &why), -EPROTO);
	close(fd);
}

/* ---- reading ---- */

Test(stats, a_reader_believes_nothing)
{
	struct stats *stats = fresh();
	struct stats_channel *channel = stats_channel(stats, "scsi0", 0);
	struct stats_unit *unit = disk(stats);
	struct stats_copy copy;

	memset(unit->name, 'x', sizeof(unit->name));
	unit->name[3] = '\n';
	unit->name[4] = (char)0xff;
	unit->kind = 99;
	unit->queue = UINT32_MAX;
	unit->class[0].bucket[2][STATS_BUCKETS - 1] = UINT64_MAX;
	memset(channel->name, '\x01', sizeof(channel->name));
	channel->kicks = 7;
	stats->block->header.units = UINT32_MAX;
	stats->block->header.channels = UINT32_MAX;
	cr_assert_eq(stats_read(stats->fd, &copy), 0);
	cr_assert_eq(copy.units, 1);
	cr_assert_eq(copy.channels, 1);
	cr_assert_eq(strlen(copy.unit[0].name), STATS_NAME_LEN);
	cr_assert_eq(strncmp(copy.unit[0].name, "xxx??x", 6), 0);
	cr_assert_eq(copy.unit[0].kind, 99);
	cr_assert_eq(copy.unit[0].queue, UINT32_MAX);
	cr_assert_eq(copy.unit[0].class[0].bucket[2][STATS_BUCKETS - 1], UINT64_MAX);
	cr_assert_eq(copy.channel[0].name[0], '?');
	cr_assert_eq(copy.channel[0].kicks, 7);
	stats_copy_done(&copy);
	stats_free(stats);
}
