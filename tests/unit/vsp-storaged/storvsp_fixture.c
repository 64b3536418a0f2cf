/* SPDX-License-Identifier: Apache-2.0 */
#include "storvsp_fixture.h"

#include <criterion/criterion.h>
#include <string.h>

#include "abi/ring.h"
#include "base/bytes.h"

#define INIT_ID UINT64_MAX

struct loop *loop;
struct fake_guest guest;
struct fake_channel peer, sub, *at = &peer; /* at: the one that the guest uses */
struct fake_worker *worker;
struct vsp *vsp;
struct memdisk disk;
struct scsi_lun lun;
struct storvsp storvsp;
struct vstor_packet answer;
struct fake_packet got;
uint64_t pages[8];

void sv_worker_gone(void *arg, const char *why)
{
	(void)arg;
	(void)why;
}

/* The primary channel, which promises none of the others until a test says so. */
void sv_offer_channels(void)
{
	struct vsp_offer_desc offer = {
		.interface_guid = VSTOR_SCSI_INTERFACE_GUID, .instance_guid = {{2}}, .name = "scsi0"};
	struct err err = {0};

	cr_assert_eq(vsp_offer(vsp, &offer, &storvsp_ops, &storvsp, &err), 0, "%s", err.text);
	for (uint16_t i = 1; i <= SV_SUBS; i++) {
		offer.subchannel_index = i;
		offer.name = "scsi0.n";
		cr_assert_eq(vsp_offer(vsp, &offer, &storvsp_sub_ops, &storvsp, &err), 0, "%s", err.text);
	}
}

void sv_init(void)
{
	struct abi_guid instance = {{2}};
	struct fake_provider provider = {.name = "storage", .config = "", .vm_name = "vm1"};
	struct vsp_config config = {.name = "storage", .worker_gone = sv_worker_gone};
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
	sv_offer_channels();
	cr_assert_eq(vsp_ready(vsp, &err), 0, "%s", err.text);
	cr_assert_eq(fake_worker_wait_ready(worker), 0);
	cr_assert_eq(fake_worker_open(worker, 0, &peer), 0);
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		pages[i] = fake_guest_alloc(&guest, 1);
}

void sv_done(void)
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

/* ---- the guest ---- */

void sv_receive(uint64_t id, uint32_t len)
{
	cr_assert_eq(fake_worker_get(worker, at, &got), 0, "no answer");
	cr_assert_eq(got.type, VMPACKET_COMPLETION);
	cr_assert_eq(got.transaction_id, id);
	cr_assert_eq(got.payload_len, len);
	memset(&answer, 0, sizeof(answer));
	memcpy(&answer, got.payload, len);
	cr_assert_eq(answer.operation, VSTOR_OPERATION_COMPLETE_IO);
}

uint32_t sv_call_len(struct vstor_packet packet, uint32_t len)
{
	packet.flags = VSTOR_REQUEST_COMPLETION_FLAG;
	cr_assert_eq(fake_put_inband(at, INIT_ID, &packet, len), 0);
	sv_receive(INIT_ID, len);
	return answer.status;
}

uint32_t sv_call(uint32_t operation)
{
	return sv_call_len((struct vstor_packet){.operation = operation}, 64);
}

uint32_t sv_query_version(uint16_t version)
{
	struct vstor_packet packet = {.operation = VSTOR_OPERATION_QUERY_PROTOCOL_VERSION};

	packet.version.major_minor = version;
	return sv_call_len(packet, 64);
}

struct vstor_packet sv_srb(uint8_t lun_number, uint8_t opcode, uint8_t lba, uint8_t blocks)
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

void sv_put_srb(uint64_t id, struct vstor_packet packet, uint32_t offset, uint32_t len)
{
	packet.vm_srb.data_transfer_length = len;
	if (len)
		cr_assert_eq(fake_put_pages(at, id, pages, (offset + len + 4095) / 4096, offset, len, &packet, 64), 0);
	else
		cr_assert_eq(fake_put_inband(at, id, &packet, 64), 0);
}

void sv_execute(struct vstor_packet packet, uint32_t offset, uint32_t len)
{
	sv_put_srb(7, packet, offset, len);
	sv_receive(7, 64);
}

/* The disk has something to say, once. */
void sv_hear_attention(uint16_t asc)
{
	sv_execute(sv_srb(0, SCSI_TEST_UNIT_READY, 0, 0), 0, 0);
	cr_assert_eq(answer.vm_srb.scsi_status, SCSI_STATUS_CHECK_CONDITION);
	cr_assert_eq(answer.vm_srb.sense_data[2], SCSI_SENSE_UNIT_ATTENTION);
	cr_assert_eq(get_be16(&answer.vm_srb.sense_data[12]), asc);
}

void sv_initialize(void)
{
	cr_assert_eq(sv_call(VSTOR_OPERATION_BEGIN_INITIALIZATION), 0);
	cr_assert_eq(sv_query_version(VSTOR_VERSION_WIN10), 0);
	cr_assert_eq(sv_call(VSTOR_OPERATION_QUERY_PROPERTIES), 0);
	cr_assert_eq(answer.storage_channel_properties.max_transfer_bytes, 0x40000);
	cr_assert_eq(answer.storage_channel_properties.max_channel_cnt, 0);
	cr_assert_eq(answer.storage_channel_properties.flags, 0);
	cr_assert_eq(sv_call(VSTOR_OPERATION_END_INITIALIZATION), 0);
	sv_hear_attention(SCSI_ASC_POWER_ON_OCCURRED);
}

void sv_srb_ok(uint32_t transferred)
{
	cr_assert_eq(answer.status, VSTOR_STATUS_SUCCESS);
	cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_SUCCESS);
	cr_assert_eq(answer.vm_srb.scsi_status, 0);
	cr_assert_eq(answer.vm_srb.sense_info_length, 0);
	cr_assert_eq(answer.vm_srb.data_transfer_length, transferred);
}

void sv_put_reset(uint64_t id, uint32_t operation, uint8_t lun_number)
{
	struct vstor_packet packet = {.operation = operation, .flags = VSTOR_REQUEST_COMPLETION_FLAG};

	packet.vm_srb.lun = lun_number;
	cr_assert_eq(fake_put_inband(at, id, &packet, 64), 0);
}

uint32_t sv_create_sub_channels(uint16_t count)
{
	return sv_call_len(
		(struct vstor_packet){.operation = VSTOR_OPERATION_CREATE_SUB_CHANNELS, .sub_channel_count = count},
		64);
}

static bool has_asked(void *arg)
{
	return fake_worker_subchannels(worker) == *(uint32_t *)arg;
}

/* The worker is told meanwhile. */
void sv_expect_shown(uint32_t count)
{
	cr_assert_eq(fake_worker_run_until(worker, has_asked, &count), 0);
}

void sv_initialize_with_subs(void)
{
	storvsp.sub_channels = SV_SUBS;
	cr_assert_eq(sv_call(VSTOR_OPERATION_BEGIN_INITIALIZATION), 0);
	cr_assert_eq(sv_query_version(VSTOR_VERSION_WIN10), 0);
	cr_assert_eq(sv_call(VSTOR_OPERATION_QUERY_PROPERTIES), 0);
	cr_assert_eq(answer.storage_channel_properties.max_channel_cnt, SV_SUBS);
	cr_assert_eq(answer.storage_channel_properties.flags, VSTOR_CHANNEL_SUPPORTS_MULTI_CHANNEL);
	cr_assert_eq(sv_call(VSTOR_OPERATION_END_INITIALIZATION), 0);
	cr_assert_eq(sv_create_sub_channels(SV_SUBS), 0);
	sv_expect_shown(SV_SUBS);
	cr_assert_eq(fake_worker_open(worker, 1, &sub), 0);
	sv_hear_attention(SCSI_ASC_POWER_ON_OCCURRED);
}
