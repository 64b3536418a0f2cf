/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors. Functions that can fail return 0 or a negative errno. Where a person must be told what
 * to do about it, they also take a `struct err *` and put one line there: the thing, what is
 * wrong with it, the remedy.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#define ERR_TEXT_MAX 512

struct err {
	int code;		     /* 0 or a negative errno */
	char text[ERR_TEXT_MAX];     /* one line, no newline, valid UTF-8; "" while code is 0 */
};

/**
 * err_set - record an error for a person.
 * @err:  where to put it; NULL is allowed (only the code is returned then).
 * @code: negative errno.
 * @fmt:  printf format of one line: the thing, what is wrong, what to do. Truncated to fit;
 *        control characters become '?'.
 *
 * Return: @code, so that `return err_set(err, -EINVAL, ...)` reads well.
 * Context: any thread.
 */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/**
 * err_name - the symbolic name of a negative errno ("ENOENT"), or "E?" if unknown.
 * Context: any thread; the string is static.
 */
const char *err_name(int code);

#endif
