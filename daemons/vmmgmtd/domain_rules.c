/* SPDX-License-Identifier: Apache-2.0 */
#include "domain_rules.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define IMPLEMENTED(path)                                                                                              \
	{                                                                                                              \
		path, DOMAIN_IMPLEMENTED, NULL                                                                         \
	}
#define KEPT(path, reason)                                                                                             \
	{                                                                                                              \
		path, DOMAIN_KEPT, reason                                                                              \
	}
#define REFUSED(path, reason)                                                                                          \
	{                                                                                                              \
		path, DOMAIN_REFUSED, reason                                                                           \
	}

#define NO_EFFECT  "has no effect"
#define FIXED	   "has no effect: the platform is fixed"
#define NOT_VIRTIO "has no effect: the disk is not virtio"
#define NETWORK	   "network storage is not supported"
#define CONTAINER  "is for containers"
#define CHAR_OTHER "the serial port is a pty or a file: remove it"
#define DISK	   "/domain/devices/disk"
#define SERIAL	   "/domain/devices/serial"
#define CONSOLE	   "/domain/devices/console"

static const struct domain_rule rules[] = {
	/* ---- implemented ---- */
	IMPLEMENTED("/domain"),
	IMPLEMENTED("/domain/@type"),
	IMPLEMENTED("/domain/name"),
	IMPLEMENTED("/domain/uuid"),
	IMPLEMENTED("/domain/memory"),
	IMPLEMENTED("/domain/memory/@unit"),
	IMPLEMENTED("/domain/currentMemory"),
	IMPLEMENTED("/domain/currentMemory/@unit"),
	IMPLEMENTED("/domain/memoryBacking"),
	IMPLEMENTED("/domain/memoryBacking/hugepages"),
	IMPLEMENTED("/domain/vcpu"),
	IMPLEMENTED("/domain/vcpu/@current"),
	IMPLEMENTED("/domain/os"),
	IMPLEMENTED("/domain/os/type"),
	IMPLEMENTED("/domain/os/type/@arch"),
	IMPLEMENTED("/domain/os/kernel"),
	IMPLEMENTED("/domain/os/initrd"),
	IMPLEMENTED("/domain/os/cmdline"),
	IMPLEMENTED("/domain/on_poweroff"),
	IMPLEMENTED("/domain/on_reboot"),
	IMPLEMENTED("/domain/on_crash"),
	IMPLEMENTED("/domain/devices"),
	IMPLEMENTED(DISK),
	IMPLEMENTED(DISK "/@type"),
	IMPLEMENTED(DISK "/@device"),
	IMPLEMENTED(DISK "/driver"),
	IMPLEMENTED(DISK "/driver/@type"),
	IMPLEMENTED(DISK "/driver/@cache"),
	IMPLEMENTED(DISK "/driver/@discard"),
	IMPLEMENTED(DISK "/driver/@io"),
	IMPLEMENTED(DISK "/source"),
	IMPLEMENTED(DISK "/source/@file"),
	IMPLEMENTED(DISK "/source/@dev"),
	IMPLEMENTED(DISK "/target"),
	IMPLEMENTED(DISK "/target/@dev"),
	IMPLEMENTED(DISK "/target/@bus"),
	IMPLEMENTED(DISK "/blockio"),
	IMPLEMENTED(DISK "/blockio/@logical_block_size"),
	IMPLEMENTED(DISK "/blockio/@physical_block_size"),
	IMPLEMENTED(DISK "/readonly"),
	IMPLEMENTED(DISK "/shareable"),
	IMPLEMENTED(DISK "/serial"),
	IMPLEMENTED(SERIAL),
	IMPLEMENTED(SERIAL "/@type"),
	IMPLEMENTED(SERIAL "/source"),
	IMPLEMENTED(SERIAL "/source/@path"),
	IMPLEMENTED(SERIAL "/source/@append"),
	IMPLEMENTED(SERIAL "/log"),
	IMPLEMENTED(SERIAL "/log/@file"),
	IMPLEMENTED(SERIAL "/log/@append"),
	IMPLEMENTED(SERIAL "/target"),
	IMPLEMENTED(SERIAL "/target/@port"),
	IMPLEMENTED(CONSOLE),
	IMPLEMENTED(CONSOLE "/@type"),
	IMPLEMENTED(CONSOLE "/source"),
	IMPLEMENTED(CONSOLE "/source/@path"),
	IMPLEMENTED(CONSOLE "/source/@append"),
	IMPLEMENTED(CONSOLE "/log"),
	IMPLEMENTED(CONSOLE "/log/@file"),
	IMPLEMENTED(CONSOLE "/log/@append"),
	IMPLEMENTED(CONSOLE "/target"),
	IMPLEMENTED(CONSOLE "/target/@type"),
	IMPLEMENTED(CONSOLE "/target/@port"),

	/* ---- harmless: kept, given back ---- */
	KEPT("/domain/@id", "belongs to another hypervisor's running VM"),
	KEPT("/domain/genid", "is not shown to the guest"),
	KEPT("/domain/title", NO_EFFECT),
	KEPT("/domain/description", NO_EFFECT),
	KEPT("/domain/metadata", NO_EFFECT),
	KEPT("/domain/memory/@dumpCore", NO_EFFECT),
	KEPT("/domain/maxMemory", "has no effect: memory cannot be added"),
	KEPT("/domain/memoryBacking/hugepages/page", "has no effect: the host's default huge pages are used"),
	KEPT("/domain/memoryBacking/source", "has no effect: memory is always a memfd"),
	KEPT("/domain/memoryBacking/access", "has no effect: memory is always shared with the VM's own daemons"),
	KEPT("/domain/memoryBacking/nosharepages", "has no effect: memory is never merged"),
	KEPT("/domain/vcpu/@placement", NO_EFFECT),
	KEPT("/domain/vcpu/@cpuset", NO_EFFECT),
	KEPT("/domain/vcpus", NO_EFFECT),
	KEPT("/domain/iothreads", NO_EFFECT),
	KEPT("/domain/cputune", NO_EFFECT),
	KEPT("/domain/memtune", NO_EFFECT),
	KEPT("/domain/blkiotune", NO_EFFECT),
	KEPT("/domain/numatune", NO_EFFECT),
	KEPT("/domain/resource", NO_EFFECT),
	KEPT("/domain/iothreadids", NO_EFFECT),
	KEPT("/domain/defaultiothread", NO_EFFECT),
	KEPT("/domain/on_lockfailure", "has no effect: an image's lock lasts as long as the VM"),
	KEPT("/domain/os/type/@machine", FIXED),
	KEPT("/domain/os/boot", "has no effect: the kernel is started directly"),
	KEPT("/domain/os/bootmenu", "has no effect: the kernel is started directly"),
	KEPT("/domain/os/bios", "has no effect: there is no BIOS"),
	KEPT("/domain/os/smbios", "has no effect: there is no SMBIOS"),
	KEPT("/domain/sysinfo", "has no effect: there is no SMBIOS"),
	KEPT("/domain/features", FIXED),
	KEPT("/domain/cpu", "has no effect: the guest sees the host's CPU"),
	KEPT("/domain/clock", "has no effect: the guest's clock is UTC"),
	KEPT("/domain/pm", "has no effect: there is no suspend"),
	KEPT("/domain/seclabel", "has no effect: the daemons confine themselves"),
	KEPT("/domain/devices/emulator", "has no effect: Bulkhead is the emulator"),
	KEPT("/domain/devices/controller", "has no effect: disks are on one VMBus SCSI controller"),
	KEPT("/domain/devices/input", "has no effect: there is no display"),
	KEPT("/domain/devices/channel", "has no effect: the guest does not see it"),
	KEPT("/domain/devices/memballoon", "has no effect: the guest does not see it"),
	KEPT("/domain/devices/rng", "has no effect: the guest does not see it"),
	KEPT("/domain/devices/panic", "has no effect: panics are seen by Hyper-V's crash registers"),
	KEPT("/domain/devices/audio", "has no effect: there is no sound"),
	KEPT(DISK "/@model", NO_EFFECT),
	KEPT(DISK "/@snapshot", NO_EFFECT),
	KEPT(DISK "/acpi", FIXED),
	KEPT(DISK "/driver/@name", NO_EFFECT),
	KEPT(DISK "/driver/@detect_zeroes", NO_EFFECT),
	KEPT(DISK "/driver/@discard_no_unref", NO_EFFECT),
	KEPT(DISK "/driver/statistics", NO_EFFECT),
	KEPT(DISK "/driver/@error_policy", "has no effect: errors are reported to the guest"),
	KEPT(DISK "/driver/@rerror_policy", "has no effect: errors are reported to the guest"),
	KEPT(DISK "/driver/@iothread", NO_EFFECT),
	KEPT(DISK "/driver/@queues", NO_EFFECT),
	KEPT(DISK "/driver/@queue_size", NOT_VIRTIO),
	KEPT(DISK "/driver/@ioeventfd", NOT_VIRTIO),
	KEPT(DISK "/driver/@event_idx", NOT_VIRTIO),
	KEPT(DISK "/driver/@iommu", NOT_VIRTIO),
	KEPT(DISK "/driver/@ats", NOT_VIRTIO),
	KEPT(DISK "/driver/@packed", NOT_VIRTIO),
	KEPT(DISK "/driver/@page_per_vq", NOT_VIRTIO),
	KEPT(DISK "/driver/@copy_on_read", "has no effect: raw images have no backing file"),
	KEPT(DISK "/driver/metadata_cache", "has no effect: raw images have no metadata"),
	KEPT(DISK "/source/@index", NO_EFFECT),
	KEPT(DISK "/source/@startupPolicy", "has no effect: the image must be there"),
	KEPT(DISK "/source/seclabel", "has no effect: the daemons confine themselves"),
	KEPT(DISK "/target/@tray", NO_EFFECT),
	KEPT(DISK "/target/@rotation_rate", NO_EFFECT),
	KEPT(DISK "/target/@removable", NO_EFFECT),
	KEPT(DISK "/backingStore", "has no effect: raw images have none"),
	KEPT(DISK "/boot", "has no effect: the kernel is started directly"),
	KEPT(DISK "/alias", NO_EFFECT),
	KEPT(DISK "/address", "has no effect: the target's name decides the LUN"),
	KEPT(DISK "/privateData", "belongs to another hypervisor's running VM"),
	KEPT(DISK "/source/privateData", "belongs to another hypervisor's running VM"),
	KEPT(SERIAL "/@tty", NO_EFFECT),
	KEPT(SERIAL "/alias", NO_EFFECT),
	KEPT(SERIAL "/address", FIXED),
	KEPT(SERIAL "/target/@type", FIXED),
	KEPT(SERIAL "/target/model", FIXED),
	KEPT(SERIAL "/source/seclabel", "has no effect: the daemons confine themselves"),
	KEPT(SERIAL "/acpi", FIXED),
	KEPT(CONSOLE "/@tty", NO_EFFECT),
	KEPT(CONSOLE "/alias", NO_EFFECT),
	KEPT(CONSOLE "/address", FIXED),
	KEPT(CONSOLE "/source/seclabel", "has no effect: the daemons confine themselves"),
	KEPT(CONSOLE "/acpi", FIXED),
	KEPT(CONSOLE "/target/model", FIXED),

	/* ---- refused: what it promises would silently be missing ---- */
	REFUSED("/domain/bootloader", "host boot loaders are not supported: name a kernel in <os>"),
	REFUSED("/domain/bootloader_args", "host boot loaders are not supported: name a kernel in <os>"),
	REFUSED("/domain/idmap", CONTAINER),
	REFUSED("/domain/keywrap", "is not for x86"),
	REFUSED("/domain/qemu:commandline", "QEMU is not used: remove it"),
	REFUSED("/domain/qemu:capabilities", "QEMU is not used: remove it"),
	REFUSED("/domain/qemu:deprecation", "QEMU is not used: remove it"),
	REFUSED("/domain/qemu:override", "QEMU is not used: remove it"),
	REFUSED("/domain/xen:commandline", "Xen is not used: remove it"),
	REFUSED("/domain/bhyve:commandline", "bhyve is not used: remove it"),
	REFUSED("/domain/lxc:namespace", CONTAINER),
	REFUSED("/domain/vmware:datacenterpath", "VMware is not used: remove it"),
	REFUSED("/domain/launchSecurity", "memory encryption is not supported"),
	REFUSED("/domain/perf", "is not supported"),
	REFUSED("/domain/throttlegroups", "I/O limits are not supported"),
	REFUSED("/domain/memoryBacking/locked", "locked memory is not supported"),
	REFUSED("/domain/memoryBacking/allocation", "is not supported"),
	REFUSED("/domain/memoryBacking/discard", "is not supported"),
	REFUSED("/domain/os/loader", "firmware is not supported: name a kernel in <os>"),
	REFUSED("/domain/os/nvram", "firmware is not supported: name a kernel in <os>"),
	REFUSED("/domain/os/firmware", "firmware is not supported: name a kernel in <os>"),
	REFUSED("/domain/os/@firmware", "firmware is not supported: name a kernel in <os>"),
	REFUSED("/domain/os/shim", "firmware is not supported: name a kernel in <os>"),
	REFUSED("/domain/os/varstore", "firmware is not supported: name a kernel in <os>"),
	REFUSED("/domain/os/dtb", "device trees are not for x86"),
	REFUSED("/domain/os/acpi", "ACPI tables of one's own are not supported"),
	REFUSED("/domain/os/init", CONTAINER),
	REFUSED("/domain/os/initarg", CONTAINER),
	REFUSED("/domain/os/initdir", CONTAINER),
	REFUSED("/domain/os/initenv", CONTAINER),
	REFUSED("/domain/os/initgroup", CONTAINER),
	REFUSED("/domain/os/inituser", CONTAINER),
	REFUSED("/domain/os/root", "is for Xen: put root= into <cmdline>"),
	REFUSED("/domain/devices/interface", "network devices are not supported yet: remove it"),
	REFUSED("/domain/devices/graphics", "displays are not supported: remove it (virt-install: --graphics none)"),
	REFUSED("/domain/devices/video", "displays are not supported: remove it (virt-install: --graphics none)"),
	REFUSED("/domain/devices/sound", "sound is not supported: remove it"),
	REFUSED("/domain/devices/filesystem", "shared folders are not supported: remove it"),
	REFUSED("/domain/devices/hostdev", "host devices are not supported: remove it"),
	REFUSED("/domain/devices/redirdev", "USB redirection is not supported: remove it"),
	REFUSED("/domain/devices/redirfilter", "USB redirection is not supported: remove it"),
	REFUSED("/domain/devices/smartcard", "smart cards are not supported: remove it"),
	REFUSED("/domain/devices/hub", "USB is not supported: remove it"),
	REFUSED("/domain/devices/parallel", "parallel ports are not supported: remove it"),
	REFUSED("/domain/devices/tpm", "TPMs are not supported: remove it"),
	REFUSED("/domain/devices/watchdog", "watchdogs are not supported: remove it"),
	REFUSED("/domain/devices/shmem", "shared memory is not supported: remove it"),
	REFUSED("/domain/devices/memory", "memory devices are not supported: remove it"),
	REFUSED("/domain/devices/nvram", "is not for x86"),
	REFUSED("/domain/devices/iommu", "an IOMMU is not supported: remove it"),
	REFUSED("/domain/devices/vsock", "vsock is not supported: remove it"),
	REFUSED("/domain/devices/lease", "leases are not supported: remove it"),
	REFUSED("/domain/devices/pstore", "a pstore device is not supported: remove it"),
	REFUSED("/domain/devices/crypto", "crypto devices are not supported: remove it"),
	REFUSED(DISK "/transient", "throw-away writes are not supported: remove it"),
	REFUSED(DISK "/iotune", "I/O limits are not supported: remove it"),
	REFUSED(DISK "/throttlefilters", "I/O limits are not supported: remove it"),
	REFUSED(DISK "/encryption", "encrypted images are not supported"),
	REFUSED(DISK "/mirror", "mirrors are not supported"),
	REFUSED(DISK "/auth", NETWORK),
	REFUSED(DISK "/geometry", "a geometry of one's own is not supported"),
	REFUSED(DISK "/wwn", "is not supported: remove it"),
	REFUSED(DISK "/vendor", "is not supported: remove it"),
	REFUSED(DISK "/product", "is not supported: remove it"),
	REFUSED(DISK "/source/encryption", "encrypted images are not supported"),
	REFUSED(DISK "/source/reservations", "persistent reservations are not supported"),
	REFUSED(DISK "/source/dataStore", "images with a data file are not supported"),
	REFUSED(DISK "/source/slices", "slices of an image are not supported"),
	REFUSED(DISK "/@rawio", "raw SCSI commands are not passed on: remove it"),
	REFUSED(DISK "/@sgio", "raw SCSI commands are not passed on: remove it"),
	REFUSED(DISK "/backenddomain", "is for Xen"),
	REFUSED(DISK "/source/@pool", "storage pools are not supported: name the file"),
	REFUSED(DISK "/source/@volume", "storage pools are not supported: name the file"),
	REFUSED(DISK "/source/@mode", "storage pools are not supported: name the file"),
	REFUSED(DISK "/source/@dir", "a folder as a disk is not supported: name an image file"),
	REFUSED(DISK "/source/@fdgroup", "descriptors of the caller's are not supported: name the file"),
	REFUSED(DISK "/source/@type", "NVMe pass-through and vhost-user are not supported"),
	REFUSED(DISK "/source/@path", "NVMe pass-through and vhost-user are not supported"),
	REFUSED(DISK "/source/@managed", "NVMe pass-through and vhost-user are not supported"),
	REFUSED(DISK "/source/@namespace", "NVMe pass-through and vhost-user are not supported"),
	REFUSED(DISK "/source/address", "NVMe pass-through and vhost-user are not supported"),
	REFUSED(DISK "/source/reconnect", "NVMe pass-through and vhost-user are not supported"),
	REFUSED(DISK "/source/@protocol", NETWORK),
	REFUSED(DISK "/source/@name", NETWORK),
	REFUSED(DISK "/source/@query", NETWORK),
	REFUSED(DISK "/source/@tls", NETWORK),
	REFUSED(DISK "/source/@tlsHostname", NETWORK),
	REFUSED(DISK "/source/auth", NETWORK),
	REFUSED(DISK "/source/config", NETWORK),
	REFUSED(DISK "/source/cookies", NETWORK),
	REFUSED(DISK "/source/host", NETWORK),
	REFUSED(DISK "/source/identity", NETWORK),
	REFUSED(DISK "/source/initiator", NETWORK),
	REFUSED(DISK "/source/readahead", NETWORK),
	REFUSED(DISK "/source/snapshot", NETWORK),
	REFUSED(DISK "/source/ssl", NETWORK),
	REFUSED(DISK "/source/timeout", NETWORK),
	REFUSED(SERIAL "/protocol", CHAR_OTHER),
	REFUSED(SERIAL "/source/@channel", CHAR_OTHER),
	REFUSED(SERIAL "/source/@host", CHAR_OTHER),
	REFUSED(SERIAL "/source/@master", CHAR_OTHER),
	REFUSED(SERIAL "/source/@mode", CHAR_OTHER),
	REFUSED(SERIAL "/source/@service", CHAR_OTHER),
	REFUSED(SERIAL "/source/@slave", CHAR_OTHER),
	REFUSED(SERIAL "/source/@tls", CHAR_OTHER),
	REFUSED(SERIAL "/source/clipboard", CHAR_OTHER),
	REFUSED(SERIAL "/source/mouse", CHAR_OTHER),
	REFUSED(SERIAL "/source/reconnect", CHAR_OTHER),
	REFUSED(CONSOLE "/protocol", CHAR_OTHER),
	REFUSED(CONSOLE "/source/@channel", CHAR_OTHER),
	REFUSED(CONSOLE "/source/@host", CHAR_OTHER),
	REFUSED(CONSOLE "/source/@master", CHAR_OTHER),
	REFUSED(CONSOLE "/source/@mode", CHAR_OTHER),
	REFUSED(CONSOLE "/source/@service", CHAR_OTHER),
	REFUSED(CONSOLE "/source/@slave", CHAR_OTHER),
	REFUSED(CONSOLE "/source/@tls", CHAR_OTHER),
	REFUSED(CONSOLE "/source/clipboard", CHAR_OTHER),
	REFUSED(CONSOLE "/source/mouse", CHAR_OTHER),
	REFUSED(CONSOLE "/source/reconnect", CHAR_OTHER),
};

static const struct domain_rule unknown = REFUSED("", "is not known to this version of Bulkhead");

const struct domain_rule *domain_rules(size_t *ret_count)
{
	*ret_count = ARRAY_SIZE(rules);
	return rules;
}

static int by_path(const void *a, const void *b)
{
	const struct domain_rule *x = a, *y = b;

	return strcmp(x->path, y->path);
}

const struct domain_rule *domain_rule_find(const char *path)
{
	static struct domain_rule sorted[ARRAY_SIZE(rules)];
	const struct domain_rule key = {.path = path}, *found;

	if (!sorted[0].path) {
		memcpy(sorted, rules, sizeof(rules));
		qsort(sorted, ARRAY_SIZE(rules), sizeof(*sorted), by_path);
	}
	found = bsearch(&key, sorted, ARRAY_SIZE(rules), sizeof(*sorted), by_path);
	return found ? found : &unknown;
}
