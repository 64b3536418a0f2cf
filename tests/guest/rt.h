/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a bare-metal guest stands on: a freestanding C environment in 64-bit mode, started by vmworker's direct boot.
 * All memory is mapped one to one. A guest defines rt_main(); it ends by rt_pass() or rt_fail(), whose last line on the
 * serial port ("guest: PASS", "guest: FAIL: why") is what run-guest looks for, and the machine powers off.
 */
#ifndef GUEST_RT_H
#define GUEST_RT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RT_CPUS_MAX 64u

/** rt_main - the guest. Boot vCPU, interrupts off. @cmdline: the kernel command line. */
void rt_main(const char *cmdline);

/** rt_printf - to the serial port: %s %c %u %x %p %lu %lx, '#' with x. */
void rt_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void rt_pass(void) __attribute__((noreturn));
/** rt_was_told - whether a byte has come on the serial port (run-guest --tell-when). */
bool rt_was_told(void);
/** rt_check - fail with @what unless @ok. */
#define rt_check(ok, ...)                                                                                              \
	do {                                                                                                           \
		if (!(ok))                                                                                             \
			rt_fail(__VA_ARGS__);                                                                          \
	} while (0)
void rt_fail(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
/** rt_reset - the whole machine starts again. */
void rt_reset(void) __attribute__((noreturn));

/** rt_set_handler - @fn is called for @vector (32..254) on any vCPU, interrupts off; it signals the end of interrupt
 * itself. */
void rt_set_handler(uint8_t vector, void (*fn)(void));
/** rt_tick - an interrupt every @ms from now on, which does nothing but wake this vCPU. */
void rt_tick(uint32_t ms);
/** rt_cpu - the vCPU that we run on. */
uint32_t rt_cpu(void);
/** rt_had_x2apic - whether the boot vCPU's APIC was in x2APIC mode before we came. */
bool rt_had_x2apic(void);
/** rt_start_cpu - start vCPU @cpu (1..RT_CPUS_MAX - 1) in @fn with a stack of its own; returns once it runs. @fn must
 * not return. */
void rt_start_cpu(uint32_t cpu, void (*fn)(void));

/** rt_try_rdmsr, rt_try_wrmsr - Return: whether it worked; false: general protection fault. One vCPU at a time. */
bool rt_try_rdmsr(uint32_t msr, uint64_t *ret_value);
bool rt_try_wrmsr(uint32_t msr, uint64_t value);

/** rt_option - the number behind "@name=" on the command line, else @otherwise. */
uint64_t rt_option(const char *cmdline, const char *name, uint64_t otherwise);

void *memcpy(void *to, const void *from, size_t len);
void *memset(void *to, int byte, size_t len);
int memcmp(const void *a, const void *b, size_t len);

static inline uint64_t rt_rdmsr(uint32_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr) : "memory");
	return (uint64_t)high << 32 | low;
}

static inline void rt_wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static inline void rt_outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t rt_inb(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline void rt_cpuid(uint32_t leaf, uint32_t ret_regs[4])
{
	__asm__ volatile("cpuid"
			 : "=a"(ret_regs[0]), "=b"(ret_regs[1]), "=c"(ret_regs[2]), "=d"(ret_regs[3])
			 : "a"(leaf), "c"(0));
}

static inline uint64_t rt_rdtsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

/* rt_idle - sleep until an interrupt, unless @wanted is false by the time that interrupts are off. Leaves them on. */
#define rt_idle(wanted)                                                                                                \
	do {                                                                                                           \
		__asm__ volatile("cli" : : : "memory");                                                                \
		if (wanted)                                                                                            \
			__asm__ volatile("sti; hlt" : : : "memory");                                                   \
		else                                                                                                   \
			__asm__ volatile("sti" : : : "memory");                                                        \
	} while (0)

#endif
