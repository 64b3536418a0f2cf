/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is this host fit? What concerns KVM or io_uring is found out by the only programs that know them, `vmworker --probe`
 * and `vsp-storaged --probe`: they print one line a check, "ID ok|warn|fail TEXT". The rest is looked at here.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "cli/json.h"
#include "cli/vmctl.h"
#include "dbus/session.h"

#define NOFILE_WANTED 1024u
#define MEMORY_WANTED (UINT64_C(512) << 20)

struct report {
	struct json_object *checks; /* array of {id, status, text} */
	bool fit;
	bool stock_kernels;
};

static void report_add(struct report *report, const char *id, const char *status, const char *text)
{
	struct json_object *check = json_object_new_object();

	json_object_object_add(check, "id", json_object_new_string(id));
	json_object_object_add(check, "status", json_object_new_string(status));
	json_object_object_add(check, "text", json_object_new_string(text));
	json_object_array_add(report->checks, check);
	if (strcmp(status, "fail") == 0)
		report->fit = false;
	if (strcmp(id, "stock-kernels") == 0)
		report->stock_kernels = strcmp(status, "ok") == 0;
}

static void check_programs(struct report *report)
{
	static const char *const programs[] = {"vmmgmtd", "vmworker", "vsp-storaged", "vsp-netd"};
	char path[512];
	struct err err = {0};

	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		if (session_program(programs[i], path, sizeof(path), &err) < 0) {
			report_add(report, "programs", "fail", err.text);
			return;
		}
	}
	report_add(report, "programs", "ok", "vmmgmtd, vmworker, vsp-storaged and vsp-netd are installed");
}

static void check_bus(struct report *report)
{
	if (access("/usr/bin/dbus-daemon", X_OK) == 0)
		report_add(report, "dbus", "ok", "dbus-daemon is installed");
	else
		report_add(report, "dbus", "fail", "dbus-daemon is missing: install the package dbus-daemon");
}

static bool is_in_path(const char *program)
{
	const char *at = getenv("PATH");
	char path[512];

	for (at = at ? at : "/usr/bin"; *at; at += strcspn(at, ":"), at += *at == ':') {
		int n = snprintf(path, sizeof(path), "%.*s/%s", (int)strcspn(at, ":"), at, program);

		if (n > 0 && n < (int)sizeof(path) && access(path, X_OK) == 0)
			return true;
	}
	return false;
}

/* What is behind NICs: without either VMs run, but without a network of that kind. */
static void check_network(struct report *report)
{
	if (access("/dev/net/tun", F_OK) == 0)
		report_add(report, "tun", "ok", "/dev/net/tun is there: NICs can be on bridges (vmctl --system)");
	else
		report_add(report, "tun", "warn",
			   "/dev/net/tun is missing, so NICs cannot be on bridges: load the module tun");
	if (is_in_path("passt"))
		report_add(report, "passt", "ok", "passt is installed: NICs need no privilege");
	else
		report_add(report, "passt", "warn",
			   "passt is missing, so NICs of type user do not work: install the package passt");
}

static void check_memory(struct report *report)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/meminfo", "re");
	uint64_t available_kib = 0;
	char line[128], text[160];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "MemAvailable: %" SCNu64, &available_kib) == 1)
			break;
	}
	snprintf(text, sizeof(text), "%" PRIu64 " MiB of memory are available%s", available_kib >> 10,
		 available_kib << 10 < MEMORY_WANTED ? ": a guest of 512 MiB does not fit" : "");
	report_add(report, "memory", available_kib << 10 < MEMORY_WANTED ? "warn" : "ok", text);
}

static void check_limits(struct report *report)
{
	struct rlimit limit = {0};
	char text[128];

	getrlimit(RLIMIT_NOFILE, &limit);
	snprintf(text, sizeof(text), "%" PRIu64 " open files are allowed%s", (uint64_t)limit.rlim_max,
		 limit.rlim_max < NOFILE_WANTED ? ": raise the hard limit (ulimit -Hn) to 1024 or more" : "");
	report_add(report, "open-files", limit.rlim_max < NOFILE_WANTED ? "warn" : "ok", text);
}

/* Guest memory is shared memory; it asks for huge pages, and the host may be set to ignore that. */
static void check_huge_pages(struct report *report)
{
	static const char path[] = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	char line[128], text[256];
	bool off = !file || !fgets(line, sizeof(line), file) || strstr(line, "[never]") || strstr(line, "[deny]");

	snprintf(text, sizeof(text),
		 off ? "guest memory gets no huge pages, so guests are slower: echo advise >%s"
		     : "guest memory gets huge pages (%s)",
		 path);
	report_add(report, "huge-pages", off ? "warn" : "ok", text);
}

/* What --system needs beside the programs; a session does without all of it. */
static void check_system_mode(struct report *report)
{
	static const struct {
		const char *path, *text;
	} needs[] = {
		{"/run/systemd/system",
		 "systemd does not run this host: VMs of a session work, those of the host do not"},
		{"/usr/share/dbus-1/system-services/org.bulkhead.Manager1.service",
		 "the system's units are not installed: configure with --prefix=/usr, or install the package"},
		{"/run/bulkhead", "/run/bulkhead is missing: systemd-sysusers && systemd-tmpfiles --create"},
		{"/run/dbus/system_bus_socket", "the system bus does not run: systemctl start dbus"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(needs); i++) {
		if (access(needs[i].path, F_OK) < 0) {
			report_add(report, "system-mode", "warn", needs[i].text);
			return;
		}
	}
	// cppcheck-suppress getpwnamCalled ; vmctl has one thread
	if (!getpwnam("bulkhead"))
		report_add(report, "system-mode", "warn", "the user bulkhead is missing: systemd-sysusers");
	else
		report_add(report, "system-mode", "ok", "systemd can run VMs for the host (vmctl --system)");
}

/* "kvm ok /dev/kvm ..." */
static void add_probe_line(struct report *report, char *line)
{
	char *save = NULL;
	char *id = strtok_r(line, " \n", &save);
	char *status = strtok_r(NULL, " \n", &save);
	char *text = strtok_r(NULL, "\n", &save);

	if (id && status && text)
		report_add(report, id, status, text);
}

/* @id: the check that fails if the program does not answer. */
static void ask(struct report *report, const char *program, const char *id)
{
	char path[512], command[600], line[512];
	struct err err = {0};
	FILE *probe;
	int status;

	if (session_program(program, path, sizeof(path), &err) < 0)
		return; /* said above */
	if (strchr(path, '\''))
		return report_add(report, "kvm", "fail",
				  "the path of vmworker has a quote in it: install it elsewhere");
	snprintf(command, sizeof(command), "exec '%s' --probe", path);
	probe = popen(command, "re");
	if (!probe)
		return report_add(report, id, "fail", strerror(errno));
	while (fgets(line, sizeof(line), probe))
		add_probe_line(report, line);
	status = pclose(probe);
	if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
		report_add(report, id, "fail", "its program's --probe did not end in order: see its messages above");
}

static void check_kvm(struct report *report)
{
	ask(report, "vmworker", "kvm");
}

static void check_io_uring(struct report *report)
{
	ask(report, "vsp-storaged", "io-uring");
}

static void print_table(const struct report *report)
{
	for (size_t i = 0; i < json_object_array_length(report->checks); i++) {
		struct json_object *check = json_object_array_get_idx(report->checks, i);

		printf("%-5s %-16s %s\n", json_object_get_string(json_object_object_get(check, "status")),
		       json_object_get_string(json_object_object_get(check, "id")),
		       json_object_get_string(json_object_object_get(check, "text")));
	}
	printf("\nThis host is %s.\n", report->fit ? "fit to run guests" : "not fit: see the lines that say fail");
}

int cmd_doctor(const struct cli *cli, int argc, char **argv)
{
	static void (*const checks[])(struct report *) = {check_programs, check_bus,	check_network,
							  check_kvm,	  check_memory, check_huge_pages,
							  check_io_uring, check_limits, check_system_mode};
	struct report report = {.checks = json_object_new_array(), .fit = true};

	if (argc != 1)
		return cli_usage(argv[0], "too many arguments");
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++)
		checks[i](&report);
	if (cli->json) {
		struct json_object *object = json_object_new_object();

		json_object_object_add(object, "fit", json_object_new_boolean(report.fit));
		json_object_object_add(object, "stock_kernels", json_object_new_boolean(report.stock_kernels));
		json_object_object_add(object, "checks", report.checks);
		json_print(object);
	} else {
		print_table(&report);
		json_object_put(report.checks);
	}
	return report.fit ? EXIT_OK : EXIT_FAILED;
}
