/* SPDX-License-Identifier: Apache-2.0 */
/* What a hostile or broken process may leave to its successor. */
#ifndef TESTS_SPOIL_H
#define TESTS_SPOIL_H

#include <stdbool.h>

struct block_header;

/** spoil - make the state block of a channel wrong. @what: one of spoil_list(). Return: false if there is no such. */
bool spoil(struct block_header *header, const char *what);
/** spoil_list - print them: the name, a blank, and what a successor says of it. */
void spoil_list(void);

#endif
