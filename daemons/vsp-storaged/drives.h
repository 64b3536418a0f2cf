/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells the manager which drives have their tray open, or locked by the guest.
 *
 * Theory of operation: the controllers say that the state of a LUN has changed; DRIVES_PAUSE_NS later the drives are
 * looked at, and what is another than before is told. So a guest that plays with its tray tells at most so often.
 */
#ifndef STORAGED_DRIVES_H
#define STORAGED_DRIVES_H

#include "storaged.h"
#include "vsp/vsp.h"

#define DRIVES_PAUSE_NS (50 * NS_PER_MS)

struct drives;

/** drives_new - @vsp and @storaged outlive it. Return: 0 or a negative errno. */
int drives_new(struct loop *loop, struct vsp *vsp, struct storaged *storaged, struct drives **ret_drives);

/** drives_free - NULL is allowed. */
void drives_free(struct drives *drives);

/** drives_look - something has changed. @drives: a struct drives; NULL is allowed. */
void drives_look(void *drives);

#endif
