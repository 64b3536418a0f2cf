/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void run(const struct test_bus *bus, int fd)
{
	char config[160], print[32];

	snprintf(config, sizeof(config), "--config-file=%s/bus.conf", bus->folder);
	snprintf(print, sizeof(print), "--print-address=%d", fd);
	fcntl(fd, F_SETFD, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	execlp("dbus-daemon", "dbus-daemon", config, "--nofork", "--nopidfile", print, (char *)NULL);
	_exit(127);
}

void test_bus_start(struct test_bus *bus)
{
	char path[160], byte;
	int fds[2];
	FILE *f;

	snprintf(bus->folder, sizeof(bus->folder), "/tmp/bulkhead-bus-XXXXXX");
	cr_assert(mkdtemp(bus->folder));
	snprintf(bus->address, sizeof(bus->address), "unix:path=%s/bus", bus->folder);
	snprintf(path, sizeof(path), "%s/bus.conf", bus->folder);
	f = fopen(path, "we");
	cr_assert(f);
	fprintf(f,
		"<busconfig><listen>%s</listen><policy context='default'><allow send_destination='*'/>"
		"<allow receive_sender='*'/><allow own='*'/></policy></busconfig>\n",
		bus->address);
	fclose(f);
	cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
	bus->pid = fork();
	if (bus->pid == 0)
		run(bus, fds[1]);
	close(fds[1]);
	cr_assert_eq(read(fds[0], &byte, 1), 1, "dbus-daemon does not start");
	close(fds[0]);
}

void test_bus_stop(struct test_bus *bus)
{
	char path[160];

	if (bus->pid > 0) {
		kill(bus->pid, SIGKILL);
		waitpid(bus->pid, NULL, 0);
		bus->pid = 0;
	}
	snprintf(path, sizeof(path), "%s/bus.conf", bus->folder);
	unlink(path);
	snprintf(path, sizeof(path), "%s/bus", bus->folder);
	unlink(path);
	rmdir(bus->folder);
}
