/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/unpack.h"

#include <errno.h>
#include <lz4.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/bytes.h"
#include "base/cleanup.h"

#define UNPACK_CHUNK	      (256u * 1024u)	     /* stays in a processor's cache on its way to the sink */
#define UNPACK_DICTIONARY_MAX (256u * 1024u * 1024u) /* memory that a stream may ask its decoder to use */
#define LZ4_LEGACY_BLOCK      (8 * 1024 * 1024)

struct unpack_out {
	unpack_sink sink;
	void *arg;
	uint64_t left; /* of the limit */
	uint8_t *buf;  /* UNPACK_CHUNK bytes */
};

static int unpack_emit(struct unpack_out *out, const uint8_t *buf, size_t len)
{
	if (len > out->left)
		return -EFBIG;
	out->left -= len;
	return len ? out->sink(out->arg, buf, len) : 0;
}

static void unpack_end_gzip(z_stream *z)
{
	inflateEnd(z);
}

static int unpack_gzip(const uint8_t *in, size_t in_len, struct unpack_out *out)
{
	_cleanup_(unpack_end_gzip) z_stream z = {0};
	int r, zr;

	if (in_len > UINT32_MAX)
		return -ENOTSUP;
	z.next_in = (Bytef *)(uintptr_t)in;
	z.avail_in = (uInt)in_len;
	if (inflateInit2(&z, 15 + 16) != Z_OK)
		return -ENOMEM;
	do {
		z.next_out = out->buf;
		z.avail_out = UNPACK_CHUNK;
		zr = inflate(&z, Z_NO_FLUSH);
		if (zr == Z_MEM_ERROR)
			return -ENOMEM;
		if (zr != Z_OK && zr != Z_STREAM_END)
			return -EPROTO;
		r = unpack_emit(out, out->buf, UNPACK_CHUNK - z.avail_out);
		if (r < 0)
			return r;
	} while (zr != Z_STREAM_END);
	return 0;
}

static int unpack_lzma_error(lzma_ret lr)
{
	switch (lr) {
	case LZMA_MEM_ERROR:
		return -ENOMEM;
	case LZMA_MEMLIMIT_ERROR:
	case LZMA_OPTIONS_ERROR:
	case LZMA_UNSUPPORTED_CHECK:
		return -ENOTSUP;
	default:
		return -EPROTO;
	}
}

/* xz and its forerunner: liblzma tells them apart itself. */
static int unpack_xz(const uint8_t *in, size_t in_len, struct unpack_out *out)
{
	_cleanup_(lzma_end) lzma_stream s = LZMA_STREAM_INIT;
	lzma_ret lr = lzma_auto_decoder(&s, UNPACK_DICTIONARY_MAX, 0);
	int r;

	if (lr != LZMA_OK)
		return unpack_lzma_error(lr);
	s.next_in = in;
	s.avail_in = in_len;
	do {
		s.next_out = out->buf;
		s.avail_out = UNPACK_CHUNK;
		lr = lzma_code(&s, LZMA_RUN);
		if (lr != LZMA_OK && lr != LZMA_STREAM_END)
			return unpack_lzma_error(lr);
		r = unpack_emit(out, out->buf, UNPACK_CHUNK - s.avail_out);
		if (r < 0)
			return r;
	} while (lr != LZMA_STREAM_END);
	return 0;
}

static void unpack_end_zstd(ZSTD_DCtx **z)
{
	ZSTD_freeDCtx(*z);
}

static int unpack_zstd_error(ZSTD_ErrorCode code)
{
	switch (code) {
	case ZSTD_error_memory_allocation:
		return -ENOMEM;
	case ZSTD_error_frameParameter_windowTooLarge:
	case ZSTD_error_frameParameter_unsupported:
	case ZSTD_error_version_unsupported:
	case ZSTD_error_dictionary_wrong:
		return -ENOTSUP;
	default:
		return -EPROTO;
	}
}

static int unpack_zstd(const uint8_t *in, size_t in_len, struct unpack_out *out)
{
	_cleanup_(unpack_end_zstd) ZSTD_DCtx *z = ZSTD_createDCtx();
	ZSTD_inBuffer from = {.src = in, .size = in_len};
	size_t left;
	int r;

	if (!z)
		return -ENOMEM;
	do {
		ZSTD_outBuffer to = {.dst = out->buf, .size = UNPACK_CHUNK};
		size_t before = from.pos;

		left = ZSTD_decompressStream(z, &to, &from);
		if (ZSTD_isError(left))
			return unpack_zstd_error(ZSTD_getErrorCode(left));
		if (left && to.pos == 0 && from.pos == before)
			return -EPROTO; /* cut short */
		r = unpack_emit(out, out->buf, to.pos);
		if (r < 0)
			return r;
	} while (left);
	return 0;
}

/*
 * The legacy frame that kernels use: magic, then blocks of {packed length (4), bytes}, each at most 8 MiB when
 * unpacked. There is no end mark. A bzImage's payload ends with four bytes that are not part of it: the unpacked size.
 */
static int unpack_lz4(const uint8_t *in, size_t in_len, struct unpack_out *out)
{
	_cleanup_free_ char *block = malloc(LZ4_LEGACY_BLOCK);
	size_t pos = 4;

	if (!block)
		return -ENOMEM;
	while (in_len - pos > 4) {
		uint32_t packed = get_le32(in + pos);
		int len, r;

		pos += 4;
		if (packed > in_len - pos || packed > LZ4_COMPRESSBOUND(LZ4_LEGACY_BLOCK))
			return -EPROTO;
		len = LZ4_decompress_safe((const char *)in + pos, block, (int)packed, LZ4_LEGACY_BLOCK);
		if (len < 0)
			return -EPROTO;
		r = unpack_emit(out, (const uint8_t *)block, (size_t)len);
		if (r < 0)
			return r;
		pos += packed;
	}
	return in_len == pos || in_len - pos == 4 ? 0 : -EPROTO;
}

static const struct unpack_row {
	const char *name;
	uint8_t magic[6];
	size_t magic_len;
	int (*unpack)(const uint8_t *in, size_t in_len, struct unpack_out *out);
} unpack_table[] = {
	{"gzip", {0x1f, 0x8b}, 2, unpack_gzip},
	{"xz", {0xfd, '7', 'z', 'X', 'Z', 0}, 6, unpack_xz},
	{"lzma", {0x5d, 0, 0}, 3, unpack_xz},
	{"zstd", {0x28, 0xb5, 0x2f, 0xfd}, 4, unpack_zstd},
	{"lz4", {0x02, 0x21, 0x4c, 0x18}, 4, unpack_lz4},
};

static const struct unpack_row *unpack_find(const void *in, size_t in_len)
{
	for (size_t i = 0; i < ARRAY_SIZE(unpack_table); i++) {
		const struct unpack_row *row = &unpack_table[i];

		if (in_len >= row->magic_len && !memcmp(in, row->magic, row->magic_len))
			return row;
	}
	return NULL;
}

const char *unpack_format(const void *in, size_t in_len)
{
	const struct unpack_row *row = unpack_find(in, in_len);

	return row ? row->name : NULL;
}

int unpack(const void *in, size_t in_len, uint64_t limit, unpack_sink sink, void *arg)
{
	const struct unpack_row *row = unpack_find(in, in_len);
	_cleanup_free_ uint8_t *buf = malloc(UNPACK_CHUNK);
	struct unpack_out out = {.sink = sink, .arg = arg, .left = limit, .buf = buf};

	if (!row)
		return -ENOTSUP;
	if (!buf)
		return -ENOMEM;
	return row->unpack(in, in_len, &out);
}
