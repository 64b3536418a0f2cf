/* SPDX-License-Identifier: Apache-2.0 */
/* Our vsp-storaged. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/ring.h"
#include "abi/scsi.h"
#include "abi/vstor.h"
#include "base/bytes.h"
#include "bench.h"
#include "fake_storage.h"
#include "process.h"
#include "service.h"
#include "storage.h"
#include "vsp/stats_read.h"

#define GUEST_LEN (8u << 20)
#define BLOCK	  512u

struct ours {
	struct storage_target target;
	struct service service;
	uint64_t area_gpa;
	size_t luns;
	uint8_t lun; /* that is read */
	uint32_t asked[STORAGE_DEPTH_MAX];
};

static struct ours *to_ours(struct storage_target *target)
{
	return CONTAINER_OF(target, struct ours, target);
}

static int ours_put(struct storage_target *target, unsigned int slot, uint64_t offset, uint32_t len)
{
	struct vstor_packet packet = {.operation = VSTOR_OPERATION_EXECUTE_SRB, .flags = VSTOR_REQUEST_COMPLETION_FLAG};
	struct vmscsi_request *srb = &packet.vm_srb;
	struct ours *ours = to_ours(target);
	uint64_t page[STORAGE_AREA / GUEST_PAGE_SIZE];
	int r;

	for (uint32_t i = 0; i < len / GUEST_PAGE_SIZE; i++)
		page[i] = ours->area_gpa + (uint64_t)slot * len + (uint64_t)i * GUEST_PAGE_SIZE;
	srb->lun = ours->lun;
	srb->cdb_length = 10;
	srb->sense_info_length = 20;
	srb->data_in = VSTOR_DATA_IN;
	srb->data_transfer_length = len;
	srb->cdb[0] = SCSI_READ_10;
	put_be32(&srb->cdb[2], (uint32_t)(offset / BLOCK));
	put_be16(&srb->cdb[7], (uint16_t)(len / BLOCK));
	r = fake_put_pages(&ours->service.channel, slot, page, len / GUEST_PAGE_SIZE, 0, len, &packet, sizeof(packet));
	target->kicks = ours->service.channel.kicks;
	return r;
}

static int ours_get(struct storage_target *target)
{
	const struct vstor_packet *packet;
	struct fake_packet answer;
	int r = fake_get(&to_ours(target)->service.channel, &answer);

	if (r < 0)
		return r;
	packet = (const void *)answer.payload;
	if (answer.transaction_id >= STORAGE_DEPTH_MAX || packet->vm_srb.srb_status != SRB_STATUS_SUCCESS)
		return -EIO;
	return (int)answer.transaction_id;
}

static int ours_wait(struct storage_target *target)
{
	struct ours *ours = to_ours(target);

	if (target->mode == STORAGE_SPIN) {
		while (!fake_peek(&ours->service.channel))
			__builtin_ia32_pause();
		return 0;
	}
	if (service_wait(&ours->service) < 0)
		return -ETIMEDOUT;
	target->interrupts = ours->service.channel.interrupts;
	return 0;
}

static void ours_stop(struct storage_target *target)
{
	struct ours *ours = to_ours(target);

	service_done(&ours->service);
	free(ours);
}

static const struct storage_target_ops ours_ops = {ours_put, ours_get, ours_wait, ours_stop};

static int call(struct ours *ours, uint32_t operation, uint16_t version)
{
	struct vstor_packet packet = {.operation = operation, .flags = VSTOR_REQUEST_COMPLETION_FLAG};
	struct fake_packet answer;

	packet.version.major_minor = version;
	if (fake_put_inband(&ours->service.channel, 99, &packet, sizeof(packet)) < 0 ||
	    fake_worker_get(ours->service.worker, &ours->service.channel, &answer) < 0)
		return -EIO;
	memcpy(&packet, answer.payload, sizeof(packet));
	return packet.status == VSTOR_STATUS_SUCCESS ? 0 : -EPROTO;
}

static int pin(void *arg)
{
	const struct storage_ours *how = arg;

	storage_pin_service(how->mode);
	return 0;
}

static int start(const struct storage_ours *how, struct ours *ours)
{
	char spin[16];
	const char *argv[16] = {how->program, "--engine", "io_uring", "--name", "bench"};

	if (how->mode == STORAGE_SPIN) {
		snprintf(spin, sizeof(spin), "%u", STORAGE_SPIN_NS);
		argv[5] = "--poll-max-ns";
		argv[6] = spin;
	}
	return service_start(&ours->service, argv, pin, (void *)how);
}

/* Each disk says first that it was powered on. */
static int hear_power_on(struct ours *ours, uint8_t lun)
{
	struct vstor_packet packet = {.operation = VSTOR_OPERATION_EXECUTE_SRB,
				      .flags = VSTOR_REQUEST_COMPLETION_FLAG,
				      .vm_srb.lun = lun,
				      .vm_srb.cdb_length = 6,
				      .vm_srb.sense_info_length = 20};
	struct fake_packet answer;

	if (fake_put_inband(&ours->service.channel, 99, &packet, sizeof(packet)) < 0)
		return -EIO;
	return fake_worker_get(ours->service.worker, &ours->service.channel, &answer);
}

static int shake_hands(struct ours *ours)
{
	if (call(ours, VSTOR_OPERATION_BEGIN_INITIALIZATION, 0) < 0 ||
	    call(ours, VSTOR_OPERATION_QUERY_PROTOCOL_VERSION, VSTOR_VERSION_WIN10) < 0 ||
	    call(ours, VSTOR_OPERATION_QUERY_PROPERTIES, 0) < 0 ||
	    call(ours, VSTOR_OPERATION_END_INITIALIZATION, 0) < 0)
		return -EIO;
	for (size_t i = 0; i < ours->luns; i++)
		if (hear_power_on(ours, (uint8_t)i) < 0)
			return -EIO;
	fake_mask(&ours->service.channel);
	ours->target.clock = ours->service.clock;
	return 0;
}

int storage_ours_start(const struct storage_ours *how, struct storage_target **ret)
{
	struct ours *ours = calloc(1, sizeof(*ours));
	int r;

	if (!ours)
		return -ENOMEM;
	r = service_init(&ours->service, GUEST_LEN, how->number);
	if (r < 0) {
		free(ours);
		return r;
	}
	ours->target.ops = &ours_ops;
	ours->target.mode = how->mode;
	ours->luns = how->luns;
	ours->area_gpa = fake_guest_alloc(&ours->service.guest, STORAGE_AREA / GUEST_PAGE_SIZE);
	ours->target.area = fake_guest_ptr(&ours->service.guest, ours->area_gpa);
	ours->service.worker = fake_storage_new_luns(ours->service.loop, &ours->service.guest, how->number, how->images,
						     how->luns, "bench");
	r = start(how, ours);
	if (r == 0)
		r = shake_hands(ours);
	if (r < 0)
		ours_stop(&ours->target);
	else
		*ret = &ours->target;
	return r;
}

/* ---- memory ---- */

static bool read_each_lun(struct ours *ours)
{
	bool ok = true;

	for (size_t i = 0; i < ours->luns && ok; i++) {
		ours->lun = (uint8_t)i;
		ok = ours_put(&ours->target, 0, 0, STORAGE_PIECE) == 0 && ours_wait(&ours->target) == 0 &&
		     ours_get(&ours->target) == 0;
	}
	ours->lun = 0;
	return ok;
}

double storage_ours_private(struct storage_target *target)
{
	struct ours *ours = to_ours(target);

	return read_each_lun(ours) ? bench_private_kib(ours->service.pid) : -1;
}

/* ---- what it says of itself ---- */

uint64_t storage_ours_observed(struct storage_target *target)
{
	struct stats_copy copy;
	uint64_t ns = 0;

	if (stats_read(fake_worker_kept(to_ours(target)->service.worker, STATS_KEY), &copy) < 0)
		return 0;
	for (size_t i = 0; i < copy.units; i++)
		for (unsigned int part = 0; part < STATS_PARTS; part++)
			ns += copy.unit[i].class[STATS_DISK_READ].ns[part];
	stats_copy_done(&copy);
	return ns;
}
