// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hv/state.h"

#define POOL_BYTES (SYNIC_MESSAGES_MAX * sizeof(struct hv_queued))

int hv_new(const struct hv_config *config, struct guest_mem *mem, const struct hv_host *host, struct hv **ret_hv)
{
	struct hv *hv = calloc(1, sizeof(*hv) + config->cpus * sizeof(hv->vp[0]));

	if (!hv)
		return -ENOMEM;
	hv->pool = mmap(NULL, POOL_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (hv->pool == MAP_FAILED) {
		free(hv);
		return -ENOMEM;
	}
	hv->config = *config;
	hv->mem = mem;
	hv->host = *host;
	pthread_mutex_init(&hv->lock, NULL);
	time_init(hv);
	hv_reset(hv);
	*ret_hv = hv;
	return 0;
}

void hv_free(struct hv *hv)
{
	if (!hv)
		return;
	pthread_mutex_destroy(&hv->lock);
	munmap(hv->pool, POOL_BYTES);
	free(hv);
}

void hv_reset(struct hv *hv)
{
	synic_reset(hv);
	pthread_mutex_lock(&hv->lock);
	hv->guest_os_id = 0;
	hv->hypercall = 0;
	hv->reference_tsc = 0;
	hv->tsc_invariant = 0;
	memset(hv->crash, 0, sizeof(hv->crash));
	pthread_mutex_unlock(&hv->lock);
}

bool hv_page_ok(struct hv *hv, uint64_t value)
{
	if (!(value & HV_X64_MSR_PAGE_ENABLE))
		return true;
	return guest_mem_ptr(hv->mem, value & HV_X64_MSR_PAGE_MASK, HV_PAGE_SIZE) != NULL;
}
