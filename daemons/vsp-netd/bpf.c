/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf.h"

#include <errno.h>
#include <stdbool.h>

#include "base/bytes.h"

/* ---- checks ---- */

enum operand {
	NOTHING,
	CONSTANT,  /* k is any number */
	NOT_ZERO,  /* k is a divisor */
	SHIFT,	   /* k is a shift */
	PLACE,	   /* k is a place in the frame, not one of Linux's ancillary ones */
	WORD,	   /* k is a word of memory */
	AHEAD,	   /* k is a jump */
	EITHER_WAY /* jt, jf are jumps */
};

#define ANCILLARY 0xff000000u /* and above: SKF_LL_OFF, SKF_NET_OFF, SKF_AD_OFF */

static const struct {
	uint16_t code;
	enum operand operand;
} instructions[] = {
	{BPF_LD | BPF_W | BPF_ABS, PLACE},
	{BPF_LD | BPF_H | BPF_ABS, PLACE},
	{BPF_LD | BPF_B | BPF_ABS, PLACE},
	{BPF_LD | BPF_W | BPF_IND, CONSTANT},
	{BPF_LD | BPF_H | BPF_IND, CONSTANT},
	{BPF_LD | BPF_B | BPF_IND, CONSTANT},
	{BPF_LD | BPF_W | BPF_LEN, NOTHING},
	{BPF_LD | BPF_IMM, CONSTANT},
	{BPF_LD | BPF_MEM, WORD},
	{BPF_LDX | BPF_W | BPF_LEN, NOTHING},
	{BPF_LDX | BPF_B | BPF_MSH, PLACE},
	{BPF_LDX | BPF_IMM, CONSTANT},
	{BPF_LDX | BPF_MEM, WORD},
	{BPF_ST, WORD},
	{BPF_STX, WORD},
	{BPF_ALU | BPF_ADD | BPF_K, CONSTANT},
	{BPF_ALU | BPF_SUB | BPF_K, CONSTANT},
	{BPF_ALU | BPF_MUL | BPF_K, CONSTANT},
	{BPF_ALU | BPF_DIV | BPF_K, NOT_ZERO},
	{BPF_ALU | BPF_MOD | BPF_K, NOT_ZERO},
	{BPF_ALU | BPF_AND | BPF_K, CONSTANT},
	{BPF_ALU | BPF_OR | BPF_K, CONSTANT},
	{BPF_ALU | BPF_XOR | BPF_K, CONSTANT},
	{BPF_ALU | BPF_LSH | BPF_K, SHIFT},
	{BPF_ALU | BPF_RSH | BPF_K, SHIFT},
	{BPF_ALU | BPF_ADD | BPF_X, NOTHING},
	{BPF_ALU | BPF_SUB | BPF_X, NOTHING},
	{BPF_ALU | BPF_MUL | BPF_X, NOTHING},
	{BPF_ALU | BPF_DIV | BPF_X, NOTHING},
	{BPF_ALU | BPF_MOD | BPF_X, NOTHING},
	{BPF_ALU | BPF_AND | BPF_X, NOTHING},
	{BPF_ALU | BPF_OR | BPF_X, NOTHING},
	{BPF_ALU | BPF_XOR | BPF_X, NOTHING},
	{BPF_ALU | BPF_LSH | BPF_X, NOTHING},
	{BPF_ALU | BPF_RSH | BPF_X, NOTHING},
	{BPF_ALU | BPF_NEG, NOTHING},
	{BPF_JMP | BPF_JA, AHEAD},
	{BPF_JMP | BPF_JEQ | BPF_K, EITHER_WAY},
	{BPF_JMP | BPF_JGT | BPF_K, EITHER_WAY},
	{BPF_JMP | BPF_JGE | BPF_K, EITHER_WAY},
	{BPF_JMP | BPF_JSET | BPF_K, EITHER_WAY},
	{BPF_JMP | BPF_JEQ | BPF_X, EITHER_WAY},
	{BPF_JMP | BPF_JGT | BPF_X, EITHER_WAY},
	{BPF_JMP | BPF_JGE | BPF_X, EITHER_WAY},
	{BPF_JMP | BPF_JSET | BPF_X, EITHER_WAY},
	{BPF_RET | BPF_K, NOTHING},
	{BPF_RET | BPF_A, NOTHING},
	{BPF_MISC | BPF_TAX, NOTHING},
	{BPF_MISC | BPF_TXA, NOTHING},
};

/* @left: instructions behind it. */
static bool operand_good(enum operand operand, const struct sock_filter *at, size_t left)
{
	switch (operand) {
	case NOT_ZERO:
		return at->k != 0;
	case SHIFT:
		return at->k < 32;
	case PLACE:
		return at->k < ANCILLARY;
	case WORD:
		return at->k < BPF_MEMWORDS;
	case AHEAD:
		return at->k < left;
	case EITHER_WAY:
		return at->jt < left && at->jf < left;
	default:
		return true;
	}
}

static bool good(const struct sock_filter *at, size_t left)
{
	for (size_t i = 0; i < ARRAY_SIZE(instructions); i++)
		if (instructions[i].code == at->code)
			return operand_good(instructions[i].operand, at, left);
	return false;
}

int bpf_check(const struct sock_filter *program, size_t len)
{
	if (len == 0 || len > BPF_LEN_MAX || BPF_CLASS(program[len - 1].code) != BPF_RET)
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		if (!good(&program[i], len - i - 1))
			return -EINVAL;
	return 0;
}

/* ---- a run ---- */

struct machine {
	uint32_t a, x, memory[BPF_MEMWORDS];
	const uint8_t *frame;
	size_t have, len;
};

static bool load(struct machine *machine, uint16_t size, uint64_t at, uint32_t *ret)
{
	size_t width = size == BPF_W ? 4 : size == BPF_H ? 2 : 1;

	if (!range_fits(at, width, machine->have))
		return false;
	if (width == 4)
		*ret = get_be32(machine->frame + at);
	else
		*ret = width == 2 ? get_be16(machine->frame + at) : machine->frame[at];
	return true;
}

static bool run_load(struct machine *machine, const struct sock_filter *at)
{
	bool to_x = BPF_CLASS(at->code) == BPF_LDX;
	uint32_t value = at->k;

	switch (BPF_MODE(at->code)) {
	case BPF_LEN:
		value = (uint32_t)machine->len;
		break;
	case BPF_MEM:
		value = machine->memory[at->k];
		break;
	case BPF_ABS:
		if (!load(machine, BPF_SIZE(at->code), at->k, &value))
			return false;
		break;
	case BPF_IND: /* which wraps around, as the kernel's */
		if (!load(machine, BPF_SIZE(at->code), (uint32_t)(machine->x + at->k), &value))
			return false;
		break;
	case BPF_MSH:
		if (!load(machine, BPF_B, at->k, &value))
			return false;
		value = (value & 0xf) * 4;
		break;
	default: /* BPF_IMM */
		break;
	}
	*(to_x ? &machine->x : &machine->a) = value;
	return true;
}

static bool run_alu(struct machine *machine, const struct sock_filter *at)
{
	uint32_t with = BPF_SRC(at->code) == BPF_X ? machine->x : at->k, a = machine->a;

	switch (BPF_OP(at->code)) {
	case BPF_ADD:
		a += with;
		break;
	case BPF_SUB:
		a -= with;
		break;
	case BPF_MUL:
		a *= with;
		break;
	case BPF_DIV:
	case BPF_MOD:
		if (with == 0)
			return false;
		a = BPF_OP(at->code) == BPF_DIV ? a / with : a % with;
		break;
	case BPF_AND:
		a &= with;
		break;
	case BPF_OR:
		a |= with;
		break;
	case BPF_XOR:
		a ^= with;
		break;
	case BPF_LSH:
		a <<= with & 31;
		break;
	case BPF_RSH:
		a >>= with & 31;
		break;
	default: /* BPF_NEG */
		a = 0 - a;
		break;
	}
	machine->a = a;
	return true;
}

/* Return: how many instructions are left out. */
static uint32_t jump(const struct machine *machine, const struct sock_filter *at)
{
	uint32_t with = BPF_SRC(at->code) == BPF_X ? machine->x : at->k;
	bool yes;

	switch (BPF_OP(at->code)) {
	case BPF_JEQ:
		yes = machine->a == with;
		break;
	case BPF_JGT:
		yes = machine->a > with;
		break;
	case BPF_JGE:
		yes = machine->a >= with;
		break;
	case BPF_JSET:
		yes = machine->a & with;
		break;
	default: /* BPF_JA */
		return at->k;
	}
	return yes ? at->jt : at->jf;
}

uint32_t bpf_run(const struct sock_filter *program, const uint8_t *frame, size_t have, size_t len)
{
	struct machine machine = {.frame = frame, .have = have, .len = len};

	for (const struct sock_filter *at = program;; at++) {
		switch (BPF_CLASS(at->code)) {
		case BPF_LD:
		case BPF_LDX:
			if (!run_load(&machine, at))
				return 0;
			break;
		case BPF_ST:
			machine.memory[at->k] = machine.a;
			break;
		case BPF_STX:
			machine.memory[at->k] = machine.x;
			break;
		case BPF_ALU:
			if (!run_alu(&machine, at))
				return 0;
			break;
		case BPF_JMP:
			at += jump(&machine, at);
			break;
		case BPF_RET:
			return BPF_RVAL(at->code) == BPF_A ? machine.a : at->k;
		default: /* BPF_MISC */
			*(BPF_MISCOP(at->code) == BPF_TAX ? &machine.x : &machine.a) =
				BPF_MISCOP(at->code) == BPF_TAX ? machine.a : machine.x;
			break;
		}
	}
}
