// SPDX-License-Identifier: Apache-2.0
/* A disk: data compared, close and open again, UNLOAD and a new connection, older versions. */
#include "disk.h"
#include "rt.h"

void rt_main(const char *cmdline)
{
	static const uint32_t versions[] = {VMBUS_VERSION_5_3, VMBUS_VERSION_5_0, VMBUS_VERSION_4_1, VMBUS_VERSION_5_3};
	static struct vmbus_channel channel;

	vmbus_start();
	vmbus_synic_start(0);
	for (uint32_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		disk_connect(&channel, versions[i], 0);
		disk_check_pattern(&channel, i * 100);
		disk_busy(&channel, 200, 16, 4096, NULL);
		rt_printf("version %#x: %lu kicks, %u interrupts\n", versions[i], (unsigned long)channel.kicks,
			  channel.events[0]);
		/* once in order, once by UNLOAD with the channel open */
		if (i % 2 == 0)
			vmbus_close(&channel);
		vmbus_unload();
	}
	rt_pass();
}
