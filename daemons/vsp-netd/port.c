/* SPDX-License-Identifier: Apache-2.0 */
#include "port.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fd.h"
#include "base/log.h"
#include "port_int.h"

#define LSO_MAX	    65535u
#define DROP_BUDGET 256u /* frames that nobody wants, at a time */
#define DROP_TURNS  64u	 /* more than a back end holds */

_Static_assert(PORT_MEMORY_LEN >= NET_STREAM_MEMORY_LEN + sizeof(struct port_kept), "every back end finds room");

bool port_serves(const struct port *port)
{
	return port->connected && port_link(port);
}

bool port_link(const struct port *port)
{
	return !port->settings.link_down && !port->peer_gone;
}

bool port_peer_gone(const struct port *port)
{
	return port->peer_gone;
}

unsigned int port_queues(const struct port *port)
{
	return port->net->queues;
}

void port_counters(const struct port *port, struct oid_counters *ret)
{
	const _Atomic uint64_t *count = port->count;

	*ret = (struct oid_counters){
		.sent = count[STATS_NIC_TX_PACKETS],
		.received = count[STATS_NIC_RX_PACKETS],
		.send_errors = count[STATS_NIC_TX_ERRORS] + count[STATS_NIC_TX_REFUSED] + count[STATS_NIC_TX_UNREADY],
		.receive_errors = count[STATS_NIC_RX_ERRORS],
	};
}

void port_observe(struct port *port, struct stats_unit *unit)
{
	port->count = unit ? unit->count : port->own_count;
}

/* ---- what the back end tells ---- */

/* What is not given yet of a frame that is being cut. */
static void drop_cut(struct port *port)
{
	if (port->cut.frame.len > 0)
		port->lost += port_cut_left(&port->cut);
	port->cut.frame.len = 0;
}

/* Nobody is there to take it: what came before the guest opened its NIC is not for it. Return: whether there may be
 * more. */
static bool drop_some(struct port *port, unsigned int queue)
{
	struct net_incoming frame;

	drop_cut(port);
	atomic_store(&port->kept->cut_next, 0);
	port_note(port);
	for (unsigned int i = 0; i < DROP_BUDGET; i++) {
		int r = port->net->ops->receive(port->net, queue, &frame);

		if (r < 0)
			return false;
		port_count(port, r > 0 ? STATS_NIC_RX_UNREADY : STATS_NIC_RX_ERRORS);
	}
	return true;
}

/* But for what a peer that sends without end adds meanwhile. */
static void drop_all(struct port *port)
{
	for (unsigned int i = 0; i < port->net->queues; i++)
		for (unsigned int turns = 0; turns < DROP_TURNS && drop_some(port, i); turns++)
			;
}

static void on_readable(void *arg, unsigned int queue)
{
	struct port *port = arg;

	if (!port->known)
		return;
	if (port_serves(port)) {
		if (port->queue[queue].listening)
			port->client.ops->readable(port->client.arg, queue);
	} else if (drop_some(port, queue)) {
		/* of the rest no event may tell */
		port->net->ops->listen(port->net, queue, true);
	}
}

static void on_more(void *arg)
{
	on_readable(arg, 0);
}

static void on_writable(void *arg, unsigned int queue)
{
	struct port *port = arg;

	port_note(port);
	if (port->connected && port_send_left(port) == 0)
		port->client.ops->writable(port->client.arg, queue);
}

/* Frames that wait for room go too, or are dropped: nobody would tell of room where nothing is any more. */
static void on_teller(void *arg)
{
	struct port *port = arg;
	bool up = port_link(port);

	if (port->connected && port->told_link != up) {
		port->told_link = up;
		port->client.ops->link(port->client.arg, up);
	}
	for (unsigned int i = 0; i < port->net->queues; i++)
		on_writable(port, i);
}

static void on_gone(void *arg)
{
	struct port *port = arg;

	port->peer_gone = true;
	log_warn(port->settings.alias, "what it is plugged into is gone: its link is down");
	on_teller(port);
}

static const struct net_host_ops host_ops = {on_readable, on_writable, on_gone};

/* ---- what the guest has set ---- */

/* Of what comes from now on. What the kernel cannot do is done by looking at each frame before the guest gets it. */
static void apply_filter(struct port *port)
{
	struct sock_filter program[FILTER_PROGRAM_MAX];
	struct sock_fprog fprog = {.filter = program};
	struct filter nothing = {0};
	int (*set_filter)(struct net * net, const struct sock_fprog *filter) = port->net->ops->set_filter;

	fprog.len = (unsigned short)filter_program(port_serves(port) ? &port->filter : &nothing, program);
	port->filtered = set_filter && set_filter(port->net, &fprog) == 0;
	for (unsigned int i = 0; i < port->net->queues; i++)
		port->queue[i].settled = false;
}

/* Each time that the filter is set. */
static void apply_mac(struct port *port)
{
	int (*set_mac)(struct net * net, const uint8_t mac[MAC_LEN]) = port->net->ops->set_mac;
	int r = set_mac ? set_mac(port->net, port->filter.mac) : 0;

	/* a guest may try as many as it likes */
	if (r < 0 && log_allowed(&port->complaints, port->settings.alias))
		log_warn(port->settings.alias,
			 "its device cannot have the guest's MAC address (%s): what is to it does not come",
			 err_name(r));
}

static bool all_on(const struct port *port, enum oid_offload from, enum oid_offload to, uint8_t bit)
{
	for (enum oid_offload i = from; i <= to; i++)
		if (!(port->guest.offload[i] & bit))
			return false;
	return true;
}

static void apply_offloads(struct port *port)
{
	unsigned int offloads = 0;

	port->guest_checks = all_on(port, OID_OFFLOAD_CHECKSUM_TCP4, OID_OFFLOAD_CHECKSUM_UDP6, OID_OFFLOAD_RX);
	port->guest_joins = port->guest_checks && all_on(port, OID_OFFLOAD_RSC4, OID_OFFLOAD_RSC6, 1);
	if (port->guest_checks)
		offloads |= TUN_F_CSUM;
	if (port->guest_joins)
		offloads |= TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	if (!port->net->ops->set_offloads)
		return;
	if (port->net->ops->set_offloads(port->net, offloads) < 0 &&
	    log_allowed(&port->complaints, port->settings.alias))
		log_warn(port->settings.alias, "the kernel does not take offloads %#x: frames may be dropped",
			 offloads);
	for (unsigned int i = 0; i < port->net->queues; i++)
		port->queue[i].settled = false;
}

void port_set(struct port *port, const struct oid_settings *settings)
{
	bool offloads = memcmp(port->guest.offload, settings->offload, sizeof(settings->offload)) != 0;

	port->guest = *settings;
	if (!port->connected)
		return; /* port_connect() applies it */
	filter_set(&port->filter, settings, port->settings.mac, port->settings.may_change_mac,
		   port->settings.may_be_promiscuous);
	apply_filter(port);
	apply_mac(port);
	if (offloads)
		apply_offloads(port);
}

void port_offloads(const struct port *port, struct oid_nic *nic)
{
	nic->lso_max_bytes = LSO_MAX;
	nic->checksums = true;
	nic->coalescing = port->net->ops->set_offloads || port->settings.segment_max > 0;
}

/* ---- listening, waiting ---- */

/* While nobody is served, the port takes what comes, and drops it. */
static void apply_listen_of(struct port *port, unsigned int queue)
{
	bool wanted = port->queue[queue].listening && !port->way[PORT_IN].waits;

	port->net->ops->listen(port->net, queue, port->known && (!port_serves(port) || wanted));
	if (wanted && port->cut.frame.len > 0)
		loop_arm(port->more, 0);
}

static void apply_listen(struct port *port)
{
	for (unsigned int i = 0; i < port->net->queues; i++)
		apply_listen_of(port, i);
}

void port_listen(struct port *port, unsigned int queue, bool listen)
{
	port->queue[queue].listening = listen;
	apply_listen_of(port, queue);
}

bool port_must_wait(struct port *port, unsigned int number)
{
	struct port_way *way = &port->way[number];
	uint64_t wait;

	if (!bandwidth_limits(&way->bandwidth))
		return false;
	wait = bandwidth_wait(&way->bandwidth, clock_now_ns());
	if (wait && !way->waits) {
		way->waits = true;
		loop_arm(way->timer, wait);
		if (number == PORT_IN)
			apply_listen(port);
	}
	return wait != 0;
}

static void on_in_timer(void *arg)
{
	struct port *port = arg;

	port->way[PORT_IN].waits = false;
	apply_listen(port);
}

static void on_out_timer(void *arg)
{
	struct port *port = arg;

	port->way[PORT_OUT].waits = false;
	for (unsigned int i = 0; i < port->net->queues; i++) {
		if (!port->queue[i].told_wait)
			continue;
		port->queue[i].told_wait = false;
		on_writable(port, i);
	}
}

/* What waits for limits that are no more looks again. */
static void apply_bandwidth(struct port *port)
{
	const struct nic_bandwidth *limits[] = {&port->settings.inbound, &port->settings.outbound};

	for (unsigned int i = 0; i < PORT_WAYS; i++) {
		bandwidth_set(&port->way[i].bandwidth, limits[i], clock_now_ns());
		if (port->way[i].waits)
			loop_arm(port->way[i].timer, 0);
	}
}

size_t port_addresses(const struct port *port, struct port_address *ret, size_t max)
{
	size_t count = MIN(port->addresses.count, max);

	memcpy(ret, port->addresses.address, count * sizeof(*ret));
	return count;
}

int port_capture(struct port *port, int fd, const struct sock_filter *filter, size_t filter_len, uint32_t snap_len,
		 struct err *err)
{
	struct capture *capture = NULL;
	int r;

	if (fd >= 0) {
		r = capture_new(port->loop, &fd, port->settings.alias, filter, filter_len, snap_len, &capture, err);
		if (r < 0)
			return r;
	}
	capture_free(port->capture);
	port->capture = capture;
	return 0;
}

bool port_capturing(const struct port *port)
{
	return port->capture && !capture_over(port->capture);
}

/* ---- what is lost ---- */

uint64_t port_lost(const struct port *port)
{
	return port->lost;
}

void port_forget_lost(struct port *port)
{
	port->lost = 0;
	port_note(port);
}

/* ---- life ---- */

static void apply_all(struct port *port)
{
	filter_set(&port->filter, &port->guest, port->settings.mac, port->settings.may_change_mac,
		   port->settings.may_be_promiscuous);
	apply_filter(port);
	apply_mac(port);
	apply_offloads(port);
	apply_bandwidth(port);
	apply_listen(port);
}

/* What is left of a frame of the guest's. */
static void drop_left(struct port *port)
{
	if (port->left.len > 0)
		port->lost += net_give_up(port->net);
	port->left.len = 0;
}

/* What the guest has sent still goes, if there is room. */
static void drop_unsent(struct port *port)
{
	port_transmit_end(port);
	drop_left(port);
	if (port->net->ops->drop)
		port->net->ops->drop(port->net);
	port_carry_drop(port);
}

void port_connect(struct port *port, const struct port_client *client)
{
	port->known = true;
	port->connected = client;
	port->client = client ? *client : (struct port_client){0};
	port->told_link = port_link(port);
	if (client)
		drop_left(port);
	else
		drop_unsent(port);
	drop_cut(port);
	if (port->carry.len > 0)
		loop_arm(port->teller, 0);
	port_note(port);
	for (unsigned int i = 0; i < SETTINGS_QUEUES_MAX; i++)
		port->queue[i] = (struct port_queue){0};
	if (!client)
		port->guest = (struct oid_settings){0};
	apply_all(port);
	if (!client)
		drop_all(port);
}

void port_hold(struct port *port)
{
	port->known = port->connected = false;
	port->client = (struct port_client){0};
	apply_listen(port);
	port_transmit_end(port);
	port_carry_leave(port);
}

static int plug_in(struct port *port, const struct nic_settings *settings, int *fds, struct net **ret_net,
		   struct err *err)
{
	const struct net_host host = {&host_ops, port};

	if (settings->backend == NIC_TAP)
		return net_tap_open(port->loop, &host, fds, settings->queues, ret_net, err);
	return net_stream_open(port->loop, &host, fds, settings->fd_generation, settings->large_frames, port->memory,
			       ret_net, err);
}

static int add_timers(struct loop *loop, struct port *port)
{
	int r = loop_add_timer(loop, on_teller, port, &port->teller);

	if (r == 0)
		r = loop_add_timer(loop, on_more, port, &port->more);
	if (r == 0)
		r = loop_add_timer(loop, on_in_timer, port, &port->way[PORT_IN].timer);
	return r < 0 ? r : loop_add_timer(loop, on_out_timer, port, &port->way[PORT_OUT].timer);
}

int port_new(struct loop *loop, const struct nic_settings *settings, int *fds, size_t nfds, void *memory,
	     uint32_t process, struct port **ret_port, struct err *err)
{
	struct port *port = NULL;
	int r = -EINVAL;

	if (!range_fits(settings->fd_index, settings->queues, nfds))
		return err_set(err, -EINVAL, "%s: its descriptors are not there", settings->alias);
	fds += settings->fd_index;
	port = calloc(1, sizeof(*port));
	r = port ? add_timers(loop, port) : -ENOMEM;
	if (r < 0) {
		err_set(err, r, "%s: %s", settings->alias, err_name(r));
	} else {
		port->loop = loop;
		port->count = port->own_count;
		port->settings = *settings;
		port->memory = memory;
		port->process = process;
		port->kept = (struct port_kept *)((uint8_t *)memory + NET_STREAM_MEMORY_LEN);
		port->lost = atomic_load(&port->kept->in_hand);
		r = plug_in(port, settings, fds, &port->net, err);
	}
	if (r == 0 && !port->net->ops->offloads) {
		port->left.bytes = malloc(PORT_LEFT_MAX);
		if (!port->left.bytes)
			r = err_set(err, -ENOMEM, "%s: no memory for its frames", settings->alias);
	}
	for (unsigned int i = 0; i < settings->queues; i++)
		fd_close(&fds[i]);
	if (r < 0) {
		port_free(port);
		return r;
	}
	port_carry_take(port);
	/* What waits there may be for a guest that a predecessor has served: port_connect(). */
	*ret_port = port;
	return 0;
}

void port_free(struct port *port)
{
	if (!port)
		return;
	if (port->net)
		port->net->ops->close(port->net);
	capture_free(port->capture);
	free(port->left.bytes);
	loop_remove(&port->teller);
	loop_remove(&port->more);
	for (unsigned int i = 0; i < PORT_WAYS; i++)
		loop_remove(&port->way[i].timer);
	free(port);
}

static int change_descriptor(struct port *port, const struct nic_settings *settings, int *fd, struct err *err)
{
	struct net *net;
	int r;

	if (settings->queues != 1)
		return err_set(err, -EOPNOTSUPP, "%s: it has %u queues; detach it and attach it again", settings->alias,
			       settings->queues);
	r = plug_in(port, settings, fd, &net, err);
	if (r < 0)
		return r;
	port->lost += port->net->gathered + port->net->lost + port_left_frames(port);
	drop_cut(port);
	atomic_store(&port->kept->cut_next, 0);
	port_carry_drop(port);
	port->net->ops->close(port->net);
	port->net = net;
	port->left.len = 0;
	port_note(port);
	port->peer_gone = false;
	return 0;
}

int port_change(struct port *port, const struct nic_settings *settings, int *fd, struct err *err)
{
	int r = 0;

	if (settings->backend != port->settings.backend || settings->queues != port->settings.queues)
		r = err_set(err, -EOPNOTSUPP, "%s: what it is plugged into cannot become of another kind; detach it",
			    settings->alias);
	else if (*fd >= 0)
		r = change_descriptor(port, settings, fd, err);
	fd_close(fd);
	if (r < 0)
		return r;
	port->settings = *settings;
	/* else who connects does so: what waits for a guest that is handed over is not judged anew */
	if (port->known)
		apply_all(port);
	loop_arm(port->teller, 0);
	return 0;
}
