// SPDX-License-Identifier: Apache-2.0
/*
 * The serial port's transmitter by interrupts, as Linux's 8250 driver drives it: an edge of the I/O APIC's for each
 * time that the port has something to say, on either of two vCPUs, while both of them write to it: some through the
 * interrupt, some by polling with the interrupts of the port switched off, as a kernel's own messages are. An interrupt
 * that is lost leaves bytes behind that nobody sends, until a message of the kernel's own raises the next one: so half
 * of the time there are none of those. "interrupts=N": how many there are to be. The port is looped back
 * to itself, so that nothing is seen of it.
 */
#include "abi/hyperv.h"
#include "rt.h"

#define IOAPIC	     0xfec00000u
#define IOAPIC_DATA  0xfec00010u
#define IOAPIC_ENTRY 0x10u
#define MASKED	     0x10000u
#define GSI	     4u
#define VECTOR	     0x50u
#define X2APIC_EOI   0x80bu

#define PORT	   0x3f8u
#define DATA	   (PORT + 0)
#define IER	   (PORT + 1)
#define IIR	   (PORT + 2)
#define FCR	   (PORT + 2)
#define MCR	   (PORT + 4)
#define LSR	   (PORT + 5)
#define IER_USUAL  0x04u /* line status; not what comes back by the loop */
#define IER_THRI   0x02u
#define IIR_NO_INT 0x01u
#define LSR_THRE   0x20u
#define LSR_EMPTY  0x60u
#define MCR_USUAL  0x0bu
#define MCR_LOOP   0x10u
#define FIFO	   16u
#define PASSES_MAX 512u
#define QUEUE_MAX  4096u

#define STUCK_S 30u /* a host's thread may have to wait for its turn */
#define PHASES	4u

/* As the driver has it; under the lock. */
static struct {
	volatile uint32_t lock;
	volatile uint8_t ier;
	volatile uint32_t queued;
	volatile uint64_t sent;
} port;

static volatile uint32_t interrupts, spurious, target;
static volatile uint32_t runs, joined, left; /* the phase that runs, 0: none; what the other vCPU knows of it */
static volatile bool prints;
static uint64_t tsc_hz;

static void lock(void)
{
	while (__atomic_exchange_n(&port.lock, 1, __ATOMIC_ACQUIRE))
		__asm__ volatile("pause");
}

static void unlock(void)
{
	__atomic_store_n(&port.lock, 0, __ATOMIC_RELEASE);
}

static void set_ier(uint8_t ier)
{
	port.ier = ier;
	rt_outb(IER, ier);
}

static void transmit(void)
{
	for (uint32_t i = 0; i < FIFO && port.queued > 0; i++) {
		rt_outb(DATA, 'x');
		port.queued--;
		port.sent++;
	}
	if (!port.queued)
		set_ier(IER_USUAL);
}

static void on_interrupt(void)
{
	bool any = false;

	rt_wrmsr(X2APIC_EOI, 0);
	for (uint32_t pass = 0; pass < PASSES_MAX && !(rt_inb(IIR) & IIR_NO_INT); pass++) {
		any = true;
		lock();
		if ((rt_inb(LSR) & LSR_THRE) && (port.ier & IER_THRI))
			transmit();
		unlock();
	}
	__atomic_fetch_add(any ? &interrupts : &spurious, 1, __ATOMIC_RELAXED);
}

/* ---- both vCPUs ---- */

static uint32_t random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static void write(uint32_t bytes)
{
	__asm__ volatile("cli" : : : "memory");
	lock();
	if (port.queued + bytes <= QUEUE_MAX)
		port.queued += bytes;
	if (!(port.ier & IER_THRI))
		set_ier(port.ier | IER_THRI);
	unlock();
	__asm__ volatile("sti" : : : "memory");
}

static void wait_for(uint8_t lsr)
{
	while ((rt_inb(LSR) & lsr) != lsr)
		__asm__ volatile("pause");
}

/* A message of the kernel's own. */
static void print(uint32_t bytes)
{
	uint8_t ier;

	__asm__ volatile("cli" : : : "memory");
	lock();
	ier = rt_inb(IER);
	rt_outb(IER, 0);
	for (uint32_t i = 0; i < bytes; i++) {
		wait_for(LSR_THRE);
		rt_outb(DATA, 'y');
	}
	wait_for(LSR_EMPTY);
	rt_outb(IER, ier);
	unlock();
	__asm__ volatile("sti" : : : "memory");
}

/* Until nothing is queued; or nobody sends any more. */
static void drain(void)
{
	uint64_t sent = port.sent, since = rt_rdtsc();

	while (port.queued > 0) {
		__asm__ volatile("pause");
		if (port.sent != sent) {
			sent = port.sent;
			since = rt_rdtsc();
		}
		if (rt_rdtsc() - since < STUCK_S * tsc_hz)
			continue;
		__asm__ volatile("cli" : : : "memory");
		lock();
		rt_outb(MCR, MCR_USUAL);
		rt_fail("after %u interrupts one is lost: %u bytes left, IER %x (%x), LSR %x, IIR %x, target %u",
			interrupts, port.queued, port.ier, rt_inb(IER), rt_inb(LSR), rt_inb(IIR), target);
	}
}

static void work(uint32_t *state)
{
	switch (random(state) % 8) {
	case 0:
		if (prints)
			print(1 + random(state) % 8);
		break;
	case 1:
		drain();
		break;
	case 2:
		write(1 + random(state) % 64);
		break;
	default:
		write(1 + random(state) % 4);
	}
	/* The one that gets the interrupts may sleep: the other one looks after it. */
	if (random(state) % 4 == 0 && rt_cpu() == target)
		rt_idle(port.queued > 0);
	for (uint32_t i = random(state) % 64; i > 0; i--)
		__asm__ volatile("pause");
}

static void other_cpu(void)
{
	uint32_t state = 0x9e3779b9u;

	__asm__ volatile("sti" : : : "memory");
	for (;;) {
		uint32_t mine;

		while (!runs)
			__asm__ volatile("pause");
		mine = joined = runs;
		while (runs == mine)
			work(&state);
		left = mine;
	}
}

/* ---- the interrupt's way ---- */

static void ioapic_write(uint32_t index, uint32_t value)
{
	*(volatile uint32_t *)(uintptr_t)IOAPIC = index;
	*(volatile uint32_t *)(uintptr_t)IOAPIC_DATA = value;
}

static void route(uint32_t cpu)
{
	ioapic_write(IOAPIC_ENTRY + 2 * GSI, MASKED);
	ioapic_write(IOAPIC_ENTRY + 2 * GSI + 1, cpu << 24);
	ioapic_write(IOAPIC_ENTRY + 2 * GSI, VECTOR);
	target = cpu;
}

void rt_main(const char *cmdline)
{
	uint32_t wanted = (uint32_t)rt_option(cmdline, "interrupts", 4000), state = 0x12345678u;

	tsc_hz = rt_rdmsr(HV_X64_MSR_TSC_FREQUENCY);
	rt_set_handler(VECTOR, on_interrupt);
	rt_outb(FCR, 0x01);
	rt_outb(MCR, MCR_USUAL | MCR_LOOP);
	set_ier(IER_USUAL);
	rt_start_cpu(1, other_cpu);
	for (uint32_t i = 1; i <= PHASES; i++) {
		/* The other one stands still, and so does the port. */
		route(i % 2);
		prints = i <= PHASES / 2;
		__asm__ volatile("sti" : : : "memory");
		runs = i;
		while (joined != i)
			__asm__ volatile("pause");
		while (interrupts < wanted / PHASES * i)
			work(&state);
		runs = 0;
		while (left != i)
			drain();
		drain();
		__asm__ volatile("cli" : : : "memory");
	}
	rt_outb(MCR, MCR_USUAL);
	rt_printf("guest: %u interrupts, %u with nothing to do, %lu bytes\n", interrupts, spurious, port.sent);
}
