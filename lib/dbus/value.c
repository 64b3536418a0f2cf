/* SPDX-License-Identifier: Apache-2.0 */
#include "dbus/value.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "dbus/internal.h"

_Static_assert(sizeof(DBusMessageIter) <= MSGBUS_CURSOR_BYTES, "a cursor holds libdbus's iterator");

static DBusMessageIter *in_iter(struct msgbus_in *in)
{
	return (DBusMessageIter *)in->iter;
}

static DBusMessageIter *out_iter(struct msgbus_out *out)
{
	return (DBusMessageIter *)out->iter;
}

void msgbus_in_init(struct msgbus_in *in, DBusMessage *msg)
{
	in->error = 0;
	dbus_message_iter_init(msg, in_iter(in));
}

char msgbus_in_type(struct msgbus_in *in)
{
	return in->error ? 0 : (char)dbus_message_iter_get_arg_type(in_iter(in));
}

char msgbus_in_element_type(struct msgbus_in *in)
{
	return msgbus_in_type(in) == 'a' ? (char)dbus_message_iter_get_element_type(in_iter(in)) : 0;
}

static void read_basic(struct msgbus_in *in, char type, void *ret)
{
	DBusBasicValue value;

	dbus_message_iter_get_basic(in_iter(in), &value);
	switch (type) {
	case 'b':
		*(bool *)ret = value.bool_val;
		break;
	case 'y':
		*(uint8_t *)ret = value.byt;
		break;
	case 'n':
	case 'q':
		*(uint16_t *)ret = value.u16;
		break;
	case 'i':
	case 'u':
		*(uint32_t *)ret = value.u32;
		break;
	case 'x':
	case 't':
		*(uint64_t *)ret = value.u64;
		break;
	case 'd':
		*(double *)ret = value.dbl;
		break;
	case 'h':
		*(int *)ret = value.fd;
		break;
	default:
		*(const char **)ret = value.str;
		break;
	}
}

int msgbus_in_read(struct msgbus_in *in, const char *types, ...)
{
	va_list ap;

	va_start(ap, types);
	for (; *types && !in->error; types++) {
		void *ret = va_arg(ap, void *);

		if (msgbus_in_type(in) != *types || !dbus_type_is_basic(*types)) {
			in->error = -EBADMSG;
			break;
		}
		if (ret)
			read_basic(in, *types, ret);
		dbus_message_iter_next(in_iter(in));
	}
	va_end(ap);
	return in->error;
}

int msgbus_in_enter(struct msgbus_in *in, struct msgbus_in *ret_inside)
{
	char type = msgbus_in_type(in);

	ret_inside->error = 0;
	if (!type || !dbus_type_is_container(type)) {
		in->error = in->error ? in->error : -EBADMSG;
		ret_inside->error = in->error;
		return in->error;
	}
	dbus_message_iter_recurse(in_iter(in), in_iter(ret_inside));
	dbus_message_iter_next(in_iter(in));
	return 0;
}

void msgbus_in_skip(struct msgbus_in *in)
{
	if (msgbus_in_type(in))
		dbus_message_iter_next(in_iter(in));
}

int msgbus_in_strv(struct msgbus_in *in, char ***ret)
{
	struct msgbus_in inside;
	char **strv = calloc(1, sizeof(*strv));
	size_t n = 0;

	if (!strv)
		return -ENOMEM;
	if (msgbus_in_enter(in, &inside) == 0) {
		while (msgbus_in_type(&inside)) {
			const char *s;
			char **more = reallocarray(strv, n + 2, sizeof(*strv));

			if (more)
				strv = more;
			if (!more || msgbus_in_read(&inside, "s", &s) < 0 || !(strv[n] = strdup(s))) {
				in->error = more && inside.error ? inside.error : -ENOMEM;
				break;
			}
			strv[++n] = NULL;
		}
	}
	if (in->error) {
		strv[n] = NULL;
		msgbus_strv_free(strv);
		return in->error;
	}
	*ret = strv;
	return 0;
}

void msgbus_strv_free(char **strv)
{
	for (size_t i = 0; strv && strv[i]; i++)
		free(strv[i]);
	free(strv);
}

int msgbus_in_error(const struct msgbus_in *in)
{
	return in->error;
}

void msgbus_out_init(struct msgbus_out *out, DBusMessage *msg)
{
	out->error = 0;
	out->parent = NULL;
	dbus_message_iter_init_append(msg, out_iter(out));
}

static void out_basic(struct msgbus_out *out, int type, const void *value)
{
	if (!out->error && !dbus_message_iter_append_basic(out_iter(out), type, value))
		out->error = -ENOMEM;
}

/* libdbus takes invalid text for a bug of ours; it may be a guest's or a file's. */
static void out_string(struct msgbus_out *out, int type, const char *s)
{
	_cleanup_free_ char *copy = NULL;

	s = s ? s : "";
	if (type == DBUS_TYPE_OBJECT_PATH && !dbus_validate_path(s, NULL)) {
		out->error = out->error ? out->error : -EINVAL;
		return;
	}
	if (!dbus_validate_utf8(s, NULL)) {
		copy = strdup(s);
		if (!copy) {
			out->error = -ENOMEM;
			return;
		}
		text_clean(copy);
		s = copy;
	}
	out_basic(out, type, &s);
}

static void out_strv(struct msgbus_out *out, const char *const *strv)
{
	struct msgbus_out inner;

	msgbus_out_open(out, 'a', "s", &inner);
	for (; strv && *strv; strv++)
		out_string(&inner, DBUS_TYPE_STRING, *strv);
	msgbus_out_close(&inner);
}

void msgbus_out_vwrite(struct msgbus_out *out, const char *types, va_list ap)
{
	for (; *types && !out->error; types++) {
		dbus_bool_t b;
		uint8_t y;
		uint32_t u;
		uint64_t t;
		double d;
		msgbus_fill_fn fill;

		switch (*types) {
		case 's':
		case 'o':
		case 'g':
			out_string(out, *types, va_arg(ap, const char *));
			break;
		case 'b':
			b = va_arg(ap, int) != 0;
			out_basic(out, *types, &b);
			break;
		case 'y':
			y = (uint8_t)va_arg(ap, int);
			out_basic(out, *types, &y);
			break;
		case 'i':
		case 'u':
		case 'h':
			u = va_arg(ap, uint32_t);
			out_basic(out, *types, &u);
			break;
		case 'x':
		case 't':
			t = va_arg(ap, uint64_t);
			out_basic(out, *types, &t);
			break;
		case 'd':
			d = va_arg(ap, double);
			out_basic(out, *types, &d);
			break;
		case '*':
			fill = va_arg(ap, msgbus_fill_fn);
			fill(out, va_arg(ap, void *));
			break;
		case 'a':
			if (types[1] == 's') {
				types++;
				out_strv(out, va_arg(ap, const char *const *));
				break;
			}
			/* fall through */
		default:
			out->error = -EINVAL;
		}
	}
}

void msgbus_out_write(struct msgbus_out *out, const char *types, ...)
{
	va_list ap;

	va_start(ap, types);
	msgbus_out_vwrite(out, types, ap);
	va_end(ap);
}

void msgbus_out_open(struct msgbus_out *out, char container, const char *inside, struct msgbus_out *inner)
{
	inner->parent = out;
	if (!out->error && !dbus_message_iter_open_container(out_iter(out), container, inside, out_iter(inner)))
		out->error = -ENOMEM;
	inner->error = out->error;
}

void msgbus_out_close(struct msgbus_out *inner)
{
	struct msgbus_out *out = inner->parent;

	if (out->error)
		return; /* never opened, or it went wrong on the outside */
	if (inner->error) {
		dbus_message_iter_abandon_container(out_iter(out), out_iter(inner));
		out->error = inner->error;
	} else if (!dbus_message_iter_close_container(out_iter(out), out_iter(inner))) {
		out->error = -ENOMEM;
	}
}

void msgbus_out_entry(struct msgbus_out *dict, const char *key, const char *type, ...)
{
	struct msgbus_out entry, variant;
	va_list ap;

	msgbus_out_open(dict, 'e', NULL, &entry);
	msgbus_out_write(&entry, "s", key);
	msgbus_out_open(&entry, 'v', type, &variant);
	va_start(ap, type);
	msgbus_out_vwrite(&variant, type, ap);
	va_end(ap);
	msgbus_out_close(&variant);
	msgbus_out_close(&entry);
}
