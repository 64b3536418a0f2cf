/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemons/vsp-storaged/settings.h"
#include "proto/storage.pb-c.h"

#define TEXT(s) ((char *)(s)) /* generated structs have no const */

static uint8_t guid[2][16] = {{1}, {2}};
static Bulkhead__Storage__Lun lun[3];
static Bulkhead__Storage__Lun *lun_list[3] = {&lun[0], &lun[1], &lun[2]};
static Bulkhead__Storage__Controller controller[2];
static Bulkhead__Storage__Controller *controller_list[2] = {&controller[0], &controller[1]};
static Bulkhead__Storage__Config config;
static const char *const aliases[] = {"sda", "sdb", "sdc"};

static struct settings *settings;
static struct err err;

/* Two disks on the first controller, one on the second. */
static void setup(void)
{
	bulkhead__storage__config__init(&config);
	config.version = 1;
	config.n_controllers = 2;
	config.controllers = controller_list;
	for (int i = 0; i < 3; i++) {
		bulkhead__storage__lun__init(&lun[i]);
		lun[i].lun = (uint32_t)i;
		lun[i].alias = TEXT(aliases[i]);
		lun[i].fd_index = (uint32_t)i;
		lun[i].logical_block_bytes = 512;
		lun[i].image = TEXT("/images/a.raw");
	}
	for (int i = 0; i < 2; i++) {
		bulkhead__storage__controller__init(&controller[i]);
		controller[i].instance_guid.data = guid[i];
		controller[i].instance_guid.len = 16;
		controller[i].luns = i == 0 ? lun_list : &lun_list[2];
		controller[i].n_luns = i == 0 ? 2 : 1;
	}
	settings = NULL;
	memset(&err, 0, sizeof(err));
}

static void teardown(void)
{
	free(settings);
}

TestSuite(settings, .init = setup, .fini = teardown);

static int parse(void)
{
	uint8_t bytes[65536];
	size_t len = bulkhead__storage__config__pack(&config, bytes);

	return settings_parse(bytes, len, 3, &settings, &err);
}

Test(settings, good)
{
	lun[0].serial = TEXT("S1");
	lun[1].readonly = lun[1].unsafe_flush = 1;
	lun[1].image = TEXT("a\nb");
	lun[2].image = TEXT("");
	cr_assert_eq(parse(), 0);
	cr_assert_eq(settings->controllers, 2);
	cr_assert_eq(settings->controller[0].luns, 2);
	cr_assert_eq(settings->controller[1].instance.b[0], 2);
	cr_assert_str_eq(settings->controller[0].lun[0].serial, "S1");
	cr_assert_str_eq(settings->controller[0].lun[0].image, "/images/a.raw");
	cr_assert_not(settings->controller[0].lun[0].readonly);
	cr_assert(settings->controller[0].lun[1].readonly);
	cr_assert(settings->controller[0].lun[1].unsafe_flush);
	cr_assert_str_eq(settings->controller[0].lun[1].image, "a?b");
	cr_assert_str_eq(settings->controller[1].lun[0].alias, "sdc");
	cr_assert_str_eq(settings->controller[1].lun[0].image, "(no name)");
}

Test(settings, no_disks_are_allowed)
{
	config.n_controllers = 0;
	cr_assert_eq(parse(), 0);
	cr_assert_eq(settings->controllers, 0);
}

static void refused(int code)
{
	cr_assert_eq(parse(), code, "%s", err.text);
	cr_assert_eq(err.code, code);
	cr_assert(err.text[0]);
	cr_assert_null(settings);
}

Test(settings, version)
{
	config.version = 2;
	refused(-EPROTONOSUPPORT);
	config.version = 0;
	refused(-EPROTONOSUPPORT);
}

Test(settings, not_a_message)
{
	cr_assert_eq(settings_parse("\xff\xff\xff\xff", 4, 0, &settings, &err), -EPROTO);
	cr_assert_eq(settings_parse("", 0, 0, &settings, &err), -EPROTONOSUPPORT);
}

Test(settings, addresses)
{
	lun[1].lun = 64;
	refused(-EINVAL);
	lun[1].lun = 0;
	refused(-EINVAL);
	lun[1].target = 2;
	refused(-EINVAL);
	lun[1].target = 1;
	cr_assert_eq(parse(), 0);
}

/* A disk that others share has a second descriptor, and says who it is. */
Test(settings, shared)
{
	uint8_t vm[16] = {7}, power[16] = {8};

	config.n_controllers = 1;
	lun[0].reservations_fd_index = 2;
	lun[0].vm_uuid = (ProtobufCBinaryData){sizeof(vm), vm};
	lun[0].power = (ProtobufCBinaryData){sizeof(power), power};
	cr_assert_eq(parse(), 0, "%s", err.text);
	cr_assert_eq(settings->controller[0].lun[0].reservations, 2);
	cr_assert_eq(settings->controller[0].lun[0].vm[0], 7);
	cr_assert_eq(settings->controller[0].lun[0].power[0], 8);
	cr_assert_eq(settings->controller[0].lun[1].reservations, 0);
	free(settings);
	settings = NULL;
	lun[0].reservations_fd_index = 3;
	refused(-EINVAL);
	lun[0].reservations_fd_index = lun[1].fd_index;
	refused(-EINVAL);
	lun[0].reservations_fd_index = 2;
	lun[0].vm_uuid.len = 15;
	refused(-EINVAL);
	lun[0].vm_uuid.len = 16;
	lun[0].power.len = 0;
	refused(-EINVAL);
	lun[0].power.len = 16;
	lun[0].unsafe_flush = true;
	refused(-EINVAL);
}

Test(settings, descriptors)
{
	lun[1].fd_index = 3;
	refused(-EINVAL);
	lun[1].fd_index = 2; /* of the other controller's disk */
	refused(-EINVAL);
}

Test(settings, texts)
{
	char too_long[64];

	memset(too_long, 'x', sizeof(too_long));
	too_long[63] = '\0';
	lun[0].alias = TEXT("");
	refused(-EINVAL);
	lun[0].alias = too_long;
	refused(-EINVAL);
	lun[0].alias = TEXT("s\033da");
	refused(-EINVAL);
	lun[0].alias = TEXT("sda");
	lun[0].serial = too_long;
	refused(-EINVAL);
	lun[0].serial = TEXT("\xc3\xa4");
	refused(-EINVAL);
}

Test(settings, numbers)
{
	lun[0].logical_block_bytes = 0;
	refused(-EINVAL);
	lun[0].logical_block_bytes = 1024;
	refused(-EINVAL);
	lun[0].logical_block_bytes = 4096;
	cr_assert_eq(parse(), 0);
	cr_assert_eq(settings->controller[0].lun[0].physical_block_bytes, 0);
	cr_assert_not(settings->controller[0].lun[0].discard);
	free(settings);
	settings = NULL;
	lun[0].physical_block_bytes = 512;
	refused(-EINVAL);
	lun[0].physical_block_bytes = 12288;
	refused(-EINVAL);
	lun[0].physical_block_bytes = 2u << 20;
	refused(-EINVAL);
	lun[0].physical_block_bytes = 16384;
	lun[0].discard = true;
	cr_assert_eq(parse(), 0);
	cr_assert_eq(settings->controller[0].lun[0].physical_block_bytes, 16384);
	cr_assert(settings->controller[0].lun[0].discard);
}

Test(settings, zeroes)
{
	lun[0].detect_zeroes = (Bulkhead__Storage__DetectZeroes)3;
	refused(-EINVAL);
}

Test(settings, limits)
{
	uint64_t limits[19] = {[9] = 100, [10] = 300, [11] = 9};

	lun[1].limits = limits;
	lun[1].n_limits = 18;
	lun[1].limit_io_bytes = 4096;
	lun[1].limit_group = TEXT("g");
	cr_assert_eq(parse(), 0);
	cr_assert(throttle_limits(&settings->controller[0].lun[1].throttle));
	cr_assert_not(throttle_limits(&settings->controller[0].lun[0].throttle));
	cr_assert_eq(settings->controller[0].lun[1].throttle.limit[THROTTLE_TOTAL_IOPS].rate, 100);
	cr_assert_eq(settings->controller[0].lun[1].throttle.limit[THROTTLE_TOTAL_IOPS].burst, 300);
	cr_assert_eq(settings->controller[0].lun[1].throttle.limit[THROTTLE_TOTAL_IOPS].burst_seconds, 9);
	cr_assert_eq(settings->controller[0].lun[1].throttle.io_bytes, 4096);
	cr_assert_str_eq(settings->controller[0].lun[1].throttle_group, "g");
	free(settings);
	settings = NULL;
	limits[10] = 100;
	refused(-EINVAL);
	limits[10] = 0;
	refused(-EINVAL);
	limits[11] = 0;
	limits[9] = UINT64_MAX;
	refused(-EINVAL);
	limits[9] = 1;
	lun[1].n_limits = 19;
	refused(-EINVAL);
	lun[1].n_limits = 17;
	refused(-EINVAL);
	lun[1].n_limits = 18;
	lun[1].limit_group = TEXT("a\nb");
	refused(-EINVAL);
}

Test(settings, polling)
{
	config.poll_max_ns = 10000001;
	refused(-EINVAL);
}

Test(settings, guids)
{
	controller[1].instance_guid.len = 15;
	refused(-EINVAL);
	controller[1].instance_guid.len = 16;
	controller[1].instance_guid.data = guid[0];
	refused(-EINVAL);
}

Test(settings, too_many)
{
	Bulkhead__Storage__Lun *many[65];
	Bulkhead__Storage__Controller *controllers[65];

	for (int i = 0; i < 65; i++)
		many[i] = &lun[0];
	controller[0].luns = many;
	controller[0].n_luns = 65;
	refused(-EINVAL);
	setup();
	for (int i = 0; i < 65; i++)
		controllers[i] = &controller[0];
	config.controllers = controllers;
	config.n_controllers = 65;
	refused(-EINVAL);
}

/* ---- changes ---- */

static struct change_settings change;

static int parse_change(Bulkhead__Storage__Change *msg, size_t fds)
{
	uint8_t bytes[4096];

	err = (struct err){0};
	return settings_parse_change(bytes, bulkhead__storage__change__pack(msg, bytes), fds, &change, &err);
}

Test(settings, drives)
{
	Bulkhead__Storage__Change msg = BULKHEAD__STORAGE__CHANGE__INIT;
	Bulkhead__Storage__Medium medium = BULKHEAD__STORAGE__MEDIUM__INIT;

	lun[1].device = BULKHEAD__STORAGE__DEVICE__DEVICE_DVD;
	cr_assert_eq(parse(), -EINVAL, "written");
	lun[1].readonly = true;
	cr_assert_eq(parse(), -EINVAL, "blocks of 512");
	lun[1].logical_block_bytes = 2048;
	lun[1].empty = true;
	lun[1].medium = 70000;
	cr_assert_eq(parse(), 0, "%s", err.text);
	cr_assert(settings->controller[0].lun[1].dvd && settings->controller[0].lun[1].empty);
	cr_assert_eq(settings->controller[0].lun[1].medium, 70000);
	cr_assert_not(settings->controller[0].lun[0].dvd);
	free(settings);
	settings = NULL;
	lun[0].empty = true;
	cr_assert_eq(parse(), -EINVAL, "a disk without a medium");
	lun[0].empty = false;
	lun[1].device = (Bulkhead__Storage__Device)2;
	cr_assert_eq(parse(), -EINVAL, "a tape");
	lun[1].device = BULKHEAD__STORAGE__DEVICE__DEVICE_DVD;
	lun[1].fd_index = 0;
	msg.version = 1;
	msg.instance_guid = (ProtobufCBinaryData){16, guid[1]};
	msg.medium = &medium;
	cr_assert_eq(parse_change(&msg, 1), -EINVAL, "no drive");
	medium.lun = &lun[1];
	medium.force = true;
	cr_assert_eq(parse_change(&msg, 0), -EINVAL, "no descriptor");
	cr_assert_eq(parse_change(&msg, 1), 0, "%s", err.text);
	cr_assert(change.kind == CHANGE_MEDIUM && change.force && change.lun.medium == 70000);
}

Test(settings, what_is_told)
{
	const struct lun_status luns[] = {
		{"sda", false, false, false, SCSI_ERROR_NO_SPACE},
		{"sdb", true, true, false, SCSI_ERROR_NONE},
		{"sdc", true, false, true, SCSI_ERROR_GONE},
	};
	Bulkhead__Storage__Status *msg;
	uint8_t bytes[64];
	size_t len = settings_pack_status(luns, 3, bytes, sizeof(bytes));

	msg = bulkhead__storage__status__unpack(NULL, len, bytes);
	cr_assert(msg && msg->version == 1 && msg->n_drives == 2);
	cr_assert_str_eq(msg->drives[1]->alias, "sdc");
	cr_assert(msg->drives[0]->open && !msg->drives[0]->locked && !msg->drives[1]->open && msg->drives[1]->locked);
	cr_assert_eq(msg->n_errors, 2);
	cr_assert_str_eq(msg->errors[0]->alias, "sda");
	cr_assert_eq(msg->errors[0]->kind, BULKHEAD__STORAGE__ERROR_KIND__ERROR_KIND_NO_SPACE);
	cr_assert_eq(msg->errors[1]->kind, BULKHEAD__STORAGE__ERROR_KIND__ERROR_KIND_GONE);
	bulkhead__storage__status__free_unpacked(msg, NULL);
	cr_assert_eq(settings_pack_status(luns, 3, bytes, len - 1), 0);
}

Test(settings, changes)
{
	Bulkhead__Storage__Change msg = BULKHEAD__STORAGE__CHANGE__INIT;
	Bulkhead__Storage__Detach detach = BULKHEAD__STORAGE__DETACH__INIT;
	Bulkhead__Storage__Resize resize = BULKHEAD__STORAGE__RESIZE__INIT;

	msg.version = 1;
	msg.instance_guid = (ProtobufCBinaryData){16, guid[1]};
	cr_assert_eq(parse_change(&msg, 0), -EINVAL, "nothing to do");
	msg.attach = &lun[0];
	cr_assert_eq(parse_change(&msg, 1), 0, "%s", err.text);
	cr_assert_eq(change.kind, CHANGE_ATTACH);
	cr_assert_eq(change.instance.b[0], 2);
	cr_assert_str_eq(change.lun.alias, "sda");
	cr_assert_eq(parse_change(&msg, 0), -EINVAL, "no descriptor");
	lun[0].logical_block_bytes = 1000;
	cr_assert_eq(parse_change(&msg, 1), -EINVAL);
	lun[0].logical_block_bytes = 512;
	msg.detach = &detach;
	cr_assert_eq(parse_change(&msg, 1), -EINVAL, "two at once");
	msg.attach = NULL;
	detach.lun = 63;
	detach.timeout_ms = 500;
	cr_assert_eq(parse_change(&msg, 1), -EINVAL, "a descriptor");
	cr_assert_eq(parse_change(&msg, 0), 0, "%s", err.text);
	cr_assert(change.kind == CHANGE_DETACH && change.lun.lun == 63 && change.timeout_ms == 500);
	detach.lun = 64;
	cr_assert_eq(parse_change(&msg, 0), -EINVAL);
	msg.detach = NULL;
	msg.resize = &resize;
	resize.bytes = 1ull << 40;
	cr_assert_eq(parse_change(&msg, 0), 0, "%s", err.text);
	cr_assert(change.kind == CHANGE_RESIZE && change.bytes == 1ull << 40 && !change.shrink);
	resize.target = 2;
	cr_assert_eq(parse_change(&msg, 0), -EINVAL);
	resize.target = 0;
	msg.resize = NULL;
	msg.set = &lun[0];
	cr_assert_eq(parse_change(&msg, 1), -EINVAL, "a descriptor");
	cr_assert_eq(parse_change(&msg, 0), 0, "%s", err.text);
	cr_assert(change.kind == CHANGE_SET && !fault_any(&change.lun.fault));
	msg.resize = &resize;
	cr_assert_eq(parse_change(&msg, 0), -EINVAL, "two at once");
	msg.set = NULL;
	msg.instance_guid.len = 15;
	cr_assert_eq(parse_change(&msg, 0), -EINVAL);
	msg.instance_guid.len = 16;
	msg.version = 2;
	cr_assert_eq(parse_change(&msg, 0), -EPROTONOSUPPORT);
	cr_assert_eq(settings_parse_change("\xff", 1, 0, &change, &err), -EPROTO);
}

Test(settings, faults)
{
	Bulkhead__Storage__Faults faults = BULKHEAD__STORAGE__FAULTS__INIT;
	Bulkhead__Storage__FaultRule rule = BULKHEAD__STORAGE__FAULT_RULE__INIT, *rules[9];
	Bulkhead__Storage__Change msg = BULKHEAD__STORAGE__CHANGE__INIT;

	for (unsigned int i = 0; i < 9; i++)
		rules[i] = &rule;
	msg.version = 1;
	msg.instance_guid = (ProtobufCBinaryData){16, guid[1]};
	msg.set = &lun[0];
	lun[0].faults = &faults;
	faults.rules = rules;
	faults.n_rules = 8;
	faults.cache = true;
	faults.seed = 7;
	rule.ops = 3;
	rule.ppm = 1;
	rule.error = 5;
	cr_assert_eq(parse_change(&msg, 0), 0, "%s", err.text);
	cr_assert(change.lun.fault.rules == 8 && change.lun.fault.has_cache && change.lun.fault.seed == 7);
	cr_assert(change.lun.fault.rule[7].error == -5 && change.lun.fault.rule[7].ops == 3);
	faults.n_rules = 9;
	cr_assert_eq(parse_change(&msg, 0), -EINVAL, "too many");
	faults.n_rules = 1;
	rule.error = 0;
	cr_assert_eq(parse_change(&msg, 0), -EINVAL, "no error");
	rule.effect = BULKHEAD__STORAGE__FAULT_EFFECT__FAULT_EFFECT_DELAY;
	rule.delay_us = 60000000;
	cr_assert_eq(parse_change(&msg, 0), 0, "%s", err.text);
	rule.delay_us++;
	cr_assert_eq(parse_change(&msg, 0), -EINVAL, "too long");
	rule.delay_us = 1;
	rule.effect = (Bulkhead__Storage__FaultEffect)3;
	cr_assert_eq(parse_change(&msg, 0), -EINVAL, "no effect");
	rule.effect = BULKHEAD__STORAGE__FAULT_EFFECT__FAULT_EFFECT_DELAY;
	rule.ops = 32;
	cr_assert_eq(parse_change(&msg, 0), -EINVAL, "no such operation");
	rule.ops = 1;
	rule.ppm = 1000001;
	cr_assert_eq(parse_change(&msg, 0), -EINVAL, "more than always");
	rule.ppm = 1000000;
	rule.from = rule.to = 512;
	cr_assert_eq(parse_change(&msg, 0), -EINVAL, "nowhere");
}
