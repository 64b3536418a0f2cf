/* SPDX-License-Identifier: Apache-2.0 */
/* vmctl disk: the disks of a VM. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "cli/client.h"
#include "cli/cmd_disk.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/run_options.h"
#include "cli/vmctl.h"

#define TIMEOUT_DEFAULT_S 30u
#define TIMEOUT_MAX_S	  3600u
#define DEADLINE_MS	  120000u /* longer than a service needs to be replaced */

/* What the options say. */
struct disk_options {
	uint32_t flags, timeout_s;
	bool timeout, readonly, shareable, rescan, eject;
	const char *target, *device, *cache, *sector, *serial;
};

#define AT(member) offsetof(struct disk_options, member)

static const struct cli_option attach_options[] = {
	{"target", AT(target), 0, 0},
	{"device", AT(device), 0, 0},
	{"readonly", 0, AT(readonly), 0},
	{"shareable", 0, AT(shareable), 0},
	{"cache", AT(cache), 0, 0},
	{"sector", AT(sector), 0, 0},
	{"serial", AT(serial), 0, 0},
	{"persistent", 0, 0, BULKHEAD_CHANGE_PERSISTENT},
	{"config", 0, 0, BULKHEAD_CHANGE_CONFIG},
	{NULL, 0, 0, 0},
};
static const struct cli_option detach_options[] = {
	{"timeout", AT(serial), AT(timeout), 0},
	{"force", 0, 0, BULKHEAD_CHANGE_FORCE},
	{"persistent", 0, 0, BULKHEAD_CHANGE_PERSISTENT},
	{"config", 0, 0, BULKHEAD_CHANGE_CONFIG},
	{NULL, 0, 0, 0},
};
static const struct cli_option resize_options[] = {
	{"rescan", 0, AT(rescan), 0},
	{"shrink", 0, 0, BULKHEAD_DISK_SHRINK},
	{NULL, 0, 0, 0},
};

static const struct cli_option medium_options[] = {
	{"eject", 0, AT(eject), 0},
	{"force", 0, 0, BULKHEAD_CHANGE_FORCE},
	{"persistent", 0, 0, BULKHEAD_CHANGE_PERSISTENT},
	{"config", 0, 0, BULKHEAD_CHANGE_CONFIG},
	{NULL, 0, 0, 0},
};

/* Return: 0; or an exit code, and it was told. */
static int parse(int argc, char **argv, const struct cli_option *table, struct disk_options *options)
{
	int r = cli_options_parse("disk", argc, argv, table, options, &options->flags);

	if (r)
		return r;
	if ((options->flags & BULKHEAD_CHANGE_PERSISTENT) && (options->flags & BULKHEAD_CHANGE_CONFIG))
		return cli_usage("disk", "--persistent and --config contradict each other");
	return 0;
}

/* ---- list ---- */

/* [target, image, type, read-only] */
static const char *const columns[] = {"target", "image", "type", "readonly"};

/* The properties that say more of the disks; each may be NULL: an older manager's. */
struct disk_facts {
	struct json_object *settings, *drives, *errors;
};

/* What @dict, of targets, has of the disk of this row; NULL: nothing. */
static struct json_object *find_by_target(struct json_object *disk, struct json_object *dict)
{
	struct json_object *own = NULL;

	if (dict)
		json_object_object_get_ex(dict, json_object_get_string(json_object_array_get_idx(disk, 0)), &own);
	return own;
}

/* What "Drives" has of the disk of this row: [target, "cdrom", its tray is open, it is locked]; NULL: it is none. */
static struct json_object *drive_of(struct json_object *disk, struct json_object *drives)
{
	const char *target = json_object_get_string(json_object_array_get_idx(disk, 0));

	for (size_t i = 0; drives && i < json_object_array_length(drives); i++) {
		struct json_object *drive = json_object_array_get_idx(drives, i);

		if (!strcmp(json_object_get_string(json_object_array_get_idx(drive, 0)), target))
			return drive;
	}
	return NULL;
}

static void add_drive(struct json_object *to, struct json_object *drive)
{
	const char *device = drive ? json_object_get_string(json_object_array_get_idx(drive, 1)) : "disk";

	json_object_object_add(to, "device", json_object_new_string(device));
	if (!drive)
		return;
	json_object_object_add(to, "tray",
			       json_object_new_string(json_object_get_boolean(json_object_array_get_idx(drive, 2))
							      ? "open"
							      : "closed"));
	json_object_object_add(to, "locked", json_object_get(json_object_array_get_idx(drive, 3)));
}

static void print_drive(struct json_object *drive)
{
	printf(" (%s%s%s)", json_object_get_string(json_object_array_get_idx(drive, 1)),
	       json_object_get_boolean(json_object_array_get_idx(drive, 2)) ? ", tray open" : "",
	       json_object_get_boolean(json_object_array_get_idx(drive, 3)) ? ", locked by the guest" : "");
}

/* @error: one of "DiskErrors"; NULL: it works. */
static void print_error(struct json_object *error)
{
	static const struct {
		const char *kind, *text;
	} texts[] = {
		{"no-space", "there is no space for what the guest writes"},
		{"read-only", "the host does not let it be written"},
		{"shrunk", "the image is shorter than it was"},
		{"gone", "the image is gone"},
		{"error", "I/O errors, see the VM's log"},
	};
	const char *kind = error ? json_object_get_string(error) : NULL;

	for (size_t i = 0; kind && i < ARRAY_SIZE(texts); i++) {
		if (!strcmp(texts[i].kind, kind)) {
			printf(" (error: %s)", texts[i].text);
			return;
		}
	}
	if (kind)
		printf(" (error: %s)", kind);
}

static struct json_object *list_json(struct json_object *disks, const struct disk_facts *facts)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < json_object_array_length(disks); i++) {
		struct json_object *row = json_object_array_get_idx(disks, i), *disk = json_object_new_object();

		for (size_t c = 0; c < ARRAY_SIZE(columns); c++)
			json_object_object_add(disk, columns[c], json_object_get(json_object_array_get_idx(row, c)));
		json_object_object_add(disk, "settings", disk_settings_json(find_by_target(row, facts->settings)));
		add_drive(disk, drive_of(row, facts->drives));
		json_object_object_add(disk, "error", json_object_get(find_by_target(row, facts->errors)));
		json_object_array_add(list, disk);
	}
	return list;
}

static void list_lines(struct json_object *disks, const struct disk_facts *facts)
{
	printf("%-8s %-5s %-3s %s\n", "TARGET", "TYPE", "", "IMAGE");
	for (size_t i = 0; i < json_object_array_length(disks); i++) {
		struct json_object *disk = json_object_array_get_idx(disks, i), *drive = drive_of(disk, facts->drives);
		const char *image = json_object_get_string(json_object_array_get_idx(disk, 1));

		printf("%-8s %-5s %-3s %s", json_object_get_string(json_object_array_get_idx(disk, 0)),
		       json_object_get_string(json_object_array_get_idx(disk, 2)),
		       json_object_get_boolean(json_object_array_get_idx(disk, 3)) ? "ro" : "rw", *image ? image : "-");
		if (drive)
			print_drive(drive);
		print_error(find_by_target(disk, facts->errors));
		disk_settings_print(find_by_target(disk, facts->settings));
		putchar('\n');
	}
}

static int disk_list(const struct cli *cli, int argc, char **argv)
{
	struct json_object *properties = NULL, *disks;
	struct disk_facts facts = {NULL, NULL, NULL};
	char path[CLIENT_PATH_MAX];
	struct client client;
	struct err err = {0};
	int r;

	if (argc != 2 || argv[1][0] == '-')
		return cli_usage("disk", "list: the name of one VM is needed");
	if (client_open_vm(cli, argv[1], &client, path, &err) < 0)
		return cli_fail(&err);
	r = client_properties(&client, path, &err, &properties);
	client_close(&client);
	if (r < 0)
		return cli_fail(&err);
	json_object_object_get_ex(properties, "disk_settings", &facts.settings);
	json_object_object_get_ex(properties, "drives", &facts.drives);
	json_object_object_get_ex(properties, "disk_errors", &facts.errors);
	if (json_object_object_get_ex(properties, "disks", &disks)) {
		if (cli->json)
			json_print(list_json(disks, &facts));
		else
			list_lines(disks, &facts);
	}
	json_object_put(properties);
	return EXIT_OK;
}

/* ---- attach ---- */

static void put_attribute(FILE *out, const char *name, const char *value)
{
	if (!value)
		return;
	fprintf(out, " %s='", name);
	run_put_escaped(out, value);
	fputc('\'', out);
}

/* Heap; NULL without memory. */
static char *disk_xml(const char *image, const struct disk_options *options)
{
	struct stat st;
	bool block = image && stat(image, &st) == 0 && S_ISBLK(st.st_mode);
	char *xml = NULL;
	size_t len;
	FILE *out = open_memstream(&xml, &len);

	if (!out)
		return NULL;
	fprintf(out, "<disk type='%s'", block ? "block" : "file");
	put_attribute(out, "device", options->device ? options->device : "disk");
	fputs("><driver name='qemu' type='raw'", out);
	put_attribute(out, "cache", options->cache);
	fputs("/>", out);
	if (image) {
		fputs("<source", out);
		put_attribute(out, block ? "dev" : "file", image);
		fputs("/>", out);
	}
	if (options->target) {
		fputs("<target", out);
		put_attribute(out, "dev", options->target);
		fputs(" bus='scsi'/>", out);
	}
	if (options->sector) {
		fputs("<blockio", out);
		put_attribute(out, "logical_block_size", options->sector);
		fputs("/>", out);
	}
	if (options->serial) {
		fputs("<serial>", out);
		run_put_escaped(out, options->serial);
		fputs("</serial>", out);
	}
	fprintf(out, "%s%s</disk>", options->readonly ? "<readonly/>" : "", options->shareable ? "<shareable/>" : "");
	if (fclose(out) != 0) {
		free(xml);
		return NULL;
	}
	return xml;
}

static int attach(struct client *client, const char *path, const char *xml, uint32_t flags, struct err *err)
{
	struct msgbus_msg *msg = NULL;
	const char *target = "";
	struct msgbus_in in;
	int r = msgbus_call(client->bus, BULKHEAD_BUS_NAME, path, BULKHEAD_VM_INTERFACE, "AttachDisk", DEADLINE_MS, err,
			    &msg, "su", xml, flags);

	if (r < 0)
		return r;
	msgbus_msg_in(msg, &in);
	if (msgbus_in_read(&in, "s", &target) == 0)
		puts(target);
	msgbus_msg_free(msg);
	return 0;
}

static int disk_attach(const struct cli *cli, int argc, char **argv)
{
	_cleanup_free_ char *image = NULL, *xml = NULL;
	struct disk_options options = {0};
	char path[CLIENT_PATH_MAX];
	struct client client;
	struct err err = {0};
	int r = parse(argc, argv, attach_options, &options);
	bool drive;

	if (r)
		return r;
	drive = options.device && !strcmp(options.device, "cdrom");
	if (argc - optind != 2 && !(drive && argc - optind == 1))
		return cli_usage("disk", "attach: the name of a VM and an image are needed");
	if (argc - optind == 2)
		image = run_absolute(argv[optind + 1]);
	xml = image || argc - optind == 1 ? disk_xml(image, &options) : NULL;
	if (!xml) {
		err_set(&err, -ENOMEM, "out of memory");
		return cli_fail(&err);
	}
	if (client_open_vm(cli, argv[optind], &client, path, &err) < 0)
		return cli_fail(&err);
	r = attach(&client, path, xml, options.flags, &err);
	client_close(&client);
	return r < 0 ? cli_fail(&err) : EXIT_OK;
}

/* ---- detach ---- */

static int disk_detach(const struct cli *cli, int argc, char **argv)
{
	struct disk_options options = {.timeout_s = TIMEOUT_DEFAULT_S};
	char path[CLIENT_PATH_MAX];
	struct client client;
	struct err err = {0};
	int r = parse(argc, argv, detach_options, &options);

	if (r)
		return r;
	if (argc - optind != 2)
		return cli_usage("disk", "detach: the name of a VM and the target of a disk are needed");
	if (options.timeout && (options.flags & BULKHEAD_CHANGE_FORCE))
		return cli_usage("disk", "--force and --timeout contradict each other");
	if (options.timeout && cli_options_timeout(options.serial, TIMEOUT_MAX_S, &options.timeout_s) < 0)
		return cli_usage("disk", "--timeout '%s' is not a number of seconds from 1 to %u", options.serial,
				 TIMEOUT_MAX_S);
	if (client_open_vm(cli, argv[optind], &client, path, &err) < 0)
		return cli_fail(&err);
	r = msgbus_call(client.bus, BULKHEAD_BUS_NAME, path, BULKHEAD_VM_INTERFACE, "DetachDisk",
			options.timeout_s * 1000 + DEADLINE_MS, &err, NULL, "suu", argv[optind + 1], options.flags,
			options.timeout_s);
	client_close(&client);
	return r < 0 ? cli_fail(&err) : EXIT_OK;
}

/* ---- resize ---- */

static int disk_resize(const struct cli *cli, int argc, char **argv)
{
	struct disk_options options = {0};
	char path[CLIENT_PATH_MAX];
	struct client client;
	struct err err = {0};
	uint64_t bytes = 0;
	int r = parse(argc, argv, resize_options, &options);

	if (r)
		return r;
	if (argc - optind != (options.rescan ? 2 : 3))
		return cli_usage("disk", "resize: the name of a VM, the target of a disk, and a size or --rescan are "
					 "needed");
	if (!options.rescan && (run_parse_size(argv[optind + 2], &bytes) < 0 || !bytes))
		return cli_usage("disk", "'%s' is not a size like 512M or 20G", argv[optind + 2]);
	if (client_open_vm(cli, argv[optind], &client, path, &err) < 0)
		return cli_fail(&err);
	r = msgbus_call(client.bus, BULKHEAD_BUS_NAME, path, BULKHEAD_VM_INTERFACE, "ResizeDisk", DEADLINE_MS, &err,
			NULL, "stu", argv[optind + 1], bytes, options.flags);
	client_close(&client);
	return r < 0 ? cli_fail(&err) : EXIT_OK;
}

/* ---- change-media ---- */

static int disk_change_media(const struct cli *cli, int argc, char **argv)
{
	_cleanup_free_ char *image = NULL;
	struct disk_options options = {0};
	char path[CLIENT_PATH_MAX];
	struct client client;
	struct err err = {0};
	int r = parse(argc, argv, medium_options, &options);

	if (r)
		return r;
	if (argc - optind != (options.eject ? 2 : 3))
		return cli_usage("disk",
				 "change-media: the name of a VM, the target of a drive, and an image or --eject "
				 "are needed");
	image = options.eject ? strdup("") : run_absolute(argv[optind + 2]);
	if (!image) {
		err_set(&err, -ENOMEM, "out of memory");
		return cli_fail(&err);
	}
	if (client_open_vm(cli, argv[optind], &client, path, &err) < 0)
		return cli_fail(&err);
	r = msgbus_call(client.bus, BULKHEAD_BUS_NAME, path, BULKHEAD_VM_INTERFACE, "ChangeMedium", DEADLINE_MS, &err,
			NULL, "ssu", argv[optind + 1], image, options.flags);
	client_close(&client);
	return r < 0 ? cli_fail(&err) : EXIT_OK;
}

int cmd_disk(const struct cli *cli, int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(const struct cli *cli, int argc, char **argv);
	} verbs[] = {{"list", disk_list},
		     {"attach", disk_attach},
		     {"detach", disk_detach},
		     {"resize", disk_resize},
		     {"change-media", disk_change_media},
		     {"set", disk_set},
		     {"fault", disk_fault}};

	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(verbs); i++) {
		if (strcmp(argv[1], verbs[i].name) != 0)
			continue;
		if (cli->json && verbs[i].run != disk_list)
			return cli_usage(argv[0], "'%s' prints no data, so there is no --json", argv[1]);
		return verbs[i].run(cli, argc - 1, argv + 1);
	}
	return cli_usage(argv[0], "'list', 'attach', 'detach', 'resize', 'change-media', 'set' or 'fault' is needed");
}
