/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DPDK's testpmd where vsp-netd stands: between a guest that sends 64 bytes as fast as it can, and a tap. The guest is
 * a second testpmd behind vhost-user; or none: frames come from nowhere (net_null), and all that is done is to write
 * them to the tap. All look for work without a pause, the two each on a CPU of its own; between measurements they are
 * stopped.
 *
 * Limits: without huge pages, for who runs this may have none. What the first one spends on waiting for the second one,
 * which may be kept from its CPU, counts.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "netdev.h"
#include "network.h"
#include "process.h"

#define PROGRAM	  "dpdk-testpmd"
#define WAIT_MS	  10000
#define SETTLE_MS 20
#define WINDOW_MS 350
#define FRAME_LEN 64u

struct testpmd {
	const char *tap;
	bool vhost;
	pid_t pid, guest;
	clockid_t clock;
	char folder[64], path[80];
};

static struct testpmd with_guest = {.tap = "tapvhost", .vhost = true}, alone = {.tap = "tapnull"};

static int prepare(void *arg)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)arg;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (dup2(null, fd) < 0)
			return -errno;
	return 0;
}

static pid_t start_one(const char *cpus, const char *device, const char *more, const char *mode, clockid_t *ret_clock)
{
	char length[32];
	const char *argv[] = {PROGRAM,
			      "--lcores",
			      cpus,
			      "--no-huge",
			      "-m",
			      "256",
			      "--no-pci",
			      "--no-telemetry",
			      "--no-shconf",
			      "--vdev",
			      device,
			      "--vdev",
			      more,
			      "--",
			      mode,
			      length,
			      "--no-mlockall",
			      "--total-num-mbufs=8192",
			      "--stats-period=3600",
			      NULL};

	snprintf(length, sizeof(length), "--txpkts=%u", FRAME_LEN);
	return process_start(argv, prepare, NULL, ret_clock);
}

static void tell(const struct testpmd *testpmd, int signal)
{
	kill(testpmd->pid, signal);
	if (testpmd->guest > 0)
		kill(testpmd->guest, signal);
}

static bool comes(const struct testpmd *testpmd)
{
	return testpmd->vhost ? access(testpmd->path, F_OK) == 0 : netdev_received(testpmd->tap, NULL) > 0;
}

static int start_guest(struct testpmd *testpmd)
{
	char device[128];
	clockid_t unused;

	for (int ms = 0; ms < WAIT_MS && !comes(testpmd); ms += 10)
		poll(NULL, 0, 10);
	snprintf(device, sizeof(device), "net_virtio_user0,path=%s", testpmd->path);
	testpmd->guest = start_one("0@1,1@1", device, "net_null0", "--forward-mode=txonly", &unused);
	return testpmd->guest;
}

static int start(struct testpmd *testpmd)
{
	char device[128], tap[64];

	snprintf(testpmd->folder, sizeof(testpmd->folder), "/tmp/bench-testpmd-XXXXXX");
	if (!mkdtemp(testpmd->folder))
		return -errno;
	snprintf(testpmd->path, sizeof(testpmd->path), "%s/guest", testpmd->folder);
	if (testpmd->vhost)
		snprintf(device, sizeof(device), "net_vhost0,iface=%s", testpmd->path);
	else
		snprintf(device, sizeof(device), "net_null0,size=%u", FRAME_LEN);
	snprintf(tap, sizeof(tap), "net_tap0,iface=%s", testpmd->tap);
	testpmd->pid = start_one("0@0,1@0", device, tap, "--forward-mode=io", &testpmd->clock);
	if (testpmd->pid < 0 || (testpmd->vhost && start_guest(testpmd) < 0))
		return -EIO;
	for (int ms = 0; ms < WAIT_MS; ms += 10) {
		if (netdev_received(testpmd->tap, NULL) > 0)
			return 0;
		poll(NULL, 0, 10);
	}
	return -ETIMEDOUT;
}

static void stop(struct testpmd *testpmd)
{
	if (testpmd->pid > 0)
		tell(testpmd, SIGCONT);
	process_stop(testpmd->guest);
	process_stop(testpmd->pid);
	if (testpmd->folder[0]) {
		unlink(testpmd->path);
		rmdir(testpmd->folder);
	}
	testpmd->pid = testpmd->guest = 0;
}

static const char *missing(struct testpmd *testpmd)
{
	if (!process_installed(PROGRAM))
		return "install dpdk-dev";
	if (testpmd->pid == 0 && start(testpmd) < 0) {
		stop(testpmd);
		return PROGRAM " does not forward here: see its --no-huge, net_vhost, net_virtio_user, net_tap";
	}
	tell(testpmd, SIGSTOP);
	return NULL;
}

static double measure(const struct testpmd *testpmd)
{
	unsigned long before, frames, bytes_before = 0, bytes = 0;
	double cpu;

	tell(testpmd, SIGCONT);
	poll(NULL, 0, SETTLE_MS);
	cpu = process_seconds(testpmd->clock);
	before = netdev_received(testpmd->tap, &bytes_before);
	poll(NULL, 0, WINDOW_MS);
	cpu = process_seconds(testpmd->clock) - cpu;
	frames = netdev_received(testpmd->tap, &bytes) - before;
	tell(testpmd, SIGSTOP);
	if (frames == 0 || bytes - bytes_before != frames * FRAME_LEN)
		return -1;
	return cpu * 1e6 / (double)frames;
}

double network_testpmd(void *arg)
{
	(void)arg;
	return measure(&with_guest);
}

double network_testpmd_alone(void *arg)
{
	(void)arg;
	return measure(&alone);
}

const char *network_testpmd_missing(void *arg)
{
	(void)arg;
	return missing(&with_guest);
}

const char *network_testpmd_alone_missing(void *arg)
{
	(void)arg;
	return missing(&alone);
}

void network_testpmd_stop(void)
{
	stop(&with_guest);
	stop(&alone);
}
