/* SPDX-License-Identifier: Apache-2.0 */
/* The limit: frames with their virtio_net_hdr between shared memory and a tap, and nothing else. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "network.h"

struct shared {
	struct virtio_net_hdr hdr;
	size_t len;
	_Atomic uint64_t received, received_bytes;
	uint8_t frame[NETWORK_DEPTH][NETWORK_FRAME_MAX];   /* in turn, as a guest's */
	uint8_t in[NETWORK_DEPTH][NETWORK_FRAME_MAX + 64]; /* the same */
};

struct floor {
	struct network_target target;
	struct shared *shared;
	int go, done;
	pid_t pid;
	uint64_t taken, bytes_wanted;
};

static struct floor *to_floor(struct network_target *target)
{
	return CONTAINER_OF(target, struct floor, target);
}

/* ---- the process that is measured ---- */

static void send_some(const struct floor *floor, int tap)
{
	struct shared *shared = floor->shared;
	struct iovec iov[] = {{&shared->hdr, sizeof(shared->hdr)}, {NULL, shared->len}};
	uint64_t count;

	if (read(floor->go, &count, sizeof(count)) != sizeof(count))
		return;
	for (uint64_t i = 0; i < count; i++) {
		iov[1].iov_base = shared->frame[i % NETWORK_DEPTH];
		while (writev(tap, iov, 2) < 0 && (errno == EAGAIN || errno == EINTR))
			;
	}
	(void)!write(floor->done, &count, sizeof(count));
}

static void receive_some(const struct floor *floor, int tap)
{
	struct shared *shared = floor->shared;
	uint64_t count = 0, bytes = 0;
	ssize_t n;

	while ((n = read(tap, shared->in[count % NETWORK_DEPTH], sizeof(shared->in[0]))) > 0) {
		bytes += (uint64_t)n;
		count++;
	}
	atomic_fetch_add(&shared->received_bytes, bytes);
	atomic_fetch_add(&shared->received, count);
}

static _Noreturn void run(const struct floor *floor, int tap)
{
	struct pollfd fds[] = {{.fd = floor->go, .events = POLLIN}, {.fd = tap, .events = POLLIN}};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			_exit(1);
		if (fds[0].revents & POLLIN)
			send_some(floor, tap);
		if (fds[1].revents & POLLIN)
			receive_some(floor, tap);
	}
}

/* ---- this side ---- */

static int floor_load(struct network_target *target, const struct virtio_net_hdr *hdr, const uint8_t *frame, size_t len)
{
	struct shared *shared = to_floor(target)->shared;

	shared->hdr = *hdr;
	shared->len = len;
	for (unsigned int i = 0; i < NETWORK_DEPTH; i++)
		memcpy(shared->frame[i], frame, len);
	return 0;
}

static int floor_send(struct network_target *target, unsigned int count)
{
	const struct floor *floor = to_floor(target);

	for (uint64_t left = count; left;) {
		uint64_t now = MIN(left, (uint64_t)NETWORK_DEPTH), done;

		if (write(floor->go, &now, sizeof(now)) != sizeof(now) ||
		    read(floor->done, &done, sizeof(done)) != sizeof(done))
			return -EIO;
		left -= now;
	}
	return 0;
}

static int floor_take(struct network_target *target)
{
	struct floor *floor = to_floor(target);
	const struct shared *shared = floor->shared;
	uint64_t received = atomic_load(&shared->received), more = received - floor->taken;

	floor->taken = received;
	if (more > 0 && memcmp(shared->in[0] + sizeof(shared->hdr), shared->frame[0], shared->len) != 0)
		return -EPROTO;
	floor->bytes_wanted += more * (sizeof(shared->hdr) + shared->len);
	return atomic_load(&shared->received_bytes) < floor->bytes_wanted ? -EPROTO : (int)more;
}

static void floor_stop(struct network_target *target)
{
	struct floor *floor = to_floor(target);

	if (floor->pid > 0) {
		kill(floor->pid, SIGTERM);
		waitpid(floor->pid, NULL, 0);
	}
	close(floor->go);
	close(floor->done);
	munmap(floor->shared, sizeof(*floor->shared));
	free(floor);
}

static const struct network_target_ops floor_ops = {floor_load, floor_send, floor_take, floor_stop};

int network_floor_start(int tap, struct network_target **ret)
{
	struct floor *floor = calloc(1, sizeof(*floor));

	if (!floor)
		return -ENOMEM;
	floor->target.ops = &floor_ops;
	floor->go = eventfd(0, EFD_CLOEXEC);
	floor->done = eventfd(0, EFD_CLOEXEC);
	floor->shared = mmap(NULL, sizeof(*floor->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (floor->shared == MAP_FAILED) {
		free(floor);
		return -ENOMEM;
	}
	floor->pid = fork();
	if (floor->pid == 0)
		run(floor, tap);
	if (floor->pid < 0 || clock_getcpuclockid(floor->pid, &floor->target.clock) != 0) {
		floor_stop(&floor->target);
		return -ESRCH;
	}
	*ret = &floor->target;
	return 0;
}
