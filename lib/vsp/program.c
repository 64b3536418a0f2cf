/* SPDX-License-Identifier: Apache-2.0 */
#include "vsp/program.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "ipc/rpc.h"
#include "vsp/end.h"

#define PATH_LEN 512

struct options {
	const char *worker, *runtime_dir, *name;
	bool tell_end;
	char path[PATH_LEN]; /* of the worker's socket */
};

/* To tell of a predecessor's end. */
static const struct sandbox tell_sandbox = {
	.calls = (const struct syscall_list *const[]){&rpc_connect_calls, NULL},
};

/* ---- options ---- */

static const struct option common_options[] = {
	{"worker", required_argument, NULL, 'w'}, {"runtime-dir", required_argument, NULL, 'r'},
	{"name", required_argument, NULL, 'n'},	  {"tell-end", no_argument, NULL, 't'},
	{"probe", no_argument, NULL, 'p'},	  {"help", no_argument, NULL, 'h'},
};

static void usage(const struct vsp_program *program, FILE *to)
{
	fprintf(to, "Usage: %s --worker SOCKET | --runtime-dir DIR  [--name VM]%s\n", program->name, program->usage);
	fprintf(to, "       %s --tell-end --runtime-dir DIR\n", program->name);
	if (program->probe)
		fprintf(to, "       %s --probe\n", program->name);
	fprintf(to,
		"%s, as its worker says. vmmgmtd starts it.\n"
		"  --tell-end  tell the worker how its process has ended instead, as ExecStopPost= of systemd\n",
		program->serves);
	if (program->probe)
		fputs("  --probe     look at the host instead: a line for each check, \"ID ok|warn|fail TEXT\"\n", to);
}

static int set_path(const struct vsp_program *program, struct options *options)
{
	int n = options->worker
			? snprintf(options->path, sizeof(options->path), "%s", options->worker)
			: snprintf(options->path, sizeof(options->path), "%s/worker.sock", options->runtime_dir);

	if (n >= 0 && (size_t)n < sizeof(options->path))
		return 0;
	fprintf(stderr, "%s: the path of the worker's socket is too long\n", program->name);
	return -EINVAL;
}

/* Return: 0; 1: what was asked for is done; -EINVAL: told on stderr. */
static int take_option(const struct vsp_program *program, struct vsp_server *server, int c, struct options *options)
{
	const struct {
		int c;
		const char **text;
	} texts[] = {{'w', &options->worker}, {'r', &options->runtime_dir}, {'n', &options->name}};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (texts[i].c == c) {
			*texts[i].text = optarg;
			return 0;
		}
	if (c == 't') {
		options->tell_end = true;
		return 0;
	}
	if (c >= 1 && c <= (int)VSP_PROGRAM_OPTIONS)
		return program->option(server, c, optarg);
	if (c == 'p' && program->probe) {
		program->probe();
		return 1;
	}
	usage(program, c == 'h' ? stdout : stderr);
	return c == 'h' ? 1 : -EINVAL;
}

static int parse_options(int argc, char **argv, const struct vsp_program *program, struct vsp_server *server,
			 struct options *options)
{
	struct option list[ARRAY_SIZE(common_options) + VSP_PROGRAM_OPTIONS + 1] = {0};
	size_t count = 0;
	int c;

	memcpy(list, common_options, sizeof(common_options));
	count = ARRAY_SIZE(common_options);
	for (const struct option *own = program->options; own && own->name; own++)
		list[count++] = *own;
	while ((c = getopt_long(argc, argv, "", list, NULL)) != -1) {
		int r = take_option(program, server, c, options);

		if (r != 0)
			return r;
	}
	if (optind < argc || !options->worker == !options->runtime_dir) {
		usage(program, stderr);
		return -EINVAL;
	}
	return set_path(program, options);
}

/* ---- service ---- */

static void worker_gone(void *arg, const char *why)
{
	struct vsp_server *server = arg;

	if (!server->gone)
		log_notice(NULL, "the worker went away (%s): ending", why);
	server->gone = true;
	loop_stop(server->loop);
}

/* Until what is served is open and nothing more is. */
static int attach(const struct vsp_program *program, struct vsp_server *server, const struct options *options,
		  struct err *err)
{
	const struct vsp_config config = {
		.name = program->provider,
		.program = program->version,
		.state_version = program->state_version,
		.worker_path = options->path,
		.invocation = getenv("INVOCATION_ID"),
		.worker_gone = worker_gone,
		.change = program->change,
		.gathered = program->gathered,
		.arg = server,
	};
	int r = daemon_drop_privileges(getuid(), getgid(), err);

	if (r == 0)
		r = sandbox_enter(program->setup, err);
	if (r == 0)
		r = vsp_attach(server->loop, &config, &server->vsp, err);
	if (r < 0)
		return r;
	log_init(program->name, vsp_vm_name(server->vsp));
	r = program->open(server, err);
	return r < 0 || loop_stopping(server->loop) ? r : sandbox_enter(program->service, err);
}

static int serve(const struct vsp_program *program, struct vsp_server *server, const struct options *options,
		 struct err *err)
{
	char status[VSP_STATUS_LEN] = "";
	int r = attach(program, server, options, err);

	if (r < 0 || loop_stopping(server->loop))
		return r;
	r = program->offer(server, status, err);
	if (r < 0 || server->gone)
		return r;
	if (daemon_watchdog(server->loop) < 0)
		log_warn(NULL, "no signs of life are given to the service manager");
	daemon_ready(status);
	return program->run ? program->run(server) : loop_run(server->loop);
}

/* ---- for the program ---- */

struct stats *vsp_program_count(struct vsp_server *server)
{
	struct err err = {0};

	if (vsp_stats_begin(server->vsp, &err) == 0)
		return vsp_stats(server->vsp);
	log_warn(NULL, "there are no statistics: %s", err.text);
	return NULL;
}

/* ---- its predecessor's end ---- */

static int tell_end(const struct vsp_program *program, struct loop *loop, const struct options *options,
		    struct err *err)
{
	struct vsp_end end;
	int r = daemon_drop_privileges(getuid(), getgid(), err);

	if (r == 0)
		r = sandbox_enter(&tell_sandbox, err);
	if (r == 0)
		r = vsp_end_read(getenv, &end, err);
	return r < 0 ? r : vsp_end_tell(loop, options->path, program->provider, &end, err);
}

/* It has ended, or ends: the VM is over. */
static bool no_worker(int error)
{
	return error == -ENOENT || error == -ECONNREFUSED || error == -ECONNRESET;
}

int vsp_program_main(int argc, char **argv, const struct vsp_program *program, void *arg)
{
	struct vsp_server server = {.arg = arg};
	struct options options = {0};
	struct err err = {0};
	int r;

	r = parse_options(argc, argv, program, &server, &options);
	if (r != 0)
		return r < 0 ? 2 : 0;
	r = daemon_init(program->name, options.name, &err);
	if (r == 0) {
		r = loop_new(&server.loop);
		if (r == 0)
			r = daemon_stop_on_signals(server.loop);
		if (r < 0)
			err_set(&err, r, "cannot make an event loop: %s", strerror(-r));
	}
	if (r == 0 && options.tell_end) {
		r = tell_end(program, server.loop, &options, &err);
		if (no_worker(r))
			r = 0;
	} else if (r == 0) {
		r = serve(program, &server, &options, &err);
	}
	if (r < 0)
		log_error(NULL, "%s", err.text[0] ? err.text : strerror(-r));
	program->stop(&server);
	vsp_free(server.vsp);
	loop_free(server.loop);
	if (server.gone || no_worker(r))
		return VSP_EXIT_NO_WORKER;
	return r < 0 ? 1 : 0;
}
