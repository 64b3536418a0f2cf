/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/xml.h"

#include "base/bytes.h"

void xml_put_text(FILE *out, const char *text)
{
	static const struct {
		char c;
		const char *entity;
	} entities[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&apos;"}};

	for (; *text; text++) {
		size_t i = 0;

		while (i < ARRAY_SIZE(entities) && entities[i].c != *text)
			i++;
		if (i < ARRAY_SIZE(entities))
			fputs(entities[i].entity, out);
		else
			fputc(*text, out);
	}
}

void xml_put_attribute(FILE *out, const char *name, const char *value)
{
	if (!value)
		return;
	fprintf(out, " %s='", name);
	xml_put_text(out, value);
	fputc('\'', out);
}
