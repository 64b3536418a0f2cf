/* SPDX-License-Identifier: Apache-2.0 */
/* A fake worker whose provider is vsp-storaged's. */
#ifndef TESTS_FAKE_STORAGE_H
#define TESTS_FAKE_STORAGE_H

#include "fake_worker.h"

/**
 * fake_storage_new - fake_worker_new() with one controller, whose LUN 0 is @image in blocks of 512 bytes.
 * @number: makes the controller's GUID. @vm_name: NULL: the fake worker's own.
 */
struct fake_worker *fake_storage_new(struct loop *loop, struct fake_guest *guest, uint8_t number, int image,
				     const char *vm_name);

/** fake_storage_new_shared - the same; other VMs share the disk. @reservations: the file, as of an empty one. @vm:
 * makes the VM's UUID. */
struct fake_worker *fake_storage_new_shared(struct loop *loop, struct fake_guest *guest, uint8_t number, int image,
					    int reservations, uint8_t vm, const char *vm_name);

#define FAKE_STORAGE_LUNS_MAX 220u

/** fake_storage_new_luns - the same with LUNs 0 to @count - 1, an image each. */
struct fake_worker *fake_storage_new_luns(struct loop *loop, struct fake_guest *guest, uint8_t number,
					  const int *images, size_t count, const char *vm_name);

/** fake_storage_new_controllers - @count LUNs, an image each, dealt out to @controllers controllers in turn: LUN @i of
 * them all is LUN @i / @controllers of controller @i % @controllers. Their GUIDs begin with @number, then their number.
 */
struct fake_worker *fake_storage_new_controllers(struct loop *loop, struct fake_guest *guest, uint8_t number,
						 uint8_t controllers, const int *images, size_t count,
						 const char *vm_name);

#endif
