/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The statistics block of a VSP: what it has done for its guest, in a memfd that outlives it. Fixed layout: it changes
 * only together with STATS_VERSION.
 *
 * The VSP makes the memfd and leaves it with the worker as a keepsake (STATS_KEY), so that a successor goes on counting
 * and a reader finds it while no VSP lives. One writer: the VSP's thread. Readers take copies (stats_read.h) without a
 * lock: each counter is whole by itself, two of them may be of moments a little apart.
 *
 * Units are what the guest uses (a disk), in any order, with holes; channels are the VMBus channels. Slots are only for
 * a successor: when the request in each slot of a channel's state block was first seen, and whether it is counted.
 *
 * Times are nanoseconds of CLOCK_MONOTONIC, buckets those of stats_bucket().
 */
#ifndef VSP_STATS_BLOCK_H
#define VSP_STATS_BLOCK_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define STATS_KEY	   "statistics"
#define STATS_MAGIC	   0x54534842u /* "BHST" */
#define STATS_VERSION	   1u
#define STATS_CHANNELS_MAX 2048u
#define STATS_UNITS_MAX	   256u
#define STATS_CLASSES	   5u  /* of requests of a unit */
#define STATS_COUNTS	   13u /* further counters of a unit */
#define STATS_NAME_LEN	   40u
#define STATS_PLACE_LEN	   24u
#define STATS_SLOTS	   1024u /* of a channel, as many as a state block can have */

/* The time of a request from when it was first seen in the ring until its answer is in the ring, for the guest to see.
 */
enum stats_part {
	STATS_WAIT,	  /* until it was given to the back end */
	STATS_BACK_END,	  /* until that was seen to be done */
	STATS_COMPLETION, /* until the guest can know */
	STATS_PARTS,
};

/*
 * Buckets: four of STATS_UNIT_NS each, then four for each doubling; the last one has no end (549 s and more).
 * stats_bucket_from() is where one begins.
 */
#define STATS_UNIT_SHIFT 6u
#define STATS_BUCKETS	 128u

static inline unsigned int stats_bucket(uint64_t ns)
{
	uint64_t n = ns >> STATS_UNIT_SHIFT;
	unsigned int e, bucket;

	if (n < 4)
		return (unsigned int)n;
	e = 63u - (unsigned int)__builtin_clzll(n);
	bucket = (e - 1) * 4 + (unsigned int)(n >> (e - 2) & 3);
	return bucket < STATS_BUCKETS ? bucket : STATS_BUCKETS - 1;
}

/** stats_bucket_from - the least time in @bucket, which may also be STATS_BUCKETS. */
static inline uint64_t stats_bucket_from(unsigned int bucket)
{
	if (bucket < 4)
		return (uint64_t)bucket << STATS_UNIT_SHIFT;
	return (uint64_t)(4 + bucket % 4) << (bucket / 4 - 1) << STATS_UNIT_SHIFT;
}

/* Of the requests of one kind. */
struct stats_class {
	_Atomic uint64_t reqs;	/* answered; each once, whoever died meanwhile */
	_Atomic uint64_t bytes; /* that they moved */
	_Atomic uint64_t errors;
	_Atomic uint64_t timed; /* those that the times below are of */
	_Atomic uint64_t ns[STATS_PARTS];
	uint64_t reserved;
	_Atomic uint64_t bucket[STATS_PARTS][STATS_BUCKETS];
};

enum stats_kind {
	STATS_DISK = 1,
	STATS_NIC = 2,
};

/* Its classes of requests; for the guest's SCSI commands see daemons/vsp-storaged/observe.c. */
enum stats_disk_class {
	STATS_DISK_READ,
	STATS_DISK_WRITE,
	STATS_DISK_FLUSH,
	STATS_DISK_DISCARD,
	STATS_DISK_OTHER, /* that move no data of the disk */
};

/* Of a NIC a request is a transfer of the guest's, of one or more frames. */
enum stats_nic_class {
	STATS_NIC_TRANSFER,
};

/* Its further counters: frames, as they pass the host's side (one that the host will cut is one), and their bytes. RX:
 * to the guest. Each frame is one of PACKETS, ERRORS, FILTERED, REFUSED, UNREADY. */
enum stats_nic_count {
	STATS_NIC_RX_PACKETS,
	STATS_NIC_RX_BYTES,
	STATS_NIC_RX_ERRORS,   /* malformed, longer than the MTU */
	STATS_NIC_RX_FILTERED, /* for others: by address, or VLAN */
	STATS_NIC_RX_UNREADY,  /* the link is down, or no guest has opened the NIC */
	STATS_NIC_TX_PACKETS,
	STATS_NIC_TX_BYTES,
	STATS_NIC_TX_ERRORS,  /* malformed, longer than the MTU, not taken by the host */
	STATS_NIC_TX_REFUSED, /* by policy: of an address, or a VLAN, that is not the guest's */
	STATS_NIC_TX_UNREADY, /* the link is down */
	STATS_NIC_LOST,	      /* of both ways: in flight when a process died, or when where they were to go was taken
			       * away; they may have arrived */
	STATS_NIC_COUNTS,
};

struct stats_unit {
	_Atomic uint64_t id; /* 0: there is none here; no two that there ever were have the same */
	uint32_t kind;	     /* enum stats_kind */
	uint32_t reserved0;
	char name[STATS_NAME_LEN]; /* "sda", ends with 0 */
	uint8_t place[STATS_PLACE_LEN];
	_Atomic uint32_t queue;		      /* requests under way now */
	_Atomic uint32_t queue_peak;	      /* the most at a time */
	_Atomic uint64_t count[STATS_COUNTS]; /* by its kind: of a NIC enum stats_nic_count, of a disk none */
	struct stats_class class[STATS_CLASSES];
	uint64_t fill[64];
};

/* The count of one request that is under way: these values, whatever the unit says. */
struct stats_intent {
	_Atomic uint32_t state; /* enum stats_intent_state */
	uint16_t unit, class;
	uint32_t slot, sequence; /* which request: as the state block numbers it */
	uint64_t reqs, bytes, errors;
};

enum stats_intent_state {
	STATS_INTENT_NONE = 0,
	STATS_INTENT_VALID = 1, /* the unit's counts may be old or new */
	STATS_INTENT_TAKEN = 2, /* a successor has put them right; the slot does not say so yet */
};

struct stats_channel {
	_Atomic uint32_t used;
	uint32_t reserved0;
	char name[STATS_NAME_LEN]; /* "scsi0", ends with 0 */
	uint64_t reserved1[2];
	_Atomic uint64_t kicks;	     /* from the guest */
	_Atomic uint64_t wakes;	     /* of the VSP by them: several may have come meanwhile */
	_Atomic uint64_t interrupts; /* to the guest */
	_Atomic uint64_t quiet;	     /* publications that it need not be told of */
	_Atomic uint64_t requests;   /* taken out of the ring */
	struct stats_intent intent;
	uint64_t reserved2[6];
};

struct stats_slot {
	uint32_t sequence; /* of the request that the rest is of */
	uint32_t counted;  /* 1: it is */
	uint64_t seen_ns;
};

struct stats_header {
	_Atomic uint32_t magic; /* stored last */
	uint32_t version;
	uint64_t bytes;		   /* of the block */
	_Atomic uint32_t channels; /* places that have been in use, from the first on */
	_Atomic uint32_t units;
	uint64_t last_id; /* of a unit */
	uint64_t reserved[508];
};

struct stats_block {
	struct stats_header header;
	struct stats_channel channel[STATS_CHANNELS_MAX];
	struct stats_unit unit[STATS_UNITS_MAX];
	struct stats_slot slot[STATS_CHANNELS_MAX][STATS_SLOTS]; /* touched on use */
};

_Static_assert(sizeof(struct stats_header) == 4096, "a page");
_Static_assert(sizeof(struct stats_class) == 64 + STATS_PARTS * STATS_BUCKETS * 8, "no holes");
_Static_assert(sizeof(struct stats_unit) == 16384, "whole pages");
_Static_assert((unsigned int)STATS_NIC_COUNTS <= STATS_COUNTS, "they have their places");
_Static_assert(sizeof(struct stats_channel) == 192, "whole cache lines");

#endif
