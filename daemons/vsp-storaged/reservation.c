/* SPDX-License-Identifier: Apache-2.0 */
/* See reservation.h. */
#include "reservation.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/death.h"
#include "base/fd.h"
#include "base/log.h"

#define SHARED_OFFSET  RESERVATION_PAGE
#define COPIES_OFFSET  (2u * RESERVATION_PAGE)
#define LOCK_OFFSET    0x10000 /* of changes; locks need no bytes to be there */
#define NEXUS_OFFSET   0x20000 /* and for each nexus */
#define OPEN_TRIES     2000u   /* of a millisecond, for the locks */
#define OPEN_PAUSE_NS  (1 * NS_PER_MS)
#define READ_TRIES     100u
#define PAUSE_FIRST_NS (NS_PER_MS / 4)
#define PAUSE_MAX_NS   (10 * NS_PER_MS)

_Static_assert(sizeof(struct reservation_shared) <= RESERVATION_PAGE, "what is shared is in a page");

static const struct syscall_rule rules[] = {
	{SYS_fdatasync},
	{SYS_clock_nanosleep},
	{-1},
};

const struct syscall_list reservation_calls = {.name = "reservations", .rules = rules};

/* ---- the file ---- */

static int lock(const struct reservation *reservation, int command, short type, off_t at)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};

	if (fcntl(reservation->fd, command, &lock) == 0)
		return 0;
	return errno == EACCES || errno == EAGAIN ? -EBUSY : -errno;
}

struct reservation_late {
	struct reservation_late *next;
	int fd;
};

static int lock_changes(struct reservation *reservation)
{
	int r = lock(reservation, F_SETLK, F_WRLCK, LOCK_OFFSET);

	reservation->locked = r == 0;
	return r;
}

static void close_late(struct reservation *reservation)
{
	while (reservation->late) {
		struct reservation_late *late = reservation->late;

		reservation->late = late->next;
		fd_close(&late->fd);
		free(late);
	}
}

static void unlock_changes(struct reservation *reservation)
{
	(void)lock(reservation, F_SETLK, F_UNLCK, LOCK_OFFSET);
	reservation->locked = false;
	close_late(reservation);
}

void reservation_close_fd(struct reservation *reservation, int fd)
{
	struct reservation_late *late = reservation->locked ? calloc(1, sizeof(*late)) : NULL;
	char object[48];

	if (!reservation->locked) {
		fd_close(&fd);
	} else if (late) {
		*late = (struct reservation_late){reservation->late, fd};
		reservation->late = late;
	} else {
		snprintf(object, sizeof(object), "disk %s", reservation->alias);
		log_warn(object, "out of memory: a descriptor of its reservations stays open until this process ends");
	}
}

bool reservation_is_of(const struct reservation *reservation, int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_dev == reservation->dev && st.st_ino == reservation->ino;
}

static off_t copy_offset(uint64_t generation)
{
	return (off_t)(COPIES_OFFSET + (generation & 1) * RESERVATION_PAGE);
}

static int read_copy(const struct reservation *reservation, uint64_t generation, struct reservation_state *ret)
{
	uint8_t bytes[RESERVATION_PAGE];
	int r = fd_read_full(reservation->fd, bytes, sizeof(bytes), copy_offset(generation));

	return r < 0 ? r : reservation_state_parse(bytes, ret);
}

static int write_page(const struct reservation *reservation, const uint8_t *bytes, off_t offset)
{
	size_t done = 0;

	while (done < RESERVATION_PAGE) {
		ssize_t n = pwrite(reservation->fd, bytes + done, RESERVATION_PAGE - done, offset + (off_t)done);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -EIO;
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int sync_file(const struct reservation *reservation)
{
	return fdatasync(reservation->fd) < 0 ? -errno : 0;
}

static int write_copy(const struct reservation *reservation, const struct reservation_state *state)
{
	uint8_t bytes[RESERVATION_PAGE];

	reservation_state_print(state, bytes);
	return write_page(reservation, bytes, copy_offset(state->generation));
}

/*
 * With the lock: the newest state that is whole, also if its writer did not live to publish it. What was published is
 * on the medium, so nothing can be older.
 */
static int read_newest(const struct reservation *reservation, struct reservation_state *ret)
{
	struct reservation_state copy[2];
	int r0 = read_copy(reservation, 0, &copy[0]), r1 = read_copy(reservation, 1, &copy[1]);
	const struct reservation_state *newest;

	if (r0 < 0 && r1 < 0)
		return r0 == -EPROTONOSUPPORT || r1 == -EPROTONOSUPPORT ? -EPROTONOSUPPORT : -EPROTO;
	newest = r1 < 0 || (r0 == 0 && copy[0].generation > copy[1].generation) ? &copy[0] : &copy[1];
	if (newest->generation < atomic_load(reservation->generation))
		return -EPROTO;
	*ret = *newest;
	return 0;
}

/* The newest copy is of somebody who has not lived to publish it, and perhaps not to see it on the medium. */
static int sync_found(const struct reservation *reservation)
{
	DEATH(RESERVE_FOUND);
	return sync_file(reservation);
}

/* ---- what we go by ---- */

static void log_broken(struct reservation *reservation, int error)
{
	char object[48];

	snprintf(object, sizeof(object), "disk %s", reservation->alias);
	if (!reservation->broken)
		log_error(object, "its reservations cannot be read, and nothing is allowed any more: %s",
			  error == -EPROTO ? "the file is damaged" : strerror(-error));
	reservation->broken = true;
	reservation->denied = UINT8_MAX;
}

static void use_state(struct reservation *reservation, const struct reservation_state *state)
{
	reservation->state = *state;
	reservation->before += reservation->now;
	reservation->now = 0;
	reservation->denied = 0;
	for (unsigned int access = 0; access < RESERVATION_ACCESSES; access++)
		if (!reservation_allows(state, reservation->nexus, (enum reservation_access)access))
			reservation->denied |= (uint8_t)(1u << access);
	if (reservation->before == 0)
		atomic_store(&reservation->count->drained, state->generation);
	else if ((reservation->denied & 1u << RESERVATION_WRITES) && reservation->fenced)
		loop_arm(reservation->fenced_timer, 0);
}

void reservation_adopt(struct reservation *reservation)
{
	struct reservation_state state;
	int r = -EPROTO;

	if (reservation->broken)
		return;
	/* While we read, others may change it, and then change the copy that we read. */
	for (unsigned int i = 0; i < READ_TRIES; i++) {
		uint64_t generation = atomic_load(reservation->generation);

		r = read_copy(reservation, generation, &state);
		if (r == 0 && state.generation == generation) {
			use_state(reservation, &state);
			return;
		}
		if (r == 0)
			r = -EPROTO;
		if (r != -EPROTO)
			break;
	}
	log_broken(reservation, r);
}

bool reservation_enter(struct reservation *reservation, enum reservation_access access, uint64_t *ret_ticket)
{
	*ret_ticket = 0;
	if (access == RESERVATION_WRITES)
		atomic_fetch_add(&reservation->count->in_flight, 1);
	reservation_look(reservation);
	if (reservation->denied & 1u << access) {
		if (access == RESERVATION_WRITES)
			atomic_fetch_sub(&reservation->count->in_flight, 1);
		return false;
	}
	if (access == RESERVATION_WRITES) {
		reservation->now++;
		*ret_ticket = reservation->state.generation;
	}
	return true;
}

void reservation_leave(struct reservation *reservation, uint64_t ticket)
{
	if (ticket == reservation->state.generation) {
		reservation->now--;
	} else {
		reservation->before--;
		if (reservation->before == 0)
			atomic_store(&reservation->count->drained, reservation->state.generation);
	}
	atomic_fetch_sub(&reservation->count->in_flight, 1);
	reservation_look(reservation);
}

static void on_fenced(void *arg)
{
	struct reservation *reservation = arg;

	if (reservation->before > 0 && reservation->fenced)
		reservation->fenced(reservation->fenced_arg);
}

void reservation_set_fenced(struct reservation *reservation, void (*fenced)(void *arg), void *arg)
{
	reservation->fenced = fenced;
	reservation->fenced_arg = arg;
}

/* ---- orders ---- */

static void finish(struct reservation *reservation, int result)
{
	reservation->busy = false;
	loop_disarm(reservation->timer);
	reservation->done(reservation->arg, result);
}

static void pause_for(struct reservation *reservation, void (*step)(struct reservation *reservation))
{
	reservation->step = step;
	loop_arm(reservation->timer, reservation->pause_ns);
	reservation->pause_ns = MIN(2 * reservation->pause_ns, PAUSE_MAX_NS);
}

static void on_timer(void *arg)
{
	struct reservation *reservation = arg;

	reservation->step(reservation);
	engine_flush(reservation->engine);
}

/* Whether a nexus can have no write of before @generation under way. */
static bool drained(const struct reservation *reservation, size_t nexus, uint64_t generation)
{
	const struct reservation_count *count = &reservation->shared->nexus[nexus];
	struct flock held = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = NEXUS_OFFSET + (off_t)nexus, .l_len = 1};

	if (atomic_load(&count->in_flight) == 0 || atomic_load(&count->drained) >= generation)
		return true;
	return fcntl(reservation->fd, F_OFD_GETLK, &held) == 0 && held.l_type == F_UNLCK;
}

/* The nexus that is waited for; RESERVATION_NOBODY: none. */
static uint8_t waits_for(const struct reservation *reservation)
{
	const struct reservation_state *state = &reservation->state;

	for (uint8_t i = 0; i < RESERVATION_NEXUSES; i++)
		if (i != reservation->nexus && state->nexus[i].used &&
		    !reservation_allows(state, i, RESERVATION_WRITES) &&
		    !drained(reservation, i, reservation->wait_for))
			return i;
	return RESERVATION_NOBODY;
}

static void settle_step(struct reservation *reservation)
{
	char object[48];
	uint8_t nexus;

	reservation_look(reservation);
	nexus = waits_for(reservation);
	if (reservation->broken) {
		finish(reservation, -EPROTO);
	} else if (nexus == RESERVATION_NOBODY) {
		finish(reservation, reservation->verdict);
	} else if (clock_now_ns() >= reservation->deadline_ns) {
		snprintf(object, sizeof(object), "disk %s", reservation->alias);
		log_error(object, "what VM %02x%02x%02x%02x... has begun to write before it was shut out does not end",
			  reservation->state.nexus[nexus].vm[0], reservation->state.nexus[nexus].vm[1],
			  reservation->state.nexus[nexus].vm[2], reservation->state.nexus[nexus].vm[3]);
		finish(reservation, -ETIMEDOUT);
	} else {
		pause_for(reservation, settle_step);
	}
}

static void settle(struct reservation *reservation, int verdict)
{
	reservation->verdict = verdict;
	reservation->wait_for = reservation->state.generation;
	reservation->pause_ns = PAUSE_FIRST_NS;
	settle_step(reservation);
}

/* Never back: who has seen a generation goes by it, or by a later one. */
static void move_on(struct reservation *reservation, uint64_t generation)
{
	uint64_t now = atomic_load(reservation->generation);

	while (now < generation && !atomic_compare_exchange_weak(reservation->generation, &now, generation))
		;
}

static void publish(struct reservation *reservation, const struct reservation_state *state)
{
	move_on(reservation, state->generation);
	DEATH(RESERVE_PUBLISHED);
	use_state(reservation, state);
}

/* A copy that is not to count. */
static void spoil(struct reservation *reservation)
{
	static const uint8_t nothing[RESERVATION_PAGE];

	(void)write_page(reservation, nothing, copy_offset(reservation->then.generation));
}

/* Whether the change under way is not ours alone any more: the lock was lost, and others went on. */
static bool superseded(struct reservation *reservation)
{
	const struct reservation_state *then = &reservation->then;
	uint8_t ours[RESERVATION_PAGE], there[RESERVATION_PAGE];

	if (lock_changes(reservation) < 0 || atomic_load(reservation->generation) >= then->generation)
		return true;
	reservation_state_print(then, ours);
	return fd_read_full(reservation->fd, there, sizeof(there), copy_offset(then->generation)) < 0 ||
	       memcmp(ours, there, sizeof(ours)) != 0;
}

static void lock_step(struct reservation *reservation);

static void on_synced(struct engine_io *io, int result)
{
	struct reservation *reservation = CONTAINER_OF(io, struct reservation, sync);

	DEATH(RESERVE_SYNCED);
	if (superseded(reservation)) {
		unlock_changes(reservation);
		reservation->verdict = (int)reservation->then.nexus[reservation->nexus].mark;
		lock_step(reservation);
		return;
	}
	if (result < 0) {
		spoil(reservation);
		unlock_changes(reservation);
		finish(reservation, result);
		return;
	}
	publish(reservation, &reservation->then);
	unlock_changes(reservation);
	settle(reservation, RESERVATION_DONE);
}

/* What others are to hear; never so much that it looks as if there were nothing. */
static void put_news(struct reservation *reservation, const uint8_t *news)
{
	for (size_t i = 0; i < RESERVATION_NEXUSES; i++) {
		struct reservation_nexus *nexus = &reservation->then.nexus[i];

		if (!news[i])
			continue;
		nexus->what = news[i];
		if ((uint8_t)(nexus->attention + 1) != (uint8_t)atomic_load(&reservation->shared->nexus[i].heard))
			nexus->attention++;
	}
}

/* With the lock, which goes with the change, or with the verdict that there is none. */
static void change(struct reservation *reservation, uint32_t mark)
{
	struct reservation_state *then = &reservation->then;
	struct reservation_nexus *us = &then->nexus[reservation->nexus];
	uint8_t news[RESERVATION_NEXUSES];
	int verdict, r;

	if (mark && us->mark == mark) {
		unlock_changes(reservation);
		settle(reservation, RESERVATION_DONE);
		return;
	}
	verdict = reservation_apply(then, reservation->nexus, &reservation->order, news);
	if (verdict != RESERVATION_DONE) {
		unlock_changes(reservation);
		if (verdict == RESERVATION_UNCHANGED)
			settle(reservation, verdict);
		else
			finish(reservation, verdict);
		return;
	}
	put_news(reservation, news);
	us->mark = (uint32_t)clock_now_ns() | 1u;
	then->generation++;
	if (reservation->mark_fn)
		reservation->mark_fn(reservation->arg, us->mark);
	r = write_copy(reservation, then);
	DEATH(RESERVE_WRITTEN);
	if (r < 0) {
		spoil(reservation);
		unlock_changes(reservation);
		finish(reservation, r);
		return;
	}
	reservation->sync = (struct engine_io){.op = ENGINE_SYNC, .file = reservation->file, .done = on_synced};
	engine_submit(reservation->engine, &reservation->sync);
}

/* With the lock: what counts is what we go by, and reservation->then. */
static int catch_up(struct reservation *reservation)
{
	int r = read_newest(reservation, &reservation->then);

	if (r < 0 || reservation->then.generation == atomic_load(reservation->generation))
		return r;
	r = sync_found(reservation);
	if (r == 0)
		publish(reservation, &reservation->then);
	return r;
}

static void lock_step(struct reservation *reservation)
{
	int r = reservation->broken ? -EPROTO : lock_changes(reservation);

	if (r == -EBUSY && clock_now_ns() < reservation->deadline_ns) {
		pause_for(reservation, lock_step);
		return;
	}
	if (r < 0) {
		finish(reservation, r == -EBUSY ? -ETIMEDOUT : r);
		return;
	}
	r = catch_up(reservation);
	if (r < 0) {
		unlock_changes(reservation);
		log_broken(reservation, r);
		finish(reservation, r);
		return;
	}
	reservation_look(reservation);
	change(reservation, (uint32_t)reservation->verdict);
}

static void begin(struct reservation *reservation, reservation_done_fn done, void *arg)
{
	reservation->busy = true;
	reservation->done = done;
	reservation->arg = arg;
	reservation->deadline_ns = clock_now_ns() + RESERVATION_PATIENCE_NS;
	reservation->pause_ns = PAUSE_FIRST_NS;
}

void reservation_order(struct reservation *reservation, const struct reservation_order *order, uint32_t mark,
		       void (*mark_fn)(void *arg, uint32_t mark), reservation_done_fn done, void *arg)
{
	begin(reservation, done, arg);
	reservation->order = *order;
	reservation->mark_fn = mark_fn;
	reservation->verdict = (int)mark;
	lock_step(reservation);
}

void reservation_settle(struct reservation *reservation, reservation_done_fn done, void *arg)
{
	begin(reservation, done, arg);
	reservation_look(reservation);
	settle(reservation, RESERVATION_UNCHANGED);
}

/* ---- open and close ---- */

/* The head comes last: without it the file is made again. */
static int make_file(struct reservation *reservation)
{
	struct reservation_state state = {.generation = 1, .holder = RESERVATION_NOBODY};
	static const uint8_t nothing[RESERVATION_PAGE];
	uint8_t head[RESERVATION_PAGE];
	int r = 0;

	if (getrandom(reservation->id, sizeof(reservation->id), 0) != sizeof(reservation->id))
		return -EIO;
	reservation_head_print(reservation->id, head);
	/* All of it takes its space now: a mapped page for which there is none would kill us later. */
	for (unsigned int i = 0; r == 0 && i < RESERVATION_FILE_LEN / RESERVATION_PAGE; i++)
		r = write_page(reservation, nothing, (off_t)i * RESERVATION_PAGE);
	if (r == 0)
		r = write_copy(reservation, &state);
	if (r == 0)
		r = sync_file(reservation);
	if (r == 0)
		r = write_page(reservation, head, 0);
	return r < 0 ? r : sync_file(reservation);
}

static int check_file(struct reservation *reservation)
{
	uint8_t head[RESERVATION_PAGE];
	struct stat st;
	int r;

	if (fstat(reservation->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EPROTO;
	reservation->dev = st.st_dev;
	reservation->ino = st.st_ino;
	if (st.st_size < (off_t)RESERVATION_PAGE)
		return make_file(reservation);
	r = fd_read_full(reservation->fd, head, sizeof(head), 0);
	if (r == 0)
		r = reservation_head_parse(head, reservation->id);
	if (r == -ENODATA)
		return make_file(reservation);
	return r == 0 && st.st_size != (off_t)RESERVATION_FILE_LEN ? -EPROTO : r;
}

static int map_shared(struct reservation *reservation)
{
	void *at = mmap(NULL, RESERVATION_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, reservation->fd, SHARED_OFFSET);

	if (at == MAP_FAILED)
		return -errno;
	reservation->shared = at;
	reservation->generation = &reservation->shared->generation;
	return 0;
}

static bool is_us(const struct reservation_nexus *nexus, const struct reservation_config *config)
{
	return nexus->used && !memcmp(nexus->vm, config->vm, sizeof(nexus->vm)) &&
	       !memcmp(nexus->controller, config->controller, sizeof(nexus->controller));
}

static bool is_free(const struct reservation *reservation, size_t i)
{
	const struct reservation_nexus *nexus = &reservation->then.nexus[i];

	if (!nexus->used)
		return true;
	if (nexus->key || lock(reservation, F_OFD_SETLK, F_WRLCK, NEXUS_OFFSET + (off_t)i) < 0)
		return false;
	(void)lock(reservation, F_OFD_SETLK, F_UNLCK, NEXUS_OFFSET + (off_t)i);
	return true;
}

/* Ours, else one that is not used, else one of a VM that is gone. Return: whether the state is to be kept. */
static int find_place(struct reservation *reservation, const struct reservation_config *config, bool *ret_changed)
{
	struct reservation_state *state = &reservation->then;
	size_t place = RESERVATION_NEXUSES;

	for (size_t i = 0; i < RESERVATION_NEXUSES; i++) {
		if (is_us(&state->nexus[i], config)) {
			reservation->nexus = (uint8_t)i;
			return 0;
		}
		if (place == RESERVATION_NEXUSES && !state->nexus[i].used)
			place = i;
	}
	for (size_t i = 0; place == RESERVATION_NEXUSES && i < RESERVATION_NEXUSES; i++)
		if (is_free(reservation, i))
			place = i;
	if (place == RESERVATION_NEXUSES)
		return -ENOSPC;
	state->nexus[place] = (struct reservation_nexus){.used = true};
	memcpy(state->nexus[place].vm, config->vm, sizeof(config->vm));
	memcpy(state->nexus[place].controller, config->controller, sizeof(config->controller));
	reservation->nexus = (uint8_t)place;
	*ret_changed = true;
	return 0;
}

/* With the lock. */
static int take_place(struct reservation *reservation, const struct reservation_config *config)
{
	bool changed = false;
	int r = read_newest(reservation, &reservation->then);

	if (r < 0)
		return r;
	changed = reservation_power_on(&reservation->then, config->power);
	r = find_place(reservation, config, &changed);
	if (r == 0)
		r = lock(reservation, F_OFD_SETLK, F_WRLCK, NEXUS_OFFSET + reservation->nexus);
	if (r < 0)
		return r;
	reservation->count = &reservation->shared->nexus[reservation->nexus];
	if (changed) {
		reservation->then.generation++;
		r = write_copy(reservation, &reservation->then);
		if (r == 0)
			r = sync_file(reservation);
		if (r < 0) {
			spoil(reservation);
			return r;
		}
	} else if (reservation->then.generation != atomic_load(reservation->generation)) {
		r = sync_found(reservation);
		if (r < 0)
			return r;
	}
	move_on(reservation, reservation->then.generation);
	atomic_store(&reservation->count->in_flight, 0);
	use_state(reservation, &reservation->then);
	return 0;
}

static int enter(struct reservation *reservation, const struct reservation_config *config)
{
	int r = check_file(reservation);

	if (r == 0 && !reservation->shared)
		r = map_shared(reservation);
	return r < 0 ? r : take_place(reservation, config);
}

static const char *why(int error)
{
	switch (error) {
	case -EPROTO:
		return "the file is damaged: with all VMs that share the disk off, remove it, and reservations are "
		       "gone";
	case -EPROTONOSUPPORT:
		return "the file is of another version: install the Bulkhead that wrote it";
	case -EBUSY:
		return "they are in use under this VM's name: try again";
	case -ENOSPC:
		return "too many VMs have used the disk: remove registrations, or make space";
	default:
		return strerror(-error);
	}
}

static int open_file(struct reservation *reservation, const struct reservation_config *config)
{
	const struct timespec pause = {.tv_nsec = OPEN_PAUSE_NS};
	int r = -EBUSY;

	for (unsigned int i = 0; r == -EBUSY && i < OPEN_TRIES; i++) {
		if (i > 0)
			nanosleep(&pause, NULL);
		r = lock_changes(reservation);
		if (r < 0)
			continue;
		r = enter(reservation, config);
		unlock_changes(reservation);
	}
	return r;
}

int reservation_open(struct loop *loop, struct engine *engine, const struct reservation_config *config,
		     struct reservation **ret_reservation, struct err *err)
{
	struct reservation *reservation = calloc(1, sizeof(*reservation));
	int r = reservation ? 0 : -ENOMEM;

	if (r == 0) {
		reservation->fd = config->fd;
		reservation->file = config->file;
		reservation->engine = engine;
		snprintf(reservation->alias, sizeof(reservation->alias), "%s", config->alias);
		r = loop_add_timer(loop, on_timer, reservation, &reservation->timer);
	}
	if (r == 0)
		r = loop_add_timer(loop, on_fenced, reservation, &reservation->fenced_timer);
	if (r == 0)
		r = open_file(reservation, config);
	if (r < 0) {
		reservation_close(reservation);
		return err_set(err, r, "disk %s: reservations of %s: %s", config->alias, config->image, why(r));
	}
	*ret_reservation = reservation;
	return 0;
}

void reservation_close(struct reservation *reservation)
{
	if (!reservation)
		return;
	loop_remove(&reservation->timer);
	loop_remove(&reservation->fenced_timer);
	close_late(reservation);
	if (reservation->shared)
		munmap(reservation->shared, RESERVATION_PAGE);
	free(reservation);
}
