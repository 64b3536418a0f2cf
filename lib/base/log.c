/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/text.h"

#define LINE_MAX_LEN	2048
#define PREFIX_MAX_LEN	192
#define LIMIT_WINDOW_NS (5 * NS_PER_SEC)
#define LIMIT_BURST	10u

/* Written by log_init() before there are threads, read only afterwards. */
static struct {
	char prefix[PREFIX_MAX_LEN]; /* "vmworker vm1: "; for a journal, which knows the program, "vm1: " */
	bool journal;
	bool debug;
} log_state;

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

void log_init(const char *program, const char *vm)
{
	const char *debug = getenv("BULKHEAD_DEBUG");

	log_state.debug = debug && strcmp(debug, "1") == 0;
	log_state.journal = stderr_is_journal();
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

void log_at(enum log_level level, const char *object, const char *fmt, ...)
{
	int saved_errno = errno;
	char line[LINE_MAX_LEN + 1];
	size_t len = 0;
	va_list ap;

	if (level == LOG_LEVEL_DEBUG && !log_state.debug)
		return;
	line[0] = '\0';
	if (log_state.journal)
		appendf(line, &len, "<%d>", (int)level);
	appendf(line, &len, "%s", log_state.prefix);
	if (object)
		appendf(line, &len, "%s: ", object);
	va_start(ap, fmt);
	errno = saved_errno; /* for %m */
	append(line, &len, fmt, ap);
	va_end(ap);
	text_clean(line);
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
