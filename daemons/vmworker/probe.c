/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: a KVM that emulates its processor in software offers every capability and still cannot run a
 * stock kernel, since it does not know some instructions that every such kernel uses. So each of a few of them is
 * executed in a VM of its own: a page of code in 64-bit mode, which ends by an OUT to DONE_PORT with the value that
 * only the right result of the instruction gives. Anything else, or silence for a second, is a failure.
 */
#include "config.h"

#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "kvm.h"

#define PROBE_MEMORY (2u << 20)
#define PAGE_TABLES  0x1000u /* PML4, PDPT, PD: the first 2 MiB as one large page */
#define GDT	     0x4000u
#define IDT	     0x5000u
#define IDTR	     0x6000u
#define CODE	     0x7000u
#define HANDLER	     0x7800u
#define OPERAND	     0x8000u
#define STACK	     0xa000u
#define DONE_PORT    0x80u
#define DONE	     0x5au
#define BREAKPOINT   3u

struct instruction {
	const char *name;
	uint8_t code[48]; /* what is executed at CODE; ends with the OUT, or leaves that to the handler at HANDLER */
	size_t len;
};

#define OUT_AL 0xe6, DONE_PORT
static const uint8_t handler_code[] = {0xb0, DONE, OUT_AL, 0xf4}; /* mov al, DONE; out; hlt */

static const struct instruction instructions[] = {
	/* lidt [IDTR]; int3: the handler says DONE */
	{"int3", {0x0f, 0x01, 0x1c, 0x25, IDTR & 0xff, IDTR >> 8, 0, 0, 0xcc, 0xf4}, 10},
	/* rdx:rax = 0 (as in memory), rcx:rbx = DONE; cmpxchg16b [OPERAND]; al = [OPERAND]; out */
	{"cmpxchg16b",
	 {0x31, 0xc0,		0x31,	      0xd2, 0x31, 0xc9,		  0xbb,		DONE, 0, 0,    0,
	  0x48, 0x0f,		0xc7,	      0x0c, 0x25, OPERAND & 0xff, OPERAND >> 8, 0,    0, 0x8a, 0x04,
	  0x25, OPERAND & 0xff, OPERAND >> 8, 0,    0,	  OUT_AL,	  0xf4},
	 30},
	/* what saves and restores the FPU: fxsave [OPERAND]; fxrstor [OPERAND]; al = DONE; out */
	{"fxrstor",
	 {0x0f, 0xae, 0x04,   0x25, OPERAND & 0xff, OPERAND >> 8, 0, 0, /* fxsave [OPERAND] */
	  0x0f, 0xae, 0x0c,   0x25, OPERAND & 0xff, OPERAND >> 8, 0, 0, /* fxrstor [OPERAND] */
	  0xb0, DONE, OUT_AL, 0xf4},
	 21},
};

struct probe {
	struct kvm *kvm;
	struct kvm_vcpu *vcpu;
	uint8_t *memory;
};

static bool no_leaf(const void *arg, uint32_t leaf, uint32_t ret_regs[4])
{
	return false;
}

static void put_tables(uint8_t *memory, const struct instruction *instruction)
{
	put_le64(memory + PAGE_TABLES, (PAGE_TABLES + 0x1000u) | 3);
	put_le64(memory + PAGE_TABLES + 0x1000, (PAGE_TABLES + 0x2000u) | 3);
	put_le64(memory + PAGE_TABLES + 0x2000, 0x83);
	put_le64(memory + GDT + 0x10, UINT64_C(0x00af9b000000ffff));
	put_le64(memory + GDT + 0x18, UINT64_C(0x00cf93000000ffff));
	put_le64(memory + IDT + BREAKPOINT * 16, HANDLER | (UINT64_C(0x10) << 16) | (UINT64_C(0x8e00) << 32));
	put_le16(memory + IDTR, 0x0fff);
	put_le64(memory + IDTR + 2, IDT);
	memcpy(memory + HANDLER, handler_code, sizeof(handler_code));
	memcpy(memory + CODE, instruction->code, instruction->len);
}

static struct kvm_vcpu *running; /* for the alarm's handler */

static void on_alarm(int signum)
{
	kvm_vcpu_kick(running);
}

/* Return: whether the OUT came with the right value within a second. */
static bool run_until_done(struct probe *probe)
{
	struct sigaction action = {.sa_handler = on_alarm};
	struct itimerval second = {.it_value = {.tv_sec = 1}}, off = {0};
	struct kvm_run *area = kvm_vcpu_area(probe->vcpu);
	bool done;
	int r;

	running = probe->vcpu;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &second, NULL);
	do
		r = kvm_vcpu_run(probe->vcpu);
	while (r == -EAGAIN);
	setitimer(ITIMER_REAL, &off, NULL);
	done = r == 0 && area->exit_reason == KVM_EXIT_IO && area->io.port == DONE_PORT &&
	       ((uint8_t *)area)[area->io.data_offset] == DONE;
	return done;
}

static int execute(struct probe *probe, const struct instruction *instruction, struct err *err, bool *ret_done)
{
	const struct kvm_entry entry = {
		.rip = CODE, .rsp = STACK, .cr3_gpa = PAGE_TABLES, .gdt_gpa = GDT, .gdt_len = 0x20};
	int r;

	put_tables(probe->memory, instruction);
	r = kvm_map(probe->kvm, 0, 0, PROBE_MEMORY, probe->memory);
	if (r < 0)
		return err_set(err, r, "guest memory: %s", strerror(-r));
	r = kvm_vcpu_new(probe->kvm, 0, err, &probe->vcpu);
	if (r == 0)
		r = kvm_vcpu_configure(probe->vcpu, no_leaf, NULL, err);
	if (r < 0)
		return r;
	r = kvm_vcpu_reset(probe->vcpu);
	if (r == 0)
		r = kvm_vcpu_enter(probe->vcpu, &entry);
	if (r < 0)
		return err_set(err, r, "registers: %s", strerror(-r));
	*ret_done = run_until_done(probe);
	return 0;
}

static int try_instruction(int kvm_fd, const struct instruction *instruction, struct err *err, bool *ret_done)
{
	struct probe probe = {0};
	int r = kvm_new(kvm_fd, 1, err, &probe.kvm);

	if (r < 0)
		return r;
	probe.memory = mmap(NULL, PROBE_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (probe.memory == MAP_FAILED)
		r = err_set(err, -ENOMEM, "out of memory");
	else
		r = execute(&probe, instruction, err, ret_done);
	kvm_vcpu_free(probe.vcpu);
	kvm_free(probe.kvm);
	if (probe.memory != MAP_FAILED)
		munmap(probe.memory, PROBE_MEMORY);
	return r;
}

static int say(FILE *out, const char *id, const char *status, const char *text)
{
	fprintf(out, "%s %s %s\n", id, status, text);
	return strcmp(status, "fail") == 0;
}

static int open_kvm(FILE *out)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	if (errno == ENOENT)
		say(out, "kvm", "fail",
		    "/dev/kvm is absent: load kvm-intel or kvm-amd, and enable virtualization in the firmware");
	else if (errno == EACCES || errno == EPERM)
		say(out, "kvm", "fail",
		    "/dev/kvm is forbidden to this user: add the user to the group kvm and log in again");
	else
		fprintf(out, "kvm fail /dev/kvm: %s\n", strerror(errno));
	return -1;
}

int probe_kvm(FILE *out)
{
	_cleanup_close_ int kvm_fd = open_kvm(out);
	struct err err = {0};
	struct kvm *kvm;

	if (kvm_fd < 0)
		return 1;
	if (kvm_new(kvm_fd, 1, &err, &kvm) < 0)
		return say(out, err.code == -ENOTTY ? "kvm" : "kvm-capabilities", "fail", err.text);
	kvm_free(kvm);
	say(out, "kvm", "ok", "/dev/kvm is there and may be used");
	say(out, "kvm-capabilities", "ok", "it has all that Bulkhead needs");
	for (size_t i = 0; i < ARRAY_SIZE(instructions); i++) {
		bool done = false;

		if (try_instruction(kvm_fd, &instructions[i], &err, &done) < 0)
			return say(out, "stock-kernels", "fail", err.text);
		if (!done) {
			fprintf(out,
				"stock-kernels fail this /dev/kvm does not execute '%s', which stock kernels use: is "
				"it a KVM "
				"emulated in software? Use a host with hardware virtualization\n",
				instructions[i].name);
			return 1;
		}
	}
	return say(out, "stock-kernels", "ok", "it executes what stock kernels are made of");
}
