// SPDX-License-Identifier: Apache-2.0
#include "rt.h"

#include <stdarg.h>

#define SERIAL_PORT	   0x3f8
#define SERIAL_LSR	   0x3fd
#define LSR_DATA_READY	   0x01
#define ACPI_SLEEP_PORT	   0x600
#define ACPI_SLEEP_S5	   0x34 /* SLP_EN | 5 << 2 */
#define ACPI_RESET_PORT	   0x602
#define ACPI_RESET_VALUE   1
#define CMDLINE_PTR_OFFSET 0x228 /* boot_params.hdr.cmd_line_ptr */

#define TRAMPOLINE_GPA 0x8000u
#define STACK_BYTES    0x8000u

#define MSR_APIC_BASE	 0x1bu
#define APIC_BASE_X2APIC 0xc00u /* enabled, and in x2APIC mode */
#define APIC_BASE_EXTD	 0x400u
#define X2APIC_ID	 0x802u
#define X2APIC_SPURIOUS	 0x80fu
#define X2APIC_EOI	 0x80bu
#define X2APIC_ICR	 0x830u
#define X2APIC_LVT_TIMER 0x832u
#define LVT_PERIODIC	 0x20000u
#define X2APIC_INITIAL	 0x838u
#define X2APIC_DIVIDE	 0x83eu
#define DIVIDE_BY_128	 0xau
#define APIC_HZ		 1000000000u /* KVM's, if nobody has chosen another */
#define ICR_INIT	 0x4500u
#define ICR_SIPI	 0x4600u

struct gate {
	uint16_t offset_0;
	uint16_t selector;
	uint8_t ist;
	uint8_t type;
	uint16_t offset_16;
	uint32_t offset_32;
	uint32_t reserved;
} __attribute__((packed));

extern const uint8_t rt_stubs[256][16];
extern uint8_t rt_trampoline[], rt_trampoline_end[];
extern uint64_t rt_trampoline_cr3, rt_trampoline_stack;

static struct gate idt[256];
static void (*handlers[256])(void);
static uint8_t stacks[RT_CPUS_MAX][STACK_BYTES] __attribute__((aligned(16)));
static void (*volatile cpu_entry)(void);
static volatile uint32_t cpus_running;
static bool had_x2apic;

/* What start.S and the processor push. */
struct rt_frame {
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

#define VECTOR_GP	13u
#define VECTOR_TICK	0xfdu
#define VECTOR_SPURIOUS 0xffu

volatile uint64_t rt_recover; /* where to go on after the general protection fault that is expected; 0: none is */

void rt_begin(const uint8_t *boot_params);
void rt_begin_cpu(void);
void rt_interrupt(struct rt_frame *frame);

/* ---- what the compiler calls ---- */

void *memcpy(void *to, const void *from, size_t len)
{
	void *start = to;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len) : : "memory");
	return start;
}

void *memset(void *to, int byte, size_t len)
{
	void *start = to;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(len) : "a"(byte) : "memory");
	return start;
}

int memcmp(const void *a, const void *b, size_t len)
{
	const uint8_t *x = a, *y = b;

	for (; len; x++, y++, len--)
		if (*x != *y)
			return *x - *y;
	return 0;
}

/* ---- words ---- */

static void put_char(char c)
{
	rt_outb(SERIAL_PORT, (uint8_t)c);
}

static void put_string(const char *s)
{
	while (*s)
		put_char(*s++);
}

static void put_number(uint64_t value, unsigned int base)
{
	char digits[24];
	unsigned int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while (n)
		put_char(digits[--n]);
}

static void put_format(const char *fmt, va_list ap)
{
	for (; *fmt; fmt++) {
		bool prefix = false, wide = false;

		if (*fmt != '%') {
			put_char(*fmt);
			continue;
		}
		for (fmt++; *fmt == '#' || *fmt == 'l'; fmt++) {
			prefix |= *fmt == '#';
			wide |= *fmt == 'l';
		}
		if (*fmt == 's')
			put_string(va_arg(ap, const char *));
		else if (*fmt == 'c')
			put_char((char)va_arg(ap, int));
		else if (*fmt == 'u')
			put_number(wide ? va_arg(ap, unsigned long) : va_arg(ap, unsigned int), 10);
		else if (*fmt == 'x' || *fmt == 'p') {
			if (prefix || *fmt == 'p')
				put_string("0x");
			put_number(wide || *fmt == 'p' ? va_arg(ap, unsigned long) : va_arg(ap, unsigned int), 16);
		} else {
			put_char(*fmt);
		}
	}
}

void rt_printf(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put_format(fmt, ap);
	va_end(ap);
}

/* ---- ends ---- */

static void power_off(void) __attribute__((noreturn));
static void power_off(void)
{
	rt_outb(ACPI_SLEEP_PORT, ACPI_SLEEP_S5);
	for (;;)
		__asm__ volatile("cli; hlt");
}

bool rt_was_told(void)
{
	return rt_inb(SERIAL_LSR) & LSR_DATA_READY;
}

void rt_pass(void)
{
	put_string("guest: PASS\n");
	power_off();
}

void rt_fail(const char *fmt, ...)
{
	va_list ap;

	__asm__ volatile("cli");
	put_string("guest: FAIL: ");
	va_start(ap, fmt);
	put_format(fmt, ap);
	va_end(ap);
	put_char('\n');
	power_off();
}

void rt_reset(void)
{
	rt_outb(ACPI_RESET_PORT, ACPI_RESET_VALUE);
	for (;;)
		__asm__ volatile("cli; hlt");
}

/* ---- interrupts and vCPUs ---- */

void rt_interrupt(struct rt_frame *frame)
{
	if (handlers[frame->vector]) {
		handlers[frame->vector]();
	} else if (frame->vector == VECTOR_GP && rt_recover) {
		frame->rip = rt_recover;
		rt_recover = 0;
	} else if (frame->vector != VECTOR_SPURIOUS) {
		rt_fail("vCPU %u: interrupt %u, error %#lx, at %#lx", rt_cpu(), (unsigned int)frame->vector,
			frame->error, frame->rip);
	}
}

void rt_set_handler(uint8_t vector, void (*fn)(void))
{
	handlers[vector] = fn;
}

static void on_tick(void)
{
	rt_wrmsr(X2APIC_EOI, 0);
}

void rt_tick(uint32_t ms)
{
	rt_set_handler(VECTOR_TICK, on_tick);
	rt_wrmsr(X2APIC_DIVIDE, DIVIDE_BY_128);
	rt_wrmsr(X2APIC_LVT_TIMER, LVT_PERIODIC | VECTOR_TICK);
	rt_wrmsr(X2APIC_INITIAL, (uint64_t)ms * (APIC_HZ / 1000) / 128);
}

uint32_t rt_cpu(void)
{
	return (uint32_t)rt_rdmsr(X2APIC_ID);
}

bool rt_had_x2apic(void)
{
	return had_x2apic;
}

static void cpu_init(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) pointer = {sizeof(idt) - 1, (uintptr_t)idt};

	__asm__ volatile("lidt %0" : : "m"(pointer));
	rt_wrmsr(MSR_APIC_BASE, rt_rdmsr(MSR_APIC_BASE) | APIC_BASE_X2APIC);
	rt_wrmsr(X2APIC_SPURIOUS, 0x1ff);
}

static void idt_init(void)
{
	for (unsigned int i = 0; i < 256; i++) {
		uintptr_t stub = (uintptr_t)rt_stubs[i];

		idt[i].offset_0 = (uint16_t)stub;
		idt[i].offset_16 = (uint16_t)(stub >> 16);
		idt[i].offset_32 = (uint32_t)(stub >> 32);
		idt[i].selector = 0x10;
		idt[i].type = 0x8e; /* present, interrupt gate */
	}
}

void rt_begin(const uint8_t *boot_params)
{
	uint32_t cmdline;

	had_x2apic = rt_rdmsr(MSR_APIC_BASE) & APIC_BASE_EXTD;
	memcpy(&cmdline, boot_params + CMDLINE_PTR_OFFSET, sizeof(cmdline));
	idt_init();
	cpu_init();
	rt_main(cmdline ? (const char *)(uintptr_t)cmdline : "");
	rt_pass();
}

void rt_begin_cpu(void)
{
	cpu_init();
	cpus_running++;
	cpu_entry();
	rt_fail("vCPU %u has nothing more to do", rt_cpu());
}

void rt_start_cpu(uint32_t cpu, void (*fn)(void))
{
	uint64_t dest = (uint64_t)cpu << 32, cr3;
	uint32_t running = cpus_running;

	__asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
	cpu_entry = fn;
	rt_trampoline_cr3 = cr3;
	rt_trampoline_stack = (uintptr_t)stacks[cpu] + STACK_BYTES;
	memcpy((void *)(uintptr_t)TRAMPOLINE_GPA, rt_trampoline, (size_t)(rt_trampoline_end - rt_trampoline));
	rt_wrmsr(X2APIC_ICR, dest | ICR_INIT);
	rt_wrmsr(X2APIC_ICR, dest | ICR_SIPI | TRAMPOLINE_GPA >> 12);
	while (cpus_running == running)
		__asm__ volatile("pause");
}

uint64_t rt_option(const char *cmdline, const char *name, uint64_t otherwise)
{
	for (const char *at = cmdline; *at;) {
		const char *n = name;

		while (*n && *at == *n)
			at++, n++;
		if (!*n && *at == '=') {
			uint64_t value = 0;

			for (at++; *at >= '0' && *at <= '9'; at++)
				value = value * 10 + (uint64_t)(*at - '0');
			return value;
		}
		while (*at && *at != ' ')
			at++;
		while (*at == ' ')
			at++;
	}
	return otherwise;
}
