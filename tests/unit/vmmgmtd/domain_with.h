/* SPDX-License-Identifier: Apache-2.0 */
/* A definition for a test. */
#ifndef TEST_DOMAIN_WITH_H
#define TEST_DOMAIN_WITH_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "domain.h"

#define UUID "0f1a7c3e-3333-4222-8333-123456789abc"

/** domain_with - of VM "load" with these elements in <devices>. */
static inline void domain_with(const char *devices, struct domain *ret)
{
	struct err err = {0};
	char xml[2048];

	cr_assert_lt(
		snprintf(xml, sizeof(xml),
			 "<domain type='kvm'><name>load</name><uuid>" UUID "</uuid><memory>65536</memory>"
			 "<os><type arch='x86_64'>hvm</type><kernel>/k</kernel></os><devices>%s</devices></domain>",
			 devices),
		(int)sizeof(xml));
	cr_assert_eq(domain_parse(xml, strlen(xml), ret, NULL, &err), 0, "%s", err.text);
}

#endif
