// SPDX-License-Identifier: Apache-2.0
/* Processes of a provider that somebody else runs: of each we hold a pidfd. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "provider.h"
#include "service_int.h"

/* Return: 0; a negative errno: it could not be waited for when it is lost, and so may not serve. */
static int admit_foreign(struct provider *provider, const struct attachment *attachment)
{
	struct service *s = &provider->service;
	int fd = attachment->pidfd;

	if (fd >= 0 && pidfd_send_signal(fd, 0, NULL, 0) < 0 && errno == ESRCH)
		fd = -ESRCH;
	if (fd >= 0)
		fd = fd_dup(fd);
	if (fd < 0)
		return fd;
	fd_close(&s->now_fd);
	s->now_fd = fd;
	provider_admit(provider, attachment);
	return 0;
}

static int cannot_watch(const struct provider *provider, const struct attachment *attachment, int error,
			struct err *err)
{
	return err_set(err, error, "provider %s: process %d %s%s", provider->name, (int)attachment->pid,
		       error == -ESRCH ? "has ended, and somebody else uses its connection" : "cannot be watched: ",
		       error == -ESRCH ? "" : strerror(-error));
}

static void on_before(int fd, unsigned int ready, void *arg)
{
	struct provider *provider = arg;
	struct service *s = &provider->service;
	struct attachment next = provider->next;
	struct err err;
	int r;

	loop_remove(&s->before);
	fd_close(&s->before_fd);
	if (!next.ops)
		return;
	provider->next = (struct attachment){0};
	r = admit_foreign(provider, &next);
	if (r < 0) {
		cannot_watch(provider, &next, r, &err);
		next.ops->refused(next.arg, &err);
	}
}

int service_foreign_attach(struct provider *provider, const struct attachment *attachment, struct err *err)
{
	struct service *s = &provider->service;
	int r = 0;

	if (provider->now.ops || provider->next.ops)
		return err_set(err, -EBUSY, "provider %s: another process is attached", provider->name);
	if (attachment->pidfd < 0)
		return cannot_watch(provider, attachment, attachment->pidfd, err);
	if (s->before_fd < 0) {
		r = admit_foreign(provider, attachment);
		return r < 0 ? cannot_watch(provider, attachment, r, err) : 0;
	}
	if (!s->before)
		r = loop_add_fd(provider->set->loop, s->before_fd, LOOP_READ, on_before, provider, &s->before);
	if (r < 0)
		return err_set(err, r, "provider %s: %s", provider->name, strerror(-r));
	provider->next = *attachment;
	return 0;
}

void service_foreign_lost(struct provider *provider)
{
	struct service *s = &provider->service;

	service_count_death(s, -1, s->ready_ns);
	s->ready_ns = 0;
	if (!s->hung)
		snprintf(s->message, sizeof(s->message), "its connection has ended");
	s->hung = false;
	fd_close(&s->before_fd);
	s->before_fd = take_fd(&s->now_fd);
}

int service_foreign_kill(const struct service *s)
{
	if (s->now_fd < 0)
		return -ESRCH;
	return pidfd_send_signal(s->now_fd, SIGKILL, NULL, 0) < 0 ? -errno : 0;
}
