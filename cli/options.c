/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/options.h"

#include <getopt.h>
#include <stdbool.h>

#include "cli/vmctl.h"

int cli_options_parse(const char *verb, int argc, char **argv, const struct cli_option *table, void *options,
		      uint32_t *ret_flags)
{
	struct option known[CLI_OPTIONS_MAX + 1] = {{0}};
	int option;

	*ret_flags = 0;
	for (int i = 0; i < (int)CLI_OPTIONS_MAX && table[i].name; i++)
		known[i] = (struct option){table[i].name, table[i].text ? required_argument : no_argument, NULL,
					   0x100 + i};
	while ((option = getopt_long(argc, argv, ":", known, NULL)) != -1) {
		const struct cli_option *row = &table[option - 0x100];

		if (option < 0x100)
			return cli_usage(verb, option == ':' ? "option '%s' needs a value" : "unknown option '%s'",
					 argv[optind - 1]);
		if (row->text)
			*(const char **)((char *)options + row->text) = optarg;
		if (row->yes)
			*(bool *)((char *)options + row->yes) = true;
		*ret_flags |= row->flag;
	}
	return 0;
}
