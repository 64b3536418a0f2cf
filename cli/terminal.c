/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"

#define ESCAPE	  0x1d /* Ctrl-] */
#define INPUT_MAX 4096

struct relay {
	int stream;
	bool raw; /* stdin is a terminal in raw mode */
	struct termios saved;
	char input[INPUT_MAX]; /* typed, not yet taken by the guest */
	size_t input_len;
	bool input_ended;
};

static int raw_mode(struct relay *relay)
{
	struct termios raw;

	if (!isatty(STDIN_FILENO))
		return 0;
	if (tcgetattr(STDIN_FILENO, &relay->saved) < 0)
		return -errno;
	raw = relay->saved;
	cfmakeraw(&raw);
	raw.c_oflag |= OPOST; /* our own messages; the guest sends \r\n itself */
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0)
		return -errno;
	relay->raw = true;
	return 0;
}

/* Return: 1 if the escape was typed, else 0. */
static int take_input(struct relay *relay)
{
	ssize_t n = read(STDIN_FILENO, relay->input + relay->input_len, sizeof(relay->input) - relay->input_len);
	char *escape;

	if (n <= 0) {
		if (n == 0 || (errno != EINTR && errno != EAGAIN))
			relay->input_ended = true;
		return 0;
	}
	escape = relay->raw ? memchr(relay->input + relay->input_len, ESCAPE, (size_t)n) : NULL;
	if (escape)
		return 1;
	relay->input_len += (size_t)n;
	return 0;
}

static void give_input(struct relay *relay)
{
	ssize_t n = send(relay->stream, relay->input, relay->input_len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n <= 0)
		return; /* full, or gone: the read side will say so */
	relay->input_len -= (size_t)n;
	memmove(relay->input, relay->input + n, relay->input_len);
}

/* Return: 1 at the end of the stream, 0, or a negative errno of stdout. */
static int take_output(struct relay *relay)
{
	char buf[16384];
	ssize_t n = recv(relay->stream, buf, sizeof(buf), MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : 1;
	if (n == 0)
		return 1;
	return fd_write_full(STDOUT_FILENO, buf, (size_t)n);
}

static int relay_run(struct relay *relay, int signals)
{
	for (;;) {
		bool room = relay->input_len < sizeof(relay->input) && !relay->input_ended;
		struct pollfd fds[] = {
			{.fd = relay->stream, .events = (short)(POLLIN | (relay->input_len ? POLLOUT : 0))},
			{.fd = room ? STDIN_FILENO : -1, .events = POLLIN},
			{.fd = signals, .events = POLLIN},
		};
		int r;

		if (poll(fds, 3, -1) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (fds[2].revents)
			return TERMINAL_SIGNALLED;
		if (fds[1].revents && take_input(relay))
			return TERMINAL_ESCAPE;
		if (relay->input_len)
			give_input(relay);
		if (fds[0].revents & (POLLIN | POLLHUP | POLLERR)) {
			r = take_output(relay);
			if (r)
				return r > 0 ? TERMINAL_EOF : r;
		}
	}
}

int terminal_relay(int stream, struct err *err)
{
	struct relay relay = {.stream = stream};
	_cleanup_close_ int signals = -1;
	sigset_t set, old;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, &old);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	r = signals < 0 ? -errno : raw_mode(&relay);
	if (r == 0)
		r = relay_run(&relay, signals);
	if (relay.raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &relay.saved);
	if (signals >= 0 && r == TERMINAL_SIGNALLED) {
		struct signalfd_siginfo info;

		/* consumed: it has been acted upon */
		if (read(signals, &info, sizeof(info)) < 0)
			r = TERMINAL_SIGNALLED;
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (r < 0)
		return err_set(err, r, "the console cannot be shown here: %s", strerror(-r));
	return r;
}
