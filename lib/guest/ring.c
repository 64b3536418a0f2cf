/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/ring.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bytes.h"

#define TRAILER_LEN    8u
#define DESCRIPTOR_LEN 16u

_Static_assert(sizeof(struct ring_header) == RING_PAGE_SIZE, "ring header is one page");
_Static_assert(sizeof(struct vmpacket_descriptor) == DESCRIPTOR_LEN, "descriptor");
_Static_assert(sizeof(struct vmpacket_trailer) == TRAILER_LEN, "trailer");

/* ---- mapping ---- */

/* Place the pages of @ranges, but for the first @skip bytes, at @at. */
static int map_runs(const struct guest_mem *mem, const struct guest_range *ranges, size_t count, uint64_t skip,
		    uint8_t *at)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t gpa = ranges[i].gpa, len = ranges[i].len, off;
		const struct guest_mem_region *region;

		if (skip >= len) {
			skip -= len;
			continue;
		}
		gpa += skip;
		len -= skip;
		skip = 0;
		region = guest_mem_find(mem, gpa, len);
		if (!region)
			return -EINVAL;
		off = region->offset + (gpa - region->gpa);
		// cppcheck-suppress leakReturnValNotUsed ; MAP_FIXED: it is "at"
		if (mmap(at, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, region->fd, (off_t)off) == MAP_FAILED)
			return -errno;
		at += len;
	}
	return 0;
}

static int sum_ranges(const struct guest_range *ranges, size_t count, uint64_t *ret_len)
{
	uint64_t len = 0;

	if (count > RING_RUNS_MAX)
		return -E2BIG;
	for (size_t i = 0; i < count; i++) {
		if (ranges[i].len == 0 || (ranges[i].gpa | ranges[i].len) % GUEST_PAGE_SIZE != 0)
			return -EINVAL;
		if (ranges[i].len > RING_DATA_MAX + RING_PAGE_SIZE)
			return -EINVAL;
		len += ranges[i].len;
	}
	if (len < RING_PAGE_SIZE + RING_DATA_MIN || len > RING_PAGE_SIZE + RING_DATA_MAX)
		return -EINVAL;
	*ret_len = len;
	return 0;
}

int ring_map(const struct guest_mem *mem, const struct guest_range *ranges, size_t count, struct ring *ret_ring)
{
	uint64_t len, data_len;
	uint8_t *base;
	int r;

	r = sum_ranges(ranges, count, &len);
	if (r < 0)
		return r;
	data_len = len - RING_PAGE_SIZE;
	base = mmap(NULL, len + data_len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return -errno;
	r = map_runs(mem, ranges, count, 0, base);
	if (r == 0)
		r = map_runs(mem, ranges, count, RING_PAGE_SIZE, base + len);
	if (r < 0) {
		munmap(base, len + data_len);
		return r;
	}
	(void)madvise(base, len + data_len, MADV_DONTDUMP);
	*ret_ring = (struct ring){
		.header = (struct ring_header *)base,
		.data = base + RING_PAGE_SIZE,
		.data_len = (uint32_t)data_len,
		.map_len = len + data_len,
	};
	return 0;
}

void ring_unmap(struct ring *ring)
{
	if (ring->header)
		munmap(ring->header, ring->map_len);
	memset(ring, 0, sizeof(*ring));
}

/* ---- indices ---- */

static bool index_valid(const struct ring *ring, uint32_t index)
{
	return index < ring->data_len && index % 8 == 0;
}

/* Bytes from @from forward to @to. */
static uint32_t distance(const struct ring *ring, uint32_t from, uint32_t to)
{
	return to >= from ? to - from : ring->data_len - from + to;
}

static uint32_t index_add(const struct ring *ring, uint32_t index, uint32_t len)
{
	index += len;
	return index >= ring->data_len ? index - ring->data_len : index;
}

/* Bytes that a writer at @write may still put while the reader stands at @read: it is full one step before it looks
 * empty. */
static uint32_t space(const struct ring *ring, uint32_t write, uint32_t read)
{
	return ring->data_len - distance(ring, read, write);
}

/* Loads and stores of the shared header. */
static uint32_t load_acquire(const uint32_t *field)
{
	return __atomic_load_n(field, __ATOMIC_ACQUIRE);
}

static uint32_t load_relaxed(const uint32_t *field)
{
	return __atomic_load_n(field, __ATOMIC_RELAXED);
}

/* A store with a full fence behind it. */
static void store_fence(uint32_t *field, uint32_t value)
{
#ifdef __x86_64__
	/* xchg is both, and quicker than a store and a fence. */
	(void)__atomic_exchange_n(field, value, __ATOMIC_SEQ_CST);
	atomic_signal_fence(memory_order_seq_cst);
#else
	/* On weaker machines a load that follows an exchange may still come before its store. */
	__atomic_store_n(field, value, __ATOMIC_RELEASE);
	atomic_thread_fence(memory_order_seq_cst);
#endif
}

/* ---- reading ---- */

int ring_packet_parse(const struct vmpacket_descriptor *desc, uint32_t avail, struct ring_packet *ret_packet)
{
	uint32_t len = (uint32_t)desc->len8 * 8, offset = (uint32_t)desc->offset8 * 8;

	if (offset < DESCRIPTOR_LEN || offset > len)
		return -EPROTO;
	if (avail < TRAILER_LEN || len > avail - TRAILER_LEN)
		return -EPROTO;
	*ret_packet = (struct ring_packet){
		.type = desc->type,
		.flags = desc->flags,
		.transaction_id = desc->transaction_id,
		.len = len,
		.payload_offset = offset,
	};
	return 0;
}

int ring_reader_init(struct ring_reader *reader, struct ring *ring, uint32_t cursor)
{
	if (!index_valid(ring, cursor))
		return -EPROTO;
	*reader = (struct ring_reader){.ring = ring, .cursor = cursor, .published = cursor, .write = cursor};
	return 0;
}

/* Look at write_index again. */
static int refresh_write(struct ring_reader *reader)
{
	/* acquire: pairs with the writer's release of write_index; what it announces is readable */
	uint32_t write = load_acquire(&reader->ring->header->write_index);

	if (!index_valid(reader->ring, write))
		return -EPROTO;
	reader->write = write;
	return 0;
}

int ring_reader_resume(struct ring_reader *reader, struct ring *ring, uint32_t cursor)
{
	int r = ring_reader_init(reader, ring, cursor);

	if (r < 0)
		return r;
	/* release: pairs with the writer's acquire of read_index; the predecessor had copied all that lies before */
	store_fence(&ring->header->read_index, cursor);
	return 0;
}

int ring_empty(struct ring_reader *reader)
{
	int r = refresh_write(reader);

	return r < 0 ? r : reader->write == reader->cursor;
}

int ring_read(struct ring_reader *reader, void *buf, size_t cap, struct ring_packet *ret_packet)
{
	struct ring *ring = reader->ring;
	struct vmpacket_descriptor desc;
	struct ring_packet packet;
	const uint8_t *at = ring->data + reader->cursor;
	int r;

	if (reader->write == reader->cursor) {
		r = refresh_write(reader);
		if (r < 0)
			return r;
		if (reader->write == reader->cursor)
			return -EAGAIN;
	}
	/* The descriptor is read once and what was checked is what the caller gets, whatever the guest does to the
	 * original. */
	memcpy(&desc, at, sizeof(desc));
	atomic_signal_fence(memory_order_acq_rel);
	r = ring_packet_parse(&desc, distance(ring, reader->cursor, reader->write), &packet);
	if (r < 0)
		return r;
	if (packet.len > cap)
		return -EMSGSIZE;
	memcpy(buf, &desc, sizeof(desc));
	memcpy((uint8_t *)buf + sizeof(desc), at + sizeof(desc), packet.len - sizeof(desc));
	reader->cursor = index_add(ring, reader->cursor, packet.len + TRAILER_LEN);
	*ret_packet = packet;
	return 0;
}

int ring_reader_commit(struct ring_reader *reader)
{
	struct ring *ring = reader->ring;
	uint32_t freed, pending, write, now;

	if (reader->cursor == reader->published)
		return 0;
	freed = distance(ring, reader->published, reader->cursor);
	/*
	 * release: pairs with the writer's acquire of read_index; our copies are made before it reuses the space
	 * full: pairs with the writer's fence between storing pending_send_size and looking at read_index
	 */
	store_fence(&ring->header->read_index, reader->cursor);
	reader->published = reader->cursor;
	if (!(load_relaxed(&ring->header->feature_bits) & RING_FEATURE_PENDING_SEND_SIZE))
		return 0;
	pending = load_relaxed(&ring->header->pending_send_size);
	if (pending == 0)
		return 0;
	/* acquire: the write_index that belongs to that pending size, or a newer one */
	write = load_acquire(&ring->header->write_index);
	if (!index_valid(ring, write))
		return -EPROTO;
	now = space(ring, write, reader->cursor);
	/* Only the step from too little room to enough is worth a signal. */
	return now > pending && (now < freed || now - freed <= pending);
}

void ring_reader_mask(struct ring_reader *reader)
{
	__atomic_store_n(&reader->ring->header->interrupt_mask, 1, __ATOMIC_RELAXED);
}

int ring_reader_unmask(struct ring_reader *reader)
{
	int empty;

	__atomic_store_n(&reader->ring->header->interrupt_mask, 0, __ATOMIC_RELAXED);
	/* full: pairs with the writer's fence between storing write_index and loading interrupt_mask */
	atomic_thread_fence(memory_order_seq_cst);
	empty = ring_empty(reader);
	return empty < 0 ? empty : !empty;
}

/* ---- writing ---- */

int ring_writer_init(struct ring_writer *writer, struct ring *ring, uint32_t cursor)
{
	if (!index_valid(ring, cursor))
		return -EPROTO;
	*writer = (struct ring_writer){.ring = ring, .cursor = cursor, .published = cursor, .read = cursor};
	/* No room is assumed before read_index was looked at once. */
	writer->read = index_add(ring, cursor, 8);
	__atomic_store_n(&ring->header->pending_send_size, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&ring->header->feature_bits, RING_FEATURE_PENDING_SEND_SIZE, __ATOMIC_RELEASE);
	return 0;
}

int ring_writer_resume(struct ring_writer *writer, struct ring *ring, uint32_t cursor)
{
	int r = ring_writer_init(writer, ring, cursor);

	if (r < 0)
		return r;
	/* release: pairs with the reader's acquire of write_index; the predecessor's packets are whole before it */
	store_fence(&ring->header->write_index, cursor);
	return 0;
}

/* Look at read_index again. */
static int refresh_read(struct ring_writer *writer)
{
	/* acquire: pairs with the reader's release of read_index; it has finished with what lies before */
	uint32_t read = load_acquire(&writer->ring->header->read_index);

	if (!index_valid(writer->ring, read))
		return -EPROTO;
	writer->read = read;
	return 0;
}

static uint32_t total_len(size_t payload_len)
{
	return (uint32_t)(DESCRIPTOR_LEN + ALIGN_UP(payload_len, (size_t)8) + TRAILER_LEN);
}

/* Whether a packet of @payload_len bytes of payload can be put at the cursor. Return: 0, -EAGAIN, -EPROTO, -EMSGSIZE.
 */
static int check_room(struct ring_writer *writer, size_t payload_len)
{
	uint32_t total;
	int r;

	if (payload_len > (size_t)UINT16_MAX * 8 - DESCRIPTOR_LEN)
		return -EMSGSIZE;
	total = total_len(payload_len);
	if (total >= writer->ring->data_len)
		return -EMSGSIZE;
	if (space(writer->ring, writer->cursor, writer->read) > total)
		return 0;
	r = refresh_read(writer);
	if (r < 0)
		return r;
	return space(writer->ring, writer->cursor, writer->read) > total ? 0 : -EAGAIN;
}

static void put_descriptor(uint8_t *at, uint16_t type, uint16_t flags, uint64_t transaction_id, size_t header_len,
			   uint32_t len)
{
	struct vmpacket_descriptor desc = {
		.type = type,
		.offset8 = (uint16_t)((DESCRIPTOR_LEN + header_len) / 8),
		.len8 = (uint16_t)(len / 8),
		.flags = flags,
		.transaction_id = transaction_id,
	};

	memcpy(at, &desc, sizeof(desc));
}

static void put_end(struct ring_writer *writer, uint8_t *at, size_t payload_len, uint32_t total)
{
	struct vmpacket_trailer trailer = {.packet_start = writer->cursor};
	uint32_t padded = total - DESCRIPTOR_LEN - TRAILER_LEN;

	if (padded > payload_len)
		memset(at + DESCRIPTOR_LEN + payload_len, 0, padded - payload_len);
	memcpy(at + DESCRIPTOR_LEN + padded, &trailer, sizeof(trailer));
	writer->cursor = index_add(writer->ring, writer->cursor, total);
}

int ring_write(struct ring_writer *writer, uint16_t type, uint16_t flags, uint64_t transaction_id, const void *payload,
	       size_t len)
{
	uint8_t *at = writer->ring->data + writer->cursor;
	uint32_t total;
	int r;

	r = check_room(writer, len);
	if (r < 0)
		return r;
	total = total_len(len);
	put_descriptor(at, type, flags, transaction_id, 0, total - TRAILER_LEN);
	if (len > 0)
		memcpy(at + DESCRIPTOR_LEN, payload, len);
	put_end(writer, at, len, total);
	return 0;
}

int ring_write_raw(struct ring_writer *writer, uint16_t type, uint16_t flags, uint64_t transaction_id,
		   size_t header_len, const struct iovec *iov, int iovs)
{
	uint8_t *at = writer->ring->data + writer->cursor, *to = at + DESCRIPTOR_LEN;
	size_t len = 0;
	uint32_t total;
	int r;

	for (int i = 0; i < iovs; i++)
		len += iov[i].iov_len;
	if (header_len % 8 != 0 || header_len > len)
		return -EINVAL;
	r = check_room(writer, len);
	if (r < 0)
		return r;
	total = total_len(len);
	put_descriptor(at, type, flags, transaction_id, header_len, total - TRAILER_LEN);
	for (int i = 0; i < iovs; i++) {
		memcpy(to, iov[i].iov_base, iov[i].iov_len);
		to += iov[i].iov_len;
	}
	put_end(writer, at, len, total);
	return 0;
}

int ring_writer_commit(struct ring_writer *writer)
{
	struct ring *ring = writer->ring;
	uint32_t old = writer->published;
	int r;

	if (writer->cursor == old)
		return 0;
	/*
	 * release: pairs with the reader's acquire of write_index; packets and trailers are whole before it
	 * full: pairs with the reader's fence between clearing interrupt_mask and its last look at write_index
	 */
	store_fence(&ring->header->write_index, writer->cursor);
	writer->published = writer->cursor;
	if (load_acquire(&ring->header->interrupt_mask) != 0)
		return 0;
	r = refresh_read(writer);
	if (r < 0)
		return r;
	return writer->read == old;
}

int ring_writer_wait(struct ring_writer *writer, size_t len)
{
	int r;

	writer->pending = total_len(len);
	__atomic_store_n(&writer->ring->header->pending_send_size, writer->pending, __ATOMIC_RELAXED);
	/* full: pairs with the reader's fence between storing read_index and loading pending_send_size */
	atomic_thread_fence(memory_order_seq_cst);
	r = check_room(writer, len);
	if (r == -EAGAIN)
		return 0;
	ring_writer_wait_end(writer);
	return r < 0 ? r : 1;
}

void ring_writer_wait_end(struct ring_writer *writer)
{
	if (writer->pending == 0)
		return;
	writer->pending = 0;
	__atomic_store_n(&writer->ring->header->pending_send_size, 0, __ATOMIC_RELAXED);
}
