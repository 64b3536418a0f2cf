/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Definitions on disk: one file <uuid>.xml for each VM, replaced atomically. Its last line is a comment with the
 * format's version, so a file that was cut short shows. Beside it, <uuid>.autostart marks a VM that comes up with the
 * host.
 */
#ifndef VMMGMTD_STORE_H
#define VMMGMTD_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/syscalls.h"

#define STORE_VERSION		1u
#define STORE_AUTOSTART_VERSION 1u

struct store;

/** store_calls - what this needs in the sandbox. */
extern const struct syscall_list store_calls;

/** store_make_folder - with those above it, 0700. Return: 0, also if it is there; a negative errno with one line. */
int store_make_folder(const char *folder, struct err *err);

/** store_open - the folder is made (0700) if it is missing. Return: 0; a negative errno with one line. */
int store_open(const char *folder, struct err *err, struct store **ret_store);
void store_free(struct store *store);

/**
 * store_load_fn - one definition. Return: 0; a negative errno with one line in @err if it cannot be used: the file is
 * put aside then
 * (-EINVAL: renamed to <uuid>.xml.bad; else left where it is), named in store_quarantined(), and the rest is loaded.
 */
typedef int (*store_load_fn)(const char *uuid, const char *xml, size_t len, struct err *err, void *arg);

/** store_load - Return: 0, or a negative errno if the folder itself cannot be read. */
int store_load(struct store *store, store_load_fn fn, void *arg, struct err *err);

/** store_save - Return: 0; a negative errno with one line, and what was there stays. */
int store_save(struct store *store, const char *uuid, const char *xml, struct err *err);

/** store_remove - Return: 0, also if there is none; a negative errno with one line. */
int store_remove(struct store *store, const char *uuid, struct err *err);

/** store_set_autostart - mark a VM as one that the host starts when it boots, or not. The mark goes with
 * store_remove(). Return: 0; a negative errno with one line, and it stays as it was. */
int store_set_autostart(struct store *store, const char *uuid, bool on, struct err *err);

/** store_autostart - whether it is marked. A mark that is damaged or of a later version does not count; it is logged.
 */
bool store_autostart(struct store *store, const char *uuid);

/** store_quarantined - "file: reason", NULL-terminated; NULL if there is none. The store's. */
const char *const *store_quarantined(const struct store *store);

#endif
