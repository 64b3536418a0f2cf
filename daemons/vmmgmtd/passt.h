/* SPDX-License-Identifier: Apache-2.0 */
/* passt's command line. */
#ifndef VMMGMTD_PASST_H
#define VMMGMTD_PASST_H

#include "domain.h"

#define PASST_ARGUMENTS 31u
#define PASST_TEXT	8192u

struct passt_arguments {
	const char *list[PASST_ARGUMENTS + 1]; /* NULL-terminated; in text */
	char text[PASST_TEXT];
	size_t count, used;
};

/** passt_find - where it is installed: the first of $PATH. Return: 0, -ENOENT. */
int passt_find(char *ret_path, size_t size);

/** passt_arguments - of a NIC of type user, whose socket is passt's standard input. Spec: passt(1) of Debian 12. */
void passt_arguments(const struct domain_nic *nic, struct passt_arguments *ret);

/**
 * passt_room - let the socket @fd, passt's end, hold as much as it may. passt sends up to 128 TCP segments of a
 * connection in a row, and throws away those for which there is no room.
 * Return: bytes of the longest segments that find room even so, of several connections; 0: it is not known.
 */
uint32_t passt_room(int fd);

#endif
