/* SPDX-License-Identifier: Apache-2.0 */
/* Words of a command line that say a number, a size, a path. */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include <stdint.h>

/** arg_parse_number - Return: 0; -EINVAL: @text is not a number from 1 to @max. */
int arg_parse_number(const char *text, uint32_t max, uint32_t *ret);

/** arg_parse_size - "512M", "1G", "1073741824": bytes, K, M, G, T are powers of 1024. Return: 0 or -EINVAL. */
int arg_parse_size(const char *text, uint64_t *ret_bytes);

/** arg_absolute - the manager runs in another folder. A path that does not exist is passed on as it is: the manager's
 * complaint names it. Return: heap; NULL without memory. */
char *arg_absolute(const char *path);

#endif
