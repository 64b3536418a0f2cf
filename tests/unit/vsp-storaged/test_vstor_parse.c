/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "daemons/vsp-storaged/vstor_parse.h"

static struct vstor_request request;

static struct vstor_packet srb_packet(void)
{
	struct vstor_packet packet = {.operation = VSTOR_OPERATION_EXECUTE_SRB};

	packet.vm_srb.path_id = 1;
	packet.vm_srb.target_id = 2;
	packet.vm_srb.lun = 3;
	packet.vm_srb.cdb_length = 10;
	packet.vm_srb.sense_info_length = 20;
	packet.vm_srb.data_in = VSTOR_DATA_IN;
	packet.vm_srb.data_transfer_length = 4096;
	memset(packet.vm_srb.cdb, 0x28, sizeof(packet.vm_srb.cdb));
	return packet;
}

Test(vstor_parse, srb)
{
	struct vstor_packet packet = srb_packet();

	cr_assert_eq(vstor_parse(&packet, 64, &request), 0);
	cr_assert_eq(request.operation, VSTOR_OPERATION_EXECUTE_SRB);
	cr_assert_eq(request.reply_len, 64);
	cr_assert_eq(request.srb.path, 1);
	cr_assert_eq(request.srb.target, 2);
	cr_assert_eq(request.srb.lun, 3);
	cr_assert_eq(request.srb.cdb_len, 10);
	cr_assert_eq(request.srb.cdb[9], 0x28);
	cr_assert_eq(request.srb.cdb[10], 0, "nothing behind the CDB's end");
	cr_assert_eq(request.srb.sense_max, 20);
	cr_assert_eq(request.srb.direction, VSTOR_DIRECTION_READ);
	cr_assert_eq(request.srb.data_len, 4096);
}

Test(vstor_parse, srb_lengths)
{
	struct vstor_packet packet = srb_packet();

	packet.vm_srb.cdb_length = 0;
	cr_assert_eq(vstor_parse(&packet, 64, &request), -EPROTO);
	packet.vm_srb.cdb_length = 17;
	cr_assert_eq(vstor_parse(&packet, 64, &request), -EPROTO);
	cr_assert_eq(request.operation, VSTOR_OPERATION_EXECUTE_SRB);
	packet.vm_srb.cdb_length = 16;
	packet.vm_srb.sense_info_length = 255;
	packet.vm_srb.data_in = 200;
	cr_assert_eq(vstor_parse(&packet, 64, &request), 0);
	cr_assert_eq(request.srb.sense_max, 20);
	cr_assert_eq(request.srb.direction, VSTOR_DIRECTION_NONE);
	packet.vm_srb.srb_flags = SRB_FLAGS_DISABLE_AUTOSENSE;
	cr_assert_eq(vstor_parse(&packet, 64, &request), 0);
	cr_assert_eq(request.srb.sense_max, 0);
}

Test(vstor_parse, packets_of_older_versions)
{
	struct vstor_packet packet = srb_packet();

	packet.vm_srb.srb_flags = SRB_FLAGS_DISABLE_AUTOSENSE;
	cr_assert_eq(vstor_parse(&packet, 48, &request), 0);
	cr_assert_eq(request.reply_len, 48);
	cr_assert_eq(request.srb.sense_max, 20, "the flags are not in a packet of 48 bytes");
	cr_assert_eq(request.packet.vm_srb.srb_flags, 0);
	cr_assert_eq(vstor_parse(&packet, 56, &request), 0);
	cr_assert_eq(request.reply_len, 48);
	cr_assert_eq(vstor_parse(&packet, 47, &request), -EPROTO);
	cr_assert_eq(vstor_parse(&packet, 0, &request), -EPROTO);
	cr_assert_eq(request.reply_len, 48);
}

Test(vstor_parse, the_rest)
{
	static const uint32_t foreign[] = {0, 1, 2, 11, 12, 14, 0x80000003u, UINT32_MAX};
	struct vstor_packet packet = {.operation = VSTOR_OPERATION_QUERY_PROTOCOL_VERSION};

	packet.version.major_minor = VSTOR_VERSION_WIN8;
	cr_assert_eq(vstor_parse(&packet, 64, &request), 0);
	cr_assert_eq(request.version, 0x0501);
	packet.operation = VSTOR_OPERATION_CREATE_SUB_CHANNELS;
	packet.sub_channel_count = 7;
	cr_assert_eq(vstor_parse(&packet, 72, &request), 0);
	cr_assert_eq(request.sub_channels, 7);
	cr_assert_eq(request.reply_len, 64);
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		packet.operation = foreign[i];
		cr_assert_eq(vstor_parse(&packet, 64, &request), -EOPNOTSUPP);
	}
}
