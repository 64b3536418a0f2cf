/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: a packed kernel is never whole in our memory. unpack() hands its pieces to place_feed(), which
 * collects the ELF headers from the first of them and then copies each piece straight to where it belongs in the guest.
 */
#include "boot/kernel.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "boot/elf.h"
#include "boot/layout.h"
#include "boot/unpack.h"
#include "machine.h"

#define KERNEL_PACKED_MAX   (UINT64_C(512) << 20)  /* a packed file beyond this is no kernel */
#define KERNEL_UNPACKED_MAX (UINT64_C(2048) << 20) /* nor is what unpacks to more */
#define INITRD_MAX_DEFAULT  UINT64_C(0x7fffffff)   /* of kernels without a setup header */
#define CMDLINE_MAX_DEFAULT 2047u
#define MIB		    (UINT64_C(1) << 20)

struct place {
	const struct boot_config *config;
	struct guest_mem *mem;
	struct err *err;
	struct elf_image image;
	bool parsed;		    /* image is valid, and checked against the guest's memory */
	uint64_t pos;		    /* bytes of the ELF file seen so far */
	uint8_t head[ELF_HEAD_LEN]; /* its first bytes, until parsed */
};

/* Whether the kernel may lie at [@gpa, @gpa + @len). */
static int kernel_check_range(const struct place *place, uint64_t gpa, uint64_t len)
{
	const struct boot_config *config = place->config;

	if (gpa < BOOT_KERNEL_MIN_GPA)
		return err_set(place->err, -ENOEXEC,
			       "%s is linked at address 0x%" PRIx64 "; a kernel must lie at 1 MiB or above",
			       config->kernel_name, gpa);
	if (!range_fits(gpa, len, MACHINE_LOW_RAM_MAX))
		return err_set(place->err, -ENOEXEC,
			       "%s is linked at address 0x%" PRIx64 "; a kernel must lie below 3 GiB",
			       config->kernel_name, gpa);
	if (!guest_mem_ptr(place->mem, gpa, len))
		return err_set(place->err, -ENOMEM,
			       "%s needs at least %" PRIu64 " MiB of memory, and the virtual machine has %" PRIu64
			       " MiB; give it more",
			       config->kernel_name, ALIGN_UP(gpa + len, MIB) / MIB, config->memory_bytes / MIB);
	return 0;
}

/* Check all segments, and clear what the file does not fill. */
static int place_prepare(struct place *place)
{
	int r;

	for (size_t i = 0; i < place->image.segments; i++) {
		const struct elf_segment *segment = &place->image.segment[i];

		r = kernel_check_range(place, segment->paddr, segment->mem_len);
		if (r < 0)
			return r;
		memset((uint8_t *)guest_mem_ptr(place->mem, segment->paddr, segment->mem_len) + segment->file_len, 0,
		       segment->mem_len - segment->file_len);
	}
	return 0;
}

static int place_parse(struct place *place, size_t head_len, uint64_t file_len)
{
	const char *why;
	int r;

	r = elf_parse(place->head, head_len, file_len, &place->image, &why);
	if (r < 0)
		return err_set(place->err, r, "%s %s", place->config->kernel_name, why);
	place->parsed = true;
	return place_prepare(place);
}

/* Copy what the segments need of the file's bytes [@pos, @pos + @len). */
static void place_copy(const struct place *place, uint64_t pos, const uint8_t *buf, size_t len)
{
	for (size_t i = 0; i < place->image.segments; i++) {
		const struct elf_segment *segment = &place->image.segment[i];
		uint64_t from = MAX(pos, segment->offset), to = MIN(pos + len, segment->offset + segment->file_len);
		uint8_t *host = guest_mem_ptr(place->mem, segment->paddr, segment->mem_len);

		if (from < to)
			memcpy(host + (from - segment->offset), buf + (from - pos), to - from);
	}
}

/* unpack_sink */
static int place_feed(void *arg, const uint8_t *buf, size_t len)
{
	struct place *place = arg;
	int r;

	if (!place->parsed) {
		size_t piece = MIN(len, ELF_HEAD_LEN - place->pos);

		memcpy(place->head + place->pos, buf, piece);
		place->pos += piece;
		buf += piece;
		len -= piece;
		if (place->pos < ELF_HEAD_LEN)
			return 0;
		r = place_parse(place, ELF_HEAD_LEN, UINT64_MAX);
		if (r < 0)
			return r;
		place_copy(place, 0, place->head, ELF_HEAD_LEN);
	}
	place_copy(place, place->pos, buf, len);
	place->pos += len;
	return 0;
}

/* Unpack an ELF file into the guest. Return: as unpack(); an error that place_feed() found has its line already. */
static int place_unpack(struct place *place, const uint8_t *packed, size_t len)
{
	int r = unpack(packed, len, KERNEL_UNPACKED_MAX, place_feed, place);

	if (r < 0)
		return r;
	if (!place->parsed) { /* smaller than the head */
		r = place_parse(place, place->pos, place->pos);
		if (r < 0)
			return r;
		place_copy(place, 0, place->head, place->pos);
	}
	if (place->pos < place->image.file_end)
		return -EPROTO;
	return 0;
}

static int kernel_read_error(const struct boot_config *config, int r, struct err *err)
{
	return err_set(err, r, "%s cannot be read: %s", config->kernel_name, strerror(-r));
}

/* The plain ELF file goes from its file straight to the guest. */
static int kernel_load_elf(struct place *place, size_t head_len, uint64_t file_len)
{
	int r = place_parse(place, head_len, file_len);

	for (size_t i = 0; r == 0 && i < place->image.segments; i++) {
		const struct elf_segment *segment = &place->image.segment[i];

		r = fd_read_full(place->config->kernel_fd, guest_mem_ptr(place->mem, segment->paddr, segment->mem_len),
				 segment->file_len, (off_t)segment->offset);
		if (r < 0)
			return kernel_read_error(place->config, r, place->err);
	}
	return r;
}

/* A whole packed file in memory. */
static int kernel_read_packed(const struct boot_config *config, uint64_t file_len, uint8_t **ret_file, struct err *err)
{
	uint8_t *file;
	int r;

	if (file_len > KERNEL_PACKED_MAX)
		return err_set(err, -ENOEXEC, "%s is too large for a kernel; use vmlinux or bzImage",
			       config->kernel_name);
	file = malloc(file_len);
	if (!file)
		return err_set(err, -ENOMEM, "%s: no memory to read it; free some on this host", config->kernel_name);
	r = fd_read_full(config->kernel_fd, file, file_len, 0);
	if (r < 0) {
		free(file);
		return kernel_read_error(config, r, err);
	}
	*ret_file = file;
	return 0;
}

static int kernel_unpack_error(const struct place *place, const uint8_t *packed, size_t len, int r)
{
	const char *name = place->config->kernel_name, *format = unpack_format(packed, len);

	switch (r) {
	case -EPROTO:
		return err_set(place->err, -ENOEXEC, "%s holds damaged %s data; get the file again", name, format);
	case -EFBIG:
		return err_set(place->err, -ENOEXEC, "%s unpacks to more than any kernel; use vmlinux or bzImage",
			       name);
	case -ENOMEM:
		if (place->err->code) /* the guest's memory, not ours */
			return r;
		return err_set(place->err, r, "%s: no memory to unpack it; free some on this host", name);
	case -ENOTSUP:
		return err_set(place->err, -ENOEXEC, "%s is packed in a way that we do not know; unpack it first",
			       name);
	default:
		return r;
	}
}

static int kernel_load_packed(struct place *place, uint64_t file_len)
{
	_cleanup_free_ uint8_t *file = NULL;
	int r;

	r = kernel_read_packed(place->config, file_len, &file, place->err);
	if (r < 0)
		return r;
	r = place_unpack(place, file, file_len);
	return r < 0 ? kernel_unpack_error(place, file, file_len, r) : 0;
}

/* The bzImage unpacks itself: its code goes where it wants to be. */
static int kernel_load_code(struct place *place, const struct bzimage *bz, const uint8_t *file,
			    struct boot_kernel *kernel)
{
	int r = kernel_check_range(place, bz->load_gpa, bz->init_len);

	if (r < 0)
		return r;
	memcpy(guest_mem_ptr(place->mem, bz->load_gpa, bz->code_len), file + bz->code_offset, bz->code_len);
	kernel->entry_gpa = bz->load_gpa + BZIMAGE_ENTRY_64;
	kernel->end_gpa = bz->load_gpa + bz->init_len;
	return 0;
}

static int kernel_load_bzimage(struct place *place, size_t head_len, uint64_t file_len, struct boot_kernel *kernel)
{
	_cleanup_free_ uint8_t *file = NULL;
	struct bzimage bz;
	const char *why;
	int r;

	r = bzimage_parse(place->head, head_len, file_len, &bz, &why);
	if (r < 0)
		return err_set(place->err, r, "%s %s", place->config->kernel_name, why);
	kernel->initrd_max_gpa = bz.initrd_max_gpa;
	kernel->cmdline_max = bz.cmdline_max;
	kernel->setup_len = bz.setup_len;
	memcpy(kernel->setup, bz.setup, bz.setup_len);
	r = kernel_read_packed(place->config, file_len, &file, place->err);
	if (r < 0)
		return r;
	r = place_unpack(place, file + bz.payload_offset, bz.payload_len);
	/* A format of its own, or no ELF in it: the kernel knows better. */
	if ((r == -ENOTSUP || r == -ENOEXEC) && bz.entry_64) {
		*place->err = (struct err){0};
		place->parsed = false;
		return kernel_load_code(place, &bz, file, kernel);
	}
	return r < 0 ? kernel_unpack_error(place, file + bz.payload_offset, bz.payload_len, r) : 0;
}

static int kernel_load_file(struct place *place, uint64_t file_len, struct boot_kernel *kernel)
{
	size_t head_len = MIN(file_len, ELF_HEAD_LEN);
	int r;

	r = fd_read_full(place->config->kernel_fd, place->head, head_len, 0);
	if (r < 0)
		return kernel_read_error(place->config, r, place->err);
	if (elf_detect(place->head, head_len))
		return kernel_load_elf(place, head_len, file_len);
	if (bzimage_detect(place->head, head_len))
		return kernel_load_bzimage(place, head_len, file_len, kernel);
	if (unpack_format(place->head, head_len))
		return kernel_load_packed(place, file_len);
	return err_set(place->err, -ENOEXEC, "%s is not a kernel: neither ELF nor bzImage; use vmlinux or bzImage",
		       place->config->kernel_name);
}

int kernel_load(const struct boot_config *config, struct guest_mem *mem, struct boot_kernel *ret_kernel,
		struct err *err)
{
	struct boot_kernel kernel = {.initrd_max_gpa = INITRD_MAX_DEFAULT, .cmdline_max = CMDLINE_MAX_DEFAULT};
	struct err own = {0};
	struct place place = {.config = config, .mem = mem, .err = err ? err : &own};
	struct stat st;
	int r;

	*place.err = (struct err){0};
	if (fstat(config->kernel_fd, &st) < 0)
		return kernel_read_error(config, -errno, err);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s is not a regular file; name a kernel: vmlinux or bzImage",
			       config->kernel_name);
	r = kernel_load_file(&place, (uint64_t)st.st_size, &kernel);
	if (r < 0)
		return r;
	if (place.parsed) {
		const struct elf_segment *last = &place.image.segment[place.image.segments - 1];

		kernel.entry_gpa = place.image.entry;
		kernel.end_gpa = last->paddr + last->mem_len;
	}
	*ret_kernel = kernel;
	return 0;
}
