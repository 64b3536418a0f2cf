/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting bare-metal VMs one after another, for tests/bench/starts: ours by D-Bus until Start is answered; the peer is
 * a process of this program that makes a VM with memory and one processor by ioctls, until it says so. All of them
 * stay.
 *
 * $BENCH_BUS: the address of the manager's bus; its VMs are bench1, bench2 ... and of BENCH_MIB of memory. Rounds over
 * their number fail.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fd.h"
#include "bench.h"
#include "dbus/conn.h"

#define BENCH_MIB 32u
#define BUS_NAME  "org.bulkhead.Manager1"
#define MANAGER	  "/org/bulkhead/Manager1"
#define BARE	  "--bare-vm"
#define SETTLE_MS 100

static struct loop *loop;
static struct msgbus *bus;
static unsigned int started;
static pid_t bare[BENCH_ROUNDS_MAX];
static unsigned int bares;

/* What the VM before does in its first moments is not this one's time. */
static uint64_t begin_quietly(void)
{
	const struct timespec pause = {.tv_nsec = SETTLE_MS * NS_PER_MS};

	nanosleep(&pause, NULL);
	return clock_now_ns();
}

/* ---- ours ---- */

static int call_vm(unsigned int n, const char *method, struct err *err)
{
	struct msgbus_msg *msg = NULL;
	struct msgbus_in in;
	const char *path;
	char name[32];
	int r;

	snprintf(name, sizeof(name), "bench%u", n);
	r = msgbus_call(bus, BUS_NAME, MANAGER, BUS_NAME, "LookupByName", 0, err, &msg, "s", name);
	if (r < 0)
		return r;
	msgbus_msg_in(msg, &in);
	r = msgbus_in_read(&in, "o", &path);
	if (r == 0)
		r = msgbus_call(bus, BUS_NAME, path, "org.bulkhead.VM1", method, 60000, err, NULL, "u", 0u);
	msgbus_msg_free(msg);
	return r;
}

static double start_vm(void *arg)
{
	uint64_t begin = begin_quietly();
	struct err err = {0};
	int r = call_vm(started + 1, "Start", &err);

	(void)arg;
	if (r < 0) {
		fprintf(stderr, "start_vms: %s\n", err.text);
		return -1;
	}
	started++;
	return (double)(clock_now_ns() - begin) / NS_PER_MS;
}

/* ---- the peer ---- */

/* In a process of its own. */
static int be_bare_vm(void)
{
	struct kvm_userspace_memory_region region = {.memory_size = (uint64_t)BENCH_MIB << 20};
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), fd = fd_memfd("bare", region.memory_size);
	int vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
	void *memory = fd < 0 ? MAP_FAILED : mmap(NULL, region.memory_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	region.userspace_addr = (uintptr_t)memory;
	if (vm < 0 || memory == MAP_FAILED || ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000ul) < 0 ||
	    ioctl(vm, KVM_CREATE_IRQCHIP, 0) < 0 || ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0 ||
	    ioctl(vm, KVM_CREATE_VCPU, 0) < 0 || write(STDOUT_FILENO, "r", 1) != 1)
		return 1;
	for (;;)
		pause();
}

static double start_bare(void *arg)
{
	uint64_t begin = begin_quietly();
	int pipe_fds[2];
	char ready = 0;
	pid_t pid;

	(void)arg;
	if (bares == ARRAY_SIZE(bare) || pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		if (dup2(pipe_fds[1], STDOUT_FILENO) >= 0)
			execl("/proc/self/exe", "bare-vm", BARE, NULL);
		_exit(127);
	}
	close(pipe_fds[1]);
	if (pid < 0 || read(pipe_fds[0], &ready, 1) != 1)
		ready = 0;
	close(pipe_fds[0]);
	if (pid > 0)
		bare[bares++] = pid;
	return ready ? (double)(clock_now_ns() - begin) / NS_PER_MS : -1;
}

/* ---- all ---- */

static const struct bench_case cases[] = {
	{
		.name = "start of a VM through D-Bus",
		.unit = "ms",
		.lower_is_better = true,
		.ours = start_vm,
		.peer = start_bare,
		.peer_name = "KVM + fork/exec",
		.must = 0.25,
	},
};

int main(int argc, char **argv)
{
	const char *address = getenv("BENCH_BUS");
	struct err err = {0};
	int rc;

	if (argc == 2 && strcmp(argv[1], BARE) == 0)
		return be_bare_vm();
	if (!address || loop_new(&loop) < 0 || msgbus_open(loop, address, &err, &bus) < 0) {
		fprintf(stderr, "start_vms: %s\n", address ? err.text : "BENCH_BUS is not set: use tests/bench/starts");
		return 1;
	}
	rc = bench_main(argc, argv, cases, ARRAY_SIZE(cases));
	for (unsigned int i = 0; i < bares; i++) {
		kill(bare[i], SIGKILL);
		waitpid(bare[i], NULL, 0);
	}
	for (unsigned int n = 1; n <= started; n++)
		call_vm(n, "Destroy", &err);
	msgbus_free(bus);
	loop_free(loop);
	return rc;
}
