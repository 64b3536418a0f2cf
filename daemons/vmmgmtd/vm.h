/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM as an object: its definition, its processes, its state. It knows no D-Bus.
 *
 * Theory of operation:
 *
 *	              start                    last process gone
 *	shut-off ----------------> starting ---------------------+
 *	crashed                      |  any failure: unwinding   |
 *	   ^                         v                           |
 *	   |                      running <--> paused            |
 *	   |                         |  guest's end, destroy      |
 *	   |                         v                           |
 *	   +--------------------- stopping <---------------------+
 *
 * A start is a chain: open everything, launch vmworker, CREATE (with the program of vsp-storaged, which the worker
 *runs), SUBSCRIBE, START. Whatever fails, or ends, goes to the same place: kill what is there, wait until every process
 *is gone and the worker's connection is read to its end, remove the runtime folder, tell. Nothing is told to be off
 *before nothing of it is left.
 *
 * Invariants: there is a runtime folder exactly while the state is none of shut-off and crashed, or (crashed,
 *on_crash=preserve) the worker still lives.
 */
#ifndef VMMGMTD_VM_H
#define VMMGMTD_VM_H

#include <stdbool.h>
#include <stdint.h>

#include "broker.h"
#include "domain.h"
#include "ended.h"
#include "launcher.h"
#include "runtime.h"
#include "worker.h"

struct vm;

/** vm_calls - what VMs need in the sandbox, but for what they use. */
extern const struct syscall_list vm_calls;

enum vm_state {
	VM_SHUT_OFF,
	VM_STARTING,
	VM_RUNNING,
	VM_PAUSED,
	VM_STOPPING,
	VM_CRASHED,
};

/** vm_state_name - "shut-off" ... */
const char *vm_state_name(enum vm_state state);
/** vm_heartbeat_name - "unknown", "ok", "lost" */
const char *vm_heartbeat_name(enum worker_heartbeat heartbeat);
/** vm_service_state_name - "starting", "serving", "recovering", "waiting" */
const char *vm_service_state_name(enum worker_service_state state);

/* What may change while it runs. Strings are the VM's. */
struct vm_info {
	enum vm_state state;
	const char *reason, *guest_message, *console_pty, *log_file;
	uint64_t resets;
	bool persistent;
	bool active;	 /* it has processes */
	bool autostart;	 /* it comes up with the host */
	bool restarting; /* it has crashed and has none, but starts again soon */
	pid_t worker_pid, storage_pid;
	const struct worker_service *services; /* the VM's */
	size_t service_count;
	enum worker_heartbeat heartbeat;
	const struct worker_integration *integration; /* the VM's */
	size_t integration_count;
};

struct vm_events {
	void (*changed)(struct vm *vm, void *arg);
	/* It is off, and nothing of it is left. It must not be freed from inside. */
	void (*ended)(struct vm *vm, void *arg);
};

/* What VMs need of the manager; outlives them. */
struct vm_env {
	struct loop *loop;
	struct launcher *launcher;
	const char *base;	  /* runtime folders are below it, and how VMs have ended */
	const char *logs;	  /* folder of the daemons' logs */
	const char *kvm;	  /* "/dev/kvm" */
	const char *reservations; /* folder of those of shared disks */
	struct links *links;	  /* NULL: nobody looks after links */
	struct ovs *ovs;	  /* NULL: ports of Open vSwitch cannot be made */
	struct broker_owners owners;
	/* The name of another VM than @except (NULL: than none) that has this MAC address; NULL: none. */
	const char *(*mac_owner)(const uint8_t mac[6], const struct vm *except, void *arg);
	const struct vm_events *events;
	/* Keep a definition of this VM on disk. Return: 0; a negative errno with one line. */
	int (*keep)(struct vm *vm, const char *xml, struct err *err, void *arg);
	void *arg;
};

/* Outcome of a request, once: 0, or a negative errno with one line. May come from inside the request. */
typedef void (*vm_done_fn)(int error, const char *text, void *arg);
typedef void (*vm_console_fn)(int error, const char *text, int fd, void *arg);

/** vm_new - @domain: taken over. Return: NULL without memory. */
struct vm *vm_new(const struct vm_env *env, struct domain *domain, bool persistent);
/** vm_free - lets go of it: processes go on. Requests under way are done with -ECANCELED. */
void vm_free(struct vm *vm);

/** vm_domain - what it runs with, or would; vm_kept - what is kept on disk for it. The VM's. */
const struct domain *vm_domain(const struct vm *vm);
const struct domain *vm_kept(const struct vm *vm);
void vm_info(const struct vm *vm, struct vm_info *ret);
void vm_set_user(struct vm *vm, void *user);
void *vm_user(const struct vm *vm);

/** vm_redefine - @domain is taken over: at once, or when the VM ends. It becomes persistent. */
void vm_redefine(struct vm *vm, struct domain *domain);
/** vm_set_running - before vm_adopt(): what it runs with (taken over), which need not be what is kept. */
void vm_set_running(struct vm *vm, struct domain *domain);
/** vm_set_transient - its definition is no longer on disk. */
void vm_set_transient(struct vm *vm);

/** vm_set_autostart - what is on disk about it has changed. */
void vm_set_autostart(struct vm *vm, bool on);

void vm_start(struct vm *vm, bool paused, vm_done_fn done, void *arg);
void vm_destroy(struct vm *vm, vm_done_fn done, void *arg);
void vm_pause(struct vm *vm, vm_done_fn done, void *arg);
void vm_resume(struct vm *vm, vm_done_fn done, void *arg);
void vm_reset(struct vm *vm, vm_done_fn done, void *arg);
/**
 * vm_ask - ask the guest to shut down or restart. @force: whatever its applications say. @timeout_s: it has so long
 * from its consent on, at most VM_ASK_TIMEOUT_MAX_S; 0: done once it has agreed. Else done once nothing of the VM is
 * left, or the guest starts anew, or on_poweroff or on_reboot is followed otherwise; -EOPNOTSUPP (the guest has no such
 * service), -EREMOTEIO (it refuses, or does something else), -ETIMEDOUT, -EBUSY (asked already), -EBADFD, -EINVAL.
 */
void vm_ask(struct vm *vm, enum worker_ask what, bool force, uint32_t timeout_s, vm_done_fn done, void *arg);
#define VM_ASK_TIMEOUT_MAX_S 86400u
/* @name: target of the disk, alias of the NIC. Else as vm_done_fn. */
typedef void (*vm_change_fn)(int error, const char *text, const char *name, void *arg);

#define VM_CHANGE_PERSISTENT 1u /* what is kept on disk changes as well as what runs */
#define VM_CHANGE_CONFIG     2u /* only what is kept */
#define VM_CHANGE_FORCE	     4u /* DETACH: at once, whatever the guest does with it; medium: though it has locked it */
#define VM_DISK_SHRINK	     8u /* RESIZE: it may become smaller */

#define VM_CHANGE_TIMEOUT_MAX_S 3600u

/**
 * vm_attach_disk - one disk more. Of a VM that is off only the definition changes.
 * @xml: a <disk> element; without <target> the first free one is taken.
 * Done once the guest has been told; -ENOENT, -EBUSY (its image), -EINVAL (contradicts what there is), -EBADFD (not
 * defined, or in a state without disks), -EOPNOTSUPP, ...: nothing has changed. -ECONNRESET: the worker is gone, and
 * nobody knows.
 */
void vm_attach_disk(struct vm *vm, const char *xml, unsigned int flags, vm_change_fn done, void *arg);
/** vm_detach_disk - one disk less: done once nothing of it is under way, and its image is free. @timeout_s: the guest
 * has so long to let go of it, 1 to VM_CHANGE_TIMEOUT_MAX_S; then -ETIMEDOUT, and it stays. */
void vm_detach_disk(struct vm *vm, const char *target, unsigned int flags, uint32_t timeout_s, vm_change_fn done,
		    void *arg);
/** vm_change_medium - @image: absolute path; "": none, the drive is empty then. Done once it is so; -EBUSY: the guest
 * has locked the drive, or somebody else writes the image. */
void vm_change_medium(struct vm *vm, const char *target, const char *image, unsigned int flags, vm_change_fn done,
		      void *arg);
/** vm_resize_disk - give the image another size, and tell the guest. @bytes: 0: it has another one already (while the
 * VM runs). */
void vm_resize_disk(struct vm *vm, const char *target, uint64_t bytes, unsigned int flags, vm_change_fn done,
		    void *arg);
/** vm_set_disk - limits and the like: @settings as domain_set_disk() takes them. */
void vm_set_disk(struct vm *vm, const char *target, const char *const *settings, unsigned int flags, vm_change_fn done,
		 void *arg);
/** vm_set_disk_faults - for tests: how a disk of what runs fails; never kept. @faults: as domain_set_faults() takes
 * them.
 */
void vm_set_disk_faults(struct vm *vm, const char *target, const char *faults, vm_change_fn done, void *arg);

/** vm_change_wait - @done comes once no change is under way that vmmgmtd makes by itself, which nobody who asks for one
 * need know of; -EBUSY: it took 10 s, or the worker was lost; -ECANCELED: vmmgmtd is ending. @flags: VM_CHANGE_*: for
 * one of the definition only there is nothing to wait for. Return: whether there is one; else @done does not come. */
bool vm_change_wait(struct vm *vm, unsigned int flags, vm_done_fn done, void *arg);
/** vm_change_wait_no_more - of who waits with this @arg: its @done comes, with -ECANCELED. */
void vm_change_wait_no_more(struct vm *vm, const void *arg);

/** vm_attach_nic - one NIC more: as vm_attach_disk(). @xml: an <interface> element. */
void vm_attach_nic(struct vm *vm, const char *xml, unsigned int flags, vm_change_fn done, void *arg);
/** vm_detach_nic - one NIC less: as vm_detach_disk(). */
void vm_detach_nic(struct vm *vm, const char *alias, unsigned int flags, uint32_t timeout_s, vm_change_fn done,
		   void *arg);
/** vm_set_nic - link, bandwidth and the like: @settings as domain_set_nic() takes them. */
void vm_set_nic(struct vm *vm, const char *alias, const char *const *settings, unsigned int flags, vm_change_fn done,
		void *arg);

struct vm_capture {
	int fd; /* where to; stays the caller's; -1: no more */
	uint32_t snap_len;
	const struct worker_filter *filter;
	size_t filter_len; /* at most WORKER_FILTER_MAX */
};

/** vm_links_follow - links of NICs follow their devices: tell the guest of one that is not as it was. Return: whether
 * there is more to tell. */
bool vm_links_follow(struct vm *vm);

/** vm_capture_nic - what passes a NIC of what runs is written down as pcapng, from when it is done on. */
void vm_capture_nic(struct vm *vm, const char *alias, const struct vm_capture *capture, vm_change_fn done, void *arg);

/* @stats: @count providers'; valid during the call. Else as vm_done_fn. */
struct stats_copy;
typedef void (*vm_stats_fn)(int error, const char *text, const struct stats_copy *stats, size_t count, void *arg);

/** vm_get_statistics - what has been done for the guest since the VM was started (vsp/stats_read.h). -EBADFD: it does
 * not run. */
void vm_get_statistics(struct vm *vm, vm_stats_fn fn, void *arg);

/** vm_upgrade - replace the process of a service, without the guest's noticing. @path: absolute; "": the installed
 * program. Done once the new one serves; if it cannot, the old one goes on. */
void vm_upgrade(struct vm *vm, const char *service, const char *path, vm_done_fn done, void *arg);
void vm_open_console(struct vm *vm, bool backlog, vm_console_fn fn, void *arg);

/**
 * vm_adopt - a new VM continues with the processes that an earlier vmmgmtd started. What cannot be continued is cleaned
 * up, and `ended` comes. The state is "starting" until the worker has answered.
 */
void vm_adopt(struct vm *vm, const struct runtime_state *state);

/**
 * vm_restore - a new VM has ended under an earlier vmmgmtd: take over how, and what was to come. vm_set_running()
 * before, if it is to start again.
 */
void vm_restore(struct vm *vm, const struct ended *ended);

/** vm_uses_image - whether it is active and has this file as an image. */
bool vm_uses_image(const struct vm *vm, const struct stat *st);
/** vm_uses_mac - whether a NIC of what it runs with, or of what is kept for it, has this MAC address. */
bool vm_uses_mac(const struct vm *vm, const uint8_t mac[6]);
/** vm_check_mac - whether a NIC of @vm (NULL: of a new one) may have its MAC address. Return: 0; -EEXIST with a line.
 */
int vm_check_mac(const struct vm_env *env, const struct vm *vm, const struct domain_nic *nic, struct err *err);

#endif
