/* SPDX-License-Identifier: Apache-2.0 */
/* A program that is a provider for tests: main() of it. */
#ifndef SUPPORT_PROVIDER_H
#define SUPPORT_PROVIDER_H

#include <stdbool.h>

#include "vsp/vsp.h"

/* One a process. */
struct provider {
	const char *name;    /* as which it attaches */
	const char *program; /* for messages */
	int (*offer)(struct provider *provider, struct err *err);
	int (*serve)(struct provider *provider, struct err *err); /* until gone; NULL: the loop runs */
	/* from offer() on */
	struct loop *loop;
	struct vsp *vsp;
	bool gone; /* the worker is */
};

/** provider_main - attaches to the worker of "--worker PATH", and serves as long as that is there. Return: the exit
 * code, as of our daemons. */
int provider_main(struct provider *provider, int argc, char **argv);

#endif
