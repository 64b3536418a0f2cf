/* SPDX-License-Identifier: Apache-2.0 */
#include "netvsp_host.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "abi/nvsp.h"
#include "base/bytes.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemons/vsp-netd/port_int.h"

#define RAM_LEN	     (2u << 20)
#define RING_PAGES   5u
#define MAPPINGS_MAX 16u

struct host host;

static int block_fd[HOST_CHANNELS], lent_fd[HOST_LENDS];
static uint32_t lent_ranges[HOST_LENDS];
static void *port_memory;
static struct {
	struct vsp_mapping *mapping;
	uint32_t gpadl;
} wanted[MAPPINGS_MAX];
static size_t wanted_count;

/* ---- what is of no use here ---- */

void log_at(enum log_level level, const char *object, const char *fmt, ...)
{
	(void)level;
	(void)object;
	(void)fmt;
}

bool log_allowed(struct log_limit *limit, const char *object)
{
	(void)limit;
	(void)object;
	return false;
}

/* ---- the worker ---- */

int vsp_rpc_attach(struct vsp *vsp, struct err *err)
{
	const struct guest_mem_region region = {.len = RAM_LEN, .fd = host.guest.mem_fd};
	struct vsp_attachment attachment = {
		.regions = &region,
		.region_count = 1,
		.cells_fd = host.guest.cells_fd,
		.cpus = host.guest.cpus,
		.vm_name = "fuzz",
	};

	return vsp_attached(vsp, &attachment, err);
}

int vsp_rpc_offer(struct vsp_channel *channel, const struct vsp_offer_desc *desc, size_t block_bytes, struct err *err)
{
	(void)err;
	channel->offer_id = desc->subchannel_index;
	if (block_fd[channel->offer_id] == 0)
		block_fd[channel->offer_id] = fd_memfd("block", block_bytes);
	assert(block_fd[channel->offer_id] > 0);
	return 0;
}

int vsp_rpc_offer_begin(struct vsp_channel *channel, const struct vsp_offer_desc *desc, size_t block_bytes,
			void (*done)(void *arg, const struct err *err), void *arg)
{
	(void)channel;
	(void)desc;
	(void)block_bytes;
	(void)done;
	(void)arg;
	return -ENOTCONN;
}

int vsp_rpc_withdraw(struct vsp *vsp, uint32_t offer_id)
{
	(void)vsp;
	host.open[offer_id] = false;
	return 0;
}

int vsp_rpc_subchannels(struct vsp *vsp, uint32_t offer_id, uint32_t count)
{
	(void)vsp;
	assert(offer_id == 0 && count <= HOST_SUBS);
	return 0;
}

int vsp_rpc_ready(struct vsp *vsp, struct err *err)
{
	(void)vsp;
	(void)err;
	return 0;
}

int vsp_rpc_keep(struct vsp *vsp, const char *key, int fd, const void *data, size_t len, struct err *err)
{
	(void)vsp;
	(void)key;
	(void)fd;
	(void)data;
	(void)len;
	(void)err;
	return -ENOTCONN;
}

int vsp_tell(struct vsp *vsp, const void *bytes, size_t len)
{
	(void)vsp;
	(void)bytes;
	(void)len;
	return 0;
}

void vsp_changed(struct vsp_change *change, const struct err *err)
{
	(void)change;
	(void)err;
}

int vsp_rpc_lend(struct vsp *vsp, uint32_t offer_id, uint32_t gpadl, struct vsp_mapping *mapping)
{
	(void)vsp;
	(void)offer_id;
	assert(wanted_count < MAPPINGS_MAX);
	wanted[wanted_count].mapping = mapping;
	wanted[wanted_count++].gpadl = gpadl;
	return 0;
}

static void answer_lends(bool ending)
{
	while (wanted_count > 0) {
		uint32_t lend = wanted[--wanted_count].gpadl - HOST_GPADL(0);
		bool there = !ending && lend < HOST_LENDS && !host.gone[lend];

		vsp_buffer_lent(wanted[wanted_count].mapping, there ? 0 : -ENOENT, there ? lent_fd[lend] : -1,
				there ? lent_ranges[lend] : 0);
	}
}

static void make_lend(unsigned int lend, const struct guest_range *ranges, size_t count)
{
	lent_fd[lend] = fd_memfd("lent", GUEST_PAGE_SIZE);
	lent_ranges[lend] = (uint32_t)count;
	assert(lent_fd[lend] >= 0 &&
	       pwrite(lent_fd[lend], ranges, count * sizeof(*ranges), 0) == (ssize_t)(count * sizeof(*ranges)));
}

/* ---- the back end ---- */

static int back_send(struct net *net, unsigned int queue, struct net_outgoing *frame)
{
	static uint8_t out[80000];
	size_t len = 0;

	assert(queue < net->queues && frame->pieces >= 2 && frame->pieces <= NET_PIECES_MAX);
	if (host.full)
		return -EAGAIN;
	for (unsigned int i = 1; i < frame->pieces; i++) {
		assert(range_fits(len, frame->piece[i].iov_len, sizeof(out)));
		memcpy(out + len, frame->piece[i].iov_base, frame->piece[i].iov_len);
		len += frame->piece[i].iov_len;
	}
	assert(len == frame->len && len <= net->ops->send_max);
	host.sent++;
	return 0;
}

static int back_receive(struct net *net, unsigned int queue, struct net_incoming *ret)
{
	static uint8_t in[sizeof(host.in)];
	size_t first = MIN(host.in_len, (size_t)1000);

	assert(queue < net->queues);
	if (host.in_count == 0)
		return -EAGAIN;
	host.in_count--;
	memcpy(in, host.in, host.in_len);
	*ret = (struct net_incoming){.hdr = net->ops->offloads ? host.in_hdr : (struct virtio_net_hdr){0},
				     .piece = {{in, first}, {in + first, host.in_len - first}},
				     .pieces = host.in_len > first ? 2 : 1,
				     .len = host.in_len};
	return 1;
}

static int back_receive_into(struct net *net, unsigned int queue, struct virtio_net_hdr *ret_hdr, void *head,
			     size_t head_len, const struct iovec *iov, unsigned int iovs, size_t *ret_len)
{
	size_t at = MIN(head_len, host.in_len);

	assert(queue < net->queues);
	if (host.in_count == 0)
		return -EAGAIN;
	host.in_count--;
	*ret_hdr = host.in_hdr;
	memcpy(head, host.in, at);
	for (unsigned int i = 0; i < iovs && at < host.in_len; i++) {
		size_t step = MIN(iov[i].iov_len, host.in_len - at);

		memcpy(iov[i].iov_base, host.in + at, step);
		at += step;
	}
	*ret_len = host.in_len;
	return 1;
}

static void back_listen(struct net *net, unsigned int queue, bool listen)
{
	(void)listen;
	assert(queue < net->queues);
}

static int back_set_offloads(struct net *net, unsigned int offloads)
{
	(void)net;
	(void)offloads;
	return 0;
}

static int back_set_filter(struct net *net, const struct sock_fprog *filter)
{
	(void)net;
	assert(filter->len > 0);
	return 0;
}

static void back_close(struct net *net)
{
	free(net);
}

static const struct net_ops stream_ops = {
	.name = "stream",
	.send_max = 65535 + 18,
	.send = back_send,
	.receive = back_receive,
	.listen = back_listen,
	.close = back_close,
};

static const struct net_ops tap_ops = {
	.name = "tap",
	.offloads = true,
	.send_max = 65535 + 18,
	.send = back_send,
	.receive = back_receive,
	.receive_into = back_receive_into,
	.listen = back_listen,
	.set_offloads = back_set_offloads,
	.set_filter = back_set_filter,
	.close = back_close,
};

static int back_open(const struct net_ops *ops, const struct net_host *client, unsigned int queues,
		     struct net **ret_net)
{
	struct net *net = calloc(1, sizeof(*net));

	assert(net);
	*net = (struct net){ops, *client, queues};
	*ret_net = net;
	return 0;
}

int net_tap_open(struct loop *loop, const struct net_host *client, int *fds, unsigned int queues, struct net **ret_net,
		 struct err *err)
{
	(void)loop;
	(void)fds;
	(void)err;
	return back_open(&tap_ops, client, queues, ret_net);
}

int net_stream_open(struct loop *loop, const struct net_host *client, int *fd, unsigned int generation,
		    bool large_frames, void *memory, struct net **ret_net, struct err *err)
{
	(void)loop;
	(void)fd;
	(void)generation;
	(void)large_frames;
	(void)memory;
	(void)err;
	return back_open(&stream_ops, client, 1, ret_net);
}

static struct net *back(void)
{
	return host.port->net;
}

void host_readable(unsigned int queue)
{
	back()->host.ops->readable(back()->host.arg, queue % back()->queues);
}

void host_writable(void)
{
	host.full = false;
	for (unsigned int i = 0; i < back()->queues; i++)
		back()->host.ops->writable(back()->host.arg, i);
}

void host_set(const struct nic_settings *settings)
{
	struct err err = {0};

	if (port_change(host.port, settings, &(int){-1}, &err) < 0)
		abort();
	host.settings = *settings;
	netvsp_set(&host.netvsp, settings);
}

/* ---- life ---- */

static void start(void)
{
	static const struct vsp_config config = {.name = "network", .worker_path = ""};
	struct vsp_offer_desc offer = {.interface_guid = NVSP_NIC_INTERFACE_GUID, .instance_guid = {{2}}};
	static const char *const names[HOST_CHANNELS] = {"net0", "net0.1", "net0.2"};
	int fds[SETTINGS_QUEUES_MAX];
	struct err err = {0};

	memset(fds, 0xff, sizeof(fds));
	memset(&host.netvsp, 0, sizeof(host.netvsp));
	if (vsp_attach(host.loop, &config, &host.vsp, &err) < 0 ||
	    port_new(host.loop, &host.settings, fds, host.settings.queues, port_memory, 0, &host.port, &err) < 0)
		abort();
	netvsp_init(&host.netvsp, host.vsp, host.port, &host.settings, HOST_SUBS);
	for (uint16_t i = 0; i < HOST_CHANNELS; i++) {
		offer.subchannel_index = i;
		offer.name = names[i];
		if (vsp_offer(host.vsp, &offer, i ? &netvsp_sub_ops : &netvsp_ops, &host.netvsp, &err) < 0)
			abort();
	}
}

static void stop(void)
{
	host.vsp->ending = true;
	answer_lends(true);
	netvsp_done(&host.netvsp);
	vsp_free(host.vsp);
	port_free(host.port);
}

/* Pages in no order, so that what is to be one run is not. */
static void lend_send_buffer(void)
{
	struct guest_range range[HOST_SEND_PAGES];

	for (size_t i = 0; i < HOST_SEND_PAGES; i++)
		range[i] = (struct guest_range){host.send_gpa + (HOST_SEND_PAGES - 1 - i) * GUEST_PAGE_SIZE,
						GUEST_PAGE_SIZE};
	make_lend(HOST_LEND_SEND, range, HOST_SEND_PAGES);
}

static void set_up(void)
{
	struct guest_range range;

	if (loop_new(&host.loop) < 0)
		abort();
	fake_guest_init(&host.guest, RAM_LEN, 2);
	for (uint32_t i = 0; i < HOST_CHANNELS; i++)
		fake_channel_init(&host.channel[i], &host.guest, 9 + i, i & 1, RING_PAGES);
	host.other_gpa[0] = fake_guest_alloc(&host.guest, 1);
	host.receive_gpa = fake_guest_alloc(&host.guest, HOST_RECEIVE_PAGES);
	host.other_gpa[1] = fake_guest_alloc(&host.guest, 1);
	host.send_gpa = fake_guest_alloc(&host.guest, HOST_SEND_PAGES);
	host.data_gpa = fake_guest_alloc(&host.guest, HOST_DATA_PAGES);
	host.control_gpa = fake_guest_alloc(&host.guest, HOST_CONTROL_PAGES);
	range = (struct guest_range){host.receive_gpa, HOST_RECEIVE_PAGES * (uint64_t)GUEST_PAGE_SIZE};
	make_lend(HOST_LEND_RECEIVE, &range, 1);
	lend_send_buffer();
	range = (struct guest_range){host.send_gpa, GUEST_PAGE_SIZE};
	make_lend(HOST_LEND_SMALL, &range, 1);
	range = (struct guest_range){RAM_LEN - GUEST_PAGE_SIZE, 2 * GUEST_PAGE_SIZE};
	make_lend(HOST_LEND_WILD, &range, 1);
	port_memory = calloc(1, PORT_MEMORY_LEN);
	assert(port_memory);
}

void host_begin(const struct nic_settings *settings)
{
	if (!host.loop)
		set_up();
	host.settings = *settings;
	memset(host.open, 0, sizeof(host.open));
	memset(host.gone, 0, sizeof(host.gone));
	host.hold = host.full = host.failed_open = false;
	host.in_count = 0;
	start();
}

void host_end(void)
{
	stop();
}

void host_run(void)
{
	for (int i = 0; i < 4; i++) {
		loop_run_once(host.loop, false);
		if (!host.hold)
			answer_lends(false);
	}
}

/* ---- channels ---- */

struct vsp_channel *host_channel(size_t index)
{
	return host.open[index] ? vsp_find(host.vsp, (uint32_t)index) : NULL;
}

/* Return: 0 or why not. */
static int open_channel(size_t index, bool recover)
{
	struct fake_channel *peer = &host.channel[index];
	const struct guest_range ring = {peer->ring_gpa, 2 * (uint64_t)RING_PAGES * GUEST_PAGE_SIZE};
	struct vsp_channel *channel = vsp_find(host.vsp, (uint32_t)index);
	struct vsp_open open = {
		.block_fd = block_fd[index], .recover = recover, .was_open = recover, .gather = recover};
	struct vsp_recovered recovered;
	int r;

	if (!channel)
		return -ENOENT;
	open.params = (struct channel_params){
		.ring = &ring,
		.ring_ranges = 1,
		.downstream_page = RING_PAGES,
		.relid = peer->relid,
		.target_vp = peer->target_vp,
		.kick_fd = dup(peer->kick_fd),
		.irq_fd = dup(peer->irq_fd),
	};
	r = vsp_channel_open(channel, &open, &recovered);
	if (r < 0) {
		close(open.params.kick_fd);
		close(open.params.irq_fd);
	}
	host.open[index] = r == 0;
	return r;
}

void host_open(size_t index)
{
	uint64_t count;

	fake_channel_reset(&host.channel[index]);
	(void)!read(host.channel[index].kick_fd, &count, sizeof(count));
	if (open_channel(index, false) < 0)
		abort();
	host_run();
}

static void on_closed(void *arg)
{
	*(bool *)arg = true;
}

bool host_close(size_t index)
{
	struct vsp_channel *channel = host_channel(index);
	bool closed = false;

	if (!channel)
		return false;
	if (vsp_channel_close(channel, (struct vsp_done){on_closed, &closed}) < 0)
		abort();
	answer_lends(false);
	host_run();
	assert(closed); /* nothing that waits for the guest, or the back end, keeps it open */
	host.open[index] = false;
	return true;
}

static void spoil_block(size_t index, void (*spoil)(uint8_t *block, size_t len))
{
	off_t len = lseek(block_fd[index], 0, SEEK_END);
	uint8_t *block = mmap(NULL, (size_t)len, PROT_READ | PROT_WRITE, MAP_SHARED, block_fd[index], 0);

	assert(block != MAP_FAILED);
	spoil(block, (size_t)len);
	munmap(block, (size_t)len);
}

void host_kill(void (*spoil)(uint8_t *block, size_t len))
{
	stop();
	for (size_t i = 0; spoil && i < HOST_CHANNELS; i++)
		if (host.open[i])
			spoil_block(i, spoil);
	start();
	for (size_t i = 0; i < HOST_CHANNELS; i++)
		if (host.open[i] && open_channel(i, true) < 0)
			host.failed_open = true;
	vsp_gathered(host.vsp);
	host_run();
}

void host_revoke(unsigned int lend)
{
	bool done = false;

	host.gone[lend] = true;
	if (!host_channel(0))
		return;
	if (vsp_buffer_revoke(host_channel(0), HOST_GPADL(lend), (struct vsp_done){on_closed, &done}) < 0)
		abort();
	assert(done); /* all I/O is over when a function of the port returns */
}
