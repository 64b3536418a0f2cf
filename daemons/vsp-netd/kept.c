/* SPDX-License-Identifier: Apache-2.0 */
#include "kept.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "port.h"

/* instance: all zero while nobody has it. */
struct slot {
	struct abi_guid instance;
};

struct layout {
	struct slot slot[SETTINGS_NICS_MAX];
	_Alignas(4096) uint8_t memory[SETTINGS_NICS_MAX][PORT_MEMORY_LEN];
};

struct kept {
	struct layout *layout;
};

static const struct syscall_rule rules[] = {
	{SYS_memfd_create},
	{SYS_ftruncate},
	{-1},
};

const struct syscall_list kept_calls = {.name = "what is kept", .rules = rules};

size_t kept_len(void)
{
	return sizeof(struct layout);
}

int kept_map(int fd, struct kept **ret_kept)
{
	_cleanup_free_ struct kept *kept = calloc(1, sizeof(*kept));
	struct stat st;

	if (!kept)
		return -ENOMEM;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size != (off_t)sizeof(struct layout))
		return -EPROTO;
	kept->layout = mmap(NULL, sizeof(struct layout), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (kept->layout == MAP_FAILED)
		return -errno;
	*ret_kept = take_ptr(kept);
	return 0;
}

static int make(struct vsp *vsp, struct kept **ret_kept, struct err *err)
{
	_cleanup_close_ int fd = fd_memfd("bulkhead-ports", sizeof(struct layout));
	int r = fd < 0 ? fd : kept_map(fd, ret_kept);

	if (r < 0)
		return err_set(err, r, "memory for the NICs' ports: %s", err_name(r));
	r = vsp_keep(vsp, KEPT_KEY, fd, NULL, 0, err);
	if (r < 0) {
		kept_free(*ret_kept);
		*ret_kept = NULL;
	}
	return r;
}

int kept_new(struct vsp *vsp, struct kept **ret_kept, struct err *err)
{
	const void *data;
	size_t len;
	int fd = vsp_keepsake(vsp, KEPT_KEY, &data, &len);

	if (fd >= 0 && kept_map(fd, ret_kept) == 0)
		return 0;
	return make(vsp, ret_kept, err);
}

void kept_free(struct kept *kept)
{
	if (!kept)
		return;
	munmap(kept->layout, sizeof(*kept->layout));
	free(kept);
}

static int find(const struct kept *kept, const struct abi_guid *instance)
{
	for (unsigned int i = 0; i < SETTINGS_NICS_MAX; i++)
		if (memcmp(&kept->layout->slot[i].instance, instance, sizeof(*instance)) == 0)
			return (int)i;
	return -ENOENT;
}

void *kept_memory(struct kept *kept, const struct abi_guid *instance)
{
	static const struct abi_guid nobody;
	int i = find(kept, instance);

	if (i < 0) {
		i = find(kept, &nobody);
		if (i < 0)
			return NULL;
		/* A predecessor may have died before it was zero. */
		memset(kept->layout->memory[i], 0, PORT_MEMORY_LEN);
		kept->layout->slot[i].instance = *instance;
	}
	return kept->layout->memory[i];
}

void kept_release(struct kept *kept, const struct abi_guid *instance)
{
	int i = find(kept, instance);

	if (i < 0)
		return;
	kept->layout->slot[i] = (struct slot){0};
	memset(kept->layout->memory[i], 0, PORT_MEMORY_LEN);
}
