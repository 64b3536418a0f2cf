/* SPDX-License-Identifier: Apache-2.0 */
/* The three lists: what of a libvirt domain definition is implemented, kept without effect, or refused. */
#ifndef VMMGMTD_DOMAIN_RULES_H
#define VMMGMTD_DOMAIN_RULES_H

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

/** domain_rule_find - the row of a path; for what has none, a row that refuses it. */
const struct domain_rule *domain_rule_find(const char *path);

#endif
