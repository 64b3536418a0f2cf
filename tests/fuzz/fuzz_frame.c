/* SPDX-License-Identifier: Apache-2.0 */
/* A frame's head under each policy, its checksums and segments, addresses seen in it; a BPF program over it. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "daemons/vsp-netd/addresses.h"
#include "daemons/vsp-netd/bpf.h"
#include "daemons/vsp-netd/offload.h"
#include "daemons/vsp-netd/policy.h"

#define PROGRAM_MAX 64u

static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};

static void cut(uint8_t *frame, size_t len, const struct headers *headers, const struct virtio_net_hdr *hdr)
{
	struct iovec piece = {frame, len}, iov[4];
	struct offload_cut cut = {frame, hdr->hdr_len, *headers, hdr->gso_type, &piece, 1, len, hdr->gso_size};
	uint8_t head[OFFLOAD_HEAD_MAX];
	size_t segment_len;

	for (size_t i = 0; i < offload_segments(&cut); i++)
		if (offload_segment(&cut, i, head, iov, 4, &segment_len) < 1 || segment_len > len)
			abort();
}

static void offload(const uint8_t *bytes, size_t len, struct virtio_net_hdr asked)
{
	uint8_t *frame = malloc(len);
	struct virtio_net_hdr hdr;
	struct headers headers;

	memcpy(frame, bytes, len);
	if (headers_parse(frame, MIN(len, HEADERS_MAX), &headers) == 0 &&
	    offload_prepare(frame, MIN(len, HEADERS_MAX), len, &headers, &asked, &hdr) == 0) {
		if (hdr.gso_type)
			cut(frame, len, &headers, &hdr);
		else if (hdr.flags)
			offload_checksum(&(struct iovec){frame, len}, 1, len, &hdr);
	}
	if (headers_parse(bytes, MIN(len, HEADERS_MAX), &headers) == 0) {
		memcpy(frame, bytes, len);
		offload_raise_mss(frame, MIN(len, HEADERS_MAX), &headers, 1460, 16000, asked.gso_type);
	}
	free(frame);
}

static void judge(const uint8_t *frame, size_t len, const struct headers *headers)
{
	struct nic_settings settings = {.addresses = 2, .address = {{4, 8, {10}}, {6, 16, {0x20, 1}}}};
	struct addresses addresses = {0};
	size_t head_len = MIN(len, HEADERS_MAX);

	for (unsigned int i = 0; i < 4; i++) {
		settings.may_spoof_mac = i % 2;
		settings.addresses = i & 2;
		(void)policy_may_send(&settings, mac, frame, head_len, len, headers);
	}
	addresses_sent(&addresses, frame, head_len, headers);
	if (addresses_dhcp(frame, headers))
		addresses_given(&addresses, frame, MIN(len, ADDRESSES_DHCP_LEN), headers, mac);
}

static void run(const uint8_t *data, size_t size, const uint8_t *frame, size_t len)
{
	struct sock_filter program[PROGRAM_MAX];
	size_t count = MIN(size / sizeof(program[0]), PROGRAM_MAX);

	memcpy(program, data, count * sizeof(program[0]));
	if (bpf_check(program, count) == 0)
		(void)bpf_run(program, frame, len, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte is how many instructions follow; then the frame. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct headers headers;
	size_t before;

	if (size < 1)
		return 0;
	before = MIN(1 + (size_t)data[0] * sizeof(struct sock_filter), size);
	run(data + 1, before - 1, data + before, size - before);
	if (headers_parse(data + before, MIN(size - before, HEADERS_MAX), &headers) < 0)
		return 0;
	judge(data + before, size - before, &headers);
	offload(data + before, size - before, (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM});
	offload(data + before, size - before, (struct virtio_net_hdr){.gso_type = 1, .gso_size = 64});
	offload(data + before, size - before, (struct virtio_net_hdr){.gso_type = 4, .gso_size = 64});
	return 0;
}
