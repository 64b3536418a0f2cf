/* SPDX-License-Identifier: Apache-2.0 */
/* Listening: the socket file, who is let in. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "ipc/conn.h"

#ifndef SO_PEERPIDFD /* Linux 6.5 */
#define SO_PEERPIDFD 77
#endif

#define BACKLOG		128
/* How long nobody is accepted after we ran out of descriptors: the socket stays readable all the while. */
#define ACCEPT_PAUSE_NS (100 * NS_PER_MS)

static const struct syscall_rule server_rules[] = {
	{SYS_accept4},
	{SYS_pidfd_open},
	/* at the end: the socket's file */
	{SYS_newfstatat},
	{SYS_unlinkat},
	{-1},
};

const struct syscall_list rpc_server_calls = {.name = "listening", .rules = server_rules};

struct rpc_server {
	struct loop *loop;
	int fd;
	struct loop_source *source;
	struct loop_source *resume; /* timer */
	int dir_fd;		    /* O_PATH: where the socket file is */
	char name[NAME_MAX + 1];
	dev_t dev; /* of the socket file, to remove no other */
	ino_t ino;
	uid_t allowed_uid;
	const struct rpc_service *service;
	const struct rpc_conn_ops *ops;
	void (*accepted)(struct rpc_conn *conn, void *arg);
	void *arg;
};

/* Whether the peer may talk to us; if not, it is told. */
static bool is_welcome(const struct rpc_server *server, int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	struct err err;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return false;
	if (cred.uid == 0 || cred.uid == server->allowed_uid)
		return true;
	err_set(&err, -EPERM, "user %u may not use this socket", cred.uid);
	conn_say_goodbye(fd, &err);
	return false;
}

/* Of the process that has connected. Return: a descriptor or a negative errno. */
static int open_peer(int fd, pid_t pid)
{
	socklen_t len = sizeof(int);
	int pidfd;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) == 0)
		return pidfd;
	if (errno == ENOPROTOOPT) {
		pidfd = pidfd_open(pid, 0);
		return pidfd < 0 ? -errno : pidfd;
	}
	/* What a kernel says of a process that was waited for already has changed over time. */
	return errno == EINVAL || errno == ENODATA ? -ESRCH : -errno;
}

/* One at a time: accepted() may free the server, and the socket stays readable while there are more. */
static void on_connect(int listener, unsigned int events, void *arg)
{
	struct rpc_server *server = arg;
	// cppcheck-suppress nullPointer ; accept4() takes NULL
	_cleanup_close_ int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct rpc_conn *conn;

	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
		loop_set_events(server->source, 0);
		loop_arm(server->resume, ACCEPT_PAUSE_NS);
	}
	if (fd < 0 || !is_welcome(server, fd))
		return;
	if (rpc_conn_adopt(server->loop, take_fd(&fd), NULL, 0, server->service, server->ops, server->arg, &conn) < 0)
		return;
	conn->pidfd = open_peer(conn->fd, conn->peer.pid);
	server->accepted(conn, server->arg);
}

static void on_resume(void *arg)
{
	struct rpc_server *server = arg;

	loop_set_events(server->source, LOOP_READ);
}

/* Remove what a predecessor left behind, but no file of another kind. */
static int remove_old_socket(int dir_fd, const char *name)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	return unlinkat(dir_fd, name, 0) < 0 ? -errno : 0;
}

static int listen_at(struct rpc_server *server, const char *path)
{
	struct sockaddr_un address;
	const char *name;
	struct stat st;
	int r = address_from_path(path, &address, &server->dir_fd, &name);

	if (r < 0)
		return r;
	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	r = remove_old_socket(server->dir_fd, name);
	if (r < 0)
		return r;
	server->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (server->fd < 0)
		return -errno;
	/* bind() gives the file the mode of the socket's own inode; a umask would be the whole process's. */
	if (fchmod(server->fd, 0600) < 0 || bind(server->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	snprintf(server->name, sizeof(server->name), "%s", name);
	if (fstatat(server->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	server->dev = st.st_dev;
	server->ino = st.st_ino;
	return listen(server->fd, BACKLOG) < 0 ? -errno : 0;
}

int rpc_server_new(struct loop *loop, const char *path, uid_t allowed_uid, const struct rpc_service *service,
		   const struct rpc_conn_ops *ops, void (*accepted)(struct rpc_conn *conn, void *arg), void *arg,
		   struct rpc_server **ret_server)
{
	struct rpc_server *server = calloc(1, sizeof(*server));
	int r;

	if (!server)
		return -ENOMEM;
	*server = (struct rpc_server){
		.loop = loop,
		.fd = -1,
		.dir_fd = -1,
		.allowed_uid = allowed_uid,
		.service = service,
		.ops = ops,
		.accepted = accepted,
		.arg = arg,
	};
	r = listen_at(server, path);
	if (r == 0)
		r = loop_add_timer(loop, on_resume, server, &server->resume);
	if (r == 0)
		r = loop_add_fd(loop, server->fd, LOOP_READ, on_connect, server, &server->source);
	if (r < 0) {
		rpc_server_free(server);
		return r;
	}
	*ret_server = server;
	return 0;
}

void rpc_server_free(struct rpc_server *server)
{
	struct stat st;

	if (!server)
		return;
	loop_remove(&server->source);
	loop_remove(&server->resume);
	/* A successor may have put its own in the same place. */
	if (*server->name && fstatat(server->dir_fd, server->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_dev == server->dev && st.st_ino == server->ino)
		unlinkat(server->dir_fd, server->name, 0);
	fd_close(&server->fd);
	fd_close(&server->dir_fd);
	free(server);
}
