/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cli/json.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>

static struct json_object *read_array(struct msgbus_in *in)
{
	struct json_object *array = json_object_new_array();
	struct msgbus_in inside;

	if (msgbus_in_enter(in, &inside) < 0)
		return array;
	while (msgbus_in_type(&inside))
		json_object_array_add(array, json_from_value(&inside));
	return array;
}

static void snake_case(const char *name, char *ret, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; name[i] && n + 2 < size; i++) {
		if (i && isupper((unsigned char)name[i]) && islower((unsigned char)name[i - 1]))
			ret[n++] = '_';
		ret[n++] = (char)tolower((unsigned char)name[i]);
	}
	ret[n] = '\0';
}

/* Entries of variants are named like properties; other keys are data and stay as they are. */
static struct json_object *read_entries(struct msgbus_in *in)
{
	struct json_object *object = json_object_new_object();
	struct msgbus_in entry;
	const char *name;
	char key[64];

	while (msgbus_in_type(in) == 'e' && msgbus_in_enter(in, &entry) == 0) {
		if (msgbus_in_read(&entry, "s", &name) < 0)
			break;
		if (msgbus_in_type(&entry) == 'v') {
			snake_case(name, key, sizeof(key));
			name = key;
		}
		json_object_object_add(object, name, json_from_value(&entry));
	}
	return object;
}

static struct json_object *read_dict(struct msgbus_in *in)
{
	struct msgbus_in inside;

	return msgbus_in_enter(in, &inside) < 0 ? NULL : read_entries(&inside);
}

static struct json_object *read_variant(struct msgbus_in *in)
{
	struct msgbus_in inside;

	return msgbus_in_enter(in, &inside) < 0 ? NULL : json_from_value(&inside);
}

static struct json_object *read_string(struct msgbus_in *in, char type)
{
	const char types[] = {type, 0};
	const char *text = "";

	msgbus_in_read(in, types, &text);
	return json_object_new_string(text);
}

static struct json_object *read_number(struct msgbus_in *in, char type)
{
	const char types[] = {type, 0};
	union {
		uint8_t y;
		uint32_t u;
		int32_t i;
		uint64_t t;
		int64_t x;
		double d;
	} v = {0};

	msgbus_in_read(in, types, &v);
	switch (type) {
	case 'y':
		return json_object_new_int(v.y);
	case 'i':
		return json_object_new_int(v.i);
	case 'u':
		return json_object_new_int64(v.u);
	case 'x':
		return json_object_new_int64(v.x);
	case 'd':
		return json_object_new_double(v.d);
	default:
		return json_object_new_uint64(v.t);
	}
}

struct json_object *json_from_value(struct msgbus_in *in)
{
	char type = msgbus_in_type(in);
	bool flag = false;

	switch (type) {
	case 's':
	case 'o':
	case 'g':
		return read_string(in, type);
	case 'b':
		msgbus_in_read(in, "b", &flag);
		return json_object_new_boolean(flag);
	case 'a':
		return msgbus_in_element_type(in) == 'e' ? read_dict(in) : read_array(in);
	case 'r':
		return read_array(in);
	case 'v':
		return read_variant(in);
	case 'y':
	case 'i':
	case 'u':
	case 'x':
	case 't':
	case 'd':
		return read_number(in, type);
	default: /* descriptors and what is unknown have no JSON form */
		msgbus_in_skip(in);
		return NULL;
	}
}

struct json_object *json_from_properties(struct msgbus_in *in)
{
	return read_entries(in);
}

void json_print(struct json_object *object)
{
	puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
							    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
}
