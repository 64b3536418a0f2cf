/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "vsp/internal.h"

int slot_list_alloc(struct slot_list *list, uint32_t slots)
{
	*list = (struct slot_list){.slot = calloc(slots, sizeof(*list->slot))};
	return list->slot ? 0 : -ENOMEM;
}

void slot_list_free(struct slot_list *list)
{
	free(list->slot);
	*list = (struct slot_list){0};
}

void slot_push(struct slot_list *list, uint32_t slot)
{
	list->slot[list->count++] = (uint16_t)slot;
}

void slot_put(struct slot_list *list, uint32_t slots, uint32_t slot)
{
	list->slot[(list->head + list->count++) % slots] = (uint16_t)slot;
}

uint32_t slot_pop(struct slot_list *list, uint32_t slots)
{
	uint32_t slot = list->slot[list->head];

	list->head = (list->head + 1) % slots;
	list->count--;
	return slot;
}
