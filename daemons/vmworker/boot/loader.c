/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/fd.h"
#include "boot/acpi.h"
#include "boot/boot.h"
#include "boot/cpu_tables.h"
#include "boot/kernel.h"
#include "boot/layout.h"
#include "boot/params.h"
#include "machine.h"

#define MIB (UINT64_C(1) << 20)

/* The end of the memory that starts at 0. */
static uint64_t boot_low_end(const struct guest_mem *mem)
{
	return mem->regions && mem->region[0].gpa == 0 ? mem->region[0].len : 0;
}

/* As high as the kernel lets us, so that it is out of the kernel's way. */
static int boot_place_initrd(const struct boot_config *config, const struct guest_mem *mem,
			     const struct boot_kernel *kernel, uint64_t len, uint64_t *ret_gpa, struct err *err)
{
	uint64_t top = MIN(boot_low_end(mem), kernel->initrd_max_gpa + 1);
	uint64_t bottom = ALIGN_UP(kernel->end_gpa, GUEST_PAGE_SIZE), need = bottom + ALIGN_UP(len, GUEST_PAGE_SIZE);

	if (need <= ALIGN_DOWN(top, GUEST_PAGE_SIZE)) {
		*ret_gpa = ALIGN_DOWN(top - len, GUEST_PAGE_SIZE);
		return 0;
	}
	if (need > kernel->initrd_max_gpa + 1)
		return err_set(err, -ENOMEM,
			       "%s does not fit: %s takes initrds of at most %" PRIu64 " MiB; make it smaller",
			       config->initrd_name, config->kernel_name,
			       (kernel->initrd_max_gpa + 1 - MIN(bottom, kernel->initrd_max_gpa + 1)) / MIB);
	return err_set(err, -ENOMEM,
		       "%s does not fit: with %s it needs at least %" PRIu64
		       " MiB of memory, and the virtual machine has %" PRIu64 " MiB; give it more",
		       config->initrd_name, config->kernel_name, ALIGN_UP(need, MIB) / MIB, config->memory_bytes / MIB);
}

static int boot_load_initrd(const struct boot_config *config, struct guest_mem *mem, const struct boot_kernel *kernel,
			    struct boot_params_input *params, struct err *err)
{
	struct stat st;
	uint64_t gpa = 0;
	int r;

	if (config->initrd_fd < 0)
		return 0;
	if (fstat(config->initrd_fd, &st) < 0)
		return err_set(err, -errno, "%s cannot be read: %s", config->initrd_name, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "%s is not a regular file; name an initrd", config->initrd_name);
	r = boot_place_initrd(config, mem, kernel, (uint64_t)st.st_size, &gpa, err);
	if (r < 0 || !st.st_size)
		return r;
	r = fd_read_full(config->initrd_fd, guest_mem_ptr(mem, gpa, (uint64_t)st.st_size), (size_t)st.st_size, 0);
	if (r < 0)
		return err_set(err, r, "%s cannot be read: %s", config->initrd_name, strerror(-r));
	params->initrd_gpa = gpa;
	params->initrd_len = (uint64_t)st.st_size;
	return 0;
}

static int boot_load_cmdline(const struct boot_config *config, struct guest_mem *mem, const struct boot_kernel *kernel,
			     struct err *err)
{
	size_t len = strlen(config->cmdline), max = MIN(kernel->cmdline_max, BOOT_CMDLINE_MAX - 1);

	if (len > max)
		return err_set(err, -E2BIG, "the command line has %zu bytes, and %s takes at most %zu; shorten it", len,
			       config->kernel_name, max);
	return guest_mem_write(mem, BOOT_CMDLINE_GPA, config->cmdline, len + 1);
}

static int boot_load_acpi(const struct boot_config *config, struct guest_mem *mem)
{
	size_t len;

	return acpi_build(BOOT_ACPI_GPA, config->cpus, guest_mem_ptr(mem, BOOT_ACPI_GPA, BOOT_ACPI_LEN), BOOT_ACPI_LEN,
			  &len);
}

/*
 * There is no firmware, but one thing is expected of it: Linux with hardware-reduced ACPI, if it was not started by
 * EFI, does not use the reset register, but enters real mode and jumps to the reset vector.
 */
static int boot_load_reset_vector(struct guest_mem *mem)
{
	static const uint8_t code[] = {
		0xba,
		(MACHINE_ACPI_PORT + MACHINE_ACPI_RESET) & 0xff,
		(MACHINE_ACPI_PORT + MACHINE_ACPI_RESET) >> 8, /* mov dx, port */
		0xb0,
		MACHINE_ACPI_RESET_VALUE, /* mov al, value */
		0xee,			  /* out dx, al */
		0xf4,			  /* hlt */
		0xeb,
		0xfd, /* jmp to the hlt */
	};

	return guest_mem_write(mem, BOOT_RESET_GPA, code, sizeof(code));
}

int boot_load(const struct boot_config *config, struct guest_mem *mem, struct boot_entry *ret_entry, struct err *err)
{
	struct boot_params_input params = {.mem = mem, .cmdline_gpa = BOOT_CMDLINE_GPA, .rsdp_gpa = BOOT_ACPI_GPA};
	uint8_t page[BOOT_PARAMS_LEN];
	struct boot_entry entry = {0};
	struct boot_kernel kernel;
	int r;

	if (boot_low_end(mem) <= BOOT_KERNEL_MIN_GPA)
		return err_set(err, -ENOMEM,
			       "the virtual machine has %" PRIu64 " MiB of memory; give it 2 MiB at least",
			       config->memory_bytes / MIB);
	r = kernel_load(config, mem, &kernel, err);
	if (r < 0)
		return r;
	params.kernel = &kernel;
	r = boot_load_initrd(config, mem, &kernel, &params, err);
	if (r < 0)
		return r;
	r = boot_load_cmdline(config, mem, &kernel, err);
	if (r < 0)
		return r;
	r = boot_load_acpi(config, mem);
	if (r == 0)
		r = boot_load_reset_vector(mem);
	if (r == 0)
		r = cpu_tables_write(mem, &entry);
	params_build(&params, page);
	if (r == 0)
		r = guest_mem_write(mem, BOOT_PARAMS_GPA, page, sizeof(page));
	if (r < 0)
		return err_set(err, r, "the boot tables do not fit into the virtual machine's memory; give it more");
	entry.rip = kernel.entry_gpa;
	entry.rsi = BOOT_PARAMS_GPA;
	*ret_entry = entry;
	return 0;
}
