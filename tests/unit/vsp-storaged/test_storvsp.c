/* SPDX-License-Identifier: Apache-2.0 */
/* The storage VSP over a fake guest and a fake worker: what storvsc does, and what it never would. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "abi/ring.h"
#include "base/bytes.h"
#include "storvsp_fixture.h"

TestSuite(storvsp, .init = sv_init, .fini = sv_done, .timeout = 30);

/* ---- initialization ---- */

Test(storvsp, initialization_as_linux_does_it)
{
	sv_initialize();
	sv_execute(sv_srb(0, 0x00, 0, 0), 0, 0);
	sv_srb_ok(0);
}

Test(storvsp, versions)
{
	static const uint16_t known[] = {0x0602, 0x0600, 0x0501, 0x0402, 0x0200};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		cr_assert_eq(sv_call(VSTOR_OPERATION_BEGIN_INITIALIZATION), 0);
		cr_assert_eq(sv_query_version(0x0603), VSTOR_STATUS_REVISION_MISMATCH);
		cr_assert_eq(sv_query_version(0), VSTOR_STATUS_REVISION_MISMATCH);
		cr_assert_eq(sv_query_version(known[i]), 0);
		cr_assert_eq(answer.version.major_minor, known[i]);
		cr_assert_eq(sv_query_version(known[i]), VSTOR_STATUS_INVALID_DEVICE_STATE);
		cr_assert_eq(fake_worker_close(worker, 0), 0);
		cr_assert_null(storvsp.channel);
		fake_channel_reset(&peer);
		cr_assert_eq(fake_worker_open(worker, 0, &peer), 0);
	}
}

Test(storvsp, wrong_order_changes_nothing)
{
	sv_execute(sv_srb(0, 0x00, 0, 0), 0, 0);
	cr_assert_eq(answer.status, VSTOR_STATUS_INVALID_DEVICE_STATE);
	cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_INVALID_REQUEST);
	cr_assert_eq(sv_call(VSTOR_OPERATION_END_INITIALIZATION), VSTOR_STATUS_INVALID_DEVICE_STATE);
	cr_assert_eq(sv_call(VSTOR_OPERATION_RESET_BUS), VSTOR_STATUS_INVALID_DEVICE_STATE);
	cr_assert_eq(storvsp_bus_changed(&storvsp), -ENOTCONN);
	sv_initialize();
	cr_assert_eq(sv_call(VSTOR_OPERATION_BEGIN_INITIALIZATION), VSTOR_STATUS_INVALID_DEVICE_STATE);
	cr_assert_eq(sv_call(VSTOR_OPERATION_QUERY_PROPERTIES), VSTOR_STATUS_INVALID_DEVICE_STATE);
	sv_execute(sv_srb(0, 0x00, 0, 0), 0, 0);
	sv_srb_ok(0);
}

Test(storvsp, operations_that_are_not_a_guests)
{
	sv_initialize();
	cr_assert_eq(sv_call(VSTOR_OPERATION_FCHBA_DATA), VSTOR_STATUS_INVALID_DEVICE_REQUEST);
	cr_assert_eq(sv_call(VSTOR_OPERATION_ENUMERATE_BUS), VSTOR_STATUS_INVALID_DEVICE_REQUEST);
	cr_assert_eq(sv_call(0xffffffff), VSTOR_STATUS_INVALID_DEVICE_REQUEST);
	cr_assert_eq(sv_call(VSTOR_OPERATION_CREATE_SUB_CHANNELS), 0);
	cr_assert_eq(sv_call_len((struct vstor_packet){.operation = VSTOR_OPERATION_CREATE_SUB_CHANNELS,
						       .sub_channel_count = 1},
				 64),
		     VSTOR_STATUS_INVALID_PARAMETER);
	/* Too short for anything: answered all the same. */
	cr_assert_eq(fake_put_inband(at, 5, "\x03\0\0\0\0\0\0", 8), 0);
	sv_receive(5, 48);
	cr_assert_eq(answer.status, VSTOR_STATUS_INVALID_PARAMETER);
}

/* A guest of the time of Windows 7 sends and takes 48 bytes. */
Test(storvsp, short_packets)
{
	struct vstor_packet packet = {.operation = VSTOR_OPERATION_BEGIN_INITIALIZATION};

	cr_assert_eq(sv_call_len(packet, 48), 0);
	packet = (struct vstor_packet){.operation = VSTOR_OPERATION_QUERY_PROTOCOL_VERSION};
	packet.version.major_minor = VSTOR_VERSION_WIN7;
	cr_assert_eq(sv_call_len(packet, 48), 0);
	cr_assert_eq(sv_call_len((struct vstor_packet){.operation = VSTOR_OPERATION_QUERY_PROPERTIES}, 48), 0);
	cr_assert_eq(sv_call_len((struct vstor_packet){.operation = VSTOR_OPERATION_END_INITIALIZATION}, 48), 0);
	packet = sv_srb(0, 0xff, 0, 0);
	cr_assert_eq(fake_put_inband(at, 3, &packet, 48), 0);
	sv_receive(3, 48);
	cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_ERROR | SRB_STATUS_AUTOSENSE_VALID);
	cr_assert_eq(answer.vm_srb.sense_data[12], 0x20);
	cr_assert_eq(storvsp_bus_changed(&storvsp), 0);
	cr_assert_eq(fake_worker_get(worker, &peer, &got), 0);
	cr_assert_eq(got.payload_len, 48);
}

/* ---- SRBs ---- */

Test(storvsp, data_goes_through_guest_pages)
{
	struct vstor_packet write = sv_srb(0, 0x2a, 4, 9), read = sv_srb(0, 0x28, 4, 9);

	sv_initialize();
	write.vm_srb.data_in = VSTOR_DATA_OUT;
	read.vm_srb.data_in = VSTOR_DATA_IN;
	/* Not neighbours in memory, and not from the start of a page. */
	pages[0] = fake_guest_alloc(&guest, 1);
	memset(fake_guest_ptr(&guest, pages[0]), 0x11, 4096);
	memset(fake_guest_ptr(&guest, pages[1]), 0x22, 4096);
	sv_execute(write, 4096 - 512, 9 * 512);
	sv_srb_ok(9 * 512);
	cr_assert_eq(disk.data[4 * 512], 0x11);
	cr_assert_eq(disk.data[5 * 512 - 1], 0x11);
	cr_assert_eq(disk.data[5 * 512], 0x22);
	cr_assert_eq(disk.data[13 * 512 - 1], 0x22);
	cr_assert_eq(disk.data[13 * 512], 0);
	memset(fake_guest_ptr(&guest, pages[1]), 0, 4096);
	sv_execute(read, 4096 - 512, 9 * 512);
	sv_srb_ok(9 * 512);
	cr_assert_eq(((uint8_t *)fake_guest_ptr(&guest, pages[1]))[4095], 0x22);
}

Test(storvsp, sense)
{
	struct vstor_packet packet = sv_srb(0, 0x28, 4, 1);

	sv_initialize();
	packet.vm_srb.cdb[2] = 0xff;
	packet.vm_srb.data_in = VSTOR_DATA_IN;
	sv_execute(packet, 0, 512);
	cr_assert_eq(answer.status, VSTOR_STATUS_IO_DEVICE_ERROR);
	cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_ERROR | SRB_STATUS_AUTOSENSE_VALID);
	cr_assert_eq(answer.vm_srb.scsi_status, 2);
	cr_assert_eq(answer.vm_srb.sense_info_length, 18);
	cr_assert_eq(answer.vm_srb.sense_data[2], 5);
	cr_assert_eq(answer.vm_srb.sense_data[12], 0x21);
	cr_assert_eq(answer.vm_srb.data_transfer_length, 0);
	packet.vm_srb.sense_info_length = 14;
	sv_execute(packet, 0, 512);
	cr_assert_eq(answer.vm_srb.sense_info_length, 14);
	packet.vm_srb.srb_flags = SRB_FLAGS_DISABLE_AUTOSENSE;
	sv_execute(packet, 0, 512);
	cr_assert_eq(answer.vm_srb.sense_info_length, 0);
	cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_ERROR);
	cr_assert_eq(answer.vm_srb.scsi_status, 2);
}

Test(storvsp, absent_luns)
{
	struct vstor_packet inquiry = sv_srb(1, 0x12, 0, 0);

	sv_initialize();
	inquiry.vm_srb.cdb[4] = 36;
	inquiry.vm_srb.cdb_length = 6;
	inquiry.vm_srb.data_in = VSTOR_DATA_IN;
	sv_execute(inquiry, 0, 36);
	sv_srb_ok(36);
	cr_assert_eq(*(uint8_t *)fake_guest_ptr(&guest, pages[0]), 0x7f);
	sv_execute(sv_srb(1, 0x00, 0, 0), 0, 0);
	cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_INVALID_LUN);
	cr_assert_eq(answer.status, VSTOR_STATUS_DEVICE_DOES_NOT_EXIST);
	cr_assert_eq(answer.vm_srb.lun, 1, "storvsc removes the LUN that the answer names");
}

Test(storvsp, hostile_srbs)
{
	struct vstor_packet packet = sv_srb(0, 0x28, 0, 8);
	uint64_t beyond = UINT64_C(1) << 40;

	sv_initialize();
	packet.vm_srb.data_in = VSTOR_DATA_IN;
	/* A length, and no pages. */
	packet.vm_srb.data_transfer_length = 4096;
	cr_assert_eq(fake_put_inband(at, 8, &packet, 64), 0);
	sv_receive(8, 64);
	cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_INVALID_REQUEST);
	/* More than the pages. */
	cr_assert_eq(fake_put_pages(at, 8, pages, 1, 0, 512, &packet, 64), 0);
	sv_receive(8, 64);
	cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_INVALID_REQUEST);
	/* Pages that are not memory. */
	cr_assert_eq(fake_put_pages(at, 8, &beyond, 1, 0, 4096, &packet, 64), 0);
	sv_receive(8, 64);
	cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_INVALID_REQUEST);
	/* A command of no bytes, and one of 200. */
	packet.vm_srb.cdb_length = 0;
	sv_execute(packet, 0, 4096);
	cr_assert_eq(answer.status, VSTOR_STATUS_INVALID_PARAMETER);
	cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_INVALID_REQUEST);
	packet.vm_srb.cdb_length = 200;
	sv_execute(packet, 0, 4096);
	cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_INVALID_REQUEST);
	/* Against the direction. */
	packet.vm_srb.cdb_length = 10;
	packet.vm_srb.data_in = VSTOR_DATA_OUT;
	sv_execute(packet, 0, 4096);
	cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_INVALID_REQUEST);
	packet.vm_srb.data_in = VSTOR_DATA_IN;
	sv_execute(packet, 0, 4096);
	sv_srb_ok(4096);
}

Test(storvsp, completions_out_of_order)
{
	sv_initialize();
	disk.hold = true;
	sv_put_srb(1, sv_srb(0, 0x28, 0, 8), 0, 4096);
	sv_put_srb(2, sv_srb(0, 0x00, 0, 0), 0, 0);
	sv_receive(2, 64);
	fake_worker_run(worker);
	cr_assert(memdisk_release(&disk));
	sv_receive(1, 64);
	sv_srb_ok(4096);
}

/* ---- resets ---- */

Test(storvsp, reset_takes_back_what_has_not_begun)
{
	sv_initialize();
	disk.hold = true;
	sv_put_srb(1, sv_srb(0, 0x28, 0, 8), 0, 4096);
	sv_put_srb(2, sv_srb(0, 0x2a, 0, 8), 0, 4096);
	sv_put_reset(3, VSTOR_OPERATION_RESET_BUS, 0);
	for (uint64_t id = 1; id <= 2; id++) {
		sv_receive(id, 64);
		cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_ABORTED);
		cr_assert_eq(answer.status, VSTOR_STATUS_CANCELLED);
	}
	sv_receive(3, 64);
	cr_assert_eq(answer.status, 0);
	cr_assert_not(memdisk_release(&disk));
}

Test(storvsp, reset_waits_for_what_has_begun)
{
	sv_initialize();
	disk.hold = disk.begun = true;
	sv_put_srb(1, sv_srb(0, 0x28, 0, 8), 0, 4096);
	sv_put_reset(2, VSTOR_OPERATION_RESET_ADAPTER, 0);
	sv_put_reset(3, VSTOR_OPERATION_RESET_LUN, 0);
	sv_put_reset(4, VSTOR_OPERATION_RESET_LUN, 5);
	sv_receive(4, 64);
	sv_put_srb(5, sv_srb(0, 0x28, 0, 8), 0, 4096); /* younger: not waited for */
	fake_worker_run(worker);
	cr_assert_not(fake_peek(&peer));
	cr_assert(memdisk_release(&disk));
	sv_receive(1, 64);
	sv_srb_ok(4096);
	sv_receive(2, 64);
	sv_receive(3, 64);
	cr_assert(memdisk_release(&disk));
	sv_receive(5, 64);
}

/* ---- sub-channels ---- */

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
	cr_assert_eq(sv_create_sub_channels(1), VSTOR_STATUS_INVALID_DEVICE_STATE);
	sv_initialize_with_subs();
	cr_assert_eq(sv_create_sub_channels(SV_SUBS + 1), VSTOR_STATUS_INVALID_PARAMETER);
	sv_expect_shown(SV_SUBS);
	cr_assert_eq(sv_create_sub_channels(1), 0);
	sv_expect_shown(1);
	cr_assert_eq(sv_create_sub_channels(0), 0);
	sv_expect_shown(1);
}

Test(storvsp, sub_channels_are_not_for_old_guests)
{
	storvsp.sub_channels = SV_SUBS;
	cr_assert_eq(sv_call(VSTOR_OPERATION_BEGIN_INITIALIZATION), 0);
	cr_assert_eq(sv_query_version(VSTOR_VERSION_WIN7), 0);
	cr_assert_eq(sv_call(VSTOR_OPERATION_QUERY_PROPERTIES), 0);
	cr_assert_eq(answer.storage_channel_properties.max_channel_cnt, 0);
	cr_assert_eq(sv_call(VSTOR_OPERATION_END_INITIALIZATION), 0);
	cr_assert_eq(sv_create_sub_channels(1), VSTOR_STATUS_INVALID_PARAMETER);
}

Test(storvsp, sub_channels_execute_srbs_and_nothing_else)
{
	sv_initialize_with_subs();
	at = &sub;
	sv_execute(sv_srb(0, 0x28, 0, 8), 0, 4096);
	sv_srb_ok(4096);
	cr_assert_eq(sv_call(VSTOR_OPERATION_BEGIN_INITIALIZATION), VSTOR_STATUS_INVALID_DEVICE_STATE);
	cr_assert_eq(sv_create_sub_channels(1), VSTOR_STATUS_INVALID_DEVICE_STATE);
	cr_assert_eq(fake_worker_close(worker, 1), 0);
	cr_assert_eq(storvsp.channel != NULL, true, "the primary one is open");
	at = &peer;
	sv_execute(sv_srb(0, 0x28, 0, 8), 0, 4096);
	sv_srb_ok(4096);
}

Test(storvsp, reset_waits_for_all_channels)
{
	sv_initialize_with_subs();
	disk.hold = disk.begun = true;
	at = &sub;
	sv_put_srb(1, sv_srb(0, 0x28, 0, 8), 0, 4096);
	fake_worker_run(worker);
	at = &peer;
	sv_put_reset(2, VSTOR_OPERATION_RESET_BUS, 0);
	fake_worker_run(worker);
	cr_assert_not(fake_peek(&peer));
	cr_assert(memdisk_release(&disk));
	sv_receive(2, 64);
	at = &sub;
	sv_receive(1, 64);
}

/* ---- the bus, and the end ---- */

Test(storvsp, bus_changed)
{
	const struct vstor_packet *packet = (const void *)got.payload;

	sv_initialize();
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

	sv_initialize();
	disk.hold = disk.begun = true;
	sv_put_srb(1, sv_srb(0, 0x28, 0, 8), 0, 4096);
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
	sv_initialize();
}
