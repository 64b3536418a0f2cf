// SPDX-License-Identifier: Apache-2.0
/* What a provider serves changes: made or refused, whoever dies on the way; what a successor gets agrees. */
#include "service_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

TestSuite(provider_change, .init = sx_setup, .fini = sx_teardown, .timeout = 60);

static struct err outcome;
static unsigned int dones, waited;

static void on_done(void *arg, const struct err *err)
{
	outcome = *err;
	dones++;
}

static void on_waited(void *arg)
{
	waited++;
}

static bool configured(const char *config, size_t fds)
{
	return sx.storage->config_len == strlen(config) &&
	       !memcmp(sx.storage->config, config, sx.storage->config_len) && sx.storage->nfds == fds;
}

static void attach_disk(int fd)
{
	const struct provider_change change = {.change = "attach",
					       .change_len = 6,
					       .config = "one",
					       .config_len = 3,
					       .fds = &fd,
					       .nfds = 1,
					       .drop = -1,
					       .early = true};

	provider_change(sx.storage, &change, on_done, NULL);
}

static void detach_disk(int place)
{
	const struct provider_change change = {
		.change = "detach", .change_len = 6, .config = "two", .config_len = 3, .drop = place, .drops = 1};

	provider_change(sx.storage, &change, on_done, NULL);
}

static void replace_medium(int fd, int place)
{
	const struct provider_change change = {.change = "medium",
					       .change_len = 6,
					       .config = "new",
					       .config_len = 3,
					       .fds = &fd,
					       .nfds = 1,
					       .drop = place,
					       .drops = 1};

	provider_change(sx.storage, &change, on_done, NULL);
}

/* One descriptor in the place of another, once it has changed, and not if it was refused. */
Test(provider_change, replaced)
{
	struct played played;
	int fd = fd_memfd("image", 4096), before;

	sx_add("exec sleep 100");
	sx_serve(&played);
	attach_disk(fd);
	provider_changed(sx.storage, 0, "");
	attach_disk(fd);
	provider_changed(sx.storage, 0, "");
	before = sx.storage->fds[0];
	replace_medium(fd, 0);
	cr_assert(!strcmp(played.change, "medium") && played.change_fd >= 0);
	cr_assert(configured("one", 2) && sx.storage->fds[0] == before, "not before its answer");
	provider_changed(sx.storage, -EBUSY, "locked");
	cr_assert(outcome.code == -EBUSY && configured("one", 2) && sx.storage->fds[0] == before);
	replace_medium(fd, 0);
	provider_changed(sx.storage, 0, "");
	cr_assert(!outcome.code && configured("new", 2) && sx.storage->fds[0] != before);
	replace_medium(fd, 2);
	cr_assert_eq(outcome.code, -EINVAL);
	close(fd);
}

/* A NIC's queues have one each, and come and go together. */
Test(provider_change, many_descriptors)
{
	struct provider_change change = {
		.change = "nic", .change_len = 3, .config = "", .nfds = VSP_CHANGE_FDS_MAX, .drop = -1};
	int fd = fd_memfd("queue", 4096), fds[VSP_CHANGE_FDS_MAX + 1];
	struct played played;

	for (size_t i = 0; i <= VSP_CHANGE_FDS_MAX; i++)
		fds[i] = fd;
	change.fds = fds;
	sx_add("exec sleep 100");
	sx_serve(&played);
	provider_change(sx.storage, &change, on_done, NULL);
	provider_changed(sx.storage, 0, "");
	cr_assert(!outcome.code && configured("", VSP_CHANGE_FDS_MAX));
	change.nfds++;
	provider_change(sx.storage, &change, on_done, NULL);
	cr_assert_eq(outcome.code, -EINVAL);
	change = (struct provider_change){.change = "gone", .change_len = 4, .drops = VSP_CHANGE_FDS_MAX};
	provider_change(sx.storage, &change, on_done, NULL);
	provider_changed(sx.storage, 0, "");
	cr_assert(!outcome.code && configured("", 0));
	close(fd);
}

/* One that no configuration names, as of a capture, is for who serves alone: the next one does not get it. */
Test(provider_change, for_the_change_alone)
{
	struct provider_change change = {.change = "capture", .change_len = 7, .nfds = 1, .drop = -1};
	struct played played;
	int pipe_fds[2];

	cr_assert_eq(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
	change.fds = &pipe_fds[1];
	sx_add("exec sleep 100");
	sx_serve(&played);
	provider_change(sx.storage, &change, on_done, NULL);
	cr_assert(played.change_fd >= 0);
	close(pipe_fds[1]);
	cr_assert(read(pipe_fds[0], &(char){0}, 1) < 0 && errno == EAGAIN);
	provider_changed(sx.storage, 0, "");
	cr_assert(!outcome.code && configured("", 0));
	cr_assert_eq(read(pipe_fds[0], &(char){0}, 1), 0, "somebody still holds it");
	close(pipe_fds[0]);
}

Test(provider_change, made)
{
	struct played played;
	int fd = fd_memfd("image", 4096);

	sx_add("exec sleep 100");
	sx_serve(&played);
	cr_assert(configured("", 0));
	attach_disk(fd);
	cr_assert(played.changes == 1 && !strcmp(played.change, "attach") && played.change_fd >= 0 && !dones);
	cr_assert(configured("one", 1), "a successor has what the guest may know");
	provider_changed(sx.storage, 0, "");
	cr_assert(dones == 1 && !outcome.code && configured("one", 1));
	detach_disk(0);
	cr_assert(played.changes == 2 && !strcmp(played.change, "detach") && played.change_fd < 0);
	cr_assert(configured("one", 1), "until it is gone");
	cr_assert_eq(provider_change_wait(sx.storage, on_waited, NULL), 0);
	cr_assert_eq(waited, 0);
	attach_disk(fd);
	cr_assert(dones == 2 && outcome.code == -EBUSY, "one at a time");
	provider_changed(sx.storage, 0, "");
	cr_assert(dones == 3 && !outcome.code && configured("two", 0));
	cr_assert_eq(waited, 1);
	cr_assert_eq(provider_change_wait(sx.storage, on_waited, NULL), 0);
	cr_assert_eq(waited, 2);
	close(fd);
}

Test(provider_change, refused)
{
	struct played played;
	int fd = fd_memfd("image", 4096);

	sx_add("exec sleep 100");
	sx_serve(&played);
	attach_disk(fd);
	provider_changed(sx.storage, -ENOENT, "no");
	cr_assert(dones == 1 && outcome.code == -ENOENT && !strcmp(outcome.text, "no") && configured("", 0));
	attach_disk(fd);
	provider_changed(sx.storage, -ENOSYS, "");
	cr_assert(dones == 2 && outcome.code == -EOPNOTSUPP && configured("", 0));
	detach_disk(0);
	cr_assert(dones == 3 && outcome.code == -EINVAL, "it has none");
	attach_disk(fd);
	provider_changed(sx.storage, 0, "");
	detach_disk(0);
	provider_changed(sx.storage, -ETIMEDOUT, "still in use");
	cr_assert(dones == 5 && outcome.code == -ETIMEDOUT && configured("one", 1));
	provider_changed(sx.storage, 0, "nobody has asked");
	cr_assert(dones == 5 && configured("one", 1));
	close(fd);
}

/* Both kinds: who dies before the answer is not the end of it. */
Test(provider_change, successor_is_asked_again)
{
	struct played first, second, third;
	int fd = fd_memfd("image", 4096);
	pid_t pid;

	sx_add("exec sleep 100");
	pid = sx_serve(&first);
	attach_disk(fd);
	kill(pid, SIGKILL);
	provider_detach(sx.storage, &first);
	UNTIL(sx.storage->service.process && sx_status().pid != pid);
	cr_assert(!dones && configured("one", 1));
	pid = sx_serve(&second);
	cr_assert(second.changes == 1 && !strcmp(second.change, "attach") && second.change_fd >= 0);
	provider_changed(sx.storage, 0, "");
	cr_assert(dones == 1 && !outcome.code);
	detach_disk(0);
	provider_changed(sx.storage, -ECANCELED, "it is ending");
	cr_assert_eq(dones, 1, "that is no answer");
	kill(pid, SIGKILL);
	provider_detach(sx.storage, &second);
	UNTIL(sx.storage->service.process && sx_status().pid != pid);
	cr_assert(configured("one", 1));
	sx_serve(&third);
	cr_assert(third.changes == 1 && !strcmp(third.change, "detach"));
	provider_changed(sx.storage, 0, "");
	cr_assert(dones == 2 && !outcome.code && configured("two", 0));
	close(fd);
}

/* The VM ends meanwhile. */
Test(provider_change, canceled)
{
	struct played played;
	int fd = fd_memfd("image", 4096);

	sx_add("exec sleep 100");
	sx_serve(&played);
	attach_disk(fd);
	provider_change_cancel(sx.storage);
	cr_assert(dones == 1 && outcome.code == -ECANCELED && configured("", 0));
	provider_change_cancel(sx.storage);
	cr_assert_eq(dones, 1);
	close(fd);
}

static bool nobody_is_missing(void)
{
	size_t i = 0;

	return !providers_missing(&sx.set, &i);
}

/* One that has nothing to serve has no process, and its first change brings one, which is asked. */
Test(provider_change, wakes)
{
	struct played played;
	int fd = fd_memfd("image", 4096);

	sx.idle = true;
	sx_add("exec sleep 100");
	cr_assert(!sx.storage->service.process && nobody_is_missing());
	cr_assert_eq(sx_status().state, SERVICE_NOT_STARTED);
	attach_disk(fd);
	cr_assert(sx.storage->service.process && !nobody_is_missing());
	cr_assert(!dones && configured("one", 1), "it attaches to what there is then");
	sx_serve(&played);
	cr_assert(played.changes == 1 && !strcmp(played.change, "attach"));
	provider_changed(sx.storage, 0, "");
	cr_assert(dones == 1 && !outcome.code && !sx.storage->idle);
	close(fd);
}

/* Somebody else starts it: it is waited for. */
Test(provider_change, wakes_what_others_run)
{
	struct played played;
	int fd = fd_memfd("image", 4096);

	sx.idle = true;
	sx_add(NULL);
	cr_assert(nobody_is_missing() && sx_status().state == SERVICE_NOT_STARTED);
	attach_disk(fd);
	cr_assert_eq(sx_attach(&played, sx_foreign(), 1), 0);
	provider_ready(sx.storage);
	cr_assert(played.changes == 1);
	provider_changed(sx.storage, 0, "");
	cr_assert(dones == 1 && !outcome.code && configured("one", 1));
	close(fd);
}

/* It ends before it is ready: the change is refused, and not the VM's end. The next one tries again. */
Test(provider_change, does_not_wake)
{
	int fd = fd_memfd("image", 4096);

	sx.idle = true;
	sx_add("exit 3");
	for (unsigned int again = 1; again <= 2; again++) {
		attach_disk(fd);
		UNTIL(dones == again);
		cr_assert(outcome.code == -EREMOTEIO && strstr(outcome.text, "status 3"), "%s", outcome.text);
		cr_assert(configured("", 0) && sx.storage->idle && !sx.failed && nobody_is_missing());
	}
	close(fd);
}

/* What one has left that dies before it is ready is not its successor's: nothing of it has been used. */
Test(provider_change, wakes_anew)
{
	const struct bus_offer_desc desc = {.instance_guid = {{1}}, .block_bytes = 4096};
	struct played played;
	struct err err = {0};
	uint32_t offer;
	int fd = fd_memfd("image", 4096);
	pid_t pid;

	sx.idle = true;
	sx_add("exec sleep 100");
	attach_disk(fd);
	UNTIL(sx.storage->service.process);
	pid = sx_status().pid;
	cr_assert_eq(sx_attach(&played, pid, 1), 0);
	cr_assert_eq(provider_keep(sx.storage, "net0", "one", 3, fd_memfd("kept", 4096), &err), 0);
	cr_assert_eq(bus_offer_add(sx.storage->bus, &desc, &offer), 0);
	sx_kill_process(&played, pid, SIGKILL);
	cr_assert(dones == 1 && outcome.code == -EREMOTEIO && sx.storage->idle);
	cr_assert(!bus_offer_known(sx.storage->bus, offer), "nobody would answer who opens it");
	attach_disk(fd);
	UNTIL(sx.storage->service.process);
	cr_assert_eq(sx_attach(&played, sx_status().pid, 1), 0);
	cr_assert(sx.storage->keepsakes == 0 && sx.storage->service.attachments == 1);
	provider_ready(sx.storage);
	provider_changed(sx.storage, 0, "");
	cr_assert(dones == 2 && !outcome.code);
	close(fd);
}

Test(provider_change, wakes_too_late)
{
	int fd = fd_memfd("image", 4096);

	sx.idle = true;
	sx.set.patience_ns = 50 * 1000 * 1000;
	sx_add("exec sleep 100");
	attach_disk(fd);
	UNTIL(dones == 1);
	cr_assert(outcome.code == -ETIMEDOUT && configured("", 0) && sx.storage->idle);
	UNTIL(!sx.storage->service.process);
	cr_assert(nobody_is_missing() && sx_status().state == SERVICE_NOT_STARTED);
	close(fd);
}
