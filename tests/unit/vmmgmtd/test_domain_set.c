/* SPDX-License-Identifier: Apache-2.0 */
/* Disks that are set otherwise: limits, groups, faults; the words of faults. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "domain.h"

#define DISK(target, more)                                                                                             \
	"<disk type='file'><source file='/" target "'/><target dev='" target "' bus='scsi'/>" more "</disk>"
#define TUNE(text) "<iotune>" text "</iotune>"

static const char three[] = "<domain type='kvm'><name>a</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>"
			    "<os><type>hvm</type><kernel>/k</kernel></os><devices>" DISK(
				    "sda", TUNE("<total_iops_sec>100</total_iops_sec><group_name>g</group_name>"))
				    DISK("sdb", TUNE("<total_iops_sec>100</total_iops_sec><group_name>g</group_name>"))
					    DISK("sdc", "<driver type='raw' cache='none'/>") "</devices></domain>";

static struct domain from, then;
static struct err err;

static void add(const char *setting, void *arg)
{
	char *text = arg;

	snprintf(text + strlen(text), 512 - strlen(text), "%s%s", *text ? " " : "", setting);
}

static void set_up(void)
{
	cr_assert_eq(domain_parse(three, strlen(three), &from, NULL, &err), 0, "%s", err.text);
}

static void tear_down(void)
{
	domain_done(&from);
	domain_done(&then);
}

TestSuite(domain_set, .init = set_up, .fini = tear_down);

static const char *said(size_t index)
{
	static char text[512];

	text[0] = '\0';
	domain_disk_settings(&then.disks[index], add, text);
	return text;
}

static int set(size_t index, const char *a, const char *b, const char *c)
{
	const char *const settings[] = {a, b, c, NULL};

	domain_done(&then);
	then = (struct domain){0};
	err = (struct err){0};
	return domain_set_disk(&from, index, settings, &then, &err);
}

Test(domain_set, limits_come_change_and_go)
{
	cr_assert_eq(set(2, "read_bytes_sec=1000", "read_bytes_sec_max=2000", "size_iops_sec=4096"), 0, "%s", err.text);
	cr_expect_str_eq(said(2), "read_bytes_sec=1000 read_bytes_sec_max=2000 size_iops_sec=4096");
	cr_expect(then.disks[2].direct, "the rest stays");
	domain_done(&from);
	from = then;
	then = (struct domain){0};
	cr_assert_eq(set(2, "read_bytes_sec_max=0", "size_iops_sec=", "read_bytes_sec=999"), 0, "%s", err.text);
	cr_expect_str_eq(said(2), "read_bytes_sec=999");
	cr_assert_eq(set(2, "limits=none", NULL, NULL), 0, "%s", err.text);
	cr_expect_str_eq(said(2), "");
	cr_assert_eq(set(2, "discard=ignore", "detect_zeroes=unmap", NULL), 0, "%s", err.text);
	cr_expect(strstr(said(2), "discard=ignore detect_zeroes=unmap"));
}

Test(domain_set, groups_have_the_same_limits)
{
	cr_assert_eq(set(1, "total_iops_sec=7", NULL, NULL), 0, "%s", err.text);
	cr_expect_str_eq(said(0), "total_iops_sec=7 group_name=g");
	cr_expect_str_eq(said(1), "total_iops_sec=7 group_name=g");
	cr_assert_eq(set(2, "group_name=g", NULL, NULL), 0, "%s", err.text);
	cr_expect_str_eq(said(2), "total_iops_sec=100 group_name=g", "who comes gets them");
	cr_assert_eq(set(2, "group_name=g", "total_iops_sec=5", NULL), 0, "%s", err.text);
	cr_expect_str_eq(said(0), "total_iops_sec=5 group_name=g", "unless it says some");
	cr_assert_eq(set(0, "group_name=", NULL, NULL), 0, "%s", err.text);
	cr_expect_str_eq(said(0), "total_iops_sec=100");
	cr_expect_str_eq(said(1), "total_iops_sec=100 group_name=g");
	cr_assert_eq(set(0, "limits=none", NULL, NULL), 0, "%s", err.text);
	cr_expect_str_eq(said(0), "");
	cr_expect_str_eq(said(1), "total_iops_sec=100 group_name=g");
	cr_assert_eq(set(0, "total_iops_sec=0", NULL, NULL), 0, "%s", err.text);
	cr_expect_str_eq(said(1), "group_name=g");
}

Test(domain_set, what_cannot_be_set)
{
	static const char *const bad[] = {
		"speed=1",	     "total_iops_sec",	    "=1",	  "total_iops_sec=x",
		"read_iops_sec=5",   "discard=maybe",	    "discard=",	  "limits=some",
		"total_iops_sec=-1", "detect_zeroes=never", "cache=none", "total_iops_sec_max=50",
		"group_name=a\nb",   "total_iops_sec=<a/>", "serial=1",	  "total_iops_sec_max_length=1",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cr_expect(set(0, bad[i], NULL, NULL) < 0, "%s", bad[i]);
		cr_expect(err.text[0] && !strchr(err.text, '\n'), "%s", bad[i]);
	}
	cr_expect_eq(set(3, "total_iops_sec=1", NULL, NULL), -ENOENT);
}

Test(domain_set, faults)
{
	struct domain_faults faults;
	const struct domain_fault_rule *rule = faults.rule;

	cr_assert_eq(domain_faults_parse("cache  seed=9 error=enospc,on=write+flush,from=1M,to=4G,chance=0.25,times=3 "
					 "delay=5+10 torn flush=ignored power=off error,to=1K",
					 &faults, &err),
		     0, "%s", err.text);
	cr_expect(faults.cache && faults.flush_ignored && faults.power_off && faults.seed == 9 && faults.rules == 4);
	cr_expect(rule[0].effect == 0 && rule[0].error == ENOSPC && rule[0].ops == 6 && rule[0].from == 1u << 20);
	cr_expect(rule[0].to == 4ull << 30 && rule[0].ppm == 2500 && rule[0].times == 3);
	cr_expect(rule[1].effect == 2 && rule[1].ops == 31 && rule[1].delay_us == 5000 && rule[1].spread_us == 10000);
	cr_expect(rule[2].effect == 1 && rule[2].error == EIO && rule[2].ops == 2 && rule[2].ppm == 1000000);
	cr_expect_eq(rule[3].ops, 31 & ~4, "a flush is nowhere");
	cr_assert_eq(domain_set_faults(&from, 2, "cache seed=9", &then, &err), 0, "%s", err.text);
	cr_expect_str_eq(said(2), "faults=cache seed=9");
	cr_expect(domain_no_faults(&then, &err) == -EINVAL && strstr(err.text, "sdc"));
	cr_expect_eq(domain_no_faults(&from, &err), 0);
	domain_done(&from);
	from = then;
	then = (struct domain){0};
	cr_assert_eq(domain_set_faults(&from, 2, "", &then, &err), 0, "%s", err.text);
	cr_expect_str_eq(said(2), "");
	cr_expect(!strstr(then.xml, "faults"));
}

Test(domain_set, words_that_are_no_faults)
{
	static const char *const bad[] = {
		"err",
		"error=none",
		"error,on",
		"error,on=",
		"error,on=x",
		"error,from=x",
		"delay",
		"delay=60001",
		"delay=1+x",
		"error,chance=0",
		"seed=",
		"error,chance=100.1",
		"error,times=0",
		"power=on",
		"cache=1",
		"error,to=0,x=1",
		",",
		"error,from=2K,to=1K",
		"seed=-1",
		"error,chance=",
		"error,chance=1.",
		"error,to=20000000T",
	};
	struct domain_faults faults;
	char text[600];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cr_expect_eq(domain_faults_parse(bad[i], &faults, &err), -EINVAL, "%s", bad[i]);
		cr_expect_lt(domain_set_faults(&from, 0, bad[i], &then, &err), 0, "%s", bad[i]);
	}
	memset(text, ' ', sizeof(text));
	text[DOMAIN_FAULTS_MAX] = '\0';
	cr_expect_eq(domain_faults_parse(text, &faults, &err), -EINVAL, "too long");
}
