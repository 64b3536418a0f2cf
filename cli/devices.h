/* SPDX-License-Identifier: Apache-2.0 */
/* What "vmctl disk" and "vmctl nic" share: their words, the options of these, what is asked of the VM. */
#ifndef CLI_DEVICES_H
#define CLI_DEVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/client.h"
#include "cli/options.h"
#include "cli/vmctl.h"

#define DEVICE_DEADLINE_MS 120000u /* longer than a service needs to be replaced */

/* A word behind the verb: "list", "attach" ... */
struct device_word {
	const char *name;
	bool json; /* it prints data */
	/* argv[0] is the word. Return: an exit code. */
	int (*run)(const struct cli *cli, int argc, char **argv);
};

/** device_words - a verb whose first argument is one of @words, of which there are at least two. Return: an exit code.
 */
int device_words(const struct cli *cli, int argc, char **argv, const struct device_word *words, size_t count);

/** device_options - cli_options_parse() of what may have --persistent or --config, but not both. */
int device_options(const char *verb, int argc, char **argv, const struct cli_option *table, void *options,
		   uint32_t *ret_flags);

/** device_print_fn - what a VM has; @path: of the VM at @client, which is open. */
typedef void (*device_print_fn)(const struct cli *cli, struct client *client, const char *path,
				struct json_object *properties);

/** device_list - the word "list" of @verb. */
int device_list(const struct cli *cli, const char *verb, int argc, char **argv, device_print_fn print);

/** device_settings_json - an array of "NAME=VALUE" as an object; what is a number becomes one. NULL: an empty one. */
struct json_object *device_settings_json(struct json_object *settings);

/** device_attach - @method of VM @vm takes @xml and @flags; the name that it returns is printed. Return: an exit code.
 */
int device_attach(const struct cli *cli, const char *vm, const char *method, const char *xml, uint32_t flags);

/**
 * device_detach - the word "detach" of @verb.
 * @device: "a NIC", for complaints.
 * @method: of the VM, takes the device's name, flags, and seconds.
 */
int device_detach(const struct cli *cli, const char *verb, int argc, char **argv, const char *device,
		  const char *method);

/** device_change - @method of VM @vm, which returns nothing. @types, ...: as of msgbus_call(). Return: an exit code. */
int device_change(const struct cli *cli, const char *vm, const char *method, unsigned int deadline_ms,
		  const char *types, ...);

#endif
