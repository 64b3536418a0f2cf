// SPDX-License-Identifier: Apache-2.0
/*
 * A DVD drive at LUN 1: asks it again and again for media events and whether it is ready, reads the first block of what
 * is in it, and says what is new. The first two bytes of LUN 0 are what the host wants done, once for each new second
 * one: 'e' eject, 'l' load, 'k' lock the tray, 'u' unlock it.
 */
#include "abi/mmc.h"
#include "disk.h"
#include "rt.h"

#define TICK_MS 20u
#define DRIVE	1u
#define ALSO	8u /* characters of a medium that are shown */

static struct vmbus_channel channel;
static uint8_t data[MMC_BLOCK_BYTES] __attribute__((aligned(MMC_BLOCK_BYTES)));
static struct storvsc_result result;

/* Return: sense: key << 16 | code << 8 | qualifier; 0: good. */
static uint32_t ask(uint8_t lun, const uint8_t *cdb, uint8_t cdb_len, void *buffer, uint32_t len)
{
	rt_check(storvsc_submit(&channel, 7, lun, cdb, cdb_len, false, buffer, len), "the ring is full");
	storvsc_wait(&channel, &result);
	rt_check(result.id == 7, "another request's completion");
	if (result.scsi_status == SCSI_STATUS_GOOD && (result.srb_status & 0x3f) == SRB_STATUS_SUCCESS)
		return 0;
	rt_check(result.scsi_status == SCSI_STATUS_CHECK_CONDITION, "lun %u: SRB status %#x, SCSI status %#x", lun,
		 result.srb_status, result.scsi_status);
	return (uint32_t)(result.sense[2] & 0xf) << 16 | (uint32_t)result.sense[12] << 8 | result.sense[13];
}

static void look_for_events(void)
{
	static const uint8_t cdb[10] = {MMC_GET_EVENT_STATUS, MMC_EVENT_POLLED, [4] = 1u << MMC_EVENT_MEDIA, [8] = 8};
	uint32_t sense = ask(DRIVE, cdb, sizeof(cdb), data, 8);

	rt_check(!sense, "no events: %#x", sense);
	if (data[4])
		rt_printf("guest: event %u, status %u\n", data[4], data[5]);
}

/* Return: whether it could be read. */
static bool read_medium(void)
{
	uint8_t cdb[10];
	char text[ALSO + 1] = {0};
	uint32_t sense;

	storvsc_rw10(cdb, false, 0, 1);
	sense = ask(DRIVE, cdb, sizeof(cdb), data, sizeof(data));
	if (sense) {
		rt_printf("guest: the medium goes while it is read: %x\n", sense);
		return false;
	}
	memcpy(text, data, ALSO);
	rt_printf("guest: reads %s\n", text);
	return true;
}

static void look_at_drive(void)
{
	static const uint8_t cdb[6] = {SCSI_TEST_UNIT_READY};
	static uint32_t before = UINT32_MAX;
	uint32_t sense = ask(DRIVE, cdb, sizeof(cdb), NULL, 0);

	if (sense == before)
		return;
	before = sense;
	rt_printf("guest: drive %x\n", sense);
	if (!sense && !read_medium())
		before = UINT32_MAX; /* once more */
}

static void do_as_told(void)
{
	static uint8_t number;
	uint8_t cdb[10], start_stop[6] = {SCSI_START_STOP_UNIT}, prevent[6] = {SCSI_PREVENT_ALLOW};
	uint8_t what;

	storvsc_rw10(cdb, false, 0, 1);
	while (ask(0, cdb, sizeof(cdb), data, DISK_BLOCK))
		;
	if (data[1] == number)
		return;
	what = data[0];
	number = data[1];
	start_stop[4] = SCSI_START_STOP_LOEJ | (what == 'l' ? SCSI_START_STOP_START : 0);
	prevent[4] = what == 'k' ? SCSI_PREVENT : 0;
	rt_printf("guest: %c%c: %x\n", what, number,
		  ask(DRIVE, what == 'e' || what == 'l' ? start_stop : prevent, 6, NULL, 0));
}

void rt_main(const char *cmdline)
{
	(void)cmdline;
	vmbus_start();
	vmbus_synic_start(0);
	disk_connect(&channel, VMBUS_VERSION_5_3, 0);
	rt_tick(TICK_MS);
	for (;;) {
		storvsc_look_for_news(&channel);
		look_for_events();
		look_at_drive();
		do_as_told();
		rt_idle(true);
	}
}
