/* SPDX-License-Identifier: Apache-2.0 */
/* Heartbeat, shutdown, time synchronization. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "ic_fixture.h"

TestSuite(ic_services, .init = icf_init, .fini = icf_done);

/* ---- heartbeat ---- */

static void beat(void)
{
	struct fake_packet packet;
	struct ic_message request = icf_next(HEARTBEAT, &packet);

	cr_assert_eq(request.type, IC_MESSAGE_HEARTBEAT);
	cr_assert_eq(request.len, sizeof(struct ic_heartbeat));
	icf_answer(HEARTBEAT, &request, IC_STATUS_OK);
}

Test(ic_services, a_guest_that_answers_heartbeats_is_ok)
{
	cr_assert_eq(ic_heartbeat(icf.ic), IC_HEARTBEAT_UNKNOWN);
	icf_use(HEARTBEAT, 3, 0);
	cr_assert_eq(ic_heartbeat(icf.ic), IC_HEARTBEAT_UNKNOWN);
	beat();
	cr_assert_eq(ic_heartbeat(icf.ic), IC_HEARTBEAT_OK);
	icf_tick(HEARTBEAT);
	beat();
	icf_close(HEARTBEAT);
	cr_assert_eq(ic_heartbeat(icf.ic), IC_HEARTBEAT_UNKNOWN);
}

Test(ic_services, a_heartbeat_is_lost_after_some_and_found_again)
{
	unsigned int changes;

	icf_use(HEARTBEAT, 1, 0);
	beat();
	icf_tick(HEARTBEAT);
	ic_pace_over(icf.ic);
	ic_pace_over(icf.ic);
	changes = icf.changes;
	for (unsigned int i = 1; i < IC_HEARTBEAT_MISSED_MAX; i++)
		icf_tick(HEARTBEAT);
	cr_assert_eq(ic_heartbeat(icf.ic), IC_HEARTBEAT_OK);
	icf_tick(HEARTBEAT);
	cr_assert_eq(ic_heartbeat(icf.ic), IC_HEARTBEAT_LOST);
	for (unsigned int i = 0; i < 1000; i++)
		icf_tick(HEARTBEAT);
	cr_assert_eq(icf.changes, changes + 1);
	beat();
	cr_assert_eq(ic_heartbeat(icf.ic), IC_HEARTBEAT_OK);
	cr_assert(icf_silent(HEARTBEAT)); /* one was under way all the time */
}

Test(ic_services, a_pause_is_no_lost_heartbeat)
{
	icf_use(HEARTBEAT, 3, 0);
	beat();
	icf_tick(HEARTBEAT);
	for (unsigned int i = 1; i < IC_HEARTBEAT_MISSED_MAX; i++)
		icf_tick(HEARTBEAT);
	ic_running(icf.ic, false);
	ic_running(icf.ic, true);
	icf_tick(HEARTBEAT);
	cr_assert_eq(ic_heartbeat(icf.ic), IC_HEARTBEAT_OK);
	beat();
}

/* ---- shutdown ---- */

static struct ic_message asked(struct fake_packet *packet, uint32_t flags)
{
	struct ic_message request = icf_next(SHUTDOWN, packet);
	struct ic_shutdown body;

	cr_assert_eq(request.type, IC_MESSAGE_SHUTDOWN);
	cr_assert_eq(request.len, sizeof(body));
	memcpy(&body, request.body, sizeof(body));
	cr_assert_eq(body.flags, flags);
	cr_assert_eq(body.timeout_s, 90);
	cr_assert_eq(icf.answers, 0);
	return request;
}

Test(ic_services, shutdown_is_agreed_to)
{
	struct fake_packet packet;
	struct ic_message request;

	icf_use(SHUTDOWN, 3, 2);
	icf_ask(0);
	request = asked(&packet, 0);
	icf_answer(SHUTDOWN, &request, IC_STATUS_OK);
	cr_assert_eq(icf.answers, 1);
	cr_assert_eq(icf.answer.code, 0);
	icf_close(SHUTDOWN);
	cr_assert_eq(icf.answers, 1);
}

Test(ic_services, restart_by_force_is_refused)
{
	struct fake_packet packet;
	struct ic_message request;

	icf_use(SHUTDOWN, 1, 0);
	icf_ask(IC_SHUTDOWN_RESTART | IC_SHUTDOWN_FORCE);
	request = asked(&packet, 3);
	icf_answer(SHUTDOWN, &request, IC_STATUS_FAIL);
	cr_assert_eq(icf.answer.code, -EREMOTEIO);
	cr_assert(strstr(icf.answer.text, "0x80004005"));
	icf_ask(0); /* it can be asked again */
	cr_assert_eq(icf.answers, 1);
}

Test(ic_services, no_service_and_no_driver_yet)
{
	icf_ask(0);
	cr_assert_eq(icf.answer.code, -EOPNOTSUPP);
	icf_open(SHUTDOWN); /* but nothing negotiated */
	icf_ask(0);
	cr_assert_eq(icf.answers, 2);
	cr_assert_eq(icf.answer.code, -EOPNOTSUPP);
}

Test(ic_services, two_requests_at_once)
{
	struct fake_packet packet;
	struct ic_message request;

	icf_use(SHUTDOWN, 3, 0);
	icf_ask(0);
	request = asked(&packet, 0);
	icf_ask(IC_SHUTDOWN_RESTART);
	cr_assert_eq(icf.answers, 1);
	cr_assert_eq(icf.answer.code, -EBUSY);
	cr_assert(icf_silent(SHUTDOWN));
	icf_answer(SHUTDOWN, &request, IC_STATUS_OK);
	cr_assert_eq(icf.answers, 2);
	cr_assert_eq(icf.answer.code, 0);
}

Test(ic_services, no_answer)
{
	struct fake_packet packet;
	struct ic_message request;

	icf_use(SHUTDOWN, 3, 0);
	icf_ask(0);
	request = asked(&packet, 0);
	ic_shutdown_overdue(icf.ic);
	cr_assert_eq(icf.answer.code, -ETIMEDOUT);
	icf_ask(0);
	cr_assert_eq(icf.answer.code, -EBUSY);
	icf_answer(SHUTDOWN, &request, IC_STATUS_OK); /* late */
	cr_assert_eq(icf.answers, 2);
}

Test(ic_services, the_guest_closes_before_it_answers)
{
	struct fake_packet packet;

	icf_use(SHUTDOWN, 3, 0);
	icf_ask(0);
	asked(&packet, 0);
	icf.ops->quiesce(icf.arg);
	cr_assert_eq(icf.answers, 1);
	cr_assert_eq(icf.answer.code, -ECANCELED);
}

Test(ic_services, the_worker_ends_before_an_answer)
{
	icf_use(SHUTDOWN, 3, 0);
	icf_ask(0);
	ic_free(icf.ic);
	icf.ic = NULL;
	cr_assert_eq(icf.answer.code, -ECANCELED);
}

/* ---- time synchronization ---- */

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return IC_TIME_UNIX_EPOCH + (uint64_t)ts.tv_sec * 10000000 + (uint64_t)ts.tv_nsec / 100;
}

/* The next sample in the form of @major; answered. */
static void sample(unsigned int major, uint8_t flags, uint64_t since)
{
	struct fake_packet packet;
	struct ic_message request = icf_next(TIMESYNC, &packet);
	struct ic_timesync old;
	struct ic_timesync_ref ref;

	cr_assert_eq(request.type, IC_MESSAGE_TIMESYNC);
	cr_assert_eq(request.version.major, major);
	if (major >= 4) {
		cr_assert_eq(request.len, sizeof(ref));
		memcpy(&ref, request.body, sizeof(ref));
		cr_assert_eq(ref.reference_time, REFERENCE_TIME);
		cr_assert_eq(ref.flags, flags);
		cr_assert(ref.host_time >= since && ref.host_time <= now());
	} else {
		cr_assert_eq(request.len, sizeof(old));
		memcpy(&old, request.body, sizeof(old));
		cr_assert_eq(old.flags, flags);
		cr_assert(old.host_time >= since && old.host_time <= now());
	}
	icf_answer(TIMESYNC, &request, IC_STATUS_OK);
}

Test(ic_services, time_in_the_form_of_each_version)
{
	static const uint16_t majors[] = {1, 3, 4};

	for (unsigned int i = 0; i < 3; i++) {
		uint64_t since = now();

		icf_use(TIMESYNC, majors[i], 0);
		sample(majors[i], IC_TIMESYNC_SYNC, since);
		cr_assert(icf_silent(TIMESYNC));
		icf_tick(TIMESYNC);
		sample(majors[i], IC_TIMESYNC_SAMPLE, since);
		icf_close(TIMESYNC);
	}
}

Test(ic_services, the_time_is_told_after_a_pause)
{
	uint64_t since = now();

	icf_use(TIMESYNC, 4, 0);
	sample(4, IC_TIMESYNC_SYNC, since);
	ic_running(icf.ic, false);
	cr_assert(icf_silent(TIMESYNC));
	since = now();
	ic_running(icf.ic, true);
	sample(4, IC_TIMESYNC_SYNC, since);
}

Test(ic_services, a_sample_from_before_a_pause_does_not_keep_the_new_one_back)
{
	icf_use(TIMESYNC, 3, 0);
	sample(3, IC_TIMESYNC_SYNC, 0);
	icf_tick(TIMESYNC);
	ic_running(icf.ic, false);
	ic_running(icf.ic, true);
	sample(3, IC_TIMESYNC_SAMPLE, 0);
	sample(3, IC_TIMESYNC_SYNC, 0);
	cr_assert(icf_silent(TIMESYNC));
}

Test(ic_services, a_guest_asks_for_the_time)
{
	struct ic_timesync body = {0};
	const struct ic_message request = {
		.framework = {3, 0},
		.version = {3, 0},
		.type = IC_MESSAGE_TIMESYNC,
		.flags = IC_FLAG_TRANSACTION | IC_FLAG_REQUEST,
		.body = &body,
		.len = sizeof(body),
	};

	icf_use(TIMESYNC, 3, 0);
	sample(3, IC_TIMESYNC_SYNC, 0);
	icf_send(TIMESYNC, &request);
	for (unsigned int i = 0; i < 50; i++)
		icf_send(TIMESYNC, &request); /* that are not answered make no more than one to come */
	sample(3, IC_TIMESYNC_SYNC, 0);
	sample(3, IC_TIMESYNC_SYNC, 0);
	cr_assert(icf_silent(TIMESYNC));
}
