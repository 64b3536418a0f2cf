/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of `vmctl run`, and the definition that it stands for. */
#ifndef CLI_RUN_OPTIONS_H
#define CLI_RUN_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define RUN_DISKS_MAX 64 /* LUNs of the one controller */
#define RUN_NICS_MAX  8

struct run_disk {
	char *path; /* absolute, owned */
	bool readonly, shareable, block;
};

struct run_options {
	char *kernel, *initrd; /* absolute; initrd may be NULL */
	const char *append;    /* of argv; may be NULL */
	const char *name;      /* of argv; NULL: one is made */
	struct run_disk disk[RUN_DISKS_MAX];
	size_t disks;
	char *nic[RUN_NICS_MAX]; /* an <interface> each, owned */
	size_t nics;
	uint64_t memory_bytes;
	uint32_t cpus;
	char name_buf[32];
};

/**
 * run_options_parse - @argv[0] is the verb.
 * Return: 0; -EINVAL with a line (the command line is wrong).
 */
int run_options_parse(int argc, char **argv, struct run_options *ret_options, struct err *err);
void run_options_done(struct run_options *options);

/** run_options_xml - libvirt domain XML of it. Return: heap text; NULL without memory. */
char *run_options_xml(const struct run_options *options);

#endif
