/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: a connection begins with INITIATE_CONTACT and ends with UNLOAD, another INITIATE_CONTACT or a
 * reset. Its end is not instant: every provider with a channel in use quiesces first (DISCONNECTING), and only then is
 * the guest answered, for it may reuse the memory at once. If the guest asks for something else in the meantime, the
 * last wish counts. With the connection go the guest's GPADLs and all relids; offers stay and are shown again, in the
 * same order, to the guest's next REQUESTOFFERS.
 *
 * Limits: no monitor pages, no feature flags, no hv_sock.
 */
#include "bus.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "bus_int.h"

static const uint32_t versions[] = {
	VMBUS_VERSION_5_3, VMBUS_VERSION_5_2, VMBUS_VERSION_5_1, VMBUS_VERSION_5_0,
	VMBUS_VERSION_4_1, VMBUS_VERSION_4_0, VMBUS_VERSION_3_0,
};

/* ---- shared by all of the bus ---- */

void bus_post(struct bus *bus, const void *message, size_t len)
{
	bus->guest->post_message(bus->guest_arg, bus->message_vp, message, len);
}

void bus_complain(struct bus *bus, const char *object, const char *fmt, ...)
{
	char text[160];
	va_list ap;

	if (!object)
		object = "vmbus";
	if (!log_allowed(&bus->limit, object))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_warn(object, "%s", text);
}

/* ---- contact and its end ---- */

/* Where the messages of a guest that speaks @version come. INITIATE_CONTACT of another is refused, so that a guest
 * tries the next version as it must be tried. */
static uint32_t message_connection(uint32_t version)
{
	return version >= VMBUS_VERSION_5_0 ? VMBUS_MESSAGE_CONNECTION_ID_4 : VMBUS_MESSAGE_CONNECTION_ID;
}

static bool version_known(uint32_t version)
{
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++)
		if (versions[i] == version)
			return true;
	return false;
}

static void contact_answer(struct bus *bus)
{
	const struct bus_msg_contact *contact = &bus->contact;
	struct vmbus_msg_version_response msg = {.header.msgtype = VMBUS_MSG_VERSION_RESPONSE};
	bool vp_ok = contact->target_vp < bus->guest->cpus(bus->guest_arg);
	bool sint_ok = contact->version < VMBUS_VERSION_5_0 || (contact->sint == BUS_SINT && contact->vtl == 0);
	bool connection_ok = contact->connection_id == message_connection(contact->version);
	size_t len = offsetof(struct vmbus_msg_version_response, supported_features);

	bus->message_vp = vp_ok ? contact->target_vp : 0;
	if (!vp_ok || !sint_ok || !connection_ok || !version_known(contact->version)) {
		log_info("vmbus", "refused: version %u.%u, vCPU %u, SINT %u, connection %u", contact->version >> 16,
			 contact->version & 0xffff, contact->target_vp, contact->sint, contact->connection_id);
		bus_post(bus, &msg, len);
		return;
	}
	bus->state = BUS_CONNECTED;
	bus->version = contact->version;
	bus->offers_sent = false;
	msg.version_supported = 1;
	msg.connection_state = VMBUS_CONNECTION_STATE_SUCCESSFUL;
	/* below 5.0 the same field repeats the version */
	msg.msg_conn_id =
		contact->version >= VMBUS_VERSION_5_0 ? message_connection(contact->version) : contact->version;
	if (contact->version >= VMBUS_VERSION_5_3)
		len = sizeof(msg);
	log_info("vmbus", "the guest speaks version %u.%u", contact->version >> 16, contact->version & 0xffff);
	bus_post(bus, &msg, len);
}

void bus_disconnected(struct bus *bus)
{
	const struct vmbus_msg_header unload = {.msgtype = VMBUS_MSG_UNLOAD_RESPONSE};
	const struct bus_provider *provider;
	enum bus_next next = bus->next;

	if (bus->state != BUS_DISCONNECTING || bus->hold)
		return;
	TAILQ_FOREACH(provider, &bus->providers, link)
	if (provider->quiescing)
		return;
	bus->state = BUS_DISCONNECTED;
	bus->next = BUS_NEXT_NONE;
	if (next == BUS_NEXT_UNLOAD) {
		bus_post(bus, &unload, sizeof(unload));
	} else if (next == BUS_NEXT_CONTACT) {
		contact_answer(bus);
	} else if (next == BUS_NEXT_RESET) {
		void (*done)(void *arg) = bus->reset_done;

		bus->message_vp = 0;
		bus->reset_done = NULL;
		done(bus->reset_arg);
	}
}

static bool provider_in_use(const struct bus_provider *provider)
{
	const struct bus_offer *offer;

	TAILQ_FOREACH(offer, &provider->bus->offers, link)
	if (offer->provider == provider && offer->state == CHAN_DRAINING)
		return true;
	return false;
}

static void disconnect(struct bus *bus, enum bus_next next)
{
	const struct chan_event event = {.type = CHAN_EV_DISCONNECT};
	struct bus_provider *provider;
	struct bus_offer *offer, *after;

	/* A reset's caller waits for its answer whatever the guest still says. */
	if (bus->next != BUS_NEXT_RESET)
		bus->next = next;
	if (bus->state == BUS_DISCONNECTING)
		return;
	bus->state = BUS_DISCONNECTING;
	bus->offers_sent = false;
	bus->pacing = false;
	loop_disarm(bus->pace);
	bus->hold++;
	for (offer = TAILQ_FIRST(&bus->offers); offer; offer = after) {
		after = TAILQ_NEXT(offer, link);
		chan_event(offer, &event);
	}
	gpadl_clear(&bus->gpadls);
	TAILQ_FOREACH(provider, &bus->providers, link)
	{
		if (!provider_in_use(provider))
			continue;
		provider->quiescing = !provider->away || !bus->ending;
		if (!provider->away)
			provider->ops->quiesce(provider->arg);
	}
	bus->hold--;
	bus_disconnected(bus);
}

void bus_reset(struct bus *bus, void (*done)(void *arg), void *arg)
{
	assert(!bus->reset_done);
	bus->reset_done = done;
	bus->reset_arg = arg;
	disconnect(bus, BUS_NEXT_RESET);
}

void bus_end(struct bus *bus)
{
	struct bus_provider *provider;

	bus->ending = true;
	TAILQ_FOREACH(provider, &bus->providers, link)
	if (provider->away)
		provider->quiescing = false;
	bus_disconnected(bus);
}

void bus_reraise(struct bus *bus, uint32_t vp)
{
	const struct bus_offer *offer;

	TAILQ_FOREACH(offer, &bus->offers, link)
	if (chan_uses_vp(offer, vp))
		bus->guest->raise_event(bus->guest_arg, vp, offer->relid);
}

/* ---- messages ---- */

static void on_contact(struct bus *bus, const struct bus_msg *msg)
{
	bus->contact = msg->contact;
	disconnect(bus, BUS_NEXT_CONTACT);
}

static void on_unload(struct bus *bus, const struct bus_msg *msg)
{
	disconnect(bus, BUS_NEXT_UNLOAD);
}

struct bus_offer *bus_find_relid(const struct bus *bus, uint32_t relid)
{
	return relid <= BUS_CHANNELS_MAX ? bus->by_relid[relid] : NULL;
}

static void on_open(struct bus *bus, const struct bus_msg *msg)
{
	struct bus_offer *offer = bus_find_relid(bus, msg->open.relid);

	if (offer)
		chan_event(offer, &(struct chan_event){.type = CHAN_EV_OPEN, .open = &msg->open});
	else
		bus_answer_open(bus, msg->open.relid, msg->open.open_id, VMBUS_STATUS_UNSUCCESSFUL);
}

static void on_close(struct bus *bus, const struct bus_msg *msg)
{
	struct bus_offer *offer = bus_find_relid(bus, msg->relid);

	if (offer)
		chan_event(offer, &(struct chan_event){.type = CHAN_EV_CLOSE});
	else
		bus_complain(bus, NULL, "CLOSECHANNEL for the unknown channel %u", msg->relid);
}

static void on_released(struct bus *bus, const struct bus_msg *msg)
{
	struct bus_offer *offer = bus_find_relid(bus, msg->relid);

	if (offer)
		chan_event(offer, &(struct chan_event){.type = CHAN_EV_RELEASED});
	else
		bus_complain(bus, NULL, "RELID_RELEASED for the unknown channel %u", msg->relid);
}

static void on_modify(struct bus *bus, const struct bus_msg *msg)
{
	struct bus_offer *offer = bus_find_relid(bus, msg->pair.relid);

	if (bus->version < VMBUS_VERSION_4_1)
		bus_complain(bus, NULL, "MODIFYCHANNEL before version 4.1");
	else if (offer)
		chan_event(offer, &(struct chan_event){.type = CHAN_EV_MODIFY, .vp = msg->pair.value});
	else
		bus_answer_modify(bus, msg->pair.relid, VMBUS_STATUS_UNSUCCESSFUL);
}

static const struct {
	void (*handle)(struct bus *bus, const struct bus_msg *msg);
	bool connected; /* only then */
} messages[VMBUS_MSG_COUNT] = {
	[VMBUS_MSG_INITIATE_CONTACT] = {on_contact, false},
	[VMBUS_MSG_UNLOAD] = {on_unload, false},
	[VMBUS_MSG_REQUESTOFFERS] = {bus_on_request_offers, true},
	[VMBUS_MSG_OPENCHANNEL] = {on_open, true},
	[VMBUS_MSG_CLOSECHANNEL] = {on_close, true},
	[VMBUS_MSG_RELID_RELEASED] = {on_released, true},
	[VMBUS_MSG_MODIFYCHANNEL] = {on_modify, true},
	[VMBUS_MSG_GPADL_HEADER] = {bus_on_gpadl_header, true},
	[VMBUS_MSG_GPADL_BODY] = {bus_on_gpadl_body, true},
	[VMBUS_MSG_GPADL_TEARDOWN] = {bus_on_gpadl_teardown, true},
};

/* A GPADL_HEADER whose counts are nonsense still names its handle; its sender waits for an answer. */
static void refuse_malformed(struct bus *bus, const uint8_t *payload, size_t len, int r)
{
	struct vmbus_msg_gpadl_header wire;

	bus_complain(bus, NULL, "a message of %zu bytes is no good: %s", len, strerror(-r));
	if (bus->state != BUS_CONNECTED || len < sizeof(wire) || get_le32(payload) != VMBUS_MSG_GPADL_HEADER)
		return;
	memcpy(&wire, payload, sizeof(wire));
	bus_answer_gpadl(bus, wire.child_relid, wire.gpadl, r);
}

void bus_message(struct bus *bus, uint32_t connection_id, uint32_t type, const void *payload, size_t len)
{
	struct bus_msg msg;
	int r;

	if (type != VMBUS_MESSAGE_TYPE) {
		bus_complain(bus, NULL, "a message of type %u on connection %u", type, connection_id);
		return;
	}
	r = bus_msg_parse(payload, len, &msg);
	if (r < 0) {
		refuse_malformed(bus, payload, len, r);
		return;
	}
	if (messages[msg.type].connected && bus->state != BUS_CONNECTED) {
		/* RELID_RELEASED comes after UNLOAD. */
		log_debug("vmbus", "message %u while the guest is not connected", msg.type);
		return;
	}
	if (messages[msg.type].connected && connection_id != message_connection(bus->version)) {
		bus_complain(bus, NULL, "message %u on connection %u: version %u.%u uses the other", msg.type,
			     connection_id, bus->version >> 16, bus->version & 0xffff);
		return;
	}
	if (msg.type == VMBUS_MSG_INITIATE_CONTACT)
		msg.contact.connection_id = connection_id;
	messages[msg.type].handle(bus, &msg);
}

/* ---- the bus ---- */

int bus_new(struct loop *loop, struct guest_mem *mem, const struct bus_guest_ops *guest, void *arg,
	    struct bus **ret_bus)
{
	struct bus *bus = calloc(1, sizeof(*bus));
	int r;

	if (!bus)
		return -ENOMEM;
	bus->loop = loop;
	bus->mem = mem;
	bus->guest = guest;
	bus->guest_arg = arg;
	TAILQ_INIT(&bus->offers);
	TAILQ_INIT(&bus->providers);
	bus->release_ns = BUS_RELEASE_NS;
	r = loop_add_timer(loop, bus_pace_over, bus, &bus->pace);
	if (r == 0)
		r = loop_add_timer(loop, bus_release_late, bus, &bus->release);
	if (r < 0) {
		loop_remove(&bus->pace);
		free(bus);
		return r;
	}
	*ret_bus = bus;
	return 0;
}

void bus_free(struct bus *bus)
{
	struct bus_provider *provider;
	struct bus_offer *offer;

	if (!bus)
		return;
	while ((offer = TAILQ_FIRST(&bus->offers))) {
		chan_done(offer);
		TAILQ_REMOVE(&bus->offers, offer, link);
		free(offer);
	}
	while ((provider = TAILQ_FIRST(&bus->providers))) {
		TAILQ_REMOVE(&bus->providers, provider, link);
		free(provider->name);
		free(provider);
	}
	gpadl_clear(&bus->gpadls);
	loop_remove(&bus->pace);
	loop_remove(&bus->release);
	free(bus);
}
