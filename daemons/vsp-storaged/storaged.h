/* SPDX-License-Identifier: Apache-2.0 */
/* The whole of one vsp-storaged: its disks, on its controllers, on its engine. */
#ifndef STORAGED_STORAGED_H
#define STORAGED_STORAGED_H

#include "layers.h"
#include "settings.h"
#include "storvsp.h"

struct storaged_shared;

struct storaged_controller {
	struct storvsp storvsp; /* storvsp.scsi.luns places of the arrays are in use; some may have no disk any more */
	struct abi_guid instance;
	char name[16]; /* "scsi0" */
	struct scsi_lun lun[SETTINGS_LUNS_MAX];
	int fd[SETTINGS_LUNS_MAX];			   /* of the image; -1: there is no disk here */
	unsigned int file[SETTINGS_LUNS_MAX];		   /* the engine's number of it */
	struct storaged_shared *shared[SETTINGS_LUNS_MAX]; /* NULL: nobody shares the disk */
};

/* Of a disk that other VMs share. */
struct storaged_shared {
	struct storaged_controller *controller;
	struct scsi_lun *lun;
	int fd; /* of its reservations */
	unsigned int file;
};

/* A disk's descriptors. */
struct storaged_fds {
	int image, reservations; /* -1: there are none */
};

/* Owns the engine, the disks and the descriptors below them. */
struct storaged {
	struct loop *loop;
	struct engine *engine;
	struct layers layers;
	struct stats *stats; /* the vsp's; NULL: nothing is counted */
	struct storaged_controller controller[SETTINGS_CONTROLLERS_MAX];
	size_t controllers;
	size_t disks; /* on all controllers */
	bool again;   /* a predecessor's disks are opened */
};

/**
 * storaged_open - start the engine and open every disk.
 * @engine: which one, NULL: the best there is.
 * @fds:    @count descriptors, which the settings name by their place; taken over, also on failure.
 * Return: 0; a negative errno with a line that says what to do.
 */
int storaged_open(struct loop *loop, const struct settings *settings, const char *engine, int *fds, size_t count,
		  struct storaged **ret_storaged, struct err *err);

/** storaged_observe - its disks are counted in @stats from now on, those that a predecessor had where that stopped.
 * Before a guest uses them. */
void storaged_observe(struct storaged *storaged, struct stats *stats);

/** storaged_free - wait for what is in flight, close. NULL is allowed. */
void storaged_free(struct storaged *storaged);

/** storaged_find - the controller of this instance, NULL if there is none. */
struct storaged_controller *storaged_find(struct storaged *storaged, const struct abi_guid *instance);

/** storaged_find_lun - the LUN at this address that is not gone, NULL if there is none. */
struct scsi_lun *storaged_find_lun(struct storaged_controller *controller, uint8_t target, uint8_t lun);

/**
 * storaged_attach - one more disk; its initiator is told by storvsp_bus_changed().
 * @fds: taken over, also on failure.
 * Return: 0; -EEXIST (the place is taken), -ENOSPC (no more disks), what opening refuses, with a line.
 */
int storaged_attach(struct storaged *storaged, struct storaged_controller *controller,
		    const struct lun_settings *settings, struct storaged_fds fds, struct err *err);

/** storaged_close_fds - descriptors that came with a change and are not needed: set to -1. They may be of a file of
 * reservations that is in use here, whose lock stays. @storaged: NULL: nothing is in use yet. */
void storaged_close_fds(struct storaged *storaged, struct storaged_fds *fds);

/** storaged_set - limits, faults, and what becomes of zeroes and of blocks that are given back, while requests are in
 * flight. Return: 0; -ENOMEM, with a line. */
int storaged_set(struct storaged *storaged, struct scsi_lun *lun, const struct lun_settings *settings, struct err *err);

/* What is to be in a drive, or was: opened, and of no LUN. Owner: whoever has it. */
struct storaged_medium {
	struct disk *disk; /* NULL: there is none here */
	int fd;
	unsigned int file; /* the engine's number of it */
	uint32_t number;
	char image[SETTINGS_IMAGE_MAX + 1]; /* for messages */
};

/**
 * storaged_open_medium - get another medium ready, or none, as @settings say.
 * @fd: of its image, or of anything; taken over, also on failure.
 * Return: 0; what opening refuses, with a line.
 */
int storaged_open_medium(struct storaged *storaged, const struct lun_settings *settings, int fd,
			 struct storaged_medium *ret, struct err *err);
/** storaged_close_medium - it was not needed, or is not any more. */
void storaged_close_medium(struct storaged *storaged, struct storaged_medium *medium);
/** storaged_set_medium - @medium, which is taken over, is in a drive of which nothing is in flight; the one before is
 * closed. */
void storaged_set_medium(struct storaged *storaged, struct storaged_controller *controller, struct scsi_lun *lun,
			 struct storaged_medium *medium);

/** storaged_detach - a LUN that is gone, and of which nothing is in flight, gives its disk away: all locks on its image
 * go as soon as the host has let go of it. */
void storaged_detach(struct storaged *storaged, struct storaged_controller *controller, struct scsi_lun *lun);

#endif
