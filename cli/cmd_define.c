/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "cli/client.h"
#include "cli/json.h"
#include "cli/vmctl.h"

#define XML_MAX (1024u * 1024u)

static int read_definition(const char *path, char **ret_xml, struct err *err)
{
	bool from_stdin = strcmp(path, "-") == 0;
	_cleanup_close_ int fd = from_stdin ? fd_dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	size_t len;
	int r;

	if (fd < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	r = fd_read_all(fd, XML_MAX, ret_xml, &len);
	if (r == -EFBIG)
		return err_set(err, r, "%s: larger than 1 MiB: is it a domain definition?", path);
	if (r < 0)
		return err_set(err, r, "%s: %s", path, strerror(-r));
	if (strlen(*ret_xml) != len) {
		free(take_ptr(*ret_xml));
		return err_set(err, -EINVAL, "%s: has NUL bytes: is it a domain definition?", path);
	}
	return 0;
}

/* ---- --check ---- */

/* The lists of CheckXML, in its order. */
static const struct {
	const char *name, *title;
	bool reasons; /* its rows are "path: reason" */
} lists[] = {
	{"implemented", "implemented", false},
	{"kept", "kept, without effect", true},
	{"refused", "refused", true},
};

/* Where the reason of "path: reason" starts; its end if there is none. */
static const char *reason_of(const char *row, int *ret_path_len)
{
	const char *colon = strstr(row, ": ");

	*ret_path_len = (int)(colon ? colon - row : (ptrdiff_t)strlen(row));
	return colon ? colon + 2 : row + *ret_path_len;
}

static struct json_object *row_json(const char *row)
{
	struct json_object *object = json_object_new_object();
	int len;
	const char *reason = reason_of(row, &len);

	json_object_object_add(object, "path", json_object_new_string_len(row, len));
	json_object_object_add(object, "reason", json_object_new_string(reason));
	return object;
}

static void print_check_json(char **const *rows)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "accepted", json_object_new_boolean(!rows[ARRAY_SIZE(lists) - 1][0]));
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		struct json_object *array = json_object_new_array();

		for (char **row = rows[i]; *row; row++)
			json_object_array_add(array, lists[i].reasons ? row_json(*row) : json_object_new_string(*row));
		json_object_object_add(object, lists[i].name, array);
	}
	json_print(object);
}

static void print_check(char **const *rows)
{
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		if (rows[i][0])
			printf("%s:\n", lists[i].title);
		for (char **row = rows[i]; *row; row++)
			printf("  %s\n", *row);
	}
}

/* Return: how many rows the last list has, or a negative errno with a line. */
static int check(const struct cli *cli, struct client *client, const char *xml, struct err *err)
{
	char **rows[ARRAY_SIZE(lists)] = {NULL};
	struct msgbus_msg *msg = NULL;
	struct msgbus_in in;
	int n = 0, r = msgbus_call(client->bus, BULKHEAD_BUS_NAME, BULKHEAD_MANAGER_PATH, BULKHEAD_MANAGER_INTERFACE,
				   "CheckXML", 0, err, &msg, "s", xml);

	if (r < 0)
		return r;
	msgbus_msg_in(msg, &in);
	for (size_t i = 0; i < ARRAY_SIZE(lists) && r == 0; i++)
		r = msgbus_in_strv(&in, &rows[i]);
	if (r < 0) {
		r = err_set(err, -EBADMSG, "the manager's answer is not understood: is it of another version?");
	} else {
		if (cli->json)
			print_check_json(rows);
		else
			print_check(rows);
		while (rows[ARRAY_SIZE(lists) - 1][n])
			n++;
	}
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		msgbus_strv_free(rows[i]);
	msgbus_msg_free(msg);
	return r < 0 ? r : n;
}

static int define_check(const struct cli *cli, const char *path)
{
	_cleanup_free_ char *xml = NULL;
	struct client client;
	struct err err = {0};
	int r;

	if (read_definition(path, &xml, &err) < 0 || client_open(cli, &client, &err) < 0)
		return cli_fail(&err);
	r = check(cli, &client, xml, &err);
	client_close(&client);
	if (r > 0)
		err_set(&err, -EOPNOTSUPP, "%s: it would be refused: %d part%s of it", path, r, r == 1 ? "" : "s");
	return r ? cli_fail(&err) : EXIT_OK;
}

/* ---- the verb ---- */

static int define(const struct cli *cli, const char *file)
{
	_cleanup_free_ char *xml = NULL;
	_cleanup_free_ char *name = NULL;
	char path[CLIENT_PATH_MAX];
	struct client client;
	struct err err = {0};
	int r;

	if (read_definition(file, &xml, &err) < 0 || client_open(cli, &client, &err) < 0)
		return cli_fail(&err);
	r = client_new_vm(&client, "DefineVM", xml, 0, path, &err);
	if (r == 0)
		r = msgbus_get(client.bus, BULKHEAD_BUS_NAME, path, BULKHEAD_VM_INTERFACE, "Name", &err, 's', &name);
	client_close(&client);
	if (r < 0)
		return cli_fail(&err);
	printf("%s is defined\n", name);
	return EXIT_OK;
}

int cmd_define(const struct cli *cli, int argc, char **argv)
{
	const char *file = NULL;
	bool only_check = false;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--check") == 0)
			only_check = true;
		else if (argv[i][0] == '-' && argv[i][1])
			return cli_usage(argv[0], "unknown option '%s'", argv[i]);
		else if (file)
			return cli_usage(argv[0], "too many arguments");
		else
			file = argv[i];
	}
	if (!file)
		return cli_usage(argv[0], "a file (or - for standard input) is missing");
	if (cli->json && !only_check)
		return cli_usage(argv[0], "'define' prints data with --check only, so there is no --json");
	return only_check ? define_check(cli, file) : define(cli, file);
}
