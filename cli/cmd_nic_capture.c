/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmctl nic capture: what passes a NIC, as pcapng. vsp-netd writes into a pipe of ours, and we into the file: so it
 * ends when we do, however that is, and a file that is slow holds nobody up.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "cli/args.h"
#include "cli/cmd_nic.h"
#include "cli/devices.h"
#include "cli/packet_filter.h"

#define PIPE_BYTES (1 << 20)

struct capture_options {
	uint32_t flags;
	const char *file, *length;
};

#define AT(member) offsetof(struct capture_options, member)

static const struct cli_option options_known[] = {
	{"write", AT(file), 0, 0},
	{"length", AT(length), 0, 0},
	{NULL, 0, 0, 0},
};

/* The words behind VM and NIC, with blanks between. Heap. */
static char *join(int argc, char **argv)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	for (int i = 0; out && i < argc; i++)
		fprintf(out, "%s%s", i ? " " : "", argv[i]);
	if (!out || fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static int open_file(const char *name, struct err *err)
{
	int fd = strcmp(name, "-") != 0 ? open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)
					: fd_dup(STDOUT_FILENO);

	return fd < 0 ? err_set(err, -errno, "%s: %s", name, strerror(errno)) : fd;
}

#define ENDED_BY_SIGNAL 1

/* Until SIGINT or SIGTERM, or the end of the pipe: the VM's, or somebody else's capture. Return: 0, ENDED_BY_SIGNAL; a
 * negative errno with a line. */
static int copy(int from, int to, struct err *err)
{
	_cleanup_close_ int signals = -1;
	char buf[65536];
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	for (;;) {
		struct pollfd pfd[] = {{.fd = from, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
		ssize_t n;

		if (poll(pfd, 2, -1) < 0 && errno != EINTR)
			return err_set(err, -errno, "poll: %s", strerror(errno));
		if (pfd[1].revents && !(pfd[0].revents & POLLIN))
			return ENDED_BY_SIGNAL;
		n = read(from, buf, sizeof(buf));
		if (n == 0)
			return 0;
		if (n > 0 && fd_write_full(to, buf, (size_t)n) < 0)
			return err_set(err, -EIO, "the file cannot be written: %s", strerror(errno));
		if (pfd[1].revents && n < (ssize_t)sizeof(buf))
			return ENDED_BY_SIGNAL;
	}
}

static int capture(struct client *client, const char *path, const char *nic, uint32_t length, char *const *filter,
		   int file, struct err *err)
{
	_cleanup_close_ int from = -1, to = -1;
	int fds[2], r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set(err, -errno, "pipe: %s", strerror(errno));
	from = fds[0];
	to = fds[1];
	fcntl(to, F_SETFL, O_NONBLOCK);
	fcntl(to, F_SETPIPE_SZ, PIPE_BYTES);
	r = msgbus_call(client->bus, BULKHEAD_BUS_NAME, path, BULKHEAD_VM_INTERFACE, "CaptureInterface",
			DEVICE_DEADLINE_MS, err, NULL, "shuas", nic, to, length, filter);
	if (r < 0)
		return r;
	fd_close(&to);
	r = copy(from, file, err);
	/* At the end of the pipe there is nothing to stop, or it is another one's, which has taken this one's place. */
	if (r == ENDED_BY_SIGNAL)
		(void)msgbus_call(client->bus, BULKHEAD_BUS_NAME, path, BULKHEAD_VM_INTERFACE, "StopCapture",
				  DEVICE_DEADLINE_MS, NULL, NULL, "s", nic);
	return r < 0 ? r : 0;
}

int nic_capture(const struct cli *cli, int argc, char **argv)
{
	struct capture_options options = {0};
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int file = -1;
	char path[CLIENT_PATH_MAX], **filter = NULL;
	uint32_t length = 0;
	struct client client;
	struct err err = {0};
	int r = cli_options_parse("nic", argc, argv, options_known, &options, &options.flags);

	if (r)
		return r;
	if (argc - optind < 2 || !options.file)
		return cli_usage("nic", "capture: the name of a VM, a NIC, and --write FILE are needed");
	if (options.length && arg_parse_number(options.length, UINT16_MAX, &length) < 0)
		return cli_usage("nic", "--length '%s' is not a number of bytes from 1 to %u", options.length,
				 UINT16_MAX);
	text = join(argc - optind - 2, argv + optind + 2);
	if (text && *text && packet_filter_compile(text, &err, &filter) < 0)
		return cli_fail(&err);
	r = client_open_vm(cli, argv[optind], &client, path, &err);
	if (r == 0) {
		file = open_file(options.file, &err);
		r = file < 0 ? file : capture(&client, path, argv[optind + 1], length, filter, file, &err);
		client_close(&client);
	}
	packet_filter_free(filter);
	return r < 0 ? cli_fail(&err) : EXIT_OK;
}
