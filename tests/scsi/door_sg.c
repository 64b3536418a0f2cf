/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LD_PRELOAD for programs that speak SCSI by SG_IO: whatever device they have opened, their commands go to the door
 * (door.c) whose socket the environment names. Nothing of the project is in here.
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/fs.h>
#include <scsi/sg.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "door.h"

#define SG_VERSION	30536
#define HOST_BAD_TARGET 4 /* host_status: DID_BAD_TARGET, DID_ERROR, DID_ABORT */
#define HOST_ERROR	7
#define HOST_ABORT	5
#define DRIVER_SENSE	8

static int door(void)
{
	const char *number = getenv(DOOR_SOCKET);

	return number ? atoi(number) : -1;
}

static int all(ssize_t (*move)(int fd, void *at, size_t len), void *data, size_t len)
{
	uint8_t *at = data;

	while (len > 0) {
		ssize_t n = move(door(), at, len);

		if (n <= 0 && errno != EINTR)
			return -1;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static ssize_t put(int fd, void *at, size_t len)
{
	return write(fd, at, len);
}

static ssize_t get(int fd, void *at, size_t len)
{
	return read(fd, at, len);
}

/* The caller's buffer, one piece or several, one way or the other. */
static int move_data(const sg_io_hdr_t *io, ssize_t (*move)(int fd, void *at, size_t len))
{
	const struct iovec *iov = io->dxferp;
	unsigned int left = io->dxfer_len;

	if (io->iovec_count == 0)
		return all(move, io->dxferp, left);
	for (unsigned int i = 0; i < io->iovec_count && left > 0; i++) {
		unsigned int len = iov[i].iov_len < left ? (unsigned int)iov[i].iov_len : left;

		if (all(move, iov[i].iov_base, len) < 0)
			return -1;
		left -= len;
	}
	return 0;
}

static void take_outcome(sg_io_hdr_t *io, const struct door_reply *reply)
{
	static const unsigned short hosts[] = {0, HOST_BAD_TARGET, HOST_ERROR, HOST_ABORT};

	io->host_status = hosts[reply->outcome & 3];
	io->status = (unsigned char)reply->status;
	io->masked_status = (unsigned char)(reply->status >> 1);
	io->driver_status = reply->sense_len ? DRIVER_SENSE : 0;
	io->resid = (int)(io->dxfer_len - reply->transferred);
	io->duration = 1;
	io->info = io->status || io->host_status || io->driver_status ? SG_INFO_CHECK : SG_INFO_OK;
	io->sb_len_wr = (unsigned char)(reply->sense_len < io->mx_sb_len ? reply->sense_len : io->mx_sb_len);
	if (io->sb_len_wr)
		memcpy(io->sbp, reply->sense, io->sb_len_wr);
}

static int sg_io(sg_io_hdr_t *io)
{
	struct door_request request = {.out = io->dxfer_direction == SG_DXFER_TO_DEV, .cdb_len = io->cmd_len};
	struct door_reply reply;

	if (io->dxfer_direction == SG_DXFER_NONE)
		io->dxfer_len = 0;
	if (io->cmd_len > sizeof(request.cdb) || io->dxfer_len > DOOR_DATA_MAX) {
		errno = EINVAL;
		return -1;
	}
	request.len = io->dxfer_len;
	memcpy(request.cdb, io->cmdp, io->cmd_len);
	if (all(put, &request, sizeof(request)) < 0 || (request.out && move_data(io, put) < 0) ||
	    all(get, &reply, sizeof(reply)) < 0 || (!request.out && move_data(io, get) < 0)) {
		errno = EIO;
		return -1;
	}
	take_outcome(io, &reply);
	return 0;
}

static int sectors(unsigned short *ret)
{
	const char *text = getenv(DOOR_SECTORS);

	*ret = (unsigned short)(text ? atoi(text) : 512);
	return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	int (*next)(int, unsigned long, ...);
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	switch (door() < 0 ? 0 : request) {
	case SG_IO:
		return sg_io(arg);
	case SG_GET_VERSION_NUM:
		*(int *)arg = SG_VERSION;
		return 0;
	case BLKSECTGET:
		return sectors(arg);
	default:
		*(void **)&next = dlsym(RTLD_NEXT, "ioctl");
		return next(fd, request, arg);
	}
}
