/* SPDX-License-Identifier: Apache-2.0 */
/* What is behind NICs that are sockets: whose a socket's path is. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "domain_with.h"
#include "runtime.h"
#include "scratch.h"
#include "vm_peer.h"

#define NIC(type, name, alias)                                                                                         \
	"<interface type='internal'><source name='" type ":" name "'/><alias name='" alias "'/></interface>"

static struct launched {
	int unused;
} process;

static void on_changed(struct vm *vm, void *arg)
{
}

static const struct launcher_ops ops; /* nothing is started */
static const struct vm_events events = {.changed = on_changed, .ended = on_changed};

static struct {
	char base[64], path[96];
	struct loop *loop;
	struct launcher launcher;
	struct vm_env env;
	struct vm *vm;
} fx;

static void setup(void)
{
	struct domain domain;
	struct err err = {0};

	scratch_new(fx.base, sizeof(fx.base));
	snprintf(fx.path, sizeof(fx.path), "%s/sockets/cable", fx.base);
	cr_assert_eq(loop_new(&fx.loop), 0);
	fx.launcher = (struct launcher){.ops = &ops, .loop = fx.loop};
	fx.env = (struct vm_env){
		.loop = fx.loop, .launcher = &fx.launcher, .base = fx.base, .logs = fx.base, .events = &events};
	domain_with(NIC("server", "cable", "net0") NIC("client", "cable", "net1"), &domain);
	cr_assert_eq(runtime_make(fx.base, UUID, domain.xml, false, &err), 0, "%s", err.text);
	fx.vm = vm_new(&fx.env, &domain, true);
	cr_assert(fx.vm);
	fx.vm->has_folder = true;
	fx.vm->worker = &process;
	fx.vm->state = VM_RUNNING;
	fx.vm->phase = WORKER_PHASE_RUNNING;
}

static void teardown(void)
{
	fx.vm->worker = NULL;
	vm_free(fx.vm);
	loop_free(fx.loop);
	scratch_remove(fx.base);
}

TestSuite(vm_peer, .init = setup, .fini = teardown, .timeout = 30);

/* ---- the path ---- */

static int open_server(struct err *err)
{
	int fd, r = vm_peer_open(fx.vm, &fx.vm->domain.nics[0], err, &fd);

	if (r == 0)
		close(fd);
	return r;
}

static int try_connect(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	cr_assert_geq(fd, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", fx.path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -errno;
}

static int listen_on_it(int type)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	char folder[80];

	snprintf(folder, sizeof(folder), "%s/sockets", fx.base);
	cr_assert(mkdir(folder, 0700) == 0 || errno == EEXIST);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", fx.path);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0, "%s", strerror(errno));
	if (type == SOCK_STREAM)
		cr_assert_eq(listen(fd, 0), 0);
	return fd;
}

static ino_t inode(void)
{
	struct stat st;

	return lstat(fx.path, &st) < 0 ? 0 : st.st_ino;
}

Test(vm_peer, a_server_that_is_there_stays)
{
	int clients[16], server = listen_on_it(SOCK_STREAM), count = 0, fd;
	struct err err = {0};
	ino_t before = inode();

	cr_assert_eq(open_server(&err), -EADDRINUSE);
	cr_assert(strstr(err.text, "socket cable has a server already"), "%s", err.text);
	while (count < 16 && (fd = try_connect()) >= 0)
		clients[count++] = fd;
	cr_assert(count < 16 && fd == -EAGAIN, "nobody accepts: %d", fd);
	cr_assert_eq(open_server(&err), -EADDRINUSE);
	cr_assert(strstr(err.text, "socket cable has a server already"), "%s", err.text);
	cr_assert_eq(inode(), before);
	while (count)
		close(clients[--count]);
	close(server);
	cr_assert_eq(open_server(&err), 0, "of one that has ended: %s", err.text);
	fd = try_connect();
	cr_assert_geq(fd, 0);
	close(fd);
}

Test(vm_peer, what_is_no_server_of_this_kind_stays)
{
	int fd = listen_on_it(SOCK_DGRAM);
	struct err err = {0};
	ino_t before = inode();

	cr_assert_eq(open_server(&err), -EADDRINUSE);
	cr_assert(strstr(err.text, "cable cannot be taken"), "%s", err.text);
	cr_assert_eq(inode(), before);
	close(fd);
	unlink(fx.path);
	fd = open(fx.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	close(fd);
	before = inode();
	cr_assert_eq(open_server(&err), -EADDRINUSE);
	cr_assert(strstr(err.text, "no socket"), "%s", err.text);
	cr_assert_eq(inode(), before);
}

/* ---- generations ---- */

Test(vm_peer, generations_are_those_of_this_run)
{
	struct domain *domain = &fx.vm->domain;

	domain->nics[0].given = 7;
	domain->nics[1].given = 3;
	vm_peers_save(fx.vm);
	domain->nics[0].given = domain->nics[1].given = 0;
	vm_peers_adopt(fx.vm);
	cr_assert(domain->nics[0].generation == 7 && domain->nics[1].generation == 3);
	vm_peers_begin(fx.vm);
	cr_assert(domain->nics[0].generation == 0 && domain->nics[1].generation == 0);
	vm_peers_close(fx.vm);
	vm_peers_adopt(fx.vm);
	cr_assert(domain->nics[0].generation == 0 && domain->nics[1].generation == 0);
}

Test(vm_peer, adopted_once)
{
	struct domain *domain = &fx.vm->domain;
	struct vm_peer *first;
	ino_t before;

	vm_peers_adopt(fx.vm);
	first = fx.vm->peers;
	before = inode();
	cr_assert(first && before);
	domain->nics[0].generation = 5;
	vm_peers_look_after(fx.vm);
	cr_assert_eq(fx.vm->peers, first);
	cr_assert_eq(inode(), before, "it listens where it did");
	cr_assert_eq(domain->nics[0].generation, 5);
	vm_peer_close(fx.vm, "net1");
	vm_peers_look_after(fx.vm);
	cr_assert_neq(fx.vm->peers, NULL);
	vm_peer_close(fx.vm, "net0");
	cr_assert(fx.vm->peers, "the one that came later is looked after");
}

/* ---- who goes, and comes ---- */

static void on_status(const struct worker_status *status, void *arg)
{
}

static void on_lost(int error, const char *why, void *arg)
{
}

/* A worker that never answers. Return: its socket. */
static int connect_worker(void)
{
	static const struct worker_events worker_events = {on_status, on_lost};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), r;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/worker.sock", fx.base);
	cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 1) == 0);
	r = worker_connect(fx.loop, address.sun_path, &worker_events, NULL, &fx.vm->conn);
	cr_assert_eq(r, 0, "%s", strerror(-r));
	return fd;
}

static void tell(const char *alias, bool peer_gone)
{
	struct worker_service *service;

	if (!fx.vm->services)
		fx.vm->services = calloc(WORKER_SERVICES_MAX, sizeof(*fx.vm->services));
	cr_assert(fx.vm->services);
	service = &fx.vm->services[0];
	fx.vm->service_count = 1;
	*service = (struct worker_service){.name = VM_SERVICE_NETWORK, .nic_count = 1};
	snprintf(service->nics[0].alias, sizeof(service->nics[0].alias), "%s", alias);
	service->nics[0].peer_gone = peer_gone;
	vm_peers_told(fx.vm);
}

/* Return: whether somebody connects to @server before @end_ns. */
static bool comes(int server, uint64_t end_ns)
{
	int fd;

	while (clock_now_ns() < end_ns) {
		loop_run_once(fx.loop, false);
		fd = accept4(server, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			close(fd);
			return true;
		}
		usleep(5000);
	}
	return false;
}

/* The client's NIC and its server, which have met. */
struct met {
	int worker, server, fd;
	uint64_t begin_ns;
};

static struct met meet(void)
{
	struct met met = {.worker = connect_worker(), .server = listen_on_it(SOCK_STREAM)};
	struct err err = {0};

	met.begin_ns = clock_now_ns();
	cr_assert_eq(vm_peer_open(fx.vm, &fx.vm->domain.nics[1], &err, &met.fd), 0, "%s", err.text);
	cr_assert(comes(met.server, met.begin_ns + 20 * NS_PER_SEC));
	return met;
}

static void part(const struct met *met)
{
	close(met->fd);
	close(met->server);
	close(met->worker);
}

/* What says that the one before has gone may come when the next one is there. */
Test(vm_peer, who_is_there_is_not_replaced)
{
	struct met met = meet();

	tell("net1", true);
	tell("net1", false);
	cr_assert(!comes(met.server, clock_now_ns() + 700 * NS_PER_MS), "there is somebody");
	tell("net1", true);
	cr_assert(comes(met.server, clock_now_ns() + 20 * NS_PER_SEC), "there is nobody");
	part(&met);
}

Test(vm_peer, who_lived_briefly_has_a_pause)
{
	struct met met = meet();

	tell("net1", true);
	cr_assert(comes(met.server, clock_now_ns() + 20 * NS_PER_SEC));
	cr_assert_geq(clock_now_ns() - met.begin_ns, 500 * NS_PER_MS);
	part(&met);
}

Test(vm_peer, a_path_goes_with_its_server)
{
	struct err err = {0};
	int server, fd;

	cr_assert_eq(open_server(&err), 0, "%s", err.text);
	fd = try_connect();
	cr_assert_geq(fd, 0);
	close(fd);
	vm_peer_close(fx.vm, "net0");
	cr_assert_eq(inode(), 0, "its path has gone, too");
	cr_assert_eq(open_server(&err), 0, "%s", err.text);
	unlink(fx.path);
	server = listen_on_it(SOCK_STREAM);
	vm_peer_close(fx.vm, "net0");
	cr_assert_neq(inode(), 0, "that of somebody else stays");
	close(server);
}
