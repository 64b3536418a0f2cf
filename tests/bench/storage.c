/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU time of vsp-storaged for one random read of 4 KiB, 32 at a time, from a file in the page cache, event driven:
 * against io_uring alone (fixed file and buffers), and against a vsp-storaged that stores no state block. This process
 * is guest and worker; every read's data is checked. Run it from a folder on ext4, with a release build.
 *
 * Limits: two processes of one program differ by some per cent here, now more, now less: a cost of the state block
 * below that does not show.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "abi/ring.h"
#include "abi/scsi.h"
#include "abi/vstor.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "bench.h"
#include "fake_storage.h"

#define IMAGE_LEN  (64u << 20)
#define READ_LEN   4096u
#define READS	   (IMAGE_LEN / READ_LEN)
#define DEPTH	   32u
#define WINDOW_NS  (350 * NS_PER_MS)
#define RING_PAGES 33u

struct service {
	const char *program; /* from our own folder */
	struct fake_channel channel;
	struct fake_worker *worker;
	pid_t pid;
	uint32_t wanted[DEPTH]; /* which of the image's pieces */
	uint64_t page[DEPTH];
};

static struct service with = {.program = "../../daemons/vsp-storaged/vsp-storaged"};
static struct service without = {.program = "vsp-storaged-none"};
static struct loop *loop;
static struct fake_guest guest;
static char folder[PATH_MAX - 64];
static int image = -1;
static uint32_t seed = 1;

static uint32_t pick(void)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % READS;
}

static double seconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int make_image(void)
{
	char path[] = "bench-storage-XXXXXX";
	uint32_t piece[READ_LEN / 4] = {0};

	image = mkostemp(path, O_CLOEXEC);
	if (image < 0)
		return -errno;
	unlink(path);
	for (uint32_t i = 0; i < READS; i++) {
		piece[0] = i;
		if (pwrite(image, piece, READ_LEN, (off_t)i * READ_LEN) != READ_LEN)
			return -EIO;
	}
	return fdatasync(image) < 0 ? -errno : 0;
}

/* ---- a service and its guest ---- */

static int call(struct service *service, uint32_t operation, uint16_t version)
{
	struct vstor_packet packet = {.operation = operation, .flags = VSTOR_REQUEST_COMPLETION_FLAG};
	struct fake_packet answer;

	packet.version.major_minor = version;
	if (fake_put_inband(&service->channel, 99, &packet, sizeof(packet)) < 0 ||
	    fake_worker_get(service->worker, &service->channel, &answer) < 0)
		return -EIO;
	memcpy(&packet, answer.payload, sizeof(packet));
	return packet.status == VSTOR_STATUS_SUCCESS ? 0 : -EPROTO;
}

static int start(struct service *service, uint8_t number)
{
	char program[PATH_MAX];

	snprintf(program, sizeof(program), "%s/%s", folder, service->program);
	fake_channel_init(&service->channel, &guest, number, 0, RING_PAGES);
	service->worker = fake_storage_new(loop, &guest, number, image, "bench");
	service->pid = fork();
	if (service->pid < 0)
		return -errno;
	if (service->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(program, "vsp-storaged", "--worker", fake_worker_path(service->worker), "--engine", "io_uring",
		      "--name", "bench", NULL);
		fprintf(stderr, "storage: %s: %s\n", program, strerror(errno));
		_exit(127);
	}
	for (unsigned int i = 0; i < DEPTH; i++)
		service->page[i] = fake_guest_alloc(&guest, 1);
	if (fake_worker_wait_ready(service->worker) < 0 ||
	    fake_worker_open(service->worker, 0, &service->channel) < 0 ||
	    call(service, VSTOR_OPERATION_BEGIN_INITIALIZATION, 0) < 0 ||
	    call(service, VSTOR_OPERATION_QUERY_PROTOCOL_VERSION, VSTOR_VERSION_WIN10) < 0 ||
	    call(service, VSTOR_OPERATION_QUERY_PROPERTIES, 0) < 0 ||
	    call(service, VSTOR_OPERATION_END_INITIALIZATION, 0) < 0)
		return -EIO;
	return 0;
}

static void stop(struct service *service)
{
	if (!service->worker)
		return;
	kill(service->pid, SIGTERM);
	waitpid(service->pid, NULL, 0);
	fake_worker_free(service->worker);
	fake_channel_done(&service->channel);
}

static int put_read(struct service *service, unsigned int slot)
{
	struct vstor_packet packet = {.operation = VSTOR_OPERATION_EXECUTE_SRB, .flags = VSTOR_REQUEST_COMPLETION_FLAG};
	struct vmscsi_request *srb = &packet.vm_srb;

	service->wanted[slot] = pick();
	srb->cdb_length = 10;
	srb->sense_info_length = 20;
	srb->data_in = VSTOR_DATA_IN;
	srb->data_transfer_length = READ_LEN;
	srb->cdb[0] = SCSI_READ_10;
	put_be32(&srb->cdb[2], service->wanted[slot] * (READ_LEN / 512));
	put_be16(&srb->cdb[7], READ_LEN / 512);
	return fake_put_pages(&service->channel, slot, &service->page[slot], 1, 0, READ_LEN, &packet, sizeof(packet));
}

/* Return: whether it brought what was asked for. */
static bool good(struct service *service, const struct fake_packet *answer)
{
	const struct vstor_packet *packet = (const void *)answer->payload;
	uint32_t *data;

	if (answer->transaction_id >= DEPTH || packet->vm_srb.srb_status != SRB_STATUS_SUCCESS)
		return false;
	data = fake_guest_ptr(&guest, service->page[answer->transaction_id]);
	if (*data != service->wanted[answer->transaction_id])
		return false;
	*data = UINT32_MAX;
	return true;
}

/* Take all answers that are there, and ask again if @more. Return: how many; -EIO. */
static int turn(struct service *service, bool more)
{
	struct fake_packet answer;
	int taken = 0;

	while (fake_get(&service->channel, &answer) == 0) {
		if (!good(service, &answer) || (more && put_read(service, (unsigned int)answer.transaction_id) < 0))
			return -EIO;
		taken++;
	}
	return taken;
}

/* Return: microseconds of the service's CPU time for each read; -1. */
static double measure(struct service *service)
{
	uint64_t end = clock_now_ns() + WINDOW_NS;
	unsigned long done = 0, flying = DEPTH;
	clockid_t clock;
	double begin;

	if (clock_getcpuclockid(service->pid, &clock) != 0)
		return -1;
	begin = seconds(clock);
	for (unsigned int i = 0; i < DEPTH; i++)
		if (put_read(service, i) < 0)
			return -1;
	while (flying > 0) {
		bool more = clock_now_ns() < end;
		int n;

		if (!fake_peek(&service->channel) && !fake_channel_irq(&service->channel, FAKE_WAIT_MS))
			return -1;
		n = turn(service, more);
		if (n < 0)
			return -1;
		done += (unsigned long)n;
		flying -= more ? 0 : (unsigned long)n;
	}
	return (seconds(clock) - begin) * 1e6 / (double)done;
}

/* ---- io_uring alone ---- */

static struct io_uring ring;
static uint8_t *buffers;

static int start_floor(void)
{
	struct iovec iov[DEPTH];
	int r = io_uring_queue_init(DEPTH, &ring, 0);

	buffers = aligned_alloc(READ_LEN, (size_t)DEPTH * READ_LEN);
	if (r < 0 || !buffers)
		return r < 0 ? r : -ENOMEM;
	for (unsigned int i = 0; i < DEPTH; i++)
		iov[i] = (struct iovec){buffers + (size_t)i * READ_LEN, READ_LEN};
	r = io_uring_register_buffers(&ring, iov, DEPTH);
	return r < 0 ? r : io_uring_register_files(&ring, &image, 1);
}

static void give(unsigned int slot, uint32_t *wanted)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	wanted[slot] = pick();
	io_uring_prep_read_fixed(sqe, 0, buffers + (size_t)slot * READ_LEN, READ_LEN, (uint64_t)wanted[slot] * READ_LEN,
				 (int)slot);
	io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
	io_uring_sqe_set_data64(sqe, slot);
}

static double measure_floor(void *arg)
{
	double begin = seconds(CLOCK_PROCESS_CPUTIME_ID);
	uint64_t end = clock_now_ns() + WINDOW_NS;
	unsigned long done = 0, flying = DEPTH;
	uint32_t wanted[DEPTH];

	(void)arg;
	for (unsigned int i = 0; i < DEPTH; i++)
		give(i, wanted);
	while (flying > 0) {
		bool more = clock_now_ns() < end;
		struct io_uring_cqe *cqe;
		unsigned int head, n = 0;

		if (io_uring_submit_and_wait(&ring, 1) < 0)
			return -1;
		io_uring_for_each_cqe(&ring, head, cqe)
		{
			unsigned int slot = (unsigned int)cqe->user_data;

			if (cqe->res != (int)READ_LEN || get_le32(buffers + (size_t)slot * READ_LEN) != wanted[slot])
				return -1;
			if (more)
				give(slot, wanted);
			n++;
		}
		io_uring_cq_advance(&ring, n);
		done += n;
		flying -= more ? 0 : n;
	}
	return (seconds(CLOCK_PROCESS_CPUTIME_ID) - begin) * 1e6 / (double)done;
}

/* ---- the program ---- */

static double with_block(void *arg)
{
	(void)arg;
	return measure(&with);
}

static double without_block(void *arg)
{
	(void)arg;
	return measure(&without);
}

static const struct bench_case cases[] = {
	{
		.name = "storage_read4k_qd32_cpu",
		.unit = "us",
		.lower_is_better = true,
		.ours = with_block,
		.peer = measure_floor,
		.peer_name = "io_uring floor",
		.must = 0.50,
		.stretch = 0.65,
	},
	{
		.name = "storage_state_block_cpu",
		.unit = "us",
		.lower_is_better = true,
		.ours = with_block,
		.peer = without_block,
		.peer_name = "no state block",
		.must = 1 / 1.05,
	},
};

int main(int argc, char **argv)
{
	ssize_t n = readlink("/proc/self/exe", folder, sizeof(folder) - 1);
	int r = n < 0 ? -errno : 0;

	dirname(folder);
	if (r == 0)
		r = make_image();
	if (r == 0)
		r = loop_new(&loop);
	if (r == 0) {
		fake_guest_init(&guest, 16u << 20, 1);
		r = start_floor();
	}
	if (r == 0)
		r = start(&with, 7);
	if (r == 0)
		r = start(&without, 8);
	if (r < 0)
		fprintf(stderr, "storage: %s\n", strerror(-r));
	else
		r = bench_main(argc, argv, cases, ARRAY_SIZE(cases));
	stop(&with);
	stop(&without);
	return r < 0 ? 1 : r;
}
