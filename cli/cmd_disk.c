/* SPDX-License-Identifier: Apache-2.0 */
/* vmctl disk: the disks of a VM. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "cli/args.h"
#include "cli/cmd_disk.h"
#include "cli/devices.h"
#include "cli/json.h"
#include "cli/xml.h"

/* What the options say. */
struct disk_options {
	uint32_t flags;
	bool readonly, shareable, rescan, eject;
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

static int parse(int argc, char **argv, const struct cli_option *table, struct disk_options *options)
{
	return device_options("disk", argc, argv, table, options, &options->flags);
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
		json_object_object_add(disk, "settings", device_settings_json(find_by_target(row, facts->settings)));
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

static void print_disks(const struct cli *cli, struct client *client, const char *path, struct json_object *properties)
{
	struct disk_facts facts = {NULL, NULL, NULL};
	struct json_object *disks;

	if (!json_object_object_get_ex(properties, "disks", &disks))
		return;
	json_object_object_get_ex(properties, "disk_settings", &facts.settings);
	json_object_object_get_ex(properties, "drives", &facts.drives);
	json_object_object_get_ex(properties, "disk_errors", &facts.errors);
	if (cli->json)
		json_print(list_json(disks, &facts));
	else
		list_lines(disks, &facts);
}

static int disk_list(const struct cli *cli, int argc, char **argv)
{
	return device_list(cli, "disk", argc, argv, print_disks);
}

/* ---- attach ---- */

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
	xml_put_attribute(out, "device", options->device ? options->device : "disk");
	fputs("><driver name='qemu' type='raw'", out);
	xml_put_attribute(out, "cache", options->cache);
	fputs("/>", out);
	if (image) {
		fputs("<source", out);
		xml_put_attribute(out, block ? "dev" : "file", image);
		fputs("/>", out);
	}
	if (options->target) {
		fputs("<target", out);
		xml_put_attribute(out, "dev", options->target);
		fputs(" bus='scsi'/>", out);
	}
	if (options->sector) {
		fputs("<blockio", out);
		xml_put_attribute(out, "logical_block_size", options->sector);
		fputs("/>", out);
	}
	if (options->serial) {
		fputs("<serial>", out);
		xml_put_text(out, options->serial);
		fputs("</serial>", out);
	}
	fprintf(out, "%s%s</disk>", options->readonly ? "<readonly/>" : "", options->shareable ? "<shareable/>" : "");
	if (fclose(out) != 0) {
		free(xml);
		return NULL;
	}
	return xml;
}

static int disk_attach(const struct cli *cli, int argc, char **argv)
{
	_cleanup_free_ char *image = NULL, *xml = NULL;
	struct disk_options options = {0};
	struct err err = {0};
	int r = parse(argc, argv, attach_options, &options);
	bool drive;

	if (r)
		return r;
	drive = options.device && !strcmp(options.device, "cdrom");
	if (argc - optind != 2 && !(drive && argc - optind == 1))
		return cli_usage("disk", "attach: the name of a VM and an image are needed");
	if (argc - optind == 2)
		image = arg_absolute(argv[optind + 1]);
	xml = image || argc - optind == 1 ? disk_xml(image, &options) : NULL;
	if (!xml) {
		err_set(&err, -ENOMEM, "out of memory");
		return cli_fail(&err);
	}
	return device_attach(cli, argv[optind], "AttachDisk", xml, options.flags);
}

/* ---- detach ---- */

static int disk_detach(const struct cli *cli, int argc, char **argv)
{
	return device_detach(cli, "disk", argc, argv, "the target of a disk", "DetachDisk");
}

/* ---- resize ---- */

static int disk_resize(const struct cli *cli, int argc, char **argv)
{
	struct disk_options options = {0};
	uint64_t bytes = 0;
	int r = parse(argc, argv, resize_options, &options);

	if (r)
		return r;
	if (argc - optind != (options.rescan ? 2 : 3))
		return cli_usage("disk", "resize: the name of a VM, the target of a disk, and a size or --rescan are "
					 "needed");
	if (!options.rescan && (arg_parse_size(argv[optind + 2], &bytes) < 0 || !bytes))
		return cli_usage("disk", "'%s' is not a size like 512M or 20G", argv[optind + 2]);
	return device_change(cli, argv[optind], "ResizeDisk", DEVICE_DEADLINE_MS, "stu", argv[optind + 1], bytes,
			     options.flags);
}

/* ---- change-media ---- */

static int disk_change_media(const struct cli *cli, int argc, char **argv)
{
	_cleanup_free_ char *image = NULL;
	struct disk_options options = {0};
	struct err err = {0};
	int r = parse(argc, argv, medium_options, &options);

	if (r)
		return r;
	if (argc - optind != (options.eject ? 2 : 3))
		return cli_usage("disk",
				 "change-media: the name of a VM, the target of a drive, and an image or --eject "
				 "are needed");
	image = options.eject ? strdup("") : arg_absolute(argv[optind + 2]);
	if (!image) {
		err_set(&err, -ENOMEM, "out of memory");
		return cli_fail(&err);
	}
	return device_change(cli, argv[optind], "ChangeMedium", DEVICE_DEADLINE_MS, "ssu", argv[optind + 1], image,
			     options.flags);
}

int cmd_disk(const struct cli *cli, int argc, char **argv)
{
	static const struct device_word words[] = {
		{"list", true, disk_list},
		{"attach", false, disk_attach},
		{"detach", false, disk_detach},
		{"resize", false, disk_resize},
		{"change-media", false, disk_change_media},
		{"set", false, disk_set},
		{"fault", false, disk_fault},
	};

	return device_words(cli, argc, argv, words, ARRAY_SIZE(words));
}
