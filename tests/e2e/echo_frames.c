// SPDX-License-Identifier: Apache-2.0
/*
 * echo-frames DEVICE: a station on a wire: each frame of the type that is for experiments (88b5) goes back to where it
 * came from, with the VLAN tag that it had. Prints "ready", and "tag N" (0: none) whenever that is another than before.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define TYPE	  0x88b5
#define FRAME_MAX 10000
#define MACS_LEN  12
#define TAG_LEN	  4

static int open_device(const char *name)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name)};
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)), on = 1;

	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return fd;
}

/* The kernel takes the tag out of the frame. Return: 0: there was none. */
static unsigned int tag_of(struct msghdr *msg)
{
	struct tpacket_auxdata aux;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		return aux.tp_status & TP_STATUS_VLAN_VALID ? aux.tp_vlan_tci & 0xfff : 0;
	}
	return 0;
}

/* @frame: behind room for a tag. */
static void send_back(int fd, unsigned char *frame, size_t len, unsigned int tag)
{
	unsigned char macs[MACS_LEN];

	memcpy(macs, frame + MACS_LEN / 2, MACS_LEN / 2);
	memcpy(macs + MACS_LEN / 2, frame, MACS_LEN / 2);
	if (tag) {
		frame -= TAG_LEN;
		len += TAG_LEN;
		frame[MACS_LEN] = 0x81;
		frame[MACS_LEN + 1] = 0;
		frame[MACS_LEN + 2] = (unsigned char)(tag >> 8);
		frame[MACS_LEN + 3] = (unsigned char)tag;
	}
	memcpy(frame, macs, sizeof(macs));
	if (send(fd, frame, len, 0) < 0)
		perror("echo-frames");
}

int main(int argc, char **argv)
{
	static unsigned char bytes[TAG_LEN + FRAME_MAX];
	char control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	struct sockaddr_ll from;
	int fd = argc == 2 ? open_device(argv[1]) : -EINVAL;
	unsigned int last = ~0u;

	if (fd < 0) {
		fprintf(stderr, "echo-frames: %s\n", strerror(-fd));
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	for (;;) {
		struct iovec iov = {bytes + TAG_LEN, FRAME_MAX};
		struct msghdr msg = {&from, sizeof(from), &iov, 1, control, sizeof(control), 0};
		unsigned char *frame = bytes + TAG_LEN;
		ssize_t n = recvmsg(fd, &msg, 0);
		unsigned int tag;

		if (n < MACS_LEN + 2 || from.sll_pkttype == PACKET_OUTGOING ||
		    (frame[MACS_LEN] << 8 | frame[MACS_LEN + 1]) != TYPE)
			continue;
		tag = tag_of(&msg);
		if (tag != last)
			printf("tag %u\n", tag);
		last = tag;
		send_back(fd, frame, (size_t)n, tag);
	}
}
