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
#include "station.h"

#define MAC_LEN 6u

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
		station_echo(fds[0]);
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
