/* SPDX-License-Identifier: Apache-2.0 */
/* The messages that make and end GPADLs. */
#include <errno.h>
#include <string.h>

#include "bus_int.h"

void bus_answer_gpadl(struct bus *bus, uint32_t relid, uint32_t gpadl, int r)
{
	struct vmbus_msg_gpadl_created msg = {
		.header.msgtype = VMBUS_MSG_GPADL_CREATED,
		.child_relid = relid,
		.gpadl = gpadl,
		.creation_status = r < 0 ? VMBUS_STATUS_UNSUCCESSFUL : VMBUS_STATUS_SUCCESS,
	};

	if (r < 0)
		bus_complain(bus, NULL, "GPADL %#x of channel %u refused: %s", gpadl, relid, strerror(-r));
	bus_post(bus, &msg, sizeof(msg));
}

/* @r: what its last part gave. Answers once it is whole or has failed. */
static void gpadl_step(struct bus *bus, struct gpadl *gpadl, int r)
{
	uint32_t relid = gpadl->relid, id = gpadl->id;

	if (r == 0 && !gpadl_complete(gpadl))
		return;
	if (r == 0)
		r = gpadl_check(gpadl, bus->mem);
	if (r < 0)
		gpadl_remove(&bus->gpadls, gpadl);
	bus_answer_gpadl(bus, relid, id, r);
}

void bus_on_gpadl_header(struct bus *bus, const struct bus_msg *msg)
{
	struct gpadl *gpadl;
	int r = -ENODEV;

	if (bus_find_relid(bus, msg->gpadl.relid))
		r = gpadl_begin(&bus->gpadls, &msg->gpadl, &gpadl);
	if (r < 0)
		bus_answer_gpadl(bus, msg->gpadl.relid, msg->gpadl.gpadl, r);
	else
		gpadl_step(bus, gpadl, 0);
}

void bus_on_gpadl_body(struct bus *bus, const struct bus_msg *msg)
{
	struct gpadl *gpadl = gpadl_find(&bus->gpadls, msg->gpadl.gpadl);

	if (!gpadl || gpadl->state != GPADL_FILLING) {
		bus_complain(bus, NULL, "GPADL_BODY for %#x, which takes none", msg->gpadl.gpadl);
		return;
	}
	gpadl_step(bus, gpadl, gpadl_append(gpadl, &msg->gpadl));
}

void bus_on_gpadl_teardown(struct bus *bus, const struct bus_msg *msg)
{
	struct vmbus_msg_gpadl_torndown answer = {
		.header.msgtype = VMBUS_MSG_GPADL_TORNDOWN,
		.gpadl = msg->pair.value,
	};
	struct gpadl *gpadl = gpadl_find(&bus->gpadls, msg->pair.value);

	if (!gpadl || gpadl->relid != msg->pair.relid || gpadl->state == GPADL_TEARDOWN) {
		bus_complain(bus, NULL, "GPADL_TEARDOWN for %#x of channel %u, which is not there", msg->pair.value,
			     msg->pair.relid);
		return;
	}
	if (gpadl->in_use) {
		gpadl->state = GPADL_TEARDOWN;
		return;
	}
	gpadl_remove(&bus->gpadls, gpadl);
	bus_post(bus, &answer, sizeof(answer));
}
