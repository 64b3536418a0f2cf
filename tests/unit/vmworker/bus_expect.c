// SPDX-License-Identifier: Apache-2.0
#include "bus_expect.h"

#include <criterion/criterion.h>

#include "base/clock.h"

const struct vmbus_msg_version_response *fx_version_response(size_t len)
{
	return fx_next(VMBUS_MSG_VERSION_RESPONSE, len);
}

uint32_t fx_created_status(uint32_t relid, uint32_t gpadl)
{
	const struct vmbus_msg_gpadl_created *msg = fx_next(VMBUS_MSG_GPADL_CREATED, sizeof(*msg));

	cr_assert(msg && msg->child_relid == relid && msg->gpadl == gpadl);
	return msg->creation_status;
}

uint32_t fx_open_status(uint32_t relid, uint32_t open_id)
{
	const struct vmbus_msg_open_result *msg = fx_next(VMBUS_MSG_OPENCHANNEL_RESULT, sizeof(*msg));

	cr_assert(msg && msg->child_relid == relid && msg->openid == open_id);
	return msg->status;
}

uint32_t fx_modify_status(uint32_t relid)
{
	const struct vmbus_msg_modify_response *msg = fx_next(VMBUS_MSG_MODIFYCHANNEL_RESPONSE, sizeof(*msg));

	cr_assert(msg && msg->child_relid == relid);
	return msg->status;
}

void fx_expect_torndown(uint32_t gpadl)
{
	const struct vmbus_msg_gpadl_torndown *msg = fx_next(VMBUS_MSG_GPADL_TORNDOWN, sizeof(*msg));

	cr_assert(msg && msg->gpadl == gpadl);
}

void fx_expect_rescind(uint32_t relid)
{
	const struct vmbus_msg_relid *msg = fx_next(VMBUS_MSG_RESCIND_CHANNELOFFER, sizeof(*msg));

	cr_assert(msg && msg->child_relid == relid);
}

const struct vmbus_msg_offer_channel *fx_expect_offer(uint32_t relid)
{
	const struct vmbus_msg_offer_channel *msg = fx_next(VMBUS_MSG_OFFERCHANNEL, sizeof(*msg));

	cr_assert(msg && msg->child_relid == relid);
	return msg;
}

void fx_connect_at(uint32_t version)
{
	fx_contact(version, 0);
	cr_assert(fx_version_response(16)->version_supported == 1);
}

void fx_list(uint32_t version, unsigned int offers)
{
	uint32_t id;

	for (unsigned int n = 1; n <= offers; n++)
		cr_assert(fx_offer(&fx.provider, (uint8_t)n, &id) == 0);
	fx_connect_at(version);
	fx_simple(VMBUS_MSG_REQUESTOFFERS);
	for (unsigned int n = 1; n <= offers; n++)
		fx_expect_offer(n);
	cr_assert(fx_next(VMBUS_MSG_ALLOFFERS_DELIVERED, 8));
	cr_assert(fx_silent());
}

void fx_open_channel(uint32_t relid, uint32_t gpadl)
{
	fx_gpadl(relid, gpadl, FX_PFN, PAGES);
	cr_assert(fx_created_status(relid, gpadl) == 0);
	fx_open(relid, 5, gpadl, 0, PAGES / 2);
	cr_assert(fx_open_status(relid, 5) == 0);
	cr_assert(fx_silent());
}

void fx_wait_for_message(void)
{
	uint64_t end = clock_now_ns() + 5 * NS_PER_SEC;

	while (fx_silent() && clock_now_ns() < end)
		cr_assert(loop_run_once(fx.loop, true) == 0);
}

void fx_no_resources(void)
{
	cr_assert(fx.kicks_held == 0 && fx.irqs_held == 0);
}
