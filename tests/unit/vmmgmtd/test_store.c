/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scratch.h"
#include "store.h"

#define A "11111111-1111-4111-8111-111111111111"
#define B "22222222-2222-4222-8222-222222222222"
#define C "33333333-3333-4333-8333-333333333333"

static char folder[256];
static struct store *store;

static void setup(void)
{
	scratch_new(folder, sizeof(folder));
	strcat(folder, "/deep/vms");
	cr_assert_eq(store_open(folder, NULL, &store), 0);
}

static void teardown(void)
{
	store_free(store);
	*strstr(folder, "/deep") = 0;
	scratch_remove(folder);
}

TestSuite(store, .init = setup, .fini = teardown);

struct seen {
	unsigned int count;
	char text[1024];
	int refuse; /* what to say to definition B */
};

static int on_definition(const char *uuid, const char *xml, size_t len, struct err *err, void *arg)
{
	struct seen *seen = arg;

	cr_assert_eq(strlen(xml), len);
	seen->count++;
	snprintf(seen->text + strlen(seen->text), sizeof(seen->text) - strlen(seen->text), "%s=%s;", uuid, xml);
	return seen->refuse && !strcmp(uuid, B) ? err_set(err, seen->refuse, "does not please") : 0;
}

static void put_file(const char *name, const char *text)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "we");
	cr_assert(f);
	fputs(text, f);
	fclose(f);
}

static bool exists(const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return access(path, F_OK) == 0;
}

Test(store, saves_replaces_and_removes)
{
	struct seen seen = {0};
	struct stat st;

	cr_assert_eq(stat(folder, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0700);
	cr_assert_eq(store_save(store, A, "<a/>\n", NULL), 0);
	cr_assert_eq(store_save(store, B, "<b/>", NULL), 0);
	cr_assert_eq(store_save(store, A, "<a>2</a>", NULL), 0);
	cr_assert_eq(store_load(store, on_definition, &seen, NULL), 0);
	cr_assert_str_eq(seen.text, A "=<a>2</a>;" B "=<b/>;");
	cr_assert_null(store_quarantined(store));
	cr_assert_eq(store_remove(store, A, NULL), 0);
	cr_assert_eq(store_remove(store, A, NULL), 0);
	cr_assert(!exists(A ".xml") && exists(B ".xml"));
}

Test(store, damaged_ones_are_put_aside_and_the_rest_is_served)
{
	struct seen seen = {.refuse = -EINVAL};

	cr_assert_eq(store_save(store, A, "<a/>", NULL), 0);
	cr_assert_eq(store_save(store, B, "<b/>", NULL), 0);
	put_file(C ".xml", "<c>cut sho");
	put_file("name.xml", "<x/>\n<!-- bulkhead definition, version 1 -->\n");
	put_file("notes.txt", "not ours");
	cr_assert_eq(store_load(store, on_definition, &seen, NULL), 0);
	cr_assert_eq(seen.count, 2);
	cr_assert(exists(A ".xml") && exists("notes.txt"));
	cr_assert(!exists(B ".xml") && exists(B ".xml.bad"));
	cr_assert(exists(C ".xml.bad") && exists("name.xml.bad"));
	cr_assert(strstr(store_quarantined(store)[0], B ".xml.bad: does not please"));
	cr_assert(strstr(store_quarantined(store)[1], C ".xml.bad: it is cut short"));
	cr_assert(store_quarantined(store)[2] && !store_quarantined(store)[3]);
}

Test(store, what_a_newer_one_wrote_is_left_alone)
{
	struct seen seen = {.refuse = -EOPNOTSUPP};

	put_file(A ".xml", "<a/>\n<!-- bulkhead definition, version 2 -->\n");
	cr_assert_eq(store_save(store, B, "<b/>", NULL), 0);
	cr_assert_eq(store_load(store, on_definition, &seen, NULL), 0);
	cr_assert_eq(seen.count, 1);
	cr_assert(exists(A ".xml") && exists(B ".xml"));
	cr_assert(strstr(store_quarantined(store)[0], "newer"));
	cr_assert(strstr(store_quarantined(store)[1], "does not please"));
}

Test(store, put_aside_ones_are_named_again)
{
	struct seen seen = {0};

	put_file(A ".xml.bad", "x");
	cr_assert_eq(store_load(store, on_definition, &seen, NULL), 0);
	cr_assert_eq(seen.count, 0);
	cr_assert(strstr(store_quarantined(store)[0], A ".xml.bad"));
}

Test(store, a_folder_that_cannot_be)
{
	struct store *other = NULL;
	struct err err = {0};

	cr_assert_eq(store_open("/proc/nothing/here", &err, &other), -ENOENT);
	cr_assert(strstr(err.text, "/proc/nothing/here"));
}

Test(store, autostart_is_kept_until_it_is_taken_back)
{
	struct err err = {0};

	cr_assert_not(store_autostart(store, A));
	cr_assert_eq(store_set_autostart(store, A, true, &err), 0);
	cr_assert(store_autostart(store, A));
	cr_assert_not(store_autostart(store, B));
	cr_assert_eq(store_set_autostart(store, A, false, &err), 0);
	cr_assert_eq(store_set_autostart(store, A, false, &err), 0);
	cr_assert_not(store_autostart(store, A));
}

Test(store, autostart_goes_with_the_definition)
{
	struct err err = {0};

	cr_assert_eq(store_save(store, A, "<domain/>", &err), 0);
	cr_assert_eq(store_set_autostart(store, A, true, &err), 0);
	cr_assert_eq(store_remove(store, A, &err), 0);
	cr_assert_not(store_autostart(store, A));
}

Test(store, autostart_of_another_version_does_not_count)
{
	put_file(A ".autostart", "bulkhead autostart, version 2\n");
	put_file(B ".autostart", "");
	put_file(C ".autostart", "bulkhead autostart, version 1\n");
	cr_assert_not(store_autostart(store, A));
	cr_assert_not(store_autostart(store, B));
	cr_assert(store_autostart(store, C));
}
