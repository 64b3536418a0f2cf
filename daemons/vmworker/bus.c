/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: a connection begins with INITIATE_CONTACT and ends with UNLOAD, another INITIATE_CONTACT or a
 * reset. Its end is not instant: every provider with a channel in use quiesces first (DISCONNECTING), and only then is
 * the guest answered, for it may reuse the memory at once. If the guest asks for something else in the meantime, the
 * last wish counts. With the connection go the guest's GPADLs and all relids; offers stay and are shown again, in the
 * same order, to the guest's next REQUESTOFFERS.
 *
 * A relid and an instance GUID whose offer was rescinded are held until RELID_RELEASED: Linux finds channels by
 * instance GUID alone. An offer that must wait for that, or for the pace, stays HIDDEN and wanted; bus_pump() shows it.
 *
 * Limits: BUS_CHANNELS_MAX offers; GPADL_MAX and GPADL_WORDS_MAX. No monitor pages, no feature flags, no hv_sock.
 */
#include "bus.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "bus_int.h"

#define BLOCK_BYTES_MAX (64ull << 20)

static const uint32_t versions[] = {
	VMBUS_VERSION_5_3, VMBUS_VERSION_5_2, VMBUS_VERSION_5_1, VMBUS_VERSION_5_0,
	VMBUS_VERSION_4_1, VMBUS_VERSION_4_0, VMBUS_VERSION_3_0,
};

/* ---- shared with bus_channel.c ---- */

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

void bus_offer_free(struct bus_offer *offer)
{
	assert(offer->relid == 0 && offer->kick_fd < 0);
	if (offer->provider)
		offer->bus->live--;
	TAILQ_REMOVE(&offer->bus->offers, offer, link);
	free(offer);
}

static uint32_t free_relid(const struct bus *bus)
{
	for (uint32_t relid = 1; relid <= BUS_CHANNELS_MAX; relid++)
		if (!bus->by_relid[relid])
			return relid;
	return 0;
}

static bool same_instance(const struct bus_offer *offer, const struct bus_offer_desc *desc)
{
	return offer->desc.subchannel_index == desc->subchannel_index &&
	       memcmp(&offer->desc.instance_guid, &desc->instance_guid, sizeof(desc->instance_guid)) == 0;
}

/* Whether the guest still holds a rescinded channel of the same instance. */
static bool instance_held(const struct bus *bus, const struct bus_offer *wanted)
{
	const struct bus_offer *offer;

	TAILQ_FOREACH(offer, &bus->offers, link)
	if (offer->state == CHAN_RESCINDED && same_instance(offer, &wanted->desc))
		return true;
	return false;
}

void bus_pump(struct bus *bus)
{
	struct bus_offer *offer;
	uint32_t relid;

	if (bus->state != BUS_CONNECTED || !bus->offers_sent || bus->pacing)
		return;
	TAILQ_FOREACH(offer, &bus->offers, link)
	{
		if (!offer->wanted || instance_held(bus, offer))
			continue;
		relid = free_relid(bus);
		if (!relid)
			return;
		chan_offer(offer, relid);
		bus_pace(bus);
		return;
	}
}

void bus_pace(struct bus *bus)
{
	bus->pacing = true;
	loop_arm(bus->pace, BUS_OFFER_PACE_NS);
}

static void pace_over(void *arg)
{
	struct bus *bus = arg;

	bus->pacing = false;
	bus_pump(bus);
}

/* ---- contact and its end ---- */

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
	size_t len = offsetof(struct vmbus_msg_version_response, supported_features);

	bus->message_vp = vp_ok ? contact->target_vp : 0;
	if (!vp_ok || !sint_ok || !version_known(contact->version)) {
		log_info("vmbus", "refused: version %u.%u, vCPU %u, SINT %u", contact->version >> 16,
			 contact->version & 0xffff, contact->target_vp, contact->sint);
		bus_post(bus, &msg, len);
		return;
	}
	bus->state = BUS_CONNECTED;
	bus->version = contact->version;
	bus->offers_sent = false;
	msg.version_supported = 1;
	msg.connection_state = VMBUS_CONNECTION_STATE_SUCCESSFUL;
	msg.msg_conn_id = contact->version >= VMBUS_VERSION_5_0 ? VMBUS_MESSAGE_CONNECTION_ID_4 : contact->version;
	if (contact->version >= VMBUS_VERSION_5_3)
		len = sizeof(msg);
	log_info("vmbus", "the guest speaks version %u.%u", contact->version >> 16, contact->version & 0xffff);
	bus_post(bus, &msg, len);
}

static void disconnected(struct bus *bus)
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
		provider->quiescing = true;
		provider->ops->quiesce(provider->arg);
	}
	bus->hold--;
	disconnected(bus);
}

void bus_reset(struct bus *bus, void (*done)(void *arg), void *arg)
{
	assert(!bus->reset_done);
	bus->reset_done = done;
	bus->reset_arg = arg;
	disconnect(bus, BUS_NEXT_RESET);
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

/* By interface type, then as they were made: the same relids at every contact, in whatever order the providers came. */
static int compare_offers(const void *a, const void *b)
{
	const struct bus_offer *x = *(struct bus_offer *const *)a, *y = *(struct bus_offer *const *)b;
	int r = memcmp(&x->desc.interface_guid, &y->desc.interface_guid, sizeof(x->desc.interface_guid));

	return r ? r : x->id < y->id ? -1 : x->id > y->id;
}

static void on_request_offers(struct bus *bus, const struct bus_msg *msg)
{
	const struct vmbus_msg_header done = {.msgtype = VMBUS_MSG_ALLOFFERS_DELIVERED};
	_cleanup_free_ struct bus_offer **sorted = NULL;
	struct bus_offer *offer;
	size_t count = 0;

	if (bus->offers_sent) {
		bus_complain(bus, NULL, "REQUESTOFFERS twice");
		return;
	}
	bus->offers_sent = true;
	sorted = calloc(bus->live + 1, sizeof(struct bus_offer *));
	if (!sorted) {
		log_error("vmbus", "no memory for the list of offers");
		return;
	}
	TAILQ_FOREACH(offer, &bus->offers, link)
	sorted[count++] = offer;
	qsort(sorted, count, sizeof(struct bus_offer *), compare_offers);
	for (size_t i = 0; i < count; i++)
		chan_offer(sorted[i], (uint32_t)i + 1);
	bus_post(bus, &done, sizeof(done));
}

static struct bus_offer *find_relid(const struct bus *bus, uint32_t relid)
{
	return relid <= BUS_CHANNELS_MAX ? bus->by_relid[relid] : NULL;
}

static void on_open(struct bus *bus, const struct bus_msg *msg)
{
	struct bus_offer *offer = find_relid(bus, msg->open.relid);

	if (offer)
		chan_event(offer, &(struct chan_event){.type = CHAN_EV_OPEN, .open = &msg->open});
	else
		bus_answer_open(bus, msg->open.relid, msg->open.open_id, VMBUS_STATUS_UNSUCCESSFUL);
}

static void on_close(struct bus *bus, const struct bus_msg *msg)
{
	struct bus_offer *offer = find_relid(bus, msg->relid);

	if (offer)
		chan_event(offer, &(struct chan_event){.type = CHAN_EV_CLOSE});
	else
		bus_complain(bus, NULL, "CLOSECHANNEL for the unknown channel %u", msg->relid);
}

static void on_released(struct bus *bus, const struct bus_msg *msg)
{
	struct bus_offer *offer = find_relid(bus, msg->relid);

	if (offer)
		chan_event(offer, &(struct chan_event){.type = CHAN_EV_RELEASED});
	else
		bus_complain(bus, NULL, "RELID_RELEASED for the unknown channel %u", msg->relid);
}

static void on_modify(struct bus *bus, const struct bus_msg *msg)
{
	struct bus_offer *offer = find_relid(bus, msg->pair.relid);

	if (bus->version < VMBUS_VERSION_4_1)
		bus_complain(bus, NULL, "MODIFYCHANNEL before version 4.1");
	else if (offer)
		chan_event(offer, &(struct chan_event){.type = CHAN_EV_MODIFY, .vp = msg->pair.value});
	else
		bus_answer_modify(bus, msg->pair.relid, VMBUS_STATUS_UNSUCCESSFUL);
}

static void gpadl_answer(struct bus *bus, uint32_t relid, uint32_t gpadl, int r)
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
	gpadl_answer(bus, relid, id, r);
}

static void on_gpadl_header(struct bus *bus, const struct bus_msg *msg)
{
	struct gpadl *gpadl;
	int r = -ENODEV;

	if (find_relid(bus, msg->gpadl.relid))
		r = gpadl_begin(&bus->gpadls, &msg->gpadl, &gpadl);
	if (r < 0)
		gpadl_answer(bus, msg->gpadl.relid, msg->gpadl.gpadl, r);
	else
		gpadl_step(bus, gpadl, 0);
}

static void on_gpadl_body(struct bus *bus, const struct bus_msg *msg)
{
	struct gpadl *gpadl = gpadl_find(&bus->gpadls, msg->gpadl.gpadl);

	if (!gpadl || gpadl->state != GPADL_FILLING) {
		bus_complain(bus, NULL, "GPADL_BODY for %#x, which takes none", msg->gpadl.gpadl);
		return;
	}
	gpadl_step(bus, gpadl, gpadl_append(gpadl, &msg->gpadl));
}

static void on_gpadl_teardown(struct bus *bus, const struct bus_msg *msg)
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

static const struct {
	void (*handle)(struct bus *bus, const struct bus_msg *msg);
	bool connected; /* only then */
} messages[VMBUS_MSG_COUNT] = {
	[VMBUS_MSG_INITIATE_CONTACT] = {on_contact, false},    [VMBUS_MSG_UNLOAD] = {on_unload, false},
	[VMBUS_MSG_REQUESTOFFERS] = {on_request_offers, true}, [VMBUS_MSG_OPENCHANNEL] = {on_open, true},
	[VMBUS_MSG_CLOSECHANNEL] = {on_close, true},	       [VMBUS_MSG_RELID_RELEASED] = {on_released, true},
	[VMBUS_MSG_MODIFYCHANNEL] = {on_modify, true},	       [VMBUS_MSG_GPADL_HEADER] = {on_gpadl_header, true},
	[VMBUS_MSG_GPADL_BODY] = {on_gpadl_body, true},	       [VMBUS_MSG_GPADL_TEARDOWN] = {on_gpadl_teardown, true},
};

/* A GPADL_HEADER whose counts are nonsense still names its handle; its sender waits for an answer. */
static void refuse_malformed(struct bus *bus, const uint8_t *payload, size_t len, int r)
{
	struct vmbus_msg_gpadl_header wire;

	bus_complain(bus, NULL, "a message of %zu bytes is no good: %s", len, strerror(-r));
	if (bus->state != BUS_CONNECTED || len < sizeof(wire) || get_le32(payload) != VMBUS_MSG_GPADL_HEADER)
		return;
	memcpy(&wire, payload, sizeof(wire));
	gpadl_answer(bus, wire.child_relid, wire.gpadl, r);
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
	messages[msg.type].handle(bus, &msg);
}

/* ---- providers ---- */

int bus_provider_add(struct bus *bus, const char *name, const struct bus_provider_ops *ops, void *arg,
		     struct bus_provider **ret_provider)
{
	struct bus_provider *provider = calloc(1, sizeof(*provider));

	if (!provider)
		return -ENOMEM;
	provider->name = strdup(name);
	if (!provider->name) {
		free(provider);
		return -ENOMEM;
	}
	provider->bus = bus;
	provider->ops = ops;
	provider->arg = arg;
	TAILQ_INSERT_TAIL(&bus->providers, provider, link);
	*ret_provider = provider;
	return 0;
}

/* @event for each offer of @provider; the handlers may free the offer. */
static void each_offer(struct bus_provider *provider, const struct chan_event *event, bool draining_only)
{
	struct bus_offer *offer, *after;

	for (offer = TAILQ_FIRST(&provider->bus->offers); offer; offer = after) {
		after = TAILQ_NEXT(offer, link);
		if (offer->provider == provider && (!draining_only || offer->state == CHAN_DRAINING))
			chan_event(offer, event);
	}
}

void bus_provider_gone(struct bus_provider *provider)
{
	struct bus *bus = provider->bus;

	each_offer(provider, &(struct chan_event){.type = CHAN_EV_GONE}, false);
	TAILQ_REMOVE(&bus->providers, provider, link);
	free(provider->name);
	free(provider);
	disconnected(bus);
}

static struct bus_offer *find_offer(const struct bus_provider *provider, uint32_t offer_id)
{
	struct bus_offer *offer;

	TAILQ_FOREACH(offer, &provider->bus->offers, link)
	if (offer->provider == provider && offer->id == offer_id)
		return offer;
	return NULL;
}

int bus_offer_add(struct bus_provider *provider, const struct bus_offer_desc *desc, uint32_t *ret_offer_id)
{
	static const struct abi_guid none;
	struct bus *bus = provider->bus;
	struct bus_offer *offer;

	if (memcmp(&desc->instance_guid, &none, sizeof(none)) == 0 || desc->block_bytes == 0 ||
	    desc->block_bytes % GUEST_PAGE_SIZE || desc->block_bytes > BLOCK_BYTES_MAX)
		return -EINVAL;
	TAILQ_FOREACH(offer, &bus->offers, link)
	if (offer->provider && same_instance(offer, desc))
		return -EEXIST;
	if (bus->live >= BUS_CHANNELS_MAX)
		return -ENOSPC;
	offer = calloc(1, sizeof(*offer));
	if (!offer)
		return -ENOMEM;
	offer->bus = bus;
	offer->provider = provider;
	offer->desc = *desc;
	offer->id = ++bus->next_offer_id;
	chan_init(offer);
	bus->live++;
	TAILQ_INSERT_TAIL(&bus->offers, offer, link);
	*ret_offer_id = offer->id;
	offer->wanted = bus->state == BUS_CONNECTED && bus->offers_sent;
	bus_pump(bus);
	return 0;
}

static void answered(struct bus_provider *provider, uint32_t offer_id, enum chan_event_type type, int status)
{
	struct bus_offer *offer = find_offer(provider, offer_id);

	if (offer)
		chan_event(offer, &(struct chan_event){.type = type, .status = status});
	else
		log_warn(provider->name, "answers for the unknown offer %u", offer_id);
}

void bus_opened(struct bus_provider *provider, uint32_t offer_id, int status)
{
	answered(provider, offer_id, CHAN_EV_OPENED, status);
}

void bus_closed(struct bus_provider *provider, uint32_t offer_id)
{
	answered(provider, offer_id, CHAN_EV_CLOSED, 0);
}

void bus_retargeted(struct bus_provider *provider, uint32_t offer_id)
{
	answered(provider, offer_id, CHAN_EV_RETARGETED, 0);
}

void bus_quiesced(struct bus_provider *provider)
{
	if (!provider->quiescing) {
		log_warn(provider->name, "has quiesced without being asked");
		return;
	}
	provider->quiescing = false;
	each_offer(provider, &(struct chan_event){.type = CHAN_EV_QUIESCED}, true);
	disconnected(provider->bus);
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
	r = loop_add_timer(loop, pace_over, bus, &bus->pace);
	if (r < 0) {
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
	free(bus);
}
