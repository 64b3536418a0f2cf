/* SPDX-License-Identifier: Apache-2.0 */
/* What block.c (the stores) and block_recover.c (a successor's look at them) share. */
#ifndef VSP_BLOCK_INT_H
#define VSP_BLOCK_INT_H

#include "vsp/block.h"

#define BLOCK_ALIGN 64u

/** block_layout - where everything lies, from a geometry. Return: false if it is beyond a limit. */
bool block_layout(const struct block_geometry *geometry, struct block_header *ret);

/** block_next_state_sequence - of the device's next state; never 0. */
uint32_t block_next_state_sequence(const struct block *block);

/** block_store_accepted - slot @n is the newest: its sequence and cursor are the header's. */
void block_store_accepted(struct block *block, uint32_t n);

/** block_store_state - the state behind slot @n's reply becomes the device's. */
void block_store_state(struct block *block, uint32_t n);

/** block_clear_commit - no slot is in the commit any more. */
void block_clear_commit(struct block *block);

#endif
