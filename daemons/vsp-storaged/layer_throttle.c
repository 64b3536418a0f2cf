/* SPDX-License-Identifier: Apache-2.0 */
#include "layer_throttle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "disk_queue.h"

enum { READS, WRITES, DIRECTIONS };

/* A disk's layer, and one of the group's ring of members. */
struct member {
	struct disk disk;
	struct throttle_group *group;
	struct member *next;
	struct disk_queue queue[DIRECTIONS];
};

struct throttle_group {
	char name[THROTTLE_GROUP_MAX + 1]; /* "": of one disk */
	struct throttle_groups *all;
	struct throttle_group *next;
	struct throttle throttle;
	struct loop_source *timer;
	struct member *turn[DIRECTIONS]; /* somewhere in the ring; NULL: no members */
	unsigned int waiting[DIRECTIONS];
};

struct throttle_groups {
	struct loop *loop;
	struct engine *engine;
	struct throttle_group *first;
};

static struct member *to_member(struct disk *disk)
{
	return CONTAINER_OF(disk, struct member, disk);
}

/* ---- those that wait ---- */

static unsigned int direction_of(const struct disk_request *request)
{
	return request->op == DISK_READ ? READS : WRITES;
}

/* What has no payload is one request of no bytes. */
static void start(struct member *member, struct disk_request *request)
{
	bool payload = request->op == DISK_READ || request->op == DISK_WRITE;

	throttle_take(&member->group->throttle, direction_of(request) == WRITES, payload ? (uint32_t)request->len : 0);
	disk_submit(member->disk.below, request);
}

/* The next one of this direction starts; some member has one. */
static void start_one(struct throttle_group *group, unsigned int direction)
{
	struct member *member = group->turn[direction];
	struct disk_request *request;

	while (!member->queue[direction].head)
		member = member->next;
	group->turn[direction] = member->next;
	request = disk_queue_pop(&member->queue[direction]);
	group->waiting[direction]--;
	start(member, request);
}

/* All that may start, one read and one write in turn; the timer for those that may not. */
static void start_those_who_may(struct throttle_group *group)
{
	uint64_t now = clock_now_ns(), wait, next;
	bool started;

	do {
		started = false;
		next = UINT64_MAX;
		for (unsigned int d = 0; d < DIRECTIONS; d++) {
			if (!group->waiting[d])
				continue;
			wait = throttle_wait(&group->throttle, d == WRITES, now);
			next = MIN(next, wait);
			if (wait)
				continue;
			start_one(group, d);
			started = true;
		}
	} while (started);
	if (next != UINT64_MAX)
		loop_arm(group->timer, next);
	else
		loop_disarm(group->timer);
}

static void on_timer(void *arg)
{
	struct throttle_group *group = arg;
	struct engine *engine = group->all->engine;

	start_those_who_may(group);
	engine_flush(engine);
}

/* ---- requests ---- */

static void throttle_submit(struct disk *disk, struct disk_request *request)
{
	struct member *member = to_member(disk);
	struct throttle_group *group = member->group;
	unsigned int direction = direction_of(request);

	if (request->op == DISK_FLUSH) {
		disk_submit(member->disk.below, request);
		return;
	}
	if (!group->waiting[direction] && !throttle_wait(&group->throttle, direction == WRITES, clock_now_ns())) {
		start(member, request);
		return;
	}
	disk_queue_push(&member->queue[direction], request);
	if (group->waiting[direction]++ == 0)
		start_those_who_may(group);
}

static bool throttle_cancel(struct disk *disk, struct disk_request *request)
{
	struct member *member = to_member(disk);

	for (unsigned int d = 0; d < DIRECTIONS; d++) {
		if (!disk_queue_remove(&member->queue[d], request))
			continue;
		member->group->waiting[d]--;
		return true;
	}
	return disk_cancel(member->disk.below, request);
}

/* ---- groups ---- */

static struct throttle_group *find_group(struct throttle_groups *groups, const char *name)
{
	struct throttle_group *group = groups->first;

	while (group && (!name[0] || strcmp(group->name, name)))
		group = group->next;
	return group;
}

static struct throttle_group *new_group(struct throttle_groups *groups, const char *name)
{
	struct throttle_group *group;

	if (strlen(name) > THROTTLE_GROUP_MAX)
		return NULL;
	group = calloc(1, sizeof(*group));
	if (!group)
		return NULL;
	if (loop_add_timer(groups->loop, on_timer, group, &group->timer) < 0) {
		free(group);
		return NULL;
	}
	strcpy(group->name, name);
	group->all = groups;
	group->throttle.at_ns = clock_now_ns();
	group->next = groups->first;
	groups->first = group;
	return group;
}

static void free_group(struct throttle_group *group)
{
	struct throttle_group **at = &group->all->first;

	while (*at != group)
		at = &(*at)->next;
	*at = group->next;
	loop_remove(&group->timer);
	free(group);
}

int throttle_groups_new(struct loop *loop, struct engine *engine, struct throttle_groups **ret_groups)
{
	struct throttle_groups *groups = calloc(1, sizeof(*groups));

	if (!groups)
		return -ENOMEM;
	groups->loop = loop;
	groups->engine = engine;
	*ret_groups = groups;
	return 0;
}

void throttle_groups_free(struct throttle_groups *groups)
{
	free(groups);
}

/* ---- the ring of a group's members ---- */

static void join(struct throttle_group *group, struct member *member)
{
	struct member *other = group->turn[READS];

	member->group = group;
	member->next = other ? other->next : member;
	if (other) {
		other->next = member;
		return;
	}
	for (unsigned int d = 0; d < DIRECTIONS; d++)
		group->turn[d] = member;
}

static void leave(struct member *member)
{
	struct throttle_group *group = member->group;
	struct member *before = member;

	while (before->next != member)
		before = before->next;
	before->next = member->next;
	for (unsigned int d = 0; d < DIRECTIONS; d++)
		if (group->turn[d] == member)
			group->turn[d] = before == member ? NULL : before;
	if (before == member)
		free_group(group);
}

/* The group of this name, if need be a new one without members. Return: NULL: no memory. */
static struct throttle_group *get_group(struct throttle_groups *groups, const char *name)
{
	struct throttle_group *group = find_group(groups, name ? name : "");

	return group ? group : new_group(groups, name ? name : "");
}

static void set_limits(struct throttle_group *group, const struct throttle_settings *settings)
{
	throttle_set(&group->throttle, settings, clock_now_ns());
	if (group->waiting[READS] || group->waiting[WRITES])
		loop_arm(group->timer, 0);
}

int layer_throttle_open(struct throttle_groups *groups, const char *name, const struct throttle_settings *settings,
			struct disk *below, struct disk **ret_disk)
{
	struct member *member = calloc(1, sizeof(*member));
	struct throttle_group *group = member ? get_group(groups, name) : NULL;

	if (!group) {
		free(member);
		return -ENOMEM;
	}
	member->disk = *below;
	member->disk.ops = &layer_throttle;
	member->disk.below = below;
	join(group, member);
	set_limits(group, settings);
	*ret_disk = &member->disk;
	return 0;
}

/* ---- changes ---- */

static unsigned int queued(const struct disk_queue *queue)
{
	unsigned int n = 0;

	for (const struct disk_request *at = queue->head; at; at = at->next)
		n++;
	return n;
}

/* From one group's ring to the other's, with all that waits. */
static void move(struct member *member, struct throttle_group *to)
{
	struct throttle_group *from = member->group;

	for (unsigned int d = 0; d < DIRECTIONS; d++) {
		unsigned int n = queued(&member->queue[d]);

		from->waiting[d] -= n;
		to->waiting[d] += n;
	}
	leave(member);
	join(to, member);
}

int layer_throttle_set(struct disk *disk, const char *name, const struct throttle_settings *settings)
{
	struct member *member = to_member(disk);
	struct throttle_group *group = member->group;

	if (strcmp(group->name, name ? name : "") != 0) {
		group = get_group(group->all, name);
		if (!group)
			return -ENOMEM;
		move(member, group);
	}
	set_limits(group, settings);
	return 0;
}

static void throttle_leave(struct disk *disk)
{
	struct member *member = to_member(disk);
	struct throttle_group *group = member->group;
	struct disk_request *request;

	for (unsigned int d = 0; d < DIRECTIONS; d++) {
		while ((request = disk_queue_pop(&member->queue[d]))) {
			group->waiting[d]--;
			disk_submit(disk->below, request);
		}
	}
	leave(member);
	free(member);
}

static void throttle_close(struct disk *disk)
{
	struct member *member = to_member(disk);

	for (unsigned int d = 0; d < DIRECTIONS; d++)
		member->group->waiting[d] -= queued(&member->queue[d]);
	leave(member);
	disk_close(disk->below);
	free(member);
}

const struct disk_ops layer_throttle = {
	.name = "throttle",
	.submit = throttle_submit,
	.cancel = throttle_cancel,
	.resize = disk_resize_below,
	.set_provisioning = disk_set_provisioning_below,
	.leave = throttle_leave,
	.close = throttle_close,
};
