/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "daemons/vsp-netd/settings.h"
#include "proto/network.pb-c.h"

#define TEXT(s) ((char *)(s)) /* generated structs have no const */
#define FDS	4u

static uint8_t guid[2][16] = {{1}, {2}}, mac[2][6] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}}, ip[16] = {10, 1, 2, 3};
static Bulkhead__Network__Nic nic[2], *list[2] = {&nic[0], &nic[1]};
static Bulkhead__Network__Config config;
static Bulkhead__Network__Change change;
static Bulkhead__Network__Address address, *addresses[17];
static Bulkhead__Network__Bandwidth bandwidth;
static uint32_t trunk[65];
static struct settings settings;
static struct nic_change changed;
static struct err err;

static void setup(void)
{
	bulkhead__network__config__init(&config);
	bulkhead__network__change__init(&change);
	bulkhead__network__address__init(&address);
	bulkhead__network__bandwidth__init(&bandwidth);
	config.version = change.version = 1;
	config.n_nics = 2;
	config.nics = list;
	address.bytes = (ProtobufCBinaryData){4, ip};
	address.prefix = 32;
	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++)
		addresses[i] = &address;
	for (uint32_t i = 0; i < 2; i++) {
		bulkhead__network__nic__init(&nic[i]);
		nic[i].instance_guid = (ProtobufCBinaryData){16, guid[i]};
		nic[i].alias = TEXT(i ? "net1" : "net0");
		nic[i].mac = (ProtobufCBinaryData){6, mac[i]};
		nic[i].fd_index = i;
		nic[i].queues = 1;
		nic[i].mtu = 1500;
	}
	memset(&err, 0, sizeof(err));
}

TestSuite(netd_settings, .init = setup);

static int parse(void)
{
	uint8_t bytes[8192];
	size_t len = bulkhead__network__config__pack(&config, bytes);

	memset(&settings, 0xff, sizeof(settings));
	return settings_parse(bytes, len, FDS, &settings, &err);
}

static int parse_change(size_t nfds)
{
	static uint8_t bytes[65536];
	size_t len = bulkhead__network__change__pack(&change, bytes);

	return settings_parse_change(bytes, len, nfds, &changed, &err);
}

Test(netd_settings, good)
{
	nic[0].queues = 3;
	nic[0].addresses = addresses;
	nic[0].n_addresses = 2;
	nic[0].vlan_mode = BULKHEAD__NETWORK__VLAN_MODE__VLAN_MODE_TRUNK;
	trunk[0] = 7;
	trunk[1] = 4094;
	nic[0].trunk = trunk;
	nic[0].n_trunk = 2;
	bandwidth.average = 1000;
	bandwidth.peak = 2000;
	bandwidth.burst = 64000;
	nic[0].inbound = &bandwidth;
	nic[0].may_spoof_mac = 1;
	nic[1].fd_index = 3;
	nic[1].backend = BULKHEAD__NETWORK__BACKEND__BACKEND_STREAM;
	nic[1].link_down = 1;
	nic[1].speed = 1000000000;
	cr_assert_eq(parse(), 0, "%s", err.text);
	cr_assert_eq(settings.nics, 2);
	cr_assert_str_eq(settings.nic[0].alias, "net0");
	cr_assert_eq(settings.nic[0].backend, NIC_TAP);
	cr_assert_eq(settings.nic[0].queues, 3);
	cr_assert_eq(settings.nic[0].speed, SETTINGS_DEFAULT_SPEED);
	cr_assert_eq(settings.nic[0].vlan, NIC_VLAN_TRUNK);
	cr_assert_eq(settings.nic[0].trunks, 2);
	cr_assert_eq(settings.nic[0].trunk[1], 4094);
	cr_assert_eq(settings.nic[0].addresses, 2);
	cr_assert_eq(settings.nic[0].address[1].family, 4);
	cr_assert_eq(settings.nic[0].address[1].bytes[0], 10);
	cr_assert_eq(settings.nic[0].inbound.peak, 2000);
	cr_assert_eq(settings.nic[0].outbound.average, 0);
	cr_assert(settings.nic[0].may_spoof_mac && !settings.nic[0].may_change_mac);
	cr_assert_eq(settings.nic[1].backend, NIC_STREAM);
	cr_assert_eq(settings.nic[1].fd_index, 3);
	cr_assert_eq(settings.nic[1].speed, 1000000000);
	cr_assert(settings.nic[1].link_down);
	cr_assert_eq(settings.nic[1].mac[5], 2);
}

/* What is wrong is named, and nothing of it is used. */
static void refuses(int error, const char *text)
{
	memset(&err, 0, sizeof(err));
	cr_assert_eq(parse(), error, "%s", text);
	cr_assert(strstr(err.text, text), "%s", err.text);
	cr_assert_eq(settings.nics, 0);
	setup();
}

Test(netd_settings, bad)
{
	config.version = 2;
	refuses(-EPROTONOSUPPORT, "version 2");
	nic[0].alias = TEXT("");
	refuses(-EINVAL, "alias");
	nic[0].alias = TEXT("a\nb");
	refuses(-EINVAL, "alias");
	nic[1].alias = TEXT("net0");
	refuses(-EINVAL, "same alias");
	nic[0].instance_guid.len = 15;
	refuses(-EINVAL, "GUID");
	nic[1].instance_guid.data = guid[0];
	refuses(-EINVAL, "GUID");
	nic[0].mac.len = 5;
	refuses(-EINVAL, "MAC");
	mac[0][0] = 3;
	refuses(-EINVAL, "MAC");
	mac[0][0] = 2;
	nic[0].mtu = 67;
	refuses(-EINVAL, "MTU");
	nic[0].mtu = 9001;
	refuses(-EINVAL, "MTU");
	nic[0].queues = 0;
	refuses(-EINVAL, "queues");
	nic[0].queues = 17;
	refuses(-EINVAL, "queues");
	nic[0].queues = 2;
	refuses(-EINVAL, "descriptors are NIC net0's");
	nic[1].fd_index = FDS;
	refuses(-EINVAL, "descriptor");
	nic[1].fd_index = UINT32_MAX;
	refuses(-EINVAL, "descriptor");
	nic[0].backend = BULKHEAD__NETWORK__BACKEND__BACKEND_STREAM;
	nic[0].queues = 2;
	refuses(-EINVAL, "queues");
	nic[0].backend = (Bulkhead__Network__Backend)7;
	refuses(-EINVAL, "connected");
	nic[0].vlan_mode = (Bulkhead__Network__VlanMode)7;
	refuses(-EINVAL, "VLAN");
	nic[0].vlan_mode = BULKHEAD__NETWORK__VLAN_MODE__VLAN_MODE_ACCESS;
	refuses(-EINVAL, "VLAN");
	nic[0].vlan_tag = 5;
	refuses(-EINVAL, "VLAN");
	nic[0].vlan_mode = BULKHEAD__NETWORK__VLAN_MODE__VLAN_MODE_TRUNK;
	nic[0].trunk = trunk;
	nic[0].n_trunk = 65;
	refuses(-EINVAL, "trunk");
	nic[0].vlan_mode = BULKHEAD__NETWORK__VLAN_MODE__VLAN_MODE_TRUNK;
	nic[0].trunk = trunk;
	nic[0].n_trunk = 3; /* the third is 0 */
	refuses(-EINVAL, "trunk");
	address.prefix = 33;
	nic[0].addresses = addresses;
	nic[0].n_addresses = 1;
	refuses(-EINVAL, "address");
	nic[0].addresses = addresses;
	nic[0].n_addresses = 17;
	refuses(-EINVAL, "addresses");
	bandwidth.peak = 1;
	nic[0].outbound = &bandwidth;
	refuses(-EINVAL, "bandwidth");
	cr_assert_eq(settings_parse("\xff", 1, FDS, &settings, &err), -EPROTO);
}

Test(netd_settings, changes)
{
	Bulkhead__Network__Detach detach = BULKHEAD__NETWORK__DETACH__INIT;
	Bulkhead__Network__Capture capture = BULKHEAD__NETWORK__CAPTURE__INIT;
	Bulkhead__Network__FilterInsn insn = BULKHEAD__NETWORK__FILTER_INSN__INIT, *insns[257];

	cr_assert_eq(parse_change(0), -EINVAL);
	change.attach = &nic[0];
	cr_assert_eq(parse_change(0), -EINVAL);
	cr_assert_eq(parse_change(2), -EINVAL);
	cr_assert_eq(parse_change(1), 0, "%s", err.text);
	cr_assert_eq(changed.kind, NIC_ATTACH);
	cr_assert_eq(changed.instance.b[0], 1);
	change.detach = &detach;
	cr_assert_eq(parse_change(1), -EINVAL);
	change.attach = NULL;
	cr_assert_eq(parse_change(0), -EINVAL);
	detach.instance_guid = (ProtobufCBinaryData){16, guid[1]};
	detach.timeout_ms = 77;
	cr_assert_eq(parse_change(0), 0);
	cr_assert_eq(changed.kind, NIC_DETACH);
	cr_assert_eq(changed.instance.b[0], 2);
	cr_assert_eq(changed.timeout_ms, 77);
	change.detach = NULL;
	change.set = &nic[1];
	cr_assert_eq(parse_change(0), 0, "%s", err.text);
	cr_assert_eq(changed.kind, NIC_SET);
	nic[1].fd_index = 0;
	cr_assert_eq(parse_change(1), 0, "%s", err.text);
	change.set = NULL;
	change.capture = &capture;
	capture.instance_guid = (ProtobufCBinaryData){16, guid[1]};
	for (size_t i = 0; i < ARRAY_SIZE(insns); i++)
		insns[i] = &insn;
	capture.filter = insns;
	capture.n_filter = 256;
	insn.k = 9;
	cr_assert_eq(parse_change(1), 0);
	cr_assert_eq(changed.kind, NIC_CAPTURE);
	cr_assert_eq(changed.filter_len, 256);
	cr_assert_eq(changed.filter[255].k, 9);
	insn.jt = 256;
	cr_assert_eq(parse_change(1), -EINVAL);
	insn.jt = 0;
	capture.n_filter = 257;
	cr_assert_eq(parse_change(1), -EINVAL);
	change.version = 9;
	cr_assert_eq(parse_change(1), -EPROTONOSUPPORT);
}

Test(netd_settings, status)
{
	struct nic_status status = {.alias = "net0", .link = true, .dropped = 5, .addresses = 2, .mac = {2}};
	Bulkhead__Network__Status *msg;
	uint8_t bytes[256];
	size_t len;

	status.address[0].family = 4;
	status.address[1].family = 6;
	status.address[1].bytes[15] = 1;
	cr_assert_eq(settings_pack_status(&status, 1, bytes, 8), 0);
	len = settings_pack_status(&status, 1, bytes, sizeof(bytes));
	cr_assert_gt(len, 0);
	msg = bulkhead__network__status__unpack(NULL, len, bytes);
	cr_assert(msg && msg->version == 1 && msg->n_nics == 1);
	cr_assert_str_eq(msg->nics[0]->alias, "net0");
	cr_assert(msg->nics[0]->link && !msg->nics[0]->capturing && msg->nics[0]->dropped == 5);
	cr_assert_eq(msg->nics[0]->n_addresses, 2);
	cr_assert_eq(msg->nics[0]->addresses[0].len, 4);
	cr_assert_eq(msg->nics[0]->addresses[1].len, 16);
	bulkhead__network__status__free_unpacked(msg, NULL);
}
