/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of a ring whose data and indices are the guest's: the input is write_index, the cursor, the pending send
 * size, the features, then the data area. Every packet that is read lies within what the writer announced.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "guest/gpa.h"
#include "guest/ring.h"

#define DATA_LEN 4096u
#define HEAD_LEN 16u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	struct ring_header header;
	uint8_t data[2 * DATA_LEN];
} pages;

static void read_all(struct ring_reader *reader)
{
	static uint8_t buf[2048];
	struct guest_range ranges[68];
	struct ring_packet packet;
	uint32_t total, read = 0;
	int r;

	while ((r = ring_read(reader, buf, sizeof(buf), &packet)) == 0) {
		assert(packet.payload_offset >= 16 && packet.payload_offset <= packet.len && packet.len <= sizeof(buf));
		assert(packet.payload_offset == get_le16(buf + 2) * 8u && packet.len == get_le16(buf + 4) * 8u);
		read += packet.len + 8;
		assert(read < DATA_LEN);
		if (packet.type == VMPACKET_DATA_GPA_DIRECT)
			gpa_list_parse(buf + 16, packet.payload_offset - 16, ranges, ARRAY_SIZE(ranges), &total);
	}
	assert(r == -EAGAIN || r == -EPROTO || r == -EMSGSIZE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ring ring = {.header = &pages.header, .data = pages.data, .data_len = DATA_LEN};
	struct ring_reader reader;
	uint32_t commit;

	if (size < HEAD_LEN)
		return 0;
	memset(&pages, 0, sizeof(pages));
	pages.header.write_index = get_le32(data);
	pages.header.pending_send_size = get_le32(data + 8);
	pages.header.feature_bits = get_le32(data + 12);
	size = MIN(size - HEAD_LEN, (size_t)DATA_LEN);
	memcpy(pages.data, data + HEAD_LEN, size);
	memcpy(pages.data + DATA_LEN, pages.data, DATA_LEN);
	if (ring_reader_init(&reader, &ring, get_le32(data + 4)) < 0)
		return 0;
	read_all(&reader);
	commit = (uint32_t)ring_reader_commit(&reader);
	assert(commit <= 1 || commit == (uint32_t)-EPROTO);
	assert(pages.header.read_index < DATA_LEN);
	return 0;
}
