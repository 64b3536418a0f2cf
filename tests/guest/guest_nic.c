// SPDX-License-Identifier: Apache-2.0
/*
 * A NIC whose frames come back: NVSP, RNDIS, frames one after another, close and open again. Its service may die on the
 * way: then a frame may be lost, and is sent again; nothing comes twice, and every packet is completed once.
 * "frames=N". "hot=1": NICs that come while it runs are opened, and let go when they are taken away, until it is ended
 * from outside; those that are there already are left alone.
 */
#include "abi/ndis.h"
#include "abi/nvsp.h"
#include "abi/rndis.h"
#include "rt.h"
#include "vmbus.h"

#define RING_PAGES    16u
#define RECEIVE_PAGES 128u
#define SEND_PAGES    6u
#define RECEIVE_GPADL 0x1e000u
#define SEND_GPADL    0x1e001u
#define REQUEST_ID    77u
#define FRAME_ID      5u
#define FRAME_LEN     1000u
#define LOST_MS	      3000u
#define TICK_MS	      50u

static uint8_t rings[RING_PAGES * VMBUS_PAGE_SIZE] __attribute__((aligned(VMBUS_PAGE_SIZE)));
static uint8_t receive_buffer[RECEIVE_PAGES * VMBUS_PAGE_SIZE] __attribute__((aligned(VMBUS_PAGE_SIZE)));
static uint8_t send_buffer[SEND_PAGES * VMBUS_PAGE_SIZE] __attribute__((aligned(VMBUS_PAGE_SIZE)));
static uint8_t message_page[VMBUS_PAGE_SIZE] __attribute__((aligned(VMBUS_PAGE_SIZE)));
static struct vmbus_channel channel;
static struct nvsp_message answer;
static bool waiting, sending; /* for a completion; for that of a frame */
static uint8_t control[256];
static bool answered;
static uint32_t came, lost; /* number of the last frame that came back */
static uint32_t request;
static uint32_t section_bytes;

/* ---- what the host sends ---- */

static void take_message(const uint8_t *bytes, uint32_t sent)
{
	struct rndis_header header;
	struct rndis_packet packet;
	uint32_t number;

	memcpy(&header, bytes, sizeof(header));
	if (header.type == RNDIS_MESSAGE_INDICATE_STATUS) /* of its link */
		return;
	if (header.type != RNDIS_MESSAGE_PACKET) {
		rt_check(header.len <= sizeof(control), "an answer of %u bytes", header.len);
		memcpy(control, bytes, header.len);
		answered = true;
		return;
	}
	memcpy(&packet, bytes + sizeof(header), sizeof(packet));
	rt_check(packet.data_len == FRAME_LEN, "a frame of %u bytes", packet.data_len);
	memcpy(&number, bytes + sizeof(header) + packet.data_offset + 16, sizeof(number));
	rt_check(number > came && number <= sent, "frame %u behind %u, of %u", number, came, sent);
	came = number;
}

/* Each is looked at where it lies, and given back. */
static void take_pages(const struct transfer_page_header *header, uint64_t id, uint32_t sent)
{
	const uint32_t status[2] = {NVSP_MESSAGE_SEND_RNDIS_PACKET_COMPLETE, NVSP_STATUS_SUCCESS};

	rt_check(header->page_set_id == NVSP_RECEIVE_BUFFER_ID, "pages of %#x", header->page_set_id);
	for (uint32_t i = 0; i < header->range_count; i++) {
		rt_check(header->range[i].byte_offset + header->range[i].byte_count <= sizeof(receive_buffer) &&
				 header->range[i].byte_count <= section_bytes,
			 "%u bytes at %u", header->range[i].byte_count, header->range[i].byte_offset);
		take_message(receive_buffer + header->range[i].byte_offset, sent);
	}
	rt_check(vmbus_send(&channel, VMPACKET_COMPLETION, id, NULL, 0, status, sizeof(status)), "no room");
}

/* Return: whether there was a packet. */
static bool receive(uint32_t sent)
{
	static uint8_t bytes[1024] __attribute__((aligned(8)));
	struct vmpacket_descriptor desc;
	uint32_t len;

	if (!vmbus_receive_whole(&channel, &desc, bytes, sizeof(bytes), &len))
		return false;
	if (desc.type == VMPACKET_DATA_TRANSFER_PAGES) {
		take_pages((const struct transfer_page_header *)(bytes + sizeof(desc)), desc.transaction_id, sent);
	} else if (desc.type == VMPACKET_COMPLETION && desc.transaction_id == REQUEST_ID && waiting) {
		waiting = false;
		memcpy(&answer, bytes + sizeof(desc), NVSP_MESSAGE_LEN);
	} else if (desc.type == VMPACKET_COMPLETION && desc.transaction_id == FRAME_ID && sending) {
		sending = false;
		memcpy(&answer, bytes + sizeof(desc), NVSP_MESSAGE_LEN);
		rt_check(answer.rndis_packet_complete.status == NVSP_STATUS_SUCCESS, "a frame: status %u",
			 answer.rndis_packet_complete.status);
	} else {
		rt_fail("packet %u, id %lu, which nothing waits for", desc.type, (unsigned long)desc.transaction_id);
	}
	return true;
}

static void finish(void)
{
	while (waiting || sending)
		if (!receive(0))
			vmbus_wait_packet(&channel);
}

/* ---- start-up ---- */

static void call(struct nvsp_message *message)
{
	waiting = true;
	rt_check(vmbus_send(&channel, VMPACKET_DATA_INBAND, REQUEST_ID, NULL, 0, message, NVSP_MESSAGE_LEN), "no room");
	finish();
	*message = answer;
}

static void lend(uint32_t type, uint32_t gpadl, uint16_t id, void *memory, uint32_t pages)
{
	struct nvsp_message message = {.type = type};
	uint32_t status = vmbus_gpadl(channel.offer.child_relid, gpadl, memory, pages);

	rt_check(!status, "GPADL: status %#x", status);
	message.send_buffer.gpadl = gpadl;
	message.send_buffer.id = id;
	call(&message);
	rt_check(message.send_buffer_complete.status == NVSP_STATUS_SUCCESS, "buffer %#x: status %u", id,
		 message.send_buffer_complete.status);
	if (type == NVSP_MESSAGE_SEND_RECEIVE_BUFFER)
		section_bytes = message.receive_buffer_complete.run[0].section_bytes;
}

/* A control message, its completion and its answer. */
static void ask(uint32_t type, const void *body, uint32_t len)
{
	struct rndis_header header = {.type = type, .len = (uint32_t)sizeof(header) + len};
	struct nvsp_message message = {.type = NVSP_MESSAGE_SEND_RNDIS_PACKET};
	struct {
		struct gpa_direct_header header;
		uint32_t byte_count, byte_offset;
		uint64_t pfn;
	} __attribute__((packed))
	pages = {.header.range_count = 1, .byte_count = header.len, .pfn = (uintptr_t)message_page / VMBUS_PAGE_SIZE};

	memcpy(message_page, &header, sizeof(header));
	memcpy(message_page + sizeof(header), body, len);
	message.rndis_packet.channel_type = NVSP_CHANNEL_CONTROL;
	message.rndis_packet.section = NVSP_NO_SECTION;
	waiting = true;
	answered = false;
	rt_check(vmbus_send(&channel, VMPACKET_DATA_GPA_DIRECT, REQUEST_ID, &pages, sizeof(pages), &message,
			    NVSP_MESSAGE_LEN),
		 "no room");
	finish();
	rt_check(answer.rndis_packet_complete.status == NVSP_STATUS_SUCCESS, "control: status %u",
		 answer.rndis_packet_complete.status);
	while (!answered)
		if (!receive(0))
			vmbus_wait_packet(&channel);
	rt_check(!memcmp(control + 8, body, 4) && !memcmp(control + 12, &(uint32_t){0}, 4),
		 "the answer to message %#x says no", type);
}

static void begin(const struct vmbus_msg_offer_channel *offer)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_INIT};
	struct {
		struct rndis_request request;
		uint32_t filter;
	} set = {{0}, RNDIS_FILTER_DIRECTED | RNDIS_FILTER_BROADCAST};
	const struct rndis_initialize initialize = {++request, RNDIS_MAJOR_VERSION, RNDIS_MINOR_VERSION, 0x4000};

	rt_check(!vmbus_open(&channel, offer, rings, RING_PAGES, 0), "it cannot be opened");
	message.init.min_version = message.init.max_version = NVSP_VERSION_61;
	call(&message);
	rt_check(message.init_complete.status == NVSP_STATUS_SUCCESS, "INIT: %u", message.init_complete.status);
	lend(NVSP_MESSAGE_SEND_RECEIVE_BUFFER, RECEIVE_GPADL, NVSP_RECEIVE_BUFFER_ID, receive_buffer, RECEIVE_PAGES);
	lend(NVSP_MESSAGE_SEND_SEND_BUFFER, SEND_GPADL, NVSP_SEND_BUFFER_ID, send_buffer, SEND_PAGES);
	ask(RNDIS_MESSAGE_INITIALIZE, &initialize, sizeof(initialize));
	set.request = (struct rndis_request){.request_id = ++request,
					     .oid = OID_GEN_CURRENT_PACKET_FILTER,
					     .info_len = 4,
					     .info_offset = sizeof(set.request)};
	ask(RNDIS_MESSAGE_SET, &set, sizeof(set));
}

static void end(void)
{
	vmbus_close(&channel);
	vmbus_gpadl_teardown(channel.offer.child_relid, RECEIVE_GPADL);
	vmbus_gpadl_teardown(channel.offer.child_relid, SEND_GPADL);
}

static void start(void)
{
	static struct vmbus_msg_offer_channel offers[VMBUS_OFFERS];
	struct abi_guid type = NVSP_NIC_INTERFACE_GUID;
	const struct vmbus_msg_offer_channel *offer;

	rt_check(vmbus_contact(VMBUS_VERSION_5_3, 0), "no contact");
	offer = vmbus_find(offers, vmbus_request_offers(offers), type);
	rt_check(offer, "no NIC is offered");
	begin(offer);
}

static void query(void)
{
	const struct rndis_request query = {.request_id = ++request, .oid = OID_GEN_LINK_SPEED};

	ask(RNDIS_MESSAGE_QUERY, &query, sizeof(query));
}

/* ---- frames ---- */

static void send_frame(uint32_t number)
{
	static const uint8_t macs[12] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1};
	struct rndis_header header = {.type = RNDIS_MESSAGE_PACKET,
				      .len = (uint32_t)(sizeof(header) + sizeof(struct rndis_packet) + FRAME_LEN)};
	struct rndis_packet packet = {.data_offset = sizeof(packet), .data_len = FRAME_LEN};
	struct nvsp_message message = {.type = NVSP_MESSAGE_SEND_RNDIS_PACKET};
	uint8_t *frame = send_buffer + sizeof(header) + sizeof(packet);

	memcpy(send_buffer, &header, sizeof(header));
	memcpy(send_buffer + sizeof(header), &packet, sizeof(packet));
	memset(frame, (int)number, FRAME_LEN);
	memcpy(frame, macs, sizeof(macs));
	frame[12] = 0x88;
	frame[13] = 0xb5;
	memcpy(frame + 16, &number, sizeof(number));
	message.rndis_packet.section_bytes = header.len;
	sending = true;
	rt_check(vmbus_send(&channel, VMPACKET_DATA_INBAND, FRAME_ID, NULL, 0, &message, NVSP_MESSAGE_LEN), "no room");
}

/* Until it has come back, or must be lost: its service has died. */
static void exchange(uint32_t number)
{
	send_frame(number);
	for (uint32_t ticks = 0; came != number || sending;) {
		if (receive(number))
			continue;
		if (!sending && ticks > LOST_MS / TICK_MS) {
			lost++;
			return;
		}
		__asm__ volatile("sti; hlt" : : : "memory");
		ticks++;
	}
}

/* ---- NICs that come and go ---- */

static void release(uint32_t relid)
{
	struct vmbus_msg_relid msg = {.header.msgtype = VMBUS_MSG_RELID_RELEASED, .child_relid = relid};

	vmbus_post(&msg, sizeof(msg));
}

static void come_and_go(void)
{
	static struct vmbus_msg_offer_channel offers[VMBUS_OFFERS], offer;
	const struct vmbus_msg_relid *gone;

	rt_check(vmbus_contact(VMBUS_VERSION_5_3, 0), "no contact");
	vmbus_request_offers(offers);
	rt_printf("guest: waits\n");
	for (uint32_t i = 1;; i++) {
		memcpy(&offer, vmbus_next_message(), sizeof(offer));
		rt_check(offer.header.msgtype == VMBUS_MSG_OFFERCHANNEL, "message %u", offer.header.msgtype);
		begin(&offer);
		rt_printf("guest: came %u\n", i);
		/* What comes meanwhile, such as that its link is down, is given back: it is waited for. */
		while (!(gone = vmbus_poll_message()))
			if (!receive(0))
				__asm__ volatile("sti; hlt" : : : "memory");
		rt_check(gone->header.msgtype == VMBUS_MSG_RESCIND_CHANNELOFFER &&
				 gone->child_relid == offer.child_relid,
			 "message %u of relid %u", gone->header.msgtype, gone->child_relid);
		end();
		release(offer.child_relid);
	}
}

void rt_main(const char *cmdline)
{
	uint32_t frames = (uint32_t)rt_option(cmdline, "frames", 300), most = (uint32_t)rt_option(cmdline, "lost", 0);

	vmbus_start();
	vmbus_synic_start(0);
	rt_tick(TICK_MS);
	if (rt_option(cmdline, "hot", 0))
		come_and_go();
	for (uint32_t round = 0; round < 2; round++) {
		came = 0;
		start();
		rt_printf("guest: load\n");
		for (uint32_t i = 1; i <= frames; i++) {
			exchange(i);
			if (i % 50 == 0)
				query();
		}
		end();
		vmbus_unload();
	}
	rt_printf("nic: %u frames lost\n", lost);
	rt_check(lost <= most, "%u frames lost, not %u at most", lost, most);
	rt_pass();
}
