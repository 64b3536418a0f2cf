/* SPDX-License-Identifier: Apache-2.0 */
/* The program itself, as a process of its own, over a fake guest and a fake worker, with an image on a real file. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/ring.h"
#include "abi/scsi.h"
#include "abi/vstor.h"
#include "base/bytes.h"
#include "base/fd.h"
#include "fake_storage.h"

#define EXIT_NO_WORKER 4 /* vsp-storaged(8): there is no worker, or none any more */
#define PROGRAM	       "daemons/vsp-storaged/vsp-storaged"
#define IMAGE_LEN      (1u << 20)
#define EXIT_MS	       10000
#define TEXT(s)	       ((char *)(s)) /* argv has no const */
#define BURST	       200u

static struct loop *loop;
static struct fake_guest guest;
static struct fake_channel peer;
static struct fake_worker *worker;
static struct vstor_packet answer;
static int image = -1, log_pipe = -1;
static pid_t child;

static void set_up(off_t image_len)
{
	const char *dir = getenv("TMPDIR");
	char path[256];

	snprintf(path, sizeof(path), "%s/image-XXXXXX", dir ? dir : "/tmp");
	image = mkostemp(path, O_CLOEXEC);
	cr_assert_geq(image, 0);
	unlink(path);
	cr_assert_eq(ftruncate(image, image_len), 0);
	cr_assert_eq(loop_new(&loop), 0);
	fake_guest_init(&guest, 4u << 20, 2);
	fake_channel_init(&peer, &guest, 9, 0, 17);
	worker = fake_storage_new(loop, &guest, 7, image, "vm1");
}

static void tear_down(void)
{
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	if (!loop)
		return;
	fake_worker_free(worker);
	fake_channel_done(&peer);
	fake_guest_done(&guest);
	loop_free(loop);
	close(image);
	if (log_pipe >= 0)
		close(log_pipe);
}

TestSuite(daemon_storaged, .fini = tear_down, .timeout = 120);

static void spawn(char *const argv[])
{
	int fds[2];

	cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
	child = fork();
	cr_assert_geq(child, 0);
	if (child == 0) {
		dup2(fds[1], STDERR_FILENO);
		execv(PROGRAM, argv);
		_exit(127);
	}
	close(fds[1]);
	log_pipe = fds[0];
}

static void start_polling(const char *engine, const char *poll_max_ns)
{
	char *argv[] = {TEXT(PROGRAM),
			TEXT("--worker"),
			TEXT(fake_worker_path(worker)),
			TEXT("--name"),
			TEXT("vm1"),
			TEXT("--poll-max-ns"),
			TEXT(poll_max_ns),
			NULL,
			TEXT(engine),
			NULL};

	if (engine)
		argv[7] = TEXT("--engine");
	spawn(argv);
}

static void start(const char *engine)
{
	start_polling(engine, "0");
}

/* Run the loop until the child has gone. Return: its exit code; -1: it did not go, or by a signal. */
static int exit_code(void)
{
	int status = 0;

	for (int i = 0; i < EXIT_MS / 10; i++) {
		if (worker)
			fake_worker_run(worker);
		if (waitpid(child, &status, WNOHANG) == child) {
			child = 0;
			return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
		}
		poll(NULL, 0, 10);
	}
	return -1;
}

/* All that the child has said. */
static const char *said(void)
{
	static char text[8192];
	ssize_t n = 0;
	size_t len = 0;

	while (len < sizeof(text) - 1 && (n = read(log_pipe, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	return text;
}

/* ---- the guest ---- */

static void receive(uint64_t *ret_id)
{
	struct fake_packet packet;

	cr_assert_eq(fake_worker_get(worker, &peer, &packet), 0, "no answer");
	cr_assert_eq(packet.type, VMPACKET_COMPLETION);
	cr_assert_eq(packet.payload_len, sizeof(answer));
	memcpy(&answer, packet.payload, sizeof(answer));
	*ret_id = packet.transaction_id;
}

static void call(uint32_t operation, uint16_t version)
{
	struct vstor_packet packet = {.operation = operation, .flags = VSTOR_REQUEST_COMPLETION_FLAG};
	uint64_t id;

	packet.version.major_minor = version;
	cr_assert_eq(fake_put_inband(&peer, 99, &packet, sizeof(packet)), 0);
	receive(&id);
	cr_assert_eq(id, 99);
	cr_assert_eq(answer.status, 0);
}

static void put(uint64_t id, uint8_t opcode, uint8_t flags, uint32_t lba, uint64_t page, uint32_t len)
{
	struct vstor_packet packet = {.operation = VSTOR_OPERATION_EXECUTE_SRB, .flags = VSTOR_REQUEST_COMPLETION_FLAG};
	struct vmscsi_request *srb = &packet.vm_srb;

	srb->cdb_length = 10;
	srb->sense_info_length = 20;
	srb->data_in = opcode == SCSI_WRITE_10 ? VSTOR_DATA_OUT : len ? VSTOR_DATA_IN : VSTOR_DATA_UNKNOWN;
	srb->data_transfer_length = len;
	srb->cdb[0] = opcode;
	srb->cdb[1] = flags;
	put_be32(&srb->cdb[2], lba);
	put_be16(&srb->cdb[7], (uint16_t)(len / 512));
	if (len)
		cr_assert_eq(fake_put_pages(&peer, id, &page, 1, 0, len, &packet, sizeof(packet)), 0);
	else
		cr_assert_eq(fake_put_inband(&peer, id, &packet, sizeof(packet)), 0);
}

static void hear_power_on(void)
{
	uint64_t id;

	put(5, SCSI_TEST_UNIT_READY, 0, 0, 0, 0);
	receive(&id);
	cr_assert_eq(answer.vm_srb.scsi_status, SCSI_STATUS_CHECK_CONDITION);
	cr_assert_eq(answer.vm_srb.sense_data[2], SCSI_SENSE_UNIT_ATTENTION);
}

/* The guest opens one of the offers. */
static void connect_to(size_t offer)
{
	cr_assert_eq(fake_worker_wait_ready(worker), 0, "%s", said());
	cr_assert_eq(fake_worker_offer(worker, offer)->instance_guid.b[0], 7);
	cr_assert_eq(fake_worker_open(worker, offer, &peer), 0);
	call(VSTOR_OPERATION_BEGIN_INITIALIZATION, 0);
	call(VSTOR_OPERATION_QUERY_PROTOCOL_VERSION, VSTOR_VERSION_WIN10);
	call(VSTOR_OPERATION_QUERY_PROPERTIES, 0);
	call(VSTOR_OPERATION_END_INITIALIZATION, 0);
	hear_power_on();
}

static void connect_guest(void)
{
	connect_to(0);
	cr_assert_eq(fake_worker_offers(worker), 2, "a channel for each vCPU");
}

static void run(uint8_t opcode, uint8_t flags, uint32_t lba, uint64_t page, uint32_t len)
{
	uint64_t id;

	put(5, opcode, flags, lba, page, len);
	receive(&id);
	cr_assert_eq(id, 5);
	cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_SUCCESS);
	cr_assert_eq(answer.vm_srb.data_transfer_length, len);
}

/* The answers to a burst: in any order, each once, all well. */
static void receive_burst(void)
{
	bool seen[BURST] = {false};

	for (uint32_t i = 0; i < BURST; i++) {
		uint64_t id;

		receive(&id);
		cr_assert_lt(id, BURST);
		cr_assert_not(seen[id]);
		seen[id] = true;
		cr_assert_eq(answer.vm_srb.srb_status, SRB_STATUS_SUCCESS);
	}
}

/* A burst of reads, each from another block into another page; answers in any order, each once. */
static void burst(void)
{
	static uint64_t pages[BURST];
	uint8_t block[512];

	for (uint32_t i = 0; i < BURST; i++) {
		pages[i] = fake_guest_alloc(&guest, 1);
		memset(block, (int)i, sizeof(block));
		cr_assert_eq(pwrite(image, block, sizeof(block), (off_t)(i * 512)), (ssize_t)sizeof(block));
	}
	for (uint32_t i = 0; i < BURST; i++)
		put(i, SCSI_READ_10, 0, i, pages[i], 512);
	receive_burst();
	for (uint32_t i = 0; i < BURST; i++) {
		memset(block, (int)i, sizeof(block));
		cr_assert_eq(memcmp(fake_guest_ptr(&guest, pages[i]), block, sizeof(block)), 0);
	}
}

/* ---- recovery ---- */

static bool is_answered(void *arg)
{
	return *(int *)arg <= 0;
}

struct engine_name {
	char name[16], poll_max_ns[16];
};

/* Killed with requests under way; the next one answers what is left of them, each once, with its data. */
static void killed_and_replaced(const struct engine_name *how)
{
	static uint64_t pages[BURST];
	static int outcome;
	struct fake_recovered recovered = {0};
	uint8_t block[512];

	for (uint32_t i = 0; i < BURST; i++) {
		pages[i] = fake_guest_alloc(&guest, 1);
		memset(fake_guest_ptr(&guest, pages[i]), (int)(i ^ 0x5a), sizeof(block));
	}
	for (uint32_t i = 0; i < BURST; i++)
		put(i, SCSI_WRITE_10, SCSI_RW_FUA, i, pages[i], 512);
	cr_assert_eq(kill(child, SIGKILL), 0);
	cr_assert_eq(waitpid(child, NULL, 0), child);
	close(log_pipe);
	fake_worker_disconnect(worker);
	start_polling(how->name, how->poll_max_ns);
	cr_assert_eq(fake_worker_wait_ready(worker), 0, "%s", said());
	fake_worker_open_begin(worker, 0, &peer, true, &recovered, &outcome);
	cr_assert_eq(fake_worker_run_until(worker, is_answered, &outcome), 0);
	cr_assert_eq(outcome, 0);
	cr_assert_eq(recovered.lost, 0);
	cr_assert_eq(recovered.duplicate, 0);
	receive_burst();
	for (uint32_t i = 0; i < BURST; i++) {
		cr_assert_eq(pread(image, block, sizeof(block), (off_t)(i * 512)), (ssize_t)sizeof(block));
		cr_assert_eq(block[0], (uint8_t)(i ^ 0x5a));
		cr_assert_eq(block[511], (uint8_t)(i ^ 0x5a));
	}
}

ParameterizedTestParameters(daemon_storaged, serves_a_guest)
{
	static struct engine_name names[] = {
		{"io_uring", "0"}, {"threads", "0"}, {"io_uring", "200000"}, {"threads", "200000"}};

	return cr_make_param_array(struct engine_name, names, ARRAY_SIZE(names));
}

ParameterizedTest(struct engine_name *param, daemon_storaged, serves_a_guest, .timeout = 120)
{
	uint64_t page;
	uint8_t block[4096];

	set_up(IMAGE_LEN);
	start_polling(param->name, param->poll_max_ns);
	connect_guest();
	page = fake_guest_alloc(&guest, 1);
	memset(fake_guest_ptr(&guest, page), 0x77, 4096);
	run(SCSI_WRITE_10, SCSI_RW_FUA, 1000, page, 4096);
	run(SCSI_SYNCHRONIZE_CACHE_10, 0, 0, 0, 0);
	cr_assert_eq(fd_read_full(image, block, sizeof(block), 1000 * 512), 0);
	cr_assert_eq(block[0], 0x77);
	cr_assert_eq(block[4095], 0x77);
	burst();

	/* The guest starts over. */
	cr_assert_eq(fake_worker_quiesce(worker), 0);
	fake_channel_reset(&peer);
	connect_guest();
	run(SCSI_READ_10, 0, 1000, page, 4096);

	fake_worker_disconnect(worker);
	cr_assert_eq(exit_code(), EXIT_NO_WORKER);
	cr_assert(strstr(said(), "vsp-storaged vm1: disk sda: scsi0:0:0: /images/test.raw, 2048 blocks of 512 bytes"));
}

ParameterizedTestParameters(daemon_storaged, is_replaced)
{
	static struct engine_name names[] = {{"io_uring", "0"}, {"threads", "0"}, {"io_uring", "200000"}};

	return cr_make_param_array(struct engine_name, names, ARRAY_SIZE(names));
}

ParameterizedTest(struct engine_name *param, daemon_storaged, is_replaced, .timeout = 120)
{
	set_up(IMAGE_LEN);
	start_polling(param->name, param->poll_max_ns);
	connect_guest();
	killed_and_replaced(param);
	killed_and_replaced(param);
	fake_worker_disconnect(worker);
	cr_assert_eq(exit_code(), EXIT_NO_WORKER);
}

static void pause_a_while(void)
{
	for (int i = 0; i < 200; i++) {
		fake_worker_run(worker);
		poll(NULL, 0, 1);
	}
}

/* The predecessor's I/O does not end: nothing is served, and it can be stopped. */
Test(daemon_storaged, waits_for_its_predecessors_io)
{
	int end[2];

	set_up(IMAGE_LEN);
	cr_assert_eq(pipe2(end, O_CLOEXEC | O_NONBLOCK), 0);
	fake_worker_leave(worker, "io_uring", end[0]);
	start(NULL);
	pause_a_while();
	cr_assert_eq(fake_worker_offers(worker), 0);
	cr_assert_eq(kill(child, SIGTERM), 0);
	cr_assert_eq(exit_code(), 0);
	fake_worker_disconnect(worker);
	start(NULL);
	pause_a_while();
	fake_worker_disconnect(worker);
	cr_assert_eq(exit_code(), EXIT_NO_WORKER);
	start(NULL);
	pause_a_while();
	cr_assert_eq(fake_worker_offers(worker), 0);
	close(end[1]);
	connect_guest();
	close(end[0]);
}

Test(daemon_storaged, what_a_predecessor_left_is_nonsense)
{
	set_up(IMAGE_LEN);
	fake_worker_leave(worker, "io_uring", image);
	start(NULL);
	cr_assert_eq(exit_code(), 1);
	cr_assert(strstr(said(), "no pipe of ours"));
}

Test(daemon_storaged, empty_image)
{
	set_up(0);
	start(NULL);
	cr_assert_eq(exit_code(), 1);
	cr_assert(strstr(said(), "disk sda: /images/test.raw is empty"));
}

Test(daemon_storaged, no_worker)
{
	char *argv[] = {TEXT(PROGRAM), TEXT("--runtime-dir"), TEXT("/nonexistent"), TEXT("--name"), TEXT("vm1"), NULL};

	spawn(argv);
	cr_assert_eq(exit_code(), EXIT_NO_WORKER);
	cr_assert(strstr(said(), "/nonexistent/worker.sock"));
}

Test(daemon_storaged, usage)
{
	char *argv[] = {TEXT(PROGRAM), NULL};

	spawn(argv);
	cr_assert_eq(exit_code(), 2);
	cr_assert(strstr(said(), "Usage:"));
}

/* Each with its sub-channels, and as many disks as a VM can have. */
Test(daemon_storaged, sixty_four_controllers)
{
	int images[FAKE_STORAGE_LUNS_MAX];
	uint64_t page;

	set_up(IMAGE_LEN);
	fake_worker_free(worker);
	for (size_t i = 0; i < ARRAY_SIZE(images); i++)
		images[i] = image;
	worker = fake_storage_new_controllers(loop, &guest, 7, 64, images, ARRAY_SIZE(images), "vm1");
	start(NULL);
	connect_to(2 * 63);
	cr_assert_eq(fake_worker_offers(worker), 2 * 64);
	cr_assert_eq(fake_worker_offer(worker, 2 * 63)->instance_guid.b[1], 63);
	cr_assert_eq(fake_worker_offer(worker, 2 * 63 + 1)->subchannel_index, 1);
	page = fake_guest_alloc(&guest, 1);
	run(SCSI_READ_10, 0, 1000, page, 4096);
	fake_worker_disconnect(worker);
	cr_assert_eq(exit_code(), EXIT_NO_WORKER);
}

Test(daemon_storaged, a_budget_that_is_none)
{
	char *argv[] = {TEXT(PROGRAM), TEXT("--worker"), TEXT("x"), TEXT("--poll-max-ns"), TEXT("10000001"), NULL};

	spawn(argv);
	cr_assert_eq(exit_code(), 2);
	cr_assert(strstr(said(), "10000001: use 0 (no polling) to 10000000"));
}

Test(daemon_storaged, sigterm_ends_it)
{
	set_up(IMAGE_LEN);
	start(NULL);
	connect_guest();
	cr_assert_eq(kill(child, SIGTERM), 0);
	cr_assert_eq(exit_code(), 0);
}
