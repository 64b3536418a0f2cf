/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of NICs that outlives a process. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "daemons/vsp-netd/kept.h"
#include "daemons/vsp-netd/port.h"

static struct abi_guid guid_of(unsigned int number)
{
	return (struct abi_guid){.b = {(uint8_t)(number + 1)}};
}

Test(kept, each_nic_finds_its_own_again)
{
	int fd = fd_memfd("test", kept_len());
	struct abi_guid guid;
	struct kept *kept;
	uint8_t *memory;

	for (unsigned int life = 0; life < 3; life++) {
		cr_assert_eq(kept_map(fd, &kept), 0);
		for (unsigned int i = 0; i < SETTINGS_NICS_MAX; i++) {
			guid = guid_of((i + life) % SETTINGS_NICS_MAX);
			memory = kept_memory(kept, &guid);
			cr_assert(memory);
			cr_assert_eq(memory[PORT_MEMORY_LEN - 1], life ? guid.b[0] : 0);
			memory[PORT_MEMORY_LEN - 1] = guid.b[0];
		}
		guid = guid_of(SETTINGS_NICS_MAX);
		cr_assert(!kept_memory(kept, &guid), "there is no room");
		kept_free(kept);
	}
	fd_close(&fd);
}

Test(kept, what_is_released_is_zeroed)
{
	int fd = fd_memfd("test", kept_len());
	struct abi_guid guid = guid_of(0), other = guid_of(1);
	struct kept *kept;
	uint8_t *memory, *again;

	cr_assert_eq(kept_map(fd, &kept), 0);
	memory = kept_memory(kept, &guid);
	memset(memory, 0xff, PORT_MEMORY_LEN);
	kept_release(kept, &guid);
	kept_release(kept, &guid);
	again = kept_memory(kept, &other);
	cr_assert_eq(again, memory);
	for (size_t i = 0; i < PORT_MEMORY_LEN; i++)
		cr_assert_eq(again[i], 0);
	kept_free(kept);
	fd_close(&fd);
}

Test(kept, another_size_is_refused)
{
	int fd = fd_memfd("test", 4096);
	struct kept *kept;

	cr_assert_eq(kept_map(fd, &kept), -EPROTO);
	fd_close(&fd);
}
