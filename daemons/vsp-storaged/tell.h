/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells the manager which drives have their tray open, or locked by the guest, and which disks are in an error state.
 *
 * Theory of operation: the controllers say that the state of a LUN has changed; TELL_PAUSE_NS later, and not sooner
 * than TELL_EVERY_NS after the last time, the LUNs are looked at, and what is another than before is told. So a guest
 * that plays with its tray, or writes where there is no space and where there is some, tells at most so often.
 */
#ifndef STORAGED_TELL_H
#define STORAGED_TELL_H

#include "storaged.h"
#include "vsp/vsp.h"

#define TELL_PAUSE_NS (50 * NS_PER_MS)
#define TELL_EVERY_NS (300 * NS_PER_MS)

struct tell;

/** tell_new - @vsp and @storaged outlive it. Return: 0 or a negative errno. */
int tell_new(struct loop *loop, struct vsp *vsp, struct storaged *storaged, struct tell **ret_tell);

/** tell_free - NULL is allowed. */
void tell_free(struct tell *tell);

/** tell_look - something has changed. @tell: a struct tell; NULL is allowed. */
void tell_look(void *tell);

#endif
