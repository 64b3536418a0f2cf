/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_storage.h"

#include <assert.h>

#include "proto/storage.pb-c.h"

struct fake_worker *fake_storage_new_luns(struct loop *loop, struct fake_guest *guest, uint8_t number,
					  const int *images, size_t count, const char *vm_name)
{
	uint8_t guid[16] = {number}, config[FAKE_STORAGE_LUNS_MAX * 64];
	Bulkhead__Storage__Lun lun[FAKE_STORAGE_LUNS_MAX], *luns[FAKE_STORAGE_LUNS_MAX];
	Bulkhead__Storage__Controller controller = BULKHEAD__STORAGE__CONTROLLER__INIT, *controllers = &controller;
	Bulkhead__Storage__Config message = BULKHEAD__STORAGE__CONFIG__INIT;
	struct fake_provider provider = {
		.name = "storage", .config = config, .fds = images, .fd_count = count, .vm_name = vm_name};

	assert(count <= FAKE_STORAGE_LUNS_MAX);
	for (uint32_t i = 0; i < count; i++) {
		bulkhead__storage__lun__init(&lun[i]);
		lun[i].lun = lun[i].fd_index = i;
		lun[i].alias = (char *)"sda";
		lun[i].image = (char *)"/images/test.raw";
		lun[i].logical_block_bytes = 512;
		luns[i] = &lun[i];
	}
	controller.instance_guid = (ProtobufCBinaryData){sizeof(guid), guid};
	controller.luns = luns;
	controller.n_luns = count;
	message.version = 1;
	message.controllers = &controllers;
	message.n_controllers = 1;
	assert(bulkhead__storage__config__get_packed_size(&message) <= sizeof(config));
	provider.config_len = bulkhead__storage__config__pack(&message, config);
	return fake_worker_new(loop, guest, &provider);
}

struct fake_worker *fake_storage_new(struct loop *loop, struct fake_guest *guest, uint8_t number, int image,
				     const char *vm_name)
{
	return fake_storage_new_luns(loop, guest, number, &image, 1, vm_name);
}
