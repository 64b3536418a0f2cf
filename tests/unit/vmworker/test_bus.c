// SPDX-License-Identifier: Apache-2.0
/* The VMBus server between a fake guest and fake providers: contact, offers, nonsense. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "bus_expect.h"

TestSuite(bus, .init = fx_init, .fini = fx_done, .timeout = 20);

/* ---- contact ---- */

Test(bus, versions)
{
	static const struct {
		uint32_t version;
		bool supported;
		size_t len;
		uint32_t conn_id;
	} cases[] = {
		{0x60000, false, 16, 0},
		{VMBUS_VERSION_5_3, true, 20, 4},
		{VMBUS_VERSION_5_2, true, 16, 4},
		{VMBUS_VERSION_5_1, true, 16, 4},
		{VMBUS_VERSION_5_0, true, 16, 4},
		{VMBUS_VERSION_4_1, true, 16, VMBUS_VERSION_4_1},
		{VMBUS_VERSION_4_0, true, 16, VMBUS_VERSION_4_0},
		{VMBUS_VERSION_3_0, true, 16, VMBUS_VERSION_3_0},
		{VMBUS_VERSION_2_4, false, 16, 0},
		{VMBUS_VERSION_1_1, false, 16, 0},
		{VMBUS_VERSION_0_13, false, 16, 0},
		{0x10000, false, 16, 0},
		{0x30001, false, 16, 0},
		{0x40002, false, 16, 0},
		{0, false, 16, 0},
		{0x50004, false, 16, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct vmbus_msg_version_response *msg;

		fx_contact(cases[i].version, i % 2);
		cr_assert(fx.messages[fx.head].len == cases[i].len);
		cr_assert(fx.messages[fx.head].vp == i % 2);
		msg = fx_version_response(cases[i].len);
		cr_assert(msg && msg->version_supported == cases[i].supported && msg->connection_state == 0);
		cr_assert(msg->msg_conn_id == cases[i].conn_id);
	}
}

Test(bus, each_version_has_its_connection)
{
	static const uint32_t cases[] = {VMBUS_VERSION_3_0, VMBUS_VERSION_4_1, VMBUS_VERSION_5_0, VMBUS_VERSION_5_3};
	struct vmbus_msg_initiate_contact msg = {
		.header.msgtype = VMBUS_MSG_INITIATE_CONTACT,
		.msg_sint = VMBUS_MESSAGE_SINT,
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t right = cases[i] >= VMBUS_VERSION_5_0 ? 4 : 1;

		msg.vmbus_version_requested = cases[i];
		fx.connection = 5 - right;
		fx_send(&msg, sizeof(msg));
		cr_assert(fx_version_response(16)->version_supported == 0);
		fx_connect_at(cases[i]);
		fx.connection = 5 - right;
		fx_simple(VMBUS_MSG_REQUESTOFFERS);
		cr_assert(fx_silent());
		fx.connection = right;
		fx_simple(VMBUS_MSG_REQUESTOFFERS);
		cr_assert(fx_next(VMBUS_MSG_ALLOFFERS_DELIVERED, 8));
		/* a successor of the guest may come on another one, and leave on any */
		fx.connection = 5 - right;
		fx_simple(VMBUS_MSG_UNLOAD);
		cr_assert(fx_next(VMBUS_MSG_UNLOAD_RESPONSE, 8));
	}
}

Test(bus, contact_that_cannot_be_served)
{
	struct vmbus_msg_initiate_contact msg = {
		.header.msgtype = VMBUS_MSG_INITIATE_CONTACT,
		.vmbus_version_requested = VMBUS_VERSION_5_3,
		.msg_sint = 3,
	};

	fx_send(&msg, sizeof(msg));
	cr_assert(fx_version_response(16)->version_supported == 0);
	msg.msg_sint = 2;
	msg.msg_vtl = 2;
	fx_send(&msg, sizeof(msg));
	cr_assert(fx_version_response(16)->version_supported == 0);
	fx_contact(VMBUS_VERSION_5_3, FX_CPUS);
	cr_assert(fx.messages[fx.head].vp == 0);
	cr_assert(fx_version_response(16)->version_supported == 0);
	/* not connected: nothing is offered */
	fx_simple(VMBUS_MSG_REQUESTOFFERS);
	cr_assert(fx_silent());
}

Test(bus, offers)
{
	const struct vmbus_msg_offer_channel *msg;
	uint32_t id;

	cr_assert(fx_offer(&fx.provider, 7, &id) == 0);
	fx_connect_at(VMBUS_VERSION_5_3);
	cr_assert(fx_silent(), "offers wait for REQUESTOFFERS");
	fx_simple(VMBUS_MSG_REQUESTOFFERS);
	cr_assert(fx.messages[fx.head].len == 196);
	msg = fx_expect_offer(1);
	cr_assert(msg->is_dedicated_interrupt == 1 && msg->monitor_allocated == 0 && msg->connection_id == 0x2001);
	cr_assert(msg->offer.user_def[0] == 7 && msg->offer.if_instance.b[15] == 7 && msg->offer.chn_flags == 1);
	cr_assert(fx_next(VMBUS_MSG_ALLOFFERS_DELIVERED, 8));
	fx_simple(VMBUS_MSG_REQUESTOFFERS);
	cr_assert(fx_silent(), "the list is given once");
}

Test(bus, offers_that_are_refused)
{
	struct bus_offer_desc desc = {.instance_guid = {{1}}, .block_bytes = 4096};
	uint32_t id = 99;

	cr_assert(bus_offer_add(fx.provider.bus, &desc, &id) == 0 && id != 99);
	cr_assert(bus_offer_add(fx.provider.bus, &desc, &id) == -EEXIST);
	desc.subchannel_index = 1;
	cr_assert(bus_offer_add(fx.provider.bus, &desc, &id) == 0);
	desc.subchannel_index = 2;
	desc.block_bytes = 4095;
	cr_assert(bus_offer_add(fx.provider.bus, &desc, &id) == -EINVAL);
	desc.block_bytes = 0;
	cr_assert(bus_offer_add(fx.provider.bus, &desc, &id) == -EINVAL);
	desc.block_bytes = (64u << 20) + 4096;
	cr_assert(bus_offer_add(fx.provider.bus, &desc, &id) == -EINVAL);
	desc.block_bytes = 4096;
	memset(&desc.instance_guid, 0, sizeof(desc.instance_guid));
	cr_assert(bus_offer_add(fx.provider.bus, &desc, &id) == -EINVAL);
}

Test(bus, no_more_than_2047_offers)
{
	struct bus_offer_desc desc = {.block_bytes = 4096};
	uint32_t id, n;

	for (n = 1; n <= 2047; n++) {
		memcpy(desc.instance_guid.b, &n, sizeof(n));
		cr_assert(bus_offer_add(fx.provider.bus, &desc, &id) == 0);
	}
	desc.instance_guid.b[4] = 1;
	cr_assert(bus_offer_add(fx.provider.bus, &desc, &id) == -ENOSPC);
	fx_connect_at(VMBUS_VERSION_5_3);
	fx_simple(VMBUS_MSG_REQUESTOFFERS);
	for (n = 1; n <= 2047; n++)
		cr_assert(fx_expect_offer(n)->connection_id == 0x2000 + n);
	cr_assert(fx_next(VMBUS_MSG_ALLOFFERS_DELIVERED, 8));
}

Test(bus, relids_follow_the_type_then_age)
{
	struct bus_offer_desc net = {.interface_guid = VMBUS_GUID_NET, .instance_guid = {{9}}, .block_bytes = 4096};
	uint32_t id;

	/* F8615163 lies as 63 51 61 f8, BA6163D9 as d9 63 61 ba: the network comes first */
	cr_assert(fx_offer(&fx.provider, 2, &id) == 0);
	cr_assert(fx_offer(&fx.provider, 1, &id) == 0);
	cr_assert(bus_offer_add(fx.provider.bus, &net, &id) == 0);
	for (int round = 0; round < 2; round++) {
		fx_connect_at(VMBUS_VERSION_5_3);
		fx_simple(VMBUS_MSG_REQUESTOFFERS);
		cr_assert(fx_expect_offer(1)->offer.if_instance.b[0] == 9);
		cr_assert(fx_expect_offer(2)->offer.if_instance.b[15] == 2);
		cr_assert(fx_expect_offer(3)->offer.if_instance.b[15] == 1);
		cr_assert(fx_next(VMBUS_MSG_ALLOFFERS_DELIVERED, 8));
	}
}

/* ---- nonsense ---- */

Test(bus, messages_of_every_type_and_length)
{
	uint8_t bytes[256];

	fx_list(VMBUS_VERSION_5_3, 1);
	for (uint32_t type = 0; type < 300; type++) {
		for (size_t len = 0; len <= 241; len++) {
			memset(bytes, 0, sizeof(bytes));
			bytes[0] = (uint8_t)type;
			bytes[1] = (uint8_t)(type >> 8);
			if (type == VMBUS_MSG_UNLOAD || type == VMBUS_MSG_INITIATE_CONTACT)
				continue;
			fx.head = fx.tail = 0;
			fx_send(bytes, len);
			memset(bytes + 4, 0xff, sizeof(bytes) - 4);
			fx_send(bytes, len);
		}
	}
	bus_message(fx.bus, 4, 2, bytes, 8);
	fx.head = fx.tail = 0;
	fx_open_channel(1, GPADL);
}
