/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsp-storaged: the disks of one VM.
 *
 * It opens one path, its worker's socket; everything else it is handed there. It ends when the worker goes away.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/vstor.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "changes.h"
#include "daemon/sandbox.h"
#include "disk.h"
#include "tell.h"
#include "engine.h"
#include "fence.h"
#include "ipc/loop.h"
#include "ipc/rpc.h"
#include "spin.h"
#include "storaged.h"
#include "vsp/program.h"
#include "vsp/vsp.h"

#define PROGRAM	    "vsp-storaged"
#define PROVIDER    "storage"
#define OFFER_FLAGS 0x1u /* the guest may talk to the device */

struct server {
	struct loop *loop;
	struct vsp *vsp;
	const char *engine;
	int poll_option_ns; /* -1: as the configuration says */
	struct storaged *storaged;
	struct changes *changes; /* NULL until it serves */
	struct tell *tell;	 /* NULL until it serves */
	uint32_t poll_max_ns;
};

/* To attach, and to open the disks: no path can be read in it, nothing executed, nobody reached but the worker. */
static const struct sandbox setup_sandbox = {
	.calls = (const struct syscall_list *const[]){&rpc_connect_calls, &disk_raw_calls, &reservation_calls,
						      &uring_setup_calls, &uring_calls, &threads_setup_calls,
						      &threads_calls, &stats_calls, NULL},
	.narrows_later = true,
};

/* What is left before the first byte of a guest or an image is read. */
static const struct sandbox service_sandbox = {
	.calls = (const struct syscall_list *const[]){&disk_raw_calls, &reservation_calls, &uring_calls, &threads_calls,
						      NULL},
};

/* What `vmctl doctor` asks. */
static void probe(void)
{
	_cleanup_close_ int fd = fd_memfd("probe", 4096);
	struct engine *engine = NULL;
	struct loop *loop = NULL;
	struct err err = {0};
	int r = loop_new(&loop);

	if (r == 0)
		r = uring_engine.open(loop, &fd, 1, &engine, &err);
	if (r == 0)
		puts("io-uring ok disks are served by io_uring");
	else
		printf("io-uring warn disks are served by threads, which is slower: %s\n", err.text);
	if (engine)
		uring_engine.close(engine);
	loop_free(loop);
}

static int parse_budget(const char *text, int *ret_ns)
{
	char *end;
	unsigned long ns;

	errno = 0;
	ns = strtoul(text, &end, 10);
	if (errno || !*text || *end || ns > SETTINGS_POLL_MAX_NS) {
		fprintf(stderr, "%s: --poll-max-ns %s: use 0 (no polling) to %u\n", PROGRAM, text,
			SETTINGS_POLL_MAX_NS);
		return -EINVAL;
	}
	*ret_ns = (int)ns;
	return 0;
}

enum {
	OPTION_ENGINE = 1,
	OPTION_POLL,
};

static const struct option own_options[] = {
	{"engine", required_argument, NULL, OPTION_ENGINE},
	{"poll-max-ns", required_argument, NULL, OPTION_POLL},
	{0},
};

static int take_option(struct vsp_server *vsp_server, int val, const char *text)
{
	struct server *server = vsp_server->arg;

	if (val == OPTION_POLL)
		return parse_budget(text, &server->poll_option_ns);
	server->engine = text;
	return 0;
}

static void batch_begin(void *arg)
{
	vsp_batch_begin(arg);
}

static void batch_end(void *arg)
{
	vsp_batch_end(arg);
}

/* ---- recovery ---- */

struct fence_wait {
	bool over;
	int result;
};

static void fence_done(void *arg, int result)
{
	struct fence_wait *wait = arg;

	wait->over = true;
	wait->result = result;
}

/* Until nothing of a predecessor's I/O is under way, or we are to stop. */
static int wait_for_fence(struct server *server, struct err *err)
{
	struct fence_wait wait = {0};
	struct fence *fence;
	const void *data;
	size_t len;
	int r, fd = vsp_keepsake(server->vsp, FENCE_KEY, &data, &len);

	if (fd < 0)
		return 0;
	r = fence_new(server->loop, fd, fence_done, &wait, err, &fence);
	if (r < 0)
		return r;
	vsp_waits(server->vsp, "its predecessor's I/O to end");
	while (r == 0 && !wait.over && !loop_stopping(server->loop))
		r = loop_run_once(server->loop, true);
	vsp_waits(server->vsp, NULL);
	fence_free(fence);
	if (r == 0)
		r = wait.result;
	return r < 0 ? err_set(err, r, "the predecessor's I/O cannot be waited for: %s", strerror(-r)) : 0;
}

/* Before the first request. */
static int keep_fence(struct server *server, struct err *err)
{
	int fd = engine_keep(server->storaged->engine);

	return fd < 0 ? 0 : vsp_keep(server->vsp, FENCE_KEY, fd, NULL, 0, err);
}

/* ---- disks and controllers ---- */

static int open_disks(struct server *server, struct err *err)
{
	_cleanup_free_ struct settings *settings = NULL;
	int fds[ENGINE_FILES_MAX];
	size_t count = MIN(vsp_config_fds(server->vsp), ARRAY_SIZE(fds)), len = 0;
	const void *bytes = vsp_config_bytes(server->vsp, &len);
	int r;

	r = settings_parse(bytes, len, count, &settings, err);
	if (r < 0)
		return r;
	settings->again = vsp_generation(server->vsp) > 0;
	server->poll_max_ns = server->poll_option_ns < 0 ? settings->poll_max_ns : (uint32_t)server->poll_option_ns;
	vsp_take_config_fds(server->vsp, fds, count);
	r = storaged_open(server->loop, settings, server->engine, fds, count, &server->storaged, err);
	if (r < 0)
		return r;
	engine_set_batch(server->storaged->engine, batch_begin, batch_end, server->vsp);
	r = changes_new(server->loop, server->vsp, server->storaged, &server->changes);
	if (r == 0)
		r = tell_new(server->loop, server->vsp, server->storaged, &server->tell);
	return r < 0 ? err_set(err, r, "event loop: %s", strerror(-r)) : 0;
}

static void on_changed(void *arg, const struct err *err)
{
	vsp_changed(arg, err);
}

static void on_change(void *arg, const void *bytes, size_t len, int *fds, size_t nfds, struct vsp_change *call)
{
	struct server *server = ((struct vsp_server *)arg)->arg;
	struct storaged_fds taken = {nfds > 0 ? take_fd(&fds[0]) : -1, nfds > 1 ? take_fd(&fds[1]) : -1};
	struct change_settings change;
	struct err err = {0};

	if (!server->changes)
		err_set(&err, -EAGAIN, "vsp-storaged is not ready");
	else
		(void)settings_parse_change(bytes, len, nfds, &change, &err);
	if (err.code) {
		storaged_close_fds(server->storaged, &taken);
		vsp_changed(call, &err);
		return;
	}
	changes_begin(server->changes, &change, taken, on_changed, call);
}

/* A controller's primary channel, and all the sub-channels that its guest may ask for. */
static int offer_controller(struct server *server, struct storaged_controller *controller, struct err *err)
{
	char name[sizeof(controller->name) + 16];
	struct vsp_offer_desc offer = {
		.interface_guid = VSTOR_SCSI_INTERFACE_GUID,
		.instance_guid = controller->instance,
		.flags = OFFER_FLAGS,
		.name = controller->name,
	};
	int r = vsp_offer(server->vsp, &offer, &storvsp_ops, &controller->storvsp, err);

	offer.name = name;
	for (uint32_t i = 1; r == 0 && i <= controller->storvsp.sub_channels; i++) {
		snprintf(name, sizeof(name), "%s.%u", controller->name, i);
		offer.subchannel_index = (uint16_t)i;
		r = vsp_offer(server->vsp, &offer, &storvsp_sub_ops, &controller->storvsp, err);
	}
	return r;
}

static int offer_controllers(struct server *server, struct err *err)
{
	struct storaged *storaged = server->storaged;
	int r = 0;

	for (size_t i = 0; r == 0 && i < storaged->controllers; i++) {
		struct storaged_controller *controller = &storaged->controller[i];

		controller->storvsp.units_changed = tell_look;
		controller->storvsp.units_arg = server->tell;
		controller->storvsp.sub_channels = storvsp_sub_channels(storaged->controllers, vsp_cpus(server->vsp));
		r = offer_controller(server, controller, err);
	}
	return r < 0 ? r : vsp_ready(server->vsp, err);
}

/* ---- the program ---- */

static int program_open(struct vsp_server *vsp_server, struct err *err)
{
	struct server *server = vsp_server->arg;
	struct stats *stats;
	int r;

	server->loop = vsp_server->loop;
	server->vsp = vsp_server->vsp;
	r = wait_for_fence(server, err);
	if (r < 0 || loop_stopping(server->loop))
		return r;
	r = open_disks(server, err);
	if (r < 0)
		return r;
	stats = vsp_program_count(vsp_server);
	if (stats)
		storaged_observe(server->storaged, stats);
	return keep_fence(server, err);
}

static int program_offer(struct vsp_server *vsp_server, char *status, struct err *err)
{
	struct server *server = vsp_server->arg;
	int r = offer_controllers(server, err);

	if (r < 0)
		return r;
	tell_look(server->tell);
	snprintf(status, VSP_STATUS_LEN, "%zu disk%s", server->storaged->disks,
		 server->storaged->disks == 1 ? "" : "s");
	return 0;
}

static int program_run(struct vsp_server *vsp_server)
{
	struct server *server = vsp_server->arg;

	if (server->poll_max_ns > 0)
		return spin_run(server->loop, server->vsp, server->storaged->engine, server->poll_max_ns);
	return loop_run(server->loop);
}

static void program_stop(struct vsp_server *vsp_server)
{
	struct server *server = vsp_server->arg;

	/* The I/O ends before the memory goes; what it completes is not taken up again. */
	if (server->storaged)
		engine_set_batch(server->storaged->engine, NULL, NULL, NULL);
	tell_free(server->tell);
	changes_free(server->changes);
	storaged_free(server->storaged);
}

static const struct vsp_program program = {
	.name = PROGRAM,
	.provider = PROVIDER,
	.version = PROGRAM " " PACKAGE_VERSION,
	.usage = " [--engine io_uring|threads]\n           [--poll-max-ns NS]",
	.serves = "Serve a VM's disks",
	.state_version = STORVSP_STATE_VERSION,
	.setup = &setup_sandbox,
	.service = &service_sandbox,
	.options = own_options,
	.option = take_option,
	.probe = probe,
	.open = program_open,
	.offer = program_offer,
	.run = program_run,
	.stop = program_stop,
	.change = on_change,
};

int main(int argc, char **argv)
{
	struct server server = {.poll_option_ns = -1};

	return vsp_program_main(argc, argv, &program, &server);
}
