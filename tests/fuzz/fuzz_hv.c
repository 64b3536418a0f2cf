// SPDX-License-Identifier: Apache-2.0
/*
 * The Hyper-V interface against a guest that does anything: each 16 bytes of input are one step: what to do, on which
 * vCPU, with which register or value. Whatever lies in its memory is the input as well.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "abi/hyperv.h"
#include "base/fd.h"
#include "hv/hv.h"

#define MEM  (8u * 4096u)
#define CPUS 2u

struct step {
	uint8_t what, vp;
	uint16_t small;
	uint32_t number;
	uint64_t value;
};

static void inject(void *arg, uint32_t vp, uint8_t vector)
{
	assert(vp < CPUS && vector >= HV_SYNIC_FIRST_VALID_VECTOR);
}

static void sint_changed(void *arg, uint32_t vp, uint32_t sint, uint8_t vector)
{
	assert(vp < CPUS && sint < HV_SINTS && (!vector || vector >= HV_SYNIC_FIRST_VALID_VECTOR));
}

static void siefp_changed(void *arg, uint32_t vp, uint64_t gpa)
{
	assert(vp < CPUS && (gpa == HV_NO_PAGE || gpa <= MEM - 4096));
}

static int post_message(void *arg, uint32_t connection_id, uint32_t type, const void *payload, size_t len)
{
	assert(len <= HV_MESSAGE_PAYLOAD_SIZE && type && type < HV_MESSAGE_TYPE_HV_FIRST);
	return connection_id & 1 ? 0 : -EAGAIN;
}

static int signal_event(void *arg, uint32_t connection_id)
{
	return connection_id & 1 ? 0 : -ENOENT;
}

static void reset(void *arg)
{
}

static void crashed(void *arg, const uint64_t params[5], const char *text)
{
	assert(strlen(text) <= HV_CRASH_MESSAGE_MAX);
}

static void os_left(void *arg)
{
}

static uint64_t tsc(void *arg, uint32_t vp)
{
	return 12345678901ull;
}

static void run_step(struct hv *hv, const struct step *step)
{
	const struct hv_hypercall call = {.control = step->number | (uint64_t)step->small << 48, .input = step->value};
	uint32_t vp = step->vp % CPUS;
	uint64_t value;

	switch (step->what % 8) {
	case 0:
	case 1:
		hv_msr_write(hv, vp, HV_MSR_FIRST + step->number % HV_MSR_COUNT, step->value);
		break;
	case 2:
		hv_msr_read(hv, vp, HV_MSR_FIRST + step->number % HV_MSR_COUNT, &value);
		break;
	case 3:
	case 4:
		hv_hypercall(hv, vp, &call);
		break;
	case 5:
		synic_post(hv, step->vp, step->small % 17, 1, step, sizeof(*step));
		break;
	case 6:
		synic_raise_event(hv, step->vp, step->small % 17, step->number);
		break;
	default:
		hv_reset(hv);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct hv_host host = {
		.inject = inject,
		.sint_changed = sint_changed,
		.siefp_changed = siefp_changed,
		.post_message = post_message,
		.signal_event = signal_event,
		.reset = reset,
		.crashed = crashed,
		.os_left = os_left,
		.tsc = tsc,
	};
	const struct hv_config config = {.cpus = CPUS, .tsc_hz = 2000000000, .apic_hz = 1000000000};
	static struct guest_mem mem;
	struct step step;
	struct hv *hv;

	if (!mem.regions) {
		int fd = fd_memfd("fuzz", MEM);

		guest_mem_init(&mem);
		assert(guest_mem_add(&mem, 0, MEM, fd, 0) == 0);
		close(fd);
	}
	memset(mem.region[0].host, 0, MEM);
	memcpy(mem.region[0].host + 0x4000, data, size < 0x4000 ? size : 0x4000);
	assert(hv_new(&config, &mem, &host, &hv) == 0);
	for (; size >= sizeof(step); data += sizeof(step), size -= sizeof(step)) {
		memcpy(&step, data, sizeof(step));
		run_step(hv, &step);
	}
	hv_free(hv);
	return 0;
}
