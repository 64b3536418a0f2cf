/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox that a daemon enters before it reads a byte of a guest, an image or a peer: no new privileges, no
 * capabilities, a list of system calls (anything else kills the process with SIGSYS), and Landlock: no path can be
 * opened but those of @paths. Spec: seccomp(2), landlock(7).
 *
 * Theory of operation: each list of calls stands beside the code that needs them (struct syscall_list,
 * base/syscalls.h), and a daemon's main.c names the lists that it is made of. A daemon whose set-up needs more than its
 * service enters twice: the second time with fewer lists, which is all that is left then (the filters add up, the paths
 * stay).
 *
 * Limits: a feature that the kernel lacks is logged as a warning and shown by `vmctl doctor` (sandbox_probe()), never
 * skipped in silence. In a build with sanitizers, which need more calls than we do, no seccomp filter is set; that is
 * logged too.
 */
#ifndef DAEMON_SANDBOX_H
#define DAEMON_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/err.h"
#include "base/syscalls.h"

/* What may still be reached by path; NULL-terminated arrays. */
struct sandbox_path {
	const char *path;
	bool write;   /* files below it may be made, written and removed */
	bool folders; /* folders, too */
	bool images;  /* to open for others: what is there may be written, devices controlled, files made; nothing removed */
};

struct sandbox {
	const struct syscall_list *const *calls; /* NULL-terminated; sandbox_base_calls is always among them */
	const struct sandbox_path *paths;	 /* .path NULL at the end; NULL: none at all; only of the first */
	bool narrows_later;			 /* sandbox_enter() follows once more */
	bool signals;				 /* Landlock does not keep signals from processes outside */
};

/** sandbox_base_calls - what libc, lib/base, lib/ipc and lib/daemon need. */
extern const struct syscall_list sandbox_base_calls;

/**
 * sandbox_enter - for good, for all threads that are there and all that come.
 * Return: 0 (also where the kernel lacks a feature: logged); a negative errno with a line.
 * Context: after daemon_drop_privileges() and spawner_fork(); the first time before there are other threads, to which
 * Landlock does not come.
 */
int sandbox_enter(const struct sandbox *sandbox, struct err *err);

/** sandbox_probe - what `vmctl doctor` asks: a line for each feature, "ID ok|warn TEXT". */
void sandbox_probe(FILE *to);

#endif
