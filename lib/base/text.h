/* SPDX-License-Identifier: Apache-2.0 */
/* Text that comes from elsewhere (guests, peers, files) and is shown to a person. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/**
 * text_clean - make @s one line of valid UTF-8, in place and no longer than it was.
 * Control characters (C0, DEL, C1) and bytes that are not UTF-8 become '?'; a sequence that is cut short at the very
 * end is removed, because truncation made it.
 * Context: any thread.
 */
void text_clean(char *s);

/** text_clean_lines - the same for each line of @s: only its newlines stay. */
void text_clean_lines(char *s);

/** text_is_hex - whether @s is @len lower-case hexadecimal digits. */
bool text_is_hex(const char *s, size_t len);

#endif
