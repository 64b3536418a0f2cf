/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_storage.h"

#include "proto/storage.pb-c.h"

struct fake_worker *fake_storage_new(struct loop *loop, struct fake_guest *guest, uint8_t number, int image,
				     const char *vm_name)
{
	uint8_t guid[16] = {number}, config[512];
	Bulkhead__Storage__Lun lun = BULKHEAD__STORAGE__LUN__INIT, *luns = &lun;
	Bulkhead__Storage__Controller controller = BULKHEAD__STORAGE__CONTROLLER__INIT, *controllers = &controller;
	Bulkhead__Storage__Config message = BULKHEAD__STORAGE__CONFIG__INIT;
	struct fake_provider provider = {
		.name = "storage", .config = config, .fds = &image, .fd_count = 1, .vm_name = vm_name};

	lun.alias = (char *)"sda";
	lun.image = (char *)"/images/test.raw";
	lun.logical_block_bytes = 512;
	controller.instance_guid = (ProtobufCBinaryData){sizeof(guid), guid};
	controller.luns = &luns;
	controller.n_luns = 1;
	message.version = 1;
	message.controllers = &controllers;
	message.n_controllers = 1;
	provider.config_len = bulkhead__storage__config__pack(&message, config);
	return fake_worker_new(loop, guest, &provider);
}
