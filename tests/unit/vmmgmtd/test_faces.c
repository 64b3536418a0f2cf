/* SPDX-License-Identifier: Apache-2.0 */
/* data/org.bulkhead.*.xml and the tables say the same. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "dbus_faces.h"

/* Without comments, DOCTYPE and the blanks between elements. */
static void strip(char *text)
{
	char *to = text;

	for (const char *s = text; *s;) {
		if (!strncmp(s, "<!--", 4)) {
			s = strstr(s, "-->");
			cr_assert(s);
			s += 3;
		} else if (!strncmp(s, "<!", 2)) {
			s = strchr(s, '>');
			cr_assert(s);
			s++;
		} else if (strchr(" \t\n", *s)) {
			s += strspn(s, " \t\n");
			if (to > text && to[-1] != '>' && *s != '<')
				*to++ = ' ';
		} else {
			*to++ = *s++;
		}
	}
	*to = 0;
}

static void compare(const char *file, const struct msgbus_interface *interface)
{
	_cleanup_free_ char *ours = msgbus_interface_xml(interface), *theirs = NULL;
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	char *start, *end;
	size_t len;

	cr_assert_eq(fd_read_all(fd, 1 << 20, &theirs, &len), 0, "%s", file);
	close(fd);
	strip(ours);
	strip(theirs);
	start = strstr(theirs, "<interface");
	end = strstr(theirs, "</node>");
	cr_assert(start && end);
	*end = 0;
	cr_assert_str_eq(start, ours);
}

Test(faces, manager_is_as_documented)
{
	compare(TEST_DATA "/org.bulkhead.Manager1.xml", &dbus_manager_interface);
}

Test(faces, vm_is_as_documented)
{
	compare(TEST_DATA "/org.bulkhead.VM1.xml", &dbus_vm_interface);
}
