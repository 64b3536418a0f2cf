/* SPDX-License-Identifier: Apache-2.0 */
/* echo-stream SOCKET: a station on the wire of NICs of type "client", one at a time: each frame goes back to where it
 * came from. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "station.h"

int main(int argc, char **argv)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;

	if (argc != 2 || strlen(argv[1]) >= sizeof(address.sun_path)) {
		fprintf(stderr, "Usage: echo-stream SOCKET\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* the test's end is ours */
	strcpy(address.sun_path, argv[1]);
	if (server < 0 || bind(server, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(server, 1) < 0) {
		fprintf(stderr, "echo-stream: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	while ((fd = accept(server, NULL, NULL)) >= 0) {
		station_echo(fd);
		close(fd);
	}
	return 1;
}
