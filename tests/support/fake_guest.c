/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_guest.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fd.h"

#define FLAGS_BYTES 256u

/* ---- memory ---- */

static void *map_memfd(int fd, size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert(p != MAP_FAILED);
	return p;
}

void fake_guest_init(struct fake_guest *guest, size_t ram_len, uint32_t cpus)
{
	size_t cells_len = ALIGN_UP(signal_cells_size(cpus), (size_t)GUEST_PAGE_SIZE);

	assert(cpus > 0 && cpus <= FAKE_GUEST_CPUS_MAX);
	memset(guest, 0, sizeof(*guest));
	guest->mem_fd = fd_memfd("fake-ram", ram_len);
	assert(guest->mem_fd >= 0);
	guest->ram = map_memfd(guest->mem_fd, ram_len);
	guest->ram_len = ram_len;
	guest->next_gpa = GUEST_PAGE_SIZE;
	guest->cpus = cpus;
	guest->cells_fd = fd_memfd("fake-cells", cells_len);
	assert(guest->cells_fd >= 0);
	guest->cells = map_memfd(guest->cells_fd, cells_len);
	guest->cells->magic = SIGNAL_CELLS_MAGIC;
	guest->cells->version = SIGNAL_CELLS_VERSION;
	guest->cells->cpus = cpus;
	for (uint32_t i = 0; i < cpus; i++) {
		guest->flags_gpa[i] = fake_guest_alloc(guest, 1) + 2 * FLAGS_BYTES;
		atomic_store(&guest->cells->cell[i].flags_gpa, guest->flags_gpa[i]);
	}
}

void fake_guest_done(struct fake_guest *guest)
{
	munmap(guest->cells, ALIGN_UP(signal_cells_size(guest->cpus), (size_t)GUEST_PAGE_SIZE));
	munmap(guest->ram, guest->ram_len);
	close(guest->mem_fd);
	close(guest->cells_fd);
}

uint64_t fake_guest_alloc(struct fake_guest *guest, size_t pages)
{
	uint64_t gpa = guest->next_gpa;

	assert(range_fits(gpa, pages * GUEST_PAGE_SIZE, guest->ram_len));
	guest->next_gpa += pages * GUEST_PAGE_SIZE;
	memset(guest->ram + gpa, 0, pages * GUEST_PAGE_SIZE);
	return gpa;
}

void *fake_guest_ptr(struct fake_guest *guest, uint64_t gpa)
{
	assert(gpa < guest->ram_len);
	return guest->ram + gpa;
}

void fake_guest_map(struct fake_guest *guest, struct guest_mem *mem)
{
	int r;

	guest_mem_init(mem);
	r = guest_mem_add(mem, 0, guest->ram_len, guest->mem_fd, 0);
	assert(r == 0);
	(void)r;
}

/* ---- channels ---- */

void fake_channel_init(struct fake_channel *channel, struct fake_guest *guest, uint32_t relid, uint32_t target_vp,
		       uint32_t ring_pages)
{
	assert(ring_pages >= 2);
	memset(channel, 0, sizeof(*channel));
	channel->guest = guest;
	channel->relid = relid;
	channel->target_vp = target_vp;
	channel->ring_pages = ring_pages;
	channel->ring_gpa = fake_guest_alloc(guest, 2 * (size_t)ring_pages);
	channel->out = fake_guest_ptr(guest, channel->ring_gpa);
	channel->in = fake_guest_ptr(guest, channel->ring_gpa + (uint64_t)ring_pages * GUEST_PAGE_SIZE);
	channel->out_data = (uint8_t *)channel->out + GUEST_PAGE_SIZE;
	channel->in_data = (uint8_t *)channel->in + GUEST_PAGE_SIZE;
	channel->data_len = (ring_pages - 1) * GUEST_PAGE_SIZE;
	channel->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	channel->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert(channel->kick_fd >= 0 && channel->irq_fd >= 0);
	fake_channel_reset(channel);
}

void fake_channel_done(struct fake_channel *channel)
{
	close(channel->kick_fd);
	close(channel->irq_fd);
}

void fake_channel_reset(struct fake_channel *channel)
{
	memset(channel->out, 0, sizeof(*channel->out));
	memset(channel->in, 0, sizeof(*channel->in));
	channel->out->feature_bits = channel->in->feature_bits = RING_FEATURE_PENDING_SEND_SIZE;
	channel->out_write = channel->in_read = 0;
}

static uint32_t load(const uint32_t *field)
{
	return __atomic_load_n(field, __ATOMIC_ACQUIRE);
}

/* Free bytes as Linux counts them: one byte too many when the ring is empty, hence "<=" at the callers. */
static uint32_t bytes_to_write(uint32_t data_len, uint32_t write, uint32_t read)
{
	return write >= read ? data_len - (write - read) : read - write;
}

static uint32_t copy_in(struct fake_channel *channel, uint32_t at, const void *from, size_t len)
{
	size_t first = MIN(len, (size_t)(channel->data_len - at));

	if (len == 0)
		return at;
	memcpy(channel->out_data + at, from, first);
	memcpy(channel->out_data, (const uint8_t *)from + first, len - first);
	return (uint32_t)((at + len) % channel->data_len);
}

static void copy_out(const struct fake_channel *channel, uint32_t at, void *to, size_t len)
{
	size_t first;

	at %= channel->data_len;
	first = MIN(len, (size_t)(channel->data_len - at));
	memcpy(to, channel->in_data + at, first);
	memcpy((uint8_t *)to + first, channel->in_data, len - first);
}

void fake_kick(struct fake_channel *channel)
{
	uint64_t one = 1;

	channel->kicks++;
	(void)!write(channel->kick_fd, &one, sizeof(one));
}

int fake_put(struct fake_channel *channel, uint16_t type, uint16_t flags, uint64_t transaction_id, const void *header,
	     size_t header_len, const void *payload, size_t payload_len)
{
	static const uint8_t zeroes[8];
	uint32_t len = ALIGN_UP((uint32_t)(sizeof(struct vmpacket_descriptor) + header_len + payload_len), 8u);
	uint32_t pad = len - (uint32_t)(sizeof(struct vmpacket_descriptor) + header_len + payload_len);
	uint32_t old = channel->out_write, at = old;
	uint64_t trailer = (uint64_t)old << 32;
	struct vmpacket_descriptor desc = {
		.type = type,
		.offset8 = (uint16_t)((sizeof(desc) + header_len) / 8),
		.len8 = (uint16_t)(len / 8),
		.flags = flags,
		.transaction_id = transaction_id,
	};

	if (bytes_to_write(channel->data_len, old, load(&channel->out->read_index)) <= len + sizeof(trailer))
		return -EAGAIN;
	at = copy_in(channel, at, &desc, sizeof(desc));
	at = copy_in(channel, at, header, header_len);
	at = copy_in(channel, at, payload, payload_len);
	at = copy_in(channel, at, zeroes, pad);
	at = copy_in(channel, at, &trailer, sizeof(trailer));
	channel->out_write = at;
	__atomic_store_n(&channel->out->write_index, at, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (load(&channel->out->interrupt_mask) == 0 && old == load(&channel->out->read_index))
		fake_kick(channel);
	return 0;
}

int fake_put_inband(struct fake_channel *channel, uint64_t transaction_id, const void *payload, size_t len)
{
	return fake_put(channel, VMPACKET_DATA_INBAND, VMPACKET_FLAG_COMPLETION_REQUESTED, transaction_id, NULL, 0,
			payload, len);
}

int fake_put_pages(struct fake_channel *channel, uint64_t transaction_id, const uint64_t *pages, size_t page_count,
		   uint32_t offset, uint32_t data_len, const void *payload, size_t len)
{
	uint64_t list[2 + 1024] = {(uint64_t)1 << 32, (uint64_t)offset << 32 | data_len};

	assert(page_count <= 1024);
	for (size_t i = 0; i < page_count; i++)
		list[2 + i] = pages[i] >> GUEST_PAGE_SHIFT;
	return fake_put(channel, VMPACKET_DATA_GPA_DIRECT, VMPACKET_FLAG_COMPLETION_REQUESTED, transaction_id, list,
			(2 + page_count) * sizeof(uint64_t), payload, len);
}

int fake_put_completion(struct fake_channel *channel, uint64_t transaction_id, const void *payload, size_t len)
{
	return fake_put(channel, VMPACKET_COMPLETION, 0, transaction_id, NULL, 0, payload, len);
}

bool fake_peek(const struct fake_channel *channel)
{
	return load(&channel->in->write_index) != channel->in_read;
}

/* Publish what was read; kick if the host waits for room and this made it enough. */
static void publish_read(struct fake_channel *channel, uint32_t freed)
{
	uint32_t pending, now;

	__atomic_store_n(&channel->in->read_index, channel->in_read, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	pending = load(&channel->in->pending_send_size);
	if (pending == 0)
		return;
	now = bytes_to_write(channel->data_len, load(&channel->in->write_index), channel->in_read);
	if (now - freed > pending || now <= pending)
		return;
	fake_kick(channel);
}

int fake_get(struct fake_channel *channel, struct fake_packet *ret_packet)
{
	struct vmpacket_descriptor desc;
	uint32_t len, offset;

	if (!fake_peek(channel))
		return -EAGAIN;
	copy_out(channel, channel->in_read, &desc, sizeof(desc));
	len = desc.len8 * 8u;
	offset = desc.offset8 * 8u;
	assert(offset >= sizeof(desc) && offset <= len && len - offset <= FAKE_PACKET_MAX);
	assert(offset - sizeof(desc) <= FAKE_HEADER_MAX);
	ret_packet->type = desc.type;
	ret_packet->flags = desc.flags;
	ret_packet->transaction_id = desc.transaction_id;
	ret_packet->header_len = (uint32_t)(offset - sizeof(desc));
	ret_packet->payload_len = len - offset;
	copy_out(channel, channel->in_read + (uint32_t)sizeof(desc), ret_packet->header, ret_packet->header_len);
	copy_out(channel, channel->in_read + offset, ret_packet->payload, len - offset);
	channel->in_read = (channel->in_read + len + 8) % channel->data_len;
	publish_read(channel, len + 8);
	return 0;
}

void fake_mask(struct fake_channel *channel)
{
	__atomic_store_n(&channel->in->interrupt_mask, 1, __ATOMIC_SEQ_CST);
}

bool fake_unmask(struct fake_channel *channel)
{
	__atomic_store_n(&channel->in->interrupt_mask, 0, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return fake_peek(channel);
}

bool fake_channel_irq(struct fake_channel *channel, int timeout_ms)
{
	struct pollfd fd = {.fd = channel->irq_fd, .events = POLLIN};
	uint64_t count;

	if (poll(&fd, 1, timeout_ms) <= 0 || read(channel->irq_fd, &count, sizeof(count)) != sizeof(count))
		return false;
	channel->interrupts += count;
	return true;
}

bool fake_channel_take_flag(struct fake_channel *channel, uint32_t vp)
{
	uint64_t *flags = fake_guest_ptr(channel->guest, channel->guest->flags_gpa[vp]);
	uint64_t bit = UINT64_C(1) << (channel->relid % 64);

	return __atomic_fetch_and(&flags[channel->relid / 64], ~bit, __ATOMIC_SEQ_CST) & bit;
}
