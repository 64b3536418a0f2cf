/* SPDX-License-Identifier: Apache-2.0 */
#include "filter.h"

#include <string.h>

#include "abi/rndis.h"
#include "base/bytes.h"

#define ITS_OWN (RNDIS_FILTER_DIRECTED | RNDIS_FILTER_MULTICAST | RNDIS_FILTER_ALL_MULTICAST | RNDIS_FILTER_BROADCAST)
#define PASS	UINT32_MAX
#define DROP	0u

static const uint8_t broadcast[MAC_LEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* A guest that asks for everything, and may not have it, gets everything that can be its own. */
void filter_set(struct filter *filter, const struct oid_settings *guest, const uint8_t mac[MAC_LEN],
		bool may_change_mac, bool may_be_promiscuous)
{
	static const uint8_t none[MAC_LEN];
	bool own_mac = may_change_mac && memcmp(guest->mac, none, MAC_LEN) != 0;

	*filter = (struct filter){.kinds = guest->filter & (ITS_OWN | RNDIS_FILTER_PROMISCUOUS)};
	if (filter->kinds & RNDIS_FILTER_PROMISCUOUS && !may_be_promiscuous)
		filter->kinds = ITS_OWN;
	memcpy(filter->mac, own_mac ? guest->mac : mac, MAC_LEN);
	filter->groups = MIN(guest->multicast_count, OID_MULTICAST_MAX);
	memcpy(filter->group, guest->multicast, sizeof(filter->group));
}

static bool is_member(const struct filter *filter, const uint8_t destination[MAC_LEN])
{
	for (unsigned int i = 0; i < filter->groups; i++)
		if (memcmp(filter->group[i], destination, MAC_LEN) == 0)
			return true;
	return false;
}

bool filter_passes(const struct filter *filter, const uint8_t destination[MAC_LEN])
{
	if (filter->kinds & RNDIS_FILTER_PROMISCUOUS)
		return true;
	if (!(destination[0] & 1))
		return filter->kinds & RNDIS_FILTER_DIRECTED && memcmp(destination, filter->mac, MAC_LEN) == 0;
	if (memcmp(destination, broadcast, MAC_LEN) == 0)
		return filter->kinds & RNDIS_FILTER_BROADCAST;
	if (filter->kinds & RNDIS_FILTER_ALL_MULTICAST)
		return true;
	return filter->kinds & RNDIS_FILTER_MULTICAST && is_member(filter, destination);
}

/* ---- the program ---- */

struct program {
	struct sock_filter *at;
	size_t len;
};

static void add(struct program *program, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
	program->at[program->len++] = (struct sock_filter){code, yes, no, k};
}

/* If the frame is to @mac, the answer is @answer; else it goes on behind this. */
static void add_address(struct program *program, const uint8_t *mac, uint32_t answer)
{
	add(program, BPF_LD | BPF_W | BPF_ABS, 0, 0, 0);
	add(program, BPF_JMP | BPF_JEQ | BPF_K, get_be32(mac), 0, 3);
	add(program, BPF_LD | BPF_H | BPF_ABS, 4, 0, 0);
	add(program, BPF_JMP | BPF_JEQ | BPF_K, get_be16(mac + 4), 0, 1);
	add(program, BPF_RET | BPF_K, answer, 0, 0);
}

size_t filter_program(const struct filter *filter, struct sock_filter *ret)
{
	struct program program = {ret, 0};
	bool to_it = filter->kinds & RNDIS_FILTER_DIRECTED, some = filter->kinds & RNDIS_FILTER_MULTICAST;

	if (filter->kinds & RNDIS_FILTER_PROMISCUOUS || !filter->kinds) {
		add(&program, BPF_RET | BPF_K, filter->kinds ? PASS : DROP, 0, 0);
		return program.len;
	}
	if (to_it)
		add_address(&program, filter->mac, PASS);
	add_address(&program, broadcast, filter->kinds & RNDIS_FILTER_BROADCAST ? PASS : DROP);
	if (filter->kinds & RNDIS_FILTER_ALL_MULTICAST) {
		add(&program, BPF_LD | BPF_B | BPF_ABS, 0, 0, 0);
		add(&program, BPF_JMP | BPF_JSET | BPF_K, 1, 0, 1);
		add(&program, BPF_RET | BPF_K, PASS, 0, 0);
	}
	for (unsigned int i = 0; some && i < filter->groups; i++)
		if (filter->group[i][0] & 1)
			add_address(&program, filter->group[i], PASS);
	add(&program, BPF_RET | BPF_K, DROP, 0, 0);
	return program.len;
}
