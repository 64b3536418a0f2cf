/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arguments of D-Bus messages: reading and writing, without a libdbus type.
 *
 * Theory of operation: `struct msgbus_in` and `struct msgbus_out` are cursors over a message that somebody else owns;
 * they live on the stack. Errors stick: after the first one every call on that cursor does nothing, and
 * msgbus_in_error() or the final send reports it.
 */
#ifndef DBUS_VALUE_H
#define DBUS_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MSGBUS_CURSOR_BYTES 128

struct msgbus_in {
	_Alignas(16) unsigned char iter[MSGBUS_CURSOR_BYTES];
	int error;
};

struct msgbus_out {
	_Alignas(16) unsigned char iter[MSGBUS_CURSOR_BYTES];
	int error;
	struct msgbus_out *parent;
};

/**
 * msgbus_in_type - type code of the next value: 's' 'o' 'u' 't' 'b' 'h' 'a' ..., 'r' a structure, 'e' a dictionary
 * entry, 'v' a variant; 0 at the end or after an error.
 */
char msgbus_in_type(struct msgbus_in *in);

/** msgbus_in_element_type - of the array that is next: type code of its elements, also if it is empty; 0 if no array is
 * next. */
char msgbus_in_element_type(struct msgbus_in *in);

/**
 * msgbus_in_read - read values in the order of @types, moving on.
 * @types: of each value: 's', 'o', 'g': const char ** (valid as long as the message); 'b': bool *; 'y': uint8_t *; 'i',
 * 'u': uint32_t or int32_t *; 'x', 't': uint64_t or int64_t *; 'd': double *; 'h': int *, a duplicate that the caller
 * closes. NULL skips a value. Return: 0, or -EBADMSG if the message has something else there; pointers not yet reached
 * are untouched.
 */
int msgbus_in_read(struct msgbus_in *in, const char *types, ...);

/** msgbus_in_enter - put a cursor on the inside of the array, structure, dictionary entry or variant that is next, and
 * move on behind it. Return: 0 or -EBADMSG. */
int msgbus_in_enter(struct msgbus_in *in, struct msgbus_in *ret_inside);

/** msgbus_in_skip - move on behind the next value. */
void msgbus_in_skip(struct msgbus_in *in);

/** msgbus_in_strv - read an array of strings. @ret: NULL-terminated, one heap block of its own each:
 * msgbus_strv_free(). */
int msgbus_in_strv(struct msgbus_in *in, char ***ret);
void msgbus_strv_free(char **strv);

/** msgbus_in_error - 0, or what went wrong on this cursor. */
int msgbus_in_error(const struct msgbus_in *in);

/** msgbus_fill_fn - writes on @out what a string of types cannot say. */
typedef void (*msgbus_fill_fn)(struct msgbus_out *out, void *arg);

/**
 * msgbus_out_write - append values of basic types: 's', 'o', 'g': const char * (copied; text that is not UTF-8 is
 * cleaned); 'b': int; 'y', 'i', 'u': int or uint32_t; 'x', 't': uint64_t; 'd': double; 'h': int (duplicated, stays the
 * caller's); and "as": const char *const *, NULL-terminated or NULL; '*': a
 * msgbus_fill_fn and its argument (void *).
 */
void msgbus_out_write(struct msgbus_out *out, const char *types, ...);

/**
 * msgbus_out_open - begin a container: 'a' array, @inside the signature of an element; 'r' structure (@inside NULL);
 * 'e' dictionary entry
 * (@inside NULL); 'v' variant, @inside its signature. Write to @inner, then msgbus_out_close(@inner).
 */
void msgbus_out_open(struct msgbus_out *out, char container, const char *inside, struct msgbus_out *inner);
void msgbus_out_close(struct msgbus_out *inner);
/** msgbus_out_entry - an entry of an a{sv}: @key and a value of one basic type, as for msgbus_out_write(). */
void msgbus_out_entry(struct msgbus_out *dict, const char *key, const char *type, ...);

#endif
