/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two buffers that a guest lends: taken into use, given back, and mapped again by a successor.
 *
 * Theory of operation: a buffer is mapped with the worker's help: what named it is answered then, and one is mapped at
 * a time. What the guest revokes, by a message or by tearing down its GPADL, is given back at once: nothing that was
 * in it, or was to be, comes to the guest any more.
 */
#include <errno.h>
#include <stdatomic.h>

#include "base/bytes.h"
#include "guest/buffer.h"
#include "netvsp_int.h"
#include "sections.h"

uint32_t netvsp_section_bytes(uint32_t mtu)
{
	return ALIGN_UP(NETVSP_HEAD_LEN + mtu + ETHERNET_HEADER_LEN + 4u, NETVSP_PAGE);
}

/* @request: SEND_RECEIVE_BUFFER. Return: whether @buffer is in use now; *@next says how. */
static bool use_receive_buffer(struct netvsp *netvsp, const struct netvsp_request *request, struct vsp_buffer *buffer,
			       struct netvsp_state *next)
{
	_Atomic uint64_t *owner = vsp_channel_table(netvsp->channel[0]);
	size_t len = vsp_buffer_memory(buffer)->len;

	next->mtu = netvsp->settings.mtu;
	next->section_bytes = netvsp_section_bytes(next->mtu);
	next->sections = (uint32_t)MIN(len / next->section_bytes, (size_t)NETVSP_SECTIONS_MAX);
	next->receive_gpadl = request->message.send_buffer.gpadl;
	next->receive_id = request->message.send_buffer.id;
	if (next->sections < NETVSP_SECTIONS_MIN)
		return false;
	/* What an earlier buffer has left there. */
	for (size_t i = 0; i < NETVSP_SECTIONS_MAX; i++)
		atomic_store_explicit(&owner[i], 0, memory_order_relaxed);
	return sections_init(&netvsp->sections, buffer, next->sections, next->section_bytes, owner) == 0;
}

static void on_receive_buffer(void *arg, struct vsp_buffer *buffer, int error)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_SEND_RECEIVE_BUFFER_COMPLETE};
	struct nvsp_send_receive_buffer_complete *complete = &message.receive_buffer_complete;
	struct netvsp *netvsp = arg;
	struct netvsp_request *request = netvsp->mapping;
	struct netvsp_state next = *netvsp_state(netvsp);

	netvsp->mapping = NULL;
	if (error == -ECANCELED) { /* a successor is asked again */
		vsp_leave(request->vsp);
		return;
	}
	complete->status = NVSP_STATUS_FAILURE;
	if (!buffer || !use_receive_buffer(netvsp, request, buffer, &next)) {
		netvsp_complain(netvsp, "a receive buffer that cannot be used");
		vsp_buffer_release(buffer);
		netvsp_answer(request, &message, NULL);
		return;
	}
	complete->status = NVSP_STATUS_SUCCESS;
	complete->runs = 1;
	complete->run[0].section_bytes = next.section_bytes;
	complete->run[0].sections = next.sections;
	complete->run[0].end_offset = next.section_bytes * next.sections;
	netvsp_answer(request, &message, &next);
	rndis_go(netvsp); /* what had no section to be answered in */
	netvsp_listen(netvsp);
}

static void on_send_buffer(void *arg, struct vsp_buffer *buffer, int error)
{
	struct nvsp_message message = {.type = NVSP_MESSAGE_SEND_SEND_BUFFER_COMPLETE};
	struct netvsp *netvsp = arg;
	struct netvsp_request *request = netvsp->mapping;
	struct netvsp_state next = *netvsp_state(netvsp);

	netvsp->mapping = NULL;
	if (error == -ECANCELED) { /* as above */
		vsp_leave(request->vsp);
		return;
	}
	message.send_buffer_complete.status = NVSP_STATUS_FAILURE;
	if (buffer)
		next.send_sections = (uint32_t)MIN(vsp_buffer_memory(buffer)->len / NETVSP_SEND_SECTION_BYTES,
						   (size_t)NETVSP_SEND_SECTIONS_MAX);
	if (!buffer || next.send_sections == 0) {
		netvsp_complain(netvsp, "a send buffer that cannot be used");
		vsp_buffer_release(buffer);
		netvsp_answer(request, &message, NULL);
		return;
	}
	netvsp->send_buffer = buffer;
	next.send_gpadl = request->message.send_buffer.gpadl;
	next.send_id = request->message.send_buffer.id;
	message.send_buffer_complete.status = NVSP_STATUS_SUCCESS;
	message.send_buffer_complete.section_bytes = NETVSP_SEND_SECTION_BYTES;
	netvsp_answer(request, &message, &next);
}

/* @have: such a buffer is there already. */
static void map_buffer(struct netvsp *netvsp, struct netvsp_request *request, bool have, uint32_t refusal,
		       void (*done)(void *arg, struct vsp_buffer *buffer, int error))
{
	struct nvsp_message message = {.type = refusal};
	int r = have || netvsp->mapping ? -EBUSY : 0;

	if (r == 0) {
		netvsp->mapping = request;
		r = vsp_buffer_map(netvsp->channel[0], request->message.send_buffer.gpadl, done, netvsp);
		if (r == 0)
			return;
		netvsp->mapping = NULL;
	}
	netvsp_complain(netvsp, r == -EBUSY ? "a second buffer of its kind" : "a buffer, which could not be mapped");
	message.send_buffer_complete.status = NVSP_STATUS_FAILURE; /* where the other one has it, too */
	netvsp_answer(request, &message, NULL);
}

void netvsp_op_receive_buffer(struct netvsp *netvsp, struct netvsp_request *request)
{
	map_buffer(netvsp, request, netvsp->sections.memory != NULL, NVSP_MESSAGE_SEND_RECEIVE_BUFFER_COMPLETE,
		   on_receive_buffer);
}

void netvsp_op_send_buffer(struct netvsp *netvsp, struct netvsp_request *request)
{
	map_buffer(netvsp, request, netvsp->send_buffer != NULL, NVSP_MESSAGE_SEND_SEND_BUFFER_COMPLETE,
		   on_send_buffer);
}

/* Nothing that is in it, or was to be, comes to the guest any more; control messages that wait are refused. */
void netvsp_drop_receive_buffer(struct netvsp *netvsp)
{
	for (size_t i = 0; i < NETVSP_CHANNELS_MAX; i++)
		if (netvsp->channel[i])
			netvsp_receive_drop(netvsp, netvsp->channel[i]);
	sections_done(&netvsp->sections);
	netvsp->landing.sections = 0;
	rndis_go(netvsp);
	netvsp_listen(netvsp);
}

void netvsp_drop_send_buffer(struct netvsp *netvsp)
{
	vsp_buffer_release(netvsp->send_buffer);
	netvsp->send_buffer = NULL;
}

void netvsp_op_revoke_receive_buffer(struct netvsp *netvsp, struct netvsp_request *request)
{
	struct netvsp_state next;

	netvsp_drop_receive_buffer(netvsp);
	next = *netvsp_state(netvsp);
	next.sections = 0;
	next.answer_len = 0; /* one that has not left is not for whoever lends the next buffer */
	vsp_complete_state(request->vsp, NULL, 0, &next);
}

void netvsp_op_revoke_send_buffer(struct netvsp *netvsp, struct netvsp_request *request)
{
	struct netvsp_state next = *netvsp_state(netvsp);

	netvsp_drop_send_buffer(netvsp);
	next.send_sections = 0;
	vsp_complete_state(request->vsp, NULL, 0, &next);
}

void netvsp_revoked(struct vsp_channel *channel, struct vsp_buffer *buffer)
{
	struct netvsp *netvsp = netvsp_of(channel);

	/* The state says that it is there: a successor finds that it is not. */
	if (netvsp->sections.buffer == buffer)
		netvsp_drop_receive_buffer(netvsp);
	else if (netvsp->send_buffer == buffer)
		netvsp_drop_send_buffer(netvsp);
}

/* ---- a successor ---- */

static void on_receive_buffer_again(void *arg, struct vsp_buffer *buffer, int error)
{
	struct netvsp *netvsp = arg;
	const struct netvsp_state *state = netvsp_state(netvsp);

	/* Without one there is nowhere to put frames: the guest had asked for it back. */
	if (buffer && vsp_buffer_memory(buffer)->len >= (size_t)state->sections * state->section_bytes)
		error = sections_init(&netvsp->sections, buffer, state->sections, state->section_bytes,
				      vsp_channel_table(netvsp->channel[0]));
	if (!buffer || !netvsp->sections.memory) {
		log_warn(netvsp->settings.alias, "the guest's receive buffer is not there any more (%s)",
			 err_name(error));
		vsp_buffer_release(buffer);
	}
}

static void on_send_buffer_again(void *arg, struct vsp_buffer *buffer, int error)
{
	struct netvsp *netvsp = arg;
	size_t need = (size_t)netvsp_state(netvsp)->send_sections * NETVSP_SEND_SECTION_BYTES;

	if (buffer && vsp_buffer_memory(buffer)->len >= need) {
		netvsp->send_buffer = buffer;
		return;
	}
	log_warn(netvsp->settings.alias, "the guest's send buffer is not there any more (%s)", err_name(error));
	vsp_buffer_release(buffer);
}

int netvsp_map_again(struct netvsp *netvsp)
{
	const struct netvsp_state *state = netvsp_state(netvsp);
	int r = 0;

	if (state->sections > 0)
		r = vsp_buffer_map(netvsp->channel[0], state->receive_gpadl, on_receive_buffer_again, netvsp);
	if (r == 0 && state->send_sections > 0)
		r = vsp_buffer_map(netvsp->channel[0], state->send_gpadl, on_send_buffer_again, netvsp);
	return r;
}
