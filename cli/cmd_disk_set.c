/* SPDX-License-Identifier: Apache-2.0 */
/* vmctl disk set, vmctl disk fault: what changes of a disk while it is used. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "cli/args.h"
#include "cli/cmd_disk.h"
#include "cli/devices.h"
#include "cli/json.h"

#define SETTINGS_MAX  64
#define SETTING_LEN   256
#define FAULTS_LEN    512
#define POWER_OFF     "power=off"
#define FAULTS_PREFIX "faults="

/* ---- what a disk is set to ---- */

void disk_settings_print(struct json_object *settings)
{
	size_t count = settings ? json_object_array_length(settings) : 0;

	for (size_t i = 0; i < count; i++) {
		const char *text = json_object_get_string(json_object_array_get_idx(settings, i));

		if (!strncmp(text, FAULTS_PREFIX, strlen(FAULTS_PREFIX)))
			printf("  FAULTS: %s", text + strlen(FAULTS_PREFIX));
		else
			printf("  %s", text);
	}
}

/* ---- set ---- */

/* As it goes over the bus: of bytes with K, M, G or T, plain bytes. Return: 0; -EINVAL: it is no NAME=VALUE. */
static int expand(const char *word, char ret[SETTING_LEN])
{
	const char *value = strchr(word, '=');
	size_t len = strlen(word);
	uint64_t bytes;

	if (!value || value == word || len >= SETTING_LEN)
		return -EINVAL;
	if (strstr(word, "_bytes_sec") && value[1] && strchr("KMGT", word[len - 1]) &&
	    arg_parse_size(value + 1, &bytes) == 0)
		snprintf(ret, SETTING_LEN, "%.*s=%" PRIu64, (int)(value - word), word, bytes);
	else
		strcpy(ret, word);
	return 0;
}

static int take_words(int argc, char **argv, bool no_limits, char text[SETTINGS_MAX][SETTING_LEN],
		      const char *list[SETTINGS_MAX + 2])
{
	size_t n = 0;

	if (no_limits)
		list[n++] = "limits=none";
	if (argc > SETTINGS_MAX)
		return cli_usage("disk", "set: more than %d settings", SETTINGS_MAX);
	for (int i = 0; i < argc; i++) {
		if (expand(argv[i], text[i]) < 0)
			return cli_usage("disk", "set: '%s' is not NAME=VALUE, like total_iops_sec=500", argv[i]);
		list[n++] = text[i];
	}
	list[n] = NULL;
	return 0;
}

int disk_set(const struct cli *cli, int argc, char **argv)
{
	struct set_options {
		uint32_t flags;
		bool no_limits;
	} options = {0};
	static const struct cli_option table[] = {
		{"persistent", 0, 0, BULKHEAD_CHANGE_PERSISTENT},
		{"config", 0, 0, BULKHEAD_CHANGE_CONFIG},
		{"no-limits", 0, offsetof(struct set_options, no_limits), 0},
		{NULL, 0, 0, 0},
	};
	char text[SETTINGS_MAX][SETTING_LEN];
	const char *list[SETTINGS_MAX + 2];
	int r = device_options("disk", argc, argv, table, &options, &options.flags);

	if (r)
		return r;
	if (argc - optind < (options.no_limits ? 2 : 3))
		return cli_usage("disk",
				 "set: the name of a VM, the target of a disk, and what is to be set are needed");
	r = take_words(argc - optind - 2, argv + optind + 2, options.no_limits, text, list);
	if (r)
		return r;
	return device_change(cli, argv[optind], "SetDisk", DEVICE_DEADLINE_MS, "sasu", argv[optind + 1], list,
			     options.flags);
}

/* ---- fault ---- */

/* The faults that a disk has, and that its power is off. Return: -EMSGSIZE: they are too long. */
static int with_power_off(struct json_object *properties, const char *target, char ret[FAULTS_LEN])
{
	struct json_object *all, *settings = NULL;
	const char *now = "";
	size_t count;

	if (json_object_object_get_ex(properties, "disk_settings", &all))
		json_object_object_get_ex(all, target, &settings);
	count = settings ? json_object_array_length(settings) : 0;
	for (size_t i = 0; i < count; i++) {
		const char *text = json_object_get_string(json_object_array_get_idx(settings, i));

		if (!strncmp(text, FAULTS_PREFIX, strlen(FAULTS_PREFIX)))
			now = text + strlen(FAULTS_PREFIX);
	}
	if (strstr(now, POWER_OFF))
		return snprintf(ret, FAULTS_LEN, "%s", now) < FAULTS_LEN ? 0 : -EMSGSIZE;
	return snprintf(ret, FAULTS_LEN, "%s%s" POWER_OFF, now, *now ? " " : "") < FAULTS_LEN ? 0 : -EMSGSIZE;
}

static int power_cut(struct client *client, const char *path, const char *target, char ret[FAULTS_LEN], struct err *err)
{
	struct json_object *properties = NULL;
	int r = client_properties(client, path, err, &properties);

	if (r < 0)
		return r;
	r = with_power_off(properties, target, ret);
	json_object_put(properties);
	return r < 0 ? err_set(err, r, "disk %s: its faults are too long", target) : 0;
}

static int join(int argc, char **argv, char ret[FAULTS_LEN])
{
	size_t at = 0;

	ret[0] = '\0';
	for (int i = 0; i < argc; i++) {
		size_t len = strlen(argv[i]);

		if (at + len + 2 > FAULTS_LEN)
			return cli_usage("disk", "fault: more than %d characters", FAULTS_LEN - 1);
		at += (size_t)sprintf(ret + at, "%s%s", i ? " " : "", argv[i]);
	}
	return 0;
}

int disk_fault(const struct cli *cli, int argc, char **argv)
{
	struct fault_options {
		uint32_t flags;
		bool clear, cut;
	} options = {0};
	static const struct cli_option table[] = {
		{"clear", 0, offsetof(struct fault_options, clear), 0},
		{"power-cut", 0, offsetof(struct fault_options, cut), 0},
		{NULL, 0, 0, 0},
	};
	char path[CLIENT_PATH_MAX], faults[FAULTS_LEN];
	struct client client;
	struct err err = {0};
	int r = cli_options_parse("disk", argc, argv, table, &options, &options.flags);

	if (r)
		return r;
	if ((options.clear && options.cut) || (options.clear || options.cut ? argc - optind != 2 : argc - optind < 3))
		return cli_usage("disk", "fault: the name of a VM, the target of a disk, and faults or --clear or "
					 "--power-cut are needed");
	r = join(argc - optind - 2, argv + optind + 2, faults);
	if (r)
		return r;
	if (client_open_vm(cli, argv[optind], &client, path, &err) < 0)
		return cli_fail(&err);
	r = options.cut ? power_cut(&client, path, argv[optind + 1], faults, &err) : 0;
	if (r == 0)
		r = msgbus_call(client.bus, BULKHEAD_BUS_NAME, path, BULKHEAD_VM_INTERFACE, "SetDiskFaults",
				DEVICE_DEADLINE_MS, &err, NULL, "ss", argv[optind + 1], faults);
	client_close(&client);
	return r < 0 ? cli_fail(&err) : EXIT_OK;
}
