// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "abi/hyperv.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "bus.h"
#include "machine.h"
#include "memory.h"

static int check_size(uint64_t bytes, bool huge_pages, struct err *err)
{
	uint64_t granule = huge_pages ? MEMORY_HUGE : MEMORY_GRANULE, host;
	struct sysinfo info;

	if (!bytes || bytes % granule)
		return err_set(err, -EINVAL, "memory of %llu bytes: give a multiple of %llu MiB",
			       (unsigned long long)bytes, (unsigned long long)(granule >> 20));
	if (sysinfo(&info) < 0)
		return 0;
	host = ((uint64_t)info.totalram + info.totalswap) * info.mem_unit;
	if (bytes > host)
		return err_set(err, -ENOMEM, "memory of %llu MiB: this host has %llu MiB: give the VM less",
			       (unsigned long long)(bytes >> 20), (unsigned long long)(host >> 20));
	return 0;
}

static const struct syscall_rule memory_rules[] = {
	{SYS_memfd_create},
	{SYS_ftruncate},
	{-1},
};

const struct syscall_list memory_calls = {.name = "memory", .rules = memory_rules};

static int ram_memfd(uint64_t bytes, bool huge_pages)
{
	_cleanup_close_ int fd = memfd_create("guest-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING |
								   (huge_pages ? MFD_HUGETLB | MFD_HUGE_2MB : 0));

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)bytes) < 0)
		return -errno;
	/* a peer that could shrink it would make us die of SIGBUS */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	return take_fd(&fd);
}

int memory_new(uint64_t bytes, bool huge_pages, struct guest_mem *ret_mem, struct err *err)
{
	_cleanup_close_ int fd = -1;
	uint64_t low = MIN(bytes, (uint64_t)MACHINE_LOW_RAM_MAX);
	int r = check_size(bytes, huge_pages, err);

	if (r < 0)
		return r;
	fd = ram_memfd(bytes, huge_pages);
	r = fd < 0 ? fd : 0;
	guest_mem_init(ret_mem);
	if (!r)
		r = guest_mem_add(ret_mem, 0, low, fd, 0);
	if (!r && bytes > low)
		r = guest_mem_add(ret_mem, MACHINE_HIGH_RAM_GPA, bytes - low, fd, low);
	if (r < 0) {
		guest_mem_done(ret_mem);
		if (huge_pages)
			return err_set(err, r,
				       "memory of %llu MiB: the host has not as many free huge pages (%s): raise "
				       "vm.nr_hugepages, or do not require them",
				       (unsigned long long)(bytes >> 20), strerror(-r));
		return err_set(err, r, "memory of %llu MiB: %s", (unsigned long long)(bytes >> 20), strerror(-r));
	}
	return 0;
}

int cells_new(uint32_t cpus, struct signal_cells **ret_cells)
{
	size_t len = ALIGN_UP(signal_cells_size(cpus), (size_t)GUEST_PAGE_SIZE);
	_cleanup_close_ int fd = fd_memfd("signal-cells", len);
	struct signal_cells *cells;

	if (fd < 0)
		return fd;
	cells = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (cells == MAP_FAILED)
		return -errno;
	cells->cpus = cpus;
	for (uint32_t i = 0; i < cpus; i++)
		cells->cell[i].flags_gpa = SIGNAL_CELL_NONE;
	cells->version = SIGNAL_CELLS_VERSION;
	cells->magic = SIGNAL_CELLS_MAGIC;
	*ret_cells = cells;
	return take_fd(&fd);
}

void cells_free(struct signal_cells *cells)
{
	if (cells)
		munmap(cells, ALIGN_UP(signal_cells_size(cells->cpus), (size_t)GUEST_PAGE_SIZE));
}

void cells_set(struct signal_cells *cells, uint32_t vp, uint64_t siefp_gpa)
{
	uint64_t gpa = siefp_gpa == UINT64_MAX ? SIGNAL_CELL_NONE : siefp_gpa + BUS_SINT * HV_EVENT_FLAGS_BYTES;

	cells->cell[vp].flags_gpa = gpa; /* sequentially consistent: a VSP that signals after this sees it */
}
