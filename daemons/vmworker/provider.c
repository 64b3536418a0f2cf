// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "provider.h"

void providers_init(struct providers *set, struct bus *bus, void (*changed)(void *arg), void *arg)
{
	*set = (struct providers){.bus = bus, .changed = changed, .arg = arg};
}

static void provider_clear(struct provider *provider)
{
	for (size_t i = 0; i < provider->nfds; i++)
		fd_close(&provider->fds[i]);
	free(provider->fds);
	free(provider->config);
	free(provider->name);
	memset(provider, 0, sizeof(*provider));
}

void providers_done(struct providers *set)
{
	while (set->count)
		provider_clear(&set->at[--set->count]);
}

static struct provider *find(struct providers *set, const char *name)
{
	for (size_t i = 0; i < set->count; i++)
		if (!strcmp(set->at[i].name, name))
			return &set->at[i];
	return NULL;
}

static int provider_fill(struct provider *provider, const struct provider_config *config)
{
	provider->name = strdup(config->name);
	provider->config = malloc(config->config_len + 1);
	provider->fds = calloc(config->nfds + 1, sizeof(int));
	if (!provider->name || !provider->config || !provider->fds)
		return -ENOMEM;
	if (config->config_len)
		memcpy(provider->config, config->config, config->config_len);
	provider->config_len = config->config_len;
	for (; provider->nfds < config->nfds; provider->nfds++) {
		int fd = fd_dup(config->fds[provider->nfds]);

		if (fd < 0)
			return fd;
		provider->fds[provider->nfds] = fd;
	}
	return 0;
}

/* ---- the bus's calls go to whoever is attached ---- */

static void forward_open(void *arg, uint32_t offer_id, const struct bus_open *open)
{
	struct provider *provider = arg;

	provider->ops->open(provider->ops_arg, offer_id, open);
}

static void forward_close(void *arg, uint32_t offer_id)
{
	struct provider *provider = arg;

	provider->ops->close(provider->ops_arg, offer_id);
}

static void forward_retarget(void *arg, uint32_t offer_id, uint32_t target_vp)
{
	struct provider *provider = arg;

	provider->ops->retarget(provider->ops_arg, offer_id, target_vp);
}

static void forward_quiesce(void *arg)
{
	struct provider *provider = arg;

	provider->ops->quiesce(provider->ops_arg);
}

static const struct bus_provider_ops forward_ops = {
	.open = forward_open,
	.close = forward_close,
	.retarget = forward_retarget,
	.quiesce = forward_quiesce,
};

int providers_add(struct providers *set, const struct provider_config *config, struct err *err)
{
	struct provider *provider = &set->at[set->count];
	int r;

	if (set->count == PROVIDERS_MAX)
		return err_set(err, -ENOSPC, "provider %s: a VM has at most %u", config->name, PROVIDERS_MAX);
	if (!config->name[0])
		return err_set(err, -EINVAL, "a provider without a name");
	if (find(set, config->name))
		return err_set(err, -EEXIST, "provider %s is named twice", config->name);
	r = provider_fill(provider, config);
	if (r >= 0)
		r = bus_provider_add(set->bus, provider->name, &forward_ops, provider, &provider->bus);
	if (r < 0) {
		provider_clear(provider);
		return err_set(err, r, "provider %s: %s", config->name, strerror(-r));
	}
	set->count++;
	return 0;
}

const struct provider *providers_missing(const struct providers *set, size_t *inout_index)
{
	while (*inout_index < set->count) {
		const struct provider *provider = &set->at[(*inout_index)++];

		if (!provider->ready)
			return provider;
	}
	return NULL;
}

int provider_attach(struct providers *set, const char *name, const struct bus_provider_ops *ops, void *arg,
		    struct err *err, struct provider **ret_provider)
{
	struct provider *provider = find(set, name);

	if (!provider)
		return err_set(err, -ENOENT, "provider %s: this VM is not configured with it", name);
	if (provider->ops)
		return err_set(err, -EBUSY, "provider %s: another process is attached", name);
	provider->ops = ops;
	provider->ops_arg = arg;
	log_info(name, "attached");
	*ret_provider = provider;
	return 0;
}

void provider_ready(struct providers *set, struct provider *provider)
{
	if (provider->ready)
		return;
	provider->ready = true;
	bus_provider_back(provider->bus);
	set->changed(set->arg);
}

void provider_detach(struct providers *set, struct provider *provider)
{
	provider->ops = NULL;
	provider->ready = false;
	bus_provider_away(provider->bus);
	set->changed(set->arg);
}
