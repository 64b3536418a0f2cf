/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells the manager which drives have their tray open, or locked by the guest.
 *
 * Theory of operation: the controllers say that the state of a LUN has changed; TELL_PAUSE_NS later the drives are
 * looked at, and what is another than before is told. So a guest that plays with its tray tells at most so often.
 */
#ifndef STORAGED_TELL_H
#define STORAGED_TELL_H

#include "storaged.h"
#include "vsp/vsp.h"

#define TELL_PAUSE_NS (50 * NS_PER_MS)

struct tell;

/** tell_new - @vsp and @storaged outlive it. Return: 0 or a negative errno. */
int tell_new(struct loop *loop, struct vsp *vsp, struct storaged *storaged, struct tell **ret_tell);

/** tell_free - NULL is allowed. */
void tell_free(struct tell *tell);

/** tell_look - something has changed. @tell: a struct tell; NULL is allowed. */
void tell_look(void *tell);

#endif
