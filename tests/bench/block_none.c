/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state block without what only a successor needs: for tests/bench/storage. The order of accepts, the states of
 * slots and the commit record are not stored; packet and reply lie in their slot all the same, for the service itself
 * works from there.
 */
#define block_accept	   kept_accept
#define block_set_cursor   kept_set_cursor
#define block_outcome	   kept_outcome
#define block_commit_add   kept_commit_add
#define block_commit_begin kept_commit_begin
#define block_commit_end   kept_commit_end
#include "lib/vsp/block.c"
#undef block_accept
#undef block_set_cursor
#undef block_outcome
#undef block_commit_add
#undef block_commit_begin
#undef block_commit_end

void block_accept(struct block *block, uint32_t n, uint32_t in_read);
void block_set_cursor(struct block *block, uint32_t in_read);
void block_outcome(struct block *block, uint32_t n, const void *reply, uint32_t len, const void *state);
void block_commit_add(struct block *block, uint32_t n);
void block_commit_begin(struct block *block, uint32_t old_write, uint32_t new_write, uint64_t sent);
void block_commit_end(struct block *block);

void block_accept(struct block *block, uint32_t n, uint32_t in_read)
{
	(void)block;
	(void)n;
	(void)in_read;
}

void block_set_cursor(struct block *block, uint32_t in_read)
{
	(void)block;
	(void)in_read;
}

void block_outcome(struct block *block, uint32_t n, const void *reply, uint32_t len, const void *state)
{
	if (len > 0)
		memcpy(block_slot_reply(block, n), reply, len);
	block_slot(block, n)->reply_len = len;
	if (state)
		memcpy(block_state(block), state, block->header->state_len);
}

void block_commit_add(struct block *block, uint32_t n)
{
	(void)block;
	(void)n;
}

void block_commit_begin(struct block *block, uint32_t old_write, uint32_t new_write, uint64_t sent)
{
	(void)block;
	(void)old_write;
	(void)new_write;
	(void)sent;
}

void block_commit_end(struct block *block)
{
	(void)block;
}
