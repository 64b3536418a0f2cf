/* SPDX-License-Identifier: Apache-2.0 */
/* The storage VSP over a fake guest and a fake worker, with a disk in memory; and a guest's side of it. */
#ifndef STORVSP_FIXTURE_H
#define STORVSP_FIXTURE_H

#include "abi/vstor.h"
#include "daemons/vsp-storaged/storvsp.h"
#include "fake_worker.h"
#include "tests/support/memdisk.h"

#define SV_SUBS 2u /* sub-channels */

extern struct loop *loop;
extern struct fake_guest guest;
extern struct fake_channel peer, sub, *at; /* at: the one that the guest uses */
extern struct fake_worker *worker;
extern struct vsp *vsp;
extern struct memdisk disk;
extern struct scsi_lun lun;
extern struct storvsp storvsp;
extern struct vstor_packet answer;
extern struct fake_packet got;
extern uint64_t pages[8];

void sv_worker_gone(void *arg, const char *why);
void sv_offer_channels(void);
void sv_init(void);
void sv_done(void);
void sv_receive(uint64_t id, uint32_t len);
uint32_t sv_call_len(struct vstor_packet packet, uint32_t len);
uint32_t sv_call(uint32_t operation);
uint32_t sv_query_version(uint16_t version);
struct vstor_packet sv_srb(uint8_t lun_number, uint8_t opcode, uint8_t lba, uint8_t blocks);
void sv_put_srb(uint64_t id, struct vstor_packet packet, uint32_t offset, uint32_t len);
void sv_execute(struct vstor_packet packet, uint32_t offset, uint32_t len);
void sv_hear_attention(uint16_t asc);
void sv_initialize(void);
void sv_srb_ok(uint32_t transferred);
void sv_put_reset(uint64_t id, uint32_t operation, uint8_t lun_number);
uint32_t sv_create_sub_channels(uint16_t count);
void sv_expect_shown(uint32_t count);
void sv_initialize_with_subs(void);

#endif
