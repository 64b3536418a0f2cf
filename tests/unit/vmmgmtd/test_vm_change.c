/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of a VM that runs: what a manager that comes later makes of those that nobody has lived to finish. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "domain_with.h"
#include "fake_worker.h"
#include "rpc_int.h"
#include "runtime.h"
#include "scratch.h"
#include "vm_change.h"
#include "vm_peer.h"

#define MACVTAP                                                                                                        \
	"<interface type='direct'><source dev='nosuchdev' mode='bridge'/><target dev='nosuchtap'/>"                    \
	"<mac address='02:00:00:00:00:03'/><alias name='net0'/></interface>"
#define OTHER                                                                                                          \
	"<interface type='direct'><source dev='nosuchdev' mode='bridge'/><target dev='nosuchtap1'/>"                   \
	"<mac address='02:00:00:00:00:04'/><alias name='net1'/></interface>"
#define CLIENT "<interface type='internal'><source name='client:cable'/><alias name='net0'/></interface>"
#define OVS                                                                                                            \
	"<interface type='bridge'><source bridge='ovs0'/><virtualport type='openvswitch'/>"                            \
	"<mac address='02:00:00:00:00:05'/><alias name='net1'/></interface>"
#define USER0 "<interface type='user'><mac address='02:00:00:00:00:01'/><alias name='net0'/></interface>"
#define USER1 "<interface type='user'><mac address='02:00:00:00:00:02'/><alias name='net1'/></interface>"

static struct launched {
	int unused;
} process;

static int adopt(struct launcher *launcher, const struct launch_id *id, const struct launch_events *events, void *arg,
		 struct launched **ret_process)
{
	*ret_process = &process;
	return 0;
}

static struct launch_id id(const struct launched *p)
{
	return (struct launch_id){1, 1};
}

static void release(struct launched *p)
{
}

static void on_changed(struct vm *vm, void *arg)
{
}

static const struct launcher_ops ops = {.adopt = adopt, .id = id, .release = release};
static const struct vm_events events = {.changed = on_changed, .ended = on_changed};

static struct {
	char base[64];
	struct loop *loop;
	struct launcher launcher;
	struct vm_env env;
	struct vm *vm;
	struct fake_worker worker;
} fx;

static void setup(void)
{
	scratch_new(fx.base, sizeof(fx.base));
	cr_assert_eq(loop_new(&fx.loop), 0);
	fx.launcher = (struct launcher){.ops = &ops, .loop = fx.loop};
	fx.env = (struct vm_env){
		.loop = fx.loop, .launcher = &fx.launcher, .base = fx.base, .logs = fx.base, .events = &events};
}

static void teardown(void)
{
	vm_free(fx.vm);
	fake_worker_stop(&fx.worker);
	loop_free(fx.loop);
	scratch_remove(fx.base);
}

TestSuite(vm_change, .init = setup, .fini = teardown, .timeout = 30);

static bool settled(void)
{
	return fx.vm->state == VM_RUNNING && !fx.vm->change;
}

static bool asked(void)
{
	return fx.worker.change;
}

static void wait_until(bool (*is_so)(void))
{
	while (!is_so()) {
		loop_run_once(fx.loop, false);
		usleep(1000);
	}
}

/* A VM with such NICs runs, and its worker; nobody manages it. */
static void runs(const char *nics)
{
	struct domain domain;
	struct err err = {0};
	char path[128];

	domain_with(nics, &domain);
	cr_assert_eq(runtime_make(fx.base, UUID, domain.xml, false, &err), 0, "%s", err.text);
	snprintf(path, sizeof(path), "%s/" UUID "/worker.sock", fx.base);
	fake_worker_start(&fx.worker, fx.loop, path);
	fake_worker_has(&fx.worker, &domain);
	fx.vm = vm_new(&fx.env, &domain, true);
	cr_assert(fx.vm);
}

static void is_adopted(void)
{
	const struct runtime_state state = {.up = true, .persistent = true, .worker = {1, 1}};

	vm_adopt(fx.vm, &state);
	wait_until(settled);
}

/* What passt may be given is what it could be given at its start: whoever comes later cannot know it by itself. */
Test(vm_change, a_passt_is_what_it_was_at_its_start)
{
	struct domain domain, then;

	runs(USER0);
	domain_with(USER0, &domain);
	domain.nics[0].segment_max = 7777;
	domain_with(USER0 USER1, &then);
	then.nics[0].segment_max = 7777;
	then.nics[1].segment_max = 5555;
	fake_worker_has(&fx.worker, &then);
	cr_assert_eq(runtime_plan(fx.base, UUID, then.xml, NULL), 0);
	is_adopted();
	cr_assert_eq(vm_domain(fx.vm)->nic_count, 2, "the change was made");
	cr_assert_eq(vm_domain(fx.vm)->nics[0].segment_max, 7777);
	cr_assert_eq(vm_domain(fx.vm)->nics[1].segment_max, 5555);
	domain_done(&domain);
	domain_done(&then);
}

Test(vm_change, a_change_that_was_not_made_is_undone)
{
	struct domain domain, then;

	runs(USER0);
	domain_with(USER0, &domain);
	domain.nics[0].segment_max = 7777;
	fake_worker_has(&fx.worker, &domain);
	domain_with(USER0 USER1, &then);
	cr_assert_eq(runtime_plan(fx.base, UUID, then.xml, NULL), 0);
	is_adopted();
	cr_assert_eq(vm_domain(fx.vm)->nic_count, 1);
	cr_assert_eq(vm_domain(fx.vm)->nics[0].segment_max, 7777);
	domain_done(&domain);
	domain_done(&then);
}

/* ---- changes that it makes by itself ---- */

static unsigned int calls, call_order[2];
static int call_error;

static void on_turn(int error, const char *text, void *arg)
{
	call_error = error;
	call_order[calls++] = *(unsigned int *)arg;
	cr_assert_null(fx.vm->change, "it can be asked");
}

static void on_outcome(int error, const char *text, const char *name, void *arg)
{
}

Test(vm_change, who_asks_waits_for_what_it_does_by_itself)
{
	unsigned int one = 1, two = 2;

	runs(MACVTAP);
	is_adopted();
	fx.vm->domain.nics[0].untold = false;
	cr_assert(!vm_change_wait(fx.vm, 0, on_turn, &one), "nothing is under way");
	vm_links_follow(fx.vm); /* its device is not there: its link is down */
	wait_until(asked);
	cr_assert(!vm_links_follow(fx.vm), "it comes when it is done");
	cr_assert(!vm_change_wait(fx.vm, VM_CHANGE_CONFIG, on_turn, &one), "the definition is free");
	cr_assert(vm_change_wait(fx.vm, 0, on_turn, &one));
	cr_assert(vm_change_wait(fx.vm, 0, on_turn, &two));
	cr_assert_eq(calls, 0);
	fake_worker_answer(&fx.worker, 0);
	wait_until(settled);
	cr_assert_eq(calls, 2);
	cr_assert(call_order[0] == 1 && call_order[1] == 2 && call_error == 0);
	vm_capture_nic(fx.vm, "net0", &(struct vm_capture){.fd = -1}, on_outcome, NULL);
	cr_assert(fx.vm->change);
	cr_assert(!vm_change_wait(fx.vm, 0, on_turn, &one), "what somebody has asked for");
}

static void on_refused(int error, const char *text, void *arg)
{
	cr_assert(strstr(text, "try again"), "%s", text);
	call_error = error;
	calls++;
}

static bool answered(void)
{
	return calls;
}

Test(vm_change, nobody_waits_for_ever)
{
	unsigned int two = 2;

	runs(MACVTAP);
	is_adopted();
	vm_links_follow(fx.vm);
	wait_until(asked);
	cr_assert(vm_change_wait(fx.vm, 0, on_refused, NULL));
	cr_assert(vm_change_wait(fx.vm, 0, on_turn, &two));
	loop_arm(fx.vm->behind->timer, 0); /* its time is up */
	wait_until(answered);
	cr_assert_eq(call_error, -EBUSY);
	cr_assert_eq(calls, 1);
	fake_worker_answer(&fx.worker, 0);
	wait_until(settled);
	cr_assert_eq(calls, 2, "the other one has its turn");
	cr_assert_eq(call_error, 0);
}

/* ---- connections that end ---- */

static bool subscribes(void)
{
	return fx.worker.held[0];
}

static bool is_asked_what_it_has(void)
{
	return fx.worker.held[1];
}

static bool lost(void)
{
	return !fx.vm->conn;
}

static bool connected(void)
{
	return fx.vm->conn && !fx.vm->unsettled;
}

/* A change to two NICs is made, but its connection ends before that is heard; and there is another one. */
static void is_connected_again(void)
{
	struct domain then;

	runs(MACVTAP);
	is_adopted();
	domain_with(MACVTAP OTHER, &then);
	cr_assert_eq(runtime_plan(fx.base, UUID, then.xml, NULL), 0);
	fake_worker_has(&fx.worker, &then);
	fx.worker.holds = true;
	fake_worker_hang_up(&fx.worker);
	wait_until(subscribes);
	domain_done(&then);
}

Test(vm_change, nothing_changes_before_it_is_known_what_there_is)
{
	struct err err = {0};
	unsigned int one = 1;

	is_connected_again();
	cr_assert_eq(fx.vm->state, VM_RUNNING);
	cr_assert(!vm_links_follow(fx.vm) && !fx.vm->change);
	cr_assert_eq(vm_change_check(fx.vm, &vm_change_nics, &err), -EBUSY);
	cr_assert(vm_change_wait(fx.vm, 0, on_turn, &one));
	fake_worker_go_on(&fx.worker);
	wait_until(answered);
	cr_assert_eq(call_error, 0);
	cr_assert_eq(vm_domain(fx.vm)->nic_count, 2, "the change was made");
	cr_assert(!fx.vm->unsettled);
}

static void on_result(int error, const char *text, const char *name, void *arg)
{
	on_refused(error, text, arg);
}

static void ask_to_set(int error, const char *text, void *arg)
{
	const char *const settings[] = {"link=down", NULL};

	vm_set_nic(fx.vm, "net0", settings, 0, on_result, NULL);
}

/* Whoever waits for that comes while the connection is being torn down. */
Test(vm_change, a_plan_outlives_a_connection_that_ends_while_it_is_settled)
{
	is_connected_again();
	fake_worker_go_on(&fx.worker);
	fx.worker.holds = true;
	wait_until(is_asked_what_it_has);
	cr_assert(vm_change_wait(fx.vm, 0, ask_to_set, NULL));
	fake_worker_hang_up(&fx.worker);
	wait_until(answered);
	cr_assert_eq(call_error, -EBUSY);
	fx.worker.holds = false;
	wait_until(connected);
	cr_assert_eq(vm_domain(fx.vm)->nic_count, 2, "the change was made");
}

Test(vm_change, who_waits_is_told_when_the_connection_ends)
{
	is_connected_again();
	cr_assert(vm_change_wait(fx.vm, 0, on_refused, NULL));
	fake_worker_hang_up(&fx.worker);
	wait_until(answered);
	cr_assert_eq(call_error, -EBUSY);
}

/* ---- workers that do not tell what they have ---- */

static bool refused(void)
{
	return !fx.worker.refuses && fx.vm->conn && !fx.vm->change;
}

/* The plan says what a later vmmgmtd needs to know; who begins another change would overwrite it. */
static void no_change_begins(void)
{
	_cleanup_free_ char *then = NULL, *kept = NULL;

	cr_assert(fx.vm->unsettled);
	calls = 0;
	ask_to_set(0, "", NULL);
	cr_assert_eq(calls, 1);
	cr_assert_eq(call_error, -EBUSY);
	cr_assert_eq(fx.worker.changes, 0);
	cr_assert(!vm_links_follow(fx.vm), "nor one of its own");
	cr_assert_eq(runtime_plan_load(fx.base, UUID, &then, &kept), 0);
	cr_assert(strstr(then, "net1"), "the plan is there");
}

static void a_plan_outlives(uint32_t refusals)
{
	is_connected_again();
	fx.worker.refuses = refusals;
	fake_worker_go_on(&fx.worker);
	wait_until(refused);
	no_change_begins();
	loop_arm(fx.vm->retry_timer, 0);
	wait_until(connected);
	cr_assert_eq(vm_domain(fx.vm)->nic_count, 2, "the change was made");
}

/* What is behind its NICs. */
Test(vm_change, a_plan_outlives_a_worker_that_does_not_tell)
{
	a_plan_outlives(1);
}

/* ... but not which it has. */
Test(vm_change, a_plan_outlives_a_worker_that_tells_half_of_it)
{
	a_plan_outlives(2);
}

/* An older one, which knows no such question, will never tell. */
Test(vm_change, a_worker_that_cannot_tell_is_not_asked_again)
{
	is_connected_again();
	fx.worker.refuses = 3;
	fx.worker.refuses_with = -ENOSYS;
	fake_worker_go_on(&fx.worker);
	wait_until(connected);
	cr_assert_eq(fx.worker.refuses, 0);
	cr_assert_eq(vm_domain(fx.vm)->nic_count, 1, "what is known stays");
	cr_assert(!vm_change_check(fx.vm, &vm_change_nics, &(struct err){0}), "and changes");
}

/* It may have been of a later version. */
Test(vm_change, a_plan_that_cannot_be_read_is_kept)
{
	_cleanup_free_ char *then = NULL, *kept = NULL;

	runs(MACVTAP);
	cr_assert_eq(runtime_plan(fx.base, UUID, "<domain type='vmm'/>", NULL), 0);
	is_adopted();
	ask_to_set(0, "", NULL);
	cr_assert_eq(call_error, -EBUSY);
	cr_assert_eq(runtime_plan_load(fx.base, UUID, &then, &kept), 0);
	cr_assert_str_eq(then, "<domain type='vmm'/>");
}

/* Nothing mends it but a person, or its VM's end. */
Test(vm_change, a_plan_that_cannot_be_read_is_read_again_after_longer_and_longer_pauses)
{
	uint64_t pause_ns = NS_PER_SEC;

	runs(MACVTAP);
	cr_assert_eq(runtime_plan(fx.base, UUID, "<domain type='vmm'/>", NULL), 0);
	is_adopted();
	for (unsigned int i = 0; i < 9; i++) {
		cr_assert(fx.vm->unsettled);
		cr_assert_eq(fx.vm->settle_pause_ns, pause_ns);
		vm_connect_again(fx.vm);
		pause_ns = MIN(2 * pause_ns, 60 * NS_PER_SEC);
	}
	runtime_plan_dropped(fx.base, UUID);
	loop_arm(fx.vm->retry_timer, 0);
	wait_until(connected);
	cr_assert_eq(fx.vm->settle_pause_ns, 0);
	cr_assert_eq(vm_domain(fx.vm)->nic_count, 1, "it is taken as not made");
}

/* One that never tells has no more changes. */
Test(vm_change, nobody_waits_for_ever_for_a_worker_that_never_tells)
{
	is_connected_again();
	fx.worker.refuses = UINT32_MAX;
	fake_worker_go_on(&fx.worker);
	cr_assert(vm_change_wait(fx.vm, 0, on_refused, NULL));
	loop_arm(fx.vm->behind->timer, 200 * NS_PER_MS); /* its time is up */
	wait_until(answered);
	cr_assert_eq(call_error, -EBUSY);
	cr_assert_lt(fx.worker.refuses, UINT32_MAX, "it was asked");
}

static void set_link(const char *setting)
{
	const char *const settings[] = {setting, NULL};

	vm_set_nic(fx.vm, "net0", settings, 0, on_outcome, NULL);
	wait_until(asked);
}

/* A definition.xml that cannot be replaced, or one that can. */
static void stand_in_the_way(bool stands)
{
	char path[160], inside[200];

	snprintf(path, sizeof(path), "%s/" UUID "/definition.xml", fx.base);
	snprintf(inside, sizeof(inside), "%s/inside", path);
	if (stands) {
		cr_assert_eq(unlink(path), 0);
		cr_assert_eq(mkdir(path, 0700), 0);
		cr_assert_eq(mkdir(inside, 0700), 0);
	} else {
		cr_assert_eq(rmdir(inside), 0);
		cr_assert_eq(rmdir(path), 0);
	}
}

/* Only the plan says then what runs. */
Test(vm_change, a_plan_outlives_a_definition_that_cannot_be_replaced)
{
	struct runtime_state state = {.up = true};
	_cleanup_free_ char *xml = NULL;
	size_t len;

	runs(MACVTAP);
	cr_assert_eq(runtime_save(fx.base, UUID, &state), 0);
	is_adopted();
	stand_in_the_way(true);
	set_link("link=down");
	fake_worker_answer(&fx.worker, 0);
	wait_until(settled);
	for (unsigned int i = 0; i < 2; i++) {
		cr_assert(fx.vm->unsettled);
		calls = 0;
		ask_to_set(0, "", NULL);
		cr_assert_eq(calls, 1);
		cr_assert_eq(call_error, -EBUSY);
		loop_arm(fx.vm->retry_timer, 0);
		loop_run_once(fx.loop, true);
		wait_until(settled);
	}
	stand_in_the_way(false);
	loop_arm(fx.vm->retry_timer, 0);
	wait_until(connected);
	cr_assert_eq(runtime_load(fx.base, UUID, &state, &xml, &len), 0);
	cr_assert(strstr(xml, "state='down'") || strstr(xml, "state=\"down\""), "%s", xml);
	cr_assert_eq(vm_kept(fx.vm)->nics[0].link_down, false, "what is kept is as it was");
}

static void is_told(int error)
{
	unsigned int before = fx.worker.changes;

	vm_links_follow(fx.vm);
	wait_until(asked);
	cr_assert_eq(fx.worker.changes, before + 1);
	fake_worker_answer(&fx.worker, error);
	wait_until(settled);
}

static void is_not_told(void)
{
	cr_assert(!vm_links_follow(fx.vm));
	cr_assert_null(fx.vm->change);
}

Test(vm_change, a_link_is_told_once_to_a_vm_that_is_found)
{
	runs(MACVTAP);
	fx.vm->domain.nics[0].unplugged = true;
	fake_worker_has(&fx.worker, &fx.vm->domain);
	vm_peers_save(fx.vm);
	fx.vm->domain.nics[0].unplugged = false;
	is_adopted();
	cr_assert(fx.vm->domain.nics[0].unplugged, "as it is");
	is_told(0);
	is_not_told();
}

Test(vm_change, a_link_that_is_refused_has_longer_and_longer_pauses)
{
	struct domain_nic *nic;
	uint64_t pause_ns = NS_PER_SEC;

	runs(MACVTAP);
	is_adopted();
	nic = &fx.vm->domain.nics[0];
	for (unsigned int i = 0; i < 9; i++) {
		uint64_t before_ns = clock_now_ns();

		is_told(-EREMOTEIO);
		cr_assert_geq(nic->tell_at_ns, before_ns + pause_ns);
		cr_assert_leq(nic->tell_at_ns, clock_now_ns() + pause_ns);
		nic->tell_at_ns = UINT64_MAX; /* it is not over */
		is_not_told();
		nic->tell_at_ns = 0; /* it is */
		pause_ns = MIN(2 * pause_ns, 60 * NS_PER_SEC);
	}
	is_told(0);
	is_not_told();
	cr_assert_eq(nic->tell_pause_ns, 0);
}

Test(vm_change, a_link_that_was_not_heard_of_has_no_pause)
{
	struct domain_nic *nic;

	runs(MACVTAP);
	is_adopted();
	nic = &fx.vm->domain.nics[0];
	vm_links_follow(fx.vm);
	wait_until(asked);
	fake_worker_hang_up(&fx.worker);
	wait_until(lost);
	cr_assert(!nic->tell_at_ns && !nic->tell_pause_ns && !nic->tell_logged && nic->untold);
	wait_until(connected);
	is_told(-EREMOTEIO);
	cr_assert(nic->tell_logged, "it is still in the log");
	nic->tell_at_ns = 0;
	is_told(0);
	cr_assert(!nic->tell_logged);
}

/* As one that was started paused: it would wait for ever, or be told too late. */
Test(vm_change, a_link_that_nobody_can_be_asked_for_has_none)
{
	runs(MACVTAP);
	is_adopted();
	fx.vm->phase = WORKER_PHASE_CREATED;
	is_not_told();
	fx.vm->phase = WORKER_PHASE_RUNNING;
	is_told(0);
}

/* The pause of one is not the others'. */
Test(vm_change, a_link_that_is_refused_keeps_no_other_one_back)
{
	runs(MACVTAP OTHER);
	is_adopted();
	is_told(-EREMOTEIO);
	fx.vm->domain.nics[0].tell_at_ns = UINT64_MAX;
	is_told(0);
	cr_assert(fx.vm->domain.nics[0].untold && !fx.vm->domain.nics[1].untold);
}

/* ---- what is behind descriptors ---- */

/* Somebody listens on the other side of its cable. Return: a descriptor. */
static int listen_on_it(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	char folder[80];

	snprintf(folder, sizeof(folder), "%s/sockets", fx.base);
	cr_assert_eq(mkdir(folder, 0700), 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/cable", folder);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(fd, 4), 0);
	return fd;
}

/* Whoever was behind net0 has gone, and the next one is being handed over. */
static void another_is_handed_over(void)
{
	fx.vm->services[0].nic_count = 1;
	fx.vm->services[0].nics[0] = (struct worker_nic){.alias = "net0", .peer_gone = true};
	vm_peers_told(fx.vm);
	wait_until(asked);
	fx.vm->services[0].nics[0].peer_gone = false;
}

static unsigned int number_in(const uint8_t *config, size_t len)
{
	struct worker_nic_peer peers[DOMAIN_NICS_MAX];

	cr_assert_eq(rpc_network_peers(config, len, peers), 1);
	return peers[0].generation;
}

/* The stream of another number is begun anew, in the middle of a frame perhaps. */
Test(vm_change, a_number_that_was_given_but_did_not_get_there)
{
	int server;

	runs(CLIENT);
	fx.vm->domain.nics[0].generation = 7;
	fake_worker_has(&fx.worker, &fx.vm->domain);
	fx.vm->domain.nics[0].given = 8; /* its vmmgmtd died before it had asked */
	vm_peers_save(fx.vm);
	server = listen_on_it();
	is_adopted();
	set_link("link=down");
	cr_assert_eq(number_in(fx.worker.config_of, fx.worker.len_of), 7, "the same is behind it");
	fake_worker_answer(&fx.worker, 0);
	wait_until(settled);
	another_is_handed_over();
	cr_assert_eq(number_in(fx.worker.config_of, fx.worker.len_of), 9, "none comes twice");
	fake_worker_answer(&fx.worker, 0);
	wait_until(settled);
	cr_assert_eq(fx.vm->domain.nics[0].generation, 9);
	close(server);
}

Test(vm_change, a_number_that_is_refused_is_nobodys)
{
	int server;

	runs(CLIENT);
	server = listen_on_it();
	is_adopted();
	another_is_handed_over();
	cr_assert_eq(number_in(fx.worker.config_of, fx.worker.len_of), 1);
	fake_worker_answer(&fx.worker, -EREMOTEIO);
	wait_until(settled);
	set_link("link=down");
	cr_assert_eq(number_in(fx.worker.config_of, fx.worker.len_of), 0, "the first one is behind it");
	fake_worker_answer(&fx.worker, 0);
	wait_until(settled);
	close(server);
}

/* The worker has what was handed over; that it has, nobody has heard. */
Test(vm_change, a_number_that_got_there_unheard)
{
	struct domain now;

	runs(CLIENT);
	domain_with(CLIENT, &now);
	now.nics[0].generation = 8;
	fx.vm->domain.nics[0].given = 8;
	vm_peers_save(fx.vm);
	fx.vm->domain.nics[0].given = 0;
	fake_worker_has(&fx.worker, &now);
	is_adopted();
	set_link("link=down");
	cr_assert_eq(number_in(fx.worker.config_of, fx.worker.len_of), 8);
	fake_worker_answer(&fx.worker, 0);
	wait_until(settled);
	domain_done(&now);
}

/* ---- ports of Open vSwitch ---- */

/* One that only the plan names is to be removed with the VM's others, or, if there is no other one, all the same. */
Test(vm_change, a_port_that_only_a_plan_names)
{
	struct domain then;

	runs(CLIENT);
	cr_assert(!vm_changes_on_ovs(fx.vm), "there is no plan");
	domain_with(CLIENT USER1, &then);
	cr_assert_eq(runtime_plan(fx.base, UUID, then.xml, NULL), 0);
	cr_assert(!vm_changes_on_ovs(fx.vm));
	domain_done(&then);
	domain_with(CLIENT OVS, &then);
	cr_assert_eq(runtime_plan(fx.base, UUID, then.xml, NULL), 0);
	cr_assert(vm_changes_on_ovs(fx.vm));
	fx.vm->has_folder = true;
	cr_assert(vm_nics_unplug(fx.vm), "without a switch there is nothing to wait for");
	cr_assert_eq(fx.vm->unplug, VM_UNPLUG_ASKED, "it was asked");
	domain_done(&then);
}
