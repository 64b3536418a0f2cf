// SPDX-License-Identifier: Apache-2.0
/* The small parts of a VM: mailbox, guest memory, signal cells. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "machine.h"
#include "mailbox.h"
#include "memory.h"

Test(mailbox, is_bounded_and_in_order)
{
	static struct mailbox box;
	static struct mail mail;
	uint8_t payload[HV_MESSAGE_PAYLOAD_SIZE + 1] = {0};

	mailbox_init(&box);
	cr_assert_eq(mailbox_get(&box, &mail), -EAGAIN);
	cr_assert_eq(mailbox_put(&box, 4, 1, payload, sizeof(payload)), -EMSGSIZE);
	for (uint32_t round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < MAILBOX_MESSAGES; i++)
			cr_assert_eq(mailbox_put(&box, i, 1, &i, sizeof(i)), 0);
		cr_assert_eq(mailbox_put(&box, 4, 1, payload, 8), -EAGAIN);
		for (uint32_t i = 0; i < MAILBOX_MESSAGES - round; i++) {
			cr_assert_eq(mailbox_get(&box, &mail), 0);
			cr_assert_eq(mail.connection_id, i);
			cr_assert_eq(mail.len, 4);
			cr_assert(!memcmp(mail.payload, &i, 4));
		}
		mailbox_clear(&box);
		cr_assert_eq(mailbox_get(&box, &mail), -EAGAIN);
	}
	mailbox_done(&box);
}

Test(memory, below_the_hole)
{
	struct guest_mem mem;
	struct err err = {0};

	cr_assert_eq(memory_new(64u << 20, false, &mem, &err), 0);
	cr_assert_eq(mem.regions, 1);
	cr_assert_eq(mem.region[0].gpa, 0);
	cr_assert_eq(mem.region[0].len, 64u << 20);
	cr_assert_lt(ftruncate(mem.region[0].fd, 0), 0, "it is sealed");
	cr_assert_lt(ftruncate(mem.region[0].fd, 128 << 20), 0);
	guest_mem_done(&mem);
}

Test(memory, around_the_hole)
{
	struct guest_mem mem;
	struct err err = {0};
	uint64_t bytes = MACHINE_LOW_RAM_MAX + (1u << 20);

	if (memory_new(bytes, false, &mem, &err) == -ENOMEM)
		cr_skip_test("this machine has less than 3 GiB");
	cr_assert_eq(mem.regions, 2);
	cr_assert_eq(mem.region[0].len, MACHINE_LOW_RAM_MAX);
	cr_assert_eq(mem.region[1].gpa, MACHINE_HIGH_RAM_GPA);
	cr_assert_eq(mem.region[1].len, 1u << 20);
	cr_assert_eq(mem.region[1].offset, MACHINE_LOW_RAM_MAX);
	guest_mem_done(&mem);
}

Test(memory, errors_say_what_to_do)
{
	struct guest_mem mem;
	struct err err = {0};

	cr_assert_eq(memory_new(0, false, &mem, &err), -EINVAL);
	cr_assert_eq(memory_new((1u << 20) + 4096, false, &mem, &err), -EINVAL);
	cr_assert_eq(memory_new(3u << 20, true, &mem, &err), -EINVAL, "not whole huge pages");
	cr_assert_eq(memory_new(1ull << 50, false, &mem, &err), -ENOMEM);
	cr_assert(strstr(err.text, "this host has"));
}

Test(cells, follow_the_pages)
{
	struct signal_cells *cells, *other;
	int fd = cells_new(3, &cells);

	cr_assert_geq(fd, 0);
	other = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	cr_assert_neq(other, MAP_FAILED);
	cr_assert_eq(other->magic, SIGNAL_CELLS_MAGIC);
	cr_assert_eq(other->version, SIGNAL_CELLS_VERSION);
	cr_assert_eq(other->cpus, 3);
	cr_assert_eq(other->cell[2].flags_gpa, SIGNAL_CELL_NONE);
	cells_set(cells, 2, 0x5000);
	cr_assert_eq(other->cell[2].flags_gpa, 0x5200, "SINT2's flags");
	cells_set(cells, 2, UINT64_MAX);
	cr_assert_eq(other->cell[2].flags_gpa, SIGNAL_CELL_NONE);
	munmap(other, 4096);
	cells_free(cells);
	close(fd);
}
