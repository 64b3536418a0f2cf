/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker: the only code that opens files and devices for the other daemons. What it hands back is checked, locked,
 * and closed on exec; every failure is one line that names the thing and the remedy.
 */
#ifndef VMMGMTD_BROKER_H
#define VMMGMTD_BROKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/syscalls.h"
#include "domain.h"

/* Who holds a busy image. */
struct broker_owners {
	/* The name of the running VM of ours whose image is the file @st, or NULL. */
	const char *(*find)(const struct stat *st, void *arg);
	void *arg;
};

/**
 * broker_open_disk - open and lock a disk's image. The lock belongs to the open file: it ends when the last copy of the
 * descriptor is closed, wherever that is.
 * @owners: to name who has a busy image; may be NULL. If they know nobody, a busy image is waited for, a second at
 * most. Return: 0 and the descriptor; -EBUSY, -ENOENT, -EACCES, -EROFS, -EISDIR, -EINVAL (not a file or block device,
 * empty),
 * ...
 */
int broker_open_disk(const struct domain_disk *disk, const struct broker_owners *owners, struct err *err, int *ret_fd);

/** broker_open_read - a regular file to read: @what is "kernel" or "initrd". */
int broker_open_read(const char *what, const char *path, struct err *err, int *ret_fd);

/** broker_open_program - a program to run by its descriptor: a regular file that we may execute. Return: also -EACCES
 * (not executable, or on a file system that is mounted noexec), -ENOEXEC (a script). */
int broker_open_program(const char *path, struct err *err, int *ret_fd);

/** broker_open_log - the console's log: made if it is missing, emptied unless @append. */
int broker_open_log(const char *path, bool append, struct err *err, int *ret_fd);

/** broker_open_kvm - @path: "/dev/kvm". Return: also -ENOENT, -EACCES, -ENODEV. */
int broker_open_kvm(const char *path, struct err *err, int *ret_fd);

/** broker_check_memory - whether the host has @bytes now (@huge: of free huge pages). Return: 0, -ENOMEM. */
int broker_check_memory(uint64_t bytes, bool huge, struct err *err);

/** broker_same_image - whether @path is the file or device @st now. */
bool broker_same_image(const char *path, const struct stat *st);

/** broker_calls - what opening needs in the sandbox. */
extern const struct syscall_list broker_calls;

#endif
