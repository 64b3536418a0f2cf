// SPDX-License-Identifier: Apache-2.0
/*
 * A guest that breaks the protocol wherever it can: messages of every type with nonsense in them, rings with impossible
 * indices, packets that contradict themselves, page lists outside memory. After each the host must still serve an
 * ordinary guest: the data on the disk is checked over a new connection.
 */
#include "disk.h"
#include "rt.h"

#define STORM 400u

static struct vmbus_channel channel;
static uint64_t random_state = 88172645463325252ull;

static uint32_t random_number(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 16);
}

/* Small numbers hit what exists, the others are anything. */
static uint32_t random_field(void)
{
	uint32_t n = random_number();

	return n % 4 == 0 ? n : n % 4 == 1 ? 0xe1e10 + (n >> 8) % 4 : (n >> 8) % 4;
}

static void leave(void)
{
	struct vmbus_msg_header msg = {.msgtype = VMBUS_MSG_UNLOAD};
	const struct vmbus_msg_header *answer;

	vmbus_discard();
	vmbus_post(&msg, sizeof(msg));
	do {
		answer = vmbus_next_message();
	} while (answer->msgtype != VMBUS_MSG_UNLOAD_RESPONSE);
}

static void check_host(uint32_t seed)
{
	disk_connect(&channel, VMBUS_VERSION_5_3, 0);
	disk_check_pattern(&channel, seed);
	vmbus_close(&channel);
	vmbus_unload();
}

/* ---- messages ---- */

static void storm(void)
{
	uint32_t message[VMBUS_MESSAGE_PAYLOAD_MAX / 4];

	for (uint32_t i = 0; i < STORM; i++) {
		uint32_t len = i % 3 ? random_number() % (VMBUS_MESSAGE_PAYLOAD_MAX + 1) : VMBUS_MESSAGE_PAYLOAD_MAX;

		for (uint32_t word = 2; word < VMBUS_MESSAGE_PAYLOAD_MAX / 4; word++)
			message[word] = random_field();
		message[0] = i % 40;
		message[1] = 0;
		if (message[0] == VMBUS_MSG_UNLOAD)
			continue;
		vmbus_post(message, len);
		vmbus_discard();
	}
	leave();
}

/* ---- rings ---- */

/* The bytes are a packet's only in name; they go out and the host is told. */
static void send_bytes(const void *bytes, uint32_t len)
{
	memcpy(channel.out.data + channel.out.cursor, bytes, len);
	channel.out.cursor += len;
	__atomic_store_n(&channel.out.header->write_index, channel.out.cursor, __ATOMIC_SEQ_CST);
	vmbus_signal(&channel);
}

static void bad_write_index(uint32_t n)
{
	static const uint32_t values[] = {4, 7, 0xfffffff8, 0xffffffff, 0x80000000, 15 * 4096, 15 * 4096 + 8};

	__atomic_store_n(&channel.out.header->write_index, values[n % 7], __ATOMIC_SEQ_CST);
	vmbus_signal(&channel);
}

static void bad_read_index(uint32_t n)
{
	static const uint32_t values[] = {3, 0xfffffff8, 15 * 4096};
	uint8_t cdb[6] = {SCSI_TEST_UNIT_READY};

	__atomic_store_n(&channel.in.header->read_index, values[n % 3], __ATOMIC_SEQ_CST);
	storvsc_submit(&channel, 5, 0, cdb, sizeof(cdb), false, NULL, 0);
}

static void bad_packet(uint32_t n)
{
	static const struct vmpacket_descriptor descs[] = {
		{VMPACKET_DATA_INBAND, 2, 0, 1, 9},	 {VMPACKET_DATA_INBAND, 2, 1, 1, 9},
		{VMPACKET_DATA_INBAND, 0, 4, 1, 9},	 {VMPACKET_DATA_INBAND, 5, 4, 1, 9},
		{VMPACKET_DATA_INBAND, 2, 0xffff, 1, 9}, {0x77, 2, 4, 1, 9},
		{VMPACKET_DATA_GPA_DIRECT, 2, 4, 1, 9},	 {VMPACKET_DATA_TRANSFER_PAGES, 2, 4, 1, 9},
	};
	uint8_t packet[64] = {0};

	memcpy(packet, &descs[n % 8], sizeof(descs[0]));
	send_bytes(packet, 40);
}

static void bad_pages(uint32_t n)
{
	struct {
		struct gpa_direct_header header;
		uint32_t byte_count, byte_offset;
		uint64_t pfn[2];
	} lists[] = {
		{{0, 0}, 4096, 0, {1, 2}},
		{{0, 0xffffffff}, 4096, 0, {1, 2}},
		{{0, 1}, 0xffffffff, 0, {1, 2}},
		{{0, 1}, 8192, 0xffffffff, {1, 2}},
		{{0, 1}, 8192, 0, {0xfffffffffffff, 1}},
		{{0, 1}, 8192, 0, {0x100000, 0x100001}},
		{{0, 1}, 8192, 0, {UINT64_MAX, UINT64_MAX}},
		{{0, 2}, 4096, 0, {0x200, 0x201}},
	};
	struct vstor_packet packet = {
		.operation = VSTOR_OPERATION_EXECUTE_SRB,
		.flags = VSTOR_REQUEST_COMPLETION_FLAG,
		.vm_srb = {.length = 52, .cdb_length = 10, .data_in = VSTOR_DATA_IN, .data_transfer_length = 8192},
	};

	storvsc_rw10(packet.vm_srb.cdb, false, 0, 16);
	vmbus_send(&channel, VMPACKET_DATA_GPA_DIRECT, n + 1, &lists[n % 8], sizeof(lists[0]), &packet, sizeof(packet));
}

static void bad_srb(uint32_t n)
{
	uint32_t words[VSTOR_PACKET_LEN / 4];

	for (uint32_t i = 0; i < 8; i++) {
		for (uint32_t word = 0; word < VSTOR_PACKET_LEN / 4; word++)
			words[word] = random_number();
		words[0] = i % 2 ? VSTOR_OPERATION_EXECUTE_SRB : random_number() % 16;
		vmbus_send(&channel, VMPACKET_DATA_INBAND, random_number(), NULL, 0, words,
			   i % 3 ? VSTOR_PACKET_LEN : random_number() % VSTOR_PACKET_LEN);
	}
}

void rt_main(const char *cmdline)
{
	static const struct {
		const char *name;
		void (*attack)(uint32_t n);
		uint32_t variants;
	} attacks[] = {
		{"write_index", bad_write_index, 7},
		{"read_index", bad_read_index, 3},
		{"packets", bad_packet, 8},
		{"page lists", bad_pages, 8},
		{"SRBs", bad_srb, 8},
	};

	vmbus_start();
	vmbus_synic_start(0);
	check_host(1);
	storm();
	check_host(2);
	for (uint32_t a = 0; a < sizeof(attacks) / sizeof(attacks[0]); a++) {
		rt_printf("%s\n", attacks[a].name);
		for (uint32_t n = 0; n < attacks[a].variants; n++) {
			disk_connect(&channel, VMBUS_VERSION_5_3, 0);
			attacks[a].attack(n);
			vmbus_close(&channel);
			leave();
		}
		check_host(10 + a);
	}
	rt_pass();
}
