// SPDX-License-Identifier: Apache-2.0
/*
 * What a guest calls when it calls the hypervisor: code of our own instead of VMCALL, so that any KVM will do, and so
 * that KVM itself can turn the common call into an eventfd.
 *
 * In: rcx control, rdx input, r8 output. Out: rax. Free to use: rcx, rdx, r8 to r11. 64-bit callers only.
 * The fast HvSignalEvent leaves through HV_SIGNAL_PORT with the connection id in eax and returns r9: 0, unless the
 * worker saw the exit and wrote another status there. Everything else leaves through HV_HYPERCALL_PORT with its input
 * moved to r9; the worker writes rax.
 */
#include "hv/state.h"

#define LE32(v)                                                                                                        \
	(uint8_t)((v)&0xff), (uint8_t)((v) >> 8 & 0xff), (uint8_t)((v) >> 16 & 0xff), (uint8_t)((v) >> 24 & 0xff)

_Static_assert(HV_HYPERCALL_SIGNAL_EVENT_FAST < 0x80000000, "cmp takes a sign-extended immediate");

/* clang-format off */
const uint8_t hv_hypercall_code[] = {
	0xf3, 0x0f, 0x1e, 0xfa,					/*  0 endbr64 (without it Linux turns IBT off) */
	0x48, 0x81, 0xf9, LE32(HV_HYPERCALL_SIGNAL_EVENT_FAST),	/*  4 cmp rcx, fast signal with no other bit set */
	0x75, 0x1b,						/* 11 jne slow */
	0x48, 0x89, 0xd0,					/* 13 mov rax, rdx */
	0x48, 0xc1, 0xe8, 0x20,					/* 16 shr rax, 32 */
	0x75, 0x12,						/* 20 jne slow: a flag number is for the worker to judge */
	0x45, 0x31, 0xc9,					/* 22 xor r9d, r9d */
	0x89, 0xd0,						/* 25 mov eax, edx */
	0xba, LE32(HV_SIGNAL_PORT),				/* 27 mov edx, port */
	0xef,							/* 32 out dx, eax */
	0x4c, 0x89, 0xc8,					/* 33 mov rax, r9 */
	0xc3,							/* 36 ret */
	0xcc, 0xcc, 0xcc,					/* 37 */
	/* slow: */
	0x49, 0x89, 0xd1,					/* 40 mov r9, rdx */
	0xba, LE32(HV_HYPERCALL_PORT),				/* 43 mov edx, port */
	0xef,							/* 48 out dx, eax */
	0xc3,							/* 49 ret */
	0xcc,
};
/* clang-format on */
const size_t hv_hypercall_code_len = sizeof(hv_hypercall_code);
