/* SPDX-License-Identifier: Apache-2.0 */
#include "vsp_fixture.h"

#include <criterion/criterion.h>

struct loop *loop;
struct fake_guest guest;
struct fake_channel peer;
struct fake_worker *worker;
struct vsp *vsp;
struct fake_packet got;
const char *gone;

static void worker_gone(void *arg, const char *why)
{
	(void)arg;
	gone = why;
}

void vf_init(size_t memory, uint32_t ring_pages, const struct fake_provider *provider)
{
	static const struct fake_provider plain = {.name = "test"};

	cr_assert_eq(loop_new(&loop), 0);
	fake_guest_init(&guest, memory, 2);
	fake_channel_init(&peer, &guest, 9, 0, ring_pages);
	worker = fake_worker_new(loop, &guest, provider ? provider : &plain);
}

void vf_done(void)
{
	vsp_free(vsp);
	fake_worker_free(worker);
	fake_channel_done(&peer);
	fake_guest_done(&guest);
	loop_free(loop);
}

void vf_attach(void)
{
	struct vsp_config config = {
		.name = "test", .worker_gone = worker_gone, .worker_path = fake_worker_path(worker)};
	struct err err = {0};

	cr_assert_eq(vsp_attach(loop, &config, &vsp, &err), 0, "%s", err.text);
}

void vf_offer(const char *name, const struct vsp_device_ops *ops, void *arg)
{
	const struct vsp_offer_desc offer = {.interface_guid = {{1}}, .instance_guid = {{2}}, .name = name};
	struct err err = {0};

	cr_assert_eq(vsp_offer(vsp, &offer, ops, arg, &err), 0, "%s", err.text);
	cr_assert_eq(vsp_ready(vsp, &err), 0, "%s", err.text);
	cr_assert_eq(fake_worker_wait_ready(worker), 0);
}
