/* SPDX-License-Identifier: Apache-2.0 */
#include "boot_fixture.h"

#include <assert.h>
#include <lz4.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/bytes.h"

void craft_elf(struct craft_elf *elf)
{
	uint8_t *bytes = (uint8_t *)elf;

	for (size_t i = 0; i < sizeof(*elf); i++)
		bytes[i] = craft_byte(i);
	memset(&elf->ehdr, 0, sizeof(elf->ehdr) + sizeof(elf->phdr));
	memcpy(elf->ehdr.e_ident, ELFMAG, SELFMAG);
	elf->ehdr.e_ident[EI_CLASS] = ELFCLASS64;
	elf->ehdr.e_ident[EI_DATA] = ELFDATA2LSB;
	elf->ehdr.e_ident[EI_VERSION] = EV_CURRENT;
	elf->ehdr.e_type = ET_EXEC;
	elf->ehdr.e_machine = EM_X86_64;
	elf->ehdr.e_version = EV_CURRENT;
	elf->ehdr.e_entry = CRAFT_ENTRY;
	elf->ehdr.e_phoff = sizeof(elf->ehdr);
	elf->ehdr.e_phentsize = sizeof(Elf64_Phdr);
	elf->ehdr.e_phnum = 3;
	elf->phdr[0].p_type = PT_NOTE;
	elf->phdr[0].p_offset = UINT64_MAX; /* nobody looks at it */
	elf->phdr[1] = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_offset = 0x1000,
		.p_vaddr = 0xffffffff80000000,
		.p_paddr = CRAFT_TEXT_GPA,
		.p_filesz = CRAFT_TEXT_LEN,
		.p_memsz = CRAFT_TEXT_MEM,
	};
	elf->phdr[2] = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_offset = 0x4000,
		.p_vaddr = 0xffffffff80100000,
		.p_paddr = CRAFT_DATA_GPA,
		.p_filesz = CRAFT_DATA_LEN,
		.p_memsz = CRAFT_DATA_LEN,
	};
}

static size_t craft_gzip(const void *in, size_t len, uint8_t *out, size_t max)
{
	z_stream z = {
		.next_in = (Bytef *)(uintptr_t)in, .avail_in = (uInt)len, .next_out = out, .avail_out = (uInt)max};
	int zr = deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);

	assert(zr == Z_OK);
	zr = deflate(&z, Z_FINISH);
	assert(zr == Z_STREAM_END);
	deflateEnd(&z);
	return max - z.avail_out;
}

static size_t craft_xz(const void *in, size_t len, uint8_t *out, size_t max)
{
	size_t pos = 0;
	lzma_ret lr = lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, NULL, in, len, out, &pos, max);

	assert(lr == LZMA_OK);
	return pos;
}

static size_t craft_lzma(const void *in, size_t len, uint8_t *out, size_t max)
{
	lzma_stream s = LZMA_STREAM_INIT;
	lzma_options_lzma options;
	lzma_ret lr;

	lzma_lzma_preset(&options, 1);
	lr = lzma_alone_encoder(&s, &options);
	assert(lr == LZMA_OK);
	s.next_in = in;
	s.avail_in = len;
	s.next_out = out;
	s.avail_out = max;
	lr = lzma_code(&s, LZMA_FINISH);
	assert(lr == LZMA_STREAM_END);
	lzma_end(&s);
	return max - s.avail_out;
}

static size_t craft_zstd(const void *in, size_t len, uint8_t *out, size_t max)
{
	size_t n = ZSTD_compress(out, max, in, len, 3);

	assert(!ZSTD_isError(n));
	return n;
}

static size_t craft_lz4(const void *in, size_t len, uint8_t *out, size_t max)
{
	const size_t block = 8u << 20;
	size_t pos = 4;

	put_le32(out, 0x184c2102);
	for (size_t at = 0; at < len; at += block) {
		int n = LZ4_compress_default((const char *)in + at, (char *)out + pos + 4, (int)MIN(block, len - at),
					     (int)(max - pos - 4));

		assert(n > 0);
		put_le32(out + pos, (uint32_t)n);
		pos += 4 + (size_t)n;
	}
	return pos;
}

size_t craft_pack(const char *format, const void *in, size_t len, uint8_t *out, size_t max)
{
	static const struct {
		const char *format;
		size_t (*pack)(const void *in, size_t len, uint8_t *out, size_t max);
	} rows[] = {
		{"gzip", craft_gzip}, {"xz", craft_xz}, {"lzma", craft_lzma}, {"zstd", craft_zstd}, {"lz4", craft_lz4},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (!strcmp(rows[i].format, format))
			return rows[i].pack(in, len, out, max);
	assert(!"a format");
}

size_t craft_bzimage(const void *payload, size_t len, uint8_t *out, size_t max)
{
	size_t total = CRAFT_CODE_OFFSET + CRAFT_PAYLOAD_OFFSET + len + 4 + 16;

	assert(total <= max);
	memset(out, 0, total);
	out[0x1f1] = 1; /* setup sectors */
	put_le16(out + 0x1fe, 0xaa55);
	out[0x200] = 0xeb;
	out[0x201] = 0x66; /* the header ends at 0x268 */
	memcpy(out + 0x202, "HdrS", 4);
	put_le16(out + 0x206, 0x020f);
	out[0x211] = 0x01; /* loaded high */
	put_le32(out + 0x22c, CRAFT_INITRD_MAX);
	out[0x234] = 1;		       /* relocatable */
	put_le16(out + 0x236, 0x0001); /* 64-bit entry */
	put_le32(out + 0x238, CRAFT_CMDLINE_MAX);
	put_le32(out + 0x248, CRAFT_PAYLOAD_OFFSET);
	put_le32(out + 0x24c, (uint32_t)len + 4);
	put_le64(out + 0x258, CRAFT_LOAD_GPA);
	put_le32(out + 0x260, CRAFT_INIT_LEN);
	memcpy(out + CRAFT_CODE_OFFSET + 0x200, "entry", 5);
	memcpy(out + CRAFT_CODE_OFFSET + CRAFT_PAYLOAD_OFFSET, payload, len);
	put_le32(out + CRAFT_CODE_OFFSET + CRAFT_PAYLOAD_OFFSET + len, CRAFT_ELF_LEN);
	return total;
}
