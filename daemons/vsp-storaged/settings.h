/* SPDX-License-Identifier: Apache-2.0 */
/* What the manager wants served, as plain structs. */
#ifndef STORAGED_SETTINGS_H
#define STORAGED_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/guid.h"
#include "base/err.h"
#include "disk.h"
#include "fault.h"
#include "layer_throttle.h"
#include "reservation.h"
#include "scsi.h"

#define SETTINGS_VERSION	 1u
#define SETTINGS_CONTROLLERS_MAX 64u
#define SETTINGS_LUNS_MAX	 64u /* of one controller */
#define SETTINGS_TARGET_MAX	 1u  /* storvsc looks at targets 0 and 1 */
#define SETTINGS_ALIAS_MAX	 32u
#define SETTINGS_SERIAL_MAX	 36u
#define SETTINGS_IMAGE_MAX	 255u
#define SETTINGS_PHYSICAL_MAX	 (1u << 20)
#define SETTINGS_POLL_MAX_NS	 10000000u

/* One disk. The strings are never empty but for serial; alias and serial are printable ASCII. */
struct lun_settings {
	uint8_t target, lun;
	char alias[SETTINGS_ALIAS_MAX + 1];
	char serial[SETTINGS_SERIAL_MAX + 1];
	char image[SETTINGS_IMAGE_MAX + 1]; /* for messages; cleaned, cut */
	unsigned int fd_index;		    /* below the provider's count of descriptors; no other LUN has the same */
	unsigned int reservations;	    /* the same, of a disk that others share; 0: nobody does */
	uint8_t vm[RESERVATION_ID_LEN], power[RESERVATION_ID_LEN]; /* with it */
	bool readonly;
	bool unsafe_flush;
	bool discard;
	enum disk_zeroes zeroes;
	bool dvd;			   /* a drive; then readonly, and block_bytes are 2048 */
	bool empty;			   /* of a drive: no medium */
	uint32_t medium;		   /* of a drive: number of its medium, another one at each change */
	uint32_t block_bytes;		   /* 512 or 4096 */
	uint32_t physical_block_bytes;	   /* 0: the medium's; a power of two, block_bytes to SETTINGS_PHYSICAL_MAX */
	struct throttle_settings throttle; /* all LUNs of a group have the same */
	char throttle_group[THROTTLE_GROUP_MAX + 1];
	struct fault_settings fault;
};

/* target and lun are unique within a controller. */
struct controller_settings {
	struct abi_guid instance;
	struct lun_settings lun[SETTINGS_LUNS_MAX];
	size_t luns;
};

/* The controllers' GUIDs differ from one another. */
struct settings {
	struct controller_settings controller[SETTINGS_CONTROLLERS_MAX];
	size_t controllers;
	uint32_t poll_max_ns; /* 0 to SETTINGS_POLL_MAX_NS */
	bool again; /* the caller's: a guest has these disks already; they are served whatever has become of them */
};

enum change_kind {
	CHANGE_ATTACH,
	CHANGE_DETACH,
	CHANGE_RESIZE,
	CHANGE_SET,
	CHANGE_MEDIUM,
};

/* A change while the guest runs. */
struct change_settings {
	enum change_kind kind;
	struct abi_guid instance; /* the controller's */
	struct lun_settings lun;  /* of DETACH and RESIZE only target and lun */
	uint32_t timeout_ms;	  /* DETACH: 0: at once */
	uint64_t bytes;		  /* RESIZE: 0: as it is now */
	bool shrink;
	bool force; /* MEDIUM: though the guest has locked the drive */
};

/**
 * settings_parse - check and take over proto/storage.proto Config.
 * @bytes: @len bytes of the message, from the manager by way of the worker; nothing in it is trusted.
 * @fds: how many descriptors came along.
 * @ret_settings: heap; the caller frees it with free().
 * Return: 0; -EPROTO (not such a message); -EPROTONOSUPPORT (another version); -EINVAL (a value), -ENOMEM; each with a
 * line.
 */
int settings_parse(const void *bytes, size_t len, size_t fds, struct settings **ret_settings, struct err *err);

/** settings_parse_change - the same for proto/storage.proto Change; with ATTACH and MEDIUM come the LUN's descriptors,
 * else none.
 * Return: 0; as settings_parse(). */
int settings_parse_change(const void *bytes, size_t len, size_t fds, struct change_settings *ret, struct err *err);

#define SETTINGS_TOLD_MAX 220u /* disks of a VM: as many as it can have */

/* What the manager hears of a disk. */
struct lun_status {
	const char *alias; /* the LUN's */
	bool drive;
	bool open, locked; /* its tray */
	enum scsi_error_kind error;
};

/**
 * settings_pack_status - proto/storage.proto Status, into @size bytes.
 * @luns: @count of them, at most SETTINGS_TOLD_MAX; those that are no drive and have no error are left out.
 * Return: its length; 0: it has no room.
 */
size_t settings_pack_status(const struct lun_status *luns, size_t count, uint8_t *bytes, size_t size);

#endif
