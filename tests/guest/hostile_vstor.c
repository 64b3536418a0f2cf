// SPDX-License-Identifier: Apache-2.0
/* The storage protocol: each operation in each state at each length, SRBs that make no sense, every command. */
#include "hostile.h"

#define OPERATIONS 18u
#define OPCODES	   256u

static uint8_t bytes[1024];

static const uint32_t steps[] = {VSTOR_OPERATION_BEGIN_INITIALIZATION, VSTOR_OPERATION_QUERY_PROTOCOL_VERSION,
				 VSTOR_OPERATION_QUERY_PROPERTIES, VSTOR_OPERATION_END_INITIALIZATION};
#define STATES (COUNT_OF(steps) + 1)

static void send(uint64_t id, const void *packet, uint32_t len)
{
	while (!vmbus_send(&hostile_channel, VMPACKET_DATA_INBAND, id, NULL, 0, packet, len))
		__asm__ volatile("sti; pause" : : : "memory");
}

static uint32_t reply_status(void)
{
	struct vmpacket_descriptor desc;
	struct vstor_packet reply;
	uint32_t len;

	vmbus_wait_packet(&hostile_channel);
	memset(&reply, 0, sizeof(reply));
	rt_check(vmbus_receive(&hostile_channel, &desc, &reply, sizeof(reply), &len), "no reply");
	rt_check(desc.type == VMPACKET_COMPLETION && desc.transaction_id == 5 && len >= VSTOR_PACKET_LEN_WIN7 &&
			 reply.operation == VSTOR_OPERATION_COMPLETE_IO,
		 "packet %u, id %lu, %u bytes, operation %u", desc.type, desc.transaction_id, len, reply.operation);
	return reply.status;
}

static void advance(uint32_t step)
{
	struct vstor_packet packet = {.operation = steps[step], .flags = VSTOR_REQUEST_COMPLETION_FLAG};

	if (packet.operation == VSTOR_OPERATION_QUERY_PROTOCOL_VERSION)
		packet.version.major_minor = VSTOR_VERSION_WIN10;
	send(5, &packet, sizeof(packet));
	rt_check(!reply_status(), "operation %u is refused", steps[step]);
}

/* Open, and so many steps on. */
static void enter(uint32_t state)
{
	static uint8_t rings[16 * 4096] __attribute__((aligned(4096)));

	rt_check(!vmbus_open(&hostile_channel, hostile_contact(), rings, 16, 0), "open");
	for (uint32_t step = 0; step < state; step++)
		advance(step);
}

static bool allowed(uint32_t operation, uint32_t state)
{
	if (state < COUNT_OF(steps) && operation == steps[state])
		return true;
	if (operation == VSTOR_OPERATION_CREATE_SUB_CHANNELS)
		return state >= 3;
	return state == COUNT_OF(steps) && operation >= VSTOR_OPERATION_EXECUTE_SRB &&
	       operation <= VSTOR_OPERATION_RESET_BUS;
}

static void refused(uint32_t state, uint32_t operation)
{
	static const uint32_t lens[] = {0, 4, 8, 12, 16, 40, 47, 48, 56, 63, 64, 65, 72, 512, 1000};

	for (uint32_t i = 0; i < COUNT_OF(lens); i++) {
		uint32_t wire = operation == OPERATIONS - 1 ? ~0u : operation;

		memset(bytes, i % 2 ? 0xff : 0, sizeof(bytes));
		memcpy(bytes, &wire, sizeof(wire));
		send(5, bytes, lens[i]);
		rt_check(reply_status(), "state %u: operation %u, %u bytes: done", state, operation, lens[i]);
	}
}

/* One answer each, and a refusal wherever it is out of place or too short; none changes the state. */
static void operations(void)
{
	for (uint32_t state = 0; state < STATES; state++) {
		enter(state);
		for (uint32_t operation = 0; operation < OPERATIONS; operation++)
			if (!allowed(operation, state))
				refused(state, operation);
		for (uint32_t step = state; step < COUNT_OF(steps); step++)
			advance(step);
		rt_check(hostile_read(1, 0, 8), "the ring is full");
		hostile_drain(1);
		hostile_leave();
	}
}

static void srbs(void)
{
	static const struct {
		uint16_t length;
		uint8_t path, target, lun, cdb_len, sense, direction, opcode;
		uint32_t data_len, flags;
	} rows[] = {
		{52, 0, 0, 0, 0, 20, 1, 0, 0, 0},  /* no CDB */
		{52, 0, 0, 0, 17, 20, 1, 0, 0, 0}, /* longer than there is room for */
		{52, 0, 0, 0, 255, 20, 1, 0, 0, 0},
		{52, 0, 0, 0, 1, 20, 1, SCSI_READ_10, 512, 0}, /* half a CDB */
		{0, 0, 0, 0, 10, 20, 1, SCSI_READ_10, 512, 0},
		{0xffff, 0, 0, 0, 10, 20, 1, SCSI_READ_10, 512, 0},
		{52, 0, 0, 0, 10, 255, 1, 0xee, 0, 0}, /* more sense than there is room for */
		{52, 0, 0, 0, 10, 0, 1, 0xee, 0, 0},
		{52, 0, 0, 0, 10, 20, 2, SCSI_READ_10, 512, 0}, /* directions */
		{52, 0, 0, 0, 10, 20, 3, SCSI_READ_10, 512, 0},
		{52, 0, 0, 0, 10, 20, 255, SCSI_WRITE_10, 512, 0},
		{52, 0, 0, 0, 10, 20, 0, SCSI_READ_10, 512, 0xc0},
		{52, 0, 0, 0, 10, 20, 1, SCSI_WRITE_10, 512, 0xffffffff},
		{52, 0, 0, 0, 10, 20, 1, SCSI_READ_10, 0xffffffff, 0}, /* data without pages */
		{52, 0, 0, 0, 10, 20, 1, SCSI_READ_10, 0x80000000, 0},
		{52, 255, 0, 0, 6, 20, 1, SCSI_INQUIRY, 0, 0},
		{52, 0, 255, 0, 6, 20, 1, SCSI_INQUIRY, 0, 0},
		{52, 0, 0, 255, 6, 20, 1, SCSI_INQUIRY, 0, 0},
		{52, 255, 255, 255, 12, 20, 1, SCSI_REPORT_LUNS, 0, 0},
	};

	enter(COUNT_OF(steps));
	for (uint32_t i = 0; i < COUNT_OF(rows); i++) {
		struct vstor_packet packet = {
			.operation = VSTOR_OPERATION_EXECUTE_SRB,
			.flags = ~0u,
			.status = ~0u,
			.vm_srb = {.length = rows[i].length,
				   .path_id = rows[i].path,
				   .target_id = rows[i].target,
				   .lun = rows[i].lun,
				   .cdb_length = rows[i].cdb_len,
				   .sense_info_length = rows[i].sense,
				   .data_in = rows[i].direction,
				   .data_transfer_length = rows[i].data_len,
				   .srb_flags = rows[i].flags},
		};

		packet.vm_srb.cdb[0] = rows[i].opcode;
		packet.vm_srb.cdb[8] = 1;
		send(5, &packet, sizeof(packet));
		reply_status();
	}
}

static void random_srbs(void)
{
	uint32_t words[VSTOR_PACKET_LEN / 4];

	for (uint32_t round = 0; round < 4; round++) {
		enter(COUNT_OF(steps));
		for (uint32_t i = 0; i < 64; i++) {
			for (uint32_t word = 0; word < VSTOR_PACKET_LEN / 4; word++)
				words[word] = hostile_random();
			words[0] = i % 2 ? VSTOR_OPERATION_EXECUTE_SRB : hostile_random() % 16;
			send(5, words, i % 3 ? VSTOR_PACKET_LEN : hostile_random() % VSTOR_PACKET_LEN);
		}
		hostile_drain(64);
		hostile_leave();
	}
}

/* Every command, its fields all clear and all set, with a buffer that is long enough for none or some of them. */
static void commands(void)
{
	static const uint32_t lens[] = {512, 8192, 1};

	enter(COUNT_OF(steps));
	for (uint32_t n = 0; n < OPCODES * 4; n++) {
		uint8_t cdb[VSTOR_CDB_LEN_MAX];

		memset(cdb, n & 1 ? 0xff : 0, sizeof(cdb));
		cdb[0] = (uint8_t)(n / 4);
		while (!storvsc_submit(&hostile_channel, n + 1, 0, cdb, n & 2 ? 6 : 16, n & 2, hostile_buffer + n % 7,
				       lens[n % 3]))
			__asm__ volatile("sti; pause" : : : "memory");
		if (n % 16 == 15)
			hostile_drain(16);
	}
}

/* A command of 16 bytes to LUN 0. */
static void run_16(uint8_t opcode, uint64_t lba, uint32_t blocks, bool write, struct storvsc_result *ret)
{
	uint8_t cdb[16] = {opcode};

	for (uint32_t i = 0; i < 8; i++)
		cdb[2 + i] = (uint8_t)(lba >> (56 - 8 * i));
	for (uint32_t i = 0; i < 4; i++)
		cdb[10 + i] = (uint8_t)(blocks >> (24 - 8 * i));
	while (!storvsc_submit(&hostile_channel, 9, 0, cdb, sizeof(cdb), write, hostile_buffer, 4096))
		__asm__ volatile("sti; pause" : : : "memory");
	storvsc_wait(&hostile_channel, ret);
}

/* Blocks that are not there: exact sense, wherever the range begins and however it wraps; nothing is read or written.
 */
static void lbas(void)
{
	static const struct {
		uint8_t opcode;
		bool write;
	} commands[] = {
		{SCSI_READ_16, false}, {SCSI_WRITE_16, true}, {SCSI_VERIFY_16, true}, {SCSI_WRITE_SAME_16, true}};
	struct storvsc_result result;
	uint64_t capacity;
	uint32_t block;

	enter(COUNT_OF(steps));
	run_16(SCSI_TEST_UNIT_READY, 0, 0, false, &result); /* it was powered on */
	capacity = storvsc_capacity(&hostile_channel, 0, &block);
	for (uint32_t i = 0; i < COUNT_OF(commands); i++) {
		const uint64_t ranges[][2] = {{capacity, 1}, {capacity - 1, 2}, {UINT32_MAX, 8},    {1ull << 63, 8},
					      {~0ull, 1},    {~0ull - 7, 8},	{~0ull / block, 8}, {capacity - 4, 8}};

		for (uint32_t range = 0; range < COUNT_OF(ranges); range++) {
			run_16(commands[i].opcode, ranges[range][0], (uint32_t)ranges[range][1], commands[i].write,
			       &result);
			rt_check(result.scsi_status == SCSI_STATUS_CHECK_CONDITION &&
					 (result.sense[2] & 0xf) == SCSI_SENSE_ILLEGAL_REQUEST &&
					 result.sense[12] == 0x21 && result.sense[13] == 0,
				 "command %x, range %u: status %x, sense %x/%x/%x", commands[i].opcode, range,
				 result.scsi_status, result.sense[2] & 0xf, result.sense[12], result.sense[13]);
		}
	}
	run_16(SCSI_READ_16, capacity - 8, 8, false, &result);
	rt_check(result.scsi_status == SCSI_STATUS_GOOD, "the last blocks: status %x", result.scsi_status);
}

/* The host keeps its requests by numbers of its own: each is answered, however they are called. */
static void same_ids(void)
{
	struct storvsc_result result;

	enter(COUNT_OF(steps));
	run_16(SCSI_TEST_UNIT_READY, 0, 0, false, &result);
	for (uint32_t round = 0; round < 20; round++) {
		for (uint32_t i = 0; i < 16; i++)
			rt_check(hostile_read(7, i * 100, 64), "the ring is full");
		for (uint32_t i = 0; i < 16; i++) {
			storvsc_wait(&hostile_channel, &result);
			rt_check(result.id == 7 && result.scsi_status == SCSI_STATUS_GOOD, "id %lu, status %x",
				 result.id, result.scsi_status);
		}
		rt_check(!storvsc_poll(&hostile_channel, &result), "answered twice");
	}
}

static void resets(void)
{
	static const uint32_t kinds[] = {VSTOR_OPERATION_RESET_LUN, VSTOR_OPERATION_RESET_BUS,
					 VSTOR_OPERATION_RESET_ADAPTER};

	enter(COUNT_OF(steps));
	for (uint32_t round = 0; round < 30; round++) {
		struct vstor_packet packet = {.operation = kinds[round % 3], .flags = VSTOR_REQUEST_COMPLETION_FLAG};

		for (uint32_t i = 0; i < 8; i++)
			rt_check(hostile_read(i + 1, i * 100, 64), "the ring is full");
		send(100, &packet, sizeof(packet));
		send(101, &packet, sizeof(packet));
		hostile_drain(10);
	}
}

static const struct hostile_case vstor_cases[] = {
	{"vstor-operations", operations}, {"vstor-srbs", srbs},	    {"vstor-random", random_srbs},
	{"vstor-commands", commands},	  {"vstor-resets", resets}, {"vstor-lbas", lbas},
	{"vstor-same-ids", same_ids},
};
const struct hostile_group hostile_vstor = {"vstor", vstor_cases, COUNT_OF(vstor_cases)};
