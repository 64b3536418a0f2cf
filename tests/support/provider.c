/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/provider.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "ipc/loop.h"

#define EXIT_FAILED    1
#define EXIT_USAGE     2
#define EXIT_NO_WORKER 4

static void worker_gone(void *arg, const char *why)
{
	struct provider *provider = arg;

	(void)why;
	provider->gone = true;
	loop_stop(provider->loop);
}

int provider_main(struct provider *provider, int argc, char **argv)
{
	struct vsp_config config = {.name = provider->name, .worker_gone = worker_gone, .arg = provider};
	struct err err = {0};
	int r;

	for (int i = 1; i + 1 < argc; i++)
		if (!strcmp(argv[i], "--worker"))
			config.worker_path = argv[i + 1];
	if (!config.worker_path)
		return EXIT_USAGE;
	log_init(provider->program, NULL);
	r = loop_new(&provider->loop);
	if (r >= 0)
		r = vsp_attach(provider->loop, &config, &provider->vsp, &err);
	if (r >= 0)
		r = provider->offer(provider, &err);
	if (r >= 0)
		r = vsp_ready(provider->vsp, &err);
	if (r >= 0)
		r = provider->serve ? provider->serve(provider, &err) : loop_run(provider->loop);
	if (r < 0 && !provider->gone)
		fprintf(stderr, "%s: %s\n", provider->program, err.text[0] ? err.text : strerror(-r));
	vsp_free(provider->vsp);
	loop_free(provider->loop);
	return provider->gone ? EXIT_NO_WORKER : EXIT_FAILED;
}
