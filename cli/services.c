/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/services.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/bytes.h"

struct line {
	char *text;
	size_t size, len;
};

__attribute__((format(printf, 2, 3))) static void put(struct line *line, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line->text + line->len, line->size - line->len, fmt, ap);
	va_end(ap);
	if (n > 0)
		line->len = MIN(line->len + (size_t)n, line->size - 1);
}

static uint64_t number(struct json_object *service, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(service, key, &value) ? json_object_get_uint64(value) : 0;
}

static const char *string(struct json_object *service, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(service, key, &value) ? json_object_get_string(value) : "";
}

static void put_outage(struct line *line, uint64_t us)
{
	if (us < 10000)
		put(line, "  last outage %" PRIu64 ".%" PRIu64 " ms", us / 1000, us % 1000 / 100);
	else if (us < 10000000)
		put(line, "  last outage %" PRIu64 " ms", us / 1000);
	else
		put(line, "  last outage %" PRIu64 " s", us / 1000000);
}

void services_line(const char *name, struct json_object *service, char *ret, size_t size)
{
	/* What is 0 is shown only where 0 is what one wants to read. */
	static const struct {
		const char *key;
		bool always;
	} counters[] = {
		{"deaths", true}, {"hangs", false},    {"upgrades", false}, {"replayed", true},
		{"lost", true},	  {"duplicate", true}, {"failed", false},
	};
	struct line line = {ret, size, 0};
	uint64_t pid = number(service, "pid");

	put(&line, "%s  %s", name, string(service, "state"));
	if (pid)
		put(&line, "  pid %" PRIu64, pid);
	for (size_t i = 0; i < ARRAY_SIZE(counters); i++) {
		uint64_t value = number(service, counters[i].key);

		if (value || counters[i].always)
			put(&line, "  %s %" PRIu64, counters[i].key, value);
	}
	if (number(service, "last_outage"))
		put_outage(&line, number(service, "last_outage"));
	if (*string(service, "message"))
		put(&line, "  (%s)", string(service, "message"));
}
