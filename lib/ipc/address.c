/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "ipc/conn.h"

static const struct syscall_rule connect_rules[] = {
	{SYS_socket, 0, UINT32_MAX, AF_UNIX},
	{SYS_connect},
	{SYS_openat, 2, O_PATH, O_PATH}, /* the folder: such a descriptor reads nothing */
	{-1},
};

const struct syscall_list rpc_connect_calls = {.name = "connecting", .rules = connect_rules};

int address_from_path(const char *path, struct sockaddr_un *ret_address, int *ret_dir_fd, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	_cleanup_free_ char *dir = slash ? strndup(path, (size_t)(name - path)) : strdup(".");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_close_ int dir_fd = -1;
	int n;

	if (!*name)
		return -EINVAL;
	if (!dir)
		return -ENOMEM;
	dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return -errno;
	if (strlen(path) < sizeof(address.sun_path))
		n = snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	else
		n = snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dir_fd, name);
	if (n < 0 || (size_t)n >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	*ret_address = address;
	*ret_dir_fd = take_fd(&dir_fd);
	*ret_name = name;
	return 0;
}
