/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The native door to the SCSI core, for suites of others that speak SG_IO: runs a command whose SG_IO goes to a disk of
 * ours, made of the same parts as vsp-storaged's: engine, back end, LUN.
 *
 * Usage: door [OPTION]... IMAGE COMMAND [ARGUMENT]...
 *   --block N     bytes of a logical block (512)
 *   --physical N  of a physical one
 *   --readonly    the disk is
 *   --no-discard  the disk does not take blocks back
 *   --direct      past the host's page cache
 *   --powered-on  the disk says first that it was powered on, as it does to a guest
 *   --shared FILE other doors share the disk: FILE is made, and has its reservations
 *   --initiator N which of them this one is (0)
 * COMMAND names any device that it can open: /dev/zero will do. Its exit status is ours.
 *
 * Limits: one command at a time, one LUN, one initiator; no task management. For more initiators start more doors, from
 * one another's commands or beside one another.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fd.h"
#include "daemons/vsp-storaged/storaged.h"
#include "door.h"

#define PIECES 5u /* that a buffer is cut into, so that commands meet more than one */

static struct {
	struct loop *loop;
	struct storaged *storaged;
	struct scsi_controller *controller;
	uint8_t *data;
	bool done;
} door;

static int take(int fd, void *to, size_t len)
{
	uint8_t *at = to;

	while (len > 0) {
		ssize_t n = read(fd, at, len);

		if (n == 0)
			return -ENOTCONN;
		if (n < 0 && errno != EINTR)
			return -errno;
		at += MAX(n, (ssize_t)0);
		len -= (size_t)MAX(n, (ssize_t)0);
	}
	return 0;
}

static void done(struct scsi_request *request)
{
	(void)request;
	door.done = true;
}

static void execute(const struct door_request *in, struct door_reply *out)
{
	struct scsi_request request = {.cdb_len = (uint8_t)in->cdb_len, .data_len = in->len, .done = done};
	struct iovec iov[PIECES];
	uint32_t piece = in->len / PIECES / 512 * 512;

	memcpy(request.cdb, in->cdb, sizeof(request.cdb));
	for (unsigned int i = 0; i < PIECES; i++)
		iov[i] = (struct iovec){door.data + (size_t)i * piece,
					i < PIECES - 1 ? piece : in->len - (PIECES - 1) * piece};
	request.iov = iov;
	request.iovs = in->len ? PIECES : 0;
	request.direction = !in->len ? SCSI_NONE : in->out ? SCSI_OUT : SCSI_IN;
	door.done = false;
	scsi_execute(door.controller, &request);
	engine_flush(door.storaged->engine);
	while (!door.done)
		loop_run_once(door.loop, true);
	*out = (struct door_reply){.outcome = request.outcome,
				   .status = request.status,
				   .transferred = request.transferred,
				   .sense_len = request.sense_len};
	memcpy(out->sense, request.sense, request.sense_len);
}

/* Until the command has ended, and what it started. */
static int serve(int fd)
{
	struct door_request request;
	struct door_reply reply;

	while (take(fd, &request, sizeof(request)) == 0) {
		if (request.len > DOOR_DATA_MAX || request.cdb_len > sizeof(request.cdb))
			return -EPROTO;
		memset(door.data, 0, request.len);
		if (request.out && take(fd, door.data, request.len) < 0)
			return -EPROTO;
		execute(&request, &reply);
		if (fd_write_full(fd, &reply, sizeof(reply)) < 0 ||
		    (!request.out && fd_write_full(fd, door.data, request.len) < 0))
			return -EPIPE;
	}
	return 0;
}

static int open_door(struct settings *settings, int *fds, size_t count, bool powered_on)
{
	struct err err = {0};
	struct scsi_lun *lun;

	door.data = malloc(DOOR_DATA_MAX);
	if (!door.data || loop_new(&door.loop) < 0)
		return -ENOMEM;
	if (storaged_open(door.loop, settings, NULL, fds, count, &door.storaged, &err) < 0) {
		fprintf(stderr, "door: %s\n", err.text);
		return err.code;
	}
	door.controller = &door.storaged->controller[0].storvsp.scsi;
	lun = &door.controller->lun[0];
	if (!powered_on)
		scsi_lun_greet(lun);
	return 0;
}

static pid_t start(char **command, int socket, int other, uint32_t block)
{
	char path[PATH_MAX], text[16];
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	close(other);
	snprintf(text, sizeof(text), "%d", socket);
	setenv(DOOR_SOCKET, text, 1);
	snprintf(text, sizeof(text), "%u", DISK_MAX_TRANSFER / block);
	setenv(DOOR_SECTORS, text, 1);
	if (readlink("/proc/self/exe", path, sizeof(path) - 16) > 0 && strrchr(path, '/')) {
		strcpy(strrchr(path, '/'), "/door-sg.so");
		setenv("LD_PRELOAD", path, 1);
	}
	execvp(command[0], command);
	fprintf(stderr, "door: %s: %s\n", command[0], strerror(errno));
	_exit(127);
}

static int run(struct settings *settings, const char *image, const char *shared, char **command, bool direct,
	       bool powered_on)
{
	struct lun_settings *lun = &settings->controller[0].lun[0];
	int pair[2], status,
		fd[2] = {open(image, (lun->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | (direct ? O_DIRECT : 0)), -1};
	pid_t pid;

	if (shared) {
		fd[1] = open(shared, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		lun->reservations = 1;
	}
	if (fd[0] < 0 || (shared && fd[1] < 0) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) {
		fprintf(stderr, "door: %s: %s\n", image, strerror(errno));
		return 125;
	}
	snprintf(lun->image, sizeof(lun->image), "%s", image);
	if (open_door(settings, fd, shared ? 2 : 1, powered_on) < 0)
		return 125;
	pid = start(command, pair[1], pair[0], lun->block_bytes);
	close(pair[1]);
	if (pid < 0 || serve(pair[0]) < 0) {
		fprintf(stderr, "door: it was not served to its end\n");
		return 125;
	}
	waitpid(pid, &status, 0);
	storaged_free(door.storaged);
	loop_free(door.loop);
	free(door.data);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 125;
}

/* A DVD drive with the image in it, or without. */
static void make_drive(struct lun_settings *lun, bool empty)
{
	lun->dvd = lun->readonly = true;
	lun->empty = empty;
	lun->block_bytes = 2048;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"block", required_argument, NULL, 'b'},
		{"physical", required_argument, NULL, 'p'},
		{"readonly", no_argument, NULL, 'r'},
		{"no-discard", no_argument, NULL, 'n'},
		{"direct", no_argument, NULL, 'd'},
		{"powered-on", no_argument, NULL, 'o'},
		{"dvd", no_argument, NULL, 'v'},
		{"empty", no_argument, NULL, 'e'},
		{"shared", required_argument, NULL, 's'},
		{"initiator", required_argument, NULL, 'i'},
		{NULL, 0, NULL, 0},
	};
	static struct settings settings = {.controllers = 1, .controller[0].luns = 1};
	struct lun_settings *lun = &settings.controller[0].lun[0];
	const char *shared = NULL;
	bool direct = false, powered_on = false;
	int c;

	strcpy(lun->alias, "sda");
	strcpy(lun->serial, "DOOR");
	lun->block_bytes = 512;
	lun->discard = true;
	while ((c = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		if (c == 'b')
			lun->block_bytes = (uint32_t)atoi(optarg);
		else if (c == 'p')
			lun->physical_block_bytes = (uint32_t)atoi(optarg);
		else if (c == 'r')
			lun->readonly = true;
		else if (c == 'n')
			lun->discard = false;
		else if (c == 'd')
			direct = true;
		else if (c == 'o')
			powered_on = true;
		else if (c == 'v' || c == 'e')
			make_drive(lun, c == 'e');
		else if (c == 's')
			shared = optarg;
		else if (c == 'i')
			lun->vm[0] = (uint8_t)atoi(optarg);
		else
			return 125;
	}
	if (argc - optind < 2) {
		fprintf(stderr, "usage: door [OPTION]... IMAGE COMMAND [ARGUMENT]...\n");
		return 125;
	}
	return run(&settings, argv[optind], shared, argv + optind + 1, direct, powered_on);
}
