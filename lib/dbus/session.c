/* SPDX-License-Identifier: Apache-2.0 */
#include "dbus/session.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"

#define CONNECT_TRIES	  5
#define START_DEADLINE_MS 20000u
#define POLL_MS		  20u

extern char **environ;

static bool is_absolute(const char *path)
{
	return path && path[0] == '/';
}

static int default_base(char *ret, size_t size, bool *ret_given)
{
	const char *given = getenv("BULKHEAD_RUNTIME_DIR"), *xdg = getenv("XDG_RUNTIME_DIR");
	struct stat st;
	int n;

	*ret_given = is_absolute(given);
	if (*ret_given)
		n = snprintf(ret, size, "%s", given);
	else if (is_absolute(xdg) && stat(xdg, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid())
		n = snprintf(ret, size, "%s/bulkhead", xdg);
	else
		n = snprintf(ret, size, "/tmp/bulkhead-%u", (unsigned int)geteuid());
	return n >= 0 && (size_t)n < size ? 0 : -ENAMETOOLONG;
}

/* The folder belongs to us alone, or it is refused: in /tmp anybody may have made it. */
static int make_private(const char *path, struct err *err)
{
	struct stat st;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_set(err, -errno, "runtime folder %s: cannot make it: %s", path, strerror(errno));
	if (lstat(path, &st) < 0)
		return err_set(err, -errno, "runtime folder %s: %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return err_set(err, -ENOTDIR, "runtime folder %s: it is not a folder: remove it", path);
	if (st.st_uid != geteuid())
		return err_set(err, -EPERM,
			       "runtime folder %s: it belongs to uid %u, not to us: remove it or set XDG_RUNTIME_DIR",
			       path, (unsigned int)st.st_uid);
	if ((st.st_mode & 077) && chmod(path, 0700) < 0)
		return err_set(err, -errno, "runtime folder %s: others may enter it: chmod 700 it", path);
	return 0;
}

static int config_folder(const struct session_paths *paths, char *ret, size_t size)
{
	const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	const struct passwd *pw;
	int n;

	if (!is_absolute(home)) {
		pw = getpwuid(geteuid()); // cppcheck-suppress getpwuidCalled ; before there are threads
		home = pw ? pw->pw_dir : "/";
	}
	if (paths->base_given)
		n = snprintf(ret, size, "%s/vms", paths->base);
	else if (is_absolute(xdg))
		n = snprintf(ret, size, "%s/bulkhead/vms", xdg);
	else
		n = snprintf(ret, size, "%s/.config/bulkhead/vms", home);
	return n >= 0 && (size_t)n < size ? 0 : -ENAMETOOLONG;
}

/* What a D-Bus address leaves as it is; everything else is %xx. */
static int escape_address(const char *path, char *ret, size_t size)
{
	size_t used = (size_t)snprintf(ret, size, "unix:path=");

	for (; *path; path++) {
		unsigned char c = (unsigned char)*path;
		bool plain =
			(c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || strchr("-_/.", c);

		if (used + 4 > size)
			return -ENAMETOOLONG;
		used += (size_t)snprintf(ret + used, size - used, plain ? "%c" : "%%%02x", c);
	}
	return 0;
}

int session_paths(const char *base, struct session_paths *ret, struct err *err)
{
	struct session_paths p = {.base_given = base != NULL};
	int r = 0;

	if (base && !is_absolute(base)) {
		_cleanup_free_ char *full = NULL;

		if (mkdir(base, 0700) < 0 && errno != EEXIST)
			return err_set(err, -errno, "runtime folder %s: cannot make it: %s", base, strerror(errno));
		full = realpath(base, NULL);
		if (!full)
			return err_set(err, -errno, "runtime folder %s: %s", base, strerror(errno));
		r = strlen(full) < sizeof(p.base) ? 0 : -ENAMETOOLONG;
		snprintf(p.base, sizeof(p.base), "%s", full);
	} else if (base) {
		r = strlen(base) < sizeof(p.base) ? 0 : -ENAMETOOLONG;
		snprintf(p.base, sizeof(p.base), "%s", base);
	} else {
		r = default_base(p.base, sizeof(p.base), &p.base_given);
	}
	snprintf(p.bus, sizeof(p.bus), "%s/bus", p.base);
	snprintf(p.log, sizeof(p.log), "%s/log", p.base);
	if (r == 0 && strlen(p.bus) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		r = -ENAMETOOLONG;
	if (r == 0)
		r = escape_address(p.bus, p.address, sizeof(p.address));
	if (r == 0)
		r = config_folder(&p, p.vms, sizeof(p.vms));
	if (r < 0)
		return err_set(err, r, "runtime folder %s: its path is too long for a socket: use a shorter one",
			       p.base);
	r = make_private(p.base, err);
	if (r == 0)
		*ret = p;
	return r;
}

int session_program(const char *name, char *ret_path, size_t size, struct err *err)
{
	const char *folder = getenv("BULKHEAD_LIBEXECDIR");
	const char *const inside[] = {"", name}; /* in a build tree each program has a folder of its own */

	folder = is_absolute(folder) ? folder : PKG_LIBEXECDIR;
	for (size_t i = 0; i < 2; i++) {
		struct stat st;
		int n = snprintf(ret_path, size, "%s/%s%s%s", folder, inside[i], *inside[i] ? "/" : "", name);

		if (n >= 0 && (size_t)n < size && stat(ret_path, &st) == 0 && S_ISREG(st.st_mode) &&
		    access(ret_path, X_OK) == 0)
			return 0;
	}
	return err_set(err, -ENOENT, "%s: not found in %s: install Bulkhead, or set BULKHEAD_LIBEXECDIR", name, folder);
}

/* ---- a client's way in ---- */

static void sleep_ms(unsigned int ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&ts, NULL);
}

/* Its last lines say why: what `vmmgmtd --daemonize` printed. */
static int read_error(int fd, char *buf, size_t size)
{
	size_t used = 0;
	ssize_t n;

	while (used + 1 < size && (n = read(fd, buf + used, size - 1 - used)) > 0)
		used += (size_t)n;
	while (used && buf[used - 1] == '\n')
		used--;
	buf[used] = 0;
	return used ? 0 : -ENODATA;
}

static int spawn_manager(const char *program, const struct session_paths *paths, int err_fd, pid_t *ret_pid)
{
	char *const args_given[] = {(char *)"vmmgmtd",	     (char *)"--session", (char *)"--daemonize",
				    (char *)"--runtime-dir", (char *)paths->base, NULL};
	char *const args[] = {(char *)"vmmgmtd", (char *)"--session", (char *)"--daemonize", NULL};
	posix_spawn_file_actions_t actions;
	int r;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, err_fd, 2);
	r = posix_spawn(ret_pid, program, &actions, NULL, paths->base_given ? args_given : args, environ);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

static int wait_for(pid_t pid, unsigned int deadline_ms, int *ret_status)
{
	for (unsigned int waited = 0;; waited += POLL_MS) {
		pid_t r = waitpid(pid, ret_status, WNOHANG);

		if (r == pid)
			return 0;
		if (r < 0 && errno != EINTR)
			return -errno;
		if (waited >= deadline_ms) {
			kill(pid, SIGKILL);
			waitpid(pid, ret_status, 0);
			return -ETIMEDOUT;
		}
		sleep_ms(POLL_MS);
	}
}

static int start_manager(const struct session_paths *paths, struct err *err)
{
	char program[PATH_MAX], text[ERR_TEXT_MAX];
	_cleanup_close_ int out = -1;
	int fds[2], r, status = 0;
	pid_t pid;

	r = session_program("vmmgmtd", program, sizeof(program), err);
	if (r < 0)
		return r;
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_set(err, -errno, "vmmgmtd: cannot start it: %s", strerror(errno));
	out = fds[0];
	r = spawn_manager(program, paths, fds[1], &pid);
	close(fds[1]);
	if (r < 0)
		return err_set(err, r, "vmmgmtd: cannot start %s: %s", program, strerror(-r));
	r = wait_for(pid, START_DEADLINE_MS, &status);
	if (r == -ETIMEDOUT)
		return err_set(err, r, "vmmgmtd: it did not get ready within %u s: see %s", START_DEADLINE_MS / 1000,
			       paths->log);
	if (r == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (read_error(out, text, sizeof(text)) == 0)
		return err_set(err, -EREMOTEIO, "%s", text);
	return err_set(err, -EREMOTEIO, "vmmgmtd: it ended before it was ready: see %s", paths->log);
}

/* Connected means: vmmgmtd has answered, so it has seen us, and stays. */
static int try_connect(struct loop *loop, const struct session_paths *paths, struct err *err, struct msgbus **ret_bus)
{
	struct msgbus *bus = NULL;
	char *version = NULL;
	int r;

	if (access(paths->bus, F_OK) < 0)
		return err_set(err, -errno, "%s: %s", paths->bus, strerror(errno));
	r = msgbus_open(loop, paths->address, err, &bus);
	if (r < 0)
		return r;
	r = msgbus_get(bus, BULKHEAD_BUS_NAME, BULKHEAD_MANAGER_PATH, BULKHEAD_MANAGER_INTERFACE, "Version", err, 's',
		       &version);
	free(version);
	if (r < 0)
		msgbus_free(bus);
	else
		*ret_bus = bus;
	return r;
}

int session_connect(struct loop *loop, const char *base, struct err *err, struct msgbus **ret_bus)
{
	struct session_paths paths = {0};
	int r = session_paths(base, &paths, err);

	if (r < 0)
		return r;
	/* More than one round: it may be on its way out just now, after its 30 s. */
	for (unsigned int i = 0; i < CONNECT_TRIES; i++) {
		r = try_connect(loop, &paths, err, ret_bus);
		if (r == 0)
			return 0;
		r = start_manager(&paths, err);
		if (r < 0)
			return r;
	}
	return try_connect(loop, &paths, err, ret_bus);
}
