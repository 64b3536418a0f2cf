/* SPDX-License-Identifier: Apache-2.0 */
/* D-Bus values as JSON; the only home of json-c. */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include <json-c/json.h>

#include "dbus/value.h"

/** json_from_value - the next value on @in, of any D-Bus type: structures and arrays become arrays, dictionaries
 * objects (of variants: with names as below). */
struct json_object *json_from_value(struct msgbus_in *in);

/** json_from_properties - the inside of an a{sv} as an object; names become snake_case ("StateReason": "state_reason").
 */
struct json_object *json_from_properties(struct msgbus_in *in);

/** json_print - on stdout, with a newline, and free it. */
void json_print(struct json_object *object);

#endif
