/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a definition: an error, or a domain that holds its own invariants and that its own XML gives again. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "domain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct domain *d)
{
	uint64_t luns[DOMAIN_CONTROLLERS_MAX] = {0};

	assert(*d->name && strlen(d->name) < DOMAIN_NAME_MAX && !strchr(d->name, '/'));
	assert(strlen(d->uuid) == DOMAIN_UUID_MAX - 1);
	assert(d->cpus >= 1 && d->cpus <= DOMAIN_CPUS_MAX);
	assert(d->memory_bytes >= DOMAIN_MEMORY_MIN && d->memory_bytes % DOMAIN_MEMORY_MIN == 0);
	assert(d->kernel && d->kernel[0] == '/');
	assert(d->disk_count <= DOMAIN_DISKS_MAX);
	for (size_t i = 0; i < d->disk_count; i++) {
		assert(d->disks[i].image[0] == '/' && d->disks[i].lun < DOMAIN_LUNS_MAX);
		assert(d->disks[i].controller < DOMAIN_CONTROLLERS_MAX);
		assert(!(luns[d->disks[i].controller] & 1ull << d->disks[i].lun));
		luns[d->disks[i].controller] |= 1ull << d->disks[i].lun;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct domain d = {0}, again = {0};
	struct domain_report report = {0};
	struct err err = {0};

	if (domain_parse((const char *)data, size, &d, &report, &err) < 0) {
		assert(err.code < 0 && *err.text && !strchr(err.text, '\n'));
		assert(!d.xml);
	} else {
		check(&d);
		assert(domain_parse(d.xml, strlen(d.xml), &again, NULL, &err) == 0);
		assert(!strcmp(d.uuid, again.uuid) && d.disk_count == again.disk_count);
		domain_done(&again);
		domain_done(&d);
	}
	domain_report_done(&report);
	return 0;
}
