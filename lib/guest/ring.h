/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One VMBus ring buffer: its mapping, and a reader's and a writer's side of it.
 *
 * Theory of operation: header page and data area are shared with a peer that may write anything at any moment. Each
 * side moves a private cursor and publishes it with one commit, which says whether the peer must be signalled. A packet
 * is copied out once; only the copy is checked and used. The data area is mapped twice, back to back, so that no packet
 * wraps. Every index that is loaded from the header is checked for range and alignment; a wrong one is -EPROTO, and the
 * caller gives the channel up.
 *
 * Barriers, with the access that each pairs with (Linux drivers/hv/ring_buffer.c is the peer):
 *   reader: acquire of write_index    <-> writer: release of write_index (packet bytes come before it)
 *   reader: release of read_index     <-> writer: acquire of read_index (the space is not written before it was read)
 *   writer: full fence between the store of write_index and the loads of interrupt_mask and read_index
 *                                     <-> reader: full fence between clearing the mask and its last look at write_index
 *   reader: full fence between the store of read_index and the load of pending_send_size
 *                                     <-> writer: full fence between storing pending_send_size and its last look at
 *                                         read_index
 *
 * Limits: RING_DATA_MAX bytes of data; packets of at most 64 KiB * 8.
 */
#ifndef GUEST_RING_H
#define GUEST_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "abi/ring.h"
#include "guest/mem.h"

#define RING_DATA_MAX (64u << 20)
#define RING_DATA_MIN RING_PAGE_SIZE
#define RING_RUNS_MAX 4096u /* runs of adjacent pages that a ring may consist of */

/* The mapping. @header and @data stay valid until ring_unmap(). */
struct ring {
	struct ring_header *header; /* shared with the guest */
	uint8_t *data;		    /* 2 * data_len bytes: the same ones twice */
	uint32_t data_len;	    /* multiple of the page size */
	size_t map_len;
};

/* What a descriptor says, checked: 16 <= payload_offset <= len, all multiples of 8. */
struct ring_packet {
	uint16_t type;
	uint16_t flags;
	uint64_t transaction_id;
	uint32_t len; /* descriptor, header and payload, without the trailer */
	uint32_t payload_offset;
};

/* The side that reads. Invariant: cursor and published are below data_len, multiples of 8. */
struct ring_reader {
	struct ring *ring;
	uint32_t cursor;    /* private: everything before it is ours */
	uint32_t published; /* what read_index says */
	uint32_t write;	    /* write_index as last seen */
};

/* The side that writes; the same invariant. */
struct ring_writer {
	struct ring *ring;
	uint32_t cursor;    /* private: everything before it is written */
	uint32_t published; /* what write_index says */
	uint32_t read;	    /* read_index as last seen */
	uint32_t pending;   /* what pending_send_size says */
};

/**
 * ring_map - map a ring of guest pages.
 * @ranges, @count: whole pages, in order: the header page, then the data.
 * Return: 0; -EINVAL (shorter than two pages or longer than RING_DATA_MAX, unaligned, not guest memory); -E2BIG (more
 * than RING_RUNS_MAX runs); -ENOMEM.
 */
int ring_map(const struct guest_mem *mem, const struct guest_range *ranges, size_t count, struct ring *ret_ring);

/** ring_unmap - a zeroed ring is allowed. */
void ring_unmap(struct ring *ring);

/* ---- reading ---- */

/** ring_packet_parse - check a private copy of a descriptor. @avail: bytes up to the writer's index. Return: 0 or
 * -EPROTO. Pure. */
int ring_packet_parse(const struct vmpacket_descriptor *desc, uint32_t avail, struct ring_packet *ret_packet);

/**
 * ring_reader_init - begin at @cursor.
 * Return: 0, or -EPROTO if @cursor is not an index of this ring.
 */
int ring_reader_init(struct ring_reader *reader, struct ring *ring, uint32_t cursor);

/** ring_reader_resume - go on where a predecessor stopped: @cursor is published as read_index at once, whatever stands
 * there. Return: 0, or -EPROTO if @cursor is not an index of this ring. */
int ring_reader_resume(struct ring_reader *reader, struct ring *ring, uint32_t cursor);

/**
 * ring_read - copy the packet at the cursor out, and move the cursor behind it.
 * @buf:     room for @cap bytes; gets the whole packet, its descriptor as it was checked.
 * @ret_packet: what the descriptor says.
 * Return: 0; -EAGAIN (empty); -EPROTO (index or packet corrupt); -EMSGSIZE (the packet is sound, but longer than @cap).
 */
int ring_read(struct ring_reader *reader, void *buf, size_t cap, struct ring_packet *ret_packet);

/** ring_empty - whether nothing lies behind the cursor. Return: 1, 0, or -EPROTO. */
int ring_empty(struct ring_reader *reader);

/**
 * ring_reader_commit - publish the cursor as read_index.
 * Return: 1 if the writer must be signalled (it waits for room, and now there is enough), else 0; -EPROTO.
 */
int ring_reader_commit(struct ring_reader *reader);

/** ring_reader_mask - we are draining: the writer need not signal. */
void ring_reader_mask(struct ring_reader *reader);

/** ring_reader_unmask - signals are wanted again. Return: 1 if a packet came meanwhile (mask and drain again), 0, or
 * -EPROTO. */
int ring_reader_unmask(struct ring_reader *reader);

/* ---- writing ---- */

/** ring_writer_init - begin at @cursor; announces that we honour pending_send_size. Return: 0 or -EPROTO. */
int ring_writer_init(struct ring_writer *writer, struct ring *ring, uint32_t cursor);

/** ring_writer_resume - the same for a writer: @cursor is published as write_index at once. */
int ring_writer_resume(struct ring_writer *writer, struct ring *ring, uint32_t cursor);

/**
 * ring_write - put a packet at the cursor, which moves; nothing is published yet.
 * @payload: @len bytes, follow the descriptor; padded with zeroes to a multiple of 8.
 * Return: 0; -EAGAIN (full); -EPROTO; -EMSGSIZE (it would not fit into the empty ring).
 */
int ring_write(struct ring_writer *writer, uint16_t type, uint16_t flags, uint64_t transaction_id, const void *payload,
	       size_t len);

/**
 * ring_write_raw - the same with a packet that begins with its own header.
 * @iov: @iovs pieces that follow the descriptor: @header_len bytes of header (a multiple of 8), then the payload.
 */
int ring_write_raw(struct ring_writer *writer, uint16_t type, uint16_t flags, uint64_t transaction_id,
		   size_t header_len, const struct iovec *iov, int iovs);

/**
 * ring_writer_commit - publish the cursor as write_index.
 * Return: 1 if the reader must be signalled (the ring was empty, and it wants signals), else 0; -EPROTO.
 */
int ring_writer_commit(struct ring_writer *writer);

/**
 * ring_writer_wait - ask to be signalled once a packet of @len bytes of payload fits. ring_writer_wait_end() takes it
 * back. Return: 0: wait for the signal; 1: it fits now (nothing is asked for); -EPROTO.
 */
int ring_writer_wait(struct ring_writer *writer, size_t len);
void ring_writer_wait_end(struct ring_writer *writer);

#endif
