/* SPDX-License-Identifier: Apache-2.0 */
/* Two who share a disk, over a real file of reservations and a real engine; one of them may die anywhere. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/scsi.h"
#include "base/bytes.h"
#include "base/fd.h"
#include "daemons/vsp-storaged/reservation.h"

#define NOT_YET 99

static struct loop *loop;
static struct engine *engine;
static char path[256];
static int fd[2], results[2];
static unsigned int file[2];
static struct reservation *r[2];
static uint32_t marks[2];
static unsigned int fenced;

static int open_one(unsigned int i, struct err *err)
{
	struct reservation_config config = {.alias = "sda", .image = "/image", .vm = {(uint8_t)(i + 1)}};

	fd[i] = open(path, O_RDWR | O_CLOEXEC);
	file[i] = (unsigned int)engine_add_file(engine, fd[i]);
	config.fd = fd[i];
	config.file = file[i];
	return reservation_open(loop, engine, &config, &r[i], err);
}

static void must_open(unsigned int i)
{
	struct err err = {0};

	cr_assert_eq(open_one(i, &err), 0, "%s", err.text);
}

/* The process is gone, and all that held its descriptor: the worker and the ring. */
static void gone(unsigned int i)
{
	reservation_close(r[i]);
	(void)engine_remove_file(engine, file[i]);
	close(fd[i]);
	r[i] = NULL;
	fd[i] = -1;
}

static void set_up(void)
{
	const char *dir = getenv("TMPDIR");
	struct err err = {0};
	int made;

	snprintf(path, sizeof(path), "%s/reservation-XXXXXX", dir ? dir : "/tmp");
	made = mkostemp(path, O_CLOEXEC);
	cr_assert_geq(made, 0);
	close(made);
	cr_assert_eq(loop_new(&loop), 0);
	cr_assert_eq(engine_open("threads", loop, NULL, 0, &engine, &err), 0, "%s", err.text);
	must_open(0);
	must_open(1);
}

static void tear_down(void)
{
	engine_close(engine);
	for (unsigned int i = 0; i < 2; i++) {
		reservation_close(r[i]);
		fd_close(&fd[i]);
	}
	loop_free(loop);
	unlink(path);
}

TestSuite(reservation, .init = set_up, .fini = tear_down, .timeout = 60);

static void keep_mark(void *arg, uint32_t mark)
{
	marks[(int *)arg - results] = mark;
}

static void on_done(void *arg, int result)
{
	*(int *)arg = result;
}

static void begin(unsigned int i, uint8_t action, uint8_t type, uint64_t key, uint64_t action_key, uint32_t mark)
{
	struct reservation_order order = {.action = action, .type = type, .key = key, .action_key = action_key};

	results[i] = NOT_YET;
	reservation_order(r[i], &order, mark, keep_mark, on_done, &results[i]);
	engine_flush(engine);
}

static int finish(unsigned int i)
{
	while (results[i] == NOT_YET)
		loop_run_once(loop, true);
	return results[i];
}

static int order(unsigned int i, uint8_t action, uint8_t type, uint64_t key, uint64_t action_key)
{
	begin(i, action, type, key, action_key, 0);
	return finish(i);
}

static bool writes(unsigned int i)
{
	uint64_t ticket;
	bool may = reservation_enter(r[i], RESERVATION_WRITES, &ticket);

	if (may)
		reservation_leave(r[i], ticket);
	return may;
}

/* Nothing comes of it for a while. */
static void still_waits(unsigned int i)
{
	for (unsigned int n = 0; n < 20; n++)
		loop_run_once(loop, true);
	cr_assert_eq(results[i], NOT_YET);
}

static void register_both(void)
{
	cr_assert_eq(order(0, SCSI_PRO_REGISTER, 0, 0, 0xa), RESERVATION_DONE);
	cr_assert_eq(order(1, SCSI_PRO_REGISTER, 0, 0, 0xb), RESERVATION_DONE);
}

static void both_write_one_reserves(void)
{
	register_both();
	cr_assert_eq(order(1, SCSI_PRO_RESERVE, RESERVATION_WRITE_EXCLUSIVE_REGISTRANTS, 0xb, 0), RESERVATION_DONE);
	cr_assert(writes(0) && writes(1));
}

Test(reservation, others_see_it_at_once)
{
	both_write_one_reserves();
	cr_assert_eq(order(0, SCSI_PRO_PREEMPT, 5, 0xa, 0xb), RESERVATION_DONE);
	cr_assert(writes(0) && !writes(1));
	cr_assert_eq(reservation_us(r[1])->attention, 1);
	cr_assert_eq(reservation_us(r[1])->what, 5);
	cr_assert_eq(order(1, SCSI_PRO_REGISTER_AND_IGNORE, 0, 0, 0xb), RESERVATION_DONE);
	cr_assert(writes(1), "it has come back");
}

Test(reservation, they_have_one_name)
{
	cr_assert_eq(memcmp(r[0]->id, r[1]->id, RESERVATION_ID_LEN), 0);
	cr_assert_neq(r[0]->nexus, r[1]->nexus);
}

/* What was begun before ends before the answer. */
Test(reservation, writes_are_waited_for)
{
	uint64_t first, second;

	both_write_one_reserves();
	cr_assert(reservation_enter(r[1], RESERVATION_WRITES, &first));
	cr_assert(reservation_enter(r[1], RESERVATION_WRITES, &second));
	begin(0, SCSI_PRO_PREEMPT_AND_ABORT, 5, 0xa, 0xb, 0);
	still_waits(0);
	cr_assert(!writes(1), "and no new one begins");
	reservation_leave(r[1], first);
	still_waits(0);
	reservation_leave(r[1], second);
	cr_assert_eq(finish(0), RESERVATION_DONE);
	cr_assert_eq(atomic_load(&r[1]->count->in_flight), 0);
}

/* Of who reads what is so, too: nobody is told of a fence that does not stand yet. */
Test(reservation, readers_wait_as_well)
{
	uint64_t ticket;

	both_write_one_reserves();
	cr_assert(reservation_enter(r[1], RESERVATION_WRITES, &ticket));
	begin(0, SCSI_PRO_PREEMPT, 5, 0xa, 0xb, 0);
	still_waits(0);
	results[1] = NOT_YET;
	reservation_settle(r[1], on_done, &results[1]);
	cr_assert_eq(finish(1), RESERVATION_UNCHANGED, "it does not wait for itself");
	reservation_leave(r[1], ticket);
	cr_assert_eq(finish(0), RESERVATION_DONE);
}

/* One that may go on writing is not waited for, however much it writes. */
Test(reservation, who_may_write_is_not_waited_for)
{
	uint64_t ticket;

	both_write_one_reserves();
	cr_assert(reservation_enter(r[0], RESERVATION_WRITES, &ticket));
	cr_assert_eq(order(1, SCSI_PRO_RELEASE, 5, 0xb, 0), RESERVATION_DONE);
	reservation_leave(r[0], ticket);
}

/* New writes that are refused, or admitted again later, do not keep who waits. */
Test(reservation, only_what_was_before_counts)
{
	uint64_t old, new;

	both_write_one_reserves();
	cr_assert(reservation_enter(r[1], RESERVATION_WRITES, &old));
	begin(0, SCSI_PRO_PREEMPT, 5, 0xa, 0xb, 0);
	still_waits(0);
	reservation_leave(r[1], old);
	cr_assert_eq(finish(0), RESERVATION_DONE);
	cr_assert_eq(order(1, SCSI_PRO_REGISTER_AND_IGNORE, 0, 0, 0xb), RESERVATION_DONE);
	cr_assert(reservation_enter(r[1], RESERVATION_WRITES, &new));
	begin(0, SCSI_PRO_PREEMPT, 5, 0xa, 0xb, 0);
	still_waits(0);
	reservation_leave(r[1], new);
	cr_assert_eq(finish(0), RESERVATION_DONE);
}

static void on_fenced(void *arg)
{
	uint64_t *ticket = arg;

	fenced++;
	reservation_leave(r[1], *ticket);
}

/* Who has begun a write is told, and can end what the host has not begun. */
Test(reservation, fenced)
{
	static uint64_t ticket;
	uint64_t second;

	both_write_one_reserves();
	reservation_set_fenced(r[1], on_fenced, &ticket);
	cr_assert(reservation_enter(r[1], RESERVATION_WRITES, &ticket));
	begin(0, SCSI_PRO_PREEMPT, 5, 0xa, 0xb, 0);
	still_waits(0);
	cr_assert(!reservation_enter(r[1], RESERVATION_WRITES, &second));
	cr_assert_eq(finish(0), RESERVATION_DONE);
	cr_assert_eq(fenced, 1);
}

/* ---- deaths ---- */

/* With writes in flight: its successor, which has waited for their end, does away with the count. */
Test(reservation, successor)
{
	uint64_t ticket;
	int kept;

	both_write_one_reserves();
	cr_assert(reservation_enter(r[1], RESERVATION_WRITES, &ticket));
	kept = fd_dup(fd[1]); /* the worker's */
	gone(1);
	begin(0, SCSI_PRO_PREEMPT, 5, 0xa, 0xb, 0);
	still_waits(0);
	{
		struct reservation_config config = {.alias = "sda", .image = "/image", .vm = {2}};
		struct err err = {0};

		fd[1] = kept;
		file[1] = (unsigned int)engine_add_file(engine, kept);
		config.fd = kept;
		config.file = file[1];
		cr_assert_eq(reservation_open(loop, engine, &config, &r[1], &err), 0, "%s", err.text);
	}
	cr_assert(!writes(1), "what it does again is refused");
	cr_assert_eq(finish(0), RESERVATION_DONE);
}

/* With writes in flight, and nobody left: the lock on its place is gone, and it is not waited for. */
Test(reservation, vm_is_gone)
{
	uint64_t ticket;

	both_write_one_reserves();
	cr_assert(reservation_enter(r[1], RESERVATION_WRITES, &ticket));
	begin(0, SCSI_PRO_PREEMPT, 5, 0xa, 0xb, 0);
	still_waits(0);
	gone(1);
	cr_assert_eq(finish(0), RESERVATION_DONE);
	must_open(1);
	cr_assert(!writes(1));
	cr_assert_eq(reservation_us(r[1])->what, 5);
}

Test(reservation, nobody_is_it_twice)
{
	struct reservation_config config = {.alias = "sdb", .image = "/image", .vm = {1}};
	struct reservation *again;
	struct err err = {0};

	config.fd = open(path, O_RDWR | O_CLOEXEC);
	cr_assert_eq(reservation_open(loop, engine, &config, &again, &err), -EBUSY);
	close(config.fd);
}

static void put_state(const struct reservation_state *state, uint64_t generation)
{
	struct reservation_state copy = *state;
	uint8_t bytes[RESERVATION_PAGE];

	copy.generation = generation;
	reservation_state_print(&copy, bytes);
	cr_assert_eq(pwrite(fd[0], bytes, sizeof(bytes), (off_t)(2 + (generation & 1)) * RESERVATION_PAGE),
		     (ssize_t)sizeof(bytes));
}

/* The file as somebody leaves it who dies between writing and publishing: the change counts, and is not made twice. */
Test(reservation, died_before_publishing)
{
	struct reservation_state state;
	uint64_t before;

	register_both();
	state = r[1]->state;
	before = state.generation;
	state.nexus[r[1]->nexus].key = 0xbb;
	state.nexus[r[1]->nexus].mark = 0x1234;
	state.pr_generation++;
	put_state(&state, before + 1);
	begin(1, SCSI_PRO_REGISTER, 0, 0xb, 0xbb, 0x1234);
	cr_assert_eq(finish(1), RESERVATION_DONE, "its successor is given the order again");
	reservation_look(r[0]);
	cr_assert_eq(r[0]->state.generation, before + 1, "published, and nothing more");
	cr_assert_eq(r[0]->state.pr_generation, 3);
	/* Another order of the same kind is another one. */
	begin(1, SCSI_PRO_REGISTER, 0, 0xb, 0xbb, 0x1235);
	cr_assert_eq(finish(1), RESERVATION_CONFLICT);
}

/* And before it was whole: it has not been, and is made. */
Test(reservation, died_writing)
{
	uint64_t before;

	register_both();
	before = r[1]->state.generation;
	cr_assert_eq(pwrite(fd[1], "torn", 4, (off_t)(2 + ((before + 1) & 1)) * RESERVATION_PAGE + 100), 4);
	begin(1, SCSI_PRO_REGISTER, 0, 0xb, 0xbb, 0x1234);
	cr_assert_eq(finish(1), RESERVATION_DONE);
	cr_assert_eq(r[1]->state.generation, before + 1);
	cr_assert_neq(marks[1], 0);
}

/* The lock goes with the process. */
Test(reservation, died_with_the_lock)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0x10000, .l_len = 1};
	int pipe_fd[2];
	pid_t pid;
	char byte;

	register_both();
	cr_assert_eq(pipe(pipe_fd), 0);
	pid = fork();
	if (pid == 0) {
		if (fcntl(fd[0], F_SETLK, &lock) == 0)
			(void)!write(pipe_fd[1], "l", 1);
		pause();
		_exit(0);
	}
	cr_assert_eq(read(pipe_fd[0], &byte, 1), 1);
	begin(1, SCSI_PRO_REGISTER, 0, 0xb, 0xbb, 0);
	still_waits(1);
	cr_assert_eq(r[1]->state.nexus[r[1]->nexus].key, 0xb);
	kill(pid, SIGKILL);
	cr_assert_eq(finish(1), RESERVATION_DONE);
	waitpid(pid, NULL, 0);
	close(pipe_fd[0]);
	close(pipe_fd[1]);
}

/* ---- a lock that is lost ---- */

/* As another process sees it. */
static bool is_locked(void)
{
	struct flock held = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0x10000, .l_len = 1};
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		if (fcntl(fd[0], F_GETLK, &held) < 0)
			_exit(2);
		_exit(held.l_type != F_UNLCK);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) < 2);
	return WEXITSTATUS(status) == 1;
}

/* What else the process closes of the file does not drop the lock of a change. */
Test(reservation, descriptors_are_closed_later)
{
	int others[2] = {fd_dup(fd[0]), open(path, O_RDWR | O_CLOEXEC)};

	cr_assert(reservation_is_of(r[0], others[1]));
	begin(0, SCSI_PRO_REGISTER, 0, 0, 0xa, 0);
	cr_assert(is_locked());
	for (unsigned int i = 0; i < 2; i++)
		reservation_close_fd(r[0], others[i]);
	cr_assert(is_locked());
	cr_assert_eq(finish(0), RESERVATION_DONE);
	cr_assert(!is_locked());
	for (unsigned int i = 0; i < 2; i++)
		cr_assert_lt(fcntl(others[i], F_GETFD), 0, "they are closed then");
	others[0] = fd_dup(fd[0]);
	reservation_close_fd(r[0], others[0]);
	cr_assert_lt(fcntl(others[0], F_GETFD), 0, "at once, where there is no change");
}

/* Somebody else makes @count changes while ours is on its way to the medium, the first in the place of ours. */
static void others_go_on(unsigned int count, uint64_t key)
{
	struct reservation_state state = r[1]->state;
	uint64_t generation = state.generation;

	state.nexus[r[1]->nexus].key = key;
	state.nexus[r[1]->nexus].mark = 0x4321;
	while (count-- > 0) {
		put_state(&state, ++generation);
		atomic_store(r[1]->generation, generation);
	}
}

/* It is made after theirs, and the generation has only grown. */
Test(reservation, superseded)
{
	for (unsigned int count = 1; count < 4; count++) {
		uint64_t before;

		cr_assert_eq(order(0, SCSI_PRO_REGISTER_AND_IGNORE, 0, 0, 0xa), RESERVATION_DONE);
		reservation_look(r[1]);
		before = r[1]->state.generation;
		begin(0, SCSI_PRO_REGISTER, 0, 0xa, 0xaa, 0);
		others_go_on(count, 0xb0 + count);
		cr_assert_eq(finish(0), RESERVATION_DONE);
		cr_assert_eq(atomic_load(r[0]->generation), before + count + 1);
		reservation_look(r[1]);
		cr_assert_eq(r[1]->state.nexus[r[0]->nexus].key, 0xaa);
		cr_assert_eq(reservation_us(r[1])->key, 0xb0 + count, "neither is lost");
	}
}

/* Somebody found ours and published it: it is not made twice. */
Test(reservation, published_by_another)
{
	uint64_t before;

	register_both();
	reservation_look(r[0]);
	before = r[0]->state.generation;
	begin(0, SCSI_PRO_REGISTER, 0, 0xa, 0xaa, 0);
	atomic_store(r[0]->generation, before + 1);
	cr_assert_eq(finish(0), RESERVATION_DONE);
	cr_assert_eq(atomic_load(r[0]->generation), before + 1);
	cr_assert_eq(reservation_us(r[0])->key, 0xaa);
}

/* Where ours did not get to the medium, only ours is taken back. */
Test(reservation, superseded_and_failed)
{
	uint64_t before;

	register_both();
	reservation_look(r[0]);
	before = r[0]->state.generation;
	cr_assert_eq(engine_remove_file(engine, file[0]), 0);
	begin(0, SCSI_PRO_REGISTER, 0, 0xa, 0xaa, 0);
	others_go_on(1, 0xbb);
	cr_assert_lt(finish(0), 0);
	reservation_look(r[1]);
	cr_assert(!r[1]->broken);
	cr_assert_eq(reservation_us(r[1])->key, 0xbb);
	file[0] = (unsigned int)engine_add_file(engine, fd[0]);
	r[0]->file = file[0];
	cr_assert_eq(order(0, SCSI_PRO_REGISTER, 0, 0xa, 0xaa), RESERVATION_DONE);
	cr_assert_eq(r[0]->state.generation, before + 2);
	cr_assert_eq(r[0]->state.nexus[r[1]->nexus].key, 0xbb);
}

/* ---- a spoilt file ---- */

Test(reservation, spoilt_while_it_is_used)
{
	uint8_t nothing[RESERVATION_PAGE] = {1};
	uint64_t ticket;

	register_both();
	cr_assert(writes(1));
	for (off_t i = 2; i < 4; i++)
		cr_assert_eq(pwrite(fd[0], nothing, sizeof(nothing), i * RESERVATION_PAGE), (ssize_t)sizeof(nothing));
	atomic_fetch_add(r[0]->generation, 1);
	cr_assert(!reservation_enter(r[1], RESERVATION_READS, &ticket), "nobody may do anything any more");
	cr_assert(r[1]->broken);
	cr_assert_eq(order(0, SCSI_PRO_REGISTER, 0, 0xa, 0xaa), -EPROTO);
}

Test(reservation, spoilt_at_the_start)
{
	struct err err = {0};
	struct stat st;

	gone(1);
	cr_assert_eq(pwrite(fd[0], "x", 1, 5), 1, "the version");
	cr_assert_eq(open_one(1, &err), -EPROTO, "%s", err.text);
	cr_assert(strstr(err.text, "damaged"), "%s", err.text);
	close(fd[1]);
	cr_assert_eq(pwrite(fd[0], "\0", 1, 5), 1);
	cr_assert_eq(fstat(fd[0], &st), 0);
	cr_assert_eq(ftruncate(fd[0], st.st_size + 1), 0);
	cr_assert_eq(open_one(1, &err), -EPROTO);
	cr_assert_eq(ftruncate(fd[0], st.st_size), 0);
	close(fd[1]);
	must_open(1);
}

/* Somebody died while the file was made. */
Test(reservation, half_made)
{
	gone(0);
	gone(1);
	cr_assert_eq(truncate(path, 0), 0);
	cr_assert_eq(truncate(path, 3 * RESERVATION_PAGE), 0);
	must_open(0);
	must_open(1);
	register_both();
}

/* What a VM of before has left makes room, if it is not registered. */
Test(reservation, places)
{
	struct reservation_state state = r[0]->state;
	struct err err = {0};

	for (uint8_t i = 0; i < RESERVATION_NEXUSES; i++)
		if (!state.nexus[i].used)
			state.nexus[i] = (struct reservation_nexus){.used = true, .vm = {0xff, i}, .key = 1};
	gone(1);
	state.nexus[1] = (struct reservation_nexus){.used = true, .vm = {0xff, 1}, .key = 1};
	put_state(&state, state.generation + 1);
	cr_assert_eq(open_one(1, &err), -ENOSPC, "%s", err.text);
	close(fd[1]);
	state.nexus[7].key = 0;
	put_state(&state, state.generation + 2);
	must_open(1);
	cr_assert_eq(r[1]->nexus, 7);
}

/* News are counted; so many that nobody has heard that it would look like none are not. */
Test(reservation, news_without_end)
{
	uint8_t told = reservation_us(r[1])->attention;
	struct reservation_state state;

	register_both();
	reservation_heard(r[1], 10);
	state = r[1]->state;
	state.nexus[r[1]->nexus].attention = 9;
	put_state(&state, state.generation + 1);
	cr_assert_eq(order(0, SCSI_PRO_CLEAR, 0, 0xa, 0), RESERVATION_DONE);
	reservation_look(r[1]);
	cr_assert_eq(reservation_us(r[1])->attention, 9);
	cr_assert_eq(told, 0);
}
