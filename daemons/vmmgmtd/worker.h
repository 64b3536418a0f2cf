/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manager's side of a worker's socket, in plain structs; rpc.c keeps the generated types to itself. Everything is
 * asynchronous, on the loop's thread.
 */
#ifndef VMMGMTD_WORKER_H
#define VMMGMTD_WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "domain.h"
#include "ipc/loop.h"

struct worker;

enum worker_phase {
	WORKER_PHASE_NEW,
	WORKER_PHASE_CREATED,
	WORKER_PHASE_RUNNING,
	WORKER_PHASE_PAUSED,
	WORKER_PHASE_OFF,
	WORKER_PHASE_CRASHED,
};

#define WORKER_SERVICES_MAX 8u

enum worker_service_state {
	WORKER_SERVICE_NOT_STARTED,
	WORKER_SERVICE_STARTING,
	WORKER_SERVICE_SERVING,
	WORKER_SERVICE_RECOVERING,
	WORKER_SERVICE_WAITING,
};

/* A drive for removable media that "storage" serves. */
struct worker_drive {
	char target[8];
	bool open;   /* its tray */
	bool locked; /* by the guest */
};

#define WORKER_ADDRESSES_MAX 8u

/* A NIC that "network" serves. */
struct worker_nic {
	char alias[DOMAIN_ALIAS_MAX];
	bool link;	/* as the guest sees it */
	bool peer_gone; /* what was behind its descriptor has closed it */
	bool capturing;
	uint8_t mac[6];					       /* that the guest uses */
	struct domain_address addresses[WORKER_ADDRESSES_MAX]; /* that the guest was seen to use, the newest first */
	size_t address_count;
	uint64_t dropped; /* frames, by the deaths of its processes */
};

/* A disk that "storage" serves and that does not work. */
struct worker_disk_error {
	char target[8];
	const char *kind; /* "no-space", "read-only", "error", "shrunk", "gone"; static */
};

/* A process that serves the guest for the worker, as the worker tells: text is cleaned, numbers are its word only. */
struct worker_service {
	char name[32]; /* "storage" */
	pid_t pid;     /* 0: none now */
	enum worker_service_state state;
	bool idle;		    /* it has nothing to serve yet, and no process */
	char message[ERR_TEXT_MAX]; /* why it does not serve, or how its last process ended; "" */
	char program[64];	    /* "vsp-storaged 0.1" */
	uint64_t deaths, upgrades;
	uint64_t hangs;				    /* of the deaths */
	uint64_t replayed, lost, duplicate, failed; /* requests */
	uint64_t last_outage_us;
	struct worker_drive drives[DOMAIN_DISKS_MAX];
	size_t drive_count;
	struct worker_nic nics[DOMAIN_NICS_MAX];
	size_t nic_count;
	struct worker_disk_error errors[DOMAIN_DISKS_MAX];
	size_t error_count;
};

enum worker_heartbeat {
	WORKER_HEARTBEAT_UNKNOWN,
	WORKER_HEARTBEAT_OK,
	WORKER_HEARTBEAT_LOST,
};

#define WORKER_INTEGRATION_MAX 8u

/* An integration service that the guest is offered; text is cleaned. */
struct worker_integration {
	char name[32];	  /* "shutdown" */
	char version[16]; /* "3.2"; "" while the guest does not use it */
};

/* Valid during the call that hands it over. */
struct worker_status {
	enum worker_phase phase;
	const char *reason, *guest_message, *console_pty;
	uint64_t resets;
	const struct worker_service *services;
	size_t service_count; /* at most WORKER_SERVICES_MAX */
	enum worker_heartbeat heartbeat;
	const struct worker_integration *integration;
	size_t integration_count; /* at most WORKER_INTEGRATION_MAX */
};

struct worker_events {
	void (*status)(const struct worker_status *status, void *arg);
	/* The connection is gone; the callee must worker_free(). @error: -ECONNRESET, -EPROTO ... */
	void (*lost)(int error, const char *why, void *arg);
};

/* The outcome of a request: exactly once, never from inside the call that made it. @text: the worker's own line, "" if
 * it has none. */
typedef void (*worker_done_fn)(int error, const char *text, void *arg);

/** worker_connect - Return: 0; -ENOENT, -ECONNREFUSED (nobody there) ... */
int worker_connect(struct loop *loop, const char *path, const struct worker_events *events, void *arg,
		   struct worker **ret_worker);
/** worker_free - close; pending requests are done with -ECANCELED (from inside). NULL is allowed. */
void worker_free(struct worker *worker);
/** worker_usable - false while the connection's end makes pending requests fail, which tells such a failure from an
 * answer. */
bool worker_usable(const struct worker *worker);

/* What CREATE takes besides the definition: descriptors, which stay the caller's. -1: none. */
struct worker_files {
	int kvm, kernel, initrd, console_log;
	bool storage, network;		    /* who serves them is there, or comes when it is needed */
	int storage_program;		    /* the worker runs it; -1: somebody else does */
	int disks[DOMAIN_DISKS_MAX];	    /* as many as the domain has, in its order */
	int reservations[DOMAIN_DISKS_MAX]; /* the same, of those that are shareable */
	int network_program;		    /* as storage_program */
	int nics[DOMAIN_NICS_MAX]
		[DOMAIN_NIC_QUEUES_MAX]; /* as many as the domain has, each with as many as it has queues */
};

/** worker_create - @folder: the VM's runtime folder, for the processes that the worker starts. */
int worker_create(struct worker *worker, const struct domain *domain, const struct worker_files *files,
		  const char *folder, worker_done_fn done, void *arg);

enum worker_command {
	WORKER_DO_START,
	WORKER_DO_PAUSE,
	WORKER_DO_RESUME,
	WORKER_DO_RESET,
	WORKER_DO_STOP,
	WORKER_DO_SUBSCRIBE, /* status() comes with the answer and at every change */
};

int worker_do(struct worker *worker, enum worker_command command, worker_done_fn done, void *arg);

enum worker_ask {
	WORKER_ASK_SHUTDOWN,
	WORKER_ASK_REBOOT,
};

/** worker_ask_guest - through its shutdown service. @force: whatever its applications say. @timeout_s: it has so long
 * from its consent on, and only its end, or its new start, is the answer; 0: its consent is. */
int worker_ask_guest(struct worker *worker, enum worker_ask ask, bool force, uint32_t timeout_s, worker_done_fn done,
		     void *arg);

/** worker_upgrade - replace the process of service @name by one of @program_fd (stays the caller's; -1: of the
 * program that the service manager starts); done once it
 * serves. */
int worker_upgrade(struct worker *worker, const char *name, int program_fd, worker_done_fn done, void *arg);

enum worker_disk_change_kind {
	WORKER_DISK_ATTACH,
	WORKER_DISK_DETACH,
	WORKER_DISK_RESIZE,
	WORKER_DISK_SET, /* limits, faults, what becomes of zeroes and of what is given back are as @domain says */
	WORKER_DISK_MEDIUM,
};

/* What is to become of a disk while the guest runs. */
struct worker_disk_change {
	enum worker_disk_change_kind kind;
	const struct domain *domain; /* that has the disk */
	size_t index;		     /* of it there */
	const struct domain *then;   /* what the VM has then; not of RESIZE */
	unsigned int controllers;    /* that the VM was started with */
	int fd;			     /* ATTACH, MEDIUM: of its image; stays the caller's */
	int reservations;	     /* ATTACH: the same, if it has some */
	uint32_t timeout_ms;	     /* DETACH: the guest has so long; 0: it is not asked */
	uint64_t bytes;		     /* RESIZE: 0: as the image is now */
	bool shrink;		     /* RESIZE: it may become smaller */
	bool force;		     /* MEDIUM: though the guest has locked the drive */
};

/** worker_change_disk - done once it is so: at the worker, at its vsp-storaged, for the guest; there is no deadline. An
 * answer with an error means that nothing has changed; -ECONNRESET and -ECANCELED (the connection is gone) that nobody
 * knows: worker_has() tells. */
int worker_change_disk(struct worker *worker, const struct worker_disk_change *change, worker_done_fn done, void *arg);

enum worker_nic_change_kind {
	WORKER_NIC_ATTACH,
	WORKER_NIC_DETACH,
	WORKER_NIC_SET,	 /* all but what is behind it is as @domain says */
	WORKER_NIC_PEER, /* something else is behind it: @domain has another generation */
	WORKER_NIC_CAPTURE,
};

#define WORKER_FILTER_MAX 256u

/* An instruction of a classic BPF program. */
struct worker_filter {
	uint16_t code;
	uint8_t jt, jf;
	uint32_t k;
};

/* What is to become of a NIC while the guest runs. */
struct worker_nic_change {
	enum worker_nic_change_kind kind;
	const struct domain *domain;	    /* that has the NIC */
	size_t index;			    /* of it there */
	const struct domain *then;	    /* what the VM has then; not of CAPTURE */
	const int *fds;			    /* ATTACH, PEER: one for each queue; CAPTURE: where to; stay the caller's */
	size_t nfds;			    /* CAPTURE: 0: no more */
	uint32_t timeout_ms;		    /* DETACH: the guest has so long; 0: it is not asked */
	uint32_t snap_len;		    /* CAPTURE: bytes of each frame; 0: all */
	const struct worker_filter *filter; /* CAPTURE */
	size_t filter_len;		    /* at most WORKER_FILTER_MAX; 0: all frames */
};

/** worker_change_nic - as worker_change_disk(). */
int worker_change_nic(struct worker *worker, const struct worker_nic_change *change, worker_done_fn done, void *arg);

/** worker_same_nics - whether two definitions of a VM say the same of NICs, and what is behind them. */
bool worker_same_nics(const struct domain *a, const struct domain *b);

/* What is behind a NIC, as the worker has it for the processes that serve it. */
struct worker_nic_peer {
	char alias[DOMAIN_ALIAS_MAX];
	unsigned int generation;
	uint32_t segment_max;
};

/** worker_peers_fn - @peers: of @count NICs; valid during the call. */
typedef void (*worker_peers_fn)(int error, const char *text, const struct worker_nic_peer *peers, size_t count,
				void *arg);

/** worker_get_peers - what is behind the NICs that the VM has; answered once no change of them is under way. */
int worker_get_peers(struct worker *worker, worker_peers_fn fn, void *arg);

/** worker_has_fn - @same: the VM has what the definition says. */
typedef void (*worker_has_fn)(int error, const char *text, bool same, void *arg);

/** worker_has - asks which disks (@name "storage") or NICs ("network") the VM has; answered once no change is under
 * way. */
int worker_has(struct worker *worker, const char *name, const struct domain *domain, unsigned int controllers,
	       worker_has_fn fn, void *arg);

/** worker_statistics_fn - @fds: a statistics block each (lib/vsp/stats_read.h), of @count providers whose processes are
 * not trusted; closed after the call. */
typedef void (*worker_statistics_fn)(int error, const char *text, const int *fds, size_t count, void *arg);

/** worker_get_statistics - what its providers count, also of those that do not live now. */
int worker_get_statistics(struct worker *worker, worker_statistics_fn fn, void *arg);

/** worker_console_fn - @fd: a stream socket that the callee owns, -1 on error. */
typedef void (*worker_console_fn)(int error, const char *text, int fd, void *arg);

int worker_open_console(struct worker *worker, bool backlog, worker_console_fn fn, void *arg);

#endif
