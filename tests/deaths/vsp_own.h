/* SPDX-License-Identifier: Apache-2.0 */
/* What test_deaths_own and its device say to each other. */
#ifndef DEATHS_VSP_OWN_H
#define DEATHS_VSP_OWN_H

#include <stdint.h>

#define OWN_BUFFER   7u	  /* the guest's name of the memory that it lends */
#define OWN_SECTIONS 100u /* more than the packets that a ring of one page holds */
#define OWN_SECTION  64u  /* bytes; its packet's number stands in the first eight */

enum own_command {
	OWN_LEND = 1, /* @value: a GPADL of OWN_SECTIONS * OWN_SECTION bytes */
	OWN_SEND,     /* packets, until their number is @value */
	OWN_COUNT,    /* how many sections the guest has: the answer's @value */
};

/* Of both directions. */
struct own_packet {
	uint64_t command, value;
};

#endif
