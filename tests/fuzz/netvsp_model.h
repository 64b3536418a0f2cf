/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must be true of a NIC, whatever its guest does: seen from the guest's side of the rings.
 *
 *   - each packet that wants a completion gets one, and no more;
 *   - a section of the receive buffer that the guest has is not given again, nor written to, before it gives it back;
 *   - no answer to a control message comes that was not asked for, or twice, and none is lost;
 *   - netvsp's own books agree with each other;
 *   - memory around the receive buffer stays as it is.
 *
 * A guest that has broken a ring, or a state block that was tampered with, ends what can be said: then only that
 * nothing breaks.
 */
#ifndef FUZZ_NETVSP_MODEL_H
#define FUZZ_NETVSP_MODEL_H

#include "abi/nvsp.h"
#include "netvsp_host.h"

#define MODEL_REQUESTS_MAX 4096u

extern bool model_tainted; /* the state block was */

void model_begin(void);
/** model_put - a packet of the guest's. @message: its payload, @len bytes; @control: the type of the RNDIS control
 * message in it, 0: none; UINT32_MAX: nobody knows. It may not fit, and is not sent then. Return: whether it was sent.
 */
bool model_put(size_t channel, uint16_t type, bool completion, const void *header, size_t header_len,
	       const void *message, size_t len, uint32_t control);
/** model_control_page - that the next packet may use. Return: whether it is free. */
bool model_control_page(uint64_t *ret_gpa);
/** model_poll - the guest takes up to @most packets of a channel. @keep: it does not give the sections back. */
unsigned int model_poll(size_t channel, unsigned int most, bool keep);
/** model_poll_all - what is on its way comes; nothing is given back. */
void model_poll_all(void);
/** model_complete - the guest completes a packet of the host's, of whatever number. */
void model_complete(size_t channel, uint64_t id);
/** model_give_back - all sections that the guest has. */
void model_give_back(void);
/** model_spoil - the guest has broken a ring, or sent what breaks it. */
void model_spoil(size_t channel);
/** model_closed - the channel is closed. */
void model_closed(size_t channel);
/** model_revoke - the guest tears down a GPADL. */
void model_revoke(unsigned int lend);
/** model_held - a packet of whose sections the guest has some; 0: none. */
uint64_t model_held(size_t channel);
/** model_check - what is true at any time. model_check_end - once everything is given back and taken. */
void model_check(void);
void model_check_end(void);

#endif
