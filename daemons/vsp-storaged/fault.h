/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults of a disk, for tests: which request fails, how long one takes, and what a power cut leaves. No I/O here.
 *
 * Theory of operation of the log: the disk below has what was written at once; what was there before is kept here until
 * a flush, or a write with FUA, makes it good. A power cut decides, for each write that no flush has covered, whether
 * it has landed, or is lost, or is torn: of its blocks some have landed. fault_log_cut() then says what the blocks
 * become: what was there before the first write after the last one that has landed. The same seed and the same writes
 * give the same end. So a process that ends without a power cut loses nothing: the writes are below.
 *
 * Limits: FAULT_LOG_MAX bytes of log, where a write that has landed for certain counts as FAULT_LANDED_COST of them;
 * beyond, the oldest writes count as landed, as a cache writes down what does not fit any more. So a guest that never
 * flushes has a log of that size, and of so many blocks at most a cut takes any back. What is given back or zeroed is
 * so at once.
 */
#ifndef STORAGED_FAULT_H
#define STORAGED_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAULT_RULES_MAX	   8u
#define FAULT_DELAY_MAX_US 60000000u
#define FAULT_PPM	   1000000u
#define FAULT_LOG_MAX	   (64u << 20)
#define FAULT_LANDED_COST  4096u

enum fault_effect {
	FAULT_ERROR, /* it fails, and nothing is done */
	FAULT_TORN,  /* of a write the first blocks are done, then it fails; what is no write fails */
	FAULT_DELAY, /* it begins later */
	FAULT_EFFECTS,
};

struct fault_rule {
	enum fault_effect effect;
	uint32_t ops;		      /* 1 << enum disk_op */
	uint64_t from, to;	      /* bytes, of requests that touch this; to is 0: up to the end */
	uint32_t ppm;		      /* how many of a million */
	uint32_t times;		      /* how often, then never again; 0: always */
	int error;		      /* ERROR, TORN: a negative errno */
	uint32_t delay_us, spread_us; /* DELAY: at least, and up to so much more */
};

struct fault_settings {
	struct fault_rule rule[FAULT_RULES_MAX];
	size_t rules;
	bool has_cache;	    /* what was written and not flushed is lost when the power is cut */
	bool flush_ignored; /* flushes and FUA are acknowledged and do not save from that */
	bool power_off;	    /* every request fails */
	uint64_t seed;
};

/** fault_any - whether @settings ask for anything. */
bool fault_any(const struct fault_settings *settings);

/* A number from 0 to below @bound, from a sequence that @state holds. */
uint64_t fault_random(uint64_t *state, uint64_t bound);

/* ---- rules ---- */

struct fault_rules {
	const struct fault_settings *settings;
	uint32_t done[FAULT_RULES_MAX]; /* how often each has struck */
	uint64_t random;
};

/* What is to become of a request. */
struct fault_outcome {
	int error;	   /* 0: none */
	uint64_t done_len; /* with an error: so many bytes of it are done */
	uint64_t delay_ns;
};

/** fault_rules_init - @settings stay the caller's, as long as the rules are used. */
void fault_rules_init(struct fault_rules *rules, const struct fault_settings *settings);

/** fault_rules_apply - the first rule that makes it fail and all that delay it. @op: enum disk_op. */
struct fault_outcome fault_rules_apply(struct fault_rules *rules, unsigned int op, uint64_t offset, uint64_t len,
				       uint32_t block_bytes);

/* ---- the log ---- */

/* A write. Made by fault_entry_new(); fault_log_add() takes it over. */
struct fault_entry {
	struct fault_entry *next; /* the older one */
	uint64_t generation;
	uint64_t offset, len;
	bool landed; /* for certain: there is nothing in old */
	uint8_t old[];
};

struct fault_log {
	struct fault_entry *newest;
	uint64_t generation; /* of writes that begin now; a flush closes it */
	size_t bytes;
};

/** fault_entry_new - room for what @len bytes are before the write. @landed: none is needed. NULL: no memory. */
struct fault_entry *fault_entry_new(uint64_t offset, uint64_t len, bool landed);

/** fault_log_add - a write has ended; none that overlaps with it may be under way. One that has landed may be freed at
 * once: it says nothing where there is no older one. */
void fault_log_add(struct fault_log *log, struct fault_entry *entry);

/** fault_log_forget - all writes of @generation and before are on the medium. UINT64_MAX: empty the log. */
void fault_log_forget(struct fault_log *log, uint64_t generation);

/* A block that gets back what it was. */
struct fault_block {
	uint64_t offset;
	const uint8_t *data; /* in the log */
};

/**
 * fault_log_cut - what a power cut now leaves: blocks that are to be written, by offset; each once.
 * @ret: heap, free() it; NULL if there are none. They are valid until the log changes.
 * Return: 0 or -ENOMEM.
 */
int fault_log_cut(const struct fault_log *log, uint64_t seed, uint32_t block_bytes, struct fault_block **ret,
		  size_t *ret_count);

#endif
