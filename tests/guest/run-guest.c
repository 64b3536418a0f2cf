// SPDX-License-Identifier: Apache-2.0
/*
 * Runs a bare-metal guest as a manager would: starts a vmworker in a temporary folder, creates the VM (for whose disks
 * the worker runs a vsp-storaged), starts it, prints its serial port, waits for its end and judges. The guest must have
 * said "guest: PASS" and never "guest: FAIL", must have ended as expected and in time; the daemons must have ended
 * well. Exit code: 0, 1, or 77 (skipped, with a loud line) where there is no /dev/kvm.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "proto/methods.h"
#include "run-guest.h"

#define UUID		"00000000-0000-4000-8000-000000000001"
#define SKIPPED		77
#define WORKER_CRASHED	3 /* vmworker's exit code when the guest crashed */
#define END_GRACE_NS	(5 * NS_PER_SEC)
#define UPGRADE_PACE_NS (300 * NS_PER_MS)
#define CONSOLE_KEPT	65536u

struct options {
	struct run_config vm;
	const char *worker, *storaged;
	unsigned int timeout_s;
	bool expect_crash;
	const char *message; /* expected in the guest's last words */
	int resets;	     /* expected; -1: any */
	unsigned int pauses; /* pause and resume so often while it runs */
	const char *stop_at; /* stop the VM when it has said this */
	bool print_exits, print_services;
	const char *tell_when; /* a byte to the guest once the service's message has this in it */
	const char *upgrade;   /* replace vsp-storaged by this while the guest runs */
	unsigned int upgrades; /* so often */
	unsigned int kills;    /* at most so often; 0: no limit */
	unsigned int kill_ms;  /* kill vsp-storaged so often; 0: never */
	bool stop;	       /* stop it instead: it hangs */
	const char *kill_from; /* once the guest has said this */
	struct run_asks asks;
	bool then_stop;	    /* once all are answered */
	const char *reason; /* expected in that of its end */
	bool heartbeat;	    /* expected to be ok, once */
	struct run_measure measure;
	bool tell_at_eof; /* a byte to the guest once standard input has ended */
};

struct run {
	struct options options;
	struct loop *loop;
	struct run_vm *vm;
	pid_t worker, manager; /* manager: as-a-unit; 0: none */
	char dir[64], socket[80], last[80];
	struct loop_source *console, *timer, *killer, *input;
	int killed; /* pid */
	unsigned int kills;
	char said[CONSOLE_KEPT];
	size_t said_len;
	bool timed_out;
	bool stopping; /* it has said what it should be stopped at */
	bool told;
	bool measuring;
	int console_fd;
	bool listens;	/* console was there: that it is not means that it has ended */
	bool heartbeat; /* has been ok */
};

static const struct option long_options[] = {
	{"cpus", required_argument, NULL, 'c'},
	{"memory", required_argument, NULL, 'm'},
	{"append", required_argument, NULL, 'a'},
	{"initrd", required_argument, NULL, 'i'},
	{"disk", required_argument, NULL, 'd'},
	{"nic", no_argument, NULL, 'N'},
	{"timeout", required_argument, NULL, 't'},
	{"expect-crash", no_argument, NULL, 'x'},
	{"message", required_argument, NULL, 'M'},
	{"resets", required_argument, NULL, 'r'},
	{"restart-on-crash", no_argument, NULL, 'R'},
	{"pause", required_argument, NULL, 'p'},
	{"stop-at", required_argument, NULL, 's'},
	{"exits", no_argument, NULL, 'e'},
	{"kill-storaged", required_argument, NULL, 'k'},
	{"kills", required_argument, NULL, 'K'},
	{"stop-storaged", required_argument, NULL, 'Q'},
	{"kill-from", required_argument, NULL, 'f'},
	{"upgrade", required_argument, NULL, 'u'},
	{"upgrades", required_argument, NULL, 'U'},
	{"tell-when", required_argument, NULL, 'T'},
	{"print-services", no_argument, NULL, 'v'},
	{"ask", required_argument, NULL, 'A'},
	{"answer", required_argument, NULL, 'B'},
	{"ask-timeout", required_argument, NULL, 'D'},
	{"then-stop", no_argument, NULL, 'Z'},
	{"reason", required_argument, NULL, 'G'},
	{"heartbeat", no_argument, NULL, 'H'},
	{"memory-growth", required_argument, NULL, 'g'},
	{"tell-at-eof", no_argument, NULL, 'I'},
	{"worker", required_argument, NULL, 'w'},
	{"storaged", required_argument, NULL, 'S'},
	{"engine", required_argument, NULL, 'E'},
	{"as-a-unit", required_argument, NULL, 'y'},
	{"help", no_argument, NULL, 'h'},
	{0},
};

static void usage(FILE *to)
{
	fputs("usage: run-guest [OPTION]... GUEST\n"
	      "  --cpus N --memory MIB --append TEXT   what the VM is made of\n"
	      "  --initrd FILE\n"
	      "  --disk FILE[,ro]                      a disk; may be repeated\n"
	      "  --nic                                 a NIC whose frames come back; no disks then, and what is said here\n"
	      "                                        of vsp-storaged is meant of vsp-netd\n"
	      "  --timeout S                           60 by default\n"
	      "  --expect-crash, --message TEXT        the guest panics, with TEXT in its message\n"
	      "  --restart-on-crash                    a panic is followed by a reset\n"
	      "  --resets N                            it must have been reset so often\n"
	      "  --pause N                             pause and resume it N times\n"
	      "  --stop-at TEXT                        stop the VM once the guest has said TEXT\n"
	      "  --ask shutdown|reboot                 ask for it when the guest says \"guest: ask me\"; may be\n"
	      "                                        repeated, for each time, and joined by \"+\": at once\n"
	      "  --answer TEXT                         what the answer must have; may be repeated; ok by default\n"
	      "  --ask-timeout MS                      how long the guest has; 20000 by default\n"
	      "  --then-stop                           stop the VM once all is answered\n"
	      "  --reason TEXT                         the VM's end must have it in its reason\n"
	      "  --heartbeat                           the guest must answer heartbeats\n"
	      "  --memory-growth KIB                   by which worker and service may grow from the first time that\n"
	      "                                        the guest says \"guest: measure\" to any other; the worker is\n"
	      "                                        paused and resumed then as well\n"
	      "  --tell-at-eof                         a byte on the guest's serial port once standard input has "
	      "ended\n"
	      "  --exits                               print how often the guest has exited to the worker\n"
	      "  --kill-storaged MS                    kill vsp-storaged every MS milliseconds\n"
	      "  --stop-storaged MS                    stop it (SIGSTOP) instead\n"
	      "  --kills N                             at most so often\n"
	      "  --kill-from TEXT                      and not before the guest has said TEXT\n"
	      "  --upgrade PATH                        replace vsp-storaged, or vsp-netd, by this one while the guest runs\n"
	      "  --upgrades N                          so often, every 300 ms; 1 by default\n"
	      "  --tell-when TEXT                      a byte on the guest's serial port once vsp-storaged's last\n"
	      "                                        message has TEXT in it\n"
	      "  --print-services                      print how often it died, and what became of requests\n"
	      "  --worker PATH --storaged PATH         which daemons, if not this build's\n"
	      "  --engine NAME                         of vsp-storaged\n"
	      "  --as-a-unit SCRIPT                    who runs that instead of the worker: tests/guest/as-a-unit\n",
	      to);
}

static int parse_disk(struct run_config *vm, char *arg)
{
	char *comma = strrchr(arg, ',');

	if (vm->disks == RUN_DISKS_MAX)
		return -1;
	vm->disk[vm->disks] = (struct run_disk){.path = arg};
	if (comma && !strcmp(comma, ",ro")) {
		*comma = '\0';
		vm->disk[vm->disks].readonly = true;
	}
	vm->disks++;
	return 0;
}

enum option_kind { OPTION_TEXT, OPTION_NUMBER, OPTION_FLAG };

#define OPTION(letter, kind, member)                                                                                   \
	{                                                                                                              \
		letter, OPTION_##kind, offsetof(struct options, member)                                                \
	}

/* Those that set one member: a string, an int or unsigned int, true. */
static const struct {
	int letter;
	enum option_kind kind;
	size_t offset;
} option_members[] = {
	OPTION('c', NUMBER, vm.cpus),
	OPTION('a', TEXT, vm.append),
	OPTION('i', TEXT, vm.initrd),
	OPTION('t', NUMBER, timeout_s),
	OPTION('x', FLAG, expect_crash),
	OPTION('M', TEXT, message),
	OPTION('r', NUMBER, resets),
	OPTION('R', FLAG, vm.restart_on_crash),
	OPTION('N', FLAG, vm.nic),
	OPTION('p', NUMBER, pauses),
	OPTION('s', TEXT, stop_at),
	OPTION('e', FLAG, print_exits),
	OPTION('k', NUMBER, kill_ms),
	OPTION('f', TEXT, kill_from),
	OPTION('K', NUMBER, kills),
	OPTION('u', TEXT, upgrade),
	OPTION('U', NUMBER, upgrades),
	OPTION('T', TEXT, tell_when),
	OPTION('v', FLAG, print_services),
	OPTION('D', NUMBER, asks.timeout_ms),
	OPTION('Z', FLAG, then_stop),
	OPTION('G', TEXT, reason),
	OPTION('H', FLAG, heartbeat),
	OPTION('I', FLAG, tell_at_eof),
	OPTION('w', TEXT, worker),
	OPTION('E', TEXT, vm.engine),
	OPTION('S', TEXT, storaged),
	OPTION('y', TEXT, vm.as_a_unit),
};

static int set_member(struct options *o, size_t n)
{
	char *member = (char *)o + option_members[n].offset;

	switch (option_members[n].kind) {
	case OPTION_TEXT:
		*(const char **)(void *)member = optarg;
		break;
	case OPTION_NUMBER:
		*(int *)(void *)member = atoi(optarg);
		break;
	case OPTION_FLAG:
		*(bool *)member = true;
		break;
	}
	return 0;
}

static int parse_option(struct options *o, int c)
{
	switch (c) {
	case 'm':
		o->vm.memory_bytes = (uint64_t)atoi(optarg) << 20;
		return 0;
	case 'd':
		return parse_disk(&o->vm, optarg);
	case 'Q':
		o->stop = true;
		o->kill_ms = (unsigned int)atoi(optarg);
		return 0;
	case 'A':
		return run_asks_add(&o->asks, optarg);
	case 'B':
		return run_asks_expect(&o->asks, optarg);
	case 'g':
		o->measure.limit_kib = (unsigned long)atol(optarg);
		return 0;
	}
	for (size_t n = 0; n < ARRAY_SIZE(option_members); n++)
		if (option_members[n].letter == c)
			return set_member(o, n);
	return -1;
}

/* Return: -1: go on; else the exit code. */
static int parse(int argc, char **argv, struct options *o)
{
	int c;

	*o = (struct options){.vm = {.append = "", .cpus = 1, .memory_bytes = 64u << 20},
			      .timeout_s = 60,
			      .resets = -1,
			      .upgrades = 1,
			      .asks.timeout_ms = 20000};
	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (c == 'h') {
			usage(stdout);
			return 0;
		}
		if (parse_option(o, c) < 0) {
			usage(stderr);
			return 1;
		}
	}
	if (optind != argc - 1) {
		usage(stderr);
		return 1;
	}
	o->vm.kernel = argv[optind];
	return -1;
}

/* ---- processes ---- */

/* The build's programs lie at fixed places beside this one. */
static const char *program(const char *given, const char *relative, char buf[PATH_MAX + 64])
{
	ssize_t n;
	char *slash;

	if (given)
		return given;
	n = readlink("/proc/self/exe", buf, PATH_MAX - 1);
	if (n < 0)
		return relative;
	buf[n] = '\0';
	slash = strrchr(buf, '/');
	snprintf(slash + 1, 64, "../../%s", relative);
	return buf;
}

/* Start a daemon and wait until it says that it is ready, or is gone. Return: its pid or a negative errno. */
static pid_t spawn(const char *path, const char *const argv[])
{
	int ready[2];
	char byte, number[16];
	pid_t pid;

	if (pipe(ready) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ready[0]);
		snprintf(number, sizeof(number), "%d", ready[1]);
		setenv("BULKHEAD_READY_FD", number, 1);
		execv(path, (char *const *)argv);
		fprintf(stderr, "run-guest: %s: %s\n", path, strerror(errno));
		_exit(127);
	}
	close(ready[1]);
	if (pid > 0 && read(ready[0], &byte, 1) != 1) {
		fprintf(stderr, "run-guest: %s did not start\n", path);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		pid = -ECHILD;
	}
	close(ready[0]);
	return pid;
}

/* Wait for a daemon's end, at most END_GRACE_NS. Return: its exit code; -1: killed, by us or by a signal. */
static int reap(pid_t pid)
{
	uint64_t deadline = clock_now_ns() + END_GRACE_NS;
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (clock_now_ns() > deadline) {
			fprintf(stderr, "run-guest: process %d does not end\n", (int)pid);
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return -1;
		}
		usleep(2000);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int start_worker(struct run *run)
{
	char buf[PATH_MAX + 64];
	const char *path = program(run->options.worker, "daemons/vmworker/vmworker", buf);
	const char *const argv[] = {"vmworker", "--uuid", UUID, "--name", "test", "--runtime-dir", run->dir, NULL};

	run->worker = spawn(path, argv);
	return run->worker < 0 ? -1 : 0;
}

/* What serves the disks ends with the worker, and it with that. */
static int start_manager(struct run *run)
{
	const struct run_config *vm = &run->options.vm;
	const char *const argv[] = {
		"as-a-unit", vm->storaged, "--name", "test", "--worker", vm->socket, vm->engine ? "--engine" : NULL,
		vm->engine,  NULL};

	run->manager = fork();
	if (run->manager == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		execv(vm->as_a_unit, (char *const *)argv);
		fprintf(stderr, "run-guest: %s: %s\n", vm->as_a_unit, strerror(errno));
		_exit(127);
	}
	return run->manager < 0 ? -errno : 0;
}

/* ---- the guest's words ---- */

/* It has ended, and everybody has said so. */
static void check_end(struct run *run)
{
	if (run->vm && run_vm_state(run->vm)->ended && run->listens && !run->console && !run->stopping &&
	    run->options.asks.answers == run->options.asks.made)
		loop_stop(run->loop);
}

static void on_console(int fd, unsigned int events, void *arg)
{
	struct run *run = arg;
	char buf[4096];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n <= 0) {
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		loop_remove(&run->console);
		check_end(run);
		return;
	}
	fwrite(buf, 1, (size_t)n, stdout);
	fflush(stdout);
	n = (ssize_t)MIN((size_t)n, sizeof(run->said) - 1 - run->said_len);
	memcpy(run->said + run->said_len, buf, (size_t)n);
	run->said_len += (size_t)n;
	run_asks_look(&run->options.asks, run->vm, run->said);
	if (run->options.measure.limit_kib && run_measure_asked(&run->options.measure, run->said)) {
		run->measuring = true;
		loop_stop(run->loop);
	}
	if (run->options.stop_at && !run->stopping && strstr(run->said, run->options.stop_at)) {
		run->stopping = true;
		loop_stop(run->loop);
	}
}

static void on_changed(void *arg)
{
	struct run *run = arg;
	const char *when = run->options.tell_when;

	if (when && run->console && !run->told && strstr(run_vm_state(run->vm)->service.message, when))
		run->told = write(run->console_fd, "!", 1) == 1;

	if (run->vm && run_vm_state(run->vm)->heartbeat == RUN_HEARTBEAT_OK)
		run->heartbeat = true;
	check_end(run);
}

/* Each process is killed once; every second one whether it serves already or not: were no one ever ready the worker
 * would wait longer and longer before the next start. */
static void on_kill(void *arg)
{
	struct run *run = arg;
	const struct run_service *service = &run_vm_state(run->vm)->service;
	int pid = service->pid;

	if (pid && pid != run->killed && (service->serves || run->kills % 2) && !run_vm_state(run->vm)->ended &&
	    (!run->options.kill_from || strstr(run->said, run->options.kill_from))) {
		run->killed = pid;
		run->kills++;
		kill(pid, run->options.stop ? SIGSTOP : SIGKILL);
	}
	if (run->options.kills && run->kills == run->options.kills)
		return;
	loop_arm(run->killer, run->options.kill_ms * NS_PER_MS);
}

static void on_answered(void *arg)
{
	struct run *run = arg;

	if (run->options.then_stop && run_asks_over(&run->options.asks) && !run->stopping) {
		run->stopping = true;
		loop_stop(run->loop);
	}
	check_end(run);
}

static void on_timeout(void *arg)
{
	struct run *run = arg;

	run->timed_out = true;
	loop_stop(run->loop);
}

/* ---- one run ---- */

static bool complain(const char *what, const char *detail)
{
	fprintf(stderr, "run-guest: %s%s%s\n", what, detail ? ": " : "", detail ? detail : "");
	return false;
}

static void print_service(const struct run_service *s)
{
	printf("%s: deaths %llu upgrades %llu replayed %llu lost %llu duplicate %llu failed %llu hangs %llu "
	       "last-outage-us %llu%s%s\n",
	       s->name, (unsigned long long)s->deaths, (unsigned long long)s->upgrades, (unsigned long long)s->replayed,
	       (unsigned long long)s->lost, (unsigned long long)s->duplicate, (unsigned long long)s->failed,
	       (unsigned long long)s->hangs, (unsigned long long)s->last_outage_us, s->message[0] ? ": " : "",
	       s->message);
}

static void on_input(int fd, unsigned int events, void *arg)
{
	struct run *run = arg;
	char byte;

	if (read(fd, &byte, 1) > 0)
		return;
	loop_remove(&run->input);
	if (run->console && write(run->console_fd, "!", 1) != 1)
		fprintf(stderr, "run-guest: the guest cannot be told: %s\n", strerror(errno));
}

/* The worker must answer, too: the guest stands still for a moment. */
static int run_loop(struct run *run, struct err *err)
{
	int r;

	do {
		run->measuring = false;
		r = loop_run(run->loop);
		if (r >= 0 && run->measuring) {
			run_measure(&run->options.measure, run->worker, run_vm_state(run->vm)->service.pid);
			if (!run_vm_state(run->vm)->ended)
				r = run_vm_call(run->vm, WORKER_PAUSE, err);
			if (r >= 0 && !run_vm_state(run->vm)->ended)
				r = run_vm_call(run->vm, WORKER_RESUME, err);
		}
	} while (r >= 0 && run->measuring && !run->timed_out);
	return r;
}

static bool judge(struct run *run)
{
	const struct options *o = &run->options;
	const struct run_state *state = run_vm_state(run->vm);

	if (o->print_services)
		print_service(&state->service);
	if (o->measure.limit_kib && !run_measure_judge(&o->measure))
		return false;
	if (o->print_exits)
		printf("exits: %llu\n", (unsigned long long)state->exits);
	if (run->timed_out)
		return complain("the guest did not end in time", NULL);
	if (strstr(run->said, "guest: FAIL"))
		return complain("the guest reports a failure", NULL);
	if (o->asks.wrong || !run_asks_over(&o->asks))
		return complain("the guest was not asked, or not answered, as expected", NULL);
	if (o->heartbeat && !run->heartbeat)
		return complain("no heartbeat", NULL);
	if (o->reason && !strstr(state->reason, o->reason))
		return complain("the reason of the VM's end is another", state->reason);
	if (!o->stop_at && !o->then_stop && !strstr(run->said, "guest: PASS"))
		return complain("the guest has not said that all is well; its end", state->reason);
	if (!state->ended || state->crashed != o->expect_crash)
		return complain(o->expect_crash ? "the VM did not crash" : "the VM did not end well", state->reason);
	if (o->message && !strstr(state->guest_message, o->message))
		return complain("the guest's last words are others", state->guest_message);
	if (o->resets >= 0 && state->resets != (uint64_t)o->resets) {
		fprintf(stderr, "run-guest: %llu resets instead of %d\n", (unsigned long long)state->resets, o->resets);
		return false;
	}
	return true;
}

static int pause_and_resume(struct run *run, struct err *err)
{
	int r = 0;

	for (unsigned int i = 0; i < run->options.pauses && r >= 0; i++) {
		r = run_vm_call(run->vm, WORKER_PAUSE, err);
		if (r >= 0)
			r = run_vm_call(run->vm, WORKER_RESUME, err);
		if (run_vm_state(run->vm)->ended)
			return 0;
	}
	return r;
}

static void on_pace(void *arg)
{
	bool *over = arg;

	*over = true;
}

static int upgrade(struct run *run, struct err *err)
{
	const char *service = run->options.vm.nic ? "network" : "storage";
	struct loop_source *pace = NULL;
	bool over;
	int r = loop_add_timer(run->loop, on_pace, &over, &pace);

	for (unsigned int i = 0; i < run->options.upgrades && r >= 0; i++) {
		over = false;
		loop_arm(pace, UPGRADE_PACE_NS);
		while (!over && !run->timed_out && r >= 0)
			r = loop_run_once(run->loop, true);
		if (run_vm_state(run->vm)->ended || run->timed_out)
			break;
		r = run_vm_upgrade(run->vm, service, run->options.upgrade, err);
		if (r == -ECANCELED) { /* the guest has ended meanwhile */
			*err = (struct err){0};
			r = 0;
			break;
		}
	}
	loop_remove(&pace);
	return r;
}

static int watch(struct run *run, struct err *err)
{
	int r = loop_new(&run->loop), fd;
	char buf[PATH_MAX + 64];

	run->options.vm.storaged = program(run->options.storaged,
					   run->options.vm.nic ? "daemons/vsp-netd/vsp-netd"
							       : "daemons/vsp-storaged/vsp-storaged",
					   buf);
	run->options.vm.socket = run->socket;
	run->options.asks.changed = on_answered;
	run->options.asks.arg = run;
	if (r >= 0)
		r = run_vm_new(run->loop, run->socket, UUID, &run->options.vm, on_changed, run, err, &run->vm);
	if (r < 0)
		return r;
	if (run->options.vm.as_a_unit && start_manager(run) < 0)
		return err_set(err, -errno, "%s", strerror(errno));
	fd = run_vm_start(run->vm, err);
	if (fd < 0)
		return fd;
	run->console_fd = fd;
	loop_add_timer(run->loop, on_timeout, run, &run->timer);
	loop_arm(run->timer, run->options.timeout_s * NS_PER_SEC);
	loop_add_timer(run->loop, on_kill, run, &run->killer);
	if (run->options.kill_ms)
		loop_arm(run->killer, run->options.kill_ms * NS_PER_MS);
	r = loop_add_fd(run->loop, fd, LOOP_READ, on_console, run, &run->console);
	run->listens = true;
	if (r >= 0 && run->options.tell_at_eof)
		r = loop_add_fd(run->loop, STDIN_FILENO, LOOP_READ, on_input, run, &run->input);
	if (r >= 0)
		r = pause_and_resume(run, err);
	if (r >= 0 && run->options.upgrade)
		r = upgrade(run, err);
	if (r >= 0)
		r = run_loop(run, err);
	if (r >= 0 && run->stopping) {
		r = run_vm_call(run->vm, WORKER_STOP, err);
		while (r >= 0 && !run_vm_state(run->vm)->ended)
			r = loop_run_once(run->loop, true);
	}
	loop_remove(&run->console);
	loop_remove(&run->input);
	close(fd);
	return r;
}

static bool end(struct run *run)
{
	int code, expected = run->options.expect_crash ? WORKER_CRASHED : 0;
	bool well = true;

	if (run->timed_out && run->worker > 0)
		kill(run->worker, SIGKILL);
	run_vm_free(run->vm);
	loop_remove(&run->timer);
	loop_remove(&run->killer);
	loop_free(run->loop);
	if (run->worker > 0) {
		code = reap(run->worker);
		if (code != expected) {
			fprintf(stderr, "run-guest: vmworker's exit code is %d\n", code);
			well = false;
		}
	}
	if (run->manager > 0 && reap(run->manager) != 0)
		well = complain("who runs vsp-storaged has not ended well", NULL);
	unlink(run->socket);
	unlink(run->last);
	if (run->dir[0] && rmdir(run->dir) < 0)
		well = complain("the worker left something behind", run->dir);
	return well;
}

int main(int argc, char **argv)
{
	static struct run run;
	struct err err = {0};
	bool well = false;
	int r = parse(argc, argv, &run.options);

	if (r >= 0)
		return r;
	if (access("/dev/kvm", R_OK | W_OK) < 0) {
		fprintf(stderr, "run-guest: SKIPPED: /dev/kvm: %s: bare-metal guests are NOT TESTED here\n",
			strerror(errno));
		return SKIPPED;
	}
	log_init("run-guest", NULL);
	strcpy(run.dir, "/tmp/run-guest-XXXXXX");
	if (!mkdtemp(run.dir))
		return !complain("/tmp", strerror(errno));
	snprintf(run.socket, sizeof(run.socket), "%s/worker.sock", run.dir);
	snprintf(run.last, sizeof(run.last), "%s/worker.last", run.dir);
	if (start_worker(&run) >= 0) {
		r = watch(&run, &err);
		if (r < 0)
			complain(run.options.vm.kernel, err.text);
		else
			well = judge(&run);
		if (r < 0 && run.worker > 0)
			kill(run.worker, SIGTERM);
	}
	return end(&run) && well ? 0 : 1;
}
