/* SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "disk.h"

bool fault_any(const struct fault_settings *settings)
{
	return settings->rules > 0 || settings->has_cache || settings->flush_ignored || settings->power_off;
}

/* splitmix64: every state is good, zero too. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

#define GOLDEN UINT64_C(0x9e3779b97f4a7c15)

uint64_t fault_random(uint64_t *state, uint64_t bound)
{
	*state += GOLDEN;
	return mix(*state) % bound;
}

/* ---- rules ---- */

void fault_rules_init(struct fault_rules *rules, const struct fault_settings *settings)
{
	*rules = (struct fault_rules){.settings = settings, .random = settings->seed};
}

static bool touches(const struct fault_rule *rule, uint64_t offset, uint64_t len)
{
	return (!rule->to || offset < rule->to) && (offset >= rule->from || rule->from - offset < len);
}

static bool strikes(struct fault_rules *rules, size_t i, unsigned int op, uint64_t offset, uint64_t len)
{
	const struct fault_rule *rule = &rules->settings->rule[i];

	if (!(rule->ops & 1u << op) || (rule->times && rules->done[i] >= rule->times))
		return false;
	if (op != DISK_FLUSH && !touches(rule, offset, len))
		return false;
	if (rule->ppm < FAULT_PPM && fault_random(&rules->random, FAULT_PPM) >= rule->ppm)
		return false;
	rules->done[i] += rule->times > 0;
	return true;
}

struct fault_outcome fault_rules_apply(struct fault_rules *rules, unsigned int op, uint64_t offset, uint64_t len,
				       uint32_t block_bytes)
{
	struct fault_outcome outcome = {0};

	for (size_t i = 0; i < rules->settings->rules; i++) {
		const struct fault_rule *rule = &rules->settings->rule[i];

		if ((rule->effect != FAULT_DELAY && outcome.error) || !strikes(rules, i, op, offset, len))
			continue;
		if (rule->effect == FAULT_DELAY) {
			outcome.delay_ns +=
				1000 * (rule->delay_us +
					(rule->spread_us ? fault_random(&rules->random, rule->spread_us + 1) : 0));
			continue;
		}
		outcome.error = rule->error;
		if (rule->effect == FAULT_TORN && op == DISK_WRITE)
			outcome.done_len = fault_random(&rules->random, len / block_bytes) * block_bytes;
	}
	return outcome;
}

/* ---- the log ---- */

struct fault_entry *fault_entry_new(uint64_t offset, uint64_t len, bool landed)
{
	struct fault_entry *entry = malloc(sizeof(*entry) + (landed ? 0 : len));

	if (entry)
		*entry = (struct fault_entry){.offset = offset, .len = len, .landed = landed};
	return entry;
}

static size_t cost(const struct fault_entry *entry)
{
	return entry->landed ? FAULT_LANDED_COST : sizeof(*entry) + entry->len;
}

static void take_out(struct fault_log *log, struct fault_entry *entry, struct fault_entry *newer)
{
	*(newer ? &newer->next : &log->newest) = entry->next;
	log->bytes -= cost(entry);
	free(entry);
}

/* The links go from the newest to the oldest; those that go first are at the end. */
static void drop_oldest(struct fault_log *log)
{
	size_t left = FAULT_LOG_MAX / 8 * 7, sum = 0;
	struct fault_entry *keep = log->newest;

	while (keep->next && sum + cost(keep) + cost(keep->next) <= left) {
		sum += cost(keep);
		keep = keep->next;
	}
	while (keep->next)
		take_out(log, keep->next, keep);
}

void fault_log_add(struct fault_log *log, struct fault_entry *entry)
{
	if (entry->landed && !log->newest) {
		free(entry);
		return;
	}
	entry->next = log->newest;
	log->newest = entry;
	log->bytes += cost(entry);
	if (log->bytes > FAULT_LOG_MAX)
		drop_oldest(log);
}

void fault_log_forget(struct fault_log *log, uint64_t generation)
{
	struct fault_entry *newer = NULL, *entry = log->newest;

	while (entry) {
		struct fault_entry *next = entry->next;

		if (entry->generation <= generation)
			take_out(log, entry, newer);
		else
			newer = entry;
		entry = next;
	}
}

/* ---- a power cut ---- */

/* What is decided of a block, in a hash table of them. */
struct decision {
	uint64_t block; /* + 1; 0: a free place */
	bool settled;	/* a newer write of it has landed, or what is given back */
	const uint8_t *data;
};

struct decisions {
	struct decision *table;
	size_t mask, used;
};

static struct decision *decision_of(struct decisions *all, uint64_t block)
{
	size_t i = mix(block) & all->mask;

	while (all->table[i].block && all->table[i].block != block + 1)
		i = (i + 1) & all->mask;
	if (!all->table[i].block) {
		all->table[i].block = block + 1;
		all->used++;
	}
	return &all->table[i];
}

enum fate { LANDED, LOST, TORN, FATES };

/* What has landed for certain, of the entries up to where we are: by offset, none touches another. */
struct landed {
	struct span {
		uint64_t from, to;
	} * span;
	size_t spans;
};

/* The first span that ends at @offset or behind it. */
static size_t find_span(const struct landed *landed, uint64_t offset)
{
	size_t low = 0, high = landed->spans;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (landed->span[middle].to < offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* There is room for one span more. */
static void add_span(struct landed *landed, uint64_t from, uint64_t to)
{
	size_t at = find_span(landed, from), end = at;

	for (; end < landed->spans && landed->span[end].from <= to; end++) {
		from = MIN(from, landed->span[end].from);
		to = MAX(to, landed->span[end].to);
	}
	memmove(&landed->span[at + 1], &landed->span[end], (landed->spans - end) * sizeof(landed->span[0]));
	landed->span[at] = (struct span){from, to};
	landed->spans = landed->spans + 1 - (end - at);
}

/* Whether a newer entry says for certain what the block at @offset is. */
static bool covered(const struct landed *landed, uint64_t offset)
{
	size_t at = find_span(landed, offset + 1);

	return at < landed->spans && landed->span[at].from <= offset;
}

static void decide(struct decisions *all, const struct landed *newer, const struct fault_entry *entry, uint64_t *random,
		   uint32_t block_bytes)
{
	enum fate fate = (enum fate)fault_random(random, FATES);

	for (uint64_t at = 0; at < entry->len; at += block_bytes) {
		struct decision *decision = decision_of(all, (entry->offset + at) / block_bytes);
		bool landed = fate == LANDED || (fate == TORN && fault_random(random, 2));

		if (decision->settled)
			continue;
		if (landed || covered(newer, entry->offset + at))
			decision->settled = true;
		else
			decision->data = entry->old + at;
	}
}

/* From the newest to the oldest. */
static void decide_all(struct decisions *all, struct landed *landed, const struct fault_log *log, uint64_t seed,
		       uint32_t block_bytes)
{
	uint64_t random = seed;

	for (const struct fault_entry *e = log->newest; e; e = e->next) {
		if (e->landed)
			add_span(landed, e->offset, e->offset + e->len);
		else
			decide(all, landed, e, &random, block_bytes);
	}
}

static int by_offset(const void *a, const void *b)
{
	const struct fault_block *x = a, *y = b;

	return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Those that are not what they were last. */
static int collect(const struct decisions *all, uint32_t block_bytes, struct fault_block **ret, size_t *ret_count)
{
	struct fault_block *blocks = all->used ? calloc(all->used, sizeof(*blocks)) : NULL;
	size_t n = 0;

	if (all->used && !blocks)
		return -ENOMEM;
	for (size_t i = 0; i <= all->mask; i++)
		if (all->table[i].data)
			blocks[n++] = (struct fault_block){(all->table[i].block - 1) * block_bytes, all->table[i].data};
	if (n)
		qsort(blocks, n, sizeof(*blocks), by_offset);
	*ret = blocks;
	*ret_count = n;
	return 0;
}

int fault_log_cut(const struct fault_log *log, uint64_t seed, uint32_t block_bytes, struct fault_block **ret,
		  size_t *ret_count)
{
	struct decisions all = {.mask = 15};
	struct landed landed = {0};
	size_t blocks = 0, spans = 1;
	int r = -ENOMEM;

	for (const struct fault_entry *e = log->newest; e; e = e->next) {
		blocks += e->landed ? 0 : e->len / block_bytes;
		spans += e->landed;
	}
	while (all.mask < blocks * 2)
		all.mask = all.mask * 2 + 1;
	all.table = calloc(all.mask + 1, sizeof(*all.table));
	landed.span = calloc(spans, sizeof(*landed.span));
	if (all.table && landed.span) {
		decide_all(&all, &landed, log, seed, block_bytes);
		r = collect(&all, block_bytes, ret, ret_count);
	}
	free(all.table);
	free(landed.span);
	return r;
}
