/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/stats.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct stats_reading take(const char *json)
{
	struct json_object *object = json_tokener_parse(json);
	struct stats_reading reading;

	cr_assert_not_null(object);
	cr_assert_eq(stats_reading_take(object, &reading), 0);
	json_object_put(object);
	return reading;
}

Test(stats, times)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} rows[] = {
		{0, "0ns"},	      {999, "999ns"},	     {1000, "1.00us"},
		{12345, "12.3us"},    {123456, "123us"},     {1000000, "1.00ms"},
		{59900000, "59.9ms"}, {1000000000, "1.00s"}, {123000000000, "123s"},
	};
	char text[16];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		stats_put_time(text, sizeof(text), rows[i].ns);
		cr_expect_str_eq(text, rows[i].text);
	}
}

Test(stats, percentiles)
{
	static const struct stats_histogram none, one = {1, {{1000, 2000, 10}}},
						  many = {3, {{0, 100, 50}, {100, 200, 49}, {4000, UINT64_MAX, 1}}};

	cr_expect_eq(stats_percentile(&none, 50), 0);
	cr_expect_eq(stats_percentile(&one, 50), 1500);
	cr_expect_eq(stats_percentile(&one, 100), 2000);
	cr_expect_eq(stats_percentile(&many, 50), 100);
	cr_expect_eq(stats_percentile(&many, 99), 200);
	cr_expect_eq(stats_percentile(&many, 100), 4000);
}

#define CLASS(reqs, bars) "{\"reqs\": " #reqs ", \"bytes\": 4096, \"errors\": 1, \"wait\": {\"histogram\": " bars "}}"

Test(stats, a_reading)
{
	struct stats_reading r =
		take("{\"time\": 5, \"vmbus\": {\"requests\": 9, \"kicks\": 3, \"interrupts\": 4},"
		     "\"block\": [{\"name\": \"sda\", \"id\": 7, \"queue\": 2, \"queue_peak\": 30,"
		     "\"rd\": " CLASS(10, "[[64, 128, 6], [0, 64, 4]]") ","
									"\"wr\": " CLASS(20, "[[64, 128, 20]]") "}]}");

	cr_assert_eq(r.disks, 1);
	cr_expect_eq(r.time_ns, 5);
	cr_expect_eq(r.requests, 9);
	cr_expect_eq(r.kicks, 3);
	cr_expect_eq(r.interrupts, 4);
	cr_expect_str_eq(r.disk[0].name, "sda");
	cr_expect_eq(r.disk[0].reads, 10);
	cr_expect_eq(r.disk[0].written_bytes, 4096);
	cr_expect_eq(r.disk[0].errors, 2);
	cr_expect_eq(r.disk[0].queue, 2);
	cr_expect_eq(r.disk[0].queue_peak, 30);
	cr_assert_eq(r.disk[0].part[0].count, 2);
	cr_expect_eq(r.disk[0].part[0].bar[0].times, 4);
	cr_expect_eq(r.disk[0].part[0].bar[1].times, 26);
	stats_reading_done(&r);
}

Test(stats, nics)
{
	static const char first[] =
		"{\"time\": 1, \"net\": [{\"name\": \"net0\", \"id\": 3, \"kicks\": 5, \"interrupts\": 6, \"lost\": 2,"
		"\"rx\": {\"pkts\": 100, \"bytes\": 2097152, \"errs\": 1, \"drop\": 4, \"drop_unready\": 4},"
		"\"tx\": {\"pkts\": 50, \"bytes\": 1048576, \"errs\": 0, \"drop\": 3, \"drop_refused\": 3},"
		"\"transfers\": {\"wait\": {\"histogram\": [[0, 64, 9]]}}}]}";
	static const char then[] = "{\"time\": 2, \"net\": [{\"name\": \"net0\", \"id\": 3, \"kicks\": 25,"
				   "\"rx\": {\"pkts\": 160, \"drop\": 4}, \"tx\": {\"pkts\": 90, \"drop\": 5}}]}";
	struct stats_reading before = take(first), now = take(then);
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	cr_assert(before.nics == 1 && now.nics == 1);
	cr_expect_str_eq(before.nic[0].name, "net0");
	cr_expect_eq(before.nic[0].part[0].bar[0].times, 9);
	stats_nic_print(out, &before.nic[0]);
	stats_reading_since(&now, &before);
	cr_expect_eq(now.nic[0].rx.packets, 60);
	cr_expect_eq(now.nic[0].rx.dropped, 0);
	cr_expect_eq(now.nic[0].tx.dropped, 2);
	stats_print_rates(out, &now, 2);
	fclose(out);
	cr_expect(strstr(text, "  rx 100 packets, 2.0 MiB, 1 errors, 4 dropped: 4 without a link\n"), "%s", text);
	cr_expect(strstr(text, "  tx 50 packets, 1.0 MiB, 3 dropped: 3 of others' addresses\n"), "%s", text);
	cr_expect(strstr(text, "  2 lost, perhaps"), "%s", text);
	cr_expect(strstr(text, "net0             30 "), "frames a second: %s", text);
	cr_expect(strstr(text, " 0.200 "), "kicks a frame: %s", text);
	cr_expect(!strstr(text, "DISK"), "%s", text);
	free(text);
	stats_reading_done(&before);
	stats_reading_done(&now);
}

/* Whatever a manager of another version says. */
Test(stats, what_is_not_there_is_0)
{
	static const char *const texts[] = {
		"{}",
		"[]",
		"{\"block\": 3, \"vmbus\": []}",
		"{\"net\": [1, {}, {\"name\": 5, \"rx\": [], \"transfers\": {\"wait\": 3}}]}",
		"{\"block\": [1, {}, {\"name\": null, \"rd\": []}]}",
		"{\"block\": [{\"rd\": {\"wait\": {\"histogram\": [[1, 2], 3, [\"x\", {}, 1]]}}}]}",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct stats_reading r = take(texts[i]);
		FILE *null = fopen("/dev/null", "we");

		stats_print_totals(null, &r);
		stats_print_rates(null, &r, 1);
		fclose(null);
		cr_expect_eq(r.requests, 0);
		stats_reading_done(&r);
	}
}

Test(stats, since)
{
	struct stats_reading before = take("{\"vmbus\": {\"kicks\": 100}, \"block\": ["
					   "{\"name\": \"sda\", \"id\": 1, \"rd\": " CLASS(
						   10, "[[0, 64, 10]]") "},"
									"{\"name\": \"sdb\", \"id\": 2, \"rd\": " CLASS(
										50, "[[0, 64, 50]]") "}]}"),
			     now = take("{\"vmbus\": {\"kicks\": 130}, \"block\": ["
					"{\"name\": \"sdb\", \"id\": 3, \"rd\": " CLASS(
						5, "[[0, 64, 5]]") "},"
								   "{\"name\": \"sda\", \"id\": 1, \"rd\": " CLASS(
									   25, "[[0, 64, 20], [64, 128, 5]]") "}]}");

	stats_reading_since(&now, &before);
	cr_expect_eq(now.kicks, 30);
	/* another sdb */
	cr_expect_eq(now.disk[0].reads, 5);
	cr_expect_eq(now.disk[1].reads, 15);
	cr_expect_eq(now.disk[1].read_bytes, 0);
	cr_expect_eq(now.disk[1].part[0].bar[0].times, 10);
	cr_expect_eq(now.disk[1].part[0].bar[1].times, 5);
	stats_reading_done(&before);
	stats_reading_done(&now);
}

Test(stats, a_table)
{
	struct stats_reading r =
		take("{\"vmbus\": {\"requests\": 10, \"kicks\": 1, \"interrupts\": 5}, \"block\": ["
		     "{\"name\": \"sda\", \"id\": 1, \"rd\": " CLASS(1000, "[[1000, 2000, 10]]") "}]}");
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	stats_print_rates(out, &r, 2);
	fclose(out);
	cr_expect_not_null(strstr(text, "\nsda            500 "));
	cr_expect_not_null(strstr(text, " 1.50us/1.99us "));
	cr_expect_not_null(strstr(text, "vmbus: 10 requests, 1 kicks (0.100 each), 5 interrupts (0.500 each)\n"));
	free(text);
	stats_reading_done(&r);
}
