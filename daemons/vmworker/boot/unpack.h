/* SPDX-License-Identifier: Apache-2.0 */
/* The compressions that kernels come in. The only file that uses zlib, liblzma, libzstd and liblz4 is unpack.c. */
#ifndef VMWORKER_BOOT_UNPACK_H
#define VMWORKER_BOOT_UNPACK_H

#include <stddef.h>
#include <stdint.h>

/* The next @len unpacked bytes, in order. Return: 0, or a negative errno that ends the unpacking. */
typedef int (*unpack_sink)(void *arg, const uint8_t *buf, size_t len);

/** unpack_format - the name of the format that starts so ("gzip", "xz", "lzma", "zstd", "lz4"), or NULL. */
const char *unpack_format(const void *in, size_t in_len);

/**
 * unpack - unpack one stream, piece by piece; what follows it is ignored.
 * @limit: -EFBIG beyond so many bytes.
 * Return: 0; -ENOTSUP (no such format, or a variant that the library refuses); -EPROTO (damaged or cut short); -EFBIG;
 * -ENOMEM; or what @sink returned.
 * Context: any thread.
 */
int unpack(const void *in, size_t in_len, uint64_t limit, unpack_sink sink, void *arg);

#endif
