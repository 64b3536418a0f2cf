/* SPDX-License-Identifier: Apache-2.0 */
/* How a disk fails, for tests, as words: see vmctl(1). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "domain.h"

#define PPM	     1000000u
#define DELAY_MAX_MS 60000u

enum { EFFECT_ERROR, EFFECT_TORN, EFFECT_DELAY };

static const struct {
	const char *name;
	unsigned int error;
} errors[] = {
	{"eio", EIO}, {"enospc", ENOSPC}, {"erofs", EROFS}, {"enodev", ENODEV}, {"eagain", EAGAIN},
};

static const char *const ops[] = {"read", "write", "flush", "discard", "zero"}; /* bit by bit */

#define ON_WRITE 0x02u
#define ON_FLUSH 0x04u
#define ALL_OPS	 ((1u << ARRAY_SIZE(ops)) - 1)

/* ---- values ---- */

static int number(const char *text, uint64_t max, uint64_t *ret)
{
	unsigned long long n;
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || *end || n > max)
		return -EINVAL;
	*ret = n;
	return 0;
}

/* Bytes, or with K, M, G, T. */
static int bytes(const char *text, uint64_t *ret)
{
	static const char suffixes[] = "KMGT";
	char copy[32];
	size_t len = strlen(text);
	const char *suffix = len ? strchr(suffixes, text[len - 1]) : NULL;
	unsigned int shift = suffix && *suffix ? 10 * (unsigned int)(suffix - suffixes + 1) : 0;

	if (!len || len >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, len + 1);
	if (shift)
		copy[len - 1] = '\0';
	if (number(copy, UINT64_MAX >> shift, ret) < 0)
		return -EINVAL;
	*ret <<= shift;
	return 0;
}

static int set_error(struct domain_fault_rule *rule, char *value)
{
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		if (strcmp(errors[i].name, value) != 0)
			continue;
		rule->error = errors[i].error;
		return 0;
	}
	return -EINVAL;
}

/* Milliseconds, and perhaps + how many more. */
static int set_delay(struct domain_fault_rule *rule, char *value)
{
	char *plus = strchr(value, '+');
	uint64_t ms, more = 0;

	if (plus)
		*plus++ = '\0';
	if (number(value, DELAY_MAX_MS, &ms) < 0 || (plus && number(plus, DELAY_MAX_MS, &more) < 0))
		return -EINVAL;
	rule->delay_us = (uint32_t)ms * 1000;
	rule->spread_us = (uint32_t)more * 1000;
	return 0;
}

static int set_ops(struct domain_fault_rule *rule, char *value)
{
	char *at = NULL;

	rule->ops = 0;
	for (char *op = strtok_r(value, "+", &at); op; op = strtok_r(NULL, "+", &at)) {
		size_t i = 0;

		while (i < ARRAY_SIZE(ops) && strcmp(ops[i], op) != 0)
			i++;
		if (i == ARRAY_SIZE(ops))
			return -EINVAL;
		rule->ops |= 1u << i;
	}
	return rule->ops ? 0 : -EINVAL;
}

static int set_from(struct domain_fault_rule *rule, char *value)
{
	return bytes(value, &rule->from);
}

static int set_to(struct domain_fault_rule *rule, char *value)
{
	return bytes(value, &rule->to);
}

/* Percent, with up to four places. */
static int set_chance(struct domain_fault_rule *rule, char *value)
{
	char *point = strchr(value, '.');
	uint64_t whole, part = 0;
	size_t places = point ? strlen(point + 1) : 0;

	if (point)
		*point++ = '\0';
	if (number(value, 100, &whole) < 0 || places > 4 || (point && number(point, 9999, &part) < 0))
		return -EINVAL;
	for (size_t i = places; i < 4; i++)
		part *= 10;
	rule->ppm = (uint32_t)(whole * (PPM / 100) + part);
	return rule->ppm && rule->ppm <= PPM ? 0 : -EINVAL;
}

static int set_times(struct domain_fault_rule *rule, char *value)
{
	uint64_t times;

	if (number(value, UINT32_MAX, &times) < 0 || !times)
		return -EINVAL;
	rule->times = (uint32_t)times;
	return 0;
}

/* ---- words ---- */

static const struct {
	const char *name;
	int (*set)(struct domain_fault_rule *rule, char *value);
} parts[] = {
	{"on", set_ops}, {"from", set_from}, {"to", set_to}, {"chance", set_chance}, {"times", set_times},
};

static const struct {
	const char *name;
	int (*set)(struct domain_fault_rule *rule, char *value);
	unsigned int error; /* without a value; 0: it needs one */
} effects[] = {
	[EFFECT_ERROR] = {"error", set_error, EIO},
	[EFFECT_TORN] = {"torn", set_error, EIO},
	[EFFECT_DELAY] = {"delay", set_delay, 0},
};

static char *value_of(char *part)
{
	char *value = strchr(part, '=');

	if (value)
		*value++ = '\0';
	return value;
}

static int set_part(struct domain_fault_rule *rule, char *part)
{
	char *value = value_of(part);

	for (size_t i = 0; value && i < ARRAY_SIZE(parts); i++)
		if (!strcmp(parts[i].name, part))
			return parts[i].set(rule, value);
	return -EINVAL;
}

static int parse_rule(char *word, struct domain_faults *ret)
{
	struct domain_fault_rule rule = {.ppm = PPM};
	char *at = NULL, *first = strtok_r(word, ",", &at), *value = first ? value_of(first) : NULL;
	unsigned int i = 0;
	int r = 0;

	while (first && i < ARRAY_SIZE(effects) && strcmp(effects[i].name, first) != 0)
		i++;
	if (!first || i == ARRAY_SIZE(effects) || ret->rules == DOMAIN_FAULT_RULES_MAX)
		return -EINVAL;
	rule.effect = i;
	rule.error = effects[i].error;
	if (value)
		r = effects[i].set(&rule, value);
	else if (!rule.error)
		r = -EINVAL;
	for (char *part = strtok_r(NULL, ",", &at); r == 0 && part; part = strtok_r(NULL, ",", &at))
		r = set_part(&rule, part);
	if (!rule.ops)
		rule.ops = i == EFFECT_TORN ? ON_WRITE : rule.from || rule.to ? ALL_OPS & ~ON_FLUSH : ALL_OPS;
	if (r == 0 && rule.to && rule.to <= rule.from)
		r = -EINVAL;
	ret->rule[ret->rules++] = rule;
	return r;
}

static int parse_word(char *word, struct domain_faults *ret)
{
	static const struct {
		const char *word;
		size_t offset;
	} switches[] = {
		{"cache", offsetof(struct domain_faults, cache)},
		{"flush=ignored", offsetof(struct domain_faults, flush_ignored)},
		{"power=off", offsetof(struct domain_faults, power_off)},
	};

	for (size_t i = 0; i < ARRAY_SIZE(switches); i++) {
		if (strcmp(switches[i].word, word) != 0)
			continue;
		*(bool *)((char *)ret + switches[i].offset) = true;
		return 0;
	}
	if (!strncmp(word, "seed=", 5))
		return number(word + 5, UINT64_MAX, &ret->seed);
	return parse_rule(word, ret);
}

int domain_faults_parse(const char *text, struct domain_faults *ret, struct err *err)
{
	struct domain_faults faults = {0};
	char copy[DOMAIN_FAULTS_MAX], whole[DOMAIN_FAULTS_MAX], *at = NULL;

	if (strlen(text) >= sizeof(faults.text))
		return err_set(err, -EINVAL, "faults: more than %u characters", DOMAIN_FAULTS_MAX - 1);
	strcpy(faults.text, text);
	strcpy(copy, text);
	for (char *word = strtok_r(copy, " ", &at); word; word = strtok_r(NULL, " ", &at)) {
		strcpy(whole, word);
		if (parse_word(word, &faults) < 0)
			return err_set(err, -EINVAL, "faults: '%s' is not one, or too much: see vmctl(1)", whole);
	}
	*ret = faults;
	return 0;
}

int domain_no_faults(const struct domain *domain, struct err *err)
{
	for (size_t i = 0; i < domain->disk_count; i++)
		if (domain->disks[i].faults.text[0])
			return err_set(err, -EINVAL,
				       "disk %s: faults are for tests, and only of a VM that runs: leave them out, see "
				       "\"vmctl disk fault\"",
				       domain->disks[i].target);
	return 0;
}
