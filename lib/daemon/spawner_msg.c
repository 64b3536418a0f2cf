// SPDX-License-Identifier: Apache-2.0
#include "daemon/spawner_msg.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(SPAWNER_FDS * sizeof(int))];
};

int spawner_send(int fd, const void *msg, size_t len, const int *fds, size_t count)
{
	union control control = {0};
	struct iovec iov = {.iov_base = (void *)msg, .iov_len = len};
	struct msghdr hdr = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (count > 0) {
		struct cmsghdr *c;

		hdr.msg_control = control.bytes;
		hdr.msg_controllen = CMSG_SPACE(count * sizeof(int));
		c = CMSG_FIRSTHDR(&hdr);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	}
	do
		n = sendmsg(fd, &hdr, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

ssize_t spawner_receive(int fd, void *msg, size_t size, int flags, int *fds)
{
	union control control = {0};
	struct iovec iov = {.iov_base = msg, .iov_len = size};
	struct msghdr hdr = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		/* not its padding: the kernel would fill it with one descriptor more */
		.msg_controllen = CMSG_LEN(SPAWNER_FDS * sizeof(int)),
	};
	const struct cmsghdr *c;
	ssize_t n;

	for (size_t i = 0; i < SPAWNER_FDS; i++)
		fds[i] = -1;
	do
		n = recvmsg(fd, &hdr, flags | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	c = CMSG_FIRSTHDR(&hdr);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
	return n;
}
