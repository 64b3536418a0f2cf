/* SPDX-License-Identifier: Apache-2.0 */
/* pcapng, read block by block, and by tcpdump. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fd.h"
#include "daemons/vsp-netd/capture.h"

static struct loop *loop;
static struct capture *capture;
static struct err err;
static int reader = -1;
static char *bytes;
static size_t len;

static void set_up(void)
{
	cr_assert_eq(loop_new(&loop), 0);
	signal(SIGPIPE, SIG_IGN);
}

static void tear_down(void)
{
	capture_free(capture);
	loop_free(loop);
	fd_close(&reader);
	free(bytes);
}

TestSuite(capture, .init = set_up, .fini = tear_down, .timeout = 20);

/* ---- what was written ---- */

struct seen {
	unsigned int frames;
	uint64_t dropped;		    /* as the frames say */
	uint64_t all_dropped, all_received; /* as the end says */
	uint32_t have, len, flags;	    /* of the last frame */
	uint8_t first;
};

static const uint8_t *find_option(const uint8_t *at, const uint8_t *end, uint16_t code)
{
	while (at + 4 <= end && get_le16(at)) {
		if (get_le16(at) == code)
			return at + 4;
		at += 4 + ALIGN_UP(get_le16(at + 2), 4);
	}
	return NULL;
}

static void read_block(const uint8_t *block, uint32_t block_len, struct seen *seen)
{
	const uint8_t *end = block + block_len - 4, *option;

	switch (get_le32(block)) {
	case 6:
		seen->frames++;
		seen->have = get_le32(block + 20);
		seen->len = get_le32(block + 24);
		seen->first = block[28];
		option = find_option(block + 28 + ALIGN_UP(seen->have, 4), end, 2);
		cr_assert(option);
		seen->flags = get_le32(option);
		option = find_option(block + 28 + ALIGN_UP(seen->have, 4), end, 4);
		seen->dropped += option ? get_le64(option) : 0;
		break;
	case 5:
		seen->all_received = get_le64(find_option(block + 20, end, 4));
		seen->all_dropped = get_le64(find_option(block + 20, end, 5));
		break;
	case 1:
		cr_assert_eq(get_le16(block + 8), 1, "not Ethernet");
		cr_assert_eq(memcmp(find_option(block + 16, end, 2), "net0", 4), 0);
		break;
	default:
		cr_assert_eq(get_le32(block), 0x0a0d0d0a);
		cr_assert_eq(get_le32(block + 8), 0x1a2b3c4d);
	}
}

static struct seen read_blocks(void)
{
	struct seen seen = {0};

	for (size_t at = 0; at < len;) {
		uint32_t block_len = get_le32(bytes + at + 4);

		cr_assert(block_len >= 12 && block_len % 4 == 0 && range_fits(at, block_len, len));
		cr_assert_eq(get_le32(bytes + at + block_len - 4), block_len);
		read_block((uint8_t *)bytes + at, block_len, &seen);
		at += block_len;
	}
	return seen;
}

/* ---- capturing ---- */

static void begin_pipe(const struct sock_filter *filter, size_t filter_len, uint32_t snap_len)
{
	int fd[2];

	cr_assert_eq(pipe2(fd, O_CLOEXEC), 0);
	reader = fd[0];
	cr_assert_eq(capture_new(loop, &fd[1], "net0", filter, filter_len, snap_len, &capture, &err), 0, "%s",
		     err.text);
	cr_assert_eq(fd[1], -1);
}

static void put(uint8_t first, size_t frame_len, enum capture_way way)
{
	static uint8_t frame[CAPTURE_FRAME_MAX];
	struct iovec piece[] = {{frame, 14}, {frame + 14, sizeof(frame) - 14}};

	frame[0] = first;
	capture_frame(capture, way, piece, 2, frame_len);
}

static void end_and_read(void)
{
	capture_free(capture);
	capture = NULL;
	cr_assert_eq(fd_read_all(reader, 64u << 20, &bytes, &len), 0);
}

Test(capture, frames_both_ways)
{
	struct seen seen;

	begin_pipe(NULL, 0, 0);
	put(1, 60, CAPTURE_IN);
	put(2, 1515, CAPTURE_OUT);
	end_and_read();
	seen = read_blocks();
	cr_assert_eq(seen.frames, 2);
	cr_assert_eq(seen.flags, 2);
	cr_assert_eq(seen.first, 2);
	cr_assert(seen.have == 1515 && seen.len == 1515);
	cr_assert(seen.all_received == 2 && seen.all_dropped == 0);
}

Test(capture, snap_length_and_filter)
{
	const struct sock_filter filter[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
					     BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 7, 0, 1),
					     BPF_STMT(BPF_RET | BPF_K, UINT32_MAX), BPF_STMT(BPF_RET | BPF_K, 0)};
	struct seen seen;

	begin_pipe(filter, ARRAY_SIZE(filter), 100);
	put(7, 60, CAPTURE_IN);
	put(8, 60, CAPTURE_IN);
	put(7, 5000, CAPTURE_IN);
	end_and_read();
	seen = read_blocks();
	cr_assert_eq(seen.frames, 2);
	cr_assert(seen.have == 100 && seen.len == 5000);
}

Test(capture, who_does_not_read_misses_some)
{
	struct seen seen;

	begin_pipe(NULL, 0, 0);
	for (unsigned int i = 0; i < 2000; i++)
		put(1, 1514, CAPTURE_IN);
	/* All that is in the pipe and the buffer is read, then there is room again. */
	cr_assert_eq(fcntl(reader, F_SETPIPE_SZ, 1 << 20) > 0, 1);
	bytes = malloc(8u << 20);
	cr_assert_eq(fd_set_nonblock(reader, true), 0);
	for (unsigned int quiet = 0; quiet < 3;) {
		ssize_t n = read(reader, bytes + len, (8u << 20) - len);

		if (n > 0)
			len += (size_t)n;
		quiet = n > 0 ? 0 : quiet + 1;
		cr_assert_eq(loop_run_once(loop, false), 0);
	}
	put(9, 60, CAPTURE_OUT);
	capture_free(capture);
	capture = NULL;
	for (ssize_t n; (n = read(reader, bytes + len, (8u << 20) - len)) > 0;)
		len += (size_t)n;
	seen = read_blocks();
	cr_assert_eq(seen.first, 9);
	cr_assert_gt(seen.dropped, 0);
	cr_assert_eq(seen.dropped, seen.all_dropped);
	cr_assert_eq(seen.frames + seen.dropped, 2001);
	cr_assert_eq(seen.all_received, 2001);
}

Test(capture, who_goes_ends_it)
{
	begin_pipe(NULL, 0, 0);
	fd_close(&reader);
	for (unsigned int i = 0; i < 100; i++)
		put(1, 1514, CAPTURE_IN);
	cr_assert(capture_over(capture));
}

Test(capture, what_is_refused)
{
	const struct sock_filter endless[] = {BPF_STMT(BPF_LD | BPF_IMM, 0)};
	int fd = open("/dev/null", O_WRONLY);

	cr_assert_eq(capture_new(loop, &fd, "net0", endless, 1, 0, &capture, &err), -EINVAL);
	cr_assert_eq(fd, -1);
	cr_assert(err.text[0]);
}

Test(capture, tcpdump_reads_a_file)
{
	char path[] = "/tmp/capture-XXXXXX", command[200], line[200] = "";
	int fd = mkostemp(path, O_CLOEXEC);
	FILE *out;

	cr_assert(fd >= 0);
	cr_assert_eq(capture_new(loop, &fd, "net0", NULL, 0, 0, &capture, &err), 0, "%s", err.text);
	for (unsigned int i = 0; i < 10; i++)
		put(2, 60 + i, CAPTURE_IN);
	capture_free(capture);
	capture = NULL;
	snprintf(command, sizeof(command), "tcpdump -r %s 2>/dev/null | wc -l", path);
	out = popen(command, "r"); /* NOLINT(cert-env33-c) */
	cr_assert(out && fgets(line, sizeof(line), out));
	pclose(out);
	unlink(path);
	cr_assert_eq(atoi(line), 10, "tcpdump sees %s frames", line);
}
