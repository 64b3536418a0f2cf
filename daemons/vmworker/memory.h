/* SPDX-License-Identifier: Apache-2.0 */
/* The VM's shared memory: guest RAM, and the signal cells that say where the guest's event flags are. */
#ifndef VMWORKER_MEMORY_H
#define VMWORKER_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/syscalls.h"
#include "guest/mem.h"
#include "guest/signal.h"

/* What guest memory needs in the sandbox. */
extern const struct syscall_list memory_calls;

#define MEMORY_GRANULE (1024u * 1024u)
#define MEMORY_HUGE    (2u * 1024u * 1024u)

/**
 * memory_new - guest RAM: one sealed memfd, mapped at 0 and, what does not fit below the hole, at 4 GiB (machine.h).
 * @bytes:      multiple of MEMORY_GRANULE.
 * @huge_pages: true: huge pages or fail; false: transparent ones where the host has them.
 * @ret_mem:    initialised here; guest_mem_done() on success only.
 * Return: 0; -EINVAL; -ENOMEM (the host does not have as much, or no huge pages): with a line that says what to do.
 */
int memory_new(uint64_t bytes, bool huge_pages, struct guest_mem *ret_mem, struct err *err);

/** cells_new - a memfd of signal cells, every one empty. Return: its descriptor and *@ret_cells (mapped), or a negative
 * errno. */
int cells_new(uint32_t cpus, struct signal_cells **ret_cells);
void cells_free(struct signal_cells *cells);

/** cells_set - @vp's event flags page is at @siefp_gpa, UINT64_MAX for none. Context: any thread. */
void cells_set(struct signal_cells *cells, uint32_t vp, uint64_t siefp_gpa);

#endif
