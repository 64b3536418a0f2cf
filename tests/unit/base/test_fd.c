/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"

static char dir[] = "/tmp/bulkhead-test-XXXXXX";
static int dir_fd = -1;

static void setup(void)
{
	cr_assert(mkdtemp(dir));
	dir_fd = open(dir, O_PATH | O_DIRECTORY);
	cr_assert_geq(dir_fd, 0);
}

static void teardown(void)
{
	char command[64];

	close(dir_fd);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	cr_assert_eq(system(command), 0);
}

TestSuite(fd, .init = setup, .fini = teardown);

static int put_file(const char *name, const void *data, size_t len)
{
	int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(fd_write_full(fd, data, len), 0);
	cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static size_t count_files(void)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void assert_content(const char *name, const char *expected)
{
	_cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	size_t len;

	cr_assert_geq(fd, 0);
	cr_assert_eq(fd_read_all(fd, 4096, &text, &len), 0);
	cr_assert_eq(len, strlen(expected));
	cr_assert_str_eq(text, expected);
}

Test(fd, close_forgets)
{
	int fd = open("/dev/null", O_RDONLY), copy = fd;

	errno = ENOSPC;
	fd_close(&fd);
	cr_assert_eq(fd, -1);
	cr_assert_eq(errno, ENOSPC);
	cr_assert_eq(fcntl(copy, F_GETFD), -1);
	fd_close(&fd);
}

Test(fd, dup_is_close_on_exec)
{
	int fd = fd_dup(STDIN_FILENO);

	cr_assert_gt(fd, 2);
	cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	cr_assert_eq(fd_dup(999), -EBADF);
}

Test(fd, nonblock)
{
	int pipes[2];

	cr_assert_eq(pipe(pipes), 0);
	cr_assert_eq(fd_set_nonblock(pipes[0], true), 0);
	cr_assert(fcntl(pipes[0], F_GETFL) & O_NONBLOCK);
	cr_assert_eq(fd_set_nonblock(pipes[0], false), 0);
	cr_assert_not(fcntl(pipes[0], F_GETFL) & O_NONBLOCK);
	cr_assert_eq(fd_set_nonblock(-1, true), -EBADF);
	close(pipes[0]);
	close(pipes[1]);
}

Test(fd, read_full)
{
	_cleanup_close_ int fd = put_file("a", "0123456789", 10);
	char buf[11] = "";

	cr_assert_eq(fd_read_full(fd, buf, 4, 3), 0);
	cr_assert_str_eq(buf, "3456");
	cr_assert_eq(fd_read_full(fd, buf, 10, 0), 0);
	cr_assert_eq(fd_read_full(fd, buf, 10, 1), -EIO);
	cr_assert_eq(fd_read_full(-1, buf, 1, 0), -EBADF);
}

Test(fd, write_full_reports)
{
	_cleanup_close_ int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	cr_assert_eq(fd_write_full(full, "x", 1), -ENOSPC);
	cr_assert_eq(fd_write_full(full, "x", 0), 0);
}

Test(fd, read_all_and_its_limit)
{
	static char data[10000];
	_cleanup_close_ int fd = put_file("a", memset(data, 'x', sizeof(data)), sizeof(data));
	_cleanup_free_ char *text = NULL;
	size_t len = 5;

	cr_assert_eq(fd_read_all(fd, sizeof(data) - 1, &text, &len), -EFBIG);
	cr_assert_null(text);
	cr_assert_eq(len, 5);
	lseek(fd, 0, SEEK_SET);
	cr_assert_eq(fd_read_all(fd, sizeof(data), &text, &len), 0);
	cr_assert_eq(len, sizeof(data));
	cr_assert_eq(text[len], '\0');
}

Test(fd, read_all_of_nothing_and_without_limit)
{
	_cleanup_close_ int fd = put_file("a", "", 0);
	_cleanup_free_ char *text = NULL;
	size_t len;

	cr_assert_eq(fd_read_all(fd, 0, &text, &len), 0);
	cr_assert_eq(len, 0);
	cr_assert_str_eq(text, "");
	free(take_ptr(text));
	cr_assert_eq(fd_read_all(fd, SIZE_MAX, &text, &len), 0);
	free(take_ptr(text));
	cr_assert_eq(fd_read_all(dir_fd, 10, &text, &len), -EBADF);
}

Test(fd, read_all_of_a_pipe)
{
	_cleanup_free_ char *text = NULL;
	int pipes[2];
	size_t len;

	cr_assert_eq(pipe(pipes), 0);
	cr_assert_eq(write(pipes[1], "hello", 5), 5);
	close(pipes[1]);
	cr_assert_eq(fd_read_all(pipes[0], 5, &text, &len), 0);
	cr_assert_str_eq(text, "hello");
	close(pipes[0]);
}

Test(fd, memfd_keeps_its_size)
{
	_cleanup_close_ int fd = fd_memfd("test", 8192);
	struct stat st;

	cr_assert_geq(fd, 0);
	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_eq(st.st_size, 8192);
	cr_assert_eq(ftruncate(fd, 4096), -1);
	cr_assert_eq(ftruncate(fd, 16384), -1);
	cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	cr_assert_eq(pwrite(fd, "x", 1, 8191), 1);
}

Test(fd, replace_makes_and_replaces)
{
	struct stat st;

	umask(077);
	cr_assert_eq(file_replace(dir_fd, "vm.xml", "one", 3, 0644), 0);
	assert_content("vm.xml", "one");
	cr_assert_eq(file_replace(dir_fd, "vm.xml", "second", 6, 0640), 0);
	assert_content("vm.xml", "second");
	cr_assert_eq(fstatat(dir_fd, "vm.xml", &st, 0), 0);
	cr_assert_eq(st.st_mode & 07777, 0640);
	cr_assert_eq(count_files(), 1);
}

Test(fd, replace_leaves_readers_their_version)
{
	_cleanup_close_ int old = put_file("a", "old", 3);
	char buf[4] = "";

	cr_assert_eq(file_replace(dir_fd, "a", "new", 3, 0600), 0);
	cr_assert_eq(fd_read_full(old, buf, 3, 0), 0);
	cr_assert_str_eq(buf, "old");
	assert_content("a", "new");
}

Test(fd, replace_that_fails_leaves_nothing)
{
	cr_assert_eq(mkdirat(dir_fd, "a", 0700), 0);
	cr_assert_eq(file_replace(dir_fd, "a", "x", 1, 0600), -EISDIR);
	cr_assert_eq(file_replace(dir_fd, "a/b", "x", 1, 0600), -EINVAL);
	cr_assert_eq(file_replace(dir_fd, "", "x", 1, 0600), -EINVAL);
	cr_assert_eq(file_replace(-1, "a", "x", 1, 0600), -EBADF);
	cr_assert_eq(count_files(), 1);
}

Test(fd, replace_of_the_longest_name)
{
	char name[256];

	memset(name, 'n', 255);
	name[255] = '\0';
	cr_assert_eq(file_replace(dir_fd, name, "x", 1, 0600), 0);
	assert_content(name, "x");
}
