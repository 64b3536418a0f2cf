/* SPDX-License-Identifier: Apache-2.0 */
/* What <iotune> means: the limits of a disk, and the group that shares them. */
#include <errno.h>
#include <inttypes.h>
#include <libxml/tree.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "domain_xml_int.h"

#define NAME_LEN 48u

/* Which may not go together: a limit of both directions and one of either. */
static const struct {
	const char *name, *unit;
	enum domain_limit both;
} limits[DOMAIN_LIMITS] = {
	[DOMAIN_LIMIT_TOTAL_BYTES] = {"total_bytes_sec", "bytes", DOMAIN_LIMIT_TOTAL_BYTES},
	[DOMAIN_LIMIT_READ_BYTES] = {"read_bytes_sec", "bytes", DOMAIN_LIMIT_TOTAL_BYTES},
	[DOMAIN_LIMIT_WRITE_BYTES] = {"write_bytes_sec", "bytes", DOMAIN_LIMIT_TOTAL_BYTES},
	[DOMAIN_LIMIT_TOTAL_IOPS] = {"total_iops_sec", "requests", DOMAIN_LIMIT_TOTAL_IOPS},
	[DOMAIN_LIMIT_READ_IOPS] = {"read_iops_sec", "requests", DOMAIN_LIMIT_TOTAL_IOPS},
	[DOMAIN_LIMIT_WRITE_IOPS] = {"write_iops_sec", "requests", DOMAIN_LIMIT_TOTAL_IOPS},
};

static const struct {
	const char *suffix;
	uint64_t max;
} parts[DOMAIN_LIMIT_PARTS] = {
	[DOMAIN_LIMIT_RATE] = {"", DOMAIN_LIMIT_RATE_MAX},
	[DOMAIN_LIMIT_BURST] = {"_max", DOMAIN_LIMIT_RATE_MAX},
	[DOMAIN_LIMIT_BURST_SECONDS] = {"_max_length", DOMAIN_LIMIT_SECONDS_MAX},
};

static void limit_name(unsigned int limit, unsigned int part, char ret[NAME_LEN])
{
	snprintf(ret, NAME_LEN, "%s%s", limits[limit].name, parts[part].suffix);
}

/* The number in the child @name; 0: none, as libvirt has it. */
static uint64_t number(struct domain_parser *p, xmlNode *iotune, const char *name, uint64_t max, const char *where)
{
	xmlNode *node = domain_xml_child(iotune, name);
	_cleanup_free_ char *text = domain_xml_text(node);
	uint64_t value = 0;

	if (node && (domain_xml_u64(text, &value) < 0 || value > max))
		domain_refuse(p, -EINVAL, where, "iotune %s '%s': a number up to %" PRIu64, name, text ? text : "",
			      max);
	return value;
}

static void check_limit(struct domain_parser *p, const struct domain_iotune *tune, unsigned int i, const char *where)
{
	const uint64_t *limit = tune->limit[i];
	const char *name = limits[i].name;

	if (limit[DOMAIN_LIMIT_RATE] && limits[i].both != i && tune->limit[limits[i].both][DOMAIN_LIMIT_RATE])
		domain_refuse(p, -EINVAL, where, "iotune %s and %s: say one limit for both directions, or one for each",
			      name, limits[limits[i].both].name);
	if (limit[DOMAIN_LIMIT_BURST] && limit[DOMAIN_LIMIT_BURST] <= limit[DOMAIN_LIMIT_RATE])
		domain_refuse(p, -EINVAL, where, "iotune %s_max: it must be more than %s", name, name);
	if (limit[DOMAIN_LIMIT_BURST] && !limit[DOMAIN_LIMIT_RATE])
		domain_refuse(p, -EINVAL, where, "iotune %s_max: say %s, too", name, name);
	if (limit[DOMAIN_LIMIT_BURST_SECONDS] && !limit[DOMAIN_LIMIT_BURST])
		domain_refuse(p, -EINVAL, where, "iotune %s_max_length: say %s_max, too", name, name);
}

static bool same_limits(const struct domain_iotune *a, const struct domain_iotune *b)
{
	return !memcmp(a->limit, b->limit, sizeof(a->limit)) && a->io_bytes == b->io_bytes;
}

/* Disks of a group have one limit together: all say the same, or it would be that of whoever comes last. */
static void check_group(struct domain_parser *p, const struct domain_iotune *tune, const char *where)
{
	for (size_t i = 0; i < p->d->disk_count && tune->group[0]; i++) {
		const struct domain_disk *other = &p->d->disks[i];

		if (!strcmp(other->iotune.group, tune->group) && !same_limits(&other->iotune, tune)) {
			domain_refuse(p, -EINVAL, where,
				      "iotune group_name '%s': disk %s has other limits: say the same", tune->group,
				      other->target);
			return;
		}
	}
}

void domain_xml_iotune(struct domain_parser *p, struct domain_iotune *tune, xmlNode *iotune, const char *where)
{
	_cleanup_free_ char *group = NULL;

	memset(tune, 0, sizeof(*tune));
	if (!iotune)
		return;
	group = domain_xml_text(domain_xml_child(iotune, "group_name"));
	for (unsigned int i = 0; i < DOMAIN_LIMITS; i++)
		for (unsigned int part = 0; part < DOMAIN_LIMIT_PARTS; part++) {
			char name[NAME_LEN];

			limit_name(i, part, name);
			tune->limit[i][part] = number(p, iotune, name, parts[part].max, where);
		}
	for (unsigned int i = 0; i < DOMAIN_LIMITS; i++)
		check_limit(p, tune, i, where);
	tune->io_bytes = number(p, iotune, "size_iops_sec", DOMAIN_LIMIT_RATE_MAX, where);
	if (group && (strlen(group) > DOMAIN_GROUP_MAX || !domain_xml_clean(group)))
		domain_refuse(p, -EINVAL, where, "iotune group_name: it has 1 to %u printable characters",
			      DOMAIN_GROUP_MAX);
	else if (group)
		strcpy(tune->group, group);
	check_group(p, tune, where);
}

bool domain_iotune_name(const char *name)
{
	char known[NAME_LEN];

	for (unsigned int i = 0; i < DOMAIN_LIMITS; i++)
		for (unsigned int part = 0; part < DOMAIN_LIMIT_PARTS; part++) {
			limit_name(i, part, known);
			if (!strcmp(name, known))
				return true;
		}
	return !strcmp(name, "size_iops_sec") || !strcmp(name, "group_name");
}

static void tell_number(const char *name, uint64_t value, domain_setting_fn fn, void *arg)
{
	char text[NAME_LEN + 24];

	if (!value)
		return;
	snprintf(text, sizeof(text), "%s=%" PRIu64, name, value);
	fn(text, arg);
}

void domain_iotune_settings(const struct domain_iotune *tune, domain_setting_fn fn, void *arg)
{
	char name[NAME_LEN], text[DOMAIN_GROUP_MAX + 16];

	for (unsigned int i = 0; i < DOMAIN_LIMITS; i++)
		for (unsigned int part = 0; part < DOMAIN_LIMIT_PARTS; part++) {
			limit_name(i, part, name);
			tell_number(name, tune->limit[i][part], fn, arg);
		}
	tell_number("size_iops_sec", tune->io_bytes, fn, arg);
	if (!tune->group[0])
		return;
	snprintf(text, sizeof(text), "group_name=%s", tune->group);
	fn(text, arg);
}
