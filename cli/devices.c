/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/devices.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/args.h"
#include "cli/json.h"

#define TIMEOUT_DEFAULT_S 30u
#define TIMEOUT_MAX_S	  3600u
#define WORDS_TEXT_MAX	  256
#define SETTING_NAME_LEN  256

int device_words(const struct cli *cli, int argc, char **argv, const struct device_word *words, size_t count)
{
	char text[WORDS_TEXT_MAX];
	size_t len = 0;

	for (size_t i = 0; argc > 1 && i < count; i++) {
		if (strcmp(argv[1], words[i].name) != 0)
			continue;
		if (cli->json && !words[i].json)
			return cli_usage(argv[0], "'%s' prints no data, so there is no --json", argv[1]);
		return words[i].run(cli, argc - 1, argv + 1);
	}
	for (size_t i = 0; i < count && len < sizeof(text); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s'%s'",
					i == 0		 ? ""
					: i == count - 1 ? " or "
							 : ", ",
					words[i].name);
	return cli_usage(argv[0], "%s is needed", text);
}

int device_options(const char *verb, int argc, char **argv, const struct cli_option *table, void *options,
		   uint32_t *ret_flags)
{
	int r = cli_options_parse(verb, argc, argv, table, options, ret_flags);

	if (r)
		return r;
	if ((*ret_flags & BULKHEAD_CHANGE_PERSISTENT) && (*ret_flags & BULKHEAD_CHANGE_CONFIG))
		return cli_usage(verb, "--persistent and --config contradict each other");
	return 0;
}

int device_list(const struct cli *cli, const char *verb, int argc, char **argv, device_print_fn print)
{
	struct json_object *properties = NULL;
	char path[CLIENT_PATH_MAX];
	struct client client;
	struct err err = {0};
	int r;

	if (argc != 2 || argv[1][0] == '-')
		return cli_usage(verb, "list: the name of one VM is needed");
	if (client_open_vm(cli, argv[1], &client, path, &err) < 0)
		return cli_fail(&err);
	r = client_properties(&client, path, &err, &properties);
	if (r == 0)
		print(cli, &client, path, properties);
	client_close(&client);
	json_object_put(properties);
	return r < 0 ? cli_fail(&err) : EXIT_OK;
}

struct json_object *device_settings_json(struct json_object *settings)
{
	struct json_object *object = json_object_new_object();
	size_t count = settings ? json_object_array_length(settings) : 0;

	for (size_t i = 0; i < count; i++) {
		const char *text = json_object_get_string(json_object_array_get_idx(settings, i));
		const char *value = text ? strchr(text, '=') : NULL;
		char name[SETTING_NAME_LEN], *end;
		uint64_t number;

		if (!value)
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)(value - text), text);
		number = strtoull(value + 1, &end, 10);
		json_object_object_add(object, name,
				       value[1] && !*end ? json_object_new_uint64(number)
							 : json_object_new_string(value + 1));
	}
	return object;
}

int device_attach(const struct cli *cli, const char *vm, const char *method, const char *xml, uint32_t flags)
{
	struct msgbus_msg *msg = NULL;
	char path[CLIENT_PATH_MAX];
	const char *name = "";
	struct client client;
	struct msgbus_in in;
	struct err err = {0};
	int r;

	if (client_open_vm(cli, vm, &client, path, &err) < 0)
		return cli_fail(&err);
	r = msgbus_call(client.bus, BULKHEAD_BUS_NAME, path, BULKHEAD_VM_INTERFACE, method, DEVICE_DEADLINE_MS, &err,
			&msg, "su", xml, flags);
	if (r == 0) {
		msgbus_msg_in(msg, &in);
		if (msgbus_in_read(&in, "s", &name) == 0)
			puts(name);
		msgbus_msg_free(msg);
	}
	client_close(&client);
	return r < 0 ? cli_fail(&err) : EXIT_OK;
}

int device_detach(const struct cli *cli, const char *verb, int argc, char **argv, const char *device,
		  const char *method)
{
	struct detach_options {
		uint32_t flags;
		const char *timeout;
	} options = {0};
	static const struct cli_option table[] = {
		{"timeout", offsetof(struct detach_options, timeout), 0, 0},
		{"force", 0, 0, BULKHEAD_CHANGE_FORCE},
		{"persistent", 0, 0, BULKHEAD_CHANGE_PERSISTENT},
		{"config", 0, 0, BULKHEAD_CHANGE_CONFIG},
		{NULL, 0, 0, 0},
	};
	uint32_t timeout_s = TIMEOUT_DEFAULT_S;
	int r = device_options(verb, argc, argv, table, &options, &options.flags);

	if (r)
		return r;
	if (argc - optind != 2)
		return cli_usage(verb, "detach: the name of a VM and %s are needed", device);
	if (options.timeout && (options.flags & BULKHEAD_CHANGE_FORCE))
		return cli_usage(verb, "--force and --timeout contradict each other");
	if (options.timeout && arg_parse_number(options.timeout, TIMEOUT_MAX_S, &timeout_s) < 0)
		return cli_usage(verb, "--timeout '%s' is not a number of seconds from 1 to %u", options.timeout,
				 TIMEOUT_MAX_S);
	return device_change(cli, argv[optind], method, timeout_s * 1000 + DEVICE_DEADLINE_MS, "suu", argv[optind + 1],
			     options.flags, timeout_s);
}

int device_change(const struct cli *cli, const char *vm, const char *method, unsigned int deadline_ms,
		  const char *types, ...)
{
	char path[CLIENT_PATH_MAX];
	struct client client;
	struct err err = {0};
	va_list ap;
	int r;

	if (client_open_vm(cli, vm, &client, path, &err) < 0)
		return cli_fail(&err);
	va_start(ap, types);
	r = msgbus_vcall(client.bus, BULKHEAD_BUS_NAME, path, BULKHEAD_VM_INTERFACE, method, deadline_ms, &err, NULL,
			 types, ap);
	va_end(ap);
	client_close(&client);
	return r < 0 ? cli_fail(&err) : EXIT_OK;
}
