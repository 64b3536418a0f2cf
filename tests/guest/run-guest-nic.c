/* SPDX-License-Identifier: Apache-2.0 */
/* A NIC of the VM's, with a station on its wire that sends each frame back to where it came from. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "proto/network.pb-c.h"
#include "run-guest.h"

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

static void echo(int fd)
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

int run_nic_open(void)
{
	int fds[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(fds[1]);
		echo(fds[0]);
		_exit(0);
	}
	close(fds[0]);
	if (pid < 0) {
		close(fds[1]);
		return -errno;
	}
	return fds[1];
}

size_t run_nic_config(uint8_t buf[4096])
{
	static uint8_t guid[16] = {0xe7, 0x51, 0, 1}, mac[MAC_LEN] = {2, 0, 0, 0, 0, 1};
	Bulkhead__Network__Config config = BULKHEAD__NETWORK__CONFIG__INIT;
	Bulkhead__Network__Nic nic = BULKHEAD__NETWORK__NIC__INIT, *nics[] = {&nic};

	config.version = 1;
	config.n_nics = 1;
	config.nics = nics;
	nic.instance_guid = (ProtobufCBinaryData){sizeof(guid), guid};
	nic.alias = (char *)"net0";
	nic.mac = (ProtobufCBinaryData){sizeof(mac), mac};
	nic.backend = BULKHEAD__NETWORK__BACKEND__BACKEND_STREAM;
	nic.queues = 1;
	nic.mtu = 1500;
	return bulkhead__network__config__pack(&config, buf);
}
