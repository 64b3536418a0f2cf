/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/mmc.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "proto/storage.pb-c.h"

static void cleanup_message(Bulkhead__Storage__Config **msg)
{
	if (*msg)
		bulkhead__storage__config__free_unpacked(*msg, NULL);
}

static bool printable(const char *s, size_t max)
{
	size_t len = strlen(s);

	for (size_t i = 0; i < len; i++)
		if (s[i] < 0x20 || s[i] > 0x7e)
			return false;
	return len <= max;
}

static void take_image_name(struct lun_settings *lun, const char *image)
{
	size_t len = MIN(strlen(image), (size_t)SETTINGS_IMAGE_MAX);

	memcpy(lun->image, image, len);
	lun->image[len] = '\0';
	text_clean(lun->image);
	if (!lun->image[0])
		strcpy(lun->image, "(no name)");
}

static bool physical_ok(const Bulkhead__Storage__Lun *msg)
{
	uint32_t bytes = msg->physical_block_bytes;

	return bytes == 0 ||
	       (bytes >= msg->logical_block_bytes && bytes <= SETTINGS_PHYSICAL_MAX && (bytes & (bytes - 1)) == 0);
}

static int check_limit(const uint64_t part[3], const char *alias, struct err *err)
{
	if (part[0] > THROTTLE_RATE_MAX || part[1] > THROTTLE_RATE_MAX || part[2] > THROTTLE_BURST_SECONDS_MAX)
		return err_set(err, -EINVAL, "disk %s: a limit is out of range", alias);
	if ((part[1] && (!part[0] || part[1] <= part[0])) || (part[2] && !part[1]))
		return err_set(err, -EINVAL, "disk %s: a burst is not more than its limit", alias);
	return 0;
}

static int check_limits(const Bulkhead__Storage__Lun *msg, struct err *err)
{
	int r = 0;

	if (msg->n_limits != 0 && msg->n_limits != 3 * (size_t)THROTTLE_KINDS)
		return err_set(err, -EINVAL, "disk %s: %zu numbers of limits: none or %u", msg->alias, msg->n_limits,
			       3 * THROTTLE_KINDS);
	if (!printable(msg->limit_group, THROTTLE_GROUP_MAX))
		return err_set(err, -EINVAL, "disk %s: the group of its limits is not up to %u printable characters",
			       msg->alias, THROTTLE_GROUP_MAX);
	for (size_t i = 0; r == 0 && i < msg->n_limits / 3; i++)
		r = check_limit(&msg->limits[3 * i], msg->alias, err);
	return r;
}

static int check_rule(const Bulkhead__Storage__FaultRule *rule, const char *alias, struct err *err)
{
	bool delay = rule->effect == BULKHEAD__STORAGE__FAULT_EFFECT__FAULT_EFFECT_DELAY;

	if ((unsigned int)rule->effect >= FAULT_EFFECTS || !rule->ops || rule->ops >> (DISK_ZERO + 1) || !rule->ppm ||
	    rule->ppm > FAULT_PPM || (rule->to && rule->to <= rule->from))
		return err_set(err, -EINVAL, "disk %s: a rule of its faults is not one", alias);
	if (delay ? rule->error || rule->delay_us > FAULT_DELAY_MAX_US || rule->spread_us > FAULT_DELAY_MAX_US
		  : rule->error < 1 || rule->error > 4095 || rule->delay_us || rule->spread_us)
		return err_set(err, -EINVAL, "disk %s: a rule of its faults is out of range", alias);
	return 0;
}

static int check_faults(const Bulkhead__Storage__Faults *faults, const char *alias, struct err *err)
{
	int r = 0;

	if (faults && faults->n_rules > FAULT_RULES_MAX)
		return err_set(err, -EINVAL, "disk %s: %zu rules of faults: at most %u", alias, faults->n_rules,
			       FAULT_RULES_MAX);
	for (size_t i = 0; r == 0 && faults && i < faults->n_rules; i++)
		r = check_rule(faults->rules[i], alias, err);
	return r;
}

static int check_blocks(const Bulkhead__Storage__Lun *msg, struct err *err)
{
	bool dvd = msg->device == BULKHEAD__STORAGE__DEVICE__DEVICE_DVD;

	if ((unsigned int)msg->device > BULKHEAD__STORAGE__DEVICE__DEVICE_DVD)
		return err_set(err, -EINVAL, "disk %s: what kind of device it is to be is not known", msg->alias);
	if (dvd ? msg->logical_block_bytes != MMC_BLOCK_BYTES || !msg->readonly : msg->empty || msg->medium)
		return err_set(err, -EINVAL, "disk %s: its settings are not those of a %s", msg->alias,
			       dvd ? "DVD drive: read-only, blocks of 2048 bytes" : "disk: it has no media");
	if (!dvd && msg->logical_block_bytes != 512 && msg->logical_block_bytes != 4096)
		return err_set(err, -EINVAL, "disk %s: logical blocks of %u bytes: use 512 or 4096", msg->alias,
			       msg->logical_block_bytes);
	if (!physical_ok(msg))
		return err_set(err, -EINVAL,
			       "disk %s: physical blocks of %u bytes: use a power of two from the logical ones' to %u",
			       msg->alias, msg->physical_block_bytes, SETTINGS_PHYSICAL_MAX);
	return 0;
}

static int check_reservations(const Bulkhead__Storage__Lun *msg, size_t fds, struct err *err)
{
	if (!msg->reservations_fd_index)
		return 0;
	if (msg->reservations_fd_index >= fds || msg->reservations_fd_index == msg->fd_index)
		return err_set(err, -EINVAL, "disk %s: descriptor %u of %zu for its reservations", msg->alias,
			       msg->reservations_fd_index, fds);
	if (msg->vm_uuid.len != RESERVATION_ID_LEN || msg->power.len != RESERVATION_ID_LEN)
		return err_set(err, -EINVAL, "disk %s: who shares it is not said in %u bytes", msg->alias,
			       RESERVATION_ID_LEN);
	if (msg->unsafe_flush)
		return err_set(err, -EINVAL, "disk %s: others share it: its flushes must be done", msg->alias);
	return 0;
}

static int check_lun(const Bulkhead__Storage__Lun *msg, size_t fds, struct err *err)
{
	int r;

	if (!msg->alias[0] || !printable(msg->alias, SETTINGS_ALIAS_MAX))
		return err_set(err, -EINVAL,
			       "storage configuration: the alias of a disk is not 1 to %u printable characters",
			       SETTINGS_ALIAS_MAX);
	if (msg->target > SETTINGS_TARGET_MAX || msg->lun >= SETTINGS_LUNS_MAX)
		return err_set(err, -EINVAL, "disk %s: target %u, LUN %u: targets go to %u, LUNs to %u", msg->alias,
			       msg->target, msg->lun, SETTINGS_TARGET_MAX, SETTINGS_LUNS_MAX - 1);
	if (msg->fd_index >= fds)
		return err_set(err, -EINVAL, "disk %s: descriptor %u of %zu", msg->alias, msg->fd_index, fds);
	if (check_blocks(msg, err) < 0)
		return err->code;
	if (!printable(msg->serial, SETTINGS_SERIAL_MAX))
		return err_set(err, -EINVAL, "disk %s: the serial number is not up to %u printable characters",
			       msg->alias, SETTINGS_SERIAL_MAX);
	if ((unsigned int)msg->detect_zeroes > DISK_ZEROES_UNMAP)
		return err_set(err, -EINVAL, "disk %s: what is to be done with zeroes is not known", msg->alias);
	r = check_reservations(msg, fds, err);
	if (r == 0)
		r = check_limits(msg, err);
	return r < 0 ? r : check_faults(msg->faults, msg->alias, err);
}

static void take_limits(struct lun_settings *lun, const Bulkhead__Storage__Lun *msg)
{
	memset(&lun->throttle, 0, sizeof(lun->throttle));
	for (size_t i = 0; i < msg->n_limits / 3; i++)
		lun->throttle.limit[i] = (struct throttle_limit){.rate = msg->limits[3 * i],
								 .burst = msg->limits[3 * i + 1],
								 .burst_seconds = (uint32_t)msg->limits[3 * i + 2]};
	lun->throttle.io_bytes = msg->limit_io_bytes;
	strcpy(lun->throttle_group, msg->limit_group);
}

static void take_faults(struct fault_settings *ret, const Bulkhead__Storage__Faults *msg)
{
	static const enum fault_effect effects[] = {
		[BULKHEAD__STORAGE__FAULT_EFFECT__FAULT_EFFECT_ERROR] = FAULT_ERROR,
		[BULKHEAD__STORAGE__FAULT_EFFECT__FAULT_EFFECT_TORN] = FAULT_TORN,
		[BULKHEAD__STORAGE__FAULT_EFFECT__FAULT_EFFECT_DELAY] = FAULT_DELAY,
	};

	memset(ret, 0, sizeof(*ret));
	if (!msg)
		return;
	for (size_t i = 0; i < msg->n_rules; i++) {
		const Bulkhead__Storage__FaultRule *rule = msg->rules[i];

		ret->rule[ret->rules++] = (struct fault_rule){
			.effect = effects[rule->effect],
			.ops = rule->ops,
			.from = rule->from,
			.to = rule->to,
			.ppm = rule->ppm,
			.times = rule->times,
			.error = -(int)rule->error,
			.delay_us = rule->delay_us,
			.spread_us = rule->spread_us,
		};
	}
	ret->has_cache = msg->cache;
	ret->flush_ignored = msg->flush_ignored;
	ret->power_off = msg->power_off;
	ret->seed = msg->seed;
}

static void take_lun(struct lun_settings *lun, const Bulkhead__Storage__Lun *msg)
{
	take_limits(lun, msg);
	take_faults(&lun->fault, msg->faults);
	lun->target = (uint8_t)msg->target;
	lun->lun = (uint8_t)msg->lun;
	strcpy(lun->alias, msg->alias);
	strcpy(lun->serial, msg->serial);
	take_image_name(lun, msg->image);
	lun->fd_index = msg->fd_index;
	lun->dvd = msg->device == BULKHEAD__STORAGE__DEVICE__DEVICE_DVD;
	lun->empty = msg->empty;
	lun->medium = msg->medium;
	lun->reservations = msg->reservations_fd_index;
	if (lun->reservations) {
		memcpy(lun->vm, msg->vm_uuid.data, sizeof(lun->vm));
		memcpy(lun->power, msg->power.data, sizeof(lun->power));
	}
	lun->readonly = msg->readonly;
	lun->unsafe_flush = msg->unsafe_flush;
	lun->discard = msg->discard;
	lun->zeroes = (enum disk_zeroes)msg->detect_zeroes;
	lun->block_bytes = msg->logical_block_bytes;
	lun->physical_block_bytes = msg->physical_block_bytes;
}

/* @controller already holds the LUNs that were accepted before. */
static int parse_lun(struct controller_settings *controller, const Bulkhead__Storage__Lun *msg, size_t fds,
		     struct err *err)
{
	int r = check_lun(msg, fds, err);

	for (size_t i = 0; r == 0 && i < controller->luns; i++)
		if (controller->lun[i].target == msg->target && controller->lun[i].lun == msg->lun)
			r = err_set(err, -EINVAL, "disk %s: target %u, LUN %u is disk %s already", msg->alias,
				    msg->target, msg->lun, controller->lun[i].alias);
	if (r == 0)
		take_lun(&controller->lun[controller->luns++], msg);
	return r;
}

static int parse_controller(struct settings *settings, const Bulkhead__Storage__Controller *msg, size_t fds,
			    struct err *err)
{
	struct controller_settings *controller = &settings->controller[settings->controllers];

	if (msg->instance_guid.len != sizeof(controller->instance.b))
		return err_set(err, -EINVAL, "storage configuration: a controller's GUID has %zu bytes, not %zu",
			       msg->instance_guid.len, sizeof(controller->instance.b));
	memcpy(controller->instance.b, msg->instance_guid.data, sizeof(controller->instance.b));
	for (size_t i = 0; i < settings->controllers; i++)
		if (!memcmp(&settings->controller[i].instance, &controller->instance, sizeof(controller->instance)))
			return err_set(err, -EINVAL, "storage configuration: two controllers have the same GUID");
	if (msg->n_luns > SETTINGS_LUNS_MAX)
		return err_set(err, -EINVAL, "storage configuration: %zu disks on a controller: at most %u",
			       msg->n_luns, SETTINGS_LUNS_MAX);
	for (size_t i = 0; i < msg->n_luns; i++) {
		int r = parse_lun(controller, msg->luns[i], fds, err);

		if (r < 0)
			return r;
	}
	settings->controllers++;
	return 0;
}

/* Two LUNs on one descriptor would be two caches of one disk in the guest. */
static int take_descriptor(const char *owner[ENGINE_FILES_MAX], unsigned int index, const char *alias, struct err *err)
{
	if (index >= ENGINE_FILES_MAX)
		return err_set(err, -EINVAL, "disk %s: descriptor %u: at most %u", alias, index, ENGINE_FILES_MAX);
	if (owner[index])
		return err_set(err, -EINVAL, "disk %s: its descriptor is disk %s's already", alias, owner[index]);
	owner[index] = alias;
	return 0;
}

static int check_descriptors(const struct settings *settings, struct err *err)
{
	const char *owner[ENGINE_FILES_MAX] = {NULL};
	int r = 0;

	for (size_t c = 0; c < settings->controllers; c++) {
		for (size_t l = 0; r == 0 && l < settings->controller[c].luns; l++) {
			const struct lun_settings *lun = &settings->controller[c].lun[l];

			r = take_descriptor(owner, lun->fd_index, lun->alias, err);
			if (r == 0 && lun->reservations)
				r = take_descriptor(owner, lun->reservations, lun->alias, err);
		}
	}
	return r;
}

int settings_parse(const void *bytes, size_t len, size_t fds, struct settings **ret_settings, struct err *err)
{
	_cleanup_(cleanup_message) Bulkhead__Storage__Config *msg = NULL;
	_cleanup_free_ struct settings *settings = NULL;
	int r;

	msg = bulkhead__storage__config__unpack(NULL, len, bytes);
	if (!msg)
		return err_set(err, -EPROTO, "storage configuration: %zu bytes that are not one", len);
	if (msg->version != SETTINGS_VERSION)
		return err_set(
			err, -EPROTONOSUPPORT,
			"storage configuration: version %u, this vsp-storaged knows %u: install matching versions "
			"of vmmgmtd and vsp-storaged",
			msg->version, SETTINGS_VERSION);
	if (msg->n_controllers > SETTINGS_CONTROLLERS_MAX)
		return err_set(err, -EINVAL, "storage configuration: %zu controllers: at most %u", msg->n_controllers,
			       SETTINGS_CONTROLLERS_MAX);
	settings = calloc(1, sizeof(*settings));
	if (!settings)
		return err_set(err, -ENOMEM, "storage configuration: out of memory");
	if (msg->poll_max_ns > SETTINGS_POLL_MAX_NS)
		return err_set(err, -EINVAL, "storage configuration: polling for %u ns: at most %u", msg->poll_max_ns,
			       SETTINGS_POLL_MAX_NS);
	settings->poll_max_ns = msg->poll_max_ns;
	for (size_t i = 0; i < msg->n_controllers; i++) {
		r = parse_controller(settings, msg->controllers[i], fds, err);
		if (r < 0)
			return r;
	}
	r = check_descriptors(settings, err);
	if (r < 0)
		return r;
	*ret_settings = take_ptr(settings);
	return 0;
}

/* ---- changes ---- */

static void cleanup_change(Bulkhead__Storage__Change **msg)
{
	if (*msg)
		bulkhead__storage__change__free_unpacked(*msg, NULL);
}

static int take_address(struct lun_settings *lun, uint32_t target, uint32_t number, struct err *err)
{
	if (target > SETTINGS_TARGET_MAX || number >= SETTINGS_LUNS_MAX)
		return err_set(err, -EINVAL, "storage change: target %u, LUN %u: targets go to %u, LUNs to %u", target,
			       number, SETTINGS_TARGET_MAX, SETTINGS_LUNS_MAX - 1);
	lun->target = (uint8_t)target;
	lun->lun = (uint8_t)number;
	return 0;
}

static int take_medium(const Bulkhead__Storage__Medium *msg, size_t fds, struct change_settings *ret, struct err *err)
{
	int r = msg->lun ? check_lun(msg->lun, fds, err)
			 : err_set(err, -EINVAL, "storage change: a medium for no drive");

	if (r < 0)
		return r;
	ret->kind = CHANGE_MEDIUM;
	ret->force = msg->force;
	take_lun(&ret->lun, msg->lun);
	return 0;
}

static int take_change(const Bulkhead__Storage__Change *msg, size_t fds, struct change_settings *ret, struct err *err)
{
	int r;

	if ((msg->attach != NULL) + (msg->detach != NULL) + (msg->resize != NULL) + (msg->set != NULL) +
		    (msg->medium != NULL) !=
	    1)
		return err_set(err, -EINVAL, "storage change: none that this vsp-storaged knows, or several");
	if (fds != (msg->attach ? 1u + (msg->attach->reservations_fd_index > 0) : msg->medium ? 1u : 0u))
		return err_set(err, -EINVAL, "storage change: %zu descriptors came with it", fds);
	if (msg->attach) {
		ret->kind = CHANGE_ATTACH;
		r = check_lun(msg->attach, fds, err);
		if (r == 0)
			take_lun(&ret->lun, msg->attach);
		return r;
	}
	if (msg->detach) {
		ret->kind = CHANGE_DETACH;
		ret->timeout_ms = msg->detach->timeout_ms;
		return take_address(&ret->lun, msg->detach->target, msg->detach->lun, err);
	}
	if (msg->set) {
		ret->kind = CHANGE_SET;
		r = check_lun(msg->set, 1, err); /* its descriptor is that of the disk that is there */
		if (r == 0)
			take_lun(&ret->lun, msg->set);
		return r;
	}
	if (msg->medium)
		return take_medium(msg->medium, fds, ret, err);
	ret->kind = CHANGE_RESIZE;
	ret->bytes = msg->resize->bytes;
	ret->shrink = msg->resize->shrink;
	return take_address(&ret->lun, msg->resize->target, msg->resize->lun, err);
}

int settings_parse_change(const void *bytes, size_t len, size_t fds, struct change_settings *ret, struct err *err)
{
	_cleanup_(cleanup_change) Bulkhead__Storage__Change *msg = bulkhead__storage__change__unpack(NULL, len, bytes);
	struct change_settings change = {0};
	int r;

	if (!msg)
		return err_set(err, -EPROTO, "storage change: %zu bytes that are not one", len);
	if (msg->version != SETTINGS_VERSION)
		return err_set(err, -EPROTONOSUPPORT,
			       "storage change: version %u, this vsp-storaged knows %u: install matching versions of "
			       "vmmgmtd and vsp-storaged",
			       msg->version, SETTINGS_VERSION);
	if (msg->instance_guid.len != sizeof(change.instance.b))
		return err_set(err, -EINVAL, "storage change: a controller's GUID has %zu bytes, not %zu",
			       msg->instance_guid.len, sizeof(change.instance.b));
	memcpy(change.instance.b, msg->instance_guid.data, sizeof(change.instance.b));
	r = take_change(msg, fds, &change, err);
	if (r == 0)
		*ret = change;
	return r;
}

/* ---- what the manager hears ---- */

static void put_drive(Bulkhead__Storage__Drive *msg, const struct lun_status *lun)
{
	bulkhead__storage__drive__init(msg);
	msg->alias = (char *)lun->alias;
	msg->open = lun->open;
	msg->locked = lun->locked;
}

static void put_error(Bulkhead__Storage__DiskError *msg, const struct lun_status *lun)
{
	static const Bulkhead__Storage__ErrorKind kinds[] = {
		[SCSI_ERROR_NO_SPACE] = BULKHEAD__STORAGE__ERROR_KIND__ERROR_KIND_NO_SPACE,
		[SCSI_ERROR_READ_ONLY] = BULKHEAD__STORAGE__ERROR_KIND__ERROR_KIND_READ_ONLY,
		[SCSI_ERROR_IO] = BULKHEAD__STORAGE__ERROR_KIND__ERROR_KIND_IO,
		[SCSI_ERROR_SHRUNK] = BULKHEAD__STORAGE__ERROR_KIND__ERROR_KIND_SHRUNK,
		[SCSI_ERROR_GONE] = BULKHEAD__STORAGE__ERROR_KIND__ERROR_KIND_GONE,
	};

	bulkhead__storage__disk_error__init(msg);
	msg->alias = (char *)lun->alias;
	msg->kind = kinds[lun->error];
}

size_t settings_pack_status(const struct lun_status *luns, size_t count, uint8_t *bytes, size_t size)
{
	Bulkhead__Storage__Status msg = BULKHEAD__STORAGE__STATUS__INIT;
	Bulkhead__Storage__Drive drives[SETTINGS_TOLD_MAX], *drive_at[SETTINGS_TOLD_MAX];
	Bulkhead__Storage__DiskError errors[SETTINGS_TOLD_MAX], *error_at[SETTINGS_TOLD_MAX];

	msg.version = SETTINGS_VERSION;
	msg.drives = drive_at;
	msg.errors = error_at;
	for (size_t i = 0; i < MIN(count, (size_t)SETTINGS_TOLD_MAX); i++) {
		if (luns[i].drive) {
			drive_at[msg.n_drives] = &drives[msg.n_drives];
			put_drive(&drives[msg.n_drives++], &luns[i]);
		}
		if (luns[i].error != SCSI_ERROR_NONE) {
			error_at[msg.n_errors] = &errors[msg.n_errors];
			put_error(&errors[msg.n_errors++], &luns[i]);
		}
	}
	return bulkhead__storage__status__get_packed_size(&msg) <= size ? bulkhead__storage__status__pack(&msg, bytes)
									: 0;
}
