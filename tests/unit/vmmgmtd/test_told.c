/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker, which runs a guest, can make the manager say and write. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "runtime.h"
#include "scratch.h"
#include "vm_int.h"

#define UUID  "0f1a7c3e-3333-4222-8333-123456789abc"
#define TIMES 500

static struct launched {
	pid_t pid;
} process;

static int adopt(struct launcher *launcher, const struct launch_id *id, const struct launch_events *events, void *arg,
		 struct launched **ret_process)
{
	process.pid = id->pid;
	*ret_process = &process;
	return 0;
}

static int identify(pid_t pid, pid_t worker, struct launch_id *ret_id)
{
	*ret_id = (struct launch_id){pid, 1};
	return pid % 2 ? -EPERM : 0;
}

static struct launch_id id(const struct launched *p)
{
	return (struct launch_id){p->pid, 1};
}

static void release(struct launched *p)
{
}

static void on_changed(struct vm *vm, void *arg)
{
}

static const struct launcher_ops ops = {
	.adopt = adopt, .identify = identify, .id = id, .kill = release, .release = release};
static const struct vm_events events = {.changed = on_changed, .ended = on_changed};

static struct {
	char base[256];
	struct loop *loop;
	struct launcher launcher;
	struct vm_env env;
	struct vm *vm;
} fx;

static void setup(void)
{
	static const char xml[] = "<domain type='kvm'><name>load</name><uuid>" UUID "</uuid><memory>65536</memory>"
				  "<os><type arch='x86_64'>hvm</type><kernel>/k</kernel></os></domain>";
	struct domain domain;
	struct err err = {0};

	scratch_new(fx.base, sizeof(fx.base));
	cr_assert_eq(loop_new(&fx.loop), 0);
	fx.launcher = (struct launcher){.ops = &ops, .loop = fx.loop};
	fx.env = (struct vm_env){
		.loop = fx.loop, .launcher = &fx.launcher, .base = fx.base, .logs = fx.base, .events = &events};
	cr_assert_eq(domain_parse(xml, strlen(xml), &domain, NULL, &err), 0, "%s", err.text);
	fx.vm = vm_new(&fx.env, &domain, true);
	cr_assert(fx.vm);
	cr_assert_eq(runtime_make(fx.base, UUID, xml, false, &err), 0, "%s", err.text);
	fx.vm->has_folder = true;
	fx.vm->worker = &process;
	fx.vm->state = VM_RUNNING;
}

static void teardown(void)
{
	fx.vm->worker = NULL;
	vm_free(fx.vm);
	loop_free(fx.loop);
	scratch_remove(fx.base);
}

TestSuite(told, .init = setup, .fini = teardown, .timeout = 30);

static void tell(pid_t pid, uint64_t deaths)
{
	struct worker_service service = {.name = VM_SERVICE_STORAGE, .pid = pid, .deaths = deaths};
	struct worker_status status = {.phase = WORKER_PHASE_RUNNING,
				       .reason = "",
				       .guest_message = "",
				       .console_pty = "",
				       .services = &service,
				       .service_count = 1};

	vm_services_set(fx.vm, &status);
}

/* ---- processes that somebody else starts ---- */

/* It attaches before it is ready: that is no reason to forget its start, which would never go on, or never be over. */
Test(told, a_start_under_way_goes_on)
{
	static struct launched start; /* of no process yet */
	struct vm_process *server = &fx.vm->servers[VM_STORAGED];

	server->launched = &start;
	tell(2, 0);
	cr_assert_eq(server->launched, &start);
	start.pid = 2;
	vm_server_launch_events.ready(&start, server);
	cr_assert_eq(server->launched, &start);
	tell(4, 1);
	cr_assert_eq(server->launched, &process, "the next one");
	cr_assert_eq(process.pid, 4);
}

/* There is another one meanwhile, of which the worker has told. */
Test(told, a_start_that_has_failed_under_way)
{
	static struct launched start;
	struct vm_process *server = &fx.vm->servers[VM_STORAGED];

	server->launched = &start;
	tell(2, 0);
	vm_server_launch_events.ended(&start, "ended with status 1", server);
	cr_assert_eq(server->launched, &process);
	cr_assert_eq(process.pid, 2);
}

/* ---- processes that do not end ---- */

/* Return: what is said of it. */
static const char *is_killed_in_vain(struct launched *worker)
{
	fx.vm->worker = worker;
	fx.vm->destroyed = true;
	fx.vm->killed_ns = 1;
	vm_kill_all(fx.vm);
	return fx.vm->reason;
}

Test(told, a_process_that_does_not_end)
{
	static struct launched worker = {42};

	cr_assert(strstr(is_killed_in_vain(&worker), "vmworker (process 42) was killed and does not end"));
}

Test(told, a_unit_without_a_process_that_does_not_end)
{
	static struct launched worker;
	const char *text = is_killed_in_vain(&worker);

	cr_assert(strstr(text, "vmworker: its unit was stopped and does not end"), "%s", text);
	cr_assert(!strstr(text, "process 0"), "%s", text);
}

/* Standard error goes to a file. Return: the number of lines in it since. */
static unsigned int lines(void)
{
	char path[300], byte;
	unsigned int count = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/said", fx.base);
	fd = open(path, O_RDONLY);
	while (fd >= 0 && read(fd, &byte, 1) == 1)
		count += byte == '\n';
	if (fd >= 0)
		close(fd);
	return count;
}

static void listen_to_it(void)
{
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/said", fx.base);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	cr_assert_geq(fd, 0);
	dup2(fd, 2);
	close(fd);
}

/* It is replaced each time that it is written. */
static ino_t state_inode(void)
{
	struct stat st = {0};
	char path[300];

	snprintf(path, sizeof(path), "%s/" UUID "/state", fx.base);
	stat(path, &st);
	return st.st_ino;
}

Test(told, lines_have_a_limit)
{
	listen_to_it();
	for (unsigned int i = 0; i < TIMES; i++)
		tell(0, i);
	cr_assert(lines() > 1 && lines() < 60, "%u lines", lines()); /* 10 in 5 s, on a slow machine more often */
}

Test(told, so_has_what_is_not_the_workers)
{
	listen_to_it();
	for (unsigned int i = 0; i < TIMES; i++)
		tell((pid_t)(2 * i + 1), 0);
	cr_assert(lines() > 1 && lines() < 60, "%u lines", lines());
}

Test(told, states_have_a_limit)
{
	listen_to_it();
	for (unsigned int i = 0; i < TIMES; i++)
		vm_set_told_state(fx.vm, i % 2 ? VM_RUNNING : VM_PAUSED, "it says so");
	cr_assert(lines() > 1 && lines() < 60, "%u lines", lines());
	cr_assert_eq(fx.vm->state, VM_RUNNING);
}

Test(told, what_is_written_has_a_limit_and_nothing_is_lost)
{
	const uint64_t began_ns = clock_now_ns();
	struct runtime_state state = {0};
	unsigned int writes = 0, most;
	ino_t before = 0;
	char *xml;
	size_t len;

	for (unsigned int i = 1; i <= TIMES; i++) {
		tell((pid_t)(2 * i), 0);
		writes += state_inode() != before;
		before = state_inode();
	}
	most = 10 + (unsigned int)((clock_now_ns() - began_ns) / (100 * NS_PER_MS));
	cr_assert(writes >= 1 && writes <= most, "%u writes, %u at most", writes, most);
	while (state.storage.pid != 2 * TIMES) {
		cr_assert_eq(loop_run_once(fx.loop, true), 0);
		cr_assert_eq(runtime_load(fx.base, UUID, &state, &xml, &len), 0);
		free(xml);
	}
	cr_assert(state.up);
}
