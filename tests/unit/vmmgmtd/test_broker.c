/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker.h"
#include "scratch.h"

static char folder[256], image[300], other[300];
static struct err err;

static void setup(void)
{
	int fd;

	scratch_new(folder, sizeof(folder));
	snprintf(image, sizeof(image), "%s/image", folder);
	snprintf(other, sizeof(other), "%s/other", folder);
	fd = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_eq(ftruncate(fd, 65536), 0);
	close(fd);
}

static void teardown(void)
{
	scratch_remove(folder);
}

TestSuite(broker, .init = setup, .fini = teardown);

static struct domain_disk disk_of(char *path, bool readonly)
{
	return (struct domain_disk){.target = "sda", .image = path, .readonly = readonly, .block_bytes = 512};
}

static int open_disk(char *path, bool readonly, int *ret_fd)
{
	struct domain_disk disk = disk_of(path, readonly);

	return broker_open_disk(&disk, NULL, &err, ret_fd);
}

Test(broker, a_writer_is_alone)
{
	int one = -1, two = -1;

	cr_assert_eq(open_disk(image, false, &one), 0, "%s", err.text);
	cr_assert(fcntl(one, F_GETFD) & FD_CLOEXEC);
	cr_assert_eq(fcntl(one, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDWR);
	cr_assert_eq(open_disk(image, false, &two), -EBUSY);
	cr_assert(strstr(err.text, image) && strstr(err.text, "in use by another program"));
	cr_assert_eq(open_disk(image, true, &two), -EBUSY);
	close(one);
	cr_assert_eq(open_disk(image, false, &two), 0, "%s", err.text);
	close(two);
}

Test(broker, readers_share)
{
	int one = -1, two = -1, three = -1;

	cr_assert_eq(open_disk(image, true, &one), 0, "%s", err.text);
	cr_assert_eq(open_disk(image, true, &two), 0, "%s", err.text);
	cr_assert_eq(open_disk(image, false, &three), -EBUSY);
	close(one);
	cr_assert_eq(open_disk(image, false, &three), -EBUSY);
	close(two);
	cr_assert_eq(open_disk(image, false, &three), 0, "%s", err.text);
	close(three);
}

/* The lock goes with the descriptor, not with us. */
Test(broker, the_lock_lives_as_long_as_a_copy)
{
	int one = -1, two = -1, copy;

	cr_assert_eq(open_disk(image, false, &one), 0);
	copy = dup(one);
	close(one);
	cr_assert_eq(open_disk(image, false, &two), -EBUSY);
	close(copy);
	cr_assert_eq(open_disk(image, false, &two), 0);
	close(two);
}

/* As QEMU does it: shared locks on bytes 100 + permission and 200 + permission that is not shared. */
static int as_qemu(const off_t *bytes)
{
	int fd = open(image, O_RDWR | O_CLOEXEC);

	for (; *bytes; bytes++) {
		struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = *bytes, .l_len = 1};

		cr_assert_eq(fcntl(fd, F_OFD_SETLK, &lock), 0);
	}
	return fd;
}

static bool qemu_may(int fd, off_t byte)
{
	struct flock probe = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

	cr_assert_eq(fcntl(fd, F_OFD_GETLK, &probe), 0);
	return probe.l_type == F_UNLCK;
}

Test(broker, qemu_writes_so_we_do_not)
{
	static const off_t writer[] = {100, 101, 103, 201, 203, 0};
	int qemu = as_qemu(writer), fd = -1;

	cr_assert_eq(open_disk(image, false, &fd), -EBUSY);
	cr_assert_eq(open_disk(image, true, &fd), -EBUSY);
	close(qemu);
	cr_assert_eq(open_disk(image, false, &fd), 0);
	close(fd);
}

Test(broker, qemu_reads_so_we_may_read)
{
	static const off_t reader[] = {100, 201, 203, 0};
	int qemu = as_qemu(reader), fd = -1;

	cr_assert_eq(open_disk(image, false, &fd), -EBUSY);
	cr_assert_eq(open_disk(image, true, &fd), 0, "%s", err.text);
	cr_assert(!qemu_may(qemu, 201), "QEMU must see that we let nobody write");
	cr_assert(qemu_may(qemu, 200), "QEMU may read beside us");
	close(fd);
	close(qemu);
}

static const char *owner(const struct stat *st, void *arg)
{
	return broker_same_image(image, st) ? "alpha" : NULL;
}

Test(broker, names_who_has_it)
{
	const struct broker_owners owners = {owner, NULL};
	struct domain_disk disk = disk_of(image, false);
	int one = -1, two = -1;

	cr_assert_eq(broker_open_disk(&disk, &owners, &err, &one), 0);
	cr_assert_eq(broker_open_disk(&disk, &owners, &err, &two), -EBUSY);
	cr_assert(strstr(err.text, "in use by VM alpha"));
	close(one);
}

Test(broker, same_image_by_another_name)
{
	struct stat st;

	cr_assert_eq(link(image, other), 0);
	cr_assert_eq(stat(image, &st), 0);
	cr_assert(broker_same_image(other, &st));
	cr_assert(!broker_same_image(folder, &st));
	cr_assert(!broker_same_image("/nonexistent", &st));
}

Test(broker, what_is_no_image)
{
	int fd = -1;

	cr_assert_eq(open_disk(other, false, &fd), -ENOENT);
	cr_assert(strstr(err.text, other) && strstr(err.text, "truncate"));
	cr_assert_eq(open_disk(folder, false, &fd), -EISDIR);
	cr_assert_eq(open_disk((char *)"/dev/zero", false, &fd), -EINVAL);
	cr_assert_eq(mkfifo(other, 0600), 0);
	cr_assert_eq(open_disk(other, true, &fd), -EINVAL);
	cr_assert_eq(unlink(other), 0);
	close(open(other, O_CREAT | O_RDWR | O_CLOEXEC, 0600));
	cr_assert_eq(open_disk(other, true, &fd), -EINVAL);
	cr_assert(strstr(err.text, "empty"));
	cr_assert_eq(fd, -1);
}

Test(broker, block_wanted_file_given)
{
	struct domain_disk disk = disk_of(image, false);
	int fd = -1;

	disk.type = DOMAIN_DISK_BLOCK;
	cr_assert_eq(broker_open_disk(&disk, NULL, &err, &fd), -EINVAL);
	cr_assert(strstr(err.text, "type='file'"));
}

Test(broker, kernels)
{
	int fd = -1;

	cr_assert_eq(broker_open_read("kernel", image, &err, &fd), 0);
	close(fd);
	cr_assert_eq(broker_open_read("kernel", other, &err, &fd), -ENOENT);
	cr_assert(strstr(err.text, "kernel") && strstr(err.text, other));
	cr_assert_eq(broker_open_read("kernel", folder, &err, &fd), -EISDIR);
	cr_assert_eq(mkfifo(other, 0600), 0);
	cr_assert_eq(broker_open_read("kernel", other, &err, &fd), -EINVAL);
}

Test(broker, logs)
{
	struct stat st;
	int fd = -1;

	cr_assert_eq(broker_open_log(other, false, &err, &fd), 0);
	cr_assert_eq(write(fd, "abc", 3), 3);
	close(fd);
	cr_assert_eq(broker_open_log(other, true, &err, &fd), 0);
	cr_assert_eq(write(fd, "def", 3), 3);
	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_eq(st.st_size, 6);
	close(fd);
	cr_assert_eq(broker_open_log(other, false, &err, &fd), 0);
	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_eq(st.st_size, 0);
	close(fd);
	cr_assert_eq(broker_open_log("/nonexistent/log", false, &err, &fd), -ENOENT);
	cr_assert_eq(unlink(other), 0);
	cr_assert_eq(mkfifo(other, 0600), 0);
	cr_assert_eq(broker_open_log(other, false, &err, &fd), -EINVAL);
}

Test(broker, kvm_and_memory)
{
	int fd = -1;

	cr_assert_eq(broker_open_kvm("/nonexistent/kvm", &err, &fd), -ENOENT);
	cr_assert(strstr(err.text, "there is none") && strstr(err.text, "doctor"));
	cr_assert_eq(broker_open_kvm(image, &err, &fd), -ENODEV);
	cr_assert_eq(broker_check_memory(1 << 20, false, &err), 0);
	cr_assert_eq(broker_check_memory(1ull << 50, false, &err), -ENOMEM);
	cr_assert(strstr(err.text, "give it less"));
	cr_assert_eq(broker_check_memory(1ull << 50, true, &err), -ENOMEM);
	cr_assert(strstr(err.text, "nr_hugepages"));
}

/* ---- shareable ---- */

static int open_shareable(bool readonly, int *ret_fd)
{
	struct domain_disk disk = disk_of(image, readonly);

	disk.shareable = true;
	return broker_open_disk(&disk, NULL, &err, ret_fd);
}

Test(broker, those_that_share_do)
{
	int one = -1, two = -1, three = -1, four = -1;

	cr_assert_eq(open_shareable(false, &one), 0, "%s", err.text);
	cr_assert_eq(open_shareable(false, &two), 0, "%s", err.text);
	cr_assert_eq(open_shareable(true, &three), 0, "%s", err.text);
	cr_assert_eq(open_disk(image, false, &four), -EBUSY, "a writer that does not share");
	cr_assert_eq(open_disk(image, true, &four), -EBUSY, "a reader that wants it still");
	close(one);
	close(two);
	cr_assert_eq(open_disk(image, true, &four), 0, "readers only: %s", err.text);
	cr_assert_eq(open_shareable(false, &one), -EBUSY, "a reader wants it still");
	close(three);
	close(four);
	cr_assert_eq(open_disk(image, false, &four), 0, "%s", err.text);
	cr_assert_eq(open_shareable(false, &one), -EBUSY, "a writer does not share");
	cr_assert_eq(open_shareable(true, &one), -EBUSY, "a writer does not share");
	close(four);
}

Test(broker, qemu_shares_if_it_says_so)
{
	static const off_t alone[] = {100, 101, 103, 201, 203, 0}, share_rw[] = {100, 101, 203, 0};
	int qemu = as_qemu(alone), fd = -1;

	cr_assert_eq(open_shareable(false, &fd), -EBUSY);
	close(qemu);
	qemu = as_qemu(share_rw);
	cr_assert_eq(open_shareable(false, &fd), 0, "%s", err.text);
	cr_assert(qemu_may(qemu, 201), "we let others write");
	cr_assert(!qemu_may(qemu, 101), "we write");
	close(fd);
	close(qemu);
}

/* ---- caches ---- */

Test(broker, cache_is_in_the_descriptor)
{
	for (int i = 0; i < 2; i++) {
		struct domain_disk disk = disk_of(image, false);
		int fd = -1;

		disk.sync = i;
		cr_assert_eq(broker_open_disk(&disk, NULL, &err, &fd), 0, "%s", err.text);
		cr_assert_eq((fcntl(fd, F_GETFL) & O_DSYNC) != 0, i);
		close(fd);
	}
}
