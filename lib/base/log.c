/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/text.h"

#define JOURNAL_SOCKET	"/run/systemd/journal/socket"
#define FIELD_MAX_LEN	192
#define LINE_MAX_LEN	2048
#define PREFIX_MAX_LEN	192
#define LIMIT_WINDOW_NS (5 * NS_PER_SEC)
#define LIMIT_BURST	10u

/* Written by log_init() before there are threads, read only afterwards. */
static struct {
	char prefix[PREFIX_MAX_LEN]; /* "vmworker vm1: "; for a journal, which knows the program, "vm1: " */
	const char *program;
	char vm[FIELD_MAX_LEN]; /* "": none, as in vmmgmtd */
	bool journal;
	bool debug;
	int journal_fd; /* connected to the journal's own socket, which takes fields; -1: its lines on stderr */
} log_state = {.journal_fd = -1};

/* JOURNAL_STREAM names the device and inode of what systemd opened; somebody may have redirected stderr since. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	if (!stream || sscanf(stream, "%llu:%llu", &dev, &ino) != 2)
		return false;
	return fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

/* Once, at the start: a sandbox may forbid sockets later. Return: -1 if there is none. */
static int connect_journal(void)
{
	const char *path = getenv("BULKHEAD_JOURNAL_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	path = path ? path : JOURNAL_SOCKET;
	if (strlen(path) >= sizeof(address.sun_path))
		return -1;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

void log_init(const char *program, const char *vm)
{
	const char *debug = getenv("BULKHEAD_DEBUG");

	log_state.program = program;
	snprintf(log_state.vm, sizeof(log_state.vm), "%s", vm ? vm : "");
	text_clean(log_state.vm);
	log_state.debug = debug && strcmp(debug, "1") == 0;
	log_state.journal = stderr_is_journal();
	if (log_state.journal && log_state.journal_fd < 0)
		log_state.journal_fd = connect_journal();
	if (log_state.journal)
		snprintf(log_state.prefix, sizeof(log_state.prefix), "%s%s", vm ? vm : "", vm ? ": " : "");
	else
		snprintf(log_state.prefix, sizeof(log_state.prefix), "%s%s%s: ", program, vm ? " " : "", vm ? vm : "");
}

/* Append to the line; what does not fit is cut. */
static void append(char *line, size_t *len, const char *fmt, va_list ap)
{
	int n = vsnprintf(line + *len, LINE_MAX_LEN - *len, fmt, ap);

	if (n > 0)
		*len = MIN(*len + (size_t)n, (size_t)LINE_MAX_LEN - 1);
}

__attribute__((format(printf, 3, 4))) static void appendf(char *line, size_t *len, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	append(line, len, fmt, ap);
	va_end(ap);
}

/*
 * Spec: systemd's "Native Journal Protocol": a datagram of lines FIELD=value. No value has a newline: all are cleaned.
 * Without a VM of its own a program is vmmgmtd, whose objects are VMs, in whose names there is no '/', and files.
 */
static bool send_to_journal(enum log_level level, const char *object, const char *text)
{
	char message[LINE_MAX_LEN + 64], about[FIELD_MAX_LEN] = "", fields[3 * FIELD_MAX_LEN + 128];
	const char *vm = log_state.vm, *kind = "BULKHEAD_DEVICE";
	struct iovec iov[] = {{.iov_base = message}, {.iov_base = fields}};
	struct msghdr datagram = {.msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov)};
	int n;

	if (object)
		snprintf(about, sizeof(about), "%s", object);
	text_clean(about);
	if (*about == '/')
		kind = "BULKHEAD_FILE";
	else if (!*vm)
		kind = "BULKHEAD_VM";
	iov[0].iov_len = (size_t)snprintf(message, sizeof(message), "MESSAGE=%s\nPRIORITY=%d\n", text, (int)level);
	n = snprintf(fields, sizeof(fields), "SYSLOG_IDENTIFIER=%s\n", log_state.program);
	if (*vm)
		n += snprintf(fields + n, sizeof(fields) - (size_t)n, "BULKHEAD_VM=%s\n", vm);
	if (*about)
		n += snprintf(fields + n, sizeof(fields) - (size_t)n, "%s=%s\n", kind, about);
	iov[1].iov_len = (size_t)n;
	return sendmsg(log_state.journal_fd, &datagram, MSG_NOSIGNAL) >= 0;
}

void log_at(enum log_level level, const char *object, const char *fmt, ...)
{
	int saved_errno = errno;
	char line[LINE_MAX_LEN + 1];
	size_t len = 0;
	va_list ap;

	if (level == LOG_LEVEL_DEBUG && !log_state.debug)
		return;
	line[0] = '\0';
	if (log_state.journal && log_state.journal_fd < 0)
		appendf(line, &len, "<%d>", (int)level);
	appendf(line, &len, "%s", log_state.prefix);
	if (object)
		appendf(line, &len, "%s: ", object);
	va_start(ap, fmt);
	errno = saved_errno; /* for %m */
	append(line, &len, fmt, ap);
	va_end(ap);
	text_clean(line);
	if (log_state.journal_fd >= 0 && log_state.journal && send_to_journal(level, object, line)) {
		errno = saved_errno;
		return;
	}
	len = strlen(line);
	line[len++] = '\n';
	/* One write a line, so that lines of several threads do not mix. If stderr fails there is nowhere to say so. */
	while (write(STDERR_FILENO, line, len) < 0 && errno == EINTR)
		;
	errno = saved_errno;
}

bool log_limit_take(struct log_limit *limit, uint64_t now_ns, unsigned int *ret_swallowed)
{
	*ret_swallowed = 0;
	if (now_ns - limit->window_start_ns >= LIMIT_WINDOW_NS) {
		*ret_swallowed = limit->suppressed;
		*limit = (struct log_limit){.window_start_ns = now_ns};
	}
	if (limit->in_window >= LIMIT_BURST) {
		limit->suppressed++;
		return false;
	}
	limit->in_window++;
	return true;
}

bool log_allowed(struct log_limit *limit, const char *object)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	unsigned int swallowed;
	bool allowed;

	pthread_mutex_lock(&lock);
	allowed = log_limit_take(limit, clock_now_ns(), &swallowed);
	pthread_mutex_unlock(&lock);
	if (swallowed)
		log_warn(object, "%u more lines like the next were not shown", swallowed);
	return allowed;
}
