/* SPDX-License-Identifier: Apache-2.0 */
/* The polling mode: answers without the time that a sleeping thread takes to wake up, for the price of CPU time. */
#ifndef STORAGED_SPIN_H
#define STORAGED_SPIN_H

#include "engine.h"
#include "vsp/vsp.h"

#define SPIN_NS_MAX 10000000u /* with more the thread would hardly ever sleep */

/**
 * spin_run - loop_run(), but whenever something has happened the rings and the engine are looked at without a pause,
 * until there was nothing for @budget_ns (1 to SPIN_NS_MAX). Return: as loop_run().
 */
int spin_run(struct loop *loop, struct vsp *vsp, struct engine *engine, uint64_t budget_ns);

#endif
