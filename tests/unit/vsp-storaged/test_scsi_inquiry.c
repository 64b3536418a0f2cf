/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "tests/unit/vsp-storaged/scsi_fixture.h"

TestSuite(scsi_inquiry, .init = scsi_set_up, .fini = scsi_tear_down, .timeout = 30);

Test(scsi_inquiry, inquiry)
{
	IN(0, 255, 6, 0x12, 0, 0, 0, 255);
	good(96);
	cr_assert_eq(buf[0], 0);
	cr_assert_eq(buf[2], 6);
	cr_assert_eq(buf[4], 91);
	cr_assert_eq(memcmp(&buf[8], "BulkheadVirtual Disk    1.0 ", 28), 0);
	cr_assert_eq(get_be16(&buf[58]), 0x00a0, "SAM-5");
	cr_assert_eq(get_be16(&buf[60]), 0x0460, "SPC-4");
	cr_assert_eq(get_be16(&buf[62]), 0x04c0, "SBC-3");
	cr_assert_eq(buf[96], 0xee);
	/* The shorter of allocation length and buffer counts. */
	IN(0, 255, 6, 0x12, 0, 0, 0, 5);
	good(5);
	IN(0, 20, 6, 0x12, 0, 0, 0, 36);
	good(20);
	run(0, CDB(0x12, 0, 0, 0, 36), 6, SCSI_NONE, 0);
	good(0);
	IN(0, 36, 6, 0x12, 0, 0x80, 0, 36);
	field(true, 2, 7);
}

Test(scsi_inquiry, vpd_pages)
{
	static const uint8_t list[] = {0, 0, 0, 6, 0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2};

	IN(0, 255, 6, 0x12, 1, 0, 0, 255);
	good(sizeof(list));
	cr_assert_eq(memcmp(buf, list, sizeof(list)), 0);
	/* Each that is listed is there, says its own number and its length. */
	for (size_t i = 4; i < sizeof(list); i++) {
		IN(0, 255, 6, 0x12, 1, list[i], 0, 255);
		cr_assert_eq(req.status, 0);
		cr_assert_eq(buf[1], list[i]);
		cr_assert_eq(req.transferred, get_be16(&buf[2]) + 4u);
	}
	IN(0, 255, 6, 0x12, 1, 0xb3, 0, 255);
	check(INVALID_FIELD);
}

Test(scsi_inquiry, serial_and_device_id)
{
	char first[64] = "", second[64] = "";

	IN(3, 255, 6, 0x12, 1, 0x80, 0, 255);
	good(4 + 7);
	cr_assert_eq(memcmp(&buf[4], "SERIAL7", 7), 0);
	/* Without one the name serves, and it differs from disk to disk. */
	IN(0, 255, 6, 0x12, 1, 0x80, 0, 255);
	good(4 + 16);
	memcpy(first, &buf[4], 16);
	snprintf(second, sizeof(second), "%016llx", (unsigned long long)luns[0].naa);
	cr_assert_str_eq(first, second);
	cr_assert_neq(luns[0].naa, luns[1].naa);
	cr_assert_eq(luns[0].naa >> 60, 3);

	IN(3, 255, 6, 0x12, 1, 0x83, 0, 255);
	cr_assert_eq(buf[4], 2);
	cr_assert_eq(buf[5], 1);
	cr_assert_eq(buf[7], 8 + 16 + 7);
	cr_assert_eq(memcmp(&buf[8], "BulkheadVirtual Disk    SERIAL7", 31), 0);
	cr_assert_eq(buf[39], 1);
	cr_assert_eq(buf[40], 3);
	cr_assert_eq(buf[42], 8);
	cr_assert_eq(get_be64(&buf[43]), luns[1].naa);
}

Test(scsi_inquiry, block_limits)
{
	IN(0, 255, 6, 0x12, 1, 0xb0, 0, 255);
	good(64);
	cr_assert_eq(buf[4], 1, "WRITE SAME of no blocks is refused");
	cr_assert_eq(buf[5], 128, "COMPARE AND WRITE");
	cr_assert_eq(get_be16(&buf[6]), 8);
	cr_assert_eq(get_be32(&buf[8]), 512);
	cr_assert_eq(get_be32(&buf[20]), UINT32_MAX, "UNMAP: blocks");
	cr_assert_eq(get_be32(&buf[24]), 256, "and descriptors");
	cr_assert_eq(get_be32(&buf[28]), 8);
	cr_assert_eq(get_be32(&buf[32]), 0x80000000u);
	cr_assert_eq(get_be64(&buf[36]), 32768, "WRITE SAME");
	IN(3, 255, 6, 0x12, 1, 0xb0, 0, 255);
	cr_assert_eq(buf[5], 16);
	cr_assert_eq(get_be32(&buf[8]), 64);
	cr_assert_eq(get_be32(&buf[20]), 0, "no UNMAP");
	cr_assert_eq(get_be32(&buf[32]), 0);
	IN(0, 255, 6, 0x12, 1, 0xb1, 0, 255);
	cr_assert_eq(get_be16(&buf[4]), 1);
	IN(0, 255, 6, 0x12, 1, 0xb2, 0, 255);
	good(8);
	cr_assert_eq(buf[5], 0xe4, "UNMAP, WRITE SAME with it, zeroes afterwards");
	cr_assert_eq(buf[6], 2, "thin");
	IN(3, 255, 6, 0x12, 1, 0xb2, 0, 255);
	cr_assert_eq(buf[5], 0);
	cr_assert_eq(buf[6], 0);
}
