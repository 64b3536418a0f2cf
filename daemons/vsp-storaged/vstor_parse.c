/* SPDX-License-Identifier: Apache-2.0 */
#include "vstor_parse.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

static const enum vstor_direction directions[] = {
	[VSTOR_DATA_OUT] = VSTOR_DIRECTION_WRITE,
	[VSTOR_DATA_IN] = VSTOR_DIRECTION_READ,
	[VSTOR_DATA_UNKNOWN] = VSTOR_DIRECTION_NONE,
};

size_t vstor_reply_len(size_t len)
{
	return len >= VSTOR_PACKET_LEN ? VSTOR_PACKET_LEN : VSTOR_PACKET_LEN_WIN7;
}

static int parse_nothing(struct vstor_request *request)
{
	(void)request;
	return 0;
}

static int parse_version(struct vstor_request *request)
{
	request->version = request->packet.version.major_minor;
	return 0;
}

static int parse_sub_channels(struct vstor_request *request)
{
	request->sub_channels = request->packet.sub_channel_count;
	return 0;
}

static int parse_address(struct vstor_request *request)
{
	const struct vmscsi_request *srb = &request->packet.vm_srb;

	request->srb.path = srb->path_id;
	request->srb.target = srb->target_id;
	request->srb.lun = srb->lun;
	return 0;
}

static int parse_srb(struct vstor_request *request)
{
	const struct vmscsi_request *srb = &request->packet.vm_srb;

	parse_address(request);
	if (srb->cdb_length < 1 || srb->cdb_length > VSTOR_CDB_LEN_MAX)
		return -EPROTO;
	memcpy(request->srb.cdb, srb->cdb, srb->cdb_length);
	request->srb.cdb_len = srb->cdb_length;
	request->srb.sense_max = MIN(srb->sense_info_length, (uint8_t)VSTOR_SENSE_LEN_MAX);
	if (srb->srb_flags & SRB_FLAGS_DISABLE_AUTOSENSE)
		request->srb.sense_max = 0;
	if (srb->data_in < ARRAY_SIZE(directions))
		request->srb.direction = directions[srb->data_in];
	request->srb.data_len = srb->data_transfer_length;
	return 0;
}

/* Operations of a guest. */
static int (*const parsers[])(struct vstor_request *request) = {
	[VSTOR_OPERATION_EXECUTE_SRB] = parse_srb,
	[VSTOR_OPERATION_RESET_LUN] = parse_address,
	[VSTOR_OPERATION_RESET_ADAPTER] = parse_address,
	[VSTOR_OPERATION_RESET_BUS] = parse_address,
	[VSTOR_OPERATION_BEGIN_INITIALIZATION] = parse_nothing,
	[VSTOR_OPERATION_END_INITIALIZATION] = parse_nothing,
	[VSTOR_OPERATION_QUERY_PROTOCOL_VERSION] = parse_version,
	[VSTOR_OPERATION_QUERY_PROPERTIES] = parse_nothing,
	[VSTOR_OPERATION_CREATE_SUB_CHANNELS] = parse_sub_channels,
};

int vstor_parse(const void *payload, size_t len, struct vstor_request *ret_request)
{
	memset(ret_request, 0, sizeof(*ret_request));
	memcpy(&ret_request->packet, payload, MIN(len, (size_t)VSTOR_PACKET_LEN));
	ret_request->reply_len = vstor_reply_len(len);
	ret_request->operation = ret_request->packet.operation;
	if (len < VSTOR_PACKET_LEN)
		memset((uint8_t *)&ret_request->packet + MIN(len, (size_t)VSTOR_PACKET_LEN_WIN7), 0,
		       VSTOR_PACKET_LEN - MIN(len, (size_t)VSTOR_PACKET_LEN_WIN7));
	if (len < VSTOR_PACKET_LEN_WIN7)
		return -EPROTO;
	if (ret_request->operation >= ARRAY_SIZE(parsers) || !parsers[ret_request->operation])
		return -EOPNOTSUPP;
	return parsers[ret_request->operation](ret_request);
}
