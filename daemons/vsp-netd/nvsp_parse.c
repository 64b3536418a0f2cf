/* SPDX-License-Identifier: Apache-2.0 */
#include "nvsp_parse.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

/* Newest first. */
static const uint32_t versions[] = {
	NVSP_VERSION_61, NVSP_VERSION_6, NVSP_VERSION_5, NVSP_VERSION_4, NVSP_VERSION_2, NVSP_VERSION_1,
};

/* A message that a guest may send. */
struct form {
	uint16_t type;	  /* enum nvsp_message_type */
	uint16_t len;	  /* bytes behind the type, at least */
	uint32_t version; /* from which on; 0: before any is negotiated, and ever after */
};

static const struct form forms[] = {
	{NVSP_MESSAGE_INIT, sizeof(struct nvsp_init), 0},
	{NVSP_MESSAGE_SEND_NDIS_VERSION, sizeof(struct nvsp_ndis_version), NVSP_VERSION_1},
	{NVSP_MESSAGE_SEND_RECEIVE_BUFFER, sizeof(struct nvsp_send_buffer), NVSP_VERSION_1},
	{NVSP_MESSAGE_REVOKE_RECEIVE_BUFFER, sizeof(struct nvsp_revoke_buffer), NVSP_VERSION_1},
	{NVSP_MESSAGE_SEND_SEND_BUFFER, sizeof(struct nvsp_send_buffer), NVSP_VERSION_1},
	{NVSP_MESSAGE_REVOKE_SEND_BUFFER, sizeof(struct nvsp_revoke_buffer), NVSP_VERSION_1},
	{NVSP_MESSAGE_SEND_RNDIS_PACKET, sizeof(struct nvsp_rndis_packet), NVSP_VERSION_1},
	{NVSP_MESSAGE_SEND_NDIS_CONFIG, sizeof(struct nvsp_ndis_config), NVSP_VERSION_2},
	{NVSP_MESSAGE_SWITCH_DATA_PATH, sizeof(struct nvsp_switch_data_path), NVSP_VERSION_4},
	{NVSP_MESSAGE_SUBCHANNEL, sizeof(struct nvsp_subchannel_request), NVSP_VERSION_5},
};

static const struct form *form_of(uint32_t type)
{
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
		if (forms[i].type == type)
			return &forms[i];
	return NULL;
}

int nvsp_parse(const void *payload, size_t len, uint32_t version, struct nvsp_message *ret_message)
{
	const struct form *form;

	memset(ret_message, 0, sizeof(*ret_message));
	memcpy(ret_message, payload, MIN(len, sizeof(*ret_message)));
	if (len < NVSP_MESSAGE_LEN_MIN) {
		memset(ret_message, 0, sizeof(*ret_message));
		return -EPROTO;
	}
	form = form_of(ret_message->type);
	/* The numbers of versions grow with them. */
	if (!form || form->version > version)
		return -EOPNOTSUPP;
	return len < NVSP_MESSAGE_LEN_MIN + form->len ? -EPROTO : 0;
}

bool nvsp_version_known(uint32_t version)
{
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++)
		if (versions[i] == version)
			return true;
	return false;
}

uint32_t nvsp_choose_version(uint32_t min, uint32_t max, uint32_t *ret_status)
{
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++)
		if (versions[i] >= min && versions[i] <= max)
			return versions[i];
	*ret_status = min > versions[0]				 ? NVSP_STATUS_PROTOCOL_TOO_NEW
		      : max < versions[ARRAY_SIZE(versions) - 1] ? NVSP_STATUS_PROTOCOL_TOO_OLD
								 : NVSP_STATUS_PROTOCOL_UNSUPPORTED;
	return 0;
}
