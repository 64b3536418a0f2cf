/* SPDX-License-Identifier: Apache-2.0 */
#include "port_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abi/rndis.h"
#include "base/bytes.h"

struct loop *loop;
struct port *port;
struct nic_settings settings;
struct oid_settings guest;
int peer = -1, worker_fd = -1; /* of the socket, as the worker keeps it */
void *memory;
uint32_t process;
uint8_t room[ROOM], wire[1 << 20];
struct port_received received;
unsigned int readable, writable, links;
bool link_is;

const uint8_t mac[6] = {2, 0, 0, 0, 0, 1}, other_mac[6] = {2, 0, 0, 0, 0, 2};

static void on_readable(void *arg, unsigned int queue)
{
	(void)arg;
	cr_assert_eq(queue, 0);
	readable++;
	port_listen(port, 0, false);
}

static void on_writable(void *arg, unsigned int queue)
{
	(void)arg;
	cr_assert_eq(queue, 0);
	writable++;
}

static void on_link(void *arg, bool up)
{
	(void)arg;
	links++;
	link_is = up;
}

static const struct port_client_ops client_ops = {on_readable, on_writable, on_link};
const struct port_client client = {.ops = &client_ops};

void pf_plug_in(void)
{
	struct err err = {0};
	int pair[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	peer = pair[1];
	fd_close(&worker_fd);
	worker_fd = fd_dup(pair[0]);
	cr_assert_eq(port_new(loop, &settings, pair, 1, memory, process++, &port, &err), 0, "%s", err.text);
	cr_assert_eq(pair[0], -1);
	port_connect(port, &client);
	port_set(port, &guest);
}

void pf_init(void)
{
	cr_assert_eq(loop_new(&loop), 0);
	memory = calloc(1, PORT_MEMORY_LEN);
	settings = (struct nic_settings){.alias = "net0", .backend = NIC_STREAM, .queues = 1, .mtu = 1500};
	memcpy(settings.mac, mac, 6);
	guest = (struct oid_settings){.filter = RNDIS_FILTER_DIRECTED | RNDIS_FILTER_BROADCAST};
	pf_plug_in();
}

void pf_done(void)
{
	port_free(port);
	fd_close(&peer);
	fd_close(&worker_fd);
	loop_free(loop);
	free(memory);
}

void pf_put(const uint8_t *to, size_t len)
{
	uint8_t frame[ROOM + 4] = {0};

	put_be32(frame, (uint32_t)len);
	memcpy(frame + 4, to, 6);
	put_be16(frame + 4 + 12, 0x88b5);
	for (size_t i = 14; i < len; i++)
		frame[4 + i] = (uint8_t)i;
	cr_assert_eq(fd_write_full(peer, frame, len + 4), 0);
}

int pf_get(void)
{
	const struct iovec iov[] = {{room, 100}, {room + 100, 50}, {room + 150, ROOM - 150}};

	return port_receive(port, 0, iov, 3, &received);
}

size_t pf_take(void)
{
	uint8_t length[4];
	size_t len;

	cr_assert_eq(recv(peer, length, 4, MSG_WAITALL), 4);
	len = get_be32(length);
	cr_assert_eq(recv(peer, wire, len, MSG_WAITALL), (ssize_t)len);
	return len;
}

bool pf_nothing_sent(void)
{
	return recv(peer, wire, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

struct port_frame *pf_tcp4(size_t payload)
{
	static struct port_frame frame;
	static uint8_t rest[ROOM];
	uint8_t *ip = frame.head + 14, *tcp = frame.head + 34;

	memset(&frame, 0, sizeof(frame));
	memcpy(frame.head, other_mac, 6);
	memcpy(frame.head + 6, mac, 6);
	put_be16(frame.head + 12, 0x0800);
	ip[0] = 0x45;
	put_be16(ip + 2, (uint16_t)(40 + payload));
	put_be16(ip + 4, 77);
	ip[8] = 64;
	ip[9] = 6;
	put_be32(ip + 12, 0x0a000001);
	put_be32(ip + 16, 0x0a000002);
	put_be32(tcp + 4, 1000);
	tcp[12] = 0x50;
	tcp[13] = 0x19; /* ACK, PSH, FIN */
	for (size_t i = 0; i < payload; i++)
		rest[i] = (uint8_t)(i * 7 + i / 251);
	frame.head_len = 54;
	frame.rest[0] = (struct iovec){rest, payload / 2 | 1};
	frame.rest[1] = (struct iovec){rest + (payload / 2 | 1), payload - (payload / 2 | 1)};
	frame.rests = 2;
	frame.len = 54 + payload;
	return &frame;
}

uint16_t pf_sum(const uint8_t *at, size_t len, struct checksum sum)
{
	checksum_add(&sum, at, len);
	return checksum_fold(&sum);
}

/* Whether all checksums of the frame on the wire are right. */
void pf_check_wire(size_t len, size_t network)
{
	struct checksum pseudo = {0};
	const uint8_t *ip = wire + network;
	uint8_t rest[4] = {0, 6};

	cr_assert_eq(get_be16(ip + 2), len - network);
	cr_assert_eq(pf_sum(ip, 20, (struct checksum){0}), 0xffff);
	checksum_add(&pseudo, ip + 12, 8);
	put_be16(rest + 2, (uint16_t)(len - network - 20));
	checksum_add(&pseudo, rest, 4);
	cr_assert_eq(pf_sum(ip + 20, len - network - 20, pseudo), 0xffff);
}

void pf_plug_into_passt(void)
{
	settings.large_frames = true;
	settings.segment_max = SEGMENT;
	port_free(port);
	close(peer);
	memset(memory, 0, PORT_MEMORY_LEN);
	pf_plug_in();
}

const uint8_t *pf_put_long(void)
{
	static uint8_t bytes[4 + 54 + SEGMENT];
	struct port_frame *frame = pf_tcp4(SEGMENT);

	put_be32(bytes, 54 + SEGMENT);
	memcpy(bytes + 4, frame->head, 54);
	memcpy(bytes + 4, mac, 6);
	memcpy(bytes + 58, frame->rest[0].iov_base, SEGMENT);
	cr_assert_eq(fd_write_full(peer, bytes, sizeof(bytes)), 0);
	return bytes + 58;
}

void pf_die_alone(void)
{
	struct err err = {0};
	int own = fd_dup(worker_fd);

	port_free(port);
	cr_assert_eq(port_new(loop, &settings, &own, 1, memory, process++, &port, &err), 0, "%s", err.text);
}

void pf_die(void)
{
	pf_die_alone();
	port_connect(port, &client);
	port_set(port, &guest);
}
