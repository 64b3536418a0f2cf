/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: a process is the main one of an instance of a template unit, vmworker@UUID.service or
 * vsp-storaged@UUID.service, which the system's service manager starts, and which is ready when its job is done
 * (Type=notify). What the template cannot know stands in <runtime folder>/<program>.env. From then on the process is
 * watched by a pidfd, like one that is adopted; how it ended the manager is asked. It restarts what serves a guest
 * itself: of that only the first start is asked for here. Units may still be busy with an earlier run of the VM, whose
 * last process is over, or of which a vmmgmtd died: they run what follows the end, wait to restart, or start one that
 * finds no worker. A start would join that, and fail with it; a process of theirs would attach to the next worker, and
 * be ended under its guest. So before a worker is started all of them are stopped, and that is waited for: who attaches
 * to it then is of this run.
 *
 *	CLEARING --stop is done--> STARTING --job is done--> ASKING (its pid) --> RUNNING --pidfd--> ENDING --> ended
 *	    +--killed, too late--> ended       +-----job has failed-------------------------------------^
 *	                                                                              (how it ended is asked)
 *
 * What is not ours (passt) is a transient unit of its own, bulkhead-PROGRAM-UUID-NAME.service, which gets its input as
 *a descriptor.
 *
 * Answers come late: an object that was released lives until the last call of it is answered (refs).
 *
 * Limits: a unit's instance is the UUID, escaped; who has no such unit is not ours. Spec: org.freedesktop.systemd1(5).
 */
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "dbus/conn.h"
#include "systemd_unit.h"

#define SYSTEMD_NAME	"org.freedesktop.systemd1"
#define SYSTEMD_PATH	"/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER "org.freedesktop.systemd1.Manager"
#define SYSTEMD_SERVICE "org.freedesktop.systemd1.Service"

#define WHY_MAX	     256
#define HOW_TRIES    10u /* it may not have noticed the end yet */
#define HOW_WAIT     (20 * NS_PER_MS)
#define JOB_EXTRA_MS 5000u /* beyond what the unit itself has for its start */

enum launched_state {
	LAUNCHED_CLEARING, /* what an earlier run has left is stopped */
	LAUNCHED_STARTING,
	LAUNCHED_RUNNING,
	LAUNCHED_ENDING,
	LAUNCHED_OVER,
};

struct systemd {
	struct msgbus *bus;
	char base[PATH_MAX]; /* runtime folders */
	struct msgbus_sub *jobs;
	struct launched *starting; /* whose job is not done */
};

struct launched {
	struct systemd *systemd;
	struct launched *next; /* of systemd->starting */
	struct loop *loop;
	const struct launch_events *events;
	void *arg;
	unsigned int refs;     /* the owner's, and one for each call under way */
	bool released, killed; /* killed: while it is clearing */
	enum launched_state state;
	unsigned int ready_ms;
	bool clears_own;	     /* of this run */
	const char *const *clears;   /* what is still to be stopped first; NULL: nothing */
	char unit[SYSTEMD_UNIT_MAX]; /* "": not known */
	char *job;		     /* object path, once it is known */
	struct launch_id id;
	int pidfd;
	struct loop_source *end, *timer;
	unsigned int tries;
	char why[WHY_MAX]; /* "": to be asked */
	char result[32];   /* of a job that is not done: for when the unit does not know */
};

/* ---- the object ---- */

static void launched_unref(struct launched *p)
{
	if (--p->refs)
		return;
	free(p->job);
	free(p);
}

static void leave_list(struct launched *p)
{
	struct launched **at = &p->systemd->starting;

	while (*at && *at != p)
		at = &(*at)->next;
	if (*at)
		*at = p->next;
}

static void tell_end(struct launched *p)
{
	leave_list(p);
	loop_remove(&p->end);
	loop_disarm(p->timer);
	p->state = LAUNCHED_OVER;
	if (!*p->why && *p->result)
		snprintf(p->why, sizeof(p->why), "could not be started (the job's result is %s)", p->result);
	else if (!*p->why)
		snprintf(p->why, sizeof(p->why), "ended");
	p->events->ended(p, p->why, p->arg);
}

/* ---- how it ended ---- */

/* What GetAll says of a service. */
struct service_status {
	int32_t code, status; /* as of waitid(); code 0: none */
	uint32_t pid;
	const char *text, *result;
};

static void read_status(struct msgbus_msg *msg, struct service_status *ret)
{
	struct msgbus_in in, dict, entry, value;
	const char *key;

	*ret = (struct service_status){.text = "", .result = ""};
	msgbus_msg_in(msg, &in);
	if (msgbus_in_enter(&in, &dict) < 0)
		return;
	while (msgbus_in_type(&dict) && msgbus_in_enter(&dict, &entry) == 0) {
		if (msgbus_in_read(&entry, "s", &key) < 0 || msgbus_in_enter(&entry, &value) < 0)
			return;
		if (!strcmp(key, "ExecMainCode"))
			msgbus_in_read(&value, "i", &ret->code);
		else if (!strcmp(key, "ExecMainStatus"))
			msgbus_in_read(&value, "i", &ret->status);
		else if (!strcmp(key, "ExecMainPID"))
			msgbus_in_read(&value, "u", &ret->pid);
		else if (!strcmp(key, "StatusText"))
			msgbus_in_read(&value, "s", &ret->text);
		else if (!strcmp(key, "Result"))
			msgbus_in_read(&value, "s", &ret->result);
	}
}

static void describe(struct launched *p, const struct service_status *s)
{
	const char *name = s->code == CLD_KILLED || s->code == CLD_DUMPED ? sigabbrev_np(s->status) : NULL;

	if (s->code == CLD_EXITED)
		snprintf(p->why, sizeof(p->why), "ended with status %d", (int)s->status);
	else if (s->code == CLD_KILLED || s->code == CLD_DUMPED)
		snprintf(p->why, sizeof(p->why), "was killed by signal %d (%s)", (int)s->status, name ? name : "?");
	else if (*s->result && strcmp(s->result, "success") != 0)
		snprintf(p->why, sizeof(p->why), "could not be started (%.40s)", s->result);
}

static void on_forgotten(int error, const char *text, struct msgbus_msg *msg, void *arg)
{
	launched_unref(arg);
}

/* The manager keeps a failed unit until somebody has seen how it failed. */
static void forget_unit(struct launched *p)
{
	p->refs++;
	if (msgbus_call_async(p->systemd->bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "ResetFailedUnit", 0,
			      on_forgotten, p, "s", p->unit) < 0)
		launched_unref(p);
}

static void on_how(int error, const char *text, struct msgbus_msg *msg, void *arg)
{
	struct launched *p = arg;
	struct service_status status = {.text = "", .result = ""};

	if (!p->released && p->state == LAUNCHED_ENDING) {
		if (!error)
			read_status(msg, &status);
		if (!error && !status.code && p->id.pid && status.pid == (uint32_t)p->id.pid &&
		    p->tries++ < HOW_TRIES) {
			loop_arm(p->timer, HOW_WAIT);
		} else {
			/* The next one may run already: then nobody knows. */
			if (!*p->why && (!p->id.pid || status.pid == (uint32_t)p->id.pid))
				describe(p, &status);
			forget_unit(p);
			tell_end(p);
		}
	}
	launched_unref(p);
}

static int get_all(struct launched *p, msgbus_reply_fn fn)
{
	char path[SYSTEMD_PATH_MAX];
	int r;

	systemd_unit_path(p->unit, path);
	p->refs++;
	r = msgbus_call_async(p->systemd->bus, SYSTEMD_NAME, path, DBUS_PROPERTIES_INTERFACE, "GetAll", 0, fn, p, "s",
			      SYSTEMD_SERVICE);
	if (r < 0)
		launched_unref(p);
	return r;
}

static void ask_how(struct launched *p)
{
	if (!*p->unit || get_all(p, on_how) < 0)
		tell_end(p);
}

static void end_begin(struct launched *p)
{
	leave_list(p);
	loop_remove(&p->end);
	p->state = LAUNCHED_ENDING;
	ask_how(p);
}

static void on_pidfd(int fd, unsigned int events, void *arg)
{
	end_begin(arg);
}

/* ---- its start ---- */

static int ask_for_job(struct launched *p, const char *method, const char *unit, const char *mode,
		       msgbus_reply_fn on_reply)
{
	int r;

	p->refs++;
	r = msgbus_call_async(p->systemd->bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, method, 0, on_reply, p,
			      "ss", unit, mode);
	if (r < 0)
		launched_unref(p);
	return r;
}

/* What comes of it the job tells. */
static void on_stop_reply(int error, const char *text, struct msgbus_msg *msg, void *arg)
{
	launched_unref(arg);
}

static void stop_unit(struct launched *p)
{
	ask_for_job(p, "StopUnit", p->unit, "replace", on_stop_reply);
}

static int watch(struct launched *p)
{
	int r = launch_open(&p->id, &p->pidfd);

	if (r == 0)
		r = loop_add_fd(p->loop, p->pidfd, LOOP_READ, on_pidfd, p, &p->end);
	if (r == 0)
		p->state = LAUNCHED_RUNNING;
	return r;
}

static void on_pid(int error, const char *text, struct msgbus_msg *msg, void *arg)
{
	struct launched *p = arg;
	struct service_status status;

	if (!p->released && p->state == LAUNCHED_STARTING) {
		if (!error)
			read_status(msg, &status);
		if (error || !status.pid || launch_identity((pid_t)status.pid, &p->id) < 0 || watch(p) < 0) {
			end_begin(p);
		} else {
			leave_list(p);
			loop_disarm(p->timer);
			p->events->ready(p, p->arg);
		}
	}
	launched_unref(p);
}

static int clear_next(struct launched *p);

/* However the stop went: what is wrong with a unit its start says. */
static void cleared(struct launched *p)
{
	int r;

	free(take_ptr(p->job));
	if (p->killed) {
		tell_end(p);
		return;
	}
	p->clears++;
	r = clear_next(p);
	if (r < 0) {
		snprintf(p->why, sizeof(p->why), "could not be started: %s", strerror(-r));
		tell_end(p);
	}
}

static void job_over(struct launched *p, const char *result)
{
	if (p->state == LAUNCHED_CLEARING) {
		cleared(p);
		return;
	}
	if (strcmp(result, "done") == 0) {
		if (get_all(p, on_pid) < 0)
			end_begin(p);
		return;
	}
	snprintf(p->result, sizeof(p->result), "%.31s", result);
	end_begin(p);
}

static void on_job_removed(struct msgbus_msg *msg, void *arg)
{
	struct systemd *systemd = arg;
	const char *job, *unit, *result;
	struct msgbus_in in;
	uint32_t id;

	msgbus_msg_in(msg, &in);
	if (msgbus_in_read(&in, "uoss", &id, &job, &unit, &result) < 0)
		return;
	for (struct launched *p = systemd->starting; p; p = p->next) {
		if (p->job && !strcmp(p->job, job)) {
			job_over(p, result);
			return;
		}
	}
}

/* Return: 0: the answer names the job, which is kept; else what the error is. */
static int take_job(struct launched *p, int error, struct msgbus_msg *msg)
{
	struct msgbus_in in;
	const char *job;

	if (error)
		return error;
	msgbus_msg_in(msg, &in);
	return msgbus_in_read(&in, "o", &job) < 0 || !(p->job = strdup(job)) ? -EBADMSG : 0;
}

static void arm_job(struct launched *p)
{
	loop_arm(p->timer, (uint64_t)(p->ready_ms + JOB_EXTRA_MS) * NS_PER_MS);
}

static void on_start_reply(int error, const char *text, struct msgbus_msg *msg, void *arg)
{
	struct launched *p = arg;

	if (!p->released && p->state == LAUNCHED_STARTING) {
		error = take_job(p, error, msg);
		if (error) {
			snprintf(p->why, sizeof(p->why), "could not be started: %s",
				 text && *text ? text : strerror(-error));
			tell_end(p);
		}
	}
	launched_unref(p);
}

static int start_unit(struct launched *p)
{
	p->state = LAUNCHED_STARTING;
	arm_job(p);
	return ask_for_job(p, "StartUnit", p->unit, "replace", on_start_reply);
}

static void on_clear_reply(int error, const char *text, struct msgbus_msg *msg, void *arg)
{
	struct launched *p = arg;

	if (!p->released && p->state == LAUNCHED_CLEARING) {
		error = take_job(p, error, msg);
		if (error) /* there is no job whose end could be waited for */
			cleared(p);
	}
	launched_unref(p);
}

/* It is of the same instance. */
static void name_cleared(const struct launched *p, char ret[SYSTEMD_UNIT_MAX])
{
	snprintf(ret, SYSTEMD_UNIT_MAX, "%.20s%.100s", *p->clears, strchr(p->unit, '@'));
}

static int clear_next(struct launched *p)
{
	char unit[SYSTEMD_UNIT_MAX];

	if (!p->clears || !*p->clears)
		return start_unit(p);
	name_cleared(p, unit);
	/* This unit alone: what is PartOf= the worker would end with it, and the passt of this run's NICs is. */
	return ask_for_job(p, "StopUnit", unit, "ignore-requirements", on_clear_reply);
}

/* There is nothing of it yet. What an earlier run has left, which is being stopped, nobody has to wait for but the next
 * start. */
static void kill_clearing(struct launched *p)
{
	p->killed = true;
	if (!p->clears_own)
		loop_arm(p->timer, 0);
}

static void systemd_kill(struct launched *p)
{
	if (p->pidfd >= 0)
		pidfd_send_signal(p->pidfd, SIGKILL, NULL, 0);
	else if (p->state == LAUNCHED_CLEARING)
		kill_clearing(p);
	else if (p->state == LAUNCHED_STARTING)
		stop_unit(p);
}

static void on_timer(void *arg)
{
	struct launched *p = arg;
	char unit[SYSTEMD_UNIT_MAX];

	if (p->state == LAUNCHED_ENDING) {
		ask_how(p);
		return;
	}
	if (p->state == LAUNCHED_CLEARING) {
		name_cleared(p, unit);
		if (!p->killed || p->clears_own)
			snprintf(p->why, sizeof(p->why),
				 "could not be started: %s%s does not end: see \"systemctl status\"", unit,
				 p->clears_own ? "" : " of its last run");
		tell_end(p);
		return;
	}
	snprintf(p->why, sizeof(p->why), "was not ready in time");
	stop_unit(p);
	end_begin(p);
}

static struct launched *launched_new(struct launcher *launcher, const struct launch_events *events, void *arg)
{
	struct launched *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	*p = (struct launched){
		.systemd = launcher->systemd,
		.loop = launcher->loop,
		.events = events,
		.arg = arg,
		.refs = 1,
		.pidfd = -1,
	};
	if (loop_add_timer(p->loop, on_timer, p, &p->timer) == 0)
		return p;
	free(p);
	return NULL;
}

static void systemd_release(struct launched *p)
{
	leave_list(p);
	loop_remove(&p->end);
	loop_remove(&p->timer);
	fd_close(&p->pidfd);
	p->released = true;
	launched_unref(p);
}

/* A unit of its own. */
static int start_transient(struct launched *p, const struct launch_request *request)
{
	int r;

	systemd_transient_name(request, p->unit);
	p->refs++;
	r = msgbus_call_async(p->systemd->bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "StartTransientUnit", 0,
			      on_start_reply, p, "*", systemd_transient_fill, (void *)request);
	if (r < 0) {
		launched_unref(p);
		return r;
	}
	p->state = LAUNCHED_STARTING;
	return 0;
}

static int systemd_start(struct launcher *launcher, const struct launch_request *request,
			 const struct launch_events *events, void *arg, struct err *err, struct launched **ret_process)
{
	struct systemd *systemd = launcher->systemd;
	struct launched *p;
	int r = request->path ? 0 : systemd_unit_environment(systemd->base, request, err);

	if (r < 0)
		return r;
	p = launched_new(launcher, events, arg);
	if (!p)
		return err_set(err, -ENOMEM, "%s: no memory to start it", request->program);
	p->ready_ms = request->ready_ms;
	p->clears = request->clears;
	p->clears_own = request->clears_own;
	systemd_unit_name(request->program, request->uuid, p->unit);
	if (p->clears)
		loop_arm(p->timer, (uint64_t)request->clear_ms * NS_PER_MS);
	else
		arm_job(p);
	r = request->path ? start_transient(p, request) : clear_next(p);
	if (r < 0) {
		systemd_release(p);
		return err_set(err, r, "%s: systemd cannot be asked to start it: %s", request->program, strerror(-r));
	}
	p->next = systemd->starting;
	systemd->starting = p;
	*ret_process = p;
	return 0;
}

static int systemd_adopt(struct launcher *launcher, const struct launch_id *id, const struct launch_events *events,
			 void *arg, struct launched **ret_process)
{
	struct launched *p = launched_new(launcher, events, arg);
	int r;

	if (!p)
		return -ENOMEM;
	p->id = *id;
	r = watch(p);
	if (r == 0 && systemd_unit_of(id->pid, p->unit) < 0)
		p->unit[0] = 0;
	if (r < 0)
		systemd_release(p);
	else
		*ret_process = p;
	return r;
}

static struct launch_id systemd_id(const struct launched *p)
{
	return p->id;
}

/* A VM's service is the main process of a unit with the same instance as its worker's. */
static int systemd_identify(pid_t pid, pid_t worker, struct launch_id *ret_id)
{
	char unit[SYSTEMD_UNIT_MAX], worker_unit[SYSTEMD_UNIT_MAX];
	int r = launch_identity(pid, ret_id);

	if (r == 0)
		r = systemd_unit_of(pid, unit);
	if (r == 0)
		r = systemd_unit_of(worker, worker_unit);
	if (r < 0)
		return r;
	return strncmp(unit, "vsp-", 4) == 0 && strchr(unit, '@') && strchr(worker_unit, '@') &&
			       !strcmp(strchr(unit, '@'), strchr(worker_unit, '@'))
		       ? 0
		       : -EPERM;
}

int launcher_systemd_init(struct launcher *launcher, struct loop *loop, struct msgbus *bus, const char *base,
			  struct err *err)
{
	static const struct launcher_ops ops = {
		.runs_services = true,
		.start = systemd_start,
		.adopt = systemd_adopt,
		.identify = systemd_identify,
		.id = systemd_id,
		.kill = systemd_kill,
		.release = systemd_release,
	};
	struct systemd *systemd = calloc(1, sizeof(*systemd));
	int r;

	if (!systemd)
		return err_set(err, -ENOMEM, "no memory");
	systemd->bus = bus;
	snprintf(systemd->base, sizeof(systemd->base), "%s", base);
	r = msgbus_subscribe(bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "JobRemoved", on_job_removed, systemd,
			     err, &systemd->jobs);
	if (r == 0)
		r = msgbus_call(bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "Subscribe", 0, err, NULL, "");
	if (r < 0) {
		msgbus_unsubscribe(&systemd->jobs);
		free(systemd);
		return r;
	}
	*launcher = (struct launcher){.ops = &ops, .loop = loop, .systemd = systemd};
	return 0;
}

void launcher_systemd_done(struct launcher *launcher)
{
	if (!launcher->systemd)
		return;
	msgbus_unsubscribe(&launcher->systemd->jobs);
	free(launcher->systemd);
	launcher->systemd = NULL;
}
