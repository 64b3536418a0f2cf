/* SPDX-License-Identifier: Apache-2.0 */
/* Options of a verb's words, by tables. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

/* One option; a table ends with a row without a name. */
struct cli_option {
	const char *name;
	size_t text;   /* offset of a string in what the verb keeps, or 0 */
	size_t yes;    /* offset of a bool, or 0 */
	uint32_t flag; /* or 0 */
};

#define CLI_OPTIONS_MAX 24u

/** cli_options_parse - @options: the verb's own structure. Return: 0, and optind is the first that is none; or an exit
 * code, and it was told. */
int cli_options_parse(const char *verb, int argc, char **argv, const struct cli_option *table, void *options,
		      uint32_t *ret_flags);

#endif
