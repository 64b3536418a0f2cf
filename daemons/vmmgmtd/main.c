/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmmgmtd: one per host, or per user in session mode. Definitions, life cycle, opening of files for the other daemons,
 * D-Bus. It may be killed and started again at any time: VMs go on, and are found again.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/sandbox.h"
#include "daemon/spawner.h"
#include "broker_nic.h"
#include "dbus_faces.h"
#include "ipc/rpc.h"
#include "links.h"
#include "ovs.h"
#include "reservations.h"
#include "session.h"
#include "store.h"
#include "vm_peer.h"

#define PROGRAM	       "vmmgmtd"
#define IDLE_DEFAULT_S 30
#define SYSTEM_BASE    "/run/bulkhead"
#define SYSTEM_VMS     PKG_LOCALSTATEDIR "/lib/bulkhead/vms"
#define RESERVATIONS   "reservations" /* beside the definitions */
#define SYSTEM_LOGS    PKG_LOCALSTATEDIR "/log/bulkhead"

struct options {
	bool system, daemonize, fork;
	const char *runtime_dir, *kvm;
	long idle_s; /* 0: never */
};

/* Everything that serves; built and taken down in this order. */
struct instance {
	const struct options *options;
	struct session_paths paths;
	const char *base, *vms;
	char logs[PATH_MAX], reservations[PATH_MAX];
	struct loop *loop;
	int lock_fd, parent_fd, spawner_fd, bus_pidfd;
	struct spawner *spawner;
	struct launcher launcher;
	struct manager *manager;
	struct msgbus *bus;
	struct faces *faces;
	struct loop_source *idle;
	unsigned int clients;
	bool bus_lost;
};

static void usage(FILE *f)
{
	fputs("usage: vmmgmtd [--session [--runtime-dir DIR] [--daemonize] | --system]\n"
	      "Bulkhead's manager: VM definitions, their life, D-Bus.\n"
	      "  --session         for the calling user, with a bus of its own (default)\n"
	      "  --runtime-dir DIR where that bus, its VMs and definitions are\n"
	      "  --daemonize       go into the background; return when it serves\n"
	      "  --idle-timeout S  end after S seconds without a VM and a client (30; 0: never)\n"
	      "  --system          for the host, on the system bus\n"
	      "  --fork            run the daemons of VMs itself, also where systemd is there\n"
	      "  --kvm DEVICE      instead of /dev/kvm\n"
	      "  --help, --version\n",
	      f);
}

static int parse_idle(const char *text, long *ret)
{
	char *end;

	errno = 0;
	*ret = strtol(text, &end, 10);
	return errno || end == text || *end || *ret < 0 || *ret > 86400 ? -EINVAL : 0;
}

/* Return: -1: go on; else the exit status. */
static int parse(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
		{"session", no_argument, NULL, 's'},
		{"system", no_argument, NULL, 'S'},
		{"fork", no_argument, NULL, 'f'},
		{"daemonize", no_argument, NULL, 'd'},
		{"runtime-dir", required_argument, NULL, 'r'},
		{"idle-timeout", required_argument, NULL, 'i'},
		{"kvm", required_argument, NULL, 'k'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{0},
	};
	int c;

	*o = (struct options){.kvm = "/dev/kvm", .idle_s = IDLE_DEFAULT_S};
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		bool bad = false;

		switch (c) {
		case 's':
			o->system = false;
			break;
		case 'S':
			o->system = true;
			break;
		case 'f':
			o->fork = true;
			break;
		case 'd':
			o->daemonize = true;
			break;
		case 'r':
			o->runtime_dir = optarg;
			break;
		case 'k':
			o->kvm = optarg;
			break;
		case 'i':
			bad = parse_idle(optarg, &o->idle_s) < 0;
			break;
		case 'h':
			usage(stdout);
			return EXIT_SUCCESS;
		case 'v':
			puts(PROGRAM " " PACKAGE_VERSION);
			return EXIT_SUCCESS;
		default:
			bad = true;
		}
		if (bad) {
			usage(stderr);
			return EXIT_FAILURE;
		}
	}
	if (optind < argc || (o->system && (o->daemonize || o->runtime_dir))) {
		usage(stderr);
		return EXIT_FAILURE;
	}
	return -1;
}

/* ---- when to end ---- */

static void idle_start(struct instance *in)
{
	if (in->clients || in->options->idle_s == 0)
		loop_disarm(in->idle);
	else
		loop_arm(in->idle, (uint64_t)in->options->idle_s * NS_PER_SEC);
}

static void on_idle(void *arg)
{
	struct instance *in = arg;

	if (in->clients || manager_busy(in->manager)) {
		idle_start(in);
		return;
	}
	log_info(NULL, "ends: nobody needs it");
	loop_stop(in->loop);
}

static void on_clients(unsigned int clients, void *arg)
{
	struct instance *in = arg;

	in->clients = clients;
	idle_start(in);
}

static void on_bus_closed(void *arg)
{
	struct instance *in = arg;

	in->bus_lost = true;
	log_error(NULL, "the bus is gone: ends; VMs go on");
	loop_stop(in->loop);
}

/* ---- set-up ---- */

/* Two may be started at once: the one that comes second waits for the first, and has nothing more to do. Return: 1
 * then. */
static int become_the_one(struct instance *in, struct err *err)
{
	for (;;) {
		int r = session_lock(&in->paths, err, &in->lock_fd);

		if (r != -EBUSY || !in->options->daemonize)
			return r;
		r = session_wait_other(in->loop, &in->paths, err);
		if (r != -EAGAIN)
			return r < 0 ? r : 1;
	}
}

static int make_system_folders(struct err *err)
{
	static const char *const folders[] = {SYSTEM_BASE, PKG_LOCALSTATEDIR, PKG_LOCALSTATEDIR "/log", SYSTEM_LOGS};

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		const mode_t mode = i == 0 || i == 3 ? 0700 : 0755;

		if (mkdir(folders[i], mode) < 0 && errno != EEXIST)
			return err_set(err, -errno, "%s: cannot be made: %s%s", folders[i], strerror(errno),
				       errno == EACCES ? ": --system is for root" : "");
	}
	return 0;
}

/* What the sandbox binds must be there. */
static int make_folders(struct instance *in, struct err *err)
{
	const bool system = in->options->system;
	int r = system ? make_system_folders(err) : 0;

	in->base = system ? SYSTEM_BASE : in->paths.base;
	in->vms = system ? SYSTEM_VMS : in->paths.vms;
	if (system)
		snprintf(in->logs, sizeof(in->logs), "%s", SYSTEM_LOGS);
	else
		snprintf(in->logs, sizeof(in->logs), "%s/logs", in->paths.base);
	snprintf(in->reservations, sizeof(in->reservations), "%.*s" RESERVATIONS,
		 (int)(strrchr(in->vms, '/') + 1 - in->vms), in->vms);
	if (r == 0)
		r = store_make_folder(in->vms, err);
	return r < 0 ? r : store_make_folder(in->reservations, err);
}

/*
 * Any path may be a VM's image, kernel or log, so any file can be opened, but nothing executed, and nothing made or
 * removed but files in our own folders; other processes are signalled, but not through kill(). A user's own instance
 * keeps no capability. The host's opens images of any owner in folders of any owner, and ends the daemons of VMs, which
 * have a user of their own, and makes network devices: that is all that it may do as root; its own folders are root's,
 * /dev/kvm is too, and chown() or ACLs are used nowhere.
 */
static int enter_sandbox(const struct instance *in, struct err *err)
{
	static const struct syscall_list *const calls[] = {
		&rpc_connect_calls, &msgbus_calls, &broker_calls,	&store_calls,
		&runtime_calls,	    &ended_calls,  &vm_calls,		&launcher_fork_calls,
		&session_calls,	    &domain_calls, &reservations_calls, &broker_nic_calls,
		&vm_peer_calls,	    &ovs_calls,	   &links_calls,	NULL};
	const struct sandbox_path paths[] = {
		{.path = "/", .images = true},
		{.path = in->base, .write = true, .folders = true},
		{.path = in->vms, .write = true},
		{.path = in->reservations, .write = true},
		{.path = in->options->system ? SYSTEM_LOGS : in->base, .write = true},
		{0},
	};
	const struct sandbox sandbox = {.calls = calls, .paths = paths, .signals = true};
	const uint64_t keep = UINT64_C(1) << CAP_DAC_OVERRIDE | UINT64_C(1) << CAP_KILL | UINT64_C(1) << CAP_NET_ADMIN;
	int r = daemon_keep_capabilities(in->options->system ? keep : 0, err);

	return r < 0 ? r : sandbox_enter(&sandbox, err);
}

/* Whether the host's service manager is systemd. Spec: sd_booted(3). */
static bool is_systemd(void)
{
	struct stat st;

	return lstat("/run/systemd/system", &st) == 0 && S_ISDIR(st.st_mode);
}

/* In the host's instance systemd runs the daemons, if it runs the host; else we do. */
static int launcher_up(struct instance *in, struct err *err)
{
	if (in->options->system && is_systemd() && !in->options->fork)
		return launcher_systemd_init(&in->launcher, in->loop, in->bus, in->base, err);
	launcher_fork_init(&in->launcher, in->loop, in->spawner);
	return 0;
}

static int manager_up(struct instance *in, struct err *err)
{
	struct manager_config config = {
		.mode = in->options->system ? "system" : "session",
		.base = in->base,
		.vms = in->vms,
		.logs = in->logs,
		.reservations = in->reservations,
		.kvm = in->options->kvm,
		.launcher = &in->launcher,
	};
	int r = spawner_new(in->loop, in->spawner_fd, &in->spawner);

	if (r < 0)
		return err_set(err, r, "cannot use the spawner: %s", strerror(-r));
	config.spawner = in->spawner;
	in->spawner_fd = -1;
	r = launcher_up(in, err);
	if (r == 0)
		r = manager_new(in->loop, &config, err, &in->manager);
	if (r == 0)
		manager_settle(in->manager);
	return r;
}

static int bus_up(struct instance *in, struct err *err)
{
	int r = msgbus_open(in->loop, in->options->system ? "system" : in->paths.address, err, &in->bus);

	if (r == 0)
		msgbus_on_closed(in->bus, on_bus_closed, in);
	/* Its policy has said already who may. */
	if (r == 0 && in->options->system)
		msgbus_trust_callers(in->bus);
	return r;
}

static int faces_up(struct instance *in, struct err *err)
{
	const bool system = in->options->system;
	int r;

	r = faces_new(in->bus, in->manager, err, &in->faces);
	if (r == 0 && !system) {
		r = loop_add_timer(in->loop, on_idle, in, &in->idle);
		if (r == 0)
			r = msgbus_watch_clients(in->bus, on_clients, in, err);
	}
	return r < 0 ? r : msgbus_request_name(in->bus, BULKHEAD_BUS_NAME, err);
}

static int set_up(struct instance *in, struct err *err)
{
	int r = loop_new(&in->loop);

	if (r < 0)
		return err_set(err, r, "no memory");
	r = daemon_stop_on_signals(in->loop);
	if (r < 0)
		return err_set(err, r, "signals: %s", strerror(-r));
	r = in->options->system ? 0 : become_the_one(in, err);
	if (r != 0)
		return r;
	r = make_folders(in, err);
	if (r == 0 && !in->options->system)
		r = session_bus_start(&in->paths, err, &in->bus_pidfd);
	if (r == 0)
		r = enter_sandbox(in, err);
	if (r == 0)
		r = bus_up(in, err);
	if (r == 0)
		r = manager_up(in, err);
	if (r == 0)
		r = faces_up(in, err);
	if (r == 0 && daemon_watchdog(in->loop) < 0)
		log_warn(NULL, "no signs of life are given to the service manager");
	return r;
}

static void take_down(struct instance *in)
{
	faces_free(in->faces);
	manager_free(in->manager);
	launcher_systemd_done(&in->launcher);
	msgbus_free(in->bus);
	loop_remove(&in->idle);
	spawner_free(in->spawner);
	fd_close(&in->spawner_fd);
	session_bus_stop(&in->paths, &in->bus_pidfd);
	loop_free(in->loop);
	fd_close(&in->lock_fd);
}

static int serve(struct instance *in)
{
	struct err err = {0};
	int r = set_up(in, &err);

	if (r == 0) {
		daemon_ready("serving");
		session_tell(&in->parent_fd, NULL);
		r = loop_run(in->loop);
		if (r < 0)
			err_set(&err, r, "event loop: %s", strerror(-r));
	} else if (r > 0) {
		session_tell(&in->parent_fd, NULL);
		r = 0;
	}
	if (r < 0) {
		log_error(NULL, "%s", err.text);
		session_tell(&in->parent_fd, err.text);
	}
	take_down(in);
	return r < 0 || in->bus_lost ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct options options;
	struct instance in = {.options = &options, .lock_fd = -1, .parent_fd = -1, .spawner_fd = -1, .bus_pidfd = -1};
	struct err err = {0};
	int r = parse(argc, argv, &options);

	if (r >= 0)
		return r;
	r = options.system ? 0 : session_paths(options.runtime_dir, &in.paths, &err);
	if (r == 0 && options.daemonize)
		r = session_daemonize(&in.paths, &err, &in.parent_fd);
	if (r == 0)
		r = daemon_init(PROGRAM, NULL, &err);
	if (r == 0) /* by the process that serves */
		r = in.spawner_fd = spawner_fork(&err);
	if (r < 0) {
		fprintf(stderr, PROGRAM ": %s\n", err.text);
		session_tell(&in.parent_fd, err.text);
		return EXIT_FAILURE;
	}
	return serve(&in);
}
