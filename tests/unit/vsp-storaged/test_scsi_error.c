/* SPDX-License-Identifier: Apache-2.0 */
/* The error state of a disk: what puts it there, and what ends it. */
#include "tests/unit/vsp-storaged/scsi_fixture.h"

static unsigned int changes;

static void on_changed(void *arg)
{
	cr_assert_eq(arg, &changes);
	changes++;
}

static void set_up(void)
{
	scsi_set_up();
	luns[0].error_changed = on_changed;
	luns[0].error_arg = &changes;
	changes = 0;
}

TestSuite(scsi_error, .init = set_up, .fini = scsi_tear_down, .timeout = 30);

static void write_block(uint8_t block, int fail)
{
	disk.fail = fail;
	OUT(0, 512, 10, SCSI_WRITE_10, 0, 0, 0, 0, block, 0, 0, 1);
	cr_assert_eq(req.status, fail ? SCSI_STATUS_CHECK_CONDITION : SCSI_STATUS_GOOD);
	disk.fail = 0;
}

static void read_block(uint8_t block, int fail)
{
	disk.fail = fail;
	IN(0, 512, 10, SCSI_READ_10, 0, 0, 0, 0, block, 0, 0, 1);
	disk.fail = 0;
}

static void is(enum scsi_error_kind kind, unsigned int changed)
{
	cr_assert_eq(luns[0].error.kind, kind, "%u", luns[0].error.kind);
	cr_assert_eq(changes, changed, "%u changes", changes);
}

Test(scsi_error, kinds)
{
	static const struct {
		int error;
		enum scsi_error_kind kind;
	} kinds[] = {
		{-ENOSPC, SCSI_ERROR_NO_SPACE}, {-EDQUOT, SCSI_ERROR_NO_SPACE}, {-EFBIG, SCSI_ERROR_NO_SPACE},
		{-EROFS, SCSI_ERROR_READ_ONLY}, {-EPERM, SCSI_ERROR_READ_ONLY}, {-ENODATA, SCSI_ERROR_SHRUNK},
		{-ENODEV, SCSI_ERROR_GONE},	{-ENXIO, SCSI_ERROR_GONE},	{-EBADF, SCSI_ERROR_GONE},
		{-EIO, SCSI_ERROR_IO},		{-EINVAL, SCSI_ERROR_IO},	{-ENOMEM, SCSI_ERROR_NONE},
		{-ECANCELED, SCSI_ERROR_NONE},	{-EAGAIN, SCSI_ERROR_NONE},
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		write_block(3, kinds[i].error);
		cr_assert_eq(luns[0].error.kind, kinds[i].kind, "%s", strerror(-kinds[i].error));
		write_block(3, 0);
		cr_assert_eq(luns[0].error.kind, SCSI_ERROR_NONE);
	}
	cr_assert_eq(luns[1].error.kind, SCSI_ERROR_NONE, "that of the other one");
}

/* Where there is no space for one block there is some for another: it is told once. */
Test(scsi_error, ends_where_it_began)
{
	for (unsigned int i = 0; i < 10; i++) {
		write_block(3, 0);
		write_block(4, -ENOSPC);
		write_block(5, 0);
		read_block(4, 0);
		is(SCSI_ERROR_NO_SPACE, 1);
	}
	write_block(4, 0);
	is(SCSI_ERROR_NONE, 2);
}

Test(scsi_error, ends_elsewhere_after_a_while)
{
	write_block(4, -EROFS);
	luns[0].error.met_ns -= SCSI_ERROR_QUIET_NS;
	read_block(5, 0);
	is(SCSI_ERROR_READ_ONLY, 1);
	write_block(5, 0);
	is(SCSI_ERROR_NONE, 2);
}

Test(scsi_error, the_worst_is_told)
{
	read_block(4, -ENODATA);
	write_block(4, -ENOSPC);
	is(SCSI_ERROR_SHRUNK, 1);
	write_block(4, 0);
	is(SCSI_ERROR_SHRUNK, 1);
	read_block(5, -ENXIO);
	is(SCSI_ERROR_GONE, 2);
	read_block(5, 0);
	is(SCSI_ERROR_NONE, 3);
}

/* Commands of the lane, and flushes. */
Test(scsi_error, others)
{
	disk.fail = -EIO;
	NODATA(0, 10, SCSI_SYNCHRONIZE_CACHE_10);
	disk.fail = 0;
	is(SCSI_ERROR_IO, 1);
	write_block(0, 0);
	is(SCSI_ERROR_IO, 1);
	NODATA(0, 10, SCSI_SYNCHRONIZE_CACHE_10);
	is(SCSI_ERROR_NONE, 2);
	disk.fail = -EIO;
	NODATA(0, 10, SCSI_VERIFY_10, 0, 0, 0, 0, 7, 0, 0, 1);
	disk.fail = 0;
	is(SCSI_ERROR_IO, 3);
	NODATA(0, 10, SCSI_VERIFY_10, 0, 0, 0, 0, 7, 0, 0, 1);
	is(SCSI_ERROR_NONE, 4);
}

/* The host says so. */
Test(scsi_error, lost_and_found)
{
	scsi_lun_lost(&luns[0]);
	is(SCSI_ERROR_GONE, 1);
	read_block(0, 0);
	is(SCSI_ERROR_GONE, 1);
	scsi_lun_works(&luns[0]);
	scsi_lun_works(&luns[0]);
	is(SCSI_ERROR_NONE, 2);
}
