/* SPDX-License-Identifier: Apache-2.0 */
/* Entry of the boot vCPU, interrupt stubs, and what another vCPU runs from its SIPI to 64-bit C. */

#define BOOT_GDT   0x1000 /* direct boot's: code 0x10, data 0x18 */
#define TRAMPOLINE 0x8000

	.section .text.start, "ax"
	.code64
	.globl	rt_start
rt_start:
	lea	boot_stack_end(%rip), %rsp
	xor	%ebp, %ebp
	mov	%rsi, %rdi
	call	rt_begin
1:	hlt
	jmp	1b

/* ---- interrupts: all 256 stubs are 16 bytes long ---- */

	.text
	.balign	16
	.globl	rt_stubs
rt_stubs:
vector = 0
	.rept	256
	.balign	16
	.if	vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30
	.else
	pushq	$0
	.endif
	pushq	$vector
	jmp	common
vector = vector + 1
	.endr

common:
	push	%rax
	push	%rcx
	push	%rdx
	push	%rsi
	push	%rdi
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%rbp
	mov	%rsp, %rbp
	lea	80(%rsp), %rdi	/* struct rt_frame */
	and	$-16, %rsp
	cld
	call	rt_interrupt
	mov	%rbp, %rsp
	pop	%rbp
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%rcx
	pop	%rax
	add	$16, %rsp
	iretq

/* ---- MSRs that may fault: rt_interrupt() goes on at rt_recover after a general protection fault ---- */

	.globl	rt_try_rdmsr
rt_try_rdmsr:
	lea	1f(%rip), %rax
	mov	%rax, rt_recover(%rip)
	mov	%edi, %ecx
	rdmsr
	shl	$32, %rdx
	or	%rdx, %rax
	mov	%rax, (%rsi)
	movq	$0, rt_recover(%rip)
	mov	$1, %eax
	ret
	.globl	rt_try_wrmsr
rt_try_wrmsr:
	lea	1f(%rip), %rax
	mov	%rax, rt_recover(%rip)
	mov	%edi, %ecx
	mov	%rsi, %rdx
	mov	%esi, %eax
	shr	$32, %rdx
	wrmsr
	movq	$0, rt_recover(%rip)
	mov	$1, %eax
	ret
1:	xor	%eax, %eax
	ret

/* ---- copied to TRAMPOLINE ---- */

	.code16
	.globl	rt_trampoline
rt_trampoline:
	cli
	xor	%ax, %ax
	mov	%ax, %ds
	lgdtl	TRAMPOLINE + (gdt_pointer - rt_trampoline)
	mov	%cr4, %eax
	or	$0x20, %eax	/* PAE */
	mov	%eax, %cr4
	movl	TRAMPOLINE + (rt_trampoline_cr3 - rt_trampoline), %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx
	rdmsr
	or	$0x100, %eax	/* LME */
	wrmsr
	mov	$0x80000001, %eax
	mov	%eax, %cr0	/* PG and PE at once */
	ljmpl	$0x10, $(TRAMPOLINE + (long_mode - rt_trampoline))
	.code64
long_mode:
	mov	$0x18, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	TRAMPOLINE + (rt_trampoline_stack - rt_trampoline), %rsp
	xor	%ebp, %ebp
	movabs	$rt_begin_cpu, %rax
	call	*%rax
1:	hlt
	jmp	1b
	.balign	8
gdt_pointer:
	.word	0x1f
	.long	BOOT_GDT
	.balign	8
	.globl	rt_trampoline_cr3
rt_trampoline_cr3:
	.quad	0
	.globl	rt_trampoline_stack
rt_trampoline_stack:
	.quad	0
	.globl	rt_trampoline_end
rt_trampoline_end:

	.bss
	.balign	16
	.skip	0x10000
boot_stack_end:

	.section .note.GNU-stack, "", @progbits
