/* SPDX-License-Identifier: Apache-2.0 */
/* What test_deaths_own and guest_lent say to their device. */
#ifndef DEATHS_VSP_OWN_H
#define DEATHS_VSP_OWN_H

#include <stdint.h>

#include "abi/guid.h"

#define OWN_PROVIDER "storage" /* so that run-guest starts it in a disk's place */
#define OWN_TYPE     ABI_GUID(0x6b1f4a10u, 0x7c35, 0x4a53, 0x9e, 0x51, 0x33, 0x0c, 0x52, 0x9a, 0x1e, 0x08)
#define OWN_BUFFER   7u	  /* the guest's name of the memory that it lends */
#define OWN_SECTIONS 100u /* more than the packets that a ring of one page holds */
#define OWN_SECTION  64u  /* bytes; its packet's number stands in the first eight */

enum own_command {
	OWN_LEND = 1, /* @value: a GPADL of OWN_SECTIONS * OWN_SECTION bytes; the answer's: an errno, or 0 */
	OWN_SEND,     /* packets, until their number is @value */
	OWN_COUNT,    /* how many sections the guest has: the answer's @value */
	OWN_LIVES,    /* how often this process was asked before: the answer's @value */
};

/* Of both directions. */
struct own_packet {
	uint64_t command, value;
};

#endif
