// SPDX-License-Identifier: Apache-2.0
/* Contact at every version that Linux speaks, the list of offers, and what must be refused. */
#include "abi/ic.h"
#include "rt.h"
#include "vmbus.h"

/* Of each type so many offers, and no others. */
static void check_types(const struct vmbus_msg_offer_channel *offers, uint32_t count, uint32_t disks)
{
	const struct {
		const char *name;
		struct abi_guid type;
		uint32_t expected;
	} types[] = {
		{"SCSI controller", VMBUS_GUID_SCSI, disks},
		{"shutdown", IC_SHUTDOWN_GUID, 1},
		{"heartbeat", IC_HEARTBEAT_GUID, 1},
		{"time synchronization", IC_TIMESYNC_GUID, 1},
	};
	uint32_t total = 0;

	for (uint32_t t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
		uint32_t found = 0;

		for (uint32_t n = 0; n < count; n++)
			found += !memcmp(&offers[n].offer.if_type, &types[t].type, sizeof(types[t].type));
		if (found != types[t].expected)
			rt_fail("%s: %u offers instead of %u", types[t].name, found, types[t].expected);
		total += found;
	}
	if (count != total)
		rt_fail("%u offers of other types", count - total);
}

void rt_main(const char *cmdline)
{
	static const uint32_t versions[] = {
		VMBUS_VERSION_5_3, VMBUS_VERSION_5_2, VMBUS_VERSION_5_1, VMBUS_VERSION_5_0,
		VMBUS_VERSION_4_1, VMBUS_VERSION_4_0, VMBUS_VERSION_3_0,
	};
	static struct vmbus_msg_offer_channel offers[VMBUS_OFFERS];
	uint32_t disks = (uint32_t)rt_option(cmdline, "controllers", 0);

	vmbus_start();
	vmbus_synic_start(0);
	if (vmbus_contact(0x00060000, 0) || vmbus_contact(0x00020004, 0))
		rt_fail("a version is accepted that does not exist");
	for (uint32_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		uint32_t count;

		if (!vmbus_contact(versions[i], 0))
			rt_fail("version %#x is refused", versions[i]);
		count = vmbus_request_offers(offers);
		check_types(offers, count, disks);
		for (uint32_t n = 0; n < count; n++)
			if (!offers[n].child_relid || !(offers[n].is_dedicated_interrupt & 1) ||
			    offers[n].monitor_allocated || offers[n].connection_id == VMBUS_MESSAGE_CONNECTION_ID ||
			    offers[n].connection_id == VMBUS_MESSAGE_CONNECTION_ID_4)
				rt_fail("offer %u: relid %u, connection %u", n, offers[n].child_relid,
					offers[n].connection_id);
		rt_printf("version %#x: %u offers\n", versions[i], count);
		vmbus_unload();
	}
	rt_pass();
}
