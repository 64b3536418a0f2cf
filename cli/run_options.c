/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/run_options.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/args.h"
#include "cli/nic_words.h"
#include "cli/xml.h"

#define MEMORY_DEFAULT (UINT64_C(512) << 20)
#define CPUS_MAX       64

static int add_disk(struct run_options *options, const char *text, struct err *err)
{
	struct run_disk *disk = &options->disk[options->disks];
	_cleanup_free_ char *path = strdup(text);
	char *comma = path ? strrchr(path, ',') : NULL;
	struct stat st;

	if (options->disks == RUN_DISKS_MAX)
		return err_set(err, -EINVAL, "more than %d disks", RUN_DISKS_MAX);
	if (!path)
		return err_set(err, -ENOMEM, "out of memory");
	if (comma && strcmp(comma, ",ro") == 0) {
		disk->readonly = true;
		*comma = '\0';
	} else if (comma && strcmp(comma, ",shareable") == 0) {
		disk->shareable = true;
		*comma = '\0';
	} else if (comma && strcmp(comma, ",rw") == 0) {
		*comma = '\0';
	} else if (comma && access(path, F_OK) < 0) {
		return err_set(err, -EINVAL,
			       "--disk '%s': '%s' is not an option of a disk (there are ',ro', ',rw' and ',shareable')",
			       text, comma);
	}
	if (!path[0])
		return err_set(err, -EINVAL, "--disk '%s': the file is missing", text);
	disk->path = arg_absolute(path);
	disk->block = disk->path && stat(disk->path, &st) == 0 && S_ISBLK(st.st_mode);
	options->disks++;
	return disk->path ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int add_nic(struct run_options *options, const char *text, struct err *err)
{
	_cleanup_free_ char *copy = strdup(text);
	struct err why = {0};
	struct nic_words words;

	if (options->nics == RUN_NICS_MAX)
		return err_set(err, -EINVAL, "more than %d NICs", RUN_NICS_MAX);
	if (!copy)
		return err_set(err, -ENOMEM, "out of memory");
	if (nic_words_parse(copy, &words, &why) < 0 || nic_words_xml(&words, &options->nic[options->nics], &why) < 0)
		return err_set(err, why.code, "--nic '%s': %s", text, why.text);
	options->nics++;
	return 0;
}

static int parse_cpus(const char *text, uint32_t *ret_cpus, struct err *err)
{
	if (arg_parse_number(text, CPUS_MAX, ret_cpus) < 0)
		return err_set(err, -EINVAL, "--cpus '%s' is not a number from 1 to %d", text, CPUS_MAX);
	return 0;
}

static int parse_memory(const char *text, uint64_t *ret_bytes, struct err *err)
{
	if (arg_parse_size(text, ret_bytes) < 0 || *ret_bytes == 0)
		return err_set(err, -EINVAL, "--memory '%s' is not a size like 512M or 2G", text);
	if (*ret_bytes & ((1u << 20) - 1))
		return err_set(err, -EINVAL, "--memory '%s' is not a whole number of MiB", text);
	return 0;
}

static int parse_one(struct run_options *options, int option, const char *value, struct err *err)
{
	switch (option) {
	case 'k':
		free(options->kernel);
		options->kernel = arg_absolute(value);
		return 0;
	case 'i':
		free(options->initrd);
		options->initrd = arg_absolute(value);
		return 0;
	case 'a':
		options->append = value;
		return 0;
	case 'd':
		return add_disk(options, value, err);
	case 'e':
		return add_nic(options, value, err);
	case 'm':
		return parse_memory(value, &options->memory_bytes, err);
	case 'c':
		return parse_cpus(value, &options->cpus, err);
	default:
		options->name = value;
		return 0;
	}
}

int run_options_parse(int argc, char **argv, struct run_options *ret_options, struct err *err)
{
	static const struct option table[] = {
		{"kernel", required_argument, NULL, 'k'},
		{"initrd", required_argument, NULL, 'i'},
		{"append", required_argument, NULL, 'a'},
		{"disk", required_argument, NULL, 'd'},
		{"memory", required_argument, NULL, 'm'},
		{"cpus", required_argument, NULL, 'c'},
		{"name", required_argument, NULL, 'n'},
		{"nic", required_argument, NULL, 'e'},
		{NULL, 0, NULL, 0},
	};
	struct run_options options = {.memory_bytes = MEMORY_DEFAULT, .cpus = 1};
	int option, r = 0;

	while (r == 0 && (option = getopt_long(argc, argv, ":", table, NULL)) != -1) {
		if (option == '?')
			r = err_set(err, -EINVAL, "unknown option '%s'", argv[optind - 1]);
		else if (option == ':')
			r = err_set(err, -EINVAL, "%s needs a value", argv[optind - 1]);
		else
			r = parse_one(&options, option, optarg, err);
	}
	if (r == 0 && optind < argc)
		r = err_set(err, -EINVAL, "'%s' is not an option", argv[optind]);
	if (r == 0 && !options.kernel)
		r = err_set(err, -EINVAL, "--kernel is missing");
	if (r < 0) {
		run_options_done(&options);
		return r;
	}
	*ret_options = options;
	if (!ret_options->name) {
		snprintf(ret_options->name_buf, sizeof(ret_options->name_buf), "run-%d", (int)getpid());
		ret_options->name = ret_options->name_buf;
	}
	return 0;
}

void run_options_done(struct run_options *options)
{
	free(options->kernel);
	free(options->initrd);
	for (size_t i = 0; i < options->disks; i++)
		free(options->disk[i].path);
	for (size_t i = 0; i < options->nics; i++)
		free(options->nic[i]);
}

static void put_element(FILE *out, const char *name, const char *text)
{
	if (!text)
		return;
	fprintf(out, "    <%s>", name);
	xml_put_text(out, text);
	fprintf(out, "</%s>\n", name);
}

/* sda ... sdz, sdaa ... */
static void put_disk(FILE *out, const struct run_disk *disk, unsigned int index)
{
	char letters[3] = {(char)('a' + index % 26), 0, 0};

	if (index >= 26) {
		letters[0] = (char)('a' + index / 26 - 1);
		letters[1] = (char)('a' + index % 26);
	}
	fprintf(out, "    <disk type='%s' device='disk'>\n      <driver type='raw'/>\n      <source",
		disk->block ? "block" : "file");
	xml_put_attribute(out, disk->block ? "dev" : "file", disk->path);
	fprintf(out, "/>\n      <target dev='sd%s' bus='scsi'/>\n%s%s    </disk>\n", letters,
		disk->readonly ? "      <readonly/>\n" : "", disk->shareable ? "      <shareable/>\n" : "");
}

char *run_options_xml(const struct run_options *options)
{
	char *xml = NULL;
	size_t len;
	FILE *out = open_memstream(&xml, &len);

	if (!out)
		return NULL;
	fputs("<domain type='kvm'>\n  <name>", out);
	xml_put_text(out, options->name);
	fprintf(out, "</name>\n  <memory unit='bytes'>%" PRIu64 "</memory>\n  <vcpu>%" PRIu32 "</vcpu>\n",
		options->memory_bytes, options->cpus);
	fputs("  <os>\n    <type arch='x86_64'>hvm</type>\n", out);
	put_element(out, "kernel", options->kernel);
	put_element(out, "initrd", options->initrd);
	put_element(out, "cmdline", options->append);
	fputs("  </os>\n  <devices>\n", out);
	for (unsigned int i = 0; i < options->disks; i++)
		put_disk(out, &options->disk[i], i);
	for (size_t i = 0; i < options->nics; i++)
		fprintf(out, "    %s\n", options->nic[i]);
	fputs("    <serial type='pty'><target port='0'/></serial>\n    <console type='pty'/>\n  "
	      "</devices>\n</domain>\n",
	      out);
	if (fclose(out) != 0) {
		free(xml);
		return NULL;
	}
	return xml;
}
