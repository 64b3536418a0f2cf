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
 * A provider that has had nothing to serve yet (idle) has no process either: its first change wakes it. That process
 * gets the new configuration already, and is asked then like a successor. If it is not ready in time, the change is
 * refused, and the provider idle again.
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

static void drop_fds(struct provider *provider, size_t place, size_t count)
{
	for (size_t i = 0; i < count; i++)
		fd_close(&provider->fds[place + i]);
	memmove(&provider->fds[place], &provider->fds[place + count], (provider->nfds - place - count) * sizeof(int));
	provider->nfds -= count;
}

static void close_fds(struct provider_changing *c)
{
	for (size_t i = 0; i < c->nfds; i++)
		fd_close(&c->fd[i]);
}

/* What the next process gets: from old to new. The descriptors have their places since the beginning. */
static void commit(struct provider *provider)
{
	struct provider_changing *c = &provider->changing;

	if (c->has_config)
		swap_config(provider);
	if (c->nfds > 0 && c->drop >= 0) {
		for (size_t i = 0; i < c->nfds; i++) {
			fd_close(&provider->fds[(size_t)c->drop + i]);
			provider->fds[(size_t)c->drop + i] = c->fd[i];
		}
	} else if (c->drop >= 0) {
		drop_fds(provider, (size_t)c->drop, c->drops);
	} else if (c->has_config || c->early) {
		provider->nfds += c->nfds;
	} else {
		/* no configuration names them: they were for the change alone */
		close_fds(c);
	}
}

/* And back, of an early one: without a drop. */
static void roll_back(struct provider *provider)
{
	if (provider->changing.has_config)
		swap_config(provider);
	provider->nfds -= provider->changing.nfds;
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
		close_fds(&c);
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
	r = provider->now.ops->change(provider->now.arg, c->change, c->change_len, c->fd, c->nfds);
	if (r == 0 || r == -ENOTCONN) /* its end comes next, and then its successor */
		return;
	err_set(&err, r, "provider %s: it cannot be asked: %s", provider->name, strerror(-r));
	finish(provider, &err);
}

/* ---- idle ---- */

bool provider_not_woken(struct provider *provider, const struct err *err)
{
	if (!provider->waking)
		return false;
	loop_disarm(provider->wake);
	provider->waking = false;
	provider->idle = true;
	if (provider->changing.done)
		finish(provider, err);
	return true;
}

void provider_wake_late(void *arg)
{
	struct provider *provider = arg;
	struct err err;

	err_set(&err, -ETIMEDOUT, "provider %s: not %s within %llu s: see its log", provider->name,
		provider->now.ops ? "ready" : "attached", PROVIDER_WAKE_NS / 1000000000);
	if (provider_not_woken(provider, &err) && (provider->service.process || provider->now.ops))
		service_hung(provider, "is not ready");
}

static void wake(struct provider *provider)
{
	struct err err = {0};
	int r;

	if (!provider->idle || provider->ready)
		return;
	if (provider->service.process) { /* the last one, which was too late */
		err_set(&err, -EAGAIN,
			"provider %s: a process of its that was not ready in time has not ended: try again",
			provider->name);
		finish(provider, &err);
		return;
	}
	provider->idle = false;
	provider->waking = true;
	loop_arm(provider->wake, provider->set->patience_ns ? provider->set->patience_ns : PROVIDER_WAKE_NS);
	r = service_start(provider, &err);
	if (r < 0)
		provider_not_woken(provider, &err);
}

/* Everything that may fail. */
static int prepare(struct provider *provider, const struct provider_change *change, struct provider_changing *c)
{
	int *fds;

	c->change = malloc(change->change_len + 1);
	c->config = change->config ? malloc(change->config_len + 1) : NULL;
	fds = reallocarray(provider->fds, provider->nfds + change->nfds + 1, sizeof(int));
	if (fds)
		provider->fds = fds;
	if (!c->change || (change->config && !c->config) || !fds)
		return -ENOMEM;
	if (change->change_len)
		memcpy(c->change, change->change, change->change_len);
	if (change->config_len)
		memcpy(c->config, change->config, change->config_len);
	for (size_t i = 0; i < change->nfds; i++) {
		int fd = fd_dup(change->fds[i]);

		if (fd < 0)
			return fd;
		provider->fds[provider->nfds + i] = c->fd[c->nfds++] = fd;
	}
	return 0;
}

void provider_change(struct provider *provider, const struct provider_change *change, service_done_fn done, void *arg)
{
	struct provider_changing c = {
		.arg = arg,
		.change_len = change->change_len,
		.config_len = change->config_len,
		.drop = change->drop,
		.drops = change->drops,
		.early = change->early,
		.has_config = change->config != NULL,
	};
	struct err err = {0};
	int r;

	if (provider->changing.done)
		err_set(&err, -EBUSY, "provider %s: another change is under way: try again", provider->name);
	else if (provider->service.stopping)
		err_set(&err, -ECANCELED, "provider %s: the VM ends", provider->name);
	else if (change->drop >= 0 && (!range_fits((uint64_t)change->drop, change->drops, provider->nfds) ||
				       change->early || (change->nfds && change->nfds != change->drops)))
		err_set(&err, -EINVAL, "provider %s: it has no descriptor %d to lose", provider->name, change->drop);
	else if (change->nfds > VSP_CHANGE_FDS_MAX)
		err_set(&err, -EINVAL, "provider %s: too many descriptors come with a change", provider->name);
	if (!err.code) {
		r = prepare(provider, change, &c);
		if (r < 0) {
			free(c.change);
			free(c.config);
			close_fds(&c);
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
	wake(provider);
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
