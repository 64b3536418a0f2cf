/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/json.h"
#include "dbus/session.h"

/* Start takes the longest. vmmgmtd gives an earlier run 40 s to end, the worker 35 s to come, 60 s to make the memory
 * and load the kernel, and 30 s to start the guest. */
#define DEADLINE_MS 180000u

int client_open(const struct cli *cli, struct client *ret_client, struct err *err)
{
	struct client client = {.system = cli->system};
	int r = loop_new(&client.loop);

	if (r < 0)
		return err_set(err, r, "out of memory");
	r = client_reopen(&client, err);
	if (r < 0) {
		loop_free(client.loop);
		return r;
	}
	*ret_client = client;
	return 0;
}

int client_reopen(struct client *client, struct err *err)
{
	msgbus_free(client->bus);
	client->bus = NULL;
	if (client->system)
		return msgbus_open(client->loop, "system", err, &client->bus);
	return session_connect(client->loop, NULL, err, &client->bus);
}

void client_close(struct client *client)
{
	msgbus_free(client->bus);
	loop_free(client->loop);
}

int client_open_vm(const struct cli *cli, const char *name, struct client *ret_client, char ret_path[CLIENT_PATH_MAX],
		   struct err *err)
{
	int r = client_open(cli, ret_client, err);

	if (r < 0)
		return r;
	r = client_find(ret_client, name, ret_path, err);
	if (r < 0)
		client_close(ret_client);
	return r;
}

static int manager_call(struct client *client, const char *method, struct err *err, struct msgbus_msg **ret_msg,
			const char *argument)
{
	return msgbus_call(client->bus, BULKHEAD_BUS_NAME, BULKHEAD_MANAGER_PATH, BULKHEAD_MANAGER_INTERFACE, method, 0,
			   err, ret_msg, "s", argument);
}

static int read_path(struct msgbus_msg *msg, struct msgbus_in *in, char ret_path[CLIENT_PATH_MAX], struct err *err)
{
	const char *path;

	msgbus_msg_in(msg, in);
	if (msgbus_in_read(in, "o", &path) < 0 || strlen(path) >= CLIENT_PATH_MAX)
		return err_set(err, -EBADMSG, "the manager's answer is not understood: is it of another version?");
	strcpy(ret_path, path);
	return 0;
}

int client_find(struct client *client, const char *name, char ret_path[CLIENT_PATH_MAX], struct err *err)
{
	struct msgbus_msg *msg = NULL;
	struct msgbus_in in;
	int r = manager_call(client, "LookupByName", err, &msg, name);

	if (r == -ENOENT) {
		struct err ignored;

		/* not a name: perhaps a UUID; if not, the first complaint is the one to show */
		if (manager_call(client, "LookupByUUID", &ignored, &msg, name) == 0)
			r = 0;
	}
	if (r < 0)
		return r;
	r = read_path(msg, &in, ret_path, err);
	msgbus_msg_free(msg);
	return r;
}

int client_vm_call(struct client *client, const char *path, const char *method, uint32_t flags, struct err *err)
{
	return msgbus_call(client->bus, BULKHEAD_BUS_NAME, path, BULKHEAD_VM_INTERFACE, method, DEADLINE_MS, err, NULL,
			   "u", flags);
}

int client_vm_do(struct client *client, const char *path, const char *method, struct err *err)
{
	return msgbus_call(client->bus, BULKHEAD_BUS_NAME, path, BULKHEAD_VM_INTERFACE, method, DEADLINE_MS, err, NULL,
			   "");
}

int client_verb(const struct cli *cli, int argc, char **argv,
		int (*call)(struct client *client, const char *path, struct err *err), const char *done)
{
	const char *name = cli_one_name(argc, argv);
	char path[CLIENT_PATH_MAX];
	struct client client = {0};
	struct err err = {0};
	int r;

	if (!name)
		return EXIT_USAGE;
	if (client_open_vm(cli, name, &client, path, &err) < 0)
		return cli_fail(&err);
	r = call(&client, path, &err);
	client_close(&client);
	if (r < 0)
		return cli_fail(&err);
	printf("%s %s\n", name, done);
	return EXIT_OK;
}

int client_vm_ask(struct client *client, const char *path, const char *method, uint32_t flags, uint32_t timeout_s,
		  struct err *err)
{
	return msgbus_call(client->bus, BULKHEAD_BUS_NAME, path, BULKHEAD_VM_INTERFACE, method,
			   timeout_s * 1000 + DEADLINE_MS, err, NULL, "uu", flags, timeout_s);
}

int client_console(struct client *client, const char *path, bool backlog, struct err *err)
{
	struct msgbus_msg *msg = NULL;
	struct msgbus_in in;
	int fd = -1;
	int r = msgbus_call(client->bus, BULKHEAD_BUS_NAME, path, BULKHEAD_VM_INTERFACE, "OpenConsole", 0, err, &msg,
			    "b", (int)backlog);

	if (r < 0)
		return r;
	msgbus_msg_in(msg, &in);
	r = msgbus_in_read(&in, "h", &fd);
	msgbus_msg_free(msg);
	if (r < 0)
		return err_set(err, -EBADMSG, "the manager's answer is not understood: is it of another version?");
	return fd;
}

int client_properties(struct client *client, const char *path, struct err *err, struct json_object **ret)
{
	struct msgbus_msg *msg = NULL;
	struct msgbus_in in;
	int r = msgbus_get_all(client->bus, BULKHEAD_BUS_NAME, path, BULKHEAD_VM_INTERFACE, err, &msg, &in);

	if (r < 0)
		return r;
	*ret = json_from_properties(&in);
	msgbus_msg_free(msg);
	return 0;
}

int client_statistics(struct client *client, const char *path, unsigned int deadline_ms, struct err *err,
		      struct json_object **ret)
{
	struct msgbus_msg *msg = NULL;
	struct json_object *reply;
	struct msgbus_in in;
	int r = msgbus_call(client->bus, BULKHEAD_BUS_NAME, path, BULKHEAD_VM_INTERFACE, "GetStatistics", deadline_ms,
			    err, &msg, "u", 0u);

	if (r == -ETIMEDOUT)
		return err_set(err, r, "the VM's vmworker does not answer");
	if (r < 0)
		return r;
	msgbus_msg_in(msg, &in);
	reply = json_from_value(&in);
	msgbus_msg_free(msg);
	if (!json_object_is_type(reply, json_type_object)) {
		json_object_put(reply);
		return err_set(err, -EBADMSG, "the manager's answer is not understood: is it of another version?");
	}
	*ret = reply;
	return 0;
}

int client_state(struct client *client, const char *path, struct client_state *ret_state, struct err *err)
{
	static const char *const names[] = {"State", "StateReason", "GuestMessage"};
	char *values[3] = {NULL, NULL, NULL};
	int r = 0;

	for (int i = 0; i < 3 && r == 0; i++)
		r = msgbus_get(client->bus, BULKHEAD_BUS_NAME, path, BULKHEAD_VM_INTERFACE, names[i], err, 's',
			       &values[i]);
	*ret_state = (struct client_state){values[0], values[1], values[2]};
	if (r < 0)
		client_state_done(ret_state);
	return r;
}

void client_state_done(struct client_state *state)
{
	free(state->state);
	free(state->reason);
	free(state->guest_message);
	*state = (struct client_state){0};
}

int client_new_vm(struct client *client, const char *method, const char *xml, uint32_t flags,
		  char ret_path[CLIENT_PATH_MAX], struct err *err)
{
	struct msgbus_msg *msg = NULL;
	struct msgbus_in in;
	char **warnings = NULL;
	int r = msgbus_call(client->bus, BULKHEAD_BUS_NAME, BULKHEAD_MANAGER_PATH, BULKHEAD_MANAGER_INTERFACE, method,
			    DEADLINE_MS, err, &msg, "su", xml, flags);

	if (r < 0)
		return r;
	r = read_path(msg, &in, ret_path, err);
	if (r == 0 && msgbus_in_strv(&in, &warnings) == 0) {
		for (size_t i = 0; warnings[i]; i++)
			fprintf(stderr, "vmctl: note: %s\n", warnings[i]);
		msgbus_strv_free(warnings);
	}
	msgbus_msg_free(msg);
	return r;
}
