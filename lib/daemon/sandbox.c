// SPDX-License-Identifier: Apache-2.0
#include "daemon/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/landlock.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif
#ifdef BULKHEAD_COVERAGE
#define COVERAGE 1 /* at its end the process writes what it has run, beside the objects */
#else
#define COVERAGE 0
#endif

#define ARENAS_MAX    16
#define PRCTL_SET_VMA 0x53564d41 /* the C library names its memory */
#define ONLY	      UINT64_C(0xffffffff)

static const struct syscall_rule base_rules[] = {
	/* reading, writing, messages: on what is open */
	{SYS_read},
	{SYS_write},
	{SYS_readv},
	{SYS_writev},
	{SYS_pread64},
	{SYS_pwrite64},
	{SYS_lseek},
	{SYS_sendmsg},
	{SYS_recvmsg},
	{SYS_sendto},
	{SYS_recvfrom},
	{SYS_shutdown},
	{SYS_getsockopt},
	{SYS_setsockopt},
	{SYS_close},
	{SYS_fcntl},
	{SYS_dup},
	{SYS_fstat},
	{SYS_ioctl, 1, ONLY, TCGETS}, /* is it a terminal? */
	/* the loop */
	{SYS_poll},
	{SYS_ppoll},
	{SYS_epoll_create1},
	{SYS_epoll_ctl},
	{SYS_epoll_wait},
	{SYS_epoll_pwait},
	{SYS_epoll_pwait2},
	{SYS_eventfd2},
	{SYS_pipe2},
	{SYS_timerfd_create},
	{SYS_timerfd_settime},
	/* memory, never to be executed */
	{SYS_mmap, 2, PROT_EXEC, 0},
	{SYS_mprotect, 2, PROT_EXEC, 0},
	{SYS_munmap},
	{SYS_mremap},
	{SYS_madvise},
	{SYS_brk},
	/* threads that are there */
	{SYS_futex},
	{SYS_set_robust_list},
	{SYS_rseq},
	{SYS_sched_yield},
	{SYS_sched_getaffinity},
	{SYS_restart_syscall},
	{SYS_gettid},
	{SYS_getpid},
	{SYS_getuid},
	{SYS_geteuid},
	{SYS_getgid},
	{SYS_getegid},
	{SYS_prctl, 0, ONLY, PR_SET_NAME},
	{SYS_prctl, 0, ONLY, PRCTL_SET_VMA},
	{SYS_exit},
	{SYS_exit_group},
	/* signals */
	{SYS_rt_sigaction},
	{SYS_rt_sigprocmask},
	{SYS_rt_sigreturn},
	{SYS_sigaltstack},
	/* time, chance */
	{SYS_clock_gettime},
	{SYS_clock_getres},
	{SYS_gettimeofday},
	{SYS_time},
	{SYS_nanosleep},
	{SYS_clock_nanosleep},
	{SYS_getrandom},
	{SYS_sysinfo}, /* qsort() */
	{-1},
};

const struct syscall_list sandbox_base_calls = {.name = "base", .rules = base_rules};

/* For the second sandbox_enter(): it can only take away. */
static const struct syscall_rule narrow_rules[] = {
	{SYS_seccomp},
	{SYS_prctl, 0, ONLY, PR_SET_NO_NEW_PRIVS},
	{SYS_prctl, 0, ONLY, PR_GET_NO_NEW_PRIVS},
	{SYS_prctl, 0, ONLY, PR_GET_SECCOMP},
	{-1},
};

static const struct syscall_list narrow_calls = {.name = "a narrower sandbox", .rules = narrow_rules};

/* ---- seccomp ---- */

static int add_rule(scmp_filter_ctx filter, uint32_t action, const struct syscall_rule *rule)
{
	const struct scmp_arg_cmp compare = SCMP_CMP64(rule->arg, SCMP_CMP_MASKED_EQ, rule->mask, rule->value);
	int r = seccomp_rule_add_array(filter, action, rule->number, rule->mask ? 1 : 0, &compare);

	return r == -EEXIST ? 0 : r;
}

static int add_list(scmp_filter_ctx filter, const struct syscall_list *list)
{
	int r = 0;

	for (const struct syscall_rule *rule = list->rules; r == 0 && rule->number >= 0; rule++)
		r = add_rule(filter, SCMP_ACT_ALLOW, rule);
	return r;
}

/* What depends on the process, or is an answer of its own. */
static int add_special(scmp_filter_ctx filter)
{
	/* raise(), abort() and kill() of oneself, but of nobody else. */
	const struct syscall_rule own_thread = {SYS_tgkill, 0, ONLY, (uint64_t)getpid()};
	const struct syscall_rule own = {SYS_kill, 0, ONLY, (uint64_t)getpid()};
	/* Its arguments are in memory, where no filter sees them; the C library goes on with clone(). */
	const struct syscall_rule clone3 = {SYS_clone3};
	/* The same call as fstat() where the path is empty; it tells nothing of what is in a file. */
	const struct syscall_rule stat = {SYS_newfstatat, 3, AT_EMPTY_PATH, AT_EMPTY_PATH};
	int r = add_rule(filter, SCMP_ACT_ALLOW, &own_thread);

	if (r == 0)
		r = add_rule(filter, SCMP_ACT_ALLOW, &own);
	if (r == 0)
		r = add_rule(filter, SCMP_ACT_ALLOW, &stat);
	return r < 0 ? r : add_rule(filter, SCMP_ACT_ERRNO(ENOSYS), &clone3);
}

static int set_attributes(scmp_filter_ctx filter)
{
	static const struct {
		enum scmp_filter_attr attribute;
		uint32_t value;
	} attributes[] = {
		{SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS},
		{SCMP_FLTATR_CTL_TSYNC, 1},
		{SCMP_FLTATR_CTL_OPTIMIZE, 2}, /* a tree */
		{SCMP_FLTATR_API_SYSRAWRC, 1},
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(attributes) / sizeof(attributes[0]); i++)
		r = seccomp_attr_set(filter, attributes[i].attribute, attributes[i].value);
	return r;
}

static int seccomp_enter(const struct sandbox *sandbox, struct err *err)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = filter ? set_attributes(filter) : -ENOMEM;

	if (r == 0)
		r = add_special(filter);
	if (r == 0)
		r = add_list(filter, &sandbox_base_calls);
	if (r == 0 && sandbox->narrows_later)
		r = add_list(filter, &narrow_calls);
	for (size_t i = 0; r == 0 && sandbox->calls && sandbox->calls[i]; i++)
		r = add_list(filter, sandbox->calls[i]);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r < 0 ? err_set(err, r, "sandbox: cannot set the filter of system calls: %s", strerrordesc_np(-r)) : 0;
}

/* ---- all of it ---- */

static bool have_seccomp(void)
{
	const uint32_t kill_process = SECCOMP_RET_KILL_PROCESS;

	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &kill_process) == 0;
}

int sandbox_enter(const struct sandbox *sandbox, struct err *err)
{
	/* The sanitizers read the program and /proc for their reports. */
	static const struct sandbox_path everything = {.path = "/"};
	static bool entered; /* daemons have one main thread that does this */
	bool first = !entered;
	int r = 0;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(err, -errno, "sandbox: cannot give up new privileges: %s", strerrordesc_np(errno));
	if (COVERAGE) {
		log_info(NULL, "there is no sandbox: this build measures what its tests run");
		return 0;
	}
	if (first && landlock_abi() == 0)
		log_warn(NULL, "the sandbox has no Landlock: the kernel lacks it, or was started without lsm=landlock");
	else if (first)
		r = landlock_enter(sandbox, SANITIZED ? &everything : NULL, err);
	if (r < 0)
		return r;
	entered = true;
	/* Else malloc() counts the processors when there are many threads, and opens a file for that. */
	mallopt(M_ARENA_MAX, ARENAS_MAX);
	if (!SANITIZED && have_seccomp())
		return seccomp_enter(sandbox, err);
	if (first && SANITIZED)
		log_info(NULL, "the sandbox has no filter of system calls: this is a build with sanitizers");
	else if (first)
		log_warn(NULL, "the sandbox has no filter of system calls: the kernel lacks seccomp");
	return 0;
}

void sandbox_probe(FILE *to)
{
	int abi = landlock_abi();

	if (COVERAGE)
		fputs("sandbox warn a build that measures its tests: daemons run without a sandbox\n", to);
	if (SANITIZED)
		fputs("seccomp warn a build with sanitizers: daemons run without a filter of system calls\n", to);
	else if (have_seccomp())
		fputs("seccomp ok daemons run with a filter of system calls\n", to);
	else
		fputs("seccomp warn the kernel lacks seccomp: daemons run without a filter of system calls\n", to);
	if (abi > 0)
		fprintf(to, "landlock ok daemons that serve a guest open no files by path (Landlock ABI %d)\n", abi);
	else
		fputs("landlock warn the kernel lacks Landlock or was started without lsm=landlock: seccomp alone "
		      "keeps daemons from files\n",
		      to);
}
