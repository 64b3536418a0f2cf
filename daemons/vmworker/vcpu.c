// SPDX-License-Identifier: Apache-2.0
/*
 * Theory of operation: a thread for each vCPU. Each runs the guest while the wish is RUN; else it completes its last
 * exit, reports itself parked and waits. Who wants it to look sets the wish under the lock, then marks the vCPU's run
 * area (KVM_RUN returns at once) and sends the thread a signal (a KVM_RUN that is under way returns). A thread leaves
 * the barrier only after the wish has changed to RUN, and takes back the mark while it holds the lock: no wish is lost.
 * vCPU threads wait for nobody but here; the event loop may therefore wait for them.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "abi/hyperv.h"
#include "base/bytes.h"
#include "vcpu.h"

#define KICK_SIGNAL SIGUSR1

enum wish { WISH_PARK, WISH_RUN, WISH_END };

static const struct syscall_rule vcpu_rules[] = {
	{SYS_clone, 0, CLONE_THREAD, CLONE_THREAD},
	{-1},
};

const struct syscall_list vcpu_calls = {.name = "vCPUs", .rules = vcpu_rules};

struct vcpu {
	struct vcpus *all;
	struct kvm_vcpu *kvm;
	uint32_t index;
	pthread_t thread;
	bool started;
	_Atomic uint64_t exits; /* written by its thread only */
};

struct vcpus {
	struct vcpu_host host;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum wish wish;
	uint32_t parked;
	uint32_t count;
	struct vcpu vcpu[];
};

/* ---- exits ---- */

static void fail(struct vcpu *vcpu, const char *what, uint64_t detail)
{
	const struct kvm_regs *regs = kvm_vcpu_regs(vcpu->kvm);
	char why[160];

	snprintf(why, sizeof(why), "%s (%#llx) at rip %#llx", what, (unsigned long long)detail,
		 regs ? (unsigned long long)regs->rip : 0);
	vcpu->all->host.failed(vcpu->all->host.arg, vcpu->index, why);
}

static void hypercall(struct vcpu *vcpu)
{
	struct kvm_regs *regs = kvm_vcpu_regs(vcpu->kvm);
	struct hv_hypercall call;

	if (!regs)
		return;
	/* the hypercall page (hv/hypercall_page.c) has moved rdx, which holds the port, to r9 */
	call = (struct hv_hypercall){.control = regs->rcx, .input = regs->r9, .output = regs->r8};
	regs->rax = vcpu->all->host.hypercall(vcpu->all->host.arg, vcpu->index, &call);
	kvm_vcpu_regs_changed(vcpu->kvm);
}

/* The fast signal came to us: no eventfd has this connection. The page returns r9. */
static void signal_missed(struct vcpu *vcpu)
{
	struct kvm_regs *regs = kvm_vcpu_regs(vcpu->kvm);

	if (!regs)
		return;
	regs->r9 = HV_STATUS_INVALID_CONNECTION_ID;
	kvm_vcpu_regs_changed(vcpu->kvm);
}

static void exit_io(struct vcpu *vcpu, struct kvm_run *run)
{
	const struct vcpu_host *host = &vcpu->all->host;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	bool out = run->io.direction == KVM_EXIT_IO_OUT;

	if (out && run->io.size == 4 && run->io.count == 1) {
		if (run->io.port == HV_HYPERCALL_PORT) {
			hypercall(vcpu);
			return;
		}
		if (run->io.port == HV_SIGNAL_PORT) {
			signal_missed(vcpu);
			return;
		}
	}
	for (uint32_t i = 0; i < run->io.count; i++)
		host->pio(host->arg, run->io.port, out, run->io.size, data + i * run->io.size);
}

/* No device of ours is memory-mapped: reads see all ones. */
static void exit_mmio(struct vcpu *vcpu, struct kvm_run *run)
{
	if (!run->mmio.is_write)
		memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
}

static void exit_rdmsr(struct vcpu *vcpu, struct kvm_run *run)
{
	const struct vcpu_host *host = &vcpu->all->host;
	uint64_t value = 0;

	run->msr.error = host->msr_read(host->arg, vcpu->index, run->msr.index, &value) < 0;
	run->msr.data = value;
}

static void exit_wrmsr(struct vcpu *vcpu, struct kvm_run *run)
{
	const struct vcpu_host *host = &vcpu->all->host;

	run->msr.error = host->msr_write(host->arg, vcpu->index, run->msr.index, run->msr.data) < 0;
}

static void exit_shutdown(struct vcpu *vcpu, struct kvm_run *run)
{
	struct kvm_where where;
	bool known = kvm_vcpu_where(vcpu->kvm, &where);

	vcpu->all->host.triple_fault(vcpu->all->host.arg, vcpu->index, known ? &where : NULL);
}

static void exit_fail_entry(struct vcpu *vcpu, struct kvm_run *run)
{
	fail(vcpu, "the processor refuses to enter the guest", run->fail_entry.hardware_entry_failure_reason);
}

static void exit_internal_error(struct vcpu *vcpu, struct kvm_run *run)
{
	static const char *const names[] = {
		[KVM_INTERNAL_ERROR_EMULATION] = "KVM cannot emulate an instruction",
		[KVM_INTERNAL_ERROR_SIMUL_EX] = "exceptions within exceptions",
		[KVM_INTERNAL_ERROR_DELIVERY_EV] = "an exit during the delivery of an event",
		[KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON] = "an exit unknown to KVM",
	};
	uint32_t error = run->internal.suberror;

	fail(vcpu, error < ARRAY_SIZE(names) && names[error] ? names[error] : "KVM's internal error", error);
}

static void exit_system_event(struct vcpu *vcpu, struct kvm_run *run)
{
	fail(vcpu, "unexpected system event", run->system_event.type);
}

static void exit_nothing(struct vcpu *vcpu, struct kvm_run *run)
{
}

static void (*const exits[])(struct vcpu *vcpu, struct kvm_run *run) = {
	[KVM_EXIT_IO] = exit_io,
	[KVM_EXIT_MMIO] = exit_mmio,
	[KVM_EXIT_IRQ_WINDOW_OPEN] = exit_nothing,
	[KVM_EXIT_SHUTDOWN] = exit_shutdown,
	[KVM_EXIT_FAIL_ENTRY] = exit_fail_entry,
	[KVM_EXIT_INTR] = exit_nothing,
	[KVM_EXIT_INTERNAL_ERROR] = exit_internal_error,
	[KVM_EXIT_SYSTEM_EVENT] = exit_system_event,
	[KVM_EXIT_X86_RDMSR] = exit_rdmsr,
	[KVM_EXIT_X86_WRMSR] = exit_wrmsr,
};

static void dispatch(struct vcpu *vcpu)
{
	struct kvm_run *run = kvm_vcpu_area(vcpu->kvm);

	if (run->exit_reason < ARRAY_SIZE(exits) && exits[run->exit_reason])
		exits[run->exit_reason](vcpu, run);
	else
		fail(vcpu, "unexpected exit", run->exit_reason);
}

/* ---- threads ---- */

static void on_kick(int signum)
{
}

/* Wait at the barrier until we may run. Return: false if the thread must end. */
static bool may_run(struct vcpu *vcpu)
{
	struct vcpus *all = vcpu->all;
	bool run;

	pthread_mutex_lock(&all->lock);
	if (all->wish == WISH_PARK) {
		pthread_mutex_unlock(&all->lock);
		kvm_vcpu_finish(vcpu->kvm);
		pthread_mutex_lock(&all->lock);
		all->parked++;
		pthread_cond_broadcast(&all->changed);
		while (all->wish == WISH_PARK)
			pthread_cond_wait(&all->changed, &all->lock);
		all->parked--;
	}
	kvm_vcpu_unkick(vcpu->kvm);
	run = all->wish == WISH_RUN;
	pthread_mutex_unlock(&all->lock);
	return run;
}

static void *thread_main(void *arg)
{
	struct vcpu *vcpu = arg;
	char name[16];

	snprintf(name, sizeof(name), "vcpu%u", vcpu->index);
	pthread_setname_np(pthread_self(), name);
	while (may_run(vcpu)) {
		int r = 0;

		while (!r || r == -EAGAIN) {
			r = kvm_vcpu_run(vcpu->kvm);
			atomic_fetch_add_explicit(&vcpu->exits, 1, memory_order_relaxed);
			if (!r)
				dispatch(vcpu);
		}
		if (r != -EINTR)
			fail(vcpu, strerror(-r), (uint64_t)-r);
	}
	return NULL;
}

/* Make every thread look at the wish. Lock held. */
static void kick_all(struct vcpus *vcpus)
{
	for (uint32_t i = 0; i < vcpus->count; i++) {
		kvm_vcpu_kick(vcpus->vcpu[i].kvm);
		if (vcpus->vcpu[i].started && !pthread_equal(vcpus->vcpu[i].thread, pthread_self()))
			pthread_kill(vcpus->vcpu[i].thread, KICK_SIGNAL);
	}
}

static int start_threads(struct vcpus *vcpus)
{
	struct sigaction action = {.sa_handler = on_kick};
	sigset_t others, old;
	int r = 0;

	sigaction(KICK_SIGNAL, &action, NULL);
	/* signals for the process go to the main thread */
	sigfillset(&others);
	sigdelset(&others, KICK_SIGNAL);
	pthread_sigmask(SIG_SETMASK, &others, &old);
	pthread_mutex_lock(&vcpus->lock);
	for (uint32_t i = 0; i < vcpus->count && !r; i++) {
		r = -pthread_create(&vcpus->vcpu[i].thread, NULL, thread_main, &vcpus->vcpu[i]);
		vcpus->vcpu[i].started = !r;
	}
	pthread_mutex_unlock(&vcpus->lock);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

int vcpus_new(struct kvm_vcpu **kvm, uint32_t count, const struct vcpu_host *host, struct vcpus **ret_vcpus)
{
	struct vcpus *vcpus = calloc(1, sizeof(*vcpus) + count * sizeof(vcpus->vcpu[0]));
	int r;

	if (!vcpus)
		return -ENOMEM;
	vcpus->host = *host;
	vcpus->count = count;
	vcpus->wish = WISH_PARK;
	pthread_mutex_init(&vcpus->lock, NULL);
	pthread_cond_init(&vcpus->changed, NULL);
	for (uint32_t i = 0; i < count; i++)
		vcpus->vcpu[i] = (struct vcpu){.all = vcpus, .kvm = kvm[i], .index = i};
	r = start_threads(vcpus);
	if (r < 0) {
		vcpus_free(vcpus);
		return r;
	}
	*ret_vcpus = vcpus;
	return 0;
}

void vcpus_free(struct vcpus *vcpus)
{
	if (!vcpus)
		return;
	pthread_mutex_lock(&vcpus->lock);
	vcpus->wish = WISH_END;
	pthread_cond_broadcast(&vcpus->changed);
	kick_all(vcpus);
	pthread_mutex_unlock(&vcpus->lock);
	for (uint32_t i = 0; i < vcpus->count; i++)
		if (vcpus->vcpu[i].started)
			pthread_join(vcpus->vcpu[i].thread, NULL);
	pthread_cond_destroy(&vcpus->changed);
	pthread_mutex_destroy(&vcpus->lock);
	free(vcpus);
}

void vcpus_run(struct vcpus *vcpus)
{
	pthread_mutex_lock(&vcpus->lock);
	vcpus->wish = WISH_RUN;
	pthread_cond_broadcast(&vcpus->changed);
	pthread_mutex_unlock(&vcpus->lock);
}

void vcpus_halt(struct vcpus *vcpus)
{
	pthread_mutex_lock(&vcpus->lock);
	if (vcpus->wish == WISH_RUN) {
		vcpus->wish = WISH_PARK;
		kick_all(vcpus);
	}
	pthread_mutex_unlock(&vcpus->lock);
}

void vcpus_pause(struct vcpus *vcpus)
{
	vcpus_halt(vcpus);
	pthread_mutex_lock(&vcpus->lock);
	while (vcpus->parked < vcpus->count)
		pthread_cond_wait(&vcpus->changed, &vcpus->lock);
	pthread_mutex_unlock(&vcpus->lock);
}

uint64_t vcpus_exits(struct vcpus *vcpus)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < vcpus->count; i++)
		sum += atomic_load_explicit(&vcpus->vcpu[i].exits, memory_order_relaxed);
	return sum;
}
