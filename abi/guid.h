/* SPDX-License-Identifier: Apache-2.0 */
/* GUIDs as they lie on the wire: three little-endian fields and eight bytes. */
#ifndef ABI_GUID_H
#define ABI_GUID_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

struct abi_guid {
	uint8_t b[16];
};

/* ABI_GUID(0xba6163d9, 0x04a1, 0x4d29, 0xb6, 0x05, 0x72, 0xe2, 0xff, 0xb1, 0xdc, 0x7f) */
#define ABI_GUID(a, b_, c, ...)                                                                                        \
	{                                                                                                              \
		{                                                                                                      \
			(a)&0xff, ((a) >> 8) & 0xff, ((a) >> 16) & 0xff, ((a) >> 24) & 0xff, (b_)&0xff,                \
				((b_) >> 8) & 0xff, (c)&0xff, ((c) >> 8) & 0xff, __VA_ARGS__                           \
		}                                                                                                      \
	}

#endif
