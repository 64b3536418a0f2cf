/* SPDX-License-Identifier: Apache-2.0 */
#include "ended.h"

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

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "domain.h"

#define ENDED_VERSION 1u
#define FOLDER	      "ended"
#define MESSAGE_MAX   65536u
#define HEAD_MAX      4096u
#define FILE_MAX      (HEAD_MAX + MESSAGE_MAX + DOMAIN_XML_MAX)

#define HEAD_FORMAT                                                                                                    \
	"crashed %d\npersistent %d\nat %" PRIu64 "\nagain %d\nagain-at %" PRIu64 "\nagain-pause %" PRIu64              \
	"\nmessage %zu\ndefinition "                                                                                   \
	"%zu\nreason"

static const struct syscall_rule rules[] = {
	{SYS_openat}, /* the folder and its files */
	{SYS_mkdir},  {SYS_getdents64}, {SYS_renameat}, {SYS_unlinkat}, {SYS_fchmod}, {SYS_fsync}, {-1},
};

const struct syscall_list ended_calls = {.name = "ends of VMs", .rules = rules};

void ended_done(struct ended *ended)
{
	free(ended->guest_message);
	free(ended->xml);
	*ended = (struct ended){0};
}

/* ---- the file ---- */

/* @ret_rest: behind the lines. */
static int parse_head(const char *text, struct ended *e, size_t *ret_message, size_t *ret_xml, const char **ret_rest)
{
	int crashed, persistent, again, at = 0;
	unsigned int version;
	size_t len;

	if (sscanf(text, "version %u\n%n", &version, &at) != 1 || !at)
		return -EINVAL;
	if (version != ENDED_VERSION)
		return -EPROTONOSUPPORT;
	text += at;
	at = 0;
	if (sscanf(text, HEAD_FORMAT "%n", &crashed, &persistent, &e->at_ns, &again, &e->again_at_ns,
		   &e->again_pause_ns, ret_message, ret_xml, &at) != 8 ||
	    !at)
		return -EINVAL;
	text += at;
	if (*text++ != ' ')
		return -EINVAL;
	len = strcspn(text, "\n");
	if (text[len] != '\n' || len >= sizeof(e->reason))
		return -EINVAL;
	memcpy(e->reason, text, len);
	text_clean(e->reason);
	e->crashed = crashed;
	e->persistent = persistent;
	e->again = again;
	*ret_rest = text + len + 1;
	return 0;
}

int ended_parse(const char *text, size_t len, struct ended *ret)
{
	_cleanup_(ended_done) struct ended e = {0};
	_cleanup_free_ char *copy = strndup(text, len);
	size_t message = 0, xml = 0, left;
	const char *rest;
	int r;

	if (!copy)
		return -ENOMEM;
	r = strlen(copy) == len ? parse_head(copy, &e, &message, &xml, &rest) : -EINVAL;
	if (r < 0)
		return r;
	left = len - (size_t)(rest - copy);
	if (message > MESSAGE_MAX || xml > DOMAIN_XML_MAX || left != message + xml)
		return -EINVAL;
	if (message && !(e.guest_message = strndup(rest, message)))
		return -ENOMEM;
	e.xml = strndup(rest + message, xml);
	if (!e.xml)
		return -ENOMEM;
	*ret = e;
	e = (struct ended){0};
	return 0;
}

static int print(const struct ended *e, char **ret)
{
	const char *message = e->guest_message ? e->guest_message : "";
	const size_t message_len = strnlen(message, MESSAGE_MAX);
	char reason[sizeof(e->reason)];
	int len;

	snprintf(reason, sizeof(reason), "%s", e->reason);
	text_clean(reason);
	len = asprintf(ret, "version %u\n" HEAD_FORMAT " %s\n%.*s%s", ENDED_VERSION, e->crashed, e->persistent,
		       e->at_ns, e->again, e->again_at_ns, e->again_pause_ns, message_len, strlen(e->xml), reason,
		       (int)message_len, message, e->xml);
	return len < 0 ? -ENOMEM : len;
}

/* ---- the folder ---- */

static int open_folder(const char *base, bool make)
{
	char path[PATH_MAX];
	int fd;

	if (snprintf(path, sizeof(path), "%s/" FOLDER, base) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	if (make && mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

int ended_save(const char *base, const char *uuid, const struct ended *ended)
{
	_cleanup_close_ int fd = open_folder(base, true);
	_cleanup_free_ char *text = NULL;
	int len;

	if (fd < 0)
		return fd;
	len = print(ended, &text);
	return len < 0 ? len : file_replace(fd, uuid, text, (size_t)len, 0600);
}

void ended_remove(const char *base, const char *uuid)
{
	_cleanup_close_ int fd = open_folder(base, false);

	if (fd >= 0)
		unlinkat(fd, uuid, 0);
}

static int load(int folder, const char *name, struct ended *ret)
{
	_cleanup_close_ int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	int r = fd < 0 ? -errno : fd_read_all(fd, FILE_MAX, &text, &len);

	return r < 0 ? r : ended_parse(text, len, ret);
}

static void scan_one(const char *base, int folder, const char *name,
		     void (*fn)(const char *uuid, struct ended *ended, void *arg), void *arg)
{
	struct ended ended = {0};
	char uuid[DOMAIN_UUID_MAX], path[PATH_MAX];
	int r;

	if (*name == '.' && (name[1] == 0 || !strcmp(name, "..")))
		return;
	r = domain_uuid_normalise(name, uuid) == 0 && !strcmp(uuid, name) ? load(folder, name, &ended) : -EINVAL;
	if (r == 0) {
		fn(uuid, &ended, arg);
		ended_done(&ended);
		return;
	}
	snprintf(path, sizeof(path), "%s/" FOLDER "/%s", base, name);
	log_warn(path, "how this VM has ended cannot be read: %s", strerror(-r));
	if (r != -EPROTONOSUPPORT)
		unlinkat(folder, name, 0);
}

void ended_scan(const char *base, void (*fn)(const char *uuid, struct ended *ended, void *arg), void *arg)
{
	_cleanup_close_ int fd = open_folder(base, false);
	struct dirent **names = NULL;
	int n = fd < 0 ? 0 : scandirat(fd, ".", &names, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		scan_one(base, fd, names[i]->d_name, fn, arg);
		free(names[i]);
	}
	free(names);
}
