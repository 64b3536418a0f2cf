// SPDX-License-Identifier: Apache-2.0
/*
 * inject THREAD CALL [PATH]: what a daemon that was taken over could do: makes one system call from inside a running
 * thread and prints "done RESULT", "refused ERROR" or "killed SIGNAL".
 *
 * Theory of operation: a thread that waits in a system call stands behind a SYSCALL instruction. ptrace stops it there,
 * gives it other registers and lets it execute that one instruction again; then it gets its own registers back.
 *
 * Limits: x86-64; the thread must come to wait within a few seconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRIES	     50
#define PAUSE_US     100000
#define SYSCALL_CODE 0x050fu	/* 0f 05 */
#define TEXT_BELOW   4096u	/* below the stack: nobody's */
#define TEXT	     UINT64_MAX /* as an argument: where the text is */

static const struct call {
	const char *name;
	long number;
	uint64_t args[4];
	const char *text;
} calls[] = {
	{"open", SYS_open, {TEXT, O_RDONLY}, "/etc/passwd"},
	{"openat", SYS_openat, {(uint64_t)AT_FDCWD, TEXT, O_RDONLY}, "/etc/passwd"},
	{"socket", SYS_socket, {AF_INET, SOCK_STREAM}, ""},
	{"execve", SYS_execve, {TEXT, 0, 0}, "/bin/true"},
	{"mmap-exec", SYS_mmap, {0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS}, ""},
	{"io_uring", SYS_io_uring_setup, {1, 0}, ""},
	{"kill", SYS_kill, {1, 0}, ""},
	/* What these ask for the kernel refuses to anybody, but not before a filter has let them pass. */
	{"ptrace", SYS_ptrace, {PTRACE_SEIZE, 0}, ""},		  /* ESRCH */
	{"mount", SYS_mount, {TEXT, TEXT, TEXT}, "/nonexistent"}, /* EFAULT */
	{"clone", SYS_clone, {CLONE_THREAD, 0}, ""},		  /* EINVAL */
	{"setuid", SYS_setuid, {UINT32_MAX}, ""},		  /* EINVAL */
	{"chown", SYS_chown, {TEXT, UINT32_MAX, UINT32_MAX}, ""}, /* ENOENT */
	/* With a path of the test's. */
	{"unlink", SYS_unlink, {TEXT}, ""},
	{"mkdir", SYS_mkdir, {TEXT, 0700}, ""},
	{"getpid", SYS_getpid, {0}, ""}, /* allowed to all: the tool itself works */
};

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "inject: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* Return: whether it is stopped behind a SYSCALL. */
static int stop(pid_t thread, struct user_regs_struct *regs)
{
	int status;
	long code;

	if (ptrace(PTRACE_SEIZE, thread, NULL, NULL) < 0)
		fail("PTRACE_SEIZE");
	if (ptrace(PTRACE_INTERRUPT, thread, NULL, NULL) < 0)
		fail("PTRACE_INTERRUPT");
	if (waitpid(thread, &status, __WALL) < 0 || !WIFSTOPPED(status))
		fail("the thread does not stop");
	if (ptrace(PTRACE_GETREGS, thread, NULL, regs) < 0)
		fail("PTRACE_GETREGS");
	errno = 0;
	code = ptrace(PTRACE_PEEKTEXT, thread, (void *)(regs->rip - 2), NULL);
	if (errno == 0 && (code & 0xffff) == SYSCALL_CODE)
		return 1;
	ptrace(PTRACE_DETACH, thread, NULL, NULL);
	return 0;
}

static uint64_t put_text(pid_t thread, const struct user_regs_struct *regs, const char *text)
{
	uint64_t at = (regs->rsp - TEXT_BELOW) & ~UINT64_C(15);

	for (size_t done = 0; done <= strlen(text); done += sizeof(long)) {
		long word = 0;

		memcpy(&word, text + done, strnlen(text + done, sizeof(word)));
		if (ptrace(PTRACE_POKEDATA, thread, (void *)(at + done), (void *)word) < 0)
			fail("PTRACE_POKEDATA");
	}
	return at;
}

static void set_call(pid_t thread, const struct user_regs_struct *own, const struct call *call)
{
	struct user_regs_struct regs = *own;
	uint64_t text = put_text(thread, own, call->text), arg[4];

	for (size_t i = 0; i < 4; i++)
		arg[i] = call->args[i] == TEXT ? text : call->args[i];
	regs.rip -= 2;
	regs.orig_rax = UINT64_MAX; /* what was interrupted is not restarted now */
	regs.rax = (uint64_t)call->number;
	regs.rdi = arg[0];
	regs.rsi = arg[1];
	regs.rdx = arg[2];
	regs.r10 = arg[3];
	regs.r8 = UINT64_MAX; /* a descriptor, of mmap() */
	regs.r9 = 0;
	if (ptrace(PTRACE_SETREGS, thread, NULL, &regs) < 0)
		fail("PTRACE_SETREGS");
}

/* Step over the call; other signals and stops on the way are passed by. */
static void run(pid_t thread, const struct user_regs_struct *own, const struct call *call)
{
	struct user_regs_struct regs;
	int status;

	set_call(thread, own, call);
	do {
		if (ptrace(PTRACE_SINGLESTEP, thread, NULL, NULL) < 0)
			fail("PTRACE_SINGLESTEP");
		if (waitpid(thread, &status, __WALL) < 0)
			fail("waitpid");
		if (WIFSIGNALED(status)) {
			printf("killed SIG%s\n", sigabbrev_np(WTERMSIG(status)));
			return;
		}
		if (!WIFSTOPPED(status)) {
			printf("ended\n");
			return;
		}
	} while (WSTOPSIG(status) != SIGTRAP || status >> 16);
	if (ptrace(PTRACE_GETREGS, thread, NULL, &regs) < 0)
		fail("PTRACE_GETREGS");
	if ((long)regs.rax < 0)
		printf("refused %s\n", strerrorname_np((int)-(long)regs.rax));
	else
		printf("done %ld\n", (long)regs.rax);
	if (call->number != SYS_execve || (long)regs.rax < 0)
		ptrace(PTRACE_SETREGS, thread, NULL, own);
	ptrace(PTRACE_DETACH, thread, NULL, NULL);
}

int main(int argc, char **argv)
{
	struct call call = {0};
	struct user_regs_struct regs;
	pid_t thread;

	for (size_t i = 0; (argc == 3 || argc == 4) && i < sizeof(calls) / sizeof(calls[0]); i++)
		if (strcmp(calls[i].name, argv[2]) == 0)
			call = calls[i];
	if (!call.name) {
		fprintf(stderr, "usage: inject THREAD CALL [PATH]\n");
		return 2;
	}
	if (argc == 4)
		call.text = argv[3];
	thread = (pid_t)atoi(argv[1]);
	for (int i = 0; i < TRIES; i++) {
		if (stop(thread, &regs)) {
			run(thread, &regs, &call);
			return 0;
		}
		usleep(PAUSE_US);
	}
	fprintf(stderr, "inject: the thread does not wait in a system call\n");
	return 2;
}
