/* SPDX-License-Identifier: Apache-2.0 */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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
#include "domain.h"

#define SUFFIX		 ".xml"
#define BAD_SUFFIX	 ".xml.bad"
#define TRAILER_FORMAT	 "<!-- bulkhead definition, version %u -->\n"
#define TRAILER_START	 "<!-- bulkhead definition, version "
#define AUTOSTART_SUFFIX ".autostart"
#define AUTOSTART_FORMAT "bulkhead autostart, version %u\n"
#define AUTOSTART_MAX	 64u
#define FILE_MAX	 (DOMAIN_XML_MAX + 4096u)
#define QUARANTINE_MAX	 256

static const struct syscall_rule rules[] = {
	{SYS_openat}, /* the folder, definitions */
	{SYS_mkdir},  {SYS_getdents64}, {SYS_renameat}, {SYS_unlinkat}, {SYS_fchmod}, {SYS_fsync}, {-1},
};

const struct syscall_list store_calls = {.name = "definitions", .rules = rules};

struct store {
	char *folder;
	int fd;
	char **quarantined; /* NULL-terminated, NULL while there is none */
	size_t quarantined_count;
};

static int make_folders(const char *folder)
{
	char path[PATH_MAX];
	size_t len = strlen(folder);

	if (len >= sizeof(path))
		return -ENAMETOOLONG;
	memcpy(path, folder, len + 1);
	for (char *s = path + 1; *s; s++) {
		if (*s != '/')
			continue;
		*s = 0;
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return -errno;
		*s = '/';
	}
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

int store_make_folder(const char *folder, struct err *err)
{
	int r = make_folders(folder);

	return r < 0 ? err_set(err, r, "folder %s: %s", folder, strerror(-r)) : 0;
}

int store_open(const char *folder, struct err *err, struct store **ret_store)
{
	struct store *store = calloc(1, sizeof(*store));
	int r;

	if (!store || !(store->folder = strdup(folder))) {
		free(store);
		return err_set(err, -ENOMEM, "definitions: no memory");
	}
	store->fd = -1;
	r = store_make_folder(folder, err);
	if (r == 0) {
		store->fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (store->fd < 0)
			r = err_set(err, -errno, "folder of definitions %s: %s", folder, strerror(errno));
	}
	if (r < 0) {
		store_free(store);
		return r;
	}
	*ret_store = store;
	return 0;
}

void store_free(struct store *store)
{
	if (!store)
		return;
	fd_close(&store->fd);
	for (size_t i = 0; i < store->quarantined_count; i++)
		free(store->quarantined[i]);
	free(store->quarantined);
	free(store->folder);
	free(store);
}

static void note(struct store *store, const char *name, const char *reason)
{
	char **more = reallocarray(store->quarantined, store->quarantined_count + 2, sizeof(*more));
	char *text = NULL;

	if (more)
		store->quarantined = more;
	if (!more || store->quarantined_count >= QUARANTINE_MAX ||
	    asprintf(&text, "%s/%s: %s", store->folder, name, reason) < 0)
		return;
	more[store->quarantined_count++] = text;
	more[store->quarantined_count] = NULL;
}

/* The XML in front of the trailer. Return: its length, -EINVAL (cut short), -EPROTONOSUPPORT (a newer version). */
static ssize_t strip_trailer(const char *text, size_t len)
{
	static const char start[] = "\n" TRAILER_START;
	const char *at = NULL;
	unsigned int version;

	for (size_t i = len; i-- > 0 && !at;) {
		if (text[i] == '\n' && !strncmp(text + i, start, sizeof(start) - 1))
			at = text + i;
		else if (text[i] == '<' && len - i > 256)
			break;
	}
	if (!at || sscanf(at + 1, TRAILER_FORMAT, &version) != 1)
		return -EINVAL;
	if (version != STORE_VERSION)
		return -EPROTONOSUPPORT;
	return at - text;
}

static int read_definition(struct store *store, const char *name, char **ret_text, size_t *ret_len, struct err *err)
{
	_cleanup_close_ int fd = openat(store->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	ssize_t n;
	int r = fd < 0 ? -errno : fd_read_all(fd, FILE_MAX, &text, &len);

	if (r < 0) /* not -EINVAL: what cannot be read now may be all right */
		return err_set(err, r == -EINVAL ? -EIO : r, "it cannot be read: %s", strerror(-r));
	n = strip_trailer(text, len);
	if (n == -EPROTONOSUPPORT)
		return err_set(err, (int)n, "it was written by a newer Bulkhead");
	if (n < 0)
		return err_set(err, -EINVAL, "it is cut short or was not written by Bulkhead");
	text[n] = 0;
	*ret_text = take_ptr(text);
	*ret_len = (size_t)n;
	return 0;
}

static void quarantine(struct store *store, const char *name, const struct err *err)
{
	char bad[NAME_MAX + 8], path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", store->folder, name);
	log_error(path, "%s: it is left out", err->text);
	if (err->code == -EINVAL && snprintf(bad, sizeof(bad), "%s.bad", name) < (int)sizeof(bad) &&
	    renameat(store->fd, name, store->fd, bad) == 0)
		note(store, bad, err->text);
	else
		note(store, name, err->text);
}

static bool has_suffix(const char *name, const char *suffix)
{
	size_t len = strlen(name), n = strlen(suffix);

	return len > n && !strcmp(name + len - n, suffix);
}

static void load_one(struct store *store, const char *name, store_load_fn fn, void *arg)
{
	char uuid[DOMAIN_UUID_MAX], normal[DOMAIN_UUID_MAX];
	_cleanup_free_ char *text = NULL;
	struct err err = {0};
	size_t len = 0;
	int r = 0;

	if (strlen(name) != DOMAIN_UUID_MAX - 1 + strlen(SUFFIX))
		r = err_set(&err, -EINVAL, "its name is not a UUID");
	if (r == 0) {
		memcpy(uuid, name, DOMAIN_UUID_MAX - 1);
		uuid[DOMAIN_UUID_MAX - 1] = 0;
		if (domain_uuid_normalise(uuid, normal) < 0 || strcmp(uuid, normal))
			r = err_set(&err, -EINVAL, "its name is not a UUID");
	}
	if (r == 0)
		r = read_definition(store, name, &text, &len, &err);
	if (r == 0)
		r = fn(uuid, text, len, &err, arg);
	if (r < 0) {
		err.code = r;
		quarantine(store, name, &err);
	}
}

int store_load(struct store *store, store_load_fn fn, void *arg, struct err *err)
{
	struct dirent **names = NULL;
	int n;

	/* A list first: files are renamed meanwhile. */
	n = scandirat(store->fd, ".", &names, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		if (has_suffix(names[i]->d_name, BAD_SUFFIX))
			note(store, names[i]->d_name,
			     "put aside earlier as not usable: correct and define it again, or remove it");
		else if (has_suffix(names[i]->d_name, SUFFIX) && names[i]->d_name[0] != '.')
			load_one(store, names[i]->d_name, fn, arg);
		free(names[i]);
	}
	free(names);
	return n < 0 ? err_set(err, -errno, "folder of definitions %s: %s", store->folder, strerror(errno)) : 0;
}

int store_save(struct store *store, const char *uuid, const char *xml, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	char name[DOMAIN_UUID_MAX + 8];
	int len, r;

	snprintf(name, sizeof(name), "%s" SUFFIX, uuid);
	len = asprintf(&text, "%s\n" TRAILER_FORMAT, xml, STORE_VERSION);
	if (len < 0)
		return err_set(err, -ENOMEM, "%s/%s: no memory", store->folder, name);
	r = file_replace(store->fd, name, text, (size_t)len, 0600);
	if (r == -ENOSPC || r == -EDQUOT)
		return err_set(err, r, "%s/%s: cannot be written: %s: free some space; what was defined stays",
			       store->folder, name, strerror(-r));
	return r < 0 ? err_set(err, r, "%s/%s: cannot be written: %s", store->folder, name, strerror(-r)) : 0;
}

static void autostart_name(const char *uuid, char ret[DOMAIN_UUID_MAX + 16])
{
	snprintf(ret, DOMAIN_UUID_MAX + 16, "%s" AUTOSTART_SUFFIX, uuid);
}

int store_set_autostart(struct store *store, const char *uuid, bool on, struct err *err)
{
	char name[DOMAIN_UUID_MAX + 16], text[AUTOSTART_MAX];
	int len = snprintf(text, sizeof(text), AUTOSTART_FORMAT, STORE_AUTOSTART_VERSION), r = 0;

	autostart_name(uuid, name);
	if (on) {
		r = file_replace(store->fd, name, text, (size_t)len, 0600);
	} else if (unlinkat(store->fd, name, 0) < 0) {
		r = errno == ENOENT ? 0 : -errno;
	} else {
		fsync(store->fd);
	}
	return r < 0 ? err_set(err, r, "%s/%s: cannot be %s: %s", store->folder, name, on ? "written" : "removed",
			       strerror(-r))
		     : 0;
}

bool store_autostart(struct store *store, const char *uuid)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *text = NULL;
	char name[DOMAIN_UUID_MAX + 16], path[PATH_MAX];
	unsigned int version = 0;
	size_t len;
	int r;

	autostart_name(uuid, name);
	fd = openat(store->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return false;
	r = fd < 0 ? -errno : fd_read_all(fd, AUTOSTART_MAX, &text, &len);
	if (r == 0 && (sscanf(text, AUTOSTART_FORMAT, &version) != 1 || version != STORE_AUTOSTART_VERSION))
		r = version > STORE_AUTOSTART_VERSION ? -EPROTONOSUPPORT : -EINVAL;
	if (r < 0) {
		snprintf(path, sizeof(path), "%s/%s", store->folder, name);
		log_error(path, "%s: it is left out; \"vmctl autostart\" writes it anew", strerror(-r));
	}
	return r == 0;
}

int store_remove(struct store *store, const char *uuid, struct err *err)
{
	char name[DOMAIN_UUID_MAX + 8];
	int r = store_set_autostart(store, uuid, false, err);

	if (r < 0)
		return r;
	snprintf(name, sizeof(name), "%s" SUFFIX, uuid);
	if (unlinkat(store->fd, name, 0) < 0 && errno != ENOENT)
		return err_set(err, -errno, "%s/%s: cannot be removed: %s", store->folder, name, strerror(errno));
	fsync(store->fd);
	return 0;
}

const char *const *store_quarantined(const struct store *store)
{
	return (const char *const *)store->quarantined;
}
