/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "daemons/vsp-netd/headers.h"

static uint8_t frame[400];
static struct headers headers;

/* Of @len bytes, and no byte behind them: a sanitizer sees one too many. */
static int parse(size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	int r;

	memcpy(copy, frame, len);
	r = headers_parse(copy, len, &headers);
	free(copy);
	return r;
}

static void ipv4(uint8_t protocol)
{
	memset(frame, 0, sizeof(frame));
	put_be16(frame + 12, 0x0800);
	frame[14] = 0x45;
	frame[23] = protocol;
	frame[34 + 12] = 0x80; /* 32 bytes of TCP */
}

static void ipv6(uint8_t next)
{
	memset(frame, 0, sizeof(frame));
	put_be16(frame + 12, 0x86dd);
	frame[14] = 0x60;
	frame[20] = next;
	frame[54 + 12] = 0x50;
}

Test(headers, tcp_over_ipv4)
{
	ipv4(6);
	cr_assert_eq(parse(100), 0);
	cr_assert_eq(headers.type, 0x0800);
	cr_assert_eq(headers.network_type, HEADERS_IPV4);
	cr_assert_eq(headers.network, 14);
	cr_assert_eq(headers.transport_type, HEADERS_TCP);
	cr_assert_eq(headers.transport, 34);
	cr_assert_eq(headers.payload, 66);
}

Test(headers, udp_over_ipv4)
{
	ipv4(17);
	cr_assert_eq(parse(100), 0);
	cr_assert_eq(headers.transport_type, HEADERS_UDP);
	cr_assert_eq(headers.payload, 42);
}

Test(headers, ipv4_options)
{
	ipv4(17);
	frame[14] = 0x4f;
	cr_assert_eq(parse(100), 0);
	cr_assert_eq(headers.transport, 14 + 60);
	frame[14] = 0x44;
	cr_assert_eq(parse(100), 0);
	cr_assert_eq(headers.network_type, HEADERS_OTHER);
}

Test(headers, fragments)
{
	ipv4(6);
	put_be16(frame + 20, 0x2000);
	cr_assert_eq(parse(100), 0);
	cr_assert_eq(headers.network_type, HEADERS_IPV4);
	cr_assert_eq(headers.transport_type, HEADERS_NO_TRANSPORT);
	put_be16(frame + 20, 0x4000); /* "do not fragment" is no fragment */
	cr_assert_eq(parse(100), 0);
	cr_assert_eq(headers.transport_type, HEADERS_TCP);
}

Test(headers, tag)
{
	ipv4(6);
	memmove(frame + 16, frame + 12, 200);
	put_be16(frame + 12, 0x8100);
	put_be16(frame + 14, 0xe007);
	cr_assert_eq(parse(100), 0);
	cr_assert(headers.tagged);
	cr_assert_eq(headers.tag, 0xe007);
	cr_assert_eq(headers.type, 0x0800);
	cr_assert_eq(headers.network, 18);
	cr_assert_eq(headers.transport, 38);
}

Test(headers, ipv6_extensions)
{
	ipv6(0);
	frame[54] = 60;
	frame[55] = 1;
	frame[70] = 6;
	frame[71] = 0;
	frame[78 + 12] = 0x50;
	cr_assert_eq(parse(150), 0);
	cr_assert_eq(headers.network_type, HEADERS_IPV6);
	cr_assert_eq(headers.transport_type, HEADERS_TCP);
	cr_assert_eq(headers.transport, 78);
	cr_assert_eq(headers.payload, 98);
}

Test(headers, ipv6_extensions_without_end)
{
	ipv6(0); /* zeroes: hop-by-hop, again and again */
	memset(frame + 54, 0, sizeof(frame) - 54);
	cr_assert_eq(parse(sizeof(frame)), 0);
	cr_assert_eq(headers.transport_type, HEADERS_NO_TRANSPORT);
	frame[55] = 255; /* far beyond */
	cr_assert_eq(parse(sizeof(frame)), 0);
	cr_assert_eq(headers.transport_type, HEADERS_NO_TRANSPORT);
}

Test(headers, every_length)
{
	for (size_t len = 0; len < 200; len++) {
		ipv4(6);
		cr_assert_eq(parse(len), len < 14 ? -EPROTO : 0);
		cr_assert_eq(headers.network_type, len < 34 ? HEADERS_OTHER : HEADERS_IPV4, "%zu", len);
		cr_assert_eq(headers.transport_type, len < 54 ? HEADERS_NO_TRANSPORT : HEADERS_TCP, "%zu", len);
		ipv6(17);
		cr_assert_eq(parse(len), len < 14 ? -EPROTO : 0);
		cr_assert_eq(headers.transport_type, len < 62 ? HEADERS_NO_TRANSPORT : HEADERS_UDP, "%zu", len);
		put_be16(frame + 12, 0x8100);
		cr_assert_eq(parse(len), len < 14 ? -EPROTO : 0);
	}
}

Test(headers, short_tcp_header)
{
	ipv4(6);
	frame[34 + 12] = 0x40;
	cr_assert_eq(parse(100), 0);
	cr_assert_eq(headers.transport_type, HEADERS_NO_TRANSPORT);
}
