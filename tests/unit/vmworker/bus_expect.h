/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of the bus do and expect, step by step; what does not come ends the test. */
#ifndef TEST_BUS_EXPECT_H
#define TEST_BUS_EXPECT_H

#include "bus_fixture.h"

#define GPADL 0xe1e10u /* Linux begins here */
#define PAGES 64u      /* of a channel's two rings */

/* The bus's next message. */
const struct vmbus_msg_version_response *fx_version_response(size_t len);
uint32_t fx_created_status(uint32_t relid, uint32_t gpadl);
uint32_t fx_open_status(uint32_t relid, uint32_t open_id);
uint32_t fx_modify_status(uint32_t relid);
void fx_expect_torndown(uint32_t gpadl);
void fx_expect_rescind(uint32_t relid);
const struct vmbus_msg_offer_channel *fx_expect_offer(uint32_t relid);

/** fx_connect_at - contact. */
void fx_connect_at(uint32_t version);
/** fx_list - @offers offers, the guest at @version and with its list. */
void fx_list(uint32_t version, unsigned int offers);
/** fx_open_channel - with a GPADL of PAGES pages, half for each ring. */
void fx_open_channel(uint32_t relid, uint32_t gpadl);
/** fx_wait_for_message - run the loop until there is one, for 5 s at most. */
void fx_wait_for_message(void);
/** fx_no_resources - no channel holds anything of the host. */
void fx_no_resources(void);

#endif
