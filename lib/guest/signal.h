/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signal cells: one shared page or more that the worker writes and every VSP reads: where each vCPU's event flags for
 * VMBus's SINT are now. A VSP re-reads the cell before each signal. Invariant: magic and version are set before the
 * memfd leaves the worker.
 */
#ifndef GUEST_SIGNAL_H
#define GUEST_SIGNAL_H

#include <stddef.h>
#include <stdint.h>

#define SIGNAL_CELLS_MAGIC   0x4c4c4543u /* "CELL" */
#define SIGNAL_CELLS_VERSION 1u
#define SIGNAL_CELL_NONE     UINT64_MAX

struct signal_cell {
	_Atomic uint64_t flags_gpa; /* of the 256 bytes of event flags of this vCPU's VMBus SINT; SIGNAL_CELL_NONE */
	uint64_t reserved[7];	    /* a cache line each */
};

struct signal_cells {
	uint32_t magic;
	uint32_t version;
	uint32_t cpus;
	uint32_t reserved[13];
	struct signal_cell cell[];
};

static inline size_t signal_cells_size(uint32_t cpus)
{
	return sizeof(struct signal_cells) + cpus * sizeof(struct signal_cell);
}

#endif
