/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network VSP whole: a guest, a back end and a manager that do what the input says, and processes that die.
 *
 * Input: a byte for the kind of NIC, one for what is negotiated before, then steps: a byte that says what, and what
 * that step reads. After each step model_check(), at the end everything that is owed must come.
 */
#include <stddef.h>
#include <string.h>

#include "abi/ndis.h"
#include "abi/rndis.h"
#include "base/bytes.h"
#include "fake_netvsc.h"
#include "netvsp_model.h"

#define STEPS_MAX	   200u
#define SEND_SECTION_BYTES 6144u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the input ---- */

static const uint8_t *at, *end;

static uint8_t take_byte(void)
{
	return at < end ? *at++ : 0;
}

static uint32_t take_number(void)
{
	static const uint32_t odd[] = {0x7f,	   0x80,       0xff,	   0x100,     0xfff,   0x1000,
				       6143,	   6144,       6145,	   0xffff,    0x10000, 0x7fffffff,
				       0x80000000, 0xfffffff8, 0xfffffffe, 0xffffffff};
	uint8_t first = take_byte();

	if (first < 0xe0)
		return first;
	return first >= 0xf0 ? odd[first & 15] : (uint32_t)(first & 15) << 8 | take_byte();
}

static size_t take_bytes(uint8_t *to, size_t max)
{
	uint32_t wanted = take_number();
	size_t len = MIN((size_t)wanted, max), there = MIN(len, (size_t)(end - at));

	memset(to, 0, len);
	memcpy(to, at, there);
	at += there;
	return len;
}

static size_t take_channel(void)
{
	return take_byte() % HOST_CHANNELS;
}

/* ---- messages ---- */

static bool put_message(size_t channel, const struct nvsp_message *message, bool completion)
{
	return model_put(channel, VMPACKET_DATA_INBAND, completion, NULL, 0, message, NVSP_MESSAGE_LEN, 0);
}

static void put_init(uint32_t version)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_INIT};

	message.init.min_version = message.init.max_version = version;
	(void)put_message(0, &message, true);
	message = (struct nvsp_message){.type = NVSP_MESSAGE_SEND_NDIS_CONFIG};
	message.ndis_config.frame_bytes = 1514;
	message.ndis_config.capabilities = NVSP_CAPABILITY_IEEE8021Q | NVSP_CAPABILITY_TEAMING | NVSP_CAPABILITY_RSC;
	if (version > NVSP_VERSION_1)
		(void)put_message(0, &message, false);
}

static void put_lend(bool receive, uint32_t gpadl)
{
	struct nvsp_message message = {.type = receive ? NVSP_MESSAGE_SEND_RECEIVE_BUFFER
						       : NVSP_MESSAGE_SEND_SEND_BUFFER};

	message.send_buffer.gpadl = gpadl;
	message.send_buffer.id = receive ? NVSP_RECEIVE_BUFFER_ID : NVSP_SEND_BUFFER_ID;
	(void)put_message(0, &message, true);
}

/* @bytes: @len of an RNDIS control message, in a page of its own. */
static void put_control(size_t channel, const uint8_t *bytes, size_t len, bool known)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_SEND_RNDIS_PACKET};
	uint64_t list[3] = {(uint64_t)1 << 32, len}, gpa;
	uint32_t type = len >= 4 ? get_le32(bytes) : 0;

	if (!model_control_page(&gpa))
		return;
	memcpy(fake_guest_ptr(&host.guest, gpa), bytes, len);
	list[2] = gpa >> GUEST_PAGE_SHIFT;
	message.rndis_packet.channel_type = NVSP_CHANNEL_CONTROL;
	message.rndis_packet.section = NVSP_NO_SECTION;
	(void)model_put(channel, VMPACKET_DATA_GPA_DIRECT, true, list, sizeof(list), &message, NVSP_MESSAGE_LEN,
			known && type ? type : UINT32_MAX);
}

/* ---- steps: control ---- */

static void step_run(void)
{
	host_run();
}

static void step_init(void)
{
	static const uint32_t versions[] = {
		NVSP_VERSION_1, NVSP_VERSION_2, NVSP_VERSION_4, NVSP_VERSION_5, NVSP_VERSION_6, NVSP_VERSION_61, 0,
		0xffffffff};

	put_init(versions[take_byte() % ARRAY_SIZE(versions)]);
}

static void step_lend(void)
{
	uint8_t which = take_byte();

	put_lend(which & 1, HOST_GPADL((which >> 1) % (HOST_LENDS + 1)));
}

/* Any NVSP message, also of those that only hosts send. */
static void step_nvsp(void)
{
	static const uint8_t types[] = {1,   2,	  100, 101, 102, 103, 104, 105, 106,
					107, 108, 125, 128, 129, 131, 133, 134, 135};
	struct nvsp_message message = {.type = types[take_byte() % ARRAY_SIZE(types)]};
	uint8_t flags = take_byte();

	for (size_t i = 0; i < 3; i++)
		put_le32(message.bytes + 4 * i, take_number());
	(void)model_put(flags & 3 ? 0 : take_channel(), VMPACKET_DATA_INBAND, flags & 4, NULL, 0, &message,
			flags & 8 ? take_byte() % NVSP_MESSAGE_LEN : NVSP_MESSAGE_LEN,
			message.type == NVSP_MESSAGE_SEND_RNDIS_PACKET ? UINT32_MAX : 0);
}

static void step_sub_channels(void)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_SUBCHANNEL};

	message.subchannel_request.operation = NVSP_SUBCHANNEL_ALLOCATE;
	message.subchannel_request.count = take_number();
	(void)put_message(0, &message, true);
}

static void step_initialize(void)
{
	const uint32_t words[] = {RNDIS_MESSAGE_INITIALIZE, 24, 1, RNDIS_MAJOR_VERSION, RNDIS_MINOR_VERSION, 0x4000};

	put_control(0, (const uint8_t *)words, sizeof(words), true);
}

static void put_filter(uint32_t filter)
{
	const uint32_t words[] = {RNDIS_MESSAGE_SET, 32, 2, OID_GEN_CURRENT_PACKET_FILTER, 4, 20, 0, filter};

	put_control(0, (const uint8_t *)words, sizeof(words), true);
}

static void step_filter(void)
{
	put_filter(take_number());
}

static void put_set(uint32_t request_id, uint32_t oid, const void *info, uint32_t len)
{
	uint8_t bytes[28 + FAKE_NIC_RSS_BYTES];
	const uint32_t words[] = {RNDIS_MESSAGE_SET, 28 + len, request_id, oid, len, 20, 0};

	memcpy(bytes, words, sizeof(words));
	memcpy(bytes + sizeof(words), info, len);
	put_control(0, bytes, 28 + len, true);
}

static void step_coalesce(void)
{
	struct ndis_offload_parameters parameters = fake_nic_coalescing;

	_Static_assert(sizeof(parameters) <= FAKE_NIC_RSS_BYTES, "there is room");
	parameters.rsc_ipv4 = take_byte() % 4;
	put_set(3, OID_TCP_OFFLOAD_PARAMETERS, &parameters, sizeof(parameters));
}

static void put_rss(uint8_t first)
{
	const uint32_t table[FAKE_NIC_RSS_TABLE] = {first, first + 1u, first, first + 1u};
	uint8_t info[FAKE_NIC_RSS_BYTES];

	fake_nic_build_rss(info, table);
	put_set(4, OID_GEN_RECEIVE_SCALE_PARAMETERS, info, sizeof(info));
}

static void step_rss(void)
{
	put_rss(take_byte());
}

static const uint32_t oids[] = {
	OID_GEN_SUPPORTED_LIST,
	OID_GEN_CURRENT_PACKET_FILTER,
	OID_802_3_MULTICAST_LIST,
	OID_GEN_RECEIVE_SCALE_PARAMETERS,
	OID_TCP_OFFLOAD_PARAMETERS,
	OID_TCP_OFFLOAD_HARDWARE_CAPABILITIES,
	OID_GEN_RNDIS_CONFIG_PARAMETER,
	OID_GEN_MEDIA_CONNECT_STATUS,
	OID_GEN_FRIENDLY_NAME,
	OID_GEN_CURRENT_LOOKAHEAD,
	OID_802_3_CURRENT_ADDRESS,
	OID_GEN_RECEIVE_SCALE_CAPABILITIES,
	OID_GEN_NETWORK_LAYER_ADDRESSES,
	OID_TCP_OFFLOAD_CURRENT_CONFIG,
	OID_GEN_LINK_SPEED,
	OID_GEN_XMIT_OK,
};

/* A control message with whatever behind it, its lengths and offsets perhaps wrong. */
static void step_control(void)
{
	static const uint8_t types[] = {2, 3, 4, 4, 5, 5, 6, 8};
	uint8_t bytes[1024] = {0}, flags = take_byte();
	uint32_t type = types[flags & 7], info_len;

	put_le32(bytes, type);
	put_le32(bytes + 8, take_byte());
	put_le32(bytes + 12,
		 type == RNDIS_MESSAGE_INITIALIZE ? RNDIS_MAJOR_VERSION : oids[take_byte() % ARRAY_SIZE(oids)]);
	put_le32(bytes + 20, 20);
	info_len = (uint32_t)take_bytes(bytes + 28, 900);
	put_le32(bytes + 16, info_len);
	put_le32(bytes + 4, 28 + info_len);
	if (flags & 8)
		put_le32(bytes + take_byte() % 28 / 4 * 4, take_number());
	put_control(flags & 0x30 ? 0 : take_channel(), bytes, flags & 0x40 ? take_byte() : 28 + info_len, true);
}

static void step_raw_control(void)
{
	uint8_t bytes[GUEST_PAGE_SIZE];

	put_control(0, bytes, take_bytes(bytes, sizeof(bytes)), false);
}

/* ---- steps: frames ---- */

static size_t make_frame(uint8_t *frame, uint8_t kind, bool to_guest)
{
	static const uint32_t lens[] = {14, 13, 60, 100, 1514, 1518, 1519, 4000, 4082, 9018, 33000, 65553};
	static const uint8_t guest_mac[6] = {2, 0, 0, 0, 0, 1}, other[6] = {2, 0, 0, 0, 0, 2};
	size_t len = lens[(kind & 15) % ARRAY_SIZE(lens)];

	memset(frame, 0, 14 + 60);
	for (size_t i = 74; i < len; i += 61)
		frame[i] = kind;
	memcpy(frame, to_guest ? guest_mac : other, 6);
	memcpy(frame + 6, to_guest ? other : guest_mac, 6);
	put_be16(frame + 12, kind & 0x10 ? 0x86dd : 0x0800);
	frame[14] = kind & 0x10 ? 0x60 : 0x45;
	put_be16(frame + (kind & 0x10 ? 18 : 16), (uint16_t)(len - 14 - (kind & 0x10 ? 40 : 0)));
	frame[kind & 0x10 ? 20 : 23] = kind & 0x20 ? 17 : 6;
	frame[(kind & 0x10 ? 54 : 34) + 12] = 0x50;
	return len;
}

static uint32_t take_info(uint8_t *to, uint32_t type, uint32_t value)
{
	const struct rndis_packet_info info = {.size = sizeof(info) + 4, .type = type, .offset = sizeof(info)};

	memcpy(to, &info, sizeof(info));
	put_le32(to + sizeof(info), value);
	return info.size;
}

/* A PACKET message at @to. Return: its length. */
static size_t make_message(uint8_t *to)
{
	struct rndis_header header = {.type = RNDIS_MESSAGE_PACKET};
	struct rndis_packet packet = {0};
	uint8_t kind = take_byte(), infos = take_byte();
	uint8_t *put = to + sizeof(header) + sizeof(packet);
	bool lso = infos & 2;

	if (infos & 1)
		put += take_info(put, RNDIS_INFO_CHECKSUM,
				 kind & 0x20 ? RNDIS_TX_UDP | RNDIS_TX_IPV4 : RNDIS_TX_TCP | RNDIS_TX_IP_HEADER);
	if (lso)
		put += take_info(put, RNDIS_INFO_LARGE_SEND,
				 RNDIS_LSO_VERSION_2 | (kind & 0x10 ? RNDIS_LSO_IPV6 : 0) | take_number());
	if (infos & 4)
		put += take_info(put, RNDIS_INFO_8021Q, take_number());
	if (infos & 8)
		put += take_info(put, take_number(), take_number());
	packet.info_len = (uint32_t)(put - to) - (uint32_t)(sizeof(header) + sizeof(packet));
	packet.info_offset = packet.info_len ? sizeof(packet) : 0;
	packet.data_offset = (uint32_t)(put - to) - (uint32_t)sizeof(header);
	packet.data_len = (uint32_t)make_frame(put, kind, false);
	header.len = (uint32_t)sizeof(header) + packet.data_offset + packet.data_len;
	memcpy(to, &header, sizeof(header));
	memcpy(to + sizeof(header), &packet, sizeof(packet));
	if (infos & 0x80)
		put_le32(to + take_byte() % 92 / 4 * 4, take_number());
	if (infos & 0x40)
		to[take_number() % header.len] = take_byte();
	return header.len;
}

/* Its pages lie the other way round. */
static void put_in_section(uint32_t section, const uint8_t *bytes, size_t len)
{
	size_t offset = (size_t)section * SEND_SECTION_BYTES;

	for (size_t i = 0; i < len; i++) {
		size_t page = HOST_SEND_PAGES - 1 - (offset + i) / GUEST_PAGE_SIZE;

		*((uint8_t *)fake_guest_ptr(&host.guest, host.send_gpa + page * GUEST_PAGE_SIZE) +
		  (offset + i) % GUEST_PAGE_SIZE) = bytes[i];
	}
}

/* Messages one behind the other: the beginning in a section of the send buffer, the rest in pages, or all in one. */
static void step_frames(void)
{
	static uint8_t bytes[4 * 66000];
	struct nvsp_message message = {.type = NVSP_MESSAGE_SEND_RNDIS_PACKET};
	uint8_t flags = take_byte();
	size_t channel = take_channel(), len = 0, first = 0, pages;
	uint64_t list[2 + HOST_DATA_PAGES];

	for (unsigned int i = 0; i <= (flags & 3u); i++)
		len += make_message(bytes + len);
	if (flags & 4)
		first = flags & 8 ? take_byte() : len;
	first = MIN(first, MIN(len, (size_t)SEND_SECTION_BYTES));
	len = MIN(len, first + HOST_DATA_PAGES * (size_t)GUEST_PAGE_SIZE);
	message.rndis_packet.section = first ? flags >> 6 : NVSP_NO_SECTION;
	message.rndis_packet.section_bytes = (uint32_t)first;
	put_in_section(flags >> 6, bytes, first);
	memcpy(fake_guest_ptr(&host.guest, host.data_gpa), bytes + first, len - first);
	if (flags & 0x10)
		message.rndis_packet.section = take_number();
	if (flags & 0x20)
		message.rndis_packet.section_bytes = take_number();
	pages = (len - first + GUEST_PAGE_SIZE - 1) / GUEST_PAGE_SIZE;
	list[0] = (uint64_t)1 << 32;
	list[1] = len - first;
	for (size_t i = 0; i < pages; i++)
		list[2 + i] = (host.data_gpa >> GUEST_PAGE_SHIFT) + i;
	(void)model_put(channel, pages ? VMPACKET_DATA_GPA_DIRECT : VMPACKET_DATA_INBAND, true, list,
			pages ? (2 + pages) * 8 : 0, &message, NVSP_MESSAGE_LEN, 0);
}

/* Where the pages lie: anywhere. */
static void step_pages(void)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_SEND_RNDIS_PACKET};
	uint64_t list[2 + 8] = {(uint64_t)1 << 32};
	size_t channel = take_channel(), pages = take_byte() % 9;

	message.rndis_packet.channel_type = take_byte() & 1;
	message.rndis_packet.section = NVSP_NO_SECTION;
	list[1] = (uint64_t)take_number() << 32 | take_number();
	for (size_t i = 0; i < pages; i++)
		list[2 + i] = take_number();
	if (take_byte() & 1)
		list[0] = (uint64_t)take_number() << 32;
	model_spoil(channel); /* a list that contradicts itself stops the channel */
	(void)model_put(channel, VMPACKET_DATA_GPA_DIRECT, true, list, (2 + pages) * 8, &message, NVSP_MESSAGE_LEN,
			message.rndis_packet.channel_type ? UINT32_MAX : 0);
}

static void step_raw(void)
{
	uint8_t bytes[2048], type = take_byte();
	size_t channel = take_channel(), header_len = take_byte() % 9 * 8u, len = take_bytes(bytes, sizeof(bytes));

	header_len = MIN(header_len, len / 8 * 8);
	if (type != VMPACKET_DATA_INBAND || len > 900)
		model_spoil(channel);
	(void)model_put(channel, type, true, bytes, header_len, bytes + header_len, len - header_len, UINT32_MAX);
}

static void step_ring(void)
{
	size_t channel = take_channel();
	struct ring_header *ring = take_byte() & 1 ? host.channel[channel].out : host.channel[channel].in;
	uint32_t *const fields[] = {&ring->write_index, &ring->read_index, &ring->interrupt_mask,
				    &ring->pending_send_size};

	if (!host.open[channel])
		return;
	model_spoil(channel);
	*fields[take_byte() % ARRAY_SIZE(fields)] = take_number();
	fake_kick(&host.channel[channel]);
}

/* ---- steps: what the guest does with what comes ---- */

static void step_poll(void)
{
	uint8_t flags = take_byte();

	host_run();
	(void)model_poll((flags >> 2) % HOST_CHANNELS, flags & 2 ? 1 : UINT32_MAX, flags & 1);
}

static void step_complete(void)
{
	size_t channel = take_channel();
	uint64_t held = model_held(channel);
	uint8_t how = take_byte();

	if (how & 1 && held)
		model_complete(channel, held);
	else
		model_complete(channel, how & 2 ? (uint64_t)take_number() << 32 | take_number() : take_number());
	if (how & 4 && held)
		model_complete(channel, held); /* twice */
}

static void step_give_back(void)
{
	model_give_back();
}

/* ---- steps: the host's ---- */

static void step_receive(void)
{
	uint8_t kind = take_byte(), flags = take_byte();

	host.in_len = make_frame(host.in, kind, true);
	host.in_count = 1 + (flags & 15u) * 4u;
	host.in_hdr = (struct virtio_net_hdr){0};
	if (flags & 0x10) {
		host.in_hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		host.in_hdr.csum_start = kind & 0x10 ? 54 : 34;
		host.in_hdr.csum_offset = kind & 0x20 ? 6 : 16;
	}
	if (flags & 0x20) {
		host.in_hdr.gso_type = kind & 0x10 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
		host.in_hdr.gso_size = 1448;
		host.in_hdr.hdr_len = 54;
	}
	if (flags & 0x40)
		host.in[take_number() % host.in_len] = take_byte();
	if (flags & 0x80)
		(void)take_bytes((uint8_t *)&host.in_hdr, sizeof(host.in_hdr));
	host_readable(kind >> 7);
}

static void step_full(void)
{
	host.full = true;
}

static void step_writable(void)
{
	host_writable();
}

static void step_set(void)
{
	struct nic_settings settings = host.settings;
	uint8_t what = take_byte();

	settings.link_down = what & 1;
	settings.mtu = what & 2 ? 9000 : what & 4 ? OID_MTU_MIN : 1500;
	settings.speed = what & 8 ? UINT64_C(1000000000) : SETTINGS_DEFAULT_SPEED;
	settings.vlan = what & 0x10 ? NIC_VLAN_ACCESS : NIC_VLAN_NONE;
	settings.vlan_tag = what & 0x10 ? 7 : 0;
	settings.may_change_mac = what & 0x20;
	settings.may_be_promiscuous = what & 0x40;
	host_set(&settings);
}

static void step_revoke(void)
{
	model_revoke(take_byte() % HOST_LENDS);
}

static void step_hold(void)
{
	host.hold = take_byte() & 1;
}

static void open_channel(size_t channel)
{
	if (host.open[channel])
		return;
	/* a GPADL that is torn down does not come again under the same number while the NIC is open */
	if (channel == 0)
		memset(host.gone, 0, sizeof(host.gone));
	host_open(channel);
}

static void step_open(void)
{
	size_t channel = take_channel();

	/* a worker shows sub-channels while their primary channel is open */
	if (channel == 0 || host.open[0])
		open_channel(channel);
}

static void step_close(void)
{
	size_t channel = take_channel();

	model_poll_all();
	if (!host_close(channel))
		return;
	if (channel == 0)
		model_poll_all();
	model_closed(channel);
}

static void step_kill(void)
{
	host_kill(NULL);
	if (host.failed_open && !model_tainted)
		__builtin_trap();
}

static void spoil(uint8_t *block, size_t len)
{
	for (unsigned int i = take_byte() % 8 + 1u; i > 0; i--) {
		uint32_t where = take_number() % 0x2000;

		/* the header, the slots; the device's state and table lie behind them */
		if (take_byte() & 1)
			where = (uint32_t)(len - 1 - where % (len - 1));
		block[where % len] = take_byte();
	}
}

static void step_spoil(void)
{
	model_tainted = true;
	host_kill(spoil);
}

static void step_refuse(void)
{
	netvsp_refuse(&host.netvsp);
}

static void (*const steps[])(void) = {
	step_run,	 step_poll,   step_init,     step_lend,	 step_nvsp,	step_sub_channels,
	step_initialize, step_filter, step_coalesce, step_rss,	 step_control,	step_raw_control,
	step_frames,	 step_pages,  step_raw,	     step_ring,	 step_complete, step_give_back,
	step_receive,	 step_full,   step_writable, step_set,	 step_revoke,	step_hold,
	step_open,	 step_close,  step_kill,     step_spoil, step_refuse,
};

/* ---- the whole ---- */

static void settle(void)
{
	host_run();
	for (size_t i = 0; i < HOST_CHANNELS; i++)
		(void)model_poll(i, UINT32_MAX, false);
	host_run();
}

static void prepare(uint8_t how)
{
	static const uint32_t versions[] = {NVSP_VERSION_61, NVSP_VERSION_1, NVSP_VERSION_5, NVSP_VERSION_6};

	host_open(0);
	if ((how & 3) == 0)
		return;
	put_init(versions[how >> 2 & 3]);
	put_lend(true, HOST_GPADL(HOST_LEND_RECEIVE));
	settle();
	put_lend(false, HOST_GPADL(HOST_LEND_SEND));
	settle();
	if ((how & 3) == 1)
		return;
	step_initialize();
	settle();
	put_filter(RNDIS_FILTER_DIRECTED | RNDIS_FILTER_BROADCAST | RNDIS_FILTER_ALL_MULTICAST);
	settle();
	if ((how & 3) == 2)
		return;
	step_sub_channels();
	settle();
	for (size_t i = 1; i < HOST_CHANNELS; i++)
		host_open(i);
	put_rss(1);
	settle();
}

static void finish(void)
{
	host.hold = false;
	for (unsigned int i = 0; i < 40; i++) {
		unsigned int any = 0;

		host_writable();
		host_run();
		for (size_t c = 0; c < HOST_CHANNELS; c++)
			any += model_poll(c, UINT32_MAX, false);
		model_give_back();
		if (any == 0 && i > 4)
			break;
	}
	host_run();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct nic_settings settings = {
		.alias = "net0", .mac = {2, 0, 0, 0, 0, 1}, .mtu = 1500, .queues = 1, .speed = SETTINGS_DEFAULT_SPEED};
	uint8_t kind;

	at = data;
	end = data + size;
	kind = take_byte();
	settings.backend = kind & 1 ? NIC_TAP : NIC_STREAM;
	settings.queues = kind & 1 ? 2 : 1;
	settings.mtu = kind & 2 ? 9000 : 1500;
	settings.may_spoof_mac = kind & 4;
	host_begin(&settings);
	model_begin();
	prepare(take_byte());
	for (unsigned int i = 0; i < STEPS_MAX && at < end; i++) {
		steps[take_byte() % ARRAY_SIZE(steps)]();
		model_check();
	}
	finish();
	model_check_end();
	host_end();
	return 0;
}
