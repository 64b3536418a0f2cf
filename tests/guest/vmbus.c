// SPDX-License-Identifier: Apache-2.0
#include "vmbus.h"

#include "abi/hyperv.h"
#include "rt.h"

#define MESSAGES    256u
#define X2APIC_EOI  0x80bu
#define X2APIC_ICR  0x830u
#define WAKE_VECTOR (VMBUS_VECTOR + 1)
#define CPU_PAGES   __attribute__((aligned(HV_PAGE_SIZE)))

static struct hv_message_page simp_first[VMBUS_CPUS] CPU_PAGES;
static struct hv_synic_event_flags_page siefp_first[VMBUS_CPUS] CPU_PAGES;
static struct hv_message_page *simp[VMBUS_CPUS]; /* in use now */
static struct hv_synic_event_flags_page *siefp[VMBUS_CPUS];
static uint8_t hypercall_page[HV_PAGE_SIZE] CPU_PAGES;
static struct hv_input_post_message post_input CPU_PAGES;

/* Messages as they came; the interrupt handler of the vCPU that was named at contact puts them here. */
static uint8_t messages[MESSAGES][HV_MESSAGE_PAYLOAD_SIZE];
static volatile uint32_t messages_in, messages_out, messages_on[VMBUS_CPUS];
static struct vmbus_channel *volatile channels[VMBUS_CHANNELS_MAX + 1];
static uint32_t message_connection = VMBUS_MESSAGE_CONNECTION_ID_4;
static uint32_t version;
static bool lossy;

uint64_t vmbus_hypercall(uint64_t control, uint64_t input, uint64_t output)
{
	uint64_t status;
	register uint64_t r8 __asm__("r8") = output;

	__asm__ volatile("call *%[page]"
			 : "=a"(status), "+c"(control), "+d"(input), "+r"(r8)
			 : [page] "r"((uintptr_t)hypercall_page)
			 : "r9", "r10", "r11", "memory", "cc");
	return status;
}

static void take_message(uint32_t cpu)
{
	struct hv_message *slot = &simp[cpu]->sint_message[VMBUS_MESSAGE_SINT];

	if (__atomic_load_n(&slot->header.message_type, __ATOMIC_ACQUIRE) == HV_MESSAGE_TYPE_NONE)
		return;
	if (messages_in - messages_out == MESSAGES && !lossy)
		rt_fail("more than %u messages wait", MESSAGES);
	if (messages_in - messages_out < MESSAGES) {
		memcpy(messages[messages_in % MESSAGES], slot->payload, HV_MESSAGE_PAYLOAD_SIZE);
		messages_on[cpu]++;
		messages_in++;
	}
	__atomic_store_n(&slot->header.message_type, HV_MESSAGE_TYPE_NONE, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&slot->header.message_flags, __ATOMIC_SEQ_CST) & HV_MESSAGE_FLAG_PENDING)
		rt_wrmsr(HV_X64_MSR_EOM, 0);
}

static void take_events(uint32_t cpu)
{
	uint64_t *flags = siefp[cpu]->sint_event_flags[VMBUS_MESSAGE_SINT].flags;

	for (uint32_t i = 0; i < HV_EVENT_FLAGS_COUNT / 64; i++) {
		uint64_t set;

		if (!__atomic_load_n(&flags[i], __ATOMIC_RELAXED))
			continue;
		set = __atomic_exchange_n(&flags[i], 0, __ATOMIC_SEQ_CST);
		for (; set; set &= set - 1) {
			struct vmbus_channel *channel = channels[i * 64 + (uint32_t)__builtin_ctzll(set)];

			if (channel)
				channel->events[cpu]++;
		}
	}
}

static void on_wake(void)
{
	rt_wrmsr(X2APIC_EOI, 0);
}

static void on_interrupt(void)
{
	uint32_t cpu = rt_cpu();

	take_message(cpu);
	take_events(cpu);
	rt_wrmsr(X2APIC_EOI, 0);
	if (cpu != 0)
		rt_wrmsr(X2APIC_ICR, WAKE_VECTOR); /* who waits sleeps on vCPU 0 */
}

void vmbus_start(void)
{
	rt_wrmsr(HV_X64_MSR_GUEST_OS_ID, 0x8100ull << 48);
	rt_wrmsr(HV_X64_MSR_HYPERCALL, (uintptr_t)hypercall_page | HV_X64_MSR_PAGE_ENABLE);
	rt_set_handler(VMBUS_VECTOR, on_interrupt);
	rt_set_handler(WAKE_VECTOR, on_wake);
}

void vmbus_synic_start(uint32_t cpu)
{
	simp[cpu] = &simp_first[cpu];
	siefp[cpu] = &siefp_first[cpu];
	rt_wrmsr(HV_X64_MSR_SIMP, (uintptr_t)simp[cpu] | HV_X64_MSR_PAGE_ENABLE);
	rt_wrmsr(HV_X64_MSR_SIEFP, (uintptr_t)siefp[cpu] | HV_X64_MSR_PAGE_ENABLE);
	rt_wrmsr(HV_X64_MSR_SINT0 + VMBUS_MESSAGE_SINT, VMBUS_VECTOR);
	rt_wrmsr(HV_X64_MSR_SCONTROL, HV_SYNIC_CONTROL_ENABLE);
}

static volatile uint32_t cpus_ready;

static void other_cpu(void)
{
	vmbus_synic_start(rt_cpu());
	cpus_ready++;
	for (;;)
		__asm__ volatile("sti; hlt");
}

void vmbus_start_cpus(uint32_t cpus)
{
	for (uint32_t cpu = 1; cpu < cpus; cpu++) {
		rt_start_cpu(cpu, other_cpu);
		while (cpus_ready != cpu)
			__asm__ volatile("pause");
	}
}

void vmbus_synic_move(uint32_t cpu, void *messages_page, void *flags_page)
{
	struct hv_message_page *old_messages = simp[cpu];
	struct hv_synic_event_flags_page *old_flags = siefp[cpu];

	__asm__ volatile("cli" : : : "memory");
	rt_wrmsr(HV_X64_MSR_SIMP, (uintptr_t)messages_page | HV_X64_MSR_PAGE_ENABLE);
	rt_wrmsr(HV_X64_MSR_SIEFP, (uintptr_t)flags_page | HV_X64_MSR_PAGE_ENABLE);
	/* what was put there before */
	simp[cpu] = old_messages;
	siefp[cpu] = old_flags;
	take_message(cpu);
	take_events(cpu);
	simp[cpu] = messages_page;
	siefp[cpu] = flags_page;
	__asm__ volatile("sti" : : : "memory");
}

void *vmbus_synic_page(uint32_t cpu, bool flags)
{
	return flags ? (void *)siefp[cpu] : (void *)simp[cpu];
}

void vmbus_wake(uint32_t cpu)
{
	rt_wrmsr(X2APIC_ICR, (uint64_t)cpu << 32 | WAKE_VECTOR);
}

/* ---- messages ---- */

void vmbus_lossy(void)
{
	lossy = true;
}

uint64_t vmbus_try_post(uint32_t connection, uint32_t type, const void *message, uint32_t len)
{
	memset(&post_input, 0, sizeof(post_input));
	post_input.connection_id = connection;
	post_input.message_type = type;
	post_input.payload_size = len;
	memcpy(post_input.payload, message, len);
	return vmbus_hypercall(HVCALL_POST_MESSAGE, (uintptr_t)&post_input, 0);
}

void vmbus_post(const void *message, uint32_t len)
{
	uint64_t status;

	/* full: the host waits for us to take its answers */
	while ((status = vmbus_try_post(message_connection, VMBUS_MESSAGE_TYPE, message, len)) ==
	       HV_STATUS_INSUFFICIENT_BUFFERS)
		__asm__ volatile("sti; pause" : : : "memory");
	if (status)
		rt_fail("HvPostMessage: status %u", (uint32_t)status);
}

const void *vmbus_poll_message(void)
{
	return messages_out == messages_in ? NULL : messages[messages_out++ % MESSAGES];
}

const void *vmbus_next_message(void)
{
	while (messages_out == messages_in)
		rt_idle(messages_out == messages_in);
	return messages[messages_out++ % MESSAGES];
}

uint32_t vmbus_messages(uint32_t cpu)
{
	return messages_on[cpu];
}

void vmbus_discard(void)
{
	messages_out = messages_in;
}

/* Every conversation here is one question and its answers in turn, so that nothing else may come. */
static const void *expect(uint32_t type)
{
	const struct vmbus_msg_header *header = vmbus_next_message();

	if (header->msgtype != type)
		rt_fail("message %u where %u was due", header->msgtype, type);
	return header;
}

bool vmbus_contact(uint32_t wanted, uint32_t cpu)
{
	struct vmbus_msg_initiate_contact msg = {
		.header.msgtype = VMBUS_MSG_INITIATE_CONTACT,
		.vmbus_version_requested = wanted,
		.target_vcpu = cpu,
	};
	const struct vmbus_msg_version_response *response;

	if (wanted >= VMBUS_VERSION_5_0)
		msg.msg_sint = VMBUS_MESSAGE_SINT;
	message_connection = wanted >= VMBUS_VERSION_5_0 ? VMBUS_MESSAGE_CONNECTION_ID_4 : VMBUS_MESSAGE_CONNECTION_ID;
	vmbus_post(&msg, sizeof(msg));
	response = expect(VMBUS_MSG_VERSION_RESPONSE);
	if (!response->version_supported || response->connection_state)
		return false;
	if (wanted >= VMBUS_VERSION_5_0)
		message_connection = response->msg_conn_id;
	version = wanted;
	return true;
}

static void post_simple(uint32_t type)
{
	struct vmbus_msg_header msg = {.msgtype = type};

	vmbus_post(&msg, sizeof(msg));
}

uint32_t vmbus_request_offers(struct vmbus_msg_offer_channel offers[VMBUS_OFFERS])
{
	uint32_t count = 0;

	post_simple(VMBUS_MSG_REQUESTOFFERS);
	for (;;) {
		const struct vmbus_msg_header *header = vmbus_next_message();

		if (header->msgtype == VMBUS_MSG_ALLOFFERS_DELIVERED)
			return count;
		if (header->msgtype != VMBUS_MSG_OFFERCHANNEL || count == VMBUS_OFFERS)
			rt_fail("message %u among the offers", header->msgtype);
		memcpy(&offers[count++], header, sizeof(offers[0]));
	}
}

const struct vmbus_msg_offer_channel *vmbus_find(const struct vmbus_msg_offer_channel *offers, uint32_t count,
						 struct abi_guid type)
{
	for (uint32_t i = 0; i < count; i++)
		if (memcmp(&offers[i].offer.if_type, &type, sizeof(type)) == 0)
			return &offers[i];
	return NULL;
}

uint32_t vmbus_gpadl(uint32_t relid, uint32_t gpadl, void *memory, uint32_t pages)
{
	struct {
		struct vmbus_msg_gpadl_header h;
		uint32_t byte_count, byte_offset;
		uint64_t pfn[26];
	} __attribute__((packed)) header = {
		.h.header.msgtype = VMBUS_MSG_GPADL_HEADER,
		.h.child_relid = relid,
		.h.gpadl = gpadl,
		.h.range_buflen = (uint16_t)(8 + 8 * pages),
		.h.rangecount = 1,
		.byte_count = pages * VMBUS_PAGE_SIZE,
	};
	struct {
		struct vmbus_msg_gpadl_body b;
		uint64_t pfn[28];
	} __attribute__((packed)) body = {.b.header.msgtype = VMBUS_MSG_GPADL_BODY, .b.gpadl = gpadl};
	uint64_t pfn = (uintptr_t)memory / VMBUS_PAGE_SIZE;
	const struct vmbus_msg_gpadl_created *created;
	uint32_t done = 0, n = 0;

	while (n < 26 && done < pages)
		header.pfn[n++] = pfn + done++;
	vmbus_post(&header, (uint32_t)sizeof(header) - 8 * (26 - n));
	while (done < pages) {
		for (n = 0; n < 28 && done < pages;)
			body.pfn[n++] = pfn + done++;
		vmbus_post(&body, (uint32_t)sizeof(body) - 8 * (28 - n));
	}
	created = expect(VMBUS_MSG_GPADL_CREATED);
	if (created->child_relid != relid || created->gpadl != gpadl)
		rt_fail("GPADL_CREATED for another GPADL");
	return created->creation_status;
}

void vmbus_gpadl_teardown(uint32_t relid, uint32_t gpadl)
{
	struct vmbus_msg_gpadl_teardown msg = {
		.header.msgtype = VMBUS_MSG_GPADL_TEARDOWN,
		.child_relid = relid,
		.gpadl = gpadl,
	};
	const struct vmbus_msg_gpadl_torndown *torndown;

	vmbus_post(&msg, sizeof(msg));
	torndown = expect(VMBUS_MSG_GPADL_TORNDOWN);
	if (torndown->gpadl != gpadl)
		rt_fail("GPADL_TORNDOWN for another GPADL");
}

uint32_t vmbus_open(struct vmbus_channel *channel, const struct vmbus_msg_offer_channel *offer, void *memory,
		    uint32_t pages, uint32_t cpu)
{
	static uint32_t next_gpadl = 0xe1e10;
	uint32_t relid = offer->child_relid, half = pages / 2;
	struct vmbus_msg_open_channel msg = {
		.header.msgtype = VMBUS_MSG_OPENCHANNEL,
		.child_relid = relid,
		.openid = relid,
		.target_vp = cpu,
		.downstream_ringbuffer_pageoffset = half,
	};
	const struct vmbus_msg_open_result *result;
	uint32_t status;

	memset(channel, 0, sizeof(*channel));
	memset(memory, 0, (size_t)pages * VMBUS_PAGE_SIZE);
	channel->offer = *offer;
	channel->gpadl = msg.ringbuffer_gpadlhandle = next_gpadl++;
	channel->out.header = memory;
	channel->in.header = (void *)((uint8_t *)memory + (size_t)half * VMBUS_PAGE_SIZE);
	channel->out.data = (uint8_t *)(channel->out.header + 1);
	channel->in.data = (uint8_t *)(channel->in.header + 1);
	channel->out.len = channel->in.len = (half - 1) * VMBUS_PAGE_SIZE;
	channel->out.header->feature_bits = RING_FEATURE_PENDING_SEND_SIZE;
	status = vmbus_gpadl(relid, channel->gpadl, memory, pages);
	if (status)
		return status;
	channels[relid] = channel;
	vmbus_post(&msg, sizeof(msg));
	result = expect(VMBUS_MSG_OPENCHANNEL_RESULT);
	if (result->child_relid != relid || result->openid != relid)
		rt_fail("OPENCHANNEL_RESULT of another channel");
	if (result->status)
		channels[relid] = NULL;
	return result->status;
}

void vmbus_close(struct vmbus_channel *channel)
{
	uint32_t relid = channel->offer.child_relid;
	struct vmbus_msg_relid msg = {.header.msgtype = VMBUS_MSG_CLOSECHANNEL, .child_relid = relid};

	channels[relid] = NULL;
	vmbus_post(&msg, sizeof(msg));
	vmbus_gpadl_teardown(relid, channel->gpadl);
}

uint32_t vmbus_modify(struct vmbus_channel *channel, uint32_t cpu)
{
	struct vmbus_msg_modify_channel msg = {
		.header.msgtype = VMBUS_MSG_MODIFYCHANNEL,
		.child_relid = channel->offer.child_relid,
		.target_vp = cpu,
	};
	const struct vmbus_msg_modify_response *response;

	vmbus_post(&msg, sizeof(msg));
	if (version < VMBUS_VERSION_5_3)
		return 0;
	response = expect(VMBUS_MSG_MODIFYCHANNEL_RESPONSE);
	if (response->child_relid != msg.child_relid)
		rt_fail("MODIFYCHANNEL_RESPONSE of another channel");
	return response->status;
}

void vmbus_unload(void)
{
	post_simple(VMBUS_MSG_UNLOAD);
	expect(VMBUS_MSG_UNLOAD_RESPONSE);
	memset((void *)channels, 0, sizeof(channels));
}

/* ---- rings ---- */

static uint32_t ring_put(struct vmbus_ring *ring, uint32_t at, const void *bytes, uint32_t len)
{
	uint32_t first = len < ring->len - at ? len : ring->len - at;

	memcpy(ring->data + at, bytes, first);
	memcpy(ring->data, (const uint8_t *)bytes + first, len - first);
	return (at + len) % ring->len;
}

static void ring_get(const struct vmbus_ring *ring, uint32_t at, void *bytes, uint32_t len)
{
	uint32_t first;

	at %= ring->len;
	first = len < ring->len - at ? len : ring->len - at;
	memcpy(bytes, ring->data + at, first);
	memcpy((uint8_t *)bytes + first, ring->data, len - first);
}

static uint32_t ring_used(const struct vmbus_ring *ring, uint32_t write, uint32_t read)
{
	return write >= read ? write - read : ring->len - read + write;
}

void vmbus_signal(struct vmbus_channel *channel)
{
	uint64_t status = vmbus_hypercall(HV_HYPERCALL_SIGNAL_EVENT_FAST, channel->offer.connection_id, 0);

	if (status)
		rt_fail("HvSignalEvent: status %u", (uint32_t)status);
	channel->kicks++;
}

bool vmbus_send(struct vmbus_channel *channel, uint16_t type, uint64_t id, const void *header, uint32_t header_len,
		const void *payload, uint32_t len)
{
	static const uint64_t zero;
	struct vmbus_ring *ring = &channel->out;
	uint32_t body = (len + 7) & ~7u, start = ring->cursor, at;
	uint32_t total = (uint32_t)sizeof(struct vmpacket_descriptor) + header_len + body;
	struct vmpacket_descriptor desc = {
		.type = type,
		.offset8 = (uint16_t)((sizeof(desc) + header_len) / 8),
		.len8 = (uint16_t)(total / 8),
		.flags = VMPACKET_FLAG_COMPLETION_REQUESTED,
		.transaction_id = id,
	};
	struct vmpacket_trailer trailer = {.packet_start = start};
	uint32_t read = __atomic_load_n(&ring->header->read_index, __ATOMIC_ACQUIRE);

	if (total + sizeof(trailer) >= ring->len - ring_used(ring, start, read))
		return false;
	at = ring_put(ring, start, &desc, sizeof(desc));
	at = ring_put(ring, at, header, header_len);
	at = ring_put(ring, at, payload, len);
	at = ring_put(ring, at, &zero, body - len);
	at = ring_put(ring, at, &trailer, sizeof(trailer));
	ring->cursor = at;
	__atomic_store_n(&ring->header->write_index, at, __ATOMIC_RELEASE);
	/* The host clears its mask, then looks at write_index once more: one of us sees the other. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&ring->header->interrupt_mask, __ATOMIC_RELAXED) &&
	    __atomic_load_n(&ring->header->read_index, __ATOMIC_RELAXED) == start)
		vmbus_signal(channel);
	return true;
}

/* We took packets out of the incoming ring: a host that waits for room is told when there is enough. */
static void signal_room(struct vmbus_channel *channel, uint32_t old_read, uint32_t new_read)
{
	struct vmbus_ring *ring = &channel->in;
	uint32_t pending, write, before, now;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	pending = __atomic_load_n(&ring->header->pending_send_size, __ATOMIC_RELAXED);
	if (!pending)
		return;
	write = __atomic_load_n(&ring->header->write_index, __ATOMIC_RELAXED);
	before = ring->len - ring_used(ring, write, old_read);
	now = ring->len - ring_used(ring, write, new_read);
	if (before <= pending && now > pending)
		vmbus_signal(channel);
}

/* @whole: from the descriptor on, else from the payload on. */
static bool take_packet(struct vmbus_channel *channel, struct vmpacket_descriptor *ret_desc, bool whole, void *to,
			uint32_t cap, uint32_t *ret_len)
{
	struct vmbus_ring *ring = &channel->in;
	uint32_t write = __atomic_load_n(&ring->header->write_index, __ATOMIC_ACQUIRE);
	uint32_t used = ring_used(ring, write, ring->cursor), len, skip, old = ring->cursor;

	if (!used)
		return false;
	ring_get(ring, ring->cursor, ret_desc, sizeof(*ret_desc));
	if (ret_desc->offset8 < 2 || ret_desc->len8 < ret_desc->offset8 || ret_desc->len8 * 8u + 8u > used)
		rt_fail("a bad packet from the host: offset %u, length %u", ret_desc->offset8, ret_desc->len8);
	skip = whole ? 0 : ret_desc->offset8 * 8u;
	len = ret_desc->len8 * 8u - skip;
	if (len > cap)
		rt_fail("a packet of %u bytes from the host", len);
	ring_get(ring, ring->cursor + skip, to, len);
	*ret_len = len;
	ring->cursor = (ring->cursor + ret_desc->len8 * 8u + 8u) % ring->len;
	__atomic_store_n(&ring->header->read_index, ring->cursor, __ATOMIC_RELEASE);
	signal_room(channel, old, ring->cursor);
	return true;
}

bool vmbus_receive(struct vmbus_channel *channel, struct vmpacket_descriptor *ret_desc, void *payload, uint32_t cap,
		   uint32_t *ret_len)
{
	return take_packet(channel, ret_desc, false, payload, cap, ret_len);
}

bool vmbus_receive_whole(struct vmbus_channel *channel, struct vmpacket_descriptor *ret_desc, void *bytes, uint32_t cap,
			 uint32_t *ret_len)
{
	return take_packet(channel, ret_desc, true, bytes, cap, ret_len);
}

void vmbus_wait_packet(struct vmbus_channel *channel)
{
	struct vmbus_ring *ring = &channel->in;

	while (__atomic_load_n(&ring->header->write_index, __ATOMIC_ACQUIRE) == ring->cursor)
		rt_idle(__atomic_load_n(&ring->header->write_index, __ATOMIC_ACQUIRE) == ring->cursor);
}
