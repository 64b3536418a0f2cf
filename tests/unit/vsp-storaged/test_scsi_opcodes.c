/* SPDX-License-Identifier: Apache-2.0 */
/* REPORT SUPPORTED OPERATION CODES, against what the commands do. */
#include "tests/unit/vsp-storaged/scsi_fixture.h"

TestSuite(scsi_opcodes, .init = scsi_set_up, .fini = scsi_tear_down, .timeout = 30);

#define LIST_MAX 8192u

static uint32_t list(uint8_t lun, uint8_t options)
{
	IN(lun, LIST_MAX, 12, 0xa3, 0x0c, options, 0, 0, 0, 0, 0, 0x20, 0);
	cr_assert_eq(req.status, 0);
	cr_assert_eq(req.transferred, get_be32(buf) + 4);
	return req.transferred;
}

static bool listed(uint32_t len, uint8_t opcode)
{
	for (uint32_t at = 4; at < len; at += 8)
		if (buf[at] == opcode)
			return true;
	return false;
}

/* Each opcode is known if, and only if, it is in the list. */
Test(scsi_opcodes, the_list_is_what_there_is)
{
	bool in_list[256];
	uint32_t len = list(0, 0);

	cr_assert_eq((len - 4) % 8, 0);
	for (unsigned int opcode = 0; opcode < 256; opcode++)
		in_list[opcode] = listed(len, (uint8_t)opcode);
	for (unsigned int opcode = 0; opcode < 256; opcode++) {
		NODATA(0, 16, (uint8_t)opcode, 0x1f);
		cr_assert_eq(req.status != 0 && get_be16(&req.sense[12]) == 0x2000, !in_list[opcode], "%#x", opcode);
	}
	cr_assert(in_list[0x42]);
	len = list(3, 0);
	cr_assert_not(listed(len, 0x42), "UNMAP, on a disk that has none");
}

Test(scsi_opcodes, service_actions_and_timeouts)
{
	uint32_t len = list(0, 0x80);

	cr_assert_eq((len - 4) % 20, 0);
	for (uint32_t at = 4; at < len; at += 20) {
		cr_assert_eq(buf[at + 5] & 2, 2);
		cr_assert_eq(get_be16(&buf[at + 8]), 10);
		if (buf[at] == 0x9e) {
			cr_assert_eq(get_be16(&buf[at + 2]), 0x10);
			cr_assert_eq(buf[at + 5], 3);
			cr_assert_eq(get_be16(&buf[at + 6]), 16);
		}
	}
}

Test(scsi_opcodes, one_command)
{
	static const uint8_t write_10[] = {0, 3, 0, 10, 0x2a, 0x18, 0xff, 0xff, 0xff, 0xff, 0x1f, 0xff, 0xff, 0};
	static const uint8_t capacity[] = {0, 3, 0, 16, 0x9e, 0x10};

	IN(0, 64, 12, 0xa3, 0x0c, 1, 0x2a, 0, 0, 0, 0, 0, 64);
	good(sizeof(write_10));
	cr_assert_eq(memcmp(buf, write_10, sizeof(write_10)), 0);
	IN(0, 64, 12, 0xa3, 0x0c, 0x82, 0x9e, 0, 0x10, 0, 0, 0, 64);
	good(4 + 16 + 12);
	cr_assert_eq(buf[1], 0x83);
	buf[1] = 3;
	cr_assert_eq(memcmp(buf, capacity, sizeof(capacity)), 0);
	cr_assert_eq(get_be16(&buf[20]), 10);
	/* Neither is there. */
	IN(0, 64, 12, 0xa3, 0x0c, 1, 0xff, 0, 0, 0, 0, 0, 64);
	good(4);
	cr_assert_eq(buf[1], 1);
	IN(0, 64, 12, 0xa3, 0x0c, 2, 0x9e, 0, 0x11, 0, 0, 0, 64);
	good(4);
	cr_assert_eq(buf[1], 1);
	IN(0, 64, 12, 0xa3, 0x0c, 3, 0x2a, 0, 0, 0, 0, 0, 64);
	cr_assert_eq(buf[1], 3);
	IN(0, 64, 12, 0xa3, 0x0c, 3, 0x9e, 0, 0x10, 0, 0, 0, 64);
	cr_assert_eq(buf[1], 3);
	/* Asked for in the wrong way. */
	IN(0, 64, 12, 0xa3, 0x0c, 1, 0x9e, 0, 0, 0, 0, 0, 64);
	field(true, 2, 2);
	IN(0, 64, 12, 0xa3, 0x0c, 2, 0x2a, 0, 0, 0, 0, 0, 64);
	field(true, 2, 2);
	IN(0, 64, 12, 0xa3, 0x0c, 4, 0x2a, 0, 0, 0, 0, 0, 64);
	field(true, 2, 2);
	IN(0, 64, 12, 0xa3, 0x0d, 0, 0, 0, 0, 0, 0, 0, 64);
	field(true, 1, 4);
}
