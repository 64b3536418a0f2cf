/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of the file of reservations; numbers are big-endian, what is not named is 0.
 *
 *   head   0 magic "BHRF"  4 version  8 the disk's name, 16 bytes  24 checksum
 *   copy   0 magic "BHRC"  4 version  8 generation (64)  16 PRGENERATION  20 type  21 APTPL  22 holder
 *          24 start of the host, 16 bytes  40 checksum  64 and on: nexuses of 64 bytes:
 *            0 VM, 16 bytes  16 controller, 16 bytes  32 key (64)  40 mark  44 attentions  45 the last  46 in use
 *
 * A checksum is the CRC-32 of the whole page, itself taken for 0.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "reservation.h"

#define HEAD_MAGIC     0x42485246u
#define HEAD_CHECKSUM  24u
#define HEAD_LEN       28u
#define COPY_MAGIC     0x42485243u
#define COPY_CHECKSUM  40u
#define COPY_LEN       44u
#define NEXUSES_OFFSET 64u
#define NEXUS_LEN      64u
#define NEXUS_USED     47u

_Static_assert(NEXUSES_OFFSET + RESERVATION_NEXUSES * NEXUS_LEN == RESERVATION_PAGE, "a copy is a page");

/* The polynomial of IEEE 802.3, reflected, four bits at a time. */
static uint32_t crc32(uint32_t crc, const uint8_t *bytes, size_t len)
{
	static const uint32_t table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
		0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};

	for (size_t i = 0; i < len; i++) {
		crc ^= bytes[i];
		crc = table[crc & 15] ^ crc >> 4;
		crc = table[crc & 15] ^ crc >> 4;
	}
	return crc;
}

static uint32_t checksum(const uint8_t *page, size_t at)
{
	static const uint8_t zero[4];
	uint32_t crc = crc32(UINT32_MAX, page, at);

	crc = crc32(crc, zero, sizeof(zero));
	return ~crc32(crc, page + at + 4, RESERVATION_PAGE - at - 4);
}

static bool all_zero(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i])
			return false;
	return true;
}

/* What both kinds begin and end with. */
static int check_page(const uint8_t *bytes, uint32_t magic, size_t checksum_at)
{
	if (get_be32(bytes) != magic || get_be32(bytes + checksum_at) != checksum(bytes, checksum_at))
		return -EPROTO;
	return get_be32(bytes + 4) == RESERVATION_VERSION ? 0 : -EPROTONOSUPPORT;
}

/* ---- head ---- */

int reservation_head_parse(const uint8_t *bytes, uint8_t ret_id[RESERVATION_ID_LEN])
{
	int r;

	if (all_zero(bytes, RESERVATION_PAGE))
		return -ENODATA;
	r = check_page(bytes, HEAD_MAGIC, HEAD_CHECKSUM);
	if (r == 0 && !all_zero(bytes + HEAD_LEN, RESERVATION_PAGE - HEAD_LEN))
		r = -EPROTO;
	if (r == 0)
		memcpy(ret_id, bytes + 8, RESERVATION_ID_LEN);
	return r;
}

void reservation_head_print(const uint8_t id[RESERVATION_ID_LEN], uint8_t *ret_bytes)
{
	memset(ret_bytes, 0, RESERVATION_PAGE);
	put_be32(ret_bytes, HEAD_MAGIC);
	put_be32(ret_bytes + 4, RESERVATION_VERSION);
	memcpy(ret_bytes + 8, id, RESERVATION_ID_LEN);
	put_be32(ret_bytes + HEAD_CHECKSUM, checksum(ret_bytes, HEAD_CHECKSUM));
}

/* ---- copies ---- */

static bool same_nexus(const struct reservation_nexus *a, const struct reservation_nexus *b)
{
	return !memcmp(a->vm, b->vm, sizeof(a->vm)) && !memcmp(a->controller, b->controller, sizeof(a->controller));
}

static int parse_nexus(const uint8_t *bytes, struct reservation_nexus *nexus)
{
	memcpy(nexus->vm, bytes, RESERVATION_ID_LEN);
	memcpy(nexus->controller, bytes + 16, RESERVATION_ID_LEN);
	nexus->key = get_be64(bytes + 32);
	nexus->mark = get_be32(bytes + 40);
	nexus->attention = bytes[44];
	nexus->what = bytes[45];
	nexus->used = bytes[46];
	if (bytes[46] > 1 || !all_zero(bytes + NEXUS_USED, NEXUS_LEN - NEXUS_USED))
		return -EPROTO;
	if (!nexus->used)
		return all_zero(bytes, NEXUS_LEN) ? 0 : -EPROTO;
	/* preempted, released, registrations preempted */
	return nexus->what == 0 || (nexus->what >= 3 && nexus->what <= 5) ? 0 : -EPROTO;
}

static bool any_registered(const struct reservation_state *state)
{
	for (size_t i = 0; i < RESERVATION_NEXUSES; i++)
		if (state->nexus[i].key)
			return true;
	return false;
}

static bool holder_ok(const struct reservation_state *state)
{
	if (state->type == RESERVATION_NONE)
		return state->holder == RESERVATION_NOBODY;
	if (reservation_of_all(state->type))
		return state->holder == RESERVATION_NOBODY && any_registered(state);
	return state->holder < RESERVATION_NEXUSES && state->nexus[state->holder].key;
}

static bool all_different(const struct reservation_state *state)
{
	for (size_t i = 0; i < RESERVATION_NEXUSES; i++)
		for (size_t j = 0; j < i && state->nexus[i].used; j++)
			if (state->nexus[j].used && same_nexus(&state->nexus[i], &state->nexus[j]))
				return false;
	return true;
}

int reservation_state_parse(const uint8_t *bytes, struct reservation_state *ret)
{
	struct reservation_state state = {0};
	int r = check_page(bytes, COPY_MAGIC, COPY_CHECKSUM);

	if (r < 0)
		return r;
	state.generation = get_be64(bytes + 8);
	state.pr_generation = get_be32(bytes + 16);
	state.type = bytes[20];
	state.aptpl = bytes[21];
	state.holder = bytes[22];
	memcpy(state.power, bytes + 24, RESERVATION_ID_LEN);
	if (state.generation == 0 || bytes[21] > 1 || bytes[23] ||
	    !all_zero(bytes + COPY_LEN, NEXUSES_OFFSET - COPY_LEN) ||
	    (state.type && !reservation_known_type(state.type)))
		return -EPROTO;
	for (size_t i = 0; i < RESERVATION_NEXUSES; i++)
		if (parse_nexus(bytes + NEXUSES_OFFSET + i * NEXUS_LEN, &state.nexus[i]) < 0)
			return -EPROTO;
	if (!holder_ok(&state) || !all_different(&state))
		return -EPROTO;
	*ret = state;
	return 0;
}

static void print_nexus(const struct reservation_nexus *nexus, uint8_t *bytes)
{
	memcpy(bytes, nexus->vm, RESERVATION_ID_LEN);
	memcpy(bytes + 16, nexus->controller, RESERVATION_ID_LEN);
	put_be64(bytes + 32, nexus->key);
	put_be32(bytes + 40, nexus->mark);
	bytes[44] = nexus->attention;
	bytes[45] = nexus->what;
	bytes[46] = nexus->used;
}

void reservation_state_print(const struct reservation_state *state, uint8_t *ret_bytes)
{
	memset(ret_bytes, 0, RESERVATION_PAGE);
	put_be32(ret_bytes, COPY_MAGIC);
	put_be32(ret_bytes + 4, RESERVATION_VERSION);
	put_be64(ret_bytes + 8, state->generation);
	put_be32(ret_bytes + 16, state->pr_generation);
	ret_bytes[20] = state->type;
	ret_bytes[21] = state->aptpl;
	ret_bytes[22] = state->holder;
	memcpy(ret_bytes + 24, state->power, RESERVATION_ID_LEN);
	for (size_t i = 0; i < RESERVATION_NEXUSES; i++)
		if (state->nexus[i].used)
			print_nexus(&state->nexus[i], ret_bytes + NEXUSES_OFFSET + i * NEXUS_LEN);
	put_be32(ret_bytes + COPY_CHECKSUM, checksum(ret_bytes, COPY_CHECKSUM));
}
