/* SPDX-License-Identifier: Apache-2.0 */
#include "netvsp_model.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "abi/rndis.h"
#include "base/bytes.h"
#include "daemons/vsp-netd/sections.h"

#define KEY(channel, id) ((uint64_t)(channel) << 48 | (id))
#define OTHER_BYTE	 0xa5

bool model_tainted;

struct request {
	bool in_flight;
	uint8_t channel;
	uint32_t control; /* type; 0: none, UINT32_MAX: unknown */
	uint32_t type;	  /* enum nvsp_message_type */
};

static struct {
	struct request request[MODEL_REQUESTS_MAX]; /* transaction id - 1 */
	uint32_t requests, in_flight;
	bool spoilt[HOST_CHANNELS], was_spoilt; /* now; ever */
	uint64_t owner[NETVSP_SECTIONS_MAX];	/* of sections that the guest has: KEY() */
	uint32_t held, section_bytes, sections;
	uint64_t seen[HOST_CHANNELS]; /* the host's packets: number of the last one */
	uint32_t owed;		      /* answers to control messages */
	bool loose;		      /* there may be others */
} model;

static bool trusted(size_t channel)
{
	return !model_tainted && !model.spoilt[channel] && !model.spoilt[0];
}

static uint8_t *section(uint32_t number)
{
	return (uint8_t *)fake_guest_ptr(&host.guest, host.receive_gpa) + (size_t)number * model.section_bytes;
}

/* What only a section that the guest has holds. */
static void stamp(uint32_t number)
{
	put_le64(section(number), ~(uint64_t)number);
	put_le64(section(number) + model.section_bytes - 8, ~(uint64_t)number);
}

static bool is_stamped(uint32_t number)
{
	return get_le64(section(number)) == ~(uint64_t)number &&
	       get_le64(section(number) + model.section_bytes - 8) == ~(uint64_t)number;
}

void model_begin(void)
{
	memset(&model, 0, sizeof(model));
	model_tainted = false;
	for (size_t i = 0; i < 2; i++)
		memset(fake_guest_ptr(&host.guest, host.other_gpa[i]), OTHER_BYTE, GUEST_PAGE_SIZE);
}

void model_spoil(size_t channel)
{
	model.spoilt[channel] = model.was_spoilt = true;
}

/* ---- sections ---- */

static void take_section(size_t channel, uint64_t id, const struct transfer_page_range *range)
{
	uint32_t number;

	assert(model.section_bytes > 0 && range->byte_offset % model.section_bytes == 0);
	number = range->byte_offset / model.section_bytes;
	assert(number < model.sections && range->byte_count <= model.section_bytes);
	assert(model.owner[number] == 0);
	model.owner[number] = KEY(channel, id);
	model.held++;
}

static void drop_sections(size_t channel, uint64_t id, bool all_of_channel, bool all)
{
	for (uint32_t i = 0; i < model.sections && model.held > 0; i++) {
		if (!model.owner[i])
			continue;
		if (!all && (all_of_channel ? model.owner[i] >> 48 != channel : model.owner[i] != KEY(channel, id)))
			continue;
		assert(model_tainted || model.was_spoilt || all || all_of_channel || is_stamped(i));
		model.owner[i] = 0;
		model.held--;
	}
}

void model_complete(size_t channel, uint64_t id)
{
	const uint64_t status[] = {NVSP_MESSAGE_SEND_RNDIS_PACKET_COMPLETE | (uint64_t)NVSP_STATUS_SUCCESS << 32};

	/* who completes what has not come yet has itself to blame for what it reads then */
	if (id > model.seen[channel] && id < SECTION_RECEIVED)
		id += SECTION_RECEIVED / 2;
	if (!host.open[channel] || fake_put_completion(&host.channel[channel], id, status, sizeof(status)) < 0)
		return;
	if (id > 0 && id < SECTION_RECEIVED)
		drop_sections(channel, id, false, false);
}

uint64_t model_held(size_t channel)
{
	for (uint32_t i = 0; i < model.sections && model.held > 0; i++)
		if (model.owner[i] && model.owner[i] >> 48 == channel)
			return model.owner[i] & (KEY(1, 0) - 1);
	return 0;
}

void model_give_back(void)
{
	for (size_t c = 0; c < HOST_CHANNELS; c++) {
		uint64_t id;

		while ((id = model_held(c))) {
			uint32_t before = model.held;

			model_complete(c, id);
			if (model.held == before)
				break; /* the ring is full, or closed */
		}
	}
}

/* ---- what comes ---- */

static void take_answer(const struct rndis_header *header)
{
	if (!(header->type & RNDIS_COMPLETION)) {
		assert(header->type == RNDIS_MESSAGE_INDICATE_STATUS);
		return;
	}
	assert(model.loose || model.owed > 0);
	model.owed -= model.owed > 0;
}

static void take_message(const uint8_t *bytes, uint32_t len)
{
	struct rndis_header header;
	struct rndis_packet packet;

	assert(len >= sizeof(header));
	memcpy(&header, bytes, sizeof(header));
	assert(header.len >= sizeof(header) && header.len <= len);
	if (header.type != RNDIS_MESSAGE_PACKET) {
		take_answer(&header);
		return;
	}
	assert(header.len >= sizeof(header) + sizeof(packet));
	memcpy(&packet, bytes + sizeof(header), sizeof(packet));
	assert(range_fits(packet.data_offset, packet.data_len, header.len - sizeof(header)));
	assert(range_fits(packet.info_offset, packet.info_len, header.len - sizeof(header)));
}

static void take_transfer(size_t channel, const struct fake_packet *packet, bool keep)
{
	const struct transfer_page_header *header = (const struct transfer_page_header *)packet->header;
	uint32_t count = header->range_count;

	assert(packet->header_len >= sizeof(*header) && count > 0 && count <= VSP_PAGE_RANGES_MAX);
	assert(packet->header_len >= sizeof(*header) + count * sizeof(header->range[0]));
	assert(get_le32(packet->payload) == NVSP_MESSAGE_SEND_RNDIS_PACKET);
	assert(packet->transaction_id > model.seen[channel]);
	model.seen[channel] = packet->transaction_id;
	for (uint32_t i = 0; i < count; i++) {
		take_section(channel, packet->transaction_id, &header->range[i]);
		take_message(section(header->range[i].byte_offset / model.section_bytes), header->range[i].byte_count);
		stamp(header->range[i].byte_offset / model.section_bytes);
	}
	if (!keep)
		model_complete(channel, packet->transaction_id);
}

static void take_buffer(const struct nvsp_message *answer)
{
	const struct nvsp_send_receive_buffer_complete *complete = &answer->receive_buffer_complete;

	if (complete->status != NVSP_STATUS_SUCCESS)
		return;
	assert(model.held == 0 && complete->runs == 1);
	model.section_bytes = complete->run[0].section_bytes;
	model.sections = complete->run[0].sections;
	assert((uint64_t)model.section_bytes * model.sections <= HOST_RECEIVE_PAGES * GUEST_PAGE_SIZE);
}

static void take_completion(size_t channel, const struct fake_packet *packet)
{
	struct nvsp_message answer = {0};
	struct request *request;

	assert(packet->transaction_id > 0 && packet->transaction_id <= model.requests);
	request = &model.request[packet->transaction_id - 1];
	assert(request->in_flight && request->channel == channel);
	request->in_flight = false;
	model.in_flight--;
	memcpy(&answer, packet->payload, MIN((size_t)packet->payload_len, sizeof(answer)));
	if (channel == 0 && request->type == NVSP_MESSAGE_REVOKE_RECEIVE_BUFFER) {
		drop_sections(0, 0, false, true);
		model.owed = 0;
	}
	if (answer.type == NVSP_MESSAGE_SEND_RECEIVE_BUFFER_COMPLETE)
		take_buffer(&answer);
	if (answer.type != NVSP_MESSAGE_SEND_RNDIS_PACKET_COMPLETE || request->control == 0)
		return;
	if (answer.rndis_packet_complete.status == NVSP_STATUS_SUCCESS && request->control != RNDIS_MESSAGE_HALT)
		model.owed++;
}

unsigned int model_poll(size_t channel, unsigned int most, bool keep)
{
	static struct fake_packet packet;
	unsigned int count = 0;

	if (!host.open[channel])
		return 0;
	if (!trusted(channel)) { /* whatever it is, it is lost */
		model.spoilt[channel] = true;
		host.channel[channel].in_read =
			host.channel[channel].in->write_index % host.channel[channel].data_len & ~7u;
		return 0;
	}
	while (count < most && fake_get(&host.channel[channel], &packet) == 0) {
		count++;
		if (packet.type == VMPACKET_DATA_TRANSFER_PAGES)
			take_transfer(channel, &packet, keep);
		else if (packet.type == VMPACKET_COMPLETION)
			take_completion(channel, &packet);
		else
			assert(!"a packet of no kind that hosts send");
	}
	return count;
}

/* ---- what goes ---- */

/* What is on its way comes before the buffer goes: guests see to that. */
void model_poll_all(void)
{
	unsigned int any;

	do {
		any = 0;
		host_run();
		for (size_t i = 0; i < HOST_CHANNELS; i++)
			any += model_poll(i, UINT32_MAX, true);
	} while (any > 0);
}

bool model_put(size_t channel, uint16_t type, bool completion, const void *header, size_t header_len,
	       const void *message, size_t len, uint32_t control)
{
	struct request *request = &model.request[model.requests];
	uint32_t nvsp = len >= 4 ? get_le32(message) : 0;
	bool revokes = channel == 0 && nvsp == NVSP_MESSAGE_REVOKE_RECEIVE_BUFFER;

	if (!host.open[channel] || model.requests == MODEL_REQUESTS_MAX)
		return false;
	if (type == VMPACKET_COMPLETION) {
		model_complete(channel, model.requests);
		return true;
	}
	completion |= revokes;
	if (revokes)
		model_poll_all();
	if (fake_put(&host.channel[channel], type, completion ? VMPACKET_FLAG_COMPLETION_REQUESTED : 0,
		     model.requests + 1, header, header_len, message, len) < 0)
		return false;
	if (control == UINT32_MAX || (control && !completion))
		model.loose = true;
	if (completion) {
		*request = (struct request){true, (uint8_t)channel, control, nvsp};
		model.in_flight++;
		model.requests++;
	}
	if (revokes)
		model_poll_all();
	return true;
}

bool model_control_page(uint64_t *ret_gpa)
{
	uint32_t back = MIN(model.requests, HOST_CONTROL_PAGES - 1);

	*ret_gpa = host.control_gpa + (uint64_t)(model.requests % HOST_CONTROL_PAGES) * GUEST_PAGE_SIZE;
	return model.requests < HOST_CONTROL_PAGES ||
	       !model.request[model.requests - back - 1].in_flight; /* who used the page last */
}

void model_revoke(unsigned int lend)
{
	model_poll_all();
	host_revoke(lend);
	model_poll_all();
	if (lend == HOST_LEND_RECEIVE)
		drop_sections(0, 0, false, true);
}

void model_closed(size_t channel)
{
	for (uint32_t i = 0; i < model.requests; i++) {
		if (model.request[i].in_flight && model.request[i].channel == channel) {
			model.request[i].in_flight = false;
			model.in_flight--;
		}
	}
	drop_sections(channel, 0, true, channel == 0);
	if (channel == 0) {
		model.owed = 0;
		model.loose = false;
	}
	model.spoilt[channel] = false;
	model.seen[channel] = 0;
}

/* ---- what is true ---- */

static void check_others(void)
{
	for (size_t i = 0; i < 2; i++) {
		const uint8_t *page = fake_guest_ptr(&host.guest, host.other_gpa[i]);

		assert(page[0] == OTHER_BYTE && memcmp(page, page + 1, GUEST_PAGE_SIZE - 1) == 0);
	}
}

static void check_sections(const struct netvsp_sections *sections)
{
	uint32_t used = 0;

	if (!sections->memory || !host.netvsp.settled)
		return;
	for (uint32_t i = 0; i < sections->count; i++) {
		uint64_t word = atomic_load(&sections->owner[i]);

		used += word != 0;
		if (i < model.sections && model.owner[i] && trusted(model.owner[i] >> 48))
			assert((word & ~(SECTION_CONTROL | SECTION_FURTHER)) == model.owner[i]);
	}
	/* those that the guest has given back and nobody has looked at yet are used */
	assert(used + sections->free + host.netvsp.landing.sections == sections->count);
}

/* Only a guest that breaks its ring loses it. */
static void check_channels(void)
{
	for (size_t i = 0; i < HOST_CHANNELS; i++)
		assert(!host_channel(i) || !host_channel(i)->failed || model.spoilt[i]);
}

void model_check(void)
{
	check_others();
	if (!model_tainted) {
		check_sections(&host.netvsp.sections);
		check_channels();
	}
}

/* Nothing is lost, either. */
static void check_all_free(const struct netvsp_sections *sections)
{
	for (size_t i = 0; i < HOST_CHANNELS; i++)
		if (model.spoilt[i] || model.was_spoilt)
			return;
	assert(host.netvsp.stuck == 0);
	assert(!sections->memory || sections->free + host.netvsp.landing.sections == sections->count);
}

void model_check_end(void)
{
	model_check();
	if (model_tainted)
		return;
	for (uint32_t i = 0; i < model.requests; i++)
		assert(!model.request[i].in_flight || !trusted(model.request[i].channel) ||
		       !host.open[model.request[i].channel]);
	if (host_channel(0) && trusted(0) && host.netvsp.sections.memory && !model.loose) {
		assert(model.owed == 0);
		check_all_free(&host.netvsp.sections);
	}
}
