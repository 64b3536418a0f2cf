// SPDX-License-Identifier: Apache-2.0
/* A provider for guest_channels: a device with sub-channels that is withdrawn and offered again when the guest says so.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "abi/ring.h"
#include "base/bytes.h"
#include "ipc/loop.h"
#include "tests/support/provider.h"
#include "vsp/vsp.h"
#include "vsp_channels.h"

static bool replace;
static uint32_t add;

static void device_packet(struct vsp_channel *channel, struct vsp_request *request)
{
	struct channels_packet packet;

	if (request->payload_len < sizeof(packet)) {
		vsp_channel_fail(channel, "a packet that is too short");
		vsp_complete(request, NULL, 0);
		return;
	}
	memcpy(&packet, request->payload, sizeof(packet));
	if (packet.command == CHANNELS_SUBCHANNELS)
		vsp_subchannels(channel, packet.value);
	else if (packet.command == CHANNELS_REPLACE)
		replace = true;
	else if (packet.command == CHANNELS_ADD)
		add = packet.value;
	vsp_complete(request, &packet, sizeof(packet));
}

static int device_open(struct vsp_channel *channel, const uint8_t user_data[120])
{
	return 0;
}

static void device_fail(struct vsp_channel *channel, struct vsp_request *request)
{
	vsp_complete(request, NULL, 0);
}

static void device_close(struct vsp_channel *channel)
{
}

static const struct vsp_device_ops device_ops = {
	.name = "channels",
	.slots = 4,
	.open = device_open,
	.packet = device_packet,
	.fail = device_fail,
	.close = device_close,
};

static int offer(struct provider *provider, uint8_t instance, uint16_t index, struct err *err)
{
	char name[16];
	const struct vsp_offer_desc desc = {
		.interface_guid = CHANNELS_TYPE,
		.instance_guid = {{1, [15] = instance}},
		.subchannel_index = index,
		.name = name,
	};

	snprintf(name, sizeof(name), "%u.%u", instance, index);
	return vsp_offer(provider->vsp, &desc, &device_ops, NULL, err);
}

static int offer_device(struct provider *provider, struct err *err)
{
	int r = 0;

	for (uint16_t index = 0; index <= CHANNELS_SUBS && r >= 0; index++)
		r = offer(provider, 1, index, err);
	return r;
}

/* All of it, sub-channels first; then the same again. */
static int replace_device(struct provider *provider, struct err *err)
{
	int r = 0;

	for (uint16_t index = CHANNELS_SUBS + 1; index-- > 0;) {
		char name[16];
		struct vsp_channel *channel;

		snprintf(name, sizeof(name), "1.%u", index);
		channel = vsp_offered(provider->vsp, name);
		if (channel)
			vsp_withdraw(channel);
		while (vsp_offered(provider->vsp, name) && r >= 0)
			r = loop_run_once(provider->loop, true);
	}
	return r < 0 ? r : offer_device(provider, err);
}

static int serve(struct provider *provider, struct err *err)
{
	int r = 0;

	while (r >= 0 && !provider->gone) {
		if (replace) {
			replace = false;
			r = replace_device(provider, err);
		} else if (add) {
			r = offer(provider, (uint8_t)add, 0, err);
			add = 0;
		} else {
			r = loop_run_once(provider->loop, true);
		}
	}
	return r;
}

int main(int argc, char **argv)
{
	struct provider provider = {
		.name = "storage", .program = "vsp-channels", .offer = offer_device, .serve = serve};

	return provider_main(&provider, argc, argv);
}
