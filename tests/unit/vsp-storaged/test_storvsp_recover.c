/* SPDX-License-Identifier: Apache-2.0 */
/* A storage VSP takes over the channels of another one. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bytes.h"
#include "storvsp_fixture.h"
#include "vsp/block.h"

TestSuite(storvsp_recover, .init = sv_init, .fini = sv_done, .timeout = 30);

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
				    .worker_gone = sv_worker_gone};
	struct err err = {0};
	static int outcome;

	storvsp.srbs = storvsp.resets = (struct storvsp_list){0};
	disk.hold = disk.begun = false;
	disk.head = NULL;
	scsi_lun_power_on(&lun);
	lun.lane_head = lun.lane_tail = NULL;
	lun.writers = lun.alone = 0;
	cr_assert_eq(vsp_attach(loop, &config, &vsp, &err), 0, "%s", err.text);
	sv_offer_channels();
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

Test(storvsp_recover, a_successor_goes_on)
{
	sv_initialize();
	disk.hold = disk.begun = true;
	sv_put_srb(1, sv_srb(0, 0x28, 0, 8), 0, 4096);
	sv_put_reset(2, VSTOR_OPERATION_RESET_BUS, 0);
	fake_worker_run(worker);
	cr_assert_eq(succeed(), 0);
	sv_receive(1, 64);
	sv_srb_ok(4096);
	sv_receive(2, 64);
	cr_assert_eq(answer.status, 0);
	sv_hear_attention(SCSI_ASC_BUS_DEVICE_RESET_OCCURRED);
	sv_execute(sv_srb(0, 0x00, 0, 0), 0, 0);
	sv_srb_ok(0);
}

Test(storvsp_recover, a_successor_goes_on_over_sub_channels)
{
	static int outcome;

	sv_initialize_with_subs();
	disk.hold = disk.begun = true;
	sv_put_srb(1, sv_srb(0, 0x28, 0, 8), 0, 4096);
	at = &sub;
	sv_put_srb(2, sv_srb(0, 0x28, 8, 8), 0, 4096);
	fake_worker_run(worker);
	cr_assert_eq(succeed(), 0);
	fake_worker_open_begin(worker, 1, &sub, true, NULL, &outcome);
	cr_assert_eq(fake_worker_run_until(worker, is_answered, &outcome), 0);
	cr_assert_eq(outcome, 0);
	sv_receive(2, 64);
	sv_srb_ok(4096);
	at = &peer;
	sv_receive(1, 64);
	sv_srb_ok(4096);
	at = &sub;
	sv_execute(sv_srb(0, 0x00, 0, 0), 0, 0);
	sv_srb_ok(0);
}

/* Modes, and what the guest has been told and what not. */
Test(storvsp_recover, a_successor_has_the_luns_state)
{
	sv_initialize();
	sv_execute(sv_srb(0, SCSI_START_STOP_UNIT, 0, 0), 0, 0);
	sv_srb_ok(0);
	cr_assert_eq(succeed(), 0);
	cr_assert_eq(lun.state.modes, SCSI_MODES_STOPPED);
	cr_assert_eq(lun.state.greeting, SCSI_GREETED);
	sv_put_reset(2, VSTOR_OPERATION_RESET_BUS, 0);
	sv_receive(2, 64);
	cr_assert_eq(succeed(), 0);
	sv_hear_attention(SCSI_ASC_BUS_DEVICE_RESET_OCCURRED);
	cr_assert_eq(succeed(), 0);
	sv_execute(sv_srb(0, 0x00, 0, 0), 0, 0);
	sv_srb_ok(0);
}

Test(storvsp_recover, the_newest_of_several_channels_counts)
{
	static int outcome;

	sv_initialize_with_subs();
	sv_execute(sv_srb(0, SCSI_START_STOP_UNIT, 0, 0), 0, 0);
	at = &sub;
	sv_put_reset(2, VSTOR_OPERATION_RESET_BUS, 0);
	sv_receive(2, 64);
	cr_assert_eq(answer.status, 0);
	cr_assert_eq(succeed(), 0);
	cr_assert_eq(lun.state.modes, SCSI_MODES_STOPPED, "the primary one's block says so");
	fake_worker_open_begin(worker, 1, &sub, true, NULL, &outcome);
	cr_assert_eq(fake_worker_run_until(worker, is_answered, &outcome), 0);
	cr_assert_eq(outcome, 0);
	at = &peer;
	sv_hear_attention(SCSI_ASC_BUS_DEVICE_RESET_OCCURRED);
	sv_execute(sv_srb(0, 0x00, 0, 0), 0, 0);
	sv_srb_ok(0);
}

/* All channels are asked for, then the word that they were. */
static void succeed_gathering(void)
{
	static int outcome;

	fake_worker_set_gather(worker, true);
	cr_assert_eq(succeed(), 0);
	/* What it does too early it has done then. */
	fake_worker_run(worker);
	fake_worker_open_begin(worker, 1, &sub, true, NULL, &outcome);
	cr_assert_eq(fake_worker_run_until(worker, is_answered, &outcome), 0);
	cr_assert_eq(outcome, 0);
	fake_worker_run(worker);
	cr_assert(!fake_peek(&peer) && !fake_peek(&sub), "it has begun before it knew all");
	cr_assert_eq(fake_worker_resumed(worker), 0);
}

/* MODE SELECT: the page of MODE SENSE with WCE off. */
static void switch_cache_off(void)
{
	struct vstor_packet packet = sv_srb(0, SCSI_MODE_SENSE_6, 0, 0);
	uint8_t *list = fake_guest_ptr(&guest, pages[0]);

	packet.vm_srb.cdb_length = 6;
	packet.vm_srb.data_in = VSTOR_DATA_IN;
	packet.vm_srb.cdb[1] = 0x08; /* without a block descriptor */
	packet.vm_srb.cdb[2] = 0x08; /* caching */
	packet.vm_srb.cdb[4] = 24;
	sv_execute(packet, 0, 24);
	sv_srb_ok(24);
	cr_assert(list[6] & 0x04, "the cache is on");
	memset(list, 0, 4);
	list[6] &= (uint8_t)~0x04;
	packet = sv_srb(0, SCSI_MODE_SELECT_6, 0, 0);
	packet.vm_srb.cdb_length = 6;
	packet.vm_srb.data_in = VSTOR_DATA_OUT;
	packet.vm_srb.cdb[1] = 0x10;
	packet.vm_srb.cdb[4] = 24;
	sv_execute(packet, 0, 24);
	sv_srb_ok(24);
}

/* A write on one channel; what says that it must reach the medium is known by the other. */
Test(storvsp_recover, a_write_is_done_again_by_the_modes_of_all_channels)
{
	struct vstor_packet write = sv_srb(0, 0x2a, 0, 8);

	sv_initialize_with_subs();
	at = &sub;
	switch_cache_off();
	at = &peer;
	disk.hold = disk.begun = true;
	write.vm_srb.data_in = VSTOR_DATA_OUT;
	sv_put_srb(1, write, 0, 4096);
	fake_worker_run(worker);
	cr_assert_not_null(disk.head);
	cr_assert(disk.head->fua && disk.fua_writes == 0);
	succeed_gathering();
	sv_receive(1, 64);
	sv_srb_ok(4096);
	cr_assert_eq(disk.fua_writes, 1);
	sv_execute(sv_srb(0, 0x00, 0, 0), 0, 0);
	sv_srb_ok(0);
}

/* The attention was heard on the other channel, too: it is not told again. */
Test(storvsp_recover, nothing_is_told_twice)
{
	sv_initialize_with_subs();
	sv_put_reset(2, VSTOR_OPERATION_RESET_BUS, 0);
	sv_receive(2, 64);
	at = &sub;
	sv_hear_attention(SCSI_ASC_BUS_DEVICE_RESET_OCCURRED);
	at = &peer;
	disk.hold = disk.begun = true;
	sv_put_srb(1, sv_srb(0, 0x28, 0, 8), 0, 4096);
	fake_worker_run(worker);
	succeed_gathering();
	sv_receive(1, 64);
	sv_srb_ok(4096);
}

/* While it gathers, a channel can be closed, and the worker can hand over to the next. */
Test(storvsp_recover, an_end_while_it_gathers)
{
	sv_initialize_with_subs();
	disk.hold = disk.begun = true;
	sv_put_srb(1, sv_srb(0, 0x28, 0, 8), 0, 4096);
	fake_worker_run(worker);
	fake_worker_set_gather(worker, true);
	cr_assert_eq(succeed(), 0);
	cr_assert_eq(fake_worker_hand_over(worker), 0);
	succeed_gathering();
	sv_receive(1, 64);
	sv_srb_ok(4096);
	fake_worker_set_gather(worker, true);
	cr_assert_eq(succeed(), 0);
	cr_assert_eq(fake_worker_close(worker, 0), 0);
}

/* A disk goes, and another one comes to its address: before or after the death, it is as never used. */
Test(storvsp_recover, a_disk_does_not_inherit_the_modes_of_another)
{
	static int outcome;

	sv_initialize_with_subs();
	at = &sub;
	switch_cache_off();
	storvsp_lun_goes(&storvsp, &lun);
	lun.presence = SCSI_GONE;
	sv_put_reset(2, VSTOR_OPERATION_RESET_BUS, 0); /* is no business of what is gone */
	sv_receive(2, 64);
	memset(&lun.state, 0, sizeof(lun.state));
	storvsp_lun_comes(&storvsp, &lun);
	lun.presence = SCSI_PRESENT;
	memset(storvsp.lun_sequence, 0, sizeof(storvsp.lun_sequence));
	succeed_gathering();
	cr_assert_eq(lun.state.modes, 0);
	sv_hear_attention(SCSI_ASC_POWER_ON_OCCURRED);
	/* It goes, its successor has none there, and what comes then is newer than all that was. */
	switch_cache_off();
	storvsp_lun_goes(&storvsp, &lun);
	storvsp.scsi.luns = 0;
	memset(storvsp.lun_sequence, 0, sizeof(storvsp.lun_sequence));
	succeed_gathering();
	memset(&lun.state, 0, sizeof(lun.state));
	storvsp_lun_comes(&storvsp, &lun);
	storvsp.scsi.luns = 1;
	at = &peer;
	sv_hear_attention(SCSI_ASC_POWER_ON_OCCURRED);
	memset(storvsp.lun_sequence, 0, sizeof(storvsp.lun_sequence));
	fake_worker_set_gather(worker, false);
	cr_assert_eq(succeed(), 0);
	fake_worker_open_begin(worker, 1, &sub, true, NULL, &outcome);
	cr_assert_eq(fake_worker_run_until(worker, is_answered, &outcome), 0);
	cr_assert_eq(lun.state.greeting, SCSI_GREETED);
	cr_assert_eq(lun.state.modes, 0);
}

/* COMPARE AND WRITE, of which the predecessor died after it had compared. */
Test(storvsp_recover, a_successor_finds_the_mark)
{
	struct vstor_packet packet = sv_srb(0, SCSI_COMPARE_AND_WRITE, 0, 0);

	sv_initialize();
	packet.vm_srb.cdb_length = 16;
	packet.vm_srb.data_in = VSTOR_DATA_OUT;
	packet.vm_srb.cdb[13] = 1;
	memset(fake_guest_ptr(&guest, pages[0]), 0, 512);
	memset((uint8_t *)fake_guest_ptr(&guest, pages[0]) + 512, 0x22, 512);
	disk.hold = disk.begun = true;
	sv_put_srb(1, packet, 0, 1024);
	fake_worker_run(worker);
	cr_assert(memdisk_release(&disk), "it reads");
	fake_worker_run(worker);
	cr_assert_not_null(disk.head, "it writes");
	cr_assert_eq(disk.head->op, DISK_WRITE);
	vsp_free(vsp);
	fake_worker_disconnect(worker);
	memset(disk.data, 0x22, 512); /* it has written */
	cr_assert_eq(take_over(), 0);
	sv_receive(1, 64);
	sv_srb_ok(1024);
	cr_assert_eq(disk.data[0], 0x22);
	/* The slot's next request is not marked. */
	packet.vm_srb.cdb[13] = 1;
	sv_execute(packet, 0, 1024);
	cr_assert_eq(answer.vm_srb.sense_data[2], SCSI_SENSE_MISCOMPARE);
}

Test(storvsp_recover, a_successor_checks_the_state)
{
	struct block_header *header;
	uint32_t *state;

	sv_initialize();
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
	sv_execute(sv_srb(0, 0x00, 0, 0), 0, 0);
	sv_srb_ok(0);
}

/* Only a channel that nobody had opened yet begins anew. */
Test(storvsp_recover, an_empty_block_of_an_open_channel_is_spoilt)
{
	struct block_header *header;

	sv_initialize();
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
Test(storvsp_recover, a_poisoned_request_fails)
{
	struct block_header *header;
	uint32_t slot = 0;

	sv_initialize();
	disk.hold = disk.begun = true;
	sv_put_srb(1, sv_srb(0, 0x28, 0, 8), 0, 4096);
	fake_worker_run(worker);
	header = map_block();
	while (atomic_load(&((struct block_slot *)((uint8_t *)header + header->slots_offset +
						   (size_t)slot * header->slot_stride))
				    ->state) != BLOCK_SLOT_ACCEPTED)
		slot++;
	atomic_store(&header->trial, slot + 1);
	fake_worker_set_cautious(worker, true);
	cr_assert_eq(succeed(), 0);
	sv_receive(1, 64);
	cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_ERROR | SRB_STATUS_AUTOSENSE_VALID);
	cr_assert_eq(answer.vm_srb.scsi_status, 2);
	cr_assert_eq(answer.vm_srb.sense_data[2], 4);
	cr_assert_eq(answer.vm_srb.sense_data[12], 0x44);
	sv_execute(sv_srb(0, 0x00, 0, 0), 0, 0);
	sv_srb_ok(0);
}
