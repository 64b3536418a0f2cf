/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel of an integration service.
 *
 * Theory of operation: the host asks, the guest sends the same message back with its answer in it.
 *
 *   CLOSED --open: NEGOTIATE is sent--> NEGOTIATING --answer names versions of ours--> READY --close--> CLOSED
 *                                            +-------none, or corrupt----> UNFIT <---corrupt---+
 *
 * Only one request is under way, so that a guest that answers nothing finds one packet in its ring however long it
 * takes; while it is outstanding the guest is signalled again at each tick, but while the vCPUs stand still there are
 * no ticks. An answer is taken for what its transaction id says; others, and what cannot be read, are logged and
 * dropped: they cost nobody but the guest. A corrupt ring fails the channel: it is not looked at again until the guest
 * closes it.
 *
 * Limits: packets of PACKET_MAX; DRAIN_BUDGET packets before others on the loop have their turn.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "abi/ring.h"
#include "base/bytes.h"
#include "base/fd.h"
#include "ic/ic_int.h"

#define PACKET_MAX   8192u /* Linux reads at most a page, and sends that back */
#define DRAIN_BUDGET 32u

static const struct ic_version framework_list[] = {{1, 0}, {3, 0}};
static const struct ic_versions frameworks = {framework_list, ARRAY_SIZE(framework_list)};

static const char *channel_name(const struct ic_channel *channel, char buf[48])
{
	snprintf(buf, 48, "integration service %s", channel->service->name);
	return buf;
}

static void complain(struct ic_channel *channel, const char *what)
{
	char name[48];

	channel_name(channel, name);
	if (log_allowed(&channel->limit, name))
		log_warn(name, "%s", what);
}

static void arm(struct ic_channel *channel)
{
	const struct ic_service *service = channel->service;

	if (channel->ic->running && (channel->waiting || (channel->state == IC_READY && service->tick)))
		loop_arm(channel->timer, service->period_ns);
}

/* No request is under way, and none will be answered. */
static void end_use(struct ic_channel *channel, enum ic_channel_state state)
{
	bool was_ready = channel->state == IC_READY;

	loop_remove(&channel->kick);
	loop_disarm(channel->timer);
	channel->waiting = false;
	channel->state = state;
	if (!was_ready)
		return;
	if (channel->service->closed)
		channel->service->closed(channel);
	ic_tell(channel->ic);
}

static int fail(struct ic_channel *channel, const char *why)
{
	complain(channel, why);
	end_use(channel, IC_UNFIT);
	return -EPROTO;
}

/* ---- requests ---- */

static int send_message(struct ic_channel *channel, uint16_t type, const void *body, size_t len)
{
	const struct ic_message message = {
		.framework = channel->framework,
		.version = channel->version,
		.type = type,
		.transaction_id = ++channel->transaction_id,
		.flags = IC_FLAG_TRANSACTION | IC_FLAG_REQUEST,
		.body = body,
		.len = len,
	};
	uint8_t payload[IC_HEADERS_LEN + IC_BODY_MAX];
	size_t payload_len = ic_build(&message, payload);
	int r = ring_write(&channel->channel.out, VMPACKET_DATA_INBAND, 0, message.transaction_id, payload,
			   payload_len);

	if (r == 0)
		r = channel_commit(&channel->channel);
	if (r < 0)
		return fail(channel, "a request does not go into the ring: not used until the guest opens it again");
	channel->waiting = true;
	arm(channel);
	return 0;
}

int ic_channel_send(struct ic_channel *channel, const void *body, size_t len)
{
	if (channel->state != IC_READY)
		return -ENOTCONN;
	return channel->waiting ? -EBUSY : send_message(channel, channel->service->type, body, len);
}

static int negotiate(struct ic_channel *channel)
{
	uint8_t body[IC_BODY_MAX];
	size_t len = ic_build_negotiate(&frameworks, &channel->service->versions, body);

	channel->framework = (struct ic_version){0};
	channel->version = (struct ic_version){0};
	return send_message(channel, IC_MESSAGE_NEGOTIATE, body, len);
}

void ic_channel_on_timer(void *arg)
{
	struct ic_channel *channel = arg;

	/* a signal that got lost would otherwise stick it for ever */
	if (channel->waiting)
		channel_signal(&channel->channel);
	arm(channel);
	if (channel->state == IC_READY && channel->service->tick)
		channel->service->tick(channel);
}

void ic_channel_running(struct ic_channel *channel, bool running)
{
	if (running)
		arm(channel);
	else
		loop_disarm(channel->timer);
	if (channel->state == IC_READY && channel->service->running)
		channel->service->running(channel, running);
}

/* ---- answers ---- */

static void on_negotiated(struct ic_channel *channel, const struct ic_message *message)
{
	char name[48];
	int r = ic_parse_negotiated(message, &frameworks, &channel->service->versions, &channel->framework,
				    &channel->version);

	if (r < 0) {
		fail(channel, r == -EPROTO ? "the guest's versions cannot be read"
					   : "the guest speaks no version of ours: not used");
		return;
	}
	channel->state = IC_READY;
	channel_name(channel, name);
	if (log_allowed(&channel->limit, name))
		log_info(name, "version %u.%u", channel->version.major, channel->version.minor);
	arm(channel);
	if (channel->service->ready)
		channel->service->ready(channel);
	ic_tell(channel->ic);
}

static void on_message(struct ic_channel *channel, const struct ic_message *message)
{
	const struct ic_service *service = channel->service;
	bool negotiating = channel->state == IC_NEGOTIATING;

	if (!(message->flags & IC_FLAG_RESPONSE)) {
		if (!negotiating && service->request && message->type == service->type)
			service->request(channel, message);
		else
			complain(channel, "the guest asks for what this is not for");
		return;
	}
	if (!channel->waiting || message->transaction_id != channel->transaction_id ||
	    message->type != (negotiating ? IC_MESSAGE_NEGOTIATE : service->type)) {
		complain(channel, "an answer to nothing that was asked");
		return;
	}
	channel->waiting = false;
	if (negotiating)
		on_negotiated(channel, message);
	else if (service->answer)
		service->answer(channel, message);
}

/* One packet. Return: 0; -EAGAIN (there is none); -EPROTO (the channel is UNFIT now). */
static int take_packet(struct ic_channel *channel)
{
	uint8_t buf[PACKET_MAX];
	struct ic_message message;
	struct ring_packet packet;
	int r = ring_read(&channel->channel.in, buf, sizeof(buf), &packet);

	if (r == -EAGAIN)
		return r;
	if (r == 0)
		r = channel_commit(&channel->channel);
	if (r < 0)
		return fail(channel, "the ring is corrupt: not used until the guest opens it again");
	if (packet.type != VMPACKET_DATA_INBAND ||
	    ic_parse(buf + packet.payload_offset, packet.len - packet.payload_offset, &message) < 0)
		complain(channel, "a packet that cannot be read");
	else
		on_message(channel, &message);
	return 0;
}

static bool in_use(const struct ic_channel *channel)
{
	return channel->state == IC_NEGOTIATING || channel->state == IC_READY;
}

static void drain(struct ic_channel *channel)
{
	unsigned int budget = DRAIN_BUDGET;
	int more;

	do {
		ring_reader_mask(&channel->channel.in);
		while (in_use(channel) && budget > 0 && take_packet(channel) == 0)
			budget--;
		if (!in_use(channel))
			return;
		more = ring_reader_unmask(&channel->channel.in);
	} while (more > 0 && budget > 0);
	if (more < 0) {
		fail(channel, "the ring is corrupt: not used until the guest opens it again");
	} else if (more) {
		const uint64_t one = 1;

		/* the rest has its turn after others: our own kick. EAGAIN: it is kicked already */
		(void)!write(channel->channel.kick_fd, &one, sizeof(one));
	}
}

static void on_kick(int fd, unsigned int events, void *arg)
{
	struct ic_channel *channel = arg;

	channel_clear_kick(&channel->channel);
	drain(channel);
}

/* ---- open and close ---- */

static int map(struct ic_channel *channel, const struct bus_open *open)
{
	struct channel_params params = {
		.ring = open->ring,
		.ring_ranges = open->ring_ranges,
		.downstream_page = open->downstream_page,
		.relid = open->relid,
		.target_vp = open->target_vp,
		.kick_fd = fd_dup(open->kick_fd),
		.irq_fd = fd_dup(open->irq_fd),
	};
	int r = params.kick_fd < 0 ? params.kick_fd : params.irq_fd < 0 ? params.irq_fd : 0;

	if (r == 0)
		r = channel_init(&channel->channel, channel->ic->mem, channel->ic->cells, &params);
	if (r < 0) {
		fd_close(&params.kick_fd);
		fd_close(&params.irq_fd);
	}
	return r;
}

int ic_channel_open(struct ic_channel *channel, const struct bus_open *open)
{
	int r = map(channel, open);

	if (r < 0)
		return r;
	r = loop_add_fd(channel->ic->loop, channel->channel.kick_fd, LOOP_READ, on_kick, channel, &channel->kick);
	if (r == 0) {
		channel->state = IC_NEGOTIATING;
		r = negotiate(channel);
	}
	if (r < 0)
		ic_channel_close(channel);
	return r;
}

void ic_channel_close(struct ic_channel *channel)
{
	if (channel->channel.mem == NULL)
		return;
	end_use(channel, IC_CLOSED);
	channel_done(&channel->channel);
	memset(&channel->channel, 0, sizeof(channel->channel));
}
