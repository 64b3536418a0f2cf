/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <assert.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

int err_set(struct err *err, int code, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list ap;

	assert(code < 0);
	if (!err)
		return code;
	/* Into a buffer of our own first: an argument may be err->text itself. */
	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	text_clean(text);
	err->code = code;
	memcpy(err->text, text, sizeof(err->text));
	return code;
}

const char *err_name(int code)
{
	const char *name = code < 0 && code > INT_MIN ? strerrorname_np(-code) : NULL;

	return name ? name : "E?";
}
