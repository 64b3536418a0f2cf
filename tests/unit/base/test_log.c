/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

static FILE *saved; /* the real stderr, for the test's own report */
static int file;    /* stands for it */
static char got[8192];

static void setup(void)
{
	saved = fdopen(dup(STDERR_FILENO), "w");
	file = fileno(tmpfile());
	dup2(file, STDERR_FILENO);
	unsetenv("JOURNAL_STREAM");
	setenv("BULKHEAD_JOURNAL_SOCKET", "/nonexistent", 1);
	unsetenv("BULKHEAD_DEBUG");
}

static void teardown(void)
{
	dup2(fileno(saved), STDERR_FILENO);
	fclose(saved);
}

TestSuite(log, .init = setup, .fini = teardown);

static const char *lines(void)
{
	off_t len = lseek(file, 0, SEEK_CUR);

	cr_assert_lt(len, (off_t)sizeof(got));
	cr_assert_eq(pread(file, got, (size_t)len, 0), len);
	got[len] = '\0';
	cr_assert_eq(ftruncate(file, 0), 0);
	lseek(file, 0, SEEK_SET);
	return got;
}

Test(log, names_program_vm_and_object)
{
	log_init("vmworker", "web1");
	log_error("disk sda", "cannot read block %d", 7);
	cr_assert_str_eq(lines(), "vmworker web1: disk sda: cannot read block 7\n");
	log_info(NULL, "ready");
	cr_assert_str_eq(lines(), "vmworker web1: ready\n");
	log_init("vmmgmtd", NULL);
	log_warn("vm web1", "gone");
	cr_assert_str_eq(lines(), "vmmgmtd: vm web1: gone\n");
}

Test(log, debug_only_when_asked_for)
{
	log_init("vmworker", NULL);
	log_debug(NULL, "quiet");
	cr_assert_str_eq(lines(), "");
	setenv("BULKHEAD_DEBUG", "1", 1);
	log_init("vmworker", NULL);
	log_debug(NULL, "loud");
	cr_assert_str_eq(lines(), "vmworker: loud\n");
}

Test(log, level_for_the_journal)
{
	char stream[64];
	struct stat st;

	fstat(file, &st);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_init("vmworker", "web1");
	log_warn("disk sda", "slow");
	cr_assert_str_eq(lines(), "<4>web1: disk sda: slow\n");
	/* stderr is something else by now */
	setenv("JOURNAL_STREAM", "1:1", 1);
	log_init("vmworker", "web1");
	log_warn(NULL, "slow");
	cr_assert_str_eq(lines(), "vmworker web1: slow\n");
}

Test(log, fields_for_the_journal)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char folder[] = "/tmp/bulkhead-log.XXXXXX", stream[64], text[1024];
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct stat st;
	ssize_t n;

	cr_assert(mkdtemp(folder));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", folder);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	setenv("BULKHEAD_JOURNAL_SOCKET", address.sun_path, 1);
	fstat(file, &st);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_init("vmworker", "web\n1");
	log_warn("disk\nsda", "slow\nBULKHEAD_VM=other");
	n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
	cr_assert_gt(n, 0);
	text[n] = 0;
	cr_assert_str_eq(text, "MESSAGE=web?1: disk?sda: slow?BULKHEAD_VM=other\nPRIORITY=4\n"
			       "SYSLOG_IDENTIFIER=vmworker\nBULKHEAD_VM=web?1\nBULKHEAD_DEVICE=disk?sda\n");
	log_init("vmmgmtd", NULL); /* its objects are VMs */
	log_info("web1", "running");
	n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
	cr_assert_gt(n, 0);
	text[n] = 0;
	cr_assert_str_eq(text, "MESSAGE=web1: running\nPRIORITY=6\nSYSLOG_IDENTIFIER=vmmgmtd\nBULKHEAD_VM=web1\n");
	log_warn("/run/bulkhead/x", "left over"); /* or files */
	n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
	cr_assert_gt(n, 0);
	text[n] = 0;
	cr_assert_str_eq(text, "MESSAGE=/run/bulkhead/x: left over\nPRIORITY=4\nSYSLOG_IDENTIFIER=vmmgmtd\n"
			       "BULKHEAD_FILE=/run/bulkhead/x\n");
	cr_assert_str_eq(lines(), "");
	close(fd); /* nobody listens any more: nothing is lost */
	log_warn("web1", "gone");
	cr_assert_str_eq(lines(), "web1: gone\n");
	unlink(address.sun_path);
	rmdir(folder);
}

Test(log, one_line_whatever_a_guest_says)
{
	log_init("vmworker", "a\nb");
	log_warn("c\nd", "%s", "e\nf\x1b");
	cr_assert_str_eq(lines(), "vmworker a?b: c?d: e?f?\n");
}

Test(log, long_lines_are_cut)
{
	static char text[5000];
	const char *line;

	memset(text, 'x', sizeof(text) - 1);
	log_init("vmworker", NULL);
	log_warn(NULL, "%s", text);
	line = lines();
	cr_assert_lt(strlen(line), 2100);
	cr_assert_gt(strlen(line), 1900);
	cr_assert_eq(strchr(line, '\n'), line + strlen(line) - 1);
}

Test(log, errno_is_kept_and_printed)
{
	log_init("vmworker", NULL);
	errno = ENOSPC;
	log_warn(NULL, "%m");
	cr_assert_eq(errno, ENOSPC);
	cr_assert_str_eq(lines(), "vmworker: No space left on device\n");
}

Test(log, limit_lets_a_burst_through_and_then_counts)
{
	struct log_limit limit = {0};
	uint64_t now = 1000 * NS_PER_SEC;
	unsigned int swallowed;

	for (int i = 0; i < 10; i++)
		cr_assert(log_limit_take(&limit, now, &swallowed));
	for (int i = 0; i < 7; i++)
		cr_assert_not(log_limit_take(&limit, now + 5 * NS_PER_SEC - 1, &swallowed));
	cr_assert_eq(swallowed, 0);
	cr_assert(log_limit_take(&limit, now + 5 * NS_PER_SEC, &swallowed));
	cr_assert_eq(swallowed, 7);
	for (int i = 0; i < 9; i++)
		cr_assert(log_limit_take(&limit, now + 5 * NS_PER_SEC, &swallowed));
	cr_assert_eq(swallowed, 0);
	cr_assert_not(log_limit_take(&limit, now + 5 * NS_PER_SEC, &swallowed));
}

Test(log, allowed_reports_what_it_swallowed)
{
	struct log_limit limit = {.window_start_ns = clock_now_ns() - 6 * NS_PER_SEC, .in_window = 10, .suppressed = 3};

	log_init("vmworker", NULL);
	cr_assert(log_allowed(&limit, "channel 3"));
	cr_assert_str_eq(lines(), "vmworker: channel 3: 3 more lines like the next were not shown\n");
	cr_assert(log_allowed(&limit, "channel 3"));
	cr_assert_str_eq(lines(), "");
}
