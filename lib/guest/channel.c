/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/death.h"
#include "base/fd.h"

/* ---- signal cells ---- */

int signal_map_init(struct signal_map *map, int fd)
{
	struct signal_cells *cells;
	struct stat st;
	uint32_t cpus;
	size_t len;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < (off_t)sizeof(*cells))
		return -EINVAL;
	len = (size_t)st.st_size;
	cells = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
	if (cells == MAP_FAILED)
		return -errno;
	cpus = cells->cpus;
	if (cells->magic != SIGNAL_CELLS_MAGIC || cells->version != SIGNAL_CELLS_VERSION || cpus == 0 ||
	    signal_cells_size(cpus) > len) {
		munmap(cells, len);
		return -EINVAL;
	}
	*map = (struct signal_map){.cells = cells, .len = len, .cpus = cpus};
	return 0;
}

void signal_map_done(struct signal_map *map)
{
	if (map->cells)
		munmap(map->cells, map->len);
	memset(map, 0, sizeof(*map));
}

/* ---- channel ---- */

/* The part [@from, @from + @len) of the byte string that @ranges make up. Return: number of pieces. */
static size_t slice(const struct guest_range *ranges, size_t count, uint64_t from, uint64_t len,
		    struct guest_range *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < count && len > 0; i++) {
		uint64_t step;

		if (from >= ranges[i].len) {
			from -= ranges[i].len;
			continue;
		}
		step = MIN(ranges[i].len - from, len);
		ret[n++] = (struct guest_range){.gpa = ranges[i].gpa + from, .len = step};
		from = 0;
		len -= step;
	}
	return n;
}

static int map_rings(struct channel *channel, const struct channel_params *params)
{
	_cleanup_free_ struct guest_range *part = NULL;
	uint64_t total = 0, split = (uint64_t)params->downstream_page * GUEST_PAGE_SIZE;
	size_t n;
	int r;

	if (params->ring_ranges > RING_RUNS_MAX)
		return -E2BIG;
	for (size_t i = 0; i < params->ring_ranges; i++) {
		if (params->ring[i].len > 2 * (uint64_t)(RING_DATA_MAX + RING_PAGE_SIZE))
			return -EINVAL;
		total += params->ring[i].len;
	}
	if (split >= total)
		return -EINVAL;
	part = calloc(params->ring_ranges, sizeof(*part));
	if (!part)
		return -ENOMEM;
	n = slice(params->ring, params->ring_ranges, 0, split, part);
	r = ring_map(channel->mem, part, n, &channel->in_ring);
	if (r < 0)
		return r;
	n = slice(params->ring, params->ring_ranges, split, total - split, part);
	return ring_map(channel->mem, part, n, &channel->out_ring);
}

/* A channel that was just opened begins where its indices stand (Linux: 0), copied once. */
int channel_start(struct channel *channel)
{
	int r;

	r = ring_reader_init(&channel->in, &channel->in_ring,
			     __atomic_load_n(&channel->in_ring.header->read_index, __ATOMIC_ACQUIRE));
	if (r < 0)
		return r;
	return ring_writer_init(&channel->out, &channel->out_ring,
				__atomic_load_n(&channel->out_ring.header->write_index, __ATOMIC_ACQUIRE));
}

int channel_resume(struct channel *channel, const struct channel_cursors *cursors)
{
	int r = ring_reader_resume(&channel->in, &channel->in_ring, cursors->in_read);

	return r < 0 ? r : ring_writer_resume(&channel->out, &channel->out_ring, cursors->out_write);
}

int channel_map(struct channel *channel, const struct guest_mem *mem, const struct signal_map *cells,
		const struct channel_params *params)
{
	int r;

	if (params->relid == 0 || params->relid > CHANNEL_RELID_MAX || params->target_vp >= cells->cpus)
		return -EINVAL;
	*channel = (struct channel){
		.mem = mem,
		.cells = cells,
		.kick_fd = -1,
		.irq_fd = -1,
		.relid = params->relid,
		.target_vp = params->target_vp,
	};
	r = map_rings(channel, params);
	if (r == 0)
		r = fd_set_nonblock(params->kick_fd, true);
	if (r == 0)
		r = fd_set_nonblock(params->irq_fd, true);
	if (r < 0) {
		channel_done(channel);
		return r;
	}
	channel->kick_fd = params->kick_fd;
	channel->irq_fd = params->irq_fd;
	return 0;
}

int channel_init(struct channel *channel, const struct guest_mem *mem, const struct signal_map *cells,
		 const struct channel_params *params)
{
	int r = channel_map(channel, mem, cells, params);

	if (r < 0)
		return r;
	r = channel_start(channel);
	if (r < 0) {
		/* Still the caller's. */
		channel->kick_fd = channel->irq_fd = -1;
		channel_done(channel);
	}
	return r;
}

void channel_done(struct channel *channel)
{
	ring_unmap(&channel->in_ring);
	ring_unmap(&channel->out_ring);
	fd_close(&channel->kick_fd);
	fd_close(&channel->irq_fd);
}

uint64_t channel_clear_kick(struct channel *channel)
{
	uint64_t count;

	/* EAGAIN: nothing was there to clear. */
	return read(channel->kick_fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

void channel_signal(struct channel *channel)
{
	const struct signal_cell *cell = &channel->cells->cells->cell[channel->target_vp];
	uint64_t flags_gpa = atomic_load_explicit(&cell->flags_gpa, memory_order_acquire);
	uint64_t one = 1;
	uint64_t *flags;

	if (flags_gpa == SIGNAL_CELL_NONE || flags_gpa % sizeof(uint64_t) != 0)
		return;
	flags = guest_mem_ptr(channel->mem, flags_gpa, CHANNEL_FLAGS_BYTES);
	if (!flags)
		return;
	/* full: the ring's index comes before the flag; pairs with the guest's locked test-and-clear of the flag before
	 * it reads the ring */
	__atomic_fetch_or(&flags[channel->relid / 64], UINT64_C(1) << (channel->relid % 64), __ATOMIC_SEQ_CST);
	/* EAGAIN: so many interrupts are pending already that one of them will do. */
	(void)!write(channel->irq_fd, &one, sizeof(one));
	channel->signals++;
}

int channel_commit(struct channel *channel)
{
	bool published = channel->out.cursor != channel->out.published;
	int room = ring_reader_commit(&channel->in);
	int news;

	DEATH(ACCEPT_PUBLISHED);
	news = room < 0 ? room : ring_writer_commit(&channel->out);
	DEATH(COMMIT_PUBLISHED);
	if (news < 0)
		return news;
	if (room || news)
		channel_signal(channel);
	else
		channel->quiet += published;
	DEATH(COMMIT_SIGNALLED);
	return 0;
}

int channel_retarget(struct channel *channel, uint32_t vp)
{
	if (vp >= channel->cells->cpus)
		return -EINVAL;
	channel->target_vp = vp;
	return 0;
}
