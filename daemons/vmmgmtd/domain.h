/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a VM is: the part of a libvirt domain definition that has an effect, as plain data. domain_xml.c makes it.
 */
#ifndef VMMGMTD_DOMAIN_H
#define VMMGMTD_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/syscalls.h"

#define DOMAIN_XML_MAX	       (1024u * 1024u) /* bytes of a definition */
#define DOMAIN_DEPTH_MAX       32u	       /* elements within elements */
#define DOMAIN_NAME_MAX	       128u	       /* bytes, with the NUL */
#define DOMAIN_UUID_MAX	       37u	       /* text form, lower case, with the NUL */
#define DOMAIN_CPUS_MAX	       64u
#define DOMAIN_DISKS_MAX       220u /* what one RPC frame's descriptors leave room for; a shareable one counts twice */
#define DOMAIN_CONTROLLERS_MAX 64u
#define DOMAIN_LUNS_MAX	       64u	    /* of a controller */
#define DOMAIN_POLL_MAX_NS     10000000u    /* as vsp-storaged takes it */
#define DOMAIN_MEMORY_MIN      (1ull << 20) /* bytes */
#define DOMAIN_MEMORY_MAX      (4ull << 40) /* bytes */
#define DOMAIN_CMDLINE_MAX     2048u	    /* with the NUL: what Linux takes */
#define DOMAIN_SERIAL_MAX      37u	    /* with the NUL */

enum domain_event {
	DOMAIN_EVENT_DEFAULT,
	DOMAIN_EVENT_DESTROY,
	DOMAIN_EVENT_RESTART,
	DOMAIN_EVENT_PRESERVE, /* on_crash only */
};

/* How disks are read and written; one process does it for all disks of a VM. */
enum domain_io {
	DOMAIN_IO_DEFAULT, /* not said */
	DOMAIN_IO_NATIVE,  /* the best that the host has */
	DOMAIN_IO_URING,
	DOMAIN_IO_THREADS,
};

/* What becomes of writes of nothing but zeroes. */
enum domain_zeroes {
	DOMAIN_ZEROES_OFF,
	DOMAIN_ZEROES_ON,
	DOMAIN_ZEROES_UNMAP,
};

enum domain_disk_type {
	DOMAIN_DISK_FILE,
	DOMAIN_DISK_BLOCK,
};

/* The limits of a disk, as libvirt's <iotune> names them; the order is that of proto/storage.proto. */
enum domain_limit {
	DOMAIN_LIMIT_TOTAL_BYTES,
	DOMAIN_LIMIT_READ_BYTES,
	DOMAIN_LIMIT_WRITE_BYTES,
	DOMAIN_LIMIT_TOTAL_IOPS,
	DOMAIN_LIMIT_READ_IOPS,
	DOMAIN_LIMIT_WRITE_IOPS,
	DOMAIN_LIMITS,
};

enum domain_limit_part {
	DOMAIN_LIMIT_RATE,	    /* a second */
	DOMAIN_LIMIT_BURST,	    /* a second; 0, or more than the rate */
	DOMAIN_LIMIT_BURST_SECONDS, /* how long; 0: 1 */
	DOMAIN_LIMIT_PARTS,
};

#define DOMAIN_LIMIT_RATE_MAX	 UINT64_C(1000000000000000)
#define DOMAIN_LIMIT_SECONDS_MAX 3600u
#define DOMAIN_GROUP_MAX	 64u

/* All 0: no limits. */
struct domain_iotune {
	uint64_t limit[DOMAIN_LIMITS][DOMAIN_LIMIT_PARTS];
	uint64_t io_bytes;		  /* a request counts as one for each of these; 0: as one */
	char group[DOMAIN_GROUP_MAX + 1]; /* of disks of this VM that have these limits together; "": none */
};

/** domain_limited - whether there is any. */
static inline bool domain_limited(const struct domain_iotune *tune)
{
	for (unsigned int i = 0; i < DOMAIN_LIMITS; i++)
		if (tune->limit[i][DOMAIN_LIMIT_RATE])
			return true;
	return false;
}

/* How a disk fails, for tests: only of what runs; the numbers are those of proto/storage.proto. */
#define DOMAIN_FAULT_RULES_MAX 8u
#define DOMAIN_FAULTS_MAX      512u /* characters, with the NUL */

struct domain_fault_rule {
	unsigned int effect; /* 0 error, 1 torn, 2 delay */
	uint32_t ops;
	uint64_t from, to; /* bytes; to is 0: up to the end */
	uint32_t ppm, times;
	unsigned int error; /* an errno */
	uint32_t delay_us, spread_us;
};

struct domain_faults {
	char text[DOMAIN_FAULTS_MAX]; /* as vmctl(1) has them; "": none */
	struct domain_fault_rule rule[DOMAIN_FAULT_RULES_MAX];
	size_t rules;
	bool cache, flush_ignored, power_off;
	uint64_t seed;
};

struct domain_disk {
	char target[8]; /* "sda" */
	char *image;	/* absolute path; NULL: a drive without a medium */
	enum domain_disk_type type;
	unsigned int controller, lun; /* together different: as the address says, or sda 0:0, sdb 0:1 ... */
	bool cdrom;		      /* a drive: its medium can be changed; readonly */
	unsigned int medium;	      /* of a drive: counts the changes of its medium while the VM runs */
	bool readonly;
	bool shareable;	   /* others may write it meanwhile, if they say so, too; no unsafe_flush */
	bool direct;	   /* cache none, directsync */
	bool sync;	   /* cache writethrough, directsync */
	bool unsafe_flush; /* cache unsafe */
	enum domain_zeroes zeroes;
	bool discard;			   /* what the guest gives back is given back to the host */
	unsigned int block_bytes;	   /* 512 or 4096; of a drive 2048 */
	unsigned int physical_block_bytes; /* 0: the medium's; a power of two from block_bytes to 1 MiB */
	char serial[DOMAIN_SERIAL_MAX];
	struct domain_iotune iotune;
	struct domain_faults faults;
};

/** domain_reserves - whether it has reservations: what other VMs write, too. A drive's media are only read. */
static inline bool domain_reserves(const struct domain_disk *disk)
{
	return disk->shareable && !disk->cdrom;
}

/* ---- network devices ---- */

#define DOMAIN_NICS_MAX	       8u /* as many as vsp-netd serves */
#define DOMAIN_NIC_QUEUES_MAX  16u
#define DOMAIN_ALIAS_MAX       32u /* with the NUL */
#define DOMAIN_IFNAME_MAX      16u /* the same: what Linux takes */
#define DOMAIN_PROFILE_MAX     40u /* as libvirt has it, with the NUL */
#define DOMAIN_MTU_MIN	       68u
#define DOMAIN_MTU_MAX	       9000u
#define DOMAIN_TRUNK_MAX       64u
#define DOMAIN_ADDRESSES_MAX   16u
#define DOMAIN_FORWARDS_MAX    20u		    /* what passt takes of arguments */
#define DOMAIN_BANDWIDTH_MAX   UINT64_C(4294967295) /* KiB, and KiB a second */
#define DOMAIN_DESCRIPTORS_MAX 234u		    /* of disks and NICs together: what one RPC frame takes */

enum domain_nic_type {
	DOMAIN_NIC_BRIDGE,   /* a tap on a bridge of the host's */
	DOMAIN_NIC_ETHERNET, /* a tap of its own */
	DOMAIN_NIC_USER,     /* passt */
	DOMAIN_NIC_DIRECT,   /* macvtap */
	DOMAIN_NIC_SERVER,   /* a UNIX socket that one peer may connect to */
	DOMAIN_NIC_CLIENT,   /* a UNIX socket that is connected to */
};

/* Bytes a second, and bytes; 0: no limit. */
struct domain_bandwidth {
	uint64_t average, peak, burst;
};

struct domain_address {
	uint8_t bytes[16]; /* IPv4: the first 4 */
	bool v6;
	unsigned int prefix; /* 0 to 32 or 128 */
};

/* Ports of the host that lead to the guest, or, if they are excluded, do not. */
struct domain_range {
	uint16_t start, end, to; /* host's, first and last; the guest's first */
	bool exclude;
};

struct domain_forward {
	bool udp;
	char address[46];	     /* of the host's; "": all */
	char dev[DOMAIN_IFNAME_MAX]; /* of the host's; "": all */
	struct domain_range ranges[8];
	size_t range_count; /* 0: all ports */
};

enum domain_macvtap_mode {
	DOMAIN_MACVTAP_VEPA,
	DOMAIN_MACVTAP_BRIDGE,
	DOMAIN_MACVTAP_PRIVATE,
	DOMAIN_MACVTAP_PASSTHROUGH,
};

struct domain_nic {
	char alias[DOMAIN_ALIAS_MAX]; /* "net0": its name everywhere; different ones in a definition */
	enum domain_nic_type type;
	uint8_t mac[6];
	char *source;		     /* bridge, device below a macvtap, path or name of a socket; NULL: none */
	char dev[DOMAIN_IFNAME_MAX]; /* of its tap; "": any */
	bool existing;		     /* ETHERNET: the tap is there, and stays */
	enum domain_macvtap_mode mode;
	bool on_ovs; /* BRIDGE: source is one of Open vSwitch, which does what vlan and trunk say */
	char iface_id[DOMAIN_UUID_MAX],
		profile_id[DOMAIN_PROFILE_MAX]; /* on_ovs: what its port is told; "": no profile */
	unsigned int queues;			/* at least 1 */
	unsigned int mtu;
	bool link_down, trusted; /* trusted: the guest may have any address, and receive what is others' */
	struct domain_bandwidth inbound, outbound;
	unsigned int vlan;	   /* 1 to 4094; 0: none */
	bool trunk, native_tagged; /* of a trunk vlan is the one that frames without a tag are of; and its own have
				      none, if it is not tagged */
	uint16_t trunk_tags[DOMAIN_TRUNK_MAX];
	size_t trunk_count;
	struct domain_address addresses[DOMAIN_ADDRESSES_MAX];
	size_t address_count;
	struct domain_forward *forwards;
	size_t forward_count;
	bool unplugged; /* of what runs: its device leads nowhere now; not in the definition */
	bool untold;	/* of what runs: that its guest knows of it is not certain; not in the definition */
	uint64_t tell_at_ns,
		tell_pause_ns; /* when it is told again, after which pause: it was refused; 0: it was not */
	bool tell_logged;      /* that it was refused is in the log */
	/* Of what runs, not in the definition: the number of what is behind its descriptor, as the worker has it; the
	 * last one that was given, which may not have got there. */
	unsigned int generation, given;
	/* USER, of what runs: bytes of the longest TCP segments that its passt may be given; 0: not known; not in the
	 * definition */
	uint32_t segment_max;
};

/** domain_nic_streams - whether it has a stream socket, which may end and come again. */
static inline bool domain_nic_streams(const struct domain_nic *nic)
{
	return nic->type == DOMAIN_NIC_USER || nic->type == DOMAIN_NIC_SERVER || nic->type == DOMAIN_NIC_CLIENT;
}

/*
 * A definition. Invariants: name and UUID are valid; at least one CPU; memory is whole MiB; kernel is set; targets are
 * different, and so are places on the controllers.
 */
struct domain {
	char name[DOMAIN_NAME_MAX];
	char uuid[DOMAIN_UUID_MAX];
	uint64_t memory_bytes;
	unsigned int cpus;
	bool huge_pages;
	char *kernel, *initrd, *cmdline; /* initrd, cmdline: NULL if there is none */
	enum domain_event on_poweroff, on_reboot, on_crash;
	char *console_log; /* absolute path, or NULL */
	bool console_log_append;
	struct domain_disk *disks;
	size_t disk_count; /* at most DOMAIN_DISKS_MAX */
	struct domain_nic *nics;
	size_t nic_count; /* at most DOMAIN_NICS_MAX */
	enum domain_io io;
	unsigned int poll_max_ns; /* spin budget of the process that serves the disks; 0: it does not spin */
	char *xml;		  /* the definition itself: as it was given, with the UUID, aliases and MAC addresses */
};

/* What becomes of each part of a definition. NULL-terminated heap arrays of heap strings; NULL while empty. */
struct domain_report {
	char **implemented; /* "path" */
	char **kept;	    /* "path: reason", each once, however many such elements there are */
	char **refused;	    /* "path: reason" */
	size_t implemented_count, kept_count, refused_count;
};

/**
 * domain_parse - read a definition.
 * @xml:    @len bytes of UTF-8; may come from anybody.
 * @report: filled even on failure; may be NULL. domain_report_done() it.
 * @ret:    domain_done() it; untouched on failure.
 * Return: 0; -EINVAL (malformed, contradictory), -EOPNOTSUPP (well-formed, but refused), -ENOMEM; one line in @err: the
 *         first refusal and how many more there are.
 */
int domain_parse(const char *xml, size_t len, struct domain *ret, struct domain_report *report, struct err *err);

/**
 * domain_add_disk - the definition @from with one disk more, the last in its list; it is checked as a whole.
 * @disk: a <disk> element; may come from anybody. Without a <target> it gets the first that is free.
 * @ret:  domain_done() it; untouched on failure.
 * Return: as domain_parse(); also -ENOSPC (no target is free).
 */
int domain_add_disk(const struct domain *from, const char *disk, struct domain *ret, struct err *err);

/** domain_remove_disk - the same with one disk less: the one at @index of its list. */
int domain_remove_disk(const struct domain *from, size_t index, struct domain *ret, struct err *err);

/**
 * domain_set_disk - the same with a disk that is set otherwise; the definition is checked as a whole.
 * @settings: "NAME=VALUE", NULL-terminated, in order; may come from anybody. NAME: a child of <iotune> (0 or nothing:
 * it goes), discard or detect_zeroes; "limits=none": all of <iotune> goes. Disks of a group get the limits that one of
 * them gets; who comes to a group without saying limits gets its. Return: as domain_parse().
 */
int domain_set_disk(const struct domain *from, size_t index, const char *const *settings, struct domain *ret,
		    struct err *err);

/** domain_setting_fn - @setting: as domain_set_disk() takes it. */
typedef void (*domain_setting_fn)(const char *setting, void *arg);

/** domain_disk_settings - tell what is set of a disk: what domain_set_disk() takes, and "faults=...". What is as it is
 * by itself is left out. */
void domain_disk_settings(const struct domain_disk *disk, domain_setting_fn fn, void *arg);

/** domain_set_faults - the same with other faults: words as vmctl(1) has them, blanks between; "": none. */
int domain_set_faults(const struct domain *from, size_t index, const char *faults, struct domain *ret, struct err *err);

/** domain_no_faults - Return: 0 if no disk has faults; -EINVAL with a line: they are not for definitions. */
int domain_no_faults(const struct domain *domain, struct err *err);

/** domain_faults_parse - read such words; the text of @ret is @text. Return: 0; -EINVAL with a line. */
int domain_faults_parse(const char *text, struct domain_faults *ret, struct err *err);

/**
 * domain_change_medium - the same with another medium in the drive at @index of its list.
 * @image:  absolute path; NULL: none. @type: what it is.
 * @number: 0; else it is written down, too: struct domain_disk.medium.
 * Return: as domain_parse(); also -EINVAL: that disk is no drive.
 */
int domain_change_medium(const struct domain *from, size_t index, const char *image, enum domain_disk_type type,
			 unsigned int number, struct domain *ret, struct err *err);

/** domain_find_disk - the index of the disk with this target. Return: -ENOENT with a line. */
int domain_find_disk(const struct domain *domain, const char *target, size_t *ret_index, struct err *err);

/**
 * domain_add_nic - the definition @from with one NIC more, the last in its list; it is checked as a whole.
 * @nic: an <interface> element; may come from anybody. What it lacks of <mac> and <alias> it gets.
 * @ret: domain_done() it; untouched on failure.
 * Return: as domain_parse().
 */
int domain_add_nic(const struct domain *from, const char *nic, struct domain *ret, struct err *err);

/** domain_remove_nic - the same with one NIC less: the one at @index of its list. */
int domain_remove_nic(const struct domain *from, size_t index, struct domain *ret, struct err *err);

/**
 * domain_set_nic - the same with a NIC that is set otherwise.
 * @settings: "NAME=VALUE", NULL-terminated, in order; may come from anybody. NAME: link (up, down), inbound.average,
 * inbound.peak, inbound.burst, outbound.* (KiB, KiB a second; 0 or nothing: it goes), bandwidth=none, vlan (a tag, or
 * none), trunk (tags, with commas; none), native (its untagged one; none), trust (yes, no), mtu. Return: as
 * domain_parse().
 */
int domain_set_nic(const struct domain *from, size_t index, const char *const *settings, struct domain *ret,
		   struct err *err);

/** domain_nic_settings - tell what is set of a NIC: what domain_set_nic() takes. What is as it is by itself is left
 * out. */
void domain_nic_settings(const struct domain_nic *nic, domain_setting_fn fn, void *arg);

/** domain_nic_xml - the <interface> at @index of its list. Heap; NULL without memory. */
char *domain_nic_xml(const struct domain *domain, size_t index);

/** domain_find_nic - the index of the NIC with this alias. Return: -ENOENT with a line. */
int domain_find_nic(const struct domain *domain, const char *alias, size_t *ret_index, struct err *err);

/** domain_nic_type_name - "bridge" ... */
const char *domain_nic_type_name(enum domain_nic_type type);

/** domain_mac_text - "52:54:00:12:34:56". */
#define DOMAIN_MAC_TEXT 18u
void domain_mac_text(const uint8_t mac[6], char ret[DOMAIN_MAC_TEXT]);

void domain_done(struct domain *domain);
void domain_report_done(struct domain_report *report);

/** domain_guid - a stable GUID for a part of this VM (@what: "scsi0"), 16 bytes in wire order. */
void domain_guid(const struct domain *domain, const char *what, uint8_t ret[16]);

/** domain_controllers - how many disk controllers it has: up to the last one that a disk is on. */
unsigned int domain_controllers(const struct domain *domain);

/** domain_uuid_normalise - @uuid in any usual form to lower case with dashes. Return: 0, -EINVAL. */
int domain_uuid_normalise(const char *uuid, char ret[DOMAIN_UUID_MAX]);

/** domain_calls - what domain_parse() needs in the sandbox. */
extern const struct syscall_list domain_calls;

#endif
