/* SPDX-License-Identifier: Apache-2.0 */
/* The three lists: what of a libvirt domain definition is implemented, kept without effect, or refused. */
#ifndef VMMGMTD_DOMAIN_RULES_H
#define VMMGMTD_DOMAIN_RULES_H

#include <stddef.h>

/* Elements of another hypervisor's namespace are named with libvirt's own prefix for it: "/domain/qemu:commandline". */
enum domain_verdict {
	DOMAIN_IMPLEMENTED, /* this element or attribute itself */
	DOMAIN_KEPT,	    /* with everything below */
	DOMAIN_REFUSED,	    /* with everything below */
};

struct domain_rule {
	const char *path; /* "/domain/devices/disk/driver/@type" */
	enum domain_verdict verdict;
	const char *reason; /* for a person; NULL if implemented */
};

/** domain_rules - all rows, in the order in which people are shown them. */
const struct domain_rule *domain_rules(size_t *ret_count);

/** domain_rule_find - the row of a path; for what has none, a row that refuses it. Context: one thread. */
const struct domain_rule *domain_rule_find(const char *path);

#endif
