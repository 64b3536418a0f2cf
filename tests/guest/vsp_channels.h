/* SPDX-License-Identifier: Apache-2.0 */
/* What guest_channels.c says to vsp-channels, a provider whose channels come and go. Each packet is one struct, and so
 * is its completion. */
#ifndef GUEST_VSP_CHANNELS_H
#define GUEST_VSP_CHANNELS_H

#include "abi/guid.h"

#define CHANNELS_SUBS 3u
#define CHANNELS_TYPE ABI_GUID(0x6b1f4a10u, 0x7c35, 0x4a53, 0x9e, 0x51, 0x33, 0x0c, 0x52, 0x9a, 0x1e, 0x07)

enum channels_command {
	CHANNELS_ECHO,	      /* the completion is the packet */
	CHANNELS_SUBCHANNELS, /* show @value sub-channels */
	CHANNELS_REPLACE,     /* withdraw the device with all its channels, and offer it again */
	CHANNELS_ADD,	      /* offer one more device, whose instance GUID ends with @value */
};

struct channels_packet {
	uint32_t command;
	uint32_t value;
};

#endif
