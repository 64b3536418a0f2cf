/* SPDX-License-Identifier: Apache-2.0 */
/*
 * READ CD, READ CD MSF, SET CD SPEED: what a drive that reads CDs must have. Spec: MMC-6 6.15 (READ CD), 6.16 (READ CD
 * MSF); a sector's layout, its check and correction codes: ECMA-130 14 and annexes A and B.
 *
 * Theory of operation: an image has the user data of sectors of mode 1. The fields around it that the initiator asks
 * for are made up as they are on a disc that holds these data: in the lane, piece by piece, each block into a sector.
 *
 * Limits: there are no sub-channels and no error flags, and sectors of no other mode. DISK_MAX_TRANSFER bytes a
 * command.
 */
#include <string.h>

#include "abi/mmc.h"
#include "base/bytes.h"
#include "scsi_command.h"

#define READ 1u /* which scratch buffer */

/* ---- a sector ---- */

/* x^32 + x^31 + x^16 + x^15 + x^4 + x^3 + x + 1, the lowest bit first. */
static uint32_t edc(const uint8_t *bytes, size_t len)
{
	uint32_t crc = 0;

	for (size_t i = 0; i < len; i++) {
		crc ^= bytes[i];
		for (unsigned int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? MMC_EDC_POLYNOMIAL : 0);
	}
	return crc;
}

/* In GF(2^8) with x^8 + x^4 + x^3 + x^2 + 1. */
static uint8_t times_alpha(uint8_t x)
{
	return (uint8_t)(x << 1 ^ (x & 0x80 ? MMC_ECC_POLYNOMIAL : 0));
}

static uint8_t multiply(uint8_t a, uint8_t b)
{
	uint8_t product = 0;

	for (; b; b >>= 1, a = times_alpha(a))
		product ^= b & 1 ? a : 0;
	return product;
}

/* One of the two codes over the sector from its header on: words of @symbols bytes, two of parity at @parity each. */
struct code {
	size_t words, symbols, word_step, symbol_step, parity;
};

static const struct code p_code = {86, 24, 2, 86, MMC_SECTOR_P};
static const struct code q_code = {52, 43, 86, 88, MMC_SECTOR_Q};

/* The two bytes make sum and weighted sum of the word zero: b = sum + a, and a * (alpha + 1) = the weighted sum. */
static void put_parity(uint8_t *sector, const struct code *code)
{
	uint8_t *from = sector + MMC_SECTOR_HEADER;
	const uint8_t inverse = MMC_ECC_INVERSE; /* of alpha + 1 */

	for (size_t word = 0; word < code->words; word++) {
		size_t at = (word >> 1) * code->word_step + (word & 1), size = code->words * code->symbols;
		uint8_t sum = 0, weighted = 0, a;

		for (size_t i = 0; i < code->symbols; i++) {
			sum ^= from[at];
			weighted = times_alpha(weighted ^ from[at]);
			at = (at + code->symbol_step) % size;
		}
		a = multiply((uint8_t)(times_alpha(weighted) ^ sum), inverse);
		sector[code->parity + word] = a;
		sector[code->parity + code->words + word] = sum ^ a;
	}
}

static uint8_t bcd(uint64_t n)
{
	return (uint8_t)(n / 10 % 10 << 4 | n % 10);
}

static void make_sector(uint8_t sector[MMC_SECTOR_BYTES], uint64_t lba, const uint8_t *data)
{
	uint64_t frames = lba + MMC_LEAD_IN;

	memset(sector, 0, MMC_SECTOR_BYTES);
	memset(sector + 1, 0xff, 10);
	sector[12] = bcd(frames / MMC_FRAMES / 60);
	sector[13] = bcd(frames / MMC_FRAMES % 60);
	sector[14] = bcd(frames % MMC_FRAMES);
	sector[15] = 1; /* mode */
	memcpy(sector + MMC_SECTOR_DATA, data, MMC_BLOCK_BYTES);
	put_le32(sector + MMC_SECTOR_EDC, edc(sector, MMC_SECTOR_EDC));
	put_parity(sector, &p_code);
	put_parity(sector, &q_code);
}

/* ---- which fields ---- */

/* In their order in a sector, which is that of the bits. */
static const struct field {
	uint8_t bit;
	uint16_t at, len;
} fields[] = {
	{MMC_READ_SYNC, 0, MMC_SECTOR_HEADER},
	{MMC_READ_HEADER, MMC_SECTOR_HEADER, MMC_SECTOR_DATA - MMC_SECTOR_HEADER},
	{MMC_READ_DATA, MMC_SECTOR_DATA, MMC_BLOCK_BYTES},
	{MMC_READ_EDC, MMC_SECTOR_EDC, MMC_SECTOR_BYTES - MMC_SECTOR_EDC},
};

/* From where to where the fields of byte 9 lie. Return: false: they have others between them. */
static bool selected(uint8_t bits, size_t *ret_from, size_t *ret_to)
{
	size_t from = 0, to = 0;

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (!(bits & fields[i].bit))
			continue;
		if (to > 0 && fields[i].at != to)
			return false;
		if (to == 0)
			from = fields[i].at;
		to = fields[i].at + (size_t)fields[i].len;
	}
	*ret_from = from;
	*ret_to = to;
	return true;
}

/* ---- READ CD ---- */

static size_t next_piece(const struct scsi_request *request)
{
	return (size_t)MIN(request->left, (uint64_t)SCSI_SCRATCH_LEN);
}

/* The initiator's buffer, behind what it has got, has room. */
static void put_in(struct scsi_request *request, const uint8_t *from, size_t len)
{
	while (len > 0) {
		struct iovec *iov = request->iov;
		size_t step = MIN(len, iov->iov_len);

		memcpy(iov->iov_base, from, step);
		from += step;
		len -= step;
		iov->iov_base = (uint8_t *)iov->iov_base + step;
		iov->iov_len -= step;
		if (iov->iov_len == 0) {
			request->iov++;
			request->iovs--;
		}
	}
}

static void put_piece(struct scsi_request *request)
{
	const uint8_t *data = request->unit->scratch[READ];
	uint8_t sector[MMC_SECTOR_BYTES];
	size_t len = next_piece(request), from, to;

	(void)selected(request->cdb[9], &from, &to);
	for (size_t done = 0; done < len; done += MMC_BLOCK_BYTES) {
		make_sector(sector, (request->at + done) / MMC_BLOCK_BYTES, data + done);
		put_in(request, sector + from, to - from);
	}
	request->at += len;
	request->left -= len;
}

static void read_cd_step(struct scsi_request *request, int result)
{
	if (result < 0) {
		scsi_host_failed(request, result);
		return;
	}
	if (request->phase > 0)
		put_piece(request);
	request->phase = 1;
	if (request->left == 0) {
		request->transferred = request->wanted;
		scsi_good(request);
		return;
	}
	scsi_lane_io(request, DISK_READ, request->at, next_piece(request), request->unit->scratch[READ]);
}

/* Of @blocks from @lba on; @length_byte: where the CDB says how many. */
static void read_cd(struct scsi_request *request, uint64_t lba, uint32_t blocks, unsigned int length_byte)
{
	struct scsi_extent extent = {lba, blocks};
	uint8_t type = request->cdb[1] & MMC_READ_TYPE;
	size_t from, to;

	if (!scsi_medium_is_cd(request->unit)) {
		scsi_check(request, SCSI_SENSE_ILLEGAL_REQUEST, SCSI_ASC_INCOMPATIBLE_FORMAT);
	} else if (!selected(request->cdb[9], &from, &to)) {
		scsi_invalid_field(request, 9, 7);
	} else if (!scsi_extent_ok(request, &extent)) {
		return;
	} else if (type != MMC_READ_ANY && type != MMC_READ_MODE_1) {
		scsi_check(request, SCSI_SENSE_ILLEGAL_REQUEST, SCSI_ASC_ILLEGAL_MODE_FOR_TRACK);
	} else if (blocks * (uint64_t)(to - from) > MIN(request->data_len, DISK_MAX_TRANSFER)) {
		scsi_invalid_field(request, length_byte, 7);
	} else if (blocks == 0 || to == from) {
		scsi_good(request);
	} else {
		request->wanted = (uint32_t)(blocks * (to - from));
		request->at = lba * MMC_BLOCK_BYTES;
		request->left = (uint64_t)blocks * MMC_BLOCK_BYTES;
		scsi_lane_enter(request, read_cd_step);
	}
}

void scsi_read_cd(struct scsi_controller *controller, struct scsi_request *request)
{
	(void)controller;
	read_cd(request, get_be32(&request->cdb[2]), get_be32(&request->cdb[5]) & 0xffffff, 6);
}

/* Return: the block; -1: there is none. */
static int64_t from_msf(const uint8_t *msf)
{
	int64_t frames = ((int64_t)msf[0] * 60 + msf[1]) * MMC_FRAMES + msf[2];

	return msf[1] < 60 && msf[2] < MMC_FRAMES ? frames - MMC_LEAD_IN : -1;
}

void scsi_read_cd_msf(struct scsi_controller *controller, struct scsi_request *request)
{
	int64_t from = from_msf(&request->cdb[3]), to = from_msf(&request->cdb[6]);

	(void)controller;
	if (from < 0 || to < from)
		scsi_invalid_field(request, from < 0 ? 3 : 6, 7);
	else
		read_cd(request, (uint64_t)from, (uint32_t)(to - from), 6);
}

/* The drive is as fast as it is. */
void scsi_set_cd_speed(struct scsi_controller *controller, struct scsi_request *request)
{
	(void)controller;
	if ((request->cdb[1] & MMC_SPEED_ROTATION) > MMC_SPEED_CAV)
		scsi_invalid_field(request, 1, 1);
	else
		scsi_good(request);
}
