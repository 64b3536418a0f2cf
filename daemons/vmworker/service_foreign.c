// SPDX-License-Identifier: Apache-2.0
/*
 * Theory of operation: processes of a provider that the service manager runs, and restarts. Of each we hold a pidfd,
 * which tells that it has ended; how, only its parent learns. That has a program run after each end, before it starts
 * the next process, which tells us (service_told()); our answer lets the next one start, and so is where the back-off
 * lies.
 *
 *	attached --its connection ends--> lost --told--> judged: message, own fault, pause --answer--> the next one
 *                                         +--the next one attaches untold: judged as what nobody knows
 *
 * What is told is bound to the process by its invocation: a random number which the service manager gives both, and the
 * process has told us itself when it attached. It is taken once, and only of a process that has ended. Of one that has
 * never attached it is a message and a reason to pause, but no death, and no fault.
 *
 * Upgrade: HANDING_OVER: the old one stops. ENDING: it was asked to end; its connection stays, for who loses it takes
 * the VM to be over, and is not started again. TAKING_OVER: whoever attaches then is the new one. If that ends there is
 *no old program to go back to: the upgrade has failed, and the VM waits for one that can serve.
 *
 * Limits: nobody can be told to start a process; a unit that was stopped stays so. Where Landlock keeps our signals
 *from others (Linux 6.12) a process that hangs is only dropped: the service manager's own watchdog ends it.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "provider.h"
#include "service_int.h"

static bool has_ended(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

/* ---- how it ended ---- */

static void answer_teller(struct service *s, const struct err *err)
{
	static const struct err none;
	service_done_fn teller = s->foreign.teller;

	s->foreign.teller = NULL;
	if (teller)
		teller(s->foreign.teller_arg, err ? err : &none);
}

/* @status: of the last one that was lost; -1: nobody knows. Return: how long the next one should wait. */
static uint64_t judge(struct provider *provider, int status)
{
	struct service *s = &provider->service;
	struct service_foreign *f = &s->foreign;
	const struct service_death death = {status, f->ready_ns, f->lost_ns, f->hung};
	uint64_t delay_ns = service_judge_death(s, &death);

	s->at_fault = f->hung || service_own_fault(status);
	f->untold = false;
	if (f->newcomer)
		service_upgrade_fail(provider, -EREMOTEIO, s->message);
	f->newcomer = false;
	return delay_ns;
}

void service_foreign_lost(struct provider *provider)
{
	struct service *s = &provider->service;
	struct service_foreign *f = &s->foreign;

	if (s->planned) {
		s->message[0] = '\0';
	} else {
		service_count_death(s);
		if (!s->hung)
			snprintf(s->message, sizeof(s->message), "its connection has ended");
		f->untold = true;
		f->ready_ns = s->ready_ns;
		f->hung = s->hung;
		f->lost_ns = s->hung ? s->watch.life_ns : clock_now_ns();
		f->newcomer = s->upgrade == UPGRADE_TAKING_OVER;
	}
	s->planned = s->hung = false;
	s->ready_ns = 0;
	fd_close(&s->before_fd);
	s->before_fd = take_fd(&s->now_fd);
	if (s->upgrade == UPGRADE_HANDING_OVER || s->upgrade == UPGRADE_ENDING) {
		s->upgrade = UPGRADE_TAKING_OVER;
		service_be_patient(provider, SERVICE_UPGRADE_NS);
	}
}

static int check_end(const struct provider *provider, const struct service_end *end, struct err *err)
{
	const struct service *s = &provider->service;
	const struct service_foreign *f = &s->foreign;
	bool same = !strcmp(f->invocation, end->invocation);
	int fd = provider->now.ops ? s->now_fd : s->before_fd;

	if (s->program_fd >= 0)
		return err_set(err, -EPERM, "provider %s: the worker runs %s itself, and knows how it ended",
			       provider->name, s->program);
	if (!strcmp(f->told, end->invocation))
		return err_set(err, -EALREADY, "provider %s: the end of invocation %s was told before", provider->name,
			       end->invocation);
	if (provider->now.ops && !same)
		return err_set(err, -EBUSY,
			       "provider %s: process %d is attached, and is not invocation %s, of whose end was told",
			       provider->name, (int)provider->now.pid, end->invocation);
	if (same && fd >= 0 && !has_ended(fd))
		return err_set(err, -EBUSY, "provider %s: it was told how invocation %s has ended, but it has not",
			       provider->name, end->invocation);
	return 0;
}

/* @program: or what else is known of it. */
static void describe(struct provider *provider, const char *program, const struct service_end *end)
{
	struct service *s = &provider->service;
	size_t len;

	service_describe_end(s, program, end->status);
	len = strlen(s->message);
	if (end->result[0])
		snprintf(s->message + len, sizeof(s->message) - len, " (%s)", end->result);
	log_warn(provider->name, "%s", s->message);
}

/* Of one that has never attached. Return: how long the next one should wait. */
static uint64_t told_of_stranger(struct provider *provider, const struct service_end *end)
{
	struct service *s = &provider->service;

	if (s->foreign.untold)
		judge(provider, -1);
	if (s->refusal[0])
		snprintf(s->message, sizeof(s->message), "%.*s", (int)sizeof(s->message) - 1, s->refusal);
	else
		describe(provider, "its next process, which did not come to serve,", end);
	s->refusal[0] = '\0';
	if (s->upgrade == UPGRADE_TAKING_OVER)
		service_upgrade_fail(provider, -EREMOTEIO, s->message);
	return service_back_off(s);
}

/* Who was attached last has ended. */
static uint64_t told_of_last(struct provider *provider, const struct service_end *end)
{
	struct service *s = &provider->service;

	bus_provider_ended(provider->bus);
	if (!s->foreign.untold)
		return 0;
	if (!s->foreign.hung) /* which has told already */
		describe(provider, s->said, end);
	return judge(provider, end->status);
}

void service_told(struct provider *provider, const struct service_end *end, service_done_fn done, void *arg)
{
	struct service *s = &provider->service;
	struct service_foreign *f = &s->foreign;
	struct err err = {0};
	uint64_t delay_ns = 0;

	if (check_end(provider, end, &err) < 0) {
		done(arg, &err);
		return;
	}
	if (provider->now.ops) { /* the end of its connection is still to be read */
		service_away(provider);
		provider_drop_now(provider);
		service_foreign_lost(provider);
	}
	memcpy(f->told, end->invocation, sizeof(f->told));
	if (strcmp(f->invocation, end->invocation) != 0)
		delay_ns = told_of_stranger(provider, end);
	else
		delay_ns = told_of_last(provider, end);
	err_set(&err, -ECANCELED, "provider %s: the end of another process was told", provider->name);
	answer_teller(s, &err);
	f->teller = done;
	f->teller_arg = arg;
	if (delay_ns && !s->stopping) {
		s->pausing = true;
		loop_arm(s->pause, delay_ns);
	} else {
		answer_teller(s, NULL);
	}
	service_changed(provider);
}

void service_foreign_go_on(struct provider *provider)
{
	struct service *s = &provider->service;

	s->pausing = false;
	loop_disarm(s->pause);
	answer_teller(s, NULL);
}

void service_foreign_done(struct service *s)
{
	struct err err;

	err_set(&err, -ECANCELED, "the VM ends");
	answer_teller(s, &err);
	loop_remove(&s->before);
	fd_close(&s->before_fd);
	fd_close(&s->now_fd);
}

/* ---- attaching ---- */

/* Return: 0; a negative errno: it could not be waited for when it is lost, and so may not serve. */
static int admit(struct provider *provider, const struct attachment *attachment)
{
	struct service *s = &provider->service;
	int fd = attachment->pidfd;

	if (fd >= 0 && pidfd_send_signal(fd, 0, NULL, 0) < 0 && errno == ESRCH)
		fd = -ESRCH;
	if (fd >= 0)
		fd = fd_dup(fd);
	if (fd < 0)
		return fd;
	fd_close(&s->now_fd);
	s->now_fd = fd;
	if (s->foreign.untold)
		judge(provider, -1);
	memcpy(s->foreign.invocation, attachment->invocation, sizeof(s->foreign.invocation));
	s->refusal[0] = '\0';
	service_foreign_go_on(provider);
	if (s->upgrade == UPGRADE_TAKING_OVER) /* it may have to wait for the other's I/O */
		loop_disarm(s->patience);
	provider_admit(provider, attachment);
	return 0;
}

static int cannot_watch(const struct provider *provider, const struct attachment *attachment, int error,
			struct err *err)
{
	return err_set(err, error, "provider %s: process %d %s%s", provider->name, (int)attachment->pid,
		       error == -ESRCH ? "has ended, and somebody else uses its connection" : "cannot be watched: ",
		       error == -ESRCH ? "" : strerror(-error));
}

static void on_before(int fd, unsigned int ready, void *arg)
{
	struct provider *provider = arg;
	struct service *s = &provider->service;
	struct attachment next = provider->next;
	struct err err;
	int r;

	loop_remove(&s->before);
	fd_close(&s->before_fd);
	if (!next.ops)
		return;
	provider->next = (struct attachment){0};
	r = admit(provider, &next);
	if (r < 0) {
		cannot_watch(provider, &next, r, &err);
		next.ops->refused(next.arg, &err);
	}
}

int service_foreign_attach(struct provider *provider, const struct attachment *attachment, struct err *err)
{
	struct service *s = &provider->service;
	int r = 0;

	if (provider->now.ops || provider->next.ops)
		return err_set(err, -EBUSY, "provider %s: another process is attached", provider->name);
	if (attachment->pidfd < 0)
		return cannot_watch(provider, attachment, attachment->pidfd, err);
	if (service_reads_too_little(s, attachment)) {
		r = service_refuse_version(s, attachment, err);
		snprintf(s->message, sizeof(s->message), "%.*s", (int)sizeof(s->message) - 1, s->refusal);
		service_changed(provider);
		return r;
	}
	if (s->before_fd < 0) {
		r = admit(provider, attachment);
		return r < 0 ? cannot_watch(provider, attachment, r, err) : 0;
	}
	if (!s->before)
		r = loop_add_fd(provider->set->loop, s->before_fd, LOOP_READ, on_before, provider, &s->before);
	if (r < 0)
		return err_set(err, r, "provider %s: %s", provider->name, strerror(-r));
	provider->next = *attachment;
	return 0;
}

/* ---- ending it ---- */

static int kill_it(int pidfd)
{
	if (pidfd < 0)
		return -ESRCH;
	return pidfd_send_signal(pidfd, SIGKILL, NULL, 0) < 0 ? -errno : 0;
}

int service_foreign_kill(const struct service *s)
{
	return kill_it(s->now_fd);
}

void service_foreign_end(struct provider *provider)
{
	provider->now.ops->end(provider->now.arg);
	service_be_patient(provider, SERVICE_END_NS);
}

void service_foreign_late(struct provider *provider)
{
	struct service *s = &provider->service;
	const int fd = provider->now.ops ? s->now_fd : s->before_fd;

	if (fd >= 0 && !has_ended(fd)) {
		int r = kill_it(fd);

		if (s->kills++ == 0)
			log_warn(provider->name, "the old process does not do what it should: %s%s",
				 r < 0 ? "it cannot be killed: " : "killed", r < 0 ? strerror(-r) : "");
		loop_arm(s->patience, SERVICE_END_NS);
	} else if (s->upgrade == UPGRADE_TAKING_OVER) {
		service_upgrade_fail(provider, -ETIMEDOUT,
				     "no process of the new program has come: the guest waits; see its unit's state");
	}
}

int service_foreign_upgrade(struct provider *provider, int program_fd, struct err *err)
{
	struct service *s = &provider->service;

	if (program_fd >= 0)
		return err_set(err, -EOPNOTSUPP,
			       "provider %s: the service manager runs it, and its program: none can be given",
			       provider->name);
	s->upgrade = UPGRADE_HANDING_OVER;
	service_be_patient(provider, SERVICE_UPGRADE_NS);
	service_away(provider);
	provider->now.ops->hand_over(provider->now.arg);
	return 0;
}
