/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsp-netd: the network of one VM.
 *
 * It opens one path, its worker's socket; everything else it is handed there. It ends when the worker goes away.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "ipc/rpc.h"
#include "net.h"
#include "netd.h"
#include "vsp/program.h"

#define PROGRAM	 "vsp-netd"
#define PROVIDER "network"
#define FDS_MAX	 (SETTINGS_NICS_MAX * SETTINGS_QUEUES_MAX)

/* To attach: no path can be read in it, nothing executed, nobody reached but the worker. */
static const struct sandbox setup_sandbox = {
	.calls = (const struct syscall_list *const[]){&rpc_connect_calls, &kept_calls, &net_tap_calls, &stats_calls,
						      NULL},
	.narrows_later = true,
};

/* What is left before the first byte of a guest or a peer is read. */
static const struct sandbox service_sandbox = {
	.calls = (const struct syscall_list *const[]){&net_tap_calls, NULL},
};

static int program_open(struct vsp_server *server, struct err *err)
{
	struct netd **netd = server->arg;
	struct settings settings;
	int fds[FDS_MAX];
	size_t count = MIN(vsp_config_fds(server->vsp), ARRAY_SIZE(fds)), len = 0;
	const void *bytes = vsp_config_bytes(server->vsp, &len);
	struct stats *stats;
	int r = settings_parse(bytes, len, count, &settings, err);

	if (r < 0)
		return r;
	vsp_take_config_fds(server->vsp, fds, count);
	r = netd_open(server->loop, server->vsp, &settings, fds, count, netd, err);
	if (r < 0)
		return r;
	stats = vsp_program_count(server);
	if (stats)
		netd_observe(*netd, stats);
	return 0;
}

static int program_offer(struct vsp_server *server, char *status, struct err *err)
{
	struct netd *netd = *(struct netd **)server->arg;
	int r = netd_offer(netd, err);

	if (r == 0)
		r = vsp_ready(server->vsp, err);
	if (r == 0)
		snprintf(status, VSP_STATUS_LEN, "%zu NIC%s", netd_nics(netd), netd_nics(netd) == 1 ? "" : "s");
	return r;
}

static void program_stop(struct vsp_server *server)
{
	netd_free(*(struct netd **)server->arg);
}

static void on_change(void *arg, const void *bytes, size_t len, int *fds, size_t nfds, struct vsp_change *call)
{
	struct netd *netd = *(struct netd **)((struct vsp_server *)arg)->arg;
	struct nic_change change;
	struct err err = {0};

	if (!netd)
		err_set(&err, -EAGAIN, PROGRAM " is not ready");
	else
		(void)settings_parse_change(bytes, len, nfds, &change, &err);
	if (err.code)
		vsp_changed(call, &err);
	else
		netd_change(netd, &change, fds, nfds, call);
}

static void on_gathered(void *arg)
{
	struct netd *netd = *(struct netd **)((struct vsp_server *)arg)->arg;

	if (netd)
		netd_gathered(netd);
}

static const struct vsp_program program = {
	.name = PROGRAM,
	.provider = PROVIDER,
	.version = PROGRAM " " PACKAGE_VERSION,
	.usage = "",
	.serves = "Serve a VM's NICs",
	.state_version = NETVSP_STATE_VERSION,
	.setup = &setup_sandbox,
	.service = &service_sandbox,
	.open = program_open,
	.offer = program_offer,
	.stop = program_stop,
	.change = on_change,
	.gathered = on_gathered,
};

int main(int argc, char **argv)
{
	struct netd *netd = NULL;

	return vsp_program_main(argc, argv, &program, &netd);
}
