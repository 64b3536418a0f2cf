/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Persistent reservations of a disk that VMs of this host share: the state, in a file of its own beside each image, and
 * the way in which the processes that serve these VMs agree on it. Knows no CDB; scsi_reserve.c does.
 *
 * Theory of operation. The file has four pages:
 *
 *   head      what it is, its version, the disk's name. Written once, last of all when the file is made.
 *   shared    mapped by every process: the generation that counts, and for each I_T nexus what is in flight. Nothing of
 *             it outlives a power failure, and nothing needs to.
 *   copies    two: generation g of the state is in copy g & 1, with a checksum.
 *
 * A change is made under a lock of the process (fcntl(2), F_SETLK: the worker keeps the descriptor, so a lock of the
 * open file would outlive a process that dies in the middle of a change):
 *
 *   read      both copies; the newest that is whole counts. Is it newer than shared.generation, its writer died before
 *             it could say so: it is published now.
 *   write     the other copy, of generation g + 1 -> it is on the medium
 *   publish   shared.generation = g + 1, if it was less: it only grows; from here on nobody acts by the old state
 *   unlock    and wait until nobody who may not write any more has a write under way (below); then the command ends.
 *
 * A process may die between any two: what it has written half has no checksum, what it has written whole counts. Its
 * successor, which is given the command again, finds by the mark that the nexus's last change left in the state whether
 * it was made. Who finds, once its copy is on the medium, that the lock is not its own any more, or the copy not what
 * it wrote, does not publish or take back anything: it begins again, and finds by its mark whether the change was made.
 *
 * A process loses its lock when it closes any descriptor of the file. So what may be one is closed by
 * reservation_close_fd(), which waits for the end of a change.
 *
 * The fence. A nexus counts its writes in shared.nexus[].in_flight *before* it looks at shared.generation, and who
 * changes the state stores shared.generation *before* it looks at the counts; all of these are sequentially consistent.
 * So each write is either seen by the one who waits, or sees the new state and is refused. A nexus that has seen
 * generation g, and whose writes of before have all ended, says so: drained = g. Who waits goes on when in_flight is 0
 * or drained is at least its own generation. Neither is believed of a process that has died: its count stays until a
 * successor, which waits for the I/O of its predecessor (fence.h), starts from 0. Where there is no successor because
 * the VM is gone, nobody holds the lock of the nexus any more: that is one of the open file (F_OFD_SETLK), which
 * worker, process and I/O ring have in common, so it goes when the last of them goes, the ring with its last request.
 *
 * Whoever waits does so by a timer, for RESERVATION_PATIENCE_NS; then the command fails, and so does each further one
 * that would tell of the new state as if it were so, while there is something to wait for.
 *
 * Limits: RESERVATION_NEXUSES nexuses; those of VMs that are gone and have no registration make room. A disk that is
 * used by something else than Bulkhead on this host, or by other hosts, is not guarded from these. Who can write to the
 * file (a vsp-storaged of a VM that shares the disk, which can write to the disk as well) can spoil it: what is read is
 * checked, and what is wrong refused. A file that somebody makes shorter kills who looks at it.
 */
#ifndef STORAGED_RESERVATION_H
#define STORAGED_RESERVATION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/syscalls.h"
#include "engine.h"
#include "ipc/loop.h"

#define RESERVATION_VERSION	1u
#define RESERVATION_NEXUSES	63u
#define RESERVATION_NOBODY	0xffu
#define RESERVATION_ID_LEN	16u
#define RESERVATION_PAGE	4096u
#define RESERVATION_ASC		0x2a00u /* of the unit attentions, without their qualifier */
#define RESERVATION_FILE_LEN	(4u * RESERVATION_PAGE)
#define RESERVATION_PATIENCE_NS (20 * NS_PER_SEC)

/* ---- the state: pure (reservation_state.c, reservation_rules.c) ---- */

/* TYPE of a reservation, as in PERSISTENT RESERVE OUT. */
enum reservation_type {
	RESERVATION_NONE = 0,
	RESERVATION_WRITE_EXCLUSIVE = 1,
	RESERVATION_EXCLUSIVE_ACCESS = 3,
	RESERVATION_WRITE_EXCLUSIVE_REGISTRANTS = 5,
	RESERVATION_EXCLUSIVE_ACCESS_REGISTRANTS = 6,
	RESERVATION_WRITE_EXCLUSIVE_ALL = 7,
	RESERVATION_EXCLUSIVE_ACCESS_ALL = 8,
};

/* What a command does, as reservations see it. 0 is what nobody else may do. */
enum reservation_access {
	RESERVATION_WRITES, /* conflicts with each reservation of somebody else */
	RESERVATION_READS,  /* conflicts with exclusive access */
	RESERVATION_HARMLESS,
	RESERVATION_ACCESSES,
};

/* An I_T nexus: a controller of a VM. All 0: the place is free. */
struct reservation_nexus {
	uint8_t vm[RESERVATION_ID_LEN], controller[RESERVATION_ID_LEN];
	bool used;
	uint64_t key;	   /* registered with; 0: it is not */
	uint32_t mark;	   /* of its last change */
	uint8_t attention; /* counts the unit attentions for it, wraps */
	uint8_t what;	   /* the last of them: the qualifier of SCSI_ASC_... 2Axx; 0: there was none */
};

/*
 * Invariants: type is one of enum reservation_type. holder is a registered nexus where one has the reservation: not
 * with RESERVATION_NONE, and not of all registrants, of whom there is at least one then. No two nexuses are the same.
 */
struct reservation_state {
	uint64_t generation;
	uint32_t pr_generation; /* PRGENERATION */
	uint8_t type;
	uint8_t holder;			   /* RESERVATION_NOBODY: none, or all registrants */
	bool aptpl;			   /* of the last registration */
	uint8_t power[RESERVATION_ID_LEN]; /* which start of the host it is of */
	struct reservation_nexus nexus[RESERVATION_NEXUSES];
};

/** reservation_state_parse - one copy. @bytes: RESERVATION_PAGE of them; nothing in them is trusted. Return: 0;
 * -EPROTO; -EPROTONOSUPPORT (whole, and of another version). */
int reservation_state_parse(const uint8_t *bytes, struct reservation_state *ret);
void reservation_state_print(const struct reservation_state *state, uint8_t *ret_bytes);

/** reservation_head_parse, reservation_head_print - the head page. @ret_id: the disk's name. Return: as above;
 * -ENODATA: nothing but zeroes. */
int reservation_head_parse(const uint8_t *bytes, uint8_t ret_id[RESERVATION_ID_LEN]);
void reservation_head_print(const uint8_t id[RESERVATION_ID_LEN], uint8_t *ret_bytes);

static inline bool reservation_of_all(uint8_t type)
{
	return type == RESERVATION_WRITE_EXCLUSIVE_ALL || type == RESERVATION_EXCLUSIVE_ACCESS_ALL;
}

static inline bool reservation_of_registrants(uint8_t type)
{
	return type == RESERVATION_WRITE_EXCLUSIVE_REGISTRANTS || type == RESERVATION_EXCLUSIVE_ACCESS_REGISTRANTS;
}

/** reservation_known_type - whether there is such a reservation. */
bool reservation_known_type(uint8_t type);
/** reservation_holds - whether @nexus has the reservation, alone or with others. */
bool reservation_holds(const struct reservation_state *state, uint8_t nexus);
/** reservation_allows - whether @nexus may do @access. Spec: SPC-4, table "commands that are allowed in the presence of
 * various reservations". */
bool reservation_allows(const struct reservation_state *state, uint8_t nexus, enum reservation_access access);

/* What a PERSISTENT RESERVE OUT asks for. */
struct reservation_order {
	uint8_t action; /* service action */
	uint8_t type;
	bool aptpl;
	uint64_t key, action_key;
};

enum reservation_verdict {
	RESERVATION_DONE,	 /* the state is another one */
	RESERVATION_UNCHANGED,	 /* it is as it should be */
	RESERVATION_CONFLICT,	 /* refused, with this status */
	RESERVATION_BAD_TYPE,	 /* there is none like it: the CDB is wrong */
	RESERVATION_BAD_KEY,	 /* the parameter list is wrong, where the service action's key is */
	RESERVATION_BAD_RELEASE, /* invalid release of a persistent reservation */
};

/**
 * reservation_apply - what @order, of @nexus, makes of @state; it stays what it was if the verdict is not DONE.
 * @ret_news: for each nexus the qualifier of a unit attention that it is to hear, or 0.
 * Spec: SPC-4 5.13.
 */
enum reservation_verdict reservation_apply(struct reservation_state *state, uint8_t nexus,
					   const struct reservation_order *order,
					   uint8_t ret_news[RESERVATION_NEXUSES]);

/** reservation_power_on - the host was started anew (@power is another than the state's; all zero: it is not known, and
 * nothing changes). Return: whether it was. */
bool reservation_power_on(struct reservation_state *state, const uint8_t power[RESERVATION_ID_LEN]);

/* ---- the file (reservation.c) ---- */

struct reservation_shared {
	_Atomic uint64_t generation;
	uint64_t reserved;
	struct reservation_count {
		_Atomic uint32_t in_flight; /* writes */
		_Atomic uint32_t heard;	    /* attention, as its initiator knows it */
		_Atomic uint64_t drained;   /* writes of before this generation are over */
	} nexus[RESERVATION_NEXUSES];
};

/** reservation_calls - what this needs in the sandbox. */
extern const struct syscall_list reservation_calls;

struct reservation_config {
	const char *alias, *image; /* for messages */
	int fd;		   /* of the file, read and write; stays the caller's, open as long as the reservation */
	unsigned int file; /* the engine's number of it */
	uint8_t vm[RESERVATION_ID_LEN], controller[RESERVATION_ID_LEN];
	uint8_t power[RESERVATION_ID_LEN]; /* a number of this start of the host */
};

/* How an order ended: a verdict, or a negative errno: -ETIMEDOUT (the lock was not to be had, nothing has changed;
 * or, after it was made, somebody's writes do not come to their end), what the host refused, -EPROTO (the file). */
typedef void (*reservation_done_fn)(void *arg, int result);

struct reservation_late; /* a descriptor that is closed after the change under way */

struct reservation {
	struct reservation_shared *shared;
	_Atomic uint64_t *generation;
	struct reservation_state state;	 /* as it was at state.generation, which we go by */
	struct reservation_count *count; /* ours */
	uint8_t nexus;			 /* ours */
	bool broken;			 /* the file is spoilt: nobody may do anything */
	uint8_t denied;			 /* bit n: enum reservation_access n is refused */
	uint32_t now, before;		 /* writes in flight: admitted in state.generation, and before */
	uint8_t id[RESERVATION_ID_LEN];
	char alias[33];
	int fd;
	unsigned int file;
	dev_t dev;
	ino_t ino;
	struct engine *engine;
	struct loop_source *timer;
	void (*fenced)(void *arg); /* writes are under way that were admitted before, and may not be now */
	void *fenced_arg;
	struct loop_source *fenced_timer;

	/* the order under way */
	bool busy;
	struct reservation_order order;
	void (*mark_fn)(void *arg, uint32_t mark);
	reservation_done_fn done;
	void *arg;
	void (*step)(struct reservation *reservation);
	uint64_t deadline_ns, pause_ns, wait_for; /* wait_for: the generation to be drained */
	int verdict;
	struct reservation_state then;
	struct engine_io sync;
	bool locked; /* changes of others wait for ours */
	struct reservation_late *late;
};

/**
 * reservation_open - take our place among those who share the disk; makes the state if there is none.
 * Writes of a predecessor are over. Return: 0; -EPROTO, -EPROTONOSUPPORT (the file is spoilt, or of another version),
 * -EBUSY (somebody else is this nexus, or holds the lock), -ENOSPC (no place), what the host refused; with a line.
 * Context: may sleep for a moment.
 */
int reservation_open(struct loop *loop, struct engine *engine, const struct reservation_config *config,
		     struct reservation **ret_reservation, struct err *err);

/** reservation_close - an order under way is forgotten. NULL is allowed. */
void reservation_close(struct reservation *reservation);

/** reservation_close_fd - close @fd, which is of the same file but not the one that was opened with, without the loss
 * of the lock: while a change is under way only afterwards. Taken over. */
void reservation_close_fd(struct reservation *reservation, int fd);

/** reservation_is_of - whether @fd is of its file. */
bool reservation_is_of(const struct reservation *reservation, int fd);

/** reservation_set_fenced - @fenced is called from the loop when writes of ours are in flight that may not be any more:
 * what the host has not begun is better ended. */
void reservation_set_fenced(struct reservation *reservation, void (*fenced)(void *arg), void *arg);

/** reservation_adopt - another generation counts than the one that we know: go by that from now on. */
void reservation_adopt(struct reservation *reservation);

/** reservation_look - go by what is so now. */
static inline void reservation_look(struct reservation *reservation)
{
	if (atomic_load(reservation->generation) != reservation->state.generation)
		reservation_adopt(reservation);
}

/**
 * reservation_enter - a command begins; of those that write reservation_leave() follows.
 * @ret_ticket: not 0 if it writes.
 * Return: whether it may; if not, nothing follows.
 */
bool reservation_enter(struct reservation *reservation, enum reservation_access access, uint64_t *ret_ticket);
void reservation_leave(struct reservation *reservation, uint64_t ticket);

/** reservation_heard - the initiator knows of unit attentions up to @attention. */
static inline void reservation_heard(struct reservation *reservation, uint8_t attention)
{
	atomic_store(&reservation->count->heard, attention);
}

/** reservation_us - our nexus in reservation->state. */
static inline const struct reservation_nexus *reservation_us(const struct reservation *reservation)
{
	return &reservation->state.nexus[reservation->nexus];
}

/**
 * reservation_order - make a change; done() is called once, perhaps before this returns; engine_flush() follows.
 * RESERVATION_DONE once nobody who may not write any more has a write under way. One at a time.
 * @mark: what an earlier process left with this order; 0: nothing.
 * @mark_fn: keep the mark for a successor.
 */
void reservation_order(struct reservation *reservation, const struct reservation_order *order, uint32_t mark,
		       void (*mark_fn)(void *arg, uint32_t mark), reservation_done_fn done, void *arg);

/** reservation_settle - done() with RESERVATION_UNCHANGED once what reservation->state says is so; as
 * reservation_order(). */
void reservation_settle(struct reservation *reservation, reservation_done_fn done, void *arg);

#endif
