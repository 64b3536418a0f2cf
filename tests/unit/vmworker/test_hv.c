// SPDX-License-Identifier: Apache-2.0
/* The Hyper-V interface over a fake host and a few pages of guest memory. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "abi/hyperv.h"
#include "base/fd.h"
#include "hv/hv.h"

#define PAGES	   16u
#define MEM	   (PAGES * 4096u)
#define CPUS	   2u
#define PAGE_SIMP  0x1000ull
#define PAGE_SIEFP 0x2000ull
#define PAGE_CALL  0x3000ull
#define PAGE_IN	   0x4000ull
#define PAGE_TSC   0x5000ull

static struct fake {
	unsigned int injected[CPUS];
	uint8_t vector;
	unsigned int sint_changes;
	uint32_t sint;
	uint8_t sint_vector;
	uint64_t siefp;
	int post_result;
	uint32_t connection_id, type;
	uint8_t payload[HV_MESSAGE_PAYLOAD_SIZE];
	size_t len;
	unsigned int signals, resets, crashes, os_left;
	uint64_t params[5];
	char text[HV_CRASH_MESSAGE_MAX + 1];
	uint64_t tsc;
} fake;

static void fake_inject(void *arg, uint32_t vp, uint8_t vector)
{
	fake.injected[vp]++;
	fake.vector = vector;
}

static void fake_sint_changed(void *arg, uint32_t vp, uint32_t sint, uint8_t vector)
{
	fake.sint_changes++;
	fake.sint = sint;
	fake.sint_vector = vector;
}

static void fake_siefp_changed(void *arg, uint32_t vp, uint64_t gpa)
{
	fake.siefp = gpa;
}

static int fake_post_message(void *arg, uint32_t connection_id, uint32_t type, const void *payload, size_t len)
{
	fake.connection_id = connection_id;
	fake.type = type;
	memcpy(fake.payload, payload, len);
	fake.len = len;
	return fake.post_result;
}

static int fake_signal_event(void *arg, uint32_t connection_id)
{
	fake.signals++;
	fake.connection_id = connection_id;
	return connection_id == 77 ? 0 : -ENOENT;
}

static void fake_reset(void *arg)
{
	fake.resets++;
}

static void fake_crashed(void *arg, const uint64_t params[5], const char *text)
{
	fake.crashes++;
	memcpy(fake.params, params, sizeof(fake.params));
	strcpy(fake.text, text);
}

static void fake_os_left(void *arg)
{
	fake.os_left++;
}

static uint64_t fake_tsc(void *arg, uint32_t vp)
{
	return fake.tsc;
}

static const struct hv_host host = {
	.inject = fake_inject,
	.sint_changed = fake_sint_changed,
	.siefp_changed = fake_siefp_changed,
	.post_message = fake_post_message,
	.signal_event = fake_signal_event,
	.reset = fake_reset,
	.crashed = fake_crashed,
	.os_left = fake_os_left,
	.tsc = fake_tsc,
};

static struct guest_mem mem;
static struct hv *hv;

static void setup(void)
{
	const struct hv_config config = {.cpus = CPUS, .tsc_hz = 2000000000, .apic_hz = 1000000000};
	int fd = fd_memfd("test", MEM);

	memset(&fake, 0, sizeof(fake));
	fake.siefp = HV_NO_PAGE;
	guest_mem_init(&mem);
	cr_assert_eq(guest_mem_add(&mem, 0, MEM, fd, 0), 0);
	close(fd);
	cr_assert_eq(hv_new(&config, &mem, &host, &hv), 0);
}

static void teardown(void)
{
	hv_free(hv);
	guest_mem_done(&mem);
}

TestSuite(hv, .init = setup, .fini = teardown);

static void wr(uint32_t vp, uint32_t msr, uint64_t value)
{
	cr_assert_eq(hv_msr_write(hv, vp, msr, value), 0, "wrmsr %#x", msr);
}

static uint64_t rd(uint32_t vp, uint32_t msr)
{
	uint64_t value = 0xdead;

	cr_assert_eq(hv_msr_read(hv, vp, msr, &value), 0, "rdmsr %#x", msr);
	return value;
}

static void synic_on(uint32_t vp)
{
	wr(vp, HV_X64_MSR_SIMP, PAGE_SIMP | 1);
	wr(vp, HV_X64_MSR_SIEFP, PAGE_SIEFP | 1);
	wr(vp, HV_X64_MSR_SINT0 + 2, 0xf3);
	wr(vp, HV_X64_MSR_SCONTROL, 1);
}

static struct hv_message *slot(uint32_t sint)
{
	return guest_mem_ptr(&mem, PAGE_SIMP + sint * 256, 256);
}

static void call_on(void)
{
	wr(0, HV_X64_MSR_GUEST_OS_ID, 0x8100000000000000ull);
	wr(0, HV_X64_MSR_HYPERCALL, PAGE_CALL | 1);
}

static uint64_t hypercall(uint64_t control, uint64_t input)
{
	const struct hv_hypercall call = {.control = control, .input = input};

	return hv_hypercall(hv, 0, &call);
}

Test(hv, cpuid_is_what_linux_needs)
{
	const struct hv_config config = {.cpus = 3};
	uint32_t r[4];

	cr_assert(hv_cpuid_leaf(&config, 0x40000000, r));
	cr_assert_eq(r[0], 0x40000006);
	cr_assert(!memcmp(&r[1], "Microsoft Hv", 12));
	cr_assert(hv_cpuid_leaf(&config, 0x40000001, r));
	cr_assert_eq(r[0], 0x31237648);
	cr_assert(hv_cpuid_leaf(&config, 0x40000003, r));
	cr_assert_eq(r[0], 0x8a66 | HV_MSR_RESET_AVAILABLE);
	cr_assert_eq(r[1], 0x30);
	cr_assert_eq(r[3], 0x500);
	cr_assert(hv_cpuid_leaf(&config, 0x40000004, r));
	cr_assert_eq(r[0], 0x220);
	cr_assert(hv_cpuid_leaf(&config, 0x40000005, r));
	cr_assert_eq(r[0], 3);
	cr_assert(!hv_cpuid_leaf(&config, 0x40000007, r));
	cr_assert(!hv_cpuid_leaf(&config, 0x3fffffff, r));
	cr_assert(!hv_cpuid_leaf(&config, 0x40000100, r));
}

Test(hv, unknown_and_read_only_msrs_fault)
{
	uint64_t v;

	cr_assert_eq(hv_msr_read(hv, 0, 0x400000f0, &v), -EINVAL);
	cr_assert_eq(hv_msr_write(hv, 0, 0x400000b0, 0), -EINVAL);
	cr_assert_eq(hv_msr_write(hv, 0, HV_X64_MSR_VP_INDEX, 0), -EINVAL);
	cr_assert_eq(hv_msr_write(hv, 0, HV_X64_MSR_TIME_REF_COUNT, 0), -EINVAL);
	cr_assert_eq(hv_msr_write(hv, 0, HV_X64_MSR_TSC_FREQUENCY, 0), -EINVAL);
	cr_assert_eq(hv_msr_write(hv, 0, HV_X64_MSR_SVERSION, 0), -EINVAL);
	cr_assert_eq(hv_msr_write(hv, 0, HV_X64_MSR_SINT0, 0x0f), -EINVAL, "vector below 16");
	cr_assert_eq(hv_msr_write(hv, 0, HV_X64_MSR_TSC_INVARIANT_CONTROL, 2), -EINVAL);
}

Test(hv, msrs_keep_their_values)
{
	cr_assert_eq(rd(1, HV_X64_MSR_VP_INDEX), 1);
	cr_assert_eq(rd(0, HV_X64_MSR_TSC_FREQUENCY), 2000000000);
	cr_assert_eq(rd(0, HV_X64_MSR_APIC_FREQUENCY), 1000000000);
	cr_assert_eq(rd(0, HV_X64_MSR_SVERSION), 1);
	cr_assert_eq(rd(0, HV_X64_MSR_SINT0 + 2), 0x10000);
	wr(1, HV_X64_MSR_VP_ASSIST_PAGE, 0x6001);
	cr_assert_eq(rd(1, HV_X64_MSR_VP_ASSIST_PAGE), 0x6001);
	cr_assert_eq(rd(0, HV_X64_MSR_VP_ASSIST_PAGE), 0);
	wr(0, HV_X64_MSR_TSC_INVARIANT_CONTROL, 1);
	cr_assert_eq(rd(1, HV_X64_MSR_TSC_INVARIANT_CONTROL), 1);
	wr(0, HV_X64_MSR_RESET, 0);
	cr_assert_eq(fake.resets, 0);
	wr(0, HV_X64_MSR_RESET, 1);
	cr_assert_eq(fake.resets, 1);
}

Test(hv, pages_outside_memory_fault)
{
	static const uint32_t msrs[] = {HV_X64_MSR_SIMP, HV_X64_MSR_SIEFP, HV_X64_MSR_REFERENCE_TSC,
					HV_X64_MSR_VP_ASSIST_PAGE, HV_X64_MSR_HYPERCALL};

	wr(0, HV_X64_MSR_GUEST_OS_ID, 1);
	for (size_t i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++) {
		cr_assert_eq(hv_msr_write(hv, 0, msrs[i], MEM | 1), -EINVAL);
		cr_assert_eq(hv_msr_write(hv, 0, msrs[i], 0xfffffffffffff001), -EINVAL);
		cr_assert_eq(rd(0, msrs[i]), 0);
		cr_assert_eq(hv_msr_write(hv, 0, msrs[i], MEM), 0, "disabled: anything goes");
	}
}

Test(hv, reference_time_and_page_agree)
{
	const struct hv_reference_tsc_page *page = guest_mem_ptr(&mem, PAGE_TSC, sizeof(*page));

	fake.tsc = 2000000000ull * 5 + 200; /* 5 s and 100 ns */
	cr_assert_geq(rd(0, HV_X64_MSR_TIME_REF_COUNT), 50000000);
	cr_assert_leq(rd(0, HV_X64_MSR_TIME_REF_COUNT), 50000001);
	wr(0, HV_X64_MSR_REFERENCE_TSC, PAGE_TSC | 1);
	cr_assert_eq(page->tsc_sequence, 1);
	cr_assert_eq((uint64_t)(((unsigned __int128)fake.tsc * page->tsc_scale) >> 64) + (uint64_t)page->tsc_offset,
		     rd(0, HV_X64_MSR_TIME_REF_COUNT));
}

Test(hv, hypercall_page_needs_a_guest_id)
{
	const uint8_t *page = guest_mem_ptr(&mem, PAGE_CALL, 4096);

	wr(0, HV_X64_MSR_HYPERCALL, PAGE_CALL | 1);
	cr_assert_eq(rd(0, HV_X64_MSR_HYPERCALL), PAGE_CALL);
	cr_assert_eq(hypercall(0x5d, PAGE_IN), HV_STATUS_OPERATION_DENIED);
	call_on();
	cr_assert_eq(rd(0, HV_X64_MSR_HYPERCALL), PAGE_CALL | 1);
	cr_assert(!memcmp(page, "\xf3\x0f\x1e\xfa", 4), "endbr64");
	cr_assert_eq(page[40], 0x49, "the slow path is where the jumps go");
	cr_assert_eq(page[4095], 0xcc);
	wr(0, HV_X64_MSR_GUEST_OS_ID, 0);
	cr_assert_eq(rd(0, HV_X64_MSR_HYPERCALL), PAGE_CALL);
}

Test(hv, hypercall_page_locks)
{
	wr(0, HV_X64_MSR_GUEST_OS_ID, 1);
	wr(0, HV_X64_MSR_HYPERCALL, PAGE_CALL | 3);
	cr_assert_eq(hv_msr_write(hv, 0, HV_X64_MSR_HYPERCALL, 0), -EINVAL);
	hv_reset(hv);
	cr_assert_eq(rd(0, HV_X64_MSR_HYPERCALL), 0);
}

Test(hv, hypercalls_are_checked)
{
	call_on();
	cr_assert_eq(hypercall(HVCALL_NOTIFY_LONG_SPIN_WAIT | HV_HYPERCALL_FAST, 1), HV_STATUS_INVALID_HYPERCALL_CODE);
	cr_assert_eq(hypercall(0, 0), HV_STATUS_INVALID_HYPERCALL_CODE);
	cr_assert_eq(hypercall(0x5d | 1ull << 32, PAGE_IN), HV_STATUS_INVALID_HYPERCALL_INPUT, "rep count");
	cr_assert_eq(hypercall(0x5d | 1ull << 17, PAGE_IN), HV_STATUS_INVALID_HYPERCALL_INPUT, "variable header");
	cr_assert_eq(hypercall(0x5d | 1ull << 63, PAGE_IN), HV_STATUS_INVALID_HYPERCALL_INPUT, "reserved");
	cr_assert_eq(hypercall(0x5c | HV_HYPERCALL_FAST, 1), HV_STATUS_INVALID_HYPERCALL_INPUT);
	cr_assert_eq(hypercall(0x5c, PAGE_IN + 4), HV_STATUS_INVALID_ALIGNMENT);
	cr_assert_eq(hypercall(0x5c, PAGE_IN + 4088), HV_STATUS_INVALID_ALIGNMENT);
	cr_assert_eq(hypercall(0x5c, MEM), HV_STATUS_INVALID_PARAMETER);
	cr_assert_eq(hypercall(0x5c, ~7ull), HV_STATUS_INVALID_ALIGNMENT);
}

Test(hv, signal_event)
{
	struct hv_input_signal_event in = {.connection_id = 77};

	call_on();
	guest_mem_write(&mem, PAGE_IN, &in, sizeof(in));
	cr_assert_eq(hypercall(0x5d, PAGE_IN), HV_STATUS_SUCCESS);
	cr_assert_eq(hypercall(0x1005d, 77), HV_STATUS_SUCCESS);
	cr_assert_eq(fake.signals, 2);
	cr_assert_eq(hypercall(0x1005d, 78), HV_STATUS_INVALID_CONNECTION_ID);
	cr_assert_eq(hypercall(0x1005d, 77 | 1ull << 32), HV_STATUS_INVALID_PARAMETER, "flag number");
	cr_assert_eq(hypercall(0x1005d, 77 | 1ull << 48), HV_STATUS_INVALID_PARAMETER, "reserved");
}

Test(hv, post_message)
{
	struct hv_input_post_message in = {.connection_id = 4, .message_type = 1, .payload_size = 16};

	call_on();
	memcpy(in.payload, "fourteen bytes..", 16);
	guest_mem_write(&mem, PAGE_IN, &in, sizeof(in));
	cr_assert_eq(hypercall(0x5c, PAGE_IN), HV_STATUS_SUCCESS);
	cr_assert_eq(fake.connection_id, 4);
	cr_assert_eq(fake.len, 16);
	cr_assert(!memcmp(fake.payload, in.payload, 16));
	fake.post_result = -EAGAIN;
	cr_assert_eq(hypercall(0x5c, PAGE_IN), HV_STATUS_INSUFFICIENT_BUFFERS);
	fake.post_result = -ENOENT;
	cr_assert_eq(hypercall(0x5c, PAGE_IN), HV_STATUS_INVALID_CONNECTION_ID);

	in.payload_size = 241;
	guest_mem_write(&mem, PAGE_IN, &in, sizeof(in));
	cr_assert_eq(hypercall(0x5c, PAGE_IN), HV_STATUS_INVALID_PARAMETER);
	in.payload_size = 8;
	in.message_type = HV_MESSAGE_TYPE_HV_FIRST;
	guest_mem_write(&mem, PAGE_IN, &in, sizeof(in));
	cr_assert_eq(hypercall(0x5c, PAGE_IN), HV_STATUS_INVALID_PARAMETER);
}

Test(hv, messages_wait_for_their_slot)
{
	synic_on(0);
	synic_post(hv, 0, 2, 1, "one", 4);
	synic_post(hv, 0, 2, 1, "two", 4);
	synic_post(hv, 0, 2, 1, "three", 6);
	cr_assert_eq(fake.injected[0], 1);
	cr_assert_eq(fake.vector, 0xf3);
	cr_assert_eq(synic_backlog(hv), 2);
	cr_assert_str_eq((char *)slot(2)->payload, "one");
	cr_assert_eq(slot(2)->header.payload_size, 4);
	cr_assert_eq(slot(2)->header.message_flags, HV_MESSAGE_FLAG_PENDING);

	wr(0, HV_X64_MSR_EOM, 0); /* slot still taken */
	cr_assert_eq(synic_backlog(hv), 2);
	slot(2)->header.message_type = 0;
	wr(0, HV_X64_MSR_EOM, 0);
	cr_assert_str_eq((char *)slot(2)->payload, "two");
	cr_assert_eq(slot(2)->header.message_flags, HV_MESSAGE_FLAG_PENDING, "one more is queued");
	slot(2)->header.message_type = 0;
	wr(0, HV_X64_MSR_EOM, 0);
	cr_assert_str_eq((char *)slot(2)->payload, "three");
	cr_assert_eq(slot(2)->header.message_flags, 0);
	cr_assert_eq(fake.injected[0], 3);
}

Test(hv, messages_wait_for_the_synic)
{
	synic_post(hv, 1, 2, 1, "early", 6);
	cr_assert_eq(fake.injected[1], 0);
	synic_on(1);
	cr_assert_eq(fake.injected[1], 1);
	cr_assert_str_eq((char *)slot(2)->payload, "early");

	wr(1, HV_X64_MSR_SINT0 + 2, 0x10000 | 0xf3);
	slot(2)->header.message_type = 0;
	synic_post(hv, 1, 2, 1, "masked", 7);
	cr_assert_eq(slot(2)->header.message_type, 0);
	wr(1, HV_X64_MSR_SINT0 + 2, 0x40000 | 0xf3);
	cr_assert_eq(slot(2)->header.message_type, 1, "polled: the message, no interrupt");
	cr_assert_eq(fake.injected[1], 1);
}

Test(hv, messages_end_at_the_pool)
{
	for (unsigned int i = 0; i < SYNIC_MESSAGES_MAX + 10; i++)
		synic_post(hv, 0, 2, 1, &i, sizeof(i));
	cr_assert_eq(synic_backlog(hv), SYNIC_MESSAGES_MAX);
	hv_reset(hv);
	cr_assert_eq(synic_backlog(hv), 0);
	synic_on(0);
	cr_assert_eq(slot(2)->header.message_type, 0);
	synic_post(hv, 0, 2, 1, "again", 6);
	cr_assert_str_eq((char *)slot(2)->payload, "again");
}

Test(hv, routes_follow_the_registers)
{
	wr(0, HV_X64_MSR_SINT0 + 2, 0xf3);
	cr_assert_eq(fake.sint_changes, 0, "SCONTROL is off");
	wr(0, HV_X64_MSR_SIEFP, PAGE_SIEFP | 1);
	cr_assert_eq(fake.siefp, HV_NO_PAGE);
	wr(0, HV_X64_MSR_SCONTROL, 1);
	cr_assert_eq(fake.sint_changes, 1);
	cr_assert_eq(fake.sint, 2);
	cr_assert_eq(fake.sint_vector, 0xf3);
	cr_assert_eq(fake.siefp, PAGE_SIEFP);
	wr(0, HV_X64_MSR_SIEFP, 0x6001);
	cr_assert_eq(fake.siefp, 0x6000);
	wr(0, HV_X64_MSR_SINT0 + 2, 0x10000);
	cr_assert_eq(fake.sint_vector, 0);
	wr(0, HV_X64_MSR_SINT0 + 2, 0x41);
	cr_assert_eq(fake.sint_vector, 0x41);
	hv_reset(hv);
	cr_assert_eq(fake.sint_vector, 0);
	cr_assert_eq(fake.siefp, HV_NO_PAGE);
	cr_assert_eq(rd(0, HV_X64_MSR_SCONTROL), 0);
}

Test(hv, events)
{
	const uint8_t *flags = guest_mem_ptr(&mem, PAGE_SIEFP, 4096);

	synic_raise_event(hv, 0, 2, 9);
	cr_assert_eq(flags[2 * 256 + 1], 0, "no SynIC, no page");
	synic_on(0);
	synic_raise_event(hv, 0, 2, 9);
	synic_raise_event(hv, 0, 2, 9);
	cr_assert_eq(flags[2 * 256 + 1], 2);
	cr_assert_eq(fake.injected[0], 2, "always fires");
	synic_raise_event(hv, 0, 2, 2047);
	cr_assert_eq(flags[2 * 256 + 255], 0x80);
	synic_raise_event(hv, 0, 2, 2048);
	synic_raise_event(hv, 0, 16, 1);
	synic_raise_event(hv, CPUS, 2, 1);
	cr_assert_eq(fake.injected[0], 3);
}

Test(hv, os_id_taken_back)
{
	cr_assert_eq(hv_msr_write(hv, 0, HV_X64_MSR_GUEST_OS_ID, 0), 0);
	cr_assert_eq(fake.os_left, 0);
	cr_assert_eq(hv_msr_write(hv, 0, HV_X64_MSR_GUEST_OS_ID, 1), 0);
	cr_assert_eq(hv_msr_write(hv, 0, HV_X64_MSR_GUEST_OS_ID, 2), 0);
	cr_assert_eq(fake.os_left, 0);
	cr_assert_eq(hv_msr_write(hv, 0, HV_X64_MSR_GUEST_OS_ID, 0), 0);
	cr_assert_eq(hv_msr_write(hv, 0, HV_X64_MSR_GUEST_OS_ID, 0), 0);
	cr_assert_eq(fake.os_left, 1);
}

Test(hv, crash_report)
{
	guest_mem_write(&mem, PAGE_IN, "Kernel panic\n\x1b[31m", 18);
	wr(0, HV_X64_MSR_CRASH_P0, 11);
	wr(0, HV_X64_MSR_CRASH_P0 + 3, PAGE_IN);
	wr(0, HV_X64_MSR_CRASH_P0 + 4, 18);
	cr_assert_eq(rd(0, HV_X64_MSR_CRASH_CTL) >> 62, 3);
	wr(0, HV_X64_MSR_CRASH_CTL, 0);
	cr_assert_eq(fake.crashes, 0);
	wr(0, HV_X64_MSR_CRASH_CTL, 3ull << 62);
	cr_assert_eq(fake.crashes, 1);
	cr_assert_eq(fake.params[0], 11);
	cr_assert_str_eq(fake.text, "Kernel panic\n?[31m");
	wr(0, HV_X64_MSR_CRASH_P0 + 4, UINT64_MAX);
	wr(0, HV_X64_MSR_CRASH_CTL, 3ull << 62);
	cr_assert_eq(fake.crashes, 2);
	wr(0, HV_X64_MSR_CRASH_P0 + 3, UINT64_MAX - 5);
	wr(0, HV_X64_MSR_CRASH_CTL, 3ull << 62);
	cr_assert_str_eq(fake.text, "", "outside memory");
	wr(0, HV_X64_MSR_CRASH_CTL, 1ull << 63);
	cr_assert_eq(fake.crashes, 4);
}

Test(hv, crash_text_is_clean)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{"plain\ttext\n", "plain\ttext\n"},
		{"\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80"},
		{"\xff\xfe", "??"},
		{"\xc0\x80", "??"},
		{"\xed\xa0\x80", "???"},
		{"\xc2\x9bK", "?K"},
		{"cut \xe2\x82", "cut ??"},
		{"\xf4\x90\x80\x80", "????"},
	};
	char text[64];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		hv_crash_text((const uint8_t *)rows[i].in, strlen(rows[i].in), text);
		cr_assert_str_eq(text, rows[i].out);
	}
	hv_crash_text((const uint8_t *)"a\0b", 3, text);
	cr_assert_str_eq(text, "a");
}
