/* SPDX-License-Identifier: Apache-2.0 */
/* The whole of one vsp-storaged: its disks, on its controllers, on its engine. */
#ifndef STORAGED_STORAGED_H
#define STORAGED_STORAGED_H

#include "settings.h"
#include "storvsp.h"

struct storaged_controller {
	struct storvsp storvsp;
	struct abi_guid instance;
	char name[16];				/* "scsi0" */
	struct scsi_lun lun[SETTINGS_LUNS_MAX]; /* sorted by address; their disks are ours */
	size_t disks;
};

/* Owns the engine and the disks; the descriptors below them are the caller's. */
struct storaged {
	struct engine *engine;
	struct storaged_controller controller[SETTINGS_CONTROLLERS_MAX];
	size_t controllers;
	size_t disks; /* on all controllers */
};

/**
 * storaged_open - start the engine and open every disk.
 * @engine: which one, NULL: the best there is.
 * @fds:    @count descriptors, which the settings name by their place; they stay the caller's, open until
 * storaged_free(). Return: 0; a negative errno with a line that says what to do.
 */
int storaged_open(struct loop *loop, const struct settings *settings, const char *engine, const int *fds, size_t count,
		  struct storaged **ret_storaged, struct err *err);

/** storaged_free - wait for what is in flight, close. NULL is allowed. */
void storaged_free(struct storaged *storaged);

#endif
