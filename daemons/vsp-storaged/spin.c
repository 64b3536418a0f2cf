/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: the thread sleeps in the loop until an event comes. Then it spins: guests are told not to kick,
 * and rings and completion queue are looked at in turn. After each find the budget begins anew. Once it is used up the
 * guests are told to kick again, the rings are looked at a last time (vsp_poll_end()), and the thread sleeps. Whatever
 * else the loop watches (the worker, timers, signals) has its turn every LOOP_NS.
 */
#include "spin.h"

#include "base/clock.h"

#define LOOP_NS 50000u
#define LOOKS	32u /* without a pause, before a look at the clock */

static void pause_cpu(void)
{
#ifdef __x86_64__
	__builtin_ia32_pause();
#endif
}

/* Return: whether there was anything to do. */
static bool look(struct vsp *vsp, struct engine *engine)
{
	bool any = false;

	for (unsigned int i = 0; i < LOOKS && !any; i++) {
		any = engine_poll(engine);
		any |= vsp_poll(vsp);
	}
	if (!any)
		pause_cpu();
	return any;
}

static int spin(struct loop *loop, struct vsp *vsp, struct engine *engine, uint64_t budget_ns)
{
	uint64_t now = clock_now_ns(), last = now, turn = now;
	int r = 0;

	engine_set_polling(engine, true);
	vsp_poll_begin(vsp);
	while (r == 0 && now - last < budget_ns && !loop_stopping(loop)) {
		bool any = look(vsp, engine);

		now = clock_now_ns();
		if (any)
			last = now;
		if (now - turn < LOOP_NS)
			continue;
		r = loop_run_once(loop, false);
		turn = now;
	}
	vsp_poll_end(vsp);
	engine_set_polling(engine, false);
	return r;
}

int spin_run(struct loop *loop, struct vsp *vsp, struct engine *engine, uint64_t budget_ns)
{
	int r = 0;

	while (r == 0 && !loop_stopping(loop)) {
		r = loop_run_once(loop, true);
		if (r == 0 && !loop_stopping(loop))
			r = spin(loop, vsp, engine, budget_ns);
	}
	return r;
}
