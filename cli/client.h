/* SPDX-License-Identifier: Apache-2.0 */
/* The manager, as vmctl's verbs see it. One client a process; calls wait for their outcome. */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "cli/vmctl.h"
#include "dbus/conn.h"
#include "ipc/loop.h"

struct json_object;

struct client {
	struct loop *loop;
	struct msgbus *bus;
	bool system;
};

#define CLIENT_PATH_MAX 128

/** client_open - connect to the manager; a session's is started if it does not run. Return: 0 or a negative errno with
 * a line. */
int client_open(const struct cli *cli, struct client *ret_client, struct err *err);
/** client_reopen - connect again after the manager or its bus went away; in session mode it is started again. */
int client_reopen(struct client *client, struct err *err);
void client_close(struct client *client);

/** client_open_vm - client_open() and client_find(); nothing is open if it fails. Return: 0 or a negative errno with a
 * line. */
int client_open_vm(const struct cli *cli, const char *name, struct client *ret_client, char ret_path[CLIENT_PATH_MAX],
		   struct err *err);

/** client_find - object path of a VM by name or UUID. Return: 0; -ENOENT with a line. */
int client_find(struct client *client, const char *name, char ret_path[CLIENT_PATH_MAX], struct err *err);

/** client_vm_call - a method of a VM that takes @flags and returns nothing. */
int client_vm_call(struct client *client, const char *path, const char *method, uint32_t flags, struct err *err);

/** client_vm_do - a method of a VM that takes and returns nothing. */
int client_vm_do(struct client *client, const char *path, const char *method, struct err *err);

/**
 * client_verb - a whole verb: its one argument is the name of a VM, with which @call does what returns nothing; then
 * "NAME @done" is printed. Return: the exit code.
 */
int client_verb(const struct cli *cli, int argc, char **argv,
		int (*call)(struct client *client, const char *path, struct err *err), const char *done);

/** client_vm_ask - Shutdown or Reboot: waits until the guest has done it. */
int client_vm_ask(struct client *client, const char *path, const char *method, uint32_t flags, uint32_t timeout_s,
		  struct err *err);

/** client_console - OpenConsole. Return: the socket or a negative errno with a line. */
int client_console(struct client *client, const char *path, bool backlog, struct err *err);

/** client_properties - all properties of a VM as json_from_properties() gives them. Return: 0 and an object to
 * json_object_put(), or a negative errno with a line. */
int client_properties(struct client *client, const char *path, struct err *err, struct json_object **ret);

/** client_statistics - what GetStatistics of a VM that runs gives, as JSON. @deadline_ms: 0: half a minute;
 * CLIENT_STATISTICS_MS: where there is something else to show. Return: as client_properties();
 * -ETIMEDOUT: its vmworker does not answer. */
#define CLIENT_STATISTICS_MS 2000u
int client_statistics(struct client *client, const char *path, unsigned int deadline_ms, struct err *err,
		      struct json_object **ret);

/* How a VM is doing. Owner: who called client_state(); client_state_done() frees. */
struct client_state {
	char *state;	     /* "running" ... */
	char *reason;	     /* one line */
	char *guest_message; /* "" or the guest's last words */
};

int client_state(struct client *client, const char *path, struct client_state *ret_state, struct err *err);
void client_state_done(struct client_state *state);

/** client_new_vm - DefineVM or CreateVM (@method); warnings are printed on stderr. */
int client_new_vm(struct client *client, const char *method, const char *xml, uint32_t flags,
		  char ret_path[CLIENT_PATH_MAX], struct err *err);

#endif
