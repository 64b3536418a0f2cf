/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "console.h"
#include "console_queue.h"

static struct loop *loop;
static struct console *console;
static struct err err;

/* the guest's side of input */
static char got[4096];
static size_t got_len, guest_room;

static size_t fake_input(void *arg, const void *buf, size_t len)
{
	size_t taken = len < guest_room ? len : guest_room;

	memcpy(got + got_len, buf, taken);
	got_len += taken;
	guest_room -= taken;
	return taken;
}

static void setup(void)
{
	got_len = 0;
	guest_room = sizeof(got);
	signal(SIGPIPE, SIG_IGN); /* as in every daemon */
	cr_assert_eq(loop_new(&loop), 0);
}

static void teardown(void)
{
	loop_free(loop);
}

TestSuite(console, .init = setup, .fini = teardown, .timeout = 30);

static void start(int log_fd, bool want_pty)
{
	cr_assert_eq(console_new(loop, log_fd, want_pty, fake_input, NULL, &err, &console), 0, "%s", err.text);
}

/* Run the loop for a while. */
static void run(unsigned int ms)
{
	uint64_t end = clock_now_ns() + ms * NS_PER_MS;

	while (clock_now_ns() < end) {
		loop_run_once(loop, false);
		poll(NULL, 0, 1);
	}
}

static void say(const char *text)
{
	console_write(console, text, strlen(text));
}

/* Run the loop until @fd has given @len bytes. */
static void expect(int fd, const char *text)
{
	char buf[4096];
	size_t len = strlen(text), have = 0;

	fd_set_nonblock(fd, true);
	for (int i = 0; have < len && i < 2000; i++) {
		ssize_t n;

		run(1);
		n = read(fd, buf + have, len - have);
		if (n > 0)
			have += (size_t)n;
	}
	cr_assert_eq(have, len, "%zu of %zu bytes", have, len);
	cr_assert_eq(memcmp(buf, text, len), 0, "'%.*s' is not '%s'", (int)have, buf, text);
}

/* Run the loop until the guest has taken @len bytes. */
static void expect_input(size_t len)
{
	for (int i = 0; got_len < len && i < 2000; i++)
		run(1);
	cr_assert_eq(got_len, len);
}

Test(console, queue_wraps_and_forgets_the_oldest)
{
	struct console_queue queue, copy;
	const uint8_t *p;
	char all[16] = "";

	queue_init(&queue, 8);
	queue_put(&queue, "abcdef", 6);
	queue_skip(&queue, 3);
	queue_put(&queue, "ghijk", 5);
	cr_assert_eq(queue.len, 8);
	cr_assert_eq(queue.missed, 0);
	queue_put(&queue, "lm", 2);
	cr_assert_eq(queue.missed, 2);
	queue_init(&copy, 16);
	queue_copy(&copy, &queue);
	for (size_t n; (n = queue_peek(&queue, &p)); queue_skip(&queue, n))
		strncat(all, (const char *)p, n);
	cr_assert_str_eq(all, "fghijklm");
	cr_assert_eq(queue_peek(&copy, &p), 8);
	cr_assert_eq(memcmp(p, "fghijklm", 8), 0);
	queue_put(&queue, "0123456789", 10);
	cr_assert_eq(queue.missed, 4);
	cr_assert_eq(queue_peek(&queue, &p), 8);
	cr_assert_eq(memcmp(p, "23456789", 8), 0);
	queue_done(&queue);
	queue_done(&copy);
}

Test(console, queue_grows)
{
	struct console_queue queue;
	char block[1000];
	const uint8_t *p;
	uint64_t next = 0;

	queue_init(&queue, 100000);
	for (int i = 0; i < 50; i++) {
		memset(block, i, sizeof(block));
		queue_put(&queue, block, sizeof(block));
		if (i % 3 == 0) {
			cr_assert_gt(queue_peek(&queue, &p), 0);
			queue_skip(&queue, 1);
			next++;
		}
	}
	cr_assert_eq(queue.missed, 0);
	for (size_t n; (n = queue_peek(&queue, &p)); queue_skip(&queue, n))
		for (size_t i = 0; i < n; i++, next++)
			cr_assert_eq(p[i], next / 1000);
	cr_assert_eq(next, 50000);
	cr_assert_eq(queue.cap, 0, "an empty queue holds no memory");
	queue_done(&queue);
}

static void expect_file(int fd, const char *text)
{
	char *buf;
	size_t len;

	lseek(fd, 0, SEEK_SET);
	cr_assert_eq(fd_read_all(fd, 1 << 20, &buf, &len), 0);
	cr_assert_str_eq(buf, text);
	free(buf);
}

Test(console, log_gets_everything)
{
	int log = memfd_create("log", MFD_CLOEXEC);

	start(dup(log), false);
	say("one ");
	run(10);
	expect_file(log, "one ");
	say("two ");
	say("three");
	console_free(console); /* flushes without the loop */
	expect_file(log, "one two three");
	close(log);
}

Test(console, sockets_with_and_without_backlog)
{
	int a, b;

	start(-1, false);
	say("early ");
	a = console_open(console, true);
	b = console_open(console, false);
	cr_assert_geq(a, 0);
	cr_assert_geq(b, 0);
	say("late");
	expect(a, "early late");
	expect(b, "late");
	console_free(console);
	close(a);
	close(b);
}

Test(console, backlog_is_bounded)
{
	static char block[CONSOLE_BACKLOG + 100], back[CONSOLE_BACKLOG + 100];
	size_t have = 0;
	ssize_t n;
	int fd;

	start(-1, false);
	memset(block, 'x', 100);
	memset(block + 100, 'y', CONSOLE_BACKLOG);
	console_write(console, block, sizeof(block));
	fd = console_open(console, true);
	run(5);
	fd_set_nonblock(fd, true);
	for (int idle = 0; idle < 20; run(1)) {
		n = read(fd, back + have, sizeof(back) - have);
		have += n > 0 ? (size_t)n : 0;
		idle = n > 0 ? 0 : idle + 1;
	}
	cr_assert_eq(have, CONSOLE_BACKLOG);
	cr_assert_eq(memcmp(back, block + 100, have), 0);
	console_free(console);
	close(fd);
}

Test(console, input_waits_for_the_guest)
{
	int fd;

	start(-1, false);
	fd = console_open(console, false);
	guest_room = 3;
	cr_assert_eq(write(fd, "hello world", 11), 11);
	expect_input(3);
	guest_room = 4;
	console_input_ready(console);
	expect_input(7);
	guest_room = 100;
	console_input_ready(console);
	run(10);
	cr_assert_eq(write(fd, "!", 1), 1);
	expect_input(12);
	cr_assert_eq(memcmp(got, "hello world!", 12), 0);
	console_free(console);
	close(fd);
}

Test(console, a_slow_reader_is_told_what_it_missed)
{
	static char block[65536], back[4 << 20];
	size_t have = 0;
	unsigned long long missed = 0;
	const char *note;
	ssize_t n;
	int fd;

	start(-1, false);
	fd = console_open(console, false);
	memset(block, 'z', sizeof(block));
	for (int i = 0; i < 48; i++) { /* 3 MiB */
		console_write(console, block, sizeof(block));
		if (i % 8 == 7)
			run(5);
	}
	run(10);
	fd_set_nonblock(fd, true);
	for (int idle = 0; idle < 20;) {
		n = read(fd, back + have, sizeof(back) - have - 1);
		have += n > 0 ? (size_t)n : 0;
		idle = n > 0 ? 0 : idle + 1;
		run(1);
	}
	note = strstr(back, "\r\n[console: ");
	cr_assert_not_null(note);
	cr_assert_eq(sscanf(note, "\r\n[console: %llu bytes missed]\r\n", &missed), 1);
	cr_assert_gt(missed, 0);
	cr_assert_gt(have, CONSOLE_BUFFER);
	cr_assert_lt(have, 3u << 20);
	cr_assert_eq(have - strcspn(note + 2, "\n") - 3 + missed, 3u << 20, "every byte is there or counted");
	console_free(console);
	close(fd);
}

Test(console, readers_come_and_go)
{
	int fd, other;

	start(-1, false);
	other = console_open(console, false);
	for (int i = 0; i < 100; i++) { /* more than may be attached at once */
		fd = console_open(console, true);
		cr_assert_geq(fd, 0);
		close(fd);
	}
	fd = console_open(console, false);
	say("x");
	expect(fd, "x");
	close(fd);
	say("y");
	run(10);
	expect(other, "xy");
	console_free(console);
	close(other);
}

Test(console, too_many_readers)
{
	int fds[64], count = 0;

	start(-1, false);
	while (count < 64 && (fds[count] = console_open(console, false)) >= 0)
		count++;
	cr_assert_eq(count, 32);
	cr_assert_eq(fds[count], -EMFILE);
	close(fds[0]);
	fds[0] = console_open(console, false);
	cr_assert_geq(fds[0], 0);
	console_free(console);
	while (count)
		close(fds[--count]);
}

Test(console, half_closed_reader_still_listens)
{
	int fd;

	start(-1, false);
	fd = console_open(console, false);
	cr_assert_eq(write(fd, "in", 2), 2);
	shutdown(fd, SHUT_WR);
	expect_input(2);
	say("out");
	expect(fd, "out");
	console_free(console);
	close(fd);
}

Test(console, pty)
{
	int fd;

	start(-1, true);
	cr_assert_eq(strncmp(console_pty_path(console), "/dev/", 5), 0);
	say("login:\n");
	fd = open(console_pty_path(console), O_RDWR | O_NOCTTY);
	cr_assert_geq(fd, 0);
	expect(fd, "login:\n");
	cr_assert_eq(write(fd, "root\r", 5), 5);
	expect_input(5);
	cr_assert_eq(memcmp(got, "root\r", 5), 0, "raw: no translation, no echo");
	close(fd);
	run(10);
	say("again");
	fd = open(console_pty_path(console), O_RDWR | O_NOCTTY);
	expect(fd, "again");
	close(fd);
	console_free(console);
}

Test(console, pty_without_a_reader_holds_nobody_up)
{
	static char block[65536];
	int log = memfd_create("log", MFD_CLOEXEC);

	memset(block, 'q', sizeof(block));
	start(dup(log), true);
	for (int i = 0; i < 32; i++) {
		console_write(console, block, sizeof(block));
		run(3);
	}
	console_free(console);
	cr_assert_eq(lseek(log, 0, SEEK_END), 32 * (off_t)sizeof(block));
	close(log);
}

Test(console, slow_log_pipe_gets_everything)
{
	static char block[65536];
	uint8_t back[4096];
	size_t have = 0;
	int fds[2];
	ssize_t n;

	cr_assert_eq(pipe(fds), 0);
	start(fds[1], false);
	for (int i = 0; i < 32; i++) { /* 2 MiB into a pipe of 64 KiB */
		memset(block, i, sizeof(block));
		console_write(console, block, sizeof(block));
	}
	run(10);
	fd_set_nonblock(fds[0], true);
	while (have < 32 * sizeof(block)) {
		loop_run_once(loop, false);
		n = read(fds[0], back, sizeof(back));
		for (ssize_t i = 0; i < n; i++, have++)
			cr_assert_eq(back[i], have / sizeof(block));
	}
	close(fds[0]);
	say("nobody reads this");
	run(10);
	console_free(console);
}

Test(console, full_disk_is_noted)
{
	int full = open("/dev/full", O_WRONLY);

	cr_assert_geq(full, 0);
	start(full, false);
	say("lost");
	run(10);
	say("lost too");
	run(10);
	console_free(console);
}

static void *writer(void *arg)
{
	const char *line = arg;

	for (int i = 0; i < 2000; i++)
		console_write(console, line, 8);
	return NULL;
}

Test(console, threads_do_not_mix_their_lines)
{
	int log = memfd_create("log", MFD_CLOEXEC);
	size_t a = 0, b = 0, len;
	pthread_t thread[2];
	char *buf;

	start(dup(log), false);
	pthread_create(&thread[0], NULL, writer, (void *)(uintptr_t) "aaaaaaa\n");
	pthread_create(&thread[1], NULL, writer, (void *)(uintptr_t) "bbbbbbb\n");
	run(30);
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
	console_free(console);
	lseek(log, 0, SEEK_SET);
	cr_assert_eq(fd_read_all(log, 1 << 20, &buf, &len), 0);
	cr_assert_eq(len, 2 * 2000 * 8);
	for (size_t i = 0; i < len; i += 8) {
		cr_assert(!memcmp(buf + i, "aaaaaaa\n", 8) || !memcmp(buf + i, "bbbbbbb\n", 8));
		a += buf[i] == 'a';
		b += buf[i] == 'b';
	}
	cr_assert_eq(a, 2000);
	cr_assert_eq(b, 2000);
	free(buf);
	close(log);
}
