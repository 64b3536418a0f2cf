// SPDX-License-Identifier: Apache-2.0
/*
 * Theory of operation: a provider is served by one process after another. That a predecessor has *ended*, all its
 * threads, is the fence behind which a successor may touch the guest's memory and the images: only then is it admitted.
 * For processes that we run the spawner tells; of others we hold a pidfd.
 *
 *   STARTING --Ready--> SERVING --end--> RECOVERING (next process) --Ready--> SERVING
 *                                           |  ^
 *                                           v  | pause
 *                                         WAITING
 *
 * A process that has lost its connection, or was told to let go, must end within a time, or is killed; service_watch.c
 * finds those that hang. One that does not even end when it is killed waits in the kernel, and we for it. Back-off: the
 * first restart comes at once; after that a pause doubles as long as processes end within SERVICE_CALM_NS. Who kills a
 * process that was ready from outside (SIGKILL, SIGTERM) does not bring about a pause.
 *
 * Upgrade: the new process starts beside the old one. STARTING: until it asks to attach, nothing else changes, and its
 * failure is all that happens. HANDING_OVER: the old one stops, or is dropped if it refuses; ENDING: it must end;
 * TAKING_OVER: the new one is admitted and recovers. If it ends before it is ready, the old program is started again.
 * If the old one dies meanwhile the new one takes over all the same.
 *
 * Limits: one upgrade of a provider at a time.
 */
#include "service.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "provider.h"
#include "service_int.h"

void service_changed(struct provider *provider)
{
	provider->set->changed(provider->set->arg);
}

/* ---- what the guest waits for ---- */

static void outage_begin(struct service *s)
{
	if (!s->outage_ns && s->served)
		s->outage_ns = clock_now_ns();
}

static void outage_end(struct provider *provider)
{
	struct service *s = &provider->service;
	unsigned int dead;

	if (!s->outage_ns || !provider->ready || bus_provider_resuming(provider->bus))
		return;
	dead = bus_provider_dead(provider->bus);
	if (dead) {
		s->outage_ns = 0;
		log_error(provider->name,
			  "runs again, but %u of its channels could not be taken up: what is on them hangs until "
			  "the guest closes them or is reset",
			  dead);
		service_changed(provider);
		return;
	}
	s->last_outage_us = (clock_now_ns() - s->outage_ns) / 1000;
	s->outage_ns = 0;
	log_notice(provider->name, "serves again after %llu.%03llu ms", (unsigned long long)(s->last_outage_us / 1000),
		   (unsigned long long)(s->last_outage_us % 1000));
	service_changed(provider);
}

void service_away(struct provider *provider)
{
	outage_begin(&provider->service);
	provider_away(provider);
}

/* ---- processes that we run ---- */

void service_describe_end(struct service *s, const char *program, int status)
{
	const char *name = status >= 0 && WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : NULL;

	if (status >= 0 && WIFEXITED(status))
		snprintf(s->message, sizeof(s->message), "%s ended with status %d", program, WEXITSTATUS(status));
	else if (status >= 0 && WIFSIGNALED(status))
		snprintf(s->message, sizeof(s->message), "%s was killed by signal %d (%s)", program, WTERMSIG(status),
			 name ? name : "?");
	else
		snprintf(s->message, sizeof(s->message), "%s has ended", program);
}

bool service_own_fault(int status)
{
	static const int signals[] = {SIGSEGV, SIGABRT, SIGSYS, SIGBUS, SIGILL, SIGFPE};

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (status >= 0 && WIFSIGNALED(status) && WTERMSIG(status) == signals[i])
			return true;
	return false;
}

static bool killed_from_outside(int status)
{
	return status >= 0 && WIFSIGNALED(status) && (WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGTERM);
}

void service_count_death(struct service *s)
{
	s->deaths++;
	s->hangs += s->hung;
}

uint64_t service_back_off(struct service *s)
{
	if (s->failures++ == 0)
		return 0;
	return MIN(SERVICE_BACKOFF_NS << MIN(s->failures - 2, 10u), SERVICE_BACKOFF_MAX_NS);
}

uint64_t service_judge_death(struct service *s, const struct service_death *death)
{
	bool calm = death->ready_ns && death->well_until_ns >= death->ready_ns + SERVICE_CALM_NS;
	bool outside = killed_from_outside(death->status) && death->ready_ns && !death->hung;

	if (calm)
		s->faults = 0;
	if (death->hung || service_own_fault(death->status))
		s->faults++;
	else if (!outside)
		s->faults = 0;
	if (calm || outside) {
		s->failures = 0; /* it had begun well */
		return 0;
	}
	return service_back_off(s);
}

/* Of a process that we run. Return: how long to wait before the next start. */
static uint64_t take_death(struct service *s, int status, uint64_t ready_ns)
{
	/* One that hung has done well until its last sign of life. */
	const struct service_death death = {status, ready_ns, s->hung ? s->watch.life_ns : clock_now_ns(), s->hung};

	service_count_death(s);
	return service_judge_death(s, &death);
}

static void process_ready(struct spawned *process, void *arg)
{
	/* What counts is that it says so on its connection. */
}

static void process_ended(struct spawned *process, int status, void *arg);

static const struct spawn_events events = {.ready = process_ready, .ended = process_ended};

static int spawn(struct provider *provider, int exe_fd, struct err *err, struct spawned **ret_process)
{
	const struct service *s = &provider->service;
	const struct spawn_request request = {
		.exe_fd = exe_fd,
		.name = s->program,
		.args = (const char *const *)s->args,
		.log_fd = -1,
	};
	int r = spawner_spawn(provider->set->spawner, &request, &events, provider, err, ret_process);

	if (r >= 0)
		log_info(provider->name, "%s is process %d", s->program, (int)spawned_pid(*ret_process));
	return r;
}

int service_start(struct provider *provider, struct err *err)
{
	struct service *s = &provider->service;

	if (s->program_fd < 0 || s->process || s->pausing || s->stopping)
		return 0;
	service_watch_begin(provider);
	return spawn(provider, s->program_fd, err, &s->process);
}

static void start_after(struct provider *provider, uint64_t delay_ns);

static void start_now(struct provider *provider)
{
	struct service *s = &provider->service;
	struct err err = {0};

	s->pausing = false;
	if (service_start(provider, &err) >= 0)
		return;
	snprintf(s->message, sizeof(s->message), "%.150s", err.text);
	log_error(provider->name, "%s", err.text);
	start_after(provider, SERVICE_BACKOFF_MAX_NS);
}

static void start_after(struct provider *provider, uint64_t delay_ns)
{
	struct service *s = &provider->service;

	if (!delay_ns) {
		start_now(provider);
		return;
	}
	s->pausing = true;
	loop_arm(s->pause, delay_ns);
}

static void on_pause(void *arg)
{
	struct provider *provider = arg;

	if (provider->service.program_fd >= 0)
		start_now(provider);
	else
		service_foreign_go_on(provider);
	service_changed(provider);
}

static uint64_t patience_ns(const struct provider *provider, uint64_t usual_ns)
{
	return provider->set->patience_ns ? provider->set->patience_ns : usual_ns;
}

void service_be_patient(struct provider *provider, uint64_t ns)
{
	provider->service.kills = 0;
	loop_arm(provider->service.patience, patience_ns(provider, ns));
}

/* ---- upgrade ---- */

static void upgrade_finish(struct service *s, const struct err *err)
{
	static const struct err none;
	service_done_fn done = s->upgrade_done;

	s->upgrade = UPGRADE_NONE;
	s->upgrade_done = NULL;
	fd_close(&s->upgrade_fd);
	if (done)
		done(s->upgrade_arg, err ? err : &none);
}

void service_upgrade_fail(struct provider *provider, int code, const char *why)
{
	struct err err;

	err_set(&err, code, "upgrade of %s: %s", provider->name, why);
	log_error(provider->name, "the upgrade fails: %s", why);
	if (provider->service.program_fd >= 0)
		provider_refuse_next(provider, &err);
	upgrade_finish(&provider->service, &err);
}

/* The old process has ended: the new one is the process now. */
static void promote(struct provider *provider)
{
	struct service *s = &provider->service;
	struct attachment next = provider->next;

	s->process = s->successor;
	s->successor = NULL;
	s->upgrade = UPGRADE_TAKING_OVER;
	service_watch_begin(provider); /* it may have to wait for the other's I/O: no deadline */
	provider->next = (struct attachment){0};
	if (next.ops)
		provider_admit(provider, &next);
}

static void successor_ended(struct provider *provider, int status)
{
	struct service *s = &provider->service;
	char before[sizeof(s->message)], why[MAX(sizeof(s->message), sizeof(s->refusal))];

	s->successor = NULL;
	if (s->stopping)
		return;
	/* The message is about those that have served. */
	strcpy(before, s->message);
	service_describe_end(s, s->program, status);
	strcpy(why, *s->refusal ? s->refusal : s->message);
	strcpy(s->message, before);
	if (s->upgrade == UPGRADE_STARTING) {
		if (!s->leaving) /* else it is the old one's: it has lost its connection */
			loop_disarm(s->patience);
		service_upgrade_fail(provider, -EREMOTEIO, why);
		return;
	}
	/* The old one lets go already: its own program follows it. */
	service_upgrade_fail(provider, -EREMOTEIO, why);
	if (s->process) {
		provider_drop_now(provider);
		s->leaving = s->planned = true;
		service_be_patient(provider, SERVICE_END_NS);
	}
}

/* ---- the end of a process ---- */

static void first_failed(struct provider *provider)
{
	struct err err;

	err_set(&err, -EREMOTEIO, "provider %s: %s", provider->name, provider->service.message);
	if (provider_not_woken(provider, &err) || provider->idle)
		bus_provider_forget(provider->bus);
	else
		provider->set->failed(provider->set->arg, &err);
}

/* @planned: it was told to end. */
static void follow_end(struct provider *provider, int status, uint64_t ready_ns, bool planned)
{
	struct service *s = &provider->service;
	enum service_upgrade upgrade = s->upgrade;
	uint64_t delay_ns = 0;

	if (!s->hung) /* which has told already */
		service_describe_end(s, s->program, status);
	s->at_fault = !planned && (s->hung || service_own_fault(status));
	if (planned) {
		s->message[0] = 0;
	} else {
		if (!s->hung)
			log_warn(provider->name, "%s", s->message);
		if (upgrade != UPGRADE_TAKING_OVER)
			delay_ns = take_death(s, status, ready_ns);
	}
	s->hung = false;
	if (s->successor) {
		promote(provider);
	} else if (upgrade == UPGRADE_TAKING_OVER) {
		service_upgrade_fail(provider, -EREMOTEIO, *s->refusal ? s->refusal : s->message);
		start_now(provider);
	} else if (s->served) {
		start_after(provider, delay_ns);
	} else {
		first_failed(provider);
	}
}

static void process_ended(struct spawned *process, int status, void *arg)
{
	struct provider *provider = arg;
	struct service *s = &provider->service;
	uint64_t ready_ns = s->ready_ns;
	bool planned = s->planned;

	spawned_release(process);
	if (process == s->successor) {
		successor_ended(provider, status);
		service_changed(provider);
		return;
	}
	s->process = NULL;
	s->leaving = s->planned = false;
	s->ready_ns = 0;
	if (!s->stopping || !s->successor)
		loop_disarm(s->patience);
	if (provider->now.ops) {
		service_away(provider);
		provider_drop_now(provider);
	}
	bus_provider_ended(provider->bus);
	if (!s->stopping)
		follow_end(provider, status, ready_ns, planned);
	service_changed(provider);
}

static void on_patience(void *arg)
{
	struct provider *provider = arg;
	struct service *s = &provider->service;
	struct spawned *late = s->process;

	if (s->program_fd < 0) {
		service_foreign_late(provider);
		return;
	}
	if (!late || (s->upgrade == UPGRADE_STARTING && !s->leaving))
		late = s->successor;
	if (!late)
		return;
	loop_arm(s->patience, patience_ns(provider, SERVICE_END_NS));
	if (s->kills++ == 0) {
		log_warn(provider->name, "process %d does not do what it should: killed", (int)spawned_pid(late));
		spawned_kill(late);
	} else if (s->kills == 2) {
		/* Nothing can be done: what it waits for may still write to the guest's memory or an image. */
		snprintf(s->message, sizeof(s->message),
			 "process %d was killed and does not end: it waits in the kernel, perhaps for a disk",
			 (int)spawned_pid(late));
		log_error(provider->name, "%s", s->message);
		service_changed(provider);
	}
}

/* ---- who hangs ---- */

void service_hung(struct provider *provider, const char *what)
{
	struct service *s = &provider->service;
	pid_t pid = s->process ? spawned_pid(s->process) : provider->now.pid;
	int r = 0;

	if (s->process)
		spawned_kill(s->process);
	else
		r = service_foreign_kill(s);
	if (r < 0)
		snprintf(s->message, sizeof(s->message),
			 "process %d %s and cannot be killed (%s): it is dropped, end it", (int)pid, what,
			 strerror(-r));
	else
		snprintf(s->message, sizeof(s->message), "process %d %s: killed", (int)pid, what);
	log_error(provider->name, "%s", s->message);
	s->hung = true;
	if (provider->ready)
		s->outage_ns = s->watch.life_ns; /* the guest may have waited since then */
	service_away(provider);
	provider_drop_now(provider);
	if (s->process) {
		s->leaving = true;
		service_be_patient(provider, SERVICE_END_NS);
		s->kills = 1;
	} else {
		service_foreign_lost(provider);
	}
	service_changed(provider);
}

/* ---- attaching ---- */

int service_refuse_version(struct service *s, const struct attachment *attachment, struct err *err)
{
	err_set(err, -EPROTO, "%s reads the state block up to version %u.%u, %s writes %u.%u: use a later program",
		attachment->program, attachment->block_version, attachment->state_version, s->said, s->block_version,
		s->state_version);
	snprintf(s->refusal, sizeof(s->refusal), "%.*s", (int)sizeof(s->refusal) - 1, err->text);
	return err->code;
}

bool service_reads_too_little(const struct service *s, const struct attachment *attachment)
{
	return attachment->block_version < s->block_version || attachment->state_version < s->state_version;
}

static int attach_successor(struct provider *provider, const struct attachment *attachment, struct err *err)
{
	const struct attachment *now = &provider->now;
	struct service *s = &provider->service;

	if (provider->next.ops)
		return err_set(err, -EBUSY, "provider %s: it is attached already", provider->name);
	if (service_reads_too_little(s, attachment))
		return service_refuse_version(s, attachment, err);
	provider->next = *attachment;
	if (!now->ops || s->upgrade != UPGRADE_STARTING)
		return 0;
	s->upgrade = UPGRADE_HANDING_OVER;
	service_be_patient(provider, SERVICE_UPGRADE_NS);
	service_away(provider);
	now->ops->hand_over(now->arg);
	return 0;
}

int service_attach(struct provider *provider, const struct attachment *attachment, struct err *err)
{
	struct service *s = &provider->service;

	if (s->stopping)
		return err_set(err, -ECANCELED, "provider %s: the VM ends", provider->name);
	if (s->program_fd < 0)
		return service_foreign_attach(provider, attachment, err);
	if (s->successor && spawned_pid(s->successor) == attachment->pid)
		return attach_successor(provider, attachment, err);
	if (!s->process || spawned_pid(s->process) != attachment->pid)
		return err_set(err, -EPERM, "provider %s: the worker runs %s itself", provider->name, s->program);
	if (provider->now.ops || s->leaving)
		return err_set(err, -EBUSY, "provider %s: attached already", provider->name);
	if (s->upgrade == UPGRADE_TAKING_OVER && service_reads_too_little(s, attachment))
		return service_refuse_version(s, attachment, err);
	provider_admit(provider, attachment);
	return 0;
}

void service_ready(struct provider *provider)
{
	struct service *s = &provider->service;

	s->served = true;
	s->ready_ns = clock_now_ns();
	s->block_version = provider->now.block_version;
	s->state_version = provider->now.state_version;
	service_watch_begin(provider);
	if (s->upgrade == UPGRADE_TAKING_OVER) {
		int old = s->program_fd;

		loop_disarm(s->patience);
		s->program_fd = s->upgrade_fd;
		s->upgrade_fd = old;
		s->upgrades++;
		upgrade_finish(s, NULL);
	}
	outage_end(provider);
}

void service_opened(struct provider *provider, const struct service_counts *counts)
{
	struct service *s = &provider->service;

	if (counts) {
		s->counts.replayed += counts->replayed;
		s->counts.lost += counts->lost;
		s->counts.duplicate += counts->duplicate;
		s->counts.failed += counts->failed;
	}
	outage_end(provider);
}

void service_not_opened(struct provider *provider, const char *why)
{
	struct service *s = &provider->service;

	/* What a guest has opened itself concerns only that guest. */
	if (bus_provider_resuming(provider->bus))
		snprintf(s->message, sizeof(s->message), "%.*s", (int)sizeof(s->message) - 1, why);
}

void service_lost(struct provider *provider)
{
	struct service *s = &provider->service;

	service_away(provider);
	if (s->program_fd < 0) {
		service_foreign_lost(provider);
	} else if (s->process && !s->leaving) {
		s->leaving = true;
		service_be_patient(provider, SERVICE_LOST_NS);
	}
	service_changed(provider);
}

void service_lost_next(struct provider *provider)
{
	if (provider->service.successor)
		spawned_kill(provider->service.successor);
}

void service_handed_over(struct provider *provider, int error)
{
	struct service *s = &provider->service;

	if (s->upgrade != UPGRADE_HANDING_OVER || !provider->now.ops)
		return;
	if (error < 0)
		log_warn(provider->name, "process %d does not hand over (%s): it must end", (int)provider->now.pid,
			 strerror(-error));
	else
		s->planned = true;
	s->upgrade = UPGRADE_ENDING;
	if (s->program_fd < 0) {
		service_foreign_end(provider);
		return;
	}
	/* In both cases its end is the fence: only then the next one is admitted. */
	provider_drop_now(provider);
	s->leaving = true;
	service_be_patient(provider, SERVICE_END_NS);
}

bool service_cautious(const struct provider *provider)
{
	return provider->service.faults >= SERVICE_FAULTS_MAX;
}

bool service_at_fault(const struct provider *provider)
{
	return provider->service.at_fault;
}

static int start_successor(struct provider *provider, int program_fd, struct err *err)
{
	struct service *s = &provider->service;
	int fd = program_fd < 0 ? -EINVAL : fd_dup(program_fd), r;

	if (fd < 0)
		return err_set(err, fd, "provider %s: %s", provider->name,
			       program_fd < 0 ? "its new program is missing" : strerror(-fd));
	r = spawn(provider, fd, err, &s->successor);
	if (r < 0) {
		fd_close(&fd);
		return r;
	}
	s->upgrade = UPGRADE_STARTING;
	s->upgrade_fd = fd;
	service_be_patient(provider, SERVICE_UPGRADE_NS);
	return 0;
}

void service_upgrade(struct provider *provider, int program_fd, service_done_fn done, void *arg)
{
	struct service *s = &provider->service;
	struct err err = {0};

	if (s->upgrade || s->stopping)
		err_set(&err, -EBUSY, "provider %s: it is being replaced or ends", provider->name);
	else if (!provider->ready)
		err_set(&err, -EAGAIN, "provider %s: it does not serve now (%s): try again", provider->name,
			s->message[0]	 ? s->message
			: provider->idle ? "it has nothing to serve"
					 : "it starts");
	else if (s->program_fd < 0)
		service_foreign_upgrade(provider, program_fd, &err);
	else
		start_successor(provider, program_fd, &err);
	if (err.code) {
		done(arg, &err);
		return;
	}
	s->refusal[0] = 0;
	s->upgrade_done = done;
	s->upgrade_arg = arg;
}

/* ---- begin and end ---- */

static int copy_program(struct service *s, const struct provider_config *config)
{
	s->program_fd = fd_dup(config->program_fd);
	if (s->program_fd < 0)
		return s->program_fd;
	s->program = strdup(config->program);
	s->args = calloc(config->nargs + 1, sizeof(char *));
	if (!s->program || !s->args)
		return -ENOMEM;
	for (size_t i = 0; i < config->nargs; i++) {
		s->args[i] = strdup(config->args[i]);
		if (!s->args[i])
			return -ENOMEM;
	}
	return 0;
}

int service_init(struct provider *provider, const struct provider_config *config)
{
	struct service *s = &provider->service;
	int r;

	*s = (struct service){.program_fd = -1, .before_fd = -1, .now_fd = -1, .upgrade_fd = -1};
	r = loop_add_timer(provider->set->loop, on_pause, provider, &s->pause);
	if (r >= 0)
		r = loop_add_timer(provider->set->loop, on_patience, provider, &s->patience);
	if (r >= 0)
		r = service_watch_init(provider);
	if (r >= 0 && config->program_fd >= 0)
		r = copy_program(s, config);
	return r;
}

void service_done(struct provider *provider)
{
	struct service *s = &provider->service;

	if (s->process)
		spawned_release(s->process);
	if (s->successor)
		spawned_release(s->successor);
	service_watch_done(provider);
	loop_remove(&s->pause);
	loop_remove(&s->patience);
	service_foreign_done(s);
	fd_close(&s->upgrade_fd);
	fd_close(&s->program_fd);
	for (char **arg = s->args; arg && *arg; arg++)
		free(*arg);
	free(s->args);
	free(s->program);
}

void service_stop(struct provider *provider)
{
	struct service *s = &provider->service;
	struct err err;

	if (s->stopping)
		return;
	s->stopping = true;
	s->pausing = false;
	loop_disarm(s->pause);
	if (s->upgrade)
		service_upgrade_fail(provider, -ECANCELED, "the VM ends");
	if (s->program_fd < 0)
		service_foreign_go_on(provider);
	err_set(&err, -ECANCELED, "provider %s: the VM ends", provider->name);
	provider_refuse_next(provider, &err);
	if (s->successor)
		spawned_kill(s->successor);
	if (!s->process)
		return;
	if (provider->now.ops) {
		service_away(provider);
		provider_drop_now(provider);
		s->leaving = true;
	} else if (!s->leaving) {
		spawned_kill(s->process);
	}
	service_be_patient(provider, SERVICE_STOP_NS);
}

bool service_stopped(const struct provider *provider)
{
	return !provider->service.process && !provider->service.successor;
}

void service_status(const struct provider *provider, struct service_status *ret_status)
{
	const struct service *s = &provider->service;

	*ret_status = (struct service_status){
		.name = provider->name,
		.message = s->watch.waits[0] && !provider->ready ? s->watch.waits : s->message,
		.program = s->said,
		.pid = s->process ? spawned_pid(s->process) : provider->now.pid,
		.state = provider->ready  ? SERVICE_SERVING
			 : provider->idle ? SERVICE_NOT_STARTED
			 : !s->served	  ? (s->program_fd >= 0 && !s->process ? SERVICE_NOT_STARTED : SERVICE_STARTING)
			 : s->pausing	  ? SERVICE_WAITING
					  : SERVICE_RECOVERING,
		.deaths = s->deaths,
		.hangs = s->hangs,
		.upgrades = s->upgrades,
		.counts = s->counts,
		.last_outage_us = s->last_outage_us,
	};
}
