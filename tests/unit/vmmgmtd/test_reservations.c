/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reservations.h"

static char folder[256], state[300], image[300];
static struct err err;

static void set_up(void)
{
	const char *dir = getenv("TMPDIR");

	snprintf(folder, sizeof(folder), "%s/reservations-XXXXXX", dir ? dir : "/tmp");
	cr_assert(mkdtemp(folder));
	snprintf(state, sizeof(state), "%s/state", folder);
	snprintf(image, sizeof(image), "%s/image", folder);
	cr_assert_eq(mkdir(state, 0700), 0);
}

static void tear_down(void)
{
	char command[300];

	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	cr_assert_eq(system(command), 0);
}

TestSuite(reservations, .init = set_up, .fini = tear_down, .timeout = 30);

static struct stat open_one(const char *path)
{
	int image_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), fd = -1;
	struct stat st;

	cr_assert_geq(image_fd, 0);
	cr_assert_eq(reservations_open(state, image_fd, "sda", &err, &fd), 0, "%s", err.text);
	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	cr_assert_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
	close(fd);
	close(image_fd);
	return st;
}

/* One file for an image, whatever its path; another for another. */
Test(reservations, by_image)
{
	struct stat first = open_one(image);
	char other[310];

	snprintf(other, sizeof(other), "%s.link", image);
	cr_assert_eq(link(image, other), 0);
	cr_assert_eq(open_one(other).st_ino, first.st_ino);
	snprintf(other, sizeof(other), "%s.moved", image);
	cr_assert_eq(rename(image, other), 0);
	cr_assert_eq(open_one(other).st_ino, first.st_ino);
	cr_assert_neq(open_one(image).st_ino, first.st_ino);
	cr_assert_eq(first.st_mode & 07777, 0600);
	cr_assert_eq(first.st_size, 0, "what is in it is vsp-storaged's");
}

/* An image that was removed does not leave its reservations to the next that has its inode. */
Test(reservations, of_a_new_image)
{
	struct stat first = open_one(image);

	/* until it has the same inode, where the file system does that */
	for (unsigned int i = 0; i < 20; i++) {
		cr_assert_eq(unlink(image), 0);
		cr_assert_neq(open_one(image).st_ino, first.st_ino);
	}
}

Test(reservations, refused)
{
	int image_fd = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600), fd = -1;
	char missing[310], name[600];
	struct dirent *entry;
	DIR *dir;

	snprintf(missing, sizeof(missing), "%s/missing", folder);
	cr_assert_eq(reservations_open(missing, image_fd, "sda", &err, &fd), -ENOENT);
	cr_assert(strstr(err.text, "sda") && strstr(err.text, missing), "%s", err.text);
	/* What is in its place is not followed, and not used. */
	cr_assert_eq(reservations_open(state, image_fd, "sda", &err, &fd), 0);
	close(fd);
	fd = -1;
	dir = opendir(state);
	while ((entry = readdir(dir)) && entry->d_name[0] == '.')
		;
	cr_assert(entry);
	snprintf(name, sizeof(name), "%s/%s", state, entry->d_name);
	closedir(dir);
	cr_assert_eq(unlink(name), 0);
	cr_assert_eq(symlink(image, name), 0);
	cr_assert_eq(reservations_open(state, image_fd, "sda", &err, &fd), -ELOOP, "%s", err.text);
	cr_assert_eq(unlink(name), 0);
	cr_assert_eq(mkfifo(name, 0600), 0);
	cr_assert_eq(reservations_open(state, image_fd, "sda", &err, &fd), -EINVAL, "%s", err.text);
	cr_assert_lt(fd, 0);
	close(image_fd);
}

Test(reservations, power)
{
	uint8_t one[RESERVATIONS_POWER_LEN], two[RESERVATIONS_POWER_LEN];
	static const uint8_t none[RESERVATIONS_POWER_LEN];

	reservations_power(one);
	reservations_power(two);
	cr_assert_eq(memcmp(one, two, sizeof(one)), 0);
	cr_assert_neq(memcmp(one, none, sizeof(one)), 0);
}
