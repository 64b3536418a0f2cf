/* SPDX-License-Identifier: Apache-2.0 */
/* A drive: LUN 0 is one, with a CD of 1000 blocks in it. */
#include "abi/mmc.h"
#include "tests/unit/vsp-storaged/scsi_fixture.h"

#define TRAY_CLOSED SENSE(2, 0x3a01)
#define TRAY_OPEN   SENSE(2, 0x3a02)
#define CHANGED	    SENSE(6, 0x2800)
#define PREVENTED   SENSE(5, 0x5302)
#define CD_BLOCKS   1000u

static struct memdisk cd, none;

static void set_up(void)
{
	scsi_set_up();
	memdisk_init(&cd, CD_BLOCKS, 2048, true);
	memdisk_init(&none, 1, 2048, true);
	none.disk.blocks = 0;
	luns[0].disk = &cd.disk;
	scsi_lun_make_drive(&luns[0], 7);
	scsi_lun_greet(&luns[0]);
}

static void tear_down(void)
{
	memdisk_done(&cd);
	memdisk_done(&none);
	scsi_tear_down();
}

TestSuite(scsi_mmc, .init = set_up, .fini = tear_down, .timeout = 30);

/* What the host does. */
static void change(struct memdisk *to, uint32_t number)
{
	luns[0].changing = true;
	scsi_lun_set_medium(&luns[0], &to->disk, number);
}

static void as_dvd(void)
{
	cd.disk.blocks = MMC_CD_BLOCKS_MAX + 1;
}

static void ready(void)
{
	NODATA(0, 6, 0x00);
	good(0);
}

static void not_ready(uint32_t sense)
{
	NODATA(0, 6, 0x00);
	check(sense);
}

static void event(unsigned int code, unsigned int status)
{
	IN(0, 8, 10, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8);
	good(8);
	cr_assert_eq(get_be16(buf), 6);
	cr_assert_eq(buf[2], 4);
	cr_assert_eq(buf[3], 0x10);
	cr_assert_eq(buf[4], code, "event %u", buf[4]);
	cr_assert_eq(buf[5], status, "status %u", buf[5]);
}

Test(scsi_mmc, inquiry)
{
	IN(0, 96, 6, 0x12, 0, 0, 0, 96);
	good(96);
	cr_assert_eq(buf[0], 0x05);
	cr_assert_eq(buf[1], 0x80, "removable");
	cr_assert_eq(memcmp(&buf[8], "BulkheadVirtual DVD-ROM ", 24), 0);
	cr_assert_eq(get_be16(&buf[62]), 0x04e0);
	IN(0, 255, 6, 0x12, 1, 0, 0, 255);
	good(7);
	cr_assert_eq(memcmp(buf, (uint8_t[]){5, 0, 0, 3, 0x00, 0x80, 0x83}, 7), 0);
	IN(0, 255, 6, 0x12, 1, 0xb0, 0, 255);
	check(INVALID_FIELD);
	change(&none, 8);
	IN(0, 96, 6, 0x12, 0, 0, 0, 96);
	good(96);
}

Test(scsi_mmc, capacity_and_reading)
{
	memset(cd.data + 999 * 2048, 0x5a, 2048);
	IN(0, 8, 10, 0x25);
	good(8);
	cr_assert_eq(get_be32(buf), CD_BLOCKS - 1);
	cr_assert_eq(get_be32(&buf[4]), 2048);
	IN(0, 2048, 10, 0x28, 0, 0, 0, 3, 0xe7, 0, 0, 1);
	good(2048);
	cr_assert_eq(buf[0] == 0x5a && buf[2047] == 0x5a, 1);
	IN(0, 4096, 12, 0xa8, 0, 0, 0, 3, 0xe6, 0, 0, 0, 2);
	good(4096);
	cr_assert_eq(buf[2048], 0x5a);
	IN(0, 4096, 10, 0x28, 0, 0, 0, 3, 0xe7, 0, 0, 2);
	check(OUT_OF_RANGE);
	IN(0, 2047, 10, 0x28, 0, 0, 0, 3, 0xe7, 0, 0, 1);
	check(INVALID_FIELD);
	NODATA(0, 10, 0x35);
	good(0);
	OUT(0, 2048, 10, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1);
	check(WRITE_PROTECT);
	OUT(0, 2048, 12, 0xaa, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
	check(WRITE_PROTECT);
}

/* What a disk has and a drive has not, and the other way round. */
Test(scsi_mmc, commands_of_the_other_kind)
{
	static const uint8_t of_disks[] = {0x08, 0x0a, 0x41, 0x42, 0x88, 0x89, 0x8a, 0x91, 0x93};
	static const uint8_t of_drives[] = {0x43, 0x46, 0x4a, 0x51, 0x52, 0xad, 0xb9, 0xbb, 0xbd, 0xbe};

	for (size_t i = 0; i < sizeof(of_disks); i++) {
		NODATA(0, 16, of_disks[i]);
		check(SENSE(5, 0x2000));
	}
	for (size_t i = 0; i < sizeof(of_drives); i++) {
		NODATA(3, 16, of_drives[i]);
		check(SENSE(5, 0x2000));
	}
	/* and both say so */
	IN(0, 255, 12, 0xa3, 0x0c, 1, 0x46, 0, 0, 0, 0, 0, 255);
	cr_assert_eq(buf[1], 3);
	IN(0, 255, 12, 0xa3, 0x0c, 1, 0x42, 0, 0, 0, 0, 0, 255);
	cr_assert_eq(buf[1], 1);
	IN(3, 255, 12, 0xa3, 0x0c, 1, 0x46, 0, 0, 0, 0, 0, 255);
	cr_assert_eq(buf[1], 1);
}

Test(scsi_mmc, no_medium)
{
	change(&none, 8);
	not_ready(TRAY_CLOSED);
	IN(0, 8, 10, 0x25);
	check(TRAY_CLOSED);
	IN(0, 2048, 10, 0x28, 0, 0, 0, 0, 0, 0, 0, 1);
	check(TRAY_CLOSED);
	IN(0, 20, 10, 0x43, 0, 0, 0, 0, 0, 0, 0, 20);
	check(TRAY_CLOSED);
	IN(0, 34, 10, 0x51, 0, 0, 0, 0, 0, 0, 0, 34);
	check(TRAY_CLOSED);
	OUT(0, 2048, 10, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1);
	check(TRAY_CLOSED);
	IN(0, 8, 10, 0x46, 2, 0, 0x10, 0, 0, 0, 0, 8);
	good(8);
	cr_assert_eq(get_be16(&buf[6]), 0, "no profile");
	NODATA(0, 6, 0x1b, 0, 0, 0, 1);
	check(TRAY_CLOSED);
	NODATA(0, 6, 0x1b, 0, 0, 0, 0);
	good(0);
}

Test(scsi_mmc, a_new_medium_is_told_once)
{
	change(&cd, 8);
	not_ready(CHANGED);
	ready();
	event(2, 2);
	event(0, 2);
	/* taken out and put back between two looks of the initiator: it is another one */
	change(&none, 9);
	not_ready(TRAY_CLOSED);
	cr_assert(req.unit_changed);
	event(3, 0);
	event(0, 0);
	change(&cd, 10);
	event(2, 2);
	IN(0, 2048, 10, 0x28, 0, 0, 0, 0, 0, 0, 0, 1);
	check(CHANGED);
	cr_assert(req.unit_changed);
	ready();
	cr_assert_not(req.unit_changed);
}

Test(scsi_mmc, events)
{
	IN(0, 8, 10, 0x4a, 0, 0, 0, 0x10, 0, 0, 0, 8);
	field(true, 1, 0);
	/* of another class: there is none */
	IN(0, 8, 10, 0x4a, 1, 0, 0, 0x02, 0, 0, 0, 8);
	good(4);
	cr_assert_eq(memcmp(buf, (uint8_t[]){0, 2, 0x80, 0x10}, 4), 0);
	event(0, 2);
	/* an event is not used up by who has no room for it */
	change(&cd, 8);
	IN(0, 4, 10, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 4);
	good(4);
	IN(0, 4, 10, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8);
	good(4);
	IN(0, 8, 10, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 4);
	good(4);
	event(2, 2);
	luns[0].eject_wanted = true;
	event(1, 2);
	event(0, 2);
	/* unit attentions do not concern it */
	scsi_lun_reset(&luns[0]);
	event(2, 2);
	not_ready(SENSE(6, 0x2903));
}

Test(scsi_mmc, eject_and_load)
{
	NODATA(0, 6, 0x1b, 0, 0, 0, 2);
	good(0);
	cr_assert(req.unit_changed);
	cr_assert(scsi_tray_open(&luns[0]));
	not_ready(TRAY_OPEN);
	event(3, 1);
	IN(0, 8, 12, 0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8);
	good(8);
	cr_assert_eq(buf[1], 0x10);
	NODATA(0, 6, 0x1b, 0, 0, 0, 2);
	good(0);
	cr_assert_not(req.unit_changed, "it is open already");
	NODATA(0, 6, 0x1b, 0, 0, 0, 3);
	good(0);
	not_ready(CHANGED);
	ready();
	event(2, 2);
	IN(0, 8, 12, 0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8);
	cr_assert_eq(buf[1], 0);
	/* a reset moves no tray; power does */
	NODATA(0, 6, 0x1b, 0, 0, 0, 2);
	scsi_lun_reset(&luns[0]);
	not_ready(SENSE(6, 0x2903));
	not_ready(TRAY_OPEN);
	scsi_lun_power_on(&luns[0]);
	not_ready(SENSE(6, 0x2901));
	ready();
}

/* The host's change closes what the initiator has opened. */
Test(scsi_mmc, change_with_an_open_tray)
{
	NODATA(0, 6, 0x1b, 0, 0, 0, 2);
	luns[0].changing = true;
	not_ready(TRAY_OPEN);
	change(&none, 8);
	not_ready(TRAY_CLOSED);
	NODATA(0, 6, 0x1b, 0, 0, 0, 2);
	good(0);
	not_ready(TRAY_OPEN);
	change(&cd, 9);
	not_ready(CHANGED);
	ready();
}

Test(scsi_mmc, lock)
{
	NODATA(0, 6, 0x1e, 0, 0, 0, 1);
	good(0);
	cr_assert(req.unit_changed);
	cr_assert(scsi_tray_locked(&luns[0]));
	NODATA(0, 6, 0x1b, 0, 0, 0, 2);
	check(PREVENTED);
	IN(0, 64, 6, 0x1a, 8, 0x2a, 0, 64);
	good(26);
	cr_assert_eq(buf[4 + 6], 0x2b);
	NODATA(0, 6, 0x1e, 0, 0, 0, 0);
	good(0);
	NODATA(0, 6, 0x1b, 0, 0, 0, 2);
	good(0);
	NODATA(0, 6, 0x1e, 0, 0, 0, 1);
	scsi_lun_reset(&luns[0]);
	cr_assert_not(scsi_tray_locked(&luns[0]));
	/* a disk has no lock */
	NODATA(3, 6, 0x1e, 0, 0, 0, 1);
	good(0);
	cr_assert_not(req.unit_changed);
}

/* What a predecessor left: the tray is open for the same medium, and for no other. */
Test(scsi_mmc, restored)
{
	struct scsi_lun_state state;

	NODATA(0, 6, 0x1e, 0, 0, 0, 0);
	NODATA(0, 6, 0x1b, 0, 0, 0, 2);
	state = luns[0].state;
	scsi_lun_done(&luns[0]);
	cr_assert_eq(scsi_lun_init(&luns[0], &(struct abi_guid){{1}}, 0, 0, "sda", "", &cd.disk), 0);
	scsi_lun_make_drive(&luns[0], 7);
	cr_assert_eq(scsi_lun_restore(&luns[0], &state), 0);
	not_ready(TRAY_OPEN);
	scsi_lun_make_drive(&luns[0], 8);
	not_ready(CHANGED);
	ready();
}

Test(scsi_mmc, configuration)
{
	IN(0, 255, 10, 0x46, 0, 0, 0, 0, 0, 0, 0, 255);
	cr_assert_eq(req.status, SCSI_STATUS_GOOD);
	cr_assert_eq(get_be32(buf), req.transferred - 4);
	cr_assert_eq(get_be16(&buf[6]), 0x0008, "a CD");
	cr_assert_eq(memcmp(&buf[8], (uint8_t[]){0, 0, 3, 8, 0, 0x10, 0, 0, 0, 8, 1, 0}, 12), 0, "profiles");
	/* each feature, whole, in ascending order */
	for (uint32_t at = 8, last = 0; at < req.transferred; at += 4 + buf[at + 3]) {
		cr_assert(at == 8 || get_be16(&buf[at]) > last);
		last = get_be16(&buf[at]);
		cr_assert_leq(at + 4 + buf[at + 3], req.transferred);
		cr_assert_eq(buf[at + 3] % 4, 0);
	}
	as_dvd();
	IN(0, 255, 10, 0x46, 1, 0, 0x10, 0, 0, 0, 0, 255);
	cr_assert_eq(get_be16(&buf[6]), 0x0010);
	cr_assert_eq(get_be16(&buf[8]), 0x0010);
	cr_assert_eq(get_be32(&buf[12]), 2048);
	cr_assert_eq(get_be16(&buf[20]), 0x001f, "no CD read");
	IN(0, 255, 10, 0x46, 2, 0, 3, 0, 0, 0, 0, 255);
	good(16);
	cr_assert_eq(memcmp(&buf[8], (uint8_t[]){0, 3, 7, 4, 0x3d, 0, 0, 0}, 8), 0);
	IN(0, 255, 10, 0x46, 2, 0x12, 0x34, 0, 0, 0, 0, 255);
	good(8);
	cr_assert_eq(get_be32(buf), 4);
	IN(0, 255, 10, 0x46, 3, 0, 0, 0, 0, 0, 0, 255);
	field(true, 1, 1);
	IN(0, 255, 10, 0x46, 0, 0, 0, 0, 0, 0, 0, 8);
	good(8);
	IN(0, 255, 10, 0x46, 0, 0, 0, 0, 0, 0, 0, 0);
	good(0);
}

Test(scsi_mmc, table_of_contents)
{
	IN(0, 255, 10, 0x43, 0, 0, 0, 0, 0, 0, 0, 255);
	good(20);
	cr_assert_eq(
		memcmp(buf, (uint8_t[]){0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x14, 0xaa, 0, 0, 0, 3, 0xe8}, 20),
		0);
	IN(0, 255, 10, 0x43, 2, 0, 0, 0, 0, 0, 0, 255);
	good(20);
	cr_assert_eq(memcmp(&buf[8], (uint8_t[]){0, 0, 2, 0}, 4), 0);
	cr_assert_eq(memcmp(&buf[16], (uint8_t[]){0, 0, 15, 25}, 4), 0, "1150 frames");
	IN(0, 255, 10, 0x43, 0, 0, 0, 0, 0, 0xaa, 0, 255);
	good(12);
	cr_assert_eq(buf[6], 0xaa);
	IN(0, 255, 10, 0x43, 0, 0, 0, 0, 0, 2, 0, 255);
	field(true, 6, 7);
	IN(0, 255, 10, 0x43, 0, 1, 0, 0, 0, 0, 0, 255);
	good(12);
	cr_assert_eq(memcmp(buf, (uint8_t[]){0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0}, 12), 0);
	/* the same, asked in the old way */
	IN(0, 12, 10, 0x43, 0, 0, 0, 0, 0, 0, 0, 12, 0x40);
	good(12);
	cr_assert_eq(get_be16(buf), 10);
	IN(0, 255, 10, 0x43, 0, 2, 0, 0, 0, 1, 0, 255);
	good(48);
	cr_assert_eq(memcmp(&buf[4], (uint8_t[]){1, 0x14, 0, 0xa0, 0, 0, 0, 0, 1, 0, 0}, 11), 0);
	cr_assert_eq(memcmp(&buf[26], (uint8_t[]){1, 0x14, 0, 0xa2, 0, 0, 0, 0, 0, 15, 25}, 11), 0);
	IN(0, 255, 10, 0x43, 0, 2, 0, 0, 0, 2, 0, 255);
	field(true, 6, 7);
	IN(0, 255, 10, 0x43, 0, 5, 0, 0, 0, 0, 0, 255);
	field(true, 2, 3);
	IN(0, 3, 10, 0x43, 0, 0, 0, 0, 0, 0, 0, 255);
	good(3);
}

Test(scsi_mmc, disc_and_track)
{
	IN(0, 255, 10, 0x51, 0, 0, 0, 0, 0, 0, 0, 255);
	good(34);
	cr_assert_eq(memcmp(buf, (uint8_t[]){0, 32, 0x0e, 1, 1, 1, 1, 0x20}, 8), 0);
	IN(0, 255, 10, 0x51, 1, 0, 0, 0, 0, 0, 0, 255);
	field(true, 1, 2);
	IN(0, 255, 10, 0x52, 1, 0, 0, 0, 1, 0, 0, 255);
	good(36);
	cr_assert_eq(get_be32(&buf[24]), CD_BLOCKS);
	IN(0, 255, 10, 0x52, 0, 0, 0, 3, 0xe7, 0, 0, 255);
	good(36);
	IN(0, 255, 10, 0x52, 0, 0, 0, 3, 0xe8, 0, 0, 255);
	field(true, 2, 7);
	IN(0, 255, 10, 0x52, 1, 0, 0, 0, 2, 0, 0, 255);
	field(true, 2, 7);
	IN(0, 255, 10, 0x52, 3, 0, 0, 0, 1, 0, 0, 255);
	field(true, 2, 7);
}

Test(scsi_mmc, dvd_structures)
{
	IN(0, 3000, 12, 0xad, 0, 0, 0, 0, 0, 0, 0, 0x0b, 0xb8);
	check(SENSE(5, 0x3002));
	as_dvd();
	IN(0, 3000, 12, 0xad, 0, 0, 0, 0, 0, 0, 0, 0x0b, 0xb8);
	good(2052);
	cr_assert_eq(get_be16(buf), 2050);
	cr_assert_eq(get_be32(&buf[8]), 0x30000);
	cr_assert_eq(get_be32(&buf[12]), 0x30000 + MMC_CD_BLOCKS_MAX);
	IN(0, 3000, 12, 0xad, 0, 0, 0, 0, 0, 0, 1, 0x0b, 0xb8);
	good(8);
	IN(0, 3000, 12, 0xad, 0, 0, 0, 0, 0, 0, 0xff, 0x0b, 0xb8);
	good(16);
	cr_assert_eq(memcmp(&buf[4], (uint8_t[]){0, 0x40, 0x08, 0x04, 1, 0x40, 0, 8}, 8), 0);
	IN(0, 3000, 12, 0xad, 0, 0, 0, 0, 0, 1, 0, 0x0b, 0xb8);
	field(true, 6, 7);
	IN(0, 3000, 12, 0xad, 0, 0, 0, 0, 0, 0, 3, 0x0b, 0xb8);
	field(true, 7, 7);
	IN(0, 3000, 12, 0xad, 1, 0, 0, 0, 0, 0, 0, 0x0b, 0xb8);
	field(true, 1, 3);
}

Test(scsi_mmc, mode_pages)
{
	IN(0, 255, 10, 0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 255);
	good(8 + 12 + 12 + 22);
	cr_assert_eq(buf[3], 0);
	cr_assert_eq(get_be16(&buf[6]), 0, "no block descriptor");
	cr_assert_eq(buf[8], 0x01);
	cr_assert_eq(buf[20], 0x0a);
	cr_assert_eq(buf[32], 0x2a);
	cr_assert_eq(buf[38], 0x29);
	IN(0, 255, 10, 0x5a, 0, 0x08, 0, 0, 0, 0, 0, 255);
	check(INVALID_FIELD);
	IN(3, 255, 10, 0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 255);
	check(INVALID_FIELD);
	memcpy(buf, (uint8_t[24]){[8] = 0x2a, [9] = 20, [10] = 8, [14] = 0x29, [16] = 0x21, [17] = 0x13, [21] = 64},
	       24);
	buf[22] = 0x21;
	buf[23] = 0x13;
	memset(buf + 24, 0, 6);
	OUT(0, 30, 10, 0x55, 0x10, 0, 0, 0, 0, 0, 0, 30);
	good(30);
	buf[10] = 9;
	OUT(0, 30, 10, 0x55, 0x10, 0, 0, 0, 0, 0, 0, 30);
	check(INVALID_PARAMETER);
}

/* ---- READ CD ---- */

static void fill(void)
{
	for (size_t i = 0; i < (size_t)CD_BLOCKS * 2048; i++)
		cd.data[i] = (uint8_t)(i * 31 + i / 2048);
}

/* Blocks from 5 on, the fields of byte 9. */
static void read_cd(uint8_t fields, uint8_t blocks, uint32_t len)
{
	memset(buf, 0xee, BUF_LEN);
	IN(0, len, 12, 0xbe, 0, 0, 0, 0, 5, 0, 0, blocks, fields);
}

Test(scsi_mmc, read_cd_of_user_data)
{
	fill();
	read_cd(0x10, 100, 100 * 2048);
	good(100 * 2048);
	cr_assert_eq(memcmp(buf, cd.data + 5 * 2048, 100 * 2048), 0);
	IN(0, 3 * 2048, 12, 0xb9, 0, 0, 0, 2, 5, 0, 2, 8, 0x10);
	good(3 * 2048);
	cr_assert_eq(memcmp(buf, cd.data + 5 * 2048, 3 * 2048), 0, "by minute, second, frame");
	read_cd(0x10, 0, 0);
	good(0);
	read_cd(0, 3, 0);
	good(0);
	read_cd(0x40, 3, 0);
	good(0);
}

static uint8_t alpha_times(uint8_t x)
{
	return (uint8_t)(x << 1 ^ (x & 0x80 ? 0x1d : 0));
}

/* A word of a code: both sums are zero. */
static void check_word(const uint8_t *from, size_t at, size_t step, size_t size, size_t symbols, size_t parity,
		       size_t words)
{
	uint8_t sum = 0, weighted = 0;

	for (size_t i = 0; i < symbols + 2; i++) {
		uint8_t c = i < symbols ? from[(at + i * step) % size] : from[parity + (i - symbols) * words];

		sum ^= c;
		weighted = alpha_times(weighted) ^ c;
	}
	cr_assert(sum == 0 && weighted == 0, "%u, %u", sum, weighted);
}

static void check_sector(const uint8_t *sector, uint32_t lba)
{
	uint32_t crc = 0;

	cr_assert(sector[0] == 0 && sector[1] == 0xff && sector[10] == 0xff && sector[11] == 0);
	cr_assert(sector[12] == 0 && sector[13] == 2 && sector[14] == lba && sector[15] == 1);
	cr_assert_eq(memcmp(sector + 16, cd.data + (size_t)lba * 2048, 2048), 0);
	for (size_t i = 0; i < 2068; i++) {
		crc ^= sector[i];
		for (unsigned int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xd8018001u : 0);
	}
	cr_assert_eq(crc, 0, "what is checked with its check is 0");
	for (size_t i = 0; i < 86; i++)
		check_word(sector + 12, i, 86, 2064, 24, 2064 + i, 86);
	for (size_t i = 0; i < 52; i++)
		check_word(sector + 12, i / 2 * 86 + i % 2, 88, 2236, 43, 2236 + i, 52);
}

Test(scsi_mmc, read_cd_whole_sectors)
{
	uint8_t sector[2352];

	fill();
	read_cd(0xf8, 40, 40 * 2352);
	good(40 * 2352);
	check_sector(buf, 5);
	memcpy(sector, buf, sizeof(sector));
	read_cd(0xb8, 1, 2352);
	good(2352);
	cr_assert_eq(memcmp(buf, sector, 2352), 0, "without a sub-header it is the same");
	read_cd(0x30, 2, 2 * 2052);
	good(2 * 2052);
	cr_assert_eq(memcmp(buf, sector + 12, 2052), 0);
	read_cd(0x18, 1, 2336);
	good(2336);
	cr_assert_eq(memcmp(buf, sector + 16, 2336), 0);
	read_cd(0x20, 1, 4);
	good(4);
	cr_assert_eq(memcmp(buf, sector + 12, 4), 0);
}

Test(scsi_mmc, read_cd_that_is_wrong)
{
	read_cd(0x90, 1, 2352);
	field(true, 9, 7);
	read_cd(0x14, 1, 2352);
	field(true, 9, 2);
	read_cd(0x10, 2, 2 * 2048 - 1);
	field(true, 6, 7);
	read_cd(0xf8, 120, 120 * 2352);
	field(true, 6, 7);
	IN(0, 2448, 12, 0xbe, 0, 0, 0, 0, 5, 0, 0, 1, 0xf8, 1);
	field(true, 10, 0);
	IN(0, 2352, 12, 0xbe, 4, 0, 0, 0, 5, 0, 0, 1, 0xf8);
	check(SENSE(5, 0x6400));
	IN(0, 2048, 12, 0xbe, 8, 0, 0, 0x03, 0xe7, 0, 0, 1, 0x10);
	good(2048);
	IN(0, 2048, 12, 0xbe, 8, 0, 0, 0x03, 0xe8, 0, 0, 1, 0x10);
	check(OUT_OF_RANGE);
	IN(0, 2048, 12, 0xb9, 0, 0, 0, 1, 74, 0, 2, 1, 0x10);
	field(true, 3, 7);
	IN(0, 2048, 12, 0xb9, 0, 0, 0, 2, 5, 0, 2, 4, 0x10);
	field(true, 6, 7);
	IN(0, 2048, 12, 0xb9, 0, 0, 0, 2, 5, 0, 2, 75, 0x10);
	field(true, 6, 7);
	cd.fail = -EIO;
	read_cd(0x10, 1, 2048);
	check(SENSE(3, 0x1100));
	cd.fail = 0;
	as_dvd();
	read_cd(0x10, 1, 2048);
	check(SENSE(5, 0x3002));
}

Test(scsi_mmc, set_cd_speed)
{
	NODATA(0, 12, 0xbb, 0, 0xff, 0xff, 0xff, 0xff);
	good(0);
	NODATA(0, 12, 0xbb, 1, 0, 176, 0, 0);
	good(0);
	NODATA(0, 12, 0xbb, 2, 0, 176, 0, 0);
	field(true, 1, 1);
}
