/* SPDX-License-Identifier: Apache-2.0 */
/* unpack-kernel BZIMAGE >VMLINUX: the ELF file inside a stock kernel, so that two VMMs can be given the same. */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "boot/bzimage.h"
#include "boot/unpack.h"

#define BZIMAGE_MAX (64u << 20)
#define VMLINUX_MAX (512u << 20)

static int to_stdout(void *arg, const uint8_t *buf, size_t len)
{
	return fd_write_full(STDOUT_FILENO, buf, len);
}

int main(int argc, char **argv)
{
	_cleanup_close_ int fd = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
	_cleanup_free_ char *file = NULL;
	struct bzimage image;
	const char *why = "cannot be read";
	size_t len;
	int r;

	if (argc != 2) {
		fprintf(stderr, "usage: unpack-kernel BZIMAGE >VMLINUX\n");
		return 2;
	}
	if (fd < 0 || fd_read_all(fd, BZIMAGE_MAX, &file, &len) < 0 || bzimage_parse(file, len, len, &image, &why) < 0) {
		fprintf(stderr, "unpack-kernel: %s: %s\n", argv[1], why);
		return 1;
	}
	r = unpack(file + image.payload_offset, image.payload_len, VMLINUX_MAX, to_stdout, NULL);
	if (r < 0)
		fprintf(stderr, "unpack-kernel: %s: %s\n", argv[1], strerror(-r));
	return r < 0;
}
