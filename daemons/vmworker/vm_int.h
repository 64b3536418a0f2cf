/* SPDX-License-Identifier: Apache-2.0 */
/* What vm.c (building), vm_life.c (states) and vm_host.c (callbacks of the parts) share. */
#ifndef VMWORKER_VM_INT_H
#define VMWORKER_VM_INT_H

#include <pthread.h>

#include "abi/hyperv.h"
#include "boot/boot.h"
#include "console.h"
#include "hv/hv.h"
#include "irq.h"
#include "kvm.h"
#include "machine.h"
#include "mailbox.h"
#include "memory.h"
#include "vcpu.h"
#include "vm.h"

/* What a guest can bring about; noted by vCPU threads, acted upon by the loop. The first that is set counts. */
enum vm_event {
	VM_EV_FAILED = 1u << 0, /* KVM cannot go on */
	VM_EV_CRASH = 1u << 1,	/* crash report */
	VM_EV_POWER_OFF = 1u << 2,
	VM_EV_RESET = 1u << 3,
	VM_EV_TRIPLE_FAULT = 1u << 4,
};

/* A crash report, until it is acted upon. */
enum vm_crash {
	VM_CRASH_NONE,
	VM_CRASH_REPORTED, /* event_text is its message; the guest runs on */
	VM_CRASH_KERNEL,   /* it has a crash kernel, and started that */
};

struct vm_done {
	vm_done_fn fn; /* NULL: nobody waits */
	void *arg;
};

struct vm {
	struct loop *loop;
	vm_changed_fn changed;
	void *changed_arg;

	/* configuration */
	char *name, *uuid, *cmdline, *kernel_name, *initrd_name;
	int kernel_fd, initrd_fd;
	struct boot_config boot; /* refers to the above */
	enum vm_action on_poweroff, on_reboot, on_crash;

	/* parts, in the order in which they are made */
	struct guest_mem mem;
	bool have_mem;
	struct kvm *kvm;
	struct kvm_vcpu *vcpu[KVM_VCPUS_MAX];
	uint32_t cpus;
	struct hv_config hv_config;
	struct irq *irq;
	struct signal_cells *cells;
	int cells_fd;
	struct hv *hv;
	struct console *console;
	struct machine *machine;
	struct bus *bus;
	struct providers providers;
	struct signal_map signals; /* of cells */
	struct ic *ic;
	struct vcpus *vcpus;

	/* life; event loop only */
	enum vm_state state;
	char reason[160];
	char *guest_message; /* HV_CRASH_MESSAGE_MAX + 1 bytes once there was a panic */
	uint64_t resets;
	uint64_t exits;	 /* once the vCPUs are gone */
	bool panicked;	 /* a crash report came since the last reset */
	bool starting;	 /* vm_start() waits for providers */
	bool quieting;	 /* a reset, or the VM's end, is under way */
	bool pacing;	 /* quieting, and providers are done: a reset waits for its turn */
	bool ending;	 /* and then the VM ends */
	bool letting_go; /* ending, and the bus is quiet: providers' processes end */
	enum vm_state end_state;
	struct vm_done start_done, reset_done, stop_done;
	struct loop_source *deadline, *pace, *crash_timer;
	bool crash_waits;   /* crash_timer runs */
	uint64_t began_ns;  /* when the guest began to run, last */
	unsigned int hasty; /* how often in a row it has reset itself at once */

	/* the guest's TSC and the host's, when the guest began to run, last */
	uint64_t guest_tsc, host_tsc;
	/* vm_ask.c */
	struct {
		const struct ask *now; /* NULL: nothing was asked for that the guest has not done yet */
		bool accepted;	       /* the guest has said that it will */
		enum vm_event came;    /* what it did; 0: nothing yet */
		uint32_t timeout_ms;
		struct vm_done done;
		struct loop_source *deadline;
	} ask;

	/* from vCPU threads to the loop */
	struct loop_source *wake;
	struct mailbox mailbox;
	_Atomic bool mail_stalled; /* the guest does not read its messages: its own wait */
	_Atomic uint64_t reraise;  /* a bit for each vCPU */
	pthread_mutex_t events_lock;
	unsigned int events;
	enum vm_crash crash;
	char event_text[HV_CRASH_MESSAGE_MAX + 1]; /* of the crash, or why KVM failed */
};

/* vm_host.c: the callback tables of the parts; their argument is the struct vm. */
extern const struct hv_host vm_hv_host;
extern const struct vcpu_host vm_vcpu_host;
extern const struct machine_host vm_machine_host;
extern const struct bus_guest_ops vm_bus_guest_ops;
extern const struct ic_host vm_ic_host;
size_t vm_console_input(void *arg, const void *buf, size_t len);

/** vm_note - a guest event: no vCPU runs on, the loop looks. @text: NULL, or what goes to event_text. Context: any
 * thread. */
void vm_note(struct vm *vm, enum vm_event event, const char *text);

/** vm_crash_reported, vm_crash_kernel - the guest has written a crash report; has taken its OS id back. Context: a vCPU
 * thread. */
void vm_crash_reported(struct vm *vm, const char *text);
void vm_crash_kernel(struct vm *vm);
/** vm_crash_over - the timer's callback. */
void vm_crash_over(void *arg);
/** vm_crash_look - the loop's look at both: what happens to a guest that has crashed is its crash. Return: whether its
 * message is to be kept, and nothing else. */
bool vm_crash_look(struct vm *vm, enum vm_crash crash, unsigned int *inout_events);

/** vm_woken - the loop's side of vm_note(), the mailbox and reraise. */
void vm_woken(void *arg);

/** vm_load - boot image into memory and every part to its power-on state. Context: no vCPU runs. */
int vm_load(struct vm *vm, struct err *err);

/** vm_providers_changed, vm_provider_failed, vm_deadline, vm_pace_over - providers' callbacks; the timers'. */
void vm_providers_changed(void *arg);
void vm_provider_failed(void *arg, const struct err *err);
void vm_deadline(void *arg);
void vm_pace_over(void *arg);

/** vm_check_state - Return: 0; -EBUSY (being reset or stopped), -EINVAL with a line. */
int vm_check_state(struct vm *vm, enum vm_state state, struct err *err);

/** vm_ask_reason - the guest does @event (power-off, reset). Return: what that is called; @otherwise if nobody asked
 * for it. */
const char *vm_ask_reason(struct vm *vm, enum vm_event event, const char *otherwise);
/** vm_ask_over - the guest has ended, was reset, or stands still for good: whatever was asked for, it is over. */
void vm_ask_over(struct vm *vm);
/** vm_ask_deadline - the timer's callback. */
void vm_ask_deadline(void *arg);

/** vm_finish_done - call and forget a waiter. */
void vm_finish_done(struct vm_done *done, const struct err *err);

#endif
