/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fd.h"
#include "boot/boot.h"
#include "boot/layout.h"
#include "boot_fixture.h"
#include "machine.h"

#define MIB (1ull << 20)

static struct guest_mem mem;
static struct craft_elf elf;
static uint8_t file[256 * 1024];
static struct boot_config config;
static struct boot_entry entry;
static struct err err;

static void setup(void)
{
	guest_mem_init(&mem);
	craft_elf(&elf);
	config = (struct boot_config){
		.kernel_fd = memfd_create("kernel", MFD_CLOEXEC),
		.initrd_fd = -1,
		.kernel_name = "the-kernel",
		.initrd_name = "the-initrd",
		.cmdline = "console=ttyS0 quiet",
		.cpus = 2,
	};
}

static void teardown(void)
{
	guest_mem_done(&mem);
	fd_close(&config.kernel_fd);
	fd_close(&config.initrd_fd);
}

TestSuite(loader, .init = setup, .fini = teardown, .timeout = 60);

static void give_memory(uint64_t bytes)
{
	uint64_t low = MIN(bytes, MACHINE_LOW_RAM_MAX);
	int fd = fd_memfd("ram", bytes);

	config.memory_bytes = bytes;
	cr_assert_eq(guest_mem_add(&mem, 0, low, fd, 0), 0);
	if (bytes > low)
		cr_assert_eq(guest_mem_add(&mem, MACHINE_HIGH_RAM_GPA, bytes - low, fd, low), 0);
	close(fd);
}

static void set_file(int fd, const void *buf, size_t len)
{
	cr_assert_eq(ftruncate(fd, 0), 0);
	cr_assert_eq(pwrite(fd, buf, len, 0), (ssize_t)len);
}

static void load(void)
{
	memset(&entry, 0, sizeof(entry));
	cr_assert_eq(boot_load(&config, &mem, &entry, &err), 0, "%s", err.text);
}

static void expect_error(int code, const char *word)
{
	entry.rip = 77;
	err = (struct err){0};
	cr_assert_eq(boot_load(&config, &mem, &entry, &err), code, "%s", err.text);
	cr_assert_eq(err.code, code);
	cr_assert_not_null(strstr(err.text, word), "'%s' does not say '%s'", err.text, word);
	cr_assert_eq(entry.rip, 77, "untouched");
}

static void *at(uint64_t gpa, uint64_t len)
{
	void *p = guest_mem_ptr(&mem, gpa, len);

	cr_assert_not_null(p);
	return p;
}

static uint8_t *params(void)
{
	cr_assert_eq(entry.rsi, BOOT_PARAMS_GPA);
	return at(BOOT_PARAMS_GPA, BOOT_PARAMS_LEN);
}

/* The crafted ELF kernel lies where it should. */
static void expect_elf(void)
{
	const uint8_t *text = at(CRAFT_TEXT_GPA, CRAFT_TEXT_MEM), *data = at(CRAFT_DATA_GPA, CRAFT_DATA_LEN);

	cr_assert_eq(entry.rip, CRAFT_ENTRY);
	for (size_t i = 0; i < CRAFT_TEXT_MEM; i++)
		cr_assert_eq(text[i], i < CRAFT_TEXT_LEN ? craft_byte(0x1000 + i) : 0);
	for (size_t i = 0; i < CRAFT_DATA_LEN; i++)
		cr_assert_eq(data[i], craft_byte(0x4000 + i));
}

Test(loader, elf)
{
	give_memory(16 * MIB);
	set_file(config.kernel_fd, &elf, sizeof(elf));
	load();
	expect_elf();
	cr_assert_str_eq(at(get_le32(params() + 0x228), 64), config.cmdline);
	cr_assert_eq(get_le16(params() + 0x1fe), 0xaa55);
	cr_assert_eq(memcmp(params() + 0x202, "HdrS", 4), 0);
	cr_assert_eq(params()[0x210], 0xff);
	cr_assert_eq(get_le64(params() + 0x70), BOOT_ACPI_GPA);
	cr_assert_eq(memcmp(at(BOOT_ACPI_GPA, 8), "RSD PTR ", 8), 0);
	cr_assert_eq(memcmp(at(BOOT_RESET_GPA, 6), "\xba\x02\x06\xb0\x01\xee", 6), 0, "out to the reset register");
}

Test(loader, again_after_the_guest_has_been_there)
{
	static uint8_t tables[BOOT_LOW_RAM_END];

	give_memory(16 * MIB);
	set_file(config.kernel_fd, &elf, sizeof(elf));
	load();
	memcpy(tables, at(0, sizeof(tables)), sizeof(tables));
	memset(at(0x1000, 16 * MIB - 0x1000), 0xcc, 16 * MIB - 0x1000);
	load();
	expect_elf();
	cr_assert_eq(memcmp(params(), tables + BOOT_PARAMS_GPA, BOOT_PARAMS_LEN), 0);
	cr_assert_eq(memcmp(at(entry.cr3_gpa, 6 * 4096), tables + entry.cr3_gpa, 6 * 4096), 0);
	cr_assert_eq(memcmp(at(BOOT_ACPI_GPA, 8), "RSD PTR ", 8), 0);
}

Test(loader, packed_in_every_way)
{
	static const char *const formats[] = {"gzip", "xz", "lzma", "zstd", "lz4"};
	static uint8_t packed[sizeof(file) / 2];

	give_memory(64 * MIB);
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		size_t len = craft_pack(formats[i], &elf, sizeof(elf), packed, sizeof(packed));

		memset(at(CRAFT_TEXT_GPA, 2 * MIB), 0xcc, 2 * MIB);
		set_file(config.kernel_fd, packed, len);
		load();
		expect_elf();
		memset(at(CRAFT_TEXT_GPA, 2 * MIB), 0xcc, 2 * MIB);
		set_file(config.kernel_fd, file, craft_bzimage(packed, len, file, sizeof(file)));
		load();
		expect_elf();
		cr_assert_eq(get_le32(params() + 0x22c), CRAFT_INITRD_MAX, "the kernel's own setup header");
	}
}

Test(loader, unknown_packing_unpacks_itself)
{
	give_memory(32 * MIB);
	set_file(config.kernel_fd, file, craft_bzimage("BZh9", 4, file, sizeof(file)));
	load();
	cr_assert_eq(entry.rip, CRAFT_LOAD_GPA + 0x200);
	cr_assert_eq(memcmp(at(entry.rip, 5), "entry", 5), 0);
	put_le16(file + 0x206, 0x020b); /* no 64-bit entry */
	set_file(config.kernel_fd, file, CRAFT_CODE_OFFSET + CRAFT_PAYLOAD_OFFSET + 24);
	expect_error(-ENOEXEC, "packed in a way that we do not know");
}

Test(loader, tables)
{
	const uint64_t *level4, *level3, *level2, *gdt;

	give_memory(16 * MIB);
	set_file(config.kernel_fd, &elf, sizeof(elf));
	load();
	level4 = at(entry.cr3_gpa, 4096);
	for (uint64_t gpa = 0; gpa < 4096 * MIB; gpa += 2 * MIB) {
		level3 = at(level4[gpa >> 39] & ~0xfffull, 4096);
		level2 = at(level3[gpa >> 30] & ~0xfffull, 4096);
		cr_assert_eq(level2[gpa >> 21 & 511], gpa | 0x83);
	}
	gdt = at(entry.gdt_gpa, entry.gdt_len);
	cr_assert_eq(entry.gdt_len, 32);
	cr_assert_eq(gdt[0] | gdt[1], 0);
	cr_assert_eq(gdt[2] >> 53 & 1, 1, "64-bit code");
	cr_assert_eq(gdt[2] >> 43 & 3, 3, "code");
	cr_assert_eq(gdt[3] >> 43 & 3, 2, "data");
	cr_assert_eq(entry.rsp % 16, 0);
}

Test(loader, memory_map)
{
	static const struct {
		uint64_t start, end;
		uint32_t type;
	} want[] = {
		{0, 0x9f000, 1},
		{0xe0000, 0xf0000, 3},
		{0xf0000, 0x100000, 2}, /* the reset vector */
		{0x100000, MACHINE_LOW_RAM_MAX, 1},
		{MACHINE_HIGH_RAM_GPA, MACHINE_HIGH_RAM_GPA + 1024 * MIB, 1},
	};

	give_memory(4096 * MIB);
	set_file(config.kernel_fd, &elf, sizeof(elf));
	load();
	cr_assert_eq(params()[0x1e8], ARRAY_SIZE(want));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		const uint8_t *row = params() + 0x2d0 + i * 20;

		cr_assert_eq(get_le64(row), want[i].start);
		cr_assert_eq(get_le64(row) + get_le64(row + 8), want[i].end);
		cr_assert_eq(get_le32(row + 16), want[i].type);
	}
}

/* @len bytes of initrd; returns where they were put. */
static uint64_t load_initrd(size_t len)
{
	uint8_t *bytes = malloc(len);
	uint64_t gpa;

	memset(bytes, 0x5a, len);
	if (config.initrd_fd < 0)
		config.initrd_fd = memfd_create("initrd", MFD_CLOEXEC);
	set_file(config.initrd_fd, bytes, len);
	load();
	gpa = get_le32(params() + 0x218);
	cr_assert_eq(get_le32(params() + 0x21c), len);
	cr_assert_eq(memcmp(at(gpa, len), bytes, len), 0);
	cr_assert_eq(gpa % 4096, 0);
	free(bytes);
	return gpa;
}

Test(loader, initrd_lies_high)
{
	give_memory(64 * MIB);
	set_file(config.kernel_fd, &elf, sizeof(elf));
	cr_assert_eq(load_initrd(5000), 64 * MIB - 8192);
	set_file(config.kernel_fd, file, craft_bzimage("BZh9", 4, file, sizeof(file)));
	cr_assert_eq(load_initrd(5000), CRAFT_INITRD_MAX + 1 - 8192, "where the kernel allows it");
}

Test(loader, initrd_below_2_gib_in_a_large_guest)
{
	give_memory(5120 * MIB);
	set_file(config.kernel_fd, &elf, sizeof(elf));
	cr_assert_eq(load_initrd(4096), 2048 * MIB - 4096);
}

Test(loader, empty_initrd_is_none)
{
	give_memory(16 * MIB);
	set_file(config.kernel_fd, &elf, sizeof(elf));
	config.initrd_fd = memfd_create("initrd", MFD_CLOEXEC);
	load();
	cr_assert_eq(get_le32(params() + 0x218), 0);
}

Test(loader, what_does_not_fit)
{
	give_memory(3 * MIB);
	set_file(config.kernel_fd, &elf, sizeof(elf));
	expect_error(-ENOMEM, "the-kernel needs at least 4 MiB of memory, and the virtual machine has 3 MiB");
	set_file(config.kernel_fd, file, craft_bzimage("BZh9", 4, file, sizeof(file)));
	expect_error(-ENOMEM, "at least 17 MiB");
}

Test(loader, initrd_does_not_fit)
{
	give_memory(8 * MIB);
	set_file(config.kernel_fd, &elf, sizeof(elf));
	config.initrd_fd = memfd_create("initrd", MFD_CLOEXEC);
	cr_assert_eq(ftruncate(config.initrd_fd, 6 * MIB), 0);
	expect_error(-ENOMEM, "the-initrd does not fit: with the-kernel it needs at least 10 MiB");
	cr_assert_eq(ftruncate(config.initrd_fd, (off_t)(3000 * MIB)), 0);
	expect_error(-ENOMEM, "takes initrds of at most 2044 MiB");
}

Test(loader, hardly_any_memory)
{
	give_memory(1 * MIB);
	set_file(config.kernel_fd, &elf, sizeof(elf));
	expect_error(-ENOMEM, "2 MiB at least");
}

Test(loader, not_a_kernel)
{
	int fds[2];

	give_memory(16 * MIB);
	set_file(config.kernel_fd, "#!/bin/sh\n", 10);
	expect_error(-ENOEXEC, "the-kernel is not a kernel");
	set_file(config.kernel_fd, "", 0);
	expect_error(-ENOEXEC, "the-kernel is not a kernel");
	elf.ehdr.e_ident[EI_CLASS] = ELFCLASS32;
	set_file(config.kernel_fd, &elf, sizeof(elf));
	expect_error(-ENOEXEC, "the-kernel is a 32-bit");
	craft_elf(&elf);
	set_file(config.kernel_fd, &elf, sizeof(elf) - 1);
	expect_error(-ENOEXEC, "cut short");
	cr_assert_eq(pipe(fds), 0);
	fd_close(&config.kernel_fd);
	config.kernel_fd = fds[0];
	expect_error(-EINVAL, "not a regular file");
	close(fds[1]);
}

Test(loader, damaged_packing)
{
	static uint8_t packed[sizeof(file) / 2];
	size_t len = craft_pack("gzip", &elf, sizeof(elf), packed, sizeof(packed));

	give_memory(32 * MIB);
	set_file(config.kernel_fd, packed, len / 2);
	expect_error(-ENOEXEC, "the-kernel holds damaged gzip data");
	len = craft_pack("gzip", &elf, sizeof(elf) - 1, packed, sizeof(packed));
	set_file(config.kernel_fd, packed, len);
	expect_error(-ENOEXEC, "damaged");
	len = craft_pack("gzip", &elf, 200, packed, sizeof(packed)); /* less than the headers */
	set_file(config.kernel_fd, packed, len);
	expect_error(-ENOEXEC, "the-kernel");
}

Test(loader, foreign_addresses)
{
	give_memory(16 * MIB);
	elf.phdr[1].p_paddr = 0x80000;
	elf.ehdr.e_entry = 0x80000;
	set_file(config.kernel_fd, &elf, sizeof(elf));
	expect_error(-ENOEXEC, "must lie at 1 MiB or above");
	elf.phdr[1].p_paddr = elf.ehdr.e_entry = 0xfee00000;
	set_file(config.kernel_fd, &elf, sizeof(elf));
	expect_error(-ENOEXEC, "below 3 GiB");
}

Test(loader, long_command_line)
{
	static char line[4096];

	give_memory(32 * MIB);
	memset(line, 'x', 2048);
	config.cmdline = line;
	set_file(config.kernel_fd, &elf, sizeof(elf));
	expect_error(-E2BIG, "2048 bytes, and the-kernel takes at most 2047");
	line[2047] = '\0';
	load();
	set_file(config.kernel_fd, file, craft_bzimage("BZh9", 4, file, sizeof(file)));
	expect_error(-E2BIG, "at most 100");
}
