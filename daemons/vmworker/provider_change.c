// SPDX-License-Identifier: Apache-2.0
/*
 * What a provider serves changes while the guest runs.
 *
 * Theory of operation: one change at a time. The configuration and the descriptors for the next process change in one
 * step: for what is early (a disk more) before the process that serves is asked, for the guest may use what it is shown
 * at once, and a successor must have it then; for the rest (a disk less, another medium) once it has answered. If the
 * process dies before its answer, its successor is asked the same as soon as it serves and all channels that were open
 * are open again: so a change ends in one of two ways, it is made or it is refused, whoever dies on the way.
 *
 * Limits: a change has no deadline here: the process has one, or waits for a guest or a disk. The end of the VM ends
 * it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "provider.h"

struct provider_waiter {
	struct provider_waiter *next;
	void (*fn)(void *arg);
	void *arg;
};

static void swap_config(struct provider *provider)
{
	struct provider_changing *c = &provider->changing;
	uint8_t *config = provider->config;
	size_t len = provider->config_len;

	provider->config = c->config;
	provider->config_len = c->config_len;
	c->config = config;
	c->config_len = len;
}

static void drop_fd(struct provider *provider, size_t place)
{
	fd_close(&provider->fds[place]);
	memmove(&provider->fds[place], &provider->fds[place + 1], (provider->nfds - place - 1) * sizeof(int));
	provider->nfds--;
}

/* What the next process gets: from old to new. The descriptor has its place since the beginning. */
static void commit(struct provider *provider)
{
	struct provider_changing *c = &provider->changing;

	if (c->has_config)
		swap_config(provider);
	if (c->fd >= 0 && c->drop >= 0) {
		fd_close(&provider->fds[c->drop]);
		provider->fds[c->drop] = c->fd;
	} else if (c->fd >= 0) {
		provider->nfds++;
	} else if (c->drop >= 0) {
		drop_fd(provider, (size_t)c->drop);
	}
}

/* And back, of an early one: without a drop. */
static void roll_back(struct provider *provider)
{
	if (provider->changing.has_config)
		swap_config(provider);
	if (provider->changing.fd >= 0)
		provider->nfds--;
}

/* @code: 0, and all counts; or nothing does. */
static void finish(struct provider *provider, const struct err *err)
{
	struct provider_changing c = provider->changing;

	if (!err->code && !c.early)
		commit(provider);
	else if (err->code && c.early)
		roll_back(provider);
	if (err->code)
		fd_close(&c.fd);
	free(c.change);
	free(provider->changing.config);
	provider->changing = (struct provider_changing){0};
	c.done(c.arg, err);
	while (c.waiters) {
		struct provider_waiter *waiter = c.waiters;

		c.waiters = waiter->next;
		waiter->fn(waiter->arg);
		free(waiter);
	}
}

void provider_changed(struct provider *provider, int error, const char *text)
{
	struct provider_changing *c = &provider->changing;
	struct err err = {0};

	if (!c->done || !c->asked)
		return;
	if (error == -ECANCELED) /* it is ending: its successor is asked */
		return;
	if (error == -ENOSYS)
		err_set(&err, -EOPNOTSUPP,
			"provider %s: its program (%s) is of before changes: replace it with \"vmctl service upgrade\"",
			provider->name, provider->service.said);
	else if (error < 0)
		err_set(&err, error, "%s", *text ? text : strerror(-error));
	finish(provider, &err);
}

void provider_change_go(struct provider *provider)
{
	struct provider_changing *c = &provider->changing;
	struct err err = {0};
	int r;

	if (!c->done || c->asked || !provider->ready || !provider->now.ops || bus_provider_resuming(provider->bus))
		return;
	c->asked = true;
	r = provider->now.ops->change(provider->now.arg, c->change, c->change_len, c->fd);
	if (r == 0 || r == -ENOTCONN) /* its end comes next, and then its successor */
		return;
	err_set(&err, r, "provider %s: it cannot be asked: %s", provider->name, strerror(-r));
	finish(provider, &err);
}

/* Everything that may fail. */
static int prepare(struct provider *provider, const struct provider_change *change, struct provider_changing *c)
{
	int *fds, fd;

	c->change = malloc(change->change_len + 1);
	c->config = change->config ? malloc(change->config_len + 1) : NULL;
	fds = reallocarray(provider->fds, provider->nfds + 2, sizeof(int));
	if (fds)
		provider->fds = fds;
	if (!c->change || (change->config && !c->config) || !fds)
		return -ENOMEM;
	if (change->change_len)
		memcpy(c->change, change->change, change->change_len);
	if (change->config_len)
		memcpy(c->config, change->config, change->config_len);
	if (change->fd < 0)
		return 0;
	fd = fd_dup(change->fd);
	if (fd < 0)
		return fd;
	provider->fds[provider->nfds] = c->fd = fd;
	return 0;
}

void provider_change(struct provider *provider, const struct provider_change *change, service_done_fn done, void *arg)
{
	struct provider_changing c = {
		.arg = arg,
		.change_len = change->change_len,
		.config_len = change->config_len,
		.fd = -1,
		.drop = change->drop,
		.early = change->early,
		.has_config = change->config != NULL,
	};
	struct err err = {0};
	int r;

	if (provider->changing.done)
		err_set(&err, -EBUSY, "provider %s: another change is under way: try again", provider->name);
	else if (provider->service.stopping)
		err_set(&err, -ECANCELED, "provider %s: the VM ends", provider->name);
	else if (change->drop >= (int)provider->nfds || (change->drop >= 0 && change->early))
		err_set(&err, -EINVAL, "provider %s: it has no descriptor %d to lose", provider->name, change->drop);
	if (!err.code) {
		r = prepare(provider, change, &c);
		if (r < 0) {
			free(c.change);
			free(c.config);
			err_set(&err, r, "provider %s: %s", provider->name, strerror(-r));
		}
	}
	if (err.code) {
		done(arg, &err);
		return;
	}
	c.done = done;
	provider->changing = c;
	if (c.early)
		commit(provider);
	provider_change_go(provider);
}

int provider_change_wait(struct provider *provider, void (*fn)(void *arg), void *arg)
{
	struct provider_waiter *waiter;

	if (!provider->changing.done) {
		fn(arg);
		return 0;
	}
	waiter = malloc(sizeof(*waiter));
	if (!waiter)
		return -ENOMEM;
	*waiter = (struct provider_waiter){provider->changing.waiters, fn, arg};
	provider->changing.waiters = waiter;
	return 0;
}

void provider_change_cancel(struct provider *provider)
{
	struct err err;

	if (!provider->changing.done)
		return;
	err_set(&err, -ECANCELED, "provider %s: the VM ends", provider->name);
	finish(provider, &err);
}
