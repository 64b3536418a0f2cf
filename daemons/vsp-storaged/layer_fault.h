/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer that lets a disk fail as it is told, for tests: errors, torn writes, delays, a cut of its power. What it
 * decides is fault.h's; here is the I/O.
 *
 * Theory of operation: what no rule concerns goes straight to the disk below. The rest flies through these stages:
 *
 *   DELAYED --> WAITING --> SAVING --> BELOW --> done
 *
 * DELAYED until its time has come. With a cache, writes (and what discards or zeroes) go on: WAITING while one that
 * overlaps is under way, or, a flush, while a write before it is; SAVING while what the write will replace is read for
 * the log; BELOW while the disk below has it. A flush that has succeeded empties the log of all that came before it.
 *
 * The power is ON, CUTTING, or OFF. CUTTING: what waits fails, new requests fail; what the disk below has comes to its
 * end; then the blocks that the cut takes back are written, and the power is OFF: all requests fail with -ENODEV. ON
 * again, the disk has what the cut has left.
 *
 * What a process that ends without a power cut leaves is all that was written: its successor begins with an empty log.
 * One that ends while it takes blocks back leaves some of them as if they had landed, and its successor is OFF at once.
 */
#ifndef STORAGED_LAYER_FAULT_H
#define STORAGED_LAYER_FAULT_H

#include "disk.h"
#include "fault.h"
#include "ipc/loop.h"

extern const struct disk_ops layer_fault;

/**
 * layer_fault_open - put a layer on @below, which is the layer's from then on.
 * @settings: copied. With power_off it is OFF at once: what is below is not touched.
 * @ret_disk: the layer: disk_close() it when nothing is in flight; that closes @below, too.
 * Return: 0; -ENOMEM: @below is the caller's still.
 */
int layer_fault_open(struct loop *loop, struct engine *engine, const struct fault_settings *settings,
		     struct disk *below, struct disk **ret_disk);

/** layer_fault_set - other faults for @disk, a layer of this kind, from now on; rules count anew. With power_off where
 * it was not set, the power is cut, with what the log has. Without has_cache, all in the log has landed. */
void layer_fault_set(struct disk *disk, const struct fault_settings *settings);

/** layer_fault_is_off - whether its power is off, or being cut. @disk: NULL: there is no such layer, it is on. */
bool layer_fault_is_off(const struct disk *disk);

/* What a cut has done. */
struct fault_cut {
	int error;     /* -ENOMEM: there was no cut, the power is ON */
	size_t blocks; /* that were taken back */
	size_t failed; /* of them; they count as landed */
};

/** layer_fault_when_cut - call @done once the power is not being cut any more; at once, if it is not. One at a time;
 * NULL: never mind. */
void layer_fault_when_cut(struct disk *disk, void (*done)(void *arg, const struct fault_cut *cut), void *arg);

#endif
