/* SPDX-License-Identifier: Apache-2.0 */
/* Spec: org.freedesktop.systemd1(5), systemd.exec(5). */
#include "systemd_unit.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fd.h"

/* ---- names ---- */

/* Spec: systemd-escape(1): '-' of an instance would be '/'. */
static void escape_instance(const char *uuid, char *ret, size_t size)
{
	size_t len = 0;

	for (; *uuid && len + 5 < size; uuid++) {
		if (*uuid == '-')
			len += (size_t)snprintf(ret + len, size - len, "\\x2d");
		else
			ret[len++] = *uuid;
	}
	ret[len] = 0;
}

void systemd_unit_name(const char *program, const char *uuid, char ret[SYSTEMD_UNIT_MAX])
{
	char instance[SYSTEMD_UNIT_MAX / 2 + 32];

	escape_instance(uuid, instance, sizeof(instance));
	snprintf(ret, SYSTEMD_UNIT_MAX, "%.20s@%.90s.service", program, instance);
}

void systemd_transient_name(const struct launch_request *request, char ret[SYSTEMD_UNIT_MAX])
{
	snprintf(ret, SYSTEMD_UNIT_MAX, "bulkhead-%.16s-%.40s-%.32s.service", request->program, request->uuid,
		 request->unit);
}

void systemd_unit_path(const char *unit, char ret[SYSTEMD_PATH_MAX])
{
	size_t len = (size_t)snprintf(ret, SYSTEMD_PATH_MAX, SYSTEMD_UNIT_PREFIX);

	for (; *unit && len + 4 < SYSTEMD_PATH_MAX; unit++) {
		if (isalnum((unsigned char)*unit))
			ret[len++] = *unit;
		else
			len += (size_t)snprintf(ret + len, SYSTEMD_PATH_MAX - len, "_%02x", (unsigned char)*unit);
	}
	ret[len] = 0;
}

int systemd_unit_of(pid_t pid, char ret[SYSTEMD_UNIT_MAX])
{
	char path[64], text[1024], *last;
	_cleanup_close_ int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return -ESRCH;
	text[n] = 0;
	last = strstr(text, "0::/"); /* the unified hierarchy */
	if (!last)
		return -ESRCH;
	last[strcspn(last, "\n")] = 0;
	last = strrchr(last, '/') + 1;
	if (strlen(last) >= SYSTEMD_UNIT_MAX)
		return -ESRCH;
	strcpy(ret, last);
	return 0;
}

/* Spec: systemd.exec(5), EnvironmentFile=: in double quotes a backslash stands before ", \, ` and $. */
static void append_quoted(char *text, size_t size, const char *name, const char *value)
{
	size_t len = strlen(text);

	len += (size_t)snprintf(text + len, size - len, "%s=\"", name);
	for (; *value && len + 5 < size; value++) {
		if (strchr("\"\\`$", *value))
			text[len++] = '\\';
		text[len++] = *value;
	}
	snprintf(text + len, size - len, "\"\n");
}

int systemd_unit_environment(const char *base, const struct launch_request *request, struct err *err)
{
	char folder[PATH_MAX], name[NAME_MAX], text[1024] = "";
	_cleanup_close_ int fd = -1;
	int r;

	append_quoted(text, sizeof(text), "BULKHEAD_VM", request->vm);
	append_quoted(text, sizeof(text), "BULKHEAD_ARGS", request->unit_args ? request->unit_args : "");
	snprintf(name, sizeof(name), "%s.env", request->program);
	r = snprintf(folder, sizeof(folder), "%s/%s", base, request->uuid) < (int)sizeof(folder) ? 0 : -ENAMETOOLONG;
	if (r == 0) {
		fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		r = fd < 0 ? -errno : file_replace(fd, name, text, strlen(text), 0600);
	}
	return r < 0 ? err_set(err, r, "%s/%s: cannot be written: %s", folder, name, strerror(-r)) : 0;
}

/* ---- programs that are not ours: transient units ---- */

/* A property of basic types, or a list. */
static void put(struct msgbus_out *list, const char *key, const char *type, ...)
{
	struct msgbus_out item, variant;
	va_list ap;

	msgbus_out_open(list, 'r', NULL, &item);
	msgbus_out_write(&item, "s", key);
	msgbus_out_open(&item, 'v', type, &variant);
	va_start(ap, type);
	if (*type == 's')
		msgbus_out_write(&variant, "s", va_arg(ap, const char *));
	else
		msgbus_out_write(&variant, type, va_arg(ap, int));
	va_end(ap);
	msgbus_out_close(&variant);
	msgbus_out_close(&item);
}

static void put_strings(struct msgbus_out *list, const char *key, const char *value)
{
	const char *const values[] = {value, NULL};
	struct msgbus_out item, variant;

	msgbus_out_open(list, 'r', NULL, &item);
	msgbus_out_write(&item, "s", key);
	msgbus_out_open(&item, 'v', "as", &variant);
	msgbus_out_write(&variant, "as", values);
	msgbus_out_close(&variant);
	msgbus_out_close(&item);
}

/* LogExtraFields: of what it writes, so that the journal finds it as it finds what our daemons log. */
static void put_log_field(struct msgbus_out *list, const char *name, const char *value)
{
	struct msgbus_out item, variant, fields, field;
	char text[SYSTEMD_UNIT_MAX];

	snprintf(text, sizeof(text), "%s=%s", name, value);
	msgbus_out_open(list, 'r', NULL, &item);
	msgbus_out_write(&item, "s", "LogExtraFields");
	msgbus_out_open(&item, 'v', "aay", &variant);
	msgbus_out_open(&variant, 'a', "ay", &fields);
	msgbus_out_open(&fields, 'a', "y", &field);
	for (const char *c = text; *c; c++)
		msgbus_out_write(&field, "y", (int)(unsigned char)*c);
	msgbus_out_close(&field);
	msgbus_out_close(&fields);
	msgbus_out_close(&variant);
	msgbus_out_close(&item);
}

/* ExecStart: one command: path, all its arguments, whether its failure is none. */
static void put_command(struct msgbus_out *list, const struct launch_request *request)
{
	struct msgbus_out item, variant, commands, command, words;

	msgbus_out_open(list, 'r', NULL, &item);
	msgbus_out_write(&item, "s", "ExecStart");
	msgbus_out_open(&item, 'v', "a(sasb)", &variant);
	msgbus_out_open(&variant, 'a', "(sasb)", &commands);
	msgbus_out_open(&commands, 'r', NULL, &command);
	msgbus_out_write(&command, "s", request->path);
	msgbus_out_open(&command, 'a', "s", &words);
	msgbus_out_write(&words, "s", request->program);
	for (const char *const *arg = request->args; *arg; arg++)
		msgbus_out_write(&words, "s", *arg);
	msgbus_out_close(&words);
	msgbus_out_write(&command, "b", (int)false);
	msgbus_out_close(&command);
	msgbus_out_close(&commands);
	msgbus_out_close(&variant);
	msgbus_out_close(&item);
}

/* It makes a sandbox of its own, for which it needs user namespaces; it ends when its input does. */
void systemd_transient_fill(struct msgbus_out *out, void *arg)
{
	static const struct {
		const char *key, *value;
	} words[] = {{"Type", "exec"},
		     {"User", "bulkhead"},
		     {"Group", "bulkhead"},
		     {"CollectMode", "inactive-or-failed"},
		     {"ProtectSystem", "strict"},
		     {"ProtectHome", "yes"}};
	static const char *const flags[] = {"NoNewPrivileges", "PrivateTmp", "PrivateDevices"};
	const struct launch_request *request = arg;
	char unit[SYSTEMD_UNIT_MAX], instance[SYSTEMD_UNIT_MAX], text[2 * SYSTEMD_UNIT_MAX];
	struct msgbus_out list, none;

	systemd_transient_name(request, unit);
	escape_instance(request->uuid, instance, sizeof(instance));
	msgbus_out_write(out, "ss", unit, "replace");
	msgbus_out_open(out, 'a', "(sv)", &list);
	snprintf(text, sizeof(text), "%.20s of NIC %.40s, virtual machine %.40s", request->program, request->unit,
		 request->uuid);
	put(&list, "Description", "s", text);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		put(&list, words[i].key, "s", words[i].value);
	snprintf(text, sizeof(text), "bulkhead-%.100s.slice", instance);
	put(&list, "Slice", "s", text);
	systemd_unit_name("vmworker", request->uuid, unit);
	put_strings(&list, "After", unit);
	put_strings(&list, "PartOf", unit);
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		put(&list, flags[i], "b", true);
	put_log_field(&list, "BULKHEAD_VM", request->vm);
	put_log_field(&list, "BULKHEAD_DEVICE", request->unit);
	put(&list, "StandardInputFileDescriptor", "h", request->in_fd);
	put_command(&list, request);
	msgbus_out_close(&list);
	msgbus_out_open(out, 'a', "(sa(sv))", &none);
	msgbus_out_close(&none);
}
