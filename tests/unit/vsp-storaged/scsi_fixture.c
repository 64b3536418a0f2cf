/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/vsp-storaged/scsi_fixture.h"

#include <stdlib.h>

static const struct abi_guid instance = {{1, 2, 3, 4}};
struct memdisk disk, ro_disk;
struct scsi_lun luns[2];
struct scsi_controller controller = {luns, 2};
uint8_t *buf;

struct scsi_request req;
struct iovec req_iov[3];
unsigned int dones;

void scsi_set_up(void)
{
	memdisk_init(&disk, BLOCKS, 512, false);
	memdisk_init(&ro_disk, 100, 4096, true);
	cr_assert_eq(scsi_lun_init(&luns[0], &instance, 0, 0, "sda", "", &disk.disk), 0);
	cr_assert_eq(scsi_lun_init(&luns[1], &instance, 0, 3, "sdb", "SERIAL7", &ro_disk.disk), 0);
	buf = malloc(BUF_LEN);
	memset(buf, 0xee, BUF_LEN);
	scsi_lun_greet(&luns[0]);
	scsi_lun_greet(&luns[1]);
	dones = 0;
}

void scsi_tear_down(void)
{
	scsi_lun_done(&luns[0]);
	scsi_lun_done(&luns[1]);
	memdisk_done(&disk);
	memdisk_done(&ro_disk);
	free(buf);
}

static void done(struct scsi_request *request)
{
	(void)request;
	dones++;
}

void prepare(struct scsi_request *request, struct iovec iov[3], uint8_t lun, const uint8_t *cdb, size_t cdb_len,
	     enum scsi_direction direction, uint32_t len)
{
	uint32_t first = len / 3, second = len / 2;

	memset(request, 0, sizeof(*request));
	request->lun = lun;
	memcpy(request->cdb, cdb, cdb_len);
	request->cdb_len = (uint8_t)cdb_len;
	request->direction = direction;
	iov[0] = (struct iovec){buf, first};
	iov[1] = (struct iovec){buf + first, second - first};
	iov[2] = (struct iovec){buf + second, len - second};
	request->iov = iov;
	request->iovs = len ? 3 : 0;
	request->data_len = len;
	request->done = done;
}

void run(uint8_t lun, const uint8_t *cdb, size_t cdb_len, enum scsi_direction direction, uint32_t len)
{
	unsigned int before = dones;

	prepare(&req, req_iov, lun, cdb, cdb_len, direction, len);
	scsi_execute(&controller, &req);
	cr_assert_eq(dones, before + 1);
}

void good(uint32_t transferred)
{
	cr_assert_eq(req.outcome, SCSI_COMPLETE);
	cr_assert_eq(req.status, SCSI_STATUS_GOOD, "sense %x/%04x", req.sense[2], get_be16(&req.sense[12]));
	cr_assert_eq(req.sense_len, 0);
	cr_assert_eq(req.transferred, transferred, "%u bytes", req.transferred);
}

void check(uint32_t sense)
{
	cr_assert_eq(req.outcome, SCSI_COMPLETE);
	cr_assert_eq(req.status, SCSI_STATUS_CHECK_CONDITION);
	cr_assert_eq(req.sense_len, 18);
	cr_assert_eq(req.sense[0] & 0x7f, 0x70);
	cr_assert_eq(req.sense[7], 10);
	cr_assert_eq(SENSE(req.sense[2], get_be16(&req.sense[12])), sense, "sense %x/%04x", req.sense[2],
		     get_be16(&req.sense[12]));
	cr_assert_eq(req.transferred, 0);
}

void field(bool in_cdb, unsigned int byte, unsigned int bit)
{
	check(in_cdb ? INVALID_FIELD : INVALID_PARAMETER);
	cr_assert_eq(req.sense[15], (in_cdb ? 0xc8 : 0x88) | bit, "bit %u", req.sense[15] & 7u);
	cr_assert_eq(get_be16(&req.sense[16]), byte, "byte %u", get_be16(&req.sense[16]));
}
