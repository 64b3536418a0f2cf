/* SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

struct options {
	bool json;
	unsigned int rounds;
	char **names;
	int name_count;
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The value below which @fraction of the sorted @values lie. */
static double quantile(const double *values, size_t count, double fraction)
{
	double at = fraction * (double)(count - 1);
	size_t low = (size_t)at;

	if (low + 1 >= count)
		return values[count - 1];
	return values[low] + (at - (double)low) * (values[low + 1] - values[low]);
}

double bench_median(double *values, size_t count)
{
	if (count == 0)
		return 0;
	qsort(values, count, sizeof(*values), compare);
	return quantile(values, count, 0.5);
}

double bench_ratio(double ours, double peer, bool lower_is_better)
{
	double over = lower_is_better ? peer : ours, under = lower_is_better ? ours : peer;

	return under > 0 ? over / under : 0;
}

void bench_summarise(const struct bench_case *bench, double *ours, double *peer, unsigned int rounds,
		     struct bench_result *ret_result)
{
	double ratios[BENCH_ROUNDS_MAX];
	double ratio;

	for (unsigned int i = 0; i < rounds; i++)
		ratios[i] = bench_ratio(ours[i], peer[i], bench->lower_is_better);
	ratio = bench_median(ratios, rounds);
	*ret_result = (struct bench_result){
		.name = bench->name,
		.unit = bench->unit,
		.peer_name = bench->peer_name,
		.ours = bench_median(ours, rounds),
		.peer = bench_median(peer, rounds),
		.ratio = ratio,
		.must = bench->must,
		.stretch = bench->stretch,
		.spread = ratio > 0 ? (quantile(ratios, rounds, 0.75) - quantile(ratios, rounds, 0.25)) / ratio : 0,
		.rounds = rounds,
	};
}

/* A string of a result; names are ours, but a stray quote must not break the line. */
static void print_json_string(const char *key, const char *value, const char *end)
{
	printf("\"%s\": \"", key);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			putchar('\\');
		putchar((unsigned char)*value < 0x20 ? ' ' : *value);
	}
	printf("\"%s", end);
}

static void print_skipped(const char *name, const char *why, bool json)
{
	if (json) {
		printf("{");
		print_json_string("name", name, ", ");
		print_json_string("skipped", why, "}\n");
	} else {
		printf("%-28s skipped: %s\n", name, why);
	}
	fflush(stdout);
}

static const char *verdict(const struct bench_result *result)
{
	if (result->stretch > 0 && result->ratio >= result->stretch)
		return "stretch";
	if (result->must > 0)
		return result->ratio >= result->must ? "ok" : "BELOW";
	return "";
}

void bench_print(const struct bench_result *result, bool json)
{
	if (json) {
		printf("{");
		print_json_string("name", result->name, ", ");
		print_json_string("unit", result->unit, ", ");
		printf("\"ours\": %.6g, \"peer\": %.6g, ", result->ours, result->peer);
		print_json_string("peer_name", result->peer_name, ", ");
		printf("\"ratio\": %.4g, \"must\": %.4g, \"stretch\": %.4g, \"spread\": %.4g, \"rounds\": %u}\n",
		       result->ratio, result->must, result->stretch, result->spread, result->rounds);
	} else {
		printf("%-28s %10.4g %-8s %10.4g %-18s %7.2f %6.2f %7.2f %6.1f%% %6u  %s\n", result->name, result->ours,
		       result->unit, result->peer, result->peer_name, result->ratio, result->must, result->stretch,
		       result->spread * 100, result->rounds, verdict(result));
	}
	fflush(stdout);
}

/* One measurement. Return: 0, or -1 if it failed. */
static int measure(double (*fn)(void *arg), const struct bench_case *bench, double *ret_value)
{
	*ret_value = fn ? fn(bench->arg) : bench->peer_value;
	return *ret_value < 0 ? -1 : 0;
}

static int run_case(const struct bench_case *bench, const struct options *options)
{
	const char *missing = bench->missing ? bench->missing(bench->arg) : NULL;
	double ours[BENCH_ROUNDS_MAX], peer[BENCH_ROUNDS_MAX];
	struct bench_result result;

	if (missing) {
		print_skipped(bench->name, missing, options->json);
		return 0;
	}
	for (unsigned int i = 0; i < options->rounds; i++) {
		bool first = i % 2 == 0;

		/* In changing order, so that a drift of the machine favours neither. */
		if ((first && measure(bench->ours, bench, &ours[i]) < 0) || measure(bench->peer, bench, &peer[i]) < 0 ||
		    (!first && measure(bench->ours, bench, &ours[i]) < 0)) {
			fprintf(stderr, "%s: the measurement failed\n", bench->name);
			return 1;
		}
	}
	bench_summarise(bench, ours, peer, options->rounds, &result);
	bench_print(&result, options->json);
	return 0;
}

static bool selected(const struct bench_case *bench, const struct options *options)
{
	for (int i = 0; i < options->name_count; i++)
		if (strcmp(options->names[i], bench->name) == 0)
			return true;
	return options->name_count == 0;
}

/* Return: 0, or the exit code to end with (-1: 0). */
static int parse(int argc, char **argv, struct options *options)
{
	int i;

	for (i = 1; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			options->json = true;
		} else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) {
			options->rounds = (unsigned int)strtoul(argv[++i], NULL, 10);
		} else {
			bool help = strcmp(argv[i], "--help") == 0;

			fprintf(help ? stdout : stderr, "usage: %s [--json] [--rounds N] [NAME...]\n", argv[0]);
			return help ? -1 : 2;
		}
	}
	options->names = argv + i;
	options->name_count = argc - i;
	if (options->rounds == 0 || options->rounds > BENCH_ROUNDS_MAX) {
		fprintf(stderr, "--rounds: 1 to %u\n", BENCH_ROUNDS_MAX);
		return 2;
	}
	return 0;
}

int bench_main(int argc, char **argv, const struct bench_case *cases, size_t count)
{
	struct options options = {.rounds = BENCH_ROUNDS_DEFAULT};
	int r = parse(argc, argv, &options), ran = 0;

	if (r != 0)
		return MAX(r, 0);
	if (SANITIZED)
		fprintf(stderr, "note: this build has sanitizers; its figures mean nothing\n");
	if (!options.json)
		printf("%-28s %10s %-8s %10s %-18s %7s %6s %7s %7s %6s\n", "name", "ours", "unit", "peer", "peer name",
		       "ratio", "must", "stretch", "spread", "rounds");
	for (size_t i = 0; i < count; i++) {
		if (!selected(&cases[i], &options))
			continue;
		r |= run_case(&cases[i], &options);
		ran++;
	}
	if (ran == 0) {
		fprintf(stderr, "no such measurement; there are:");
		for (size_t i = 0; i < count; i++)
			fprintf(stderr, " %s", cases[i].name);
		fprintf(stderr, "\n");
		return 2;
	}
	return r;
}

double bench_private_kib(pid_t pid)
{
	bool memfd = false;
	unsigned long kib;
	double sum = 0;
	char line[512];
	FILE *file;

	snprintf(line, sizeof(line), "/proc/%d/smaps", (int)pid);
	file = fopen(line, "re");
	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file)) {
		if (strchr(line, '-') && strspn(line, "0123456789abcdef") == (size_t)(strchr(line, '-') - line))
			memfd = strstr(line, "memfd:");
		else if (!memfd && (sscanf(line, "Private_Clean: %lu", &kib) == 1 ||
				    sscanf(line, "Private_Dirty: %lu", &kib) == 1))
			sum += (double)kib;
	}
	fclose(file);
	return sum;
}
