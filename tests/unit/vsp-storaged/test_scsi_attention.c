/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/vsp-storaged/scsi_fixture.h"

TestSuite(scsi_attention, .init = scsi_set_up, .fini = scsi_tear_down, .timeout = 30);

#define POWER_ON SENSE(6, 0x2901)
#define RESET	 SENSE(6, 0x2903)
#define MODES	 SENSE(6, 0x2a01)
#define CAPACITY SENSE(6, 0x2a09)

/* Once, by the first command that it concerns. */
static void told(uint32_t sense)
{
	NODATA(0, 6, 0x00);
	check(sense);
	cr_assert(req.unit_changed);
	NODATA(0, 6, 0x00);
	good(0);
	cr_assert_not(req.unit_changed);
}

Test(scsi_attention, power_on)
{
	scsi_lun_power_on(&luns[0]);
	IN(0, 36, 6, 0x12, 0, 0, 0, 36);
	good(36);
	IN(0, 64, 12, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64);
	good(24);
	told(POWER_ON);
	NODATA(3, 6, 0x00);
	good(0);
}

Test(scsi_attention, nothing_is_done_meanwhile)
{
	scsi_lun_power_on(&luns[0]);
	OUT(0, 512, 10, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1);
	check(POWER_ON);
	cr_assert_eq(disk.data[0], 0);
	OUT(0, 512, 10, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1);
	good(512);
}

Test(scsi_attention, request_sense_brings_it)
{
	scsi_lun_power_on(&luns[0]);
	IN(0, 252, 6, 0x03, 0, 0, 0, 252);
	good(18);
	cr_assert_eq(SENSE(buf[2], get_be16(&buf[12])), POWER_ON);
	cr_assert(req.unit_changed);
	NODATA(0, 6, 0x00);
	good(0);
}

Test(scsi_attention, reset)
{
	luns[0].state.modes = SCSI_MODES_ALL;
	scsi_lun_reset(&luns[0]);
	cr_assert_eq(luns[0].state.modes, 0);
	told(RESET);
}

Test(scsi_attention, capacity)
{
	disk.disk.blocks = BLOCKS / 2;
	IN(0, 8, 10, 0x25);
	check(CAPACITY);
	IN(0, 8, 10, 0x25);
	good(8);
	cr_assert_eq(get_be32(buf), BLOCKS / 2 - 1);
	/* There and back: nobody has to know. */
	disk.disk.blocks = BLOCKS;
	disk.disk.blocks = BLOCKS / 2;
	NODATA(0, 6, 0x00);
	good(0);
}

Test(scsi_attention, several_in_order)
{
	disk.disk.blocks = BLOCKS / 2;
	disk.disk.write_through = true;
	NODATA(0, 6, 0x00);
	check(CAPACITY);
	told(MODES);
	/* A reset comes first, and the rest is no news after it. */
	disk.disk.blocks = BLOCKS;
	scsi_lun_reset(&luns[0]);
	told(RESET);
}

/* What a successor takes over, while the disk became another. */
Test(scsi_attention, restored)
{
	struct scsi_lun_state state = luns[0].state, wrong;

	state.modes = SCSI_MODES_PROTECTED;
	scsi_lun_power_on(&luns[0]);
	disk.disk.blocks = BLOCKS / 2;
	cr_assert_eq(scsi_lun_restore(&luns[0], &state), 0);
	told(CAPACITY);
	OUT(0, 512, 10, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1);
	check(SENSE(7, 0x2702));
	wrong = state;
	wrong.modes = 0x20;
	cr_assert_eq(scsi_lun_restore(&luns[0], &wrong), -EPROTO);
	wrong = state;
	wrong.greeting = 3;
	cr_assert_eq(scsi_lun_restore(&luns[0], &wrong), -EPROTO);
	wrong = state;
	wrong.write_through = 2;
	cr_assert_eq(scsi_lun_restore(&luns[0], &wrong), -EPROTO);
}
