/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places at which a test build of a VSP kills itself, so that recovery is shown from each of them. In every other build
 * (BULKHEAD_DEATHS is not defined) DEATH() is nothing.
 *
 * BULKHEAD_DEATHS="POINT[:N][@SIGNAL][,POINT[:N][@SIGNAL]]...": entry i is for generation i, the first process being
 * generation 0: it dies at the N-th passage (1 if not said) of POINT by SIGNAL: "SEGV", "ABRT", "SYS", "TERM"; SIGKILL
 * if not said; or hangs there, by "STOP". "-" stands for no death.
 * BULKHEAD_DEATHS_POISON=SIGNAL: each process dies by it when the device is given a request whose transaction id begins
 * with DEATH_POISON.
 * BULKHEAD_DEATHS_SPOIL=WHAT: generation 0 leaves the state block wrong, when it dies (tests/deaths/spoil.c).
 */
#ifndef BASE_DEATH_H
#define BASE_DEATH_H

#include <stdint.h>

#define DEATH_POISON	   0xdeadu
#define DEATH_POISON_SHIFT 48u

/* Point, and what has just happened there. */
#define DEATH_POINTS(X)                                                                                                \
	X(ATTACHED, "attached", "the worker has answered Attach")                                                      \
	X(OFFERED, "offered", "an offer was made")                                                                     \
	X(READY, "ready", "Ready was answered")                                                                        \
	X(OPEN_MAPPED, "open-mapped", "the rings are mapped, the block is not")                                        \
	X(OPEN_FORMATTED, "open-formatted", "a fresh block is formatted")                                              \
	X(OPENED, "opened", "the channel runs, the worker does not know")                                              \
	X(ACCEPT_FILLED, "accept-filled", "the slot is full, its state is FREE")                                       \
	X(ACCEPT_SLOT, "accept-slot", "the slot is ACCEPTED, the cursor is old")                                       \
	X(ACCEPT_CURSOR, "accept-cursor", "the cursor is new")                                                         \
	X(ACCEPT_PUBLISHED, "accept-published", "read_index is published")                                             \
	X(STATS_INTENT, "stats-intent", "what a request counts as is noted, and not counted")                          \
	X(STATS_HALF, "stats-half", "half of the counts are new")                                                      \
	X(STATS_COUNTED, "stats-counted", "the request is counted")                                                    \
	X(STATS_OVER, "stats-over", "the note is gone, the request has no outcome")                                    \
	X(MARKED, "marked", "the slot has a mark, the request has no outcome")                                         \
	X(RESERVE_WRITTEN, "reserve-written", "a copy of the new reservations is written")                             \
	X(RESERVE_SYNCED, "reserve-synced", "it is on the medium")                                                     \
	X(RESERVE_FOUND, "reserve-found", "a copy was found that nobody has published, perhaps not on the medium yet") \
	X(RESERVE_PUBLISHED, "reserve-published", "it counts")                                                         \
	X(OUTCOME_REPLY, "outcome-reply", "the reply's bytes are in the slot")                                         \
	X(OUTCOME_DONE, "outcome-done", "the slot is DONE")                                                            \
	X(OUTCOME_STATE, "outcome-state", "half of the device's state is new")                                         \
	X(OUTCOME_SEQUENCE, "outcome-sequence", "the device's state is new")                                           \
	X(COMMIT_ADD, "commit-add", "the slot's bit is set, the record not valid")                                     \
	X(COMMIT_RECORD, "commit-record", "the record is full, not valid")                                             \
	X(COMMIT_VALID, "commit-valid", "the record is valid, nothing published")                                      \
	X(COMMIT_PUBLISHED, "commit-published", "write_index is published")                                            \
	X(COMMIT_SIGNALLED, "commit-signalled", "the guest was signalled")                                             \
	X(COMMIT_CURSOR, "commit-cursor", "the write cursor is new")                                                   \
	X(COMMIT_COUNTED, "commit-counted", "the completions are counted")                                             \
	X(COMMIT_FREE, "commit-free", "one slot of the commit is FREE")                                                \
	X(COMMIT_OVER, "commit-over", "the record is not valid, its bits are set")                                     \
	X(OWN_WRITTEN, "own-written", "a packet of our own is in the ring, not published")                             \
	X(OWN_TABLE, "own-table", "the device has stored in its table what a packet of our own holds")                 \
	X(OWN_FREED, "own-freed", "the device has stored that it holds it no more")                                    \
	X(OWN_TOLD, "own-told", "the device has heard of completions, the cursor is old")                              \
	X(OWN_CURSOR, "own-cursor", "the cursor is behind them")                                                       \
	X(OWN_SENT, "own-sent", "packets of our own are counted")                                                      \
	X(RECOVER_CHECKED, "recover-checked", "the block was found sound")                                             \
	X(RECOVER_ACCEPT, "recover-accept", "the newest slot's cursor is taken")                                       \
	X(RECOVER_STATE, "recover-state", "the device's state is put right")                                           \
	X(RECOVER_PUBLISHED, "recover-published", "both indices are published")                                        \
	X(RECOVER_COMMIT, "recover-commit", "the commit is finished")                                                  \
	X(RECOVER_TRIAL, "recover-trial", "a request is marked as on trial")                                           \
	X(RECOVER_REPLAY, "recover-replay", "a request was given to the device")                                       \
	X(RECOVER_SIGNALLED, "recover-signalled", "the guest was signalled")                                           \
	X(NET_ANSWER_WRITTEN, "net-answer-written", "an RNDIS answer is in the ring, its number not stored")           \
	X(NET_ANSWER_NUMBERED, "net-answer-numbered", "the number is stored, the answer not published")                \
	X(NET_LINK_WRITTEN, "net-link-written", "the guest is told of the link, that is not stored")                   \
	X(NET_FRAME_SENT, "net-frame-sent", "the port has a frame of the guest's")                                     \
	X(NET_FRAME_TAKEN, "net-frame-taken", "the port has given a frame for the guest, which is in no section")      \
	X(NET_FRAME_RECEIVED, "net-frame-received", "a frame for the guest is in its sections")                        \
	X(NET_FRAMES_GIVEN, "net-frames-given", "a packet with frames is in the ring")                                 \
	X(HAND_OVER, "hand-over", "the last request in flight is done")

enum death_point {
#define X(id, name, what) DEATH_AT_##id,
	DEATH_POINTS(X)
#undef X
};

#ifdef BULKHEAD_DEATHS
void death(enum death_point point);
/** death_generation - how many processes there were before: which entry counts from now on. */
void death_generation(unsigned int generation);
/** death_request - the device is given a request. */
void death_request(uint64_t transaction_id);
/** death_block - where the state block of the (only) channel lies. */
struct block_header;
void death_block(struct block_header *block);
/** death_list - print the points, a name a line. */
void death_list(void);
#define DEATH(id)		      death(DEATH_AT_##id)
#define DEATH_GENERATION(generation)  death_generation(generation)
#define DEATH_REQUEST(transaction_id) death_request(transaction_id)
#define DEATH_BLOCK(block)	      death_block(block)
#else
#define DEATH(id)		      ((void)0)
#define DEATH_GENERATION(generation)  ((void)(generation))
#define DEATH_REQUEST(transaction_id) ((void)(transaction_id))
#define DEATH_BLOCK(block)	      ((void)(block))
#endif

#endif
