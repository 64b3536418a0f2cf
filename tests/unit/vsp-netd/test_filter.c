/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's packet filter, in C and as a program; classic BPF itself. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/rndis.h"
#include "base/bytes.h"
#include "daemons/vsp-netd/bpf.h"
#include "daemons/vsp-netd/filter.h"

static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
static const uint8_t destination[][6] = {
	{2, 0, 0, 0, 0, 1},    {2, 0, 0, 0, 0, 2},    {2, 0, 0, 0, 1, 1},	{0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	{1, 0, 0x5e, 0, 0, 1}, {1, 0, 0x5e, 0, 0, 2}, {0x33, 0x33, 0, 0, 0, 1}, {3, 0, 0, 0, 0, 1},
};

static struct filter filter;

static void set(uint32_t kinds, bool promiscuous)
{
	struct oid_settings guest = {.filter = kinds, .multicast_count = 2};

	memcpy(guest.multicast[0], destination[4], 6);
	memcpy(guest.multicast[1], destination[6], 6);
	filter_set(&filter, &guest, mac, false, promiscuous);
}

/* Which of the destinations pass, one bit each; the program says the same. */
static unsigned int passing(void)
{
	struct sock_filter program[FILTER_PROGRAM_MAX];
	size_t len = filter_program(&filter, program);
	unsigned int bits = 0;

	cr_assert_leq(len, FILTER_PROGRAM_MAX);
	cr_assert_eq(bpf_check(program, len), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(destination); i++) {
		uint8_t frame[60] = {0};
		bool passes = filter_passes(&filter, destination[i]);

		memcpy(frame, destination[i], 6);
		cr_assert_eq(bpf_run(program, frame, 60, 60) != 0, passes, "destination %u", i);
		bits |= (unsigned int)passes << i;
	}
	return bits;
}

Test(filter, passes_what_was_asked_for)
{
	static const struct {
		uint32_t kinds;
		unsigned int passing;
	} cases[] = {
		{0, 0},
		{RNDIS_FILTER_DIRECTED, 0x01},
		{RNDIS_FILTER_BROADCAST, 0x08},
		{RNDIS_FILTER_DIRECTED | RNDIS_FILTER_BROADCAST, 0x09},
		{RNDIS_FILTER_DIRECTED | RNDIS_FILTER_MULTICAST, 0x51},
		{RNDIS_FILTER_ALL_MULTICAST, 0xf0},
		{RNDIS_FILTER_DIRECTED | RNDIS_FILTER_BROADCAST | RNDIS_FILTER_ALL_MULTICAST, 0xf9},
		{RNDIS_FILTER_PROMISCUOUS, 0xf9},
		{0xffff0000, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		set(cases[i].kinds, false);
		cr_assert_eq(passing(), cases[i].passing, "case %zu: %#x", i, passing());
	}
	set(RNDIS_FILTER_PROMISCUOUS, true);
	cr_assert_eq(passing(), 0xff);
}

Test(filter, address_of_its_own_only_if_it_may)
{
	struct oid_settings guest = {.filter = RNDIS_FILTER_DIRECTED, .mac = {2, 0, 0, 0, 0, 2}};

	filter_set(&filter, &guest, mac, false, false);
	cr_assert_eq(passing(), 0x01);
	filter_set(&filter, &guest, mac, true, false);
	cr_assert_eq(passing(), 0x02);
}

/* ---- BPF ---- */

/* Over 8 bytes, of a frame of 100. */
static uint32_t run(const struct sock_filter *program, size_t len)
{
	static const uint8_t bytes[] = {1, 2, 3, 4, 0x45, 6, 7, 8};
	uint8_t *copy = malloc(sizeof(bytes));
	uint32_t r;

	memcpy(copy, bytes, sizeof(bytes));
	cr_assert_eq(bpf_check(program, len), 0);
	r = bpf_run(program, copy, sizeof(bytes), 100);
	free(copy);
	return r;
}

#define RUN(...)   run((const struct sock_filter[]){__VA_ARGS__}, sizeof((struct sock_filter[]){__VA_ARGS__}) / 8)
#define CHECK(...) bpf_check((const struct sock_filter[]){__VA_ARGS__}, sizeof((struct sock_filter[]){__VA_ARGS__}) / 8)
#define RET_A	   BPF_STMT(BPF_RET | BPF_A, 0)

Test(bpf, computes)
{
	cr_assert_eq(RUN(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), RET_A), 0x01020304);
	cr_assert_eq(RUN(BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 6), RET_A), 0x0708);
	cr_assert_eq(RUN(BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 7), RET_A), 8);
	cr_assert_eq(RUN(BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0), RET_A), 100);
	cr_assert_eq(RUN(BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 4), BPF_STMT(BPF_MISC | BPF_TXA, 0), RET_A), 20);
	cr_assert_eq(RUN(BPF_STMT(BPF_LDX | BPF_IMM, 3), BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2), RET_A), 0x0607);
	cr_assert_eq(RUN(BPF_STMT(BPF_LD | BPF_IMM, 7), BPF_STMT(BPF_ST, 15), BPF_STMT(BPF_LDX | BPF_MEM, 15),
			 BPF_STMT(BPF_ALU | BPF_MUL | BPF_X, 0), RET_A),
		     49);
	cr_assert_eq(RUN(BPF_STMT(BPF_LD | BPF_IMM, 7), BPF_STMT(BPF_ALU | BPF_NEG, 0), RET_A), (uint32_t)-7);
	cr_assert_eq(RUN(BPF_STMT(BPF_LD | BPF_IMM, 7), BPF_STMT(BPF_LDX | BPF_IMM, 33),
			 BPF_STMT(BPF_ALU | BPF_LSH | BPF_X, 0), RET_A),
		     14, "a shift has five bits");
	cr_assert_eq(RUN(BPF_STMT(BPF_LD | BPF_IMM, 7), BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 7, 1, 0),
			 BPF_STMT(BPF_RET | BPF_K, 1), BPF_STMT(BPF_RET | BPF_K, 2)),
		     2);
}

Test(bpf, beyond_the_frame_is_no)
{
	cr_assert_eq(RUN(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 5), BPF_STMT(BPF_RET | BPF_K, 1)), 0);
	cr_assert_eq(RUN(BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 8), BPF_STMT(BPF_RET | BPF_K, 1)), 0);
	cr_assert_eq(RUN(BPF_STMT(BPF_LDX | BPF_IMM, 0xfffffffe), BPF_STMT(BPF_LD | BPF_W | BPF_IND, 1),
			 BPF_STMT(BPF_RET | BPF_K, 1)),
		     0);
	cr_assert_eq(RUN(BPF_STMT(BPF_LD | BPF_IMM, 1), BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0),
			 BPF_STMT(BPF_RET | BPF_K, 1)),
		     0);
}

Test(bpf, refuses)
{
	cr_assert_eq(bpf_check(NULL, 0), -EINVAL);
	cr_assert_eq(CHECK(BPF_STMT(BPF_LD | BPF_IMM, 0)), -EINVAL, "it does not end");
	cr_assert_eq(CHECK(BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0), RET_A), -EINVAL);
	cr_assert_eq(CHECK(BPF_JUMP(BPF_JMP | BPF_JA, UINT32_MAX, 0, 0), RET_A), -EINVAL);
	cr_assert_eq(CHECK(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1), RET_A), -EINVAL);
	cr_assert_eq(CHECK(BPF_STMT(BPF_ST, 16), RET_A), -EINVAL);
	cr_assert_eq(CHECK(BPF_STMT(BPF_LD | BPF_MEM, 16), RET_A), -EINVAL);
	cr_assert_eq(CHECK(BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), RET_A), -EINVAL);
	cr_assert_eq(CHECK(BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 32), RET_A), -EINVAL);
	cr_assert_eq(CHECK(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_VLAN_TAG)), RET_A),
		     -EINVAL);
	cr_assert_eq(CHECK(BPF_STMT(0xffff, 0), RET_A), -EINVAL);
	cr_assert_eq(CHECK(RET_A), 0);
}
