/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <stdint.h>
#include <string.h>

/* How many bytes the sequence that starts with @lead has, 0 if nothing starts with it. */
static size_t sequence_len(uint8_t lead)
{
	if (lead < 0x80)
		return 1;
	if (lead >= 0xc2 && lead <= 0xdf)
		return 2;
	if (lead >= 0xe0 && lead <= 0xef)
		return 3;
	if (lead >= 0xf0 && lead <= 0xf4)
		return 4;
	return 0;
}

/* Overlong forms, surrogates and what lies beyond U+10FFFF show in the second byte. */
static bool second_byte_ok(uint8_t lead, uint8_t second)
{
	switch (lead) {
	case 0xe0:
		return second >= 0xa0;
	case 0xed:
		return second <= 0x9f;
	case 0xf0:
		return second >= 0x90;
	case 0xf4:
		return second <= 0x8f;
	default:
		return true;
	}
}

static bool is_control(const uint8_t *p, size_t len)
{
	if (len == 1)
		return p[0] < 0x20 || p[0] == 0x7f;
	return len == 2 && p[0] == 0xc2 && p[1] < 0xa0;
}

/* How many of the @len bytes at @p continue the sequence as they should; the terminating NUL ends it. */
static size_t good_prefix(const uint8_t *p, size_t len)
{
	size_t n = 1;

	while (n < len && (p[n] & 0xc0) == 0x80 && (n > 1 || second_byte_ok(p[0], p[1])))
		n++;
	return n;
}

void text_clean(char *s)
{
	uint8_t *in = (uint8_t *)s, *out = in;

	while (*in) {
		size_t len = sequence_len(*in);
		size_t good = len ? good_prefix(in, len) : 1;

		if (len > good && !in[good])
			break;
		if (good != len || is_control(in, len)) {
			*out++ = '?';
		} else {
			for (size_t i = 0; i < len; i++)
				*out++ = in[i];
		}
		in += good;
	}
	*out = '\0';
}

void text_clean_lines(char *s)
{
	char *out = s;

	for (bool more = true; more;) {
		size_t len = strcspn(s, "\n");

		more = s[len] == '\n';
		s[len] = '\0';
		memmove(out, s, len + 1);
		text_clean(out);
		out += strlen(out);
		if (more)
			*out++ = '\n';
		s += len + 1;
	}
	*out = '\0';
}

bool text_is_hex(const char *s, size_t len)
{
	return strlen(s) == len && strspn(s, "0123456789abcdef") == len;
}
