/* SPDX-License-Identifier: Apache-2.0 */
/* proto/storage.proto: what vsp-storaged is told, and tells. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uuid.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "proto/storage.pb-c.h"
#include "reservations.h"
#include "rpc_int.h"

#define STORAGE_VERSION 1u
#define IMAGE_TEXT_MAX	200u /* bytes */

/* A disk's message with what hangs on it. */
struct lun_message {
	Bulkhead__Storage__Lun lun;
	Bulkhead__Storage__Faults faults;
	Bulkhead__Storage__FaultRule rule[DOMAIN_FAULT_RULES_MAX], *rules[DOMAIN_FAULT_RULES_MAX];
};

/* What the reservations of shared disks need to know of the VM. */
struct initiator {
	uint8_t vm[16], power[RESERVATIONS_POWER_LEN];
};

static struct initiator initiator_of(const struct domain *domain)
{
	struct initiator initiator;

	uuid_parse(domain->uuid, initiator.vm);
	reservations_power(initiator.power);
	return initiator;
}

static void fill_faults(struct lun_message *msg, const struct domain_faults *faults)
{
	bulkhead__storage__faults__init(&msg->faults);
	for (size_t i = 0; i < faults->rules; i++) {
		const struct domain_fault_rule *from = &faults->rule[i];
		Bulkhead__Storage__FaultRule *rule = &msg->rule[i];

		bulkhead__storage__fault_rule__init(rule);
		rule->effect = (Bulkhead__Storage__FaultEffect)from->effect;
		rule->ops = from->ops;
		rule->from = from->from;
		rule->to = from->to;
		rule->ppm = from->ppm;
		rule->times = from->times;
		rule->error = from->error;
		rule->delay_us = from->delay_us;
		rule->spread_us = from->spread_us;
		msg->rules[i] = rule;
	}
	msg->faults.n_rules = faults->rules;
	msg->faults.rules = msg->rules;
	msg->faults.cache = faults->cache;
	msg->faults.flush_ignored = faults->flush_ignored;
	msg->faults.power_off = faults->power_off;
	msg->faults.seed = faults->seed;
	msg->lun.faults = &msg->faults;
}

/* @initiator: may be used as long as @msg; NULL: what it may be does not matter. */
static void fill_lun(struct lun_message *msg, const struct domain_disk *disk, size_t fd_index,
		     struct initiator *initiator)
{
	Bulkhead__Storage__Lun *lun = &msg->lun;

	static const Bulkhead__Storage__DetectZeroes zeroes[] = {
		[DOMAIN_ZEROES_OFF] = BULKHEAD__STORAGE__DETECT_ZEROES__DETECT_ZEROES_OFF,
		[DOMAIN_ZEROES_ON] = BULKHEAD__STORAGE__DETECT_ZEROES__DETECT_ZEROES_ON,
		[DOMAIN_ZEROES_UNMAP] = BULKHEAD__STORAGE__DETECT_ZEROES__DETECT_ZEROES_UNMAP,
	};
	const char *image = disk->image ? disk->image : "";
	size_t len = strlen(image);

	bulkhead__storage__lun__init(lun);
	lun->lun = disk->lun;
	lun->alias = (char *)disk->target;
	lun->fd_index = (uint32_t)fd_index;
	if (initiator && domain_reserves(disk)) {
		lun->reservations_fd_index = (uint32_t)fd_index + 1;
		lun->vm_uuid = (ProtobufCBinaryData){sizeof(initiator->vm), initiator->vm};
		lun->power = (ProtobufCBinaryData){sizeof(initiator->power), initiator->power};
	}
	lun->readonly = disk->readonly;
	lun->unsafe_flush = disk->unsafe_flush;
	lun->discard = disk->discard;
	lun->detect_zeroes = zeroes[disk->zeroes];
	lun->logical_block_bytes = disk->block_bytes;
	lun->physical_block_bytes = disk->physical_block_bytes;
	lun->serial = (char *)disk->serial;
	if (disk->faults.text[0])
		fill_faults(msg, &disk->faults);
	if (domain_limited(&disk->iotune) || disk->iotune.group[0]) {
		lun->n_limits = DOMAIN_LIMITS * DOMAIN_LIMIT_PARTS;
		lun->limits = (uint64_t *)disk->iotune.limit;
		lun->limit_io_bytes = disk->iotune.io_bytes;
		lun->limit_group = (char *)disk->iotune.group;
	}
	/* For messages: of a long path its end, so that all fit into one frame. */
	lun->image = (char *)image + (len > IMAGE_TEXT_MAX ? len - IMAGE_TEXT_MAX : 0);
	lun->device = disk->cdrom ? BULKHEAD__STORAGE__DEVICE__DEVICE_DVD : BULKHEAD__STORAGE__DEVICE__DEVICE_DISK;
	lun->empty = !disk->image;
	lun->medium = disk->cdrom ? disk->medium : 0;
}

size_t rpc_storage_place(const struct domain *domain, size_t index)
{
	size_t place = index;

	for (size_t i = 0; i < index; i++)
		place += domain_reserves(&domain->disks[i]);
	return place;
}

/* A controller and its disks. @luns: room for all disks; *@used of it is. */
static void fill_controller(Bulkhead__Storage__Controller *controller, const struct domain *domain, unsigned int index,
			    uint8_t guid[16], struct initiator *initiator, struct lun_message *all,
			    Bulkhead__Storage__Lun **list, size_t *used)
{
	char name[16];

	snprintf(name, sizeof(name), "scsi%u", index);
	domain_guid(domain, name, guid);
	bulkhead__storage__controller__init(controller);
	controller->instance_guid = (ProtobufCBinaryData){16, guid};
	controller->luns = &list[*used];
	for (size_t i = 0; i < domain->disk_count; i++) {
		if (domain->disks[i].controller != index)
			continue;
		fill_lun(&all[*used], &domain->disks[i], rpc_storage_place(domain, i), initiator);
		list[*used] = &all[*used].lun;
		(*used)++;
		controller->n_luns++;
	}
}

int rpc_storage_config(const struct domain *domain, unsigned int count, uint8_t **ret, size_t *ret_len)
{
	Bulkhead__Storage__Config config = BULKHEAD__STORAGE__CONFIG__INIT;
	Bulkhead__Storage__Controller controller[DOMAIN_CONTROLLERS_MAX], *controllers[DOMAIN_CONTROLLERS_MAX];
	_cleanup_free_ struct lun_message *luns = calloc(DOMAIN_DISKS_MAX, sizeof(*luns));
	Bulkhead__Storage__Lun *list[DOMAIN_DISKS_MAX];
	uint8_t guid[DOMAIN_CONTROLLERS_MAX][16];
	struct initiator initiator = initiator_of(domain);
	size_t used = 0;

	if (!luns)
		return -ENOMEM;
	count = MIN(MAX(count, domain_controllers(domain)), DOMAIN_CONTROLLERS_MAX);
	for (unsigned int i = 0; i < count; i++) {
		fill_controller(&controller[i], domain, i, guid[i], &initiator, luns, list, &used);
		controllers[i] = &controller[i];
	}
	config.version = STORAGE_VERSION;
	config.poll_max_ns = domain->poll_max_ns;
	config.n_controllers = count;
	config.controllers = controllers;
	*ret_len = bulkhead__storage__config__get_packed_size(&config);
	*ret = malloc(*ret_len);
	if (!*ret)
		return -ENOMEM;
	bulkhead__storage__config__pack(&config, *ret);
	return 0;
}

/* ---- changes ---- */

int rpc_storage_change(const struct worker_disk_change *change, uint8_t **ret, size_t *ret_len)
{
	const struct domain_disk *disk = &change->domain->disks[change->index];
	Bulkhead__Storage__Change msg = BULKHEAD__STORAGE__CHANGE__INIT;
	struct lun_message lun;
	Bulkhead__Storage__Detach detach = BULKHEAD__STORAGE__DETACH__INIT;
	Bulkhead__Storage__Medium medium = BULKHEAD__STORAGE__MEDIUM__INIT;
	Bulkhead__Storage__Resize resize = BULKHEAD__STORAGE__RESIZE__INIT;
	struct initiator initiator = initiator_of(change->domain);
	char controller[16];
	uint8_t guid[16];

	snprintf(controller, sizeof(controller), "scsi%u", disk->controller);
	domain_guid(change->domain, controller, guid);
	msg.version = STORAGE_VERSION;
	msg.instance_guid = (ProtobufCBinaryData){sizeof(guid), guid};
	switch (change->kind) {
	case WORKER_DISK_ATTACH:
		fill_lun(&lun, disk, 0, &initiator);
		msg.attach = &lun.lun;
		break;
	case WORKER_DISK_SET:
		fill_lun(&lun, disk, 0, NULL);
		msg.set = &lun.lun;
		break;
	case WORKER_DISK_DETACH:
		detach.lun = disk->lun;
		detach.timeout_ms = change->timeout_ms;
		msg.detach = &detach;
		break;
	case WORKER_DISK_MEDIUM:
		fill_lun(&lun, &change->then->disks[change->index], 0, NULL);
		medium.lun = &lun.lun;
		medium.force = change->force;
		msg.medium = &medium;
		break;
	case WORKER_DISK_RESIZE:
		resize.lun = disk->lun;
		resize.bytes = change->bytes;
		resize.shrink = change->shrink;
		msg.resize = &resize;
		break;
	}
	*ret_len = bulkhead__storage__change__get_packed_size(&msg);
	*ret = malloc(*ret_len);
	if (!*ret)
		return -ENOMEM;
	bulkhead__storage__change__pack(&msg, *ret);
	return 0;
}

/* ---- status ---- */

static void read_drives(const Bulkhead__Storage__Status *msg, struct worker_service *ret)
{
	ret->drive_count = MIN(msg->n_drives, ARRAY_SIZE(ret->drives));
	for (size_t i = 0; i < ret->drive_count; i++) {
		const Bulkhead__Storage__Drive *from = msg->drives[i];
		struct worker_drive *drive = &ret->drives[i];

		rpc_copy_text(drive->target, sizeof(drive->target), from->alias);
		drive->open = from->open;
		drive->locked = from->locked;
	}
}

static void read_disk_errors(const Bulkhead__Storage__Status *msg, struct worker_service *ret)
{
	static const char *const kinds[] = {
		[BULKHEAD__STORAGE__ERROR_KIND__ERROR_KIND_UNKNOWN] = "error",
		[BULKHEAD__STORAGE__ERROR_KIND__ERROR_KIND_NO_SPACE] = "no-space",
		[BULKHEAD__STORAGE__ERROR_KIND__ERROR_KIND_READ_ONLY] = "read-only",
		[BULKHEAD__STORAGE__ERROR_KIND__ERROR_KIND_IO] = "error",
		[BULKHEAD__STORAGE__ERROR_KIND__ERROR_KIND_SHRUNK] = "shrunk",
		[BULKHEAD__STORAGE__ERROR_KIND__ERROR_KIND_GONE] = "gone",
	};

	ret->error_count = MIN(msg->n_errors, ARRAY_SIZE(ret->errors));
	for (size_t i = 0; i < ret->error_count; i++) {
		const Bulkhead__Storage__DiskError *from = msg->errors[i];
		struct worker_disk_error *error = &ret->errors[i];

		rpc_copy_text(error->target, sizeof(error->target), from->alias);
		error->kind = (unsigned int)from->kind < ARRAY_SIZE(kinds) ? kinds[from->kind] : "error";
	}
}

void rpc_storage_status(const uint8_t *data, size_t len, struct worker_service *ret)
{
	Bulkhead__Storage__Status *msg = bulkhead__storage__status__unpack(NULL, len, data);

	if (msg && msg->version == STORAGE_VERSION) {
		read_drives(msg, ret);
		read_disk_errors(msg, ret);
	}
	if (msg)
		bulkhead__storage__status__free_unpacked(msg, NULL);
}
