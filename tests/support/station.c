/* SPDX-License-Identifier: Apache-2.0 */
#include "station.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"

#define FRAME_MAX 70000u
#define MAC_LEN	  6u

/* Return: whether there was as much. */
static bool read_full(int fd, uint8_t *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = recv(fd, bytes, len, 0);

		if (n <= 0)
			return false;
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

void station_echo(int fd)
{
	static uint8_t bytes[4 + FRAME_MAX];
	uint8_t from[MAC_LEN];

	while (read_full(fd, bytes, 4)) {
		size_t len = get_be32(bytes);

		if (len < 2 * (size_t)MAC_LEN || len > FRAME_MAX || !read_full(fd, bytes + 4, len))
			break;
		memcpy(from, bytes + 4 + MAC_LEN, MAC_LEN);
		memcpy(bytes + 4 + MAC_LEN, bytes + 4, MAC_LEN);
		memcpy(bytes + 4, from, MAC_LEN);
		if (send(fd, bytes, 4 + len, MSG_NOSIGNAL) != (ssize_t)(4 + len))
			break;
	}
}
