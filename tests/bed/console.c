/*
 * console: carries a command's output over a serial console that the kernel writes to as well.
 *
 *   console run COMMAND...      in the guest: run it, its output framed on standard output, which is the console
 *   console decode [--verbose]  on the host: take a console's text apart again
 *
 * Theory of operation: a frame is one line, "@bed SEQ TYPE SUM BASE64". The sender writes each with one write(), which a
 * terminal does not mix with other processes' writes; what is no frame is the kernel's or a program's own. A kernel
 * message can still fall into the middle of a frame (the guest is booted with loglevel=1, so only a panic does that);
 * the numbers and the checksum (FNV-1a of the payload) tell. Base64 carries any byte, and its lines end where they end.
 *
 * TYPE: 0 the command starts; 1, 2 its standard output, standard error; 3 its exit status, in decimal. A line "@off" follows
 * from outside, when the virtual machine monitor has ended; a guest that does not come to that point in time is given up.
 *
 * Limits: the end of the command ends the output: what its background processes write later is not carried. A UART
 * moves about 15 kB/s in the bed.
 *
 * Exit status of decode: the command's; 125 if the console ended without one, or was damaged (its last lines are shown).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define MARK "@bed "
#define MARK_OFF "@off"
#define PAYLOAD_MAX 720
#define TAIL_LINES 150 /* what the kernel says of all processors and tasks that wait has room */
#define LINE_MAX_LEN 4096
#define STATUS_BED 125
#define END_S 30

enum frame_type { START, OUT, ERR, END };

static volatile sig_atomic_t gave_up; /* the guest did not end in time */
static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static uint32_t sum(const uint8_t *data, size_t len)
{
	uint32_t hash = 2166136261u;

	while (len--)
		hash = (hash ^ *data++) * 16777619u;
	return hash;
}

/* ---- in the guest ---- */

static void frame_send(enum frame_type type, const uint8_t *data, size_t len)
{
	static unsigned int seq;
	char line[64 + PAYLOAD_MAX * 4 / 3 + 8];
	int n = snprintf(line, sizeof(line), MARK "%u %d %08x ", seq++, type, sum(data, len));

	for (size_t i = 0; i < len; i += 3) {
		uint32_t bits = (uint32_t)data[i] << 16;

		bits |= i + 1 < len ? (uint32_t)data[i + 1] << 8 : 0;
		bits |= i + 2 < len ? data[i + 2] : 0;
		line[n++] = digits[bits >> 18];
		line[n++] = digits[bits >> 12 & 63];
		line[n++] = i + 1 < len ? digits[bits >> 6 & 63] : '=';
		line[n++] = i + 2 < len ? digits[bits & 63] : '=';
	}
	line[n++] = '\n';
	for (int done = 0; done < n;) {
		ssize_t w = write(STDOUT_FILENO, line + done, (size_t)(n - done));

		if (w < 0 && errno != EINTR)
			exit(1);
		done += w > 0 ? (int)w : 0;
	}
}

/* Send what is in the pipe. Return: 0 when nothing more will come. */
static int forward(int fd, enum frame_type type)
{
	uint8_t data[PAYLOAD_MAX];
	ssize_t n = read(fd, data, sizeof(data));

	if (n > 0)
		frame_send(type, data, (size_t)n);
	return n > 0 || (n < 0 && errno == EAGAIN);
}

/* The console as a plain byte stream: no translation of our output, no echo of whatever comes in. */
static void console_raw(void)
{
	struct termios termios;

	if (tcgetattr(STDOUT_FILENO, &termios))
		return;
	cfmakeraw(&termios);
	tcsetattr(STDOUT_FILENO, TCSANOW, &termios);
}

static pid_t command_start(char **argv, int ret_pipes[2])
{
	int out[2], err[2];
	pid_t pid;

	if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		exit(1);
	pid = fork();
	if (!pid) {
		dup2(open("/dev/null", O_RDONLY), 0);
		dup2(out[1], 1);
		dup2(err[1], 2);
		execvp(argv[0], argv);
		_exit(127);
	}
	close(out[1]);
	close(err[1]);
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	fcntl(err[0], F_SETFL, O_NONBLOCK);
	ret_pipes[0] = out[0];
	ret_pipes[1] = err[0];
	return pid;
}

static int run(char **argv)
{
	char status[16];
	int pipes[2], wstatus = 0;
	pid_t pid;

	console_raw();
	/* Twice a newline: the first one ends what may stand on the line already. */
	if (write(STDOUT_FILENO, "\n", 1) < 0)
		return 1;
	frame_send(START, NULL, 0);
	pid = command_start(argv, pipes);
	signal(SIGTERM, SIG_IGN); /* a shutdown in order ends the command, and we tell how */
	for (int pidfd = pidfd_open(pid, 0), ended = 0; !ended;) {
		struct pollfd fds[] = { { pipes[0], POLLIN, 0 }, { pipes[1], POLLIN, 0 }, { pidfd, POLLIN, 0 } };

		poll(fds, 3, -1);
		ended = fds[2].revents != 0;
		for (int i = 0; i < 2; i++) {
			int left = 0;

			/* At the end, all that is in the pipe; else one piece, and the pipe is closed at its end. */
			if (ended && pipes[i] >= 0)
				ioctl(pipes[i], FIONREAD, &left);
			for (; left > 0; left -= PAYLOAD_MAX)
				forward(pipes[i], i ? ERR : OUT);
			if (!ended && fds[i].revents && !forward(pipes[i], i ? ERR : OUT)) {
				close(pipes[i]);
				pipes[i] = -1;
			}
		}
	}
	waitpid(pid, &wstatus, 0);
	snprintf(status, sizeof(status), "%d", WIFEXITED(wstatus) ? WEXITSTATUS(wstatus) : 128 + WTERMSIG(wstatus));
	frame_send(END, (uint8_t *)status, strlen(status));
	tcdrain(STDOUT_FILENO); /* the power goes off next */
	return 0;
}

/* ---- on the host ---- */

/* What decode knows. Invariant: tail[tail_count % TAIL_LINES] is the oldest of the console's last own lines. */
struct decoder {
	int verbose;
	unsigned int next_seq;
	int status; /* -1 until the command ended */
	char *damaged; /* the first line that is no whole frame; NULL: none */
	int panicked;
	char *tail[TAIL_LINES];
	unsigned int tail_count;
};

/* Return: number of bytes, or -EPROTO. */
static int base64_decode(const char *text, uint8_t *data)
{
	int len = 0;

	for (; text[0] && text[0] != '\r'; text += 4) {
		uint32_t bits = 0;
		int count = 3;

		for (int i = 0; i < 4; i++) {
			const char *digit = text[i] ? strchr(digits, text[i]) : NULL;

			if (!digit && (text[i] != '=' || i < 2))
				return -EPROTO;
			if (!digit && count == 3)
				count = i - 1;
			bits = bits << 6 | (digit ? (uint32_t)(digit - digits) : 0);
		}
		if (len + 3 > PAYLOAD_MAX + 3)
			return -EPROTO;
		for (int i = 0; i < count; i++)
			data[len++] = (uint8_t)(bits >> (16 - 8 * i));
	}
	return len;
}

/* A line of the console's own: remember it for the error message. */
static void decode_text(struct decoder *decoder, const char *line)
{
	char **slot = &decoder->tail[decoder->tail_count % TAIL_LINES];

	if (!line[0] || line[0] == '\r')
		return;
	if (strstr(line, "Kernel panic - not syncing")) {
		/* The rest of its message, and a reset. */
		decoder->panicked = 1;
		alarm(END_S);
	}
	decoder->tail_count++;
	free(*slot);
	*slot = strdup(line);
	if (decoder->verbose) {
		puts(line);
		fflush(stdout);
	}
}

static void decode_damaged(struct decoder *decoder, const char *text)
{
	if (!decoder->damaged)
		decoder->damaged = strdup(text);
}

static void decode_frame(struct decoder *decoder, const char *text)
{
	uint8_t data[PAYLOAD_MAX + 8];
	unsigned int seq, type, expected;
	int start = 0, len;

	if (sscanf(text, "%u %u %8x %n", &seq, &type, &expected, &start) != 3 || !start || type > END) {
		decode_damaged(decoder, text);
		return;
	}
	len = base64_decode(text + start, data);
	if (len < 0 || seq != decoder->next_seq || sum(data, (size_t)len) != expected) {
		decode_damaged(decoder, text);
		return;
	}
	decoder->next_seq = seq + 1;
	if (type == OUT || type == ERR) {
		fflush(stdout);
		if (write(type == OUT ? STDOUT_FILENO : STDERR_FILENO, data, (size_t)len) < 0)
			decode_damaged(decoder, "(it cannot be written)");
	} else if (type == END) {
		data[len] = 0;
		decoder->status = atoi((char *)data);
		/* Nothing but the power going off should follow. */
		alarm(END_S);
	}
}

static int decode_result(struct decoder *decoder)
{
	const char *problem = "the guest did not come as far as the commands";
	unsigned int first = decoder->tail_count > TAIL_LINES ? decoder->tail_count - TAIL_LINES : 0;

	if (decoder->status >= 0 && !decoder->damaged && !gave_up)
		return decoder->status;
	if (decoder->panicked)
		problem = "the guest's kernel panicked";
	else if (gave_up)
		problem = "the guest did not power off";
	else if (decoder->damaged)
		problem = "the console's text is damaged";
	else if (decoder->next_seq)
		problem = "the guest ended before the commands did";
	fprintf(stderr, "guest: %s\n", problem);
	if (decoder->damaged)
		fprintf(stderr, "guest: instead of frame %u: %s\n", decoder->next_seq, decoder->damaged);
	if (decoder->verbose)
		return STATUS_BED;
	fprintf(stderr, "guest: the end of its console:%s\n", decoder->tail_count ? "" : " (it is empty: try --verbose)");
	for (unsigned int i = first; i < decoder->tail_count; i++)
		fprintf(stderr, "  %s\n", decoder->tail[i % TAIL_LINES]);
	return STATUS_BED;
}

static void on_alarm(int signo)
{
	(void)signo;
	gave_up = 1;
	alarm(1); /* should this one have come just before the read */
}

static int decode(int verbose)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct decoder decoder = { .verbose = verbose, .status = -1 };
	char line[LINE_MAX_LEN];
	size_t used = 0;
	int c;

	sigaction(SIGALRM, &action, NULL); /* it ends the read */
	do {
		char *mark;

		c = getchar();
		if (c != EOF && c != '\n' && used < sizeof(line) - 1) {
			line[used++] = c ? (char)c : '?';
			continue;
		}
		line[used] = 0;
		used = 0;
		if (!strcmp(line, MARK_OFF)) {
			alarm(0);
			continue;
		}
		mark = strstr(line, MARK);
		if (mark) {
			decode_frame(&decoder, mark + strlen(MARK));
			*mark = 0;
		}
		decode_text(&decoder, line);
	} while (c != EOF && !gave_up);
	return decode_result(&decoder);
}

int main(int argc, char **argv)
{
	if (argc > 2 && !strcmp(argv[1], "run"))
		return run(argv + 2);
	if (argc >= 2 && !strcmp(argv[1], "decode"))
		return decode(argc > 2 && !strcmp(argv[2], "--verbose"));
	fputs("usage: console run COMMAND... | console decode [--verbose]\n", stderr);
	return 2;
}
