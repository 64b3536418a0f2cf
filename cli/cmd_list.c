/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <stdio.h>

#include "base/bytes.h"
#include "cli/client.h"
#include "cli/json.h"
#include "cli/vmctl.h"

/* ListVMs: (name, uuid, state, object) */
static const char *const columns[] = {"name", "uuid", "state", "object"};

static void print_rows(struct msgbus_in *rows)
{
	const char *name, *uuid, *state;
	struct msgbus_in row;

	printf("%-24s %-10s %s\n", "NAME", "STATE", "UUID");
	while (msgbus_in_type(rows) && msgbus_in_enter(rows, &row) == 0) {
		if (msgbus_in_read(&row, "sss", &name, &uuid, &state) == 0)
			printf("%-24s %-10s %s\n", name, state, uuid);
	}
}

static void print_json(struct msgbus_in *rows)
{
	struct json_object *array = json_object_new_array();
	struct msgbus_in row;

	while (msgbus_in_type(rows) && msgbus_in_enter(rows, &row) == 0) {
		struct json_object *object = json_object_new_object();

		for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
			json_object_object_add(object, columns[i], json_from_value(&row));
		json_object_array_add(array, object);
	}
	json_print(array);
}

/* What the manager has left out: a note for each on stderr. */
static void print_quarantined(struct client *client)
{
	struct msgbus_msg *msg = NULL;
	struct msgbus_in in, value;
	struct err ignored = {0};
	char **rows = NULL;

	if (msgbus_call(client->bus, BULKHEAD_BUS_NAME, BULKHEAD_MANAGER_PATH, "org.freedesktop.DBus.Properties", "Get",
			0, &ignored, &msg, "ss", BULKHEAD_MANAGER_INTERFACE, "Quarantined") < 0)
		return;
	msgbus_msg_in(msg, &in);
	if (msgbus_in_enter(&in, &value) == 0 && msgbus_in_strv(&value, &rows) == 0) {
		for (char **row = rows; *row; row++)
			fprintf(stderr, "vmctl: note: a definition is left out: %s\n", *row);
		msgbus_strv_free(rows);
	}
	msgbus_msg_free(msg);
}

int cmd_list(const struct cli *cli, int argc, char **argv)
{
	struct msgbus_msg *msg = NULL;
	struct msgbus_in in, rows;
	struct client client;
	struct err err = {0};
	int r;

	if (argc != 1)
		return cli_usage(argv[0], "too many arguments");
	if (client_open(cli, &client, &err) < 0)
		return cli_fail(&err);
	r = msgbus_call(client.bus, BULKHEAD_BUS_NAME, BULKHEAD_MANAGER_PATH, BULKHEAD_MANAGER_INTERFACE, "ListVMs", 0,
			&err, &msg, "");
	if (r == 0) {
		msgbus_msg_in(msg, &in);
		if (msgbus_in_enter(&in, &rows) < 0)
			r = err_set(&err, -EBADMSG,
				    "the manager's answer is not understood: is it of another version?");
		else if (cli->json)
			print_json(&rows);
		else
			print_rows(&rows);
		msgbus_msg_free(msg);
		print_quarantined(&client);
	}
	client_close(&client);
	return r < 0 ? cli_fail(&err) : EXIT_OK;
}
