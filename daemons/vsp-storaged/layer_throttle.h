/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer that delays requests so that a disk, or a group of disks together, keeps to its limits.
 *
 * Theory of operation: a request that may start goes straight to the disk below; one that may not waits in the layer,
 * reads and writes apart, each in order. A group's timer fires when the first of those that wait may start; the disks
 * of a group take turns. Flushes wait for nobody: they speak of what is complete.
 */
#ifndef STORAGED_LAYER_THROTTLE_H
#define STORAGED_LAYER_THROTTLE_H

#include "disk.h"
#include "ipc/loop.h"
#include "throttle.h"

#define THROTTLE_GROUP_MAX 64u /* characters */

extern const struct disk_ops layer_throttle;

struct throttle_groups; /* those of one process */
struct throttle_group;

/** throttle_groups_new - none yet. @loop, @engine: must outlive them. Return: 0, -ENOMEM. */
int throttle_groups_new(struct loop *loop, struct engine *engine, struct throttle_groups **ret_groups);

/** throttle_groups_free - Context: no layer is left. NULL is allowed. */
void throttle_groups_free(struct throttle_groups *groups);

/**
 * layer_throttle_open - put a layer on @below, which is the layer's from then on.
 * @name:     the group, whose limits become @settings for all that are in it; NULL or "": this disk alone.
 * @ret_disk: the layer: disk_close() it when nothing is in flight; that closes @below, too.
 * Return: 0; -ENOMEM: @below is the caller's still.
 */
int layer_throttle_open(struct throttle_groups *groups, const char *name, const struct throttle_settings *settings,
			struct disk *below, struct disk **ret_disk);

/**
 * layer_throttle_set - other limits for @disk, a layer of this kind, and for its group, from now on.
 * @name: the group; another one than before: the disk moves there, with all that waits.
 * Return: 0; -ENOMEM: all is as it was.
 */
int layer_throttle_set(struct disk *disk, const char *name, const struct throttle_settings *settings);

#endif
