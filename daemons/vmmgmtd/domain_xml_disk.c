/* SPDX-License-Identifier: Apache-2.0 */
/* What <disk> means: a LUN of one of the VM's SCSI controllers. */
#include <errno.h>
#include <libxml/tree.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "domain_xml_int.h"

/* "sda" 0, "sdz" 25, "sdaa" 26. Return: -EINVAL for other names. */
static int target_number(const char *target, unsigned int *ret)
{
	unsigned int n = 0;

	if (strncmp(target, "sd", 2) || !target[2] || strlen(target) > 4)
		return -EINVAL;
	for (const char *s = target + 2; *s; s++) {
		if (*s < 'a' || *s > 'z')
			return -EINVAL;
		n = n * 26 + (unsigned int)(*s - 'a') + 1;
	}
	*ret = n - 1;
	return 0;
}

void domain_target_name(unsigned int n, char ret[8])
{
	if (n < 26)
		snprintf(ret, 8, "sd%c", (char)('a' + n));
	else
		snprintf(ret, 8, "sd%c%c", (char)('a' + (n / 26 - 1) % 26), (char)('a' + n % 26));
}

static void disk_cache(struct domain_parser *p, struct domain_disk *disk, xmlNode *driver, const char *where)
{
	static const struct {
		const char *name;
		bool direct, sync, unsafe_flush;
	} caches[] = {
		{"default", false, false, false},  {"writeback", false, false, false},
		{"none", true, false, false},	   {"writethrough", false, true, false},
		{"directsync", true, true, false}, {"unsafe", false, false, true},
	};
	_cleanup_free_ char *type = domain_xml_attr(driver, "type"), *cache = domain_xml_attr(driver, "cache");

	if (type && strcmp(type, "raw"))
		domain_refuse(p, -EOPNOTSUPP, where,
			      "driver type '%s': only 'raw' is supported: qemu-img convert -O raw makes one", type);
	for (size_t i = 0; i < ARRAY_SIZE(caches); i++) {
		if (strcmp(cache ? cache : "default", caches[i].name))
			continue;
		disk->direct = caches[i].direct;
		disk->sync = caches[i].sync;
		disk->unsafe_flush = caches[i].unsafe_flush;
		return;
	}
	domain_refuse(p, -EINVAL, where,
		      "driver cache '%s' is not known: use none, writeback, writethrough, directsync or unsafe", cache);
}

static void disk_discard(struct domain_parser *p, struct domain_disk *disk, xmlNode *driver, const char *where)
{
	_cleanup_free_ char *text = domain_xml_attr(driver, "discard");

	disk->discard = !text || !strcmp(text, "unmap");
	if (text && !disk->discard && strcmp(text, "ignore"))
		domain_refuse(p, -EINVAL, where, "driver discard '%s' is not known: use unmap or ignore", text);
}

static void disk_zeroes(struct domain_parser *p, struct domain_disk *disk, xmlNode *driver, const char *where)
{
	static const char *const names[] = {
		[DOMAIN_ZEROES_OFF] = "off", [DOMAIN_ZEROES_ON] = "on", [DOMAIN_ZEROES_UNMAP] = "unmap"};
	_cleanup_free_ char *text = domain_xml_attr(driver, "detect_zeroes");

	for (size_t i = 0; text && i < ARRAY_SIZE(names); i++) {
		if (strcmp(text, names[i]))
			continue;
		disk->zeroes = (enum domain_zeroes)i;
		return;
	}
	if (text)
		domain_refuse(p, -EINVAL, where, "driver detect_zeroes '%s' is not known: use off, on or unmap", text);
}

/* One process, and so one engine, for all: what any disk asks for must suit the others. */
static void disk_io(struct domain_parser *p, xmlNode *driver, const char *where)
{
	static const char *const names[] = {
		[DOMAIN_IO_NATIVE] = "native",
		[DOMAIN_IO_URING] = "io_uring",
		[DOMAIN_IO_THREADS] = "threads",
	};
	_cleanup_free_ char *text = domain_xml_attr(driver, "io");
	enum domain_io io = DOMAIN_IO_DEFAULT;

	for (size_t i = DOMAIN_IO_NATIVE; text && i < ARRAY_SIZE(names); i++) {
		if (!strcmp(text, names[i]))
			io = (enum domain_io)i;
	}
	if (text && io == DOMAIN_IO_DEFAULT)
		domain_refuse(p, -EINVAL, where, "driver io '%s' is not known: use native, io_uring or threads", text);
	else if (io && p->d->io && (io == DOMAIN_IO_THREADS) != (p->d->io == DOMAIN_IO_THREADS))
		domain_refuse(p, -EOPNOTSUPP, where,
			      "driver io '%s', and another disk has '%s': one process serves all disks: say the same",
			      text, names[p->d->io]);
	else
		p->d->io = MAX(p->d->io, io);
}

/* How often it has been changed while the VM runs, as libvirt counts it, too. */
static void disk_medium(struct domain_parser *p, struct domain_disk *disk, xmlNode *source, const char *where)
{
	_cleanup_free_ char *text = domain_xml_attr(source, "index");
	uint64_t number = 0;

	if (text && (domain_xml_u64(text, &number) < 0 || number > UINT32_MAX))
		domain_refuse(p, -EINVAL, where, "source index '%s': it is not a number from 0 to %u", text,
			      UINT32_MAX);
	disk->medium = (unsigned int)number;
}

/* A guest hears of every error. One that counts on standing still when the host's disk is full must not run on. */
static void disk_errors(struct domain_parser *p, xmlNode *driver, const char *where)
{
	static const char *const names[] = {"error_policy", "rerror_policy"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *text = domain_xml_attr(driver, names[i]);

		if (text && strcmp(text, "report"))
			domain_refuse(p, -EOPNOTSUPP, where,
				      "driver %s '%s' is not supported: use report: the guest gets each error",
				      names[i], text);
	}
}

static void disk_source(struct domain_parser *p, struct domain_disk *disk, xmlNode *node, const char *where)
{
	_cleanup_free_ char *type = domain_xml_attr(node, "type"), *image = NULL;
	xmlNode *source = domain_xml_child(node, "source");

	if (!type || !strcmp(type, "file"))
		disk->type = DOMAIN_DISK_FILE;
	else if (!strcmp(type, "block"))
		disk->type = DOMAIN_DISK_BLOCK;
	else
		domain_refuse(p, -EOPNOTSUPP, where, "type '%s': only 'file' and 'block' are supported", type);
	image = domain_xml_attr(source, disk->type == DOMAIN_DISK_FILE ? "file" : "dev");
	if (disk->cdrom)
		disk_medium(p, disk, source, where);
	else if (!source)
		domain_refuse(p, -EINVAL, where, "it has no <source>: name its image");
	if (source && (image || !disk->cdrom))
		disk->image = domain_xml_path(p, where, take_ptr(image));
}

static void disk_target(struct domain_parser *p, struct domain_disk *disk, xmlNode *node, const char *where)
{
	xmlNode *target = domain_xml_child(node, "target");
	_cleanup_free_ char *dev = domain_xml_attr(target, "dev"), *bus = domain_xml_attr(target, "bus");
	unsigned int number;

	if (bus && strcmp(bus, "scsi")) {
		domain_refuse(p, -EOPNOTSUPP, where, "bus '%s' is not supported: use bus='scsi' and dev='sda'", bus);
		return;
	}
	if (!dev || target_number(dev, &number) < 0) {
		domain_refuse(p, -EINVAL, where, "target '%s': it must be sda, sdb ...", dev ? dev : "");
	} else {
		disk->controller = number / DOMAIN_LUNS_MAX;
		disk->lun = number % DOMAIN_LUNS_MAX;
		strcpy(disk->target, dev);
		for (size_t i = 0; i < p->d->disk_count; i++) {
			if (!strcmp(p->d->disks[i].target, dev))
				domain_refuse(p, -EINVAL, where, "target '%s' is taken by another disk", dev);
		}
	}
}

#define PHYSICAL_BLOCK_MAX (1u << 20)
#define CDROM_BLOCK	   2048u

static void disk_blocks(struct domain_parser *p, struct domain_disk *disk, xmlNode *blockio, const char *where)
{
	_cleanup_free_ char *logical = domain_xml_attr(blockio, "logical_block_size");
	_cleanup_free_ char *physical = domain_xml_attr(blockio, "physical_block_size");
	uint64_t bytes = disk->cdrom ? CDROM_BLOCK : 512, more = 0;

	if (disk->cdrom && (logical || physical)) {
		domain_refuse(p, -EOPNOTSUPP, where, "blockio: a CD or DVD has blocks of %u bytes: remove it",
			      CDROM_BLOCK);
		return;
	}
	if (logical && (domain_xml_u64(logical, &bytes) < 0 || (bytes != 512 && bytes != 4096)))
		domain_refuse(p, -EOPNOTSUPP, where, "logical_block_size '%s': only 512 and 4096 are supported",
			      logical);
	if (physical && (domain_xml_u64(physical, &more) < 0 || more < bytes || more > PHYSICAL_BLOCK_MAX ||
			 (more & (more - 1)) != 0))
		domain_refuse(p, -EINVAL, where,
			      "physical_block_size '%s': use a power of two, from logical_block_size to %u", physical,
			      PHYSICAL_BLOCK_MAX);
	disk->block_bytes = (unsigned int)bytes;
	disk->physical_block_bytes = disk->cdrom ? CDROM_BLOCK : (unsigned int)more;
}

/* One number of an address. Return: whether it can be used; *@ret stays if it is not given. */
static bool address_number(struct domain_parser *p, xmlNode *address, const char *name, unsigned int max,
			   unsigned int *ret, const char *where)
{
	_cleanup_free_ char *text = domain_xml_attr(address, name);
	uint64_t value;

	if (!text)
		return true;
	if (domain_xml_u64(text, &value) < 0 || value > max) {
		domain_refuse(p, -EINVAL, where, "address: %s '%s': at most %u", name, text, max);
		return false;
	}
	*ret = (unsigned int)value;
	return true;
}

/* Where the disk is: as <address type='drive'> says, else where its target's name puts it. */
static void disk_address(struct domain_parser *p, struct domain_disk *disk, xmlNode *node, const char *where)
{
	xmlNode *address = domain_xml_child(node, "address");
	_cleanup_free_ char *type = domain_xml_attr(address, "type");
	unsigned int zero = 0;

	if (type && !strcmp(type, "drive")) {
		disk->controller = disk->lun = 0;
		if (!address_number(p, address, "controller", DOMAIN_CONTROLLERS_MAX - 1, &disk->controller, where) ||
		    !address_number(p, address, "bus", 0, &zero, where) ||
		    !address_number(p, address, "target", 0, &zero, where) ||
		    !address_number(p, address, "unit", DOMAIN_LUNS_MAX - 1, &disk->lun, where))
			return;
	}
	for (size_t i = 0; i < p->d->disk_count; i++) {
		const struct domain_disk *other = &p->d->disks[i];

		if (other->controller == disk->controller && other->lun == disk->lun &&
		    strcmp(other->target, disk->target) != 0)
			domain_refuse(p, -EINVAL, where, "controller %u, unit %u is the place of disk %s already",
				      disk->controller, disk->lun, other->target);
	}
}

static void disk_details(struct domain_parser *p, struct domain_disk *disk, xmlNode *node, const char *where)
{
	_cleanup_free_ char *text = domain_xml_text(domain_xml_child(node, "serial"));

	disk_blocks(p, disk, domain_xml_child(node, "blockio"), where);
	disk->readonly = disk->cdrom || domain_xml_child(node, "readonly") != NULL;
	disk->shareable = domain_xml_child(node, "shareable") != NULL;
	for (const char *s = text; s && *s; s++) {
		if (*s <= 0x20 || *s > 0x7e) {
			domain_refuse(p, -EINVAL, where, "serial: only printable ASCII without spaces");
			return;
		}
	}
	if (text && strlen(text) >= DOMAIN_SERIAL_MAX)
		domain_refuse(p, -EINVAL, where, "serial: it is longer than %u characters", DOMAIN_SERIAL_MAX - 1);
	else if (text)
		strcpy(disk->serial, text);
}

/* How many descriptors its disks take. */
static size_t descriptors(const struct domain *d)
{
	size_t count = d->disk_count;

	for (size_t i = 0; i < d->disk_count; i++)
		count += domain_reserves(&d->disks[i]);
	return count;
}

static void disk_shareable(struct domain_parser *p, const struct domain_disk *disk, const char *where)
{
	if (!domain_reserves(disk))
		return;
	if (disk->unsafe_flush)
		domain_refuse(
			p, -EINVAL, where,
			"<shareable/> and cache 'unsafe': what one VM has flushed must be there for the others: use "
			"another cache");
	if (descriptors(p->d) + 2 > DOMAIN_DISKS_MAX)
		domain_refuse(p, -EOPNOTSUPP, where, "more than %u disks are not supported; shareable ones count twice",
			      DOMAIN_DISKS_MAX);
}

static void disk_twice(struct domain_parser *p, const struct domain_disk *disk, const char *where)
{
	for (size_t i = 0; i < p->d->disk_count && disk->image; i++) {
		const struct domain_disk *other = &p->d->disks[i];

		if (other->image && !strcmp(other->image, disk->image) &&
		    (!(other->readonly && disk->readonly) || other->shareable || disk->shareable))
			domain_refuse(p, -EINVAL, where, "image %s is that of disk %s, too", disk->image,
				      other->target);
	}
}

static void disk_faults(struct domain_parser *p, struct domain_disk *disk, xmlNode *node, const char *where)
{
	_cleanup_free_ char *text = domain_xml_text(domain_xml_child(node, "faults"));
	struct err err = {0};

	if (text && (!domain_xml_clean(text) || domain_faults_parse(text, &disk->faults, &err) < 0))
		domain_refuse(p, -EINVAL, where, "%s", err.code ? err.text : "faults: control characters");
}

void domain_xml_disk(struct domain_parser *p, xmlNode *node, const char *where)
{
	_cleanup_free_ char *device = domain_xml_attr(node, "device");
	xmlNode *backing = domain_xml_child(node, "backingStore");
	struct domain_disk disk = {0}, *more;

	if (device && strcmp(device, "disk") && strcmp(device, "cdrom")) {
		domain_refuse(p, -EOPNOTSUPP, where, "device '%s': only 'disk' and 'cdrom' are supported: remove it",
			      device);
		return;
	}
	disk.cdrom = device && !strcmp(device, "cdrom");
	if (descriptors(p->d) >= DOMAIN_DISKS_MAX) {
		domain_refuse(p, -EOPNOTSUPP, where, "more than %u disks are not supported", DOMAIN_DISKS_MAX);
		return;
	}
	if (backing && xmlFirstElementChild(backing))
		domain_refuse(p, -EOPNOTSUPP, where,
			      "backing files are not supported: qemu-img convert -O raw makes one image");
	disk_source(p, &disk, node, where);
	disk_cache(p, &disk, domain_xml_child(node, "driver"), where);
	disk_discard(p, &disk, domain_xml_child(node, "driver"), where);
	disk_zeroes(p, &disk, domain_xml_child(node, "driver"), where);
	disk_io(p, domain_xml_child(node, "driver"), where);
	disk_errors(p, domain_xml_child(node, "driver"), where);
	disk_target(p, &disk, node, where);
	disk_address(p, &disk, node, where);
	disk_details(p, &disk, node, where);
	domain_xml_iotune(p, &disk.iotune, domain_xml_child(node, "iotune"), where);
	disk_faults(p, &disk, node, where);
	disk_shareable(p, &disk, where);
	disk_twice(p, &disk, where);
	if (domain_descriptors(p->d) + 1 + domain_reserves(&disk) > DOMAIN_DESCRIPTORS_MAX)
		domain_refuse(p, -EOPNOTSUPP, where,
			      "more than %u disks and queues of interfaces together are not supported",
			      DOMAIN_DESCRIPTORS_MAX);
	more = reallocarray(p->d->disks, p->d->disk_count + 1, sizeof(*more));
	if (!more) {
		free(disk.image);
		domain_refuse(p, -ENOMEM, where, "no memory");
		return;
	}
	more[p->d->disk_count++] = disk;
	p->d->disks = more;
}
