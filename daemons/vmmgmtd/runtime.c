/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/text.h"
#include "domain.h"

#define STATE_VERSION 5u
#define STATE_MAX     4096u

static const struct syscall_rule rules[] = {
	{SYS_openat}, /* folders and their files */
	{SYS_mkdir},  {SYS_getdents64}, {SYS_renameat}, {SYS_unlinkat}, {SYS_fchmod}, {SYS_fsync}, {-1},
};

const struct syscall_list runtime_calls = {.name = "runtime folders", .rules = rules};

static int open_folder(const char *base, const char *uuid)
{
	char path[PATH_MAX];
	int fd;

	if (snprintf(path, sizeof(path), "%s/%s", base, uuid) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

int runtime_make(const char *base, const char *uuid, const char *xml, bool shared, struct err *err)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	int r;

	runtime_remove(base, uuid);
	if (snprintf(path, sizeof(path), "%s/%s", base, uuid) >= (int)sizeof(path))
		return err_set(err, -ENAMETOOLONG, "runtime folder %s: its path is too long", base);
	if (mkdir(path, 0700) < 0)
		return err_set(err, -errno, "runtime folder %s: cannot make it: %s", path, strerror(errno));
	fd = open_folder(base, uuid);
	r = fd >= 0 && shared && fchmod(fd, 01770) < 0 ? -errno : MIN(fd, 0);
	if (r == 0)
		r = file_replace(fd, "definition.xml", xml, strlen(xml), 0600);
	if (r < 0) {
		runtime_remove(base, uuid);
		return err_set(err, r, "runtime folder %s: cannot write to it: %s", path, strerror(-r));
	}
	return 0;
}

int runtime_save(const char *base, const char *uuid, const struct runtime_state *state)
{
	_cleanup_close_ int fd = open_folder(base, uuid);
	char text[512];
	int len;

	if (fd < 0)
		return fd;
	len = snprintf(text, sizeof(text),
		       "version %u\nup %d\npersistent %d\nworker %d %llu\nstorage %d %llu\n"
		       "again %d %" PRIu64 "\nbegan %" PRIu64 "\ndestroyed %d\ncontrollers %u\nnetwork %d %llu\n",
		       STATE_VERSION, state->up, state->persistent, (int)state->worker.pid,
		       (unsigned long long)state->worker.start_time, (int)state->storage.pid,
		       (unsigned long long)state->storage.start_time, state->again, state->again_pause_ns,
		       state->began_ns, state->destroyed, state->controllers, (int)state->network.pid,
		       (unsigned long long)state->network.start_time);
	return file_replace(fd, "state", text, (size_t)len, 0600);
}

static int read_file(int dir_fd, const char *name, size_t limit, char **ret, size_t *ret_len)
{
	_cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	return fd < 0 ? -errno : fd_read_all(fd, limit, ret, ret_len);
}

int runtime_parse_state(const char *text, struct runtime_state *ret)
{
	unsigned long long worker_time, storage_time, network_time = 0;
	int up, persistent, worker, storage, network = 0, again = 0, destroyed = 0, at = 0, more = 0;
	uint64_t pause = 0, began = 0;
	unsigned int version, controllers = 0;
	const char *line;

	if (sscanf(text, "version %u\n", &version) != 1)
		return -EINVAL;
	if (version < 1 || version > STATE_VERSION)
		return -EPROTONOSUPPORT;
	if (sscanf(text, "version %*u\nup %d\npersistent %d\nworker %d %llu\nstorage %d %llu\n%n", &up, &persistent,
		   &worker, &worker_time, &storage, &storage_time, &at) != 6 ||
	    !at)
		return -EINVAL;
	if (version >= 2 &&
	    (sscanf(text + at, "again %d %" SCNu64 "\nbegan %" SCNu64 "\n%n", &again, &pause, &began, &more) != 3 ||
	     !more))
		return -EINVAL;
	if (version >= 3 && sscanf(text + at + more, "destroyed %d\n", &destroyed) != 1)
		return -EINVAL;
	line = strstr(text, "\ncontrollers ");
	if (version >= 4 && (!line || sscanf(line, "\ncontrollers %u\n", &controllers) != 1))
		return -EINVAL;
	line = strstr(text, "\nnetwork ");
	if (version >= 5 && (!line || sscanf(line, "\nnetwork %d %llu\n", &network, &network_time) != 2))
		return -EINVAL;
	*ret = (struct runtime_state){
		.again = again,
		.controllers = controllers,
		.destroyed = destroyed,
		.again_pause_ns = pause,
		.began_ns = began,
		.up = up,
		.persistent = persistent,
		.worker = {worker, worker_time},
		.storage = {storage, storage_time},
		.network = {network, network_time},
	};
	return 0;
}

int runtime_load(const char *base, const char *uuid, struct runtime_state *ret_state, char **ret_xml, size_t *ret_len)
{
	_cleanup_close_ int fd = open_folder(base, uuid);
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = fd < 0 ? fd : read_file(fd, "state", STATE_MAX, &text, &len);

	if (r == 0)
		r = runtime_parse_state(text, ret_state);
	return r < 0 ? r : read_file(fd, "definition.xml", DOMAIN_XML_MAX, ret_xml, ret_len);
}

int runtime_plan(const char *base, const char *uuid, const char *then, const char *kept)
{
	_cleanup_close_ int fd = open_folder(base, uuid);
	int r;

	if (fd < 0)
		return fd;
	if (unlinkat(fd, "kept.xml", 0) < 0 && errno != ENOENT)
		return -errno;
	r = kept ? file_replace(fd, "kept.xml", kept, strlen(kept), 0600) : 0;
	/* With this there is a plan. */
	return r < 0 ? r : file_replace(fd, "then.xml", then, strlen(then), 0600);
}

int runtime_plan_load(const char *base, const char *uuid, char **ret_then, char **ret_kept)
{
	_cleanup_close_ int fd = open_folder(base, uuid);
	_cleanup_free_ char *then = NULL;
	size_t len;
	int r = fd < 0 ? fd : read_file(fd, "then.xml", DOMAIN_XML_MAX, &then, &len);

	if (r < 0)
		return r;
	r = read_file(fd, "kept.xml", DOMAIN_XML_MAX, ret_kept, &len);
	if (r < 0 && r != -ENOENT)
		return r;
	*ret_then = take_ptr(then);
	return 0;
}

int runtime_plan_made(const char *base, const char *uuid)
{
	_cleanup_close_ int fd = open_folder(base, uuid);

	if (fd < 0)
		return fd;
	if (renameat(fd, "then.xml", fd, "definition.xml") < 0)
		return -errno;
	(void)unlinkat(fd, "kept.xml", 0);
	return fsync(fd) < 0 ? -errno : 0;
}

void runtime_plan_dropped(const char *base, const char *uuid)
{
	_cleanup_close_ int fd = open_folder(base, uuid);

	if (fd < 0)
		return;
	(void)unlinkat(fd, "then.xml", 0);
	(void)unlinkat(fd, "kept.xml", 0);
}

#define NICS_VERSION "version 1\n"

int runtime_save_nics(const char *base, const char *uuid, const char *lines)
{
	_cleanup_close_ int fd = open_folder(base, uuid);
	_cleanup_free_ char *text = NULL;

	if (fd < 0)
		return fd;
	if (asprintf(&text, NICS_VERSION "%s", lines) < 0)
		return -ENOMEM;
	return file_replace(fd, "nics", text, strlen(text), 0600);
}

int runtime_load_nics(const char *base, const char *uuid, char **ret)
{
	_cleanup_close_ int fd = open_folder(base, uuid);
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = fd < 0 ? fd : read_file(fd, "nics", STATE_MAX, &text, &len);

	if (r == 0 && strncmp(text, NICS_VERSION, strlen(NICS_VERSION)) != 0)
		r = -EPROTONOSUPPORT;
	if (r == 0)
		r = (*ret = strdup(text + strlen(NICS_VERSION))) ? 0 : -ENOMEM;
	return r;
}

int runtime_parse_last(const char *text, bool *ret_crashed, char *ret_reason, size_t size)
{
	static const char *const words[] = {"off\n", "crashed\n"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		size_t len = strlen(words[i]);

		if (strncmp(text, words[i], len))
			continue;
		text += len;
		if (strcspn(text, "\n") == 0)
			return -EINVAL;
		snprintf(ret_reason, size, "%.*s", (int)strcspn(text, "\n"), text);
		text_clean(ret_reason);
		*ret_crashed = i == 1;
		return 0;
	}
	return -EINVAL;
}

int runtime_last(const char *base, const char *uuid, bool *ret_crashed, char *ret_reason, size_t size)
{
	_cleanup_close_ int fd = open_folder(base, uuid);
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = fd < 0 ? fd : read_file(fd, "worker.last", STATE_MAX, &text, &len);

	return r < 0 ? r : runtime_parse_last(text, ret_crashed, ret_reason, size);
}

void runtime_remove(const char *base, const char *uuid)
{
	_cleanup_close_ int base_fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int fd = open_folder(base, uuid);
	struct dirent **names = NULL;
	int n;

	if (fd < 0 || base_fd < 0)
		return;
	/* Files and sockets only: nobody makes folders in it. */
	n = scandirat(fd, ".", &names, NULL, NULL);
	for (int i = 0; i < n; i++) {
		unlinkat(fd, names[i]->d_name, 0);
		free(names[i]);
	}
	free(names);
	unlinkat(base_fd, uuid, AT_REMOVEDIR);
}

void runtime_scan(const char *base, void (*fn)(const char *uuid, void *arg), void *arg)
{
	struct dirent **names = NULL;
	int n = scandir(base, &names, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		char uuid[DOMAIN_UUID_MAX];

		if (domain_uuid_normalise(names[i]->d_name, uuid) == 0 && !strcmp(uuid, names[i]->d_name))
			fn(uuid, arg);
		free(names[i]);
	}
	free(names);
}
