/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qemu-storage-daemon's vhost-user-blk export, with a small front end: one split virtqueue, event indices on, as a
 * Linux guest has them. Spec: virtio 1.2, "Block device", "Split virtqueues"; QEMU docs/interop/vhost-user.rst.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fd.h"
#include "process.h"
#include "storage.h"

#define PROGRAM	   "qemu-storage-daemon"
#define QUEUE	   128u /* descriptors: three for each request */
#define WAIT_MS	   5000
#define START_MS   5000
#define VERSION	   0x1u
#define NEED_REPLY 0x8u

/* Where things lie in the shared memory. */
#define DESC_AT	   0x0000u
#define AVAIL_AT   0x1000u
#define USED_AT	   0x2000u
#define HEADERS_AT 0x3000u /* 32 bytes for each slot: header, status */
#define AREA_AT	   0x10000u
#define SHARED_LEN (AREA_AT + STORAGE_AREA)

enum vhost_user_request {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	SET_VRING_ENABLE = 18,
};

#define F_PROTOCOL_FEATURES 30u /* of vhost-user's own */

struct message {
	uint32_t request, flags, size;
	union {
		uint64_t u64;
		struct {
			uint32_t index, num;
		} state;
		struct {
			uint32_t index, flags;
			uint64_t desc, used, avail, log;
		} addr;
		struct {
			uint32_t regions, padding;
			uint64_t gpa, len, user, offset;
		} memory;
	};
} __attribute__((packed));

#define HEADER_LEN offsetof(struct message, u64)

struct request_header {
	struct virtio_blk_outhdr out;
	uint8_t status;
	uint8_t reserved[15];
};

struct qsd {
	struct storage_target target;
	pid_t pid;
	int memory, socket, kick, call;
	uint8_t *shared;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t avail_idx, used_idx;
	char path[64];
};

static struct qsd *to_qsd(struct storage_target *target)
{
	return CONTAINER_OF(target, struct qsd, target);
}

/* ---- the queue ---- */

static uint16_t *used_event(struct qsd *qsd)
{
	return &qsd->avail->ring[QUEUE];
}

static uint16_t avail_event(const struct qsd *qsd)
{
	return __atomic_load_n((const uint16_t *)&qsd->used->ring[QUEUE], __ATOMIC_ACQUIRE);
}

static int qsd_put(struct storage_target *target, unsigned int slot, uint64_t offset, uint32_t len)
{
	struct qsd *qsd = to_qsd(target);
	uint16_t first = (uint16_t)(slot * 3), old = qsd->avail_idx;
	uint64_t header = HEADERS_AT + slot * sizeof(struct request_header);
	struct request_header *request = (struct request_header *)(qsd->shared + header);

	*request = (struct request_header){.out = {.type = VIRTIO_BLK_T_IN, .sector = offset / 512}, .status = 0xff};
	qsd->desc[first] = (struct vring_desc){header, sizeof(request->out), VRING_DESC_F_NEXT, (uint16_t)(first + 1)};
	qsd->desc[first + 1] = (struct vring_desc){AREA_AT + (uint64_t)slot * len, len,
						   VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, (uint16_t)(first + 2)};
	qsd->desc[first + 2] =
		(struct vring_desc){header + offsetof(struct request_header, status), 1, VRING_DESC_F_WRITE, 0};
	qsd->avail->ring[old % QUEUE] = first;
	__atomic_store_n(&qsd->avail->idx, ++qsd->avail_idx, __ATOMIC_RELEASE);
	/* full: pairs with the device's between its avail_event and its last look at avail.idx */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (vring_need_event(avail_event(qsd), qsd->avail_idx, old)) {
		target->kicks++;
		return eventfd_write(qsd->kick, 1) < 0 ? -errno : 0;
	}
	return 0;
}

static bool something(const struct qsd *qsd)
{
	return __atomic_load_n(&qsd->used->idx, __ATOMIC_ACQUIRE) != qsd->used_idx;
}

static int qsd_get(struct storage_target *target)
{
	struct qsd *qsd = to_qsd(target);
	const struct request_header *request;
	uint32_t slot;

	if (!something(qsd))
		return -EAGAIN;
	slot = qsd->used->ring[qsd->used_idx++ % QUEUE].id / 3;
	if (slot >= STORAGE_DEPTH_MAX)
		return -EIO;
	request = (const struct request_header *)(qsd->shared + HEADERS_AT) + slot;
	return request->status == VIRTIO_BLK_S_OK ? (int)slot : -EIO;
}

/* Interrupts are wanted for whatever is used next; or not at all: the event lies behind us. */
static void want_interrupts(struct qsd *qsd, bool on)
{
	__atomic_store_n(used_event(qsd), (uint16_t)(qsd->used_idx - !on), __ATOMIC_SEQ_CST);
	/* full: pairs with the device's between used.idx and its look at used_event */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static int qsd_wait(struct storage_target *target)
{
	struct qsd *qsd = to_qsd(target);
	struct pollfd fd = {.fd = qsd->call, .events = POLLIN};
	eventfd_t count;

	if (target->mode == STORAGE_SPIN) {
		while (!something(qsd))
			__builtin_ia32_pause();
		want_interrupts(qsd, false);
		return 0;
	}
	want_interrupts(qsd, true);
	while (!something(qsd)) {
		if (poll(&fd, 1, WAIT_MS) <= 0)
			return -ETIMEDOUT;
		if (eventfd_read(qsd->call, &count) == 0)
			target->interrupts += count;
	}
	want_interrupts(qsd, false);
	return 0;
}

/* ---- vhost-user ---- */

static int say(struct qsd *qsd, struct message message, uint32_t size, int fd)
{
	char bytes[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {.iov_base = &message, .iov_len = HEADER_LEN + size};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	message.flags = VERSION;
	message.size = size;
	if (fd >= 0) {
		struct cmsghdr *cmsg;

		msg.msg_control = bytes;
		msg.msg_controllen = sizeof(bytes);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	}
	return sendmsg(qsd->socket, &msg, MSG_NOSIGNAL) == (ssize_t)iov.iov_len ? 0 : -EIO;
}

static int ask(struct qsd *qsd, uint32_t request, uint64_t *ret)
{
	struct message message = {.request = request};
	int r = say(qsd, message, 0, -1);

	if (r < 0)
		return r;
	if (recv(qsd->socket, &message, HEADER_LEN + 8, MSG_WAITALL) != (ssize_t)HEADER_LEN + 8)
		return -EIO;
	*ret = message.u64;
	return 0;
}

static int tell(struct qsd *qsd, uint32_t request, uint64_t value, int fd)
{
	return say(qsd, (struct message){.request = request, .u64 = value}, 8, fd);
}

static int tell_state(struct qsd *qsd, uint32_t request, uint32_t num)
{
	return say(qsd, (struct message){.request = request, .state = {0, num}}, 8, -1);
}

static int set_up_ring(struct qsd *qsd)
{
	uint64_t base = (uintptr_t)qsd->shared;
	struct message memory = {.request = SET_MEM_TABLE, .memory = {.regions = 1, .len = SHARED_LEN, .user = base}};
	struct message addr = {.request = SET_VRING_ADDR,
			       .addr = {.desc = base + DESC_AT, .avail = base + AVAIL_AT, .used = base + USED_AT}};
	int r = say(qsd, memory, sizeof(memory.memory), qsd->memory);

	if (r == 0)
		r = tell_state(qsd, SET_VRING_NUM, QUEUE);
	if (r == 0)
		r = tell_state(qsd, SET_VRING_BASE, 0);
	if (r == 0)
		r = say(qsd, addr, sizeof(addr.addr), -1);
	if (r == 0)
		r = tell(qsd, SET_VRING_CALL, 0, qsd->call);
	if (r == 0)
		r = tell(qsd, SET_VRING_KICK, 0, qsd->kick);
	return r < 0 ? r : tell_state(qsd, SET_VRING_ENABLE, 1);
}

static int shake_hands(struct qsd *qsd)
{
	const uint64_t want = UINT64_C(1) << VIRTIO_F_VERSION_1 | UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX |
			      UINT64_C(1) << F_PROTOCOL_FEATURES;
	uint64_t features, protocol;
	int r = ask(qsd, GET_FEATURES, &features);

	if (r == 0 && (features & want) != want)
		r = -EOPNOTSUPP;
	if (r == 0)
		r = ask(qsd, GET_PROTOCOL_FEATURES, &protocol);
	if (r == 0)
		r = tell(qsd, SET_PROTOCOL_FEATURES, 0, -1);
	if (r == 0)
		r = tell(qsd, SET_OWNER, 0, -1);
	if (r == 0)
		r = tell(qsd, SET_FEATURES, want, -1);
	return r < 0 ? r : set_up_ring(qsd);
}

/* ---- the process ---- */

static int reach(struct qsd *qsd)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", qsd->path);
	for (int ms = 0; ms < START_MS; ms += 10) {
		qsd->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (qsd->socket < 0)
			return -errno;
		if (connect(qsd->socket, (struct sockaddr *)&addr, sizeof(addr)) == 0)
			return 0;
		fd_close(&qsd->socket);
		poll(NULL, 0, 10);
	}
	return -ETIMEDOUT;
}

static int prepare(void *arg)
{
	const struct qsd *qsd = arg;
	int null = open("/dev/null", O_RDWR);

	storage_pin_service(qsd->target.mode);
	return dup2(null, STDIN_FILENO) < 0 ? -errno : 0;
}

static int start(struct qsd *qsd, int image, bool direct)
{
	char blockdev[256], export[256], iothread[64];
	const char *plain[] = {PROGRAM, "--blockdev", blockdev, "--export", export, NULL};
	const char *spins[] = {PROGRAM, "--object", iothread, "--blockdev", blockdev, "--export", export, NULL};
	bool spin = qsd->target.mode == STORAGE_SPIN;
	pid_t pid;

	snprintf(blockdev, sizeof(blockdev),
		 "driver=file,node-name=f,filename=/proc/%d/fd/%d,aio=io_uring,locking=off,cache.direct=%s",
		 (int)getpid(), image, direct ? "on" : "off");
	snprintf(export, sizeof(export),
		 "type=vhost-user-blk,id=e,node-name=f,writable=on,addr.type=unix,addr.path=%s%s", qsd->path,
		 spin ? ",iothread=t" : "");
	snprintf(iothread, sizeof(iothread), "iothread,id=t,poll-max-ns=%u", STORAGE_SPIN_NS);
	pid = process_start(spin ? spins : plain, prepare, qsd, &qsd->target.clock);
	if (pid < 0)
		return pid;
	qsd->pid = pid;
	return reach(qsd);
}

static void qsd_stop(struct storage_target *target)
{
	struct qsd *qsd = to_qsd(target);

	fd_close(&qsd->socket);
	process_stop(qsd->pid);
	fd_close(&qsd->memory);
	fd_close(&qsd->kick);
	fd_close(&qsd->call);
	unlink(qsd->path);
	munmap(qsd->shared, SHARED_LEN);
	free(qsd);
}

static const struct storage_target_ops qsd_ops = {qsd_put, qsd_get, qsd_wait, qsd_stop};

bool storage_qsd_installed(void)
{
	return process_installed(PROGRAM);
}

static int set_up(struct qsd *qsd)
{
	qsd->memory = fd_memfd("bench-qsd", SHARED_LEN);
	if (qsd->memory < 0)
		return qsd->memory;
	qsd->shared = mmap(NULL, SHARED_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, qsd->memory, 0);
	qsd->kick = eventfd(0, EFD_CLOEXEC);
	qsd->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (qsd->shared == MAP_FAILED || qsd->kick < 0 || qsd->call < 0)
		return -ENOMEM;
	qsd->desc = (struct vring_desc *)(qsd->shared + DESC_AT);
	qsd->avail = (struct vring_avail *)(qsd->shared + AVAIL_AT);
	qsd->used = (struct vring_used *)(qsd->shared + USED_AT);
	qsd->target.area = qsd->shared + AREA_AT;
	return 0;
}

int storage_qsd_start(int image, bool direct, enum storage_mode mode, struct storage_target **ret)
{
	struct qsd *qsd = calloc(1, sizeof(*qsd));
	int r;

	if (!qsd)
		return -ENOMEM;
	qsd->socket = qsd->kick = qsd->call = -1;
	qsd->target.ops = &qsd_ops;
	qsd->target.mode = mode;
	snprintf(qsd->path, sizeof(qsd->path), "/tmp/bench-qsd-%d-%d%d", (int)getpid(), direct, (int)mode);
	r = set_up(qsd);
	if (r == 0)
		r = start(qsd, image, direct);
	if (r == 0)
		r = shake_hands(qsd);
	if (r < 0) {
		qsd_stop(&qsd->target);
		return r;
	}
	want_interrupts(qsd, mode != STORAGE_SPIN);
	*ret = &qsd->target;
	return 0;
}
