/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/ipc/fixture.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

static struct loop *loop;
static struct side client, peers[4];
static size_t npeers;
static struct rpc_server *server;
static bool free_on_accept;
static size_t fds_before;
static char dir[] = "/tmp/bulkhead-test-XXXXXX";
static char path[PATH_MAX];
static const Bulkhead__Empty empty = BULKHEAD__EMPTY__INIT;
#define EMPTY &bulkhead__empty__descriptor

static void setup(void)
{
	fds_before = count_fds();
	cr_assert(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/worker.sock", dir);
	cr_assert_eq(loop_new(&loop), 0);
}

static void teardown(void)
{
	char command[PATH_MAX + 16];

	rpc_server_free(server);
	rpc_conn_free(client.conn);
	for (size_t i = 0; i < npeers; i++)
		rpc_conn_free(peers[i].conn);
	loop_free(loop);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	cr_assert_eq(system(command), 0);
	cr_assert_eq(count_fds(), fds_before, "descriptors leak");
}

TestSuite(server, .init = setup, .fini = teardown);

static void on_accepted(struct rpc_conn *conn, void *arg)
{
	cr_assert_eq(arg, &npeers);
	peers[npeers].conn = conn;
	rpc_conn_set_arg(conn, &peers[npeers]);
	npeers++;
	if (free_on_accept) {
		rpc_server_free(server);
		server = NULL;
	}
}

static int listen_as(uid_t uid)
{
	return rpc_server_new(loop, path, uid, &test_service, &side_ops, on_accepted, &npeers, &server);
}

static int connect_to(const char *where)
{
	return rpc_conn_connect(loop, where, "test", 3, NULL, &side_ops, &client, &client.conn);
}

/* Connect, and leave the socket to whoever reads from @to. */
static int connect_and_pass(int to)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct iovec iov = {(char[]){0}, 1};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	strcpy(address.sun_path, path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return 1;
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	return sendmsg(to, &msg, 0) == 1 ? 0 : 2;
}

static int echo(void)
{
	struct outcome outcome = {0};

	cr_assert_eq(rpc_request(client.conn, M_BAD_TYPE, &empty.base, EMPTY, NULL, 0, 0, on_outcome, &outcome), 0);
	fixture_settle(loop);
	return outcome.error;
}

Test(server, accepts_and_serves)
{
	cr_assert_eq(listen_as(getuid()), 0);
	cr_assert_eq(connect_to(path), 0);
	cr_assert_eq(echo(), -ENOSPC);
	cr_assert_eq(npeers, 1);
	cr_assert(peers[0].connected);
	cr_assert_eq(rpc_conn_peer(peers[0].conn)->pid, getpid());
	cr_assert_eq(rpc_conn_arg(peers[0].conn), &peers[0]);
}

Test(server, socket_file_has_mode_0600_whatever_the_umask)
{
	struct stat st;

	umask(0);
	cr_assert_eq(listen_as(getuid()), 0);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode, S_IFSOCK | 0600);
	rpc_server_free(server);
	server = NULL;
	cr_assert_eq(stat(path, &st), -1);
}

Test(server, connections_outlive_it)
{
	cr_assert_eq(listen_as(getuid()), 0);
	cr_assert_eq(connect_to(path), 0);
	fixture_settle(loop);
	rpc_server_free(server);
	server = NULL;
	cr_assert_eq(echo(), -ENOSPC);
}

Test(server, may_be_freed_when_it_accepts)
{
	free_on_accept = true;
	cr_assert_eq(listen_as(getuid()), 0);
	cr_assert_eq(connect_to(path), 0);
	cr_assert_eq(echo(), -ENOSPC);
}

Test(server, replaces_an_old_socket_but_no_other_file)
{
	struct rpc_server *old;
	struct stat st;

	cr_assert_eq(listen_as(getuid()), 0);
	old = server;
	cr_assert_eq(listen_as(getuid()), 0);
	/* The old one does not remove what is not its own. */
	rpc_server_free(old);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(connect_to(path), 0);
	cr_assert_eq(echo(), -ENOSPC);
	rpc_server_free(server);
	server = NULL;
	cr_assert_eq(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
	cr_assert_eq(listen_as(getuid()), -EEXIST);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert(S_ISREG(st.st_mode));
}

Test(server, long_paths)
{
	static const char name[] = "a-folder-with-a-name-of-about-fifty-characters-or-so";

	strcpy(path, dir);
	for (int i = 0; i < 4; i++) {
		strcat(path, "/");
		strcat(path, name);
		cr_assert_eq(mkdir(path, 0700), 0);
	}
	strcat(path, "/worker.sock");
	cr_assert_gt(strlen(path), 200);
	cr_assert_eq(listen_as(getuid()), 0);
	cr_assert_eq(connect_to(path), 0);
	cr_assert_eq(echo(), -ENOSPC);
	rpc_server_free(server);
	server = NULL;
	cr_assert_neq(access(path, F_OK), 0);
}

Test(server, nobody_listens)
{
	char nowhere[PATH_MAX + 16];

	snprintf(nowhere, sizeof(nowhere), "%s/no/socket", dir);
	cr_assert_eq(connect_to(path), -ENOENT);
	cr_assert_eq(connect_to(nowhere), -ENOENT);
	cr_assert_eq(connect_to(dir), -ECONNREFUSED);
	cr_assert_eq(connect_to("/tmp/"), -EINVAL);
	snprintf(path, sizeof(path), "%s/no/socket", dir);
	cr_assert_eq(listen_as(getuid()), -ENOENT);
}

/* A peer of another user: a child that gave up root. */
Test(server, other_users_are_refused_and_told)
{
	int status;
	pid_t child;

	if (getuid() != 0)
		cr_skip("only root can be somebody else");
	cr_assert_eq(chmod(dir, 0755), 0);
	cr_assert_eq(listen_as(12345), 0);
	cr_assert_eq(chmod(path, 0666), 0);
	child = fork();
	if (child == 0) {
		/* Nothing of the parent's loop is used: a raw socket reads the refusal. */
		struct sockaddr_un address = {.sun_family = AF_UNIX};
		int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
		uint8_t buf[1024];
		struct frame frame;
		struct err err;
		ssize_t n;

		snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", path);
		if (setuid(54321) < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
			_exit(1);
		n = recv(fd, buf, sizeof(buf), 0);
		if (n < 0 || frame_parse(buf, (size_t)n, &frame) < 0 || frame.kind != FRAME_GOODBYE)
			_exit(2);
		if (frame_parse_error(frame.payload, frame.payload_len, &err) < 0 || err.code != -EPERM)
			_exit(3);
		_exit(recv(fd, buf, sizeof(buf), 0) == 0 ? 0 : 4);
	}
	while (waitpid(child, &status, WNOHANG) == 0)
		cr_assert_eq(loop_run_once(loop, false), 0);
	cr_assert_eq(status, 0, "status %#x", status);
	cr_assert_eq(npeers, 0);
}

Test(server, out_of_descriptors)
{
	struct rlimit old, none;

	cr_assert_eq(listen_as(getuid()), 0);
	cr_assert_eq(connect_to(path), 0);
	getrlimit(RLIMIT_NOFILE, &old);
	none = old;
	none.rlim_cur = 0;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	fixture_settle(loop);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	cr_assert_eq(npeers, 0);
	/* Accepted when the pause is over. */
	while (!npeers)
		cr_assert_eq(loop_run_once(loop, true), 0);
	cr_assert_eq(echo(), -ENOSPC);
}

/* What somebody else keeps of a process that is gone is not that process, nor the next one with its number. */
Test(server, the_process_that_has_connected)
{
	siginfo_t info = {0};
	int pair[2];
	pid_t pid;

	cr_assert_eq(listen_as(getuid()), 0);
	cr_assert_eq(connect_to(path), 0);
	fixture_settle(loop);
	cr_assert_eq(rpc_conn_pidfd(client.conn), -EBADF, "only of who was accepted");
	cr_assert_eq(pidfd_send_signal(rpc_conn_pidfd(peers[0].conn), 0, NULL, 0), 0);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	pid = fork();
	if (pid == 0)
		_exit(connect_and_pass(pair[1]));
	cr_assert_eq(waitid(P_PID, (id_t)pid, &info, WEXITED), 0);
	cr_assert_eq(info.si_status, 0);
	fixture_settle(loop);
	cr_assert_eq(npeers, 2, "its socket lives, in our pair's buffer");
	cr_assert_eq(rpc_conn_peer(peers[1].conn)->pid, pid);
	if (rpc_conn_pidfd(peers[1].conn) >= 0) /* newer kernels tell of its end through it */
		cr_assert(pidfd_send_signal(rpc_conn_pidfd(peers[1].conn), 0, NULL, 0) < 0 && errno == ESRCH);
	else
		cr_assert_eq(rpc_conn_pidfd(peers[1].conn), -ESRCH);
	close(pair[0]);
	close(pair[1]);
}
