/* SPDX-License-Identifier: Apache-2.0 */
/* The storage VSP over a fake guest and a fake worker, with disks in memory: what storvsc does, and what it never
 * would. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "abi/ring.h"
#include "abi/vstor.h"
#include "base/bytes.h"
#include "daemons/vsp-storaged/storvsp.h"
#include "fake_worker.h"
#include "tests/support/memdisk.h"
#include "vsp/block.h"

#define INIT_ID UINT64_MAX
#define SUBS	2u /* sub-channels */

static struct loop *loop;
static struct fake_guest guest;
static struct fake_channel peer, sub, *at = &peer; /* at: the one that the guest uses */
static struct fake_worker *worker;
static struct vsp *vsp;
static struct memdisk disk;
static struct scsi_lun lun;
static struct storvsp storvsp;
static struct vstor_packet answer;
static struct fake_packet got;
static uint64_t pages[8];

static void worker_gone(void *arg, const char *why)
{
	(void)arg;
	(void)why;
}

/* The primary channel, which promises none of the others until a test says so. */
static void offer_channels(void)
{
	struct vsp_offer_desc offer = {
		.interface_guid = VSTOR_SCSI_INTERFACE_GUID, .instance_guid = {{2}}, .name = "scsi0"};
	struct err err = {0};

	cr_assert_eq(vsp_offer(vsp, &offer, &storvsp_ops, &storvsp, &err), 0, "%s", err.text);
	for (uint16_t i = 1; i <= SUBS; i++) {
		offer.subchannel_index = i;
		offer.name = "scsi0.n";
		cr_assert_eq(vsp_offer(vsp, &offer, &storvsp_sub_ops, &storvsp, &err), 0, "%s", err.text);
	}
}

static void set_up(void)
{
	struct abi_guid instance = {{2}};
	struct fake_provider provider = {.name = "storage", .config = "", .vm_name = "vm1"};
	struct vsp_config config = {.name = "storage", .worker_gone = worker_gone};
	struct err err = {0};

	memdisk_init(&disk, 2048, 512, false);
	cr_assert_eq(scsi_lun_init(&lun, &instance, 0, 0, "sda", "", &disk.disk), 0);
	storvsp.scsi = (struct scsi_controller){&lun, 1};
	cr_assert_eq(loop_new(&loop), 0);
	fake_guest_init(&guest, 4u << 20, 2);
	fake_channel_init(&peer, &guest, 9, 0, 17);
	fake_channel_init(&sub, &guest, 10, 1, 17);
	worker = fake_worker_new(loop, &guest, &provider);
	config.worker_path = fake_worker_path(worker);
	cr_assert_eq(vsp_attach(loop, &config, &vsp, &err), 0, "%s", err.text);
	offer_channels();
	cr_assert_eq(vsp_ready(vsp, &err), 0, "%s", err.text);
	cr_assert_eq(fake_worker_wait_ready(worker), 0);
	cr_assert_eq(fake_worker_open(worker, 0, &peer), 0);
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		pages[i] = fake_guest_alloc(&guest, 1);
}

static void tear_down(void)
{
	vsp_free(vsp);
	fake_worker_free(worker);
	fake_channel_done(&peer);
	fake_channel_done(&sub);
	fake_guest_done(&guest);
	loop_free(loop);
	scsi_lun_done(&lun);
	memdisk_done(&disk);
}

TestSuite(storvsp, .init = set_up, .fini = tear_down, .timeout = 30);

/* ---- the guest ---- */

static void receive(uint64_t id, uint32_t len)
{
	cr_assert_eq(fake_worker_get(worker, at, &got), 0, "no answer");
	cr_assert_eq(got.type, VMPACKET_COMPLETION);
	cr_assert_eq(got.transaction_id, id);
	cr_assert_eq(got.payload_len, len);
	memset(&answer, 0, sizeof(answer));
	memcpy(&answer, got.payload, len);
	cr_assert_eq(answer.operation, VSTOR_OPERATION_COMPLETE_IO);
}

static uint32_t call_len(struct vstor_packet packet, uint32_t len)
{
	packet.flags = VSTOR_REQUEST_COMPLETION_FLAG;
	cr_assert_eq(fake_put_inband(at, INIT_ID, &packet, len), 0);
	receive(INIT_ID, len);
	return answer.status;
}

static uint32_t call(uint32_t operation)
{
	return call_len((struct vstor_packet){.operation = operation}, 64);
}

static uint32_t query_version(uint16_t version)
{
	struct vstor_packet packet = {.operation = VSTOR_OPERATION_QUERY_PROTOCOL_VERSION};

	packet.version.major_minor = version;
	return call_len(packet, 64);
}

static struct vstor_packet srb(uint8_t lun_number, uint8_t opcode, uint8_t lba, uint8_t blocks)
{
	struct vstor_packet packet = {.operation = VSTOR_OPERATION_EXECUTE_SRB, .flags = VSTOR_REQUEST_COMPLETION_FLAG};

	packet.vm_srb.length = sizeof(packet.vm_srb);
	packet.vm_srb.lun = lun_number;
	packet.vm_srb.cdb_length = 10;
	packet.vm_srb.sense_info_length = 20;
	packet.vm_srb.data_in = VSTOR_DATA_UNKNOWN;
	packet.vm_srb.cdb[0] = opcode;
	packet.vm_srb.cdb[5] = lba;
	packet.vm_srb.cdb[8] = blocks;
	return packet;
}

static void put_srb(uint64_t id, struct vstor_packet packet, uint32_t offset, uint32_t len)
{
	packet.vm_srb.data_transfer_length = len;
	if (len)
		cr_assert_eq(fake_put_pages(at, id, pages, (offset + len + 4095) / 4096, offset, len, &packet, 64), 0);
	else
		cr_assert_eq(fake_put_inband(at, id, &packet, 64), 0);
}

static void execute(struct vstor_packet packet, uint32_t offset, uint32_t len)
{
	put_srb(7, packet, offset, len);
	receive(7, 64);
}

/* The disk has something to say, once. */
static void hear_attention(uint16_t asc)
{
	execute(srb(0, SCSI_TEST_UNIT_READY, 0, 0), 0, 0);
	cr_assert_eq(answer.vm_srb.scsi_status, SCSI_STATUS_CHECK_CONDITION);
	cr_assert_eq(answer.vm_srb.sense_data[2], SCSI_SENSE_UNIT_ATTENTION);
	cr_assert_eq(get_be16(&answer.vm_srb.sense_data[12]), asc);
}

static void initialize(void)
{
	cr_assert_eq(call(VSTOR_OPERATION_BEGIN_INITIALIZATION), 0);
	cr_assert_eq(query_version(VSTOR_VERSION_WIN10), 0);
	cr_assert_eq(call(VSTOR_OPERATION_QUERY_PROPERTIES), 0);
	cr_assert_eq(answer.storage_channel_properties.max_transfer_bytes, 0x40000);
	cr_assert_eq(answer.storage_channel_properties.max_channel_cnt, 0);
	cr_assert_eq(answer.storage_channel_properties.flags, 0);
	cr_assert_eq(call(VSTOR_OPERATION_END_INITIALIZATION), 0);
	hear_attention(SCSI_ASC_POWER_ON_OCCURRED);
}

static void srb_ok(uint32_t transferred)
{
	cr_assert_eq(answer.status, VSTOR_STATUS_SUCCESS);
	cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_SUCCESS);
	cr_assert_eq(answer.vm_srb.scsi_status, 0);
	cr_assert_eq(answer.vm_srb.sense_info_length, 0);
	cr_assert_eq(answer.vm_srb.data_transfer_length, transferred);
}

/* ---- initialization ---- */

Test(storvsp, initialization_as_linux_does_it)
{
	initialize();
	execute(srb(0, 0x00, 0, 0), 0, 0);
	srb_ok(0);
}

Test(storvsp, versions)
{
	static const uint16_t known[] = {0x0602, 0x0600, 0x0501, 0x0402, 0x0200};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		cr_assert_eq(call(VSTOR_OPERATION_BEGIN_INITIALIZATION), 0);
		cr_assert_eq(query_version(0x0603), VSTOR_STATUS_REVISION_MISMATCH);
		cr_assert_eq(query_version(0), VSTOR_STATUS_REVISION_MISMATCH);
		cr_assert_eq(query_version(known[i]), 0);
		cr_assert_eq(answer.version.major_minor, known[i]);
		cr_assert_eq(query_version(known[i]), VSTOR_STATUS_INVALID_DEVICE_STATE);
		cr_assert_eq(fake_worker_close(worker, 0), 0);
		cr_assert_null(storvsp.channel);
		fake_channel_reset(&peer);
		cr_assert_eq(fake_worker_open(worker, 0, &peer), 0);
	}
}

Test(storvsp, wrong_order_changes_nothing)
{
	execute(srb(0, 0x00, 0, 0), 0, 0);
	cr_assert_eq(answer.status, VSTOR_STATUS_INVALID_DEVICE_STATE);
	cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_INVALID_REQUEST);
	cr_assert_eq(call(VSTOR_OPERATION_END_INITIALIZATION), VSTOR_STATUS_INVALID_DEVICE_STATE);
	cr_assert_eq(call(VSTOR_OPERATION_RESET_BUS), VSTOR_STATUS_INVALID_DEVICE_STATE);
	cr_assert_eq(storvsp_bus_changed(&storvsp), -ENOTCONN);
	initialize();
	cr_assert_eq(call(VSTOR_OPERATION_BEGIN_INITIALIZATION), VSTOR_STATUS_INVALID_DEVICE_STATE);
	cr_assert_eq(call(VSTOR_OPERATION_QUERY_PROPERTIES), VSTOR_STATUS_INVALID_DEVICE_STATE);
	execute(srb(0, 0x00, 0, 0), 0, 0);
	srb_ok(0);
}

Test(storvsp, operations_that_are_not_a_guests)
{
	initialize();
	cr_assert_eq(call(VSTOR_OPERATION_FCHBA_DATA), VSTOR_STATUS_INVALID_DEVICE_REQUEST);
	cr_assert_eq(call(VSTOR_OPERATION_ENUMERATE_BUS), VSTOR_STATUS_INVALID_DEVICE_REQUEST);
	cr_assert_eq(call(0xffffffff), VSTOR_STATUS_INVALID_DEVICE_REQUEST);
	cr_assert_eq(call(VSTOR_OPERATION_CREATE_SUB_CHANNELS), 0);
	cr_assert_eq(call_len((struct vstor_packet){.operation = VSTOR_OPERATION_CREATE_SUB_CHANNELS,
						    .sub_channel_count = 1},
			      64),
		     VSTOR_STATUS_INVALID_PARAMETER);
	/* Too short for anything: answered all the same. */
	cr_assert_eq(fake_put_inband(at, 5, "\x03\0\0\0\0\0\0", 8), 0);
	receive(5, 48);
	cr_assert_eq(answer.status, VSTOR_STATUS_INVALID_PARAMETER);
}

/* A guest of the time of Windows 7 sends and takes 48 bytes. */
Test(storvsp, short_packets)
{
	struct vstor_packet packet = {.operation = VSTOR_OPERATION_BEGIN_INITIALIZATION};

	cr_assert_eq(call_len(packet, 48), 0);
	packet = (struct vstor_packet){.operation = VSTOR_OPERATION_QUERY_PROTOCOL_VERSION};
	packet.version.major_minor = VSTOR_VERSION_WIN7;
	cr_assert_eq(call_len(packet, 48), 0);
	cr_assert_eq(call_len((struct vstor_packet){.operation = VSTOR_OPERATION_QUERY_PROPERTIES}, 48), 0);
	cr_assert_eq(call_len((struct vstor_packet){.operation = VSTOR_OPERATION_END_INITIALIZATION}, 48), 0);
	packet = srb(0, 0xff, 0, 0);
	cr_assert_eq(fake_put_inband(at, 3, &packet, 48), 0);
	receive(3, 48);
	cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_ERROR | SRB_STATUS_AUTOSENSE_VALID);
	cr_assert_eq(answer.vm_srb.sense_data[12], 0x20);
	cr_assert_eq(storvsp_bus_changed(&storvsp), 0);
	cr_assert_eq(fake_worker_get(worker, &peer, &got), 0);
	cr_assert_eq(got.payload_len, 48);
}

/* ---- SRBs ---- */

Test(storvsp, data_goes_through_guest_pages)
{
	struct vstor_packet write = srb(0, 0x2a, 4, 9), read = srb(0, 0x28, 4, 9);

	initialize();
	write.vm_srb.data_in = VSTOR_DATA_OUT;
	read.vm_srb.data_in = VSTOR_DATA_IN;
	/* Not neighbours in memory, and not from the start of a page. */
	pages[0] = fake_guest_alloc(&guest, 1);
	memset(fake_guest_ptr(&guest, pages[0]), 0x11, 4096);
	memset(fake_guest_ptr(&guest, pages[1]), 0x22, 4096);
	execute(write, 4096 - 512, 9 * 512);
	srb_ok(9 * 512);
	cr_assert_eq(disk.data[4 * 512], 0x11);
	cr_assert_eq(disk.data[5 * 512 - 1], 0x11);
	cr_assert_eq(disk.data[5 * 512], 0x22);
	cr_assert_eq(disk.data[13 * 512 - 1], 0x22);
	cr_assert_eq(disk.data[13 * 512], 0);
	memset(fake_guest_ptr(&guest, pages[1]), 0, 4096);
	execute(read, 4096 - 512, 9 * 512);
	srb_ok(9 * 512);
	cr_assert_eq(((uint8_t *)fake_guest_ptr(&guest, pages[1]))[4095], 0x22);
}

Test(storvsp, sense)
{
	struct vstor_packet packet = srb(0, 0x28, 4, 1);

	initialize();
	packet.vm_srb.cdb[2] = 0xff;
	packet.vm_srb.data_in = VSTOR_DATA_IN;
	execute(packet, 0, 512);
	cr_assert_eq(answer.status, VSTOR_STATUS_IO_DEVICE_ERROR);
	cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_ERROR | SRB_STATUS_AUTOSENSE_VALID);
	cr_assert_eq(answer.vm_srb.scsi_status, 2);
	cr_assert_eq(answer.vm_srb.sense_info_length, 18);
	cr_assert_eq(answer.vm_srb.sense_data[2], 5);
	cr_assert_eq(answer.vm_srb.sense_data[12], 0x21);
	cr_assert_eq(answer.vm_srb.data_transfer_length, 0);
	packet.vm_srb.sense_info_length = 14;
	execute(packet, 0, 512);
	cr_assert_eq(answer.vm_srb.sense_info_length, 14);
	packet.vm_srb.srb_flags = SRB_FLAGS_DISABLE_AUTOSENSE;
	execute(packet, 0, 512);
	cr_assert_eq(answer.vm_srb.sense_info_length, 0);
	cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_ERROR);
	cr_assert_eq(answer.vm_srb.scsi_status, 2);
}

Test(storvsp, absent_luns)
{
	struct vstor_packet inquiry = srb(1, 0x12, 0, 0);

	initialize();
	inquiry.vm_srb.cdb[4] = 36;
	inquiry.vm_srb.cdb_length = 6;
	inquiry.vm_srb.data_in = VSTOR_DATA_IN;
	execute(inquiry, 0, 36);
	srb_ok(36);
	cr_assert_eq(*(uint8_t *)fake_guest_ptr(&guest, pages[0]), 0x7f);
	execute(srb(1, 0x00, 0, 0), 0, 0);
	cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_INVALID_LUN);
	cr_assert_eq(answer.status, VSTOR_STATUS_DEVICE_DOES_NOT_EXIST);
	cr_assert_eq(answer.vm_srb.lun, 1, "storvsc removes the LUN that the answer names");
}

Test(storvsp, hostile_srbs)
{
	struct vstor_packet packet = srb(0, 0x28, 0, 8);
	uint64_t beyond = UINT64_C(1) << 40;

	initialize();
	packet.vm_srb.data_in = VSTOR_DATA_IN;
	/* A length, and no pages. */
	packet.vm_srb.data_transfer_length = 4096;
	cr_assert_eq(fake_put_inband(at, 8, &packet, 64), 0);
	receive(8, 64);
	cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_INVALID_REQUEST);
	/* More than the pages. */
	cr_assert_eq(fake_put_pages(at, 8, pages, 1, 0, 512, &packet, 64), 0);
	receive(8, 64);
	cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_INVALID_REQUEST);
	/* Pages that are not memory. */
	cr_assert_eq(fake_put_pages(at, 8, &beyond, 1, 0, 4096, &packet, 64), 0);
	receive(8, 64);
	cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_INVALID_REQUEST);
	/* A command of no bytes, and one of 200. */
	packet.vm_srb.cdb_length = 0;
	execute(packet, 0, 4096);
	cr_assert_eq(answer.status, VSTOR_STATUS_INVALID_PARAMETER);
	cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_INVALID_REQUEST);
	packet.vm_srb.cdb_length = 200;
	execute(packet, 0, 4096);
	cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_INVALID_REQUEST);
	/* Against the direction. */
	packet.vm_srb.cdb_length = 10;
	packet.vm_srb.data_in = VSTOR_DATA_OUT;
	execute(packet, 0, 4096);
	cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_INVALID_REQUEST);
	packet.vm_srb.data_in = VSTOR_DATA_IN;
	execute(packet, 0, 4096);
	srb_ok(4096);
}

Test(storvsp, completions_out_of_order)
{
	initialize();
	disk.hold = true;
	put_srb(1, srb(0, 0x28, 0, 8), 0, 4096);
	put_srb(2, srb(0, 0x00, 0, 0), 0, 0);
	receive(2, 64);
	fake_worker_run(worker);
	cr_assert(memdisk_release(&disk));
	receive(1, 64);
	srb_ok(4096);
}

/* ---- resets ---- */

static void put_reset(uint64_t id, uint32_t operation, uint8_t lun_number)
{
	struct vstor_packet packet = {.operation = operation, .flags = VSTOR_REQUEST_COMPLETION_FLAG};

	packet.vm_srb.lun = lun_number;
	cr_assert_eq(fake_put_inband(at, id, &packet, 64), 0);
}

Test(storvsp, reset_takes_back_what_has_not_begun)
{
	initialize();
	disk.hold = true;
	put_srb(1, srb(0, 0x28, 0, 8), 0, 4096);
	put_srb(2, srb(0, 0x2a, 0, 8), 0, 4096);
	put_reset(3, VSTOR_OPERATION_RESET_BUS, 0);
	for (uint64_t id = 1; id <= 2; id++) {
		receive(id, 64);
		cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_ABORTED);
		cr_assert_eq(answer.status, VSTOR_STATUS_CANCELLED);
	}
	receive(3, 64);
	cr_assert_eq(answer.status, 0);
	cr_assert_not(memdisk_release(&disk));
}

Test(storvsp, reset_waits_for_what_has_begun)
{
	initialize();
	disk.hold = disk.begun = true;
	put_srb(1, srb(0, 0x28, 0, 8), 0, 4096);
	put_reset(2, VSTOR_OPERATION_RESET_ADAPTER, 0);
	put_reset(3, VSTOR_OPERATION_RESET_LUN, 0);
	put_reset(4, VSTOR_OPERATION_RESET_LUN, 5);
	receive(4, 64);
	put_srb(5, srb(0, 0x28, 0, 8), 0, 4096); /* younger: not waited for */
	fake_worker_run(worker);
	cr_assert_not(fake_peek(&peer));
	cr_assert(memdisk_release(&disk));
	receive(1, 64);
	srb_ok(4096);
	receive(2, 64);
	receive(3, 64);
	cr_assert(memdisk_release(&disk));
	receive(5, 64);
}

/* ---- sub-channels ---- */

static uint32_t create_sub_channels(uint16_t count)
{
	return call_len(
		(struct vstor_packet){.operation = VSTOR_OPERATION_CREATE_SUB_CHANNELS, .sub_channel_count = count},
		64);
}

static bool has_asked(void *arg)
{
	return fake_worker_subchannels(worker) == *(uint32_t *)arg;
}

/* The worker is told meanwhile. */
static void expect_shown(uint32_t count)
{
	cr_assert_eq(fake_worker_run_until(worker, has_asked, &count), 0);
}

static void initialize_with_subs(void)
{
	storvsp.sub_channels = SUBS;
	cr_assert_eq(call(VSTOR_OPERATION_BEGIN_INITIALIZATION), 0);
	cr_assert_eq(query_version(VSTOR_VERSION_WIN10), 0);
	cr_assert_eq(call(VSTOR_OPERATION_QUERY_PROPERTIES), 0);
	cr_assert_eq(answer.storage_channel_properties.max_channel_cnt, SUBS);
	cr_assert_eq(answer.storage_channel_properties.flags, VSTOR_CHANNEL_SUPPORTS_MULTI_CHANNEL);
	cr_assert_eq(call(VSTOR_OPERATION_END_INITIALIZATION), 0);
	cr_assert_eq(create_sub_channels(SUBS), 0);
	expect_shown(SUBS);
	cr_assert_eq(fake_worker_open(worker, 1, &sub), 0);
	hear_attention(SCSI_ASC_POWER_ON_OCCURRED);
}

Test(storvsp, sub_channels_are_divided)
{
	cr_assert_eq(storvsp_sub_channels(1, 1), 0);
	cr_assert_eq(storvsp_sub_channels(1, 4), 3);
	cr_assert_eq(storvsp_sub_channels(1, 64), 63);
	cr_assert_eq(storvsp_sub_channels(64, 4), 3);
	cr_assert_eq(storvsp_sub_channels(64, 64), STORVSP_CHANNELS_MAX / 64 - 1);
	for (size_t n = 1; n <= 64; n++)
		cr_assert_leq(n * (storvsp_sub_channels(n, 64) + 1), STORVSP_CHANNELS_MAX);
}

Test(storvsp, sub_channels_no_more_than_promised)
{
	cr_assert_eq(create_sub_channels(1), VSTOR_STATUS_INVALID_DEVICE_STATE);
	initialize_with_subs();
	cr_assert_eq(create_sub_channels(SUBS + 1), VSTOR_STATUS_INVALID_PARAMETER);
	expect_shown(SUBS);
	cr_assert_eq(create_sub_channels(1), 0);
	expect_shown(1);
	cr_assert_eq(create_sub_channels(0), 0);
	expect_shown(1);
}

Test(storvsp, sub_channels_are_not_for_old_guests)
{
	storvsp.sub_channels = SUBS;
	cr_assert_eq(call(VSTOR_OPERATION_BEGIN_INITIALIZATION), 0);
	cr_assert_eq(query_version(VSTOR_VERSION_WIN7), 0);
	cr_assert_eq(call(VSTOR_OPERATION_QUERY_PROPERTIES), 0);
	cr_assert_eq(answer.storage_channel_properties.max_channel_cnt, 0);
	cr_assert_eq(call(VSTOR_OPERATION_END_INITIALIZATION), 0);
	cr_assert_eq(create_sub_channels(1), VSTOR_STATUS_INVALID_PARAMETER);
}

Test(storvsp, sub_channels_execute_srbs_and_nothing_else)
{
	initialize_with_subs();
	at = &sub;
	execute(srb(0, 0x28, 0, 8), 0, 4096);
	srb_ok(4096);
	cr_assert_eq(call(VSTOR_OPERATION_BEGIN_INITIALIZATION), VSTOR_STATUS_INVALID_DEVICE_STATE);
	cr_assert_eq(create_sub_channels(1), VSTOR_STATUS_INVALID_DEVICE_STATE);
	cr_assert_eq(fake_worker_close(worker, 1), 0);
	cr_assert_eq(storvsp.channel != NULL, true, "the primary one is open");
	at = &peer;
	execute(srb(0, 0x28, 0, 8), 0, 4096);
	srb_ok(4096);
}

Test(storvsp, reset_waits_for_all_channels)
{
	initialize_with_subs();
	disk.hold = disk.begun = true;
	at = &sub;
	put_srb(1, srb(0, 0x28, 0, 8), 0, 4096);
	fake_worker_run(worker);
	at = &peer;
	put_reset(2, VSTOR_OPERATION_RESET_BUS, 0);
	fake_worker_run(worker);
	cr_assert_not(fake_peek(&peer));
	cr_assert(memdisk_release(&disk));
	receive(2, 64);
	at = &sub;
	receive(1, 64);
}

/* ---- the bus, and the end ---- */

Test(storvsp, bus_changed)
{
	const struct vstor_packet *packet = (const void *)got.payload;

	initialize();
	cr_assert_eq(storvsp_bus_changed(&storvsp), 0);
	cr_assert_eq(fake_worker_get(worker, &peer, &got), 0);
	cr_assert_eq(got.type, VMPACKET_DATA_INBAND);
	cr_assert_eq(got.transaction_id, 0);
	cr_assert_eq(got.payload_len, 64);
	cr_assert_eq(packet->operation, VSTOR_OPERATION_ENUMERATE_BUS);
}

Test(storvsp, close_waits_for_the_disk)
{
	int outcome = 1;

	initialize();
	disk.hold = disk.begun = true;
	put_srb(1, srb(0, 0x28, 0, 8), 0, 4096);
	fake_worker_run(worker);
	fake_worker_close_begin(worker, 0, &outcome);
	for (int i = 0; i < 5; i++)
		fake_worker_run(worker);
	cr_assert_eq(outcome, 1);
	cr_assert(memdisk_release(&disk));
	for (int i = 0; i < 100 && outcome == 1; i++)
		fake_worker_run(worker);
	cr_assert_eq(outcome, 0);
	/* A guest that starts over begins at the beginning. */
	disk.hold = false;
	fake_channel_reset(&peer);
	cr_assert_eq(fake_worker_open(worker, 0, &peer), 0);
	initialize();
}

/* ---- recovery ---- */

static bool is_answered(void *arg)
{
	return *(int *)arg <= 0;
}

static struct block_header *map_block(void)
{
	const struct fake_offer *offer = fake_worker_offer(worker, 0);
	void *header = mmap(NULL, offer->block_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, offer->block_fd, 0);

	cr_assert_neq(header, MAP_FAILED);
	return header;
}

/* Another VSP takes over. Return: what it says to the channel. */
static int take_over(void)
{
	struct vsp_config config = {.name = "storage",
				    .state_version = STORVSP_STATE_VERSION,
				    .worker_path = fake_worker_path(worker),
				    .worker_gone = worker_gone};
	struct err err = {0};
	static int outcome;

	storvsp.srbs = storvsp.resets = (struct storvsp_list){0};
	disk.hold = disk.begun = false;
	disk.head = NULL;
	scsi_lun_power_on(&lun);
	lun.lane_head = lun.lane_tail = NULL;
	lun.writers = lun.alone = 0;
	cr_assert_eq(vsp_attach(loop, &config, &vsp, &err), 0, "%s", err.text);
	offer_channels();
	cr_assert_eq(vsp_ready(vsp, &err), 0, "%s", err.text);
	fake_worker_open_begin(worker, 0, &peer, true, NULL, &outcome);
	cr_assert_eq(fake_worker_run_until(worker, is_answered, &outcome), 0);
	return outcome;
}

/* The VSP ends before it. */
static int succeed(void)
{
	vsp_free(vsp);
	fake_worker_disconnect(worker);
	return take_over();
}

Test(storvsp, a_successor_goes_on)
{
	initialize();
	disk.hold = disk.begun = true;
	put_srb(1, srb(0, 0x28, 0, 8), 0, 4096);
	put_reset(2, VSTOR_OPERATION_RESET_BUS, 0);
	fake_worker_run(worker);
	cr_assert_eq(succeed(), 0);
	receive(1, 64);
	srb_ok(4096);
	receive(2, 64);
	cr_assert_eq(answer.status, 0);
	hear_attention(SCSI_ASC_BUS_DEVICE_RESET_OCCURRED);
	execute(srb(0, 0x00, 0, 0), 0, 0);
	srb_ok(0);
}

Test(storvsp, a_successor_goes_on_over_sub_channels)
{
	static int outcome;

	initialize_with_subs();
	disk.hold = disk.begun = true;
	put_srb(1, srb(0, 0x28, 0, 8), 0, 4096);
	at = &sub;
	put_srb(2, srb(0, 0x28, 8, 8), 0, 4096);
	fake_worker_run(worker);
	cr_assert_eq(succeed(), 0);
	fake_worker_open_begin(worker, 1, &sub, true, NULL, &outcome);
	cr_assert_eq(fake_worker_run_until(worker, is_answered, &outcome), 0);
	cr_assert_eq(outcome, 0);
	receive(2, 64);
	srb_ok(4096);
	at = &peer;
	receive(1, 64);
	srb_ok(4096);
	at = &sub;
	execute(srb(0, 0x00, 0, 0), 0, 0);
	srb_ok(0);
}

/* Modes, and what the guest has been told and what not. */
Test(storvsp, a_successor_has_the_luns_state)
{
	initialize();
	execute(srb(0, SCSI_START_STOP_UNIT, 0, 0), 0, 0);
	srb_ok(0);
	cr_assert_eq(succeed(), 0);
	cr_assert_eq(lun.state.modes, SCSI_MODES_STOPPED);
	cr_assert_eq(lun.state.greeting, SCSI_GREETED);
	put_reset(2, VSTOR_OPERATION_RESET_BUS, 0);
	receive(2, 64);
	cr_assert_eq(succeed(), 0);
	hear_attention(SCSI_ASC_BUS_DEVICE_RESET_OCCURRED);
	cr_assert_eq(succeed(), 0);
	execute(srb(0, 0x00, 0, 0), 0, 0);
	srb_ok(0);
}

Test(storvsp, the_newest_of_several_channels_counts)
{
	static int outcome;

	initialize_with_subs();
	execute(srb(0, SCSI_START_STOP_UNIT, 0, 0), 0, 0);
	at = &sub;
	put_reset(2, VSTOR_OPERATION_RESET_BUS, 0);
	receive(2, 64);
	cr_assert_eq(answer.status, 0);
	cr_assert_eq(succeed(), 0);
	cr_assert_eq(lun.state.modes, SCSI_MODES_STOPPED, "the primary one's block says so");
	fake_worker_open_begin(worker, 1, &sub, true, NULL, &outcome);
	cr_assert_eq(fake_worker_run_until(worker, is_answered, &outcome), 0);
	cr_assert_eq(outcome, 0);
	at = &peer;
	hear_attention(SCSI_ASC_BUS_DEVICE_RESET_OCCURRED);
	execute(srb(0, 0x00, 0, 0), 0, 0);
	srb_ok(0);
}

/* COMPARE AND WRITE, of which the predecessor died after it had compared. */
Test(storvsp, a_successor_finds_the_mark)
{
	struct vstor_packet packet = srb(0, SCSI_COMPARE_AND_WRITE, 0, 0);

	initialize();
	packet.vm_srb.cdb_length = 16;
	packet.vm_srb.data_in = VSTOR_DATA_OUT;
	packet.vm_srb.cdb[13] = 1;
	memset(fake_guest_ptr(&guest, pages[0]), 0, 512);
	memset((uint8_t *)fake_guest_ptr(&guest, pages[0]) + 512, 0x22, 512);
	disk.hold = disk.begun = true;
	put_srb(1, packet, 0, 1024);
	fake_worker_run(worker);
	cr_assert(memdisk_release(&disk), "it reads");
	fake_worker_run(worker);
	cr_assert_not_null(disk.head, "it writes");
	cr_assert_eq(disk.head->op, DISK_WRITE);
	vsp_free(vsp);
	fake_worker_disconnect(worker);
	memset(disk.data, 0x22, 512); /* it has written */
	cr_assert_eq(take_over(), 0);
	receive(1, 64);
	srb_ok(1024);
	cr_assert_eq(disk.data[0], 0x22);
	/* The slot's next request is not marked. */
	packet.vm_srb.cdb[13] = 1;
	execute(packet, 0, 1024);
	cr_assert_eq(answer.vm_srb.sense_data[2], SCSI_SENSE_MISCOMPARE);
}

Test(storvsp, a_successor_checks_the_state)
{
	struct block_header *header;
	uint32_t *state;

	initialize();
	header = map_block();
	state = (uint32_t *)((uint8_t *)header + header->state_offset);
	state[0] = 99;
	cr_assert_lt(succeed(), 0);
	state[0] = 4;
	state[1] = 0x0603;
	cr_assert_lt(succeed(), 0);
	state[1] = 0x0602;
	((struct scsi_lun_state *)(state + 2))->modes = 0xff;
	cr_assert_lt(succeed(), 0);
	((struct scsi_lun_state *)(state + 2))->modes = 0;
	cr_assert_eq(succeed(), 0);
	execute(srb(0, 0x00, 0, 0), 0, 0);
	srb_ok(0);
}

/* Only a channel that nobody had opened yet begins anew. */
Test(storvsp, an_empty_block_of_an_open_channel_is_spoilt)
{
	struct block_header *header;

	initialize();
	header = map_block();
	atomic_store(&header->magic, 0);
	fake_worker_set_was_open(worker, true);
	cr_assert_lt(succeed(), 0);
	cr_assert_eq(atomic_load(&header->magic), 0, "nobody has written to it");
	fake_worker_set_was_open(worker, false);
	cr_assert_eq(succeed(), 0);
	cr_assert_eq(atomic_load(&header->magic), BLOCK_MAGIC);
}

/* Predecessors have died of it. */
Test(storvsp, a_poisoned_request_fails)
{
	struct block_header *header;
	uint32_t slot = 0;

	initialize();
	disk.hold = disk.begun = true;
	put_srb(1, srb(0, 0x28, 0, 8), 0, 4096);
	fake_worker_run(worker);
	header = map_block();
	while (atomic_load(&((struct block_slot *)((uint8_t *)header + header->slots_offset +
						   (size_t)slot * header->slot_stride))
				    ->state) != BLOCK_SLOT_ACCEPTED)
		slot++;
	atomic_store(&header->trial, slot + 1);
	fake_worker_set_cautious(worker, true);
	cr_assert_eq(succeed(), 0);
	receive(1, 64);
	cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_ERROR | SRB_STATUS_AUTOSENSE_VALID);
	cr_assert_eq(answer.vm_srb.scsi_status, 2);
	cr_assert_eq(answer.vm_srb.sense_data[2], 4);
	cr_assert_eq(answer.vm_srb.sense_data[12], 0x44);
	execute(srb(0, 0x00, 0, 0), 0, 0);
	srb_ok(0);
}
