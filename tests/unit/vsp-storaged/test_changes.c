/* SPDX-License-Identifier: Apache-2.0 */
/* Disks that come, go and change their size: over files, with a guest that listens, does not, or is not there. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/ring.h"
#include "abi/scsi.h"
#include "abi/vstor.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/fd.h"
#include "daemons/vsp-storaged/changes.h"
#include "fake_worker.h"

#define LEN 65536u

static struct loop *loop;
static struct fake_guest guest;
static struct fake_channel peer;
static struct fake_worker *worker;
static struct vsp *vsp;
static struct storaged *storaged;
static struct storaged_controller *controller;
static struct changes *changes;
static struct change_settings change;
static struct settings settings;
static struct vstor_packet answer;
static struct err outcome;
static unsigned int outcomes, told; /* told: packets to the guest that are no answers */

static int image(void)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	cr_assert_eq(ftruncate(fd, LEN), 0);
	return fd;
}

static struct lun_settings disk(uint8_t lun, const char *alias)
{
	struct lun_settings to = {.lun = lun, .image = "/images/a.raw", .block_bytes = 512};

	strcpy(to.alias, alias);
	return to;
}

static void worker_gone(void *arg, const char *why)
{
	(void)arg;
	(void)why;
}

static void set_up(void)
{
	struct fake_provider provider = {.name = "storage", .config = "", .vm_name = "vm1"};
	struct vsp_config config = {.name = "storage", .worker_gone = worker_gone};
	struct vsp_offer_desc offer = {.interface_guid = VSTOR_SCSI_INTERFACE_GUID, .name = "scsi0"};
	struct err err = {0};
	int fd = image();

	settings.controllers = 1;
	settings.controller[0].instance.b[0] = 2;
	settings.controller[0].luns = 1;
	settings.controller[0].lun[0] = disk(0, "sda");
	cr_assert_eq(loop_new(&loop), 0);
	cr_assert_eq(storaged_open(loop, &settings, "threads", &fd, 1, &storaged, &err), 0, "%s", err.text);
	controller = &storaged->controller[0];
	change.instance = offer.instance_guid = settings.controller[0].instance;
	fake_guest_init(&guest, 4u << 20, 1);
	fake_channel_init(&peer, &guest, 9, 0, 17);
	worker = fake_worker_new(loop, &guest, &provider);
	config.worker_path = fake_worker_path(worker);
	cr_assert_eq(vsp_attach(loop, &config, &vsp, &err), 0, "%s", err.text);
	cr_assert_eq(changes_new(loop, vsp, storaged, &changes), 0);
	cr_assert_eq(vsp_offer(vsp, &offer, &storvsp_ops, &controller->storvsp, &err), 0, "%s", err.text);
	cr_assert_eq(vsp_ready(vsp, &err), 0, "%s", err.text);
	cr_assert_eq(fake_worker_wait_ready(worker), 0);
}

static void tear_down(void)
{
	changes_free(changes);
	storaged_free(storaged);
	vsp_free(vsp);
	fake_worker_free(worker);
	fake_channel_done(&peer);
	fake_guest_done(&guest);
	loop_free(loop);
}

TestSuite(changes, .init = set_up, .fini = tear_down, .timeout = 30);

/* ---- the guest ---- */

/* The next answer; what the host says by itself is counted on the way. */
static void receive(void)
{
	struct fake_packet got;

	do {
		cr_assert_eq(fake_worker_get(worker, &peer, &got), 0, "no answer");
		memset(&answer, 0, sizeof(answer));
		memcpy(&answer, got.payload, MIN((size_t)got.payload_len, sizeof(answer)));
		if (got.type != VMPACKET_COMPLETION)
			cr_assert_eq(answer.operation, VSTOR_OPERATION_ENUMERATE_BUS);
		told += got.type != VMPACKET_COMPLETION;
	} while (got.type != VMPACKET_COMPLETION);
}

static void say(uint32_t operation, uint16_t version)
{
	struct vstor_packet packet = {.operation = operation, .flags = VSTOR_REQUEST_COMPLETION_FLAG};

	packet.version.major_minor = version;
	cr_assert_eq(fake_put_inband(&peer, 1, &packet, sizeof(packet)), 0);
	receive();
	cr_assert_eq(answer.status, 0);
}

static void listen_to_it(void)
{
	cr_assert_eq(fake_worker_open(worker, 0, &peer), 0);
	say(VSTOR_OPERATION_BEGIN_INITIALIZATION, 0);
	say(VSTOR_OPERATION_QUERY_PROTOCOL_VERSION, VSTOR_VERSION_WIN10);
	say(VSTOR_OPERATION_QUERY_PROPERTIES, 0);
	say(VSTOR_OPERATION_END_INITIALIZATION, 0);
}

/* TEST UNIT READY: whether it is there. */
static bool sees(uint8_t lun)
{
	struct vstor_packet packet = {.operation = VSTOR_OPERATION_EXECUTE_SRB,
				      .flags = VSTOR_REQUEST_COMPLETION_FLAG,
				      .vm_srb = {.lun = lun, .cdb_length = 6, .sense_info_length = 20}};

	cr_assert_eq(fake_put_inband(&peer, 2, &packet, sizeof(packet)), 0);
	receive();
	return answer.vm_srb.srb_status != SRB_STATUS_INVALID_LUN;
}

/* ---- changes ---- */

static void on_done(void *arg, const struct err *err)
{
	(void)arg;
	outcome = *err;
	outcomes++;
}

static void begin(enum change_kind kind, int fd)
{
	outcomes = 0;
	change.kind = kind;
	changes_begin(changes, &change, (struct storaged_fds){fd, -1}, on_done, NULL);
}

static bool is_over(void *arg)
{
	(void)arg;
	return outcomes > 0;
}

/* Return: the outcome's code. */
static int end(void)
{
	cr_assert_eq(fake_worker_run_until(worker, is_over, NULL), 0, "it does not end");
	cr_assert_eq(outcomes, 1);
	return outcome.code;
}

static int make(enum change_kind kind, int fd)
{
	begin(kind, fd);
	return end();
}

static bool is_closed(int fd)
{
	return fcntl(fd, F_GETFD) < 0;
}

static int attach(uint8_t lun, const char *alias)
{
	change.lun = disk(lun, alias);
	return make(CHANGE_ATTACH, image());
}

Test(changes, what_is_not_there)
{
	int fd = image();

	change.lun = disk(5, "sdf");
	cr_assert_eq(make(CHANGE_DETACH, -1), -ENOENT);
	cr_assert_eq(make(CHANGE_RESIZE, -1), -ENOENT);
	change.instance.b[0] = 9;
	cr_assert_eq(make(CHANGE_ATTACH, fd), -ENOENT);
	cr_assert(is_closed(fd), "it was taken over");
	cr_assert_eq(storaged->disks, 1);
}

Test(changes, attach)
{
	int fd = image();

	listen_to_it();
	cr_assert(!sees(1));
	cr_assert_eq(attach(1, "sdb"), 0, "%s", outcome.text);
	cr_assert(sees(1));
	cr_assert_eq(told, 1);
	change.lun = disk(1, "sdc");
	cr_assert_eq(make(CHANGE_ATTACH, fd), -EEXIST);
	cr_assert(is_closed(fd));
	cr_assert_eq(storaged->disks, 2);
	/* of a predecessor that died before it could answer: it is told once more */
	cr_assert_eq(attach(1, "sdb"), 0);
	cr_assert(sees(1));
	cr_assert_eq(told, 2);
	cr_assert_eq(storaged->disks, 2);
}

Test(changes, an_image_that_cannot_be_used)
{
	int fd = memfd_create("empty", MFD_CLOEXEC);

	change.lun = disk(1, "sdb");
	cr_assert_eq(make(CHANGE_ATTACH, fd), -EINVAL);
	cr_assert(is_closed(fd));
	cr_assert_eq(attach(1, "sdb"), 0, "the place is free");
}

Test(changes, resize)
{
	const struct scsi_lun *lun = storaged_find_lun(controller, 0, 0);

	change.lun = disk(0, "sda");
	change.bytes = 1000;
	cr_assert_eq(make(CHANGE_RESIZE, -1), -EINVAL);
	change.bytes = LEN / 2;
	cr_assert_eq(make(CHANGE_RESIZE, -1), -EINVAL);
	cr_assert(strstr(outcome.text, "--shrink"), "%s", outcome.text);
	cr_assert_eq(lun->disk->blocks, LEN / 512);
	change.shrink = true;
	cr_assert_eq(make(CHANGE_RESIZE, -1), 0);
	cr_assert_eq(lun->disk->blocks, LEN / 1024);
	change.shrink = false;
	change.bytes = 2 * LEN;
	cr_assert_eq(make(CHANGE_RESIZE, -1), 0);
	cr_assert_eq(lun->disk->blocks, 2 * LEN / 512);
}

/* Nobody has to let go of it. What comes to its place is as never used. */
Test(changes, detach_without_a_guest)
{
	cr_assert_eq(attach(1, "sdb"), 0);
	scsi_lun_greet(storaged_find_lun(controller, 0, 1));
	change.timeout_ms = 20000;
	cr_assert_eq(make(CHANGE_DETACH, -1), 0);
	cr_assert_null(storaged_find_lun(controller, 0, 1));
	cr_assert_eq(storaged->disks, 1);
	cr_assert_eq(attach(1, "sdc"), 0);
	cr_assert_eq(storaged_find_lun(controller, 0, 1)->state.greeting, SCSI_POWERED_ON);
	cr_assert_neq(storaged_find_lun(controller, 0, 1)->state.sequence, 0, "newer than what there was");
}

/* The guest looks, and is silent then. */
Test(changes, detach)
{
	listen_to_it();
	cr_assert_eq(attach(1, "sdb"), 0);
	cr_assert(sees(1));
	change.timeout_ms = 20000;
	begin(CHANGE_DETACH, -1);
	fake_worker_run(worker);
	cr_assert_eq(outcomes, 0, "the guest has not looked");
	cr_assert(!sees(1));
	cr_assert_eq(told, 2);
	cr_assert_eq(end(), 0);
	cr_assert_null(storaged_find_lun(controller, 0, 1));
	cr_assert(sees(0));
}

Test(changes, a_guest_that_does_not_let_go)
{
	listen_to_it();
	cr_assert(sees(0));
	change.lun = disk(0, "sda");
	change.timeout_ms = 1;
	cr_assert_eq(make(CHANGE_DETACH, -1), -ETIMEDOUT);
	cr_assert(sees(0));
	cr_assert_eq(told, 2, "it is told that it stays");
	change.timeout_ms = 0;
	cr_assert_eq(make(CHANGE_DETACH, -1), 0, "by force");
	cr_assert(!sees(0));
}

Test(changes, one_at_a_time)
{
	listen_to_it();
	change.lun = disk(0, "sda");
	change.timeout_ms = 20000;
	begin(CHANGE_DETACH, -1);
	cr_assert_eq(outcomes, 0);
	cr_assert_eq(attach(1, "sdb"), -EBUSY);
	outcomes = 0;
	changes_free(changes);
	changes = NULL;
	cr_assert_eq(outcomes, 1);
	cr_assert_eq(outcome.code, -ECANCELED, "who takes over is asked again");
}

/* Its guest still uses it, and only hears from another process: it has not let go of it. */
Test(changes, a_detach_during_a_hand_over)
{
	listen_to_it();
	change.lun = disk(0, "sda");
	change.timeout_ms = 20000;
	begin(CHANGE_DETACH, -1);
	cr_assert_eq(fake_worker_hand_over(worker), 0);
	for (uint64_t end = clock_now_ns() + 2 * CHANGES_QUIET_NS; clock_now_ns() < end; poll(NULL, 0, 10))
		fake_worker_run(worker);
	cr_assert_eq(outcomes, 0);
	cr_assert(storaged_find_lun(controller, 0, 0));
	changes_free(changes);
	changes = NULL;
	cr_assert_eq(outcome.code, -ECANCELED, "who takes over is asked again");
}

/* ---- disks that others share ---- */

static int attach_shared(uint8_t lun, const char *alias, int reservations)
{
	outcomes = 0;
	change.kind = CHANGE_ATTACH;
	change.lun = disk(lun, alias);
	change.lun.reservations = 1;
	change.lun.vm[0] = 1;
	changes_begin(changes, &change, (struct storaged_fds){image(), reservations}, on_done, NULL);
	return end();
}

/* Whether another process finds the lock of changes taken. */
static bool is_locked(int fd)
{
	struct flock held = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0x10000, .l_len = 1};
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(fcntl(fd, F_GETLK, &held) < 0 ? 2 : held.l_type != F_UNLCK);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) < 2);
	return WEXITSTATUS(status) == 1;
}

static void on_ordered(void *arg, int result)
{
	cr_assert_eq(result, RESERVATION_DONE);
	*(bool *)arg = true;
}

static bool is_true(void *arg)
{
	return *(bool *)arg;
}

/* A file of reservations comes a second time, in the middle of a change, and is refused, or is there already. */
Test(changes, reservations_keep_their_lock)
{
	struct reservation_order order = {.action = SCSI_PRO_REGISTER, .action_key = 1};
	int file = memfd_create("reservations", MFD_CLOEXEC);
	struct reservation *reservation;
	bool ordered = false;

	cr_assert_eq(attach_shared(1, "sdb", fd_dup(file)), 0, "%s", outcome.text);
	reservation = storaged_find_lun(controller, 0, 1)->reservation;
	reservation_order(reservation, &order, 0, NULL, on_ordered, &ordered);
	cr_assert(is_locked(file));
	cr_assert_eq(attach_shared(2, "sdc", fd_dup(file)), -EINVAL);
	cr_assert(strstr(outcome.text, "disk sdb of this VM already"), "%s", outcome.text);
	cr_assert(is_locked(file), "refused for it");
	cr_assert_eq(attach_shared(1, "sdc", fd_dup(file)), -EEXIST);
	cr_assert(is_locked(file), "refused for the address");
	cr_assert_eq(attach_shared(1, "sdb", fd_dup(file)), 0);
	cr_assert(is_locked(file), "it is there");
	engine_flush(storaged->engine);
	cr_assert_eq(fake_worker_run_until(worker, is_true, &ordered), 0);
	cr_assert(!is_locked(file));
	close(file);
}
