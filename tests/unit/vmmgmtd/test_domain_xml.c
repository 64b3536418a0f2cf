/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "domain.h"

#define UUID	   "3e478734-45d4-4f62-a1f1-65e9d1b3b4e7"
#define OS	   "<os><type>hvm</type><kernel>/k</kernel></os>"
#define HEAD	   "<domain type='kvm'><name>n</name><uuid>" UUID "</uuid>"
#define SIZE	   "<memory unit='MiB'>64</memory><vcpu>1</vcpu>"
#define DEVICES(d) HEAD SIZE OS "<devices>" d "</devices></domain>"
#define DISK_OF(type, source, target, rest)                                                                            \
	"<disk type='" type "' device='disk'><source " source "/><target " target "/>" rest "</disk>"
#define AT(image, dev, address)                                                                                        \
	DISK_OF("file", "file='" image "'", "dev='" dev "'", "<address type='drive' " address "/>")
#define LIMITED(limits)	 DEVICES(DISK_OF("file", "file='/a'", "dev='sda'", "<iotune>" limits "</iotune>"))
#define DISK(image, dev) DISK_OF("file", "file='" image "'", "dev='" dev "' bus='scsi'", "")

static int parse(const char *xml, struct domain *d, struct domain_report *report, struct err *err)
{
	return domain_parse(xml, strlen(xml), d, report, err);
}

Test(domain_xml, all_that_is_implemented)
{
	struct domain d = {0};
	struct err err = {0};
	const char *xml = HEAD
		"<memory unit='KiB'>1000000</memory><memoryBacking><hugepages/></memoryBacking><vcpu>3</vcpu>"
		"<os><type arch='x86_64'>hvm</type><kernel> /boot/k </kernel><initrd>/boot/i</initrd>"
		"<cmdline>console=ttyS0 a=&quot;b&quot;</cmdline></os>"
		"<on_poweroff>restart</on_poweroff><on_reboot>destroy</on_reboot><on_crash>preserve</on_crash><devices>"
		"<disk type='file' device='disk'><driver name='qemu' type='raw' cache='none'/><source file='/d.raw'/>"
		"<iotune><read_iops_sec>100</read_iops_sec><read_iops_sec_max>300</read_iops_sec_max>"
		"<read_iops_sec_max_length>9</read_iops_sec_max_length><write_bytes_sec>4096</write_bytes_sec>"
		"<size_iops_sec>16384</size_iops_sec><group_name>g 1</group_name></iotune>"
		"<target dev='sdaa' bus='scsi'/><readonly/><serial>S-1</serial><blockio "
		"logical_block_size='4096' physical_block_size='16384'/></disk>"
		"<disk type='block' device='disk'><driver cache='unsafe' discard='ignore' "
		"detect_zeroes='unmap'/><source "
		"dev='/dev/x'/><target "
		"dev='sdb'/></disk>"
		"<serial type='pty'><log file='/l' append='on'/><target port='0'/></serial>"
		"<console type='pty'><target type='serial' port='0'/></console></devices></domain>";

	cr_assert_eq(parse(xml, &d, NULL, &err), 0, "%s", err.text);
	cr_assert_str_eq(d.name, "n");
	cr_assert_str_eq(d.uuid, UUID);
	cr_assert_eq(d.memory_bytes, 977ull << 20); /* rounded up to whole MiB */
	cr_assert_eq(d.cpus, 3);
	cr_assert(d.huge_pages);
	cr_assert_str_eq(d.kernel, "/boot/k");
	cr_assert_str_eq(d.initrd, "/boot/i");
	cr_assert_str_eq(d.cmdline, "console=ttyS0 a=\"b\"");
	cr_assert_eq(d.on_poweroff, DOMAIN_EVENT_RESTART);
	cr_assert_eq(d.on_reboot, DOMAIN_EVENT_DESTROY);
	cr_assert_eq(d.on_crash, DOMAIN_EVENT_PRESERVE);
	cr_assert_str_eq(d.console_log, "/l");
	cr_assert(d.console_log_append);
	cr_assert_eq(d.disk_count, 2);
	cr_assert_eq(d.disks[0].lun, 26);
	cr_assert(d.disks[0].readonly && d.disks[0].direct && !d.disks[0].unsafe_flush);
	cr_assert_eq(d.disks[0].block_bytes, 4096);
	cr_assert_eq(d.disks[0].physical_block_bytes, 16384);
	cr_assert(d.disks[0].discard && !d.disks[1].discard);
	cr_assert(d.disks[0].zeroes == DOMAIN_ZEROES_OFF && d.disks[1].zeroes == DOMAIN_ZEROES_UNMAP);
	cr_assert_eq(d.disks[1].physical_block_bytes, 0);
	cr_assert_eq(d.disks[0].iotune.limit[DOMAIN_LIMIT_READ_IOPS][DOMAIN_LIMIT_RATE], 100);
	cr_assert_eq(d.disks[0].iotune.limit[DOMAIN_LIMIT_READ_IOPS][DOMAIN_LIMIT_BURST], 300);
	cr_assert_eq(d.disks[0].iotune.limit[DOMAIN_LIMIT_READ_IOPS][DOMAIN_LIMIT_BURST_SECONDS], 9);
	cr_assert_eq(d.disks[0].iotune.limit[DOMAIN_LIMIT_WRITE_BYTES][DOMAIN_LIMIT_RATE], 4096);
	cr_assert_eq(d.disks[0].iotune.limit[DOMAIN_LIMIT_TOTAL_IOPS][DOMAIN_LIMIT_RATE], 0);
	cr_assert_eq(d.disks[0].iotune.io_bytes, 16384);
	cr_assert_str_eq(d.disks[0].iotune.group, "g 1");
	cr_assert(domain_limited(&d.disks[0].iotune) && !domain_limited(&d.disks[1].iotune));
	cr_assert_str_eq(d.disks[0].serial, "S-1");
	cr_assert_eq(d.disks[1].type, DOMAIN_DISK_BLOCK);
	cr_assert_str_eq(d.disks[1].image, "/dev/x");
	cr_assert(d.disks[1].unsafe_flush && !d.disks[1].readonly && !d.disks[1].direct);
	cr_assert_str_eq(d.xml, xml);
	domain_done(&d);
}

Test(domain_xml, uuid_is_made_and_written_down)
{
	struct domain d = {0}, again = {0};
	struct err err = {0};

	cr_assert_eq(parse("<domain type='kvm'>\n  <name>x</name>\n" SIZE OS "</domain>", &d, NULL, &err), 0, "%s",
		     err.text);
	cr_assert_eq(strlen(d.uuid), 36);
	cr_assert(strstr(d.xml, d.uuid));
	cr_assert_eq(parse(d.xml, &again, NULL, &err), 0, "%s", err.text);
	cr_assert_str_eq(again.uuid, d.uuid);
	cr_assert_str_eq(again.xml, d.xml);
	domain_done(&d);
	domain_done(&again);
}

Test(domain_xml, controller_guid_is_stable)
{
	struct domain a = {.uuid = UUID}, b = {.uuid = "3e478734-45d4-4f62-a1f1-65e9d1b3b4e8"};
	uint8_t one[16], two[16], three[16];

	domain_guid(&a, "scsi0", one);
	domain_guid(&a, "scsi0", two);
	cr_assert_arr_eq(one, two, 16);
	domain_guid(&b, "scsi0", three);
	cr_assert_neq(memcmp(one, three, 16), 0);
	domain_guid(&a, "scsi1", three);
	cr_assert_neq(memcmp(one, three, 16), 0);
}

/* What must not be taken, and what the line must say about it. */
static const struct {
	const char *xml;
	int code;
	const char *text;
} bad[] = {
	/* hostile or no XML */
	{"", -EINVAL, "empty"},
	{"hello", -EINVAL, "not well-formed"},
	{"<domain", -EINVAL, "not well-formed"},
	{"<network/>", -EINVAL, "not <domain>"},
	{"<!DOCTYPE d [<!ENTITY a 'b'>]><domain type='kvm'><name>&a;</name></domain>", -EINVAL, "DOCTYPE"},
	{"<!DOCTYPE d SYSTEM 'http://127.0.0.1/x.dtd'><domain/>", -EINVAL, "DOCTYPE"},
	{"<domain type='kvm'><name>&nope;</name></domain>", -EINVAL, "not well-formed"},
	/* missing, twice, contradictory */
	{"<domain type='kvm'>" SIZE OS "</domain>", -EINVAL, "/domain/name: it is missing"},
	{HEAD "<vcpu>1</vcpu>" OS "</domain>", -EINVAL, "/domain/memory: it is missing"},
	{HEAD SIZE "<os><type>hvm</type></os></domain>", -EINVAL, "/domain/os/kernel: it is missing"},
	{HEAD SIZE SIZE OS "</domain>", -EINVAL, "/domain/memory[2]: it is given twice"},
	{HEAD "<memory>65536</memory><currentMemory>65537</currentMemory>" OS "</domain>", -EINVAL,
	 "more than <memory>"},
	{DEVICES(DISK("/a", "sda") DISK("/b", "sda")), -EINVAL, "target 'sda' is taken"},
	{DEVICES(DISK("/a", "sda") DISK("/a", "sdb")), -EINVAL, "image /a is that of disk sda"},
	{DEVICES("<serial type='pty'><log file='/a'/></serial><console type='pty'><log file='/b'/></console>"), -EINVAL,
	 "a log already: /a"},
	/* values */
	{"<domain type='xen'><name>n</name>" SIZE OS "</domain>", -EOPNOTSUPP, "only 'kvm'"},
	{"<domain><name>n</name>" SIZE OS "</domain>", -EOPNOTSUPP, "only 'kvm'"},
	{"<domain type='kvm'><name>../x</name>" SIZE OS "</domain>", -EINVAL, "no '/'"},
	{"<domain type='kvm'><name>-x</name>" SIZE OS "</domain>", -EINVAL, "no '-'"},
	{"<domain type='kvm'><name> </name>" SIZE OS "</domain>", -EINVAL, "empty"},
	{"<domain type='kvm'><name>a&#10;b</name>" SIZE OS "</domain>", -EINVAL, "control character"},
	{"<domain type='kvm'><name>n</name><uuid>zz</uuid>" SIZE OS "</domain>", -EINVAL, "not a UUID"},
	{HEAD "<memory unit='parsec'>1</memory>" OS "</domain>", -EINVAL, "unit 'parsec'"},
	{HEAD "<memory>0</memory>" OS "</domain>", -EINVAL, "between 1 MiB and 4 TiB"},
	{HEAD "<memory>-5</memory>" OS "</domain>", -EINVAL, "'-5' is not a number"},
	{HEAD "<memory unit='TiB'>99999999999999</memory>" OS "</domain>", -EINVAL, "between 1 MiB and 4 TiB"},
	{HEAD "<memory unit='GiB'>18446744073709551616</memory>" OS "</domain>", -EINVAL, "not a number"},
	{HEAD "<memory>65536</memory><vcpu>0</vcpu>" OS "</domain>", -EINVAL, "between 1 and 64"},
	{HEAD "<memory>65536</memory><vcpu>65</vcpu>" OS "</domain>", -EINVAL, "between 1 and 64"},
	{HEAD "<memory>65536</memory><vcpu current='3'>2</vcpu>" OS "</domain>", -EINVAL, "between 1 and 2"},
	{HEAD "<memory>65536</memory><vcpu current='0'>2</vcpu>" OS "</domain>", -EINVAL, "between 1 and 2"},
	{HEAD "<memory unit=''>65536</memory>" OS "</domain>", -EINVAL, "unit ''"},
	{HEAD "<memory unit='Mi'>64</memory>" OS "</domain>", -EINVAL, "unit 'Mi'"},
	{HEAD "<memory unit='MiBB'>64</memory>" OS "</domain>", -EINVAL, "unit 'MiBB'"},
	{HEAD "<memory unit='E'>16</memory>" OS "</domain>", -EINVAL, "between 1 MiB and 4 TiB"},
	{HEAD "<memory unit='E'>18446744073709551615</memory>" OS "</domain>", -EINVAL, "between 1 MiB and 4 TiB"},
	{HEAD SIZE "<os><type arch='aarch64'>hvm</type><kernel>/k</kernel></os></domain>", -EOPNOTSUPP,
	 "arch 'aarch64'"},
	{HEAD SIZE "<os><type>linux</type><kernel>/k</kernel></os></domain>", -EOPNOTSUPP, "only 'hvm'"},
	{HEAD SIZE "<os><type>hvm</type><kernel>k</kernel></os></domain>", -EINVAL, "not an absolute path"},
	{HEAD SIZE OS "<on_reboot>preserve</on_reboot></domain>", -EOPNOTSUPP, "/domain/on_reboot"},
	/* devices */
	{DEVICES(DISK_OF("file", "file='/a'", "dev='vda' bus='virtio'", "")), -EOPNOTSUPP, "bus 'virtio'"},
	{DEVICES(DISK_OF("file", "file='/a'", "dev='vda'", "")), -EINVAL, "it must be sda"},
	{DEVICES(DISK_OF("file", "file='/a'", "dev='sdaaa'", "")), -EINVAL, "it must be sda"},
	{HEAD SIZE OS "<iothreadids><iothread id='1'><poll max='10000001'/></iothread></iothreadids></domain>", -EINVAL,
	 "poll: max '10000001': nanoseconds, 0 (no polling) to 10000000"},
	{DEVICES(AT("/a", "sda", "controller='64' unit='0'")), -EINVAL, "address: controller '64': at most 63"},
	{DEVICES(AT("/a", "sda", "unit='64'")), -EINVAL, "address: unit '64': at most 63"},
	{DEVICES(AT("/a", "sda", "unit='-1'")), -EINVAL, "address: unit '-1'"},
	{DEVICES(AT("/a", "sda", "bus='1'")), -EINVAL, "address: bus '1': at most 0"},
	{DEVICES(AT("/a", "sda", "target='1'")), -EINVAL, "address: target '1': at most 0"},
	{DEVICES(AT("/a", "sda", "controller='3' unit='5'") AT("/b", "sdb", "controller='3' unit='5'")), -EINVAL,
	 "controller 3, unit 5 is the place of disk sda already"},
	{DEVICES(DISK("/a", "sda") AT("/b", "sdb", "unit='0'")), -EINVAL, "is the place of disk sda already"},
	{DEVICES(DISK_OF("file", "dev='/a'", "dev='sda'", "")), -EINVAL, "path is missing"},
	{DEVICES(DISK_OF("network", "protocol='nbd'", "dev='sda'", "")), -EOPNOTSUPP, "only 'file' and 'block'"},
	{DEVICES(DISK_OF("file", "file='/a'", "dev='sda'", "<driver type='qcow2'/>")), -EOPNOTSUPP, "only 'raw'"},
	{DEVICES(DISK_OF("file", "file='/a'", "dev='sda'", "<driver cache='x'/>")), -EINVAL, "cache 'x'"},
	{DEVICES(DISK_OF("file", "file='/a'", "dev='sda'", "<driver io='x'/>")), -EINVAL, "io 'x'"},
	{DEVICES(DISK_OF("file", "file='/a'", "dev='sda'", "<driver discard='on'/>")), -EINVAL, "discard 'on'"},
	{DEVICES(DISK_OF("file", "file='/a'", "dev='sda'", "<driver error_policy='stop'/>")), -EOPNOTSUPP,
	 "error_policy 'stop'"},
	{DEVICES(DISK_OF("file", "file='/a'", "dev='sda'", "<driver error_policy='report' rerror_policy='ignore'/>")),
	 -EOPNOTSUPP, "rerror_policy 'ignore'"},
	{DEVICES(DISK_OF("file", "file='/a'", "dev='sda'", "<driver detect_zeroes='yes'/>")), -EINVAL,
	 "detect_zeroes 'yes'"},
	{LIMITED("<total_iops_sec>x</total_iops_sec>"), -EINVAL, "total_iops_sec 'x'"},
	{LIMITED("<total_iops_sec>1000000000000001</total_iops_sec>"), -EINVAL, "a number up to"},
	{LIMITED("<total_iops_sec>5</total_iops_sec><read_iops_sec>5</read_iops_sec>"), -EINVAL,
	 "read_iops_sec and total_iops_sec"},
	{LIMITED("<read_bytes_sec_max>5</read_bytes_sec_max>"), -EINVAL, "say read_bytes_sec, too"},
	{LIMITED("<read_bytes_sec>5</read_bytes_sec><read_bytes_sec_max>5</read_bytes_sec_max>"), -EINVAL,
	 "must be more than read_bytes_sec"},
	{LIMITED("<read_bytes_sec>5</read_bytes_sec><read_bytes_sec_max_length>5</read_bytes_sec_max_length>"), -EINVAL,
	 "say read_bytes_sec_max, too"},
	{LIMITED("<total_iops>5</total_iops>"), -EOPNOTSUPP, "is not known"},
	{DEVICES(DISK_OF("file", "file='/a'", "dev='sda'",
			 "<iotune><total_iops_sec>5</total_iops_sec><group_name>g</group_name></iotune>")
			 DISK_OF("file", "file='/b'", "dev='sdb'",
				 "<iotune><total_iops_sec>6</total_iops_sec><group_name>g</group_name></iotune>")),
	 -EINVAL, "disk sda has other limits"},
	{DEVICES(DISK_OF("file", "file='/a'", "dev='sda'", "<blockio physical_block_size='1000'/>")), -EINVAL, "1000"},
	{DEVICES(DISK_OF("file", "file='/a'", "dev='sda'",
			 "<blockio logical_block_size='4096' physical_block_size='512'/>")),
	 -EINVAL, "physical_block_size '512'"},
	{DEVICES(DISK_OF("file", "file='/a'", "dev='sda'", "<driver io='threads'/>")
			 DISK_OF("file", "file='/b'", "dev='sdb'", "<driver io='native'/>")),
	 -EOPNOTSUPP, "/domain/devices/disk[2]: driver io 'native', and another disk has 'threads'"},
	{DEVICES(DISK_OF("file", "file='/a'", "dev='sda'", "<shareable/>") DISK("/a", "sdb")), -EINVAL,
	 "that of disk sda"},
	{DEVICES(DISK_OF("file", "file='/a'", "dev='sda'", "<driver metadata_cache='1'/>")), -EOPNOTSUPP,
	 "/driver/@metadata_cache: is not known"},
	{DEVICES(DISK_OF("file", "file='/a'", "dev='sda'", "<serial>a b</serial>")), -EINVAL, "serial"},
	{DEVICES(DISK_OF("file", "file='/a'", "dev='sda'", "<blockio logical_block_size='1024'/>")), -EOPNOTSUPP,
	 "1024"},
	{DEVICES(DISK_OF("file", "file='/a'", "dev='sda'",
			 "<backingStore type='file'><source file='/b'/></backingStore>")),
	 -EOPNOTSUPP, "backing files"},
	{DEVICES("<disk type='file' device='floppy'><target dev='sda'/></disk>"), -EOPNOTSUPP, "device 'floppy'"},
	{DEVICES("<disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>"), -EOPNOTSUPP, "bus 'sata'"},
	{DEVICES("<disk type='file' device='cdrom'><source file='a'/><target dev='sda'/></disk>"), -EINVAL, "absolute"},
	{DEVICES("<disk type='file' device='cdrom'><source index='x'/><target dev='sda'/></disk>"), -EINVAL,
	 "index 'x'"},
	{DEVICES("<disk type='file' device='cdrom'><target dev='sda'/><blockio logical_block_size='512'/></disk>"),
	 -EOPNOTSUPP, "blocks of 2048"},
	{DEVICES("<disk type='file' device='cdrom'><source file='/a'/><target dev='sda'/></disk>" DISK("/a", "sdb")),
	 -EINVAL, "that of disk sda"},
	{DEVICES("<disk type='file'/>"), -EINVAL, "no <source>"},
	{DEVICES("<interface type='network'/>"), -EOPNOTSUPP, "/domain/devices/interface: type 'network'"},
	{DEVICES("<graphics type='vnc'/>"), -EOPNOTSUPP, "displays"},
	{DEVICES("<serial type='pty'/><serial type='pty'><target port='1'/></serial>"), -EOPNOTSUPP, "one serial port"},
	{DEVICES("<serial type='tcp'/>"), -EOPNOTSUPP, "type 'tcp'"},
	{DEVICES("<console type='pty'><target type='virtio'/></console>"), -EOPNOTSUPP, "only 'serial'"},
	{DEVICES("<flux-capacitor/>"), -EOPNOTSUPP, "flux-capacitor: is not known"},
	{HEAD SIZE OS "<devices colour='red'/></domain>", -EOPNOTSUPP, "/domain/devices/@colour"},
	{HEAD SIZE OS "<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'/></domain>", -EOPNOTSUPP,
	 "/domain/qemu:commandline: QEMU is not used"},
	{HEAD SIZE OS "<x:y xmlns:x='http://libvirt.org/schemas/domain/qemu/2.0'/></domain>", -EOPNOTSUPP,
	 "/domain/x:y: is not"},
	{"<domain type='kvm' xmlns='http://other/'><name>n</name>" SIZE OS "</domain>", -EINVAL, "not <domain>"},
};

Test(domain_xml, bad_ones)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct domain d = {0};
		struct err err = {0};
		int r = parse(bad[i].xml, &d, NULL, &err);

		cr_expect_eq(r, bad[i].code, "%s: %d: %s", bad[i].xml, r, err.text);
		cr_expect(strstr(err.text, bad[i].text), "%s: says '%s'", bad[i].xml, err.text);
		cr_expect_null(d.xml);
		cr_expect_null(strchr(err.text, '\n'));
	}
}

/* ---- drives ---- */

#define DRIVE(source, target) "<disk type='file' device='cdrom'>" source "<target dev='" target "' bus='scsi'/></disk>"

static void changed(const struct domain *from, const char *image, enum domain_disk_type type, unsigned int number,
		    struct domain *ret)
{
	struct err err = {0};

	cr_assert_eq(domain_change_medium(from, 1, image, type, number, ret, &err), 0, "%s", err.text);
	cr_assert_eq(ret->disk_count, 3);
	cr_assert(ret->disks[1].cdrom && ret->disks[1].readonly);
	cr_assert_eq(ret->disks[1].block_bytes, 2048);
	cr_assert_eq(ret->disks[1].medium, number);
	cr_assert_eq(ret->disks[1].type, type);
	cr_assert_str_eq(ret->disks[1].target, "sdb");
	if (image)
		cr_assert_str_eq(ret->disks[1].image, image);
	else
		cr_assert_null(ret->disks[1].image);
	cr_assert_str_eq(ret->disks[0].image, "/a");
	cr_assert_str_eq(ret->disks[2].image, "/b & 'c'.iso");
}

Test(domain_xml, drives)
{
	struct domain d = {0}, full = {0}, empty = {0}, block = {0}, none = {0};
	struct err err = {0};

	cr_assert_eq(parse(DEVICES(DISK("/a", "sda") DRIVE("", "sdb")
					   DRIVE("<source file=\"/b &amp; 'c'.iso\" index='3'/>", "sdc")),
			   &d, NULL, &err),
		     0, "%s", err.text);
	cr_assert(!d.disks[0].cdrom && d.disks[1].cdrom && d.disks[2].cdrom && d.disks[2].readonly);
	cr_assert_null(d.disks[1].image);
	cr_assert_eq(d.disks[2].medium, 3);
	changed(&d, "/x & 'y'.iso", DOMAIN_DISK_FILE, 1, &full);
	changed(&full, NULL, DOMAIN_DISK_FILE, 2, &empty);
	changed(&empty, "/dev/sr0", DOMAIN_DISK_BLOCK, 0, &block);
	changed(&block, NULL, DOMAIN_DISK_FILE, 0, &none);
	cr_assert(strstr(none.xml, "device=\"cdrom\"><target dev=\"sdb\" bus=\"scsi\"/></disk>"), "%s", none.xml);
	domain_done(&none);
	cr_assert_eq(domain_change_medium(&d, 0, "/x", DOMAIN_DISK_FILE, 1, &none, &err), -EINVAL);
	cr_assert(strstr(err.text, "no CD or DVD drive"));
	cr_assert_eq(domain_change_medium(&d, 1, "x", DOMAIN_DISK_FILE, 1, &none, &err), -EINVAL);
	cr_assert_null(none.xml);
	domain_done(&d);
	domain_done(&full);
	domain_done(&empty);
	domain_done(&block);
}

/* ---- memory and processors ---- */

static const struct {
	const char *unit, *value;
	uint64_t mib;
} amounts[] = {
	{"", "65536", 64},
	{" unit='b'", "67108864", 64},
	{" unit='bytes'", "67108865", 65},
	{" unit='KB'", "1048576", 1000},
	{" unit='k'", "1024", 1},
	{" unit='KiB'", "65536", 64},
	{" unit='MB'", "100", 96},
	{" unit='M'", "64", 64},
	{" unit='mib'", "64", 64},
	{" unit='GB'", "1", 954},
	{" unit='g'", "4", 4096},
	{" unit='GiB'", "4", 4096},
	{" unit='TB'", "1", 953675},
	{" unit='T'", "4", 4u << 20},
	{" unit='TiB'", "1", 1u << 20},
};

Test(domain_xml, units_of_memory)
{
	for (size_t i = 0; i < ARRAY_SIZE(amounts); i++) {
		struct domain d = {0};
		struct err err = {0};
		char xml[512];

		snprintf(xml, sizeof(xml), HEAD "<memory%s>%s</memory>" OS "</domain>", amounts[i].unit,
			 amounts[i].value);
		cr_expect_eq(parse(xml, &d, NULL, &err), 0, "%s: %s", xml, err.text);
		cr_expect_eq(d.memory_bytes, amounts[i].mib << 20, "%s: %llu", xml, (unsigned long long)d.memory_bytes);
		domain_done(&d);
	}
}

/* What libvirt would add later, the guest does not get, and a note says so. */
Test(domain_xml, less_now_than_later)
{
	struct domain_report report = {0};
	struct domain d = {0};
	struct err err = {0};

	cr_assert_eq(parse(HEAD "<memory unit='MiB'>64</memory><currentMemory unit='MiB'>32</currentMemory>"
				"<vcpu current='2'>4</vcpu>" OS "</domain>",
			   &d, &report, &err),
		     0, "%s", err.text);
	cr_assert_eq(d.cpus, 2);
	cr_assert_eq(d.memory_bytes, 64u << 20);
	cr_assert_eq(report.kept_count, 2);
	cr_assert(strstr(report.kept[0], "/domain/vcpu: "));
	cr_assert(strstr(report.kept[1], "/domain/currentMemory: "));
	domain_report_done(&report);
	domain_done(&d);
}

/* ---- what happens at the end ---- */

static const struct {
	const char *element, *value;
	int code;
	enum domain_event event;
} events[] = {
	{"on_poweroff", "destroy", 0, DOMAIN_EVENT_DESTROY},
	{"on_poweroff", "restart", 0, DOMAIN_EVENT_RESTART},
	{"on_poweroff", "preserve", -EOPNOTSUPP, 0},
	{"on_poweroff", "rename-restart", -EOPNOTSUPP, 0},
	{"on_poweroff", "coredump-destroy", -EINVAL, 0},
	{"on_reboot", "destroy", 0, DOMAIN_EVENT_DESTROY},
	{"on_reboot", "restart", 0, DOMAIN_EVENT_RESTART},
	{"on_reboot", "preserve", -EOPNOTSUPP, 0},
	{"on_reboot", "rename-restart", -EOPNOTSUPP, 0},
	{"on_crash", "destroy", 0, DOMAIN_EVENT_DESTROY},
	{"on_crash", "restart", 0, DOMAIN_EVENT_RESTART},
	{"on_crash", "preserve", 0, DOMAIN_EVENT_PRESERVE},
	{"on_crash", "rename-restart", -EOPNOTSUPP, 0},
	{"on_crash", "coredump-destroy", -EOPNOTSUPP, 0},
	{"on_crash", "coredump-restart", -EOPNOTSUPP, 0},
	{"on_crash", "", -EINVAL, 0},
	{"on_crash", "explode", -EINVAL, 0},
};

Test(domain_xml, all_values_of_events)
{
	for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
		const char *name = events[i].element;
		struct domain d = {0};
		struct err err = {0};
		char xml[512], path[64];
		int r;

		snprintf(xml, sizeof(xml), HEAD SIZE OS "<%s>%s</%s></domain>", name, events[i].value, name);
		snprintf(path, sizeof(path), "/domain/%s: '%s'", name, events[i].value);
		r = parse(xml, &d, NULL, &err);
		cr_expect_eq(r, events[i].code, "%s: %d %s", xml, r, err.text);
		if (r < 0)
			cr_expect(strstr(err.text, path), "%s: %s", xml, err.text);
		else
			cr_expect_eq(!strcmp(name, "on_poweroff") ? d.on_poweroff
				     : !strcmp(name, "on_reboot") ? d.on_reboot
								  : d.on_crash,
				     events[i].event, "%s", xml);
		domain_done(&d);
	}
}

/* ---- disks ---- */

static const struct {
	const char *cache;
	bool direct, sync, unsafe_flush;
} caches[] = {
	{"default", false, false, false},     {"none", true, false, false},	 {"writeback", false, false, false},
	{"writethrough", false, true, false}, {"directsync", true, true, false}, {"unsafe", false, false, true},
};

Test(domain_xml, caches)
{
	for (size_t i = 0; i < ARRAY_SIZE(caches); i++) {
		struct domain d = {0};
		struct err err = {0};
		char xml[1024];

		snprintf(xml, sizeof(xml), DEVICES(DISK_OF("file", "file='/a'", "dev='sda'", "<driver cache='%s'/>")),
			 caches[i].cache);
		cr_expect_eq(parse(xml, &d, NULL, &err), 0, "%s", err.text);
		cr_expect(d.disks[0].direct == caches[i].direct && d.disks[0].sync == caches[i].sync &&
				  d.disks[0].unsafe_flush == caches[i].unsafe_flush,
			  "%s", caches[i].cache);
		domain_done(&d);
	}
}

static const struct {
	const char *first, *second;
	enum domain_io io;
} ios[] = {
	{"", "", DOMAIN_IO_DEFAULT},
	{"io='native'", "", DOMAIN_IO_NATIVE},
	{"io='native'", "io='io_uring'", DOMAIN_IO_URING},
	{"io='io_uring'", "io='native'", DOMAIN_IO_URING},
	{"", "io='threads'", DOMAIN_IO_THREADS},
};

Test(domain_xml, io_modes)
{
	for (size_t i = 0; i < ARRAY_SIZE(ios); i++) {
		struct domain d = {0};
		struct err err = {0};
		char xml[1024];

		snprintf(xml, sizeof(xml),
			 DEVICES(DISK_OF("file", "file='/a'", "dev='sda'", "<driver type='raw' %s/>")
					 DISK_OF("file", "file='/b'", "dev='sdb'", "<driver type='raw' %s/>")),
			 ios[i].first, ios[i].second);
		cr_expect_eq(parse(xml, &d, NULL, &err), 0, "%s", err.text);
		cr_expect_eq(d.io, ios[i].io, "'%s' '%s': %d", ios[i].first, ios[i].second, d.io);
		domain_done(&d);
	}
}

Test(domain_xml, shareable)
{
	struct domain d = {0};
	struct err err = {0};

	cr_assert_eq(parse(DEVICES(DISK_OF("file", "file='/a'", "dev='sda'", "<shareable/>")
					   DISK_OF("file", "file='/b'", "dev='sdb'", "<shareable/><readonly/>")),
			   &d, NULL, &err),
		     0, "%s", err.text);
	cr_assert(d.disks[0].shareable && !d.disks[0].readonly && d.disks[1].shareable && d.disks[1].readonly);
	domain_done(&d);
	/* With others, not with oneself; and what is flushed is there for them. */
	cr_assert_eq(parse(DEVICES(DISK_OF("file", "file='/a'", "dev='sda'", "<shareable/>")
					   DISK_OF("file", "file='/a'", "dev='sdb'", "<shareable/><readonly/>")),
			   &d, NULL, &err),
		     -EINVAL);
	cr_assert_eq(parse(DEVICES(DISK_OF("file", "file='/a'", "dev='sda'",
					   "<shareable/><driver type='raw' cache='unsafe'/>")),
			   &d, NULL, &err),
		     -EINVAL);
	cr_assert(strstr(err.text, "unsafe"), "%s", err.text);
}

Test(domain_xml, report_has_all_three_lists)
{
	struct domain_report report = {0};
	struct domain d = {0};
	struct err err = {0};

	cr_assert_lt(
		parse(DEVICES("<emulator>/q</emulator><video/><controller/><controller/><sound/>"), &d, &report, &err),
		0);
	cr_assert(strstr(err.text, "1 more"));
	cr_assert_str_eq(report.implemented[0], "/domain");
	cr_assert_eq(report.kept_count, 2);
	cr_assert(strstr(report.kept[0], "/domain/devices/emulator: "));
	cr_assert(strstr(report.kept[1], "/domain/devices/controller: "), "once for both: %s", report.kept[1]);
	cr_assert_eq(report.refused_count, 2);
	cr_assert(strstr(report.refused[1], "/domain/devices/sound: "));
	domain_report_done(&report);
}

/* A tree of @depth levels, or of @width siblings. */
static char *big(unsigned int depth, unsigned int width, const char *name)
{
	size_t size = 256 + (size_t)(depth + width) * 32;
	char *text = malloc(size), *at = text;

	at += sprintf(at, "<domain type='kvm'>");
	for (unsigned int i = 0; i < depth; i++)
		at += sprintf(at, "<%s>", name);
	for (unsigned int i = 0; i < depth; i++)
		at += sprintf(at, "</%s>", name);
	for (unsigned int i = 0; i < width; i++)
		at += sprintf(at, "<%s/>", name);
	sprintf(at, "</domain>");
	return text;
}

Test(domain_xml, size_is_bounded, .timeout = 20)
{
	const struct {
		unsigned int depth, width;
		const char *name;
	} sizes[] = {{200, 0, "devices"}, {10000, 0, "a"}, {0, 60000, "devices"}, {0, 60000, "metadata"}};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_free_ char *xml = big(sizes[i].depth, sizes[i].width, sizes[i].name);
		struct domain d = {0};
		struct err err = {0};

		cr_expect_lt(parse(xml, &d, NULL, &err), 0);
	}
	{
		_cleanup_free_ char *xml = malloc(DOMAIN_XML_MAX + 2);
		struct err err = {0};
		struct domain d = {0};

		memset(xml, ' ', DOMAIN_XML_MAX + 1);
		cr_expect_eq(domain_parse(xml, DOMAIN_XML_MAX + 1, &d, NULL, &err), -EINVAL);
		cr_expect(strstr(err.text, "larger than 1 MiB"));
	}
}

/* ---- files that virt-install and virsh wrote: see domains/README.md ---- */

static char *read_domain_file(const char *name, size_t *ret_len)
{
	_cleanup_close_ int fd = -1;
	char path[4096], *text = NULL;

	snprintf(path, sizeof(path), "%s/%s", TEST_DOMAINS, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0, "%s is missing", path);
	cr_assert_eq(fd_read_all(fd, DOMAIN_XML_MAX, &text, ret_len), 0);
	return text;
}

/* Taken, and taken again as it is given back, with the same outcome. */
static void check_taken(const char *name, const struct domain *d, const struct domain_report *report)
{
	struct domain_report reports = {0};
	struct domain again = {0};
	struct err err = {0};

	cr_expect_eq(report->refused_count, 0, "%s", name);
	cr_expect_eq(parse(d->xml, &again, &reports, &err), 0, "%s: given back: %s", name, err.text);
	cr_expect_str_eq(again.xml, d->xml, "%s", name);
	cr_expect_eq(reports.kept_count, report->kept_count, "%s", name);
	domain_report_done(&reports);
	domain_done(&again);
}

/* Refused for exactly what NAME.list says; ok-NAME.xml is there. */
static void check_refused(const char *name, const struct domain_report *report)
{
	char list[256], mended[256];
	_cleanup_free_ char *expected = NULL, *said = NULL, *other = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&said, &len);

	for (size_t i = 0; i < report->refused_count; i++)
		fprintf(f, "%s\n", report->refused[i]);
	fclose(f);
	snprintf(list, sizeof(list), "%.*s.list", (int)(strlen(name) - strlen(".xml")), name);
	expected = read_domain_file(list, &len);
	cr_expect_str_eq(said, expected, "%s", name);
	snprintf(mended, sizeof(mended), "ok-%s", name + strlen("refused-"));
	other = read_domain_file(mended, &len);
}

static int check_domain_file(const char *name)
{
	struct domain_report report = {0};
	_cleanup_free_ char *xml = NULL;
	struct domain d = {0};
	struct err err = {0};
	size_t len = 0;
	int r;

	if (!strstr(name, ".xml"))
		return 0;
	xml = read_domain_file(name, &len);
	r = domain_parse(xml, len, &d, &report, &err);
	cr_expect_gt(report.kept_count, 0, "%s", name);
	cr_expect_eq(r, strncmp(name, "ok-", 3) ? -EOPNOTSUPP : 0, "%s: %d %s", name, r, err.text);
	if (r == 0)
		check_taken(name, &d, &report);
	else
		check_refused(name, &report);
	domain_report_done(&report);
	domain_done(&d);
	return 1;
}

Test(domain_xml, files_of_others)
{
	struct dirent **names = NULL;
	int n = scandir(TEST_DOMAINS, &names, NULL, alphasort), seen = 0;

	for (int i = 0; i < n; i++) {
		seen += check_domain_file(names[i]->d_name);
		free(names[i]);
	}
	free(names);
	cr_assert_geq(seen, 43);
}

Test(domain_xml, places_of_disks)
{
	static const char xml[] = DEVICES(DISK("/a", "sda") DISK("/b", "sdbl") DISK("/c", "sdbm") AT(
		"/d", "sdb", "controller='63' unit='63'") AT("/e", "sdc", "unit='62'"));
	static const unsigned int places[][2] = {{0, 0}, {0, 63}, {1, 0}, {63, 63}, {0, 62}};
	struct domain d = {0};
	struct err err = {0};

	cr_assert_eq(domain_parse(xml, strlen(xml), &d, NULL, &err), 0, "%s", err.text);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		cr_expect_eq(d.disks[i].controller, places[i][0], "disk %zu", i);
		cr_expect_eq(d.disks[i].lun, places[i][1], "disk %zu", i);
	}
	domain_done(&d);
}

Test(domain_xml, polling)
{
	static const char xml[] = HEAD SIZE OS "<iothreads>2</iothreads><iothreadids><iothread id='1'>"
					       "<poll max='20000' grow='2' shrink='2'/></iothread>"
					       "<iothread id='2'><poll max='50000'/></iothread></iothreadids></domain>";
	struct domain d = {0};
	struct err err = {0};

	cr_assert_eq(domain_parse(xml, strlen(xml), &d, NULL, &err), 0, "%s", err.text);
	cr_assert_eq(d.poll_max_ns, 50000);
	domain_done(&d);
}

Test(domain_xml, uuid_forms)
{
	char uuid[DOMAIN_UUID_MAX];

	cr_assert_eq(domain_uuid_normalise("3E47873445D44F62A1F165E9D1B3B4E7", uuid), 0);
	cr_assert_str_eq(uuid, UUID);
	cr_assert_eq(domain_uuid_normalise(UUID, uuid), 0);
	cr_assert_eq(domain_uuid_normalise("", uuid), -EINVAL);
	cr_assert_eq(domain_uuid_normalise(UUID "0", uuid), -EINVAL);
	cr_assert_eq(domain_uuid_normalise("00000000-0000-0000-0000-000000000000", uuid), -EINVAL);
	cr_assert_eq(domain_uuid_normalise("3e478734-45d4-4f62-a1f1-65e9d1b3b4e", uuid), -EINVAL);
}

/* ---- a disk more, a disk less ---- */

#define TWO DEVICES("\n  " DISK("/a", "sda") "\n  " DISK("/c", "sdc") "\n")

static const struct {
	const char *disk, *target, *text; /* target: what it gets; NULL: refused, with text */
} more[] = {
	{DISK("/d", "sdd"), "sdd", NULL},
	{"<disk type='file'><source file='/d'/></disk>", "sdb", NULL},
	{"<disk type='file'><source file='/d'/><target bus='scsi' dev='sda'/></disk>", NULL, "target 'sda' is taken"},
	{DISK("/c", "sdd"), NULL, "image /c is that of disk sdc"},
	{"<disk type='file'/>", NULL, "no <source>"},
	{"<disc/>", NULL, "its root element is not <disk>"},
	{"<disk", NULL, "not well-formed"},
	{"", NULL, "it is empty"},
	{"<!DOCTYPE a []><disk/>", NULL, "DOCTYPE"},
};

Test(domain_xml, a_disk_more)
{
	struct domain from = {0};
	struct err err = {0};

	cr_assert_eq(parse(TWO, &from, NULL, &err), 0, "%s", err.text);
	for (size_t i = 0; i < ARRAY_SIZE(more); i++) {
		struct domain with = {0};
		int r = domain_add_disk(&from, more[i].disk, &with, &err);

		if (!more[i].target) {
			cr_expect(r < 0 && strstr(err.text, more[i].text), "%zu: %s", i, err.text);
			cr_expect_null(with.xml);
			continue;
		}
		cr_assert_eq(r, 0, "%zu: %s", i, err.text);
		cr_expect_eq(with.disk_count, 3);
		cr_expect_str_eq(with.disks[1].target, "sdc");
		cr_expect_str_eq(with.disks[2].target, more[i].target);
		cr_expect_str_eq(with.disks[2].image, "/d");
		cr_expect_str_eq(with.uuid, UUID);
		domain_done(&with);
	}
	domain_done(&from);
}

Test(domain_xml, a_disk_less)
{
	struct domain from = {0}, less = {0}, none = {0};
	struct err err = {0};
	size_t index = 9;

	cr_assert_eq(parse(TWO, &from, NULL, &err), 0, "%s", err.text);
	cr_assert_eq(domain_find_disk(&from, "sdb", &index, &err), -ENOENT);
	cr_assert(strstr(err.text, "no disk sdb"));
	cr_assert_eq(domain_find_disk(&from, "sda", &index, &err), 0);
	cr_assert_eq(index, 0);
	cr_assert_eq(domain_remove_disk(&from, index, &less, &err), 0, "%s", err.text);
	cr_assert_eq(less.disk_count, 1);
	cr_assert_str_eq(less.disks[0].target, "sdc");
	cr_assert_eq(domain_remove_disk(&less, 1, &none, &err), -ENOENT);
	cr_assert_eq(domain_remove_disk(&less, 0, &none, &err), 0, "%s", err.text);
	cr_assert_eq(none.disk_count, 0);
	cr_assert_eq(domain_controllers(&less), 1);
	cr_assert_eq(domain_controllers(&none), 0);
	domain_done(&from);
	domain_done(&less);
	domain_done(&none);
}
