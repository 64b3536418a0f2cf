// SPDX-License-Identifier: Apache-2.0
/*
 * Integration services from the guest's side. "mode=N" on the command line is the row of the table at the end. Where it
 * says "guest: ask me", a request for shutdown or reboot should come.
 */
#include "abi/hyperv.h"
#include "abi/ic.h"
#include "rt.h"
#include "vmbus.h"

#define RING_PAGES 8u
#define PACKET_MAX 4096u

#define YEAR_2020     (IC_TIME_UNIX_EPOCH + 1577836800ull * 10000000)
#define SAMPLE_AGE    600000000ull /* 100 ns: a minute, on a busy host */
#define NOISE_PACKETS 200u

static const struct service {
	const char *name;
	struct abi_guid type;
	uint16_t message;
	uint32_t versions;
	struct ic_version version[4];
} services[] = {
	{"shutdown", IC_SHUTDOWN_GUID, IC_MESSAGE_SHUTDOWN, 4, {{1, 0}, {3, 0}, {3, 1}, {3, 2}}},
	{"heartbeat", IC_HEARTBEAT_GUID, IC_MESSAGE_HEARTBEAT, 2, {{1, 0}, {3, 0}}},
	{"timesync", IC_TIMESYNC_GUID, IC_MESSAGE_TIMESYNC, 3, {{1, 0}, {3, 0}, {4, 0}}},
};

enum { SHUTDOWN, HEARTBEAT, TIMESYNC, SERVICES };

/* A packet of the host, as it lies in the ring. */
struct packet {
	uint64_t id;
	uint32_t len;
	union {
		uint8_t bytes[PACKET_MAX];
		struct {
			struct ic_pipe_header pipe;
			struct ic_header header;
			union {
				struct {
					struct ic_negotiate head;
					struct ic_version list[16];
				} negotiate;
				struct ic_heartbeat heartbeat;
				struct ic_shutdown shutdown;
				struct ic_timesync timesync;
				struct ic_timesync_ref timesync_ref;
			};
		} __attribute__((packed));
	};
};

static struct vmbus_msg_offer_channel offers[VMBUS_OFFERS];
static uint32_t offer_count;
static struct vmbus_channel channels[SERVICES];
static uint8_t rings[SERVICES][RING_PAGES * VMBUS_PAGE_SIZE] __attribute__((aligned(4096)));
static struct packet packet;

static void connect(void)
{
	if (!vmbus_contact(VMBUS_VERSION_5_3, 0))
		rt_fail("version 5.3 is refused");
	offer_count = vmbus_request_offers(offers);
}

static void open_service(uint32_t n)
{
	const struct vmbus_msg_offer_channel *offer = vmbus_find(offers, offer_count, services[n].type);

	rt_check(offer, "%s is not offered", services[n].name);
	rt_check(!vmbus_open(&channels[n], offer, rings[n], RING_PAGES, 0), "%s: cannot be opened", services[n].name);
}

/* The next packet of the host. */
static void receive(uint32_t n, uint16_t type)
{
	struct vmpacket_descriptor desc;

	vmbus_wait_packet(&channels[n]);
	rt_check(vmbus_receive(&channels[n], &desc, packet.bytes, PACKET_MAX, &packet.len), "no packet");
	packet.id = desc.transaction_id;
	rt_check(desc.type == VMPACKET_DATA_INBAND && packet.pipe.len >= sizeof(struct ic_header) &&
			 packet.pipe.len + sizeof(packet.pipe) <= packet.len &&
			 packet.header.len + sizeof(packet.header) == packet.pipe.len &&
			 packet.header.flags == (IC_FLAG_TRANSACTION | IC_FLAG_REQUEST),
		 "%s: a malformed packet of %u bytes", services[n].name, packet.len);
	rt_check(packet.header.type == type, "%s: message %u instead of %u", services[n].name, packet.header.type,
		 type);
}

static void send(uint32_t n, const void *payload, uint32_t len)
{
	if (!vmbus_send(&channels[n], VMPACKET_DATA_INBAND, packet.id, NULL, 0, payload, len))
		rt_fail("%s: the ring is full", services[n].name);
}

static void answer(uint32_t n, uint32_t status)
{
	packet.header.status = status;
	packet.header.flags = IC_FLAG_TRANSACTION | IC_FLAG_RESPONSE;
	send(n, packet.bytes, packet.len);
}

/* Open, check what is spoken, choose. */
static void use(uint32_t n, struct ic_version version)
{
	const struct service *service = &services[n];
	struct ic_version *list = packet.negotiate.list;

	open_service(n);
	receive(n, IC_MESSAGE_NEGOTIATE);
	rt_check(packet.negotiate.head.framework_count == 2 && list[0].major == 1 && list[1].major == 3,
		 "%s: other frameworks", service->name);
	rt_check(packet.negotiate.head.version_count == service->versions &&
			 !memcmp(list + 2, service->version, service->versions * sizeof(*list)),
		 "%s: other versions", service->name);
	packet.negotiate.head.framework_count = packet.negotiate.head.version_count = 1;
	packet.negotiate.head.reserved = 0;
	list[0] = (struct ic_version){3, 0};
	list[1] = version;
	packet.header.len =
		sizeof(packet.negotiate.head) + 2 * sizeof(*list); /* the pipe's stays, as Linux leaves it */
	answer(n, IC_STATUS_OK);
}

static void use_newest(uint32_t n)
{
	use(n, services[n].version[services[n].versions - 1]);
}

static void heartbeat(void)
{
	receive(HEARTBEAT, IC_MESSAGE_HEARTBEAT);
	packet.heartbeat.sequence++;
	answer(HEARTBEAT, IC_STATUS_OK);
}

/* The first sample asks for the clock to be set. */
static void check_time(bool with_reference)
{
	uint64_t now, time;

	receive(TIMESYNC, IC_MESSAGE_TIMESYNC);
	time = with_reference ? packet.timesync_ref.host_time : packet.timesync.host_time;
	rt_check(time > YEAR_2020, "the host's time is %lu", time);
	rt_check((with_reference ? packet.timesync_ref.flags : packet.timesync.flags) == IC_TIMESYNC_SYNC,
		 "the first sample is not to be followed");
	now = rt_rdmsr(HV_X64_MSR_TIME_REF_COUNT);
	if (with_reference)
		rt_check(now - packet.timesync_ref.reference_time < SAMPLE_AGE, "a sample of %lu at reference time %lu",
			 packet.timesync_ref.reference_time, now);
	answer(TIMESYNC, IC_STATUS_OK);
}

/* Wait to be asked. Return: the flags; it is not answered yet. */
static uint32_t asked(void)
{
	rt_printf("guest: ask me\n");
	receive(SHUTDOWN, IC_MESSAGE_SHUTDOWN);
	return packet.shutdown.flags;
}

/* Every service in every version; then what is asked for, by the book. */
static void talk(void)
{
	uint32_t flags;

	for (uint32_t n = 0; n < SERVICES; n++)
		for (uint32_t v = 0; v < services[n].versions; v++) {
			use(n, services[n].version[v]);
			if (n == HEARTBEAT)
				heartbeat();
			else if (n == TIMESYNC)
				check_time(services[n].version[v].major >= 4);
			if (v + 1 < services[n].versions)
				vmbus_close(&channels[n]);
		}
	flags = asked();
	answer(SHUTDOWN, IC_STATUS_OK);
	if (flags == IC_SHUTDOWN_RESTART)
		rt_reset();
	rt_check(flags == 0, "flags %#x", flags);
}

/* Refused; closed in the middle; something else is done than was agreed to. */
static void refuse(void)
{
	use_newest(SHUTDOWN);
	asked();
	answer(SHUTDOWN, IC_STATUS_FAIL);
	asked();
	vmbus_close(&channels[SHUTDOWN]);
	use_newest(SHUTDOWN);
	asked();
	vmbus_unload();
	connect();
	use_newest(SHUTDOWN);
	asked();
	answer(SHUTDOWN, IC_STATUS_OK);
	rt_reset();
}

static void stay(void)
{
	for (;;)
		__asm__ volatile("sti; hlt");
}

static void no_driver(void)
{
	rt_printf("guest: ask me\n");
	stay();
}

static void agree_only(void)
{
	use_newest(SHUTDOWN);
	asked();
	answer(SHUTDOWN, IC_STATUS_OK);
	rt_printf("guest: agreed\n");
	stay();
}

static void noise(uint32_t n)
{
	static uint8_t bytes[2048];
	uint32_t seed = n + 1;

	for (uint32_t i = 0; i < NOISE_PACKETS; i++) {
		uint32_t len = seed % 512;

		for (uint32_t b = 0; b < len; b++) {
			seed = seed * 1103515245 + 12345;
			bytes[b] = (uint8_t)(seed >> 16);
		}
		if (i % 2) { /* lengths that hold, so that more of it is looked at */
			struct ic_pipe_header pipe = {IC_PIPE_DATA, 40};
			struct ic_header header = {.type = (uint16_t)(i % 8), .len = 20, .flags = (uint8_t)(i % 16)};

			memcpy(bytes, &pipe, sizeof(pipe));
			memcpy(bytes + sizeof(pipe), &header, sizeof(header));
			len = 48;
		}
		while (!vmbus_send(&channels[n], VMPACKET_DATA_INBAND, i, NULL, 0, bytes, len))
			__asm__ volatile("pause");
	}
}

/* None of it costs more than the channel; the other services go on. */
static void hostile(void)
{
	static uint8_t wide[3 * VMBUS_PAGE_SIZE - 256];

	for (uint32_t n = 0; n < SERVICES; n++) {
		open_service(n); /* and answers wrongly */
		noise(n);
		vmbus_close(&channels[n]);
		open_service(n);
		send(n, wide, sizeof(wide)); /* longer than any message */
		vmbus_close(&channels[n]);
		use_newest(n);
		noise(n);
		channels[n].out.header->write_index = 12345;
		vmbus_signal(&channels[n]);
		vmbus_close(&channels[n]);
		use_newest(n);
		channels[n].in.header->read_index = 0xffffffff;
		channels[n].out.header->write_index = 0xfffffff8;
		vmbus_signal(&channels[n]);
	}
	vmbus_unload();
	connect();
	use_newest(HEARTBEAT);
	heartbeat();
	use_newest(TIMESYNC);
	check_time(true);
	use_newest(SHUTDOWN);
	rt_check(asked() == 0, "other flags");
	answer(SHUTDOWN, IC_STATUS_OK);
}

void rt_main(const char *cmdline)
{
	static void (*const modes[])(void) = {talk, refuse, no_driver, agree_only, hostile};

	vmbus_start();
	vmbus_synic_start(0);
	connect();
	modes[rt_option(cmdline, "mode", 0)]();
	rt_pass();
}
