/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_storage.h"

#include <assert.h>

#include "proto/storage.pb-c.h"

#define CONTROLLERS_MAX 64u
#define LUN_BYTES	64u /* of a message, at most */

static void fill_lun(Bulkhead__Storage__Lun *lun, uint32_t number, uint32_t fd_index)
{
	bulkhead__storage__lun__init(lun);
	lun->lun = number;
	lun->fd_index = fd_index;
	lun->alias = (char *)"sda";
	lun->image = (char *)"/images/test.raw";
	lun->logical_block_bytes = 512;
}

struct fake_worker *fake_storage_new_controllers(struct loop *loop, struct fake_guest *guest, uint8_t number,
						 uint8_t controllers, const int *images, size_t count,
						 const char *vm_name)
{
	static Bulkhead__Storage__Lun lun[FAKE_STORAGE_LUNS_MAX], *luns[CONTROLLERS_MAX][FAKE_STORAGE_LUNS_MAX];
	static Bulkhead__Storage__Controller controller[CONTROLLERS_MAX], *list[CONTROLLERS_MAX];
	static uint8_t guid[CONTROLLERS_MAX][16], config[(FAKE_STORAGE_LUNS_MAX + CONTROLLERS_MAX) * LUN_BYTES];
	Bulkhead__Storage__Config message = BULKHEAD__STORAGE__CONFIG__INIT;
	struct fake_provider provider = {
		.name = "storage", .config = config, .fds = images, .fd_count = count, .vm_name = vm_name};

	assert(count <= FAKE_STORAGE_LUNS_MAX && controllers <= CONTROLLERS_MAX);
	for (uint8_t c = 0; c < controllers; c++) {
		guid[c][0] = number;
		guid[c][1] = c;
		bulkhead__storage__controller__init(&controller[c]);
		controller[c].instance_guid = (ProtobufCBinaryData){sizeof(guid[c]), guid[c]};
		controller[c].luns = luns[c];
		list[c] = &controller[c];
	}
	for (uint32_t i = 0; i < count; i++) {
		Bulkhead__Storage__Controller *of = &controller[i % controllers];

		fill_lun(&lun[i], i / controllers, i);
		luns[i % controllers][of->n_luns++] = &lun[i];
	}
	message.version = 1;
	message.controllers = list;
	message.n_controllers = controllers;
	assert(bulkhead__storage__config__get_packed_size(&message) <= sizeof(config));
	provider.config_len = bulkhead__storage__config__pack(&message, config);
	return fake_worker_new(loop, guest, &provider);
}

struct fake_worker *fake_storage_new_luns(struct loop *loop, struct fake_guest *guest, uint8_t number,
					  const int *images, size_t count, const char *vm_name)
{
	return fake_storage_new_controllers(loop, guest, number, 1, images, count, vm_name);
}

struct fake_worker *fake_storage_new(struct loop *loop, struct fake_guest *guest, uint8_t number, int image,
				     const char *vm_name)
{
	return fake_storage_new_luns(loop, guest, number, &image, 1, vm_name);
}

struct fake_worker *fake_storage_new_shared(struct loop *loop, struct fake_guest *guest, uint8_t number, int image,
					    int reservations, uint8_t vm, const char *vm_name)
{
	static uint8_t guid[16], uuid[16], power[16], config[2 * LUN_BYTES + sizeof(guid) + sizeof(uuid) + 64];
	Bulkhead__Storage__Config message = BULKHEAD__STORAGE__CONFIG__INIT;
	Bulkhead__Storage__Controller controller = BULKHEAD__STORAGE__CONTROLLER__INIT, *controllers = &controller;
	Bulkhead__Storage__Lun lun, *luns = &lun;
	const int fds[] = {image, reservations};
	struct fake_provider provider = {
		.name = "storage", .config = config, .fds = fds, .fd_count = 2, .vm_name = vm_name};

	guid[0] = number;
	uuid[0] = vm;
	fill_lun(&lun, 0, 0);
	lun.reservations_fd_index = 1;
	lun.vm_uuid = (ProtobufCBinaryData){sizeof(uuid), uuid};
	lun.power = (ProtobufCBinaryData){sizeof(power), power};
	controller.instance_guid = (ProtobufCBinaryData){sizeof(guid), guid};
	controller.luns = &luns;
	controller.n_luns = 1;
	message.version = 1;
	message.controllers = &controllers;
	message.n_controllers = 1;
	assert(bulkhead__storage__config__get_packed_size(&message) <= sizeof(config));
	provider.config_len = bulkhead__storage__config__pack(&message, config);
	return fake_worker_new(loop, guest, &provider);
}
