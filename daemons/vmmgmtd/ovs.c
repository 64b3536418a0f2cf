/* SPDX-License-Identifier: Apache-2.0 */
#include "ovs.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "daemon/spawner.h"
#include "program.h"

#define PROGRAM	  "ovs-vsctl"
#define LIMIT_S	  "5"		    /* ovs-vsctl's own */
#define PATIENCE  (10 * NS_PER_SEC) /* then it is killed */
#define AGAIN	  (6 * NS_PER_SEC)  /* then whatever somebody else has begun is over */
#define AGAIN_MAX (60 * NS_PER_SEC)
#define ARGUMENTS SPAWNER_ARGS_MAX
#define TEXT_LEN  4096u
#define SAID_LEN  16384u /* of names that it finds: a thousand */
#define NAME_ARGS 4u	 /* "-- --if-exists del-port NAME" */
#define ROUNDS	  64u	 /* of finding and removing */

static const struct syscall_rule rules[] = {
	{SYS_pipe2},
	{SYS_openat},
	{SYS_access},
	{SYS_socket, 0, UINT32_MAX, AF_UNIX},
	{SYS_ioctl, 1, UINT32_MAX, SIOCGIFINDEX},
	{-1},
};

const struct syscall_list ovs_calls = {.name = "Open vSwitch", .rules = rules};

/* A command line. */
struct command {
	const char *list[ARGUMENTS + 1]; /* NULL-terminated; in text */
	char text[TEXT_LEN];
	size_t count, used;
};

enum job_kind {
	JOB_PLUG,
	JOB_SET,
	JOB_UNPLUG,
	JOB_SWEEP, /* of what is found goes that whose device has gone */
};

enum job_step {
	STEP_FIND, /* names, which are to go */
	STEP_REMOVE,
	STEP_DO,
	JOB_STEPS,
};

struct job {
	struct job *next;
	enum job_kind kind;
	enum job_step step;
	struct command commands[JOB_STEPS]; /* empty: there is no such step */
	unsigned int rounds;
	bool more;		     /* names than fit into one command */
	char what[ERR_TEXT_MAX / 4]; /* "NIC net0": for messages */
	char bridge[DOMAIN_IFNAME_MAX];
	const void *owner;
	ovs_done_fn done; /* NULL: failures are logged */
	void *arg;
};

struct ovs {
	struct loop *loop;
	struct spawner *spawner;
	const char *base;
	struct job *jobs; /* the first one is under way, if there is a process */
	struct spawned *process;
	int said_fd; /* what it says */
	struct loop_source *start, *patience, *again;
	uint64_t pause_ns; /* before what could not be removed is looked for again; 0: there is nothing */
};

/* ---- command lines ---- */

__attribute__((format(printf, 2, 3))) static void add(struct command *command, const char *fmt, ...)
{
	char *at = command->text + command->used;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(at, sizeof(command->text) - command->used, fmt, ap);
	va_end(ap);
	/* What can be in a definition fits. */
	assert(n >= 0 && (size_t)n < sizeof(command->text) - command->used && command->count < ARGUMENTS);
	command->list[command->count++] = at;
	command->list[command->count] = NULL;
	command->used += (size_t)n + 1;
}

static void begin(struct command *command)
{
	*command = (struct command){.count = 0};
	add(command, "--timeout=" LIMIT_S);
}

static void add_words(struct command *command, const char *const *words)
{
	for (; *words; words++)
		add(command, "%s", *words);
}

static void trunk_text(const struct domain_nic *nic, char *ret, size_t size)
{
	size_t len = (size_t)snprintf(ret, size, "trunks=[");

	/* None at all stands for all VLANs. */
	if (nic->trunk && !nic->trunk_count)
		len += (size_t)snprintf(ret + len, size - len, "%u", nic->vlan);
	for (size_t i = 0; i < nic->trunk_count; i++)
		len += (size_t)snprintf(ret + len, size - len, "%s%u", i ? "," : "", nic->trunk_tags[i]);
	snprintf(ret + len, size - len, "]");
}

/* All three, so that nothing of before is left. */
static void add_vlan(struct command *command, const struct domain_nic *nic)
{
	char trunks[8 * DOMAIN_TRUNK_MAX + 16];

	trunk_text(nic, trunks, sizeof(trunks));
	if (nic->vlan)
		add(command, "tag=%u", nic->vlan);
	else
		add(command, "tag=[]");
	if (nic->trunk)
		add(command, "vlan_mode=%s",
		    !nic->vlan		 ? "trunk"
		    : nic->native_tagged ? "native-tagged"
					 : "native-untagged");
	else
		add(command, "vlan_mode=[]");
	add(command, "%s", trunks);
}

static void add_removal(struct command *command, const char *name)
{
	const char *const words[] = {"--", "--if-exists", "del-port", name, NULL};

	add_words(command, words);
}

static void plug_command(struct command *command, const struct domain_nic *nic, const char *name, const char *uuid,
			 const char *base)
{
	const char *const port[] = {"--", "add-port", nic->source, name, NULL},
			  *const interface[] = {"--", "set", "Interface", name, "external-ids:iface-status=active",
						NULL},
			  *const transient[] = {"--", "set", "Port", name, "other_config:transient=true", NULL};
	char mac[DOMAIN_MAC_TEXT];

	domain_mac_text(nic->mac, mac);
	begin(command);
	add_words(command, port);
	add_words(command, transient);
	add_vlan(command, nic);
	add_words(command, interface);
	add(command, "external-ids:attached-mac=\"%s\"", mac);
	add(command, "external-ids:iface-id=\"%s\"", nic->iface_id);
	add(command, "external-ids:vm-uuid=\"%s\"", uuid);
	add(command, "external-ids:bulkhead=\"%s\"", base);
	if (*nic->profile_id)
		add(command, "external-ids:port-profile=\"%s\"", nic->profile_id);
}

static void find_command(struct command *command, const char *base)
{
	const char *const words[] = {"--bare", "--no-heading", "--columns=name", "find", "Interface", NULL};

	begin(command);
	add_words(command, words);
	add(command, "external-ids:bulkhead=\"%s\"", base);
}

/* ---- what it says ---- */

static const struct {
	const char *said, *text; /* %s: the bridge */
	int error;
} complaints[] = {
	{"database connection failed",
	 "Open vSwitch does not run: start it (systemctl start openvswitch-switch), or use a bridge of the kernel's",
	 -ECONNREFUSED},
	{"no bridge named",
	 "there is no bridge %s of Open vSwitch's: make it (ovs-vsctl add-br %s), or, if it is one of the kernel's, "
	 "leave out virtualport",
	 -ENODEV},
	{"cannot create a port named",
	 "Open vSwitch has a port of its device's name, which is not ours: remove that, or say <target dev=>, with "
	 "another name",
	 -EEXIST},
	{"no row \"", "it has lost its port there: detach it, and attach it again, or start the VM anew", -ENOENT},
};

/* The line that matters: the last one that is the program's own. */
static void pick_line(const char *said, char *ret, size_t size)
{
	static const char prefix[] = PROGRAM ": ";
	const char *line = said;

	for (const char *at = said; (at = strstr(at, prefix)); at++)
		line = at + sizeof(prefix) - 1;
	snprintf(ret, size, "%.*s", (int)strcspn(line, "\n"), line);
	text_clean(ret);
}

static int explain(const struct job *job, int status, const char *said, struct err *err)
{
	char line[ERR_TEXT_MAX / 2];

	/* The port is in the database then, and leads nowhere. */
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && !strstr(said, "Error detected"))
		return 0;
	if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGALRM || WTERMSIG(status) == SIGKILL))
		return err_set(err, -ETIMEDOUT,
			       "%s: Open vSwitch does not answer within " LIMIT_S " s: see whether ovs-vswitchd runs",
			       job->what);
	for (size_t i = 0; i < ARRAY_SIZE(complaints); i++) {
		if (!strstr(said, complaints[i].said))
			continue;
		snprintf(line, sizeof(line), complaints[i].text, job->bridge, job->bridge);
		return err_set(err, complaints[i].error, "%s: %s", job->what, line);
	}
	pick_line(said, line, sizeof(line));
	return err_set(err, -EREMOTEIO, "%s: Open vSwitch: %s", job->what,
		       *line ? line : PROGRAM " has failed: see its log");
}

/* ---- the queue ---- */

static void answer(struct job *job, int error, const char *text)
{
	ovs_done_fn done = job->done;

	job->done = NULL;
	job->owner = NULL;
	if (done)
		done(error, text, job->arg);
	/* A sweep is for a switch that runs. */
	else if (error && error != -ECANCELED && (job->kind != JOB_SWEEP || job->step != STEP_FIND))
		log_error(NULL, "%s", text);
}

static void job_free(struct job *job)
{
	free(job);
}

static bool device_is_there(const char *name)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {0};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	return fd < 0 || ioctl(fd, SIOCGIFINDEX, &ifr) == 0;
}

/* As many as fit; if there are more, it looks again then. Return: whether there is any. */
static bool remove_found(struct job *job, char *said)
{
	struct command *command = &job->commands[STEP_REMOVE];
	char *at = NULL;
	unsigned int names = 0;

	job->more = false;
	begin(command);
	/* Nothing depends on it. */
	add(command, "--no-wait");
	for (char *name = strtok_r(said, " \n", &at); name; name = strtok_r(NULL, " \n", &at)) {
		if (strlen(name) >= DOMAIN_IFNAME_MAX || (job->kind == JOB_SWEEP && device_is_there(name)))
			continue;
		job->more = command->count + NAME_ARGS > ARGUMENTS;
		if (job->more)
			break;
		add_removal(command, name);
		names++;
	}
	return names > 0;
}

/* After a step that went well. Return: whether there is another one. */
static bool next_step(struct job *job, char *said)
{
	if (job->step == STEP_FIND && remove_found(job, said))
		job->step = STEP_REMOVE;
	else if (job->step == STEP_REMOVE && job->more && ++job->rounds < ROUNDS)
		job->step = STEP_FIND;
	else if (job->step != STEP_DO && job->commands[STEP_DO].count)
		job->step = STEP_DO;
	else
		return false;
	return true;
}

static void read_said(struct ovs *ovs, char *ret, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while (len < size - 1 && (n = read(ovs->said_fd, ret + len, size - 1 - len)) > 0)
		len += (size_t)n;
	ret[len] = '\0';
	fd_close(&ovs->said_fd);
}

/* What is not removed now may be by a sweep, for its device goes. */
static void look_again(struct ovs *ovs, enum job_kind kind, int error)
{
	const bool is_left = kind == JOB_UNPLUG ? !ovs->pause_ns : kind == JOB_SWEEP && ovs->pause_ns;

	if (kind == JOB_SWEEP && !error)
		ovs->pause_ns = 0;
	if (!error || !is_left)
		return;
	ovs->pause_ns = MIN(MAX(2 * ovs->pause_ns, AGAIN), AGAIN_MAX);
	loop_arm(ovs->again, ovs->pause_ns);
}

static void finish(struct ovs *ovs, int error, const char *text)
{
	struct job *job = ovs->jobs;

	ovs->jobs = job->next;
	look_again(ovs, job->kind, error);
	answer(job, error, text);
	job_free(job);
	if (ovs->jobs)
		loop_arm(ovs->start, 0);
}

static void on_ready(struct spawned *process, void *arg)
{
}

static void on_ended(struct spawned *process, int status, void *arg)
{
	struct ovs *ovs = arg;
	struct job *job = ovs->jobs;
	char said[SAID_LEN];
	struct err err = {0};

	spawned_release(process);
	ovs->process = NULL;
	loop_disarm(ovs->patience);
	read_said(ovs, said, sizeof(said));
	if (explain(job, status, said, &err) == 0 && next_step(job, said))
		loop_arm(ovs->start, 0);
	else
		finish(ovs, err.code, err.text);
}

static int start(struct ovs *ovs, const struct job *job, struct err *err)
{
	static const struct spawn_events events = {on_ready, on_ended};
	_cleanup_close_ int exe_fd = -1, says = -1, said = -1;
	char path[PATH_MAX];
	int fds[2] = {-1, -1}, r = program_find(PROGRAM, path, sizeof(path));

	if (r == 0 && pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		r = -errno;
	if (r < 0)
		return err_set(err, r, "%s: " PROGRAM " cannot be started: %s", job->what, strerror(-r));
	said = fds[0];
	says = fds[1];
	exe_fd = open(path, O_PATH | O_CLOEXEC);
	if (exe_fd < 0)
		return err_set(err, -errno, "%s: %s: %s", job->what, path, strerror(errno));
	r = spawner_spawn(
		ovs->spawner,
		&(struct spawn_request){
			.exe_fd = exe_fd, .name = PROGRAM, .args = job->commands[job->step].list, .log_fd = says},
		&events, ovs, err, &ovs->process);
	if (r == 0)
		ovs->said_fd = take_fd(&said);
	return r;
}

static void on_start(void *arg)
{
	struct ovs *ovs = arg;
	struct err err = {0};

	if (ovs->process || !ovs->jobs)
		return;
	if (start(ovs, ovs->jobs, &err) < 0)
		finish(ovs, err.code, err.text);
	else
		loop_arm(ovs->patience, PATIENCE);
}

static void on_patience(void *arg)
{
	struct ovs *ovs = arg;

	if (ovs->process)
		spawned_kill(ovs->process);
}

/* ---- requests ---- */

/* Return: NULL, with an error. */
static struct job *job_new(struct ovs *ovs, enum job_kind kind, const struct domain_nic *nic, struct err *err)
{
	const char *alias = nic ? nic->alias : "";
	char path[PATH_MAX];
	struct job *job;

	if (!ovs || program_find(PROGRAM, path, sizeof(path)) < 0) {
		err_set(err, -ENOENT,
			"NIC %s: " PROGRAM " is not installed: install it (Debian's package openvswitch-switch), "
			"or use a bridge of the kernel's",
			alias);
		return NULL;
	}
	job = calloc(1, sizeof(*job));
	if (!job) {
		err_set(err, -ENOMEM, "NIC %s: no memory", alias);
		return NULL;
	}
	job->kind = kind;
	job->step = kind == JOB_SET ? STEP_DO : STEP_FIND;
	snprintf(job->what, sizeof(job->what), "%s%s", nic ? "NIC " : "ports of NICs", alias);
	if (nic)
		snprintf(job->bridge, sizeof(job->bridge), "%s", nic->source);
	return job;
}

static void enqueue(struct ovs *ovs, struct job *job, const void *owner, ovs_done_fn done, void *arg)
{
	struct job **at = &ovs->jobs;

	job->owner = owner;
	job->done = done;
	job->arg = arg;
	while (*at)
		at = &(*at)->next;
	*at = job;
	loop_arm(ovs->start, 0);
}

int ovs_plug(struct ovs *ovs, const struct domain_nic *nic, const char *name, const char *uuid, const void *owner,
	     ovs_done_fn done, void *arg, struct err *err)
{
	struct job *job = job_new(ovs, JOB_PLUG, nic, err);

	if (!job)
		return err->code;
	find_command(&job->commands[STEP_FIND], ovs->base);
	add(&job->commands[STEP_FIND], "name=\"%s\"", name);
	plug_command(&job->commands[STEP_DO], nic, name, uuid, ovs->base);
	enqueue(ovs, job, owner, done, arg);
	return 0;
}

int ovs_set(struct ovs *ovs, const struct domain_nic *nic, const char *name, const void *owner, ovs_done_fn done,
	    void *arg, struct err *err)
{
	const char *const words[] = {"set", "Port", name, NULL};
	struct job *job = job_new(ovs, JOB_SET, nic, err);

	if (!job)
		return err->code;
	begin(&job->commands[STEP_DO]);
	add_words(&job->commands[STEP_DO], words);
	add_vlan(&job->commands[STEP_DO], nic);
	enqueue(ovs, job, owner, done, arg);
	return 0;
}

int ovs_unplug(struct ovs *ovs, const char *uuid, const struct domain_nic *nic, const void *owner, ovs_done_fn done,
	       void *arg, struct err *err)
{
	char mac[DOMAIN_MAC_TEXT];
	struct job *job = job_new(ovs, JOB_UNPLUG, nic, err);

	if (!job)
		return err->code;
	find_command(&job->commands[STEP_FIND], ovs->base);
	add(&job->commands[STEP_FIND], "external-ids:vm-uuid=\"%s\"", uuid);
	if (nic) {
		domain_mac_text(nic->mac, mac);
		add(&job->commands[STEP_FIND], "external-ids:attached-mac=\"%s\"", mac);
	}
	enqueue(ovs, job, owner, done, arg);
	return 0;
}

static void sweep(struct ovs *ovs)
{
	struct err err = {0};
	struct job *job = job_new(ovs, JOB_SWEEP, NULL, &err);

	if (!job)
		return;
	find_command(&job->commands[STEP_FIND], ovs->base);
	enqueue(ovs, job, NULL, NULL, NULL);
}

static void on_again(void *arg)
{
	sweep(arg);
}

void ovs_sweep(struct ovs *ovs)
{
	sweep(ovs);
	if (ovs)
		loop_arm(ovs->again, AGAIN);
}

void ovs_abandon(struct ovs *ovs, const void *owner)
{
	struct job *job = ovs ? ovs->jobs : NULL;

	while (job) {
		if (job->owner != owner) {
			job = job->next;
			continue;
		}
		answer(job, -ECANCELED, "it is not wanted any more");
		job = ovs->jobs; /* whoever was answered may have asked for more */
	}
}

/* ---- life ---- */

int ovs_new(struct loop *loop, struct spawner *spawner, const char *base, struct ovs **ret_ovs)
{
	struct ovs *ovs = calloc(1, sizeof(*ovs));

	if (!ovs)
		return -ENOMEM;
	*ovs = (struct ovs){.loop = loop, .spawner = spawner, .base = base, .said_fd = -1};
	if (loop_add_timer(loop, on_start, ovs, &ovs->start) < 0 ||
	    loop_add_timer(loop, on_patience, ovs, &ovs->patience) < 0 ||
	    loop_add_timer(loop, on_again, ovs, &ovs->again) < 0) {
		ovs_free(ovs);
		return -ENOMEM;
	}
	*ret_ovs = ovs;
	return 0;
}

void ovs_free(struct ovs *ovs)
{
	if (!ovs)
		return;
	while (ovs->jobs) {
		struct job *job = ovs->jobs;

		ovs->jobs = job->next;
		answer(job, -ECANCELED, "vmmgmtd is ending");
		job_free(job);
	}
	if (ovs->process)
		spawned_release(ovs->process);
	fd_close(&ovs->said_fd);
	loop_remove(&ovs->start);
	loop_remove(&ovs->patience);
	loop_remove(&ovs->again);
	free(ovs);
}
