/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/vsp-storaged/scsi_fixture.h"

TestSuite(scsi, .init = scsi_set_up, .fini = scsi_tear_down, .timeout = 30);

Test(scsi, test_unit_ready_and_request_sense)
{
	NODATA(0, 6, 0x00);
	good(0);
	IN(0, 252, 6, 0x03, 0, 0, 0, 252);
	good(18);
	cr_assert_eq(buf[0], 0x70);
	cr_assert_eq(buf[2], 0);
	IN(0, 252, 6, 0x03, 1, 0, 0, 252);
	good(8);
	cr_assert_eq(buf[0], 0x72);
}

Test(scsi, report_luns)
{
	IN(0, 64, 12, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64);
	good(24);
	cr_assert_eq(get_be32(buf), 16);
	cr_assert_eq(buf[9], 0);
	cr_assert_eq(buf[17], 3);
	/* LUN 5 is not there, and answers all the same. */
	IN(5, 16, 12, 0xa0, 0, 2, 0, 0, 0, 0, 0, 0, 16);
	good(16);
	cr_assert_eq(get_be32(buf), 16);
	IN(0, 64, 12, 0xa0, 0, 1, 0, 0, 0, 0, 0, 0, 64);
	good(8);
	cr_assert_eq(get_be32(buf), 0);
	IN(0, 64, 12, 0xa0, 0, 3, 0, 0, 0, 0, 0, 0, 64);
	check(INVALID_FIELD);
	IN(0, 64, 12, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 15);
	check(INVALID_FIELD);
}

Test(scsi, absent_lun)
{
	memset(buf, 0xee, 64);
	IN(1, 36, 6, 0x12, 0, 0, 0, 36);
	good(36);
	cr_assert_eq(buf[0], 0x7f);
	NODATA(1, 6, 0x00);
	cr_assert_eq(req.outcome, SCSI_NO_LUN);
	IN(1, 512, 10, 0x28, 0, 0, 0, 0, 0, 0, 0, 1);
	cr_assert_eq(req.outcome, SCSI_NO_LUN);
	NODATA(1, 6, 0xff);
	cr_assert_eq(req.outcome, SCSI_NO_LUN);
}

Test(scsi, other_paths_and_targets_are_empty)
{
	static const uint8_t where[][2] = {{1, 0}, {7, 1}, {0, 1}}; /* path, target */

	for (size_t i = 0; i < ARRAY_SIZE(where); i++) {
		unsigned int before = dones;

		prepare(&req, req_iov, 0, CDB(0x12, 0, 0, 0, 36), 6, SCSI_IN, 36);
		req.path = where[i][0];
		req.target = where[i][1];
		scsi_execute(&controller, &req);
		good(36);
		cr_assert_eq(buf[0], 0x7f);

		prepare(&req, req_iov, 0, CDB(0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64), 12, SCSI_IN, 64);
		req.path = where[i][0];
		req.target = where[i][1];
		scsi_execute(&controller, &req);
		good(8);
		cr_assert_eq(get_be32(buf), 0);

		prepare(&req, req_iov, 0, CDB(0x00), 6, SCSI_NONE, 0);
		req.path = where[i][0];
		req.target = where[i][1];
		scsi_execute(&controller, &req);
		if (where[i][0] == 0)
			cr_assert_eq(req.outcome, SCSI_NO_LUN);
		else
			check(SENSE(5, 0x2500));
		cr_assert_eq(dones, before + 3);
	}
}

Test(scsi, unknown_opcodes)
{
	static const uint8_t opcodes[] = {0x04, 0x16, 0x34, 0x56, 0x5e, 0x7f, 0x94, 0xa4, 0xff};

	for (size_t i = 0; i < sizeof(opcodes); i++) {
		NODATA(0, 16, opcodes[i]);
		check(SENSE(5, 0x2000));
	}
}

Test(scsi, requests_that_contradict_themselves)
{
	OUT(0, 512, 10, 0x28, 0, 0, 0, 0, 0, 0, 0, 1);
	cr_assert_eq(req.outcome, SCSI_BAD_REQUEST);
	IN(0, 512, 10, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1);
	cr_assert_eq(req.outcome, SCSI_BAD_REQUEST);
	IN(0, 512, 6, 0x28, 0, 0, 0, 0, 0, 0, 0, 1);
	cr_assert_eq(req.outcome, SCSI_BAD_REQUEST, "a READ(10) of six bytes");
	/* The initiator that does not say is trusted. */
	run(0, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 1), 10, SCSI_NONE, 512);
	good(512);
	IN(0, 512, 10, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 4);
	check(INVALID_FIELD);
}

/* Whoever sets a bit that means nothing is told which. */
Test(scsi, reserved_bits)
{
	NODATA(0, 6, 0x00, 0, 0, 0x20);
	field(true, 3, 5);
	OUT(0, 512, 10, 0x2a, 0x20, 0, 0, 0, 0, 0, 0, 1);
	field(true, 1, 5);
	IN(0, 512, 10, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 4);
	field(true, 9, 2);
	IN(0, 32, 16, 0x9e, 0x12);
	field(true, 1, 4);
	IN(0, 32, 16, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 2);
	field(true, 14, 1);
}

Test(scsi, sense_as_descriptors)
{
	luns[0].state.modes = SCSI_MODES_DESCRIPTORS;
	NODATA(0, 6, 0x00, 0, 0, 0x20);
	cr_assert_eq(req.status, SCSI_STATUS_CHECK_CONDITION);
	cr_assert_eq(req.sense_len, 16);
	cr_assert_eq(req.sense[0], 0x72);
	cr_assert_eq(req.sense[1], 5);
	cr_assert_eq(get_be16(&req.sense[2]), 0x2400);
	cr_assert_eq(req.sense[7], 8);
	cr_assert_eq(memcmp(&req.sense[8], (uint8_t[]){2, 6, 0, 0, 0xcd, 0, 3, 0}, 8), 0);
	buf[0] = 0;
	OUT(0, 1024, 16, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
	cr_assert_eq(req.sense_len, 20);
	cr_assert_eq(memcmp(&req.sense[7], (uint8_t[]){12, 0, 10, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 13), 0);
	IN(0, 252, 6, 0x03, 0, 0, 0, 252);
	cr_assert_eq(buf[0], 0x70, "REQUEST SENSE says itself what it wants");
}

/* A LUN that leaves is not there for who looks for it; who uses it still can. */
Test(scsi, leaving_lun)
{
	luns[1].presence = SCSI_LEAVING;
	IN(3, 4096, 10, 0x28, 0, 0, 0, 0, 0, 0, 0, 1);
	good(4096);
	cr_assert_not(luns[1].missed);
	IN(3, 36, 6, 0x12, 0, 0, 0, 36);
	good(36);
	cr_assert_eq(buf[0], 0x7f);
	cr_assert_not(luns[1].missed);
	NODATA(3, 6, 0x00);
	cr_assert_eq(req.outcome, SCSI_NO_LUN);
	cr_assert(luns[1].missed);
	luns[1].missed = false;
	IN(0, 64, 12, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64);
	good(16);
	cr_assert_eq(get_be32(buf), 8);
	cr_assert_eq(buf[9], 0);
	cr_assert(luns[1].missed);
	IN(3, 4096, 10, 0x28, 0, 0, 0, 0, 0, 0, 0, 1);
	good(4096);
	luns[1].presence = SCSI_GONE;
	IN(3, 4096, 10, 0x28, 0, 0, 0, 0, 0, 0, 0, 1);
	cr_assert_eq(req.outcome, SCSI_NO_LUN);
	luns[1].presence = SCSI_PRESENT;
	NODATA(3, 6, 0x00);
	good(0);
}

/* Another one at the same address: the one that is gone is not looked at, wherever it stands. */
Test(scsi, gone_lun_is_not_found)
{
	luns[0].presence = SCSI_GONE;
	luns[1].lun = 0;
	NODATA(0, 6, 0x00);
	good(0);
	cr_assert_eq(req.unit, &luns[1]);
}
