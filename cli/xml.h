/* SPDX-License-Identifier: Apache-2.0 */
/* Writing the XML of definitions. */
#ifndef CLI_XML_H
#define CLI_XML_H

#include <stdio.h>

/** xml_put_text - as text of an element, or between the quotes of an attribute. */
void xml_put_text(FILE *out, const char *text);

/** xml_put_attribute - " @name='@value'"; nothing if @value is NULL. */
void xml_put_attribute(FILE *out, const char *name, const char *value);

#endif
