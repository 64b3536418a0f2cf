// SPDX-License-Identifier: Apache-2.0
/* The guest's crash report: five parameters, of which the last two may name a message in its memory. */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "hv/state.h"

/* Length of the valid UTF-8 sequence at @p (@left bytes), 0 if there is none. */
static size_t utf8_len(const uint8_t *p, size_t left)
{
	static const struct {
		uint8_t mask, lead, len;
		uint32_t min;
	} forms[] = {{0x80, 0x00, 1, 0}, {0xe0, 0xc0, 2, 0x80}, {0xf0, 0xe0, 3, 0x800}, {0xf8, 0xf0, 4, 0x10000}};

	for (size_t f = 0; f < ARRAY_SIZE(forms); f++) {
		uint32_t c = p[0] & (uint8_t)~forms[f].mask;

		if ((p[0] & forms[f].mask) != forms[f].lead)
			continue;
		if (left < forms[f].len)
			return 0;
		for (size_t i = 1; i < forms[f].len; i++) {
			if ((p[i] & 0xc0) != 0x80)
				return 0;
			c = (c << 6) | (p[i] & 0x3f);
		}
		if (c < forms[f].min || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
			return 0;
		return forms[f].len;
	}
	return 0;
}

void hv_crash_text(const uint8_t *raw, size_t len, char *ret_text)
{
	size_t in = 0, out = 0;

	while (in < len && raw[in]) {
		size_t n = utf8_len(raw + in, len - in);
		/* C0 and C1 control characters could steer the reader's terminal */
		bool control = (raw[in] < 0x20 && raw[in] != '\n' && raw[in] != '\t') || raw[in] == 0x7f ||
			       (n == 2 && raw[in] == 0xc2 && raw[in + 1] < 0xa0);

		if (!n || control) {
			ret_text[out++] = '?';
			in += n ? n : 1;
			continue;
		}
		memcpy(ret_text + out, raw + in, n);
		in += n;
		out += n;
	}
	ret_text[out] = '\0';
}

int crash_read(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t *ret_value)
{
	if (msr == HV_X64_MSR_CRASH_CTL) {
		*ret_value = HV_CRASH_CTL_CRASH_NOTIFY | HV_CRASH_CTL_CRASH_NOTIFY_MSG;
		return 0;
	}
	pthread_mutex_lock(&hv->lock);
	*ret_value = hv->crash[msr - HV_X64_MSR_CRASH_P0];
	pthread_mutex_unlock(&hv->lock);
	return 0;
}

static void crash_report(struct hv *hv, uint64_t control)
{
	uint8_t raw[HV_CRASH_MESSAGE_MAX];
	char text[HV_CRASH_MESSAGE_MAX + 1] = "";
	uint64_t params[HV_CRASH_PARAMS];

	pthread_mutex_lock(&hv->lock);
	memcpy(params, hv->crash, sizeof(params));
	pthread_mutex_unlock(&hv->lock);
	if (control & HV_CRASH_CTL_CRASH_NOTIFY_MSG) {
		size_t len = MIN(params[4], (uint64_t)HV_CRASH_MESSAGE_MAX);

		if (!guest_mem_read(hv->mem, params[3], raw, len))
			hv_crash_text(raw, len, text);
	}
	hv->host.crashed(hv->host.arg, params, text);
}

int crash_write(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t value)
{
	if (msr != HV_X64_MSR_CRASH_CTL) {
		pthread_mutex_lock(&hv->lock);
		hv->crash[msr - HV_X64_MSR_CRASH_P0] = value;
		pthread_mutex_unlock(&hv->lock);
		return 0;
	}
	if (value & HV_CRASH_CTL_CRASH_NOTIFY)
		crash_report(hv, value);
	return 0;
}
