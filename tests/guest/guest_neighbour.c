// SPDX-License-Identifier: Apache-2.0
/* An ordinary guest that writes its disk, reads it and compares until it is told to stop (a byte on the serial port).
 */
#include "abi/hyperv.h"
#include "disk.h"
#include "rt.h"

void rt_main(const char *cmdline)
{
	static struct vmbus_channel channel;
	uint64_t longest = 0;
	uint32_t rounds = 0;

	vmbus_start();
	vmbus_synic_start(0);
	disk_connect(&channel, VMBUS_VERSION_5_3, 0);
	do {
		uint64_t start = rt_rdmsr(HV_X64_MSR_TIME_REF_COUNT), took;

		disk_check_pattern(&channel, rounds);
		took = rt_rdmsr(HV_X64_MSR_TIME_REF_COUNT) - start;
		longest = took > longest ? took : longest;
		if (!rounds++)
			rt_printf("neighbour: works\n");
	} while (!rt_was_told());
	rt_printf("neighbour: %u rounds, the longest %lu ms\n", rounds, longest / 10000);
	vmbus_close(&channel);
	vmbus_unload();
	rt_pass();
}
