/* SPDX-License-Identifier: Apache-2.0 */
/* Checksums and segments; what holds a direction to its bandwidth. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "daemons/vsp-netd/bandwidth.h"
#include "daemons/vsp-netd/checksum.h"
#include "daemons/vsp-netd/offload.h"

static uint8_t frame[70000];

static uint16_t slow_sum(const uint8_t *at, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? at[i] : (uint32_t)at[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

Test(checksum, pieces_of_any_length_at_any_place)
{
	for (size_t i = 0; i < 2000; i++)
		frame[i] = (uint8_t)(i * 131 + i / 7);
	for (size_t len = 0; len < 200; len++)
		for (size_t cut = 0; cut <= len; cut += 3) {
			const struct iovec iov[] = {{frame + 1, cut}, {frame + 1 + cut, 5}, {frame + 6 + cut, 400}};
			struct checksum sum = {0};

			checksum_add_iov(&sum, iov, 3, 2, len);
			cr_assert_eq(checksum_fold(&sum), slow_sum(frame + 3, len), "%zu, %zu", len, cut);
		}
	memset(frame, 0xff, 65536);
	for (size_t len = 65530; len < 65536; len++) {
		struct checksum sum = {0};

		checksum_add(&sum, frame, len);
		cr_assert_eq(checksum_fold(&sum), slow_sum(frame, len));
	}
}

/* TCP, or UDP, over IPv6. Return: bytes of the frame. */
static size_t ipv6(uint8_t protocol, size_t payload, struct headers *ret)
{
	size_t header = protocol == 6 ? 20 : 8;

	memset(frame, 0, sizeof(frame));
	put_be16(frame + 12, 0x86dd);
	frame[14] = 0x60;
	put_be16(frame + 18, (uint16_t)(header + payload));
	frame[20] = protocol;
	for (size_t i = 22; i < 54; i++)
		frame[i] = (uint8_t)i;
	put_be32(frame + 58, 0xfffffff0);
	frame[66] = 0x50;
	frame[67] = 0x80; /* CWR */
	for (size_t i = 0; i < payload; i++)
		frame[54 + header + i] = (uint8_t)(i * 5);
	cr_assert_eq(headers_parse(frame, 54 + header + payload, ret), 0);
	return 54 + header + payload;
}

static void check_ipv6(const uint8_t *at, size_t len)
{
	static uint8_t pseudo[70000];
	size_t transport = len - 54;

	cr_assert_eq(get_be16(at + 18), transport);
	memcpy(pseudo, at + 22, 32);
	put_be32(pseudo + 32, (uint32_t)transport);
	put_be32(pseudo + 36, at[20]);
	memcpy(pseudo + 40, at + 54, transport);
	cr_assert_eq(slow_sum(pseudo, 40 + transport), 0xffff);
}

Test(offload, checksum_of_udp_is_never_none)
{
	const struct virtio_net_hdr asked = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM};
	struct headers headers;
	struct virtio_net_hdr hdr;

	for (unsigned int i = 0; i < 300; i++) {
		size_t len = ipv6(17, 10 + i % 3, &headers);

		put_be16(frame + 62, (uint16_t)(i * 219));
		cr_assert_eq(offload_prepare(frame, MIN(len, HEADERS_MAX), len, &headers, &asked, &hdr), 0);
		cr_assert_eq(hdr.csum_start, 54);
		cr_assert_eq(hdr.csum_offset, 6);
		offload_checksum(&(struct iovec){frame, len}, 1, len, &hdr);
		cr_assert_neq(get_be16(frame + 60), 0);
		check_ipv6(frame, len);
	}
}

Test(offload, segments_of_ipv6)
{
	const struct virtio_net_hdr asked = {.gso_type = VIRTIO_NET_HDR_GSO_TCPV6, .gso_size = 1440};
	static uint8_t segment[2000];
	struct headers headers;
	struct virtio_net_hdr hdr;
	size_t len = ipv6(6, 60001, &headers), sum = 0;
	struct iovec piece[] = {{frame, 200}, {frame + 200, 1}, {frame + 201, len - 201}};
	struct offload_cut cut;
	uint8_t head[OFFLOAD_HEAD_MAX];

	put_be16(frame + 18, 0); /* as guests leave it */
	cr_assert_eq(offload_prepare(frame, HEADERS_MAX, len, &headers, &asked, &hdr), 0);
	cr_assert_eq(hdr.hdr_len, 74);
	cut = (struct offload_cut){frame, hdr.hdr_len, headers, hdr.gso_type, piece, 3, len, hdr.gso_size};
	cr_assert_eq(offload_segments(&cut), 42);
	for (size_t i = 0; i < offload_segments(&cut); i++) {
		struct iovec iov[5];
		size_t segment_len, at = 0;
		int n = offload_segment(&cut, i, head, iov, 5, &segment_len);

		cr_assert(n > 0);
		for (int k = 0; k < n; k++) {
			memcpy(segment + at, iov[k].iov_base, iov[k].iov_len);
			at += iov[k].iov_len;
		}
		cr_assert_eq(at, segment_len);
		check_ipv6(segment, segment_len);
		cr_assert_eq(get_be32(segment + 58), (uint32_t)(0xfffffff0 + sum));
		cr_assert_eq(segment[67], i ? 0 : 0x80);
		cr_assert_eq(memcmp(segment + 74, frame + 74 + sum, segment_len - 74), 0);
		sum += segment_len - 74;
	}
	cr_assert_eq(sum, 60001);
	cr_assert_eq(offload_segment(&cut, 0, head, piece, 1, &len), -E2BIG);
}

Test(offload, what_cannot_be_is_refused)
{
	struct virtio_net_hdr asked = {.gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1440}, hdr;
	struct headers headers;
	size_t len = ipv6(6, 5000, &headers);

	cr_assert_eq(offload_prepare(frame, HEADERS_MAX, len, &headers, &asked, &hdr), -EPROTO, "another IP");
	asked.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
	cr_assert_eq(offload_prepare(frame, 70, len, &headers, &asked, &hdr), -EPROTO, "headers cut short");
	asked.gso_size = 47;
	cr_assert_eq(offload_prepare(frame, HEADERS_MAX, len, &headers, &asked, &hdr), -EPROTO);
	asked.gso_size = 1440;
	asked.gso_type = 77;
	cr_assert_eq(offload_prepare(frame, HEADERS_MAX, len, &headers, &asked, &hdr), -EPROTO);
	asked = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM};
	put_be16(frame + 18, 60000);
	cr_assert_eq(offload_prepare(frame, HEADERS_MAX, len, &headers, &asked, &hdr), -EPROTO,
		     "longer than the frame");
	put_be16(frame + 18, 3);
	cr_assert_eq(offload_prepare(frame, HEADERS_MAX, len, &headers, &asked, &hdr), -EPROTO, "shorter than TCP");
	put_be16(frame + 12, 0x88b5);
	cr_assert_eq(headers_parse(frame, len, &headers), 0);
	cr_assert_eq(offload_prepare(frame, HEADERS_MAX, len, &headers, &asked, &hdr), -EPROTO);
	asked.flags = 0;
	cr_assert_eq(offload_prepare(frame, HEADERS_MAX, len, &headers, &asked, &hdr), 0);
}

/* ---- bandwidth ---- */

static struct bandwidth bandwidth;
static uint64_t now_ns;

/* Bytes that pass in so long, in frames of @len. */
static double pass(double seconds, size_t len)
{
	uint64_t until = now_ns + (uint64_t)(seconds * 1e9);
	double bytes = 0;

	while (now_ns < until) {
		uint64_t wait = bandwidth_wait(&bandwidth, now_ns);

		if (wait) {
			now_ns += wait;
			continue;
		}
		bandwidth_take(&bandwidth, len);
		bytes += (double)len;
	}
	return bytes;
}

static void about(double is, double want)
{
	cr_assert(is > want * 0.95 && is < want * 1.05, "%.0f instead of %.0f", is, want);
}

Test(bandwidth, holds_within_five_per_cent)
{
	bandwidth = (struct bandwidth){0};
	bandwidth_set(&bandwidth, &(struct nic_bandwidth){.average = 1000000}, now_ns);
	about(pass(2, 1514), 2e6);
	about(pass(2, 65000), 2e6);
	bandwidth_set(&bandwidth, &(struct nic_bandwidth){.average = 10000000}, now_ns);
	about(pass(2, 1514), 2e7);
	bandwidth_set(&bandwidth, &(struct nic_bandwidth){0}, now_ns);
	cr_assert(!bandwidth_limits(&bandwidth));
	cr_assert_eq(bandwidth_wait(&bandwidth, now_ns), 0);
}

Test(bandwidth, burst_at_the_peak)
{
	bandwidth = (struct bandwidth){0};
	now_ns += NS_PER_SEC;
	bandwidth_set(&bandwidth, &(struct nic_bandwidth){.average = 1000000, .peak = 5000000, .burst = 4000000},
		      now_ns);
	about(pass(1, 1514), 5e6);
	about(pass(4, 1514), 4e6);
	now_ns += 10 * NS_PER_SEC;
	about(pass(1, 1514), 5e6);
}
