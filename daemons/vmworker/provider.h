/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Providers as the VM is configured with them: each has a name, a configuration for whoever attaches under that name,
 * and descriptors of which we keep duplicates, so that a successor finds them as well. Event loop only.
 */
#ifndef VMWORKER_PROVIDER_H
#define VMWORKER_PROVIDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "bus.h"

#define PROVIDERS_MAX 8u

struct provider_config {
	const char *name;
	const void *config; /* opaque */
	size_t config_len;
	const int *fds; /* the caller's; duplicated */
	size_t nfds;
};

struct provider {
	char *name;
	uint8_t *config;
	size_t config_len;
	int *fds;
	size_t nfds;
	struct bus_provider *bus;
	const struct bus_provider_ops *ops; /* NULL: nobody is attached */
	void *ops_arg;
	bool ready; /* it has made all its offers */
};

struct providers {
	struct bus *bus;
	struct provider at[PROVIDERS_MAX];
	size_t count;
	void (*changed)(void *arg); /* one became ready, or went away */
	void *arg;
};

void providers_init(struct providers *set, struct bus *bus, void (*changed)(void *arg), void *arg);
/** providers_done - Context: nobody is attached, or the bus is gone. */
void providers_done(struct providers *set);

/** providers_add - Return: 0; -ENOSPC, -EEXIST (name), -ENOMEM, ... with a line. */
int providers_add(struct providers *set, const struct provider_config *config, struct err *err);

/** providers_missing - the first provider that is not ready, from *@inout_index on; NULL at the end. */
const struct provider *providers_missing(const struct providers *set, size_t *inout_index);

/** provider_attach - somebody serves @name now. Return: 0; -ENOENT (not configured); -EBUSY (attached already);
 * -ENOMEM. */
int provider_attach(struct providers *set, const char *name, const struct bus_provider_ops *ops, void *arg,
		    struct err *err, struct provider **ret_provider);
void provider_ready(struct providers *set, struct provider *provider);
/** provider_detach - it is gone; its channels stay for a successor. Context: not inside a call of the bus to it. */
void provider_detach(struct providers *set, struct provider *provider);

#endif
