/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The main() of a fuzz target where there is no fuzzing engine: it gives the target each file of its corpus, each of
 * that file's beginnings, and each of its variants with one byte inverted.
 *
 * usage: fuzz_<name> [FOLDER]     (default: tests/fuzz/corpus/<name> of the source tree)
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"

#define FILE_MAX (1u << 20)
/* Of longer files only the beginning is cut and changed at every byte. */
#define VARY_MAX 1024u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* In memory of exactly its length, so that the sanitizer sees a read beyond it. */
static void run(const char *data, size_t len)
{
	_cleanup_free_ uint8_t *copy = malloc(len ? len : 1);

	if (!copy)
		abort();
	memcpy(copy, data, len);
	LLVMFuzzerTestOneInput(copy, len);
}

static void run_variants(char *data, size_t len)
{
	size_t vary = len < VARY_MAX ? len : VARY_MAX;

	run(data, len);
	for (size_t i = 0; i < vary; i++) {
		run(data, i);
		data[i] = (char)~data[i];
		run(data, len);
		data[i] = (char)~data[i];
	}
}

static int run_file(int dir_fd, const char *name)
{
	_cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *data = NULL;
	size_t len;
	int r = fd < 0 ? -errno : fd_read_all(fd, FILE_MAX, &data, &len);

	if (r < 0) {
		fprintf(stderr, "%s: %s\n", name, strerror(-r));
		return r;
	}
	run_variants(data, len);
	return 0;
}

/* Return: number of files, or a negative errno. */
static int run_folder(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int files = 0, r = 0;

	if (!dir) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -ENOENT;
	}
	while (r == 0 && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		r = run_file(dirfd(dir), entry->d_name);
		files++;
	}
	closedir(dir);
	return r < 0 ? r : files;
}

int main(int argc, char **argv)
{
	const char *srcdir = getenv("srcdir"); /* set by "make check" */
	const char *name = program_invocation_short_name;
	char path[4096];
	int files;

	if (strncmp(name, "fuzz_", 5) == 0)
		name += 5;
	snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", srcdir ? srcdir : ".", name);
	files = run_folder(argc > 1 ? argv[1] : path);
	if (files <= 0) {
		fprintf(stderr, "%s: no inputs\n", argc > 1 ? argv[1] : path);
		return EXIT_FAILURE;
	}
	printf("%d inputs\n", files);
	return EXIT_SUCCESS;
}
