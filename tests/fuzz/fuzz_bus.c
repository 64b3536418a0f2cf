// SPDX-License-Identifier: Apache-2.0
/*
 * Fuzz target: a guest and a provider that do what they like with the VMBus server. The input is a list of steps: a
 * byte that says what, then for a message its length and its bytes.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bus_fixture.h"

#define STEPS_MAX 512u

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

static void provider_gone(uint32_t offers[2])
{
	bus_provider_gone(fx.provider.bus);
	fx_provider_add(&fx.provider);
	(void)fx_offer(&fx.provider, 1, &offers[0]);
	(void)fx_offer(&fx.provider, 2, &offers[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t offers[2];
	size_t at = 0;

	fx_init();
	resets_due = 0;
	fx.provider.answers = false;
	(void)fx_offer(&fx.provider, 1, &offers[0]);
	(void)fx_offer(&fx.provider, 2, &offers[1]);
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
			provider_gone(offers);
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
	bus_provider_gone(fx.provider.bus);
	assert(!resets_due && fx.irqs_held == 0 && fx.kicks_held == 0);
	fx_done();
	return 0;
}
