// SPDX-License-Identifier: Apache-2.0
/*
 * A disk under load while the process that serves it dies. Many requests are in flight, the ring is so small that it
 * fills; whatever happens on the other side, each request is answered once, in time, and the disk has what was written.
 *
 * Theory of operation. Each disk has a model in memory: which generation each block has. A block on disk carries its
 * place, its generation and, in all its other words, a key that follows from them. Requests in flight never overlap, so
 * that the model says exactly what a read must bring. Some are COMPARE AND WRITE, of one block, with what the model
 * says: done twice, they fail. A transaction id names a slot and a turn: a second answer to a request, or one to a
 * request that was never made, is found out. A periodic timer looks for requests that wait too long.
 *
 * Three parts run through the same machine: all blocks are written, then comes the load, then all blocks are read.
 *
 * Limits. Options: seed, depth (of requests), ops or seconds (of load), luns, blocks (of each disk), ring (pages),
 * channels (over which the requests are spread: one and sub-channels; as many vCPUs are needed),
 * told=1: the load ends when the guest is told so by a byte on the serial port, if not before,
 * dead=1: its channel is given up during the load, and the service's successor does not take it up again: once it is
 * told so (run-guest --tell-when) it closes the channel, opens it anew and writes and reads all blocks once more.
 * poison=N: the N-th request of the load is the one that a test build of the service dies of (base/death.h); it must
 * fail as on a disk that breaks on it, and is made again without the mark. Blocks are of 512 bytes, requests of up to
 * 64 KiB; answers are due in 60 s.
 */
#include "abi/hyperv.h"
#include "base/death.h"
#include "disk.h"
#include "rt.h"

#define DEPTH_MAX    32u
#define LUNS_MAX     2u
#define CHANNELS_MAX 4u
#define BLOCKS_MAX   16384u /* of a disk */
#define REQUEST_MAX  128u   /* blocks */
#define BUFFER_BYTES (REQUEST_MAX * DISK_BLOCK + 4096u)
#define SECOND	     10000000u /* of reference time, 100 ns */
#define DUE	     (60ull * SECOND)
#define TICK_MS	     100u
#define FLUSH_ONE_IN 50u
#define SWAP_ONE_IN  5u
#define LOOK_ONE_IN  64u /* whether we were told */
#define PICKS	     64u /* of a place, until it is one that nobody uses */
#define WORDS	     (DISK_BLOCK / 8)
#define KEY_WORD     2u /* from here on */
#define NO_REQUEST   0u
#define POISON	     ((uint64_t)DEATH_POISON << DEATH_POISON_SHIFT) /* in an id */

enum kind { READ, WRITE, FLUSH, SWAP, KINDS };

static const char *const kind_names[KINDS] = {"read", "write", "flush", "compare and write"};

struct request {
	uint64_t id; /* NO_REQUEST: free */
	uint64_t since, generation;
	enum kind kind;
	uint8_t lun;
	uint32_t lba, blocks;
	uint8_t *data;
};

/* What a request is about, before it has a slot. */
struct wish {
	enum kind kind;
	uint8_t lun;
	uint32_t lba, blocks;
};

static struct {
	uint32_t depth, luns, blocks, ring, channels;
	uint64_t ops, seconds, until; /* seconds 0: as many as ops says */
	uint64_t poison;	      /* request of the load that is poisoned; 0: none */
	bool dead;		      /* until the channel is */
	bool told;		      /* until we are */
} load;

static struct vmbus_channel channels[CHANNELS_MAX]; /* 0: the primary one */
static struct request requests[DEPTH_MAX];
static uint8_t buffers[DEPTH_MAX][BUFFER_BYTES] __attribute__((aligned(4096)));
static uint64_t model[LUNS_MAX][BLOCKS_MAX];
static bool claimed[LUNS_MAX][BLOCKS_MAX];
static uint64_t random_state, turns, generations, counts[KINDS], full, longest, poisoned, refused;
static uint32_t in_flight, at_lun, at_lba; /* where a part that takes all blocks in turn is */

static uint64_t now(void)
{
	return rt_rdmsr(HV_X64_MSR_TIME_REF_COUNT);
}

static uint64_t mix(uint64_t x)
{
	x ^= x << 13;
	x ^= x >> 7;
	return x ^ x << 17;
}

static uint32_t random_below(uint32_t n)
{
	random_state = mix(random_state);
	return (uint32_t)((random_state >> 16) % n);
}

/* ---- blocks ---- */

/* A block: its place, its generation, a key that follows from both in all its other words. String instructions: they
 * are cheap also where a guest's instructions are emulated. */
static uint64_t block_key(uint64_t place, uint64_t generation)
{
	return mix((generation << 32 ^ place) * 0x9e3779b97f4a7c15ull | 1);
}

static uint64_t block_place(const struct request *request, uint32_t lba)
{
	return (uint64_t)request->lun << 32 | lba;
}

static void block_fill(uint64_t *words, uint64_t place, uint64_t generation)
{
	uint64_t *at = words + KEY_WORD, count = WORDS - KEY_WORD;

	words[0] = place;
	words[1] = generation;
	__asm__ volatile("rep stosq" : "+D"(at), "+c"(count) : "a"(block_key(place, generation)) : "memory");
}

static bool block_has(const uint64_t *words, uint64_t key)
{
	const uint64_t *at = words + KEY_WORD;
	uint64_t count = WORDS - KEY_WORD;
	bool same;

	__asm__ volatile("repe scasq" : "+D"(at), "+c"(count), "=@cce"(same) : "a"(key) : "memory");
	return same;
}

static void block_check(const uint64_t *words, const struct request *request, uint32_t lba)
{
	uint64_t place = block_place(request, lba), generation = model[request->lun][lba];
	bool same = block_has(words, block_key(place, generation));

	if (words[0] == place && words[1] == generation && same)
		return;
	rt_fail("request %#lx: block %u of disk %u: place %#lx, generation %lu, not %lu, its other bytes are %s",
		(unsigned long)request->id, lba, request->lun, (unsigned long)words[0], (unsigned long)words[1],
		(unsigned long)generation, same ? "right" : "others");
}

static uint64_t *block_of(const struct request *request, uint32_t i)
{
	return (uint64_t *)(void *)(request->data + i * DISK_BLOCK);
}

/* ---- requests ---- */

static bool is_free(const struct wish *wish)
{
	const bool *at = &claimed[wish->lun][wish->lba];
	uint64_t count = wish->blocks;
	bool free;

	__asm__ volatile("repe scasb" : "+D"(at), "+c"(count), "=@cce"(free) : "a"(false) : "memory");
	return free;
}

static void claim(const struct request *request, bool taken)
{
	memset(&claimed[request->lun][request->lba], taken, request->blocks);
}

static bool writes(const struct request *request)
{
	return request->kind == WRITE || request->kind == SWAP;
}

/* Bytes of its buffer. */
static uint32_t data_len(const struct request *request)
{
	return (request->kind == SWAP ? 2 : request->blocks) * DISK_BLOCK;
}

static void prepare_data(struct request *request, uint32_t slot)
{
	/* anywhere in a page */
	request->data = buffers[slot] + random_below(8) * DISK_BLOCK;
	request->generation = writes(request) ? ++generations : 0;
	if (request->kind == SWAP) {
		uint64_t place = block_place(request, request->lba);

		block_fill(block_of(request, 0), place, model[request->lun][request->lba]);
		block_fill(block_of(request, 1), place, request->generation);
		return;
	}
	for (uint32_t i = 0; i < request->blocks; i++)
		if (request->kind == WRITE)
			block_fill(block_of(request, i), block_place(request, request->lba + i), request->generation);
		else
			memset(block_of(request, i), 0xee, DISK_BLOCK);
}

/* Each channel has its own slots. */
static struct vmbus_channel *channel_of(const struct request *request)
{
	return &channels[(size_t)(request - requests) % load.channels];
}

/* Return: false if the ring is full. */
static bool submit(struct request *request)
{
	uint8_t cdb[16] = {SCSI_SYNCHRONIZE_CACHE_10};

	if (request->kind == SWAP) {
		cdb[0] = SCSI_COMPARE_AND_WRITE;
		for (uint32_t i = 0; i < 4; i++)
			cdb[6 + i] = (uint8_t)(request->lba >> (24 - 8 * i));
		cdb[13] = 1;
	} else if (request->kind != FLUSH) {
		storvsc_rw10(cdb, request->kind == WRITE, request->lba, (uint16_t)request->blocks);
	}
	request->since = now();
	return storvsc_submit(channel_of(request), request->id, request->lun, cdb, request->kind == SWAP ? 16 : 10,
			      writes(request), request->data, data_len(request));
}

/* Return: false if the ring is full; then nothing has happened. */
static bool begin(const struct wish *wish)
{
	uint32_t slot = 0;
	struct request *request;

	while (requests[slot].id != NO_REQUEST)
		slot++;
	request = &requests[slot];
	request->kind = wish->kind;
	request->lun = wish->lun;
	request->lba = wish->lba;
	request->blocks = wish->blocks;
	request->id = (turns + 1) * DEPTH_MAX + slot;
	if (turns + 1 == poisoned)
		request->id |= POISON;
	prepare_data(request, slot);
	if (!submit(request)) {
		request->id = NO_REQUEST;
		full++;
		return false;
	}
	turns++;
	in_flight++;
	claim(request, true);
	return true;
}

static struct request *request_of(uint64_t id, const struct vmbus_channel *from)
{
	struct request *request = &requests[id % DEPTH_MAX];
	uint64_t turn = (id & ~POISON) / DEPTH_MAX;

	if (id != NO_REQUEST && request->id == id && channel_of(request) == from)
		return request;
	rt_fail("%s request %#lx", turn && turn <= turns ? "a second answer to" : "an answer to no", (unsigned long)id);
}

/* The request that nobody could serve: its one answer is the protocol's error. Made again it is one like all others. */
static void finish_poisoned(struct request *request, const struct storvsc_result *result)
{
	if (result->srb_status != (SRB_STATUS_ERROR | SRB_STATUS_AUTOSENSE_VALID) ||
	    result->scsi_status != SCSI_STATUS_CHECK_CONDITION || result->transferred != 0 ||
	    result->sense[2] != SCSI_SENSE_HARDWARE_ERROR)
		rt_fail("the poisoned request: SRB %#x, SCSI %#x, sense %#x, %u bytes", result->srb_status,
			result->scsi_status, result->sense[2], result->transferred);
	refused++;
	request->id = ++turns * DEPTH_MAX + request->id % DEPTH_MAX;
	/* The host has taken requests out of the ring meanwhile, but others may have come: it is tried until it fits.
	 */
	while (!submit(request))
		;
}

static void finish(const struct storvsc_result *result, const struct vmbus_channel *from)
{
	struct request *request = request_of(result->id, from);
	uint64_t took = now() - request->since;

	if (request->id & POISON) {
		finish_poisoned(request, result);
		return;
	}
	if ((result->srb_status & 0x3f) != SRB_STATUS_SUCCESS || result->scsi_status != SCSI_STATUS_GOOD ||
	    result->transferred != data_len(request))
		rt_fail("request %#lx: %s of %u blocks at %u of disk %u: SRB %#x, SCSI %#x, sense %#x/%#x/%#x, %u "
			"bytes",
			(unsigned long)request->id, kind_names[request->kind], request->blocks, request->lba,
			request->lun, result->srb_status, result->scsi_status, result->sense[2], result->sense[12],
			result->sense[13], result->transferred);
	for (uint32_t i = 0; i < request->blocks; i++)
		if (writes(request))
			model[request->lun][request->lba + i] = request->generation;
		else
			block_check(block_of(request, i), request, request->lba + i);
	longest = took > longest ? took : longest;
	counts[request->kind]++;
	claim(request, false);
	request->id = NO_REQUEST;
	in_flight--;
}

/* ---- waiting ---- */

static bool ring_is_empty(const struct vmbus_channel *channel)
{
	return __atomic_load_n(&channel->in.header->write_index, __ATOMIC_ACQUIRE) == channel->in.cursor;
}

static bool is_empty(void)
{
	for (uint32_t i = 0; i < load.channels; i++)
		if (!ring_is_empty(&channels[i]))
			return false;
	return true;
}

static void check_due(void)
{
	uint64_t at = now();

	for (uint32_t i = 0; i < DEPTH_MAX; i++) {
		const struct request *request = &requests[i];

		if (request->id != NO_REQUEST && at - request->since > DUE)
			rt_fail("request %#lx, %s of %u blocks at %u of disk %u, is not answered",
				(unsigned long)request->id, kind_names[request->kind], request->blocks, request->lba,
				request->lun);
	}
}

static void take_answers_of(struct vmbus_channel *channel)
{
	struct storvsc_result result;

	channel->in.header->interrupt_mask = 1;
	do {
		while (storvsc_poll(channel, &result))
			finish(&result, channel);
		channel->in.header->interrupt_mask = 0;
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		/* what came before the mask was open again brings no interrupt */
	} while (!ring_is_empty(channel));
}

/* Wait for at least one answer; take all that are there. Signals are asked for only while we sleep. Return: false if
 * none will come any more. */
static bool take_answers(void)
{
	while (is_empty()) {
		rt_idle(is_empty());
		check_due();
		if (load.dead && rt_was_told())
			return false;
	}
	for (uint32_t i = 0; i < load.channels; i++)
		take_answers_of(&channels[i]);
	return true;
}

/* ---- the three parts ---- */

/* The next request of a part. Return: false if there is none any more. */
typedef bool (*next_fn)(struct wish *ret_wish);

static bool next_in_turn(struct wish *ret_wish, enum kind kind)
{
	if (at_lba == load.blocks) {
		at_lba = 0;
		at_lun++;
	}
	if (at_lun == load.luns)
		return false;
	*ret_wish = (struct wish){kind, (uint8_t)at_lun, at_lba, load.blocks - at_lba};
	if (ret_wish->blocks > REQUEST_MAX)
		ret_wish->blocks = REQUEST_MAX;
	at_lba += ret_wish->blocks;
	return true;
}

static bool next_write(struct wish *ret_wish)
{
	return next_in_turn(ret_wish, WRITE);
}

static bool next_read(struct wish *ret_wish)
{
	return next_in_turn(ret_wish, READ);
}

/* Half of the requests are of up to 8 KiB. A place in use: a flush instead, should it be hard to find another. */
static bool next_random(struct wish *ret_wish)
{
	uint8_t lun = (uint8_t)random_below(load.luns);

	if (load.seconds ? now() >= load.until : !load.ops)
		return false;
	if (load.told && !random_below(LOOK_ONE_IN) && rt_was_told())
		return false;
	if (!load.seconds)
		load.ops--;
	if (random_below(FLUSH_ONE_IN)) {
		for (uint32_t i = 0; i < PICKS; i++) {
			ret_wish->kind = random_below(2) ? WRITE : READ;
			ret_wish->lun = lun;
			ret_wish->blocks = 1 + random_below(random_below(2) ? 16 : REQUEST_MAX);
			ret_wish->lba = random_below(load.blocks - ret_wish->blocks);
			if (!random_below(SWAP_ONE_IN)) {
				ret_wish->kind = SWAP;
				ret_wish->blocks = 1;
			}
			if (is_free(ret_wish))
				return true;
		}
	}
	*ret_wish = (struct wish){FLUSH, lun, 0, 0};
	return true;
}

static void run(next_fn next)
{
	struct wish wish;
	bool wanted = next(&wish);

	while (wanted || in_flight) {
		while (wanted && in_flight < load.depth && begin(&wish))
			wanted = next(&wish);
		if (in_flight && !take_answers())
			break;
	}
	at_lun = at_lba = 0;
}

static void connect(void)
{
	disk_connect_ring(&channels[0], VMBUS_VERSION_5_3, 0, load.ring);
	disk_open_subs(channels, load.channels - 1, load.ring);
}

/* As a driver leaves its device: sub-channels first. */
static void disconnect(void)
{
	disk_close_subs(channels, load.channels - 1);
	vmbus_close(&channels[0]);
	vmbus_unload();
}

/* The load runs until its channel is dead. What was in flight is neither answered nor done later; a new channel works.
 */
static void run_dead(void)
{
	run(next_random);
	rt_check(in_flight && rt_was_told(), "the channel was never dead");
	rt_check(is_empty(), "a dead channel answers");
	rt_printf("guest: channel dead, %u requests in flight\n", in_flight);
	load.dead = false;
	memset(requests, 0, sizeof(requests));
	memset(claimed, 0, sizeof(claimed));
	in_flight = 0;
	disconnect();
	connect();
	run(next_write);
}

static void parse(const char *cmdline)
{
	random_state = rt_option(cmdline, "seed", 1) * 0x9e3779b97f4a7c15ull | 1;
	load.ops = rt_option(cmdline, "ops", 2000);
	load.seconds = rt_option(cmdline, "seconds", 0);
	load.depth = (uint32_t)rt_option(cmdline, "depth", 16);
	load.luns = (uint32_t)rt_option(cmdline, "luns", 1);
	load.blocks = (uint32_t)rt_option(cmdline, "blocks", 2048);
	load.ring = (uint32_t)rt_option(cmdline, "ring", 4);
	load.channels = (uint32_t)rt_option(cmdline, "channels", 1);
	load.dead = rt_option(cmdline, "dead", 0);
	load.told = rt_option(cmdline, "told", 0);
	load.poison = rt_option(cmdline, "poison", 0);
	if (!load.depth || load.depth > DEPTH_MAX || !load.luns || load.luns > LUNS_MAX ||
	    load.blocks <= 2 * REQUEST_MAX || load.blocks > BLOCKS_MAX || !load.channels ||
	    load.channels > CHANNELS_MAX)
		rt_fail("options: depth 1..%u, luns 1..%u, blocks %u..%u, channels 1..%u", DEPTH_MAX, LUNS_MAX,
			2 * REQUEST_MAX + 1, BLOCKS_MAX, CHANNELS_MAX);
}

void rt_main(const char *cmdline)
{
	vmbus_start();
	vmbus_synic_start(0);
	parse(cmdline);
	connect();
	rt_tick(TICK_MS);
	run(next_write);
	rt_printf("guest: load\n");
	load.until = now() + load.seconds * SECOND;
	poisoned = load.poison ? turns + load.poison : 0;
	if (load.dead)
		run_dead();
	else
		run(next_random);
	rt_check(refused == (load.poison > 0), "%lu poisoned requests were refused", (unsigned long)refused);
	run(next_read);
	rt_printf("recovery: %lu reads, %lu writes, %lu flushes, %lu compared; ring full %lu times, longest wait %lu "
		  "ms\n",
		  (unsigned long)counts[READ], (unsigned long)counts[WRITE], (unsigned long)counts[FLUSH],
		  (unsigned long)counts[SWAP], (unsigned long)full, (unsigned long)(longest / (SECOND / 1000)));
	disconnect();
	rt_pass();
}
