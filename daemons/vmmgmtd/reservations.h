/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the reservations of shared disks live: one file for each image, whatever its path, in a folder that outlives
 * reboots. What is in it only vsp-storaged knows.
 *
 * An image is told from others by its device and inode and, where the file system says it, by when it was made: the
 * inode of one that was removed may be used again. A block device is its number.
 *
 * Limits: a file system or a device that has another number after a reboot has no reservations then, or those of the
 * one that has its number now. Files of images that are gone stay. A session's manager and the host's have a folder
 * each.
 */
#ifndef VMMGMTD_RESERVATIONS_H
#define VMMGMTD_RESERVATIONS_H

#include <stdint.h>

#include "base/err.h"
#include "base/syscalls.h"

#define RESERVATIONS_POWER_LEN 16u

/** reservations_open - the file of the image that @image_fd is, made if it is missing. @alias: for messages. Return: 0
 * and the descriptor; a negative errno with one line. */
int reservations_open(const char *folder, int image_fd, const char *alias, struct err *err, int *ret_fd);

/** reservations_power - a number of this start of the host; all zero if it does not tell. */
void reservations_power(uint8_t ret[RESERVATIONS_POWER_LEN]);

/** reservations_calls - what this needs in the sandbox. */
extern const struct syscall_list reservations_calls;

#endif
