/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP from a socket of the host to one of the guest, through a forwarded port: vsp-netd and passt against pasta.
 *
 * Theory of operation: both guests are the kernel in network namespaces, in which a process (network_user_receive())
 * receives, compares, and answers after each CHUNK. pasta makes its namespace itself. To ours, this process carries the
 * frames of vsp-netd's fake guest, as a guest's driver does. What it takes to be a guest is nobody's time; but what the
 * kernel does when a frame is written to pasta's tap is pasta's. How much is under way decides how much passt copies
 * again and again, and whether from a cache: so TCP may buffer in all namespaces what it may in a stock guest.
 *
 * Limits: one stream. All of a pair of candidates is in two namespaces and one more of this program.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fd.h"
#include "netdev.h"
#include "network.h"
#include "passt.h"
#include "process.h"

#define PAIRS	      2u
#define PORT	      5300u /* of the first candidate */
#define PIECE	      (1u << 20)
#define CHUNK	      (64u << 20) /* bytes of a measurement */
#define CHUNK_MIB     64.0
#define WAIT_MS	      10000
#define HOST_IF	      "host0"
#define HOST	      "10.9.0.1"
#define HOST_GATEWAY  "10.9.0.2"
#define GUEST	      "10.9.1.2"
#define GUEST_GATEWAY "10.9.1.1"

/* One candidate. pid 0: it does not run. */
struct side {
	pid_t pid; /* passt, pasta */
	clockid_t clock;
	int client; /* the host's socket; -1 */
	/* of ours */
	struct network_target *ours;
	pid_t guest;
	int tap;    /* in the guest's namespace */
	bool heard; /* a frame has come for it */
};

static const uint8_t mac[6] = {2, 0, 0, 0, 0, 3};
static struct side sides[2 * PAIRS];
static bool host_ready;
static uint8_t piece[PIECE];

static void fill_piece(void)
{
	uint64_t x = 1;

	for (size_t i = 0; i < PIECE; i += 8) {
		x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		put_le64(piece + i, x);
	}
}

/* ---- the guest's process ---- */

/* Return: whether CHUNK bytes have come as they should. */
static bool receive_chunk(int fd)
{
	static uint8_t buffer[256 << 10];

	for (size_t done = 0; done < CHUNK;) {
		size_t at = done % PIECE, room = MIN(sizeof(buffer), MIN(PIECE - at, CHUNK - done));
		ssize_t n = recv(fd, buffer, room, 0);

		if (n <= 0 || memcmp(buffer, piece + at, (size_t)n) != 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

/* passt does not know where the guest is before that has sent something: let it ask for its gateway. */
static void say_something(void)
{
	struct sockaddr_in gateway = {.sin_family = AF_INET, .sin_port = htons(9)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, GUEST_GATEWAY, &gateway.sin_addr);
	(void)sendto(fd, "", 0, 0, (struct sockaddr *)&gateway, sizeof(gateway));
	fd_close(&fd);
}

int network_user_receive(const char *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	prctl(PR_SET_PDEATHSIG, SIGKILL); /* pasta leaves it behind */
	fill_piece();
	if (netdev_stock_tcp() < 0 || listener < 0 ||
	    bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 4) < 0) {
		fprintf(stderr, "network: the guest cannot listen: %s\n", strerror(errno));
		return 1;
	}
	say_something();
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			return 1;
		while (receive_chunk(fd) && send(fd, "!", 1, MSG_NOSIGNAL) == 1)
			;
		close(fd);
	}
}

/* ---- our guest ---- */

static void on_frame(void *arg, const uint8_t *frame, uint32_t len)
{
	struct side *side = arg;

	side->heard = true;
	(void)!write(side->tap, frame, len); /* what does not fit is lost, as on a wire */
}

/* In the namespace that the caller is in. */
static int start_guest(struct side *side, const char *port)
{
	const char *argv[] = {"/proc/self/exe", "--receive", port, NULL};
	clockid_t unused;
	pid_t pid;
	int r = netdev_up("lo");

	side->tap = netdev_tap("eth0", 0, mac);
	if (side->tap < 0)
		return side->tap;
	if (r == 0)
		r = netdev_address("eth0", GUEST);
	if (r == 0)
		r = netdev_gateway(GUEST_GATEWAY);
	if (r < 0)
		return r;
	pid = process_start(argv, NULL, NULL, &unused);
	if (pid < 0)
		return pid;
	side->guest = pid;
	return 0;
}

static int start_guest_apart(struct side *side, const char *port)
{
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), r;

	if (home < 0 || unshare(CLONE_NEWNET) < 0)
		return -errno;
	r = start_guest(side, port);
	if (setns(home, CLONE_NEWNET) < 0)
		r = -errno;
	close(home);
	return r;
}

/* ---- the candidates ---- */

static int prepare_host(void)
{
	int tap, r;

	if (host_ready)
		return 0;
	fill_piece();
	tap = netdev_tap(HOST_IF, 0, NULL); /* stays open: nobody is behind it */
	r = tap < 0 ? tap : netdev_stock_tcp();
	if (r == 0)
		r = netdev_up("lo");
	if (r == 0)
		r = netdev_address(HOST_IF, HOST);
	if (r == 0)
		r = netdev_gateway(HOST_GATEWAY);
	host_ready = r == 0;
	return r;
}

/* Both look for a user namespace in which they are root, and do not want to be root of the first one. */
static int prepare(void *arg)
{
	const int *fd = arg;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (dup2(fd ? *fd : null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
		return -errno;
	return geteuid() == 0 ? netdev_enter_users() : 0;
}

static int start_passt(struct side *side, int fd, const char *port)
{
	const char *argv[] = {"passt", "-f", "-q", "-F", "0",		"-m", "1500", "-i", HOST_IF, "-a",
			      GUEST,   "-n", "24", "-g", GUEST_GATEWAY, "-t", port,   "-u", "none",  NULL};
	pid_t pid = process_start(argv, prepare, &fd, &side->clock);

	if (pid < 0)
		return pid;
	side->pid = pid;
	return 0;
}

static int start_ours(struct side *side, const struct network_user *user, const char *port)
{
	struct network_ours how = {
		.stream = true, .mac = mac, .coalesces = user->coalesces, .on_frame = on_frame, .arg = side};
	int pair[2], r = start_guest_apart(side, port);

	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	how.fd = pair[0];
	how.segment_max = passt_room(pair[1]);
	r = start_passt(side, pair[1], port);
	if (r == 0)
		r = network_ours_start(&how, &side->ours);
	close(pair[0]);
	close(pair[1]);
	return r;
}

static int start_pasta(struct side *side, const struct network_user *user, const char *port)
{
	char program[PATH_MAX];
	const char *argv[] = {"pasta", "-f", "-q",    "--config-net", "-m", user->mtu, "-i",
			      HOST_IF, "-a", GUEST,   "-n",	      "24", "-g",      GUEST_GATEWAY,
			      "-t",    port, "-T",    "none",	      "-u", "none",    "-U",
			      "none",  "--", program, "--receive",    port, NULL};
	pid_t pid;

	snprintf(program, sizeof(program), "%s/network", process_folder());
	pid = process_start(argv, prepare, NULL, &side->clock);
	if (pid < 0)
		return pid;
	side->pid = pid;
	return 0;
}

/* ---- frames and bytes ---- */

static int carry(struct side *side)
{
	static uint8_t frame[2048];
	ssize_t n;
	int r = network_ours_take(side->ours);

	while (r == 0 && (n = read(side->tap, frame, sizeof(frame))) > 0)
		if (network_ours_put(side->ours, frame, (size_t)n) == -EAGAIN)
			r = network_ours_take(side->ours); /* a full queue of the guest's: it is lost */
	return r;
}

/* Until something happens. Return: what is true of the client's socket; a negative errno. */
static int wait_for(struct side *side, short events, int timeout_ms)
{
	struct pollfd fds[] = {{.fd = side->client, .events = events}, {.fd = -1}, {.fd = -1}};
	int r;

	if (side->ours) {
		fds[1] = (struct pollfd){.fd = side->tap, .events = POLLIN};
		fds[2] = (struct pollfd){.fd = network_ours_fd(side->ours), .events = POLLIN};
	}
	r = poll(fds, ARRAY_SIZE(fds), timeout_ms);
	if (r == 0)
		return -ETIMEDOUT;
	if (r > 0 && (fds[1].revents || fds[2].revents))
		r = carry(side);
	return r < 0 ? r : fds[0].revents;
}

/* Return: 0: the guest has said that it has got all. */
static int await_answer(struct side *side)
{
	uint64_t end = clock_now_ns() + WAIT_MS * NS_PER_MS;
	char answer;
	int r = 0;

	while (clock_now_ns() < end) {
		r = wait_for(side, POLLIN, WAIT_MS);
		if (r < 0)
			return r;
		if (r > 0)
			return recv(side->client, &answer, 1, 0) == 1 ? 0 : -EPIPE;
	}
	return -ETIMEDOUT;
}

static int send_chunk(struct side *side)
{
	for (size_t sent = 0; sent < CHUNK;) {
		size_t at = sent % PIECE;
		ssize_t n;
		int r = wait_for(side, POLLOUT, WAIT_MS);

		if (r < 0)
			return r;
		if (r == 0)
			continue;
		n = send(side->client, piece + at, MIN(PIECE - at, CHUNK - sent), MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			return -errno;
		sent += n < 0 ? 0 : (size_t)n;
	}
	return await_answer(side);
}

static int connect_once(struct side *side, unsigned int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int r;

	inet_pton(AF_INET, HOST, &to.sin_addr);
	side->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (side->client < 0)
		return -errno;
	r = connect(side->client, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS ? -errno : 0;
	if (r == 0)
		r = send_chunk(side);
	if (r < 0)
		fd_close(&side->client);
	return r;
}

/* Programs and guests need their time to start. */
static int reach(struct side *side, unsigned int port)
{
	uint64_t end = clock_now_ns() + WAIT_MS * NS_PER_MS;
	int r = 0;

	while (side->ours && !side->heard && r >= 0 && clock_now_ns() < end)
		r = wait_for(side, 0, WAIT_MS);
	do {
		r = connect_once(side, port);
		if (r < 0)
			poll(NULL, 0, 50);
	} while (r < 0 && clock_now_ns() < end);
	return r;
}

/* ---- measurements ---- */

static double spent(const struct side *side)
{
	return process_seconds(side->clock) + (side->ours ? process_seconds(side->ours->clock) : 0);
}

static int start(struct side *side, const struct network_user *user, bool ours)
{
	unsigned int number = PORT + 2 * user->number + !ours;
	char port[16];
	int r = prepare_host();

	snprintf(port, sizeof(port), "%u", number);
	side->client = side->tap = -1;
	if (r == 0)
		r = ours ? start_ours(side, user, port) : start_pasta(side, user, port);
	return r == 0 ? reach(side, number) : r;
}

static double measure(const struct network_user *user, bool ours)
{
	struct side *side = &sides[2 * user->number + !ours];
	int r = side->pid ? 0 : start(side, user, ours);
	double before;

	for (unsigned int tries = 0; r == 0 && tries < 3; tries++) {
		before = spent(side);
		r = send_chunk(side);
		if (r == 0)
			return (spent(side) - before) * 1e6 / CHUNK_MIB;
		/* Now and then pasta gives up a connection. */
		fd_close(&side->client);
		r = reach(side, PORT + 2 * user->number + !ours);
	}
	fprintf(stderr, "network: %s: %s\n", ours ? "vsp-netd and passt" : "pasta", strerror(-r));
	return -1;
}

double network_user_ours(void *arg)
{
	return measure(arg, true);
}

double network_user_pasta(void *arg)
{
	return measure(arg, false);
}

const char *network_user_missing(void *arg)
{
	(void)arg;
	return process_installed("passt") && process_installed("pasta") ? NULL : "install passt";
}

void network_user_stop(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(sides); i++) {
		struct side *side = &sides[i];

		if (side->pid == 0 && side->guest == 0)
			continue;
		fd_close(&side->client);
		if (side->ours)
			side->ours->ops->stop(side->ours);
		process_stop(side->pid);
		process_stop(side->guest);
		fd_close(&side->tap);
	}
}
