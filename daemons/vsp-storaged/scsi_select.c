/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MODE SELECT.
 *
 * Theory of operation: alone in the lane. The parameter list is copied and all of it checked; what the modes become
 * takes effect with the outcome of the command, or not at all. Where the write cache goes off, it is flushed first.
 *
 * Limits: nothing is saved: after a reset, and when the guest starts again, the modes are the default ones.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "scsi_command.h"

#define LIST_MAX 512u

enum { SELECT_BEGIN, SELECT_FLUSHED };

struct list {
	const uint8_t *bytes;
	size_t len;
};

static void truncated(struct scsi_request *request)
{
	scsi_check(request, SCSI_SENSE_ILLEGAL_REQUEST, SCSI_ASC_PARAMETER_LIST_LENGTH_ERROR);
}

/* The disk's size and block size are what they are. */
static bool take_descriptor(struct scsi_request *request, const struct list *list, size_t at, size_t len)
{
	const struct disk *disk = request->unit->disk;
	const uint8_t *bytes = list->bytes + at;
	uint64_t blocks = len == SCSI_MODE_LONG_DESC_LEN ? get_be64(bytes) : get_be32(bytes);
	uint64_t all = len == SCSI_MODE_LONG_DESC_LEN ? disk->blocks : MIN(disk->blocks, (uint64_t)UINT32_MAX);
	uint32_t block = len == SCSI_MODE_LONG_DESC_LEN ? get_be32(bytes + 12) : get_be32(bytes + 4) & 0xffffff;

	if (blocks != 0 && blocks != all) {
		scsi_invalid_parameter(request, (unsigned int)at, 7);
		return false;
	}
	if (block != disk->block_bytes) {
		scsi_invalid_parameter(request, (unsigned int)(at + len - 3), 7);
		return false;
	}
	return true;
}

/* Header and block descriptor. Return: where the pages begin; 0: the command has ended. */
static size_t take_header(struct scsi_request *request, const struct list *list)
{
	bool six = request->cdb[0] == SCSI_MODE_SELECT_6;
	size_t header = six ? SCSI_MODE_HEADER_6_LEN : SCSI_MODE_HEADER_10_LEN, wanted = SCSI_MODE_BLOCK_DESC_LEN, len;

	if (list->len < header) {
		truncated(request);
		return 0;
	}
	len = six ? list->bytes[3] : get_be16(&list->bytes[6]);
	if (!six && (list->bytes[4] & SCSI_MODE_LONGLBA))
		wanted = SCSI_MODE_LONG_DESC_LEN;
	if (len != 0 && len != wanted) {
		scsi_invalid_parameter(request, six ? 3 : 6, 7);
		return 0;
	}
	if (list->len - header < len) {
		truncated(request);
		return 0;
	}
	if (len > 0 && !take_descriptor(request, list, header, len))
		return 0;
	return header + len;
}

static unsigned int highest_bit(uint8_t bits)
{
	return 31u - (unsigned int)__builtin_clz(bits);
}

/* The page at @at, which is whole: request->modes follow it. Return: whether it asks for nothing else. */
static bool take_page(struct scsi_request *request, const struct scsi_mode_page *page, const struct list *list,
		      size_t at)
{
	const uint8_t *wanted = list->bytes + at;
	uint8_t now[UINT8_MAX], changeable[UINT8_MAX];

	scsi_build_mode_page(page, request->unit, SCSI_MODE_PAGE_CURRENT, request->modes, now);
	scsi_build_mode_page(page, request->unit, SCSI_MODE_PAGE_CHANGEABLE, request->modes, changeable);
	for (size_t i = 2; i < page->len; i++) {
		uint8_t wrong = (wanted[i] ^ now[i]) & (uint8_t)~changeable[i];

		if (wrong) {
			scsi_invalid_parameter(request, (unsigned int)(at + i), highest_bit(wrong));
			return false;
		}
	}
	for (size_t i = 0; i < page->bits_count; i++) {
		const struct scsi_mode_bit *bit = &page->bits[i];

		if (!(changeable[bit->byte] & bit->mask))
			continue;
		if (!(wanted[bit->byte] & bit->mask) == bit->inverted)
			request->modes |= bit->modes;
		else
			request->modes &= (uint8_t)~bit->modes;
	}
	return true;
}

/* Return: whether request->modes are what the list asks for; if not, the command has ended. */
static bool take_list(struct scsi_request *request, const struct list *list)
{
	size_t at = take_header(request, list);

	if (at == 0)
		return false;
	request->modes = request->unit->state.modes;
	while (at < list->len) {
		const struct scsi_mode_page *page =
			scsi_mode_page(request->unit, list->bytes[at] & SCSI_MODE_PAGE_CODE);

		if (!page || (list->bytes[at] & ~SCSI_MODE_PAGE_CODE)) {
			scsi_invalid_parameter(request, (unsigned int)at, page ? 7 : 5);
			return false;
		}
		if (list->len - at < 2 || list->len - at < list->bytes[at + 1] + 2u) {
			truncated(request);
			return false;
		}
		if (list->bytes[at + 1] != page->len - 2) {
			scsi_invalid_parameter(request, (unsigned int)(at + 1), 7);
			return false;
		}
		if (!take_page(request, page, list, at))
			return false;
		at += page->len;
	}
	return true;
}

static void select_step(struct scsi_request *request, int result)
{
	uint8_t bytes[LIST_MAX];
	struct list list = {bytes, request->wanted};

	if (result < 0) {
		scsi_host_failed(request, result);
		return;
	}
	if (request->phase == SELECT_BEGIN) {
		scsi_data_out(request, bytes, request->wanted);
		if (!take_list(request, &list))
			return;
		if ((request->modes & SCSI_MODES_NO_CACHE) && !scsi_no_cache(request->unit)) {
			request->phase = SELECT_FLUSHED;
			scsi_lane_io(request, DISK_FLUSH, 0, 0, NULL);
			return;
		}
	}
	scsi_set_modes(request, request->modes);
	request->transferred = request->wanted;
	scsi_good(request);
}

static void mode_select(struct scsi_request *request, uint32_t len)
{
	request->wanted = len;
	if (!(request->cdb[1] & SCSI_MODE_SELECT_PF))
		scsi_invalid_field(request, 1, 4);
	else if (len == 0)
		scsi_good(request);
	else if (len > LIST_MAX || len > request->data_len)
		truncated(request);
	else
		scsi_lane_enter_alone(request, select_step);
}

void scsi_mode_select_6(struct scsi_controller *controller, struct scsi_request *request)
{
	(void)controller;
	mode_select(request, request->cdb[4]);
}

void scsi_mode_select_10(struct scsi_controller *controller, struct scsi_request *request)
{
	(void)controller;
	mode_select(request, get_be16(&request->cdb[7]));
}
