/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layers between a LUN and its back end: which there are, and their change while requests are in flight.
 *
 * Theory of operation: a layer is a disk that has another one below. Each kind has its place: throttle, fault, back
 * end. A layer that comes sees the requests that come after it; one that goes is taken out of the stack first, so that
 * nothing new reaches it, then lets go on what waits in it, and frees itself when nothing of it is under way. So no
 * request is lost or done twice, and none waits for the change. A flush speaks of what was complete before it came:
 * it may overtake what is under way, with or without a change.
 */
#ifndef STORAGED_LAYERS_H
#define STORAGED_LAYERS_H

#include "layer_fault.h"
#include "layer_throttle.h"
#include "settings.h"

/* Where layers are at home. */
struct layers {
	struct loop *loop;
	struct engine *engine;
	struct throttle_groups *groups;
};

/**
 * layers_set - make the layers over a back end those that @settings ask for, and what it does of zeroes and of blocks
 * that are given back.
 * @top: the outermost layer, or the back end; becomes the new one. Closing it closes all of them.
 * Return: 0; -ENOMEM: it has those of them that could be made.
 */
int layers_set(const struct layers *layers, const struct lun_settings *settings, struct disk **top);

/** layers_find - the layer of this kind, NULL if there is none. */
struct disk *layers_find(struct disk *top, const struct disk_ops *ops);

#endif
