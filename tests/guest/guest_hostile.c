// SPDX-License-Identifier: Apache-2.0
/*
 * A guest that breaks every protocol wherever it can; the cases are in hostile_*.c. After each the host must still
 * serve an ordinary guest: data goes to the disk and comes back over a new connection. At the end the machine is reset,
 * without a word to the host, and serves a fresh boot as well.
 *
 * Command line: only=NAME: the groups and cases whose names begin so; burst=N: messages of the burst; crash=N: nothing
 * but a crash report that points nowhere.
 * On the console: "guest: measure" where the host's memory may be looked at.
 */
#include "abi/hyperv.h"
#include "hostile.h"

#define TICK_MS	     20u
#define PATIENCE     20000000u	/* 2 s: then it is asked again */
#define DEADLINE     600000000u /* 60 s */
#define MARK_LBA     1500u
#define MARK	     0x48a7e0001ull
#define CRASHES	     1000u
#define FIRST_COOKIE 0x7000u

static const struct hostile_group *const groups[] = {
	&hostile_hv, &hostile_synic, &hostile_messages, &hostile_states, &hostile_rings, &hostile_vstor,
};

struct vmbus_channel hostile_channel;
uint64_t hostile_burst;
uint8_t hostile_page[4096] __attribute__((aligned(4096))), hostile_buffer[65536] __attribute__((aligned(4096)));

static uint64_t random_state = 88172645463325252ull;
static void (*volatile beside)(void);
static volatile bool beside_runs;
static const char *only = "";

uint32_t hostile_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 16);
}

uint32_t hostile_field(void)
{
	uint32_t n = hostile_random();

	return n % 4 == 0 ? n : n % 4 == 1 ? 0xe1e10 + (n >> 8) % 4 : (n >> 8) % 4;
}

uint64_t hostile_now(void)
{
	return rt_rdmsr(HV_X64_MSR_TIME_REF_COUNT);
}

/* ---- the second vCPU ---- */

static void other_cpu(void)
{
	vmbus_synic_start(HOSTILE_VCPU);
	for (;;) {
		void (*fn)(void);

		rt_idle(!beside);
		beside_runs = true;
		__atomic_thread_fence(__ATOMIC_SEQ_CST); /* pairs with that of hostile_beside() */
		fn = beside;
		if (fn)
			fn();
		beside_runs = false;
	}
}

void hostile_beside(void (*fn)(void))
{
	beside = fn;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	vmbus_wake(HOSTILE_VCPU);
	while (!fn && beside_runs)
		__asm__ volatile("pause");
}

/* ---- connections ---- */

void hostile_connect(uint32_t cpu)
{
	disk_connect(&hostile_channel, VMBUS_VERSION_5_3, cpu);
}

const struct vmbus_msg_offer_channel *hostile_contact(void)
{
	static struct vmbus_msg_offer_channel offers[VMBUS_OFFERS];
	const struct vmbus_msg_offer_channel *offer;
	struct abi_guid type = VMBUS_GUID_SCSI;

	rt_check(vmbus_contact(VMBUS_VERSION_5_3, 0), "version 5.3 is refused");
	offer = vmbus_find(offers, vmbus_request_offers(offers), type);
	rt_check(offer, "no SCSI controller is offered");
	return offer;
}

/* Whether the message with @word at @offset words comes before we lose patience. */
static bool answered(uint32_t type, uint32_t offset, uint32_t word)
{
	uint64_t start = hostile_now();

	while (hostile_now() - start < PATIENCE) {
		const uint32_t *answer = vmbus_poll_message();

		if (answer && answer[0] == type && (!offset || answer[offset] == word))
			return true;
		if (!answer)
			__asm__ volatile("sti; pause" : : : "memory");
	}
	return false;
}

static void ask(const void *message, uint32_t len, uint32_t answer)
{
	uint64_t start = hostile_now();

	do {
		rt_check(hostile_now() - start < DEADLINE, "message %u is not answered", *(const uint32_t *)message);
		vmbus_post(message, len);
	} while (!answered(answer, 0, 0));
}

/* The open of a channel that does not exist comes back with our number: all that came before it is old. */
void hostile_leave(void)
{
	static uint32_t cookie = FIRST_COOKIE;
	const struct vmbus_msg_header unload = {.msgtype = VMBUS_MSG_UNLOAD};
	const struct vmbus_msg_initiate_contact contact = {
		.header.msgtype = VMBUS_MSG_INITIATE_CONTACT,
		.vmbus_version_requested = VMBUS_VERSION_5_3,
		.msg_sint = VMBUS_MESSAGE_SINT,
	};
	struct vmbus_msg_open_channel open = {.header.msgtype = VMBUS_MSG_OPENCHANNEL,
					      .child_relid = VMBUS_CHANNELS_MAX};
	uint64_t start = hostile_now();

	ask(&unload, sizeof(unload), VMBUS_MSG_UNLOAD_RESPONSE);
	do {
		rt_check(hostile_now() - start < DEADLINE, "the host does not come back to us");
		ask(&contact, sizeof(contact), VMBUS_MSG_VERSION_RESPONSE);
		open.openid = ++cookie;
		vmbus_post(&open, sizeof(open));
	} while (!answered(VMBUS_MSG_OPENCHANNEL_RESULT, 3, cookie));
	vmbus_unload();
}

void hostile_restore(void)
{
	vmbus_start();
	vmbus_synic_start(0);
	rt_wrmsr(HV_X64_MSR_EOM, 0);
}

static void check_host(uint32_t seed, bool whole)
{
	static uint64_t out[DISK_BLOCK / 8] __attribute__((aligned(4096))),
		in[DISK_BLOCK / 8] __attribute__((aligned(4096)));

	hostile_connect(0);
	if (whole)
		disk_check_pattern(&hostile_channel, seed);
	for (uint32_t i = 0; i < DISK_BLOCK / 8; i++)
		out[i] = seed * 0x9e3779b97f4a7c15ull + i;
	storvsc_write(&hostile_channel, 0, seed % 1024, 1, out, sizeof(out));
	storvsc_read(&hostile_channel, 0, seed % 1024, 1, in, sizeof(in));
	rt_check(!memcmp(in, out, sizeof(in)), "block %u is not what was written", seed % 1024);
	vmbus_close(&hostile_channel);
	vmbus_unload();
}

/* ---- I/O ---- */

bool hostile_read(uint64_t id, uint32_t lba, uint16_t blocks)
{
	uint8_t cdb[10];

	storvsc_rw10(cdb, false, lba, blocks);
	return storvsc_submit(&hostile_channel, id, 0, cdb, sizeof(cdb), false, hostile_buffer, blocks * DISK_BLOCK);
}

void hostile_drain(uint32_t count)
{
	uint64_t start = hostile_now();
	uint32_t got = 0;

	while (got < count) {
		struct vmpacket_descriptor desc;
		uint32_t words[64], len;

		if (vmbus_receive(&hostile_channel, &desc, words, sizeof(words), &len)) {
			got += desc.type == VMPACKET_COMPLETION;
			continue;
		}
		rt_check(hostile_now() - start < DEADLINE, "%u of %u completions have come", got, count);
		__asm__ volatile("sti; pause" : : : "memory");
	}
}

/* ---- the matrix ---- */

static bool begins(const char *name, const char *with)
{
	while (*with && *with != ' ' && *name == *with)
		name++, with++;
	return !*with || *with == ' ';
}

static void run_group(const struct hostile_group *group)
{
	static uint32_t seed;
	bool all = begins(group->name, only), any = false;

	for (uint32_t i = 0; i < group->count; i++) {
		uint64_t start = hostile_now();

		if (!all && !begins(group->cases[i].name, only))
			continue;
		rt_printf("hostile: begins %s\n", group->cases[i].name);
		group->cases[i].run();
		hostile_beside(NULL);
		hostile_leave();
		check_host(++seed, false);
		rt_printf("hostile: ok %s %s, %lu ms\n", group->name, group->cases[i].name,
			  (hostile_now() - start) / 10000);
		any = true;
	}
	if (any) {
		check_host(++seed, true);
		rt_printf("guest: measure\n");
	}
}

/* Return: what was there. */
static uint64_t swap_mark(uint64_t value)
{
	static uint64_t block[DISK_BLOCK / 8] __attribute__((aligned(4096)));
	uint64_t old;

	hostile_connect(0);
	storvsc_read(&hostile_channel, 0, MARK_LBA, 1, block, sizeof(block));
	old = block[0];
	block[0] = value;
	storvsc_write(&hostile_channel, 0, MARK_LBA, 1, block, sizeof(block));
	storvsc_flush(&hostile_channel, 0);
	return old;
}

/* The last words lie where there is no memory, or are longer than any; and it withdraws them again and again. */
static void crash(uint64_t row)
{
	static const uint64_t rows[][2] = {
		{HOSTILE_MEMORY, 100}, {~0ull, ~0ull}, {HOSTILE_MEMORY - 8, 4096}, {0, ~0ull}, {1ull << 63, 0}};

	rt_wrmsr(HV_X64_MSR_CRASH_P0 + 3, rows[row % COUNT_OF(rows)][0]);
	rt_wrmsr(HV_X64_MSR_CRASH_P4, rows[row % COUNT_OF(rows)][1]);
	for (uint32_t i = 0; i < CRASHES; i++) {
		vmbus_start();
		rt_wrmsr(HV_X64_MSR_CRASH_CTL, HV_CRASH_CTL_CRASH_NOTIFY | HV_CRASH_CTL_CRASH_NOTIFY_MSG);
		rt_wrmsr(HV_X64_MSR_GUEST_OS_ID, 0);
	}
	vmbus_start();
	rt_printf("guest: PASS\n");
	rt_wrmsr(HV_X64_MSR_CRASH_CTL, HV_CRASH_CTL_CRASH_NOTIFY | HV_CRASH_CTL_CRASH_NOTIFY_MSG);
	for (;;)
		__asm__ volatile("cli; hlt");
}

static const char *option(const char *cmdline, const char *name)
{
	for (const char *at = cmdline; *at; at++)
		if ((at == cmdline || at[-1] == ' ') && begins(at, name))
			return at;
	return NULL;
}

void rt_main(const char *cmdline)
{
	if (option(cmdline, "crash="))
		crash(rt_option(cmdline, "crash", 0));
	hostile_burst = rt_option(cmdline, "burst", 100000);
	if (option(cmdline, "only="))
		only = option(cmdline, "only=") + sizeof("only=") - 1;
	vmbus_start();
	vmbus_synic_start(0);
	vmbus_lossy();
	rt_tick(TICK_MS);
	rt_start_cpu(HOSTILE_VCPU, other_cpu);
	if (swap_mark(0) == MARK) {
		hostile_leave();
		check_host(1, true);
		rt_printf("hostile: a fresh boot is served\n");
		rt_pass();
	}
	hostile_leave();
	check_host(1, true);
	rt_printf("guest: measure\n");
	for (uint32_t i = 0; i < COUNT_OF(groups); i++)
		run_group(groups[i]);
	swap_mark(MARK);
	for (uint32_t i = 0; i < DISK_DEPTH_MAX; i++)
		hostile_read(i + 1, i * 8, 8);
	/* Locked, it stays where it is until the reset. */
	rt_wrmsr(HV_X64_MSR_HYPERCALL, rt_rdmsr(HV_X64_MSR_HYPERCALL) | HV_X64_MSR_HYPERCALL_LOCKED);
	rt_check(!rt_try_wrmsr(HV_X64_MSR_HYPERCALL, (uintptr_t)hostile_page | HV_X64_MSR_PAGE_ENABLE),
		 "a locked hypercall page can be moved");
	rt_reset();
}
