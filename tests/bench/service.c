/* SPDX-License-Identifier: Apache-2.0 */
#include "service.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "process.h"

int service_init(struct service *service, size_t guest_len, uint32_t relid)
{
	int r;

	memset(service, 0, sizeof(*service));
	r = loop_new(&service->loop);
	if (r < 0)
		return r;
	fake_guest_init(&service->guest, guest_len, 1);
	fake_channel_init(&service->channel, &service->guest, relid, 0, SERVICE_RING_PAGES);
	return 0;
}

int service_start(struct service *service, const char **argv, int (*prepare)(void *arg), void *arg)
{
	char program[PATH_MAX];
	size_t count = 0;
	pid_t pid;

	snprintf(program, sizeof(program), "%s/%s", process_folder(), argv[0]);
	argv[0] = program;
	while (argv[count])
		count++;
	argv[count++] = "--worker";
	argv[count++] = fake_worker_path(service->worker);
	argv[count] = NULL;
	pid = process_start(argv, prepare, arg, &service->clock);
	if (pid < 0)
		return pid;
	service->pid = pid;
	return fake_worker_wait_ready(service->worker) < 0 ||
			       fake_worker_open(service->worker, 0, &service->channel) < 0
		       ? -EIO
		       : 0;
}

void service_done(struct service *service)
{
	process_stop(service->pid);
	fake_worker_free(service->worker);
	fake_channel_done(&service->channel);
	fake_guest_done(&service->guest);
	loop_free(service->loop);
}

int service_wait(struct service *service)
{
	while (!fake_unmask(&service->channel))
		if (!fake_channel_irq(&service->channel, FAKE_WAIT_MS))
			return -ETIMEDOUT;
	fake_mask(&service->channel);
	return 0;
}
