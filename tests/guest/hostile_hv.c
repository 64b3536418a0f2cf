// SPDX-License-Identifier: Apache-2.0
/* Hypercalls and MSRs that no guest should use like this; the SynIC's pages moved, and taken away, under the host. */
#include "abi/hyperv.h"
#include "hostile.h"

#define ANY	~0ull /* whatever comes of it */
#define OUTSIDE 0xfffffffff000ull

#define POST   ((uint64_t)HVCALL_POST_MESSAGE)
#define SIGNAL ((uint64_t)HVCALL_SIGNAL_EVENT)
#define FAST   HV_HYPERCALL_FAST

static uint8_t two_pages[2 * 4096] __attribute__((aligned(4096)));

static void expect_status(const char *what, uint32_t row, uint64_t status, uint64_t wanted)
{
	rt_check(wanted == ANY || status == wanted, "%s, row %u: %lu instead of %lu", what, row, status, wanted);
}

/* ---- hypercalls ---- */

static void codes(void)
{
	static const uint64_t inputs[] = {0, 4, OUTSIDE, ~0ull, HOSTILE_MEMORY - 8};

	for (uint64_t code = 0; code < 0x400; code++) {
		if (code == POST || code == SIGNAL)
			continue;
		for (uint32_t fast = 0; fast < 2; fast++) {
			uint64_t status =
				vmbus_hypercall(code | fast << 16, inputs[code % 5], inputs[(code + fast) % 5]);

			expect_status("codes", (uint32_t)code, status & 0xffff,
				      code < 0x100 ? ANY : HV_STATUS_INVALID_HYPERCALL_CODE);
		}
	}
	expect_status("code", 0xffff, vmbus_hypercall(0xffff, 0, 0), HV_STATUS_INVALID_HYPERCALL_CODE);
}

static void controls(void)
{
	static const struct {
		uint64_t control, input, status;
	} rows[] = {
		{POST | FAST, 0, HV_STATUS_INVALID_HYPERCALL_INPUT},
		{POST | 1ull << 32, 0x1000, HV_STATUS_INVALID_HYPERCALL_INPUT},
		{POST | 0xfffull << 32, 0x1000, HV_STATUS_INVALID_HYPERCALL_INPUT},
		{POST | 0xfffull << 48, 0x1000, HV_STATUS_INVALID_HYPERCALL_INPUT},
		{POST | 1ull << 17, 0x1000, HV_STATUS_INVALID_HYPERCALL_INPUT},
		{POST | 1ull << 27, 0x1000, HV_STATUS_INVALID_HYPERCALL_INPUT},
		{POST | 1ull << 44, 0x1000, HV_STATUS_INVALID_HYPERCALL_INPUT},
		{POST | 1ull << 60, 0x1000, HV_STATUS_INVALID_HYPERCALL_INPUT},
		{~0ull, 0x1000, HV_STATUS_INVALID_HYPERCALL_CODE},
		{POST, 4, HV_STATUS_INVALID_ALIGNMENT},
		{POST, 7, HV_STATUS_INVALID_ALIGNMENT},
		{POST, 4096 - 8, HV_STATUS_INVALID_ALIGNMENT}, /* its head crosses */
		{POST, HOSTILE_MEMORY - 8, HV_STATUS_INVALID_ALIGNMENT},
		{POST, HOSTILE_MEMORY, HV_STATUS_INVALID_PARAMETER},
		{POST, OUTSIDE, HV_STATUS_INVALID_PARAMETER},
		{POST, 1ull << 63, HV_STATUS_INVALID_PARAMETER},
		{POST, ~0ull & ~0xfffull, HV_STATUS_INVALID_PARAMETER},
		{POST, ~7ull, HV_STATUS_INVALID_ALIGNMENT},
		{POST, 0xfec00000, HV_STATUS_INVALID_PARAMETER},
		{POST, 0xfee00000, HV_STATUS_INVALID_PARAMETER},
		{SIGNAL, 4, HV_STATUS_INVALID_ALIGNMENT},
		{SIGNAL, OUTSIDE, HV_STATUS_INVALID_PARAMETER},
		{SIGNAL, HOSTILE_MEMORY, HV_STATUS_INVALID_PARAMETER},
		{SIGNAL, ~7ull, HV_STATUS_INVALID_PARAMETER}, /* 8 bytes that end where addresses end */
		{SIGNAL | FAST, 0, HV_STATUS_INVALID_CONNECTION_ID},
		{SIGNAL | FAST, 0xffffffff, HV_STATUS_INVALID_CONNECTION_ID},
		{SIGNAL | FAST, ~0ull, HV_STATUS_INVALID_PARAMETER},
		{SIGNAL | FAST, 0x2345 | 1ull << 32, HV_STATUS_INVALID_PARAMETER},
		{SIGNAL | FAST, 0x2345 | 1ull << 48, HV_STATUS_INVALID_PARAMETER},
		{SIGNAL | FAST | 1ull << 32, 0x2345, HV_STATUS_INVALID_HYPERCALL_INPUT},
		{SIGNAL | FAST | 1ull << 63, 0x2345, HV_STATUS_INVALID_HYPERCALL_INPUT},
		{SIGNAL | FAST | 1ull << 31, 0x2345, HV_STATUS_INVALID_HYPERCALL_INPUT},
	};

	for (uint32_t i = 0; i < COUNT_OF(rows); i++)
		expect_status("controls", i, vmbus_hypercall(rows[i].control, rows[i].input, OUTSIDE), rows[i].status);
}

static void posts(void)
{
	static const struct {
		uint32_t connection, type, len;
		uint64_t status;
		uint32_t at; /* in two pages */
	} rows[] = {
		{4, 0, 8, HV_STATUS_INVALID_PARAMETER, 0},
		{4, HV_MESSAGE_TYPE_HV_FIRST, 8, HV_STATUS_INVALID_PARAMETER, 0},
		{4, ~0u, 8, HV_STATUS_INVALID_PARAMETER, 0},
		{4, 1, 241, HV_STATUS_INVALID_PARAMETER, 0},
		{4, 1, ~0u, HV_STATUS_INVALID_PARAMETER, 0},
		{4, 1, 0, HV_STATUS_SUCCESS, 0},
		{4, 2, 240, HV_STATUS_SUCCESS, 0},
		{1, 1, 3, HV_STATUS_SUCCESS, 0},
		{0, 1, 8, HV_STATUS_INVALID_CONNECTION_ID, 0},
		{0xffffff, 1, 8, HV_STATUS_INVALID_CONNECTION_ID, 0},
		{~0u, 1, 8, HV_STATUS_INVALID_CONNECTION_ID, 0},
		{4, 1, 240, HV_STATUS_INVALID_ALIGNMENT, 4096 - 16},
		{4, 1, 240, HV_STATUS_INVALID_ALIGNMENT, 4096 - 248},
		{4, 1, 240, HV_STATUS_SUCCESS, 4096 - 256},
	};

	for (uint32_t i = 0; i < COUNT_OF(rows); i++) {
		struct hv_input_post_message head = {
			.connection_id = rows[i].connection,
			.message_type = rows[i].type,
			.payload_size = rows[i].len,
		};

		memcpy(two_pages + rows[i].at, &head, sizeof(head));
		expect_status("posts", i, vmbus_hypercall(POST, (uintptr_t)two_pages + rows[i].at, 0), rows[i].status);
	}
}

static void signals(void)
{
	for (uint64_t id = 0; id < 0x400; id++)
		expect_status("signals", (uint32_t)id, vmbus_hypercall(SIGNAL | FAST, id * 7, 0),
			      HV_STATUS_INVALID_CONNECTION_ID);
}

static void no_page(void)
{
	static const uint64_t outside[] = {HOSTILE_MEMORY, OUTSIDE, 0xfee00000, ~0xfffull};

	for (uint32_t i = 0; i < COUNT_OF(outside); i++)
		rt_check(!rt_try_wrmsr(HV_X64_MSR_HYPERCALL, outside[i] | HV_X64_MSR_PAGE_ENABLE),
			 "a hypercall page at %#lx is accepted", outside[i]);
	rt_wrmsr(HV_X64_MSR_GUEST_OS_ID, 0);
	rt_check(!(rt_rdmsr(HV_X64_MSR_HYPERCALL) & HV_X64_MSR_PAGE_ENABLE), "a page for nobody");
	expect_status("nobody", 0, vmbus_hypercall(POST, (uintptr_t)two_pages, 0), HV_STATUS_OPERATION_DENIED);
	rt_wrmsr(HV_X64_MSR_HYPERCALL, (uintptr_t)hostile_page | HV_X64_MSR_PAGE_ENABLE);
	rt_check(!(rt_rdmsr(HV_X64_MSR_HYPERCALL) & HV_X64_MSR_PAGE_ENABLE), "a page for nobody");
	hostile_restore();
	for (uint32_t i = 0; i < 50; i++)
		rt_wrmsr(HV_X64_MSR_HYPERCALL, (uintptr_t)hostile_page | HV_X64_MSR_PAGE_ENABLE);
	hostile_restore();
}

/* ---- MSRs ---- */

/* What would end the machine, or could not be taken back. */
static bool is_final(uint32_t msr, uint64_t value)
{
	return (msr == HV_X64_MSR_RESET && value & 1) || (msr == HV_X64_MSR_CRASH_CTL && value >> 63) ||
	       (msr == HV_X64_MSR_HYPERCALL && value & HV_X64_MSR_HYPERCALL_LOCKED);
}

static void msrs(void)
{
	const uint64_t values[] = {~0ull,
				   1ull << 63,
				   OUTSIDE | 1,
				   HOSTILE_MEMORY | 1,
				   0xfee00001,
				   (uintptr_t)hostile_page | 1,
				   (uintptr_t)hostile_page | 0xfff,
				   0x20000 | 0x61,
				   0};
	uint64_t value;

	__asm__ volatile("cli" : : : "memory");
	for (uint32_t msr = 0x3ffffff0; msr < 0x40000210; msr++) {
		rt_try_rdmsr(msr, &value);
		for (uint32_t i = 0; i < COUNT_OF(values); i++) {
			if (is_final(msr, values[i]))
				continue;
			rt_try_wrmsr(msr, values[i]);
			rt_try_rdmsr(msr, &value);
		}
	}
	hostile_restore();
	__asm__ volatile("sti" : : : "memory");
}

/* A page outside memory is refused, and what was there stays. */
static void msr_pages(void)
{
	static const uint32_t pages[] = {HV_X64_MSR_SIMP, HV_X64_MSR_SIEFP, HV_X64_MSR_REFERENCE_TSC,
					 HV_X64_MSR_VP_ASSIST_PAGE};
	static const uint64_t outside[] = {HOSTILE_MEMORY, OUTSIDE, ~0xfffull, 1ull << 51};

	for (uint32_t i = 0; i < COUNT_OF(pages); i++) {
		uint64_t before = rt_rdmsr(pages[i]);

		for (uint32_t n = 0; n < COUNT_OF(outside); n++)
			rt_check(!rt_try_wrmsr(pages[i], outside[n] | 1) || pages[i] == HV_X64_MSR_REFERENCE_TSC,
				 "MSR %#x: a page at %#lx", pages[i], outside[n]);
		rt_check(pages[i] == HV_X64_MSR_REFERENCE_TSC || rt_rdmsr(pages[i]) == before, "MSR %#x has changed",
			 pages[i]);
		rt_try_wrmsr(pages[i], before);
	}
}

static const struct hostile_case hv_cases[] = {
	{"hypercall-codes", codes},	{"hypercall-controls", controls}, {"hypercall-posts", posts},
	{"hypercall-signals", signals}, {"hypercall-page", no_page},	  {"msr-values", msrs},
	{"msr-pages", msr_pages},
};
const struct hostile_group hostile_hv = {"hv", hv_cases, COUNT_OF(hv_cases)};

/* ---- the SynIC while channels signal ---- */

static uint8_t synic_pages[8][4096] __attribute__((aligned(4096)));

static void move_pages(void)
{
	static uint32_t n;

	n++;
	vmbus_synic_move(HOSTILE_VCPU, synic_pages[n % 4], synic_pages[4 + n % 3]);
}

static void moved_events(void)
{
	hostile_connect(HOSTILE_VCPU);
	hostile_beside(move_pages);
	disk_busy(&hostile_channel, 400, 16, 4096, NULL);
	hostile_beside(NULL);
}

static void moved_messages(void)
{
	hostile_beside(move_pages);
	for (uint32_t i = 0; i < 20; i++) {
		static struct vmbus_msg_offer_channel offers[VMBUS_OFFERS];

		rt_check(vmbus_contact(VMBUS_VERSION_5_3, HOSTILE_VCPU), "contact is refused");
		rt_check(vmbus_request_offers(offers) > 0, "no offers");
		vmbus_unload();
	}
	hostile_beside(NULL);
}

/* Every register in turn, off and on again. */
static void toggle(void)
{
	static const struct {
		uint32_t msr;
		uint64_t value;
	} rows[] = {
		{HV_X64_MSR_SCONTROL, 0},
		{HV_X64_MSR_SCONTROL, ~0ull},
		{HV_X64_MSR_SIEFP, 0},
		{HV_X64_MSR_SIMP, 0},
		{HV_X64_MSR_SINT0 + VMBUS_MESSAGE_SINT, HV_SYNIC_SINT_MASKED},
		{HV_X64_MSR_SINT0 + VMBUS_MESSAGE_SINT, HV_SYNIC_SINT_POLLING | VMBUS_VECTOR},
		{HV_X64_MSR_SINT0 + VMBUS_MESSAGE_SINT, HV_SYNIC_SINT_AUTO_EOI | VMBUS_VECTOR},
		{HV_X64_MSR_SINT0 + 5, VMBUS_VECTOR},
		{HV_X64_MSR_EOM, ~0ull},
	};
	static uint32_t n;

	rt_wrmsr(rows[n % COUNT_OF(rows)].msr, rows[n % COUNT_OF(rows)].value);
	for (uint32_t i = 0; i < 200; i++)
		__asm__ volatile("pause");
	vmbus_synic_start(HOSTILE_VCPU);
	n++;
}

static void toggled(void)
{
	hostile_connect(HOSTILE_VCPU);
	hostile_beside(toggle);
	disk_busy(&hostile_channel, 400, 16, 4096, NULL);
	hostile_beside(NULL);
}

/* Pages over each other and over the rings, which the host's flags and messages then spoil. */
static void overlapping(void)
{
	for (uint32_t i = 0; i < 5; i++) {
		const void *targets[5];
		uint64_t target;

		hostile_connect(0);
		targets[0] = hostile_channel.out.header;
		targets[1] = hostile_channel.out.data;
		targets[2] = hostile_channel.in.header;
		targets[3] = hostile_channel.in.data;
		targets[4] = synic_pages[0];
		target = (uintptr_t)targets[i];
		for (uint32_t n = 0; n < 8; n++)
			hostile_read(n + 1, n * 8, 8);
		rt_wrmsr(HV_X64_MSR_SIEFP, target | 1);
		if (i > 1)
			rt_wrmsr(HV_X64_MSR_SIMP, target | 1);
		for (uint32_t n = 0; n < 8; n++)
			vmbus_signal(&hostile_channel);
		vmbus_synic_start(0);
		hostile_leave();
	}
}

static const struct hostile_case synic_cases[] = {
	{"synic-moved-events", moved_events},
	{"synic-moved-messages", moved_messages},
	{"synic-toggled", toggled},
	{"synic-overlapping", overlapping},
};
const struct hostile_group hostile_synic = {"synic", synic_cases, COUNT_OF(synic_cases)};
