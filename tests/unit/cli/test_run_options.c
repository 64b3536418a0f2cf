/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "cli/run_options.h"

static int parse(struct run_options *options, struct err *err, int argc, char **argv)
{
	extern int optind;

	optind = 0;
	return run_options_parse(argc, argv, options, err);
}

#define PARSE(options, err, ...)                                                                                       \
	({                                                                                                             \
		char *argv_[] = {(char *)"run", ##__VA_ARGS__, NULL};                                                  \
		parse(options, err, (int)ARRAY_SIZE(argv_) - 1, argv_);                                                \
	})

Test(run_options, whole)
{
	struct run_options options;
	struct err err = {0};
	_cleanup_free_ char *xml = NULL;

	cr_assert_eq(PARSE(&options, &err, (char *)"--kernel", (char *)"/k&k", (char *)"--disk", (char *)"/d,ro",
			   (char *)"--disk", (char *)"/e", (char *)"--disk", (char *)"/f,shareable", (char *)"--memory",
			   (char *)"1G", (char *)"--cpus", (char *)"4", (char *)"--append", (char *)"a<b \"c\"",
			   (char *)"--name", (char *)"x"),
		     0, "%s", err.text);
	cr_assert_eq(options.disks, 3);
	cr_assert(options.disk[0].readonly && !options.disk[1].readonly && !options.disk[1].shareable);
	cr_assert(options.disk[2].shareable && !options.disk[2].readonly);
	cr_assert_str_eq(options.disk[0].path, "/d");
	cr_assert_eq(options.cpus, 4);
	xml = run_options_xml(&options);
	cr_assert(strstr(xml, "<kernel>/k&amp;k</kernel>"), "%s", xml);
	cr_assert(strstr(xml, "<cmdline>a&lt;b &quot;c&quot;</cmdline>"), "%s", xml);
	cr_assert(strstr(xml, "<target dev='sdb' bus='scsi'/>"), "%s", xml);
	cr_assert(strstr(xml, "<target dev='sdc' bus='scsi'/>\n      <shareable/>"), "%s", xml);
	cr_assert(strstr(xml, "<memory unit='bytes'>1073741824</memory>"), "%s", xml);
	run_options_done(&options);
}

Test(run_options, refused)
{
	struct run_options options;
	struct err err = {0};

#define REFUSED(pattern, ...)                                                                                          \
	do {                                                                                                           \
		cr_assert_neq(PARSE(&options, &err, ##__VA_ARGS__), 0);                                                \
		cr_assert(strstr(err.text, pattern), "%s", err.text);                                                  \
	} while (0)
	REFUSED("--kernel is missing");
	REFUSED("needs a value", (char *)"--kernel");
	REFUSED("unknown option '--bogus'", (char *)"--kernel", (char *)"k", (char *)"--bogus");
	REFUSED("'more' is not an option", (char *)"--kernel", (char *)"k", (char *)"more");
	REFUSED("not a number from 1 to 64", (char *)"--kernel", (char *)"k", (char *)"--cpus", (char *)"65");
	REFUSED("not a number from 1 to 64", (char *)"--kernel", (char *)"k", (char *)"--cpus", (char *)"0");
	REFUSED("not a size", (char *)"--kernel", (char *)"k", (char *)"--memory", (char *)"lots");
	REFUSED("whole number of MiB", (char *)"--kernel", (char *)"k", (char *)"--memory", (char *)"1000");
	REFUSED("not an option of a disk", (char *)"--kernel", (char *)"k", (char *)"--disk", (char *)"/d,rx");
	REFUSED("file is missing", (char *)"--kernel", (char *)"k", (char *)"--disk", (char *)",ro");
}

Test(run_options, nics)
{
	static const struct {
		const char *nic, *error, *has;
	} rows[] = {
		{"user", NULL, "<interface type='user'></interface>"},
		{"user,forward=tcp:2222:22+udp:53,mac=52:54:00:00:00:01", NULL,
		 "<interface type='user'><mac address='52:54:00:00:00:01'/>"
		 "<portForward proto='tcp'><range start='2222' to='22'/></portForward>"
		 "<portForward proto='udp'><range start='53'/></portForward></interface>"},
		{"bridge,source=br'0,mtu=9000,vlan=7", NULL,
		 "<interface type='bridge'><source bridge='br&apos;0'/><mtu size='9000'/><vlan><tag id='7'/></vlan>"},
		{"ethernet,target=tap0", NULL, "<target dev='tap0' managed='no'/>"},
		{"client,source=cable,alias=x", NULL, "<source name='client:cable'/><alias name='x'/>"},
		{"", "--nic ''", NULL},
		{"virtio", "--nic 'virtio': type 'virtio': it is user, bridge,", NULL},
		{"bridge", "--nic 'bridge': type bridge: a source is needed", NULL},
		{"ethernet,source=a", "there is no source", NULL},
		{"user,mac", "'mac' is not a word of a NIC with a value", NULL},
		{"user,mac=", "'mac' is not a word of a NIC with a value", NULL},
		{"user,speed=1", "'speed' is not a word", NULL},
		{"user,mtu=1500,mtu=9000", "'mtu' is there twice", NULL},
		{"user,forward=22", "forward '22' is not PROTO:PORT", NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct run_options options;
		struct err err = {0};
		_cleanup_free_ char *xml = NULL;
		int r = PARSE(&options, &err, (char *)"--kernel", (char *)"/k", (char *)"--nic", (char *)rows[i].nic);

		cr_assert_eq(r, rows[i].error ? -22 : 0, "%s: %d %s", rows[i].nic, r, err.text);
		if (rows[i].error) {
			cr_assert(strstr(err.text, rows[i].error), "%s: %s", rows[i].nic, err.text);
			continue;
		}
		xml = run_options_xml(&options);
		cr_assert(xml && strstr(xml, rows[i].has), "%s: %s", rows[i].nic, xml);
		run_options_done(&options);
	}
}
