/*
 * agent: both ends of the bed's command channel.
 *
 *   agent serve PORT                              inside the bed, on a virtio-serial port
 *   agent call SOCKET WAIT TIMEOUT -- COMMAND...  on the host, on QEMU's end of that port
 *
 * Theory of operation: the channel carries frames {type, length, payload}, both integers little endian. The caller repeats
 * HELLO (its clock and 32 random bytes, because a restored bed wakes up in the past with everybody else's random state)
 * until it is answered, then sends one EXEC (the argument vector, each argument ended by a NUL). The server runs it in a
 * cgroup of its own and streams OUT and ERR as they come, then EXIT. KILL kills that whole cgroup; EXIT still follows.
 * SIGUSR1 of the caller goes to the command (frame TELL), which may have something to say; by itself it changes nothing.
 *
 * Limits: one command at a time; the command's input is /dev/null. When the command itself has ended, what is in its
 * pipes is sent, but processes that it left behind are not waited for. The server blocks while the caller does not read.
 *
 * Exit status of call: the command's, 128 + signal, 124 after TIMEOUT seconds, 125 if the bed failed.
 */
#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FRAME_MAX (128 * 1024)
#define CHUNK (32 * 1024)
#define STATUS_TIMEOUT 124
#define STATUS_BED 125
#define KILL_GRACE_S 10

enum frame_type { HELLO = 'H', EXEC = 'X', KILL = 'K', TELL = 'T', OUT = '1', ERR = '2', EXIT = 'E' };

struct frame {
	uint32_t type_le32;
	uint32_t len_le32;
};

struct hello {
	uint64_t sec_le64;
	uint64_t nsec_le64;
	uint8_t seed[32];
};

/* Bytes received and not yet parsed. Invariant: used <= sizeof(data). */
struct inbox {
	size_t used;
	uint8_t data[sizeof(struct frame) + FRAME_MAX];
};

static struct inbox inbox;
static volatile sig_atomic_t timed_out, tell;

static void __attribute__((format(printf, 2, 3), noreturn)) die(int status, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fputs("bed: ", stderr);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(status);
}

/* Write it all. Return: 0, or -errno (-EINTR only once the time is up). */
static int write_all(int fd, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR && !timed_out)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int frame_send(int fd, enum frame_type type, const void *data, size_t len)
{
	static uint8_t buf[sizeof(struct frame) + FRAME_MAX];
	struct frame frame = { htole32(type), htole32((uint32_t)len) };

	if (len > FRAME_MAX)
		return -EMSGSIZE;
	memcpy(buf, &frame, sizeof(frame));
	if (len)
		memcpy(buf + sizeof(frame), data, len);
	return write_all(fd, buf, sizeof(frame) + len);
}

/* Read what there is into the inbox. Return: bytes read, 0 at the end of the connection, or -errno. */
static ssize_t inbox_fill(int fd)
{
	ssize_t n = read(fd, inbox.data + inbox.used, sizeof(inbox.data) - inbox.used);

	if (n < 0)
		return -errno;
	inbox.used += (size_t)n;
	return n;
}

/*
 * Take one whole frame out of the inbox. The payload is copied to payload (FRAME_MAX bytes).
 * Return: 0, -EAGAIN if there is none yet, -EPROTO if what came is no frame.
 */
static int inbox_take(uint32_t *ret_type, uint8_t *payload, size_t *ret_len)
{
	struct frame frame;
	size_t len;

	if (inbox.used < sizeof(frame))
		return -EAGAIN;
	memcpy(&frame, inbox.data, sizeof(frame));
	len = le32toh(frame.len_le32);
	if (len > FRAME_MAX)
		return -EPROTO;
	if (inbox.used < sizeof(frame) + len)
		return -EAGAIN;
	memcpy(payload, inbox.data + sizeof(frame), len);
	inbox.used -= sizeof(frame) + len;
	memmove(inbox.data, inbox.data + sizeof(frame) + len, inbox.used);
	*ret_type = le32toh(frame.type_le32);
	*ret_len = len;
	return 0;
}

/* ---- server ---- */

/* The command that runs. Invariant: pid is 0 and all descriptors are -1 when there is none. */
struct command {
	pid_t pid;
	int pidfd;
	int out[2]; /* read ends of its standard output and standard error */
};

static char cgroup_dir[4096];

/* Make the commands' cgroup below our own. Without one (no cgroup v2) the server still works, but KILL reaches the child only. */
static void cgroup_make(void)
{
	char line[2048] = "";
	FILE *f = fopen("/proc/self/cgroup", "re");

	if (f && fgets(line, sizeof(line), f) && !strncmp(line, "0::", 3)) {
		line[strcspn(line, "\n")] = 0;
		snprintf(cgroup_dir, sizeof(cgroup_dir), "/sys/fs/cgroup%s/command", line + 3);
		if (mkdir(cgroup_dir, 0755) && errno != EEXIST)
			cgroup_dir[0] = 0;
	}
	if (f)
		fclose(f);
}

static int cgroup_write(const char *file, const char *text)
{
	char path[sizeof(cgroup_dir) + 32];
	int fd, r;

	snprintf(path, sizeof(path), "%s/%s", cgroup_dir, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = write_all(fd, text, strlen(text));
	close(fd);
	return r;
}

static void command_kill(struct command *command)
{
	if (!command->pid)
		return;
	if (!cgroup_dir[0] || cgroup_write("cgroup.kill", "1"))
		kill(command->pid, SIGKILL);
}

static void __attribute__((noreturn)) command_child(char **argv, int out, int err)
{
	if (cgroup_dir[0])
		cgroup_write("cgroup.procs", "0");
	setsid();
	dup2(open("/dev/null", O_RDONLY), 0);
	dup2(out, 1);
	dup2(err, 2);
	signal(SIGPIPE, SIG_DFL);
	execvp(argv[0], argv);
	fprintf(stderr, "bed: %s: %s\n", argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

/* Start a command. payload: its arguments, each ended by a NUL. Return: 0 or -errno. */
static int command_start(struct command *command, char *payload, size_t len)
{
	char *argv[1024];
	int out[2], err[2];
	size_t argc = 0;

	if (!len || payload[len - 1])
		return -EPROTO;
	for (char *p = payload; p < payload + len && argc < 1023; p += strlen(p) + 1)
		argv[argc++] = p;
	argv[argc] = NULL;
	if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		return -errno;
	command->pid = fork();
	if (command->pid < 0)
		return -errno;
	if (!command->pid)
		command_child(argv, out[1], err[1]);
	close(out[1]);
	close(err[1]);
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	fcntl(err[0], F_SETFL, O_NONBLOCK);
	command->out[0] = out[0];
	command->out[1] = err[0];
	command->pidfd = pidfd_open(command->pid, 0);
	return command->pidfd < 0 ? -errno : 0;
}

/* Pass on what is in stream i, at most limit bytes; at its end, close it. */
static void command_forward(struct command *command, int i, int port, size_t limit)
{
	uint8_t buf[CHUNK];

	while (limit && command->out[i] >= 0) {
		ssize_t n = read(command->out[i], buf, limit < sizeof(buf) ? limit : sizeof(buf));

		if (n < 0 && errno == EAGAIN)
			return;
		if (n > 0) {
			frame_send(port, i ? ERR : OUT, buf, (size_t)n);
			limit -= (size_t)n;
		} else {
			close(command->out[i]);
			command->out[i] = -1;
		}
	}
}

static void command_end(struct command *command, int port)
{
	uint32_t status_le32;
	int wstatus = 0, pending;

	for (int i = 0; i < 2; i++) {
		if (command->out[i] < 0)
			continue;
		if (!ioctl(command->out[i], FIONREAD, &pending) && pending > 0)
			command_forward(command, i, port, (size_t)pending);
		if (command->out[i] >= 0)
			close(command->out[i]);
	}
	waitpid(command->pid, &wstatus, 0);
	close(command->pidfd);
	status_le32 = htole32((uint32_t)(WIFEXITED(wstatus) ? WEXITSTATUS(wstatus) : 128 + WTERMSIG(wstatus)));
	frame_send(port, EXIT, &status_le32, sizeof(status_le32));
	*command = (struct command){ 0, -1, { -1, -1 } };
}

static void serve_hello(const uint8_t *payload, size_t len)
{
	struct hello hello;
	struct timespec ts;
	int fd;

	if (len != sizeof(hello))
		return;
	memcpy(&hello, payload, sizeof(hello));
	ts.tv_sec = (time_t)le64toh(hello.sec_le64);
	ts.tv_nsec = (long)le64toh(hello.nsec_le64);
	clock_settime(CLOCK_REALTIME, &ts);
	fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	if (fd >= 0 && !write_all(fd, hello.seed, sizeof(hello.seed)))
		ioctl(fd, RNDRESEEDCRNG);
	if (fd >= 0)
		close(fd);
}

/* Handle every whole frame received. Return: 0, or -EPROTO. */
static int serve_frames(struct command *command, int port)
{
	static uint8_t payload[FRAME_MAX];
	static const uint32_t failed_le32 = STATUS_BED;
	uint32_t type;
	size_t len;
	int r;

	while (!(r = inbox_take(&type, payload, &len))) {
		if (type == HELLO) {
			serve_hello(payload, len);
			frame_send(port, HELLO, NULL, 0);
		} else if (type == KILL) {
			command_kill(command);
		} else if (type == TELL) {
			if (command->pid)
				kill(command->pid, SIGUSR1);
		} else if (type != EXEC || command->pid) {
			return -EPROTO;
		} else if (command_start(command, (char *)payload, len)) {
			frame_send(port, EXIT, &failed_le32, sizeof(failed_le32));
		}
	}
	return r == -EAGAIN ? 0 : r;
}

static int serve(const char *path)
{
	struct command command = { 0, -1, { -1, -1 } };
	int port = open(path, O_RDWR | O_CLOEXEC);

	if (port < 0)
		die(1, "%s: %s", path, strerror(errno));
	signal(SIGPIPE, SIG_IGN);
	cgroup_make();
	for (;;) {
		struct pollfd fds[] = {
			{ port, POLLIN, 0 },
			{ command.out[0], POLLIN, 0 },
			{ command.out[1], POLLIN, 0 },
			{ command.pidfd, POLLIN, 0 },
		};

		if (poll(fds, 4, -1) < 0)
			continue;
		if (fds[0].revents & POLLIN) {
			if (inbox_fill(port) > 0 && serve_frames(&command, port))
				die(1, "the caller sent nonsense");
		} else if (fds[0].revents & POLLHUP) {
			/* Nobody is connected; the port has no way to wait for somebody. */
			inbox.used = 0;
			command_kill(&command);
			usleep(5000);
		}
		for (int i = 0; i < 2; i++)
			if (fds[1 + i].revents)
				command_forward(&command, i, port, CHUNK);
		if (fds[3].revents)
			command_end(&command, port);
	}
}

/* ---- caller ---- */

static void on_alarm(int signo)
{
	(void)signo;
	timed_out = 1;
}

static void on_tell(int signo)
{
	(void)signo;
	tell = 1;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int call_connect(const char *path, double deadline)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(path) >= sizeof(addr.sun_path))
		die(STATUS_BED, "%s: cannot use this socket path", path);
	strcpy(addr.sun_path, path);
	while (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		if (now() > deadline)
			die(STATUS_BED, "%s: %s: the bed's machine does not run", path, strerror(errno));
		usleep(2000);
	}
	return fd;
}

/* Say hello until the bed answers. */
static void call_hello(int fd, double deadline)
{
	static uint8_t payload[FRAME_MAX];
	struct hello hello;
	struct timespec ts;
	uint32_t type;
	size_t len;

	while (now() < deadline) {
		struct pollfd pfd = { fd, POLLIN, 0 };

		clock_gettime(CLOCK_REALTIME, &ts);
		hello.sec_le64 = htole64((uint64_t)ts.tv_sec);
		hello.nsec_le64 = htole64((uint64_t)ts.tv_nsec);
		if (getrandom(hello.seed, sizeof(hello.seed), 0) < 0 || frame_send(fd, HELLO, &hello, sizeof(hello)))
			die(STATUS_BED, "the bed's machine went away");
		if (poll(&pfd, 1, 500) > 0 && inbox_fill(fd) <= 0)
			die(STATUS_BED, "the bed's machine went away");
		if (!inbox_take(&type, payload, &len) && type == HELLO)
			return;
	}
	die(STATUS_BED, "the bed does not answer");
}

static void call_exec(int fd, char **argv)
{
	static char payload[FRAME_MAX];
	size_t len = 0;

	for (; *argv; argv++) {
		size_t n = strlen(*argv) + 1;

		if (n > sizeof(payload) - len)
			die(STATUS_BED, "the command is too long");
		memcpy(payload + len, *argv, n);
		len += n;
	}
	if (frame_send(fd, EXEC, payload, len))
		die(STATUS_BED, "the bed's machine went away");
}

/* The time is up: kill the command, then give the bed a little time to say so. Called again, give up. */
static void call_timeout(int fd, int seconds)
{
	static int said;

	if (said++) {
		fprintf(stderr, "bed: the bed does not react to the kill\n");
		exit(STATUS_TIMEOUT);
	}
	timed_out = 0;
	fprintf(stderr, "bed: timeout: the command was killed after %d s\n", seconds);
	alarm(KILL_GRACE_S);
	frame_send(fd, KILL, NULL, 0);
}

static int call_stream(int fd, int seconds)
{
	static uint8_t payload[FRAME_MAX];
	uint32_t type, status_le32;
	int killed = 0, r;
	size_t len;

	for (;;) {
		struct pollfd pfd = { fd, POLLIN, 0 };

		if (timed_out) {
			killed = 1;
			call_timeout(fd, seconds);
		}
		if (tell) {
			tell = 0;
			frame_send(fd, TELL, NULL, 0);
		}
		if (poll(&pfd, 1, 500) <= 0)
			continue;
		if (inbox_fill(fd) <= 0)
			die(STATUS_BED, "the bed's machine went away");
		while (!(r = inbox_take(&type, payload, &len))) {
			if ((type == OUT || type == ERR) && !killed)
				write_all(type == OUT ? 1 : 2, payload, len);
			if (type != EXIT)
				continue;
			if (killed || timed_out)
				return STATUS_TIMEOUT;
			memcpy(&status_le32, payload, sizeof(status_le32));
			return (int)le32toh(status_le32);
		}
		if (r != -EAGAIN)
			die(STATUS_BED, "the bed sent nonsense");
	}
}

static int call(const char *path, int wait_s, int timeout_s, char **argv)
{
	struct sigaction action = { .sa_handler = on_alarm }, action_tell = { .sa_handler = on_tell };
	double deadline = now() + wait_s;
	int fd;

	/* From the start: one that comes while the bed does not answer yet is passed on when there is a command. */
	sigaction(SIGUSR1, &action_tell, NULL);
	fd = call_connect(path, deadline);
	call_hello(fd, deadline);
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGALRM, &action, NULL);
	alarm((unsigned int)timeout_s);
	call_exec(fd, argv);
	return call_stream(fd, timeout_s);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "serve"))
		return serve(argv[2]);
	if (argc > 6 && !strcmp(argv[1], "call") && !strcmp(argv[5], "--"))
		return call(argv[2], atoi(argv[3]), atoi(argv[4]), argv + 6);
	die(2, "usage: agent serve PORT | agent call SOCKET WAIT TIMEOUT -- COMMAND...");
}
