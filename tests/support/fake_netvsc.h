/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's driver of a NIC over fake channels: NVSP, RNDIS, its two buffers. It waits for nothing: fake_nic_poll()
 * takes one packet. Functions without a result abort the test if they fail.
 */
#ifndef SUPPORT_FAKE_NETVSC_H
#define SUPPORT_FAKE_NETVSC_H

#include "abi/ndis.h"
#include "abi/nvsp.h"
#include "abi/rndis.h"
#include "fake_worker.h"

#define FAKE_NIC_RECEIVE_GPADL 0xe1e11u
#define FAKE_NIC_SEND_GPADL    0xe1e12u
#define FAKE_NIC_RECEIVE_PAGES 1024u
#define FAKE_NIC_SEND_PAGES    24u
#define FAKE_NIC_MESSAGE_MAX   70000u

/* What fake_nic_poll() has taken. */
enum fake_nic_event {
	FAKE_NIC_NOTHING,
	FAKE_NIC_COMPLETED, /* completed_id, answer, answer_len */
	FAKE_NIC_CONTROL,   /* message, message_len: an RNDIS message that is not a frame */
	FAKE_NIC_FRAMES,    /* frames more; frame, frame_len: the last one */
};

struct fake_nic {
	struct fake_guest *guest;
	uint64_t receive_gpa, send_gpa, message_gpa; /* message: two pages */
	uint32_t section_bytes, sections;
	bool keeps; /* sections are not given back */
	uint64_t kept_id;

	uint64_t completed_id;
	struct nvsp_message answer;
	uint32_t answer_len;
	uint8_t message[FAKE_NIC_MESSAGE_MAX];
	uint32_t message_len;
	uint64_t frames;
	uint8_t frame[FAKE_NIC_MESSAGE_MAX];
	uint32_t frame_len;
	uint32_t parts;	   /* sections that it lay in */
	uint32_t info[16]; /* per-packet info of its last part, by type; RNDIS_INFO_ID at 15 */
	uint32_t has_info; /* bits */
	void (*on_frame)(void *arg, const uint8_t *frame, uint32_t len); /* each, as it comes; NULL: nobody */
	void *arg;
	uint64_t bad; /* packets and messages that contradict themselves */
};

/** fake_nic_init - make the buffers, and lend them. */
void fake_nic_init(struct fake_nic *nic, struct fake_guest *guest, struct fake_worker *worker);

/** fake_nic_poll - the next packet of @channel. */
enum fake_nic_event fake_nic_poll(struct fake_nic *nic, struct fake_channel *channel);

/** fake_nic_put - an NVSP message, as it stands. @completion: whether one is wanted. Return: 0 or -EAGAIN. */
int fake_nic_put(struct fake_channel *channel, uint64_t id, const struct nvsp_message *message, bool completion);
/** fake_nic_lend - SEND_RECEIVE_BUFFER or SEND_SEND_BUFFER. */
int fake_nic_lend(struct fake_channel *channel, uint64_t id, bool receive);

/** fake_nic_put_control - an RNDIS message with @len bytes behind its header, in a page of its own. */
int fake_nic_put_control(struct fake_nic *nic, struct fake_channel *channel, uint64_t id, uint32_t type,
			 const void *body, size_t len);
/** fake_nic_put_initialize, _query, _set */
int fake_nic_put_initialize(struct fake_nic *nic, struct fake_channel *channel, uint64_t id, uint32_t request_id);
int fake_nic_put_query(struct fake_nic *nic, struct fake_channel *channel, uint64_t id, uint32_t request_id,
		       uint32_t oid);
int fake_nic_put_set(struct fake_nic *nic, struct fake_channel *channel, uint64_t id, uint32_t request_id, uint32_t oid,
		     const void *info, uint32_t info_len);

#define FAKE_NIC_RSS_HEAD  44u /* longer than it needs to be */
#define FAKE_NIC_RSS_TABLE 4u
#define FAKE_NIC_RSS_BYTES (FAKE_NIC_RSS_HEAD + 4 * FAKE_NIC_RSS_TABLE + 40u)

/** fake_nic_build_rss - the value of OID_GEN_RECEIVE_SCALE_PARAMETERS: a table, and some key. */
void fake_nic_build_rss(uint8_t ret[FAKE_NIC_RSS_BYTES], const uint32_t table[FAKE_NIC_RSS_TABLE]);

/** fake_nic_coalescing - the value of OID_TCP_OFFLOAD_PARAMETERS: checksums both ways, and frames longer than the MTU.
 */
extern const struct ndis_offload_parameters fake_nic_coalescing;

/* Per-packet info of a frame of the guest's. */
struct fake_info {
	uint32_t type, value;
};

/** fake_nic_build - a PACKET message at @to. Return: its length. */
size_t fake_nic_build(uint8_t *to, const void *frame, size_t len, const struct fake_info *info, size_t infos);
/** fake_nic_put_frame - one frame, in section @section of the send buffer. */
int fake_nic_put_frame(struct fake_nic *nic, struct fake_channel *channel, uint64_t id, uint32_t section,
		       const void *frame, size_t len, const struct fake_info *info, size_t infos);
/** fake_nic_put_section - @len bytes that are in the section already. */
int fake_nic_put_section(struct fake_channel *channel, uint64_t id, uint32_t section, uint32_t len);
uint8_t *fake_nic_section(struct fake_nic *nic, uint32_t section);

#endif
