/* SPDX-License-Identifier: Apache-2.0 */
#include "layer_fault.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/clock.h"

#define CUT_BLOCKS_MAX 64u /* written back at once */

enum stage { DELAYED, WAITING, SAVING, BELOW };
enum power { ON, CUTTING, OFF };

/* A request on its way through the layer. */
struct flight {
	struct flight *next, *prev;
	struct layer *layer;
	enum stage stage;
	struct disk_request *outer;
	struct disk_request inner; /* to the disk below */
	struct disk_request old;   /* reads what it will replace */
	struct iovec old_iov;
	struct fault_outcome outcome;
	uint64_t due_ns;     /* DELAYED */
	bool tracked;	     /* the log is about it: it has these */
	uint64_t generation; /* of the log; of a flush: it closes that */
	uint64_t order;	     /* in which they went into WAITING */
	struct fault_entry *entry;
};

/* The writing back of a cut. */
struct taking_back {
	struct fault_block *blocks;
	size_t count, at;
	struct iovec iov[CUT_BLOCKS_MAX];
	struct disk_request request;
	struct fault_cut outcome;
};

struct layer {
	struct disk disk;
	struct engine *engine;
	struct loop_source *timer;
	struct fault_settings settings;
	struct fault_rules rules;
	struct fault_log log;
	struct flight *first, *last;
	uint64_t orders;
	enum power power;
	struct taking_back cut;
	void (*cut_done)(void *arg, const struct fault_cut *cut);
	void *cut_arg;
	unsigned int inside; /* functions that use the layer after a done() */
	bool leaving;
};

static struct layer *to_layer(struct disk *disk)
{
	return CONTAINER_OF(disk, struct layer, disk);
}

static void layer_free(struct layer *layer)
{
	fault_log_forget(&layer->log, UINT64_MAX);
	free(layer->cut.blocks);
	loop_remove(&layer->timer);
	free(layer);
}

static void enter(struct layer *layer)
{
	layer->inside++;
}

static void let_go(struct layer *layer)
{
	if (--layer->inside == 0 && layer->leaving && !layer->first)
		layer_free(layer);
}

/* ---- flights ---- */

static void go_on(struct layer *layer);

static void flight_free(struct flight *flight)
{
	struct layer *layer = flight->layer;

	*(flight->prev ? &flight->prev->next : &layer->first) = flight->next;
	*(flight->next ? &flight->next->prev : &layer->last) = flight->prev;
	free(flight->entry);
	free(flight);
}

static void finish(struct flight *flight, int result)
{
	struct disk_request *outer = flight->outer;
	struct layer *layer = flight->layer;

	enter(layer);
	flight_free(flight);
	outer->done(outer, result);
	go_on(layer);
	let_go(layer);
}

static bool changes_blocks(const struct flight *flight)
{
	return flight->tracked && flight->inner.op != DISK_FLUSH;
}

static void log_end(struct flight *flight, int result)
{
	struct layer *layer = flight->layer;

	if (flight->inner.op == DISK_FLUSH && result == 0)
		fault_log_forget(&layer->log, flight->generation);
	if (!flight->entry || !layer->settings.has_cache || (flight->entry->landed && result < 0))
		return;
	flight->entry->generation = flight->generation;
	fault_log_add(&layer->log, flight->entry);
	flight->entry = NULL;
}

static void below_done(struct disk_request *request, int result)
{
	struct flight *flight = CONTAINER_OF(request, struct flight, inner);

	if (flight->tracked)
		log_end(flight, result);
	finish(flight, result < 0 || !flight->outcome.error ? result : flight->outcome.error);
}

static void submit_below(struct flight *flight)
{
	flight->stage = BELOW;
	flight->inner.done = below_done;
	disk_submit(flight->layer->disk.below, &flight->inner);
}

static void old_done(struct disk_request *request, int result)
{
	struct flight *flight = CONTAINER_OF(request, struct flight, old);

	if (result == 0 && flight->layer->power != ON)
		result = -ENODEV;
	if (result < 0)
		finish(flight, result);
	else
		submit_below(flight);
}

static void save_old(struct flight *flight)
{
	flight->stage = SAVING;
	flight->old_iov = (struct iovec){flight->entry->old, flight->inner.len};
	flight->old = (struct disk_request){
		.op = DISK_READ,
		.offset = flight->inner.offset,
		.len = flight->inner.len,
		.iov = &flight->old_iov,
		.iovs = 1,
		.done = old_done,
	};
	disk_submit(flight->layer->disk.below, &flight->old);
}

/* It waits for nobody any more. */
static void start(struct flight *flight)
{
	const struct layer *layer = flight->layer;
	bool landed = flight->inner.op != DISK_WRITE ||
		      ((flight->inner.fua || layer->disk.write_through) && !layer->settings.flush_ignored);

	if (flight->inner.op == DISK_FLUSH || !layer->settings.has_cache) {
		submit_below(flight);
		return;
	}
	flight->entry = fault_entry_new(flight->inner.offset, flight->inner.len, landed);
	if (!flight->entry)
		finish(flight, -ENOMEM);
	else if (landed)
		submit_below(flight);
	else
		save_old(flight);
}

/* ---- who waits for whom ---- */

static bool overlap(const struct disk_request *a, const struct disk_request *b)
{
	return a->offset < b->offset + b->len && b->offset < a->offset + a->len;
}

static bool must_wait(const struct flight *flight)
{
	for (const struct flight *other = flight->layer->first; other; other = other->next) {
		if (other == flight || !changes_blocks(other) || other->stage == DELAYED)
			continue;
		if (flight->inner.op == DISK_FLUSH) {
			if (other->generation <= flight->generation)
				return true;
		} else if ((other->stage != WAITING || other->order < flight->order) &&
			   overlap(&other->inner, &flight->inner)) {
			return true;
		}
	}
	return false;
}

static struct flight *next_to_start(struct layer *layer)
{
	struct flight *flight = layer->first;

	while (flight && (flight->stage != WAITING || must_wait(flight)))
		flight = flight->next;
	return flight;
}

static void take_back(struct layer *layer);

static void go_on(struct layer *layer)
{
	struct flight *flight;

	enter(layer);
	while (layer->power == ON && (flight = next_to_start(layer)))
		start(flight);
	if (layer->power == CUTTING && !layer->first && !layer->cut.blocks)
		take_back(layer);
	let_go(layer);
}

/* Of a write only the beginning. */
static void shorten(struct disk_request *request, uint64_t len)
{
	unsigned int n = 0;

	request->len = len;
	while (len > 0) {
		request->iov[n].iov_len = MIN(request->iov[n].iov_len, (size_t)len);
		len -= request->iov[n++].iov_len;
	}
	request->iovs = n;
}

/* Its delay is over. */
static void go(struct flight *flight)
{
	struct layer *layer = flight->layer;

	if (flight->outcome.error && !flight->outcome.done_len) {
		finish(flight, flight->outcome.error);
		return;
	}
	if (flight->outcome.error)
		shorten(&flight->inner, flight->outcome.done_len);
	if (flight->inner.op == DISK_FLUSH && layer->settings.flush_ignored) {
		finish(flight, 0);
		return;
	}
	if (!layer->settings.has_cache || flight->inner.op == DISK_READ) {
		submit_below(flight);
		return;
	}
	flight->stage = WAITING;
	flight->tracked = true;
	flight->order = layer->orders++;
	flight->generation = flight->inner.op == DISK_FLUSH ? layer->log.generation++ : layer->log.generation;
	go_on(layer);
}

/* ---- delays ---- */

static void arm(struct layer *layer)
{
	uint64_t now = clock_now_ns(), next = UINT64_MAX;

	for (const struct flight *flight = layer->first; flight; flight = flight->next)
		if (flight->stage == DELAYED)
			next = MIN(next, flight->due_ns);
	if (next == UINT64_MAX)
		loop_disarm(layer->timer);
	else
		loop_arm(layer->timer, next > now ? next - now : 0);
}

static struct flight *next_due(struct layer *layer, uint64_t now)
{
	struct flight *flight = layer->first;

	while (flight && (flight->stage != DELAYED || flight->due_ns > now))
		flight = flight->next;
	return flight;
}

static void go_all_until(struct layer *layer, uint64_t now)
{
	struct flight *flight;

	while ((flight = next_due(layer, now)))
		go(flight);
}

static void on_timer(void *arg)
{
	struct layer *layer = arg;
	struct engine *engine = layer->engine;

	enter(layer);
	go_all_until(layer, clock_now_ns());
	go_on(layer);
	arm(layer);
	let_go(layer);
	engine_flush(engine);
}

/* ---- requests ---- */

static struct flight *flight_new(struct layer *layer, struct disk_request *outer)
{
	struct flight *flight = calloc(1, sizeof(*flight));

	if (!flight)
		return NULL;
	flight->layer = layer;
	flight->outer = outer;
	flight->inner.op = outer->op;
	flight->inner.fua = outer->fua && !layer->settings.flush_ignored;
	flight->inner.offset = outer->offset;
	flight->inner.len = outer->len;
	flight->inner.iov = outer->iov;
	flight->inner.iovs = outer->iovs;
	flight->prev = layer->last;
	*(layer->last ? &layer->last->next : &layer->first) = flight;
	layer->last = flight;
	return flight;
}

static void fault_submit(struct disk *disk, struct disk_request *request)
{
	struct layer *layer = to_layer(disk);
	struct fault_outcome outcome;
	struct flight *flight;

	if (layer->power != ON) {
		request->done(request, -ENODEV);
		return;
	}
	outcome = fault_rules_apply(&layer->rules, request->op, request->offset, request->len, disk->block_bytes);
	if (!outcome.error && !outcome.delay_ns && (!layer->settings.has_cache || request->op == DISK_READ) &&
	    !(layer->settings.flush_ignored && request->op == DISK_FLUSH)) {
		disk_submit(disk->below, request);
		return;
	}
	flight = flight_new(layer, request);
	if (!flight) {
		request->done(request, -ENOMEM);
		return;
	}
	flight->outcome = outcome;
	if (!outcome.delay_ns) {
		go(flight);
		return;
	}
	flight->stage = DELAYED;
	flight->due_ns = clock_now_ns() + outcome.delay_ns;
	arm(layer);
}

/* Who waits for it goes on from the loop: the caller may be walking over its requests. */
static bool fault_cancel(struct disk *disk, struct disk_request *request)
{
	struct layer *layer = to_layer(disk);
	struct flight *flight = layer->first;

	while (flight && flight->outer != request)
		flight = flight->next;
	if (!flight)
		return disk_cancel(disk->below, request);
	if (flight->stage == SAVING || (flight->stage == BELOW && !disk_cancel(disk->below, &flight->inner)))
		return false;
	flight_free(flight);
	loop_arm(layer->timer, 0);
	return true;
}

/* ---- the power ---- */

static void cut_end(struct layer *layer, int error)
{
	void (*done)(void *arg, const struct fault_cut *cut) = layer->cut_done;

	layer->cut.outcome.error = error;
	free(layer->cut.blocks);
	layer->cut.blocks = NULL;
	fault_log_forget(&layer->log, UINT64_MAX);
	layer->power = error || !layer->settings.power_off ? ON : OFF;
	layer->settings.power_off = layer->power == OFF;
	layer->cut_done = NULL;
	if (done)
		done(layer->cut_arg, &layer->cut.outcome);
}

static void take_back_next(struct layer *layer);

static void taken_back(struct disk_request *request, int result)
{
	struct layer *layer = CONTAINER_OF(request, struct layer, cut.request);

	if (result < 0)
		layer->cut.outcome.failed += request->len / layer->disk.block_bytes;
	take_back_next(layer);
}

/* As many neighbours as go into one write. */
static void take_back_next(struct layer *layer)
{
	struct taking_back *cut = &layer->cut;
	uint32_t block_bytes = layer->disk.block_bytes;
	unsigned int n = 0;

	if (cut->at == cut->count) {
		cut_end(layer, 0);
		return;
	}
	cut->request = (struct disk_request){
		.op = DISK_WRITE, .offset = cut->blocks[cut->at].offset, .iov = cut->iov, .done = taken_back};
	while (n < CUT_BLOCKS_MAX && (uint64_t)(n + 1) * block_bytes <= DISK_MAX_TRANSFER && cut->at < cut->count &&
	       cut->blocks[cut->at].offset == cut->request.offset + (uint64_t)n * block_bytes)
		cut->iov[n++] = (struct iovec){(void *)cut->blocks[cut->at++].data, block_bytes};
	cut->request.iovs = n;
	cut->request.len = (uint64_t)n * block_bytes;
	disk_submit(layer->disk.below, &cut->request);
}

static void take_back(struct layer *layer)
{
	struct taking_back *cut = &layer->cut;
	int r;

	*cut = (struct taking_back){0};
	r = fault_log_cut(&layer->log, layer->settings.seed, layer->disk.block_bytes, &cut->blocks, &cut->count);
	cut->outcome.blocks = cut->count;
	if (r < 0 || cut->count == 0)
		cut_end(layer, r);
	else
		take_back_next(layer);
}

static void cut_begin(struct layer *layer)
{
	struct flight *flight, *next;

	enter(layer);
	layer->power = CUTTING;
	for (flight = layer->first; flight; flight = next) {
		next = flight->next;
		if (flight->stage != DELAYED && flight->stage != WAITING)
			continue;
		finish(flight, -ENODEV);
		next = layer->first;
	}
	go_on(layer);
	let_go(layer);
}

void layer_fault_set(struct disk *disk, const struct fault_settings *settings)
{
	struct layer *layer = to_layer(disk);
	bool cut = settings->power_off && layer->power == ON;

	if (!cut && !settings->has_cache)
		fault_log_forget(&layer->log, UINT64_MAX);
	layer->settings = *settings;
	fault_rules_init(&layer->rules, &layer->settings);
	if (cut)
		cut_begin(layer);
	else if (!settings->power_off && layer->power == OFF)
		layer->power = ON;
}

bool layer_fault_is_off(const struct disk *disk)
{
	return disk && CONTAINER_OF(disk, const struct layer, disk)->power != ON;
}

void layer_fault_when_cut(struct disk *disk, void (*done)(void *arg, const struct fault_cut *cut), void *arg)
{
	struct layer *layer = to_layer(disk);

	layer->cut_done = done;
	layer->cut_arg = arg;
	if (done && layer->power != CUTTING) {
		layer->cut_done = NULL;
		done(arg, &layer->cut.outcome);
	}
}

/* ---- open and close ---- */

int layer_fault_open(struct loop *loop, struct engine *engine, const struct fault_settings *settings,
		     struct disk *below, struct disk **ret_disk)
{
	struct layer *layer = calloc(1, sizeof(*layer));
	int r = layer ? loop_add_timer(loop, on_timer, layer, &layer->timer) : -ENOMEM;

	if (r < 0) {
		free(layer);
		return -ENOMEM;
	}
	layer->disk = *below;
	layer->disk.ops = &layer_fault;
	layer->disk.below = below;
	layer->engine = engine;
	layer->settings = *settings;
	layer->power = settings->power_off ? OFF : ON;
	fault_rules_init(&layer->rules, &layer->settings);
	*ret_disk = &layer->disk;
	return 0;
}

static void fault_leave(struct disk *disk)
{
	struct layer *layer = to_layer(disk);

	enter(layer);
	layer->leaving = true;
	layer->power = ON;
	layer->settings = (struct fault_settings){0};
	fault_rules_init(&layer->rules, &layer->settings);
	go_all_until(layer, UINT64_MAX);
	go_on(layer);
	let_go(layer);
}

static void fault_close(struct disk *disk)
{
	struct layer *layer = to_layer(disk);
	struct disk *below = disk->below;

	while (layer->first)
		flight_free(layer->first);
	layer_free(layer);
	disk_close(below);
}

const struct disk_ops layer_fault = {
	.name = "fault",
	.submit = fault_submit,
	.cancel = fault_cancel,
	.resize = disk_resize_below,
	.set_provisioning = disk_set_provisioning_below,
	.leave = fault_leave,
	.close = fault_close,
};
