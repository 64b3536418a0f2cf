/* SPDX-License-Identifier: Apache-2.0 */
/* vmctl stats: what a VM's devices have done for it, once or again and again; without a VM, a line for each that runs.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/client.h"
#include "cli/json.h"
#include "cli/stats.h"
#include "cli/vmctl.h"

#define WATCH_DEFAULT_S 1.0
#define WATCH_MIN_S	0.1
#define WATCH_MAX_S	86400.0

static int no_memory(struct err *err)
{
	return err_set(err, -ENOMEM, "out of memory");
}

/* ---- one VM ---- */

static int show_once(const struct cli *cli, struct client *client, const char *path, struct err *err)
{
	struct json_object *statistics = NULL;
	struct stats_reading reading;
	int r = client_statistics(client, path, 0, err, &statistics);

	if (r == 0 && !cli->json) {
		r = stats_reading_take(statistics, &reading);
		if (r == 0)
			stats_print_totals(stdout, &reading);
		else
			no_memory(err);
		if (r == 0)
			stats_reading_done(&reading);
	} else if (r == 0) {
		json_print(json_object_get(statistics));
	}
	json_object_put(statistics);
	return r;
}

/* One reading, against the one before it, which it replaces. */
static int watch_turn(const struct cli *cli, struct client *client, const char *path, struct stats_reading *before,
		      struct err *err)
{
	struct json_object *statistics = NULL;
	struct stats_reading now, shown;
	int r = client_statistics(client, path, 0, err, &statistics);

	if (r == 0 && cli->json)
		puts(json_object_to_json_string_ext(statistics,
						    JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	if (r == 0 && !cli->json) {
		r = stats_reading_take(statistics, &now);
		if (r == 0 && stats_reading_take(statistics, &shown) < 0) {
			stats_reading_done(&now);
			r = -ENOMEM;
		}
		if (r < 0)
			no_memory(err);
	}
	json_object_put(statistics);
	if (r < 0 || cli->json)
		return r;
	if (before->disk) {
		stats_reading_since(&shown, before);
		stats_print_rates(stdout, &shown, (double)(now.time_ns - before->time_ns + 1) / 1e9);
	}
	stats_reading_done(&shown);
	stats_reading_done(before);
	*before = now;
	return 0;
}

/* Until the VM does not run any more, or nobody reads. */
static int watch(const struct cli *cli, struct client *client, const char *path, double seconds, struct err *err)
{
	struct timespec pause = {.tv_sec = (time_t)seconds,
				 .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
	struct stats_reading before = {0};
	int r;

	for (;;) {
		r = watch_turn(cli, client, path, &before, err);
		if (r < 0 || fflush(stdout) != 0)
			break;
		nanosleep(&pause, NULL);
	}
	stats_reading_done(&before);
	return r;
}

/* ---- all that run ---- */

/* User and system time of a process and its threads, in seconds; 0 if it is gone. */
static double cpu_seconds(uint64_t pid)
{
	unsigned long user = 0, system = 0;
	char line[1024], *at;
	FILE *f;

	snprintf(line, sizeof(line), "/proc/%" PRIu64 "/stat", pid);
	f = pid ? fopen(line, "re") : NULL;
	/* behind the name, which may have anything in it: state and ten numbers */
	at = f && fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
	if (at && sscanf(at + 1, " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lu %lu", &user, &system) != 2)
		user = system = 0;
	if (f)
		fclose(f);
	return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static uint64_t property(struct json_object *properties, const char *name)
{
	struct json_object *value;

	return json_object_object_get_ex(properties, name, &value) ? json_object_get_uint64(value) : 0;
}

static void print_vm(const char *name, double worker, double storage, const struct stats_reading *reading)
{
	struct stats_disk sum = {0};

	for (size_t i = 0; i < reading->disks; i++) {
		sum.reads += reading->disk[i].reads;
		sum.read_bytes += reading->disk[i].read_bytes;
		sum.writes += reading->disk[i].writes;
		sum.written_bytes += reading->disk[i].written_bytes;
		sum.errors += reading->disk[i].errors;
	}
	printf("%-24s %10.2f %10.2f %6zu %10" PRIu64 " %10.1f %10" PRIu64 " %10.1f %7" PRIu64 "\n", name, worker,
	       storage, reading->disks, sum.reads, (double)sum.read_bytes / 1048576, sum.writes,
	       (double)sum.written_bytes / 1048576, sum.errors);
}

static void add_row(struct json_object *list, const char *name, double worker, double storage,
		    struct json_object *statistics)
{
	struct json_object *row = json_object_new_object();

	json_object_object_add(row, "name", json_object_new_string(name));
	json_object_object_add(row, "worker_cpu_seconds", json_object_new_double(worker));
	json_object_object_add(row, "storage_cpu_seconds", json_object_new_double(storage));
	json_object_object_add(row, "statistics", json_object_get(statistics));
	json_object_array_add(list, row);
}

/* One that has ended meanwhile is left out; of one that does not answer there is what the host knows. @list: NULL:
 * print a line. Return: 0 or -ENOMEM. */
static int show_vm(struct client *client, const char *name, const char *path, struct json_object *list, struct err *err)
{
	struct json_object *properties = NULL, *statistics = NULL;
	struct stats_reading reading;
	double worker, storage;
	struct err ignored = {0};
	int r;

	if (client_properties(client, path, &ignored, &properties) < 0)
		return 0;
	worker = cpu_seconds(property(properties, "worker_pid"));
	storage = cpu_seconds(property(properties, "storage_pid"));
	json_object_put(properties);
	r = client_statistics(client, path, CLIENT_STATISTICS_MS, &ignored, &statistics);
	if (r < 0 && r != -ETIMEDOUT)
		return 0;
	if (r < 0)
		fprintf(stderr, "vmctl: note: %s: %s: what it has counted is missing\n", name, ignored.text);
	r = 0;
	if (list) {
		add_row(list, name, worker, storage, statistics);
	} else if (!statistics) {
		printf("%-24s %10.2f %10.2f %6s %10s %10s %10s %10s %7s\n", name, worker, storage, "-", "-", "-", "-",
		       "-", "-");
	} else if (stats_reading_take(statistics, &reading) == 0) {
		print_vm(name, worker, storage, &reading);
		stats_reading_done(&reading);
	} else {
		r = no_memory(err);
	}
	json_object_put(statistics);
	return r;
}

static int show_all(const struct cli *cli, struct client *client, struct err *err)
{
	struct json_object *list = cli->json ? json_object_new_array() : NULL;
	struct msgbus_msg *msg = NULL;
	struct msgbus_in in, rows, row;
	int r = msgbus_call(client->bus, BULKHEAD_BUS_NAME, BULKHEAD_MANAGER_PATH, BULKHEAD_MANAGER_INTERFACE,
			    "ListVMs", 0, err, &msg, "");

	if (r == 0) {
		msgbus_msg_in(msg, &in);
		if (msgbus_in_enter(&in, &rows) < 0)
			r = err_set(err, -EBADMSG, "the manager's answer is not understood: is it of another version?");
	}
	if (r == 0 && !list)
		printf("%-24s %10s %10s %6s %10s %10s %10s %10s %7s\n", "NAME", "WORKER s", "STORAGE s", "DISKS",
		       "READS", "MiB", "WRITES", "MiB", "ERRORS");
	while (r == 0 && msgbus_in_type(&rows) && msgbus_in_enter(&rows, &row) == 0) {
		const char *name, *uuid, *state, *path;

		if (msgbus_in_read(&row, "ssso", &name, &uuid, &state, &path) == 0 &&
		    (!strcmp(state, "running") || !strcmp(state, "paused")))
			r = show_vm(client, name, path, list, err);
	}
	msgbus_msg_free(msg);
	if (r == 0 && list)
		json_print(json_object_get(list));
	json_object_put(list);
	return r;
}

/* ---- the command line ---- */

/* Return: whether @text is a number of seconds between two readings. */
static bool parse_seconds(const char *text, double *ret)
{
	char *end;
	double seconds = strtod(text, &end);

	if (!(text[0] >= '0' && text[0] <= '9') || *end || !(seconds >= WATCH_MIN_S && seconds <= WATCH_MAX_S))
		return false;
	*ret = seconds;
	return true;
}

static int run(const struct cli *cli, const char *name, double seconds)
{
	char path[CLIENT_PATH_MAX];
	struct client client;
	struct err err = {0};
	int r = name ? client_open_vm(cli, name, &client, path, &err) : client_open(cli, &client, &err);

	if (r < 0)
		return cli_fail(&err);
	if (!name)
		r = show_all(cli, &client, &err);
	else if (seconds > 0)
		r = watch(cli, &client, path, seconds, &err);
	else
		r = show_once(cli, &client, path, &err);
	client_close(&client);
	return r < 0 ? cli_fail(&err) : EXIT_OK;
}

int cmd_stats(const struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"watch", optional_argument, NULL, 'w'}, {NULL, 0, NULL, 0}};
	const char *text = NULL;
	double seconds = 0;
	int option;

	/* from left to right, so that a number may follow its option */
	while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (option != 'w')
			return cli_usage(argv[0], "unknown option '%s'", argv[optind - 1]);
		seconds = WATCH_DEFAULT_S;
		text = optarg;
		if (!text && optind < argc && argv[optind][0] >= '0' && argv[optind][0] <= '9')
			text = argv[optind++];
		if (text && !parse_seconds(text, &seconds))
			return cli_usage(argv[0], "'%s' is not a number of seconds from %g to %g", text, WATCH_MIN_S,
					 WATCH_MAX_S);
	}
	if (argc - optind > 1)
		return cli_usage(argv[0], "the name of one VM is needed");
	if (argc == optind && seconds > 0)
		return cli_usage(argv[0], "--watch needs the name of one VM");
	return run(cli, argc > optind ? argv[optind] : NULL, seconds);
}
