/* SPDX-License-Identifier: Apache-2.0 */
/* <interface>: what is read, what is refused, what is written back. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "domain.h"

#define UUID "<uuid>11111111-2222-3333-4444-555555555555</uuid>"
#define START                                                                                                          \
	"<domain type='kvm'><name>n</name>" UUID "<memory>65536</memory><os><type>hvm</type><kernel>/k</kernel></os>"
#define DEVICES(text)	START "<devices>" text "</devices></domain>"
#define NIC(type, text) DEVICES("<interface type='" type "'>" text "</interface>")
#define MAC(last)	"<mac address='52:54:00:00:00:" last "'/>"

TestSuite(domain_nic, .timeout = 60);

static void parse(const char *xml, struct domain *ret, struct domain_report *report)
{
	struct err err = {0};

	cr_assert_eq(domain_parse(xml, strlen(xml), ret, report, &err), 0, "%s: %s", xml, err.text);
}

Test(domain_nic, each_type)
{
	struct domain d;

	parse(DEVICES("<interface type='bridge'><source bridge='br0'/><target dev='tapx'/><driver "
		      "queues='4'/></interface>"
		      "<interface type='ethernet'><target dev='mine' managed='no'/></interface>"
		      "<interface type='user'><source dev='eth0'/><backend type='passt'/><driver "
		      "queues='4'/></interface>"
		      "<interface type='direct'><source dev='eth0' mode='private'/></interface>"
		      "<interface type='internal'><source name='server:a-b'/></interface>"
		      "<interface type='internal'><source name='client:/run/x'/></interface>"),
	      &d, NULL);
	cr_assert_eq(d.nic_count, 6);
	cr_assert(d.nics[0].type == DOMAIN_NIC_BRIDGE && d.nics[0].queues == 4);
	cr_assert_str_eq(d.nics[0].source, "br0");
	cr_assert_str_eq(d.nics[0].dev, "tapx");
	cr_assert(d.nics[1].type == DOMAIN_NIC_ETHERNET && d.nics[1].existing && !d.nics[1].source);
	cr_assert(d.nics[2].type == DOMAIN_NIC_USER && d.nics[2].queues == 1);
	cr_assert_str_eq(d.nics[2].source, "eth0");
	cr_assert(d.nics[3].type == DOMAIN_NIC_DIRECT && d.nics[3].mode == DOMAIN_MACVTAP_PRIVATE);
	cr_assert(d.nics[4].type == DOMAIN_NIC_SERVER && !strcmp(d.nics[4].source, "a-b"));
	cr_assert(d.nics[5].type == DOMAIN_NIC_CLIENT && !strcmp(d.nics[5].source, "/run/x"));
	cr_assert(domain_nic_streams(&d.nics[2]) && domain_nic_streams(&d.nics[4]) && !domain_nic_streams(&d.nics[3]));
	for (unsigned int i = 0; i < 6; i++) {
		cr_assert_eq(d.nics[i].alias[3], (char)('0' + i));
		cr_assert(d.nics[i].mtu == 1500 && !d.nics[i].link_down && !d.nics[i].trusted);
	}
	domain_done(&d);
}

/* What is made for it is in the definition: the next reader finds the same. */
Test(domain_nic, mac_and_alias_are_kept)
{
	struct domain d, again;

	parse(DEVICES("<interface type='user'><alias name='net1'/></interface><interface type='user'>" MAC(
		      "01") "</interface><interface type='user'/>"),
	      &d, NULL);
	cr_assert_str_eq(d.nics[0].alias, "net1");
	cr_assert_str_eq(d.nics[1].alias, "net0");
	cr_assert_str_eq(d.nics[2].alias, "net2");
	cr_assert_eq(d.nics[1].mac[5], 1);
	cr_assert(!memcmp(d.nics[0].mac, "\x52\x54\x00", 3));
	cr_assert(memcmp(d.nics[0].mac, d.nics[2].mac, 6) != 0);
	parse(d.xml, &again, NULL);
	cr_assert_str_eq(again.xml, d.xml);
	for (unsigned int i = 0; i < 3; i++) {
		cr_assert_str_eq(again.nics[i].alias, d.nics[i].alias);
		cr_assert_arr_eq(again.nics[i].mac, d.nics[i].mac, 6);
	}
	domain_done(&again);
	domain_done(&d);
}

Test(domain_nic, details)
{
	struct domain d;
	const struct domain_nic *nic;

	parse(DEVICES("<interface type='bridge' trustGuestRxFilters='yes'><source bridge='b'/><mtu size='9000'/>"
		      "<link state='down'/><bandwidth><inbound average='1000' peak='2000' burst='64'/><outbound "
		      "average='5'/></bandwidth><vlan trunk='yes'><tag id='42'/><tag id='7' "
		      "nativeMode='untagged'/><tag "
		      "id='43'/></vlan><ip address='192.0.2.7' prefix='24'/><ip family='ipv6' address='2001:db8::1'/>"
		      "</interface><interface type='bridge'><source bridge='b'/><vlan><tag "
		      "id='9'/></vlan></interface>"),
	      &d, NULL);
	nic = d.nics;
	cr_assert(nic->trusted && nic->mtu == 9000 && nic->link_down);
	cr_assert(nic->inbound.average == 1024000 && nic->inbound.peak == 2048000 && nic->inbound.burst == 65536);
	cr_assert(nic->outbound.average == 5120 && !nic->outbound.peak && !nic->outbound.burst);
	cr_assert(nic->trunk && nic->vlan == 7 && nic->trunk_count == 2);
	cr_assert(nic->trunk_tags[0] == 42 && nic->trunk_tags[1] == 43);
	cr_assert_eq(nic->address_count, 2);
	cr_assert(!nic->addresses[0].v6 && nic->addresses[0].prefix == 32 && nic->addresses[0].bytes[3] == 7);
	cr_assert(nic->addresses[1].v6 && nic->addresses[1].prefix == 128 && nic->addresses[1].bytes[15] == 1);
	cr_assert(!nic[1].trunk && nic[1].vlan == 9 && !nic[1].trusted);
	domain_done(&d);
}

/* The number of a port is in the definition: the next reader finds the same. */
Test(domain_nic, open_vswitch)
{
	struct domain d, again;

	parse(DEVICES("<interface type='bridge'><source bridge='ovs0'/><virtualport type='openvswitch'/><vlan><tag "
		      "id='7' "
		      "nativeMode='tagged'/><tag id='8'/></vlan></interface><interface type='bridge'><source "
		      "bridge='ovs0'/>"
		      "<virtualport type='openvswitch'><parameters interfaceid='11111111222233334444555555555555' "
		      "profileid='a.b:c'/></virtualport></interface>"),
	      &d, NULL);
	cr_assert(d.nics[0].on_ovs && d.nics[0].native_tagged && d.nics[0].vlan == 7 && d.nics[0].trunk_tags[0] == 8);
	cr_assert_eq(strlen(d.nics[0].iface_id), 36);
	cr_assert_str_empty(d.nics[0].profile_id);
	cr_assert_str_eq(d.nics[1].iface_id, "11111111-2222-3333-4444-555555555555");
	cr_assert_str_eq(d.nics[1].profile_id, "a.b:c");
	parse(d.xml, &again, NULL);
	cr_assert_str_eq(again.nics[0].iface_id, d.nics[0].iface_id);
	cr_assert_str_eq(again.xml, d.xml);
	domain_done(&again);
	domain_done(&d);
}

Test(domain_nic, forwards)
{
	struct domain d;
	const struct domain_forward *f;

	parse(NIC("user", "<ip family='ipv4' address='10.1.2.3' prefix='24'/>"
			  "<portForward proto='tcp' address='127.0.0.1' dev='lo'><range start='2022' to='22'/>"
			  "<range start='8000' end='8080'/><range start='8010' exclude='yes'/></portForward>"
			  "<portForward proto='udp'/>"),
	      &d, NULL);
	cr_assert_eq(d.nics->forward_count, 2);
	cr_assert_eq(d.nics->addresses[0].prefix, 24);
	f = d.nics->forwards;
	cr_assert(!f->udp && f->range_count == 3);
	cr_assert_str_eq(f->address, "127.0.0.1");
	cr_assert_str_eq(f->dev, "lo");
	cr_assert(f->ranges[0].start == 2022 && f->ranges[0].end == 2022 && f->ranges[0].to == 22);
	cr_assert(f->ranges[1].start == 8000 && f->ranges[1].end == 8080 && f->ranges[1].to == 8000);
	cr_assert(f->ranges[2].exclude && !f->ranges[1].exclude);
	cr_assert(f[1].udp && f[1].range_count == 0);
	domain_done(&d);
}

static const struct {
	const char *xml;
	int code;
	const char *text;
} bad[] = {
	{NIC("network", "<source network='default'/>"), -EOPNOTSUPP, "type 'network': libvirt's networks"},
	{NIC("vhostuser", ""), -EOPNOTSUPP, "vhost-user"},
	{NIC("mcast", ""), -EOPNOTSUPP, "type 'mcast' is not supported"},
	{DEVICES("<interface/>"), -EOPNOTSUPP, "type '' is not"},
	{NIC("bridge", ""), -EINVAL, "source bridge ''"},
	{NIC("bridge", "<source bridge='a-name-that-is-long'/>"), -EINVAL, "name a bridge"},
	{NIC("bridge", "<source bridge='b'/><virtualport type='midonet'/>"), -EOPNOTSUPP, "use openvswitch"},
	{NIC("ethernet", "<virtualport type='openvswitch'/>"), -EOPNOTSUPP, "virtualport is for type='bridge'"},
	{NIC("bridge", "<source bridge='--x'/><virtualport type='openvswitch'/>"), -EINVAL, "in their names"},
	{NIC("bridge", "<source bridge='b'/><target dev='a,b'/><virtualport type='openvswitch'/>"), -EINVAL,
	 "in their names"},
	{NIC("bridge",
	     "<source bridge='b'/><virtualport type='openvswitch'><parameters interfaceid='7'/></virtualport>"),
	 -EINVAL, "interfaceid '7' is not a UUID"},
	{NIC("bridge",
	     "<source bridge='b'/><virtualport type='openvswitch'><parameters profileid='a&quot;b'/></virtualport>"),
	 -EINVAL, "profileid"},
	{NIC("bridge", "<source bridge='b'/><virtualport type='openvswitch'><parameters managerid='7'/></virtualport>"),
	 -EOPNOTSUPP, "another kind of switch"},
	{NIC("bridge", "<source bridge='b'/><target dev='sixteencharacter'/>"), -EINVAL, "at most 15 characters"},
	{NIC("bridge", "<source bridge='b'/><vlan><tag id='5' nativeMode='tagged'/></vlan>"), -EOPNOTSUPP,
	 "use untagged"},
	{NIC("direct", "<source dev='a/b'/>"), -EINVAL, "network device"},
	{NIC("direct", "<source dev='e' mode='other'/>"), -EOPNOTSUPP, "use bridge, private, vepa or passthrough"},
	{NIC("internal", "<source name='x'/>"), -EINVAL, "server:NAME"},
	{NIC("internal", "<source name='server:/x'/>"), -EINVAL, "server:NAME"},
	{NIC("internal", "<source name='client:../x'/>"), -EINVAL, "server:NAME"},
	{NIC("internal", "<source name='server:'/>"), -EINVAL, "server:NAME"},
	{NIC("user", "<backend type='slirp'/>"), -EOPNOTSUPP, "backend type 'slirp'"},
	{NIC("user", "<mac address='52:54:00:00:00'/>"), -EINVAL, "mac address"},
	{NIC("user", "<mac address='53:54:00:00:00:01'/>"), -EINVAL, "mac address"},
	{NIC("user", "<mac address='00:00:00:00:00:00'/>"), -EINVAL, "mac address"},
	{NIC("user", "<mac address='52:54:00:00:00:0x'/>"), -EINVAL, "mac address"},
	{DEVICES("<interface type='user'>" MAC("01") "</interface><interface type='user'>" MAC("01") "</interface>"),
	 -EINVAL, "interface[2]: mac address 52:54:00:00:00:01 is that of another"},
	{DEVICES("<interface type='user'><alias name='a'/></interface><interface type='user'><alias "
		 "name='a'/></interface>"),
	 -EINVAL, "alias 'a' is that of another"},
	{NIC("user", "<alias name='a b'/>"), -EINVAL, "alias 'a b'"},
	{NIC("user", "<mtu size='67'/>"), -EINVAL, "mtu size '67'"},
	{NIC("user", "<mtu size='9001'/>"), -EINVAL, "mtu size '9001'"},
	{NIC("user", "<link state='x'/>"), -EINVAL, "link state"},
	{NIC("bridge", "<source bridge='b'/><driver queues='17'/>"), -EINVAL, "queues '17'"},
	{NIC("bridge", "<source bridge='b'/><target dev='a' managed='no'/>"), -EOPNOTSUPP, "type='ethernet'"},
	{NIC("ethernet", "<target managed='no'/>"), -EINVAL, "name the tap"},
	{NIC("ethernet", "<source><ip address='1.2.3.4'/></source>"), -EOPNOTSUPP, "host's side"},
	{NIC("user", "<bandwidth><inbound peak='5'/></bandwidth>"), -EINVAL, "beside an average"},
	{NIC("user", "<bandwidth><outbound average='5' peak='4'/></bandwidth>"), -EINVAL, "peak must not be less"},
	{NIC("user", "<bandwidth><inbound average='4294967296'/></bandwidth>"), -EINVAL, "at most"},
	{NIC("user", "<bandwidth><inbound floor='1'/></bandwidth>"), -EOPNOTSUPP, "floor"},
	{NIC("user", "<vlan><tag id='5'/></vlan>"), -EOPNOTSUPP, "passt knows no tags"},
	{NIC("ethernet", "<vlan/>"), -EINVAL, "no <tag>"},
	{NIC("ethernet", "<vlan><tag id='4095'/></vlan>"), -EINVAL, "1 to 4094"},
	{NIC("ethernet", "<vlan><tag id='4' nativeMode='tagged'/></vlan>"), -EOPNOTSUPP, "nativeMode 'tagged'"},
	{NIC("ethernet", "<vlan><tag id='4' nativeMode='untagged'/><tag id='5' nativeMode='untagged'/></vlan>"),
	 -EINVAL, "more than one native"},
	{NIC("ethernet", "<ip address='1.2.3'/>"), -EINVAL, "ip address '1.2.3'"},
	{NIC("ethernet", "<ip address='1.2.3.4' family='ipv6'/>"), -EINVAL, "of family ipv6"},
	{NIC("ethernet", "<ip address='1.2.3.4' prefix='33'/>"), -EINVAL, "prefix '33'"},
	{NIC("user", "<ip address='1.2.3.4'/><ip address='1.2.3.5'/>"), -EOPNOTSUPP, "one address of a family"},
	{NIC("ethernet", "<portForward proto='tcp'/>"), -EOPNOTSUPP, "type='user'"},
	{NIC("user", "<portForward proto='sctp'/>"), -EINVAL, "proto 'sctp'"},
	{NIC("user", "<portForward proto='tcp' address='x'/>"), -EINVAL, "address 'x'"},
	{NIC("user", "<portForward proto='tcp'><range start='0'/></portForward>"), -EINVAL, "start '0'"},
	{NIC("user", "<portForward proto='tcp'><range start='5' end='4'/></portForward>"), -EINVAL, "not before"},
	{NIC("user", "<portForward proto='tcp'><range start='5' end='7' to='65534'/></portForward>"), -EINVAL,
	 "not before"},
	{NIC("user", "<portForward proto='tcp'><range start='5' to='6' exclude='yes'/></portForward>"), -EINVAL,
	 "excluded"},
	{NIC("user", "<filterref filter='clean-traffic'/>"), -EOPNOTSUPP, "filters"},
	{NIC("user", "<script path='/x'/>"), -EOPNOTSUPP, "scripts"},
};

Test(domain_nic, bad_ones)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct domain d = {0};
		struct err err = {0};
		int r = domain_parse(bad[i].xml, strlen(bad[i].xml), &d, NULL, &err);

		cr_expect_eq(r, bad[i].code, "%s: %d: %s", bad[i].xml, r, err.text);
		cr_expect(strstr(err.text, bad[i].text), "%s: says '%s'", bad[i].xml, err.text);
		cr_expect_null(d.xml);
	}
}

Test(domain_nic, what_has_no_effect_is_told)
{
	struct domain d;
	struct domain_report report;

	parse(NIC("user", "<model type='virtio'/><target dev='vnet0'/><boot order='1'/>"), &d, &report);
	cr_assert_eq(report.kept_count, 3);
	cr_assert(strstr(report.kept[0], "/target/@dev: has no effect"), "%s", report.kept[0]);
	cr_assert(strstr(report.kept[1], "/model/@type: has no effect: each NIC is a netvsc"), "%s", report.kept[1]);
	cr_assert(strstr(report.kept[2], "/boot: has no effect"), "%s", report.kept[2]);
	domain_report_done(&report);
	domain_done(&d);
}

Test(domain_nic, too_many)
{
	char text[32768] = START "<devices>";
	struct domain d = {0};
	struct err err = {0};

	for (unsigned int i = 0; i <= DOMAIN_NICS_MAX; i++)
		strcat(text, "<interface type='user'/>");
	strcat(text, "</devices></domain>");
	cr_assert_eq(domain_parse(text, strlen(text), &d, NULL, &err), -EOPNOTSUPP);
	cr_assert(strstr(err.text, "more than 8 interfaces"), "%s", err.text);
	strcpy(text, START "<devices>");
	for (unsigned int i = 0; i < DOMAIN_NICS_MAX; i++)
		strcat(text, "<interface type='ethernet'><driver queues='16'/></interface>");
	for (unsigned int i = 0; i <= DOMAIN_DESCRIPTORS_MAX - 16 * DOMAIN_NICS_MAX; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "<disk type='file'><source file='/%u'/><target dev='sd%c%c' bus='scsi'/></disk>", i,
			 (char)('a' + i / 26), (char)('a' + i % 26));
	strcat(text, "</devices></domain>");
	cr_assert_eq(domain_parse(text, strlen(text), &d, NULL, &err), -EOPNOTSUPP);
	cr_assert(strstr(err.text, "disks and queues"), "%s", err.text);
}

/* ---- changes ---- */

Test(domain_nic, added_and_removed)
{
	struct domain d, more, less;
	struct err err = {0};
	size_t index;

	parse(DEVICES("<disk type='file'><source file='/a'/><target dev='sda' bus='scsi'/></disk>"), &d, NULL);
	cr_assert_eq(domain_add_nic(&d, "<interface type='user'>" MAC("01") "</interface>", &more, &err), 0, "%s",
		     err.text);
	domain_done(&d);
	cr_assert_eq(domain_add_nic(&more, "<interface type='bridge'><source bridge='b'/></interface>", &d, &err), 0,
		     "%s", err.text);
	cr_assert(d.nic_count == 2 && d.disk_count == 1);
	cr_assert_str_eq(d.nics[1].alias, "net1");
	cr_assert_eq(domain_add_nic(&d, "<interface type='user'>" MAC("01") "</interface>", &less, &err), -EINVAL);
	cr_assert(strstr(err.text, "another interface"));
	cr_assert_eq(domain_add_nic(&d, "<disk/>", &less, &err), -EINVAL);
	cr_assert(strstr(err.text, "not <interface>"), "%s", err.text);
	cr_assert_eq(domain_add_nic(&d, "<interface", &less, &err), -EINVAL);
	cr_assert_eq(domain_find_nic(&d, "net7", &index, &err), -ENOENT);
	cr_assert_eq(domain_find_nic(&d, "net0", &index, &err), 0);
	cr_assert_eq(domain_remove_nic(&d, index, &less, &err), 0);
	cr_assert(less.nic_count == 1 && !strcmp(less.nics[0].alias, "net1") && less.nics[0].type == DOMAIN_NIC_BRIDGE);
	domain_done(&more);
	/* A name that is free again is given again. */
	cr_assert_eq(domain_add_nic(&less, "<interface type='user'/>", &more, &err), 0);
	cr_assert_str_eq(more.nics[1].alias, "net0");
	domain_done(&more);
	domain_done(&less);
	domain_done(&d);
}

static void collect(const char *setting, void *arg)
{
	strcat(arg, setting);
	strcat(arg, " ");
}

static void expect_settings(const struct domain *from, const char *const *settings, const char *expected)
{
	char text[512] = "";
	struct domain d;
	struct err err = {0};

	cr_assert_eq(domain_set_nic(from, 0, settings, &d, &err), 0, "%s", err.text);
	domain_nic_settings(&d.nics[0], collect, text);
	cr_expect_str_eq(text, expected);
	cr_expect_arr_eq(d.nics[0].mac, from->nics[0].mac, 6);
	domain_done(&d);
}

#define SET(...) ((const char *const[]){__VA_ARGS__, NULL})

Test(domain_nic, settings)
{
	struct domain d;

	parse(NIC("ethernet", "<bandwidth><inbound average='9'/></bandwidth><vlan><tag id='3'/></vlan>"), &d, NULL);
	expect_settings(&d, SET("link=down"), "link=down inbound.average=9 vlan=3 ");
	expect_settings(&d, SET("inbound.average=", "vlan=none"), "");
	expect_settings(&d, SET("bandwidth=none", "vlan=8", "trust=yes", "mtu=9000"), "mtu=9000 trust=yes vlan=8 ");
	expect_settings(&d, SET("inbound.peak=10", "inbound.burst=4", "outbound.average=7"),
			"inbound.average=9 inbound.peak=10 inbound.burst=4 outbound.average=7 vlan=3 ");
	expect_settings(&d, SET("trunk=5,6", "native=7"), "inbound.average=9 trunk=5,6 native=7 ");
	expect_settings(&d, SET("trunk=5,6", "native=7", "native=none", "link=up"), "inbound.average=9 trunk=5,6 ");
	domain_done(&d);
}

Test(domain_nic, settings_that_are_none)
{
	static const struct {
		const char *setting, *text;
	} rows[] = {
		{"link", "is not NAME=VALUE"}, {"colour=red", "cannot be set: see"}, {"link=sideways", "link state"},
		{"trust=maybe", "be set so"},  {"bandwidth=5", "be set so"},	     {"native=5", "be set so"},
		{"inbound.average=x", "KiB"},  {"vlan=5000", "1 to 4094"},	     {"mtu=1", "mtu size"},
		{"trunk=1,x", "1 to 4094"},    {"inbound.peak=5", "average"},	     {"vlan=\n", "be set so"},
	};
	struct domain d, then = {0};

	parse(NIC("ethernet", ""), &d, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct err err = {0};

		cr_expect_lt(domain_set_nic(&d, 0, SET(rows[i].setting), &then, &err), 0, "%s", rows[i].setting);
		cr_expect(strstr(err.text, rows[i].text), "%s: %s", rows[i].setting, err.text);
	}
	domain_done(&d);
}
