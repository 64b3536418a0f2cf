/* SPDX-License-Identifier: Apache-2.0 */
/* passt's command line: its language is that of passt(1). */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "domain.h"
#include "passt.h"

#define START                                                                                                          \
	"<domain type='kvm'><name>n</name><memory>65536</memory><os><type>hvm</type><kernel>/k</kernel></os><devices>" \
	"<interface type='user'>"
#define END "</interface></devices></domain>"

TestSuite(passt, .timeout = 60);

static const struct {
	const char *xml, *arguments;
} rows[] = {
	{START END, "-f -e -F0 -m1500 "},
	{START "<source dev='eth1'/><mtu size='9000'/>" END, "-f -e -F0 -m9000 -ieth1 "},
	{START
	 "<ip family='ipv4' address='10.1.2.3' prefix='24'/><ip family='ipv6' address='2001:db8::7' prefix='64'/>" END,
	 "-f -e -F0 -m1500 -a10.1.2.3 -n24 -a2001:db8::7 "},
	{START "<ip address='10.1.2.3'/>" END, "-f -e -F0 -m1500 -a10.1.2.3 "},
	{START "<portForward proto='tcp'/><portForward proto='udp'><range start='53'/></portForward>" END,
	 "-f -e -F0 -m1500 -tall -u53 "},
	{START "<portForward proto='tcp' address='127.0.0.1' dev='lo'><range start='2022' to='22'/>"
	       "<range start='8000' end='8009' to='80'/></portForward>" END,
	 "-f -e -F0 -m1500 -t127.0.0.1%lo/2022:22,8000-8009:80-89 "},
	{START "<portForward proto='tcp' dev='lo'><range start='1' end='9'/><range start='4' end='5' exclude='yes'/>"
	       "</portForward>" END,
	 "-f -e -F0 -m1500 -t%lo/1-9,~4-5 "},
	{START "<portForward proto='udp'><range start='7' exclude='yes'/></portForward>" END, "-f -e -F0 -m1500 -u~7 "},
};

Test(passt, arguments)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct passt_arguments args;
		struct domain d;
		struct err err = {0};
		char text[1024] = "";

		cr_assert_eq(domain_parse(rows[i].xml, strlen(rows[i].xml), &d, NULL, &err), 0, "%s", err.text);
		passt_arguments(&d.nics[0], &args);
		for (size_t k = 0; args.list[k]; k++)
			sprintf(text + strlen(text), "%s ", args.list[k]);
		cr_expect_str_eq(text, rows[i].arguments);
		domain_done(&d);
	}
}

/* As much as a definition may say. */
Test(passt, the_most_fits)
{
	struct domain_forward forwards[DOMAIN_FORWARDS_MAX];
	struct domain_nic nic = {.type = DOMAIN_NIC_USER,
				 .mtu = 9000,
				 .source = (char *)"a-device-of-15c",
				 .address_count = 2,
				 .forwards = forwards,
				 .forward_count = DOMAIN_FORWARDS_MAX};
	struct passt_arguments args;

	nic.addresses[0] = (struct domain_address){.bytes = {255, 255, 255, 255}, .prefix = 24};
	memset(nic.addresses[1].bytes, 0xff, 16);
	nic.addresses[1].v6 = true;
	for (size_t i = 0; i < DOMAIN_FORWARDS_MAX; i++) {
		struct domain_forward *forward = &forwards[i];

		*forward = (struct domain_forward){.range_count = ARRAY_SIZE(forward->ranges)};
		memset(forward->address, 'f', sizeof(forward->address) - 1);
		memset(forward->dev, 'd', sizeof(forward->dev) - 1);
		for (size_t k = 0; k < forward->range_count; k++)
			forward->ranges[k] = (struct domain_range){10000, 20000, 30000, false};
	}
	passt_arguments(&nic, &args);
	cr_assert_eq(args.count, 8 + DOMAIN_FORWARDS_MAX);
	cr_assert_null(args.list[args.count]);
	cr_assert(strstr(args.list[args.count - 1], "10000-20000:30000-40000"));
}

Test(passt, where_it_is)
{
	char folder[] = "/tmp/bulkhead-test-XXXXXX", path[PATH_MAX], file[PATH_MAX], search[PATH_MAX];

	cr_assert(mkdtemp(folder));
	setenv("PATH", folder, 1);
	cr_assert_eq(passt_find(path, sizeof(path)), -ENOENT);
	snprintf(file, sizeof(file), "%s/passt", folder);
	close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	cr_assert_eq(passt_find(path, sizeof(path)), -ENOENT, "it is no program");
	cr_assert_eq(chmod(file, 0755), 0);
	snprintf(search, sizeof(search), "relative:/none:%s", folder);
	setenv("PATH", search, 1);
	cr_assert_eq(passt_find(path, sizeof(path)), 0);
	cr_assert_str_eq(path, file);
	cr_assert_eq(passt_find(path, 8), -ENOENT);
	unlink(file);
	rmdir(folder);
}

Test(passt, has_room_for_what_it_is_let_send)
{
	uint32_t segment;
	socklen_t len = sizeof(int);
	int pair[2], room = 0;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	segment = passt_room(pair[1]);
	cr_assert_eq(getsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &room, &len), 0);
	cr_assert(segment > 0 && (uint64_t)segment * 128 <= (uint64_t)room);
	close(pair[0]);
	close(pair[1]);
}
