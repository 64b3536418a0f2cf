// SPDX-License-Identifier: Apache-2.0
/*
 * Fuzz target: a guest and a provider that do what they like with the VMBus server. The input is a list of steps: a
 * byte that says what, then for a message its length and its bytes.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bus_fixture.h"

#define STEPS_MAX 512u
#define LENT	  0xe1e11u /* the second GPADL of a Linux guest */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned int resets_due;

static void reset_done(void *arg)
{
	assert(resets_due == 1);
	resets_due = 0;
}

static void reset(void)
{
	if (resets_due)
		return;
	resets_due = 1;
	bus_reset(fx.bus, reset_done, NULL);
}

static void offer(uint32_t offers[2])
{
	(void)fx_offer(&fx.provider, 1, &offers[0]);
	(void)fx_offer(&fx.provider, 2, &offers[1]);
}

static void lend(uint32_t offer_id)
{
	struct guest_range *ranges = NULL;
	size_t count;

	if (bus_lend(fx.provider.bus, offer_id, LENT, &ranges, &count) == 0)
		assert(count > 0);
	free(ranges);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t offers[2];
	size_t at = 0;

	fx_init();
	resets_due = 0;
	fx.provider.answers = false;
	offer(offers);
	for (unsigned int step = 0; step < STEPS_MAX && at < size; step++) {
		uint8_t what = data[at++];

		fx.head = fx.tail = 0;
		switch (what) {
		case 'O':
		case 'o':
			bus_opened(fx.provider.bus, offers[what == 'o'], 0);
			break;
		case 'F':
			bus_opened(fx.provider.bus, offers[0], -EIO);
			break;
		case 'C':
		case 'c':
			bus_closed(fx.provider.bus, offers[what == 'c']);
			break;
		case 'T':
			bus_retargeted(fx.provider.bus, offers[0]);
			break;
		case 'Q':
			bus_quiesced(fx.provider.bus);
			break;
		case 'G':
			fx_provider_replace(&fx.provider);
			offer(offers);
			break;
		case 'D':
			bus_provider_away(fx.provider.bus);
			break;
		case 'B':
			offer(offers);
			bus_provider_back(fx.provider.bus);
			break;
		case 'L':
		case 'l':
			lend(offers[what == 'l']);
			break;
		case 'V':
			bus_revoked(fx.provider.bus, offers[0], LENT);
			break;
		case 'E':
			bus_provider_ended(fx.provider.bus);
			break;
		case 'R':
			reset();
			break;
		case 'A':
			fx.provider.answers = !fx.provider.answers;
			break;
		default:
			if (what > size - at)
				what = (uint8_t)(size - at);
			fx_send(data + at, what);
			at += what;
		}
	}
	fx_provider_replace(&fx.provider);
	assert(!resets_due && fx.irqs_held == 0 && fx.kicks_held == 0);
	fx_done();
	return 0;
}
