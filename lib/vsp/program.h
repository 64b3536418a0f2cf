/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The main() of a VSP: options, privileges and sandbox, attachment, service, end.
 *
 * Theory of operation: the process enters its first sandbox, attaches to its worker, and opens what it serves; then it
 * enters the second one, which is all that is left when the first byte of a guest is read, makes its offers, and runs
 * until its worker goes away or somebody tells it to stop. With --tell-end it serves nothing, but tells the worker how
 * the process of its unit has ended (vsp/end.h).
 */
#ifndef VSP_PROGRAM_H
#define VSP_PROGRAM_H

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>

#include "daemon/sandbox.h"
#include "ipc/loop.h"
#include "vsp/vsp.h"

#define VSP_EXIT_NO_WORKER  4 /* there is none, or none any more: who restarts us need not */
#define VSP_PROGRAM_OPTIONS 4u
#define VSP_STATUS_LEN	    64u

/* A VSP that runs. */
struct vsp_server {
	struct loop *loop;
	struct vsp *vsp; /* NULL until it is attached */
	void *arg;	 /* the program's own */
	bool gone;	 /* the worker */
};

/* Constant. All functions run on the loop's thread, in this order. */
struct vsp_program {
	const char *name;     /* "vsp-storaged" */
	const char *provider; /* "storage" */
	const char *version;  /* name and version, for people */
	const char *usage;    /* its own options, behind those of all; "" */
	const char *serves;   /* "Serve a VM's disks" */
	uint32_t state_version;
	const struct sandbox *setup, *service;
	/* Options of its own, NULL-terminated, whose val is 1 to VSP_PROGRAM_OPTIONS; and what is done with one:
	 * 0; -EINVAL: told on stderr. NULL: there are none. */
	const struct option *options;
	int (*option)(struct vsp_server *server, int val, const char *text);
	void (*probe)(void); /* what `vmctl doctor` asks; NULL: nothing */
	/* Attached, the log has its name: open what is served. */
	int (*open)(struct vsp_server *server, struct err *err);
	/* In the second sandbox: make the offers; vsp_ready(). @status: VSP_STATUS_LEN bytes, for people. */
	int (*offer)(struct vsp_server *server, char *status, struct err *err);
	int (*run)(struct vsp_server *server); /* NULL: loop_run() */
	/* Before the memory goes; whatever was opened. */
	void (*stop)(struct vsp_server *server);
	/* vsp_config.change() and gathered(), with the server as @arg. */
	void (*change)(void *arg, const void *bytes, size_t len, int *fds, size_t nfds, struct vsp_change *change);
	void (*gathered)(void *arg);
};

/** vsp_program_count - begin statistics; what cannot be counted is served all the same. Before the first offer. Return:
 * NULL: nothing is counted, and the log says why. */
struct stats *vsp_program_count(struct vsp_server *server);

/** vsp_program_main - Return: what main() returns. */
int vsp_program_main(int argc, char **argv, const struct vsp_program *program, void *arg);

#endif
