/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "cli/services.h"

static void check(const char *json, const char *line)
{
	struct json_object *service = json_tokener_parse(json);
	char text[256];

	services_line("storage", service, text, sizeof(text));
	cr_expect_str_eq(text, line);
	json_object_put(service);
}

Test(services, lines)
{
	check("{\"state\": \"serving\", \"pid\": 123, \"deaths\": 2, \"hangs\": 1, \"replayed\": 17, \"last_outage\": 12345}",
	      "storage  serving  pid 123  deaths 2  hangs 1  replayed 17  lost 0  duplicate 0  last outage 12 ms");
	check("{\"state\": \"waiting\", \"pid\": 0, \"upgrades\": 1, \"failed\": 3, \"last_outage\": 987,"
	      "\"message\": \"vsp-storaged ended with status 1\"}",
	      "storage  waiting  deaths 0  upgrades 1  replayed 0  lost 0  duplicate 0  failed 3  last outage 0.9 ms"
	      "  (vsp-storaged ended with status 1)");
	check("{\"state\": \"recovering\", \"last_outage\": 12000000}",
	      "storage  recovering  deaths 0  replayed 0  lost 0  duplicate 0  last outage 12 s");
}

Test(services, a_line_that_does_not_fit)
{
	struct json_object *service = json_tokener_parse("{\"state\": \"serving\"}");
	char text[12];

	services_line("storage", service, text, sizeof(text));
	cr_assert_str_eq(text, "storage  se");
	json_object_put(service);
}
