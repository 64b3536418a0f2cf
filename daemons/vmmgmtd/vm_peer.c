/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is behind a NIC that is a stream socket: passt, or whoever connects to a socket, or listens on one.
 *
 * Theory of operation: the worker keeps the socket's end for vsp-netd; so what is behind it goes on when this process
 * ends, and ends with the VM. vsp-netd tells when it has gone (peer_gone). Then another one is wanted: passt is started
 * again, the socket is connected again, or the next one is accepted; and handed over by a change, with another
 * generation. At a start passt must be there; of the others none need be: what they get first is a socket whose other
 * end is closed, and so the way to the first real one is that to any later one.
 *
 *	here --told that it has gone--> WANTED --passt, connect() or accept()--> (fd) --change--> here
 *	             after a pause, longer each time ^-------- refused, ended -------------+
 *
 * What vsp-netd tells comes late: that somebody has gone may be said of who was there before. So there is a pause after
 * one that was there only briefly, and who is told of meanwhile as there is not replaced. And somebody may come and go
 * between two tellings, of which neither speaks of him: so it is looked again a while after he was handed over.
 *
 * The generations that were given are in the runtime folder ("nics"), written at a start, before the worker is asked,
 * and after each change: a number may be left out, but none comes twice. Which one has got there, the worker tells who
 * comes later (vm_peers_are()): it is in vsp-netd's configuration, and the stream of another number begins anew. So is
 * what passt may be given, which depends on the host at its start (passt_room()).
 *
 * Limits: one at a time; who comes to a server meanwhile waits until the first one has gone.
 */
#include "vm_peer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "passt.h"
#include "vm_change.h"

#define PAUSE_FIRST_NS (100 * NS_PER_MS)
#define PAUSE_MAX_NS   (10 * NS_PER_SEC)
#define LIVED_NS       (30 * NS_PER_SEC) /* whoever was there so long has worked */
#define BRIEF_NS       (500 * NS_PER_MS) /* who was there so short may be there yet */
#define CHECK_NS       (1 * NS_PER_SEC)	 /* by then vsp-netd has told of who was handed over */
#define BUSY_NS	       (200 * NS_PER_MS) /* another change is under way */
#define CONNECT_NS     (1 * NS_PER_SEC)
#define SOCKETS	       "sockets"

static const struct syscall_rule rules[] = {
	{SYS_socket, 0, UINT32_MAX, AF_UNIX},
	{SYS_socketpair},
	{SYS_connect},
	{SYS_bind},
	{SYS_listen},
	{SYS_accept4},
	{SYS_mkdir},
	{SYS_unlink},
	{SYS_newfstatat},
	{-1},
};

const struct syscall_list vm_peer_calls = {.name = "streams of NICs", .rules = rules};

struct vm_peer {
	struct vm_peer *next;
	struct vm *vm;
	char alias[DOMAIN_ALIAS_MAX];
	enum domain_nic_type type;
	struct launched *passt; /* that this process has started, as long as it lives */
	int listen_fd, fd;	/* fd: a new one, to be handed over */
	uint32_t segment_max;	/* of who is behind fd */
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)]; /* of listen_fd */
	ino_t inode;						   /* of @path, as long as it is ours */
	struct loop_source *accepting, *timer;
	bool wanted, asked;	     /* asked: the worker is */
	uint64_t pause_ns, since_ns; /* since_ns: 0: nobody has been there yet */
};

/* ---- the NIC ---- */

static struct domain_nic *nic_of(const struct vm_peer *peer)
{
	for (size_t i = 0; i < peer->vm->domain.nic_count; i++) {
		if (!strcmp(peer->vm->domain.nics[i].alias, peer->alias))
			return &peer->vm->domain.nics[i];
	}
	return NULL;
}

static void carry(struct domain_nic *to, const struct domain_nic *from)
{
	to->generation = from->generation;
	to->given = from->given;
	to->unplugged = from->unplugged;
	to->untold = from->untold;
	to->tell_at_ns = from->tell_at_ns;
	to->tell_pause_ns = from->tell_pause_ns;
	to->tell_logged = from->tell_logged;
	to->segment_max = from->segment_max;
}

void vm_peers_save(struct vm *vm)
{
	char text[64 * DOMAIN_NICS_MAX] = "";
	size_t len = 0;
	int r;

	for (size_t i = 0; i < vm->domain.nic_count; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s %u %u\n", vm->domain.nics[i].alias,
					vm->domain.nics[i].given, (unsigned int)vm->domain.nics[i].unplugged);
	r = runtime_save_nics(vm->env->base, vm->domain.uuid, text);
	if (r < 0)
		log_error(vm->domain.name, "runtime folder: what is behind NICs cannot be written: %s", strerror(-r));
}

/* "GIVEN UNPLUGGED"; the second is missing from those before. Which number has got there the worker tells. */
static void load_one(struct domain_nic *nic, const char *text)
{
	char *end;

	nic->generation = nic->given = (unsigned int)strtoul(text, &end, 10);
	nic->unplugged = strtoul(end, NULL, 10) == 1;
}

static void load_generations(struct vm *vm)
{
	_cleanup_free_ char *text = NULL;
	char *at = NULL;

	if (runtime_load_nics(vm->env->base, vm->domain.uuid, &text) < 0)
		return;
	for (char *line = strtok_r(text, "\n", &at); line; line = strtok_r(NULL, "\n", &at)) {
		char *blank = strchr(line, ' ');

		for (size_t i = 0; blank && i < vm->domain.nic_count; i++)
			if (!strncmp(vm->domain.nics[i].alias, line, (size_t)(blank - line)) &&
			    !vm->domain.nics[i].alias[blank - line])
				load_one(&vm->domain.nics[i], blank + 1);
	}
}

/* ---- passt ---- */

static void want(struct vm_peer *peer, uint64_t pause_ns);

static void on_passt_ready(struct launched *process, void *arg)
{
}

static void on_passt_ended(struct launched *process, const char *why, void *arg)
{
	struct vm_peer *peer = arg;
	struct vm *vm = peer->vm;

	vm->env->launcher->ops->release(process);
	peer->passt = NULL;
	if (!vm->ending && !vm->destroyed && log_allowed(&vm->told, vm->domain.name))
		log_warn(vm->domain.name, "NIC %s: passt %s: see %s", peer->alias, why, vm->log_path);
}

static int start_passt(struct vm_peer *peer, const struct domain_nic *nic, struct err *err, int *ret_fd,
		       uint32_t *ret_segment_max)
{
	static const struct launch_events events = {on_passt_ready, on_passt_ended};
	struct vm *vm = peer->vm;
	_cleanup_close_ int ours = -1, its = -1;
	struct passt_arguments arguments;
	char path[PATH_MAX];
	int fds[2], r = passt_find(path, sizeof(path));
	uint32_t segment_max;

	if (r < 0)
		return err_set(
			err, r,
			"NIC %s: passt is not installed: install it (Debian's package passt), or use another type of "
			"interface",
			nic->alias);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return err_set(err, -errno, "NIC %s: %s", nic->alias, strerror(errno));
	ours = fds[0];
	its = fds[1];
	segment_max = passt_room(its);
	passt_arguments(nic, &arguments);
	if (peer->passt) /* nobody reads what it writes any more */
		vm->env->launcher->ops->release(take_ptr(peer->passt));
	r = vm->env->launcher->ops->start(vm->env->launcher,
					  &(struct launch_request){.program = "passt",
								   .path = path,
								   .args = arguments.list,
								   .uuid = vm->domain.uuid,
								   .vm = vm->domain.name,
								   .unit = nic->alias,
								   .log_fd = vm->log_fd,
								   .in_fd = its},
					  &events, peer, err, &peer->passt);
	if (r < 0)
		return r;
	*ret_fd = take_fd(&ours);
	*ret_segment_max = segment_max;
	return 0;
}

/* ---- sockets ---- */

static int socket_path(const struct vm_peer *peer, const struct domain_nic *nic, struct sockaddr_un *ret)
{
	int n;

	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (nic->source[0] == '/')
		n = snprintf(ret->sun_path, sizeof(ret->sun_path), "%s", nic->source);
	else
		n = snprintf(ret->sun_path, sizeof(ret->sun_path), "%s/" SOCKETS "/%s", peer->vm->env->base,
			     nic->source);
	return n < 0 || (size_t)n >= sizeof(ret->sun_path) ? -ENAMETOOLONG : 0;
}

static int try_connect(struct vm_peer *peer, const struct domain_nic *nic, int *ret_fd)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;
	int r = fd < 0 ? -errno : socket_path(peer, nic, &address);

	if (r == 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		r = -errno;
	if (r == 0)
		*ret_fd = take_fd(&fd);
	return r;
}

static void on_client(int fd, unsigned int events, void *arg);

/* Of the answers to who connects only two say that nobody listens; a server that is busy says -EAGAIN. */
static int take_path(struct vm_peer *peer, const struct domain_nic *nic, const char *path, struct err *err)
{
	struct stat st;
	int other, r = try_connect(peer, nic, &other);

	if (r == 0)
		close(other);
	if (r == 0 || r == -EAGAIN)
		return err_set(err, -EADDRINUSE, "NIC %s: socket %s has a server already: name another", nic->alias,
			       nic->source);
	if (r != -ECONNREFUSED && r != -ENOENT)
		return err_set(err, -EADDRINUSE, "NIC %s: socket %s cannot be taken: %s: name another", nic->alias,
			       nic->source, strerror(-r));
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, -EADDRINUSE, "NIC %s: %s is there, and no socket: name another", nic->alias,
			       nic->source);
	return unlink(path) < 0 ? -errno : 0; /* of one that has ended */
}

static int start_listen(struct vm_peer *peer, const struct domain_nic *nic, struct err *err)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char folder[PATH_MAX];
	struct sockaddr_un address;
	struct stat st;
	int r = fd < 0 ? -errno : socket_path(peer, nic, &address);

	snprintf(folder, sizeof(folder), "%s/" SOCKETS, peer->vm->env->base);
	if (r == 0 && mkdir(folder, 0700) < 0 && errno != EEXIST)
		r = -errno;
	if (r == 0)
		r = take_path(peer, nic, address.sun_path, err);
	if (r == -EADDRINUSE)
		return r;
	if (r == 0 && (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0))
		r = -errno;
	if (r < 0)
		return err_set(err, r, "NIC %s: socket %s: %s", nic->alias, nic->source, strerror(-r));
	peer->listen_fd = take_fd(&fd);
	strcpy(peer->path, address.sun_path);
	peer->inode = lstat(peer->path, &st) < 0 ? 0 : st.st_ino;
	return 0;
}

/* A path that somebody else has taken meanwhile stays. */
static void stop_listen(struct vm_peer *peer)
{
	struct stat st;

	if (peer->listen_fd >= 0 && lstat(peer->path, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_ino == peer->inode)
		unlink(peer->path);
	fd_close(&peer->listen_fd);
}

/* One whose other end is closed. */
static int open_nobody(struct vm_peer *peer, const struct domain_nic *nic, struct err *err, int *ret_fd)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return err_set(err, -errno, "NIC %s: %s", nic->alias, strerror(errno));
	close(fds[1]);
	peer->since_ns = 0;
	*ret_fd = fds[0];
	return 0;
}

/* ---- another one ---- */

/* As vsp-netd has told last. */
static bool is_gone(const struct vm_peer *peer)
{
	const struct worker_service *service = vm_service_find(peer->vm, VM_SERVICE_NETWORK);

	for (size_t i = 0; service && i < service->nic_count; i++)
		if (!strcmp(service->nics[i].alias, peer->alias))
			return service->nics[i].peer_gone;
	return false;
}

static void want_another(struct vm_peer *peer);

/* The worker has what was handed over. */
static void set_behind(const struct vm_peer *peer)
{
	struct domain_nic *nic = nic_of(peer);

	if (!nic)
		return;
	nic->generation = nic->given;
	nic->segment_max = peer->segment_max;
}

static void on_handed(int error, const char *text, const char *name, void *arg)
{
	struct vm_peer *peer = arg;
	struct vm *vm = peer->vm;

	(void)name;
	peer->asked = false;
	fd_close(&peer->fd);
	if (!error) {
		set_behind(peer);
		peer->wanted = false;
		peer->since_ns = clock_now_ns();
		loop_arm(peer->timer, CHECK_NS);
		log_info(vm->domain.name, "NIC %s: there is somebody behind it again", peer->alias);
		return;
	}
	if (error == -ECANCELED || error == -ECONNRESET) {
		peer->wanted = false; /* whoever connects again is told what has gone */
		return;
	}
	if (log_allowed(&vm->told, vm->domain.name))
		log_error(vm->domain.name, "NIC %s: what is to be behind it is refused: %s", peer->alias, text);
	want(peer, PAUSE_MAX_NS);
}

static int send_peer(struct worker *worker, const void *what, worker_done_fn done, void *arg)
{
	return worker_change_nic(worker, what, done, arg);
}

static int hand_over(struct vm_peer *peer, struct domain_nic *nic, struct err *err)
{
	struct vm *vm = peer->vm;
	_cleanup_(vm_change_cleanup) struct vm_change *change = vm_change_new(vm, &vm_change_nics, on_handed, peer);
	const struct worker_nic_change what = {
		.kind = WORKER_NIC_PEER,
		.domain = &vm->domain,
		.then = &vm->domain,
		.index = (size_t)(nic - vm->domain.nics),
		.fds = &peer->fd,
		.nfds = 1,
	};
	const struct domain_nic before = *nic;
	int r = change ? vm_change_check(vm, &vm_change_nics, err) : err_set(err, -ENOMEM, "no memory");

	if (r < 0)
		return r;
	change->own = true;
	strcpy(change->name, peer->alias);
	nic->given++;
	vm_peers_save(vm);
	set_behind(peer);
	r = vm_change_ask(change, send_peer, &what, err);
	/* Until it is answered: if it is refused, or nobody hears of it, the old one has its number. */
	nic->generation = before.generation;
	nic->segment_max = before.segment_max;
	if (r < 0)
		return r;
	(void)take_ptr(change);
	peer->asked = true;
	return 0;
}

/* Return: 0 with peer->fd; -EAGAIN: nobody is there now. */
static int find_another(struct vm_peer *peer, const struct domain_nic *nic, struct err *err)
{
	int r;

	if (peer->type == DOMAIN_NIC_USER)
		return start_passt(peer, nic, err, &peer->fd, &peer->segment_max);
	if (peer->type == DOMAIN_NIC_CLIENT) {
		r = try_connect(peer, nic, &peer->fd);
		return r < 0 ? err_set(err, -EAGAIN, "socket %s: %s", nic->source, strerror(-r)) : 0;
	}
	r = peer->listen_fd < 0 ? start_listen(peer, nic, err) : 0;
	if (r == 0 && !peer->accepting)
		r = loop_add_fd(peer->vm->env->loop, peer->listen_fd, LOOP_READ, on_client, peer, &peer->accepting);
	return r < 0 ? r : -EAGAIN;
}

static void on_timer(void *arg)
{
	struct vm_peer *peer = arg;
	struct domain_nic *nic = nic_of(peer);
	struct vm *vm = peer->vm;
	struct err err = {0};
	int r;

	if (peer->asked || vm->ending || vm->destroyed)
		return;
	if (!peer->wanted) {
		/* Who went at once was never told of as there, so nothing has changed, and nothing is told. */
		if (is_gone(peer))
			want_another(peer);
		return;
	}
	/* Without a NIC: it is being attached. */
	if (!nic || vm->change || !vm->conn || vm_change_check(vm, &vm_change_nics, &err) < 0) {
		loop_arm(peer->timer, BUSY_NS);
		return;
	}
	r = peer->fd >= 0 ? 0 : find_another(peer, nic, &err);
	if (r == 0)
		r = hand_over(peer, nic, &err);
	if (r == -EAGAIN) {
		if (peer->type == DOMAIN_NIC_CLIENT)
			loop_arm(peer->timer, CONNECT_NS);
	} else if (r < 0) {
		if (log_allowed(&vm->told, vm->domain.name))
			log_error(vm->domain.name, "NIC %s: %s", peer->alias, err.text);
		want(peer, PAUSE_MAX_NS);
	}
}

static void on_client(int fd, unsigned int events, void *arg)
{
	struct vm_peer *peer = arg;

	// cppcheck-suppress nullPointer ; accept4() takes NULL
	peer->fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (peer->fd < 0)
		return;
	loop_remove(&peer->accepting);
	on_timer(peer);
}

static void want(struct vm_peer *peer, uint64_t pause_ns)
{
	peer->wanted = true;
	loop_arm(peer->timer, pause_ns);
}

/* After one that was there: the shorter, the longer the pause. */
static uint64_t pause_after(const struct vm_peer *peer)
{
	uint64_t lived = clock_now_ns() - peer->since_ns, pause_ns;

	if (!peer->since_ns || lived >= LIVED_NS)
		return PAUSE_FIRST_NS;
	pause_ns = MAX(2 * peer->pause_ns, PAUSE_FIRST_NS);
	return MIN(lived < BRIEF_NS ? MAX(pause_ns, BRIEF_NS) : pause_ns, PAUSE_MAX_NS);
}

static void want_another(struct vm_peer *peer)
{
	peer->pause_ns = pause_after(peer);
	if (log_allowed(&peer->vm->told, peer->vm->domain.name))
		log_info(peer->vm->domain.name, "NIC %s: nobody is behind it any more", peer->alias);
	want(peer, peer->pause_ns);
}

/* There is somebody: that he had gone was said of who was there before. */
static void want_nobody(struct vm_peer *peer)
{
	peer->wanted = false;
	loop_remove(&peer->accepting);
	loop_disarm(peer->timer);
}

/* ---- the set ---- */

static struct vm_peer *find(const struct vm *vm, const char *alias)
{
	struct vm_peer *peer = vm->peers;

	while (peer && strcmp(peer->alias, alias) != 0)
		peer = peer->next;
	return peer;
}

static void peer_free(struct vm_peer *peer)
{
	loop_remove(&peer->accepting);
	loop_remove(&peer->timer);
	fd_close(&peer->fd);
	stop_listen(peer);
	if (peer->passt)
		peer->vm->env->launcher->ops->release(peer->passt);
	free(peer);
}

static struct vm_peer *peer_new(struct vm *vm, const struct domain_nic *nic)
{
	struct vm_peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return NULL;
	*peer = (struct vm_peer){.vm = vm, .type = nic->type, .listen_fd = -1, .fd = -1, .since_ns = clock_now_ns()};
	strcpy(peer->alias, nic->alias);
	if (loop_add_timer(vm->env->loop, on_timer, peer, &peer->timer) < 0) {
		free(peer);
		return NULL;
	}
	peer->next = vm->peers;
	vm->peers = peer;
	return peer;
}

int vm_peer_open(struct vm *vm, struct domain_nic *nic, struct err *err, int *ret_fd)
{
	struct vm_peer *peer = peer_new(vm, nic);
	int r = peer ? 0 : err_set(err, -ENOMEM, "no memory");

	if (r == 0 && peer->type == DOMAIN_NIC_SERVER)
		r = start_listen(peer, nic, err);
	if (r == 0 && peer->type == DOMAIN_NIC_USER)
		r = start_passt(peer, nic, err, ret_fd, &nic->segment_max);
	else if (r == 0 && (peer->type == DOMAIN_NIC_SERVER || try_connect(peer, nic, ret_fd) < 0))
		r = open_nobody(peer, nic, err, ret_fd);
	if (r < 0 && peer)
		vm_peer_close(vm, nic->alias);
	return r;
}

void vm_peer_close(struct vm *vm, const char *alias)
{
	struct vm_peer **at = &vm->peers, *peer;

	while (*at && strcmp((*at)->alias, alias) != 0)
		at = &(*at)->next;
	peer = *at;
	if (!peer)
		return;
	*at = peer->next;
	peer_free(peer);
}

void vm_peers_close(struct vm *vm)
{
	while (vm->peers)
		vm_peer_close(vm, vm->peers->alias);
}

void vm_peers_adopt(struct vm *vm)
{
	load_generations(vm);
	vm_peers_look_after(vm);
}

void vm_peers_look_after(struct vm *vm)
{
	for (size_t i = 0; i < vm->domain.nic_count; i++) {
		const struct domain_nic *nic = &vm->domain.nics[i];
		struct vm_peer *peer = domain_nic_streams(nic) && !find(vm, nic->alias) ? peer_new(vm, nic) : NULL;
		struct err err = {0};

		if (peer && peer->type == DOMAIN_NIC_SERVER && start_listen(peer, nic, &err) < 0)
			log_error(vm->domain.name, "%s", err.text);
	}
}

void vm_peers_begin(struct vm *vm)
{
	for (size_t i = 0; i < vm->domain.nic_count; i++) {
		struct domain_nic *nic = &vm->domain.nics[i];

		nic->generation = nic->given = 0;
		nic->unplugged = nic->untold = nic->tell_logged = false;
		nic->tell_at_ns = nic->tell_pause_ns = 0;
	}
	vm_peers_save(vm);
}

void vm_peers_are(struct domain *domain, const struct worker_nic_peer *peers, size_t count)
{
	size_t index;

	for (size_t i = 0; i < count; i++) {
		struct domain_nic *nic;

		if (domain_find_nic(domain, peers[i].alias, &index, NULL) < 0)
			continue;
		nic = &domain->nics[index];
		nic->generation = peers[i].generation;
		nic->given = MAX(nic->given, nic->generation);
		nic->segment_max = peers[i].segment_max;
	}
}

void vm_peers_told(struct vm *vm)
{
	const struct worker_service *service = vm_service_find(vm, VM_SERVICE_NETWORK);

	for (size_t i = 0; service && i < service->nic_count; i++) {
		struct vm_peer *peer = find(vm, service->nics[i].alias);

		if (!peer || peer->asked)
			continue;
		if (service->nics[i].peer_gone && !peer->wanted)
			want_another(peer);
		else if (!service->nics[i].peer_gone && peer->wanted && peer->fd < 0)
			want_nobody(peer);
	}
}

void vm_nics_carry(struct domain *to, const struct domain *from)
{
	for (size_t i = 0; i < to->nic_count; i++)
		for (size_t k = 0; k < from->nic_count; k++)
			if (!strcmp(to->nics[i].alias, from->nics[k].alias))
				carry(&to->nics[i], &from->nics[k]);
}
