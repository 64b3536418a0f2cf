// SPDX-License-Identifier: Apache-2.0
/* Rings whose indices lie, packets that contradict themselves, page lists outside memory or over what we share. */
#include "abi/hyperv.h"
#include "hostile.h"

#define DATA_LEN (15u * 4096) /* of each of disk.c's rings */
#define ROUNDS	 12u
#define KICKS	 5000u

/* ---- indices ---- */

static void store(uint32_t *field, uint32_t value)
{
	__atomic_store_n(field, value, __ATOMIC_SEQ_CST);
}

static void write_index(void)
{
	static const uint32_t values[] = {
		4, 7, 0xfffffff8, 0xffffffff, 0x80000000, DATA_LEN, DATA_LEN + 8, DATA_LEN - 8, 8};

	for (uint32_t i = 0; i < COUNT_OF(values); i++) {
		hostile_connect(0);
		store(&hostile_channel.out.header->write_index, values[i]);
		vmbus_signal(&hostile_channel);
		vmbus_close(&hostile_channel);
		hostile_leave();
	}
}

static void read_index(void)
{
	static const uint32_t values[] = {3, 0xfffffff8, 0xffffffff, DATA_LEN, DATA_LEN + 8, 0x80000000};

	for (uint32_t i = 0; i < COUNT_OF(values); i++) {
		hostile_connect(0);
		store(&hostile_channel.in.header->read_index, values[i]);
		for (uint32_t n = 0; n < 8; n++)
			hostile_read(n + 1, n * 8, 8);
		vmbus_signal(&hostile_channel);
		vmbus_close(&hostile_channel);
		hostile_leave();
	}
}

/* A channel is opened on rings that are not empty: their indices count, if they can be. */
static void first_index(void)
{
	static uint8_t rings[8 * 4096] __attribute__((aligned(4096)));
	static const uint32_t values[][4] = {
		/* of our ring: write, read; of theirs: write, read */
		{4, 0, 0, 0},	     {0, 4, 0, 0},	  {0, 0, 4, 0},	       {0, 0, 0, 4}, {~0u, ~0u, ~0u, ~0u},
		{3 * 4096, 0, 0, 0}, {0, 3 * 4096, 0, 0}, {0, 0, 3 * 4096, 0}, {8, 0, 0, 0}, {64, 64, 128, 128},
	};

	for (uint32_t i = 0; i < COUNT_OF(values); i++) {
		uint32_t relid = hostile_contact()->child_relid;
		struct ring_header *ours = (void *)rings, *theirs = (void *)(rings + 4 * 4096);
		struct vmbus_msg_open_channel msg = {
			.header.msgtype = VMBUS_MSG_OPENCHANNEL,
			.child_relid = relid,
			.ringbuffer_gpadlhandle = i + 1,
			.downstream_ringbuffer_pageoffset = 4,
		};

		memset(rings, 0xee, sizeof(rings));
		ours->write_index = values[i][0];
		ours->read_index = values[i][1];
		theirs->write_index = values[i][2];
		theirs->read_index = values[i][3];
		rt_check(!vmbus_gpadl(relid, i + 1, rings, 8), "GPADL");
		vmbus_post(&msg, sizeof(msg));
		vmbus_next_message(); /* whatever it says */
		hostile_leave();
	}
}

/* ---- a second vCPU in the rings ---- */

static void scribble_indices(void)
{
	uint32_t *fields[] = {
		&hostile_channel.out.header->write_index,    &hostile_channel.out.header->read_index,
		&hostile_channel.in.header->write_index,     &hostile_channel.in.header->read_index,
		&hostile_channel.out.header->interrupt_mask, &hostile_channel.in.header->pending_send_size,
		&hostile_channel.in.header->feature_bits};
	uint32_t n = hostile_random();

	store(fields[n % COUNT_OF(fields)], n & 1 << 20 ? n : (n >> 8) % DATA_LEN & ~7u);
}

/* Only what the host may read: valid indices between which packets stand. */
static void scribble_write_index(void)
{
	store(&hostile_channel.out.header->write_index, hostile_random() % 4096 & ~7u);
}

static void scribble_packets(void)
{
	uint32_t *words = (uint32_t *)hostile_channel.out.data, n = hostile_random();

	words[n % 2048] ^= 1u << (n >> 16) % 32;
}

static void scribble_replies(void)
{
	((uint32_t *)hostile_channel.in.data)[hostile_random() % 4096] = hostile_random();
}

static void while_scribbled(void (*scribble)(void))
{
	for (uint32_t round = 0; round < ROUNDS; round++) {
		hostile_connect(0);
		hostile_beside(scribble);
		for (uint32_t i = 0; i < 64; i++) {
			hostile_read(i + 1, i * 8, 8);
			vmbus_signal(&hostile_channel);
		}
		hostile_beside(NULL);
		hostile_leave();
	}
}

static void indices_beside(void)
{
	while_scribbled(scribble_indices);
}

static void write_index_beside(void)
{
	while_scribbled(scribble_write_index);
}

static void packets_beside(void)
{
	while_scribbled(scribble_packets);
}

static void replies_beside(void)
{
	while_scribbled(scribble_replies);
}

/* ---- packets ---- */

/* The bytes are a packet's only in name; they go out and the host is told. */
static void send_bytes(const void *bytes, uint32_t len)
{
	memcpy(hostile_channel.out.data + hostile_channel.out.cursor, bytes, len);
	hostile_channel.out.cursor += len;
	store(&hostile_channel.out.header->write_index, hostile_channel.out.cursor);
	vmbus_signal(&hostile_channel);
}

static void packets(void)
{
	static const struct {
		struct vmpacket_descriptor desc;
		uint32_t len; /* as write_index says */
	} rows[] = {
		{{VMPACKET_DATA_INBAND, 2, 0, 1, 9}, 40},
		{{VMPACKET_DATA_INBAND, 2, 1, 1, 9}, 40},
		{{VMPACKET_DATA_INBAND, 2, 2, 1, 9}, 24}, /* no payload */
		{{VMPACKET_DATA_INBAND, 2, 2, 1, 9}, 16}, /* no trailer */
		{{VMPACKET_DATA_INBAND, 2, 2, 1, 9}, 8},  /* half a descriptor */
		{{VMPACKET_DATA_INBAND, 0, 4, 1, 9}, 40},
		{{VMPACKET_DATA_INBAND, 1, 4, 1, 9}, 40},
		{{VMPACKET_DATA_INBAND, 5, 4, 1, 9}, 40},
		{{VMPACKET_DATA_INBAND, 0xffff, 4, 1, 9}, 40},
		{{VMPACKET_DATA_INBAND, 0xffff, 0xffff, 1, 9}, 40},
		{{VMPACKET_DATA_INBAND, 2, 0xffff, 1, 9}, 40},
		{{VMPACKET_DATA_INBAND, 2, 4, 0xffff, ~0ull}, 40},
		{{VMPACKET_DATA_INBAND, 2, 1000, 1, 9}, 8008}, /* longer than any packet of this protocol */
		{{0x77, 2, 4, 1, 9}, 40},
		{{0, 2, 4, 1, 9}, 40},
		{{VMPACKET_COMPLETION, 2, 4, 1, 9}, 40},
		{{VMPACKET_DATA_GPA_DIRECT, 2, 4, 1, 9}, 40},
		{{VMPACKET_DATA_GPA_DIRECT, 3, 4, 1, 9}, 40},
		{{VMPACKET_DATA_GPA_DIRECT, 4, 4, 1, 9}, 40},
		{{VMPACKET_DATA_TRANSFER_PAGES, 2, 4, 1, 9}, 40},
	};
	static uint8_t packet[8008];

	for (uint32_t i = 0; i < COUNT_OF(rows); i++) {
		memset(packet, i % 2 ? 0xff : 0, sizeof(packet));
		memcpy(packet, &rows[i].desc, sizeof(rows[i].desc));
		hostile_connect(0);
		send_bytes(packet, rows[i].len);
		vmbus_close(&hostile_channel);
		hostile_leave();
	}
}

static void send_list(uint64_t id, const void *list, uint32_t len)
{
	struct vstor_packet packet = {
		.operation = VSTOR_OPERATION_EXECUTE_SRB,
		.flags = VSTOR_REQUEST_COMPLETION_FLAG,
		.vm_srb = {.length = 52, .cdb_length = 10, .data_in = VSTOR_DATA_IN, .data_transfer_length = 8192},
	};

	storvsc_rw10(packet.vm_srb.cdb, false, 0, 16);
	vmbus_send(&hostile_channel, VMPACKET_DATA_GPA_DIRECT, id, list, len, &packet, sizeof(packet));
}

static void page_lists(void)
{
	static const struct {
		struct gpa_direct_header header;
		uint32_t byte_count, byte_offset;
		uint64_t pfn[2];
	} rows[] = {
		{{0, 0}, 4096, 0, {1, 2}},
		{{0, 0xffffffff}, 4096, 0, {1, 2}},
		{{0, 1}, 0xffffffff, 0, {1, 2}},
		{{0, 1}, 0, 0, {1, 2}},
		{{0, 1}, 8192, 0xffffffff, {1, 2}},
		{{0, 1}, 8192, 4096, {1, 2}},
		{{0, 1}, 8192, 8, {1, 2}},
		{{0, 1}, 8192, 0, {HOSTILE_MEMORY / 4096 - 1, HOSTILE_MEMORY / 4096}},
		{{0, 1}, 8192, 0, {0xfffffffffffff, 1}},
		{{0, 1}, 8192, 0, {0x100000, 0x100001}},
		{{0, 1}, 8192, 0, {0xfee00, 0xfec00}},
		{{0, 1}, 8192, 0, {UINT64_MAX, UINT64_MAX}},
		{{0, 1}, 8192, 0, {1ull << 52, 1ull << 63}},
		{{0, 2}, 4096, 0, {0x200, 0x201}},
		{{0, 3}, 0, 0, {0, 0}},
		{{~0u, 1}, 1, 4095, {UINT64_MAX, 0}},
	};

	for (uint32_t i = 0; i < COUNT_OF(rows); i++) {
		hostile_connect(0);
		send_list(i + 1, &rows[i], sizeof(rows[i]));
		vmbus_close(&hostile_channel);
		hostile_leave();
	}
}

/* Until the host has written something, or will not. */
static void wait_reply(void)
{
	uint64_t start = hostile_now();

	while (__atomic_load_n(&hostile_channel.in.header->write_index, __ATOMIC_ACQUIRE) ==
		       hostile_channel.in.cursor &&
	       hostile_now() - start < 10000000)
		__asm__ volatile("pause" : : : "memory");
}

/* Data over what we share with the host; the lists are good. */
static void page_targets(void)
{
	for (uint32_t i = 0; i < 6; i++) {
		struct {
			struct gpa_direct_header header;
			uint32_t byte_count, byte_offset;
			uint64_t pfn[2];
		} list = {{0, 1}, 8192, 0, {0, 0}};
		const void *targets[6];

		hostile_connect(0);
		targets[0] = hostile_channel.out.header;
		targets[1] = hostile_channel.in.header;
		targets[2] = hostile_channel.in.data;
		targets[3] = vmbus_synic_page(0, true);
		targets[4] = vmbus_synic_page(0, false);
		targets[5] = hostile_page; /* the same page twice */
		list.pfn[0] = list.pfn[1] = (uintptr_t)targets[i] / 4096;
		__asm__ volatile("cli" : : : "memory");
		send_list(i + 1, &list, sizeof(list));
		wait_reply();
		/* what lies in the slots now is not the host's: it waits for them to be free */
		if (i == 3 || i == 4)
			memset((void *)(uintptr_t)targets[i], 0, 4096);
		rt_wrmsr(HV_X64_MSR_EOM, 0);
		__asm__ volatile("sti" : : : "memory");
		vmbus_close(&hostile_channel);
		hostile_leave();
	}
}

/* ---- what is allowed, but should not hurt ---- */

static void same_id(void)
{
	hostile_connect(0);
	for (uint32_t round = 0; round < 4; round++) {
		for (uint32_t i = 0; i < 32; i++)
			rt_check(hostile_read(77, i * 8, 8), "the ring is full");
		hostile_drain(32);
	}
}

static void masks(void)
{
	static const uint32_t values[] = {0, 1, 0xffffffff, 0x80000000, 4096, DATA_LEN, 7};

	for (uint32_t i = 0; i < COUNT_OF(values) * 2; i++) {
		uint32_t value = values[i % COUNT_OF(values)];

		hostile_connect(0);
		hostile_channel.out.header->feature_bits = i < COUNT_OF(values) ? 1 : ~0u;
		store(&hostile_channel.out.header->pending_send_size, value);
		store(&hostile_channel.out.header->interrupt_mask, value);
		store(&hostile_channel.in.header->interrupt_mask, value);
		store(&hostile_channel.in.header->pending_send_size, value);
		store(&hostile_channel.in.header->feature_bits, value);
		for (uint32_t n = 0; n < 32; n++) {
			rt_check(hostile_read(n + 1, n * 8, 8), "the ring is full");
			vmbus_signal(&hostile_channel);
		}
		hostile_drain(32);
		hostile_leave();
	}
}

/* We take no completions until nothing goes in any more. Then each must come. */
static void full(void)
{
	uint32_t sent = 0, idle = 0;

	disk_connect_ring(&hostile_channel, VMBUS_VERSION_5_3, 0, 4);
	while (idle < 2000) {
		if (hostile_read(sent + 1, 0, 1)) {
			sent++;
			idle = 0;
		} else {
			vmbus_signal(&hostile_channel);
			idle++;
		}
	}
	hostile_drain(sent);
	/* and once more, but we close it then */
	while (hostile_read(sent + 1, 0, 1))
		sent++;
	vmbus_close(&hostile_channel);
}

static void kicks(void)
{
	hostile_connect(0);
	for (uint32_t i = 0; i < KICKS; i++)
		vmbus_signal(&hostile_channel);
	hostile_read(1, 0, 8);
	hostile_drain(1);
	store(&hostile_channel.out.header->write_index, 4);
	for (uint32_t i = 0; i < KICKS; i++)
		vmbus_signal(&hostile_channel);
}

static const struct hostile_case ring_cases[] = {
	{"ring-write-index", write_index},
	{"ring-read-index", read_index},
	{"ring-first-index", first_index},
	{"ring-indices-beside", indices_beside},
	{"ring-write-index-beside", write_index_beside},
	{"ring-packets-beside", packets_beside},
	{"ring-replies-beside", replies_beside},
	{"ring-packets", packets},
	{"ring-page-lists", page_lists},
	{"ring-page-targets", page_targets},
	{"ring-same-id", same_id},
	{"ring-masks", masks},
	{"ring-full", full},
	{"ring-kicks", kicks},
};
const struct hostile_group hostile_rings = {"rings", ring_cases, COUNT_OF(ring_cases)};
