/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMBus ring buffers and the packets in them, as they lie in memory that guest and host share. All fields are
 * little-endian. Spec: Linux include/linux/hyperv.h, drivers/hv/ring_buffer.c.
 */
#ifndef ABI_RING_H
#define ABI_RING_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

#define RING_PAGE_SIZE		       4096u
#define RING_FEATURE_PENDING_SEND_SIZE 1u

/*
 * First page of a ring; the data follows on the next page. Indices are bytes from the start of the data, multiples
 * of 8. The writer owns write_index and pending_send_size, the reader owns read_index and interrupt_mask. feature_bits
 * belong to the guest in the guest's outgoing ring and to the host in the other one.
 */
struct ring_header {
	uint32_t write_index;
	uint32_t read_index;
	uint32_t interrupt_mask;    /* not 0: the reader is draining and wants no signal */
	uint32_t pending_send_size; /* not 0: the writer waits until more than so many bytes are free */
	uint32_t reserved[12];
	uint32_t feature_bits;
	uint8_t pad[RING_PAGE_SIZE - 68];
};

/* Every packet begins with this; len8 and offset8 count units of 8 bytes from its start. */
struct vmpacket_descriptor {
	uint16_t type;
	uint16_t offset8; /* of the payload */
	uint16_t len8;	  /* of descriptor, header and payload, without the trailer */
	uint16_t flags;
	uint64_t transaction_id;
};

#define VMPACKET_DATA_INBAND	     0x6u
#define VMPACKET_DATA_TRANSFER_PAGES 0x7u
#define VMPACKET_DATA_GPA_DIRECT     0x9u
#define VMPACKET_COMPLETION	     0xbu

#define VMPACKET_FLAG_COMPLETION_REQUESTED 1u

/* Behind every packet: the index at which it began, in the upper half. */
struct vmpacket_trailer {
	uint32_t reserved;
	uint32_t packet_start;
};

/* Follows the descriptor of a GPA-direct packet; then range_count times a struct gpa_range with its page numbers. */
struct gpa_direct_header {
	uint32_t reserved;
	uint32_t range_count;
};

/* byte_offset lies in the first page; the page numbers cover byte_offset + byte_count. */
struct gpa_range {
	uint32_t byte_count;
	uint32_t byte_offset;
	uint64_t pfn[];
};

/* Follows the descriptor of a transfer-page packet. */
struct transfer_page_range {
	uint32_t byte_count;
	uint32_t byte_offset;
};

struct transfer_page_header {
	uint16_t page_set_id;
	uint8_t sender_owns_set;
	uint8_t reserved;
	uint32_t range_count;
	struct transfer_page_range range[];
};

#endif
