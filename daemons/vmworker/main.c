// SPDX-License-Identifier: Apache-2.0
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "console.h"
#include "daemon/daemon.h"
#include "daemon/sandbox.h"
#include "daemon/spawner.h"
#include "ipc/loop.h"
#include "ipc/rpc.h"
#include "kvm.h"
#include "memory.h"
#include "probe.h"
#include "rpc.h"
#include "vcpu.h"

#define SOCKET_NAME  "worker.sock"
#define LAST_NAME    "worker.last"
#define EXIT_CRASHED 3 /* the guest, or we with it; EXIT_FAILURE: never started */

struct options {
	const char *uuid, *name, *runtime_dir;
};

static const struct option long_options[] = {
	{"uuid", required_argument, NULL, 'u'},
	{"name", required_argument, NULL, 'n'},
	{"runtime-dir", required_argument, NULL, 'd'},
	{"probe", no_argument, NULL, 'P'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{0},
};

static void usage(FILE *to)
{
	fputs("usage: vmworker --uuid UUID --name NAME --runtime-dir DIR\n"
	      "Runs one virtual machine for vmmgmtd, which is told of it by the socket DIR/" SOCKET_NAME ".\n"
	      "  --uuid UUID        the VM's UUID\n"
	      "  --name NAME        the VM's name, for the log\n"
	      "  --runtime-dir DIR  the VM's runtime directory\n"
	      "  --probe            look at /dev/kvm instead: a line for each check, \"ID ok|warn|fail TEXT\"\n"
	      "  --help, --version\n",
	      to);
}

/* Return: -1: go on; else the exit code. */
static int parse(int argc, char **argv, struct options *options)
{
	int c;

	while ((c = getopt_long(argc, argv, "hV", long_options, NULL)) != -1) {
		switch (c) {
		case 'u':
			options->uuid = optarg;
			break;
		case 'n':
			options->name = optarg;
			break;
		case 'd':
			options->runtime_dir = optarg;
			break;
		case 'P':
			sandbox_probe(stdout);
			return probe_kvm(stdout);
		case 'h':
			usage(stdout);
			return EXIT_SUCCESS;
		case 'V':
			puts("vmworker (" PACKAGE_NAME ") " PACKAGE_VERSION);
			return EXIT_SUCCESS;
		default:
			usage(stderr);
			return EXIT_FAILURE;
		}
	}
	if (optind == argc && options->uuid && options->name && options->runtime_dir)
		return -1;
	fputs("vmworker: --uuid, --name and --runtime-dir are needed, and nothing else\n", stderr);
	usage(stderr);
	return EXIT_FAILURE;
}

static void on_signal(void *arg)
{
	rpc_terminate(arg, "the worker was told to end");
}

static int watch_signals(struct loop *loop, struct rpc *rpc, struct loop_source *sources[2])
{
	int r = loop_add_signal(loop, SIGTERM, on_signal, rpc, &sources[0]);

	return r < 0 ? r : loop_add_signal(loop, SIGINT, on_signal, rpc, &sources[1]);
}

/* Each open channel takes three descriptors; ordinary limits are too low for many. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warn(NULL, "cannot raise the limit of open descriptors: %s", strerror(errno));
}

/* To end VSPs. */
static const struct syscall_rule vsp_rules[] = {
	{SYS_pidfd_send_signal},
	{-1},
};

static const struct syscall_list vsp_calls = {.name = "VSPs", .rules = vsp_rules};

/*
 * What the VM needs is handed to us as descriptors; no path is opened any more. The socket's file can still be removed.
 */
static int enter_sandbox(const struct options *options, struct err *err)
{
	const struct syscall_list *const calls[] = {&rpc_server_calls, &kvm_calls, &vcpu_calls, &memory_calls,
						    &console_calls,    &vsp_calls, NULL};
	const struct sandbox_path paths[] = {{.path = options->runtime_dir, .write = true}, {0}};
	const struct sandbox sandbox = {.calls = calls, .paths = paths};

	console_reserve_pty();
	setenv("TZ", ":/etc/localtime", 0);
	tzset(); /* reads it, for the last time */
	return sandbox_enter(&sandbox, err);
}

static int join(char path[PATH_MAX], const char *folder, const char *name, struct err *err)
{
	if (snprintf(path, PATH_MAX, "%s/%s", folder, name) < PATH_MAX)
		return 0;
	return err_set(err, -ENAMETOOLONG, "the path of the runtime directory is too long");
}

/* Listen, with an empty file for the VM's last state beside the socket. */
static int listen_in(const char *folder, const char *uuid, struct loop *loop, struct spawner *spawner, struct err *err,
		     struct rpc **ret_rpc)
{
	char path[PATH_MAX];
	int fd, r = join(path, folder, LAST_NAME, err);

	if (r < 0)
		return r;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	r = join(path, folder, SOCKET_NAME, err);
	if (r < 0) {
		close(fd);
		return r;
	}
	return rpc_new(loop, path, uuid, spawner, fd, err, ret_rpc);
}

static int serve(const struct options *options, int spawner_fd, struct err *err)
{
	struct loop_source *signals[2] = {NULL, NULL};
	struct loop *loop = NULL;
	struct rpc *rpc = NULL;
	struct spawner *spawner = NULL;
	bool crashed = false;
	int r;

	r = loop_new(&loop);
	if (r < 0)
		return err_set(err, r, "cannot make an event loop: %s", strerror(-r));
	r = spawner_new(loop, spawner_fd, &spawner);
	if (r < 0)
		err_set(err, r, "cannot use the spawner: %s", strerror(-r));
	else
		r = listen_in(options->runtime_dir, options->uuid, loop, spawner, err, &rpc);
	if (r >= 0)
		r = daemon_drop_privileges(geteuid(), getegid(), err);
	if (r >= 0) {
		r = watch_signals(loop, rpc, signals);
		if (r < 0)
			err_set(err, r, "cannot watch signals: %s", strerror(-r));
	}
	if (r >= 0) {
		daemon_ready("waiting for the manager");
		r = enter_sandbox(options, err); /* before a byte of a peer is read */
	}
	if (r >= 0) {
		r = loop_run(loop);
		log_notice(NULL, "ends: VM %s", rpc_result(rpc, &crashed));
		if (r < 0)
			err_set(err, r, "event loop: %s", strerror(-r));
	}
	rpc_free(rpc);
	spawner_free(spawner);
	loop_remove(&signals[0]);
	loop_remove(&signals[1]);
	loop_free(loop);
	return r < 0 ? r : crashed ? EXIT_CRASHED : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct options options = {0};
	struct err err = {0};
	int r = parse(argc, argv, &options), spawner_fd = -1;

	if (r >= 0)
		return r;
	r = daemon_init("vmworker", options.name, &err);
	if (r >= 0)
		r = spawner_fd = spawner_fork(&err);
	raise_descriptor_limit();
	if (r >= 0)
		r = serve(&options, spawner_fd, &err);
	if (r < 0) {
		log_error(NULL, "%s", err.text);
		return EXIT_FAILURE;
	}
	return r;
}
