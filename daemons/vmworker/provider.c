// SPDX-License-Identifier: Apache-2.0
#include "provider.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"

/* ---- the set ---- */

static void keepsake_clear(struct keepsake *keepsake)
{
	fd_close(&keepsake->fd);
	free(keepsake->data);
	*keepsake = (struct keepsake){.fd = -1};
}

static void provider_clear(struct provider *provider)
{
	provider_change_cancel(provider);
	loop_remove(&provider->wake);
	service_done(provider);
	for (size_t i = 0; i < provider->nfds; i++)
		fd_close(&provider->fds[i]);
	while (provider->keepsakes)
		keepsake_clear(&provider->keepsake[--provider->keepsakes]);
	free(provider->fds);
	free(provider->config);
	free(provider->status);
	free(provider->name);
	memset(provider, 0, sizeof(*provider));
}

void providers_done(struct providers *set)
{
	while (set->count)
		provider_clear(&set->at[--set->count]);
}

struct provider *providers_find(struct providers *set, const char *name)
{
	for (size_t i = 0; i < set->count; i++)
		if (!strcmp(set->at[i].name, name))
			return &set->at[i];
	return NULL;
}

static int provider_fill(struct provider *provider, const struct provider_config *config)
{
	int r = service_init(provider, config);

	if (r >= 0)
		r = loop_add_timer(provider->set->loop, provider_wake_late, provider, &provider->wake);
	provider->idle = config->idle;
	provider->name = strdup(config->name);
	provider->config = malloc(config->config_len + 1);
	provider->fds = calloc(config->nfds + 1, sizeof(int));
	if (!provider->name || !provider->config || !provider->fds)
		return -ENOMEM;
	if (config->config_len)
		memcpy(provider->config, config->config, config->config_len);
	provider->config_len = config->config_len;
	for (; r >= 0 && provider->nfds < config->nfds; provider->nfds++) {
		r = fd_dup(config->fds[provider->nfds]);
		if (r < 0)
			break;
		provider->fds[provider->nfds] = r;
	}
	return r;
}

/* ---- the bus's calls go to whoever is attached ---- */

static void forward_open(void *arg, uint32_t offer_id, const struct bus_open *open)
{
	struct provider *provider = arg;

	provider->now.ops->bus.open(provider->now.arg, offer_id, open);
}

static void forward_close(void *arg, uint32_t offer_id)
{
	struct provider *provider = arg;

	provider->now.ops->bus.close(provider->now.arg, offer_id);
}

static void forward_retarget(void *arg, uint32_t offer_id, uint32_t target_vp)
{
	struct provider *provider = arg;

	provider->now.ops->bus.retarget(provider->now.arg, offer_id, target_vp);
}

static void forward_quiesce(void *arg)
{
	struct provider *provider = arg;

	provider->now.ops->bus.quiesce(provider->now.arg);
}

static void forward_revoke(void *arg, uint32_t offer_id, uint32_t gpadl)
{
	struct provider *provider = arg;

	provider->now.ops->bus.revoke(provider->now.arg, offer_id, gpadl);
}

static void forward_resumed(void *arg)
{
	struct provider *provider = arg;

	provider->now.ops->bus.resumed(provider->now.arg);
}

static const struct bus_provider_ops forward_ops = {
	.open = forward_open,
	.close = forward_close,
	.retarget = forward_retarget,
	.quiesce = forward_quiesce,
	.revoke = forward_revoke,
	.resumed = forward_resumed,
};

int providers_add(struct providers *set, const struct provider_config *config, struct err *err)
{
	struct provider *provider = &set->at[set->count];
	int r;

	if (set->count == PROVIDERS_MAX)
		return err_set(err, -ENOSPC, "provider %s: a VM has at most %u", config->name, PROVIDERS_MAX);
	if (!config->name[0])
		return err_set(err, -EINVAL, "a provider without a name");
	if (providers_find(set, config->name))
		return err_set(err, -EEXIST, "provider %s is named twice", config->name);
	if (config->program_fd >= 0 && (!set->spawner || config->nargs > PROVIDER_ARGS_MAX))
		return err_set(err, -EINVAL, "provider %s: this worker cannot run %s", config->name, config->program);
	provider->set = set;
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

int providers_start(struct providers *set, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < set->count && r >= 0; i++)
		if (!set->at[i].idle)
			r = service_start(&set->at[i], err);
	return r;
}

void providers_stop(struct providers *set)
{
	for (size_t i = 0; i < set->count; i++)
		service_stop(&set->at[i]);
}

bool providers_stopped(const struct providers *set)
{
	for (size_t i = 0; i < set->count; i++)
		if (!service_stopped(&set->at[i]))
			return false;
	return true;
}

const struct provider *providers_missing(const struct providers *set, size_t *inout_index)
{
	while (*inout_index < set->count) {
		const struct provider *provider = &set->at[(*inout_index)++];

		if (!provider->ready && !provider->idle)
			return provider;
	}
	return NULL;
}

/* ---- one provider ---- */

int provider_attach(struct providers *set, const char *name, const struct attachment *attachment, struct err *err,
		    struct provider **ret_provider)
{
	struct provider *provider = providers_find(set, name);

	if (!provider)
		return err_set(err, -ENOENT, "provider %s: this VM is not configured with it", name);
	*ret_provider = provider;
	return service_attach(provider, attachment, err);
}

void provider_admit(struct provider *provider, const struct attachment *attachment)
{
	/* Of one that never served there is nothing to take over. */
	while (!provider->service.served && provider->keepsakes)
		keepsake_clear(&provider->keepsake[--provider->keepsakes]);
	if (!provider->service.served)
		provider->service.attachments = 0;
	provider->now = *attachment;
	bus_provider_ended(provider->bus); /* its predecessor */
	service_watch_begin(provider);
	snprintf(provider->service.said, sizeof(provider->service.said), "%s", attachment->program);
	log_info(provider->name, "attached: process %d", (int)attachment->pid);
	provider->now.ops->admitted(provider->now.arg);
	provider->service.attachments++;
}

bool provider_serves(const struct provider *provider, const void *arg)
{
	const enum service_upgrade upgrade = provider->service.upgrade;

	return provider->now.ops && provider->now.arg == arg && upgrade != UPGRADE_HANDING_OVER &&
	       upgrade != UPGRADE_ENDING;
}

int provider_keep(struct provider *provider, const char *key, const void *data, size_t len, int fd, struct err *err)
{
	struct keepsake *keepsake = provider->keepsake;
	size_t i = 0;
	uint8_t *copy;

	if (!key[0] || strlen(key) > VSP_KEY_MAX || len > VSP_KEEPSAKE_MAX)
		return err_set(err, -EINVAL,
			       "provider %s: a keepsake is refused: its key has 1 to %u bytes, its data %u at most",
			       provider->name, VSP_KEY_MAX, VSP_KEEPSAKE_MAX);
	while (i < provider->keepsakes && strcmp(keepsake[i].key, key))
		i++;
	if (i == VSP_KEEPSAKES_MAX)
		return err_set(err, -ENOSPC, "provider %s: more than %u keepsakes", provider->name, VSP_KEEPSAKES_MAX);
	copy = malloc(len + 1);
	if (!copy)
		return err_set(err, -ENOMEM, "provider %s: out of memory", provider->name);
	if (len)
		memcpy(copy, data, len);
	if (i == provider->keepsakes)
		provider->keepsakes++;
	else
		keepsake_clear(&keepsake[i]);
	keepsake[i] = (struct keepsake){.data = copy, .len = len, .fd = fd};
	strcpy(keepsake[i].key, key);
	return 0;
}

int provider_kept(const struct provider *provider, const char *key)
{
	for (size_t i = 0; i < provider->keepsakes; i++)
		if (!strcmp(provider->keepsake[i].key, key))
			return provider->keepsake[i].fd;
	return -ENOENT;
}

void provider_ready(struct provider *provider)
{
	if (provider->ready)
		return;
	provider->ready = true;
	provider->idle = provider->waking = false;
	loop_disarm(provider->wake);
	bus_provider_back(provider->bus);
	service_ready(provider);
	provider->changing.asked = false;
	provider_change_go(provider);
	provider->set->changed(provider->set->arg);
}

void provider_opened(struct provider *provider, uint32_t offer_id, int status, const struct service_counts *counts)
{
	bus_opened(provider->bus, offer_id, status);
	service_opened(provider, counts);
	provider_change_go(provider);
}

void provider_away(struct provider *provider)
{
	provider->ready = false;
	bus_provider_away(provider->bus);
}

int provider_set_status(struct provider *provider, const void *bytes, size_t len)
{
	uint8_t *copy = len <= VSP_STATUS_MAX ? malloc(len + 1) : NULL;

	if (!copy)
		return len <= VSP_STATUS_MAX ? -ENOMEM : -E2BIG;
	if (len > 0)
		memcpy(copy, bytes, len);
	free(provider->status);
	provider->status = copy;
	provider->status_len = len;
	provider->set->changed(provider->set->arg);
	return 0;
}

void provider_drop_now(struct provider *provider)
{
	struct attachment now = provider->now;

	provider->now = (struct attachment){0};
	if (now.ops)
		now.ops->drop(now.arg);
}

void provider_refuse_next(struct provider *provider, const struct err *err)
{
	struct attachment next = provider->next;

	provider->next = (struct attachment){0};
	if (next.ops)
		next.ops->refused(next.arg, err);
}

void provider_detach(struct provider *provider, const void *arg)
{
	if (provider->now.ops && provider->now.arg == arg) {
		provider->now = (struct attachment){0};
		service_lost(provider);
	} else if (provider->next.ops && provider->next.arg == arg) {
		provider->next = (struct attachment){0};
		service_lost_next(provider);
	}
}
