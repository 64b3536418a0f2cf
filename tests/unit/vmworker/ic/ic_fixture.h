/* SPDX-License-Identifier: Apache-2.0 */
/* The integration services over a fake bus and a fake guest's rings. */
#ifndef TEST_IC_FIXTURE_H
#define TEST_IC_FIXTURE_H

#include "fake_guest.h"
#include "ic/ic_int.h"

enum { SHUTDOWN, HEARTBEAT, TIMESYNC };

#define RING_PAGES     4u
#define REFERENCE_TIME 0x123456789aull

/* What the services see of the bus, and what they tell it. */
struct icf {
	struct loop *loop;
	struct fake_guest guest;
	struct guest_mem mem;
	struct signal_map cells;
	struct fake_channel channel[IC_SERVICES];
	struct ic *ic;
	unsigned int changes;

	const struct bus_provider_ops *ops;
	void *arg;
	struct bus_offer_desc offers[IC_SERVICES];
	unsigned int offered, opened, closed, retargeted, quiesced;
	int open_status;

	unsigned int answers;
	struct err answer; /* the last one of ic_shutdown() */
};

extern struct icf icf;

void icf_init(void);
void icf_done(void);

/** icf_open - the guest opens service @n. */
void icf_open(unsigned int n);
void icf_close(unsigned int n);
/** icf_pump - what is ready on the loop. */
void icf_pump(void);

/** icf_next - the next packet for the guest, taken apart; it must be there. @ret_packet: holds the message's body. */
struct ic_message icf_next(unsigned int n, struct fake_packet *ret_packet);
/** icf_silent - nothing is there for the guest. */
bool icf_silent(unsigned int n);
/** icf_send - any message of the guest, with consistent lengths. */
void icf_send(unsigned int n, const struct ic_message *message);
/** icf_answer - @request comes back with @status. */
void icf_answer(unsigned int n, const struct ic_message *request, uint32_t status);
/** icf_choose - the guest answers the negotiation with one version. */
void icf_choose(unsigned int n, uint16_t major, uint16_t minor);
/** icf_use - open and choose. */
void icf_use(unsigned int n, uint16_t major, uint16_t minor);
/** icf_ask - ic_shutdown(). */
void icf_ask(uint32_t flags);
/** icf_tick - the service's timer. */
void icf_tick(unsigned int n);

#endif
