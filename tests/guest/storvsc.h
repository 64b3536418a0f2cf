/* SPDX-License-Identifier: Apache-2.0 */
/* A storvsc client over the VMBus client: start-up, SRBs with one data buffer each. */
#ifndef GUEST_STORVSC_H
#define GUEST_STORVSC_H

#include "abi/scsi.h"
#include "abi/vstor.h"
#include "vmbus.h"

#define STORVSC_DATA_MAX (256u * 1024u)
#define STORVSC_LUNS	 2u /* that guests use */

/* The outcome of an SRB. */
struct storvsc_result {
	uint64_t id;
	uint8_t srb_status;
	uint8_t scsi_status;
	uint32_t transferred;
	uint8_t sense[VSTOR_SENSE_LEN_MAX];
};

/** storvsc_start - what a driver begins with: versions, properties, and TEST UNIT READY to LUNs 0 to STORVSC_LUNS - 1.
 */
void storvsc_start(struct vmbus_channel *channel);

/** storvsc_create_subs - ask for @count sub-channels; their offers come as messages. */
void storvsc_create_subs(struct vmbus_channel *channel, uint32_t count);

/**
 * storvsc_submit - @data: @len bytes, which the host reads (@write) or writes; @len may be 0.
 * Return: false if the ring is full.
 */
bool storvsc_submit(struct vmbus_channel *channel, uint64_t id, uint8_t lun, const uint8_t *cdb, uint8_t cdb_len,
		    bool write, void *data, uint32_t len);

/** storvsc_poll - the next finished SRB, in whatever order. Return: false if none has finished. */
bool storvsc_poll(struct vmbus_channel *channel, struct storvsc_result *ret_result);

/** storvsc_wait - the same, asleep until there is one. */
void storvsc_wait(struct vmbus_channel *channel, struct storvsc_result *ret_result);

/** storvsc_bus_changes - how often the host has said that LUNs came or went, in all packets that were looked at;
 * storvsc_look_for_news - look at those that wait, while no SRB is under way. */
uint32_t storvsc_bus_changes(void);
void storvsc_look_for_news(struct vmbus_channel *channel);

/** storvsc_run - submit one, wait for it; ends the guest unless it is GOOD and moved @len bytes. */
void storvsc_run(struct vmbus_channel *channel, uint8_t lun, const uint8_t *cdb, uint8_t cdb_len, bool write,
		 void *data, uint32_t len);

/** storvsc_rw10 - a READ(10) or WRITE(10) CDB. */
void storvsc_rw10(uint8_t cdb[10], bool write, uint32_t lba, uint16_t blocks);

/** Waiting forms of single commands. */
uint32_t storvsc_capacity(struct vmbus_channel *channel, uint8_t lun, uint32_t *ret_block);
void storvsc_read(struct vmbus_channel *channel, uint8_t lun, uint32_t lba, uint16_t blocks, void *data, uint32_t len);
void storvsc_write(struct vmbus_channel *channel, uint8_t lun, uint32_t lba, uint16_t blocks, void *data, uint32_t len);
void storvsc_flush(struct vmbus_channel *channel, uint8_t lun);

#endif
