/* SPDX-License-Identifier: Apache-2.0 */
/* The polling mode: answers without the time that a sleeping thread takes to wake up, for the price of CPU time. */
#ifndef STORAGED_SPIN_H
#define STORAGED_SPIN_H

#include "engine.h"
#include "vsp/vsp.h"

/**
 * spin_run - loop_run(), but whenever something has happened the rings and the engine are looked at without a pause,
 * until there was nothing for @budget_ns (not 0). Return: as loop_run().
 */
int spin_run(struct loop *loop, struct vsp *vsp, struct engine *engine, uint64_t budget_ns);

#endif
