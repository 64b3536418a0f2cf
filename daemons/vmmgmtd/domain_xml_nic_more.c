/* SPDX-License-Identifier: Apache-2.0 */
/* What <interface> says of speed, VLANs, addresses and ports. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <libxml/tree.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "domain_xml_nic.h"

/* ---- bandwidth ---- */

static uint64_t kibibytes(struct domain_parser *p, xmlNode *node, const char *name, const char *where)
{
	_cleanup_free_ char *text = domain_xml_attr(node, name);
	uint64_t value = 0;

	if (text && (domain_xml_u64(text, &value) < 0 || value > DOMAIN_BANDWIDTH_MAX)) {
		domain_refuse(p, -EINVAL, where, "bandwidth %s '%s': KiB, at most %" PRIu64, name, text,
			      DOMAIN_BANDWIDTH_MAX);
		value = 0;
	}
	return value * 1024;
}

static void read_bandwidth(struct domain_parser *p, struct domain_bandwidth *ret, xmlNode *node, const char *where)
{
	const char *name = node ? (const char *)node->name : "";

	if (!node)
		return;
	ret->average = kibibytes(p, node, "average", where);
	ret->peak = kibibytes(p, node, "peak", where);
	ret->burst = kibibytes(p, node, "burst", where);
	if (!ret->average && (ret->peak || ret->burst))
		domain_refuse(p, -EINVAL, where, "bandwidth %s: peak and burst are beside an average: say it, too",
			      name);
	else if (ret->peak && ret->peak < ret->average)
		domain_refuse(p, -EINVAL, where, "bandwidth %s: peak must not be less than average", name);
}

/* ---- VLANs ---- */

static int read_tag(struct domain_parser *p, xmlNode *tag, const char *where, uint16_t *ret)
{
	_cleanup_free_ char *id = domain_xml_attr(tag, "id");
	uint64_t value;

	if (!id || domain_xml_u64(id, &value) < 0 || value < 1 || value > 4094) {
		domain_refuse(p, -EINVAL, where, "vlan tag id '%s': 1 to 4094", id ? id : "");
		return -EINVAL;
	}
	*ret = (uint16_t)value;
	return 0;
}

/* One that the guest has without its tag. */
static void trunk_tag(struct domain_parser *p, struct domain_nic *nic, xmlNode *tag, const char *where)
{
	_cleanup_free_ char *native = domain_xml_attr(tag, "nativeMode");
	uint16_t id;

	if (read_tag(p, tag, where, &id) < 0)
		return;
	if (native && strcmp(native, "untagged") != 0 && (!nic->on_ovs || strcmp(native, "tagged") != 0))
		domain_refuse(p, -EOPNOTSUPP, where, "vlan tag nativeMode '%s' is not supported: use untagged%s",
			      native, nic->on_ovs ? " or tagged" : "");
	else if (native && nic->vlan)
		domain_refuse(p, -EINVAL, where, "vlan: there is more than one native tag");
	else if (native) {
		nic->vlan = id;
		nic->native_tagged = !strcmp(native, "tagged");
	} else if (nic->trunk_count == DOMAIN_TRUNK_MAX)
		domain_refuse(p, -EOPNOTSUPP, where, "vlan: more than %u tags are not supported", DOMAIN_TRUNK_MAX);
	else
		nic->trunk_tags[nic->trunk_count++] = id;
}

static void read_vlan(struct domain_parser *p, struct domain_nic *nic, xmlNode *vlan, const char *where)
{
	_cleanup_free_ char *trunk = vlan ? domain_xml_attr(vlan, "trunk") : NULL, *native = NULL;
	xmlNode *first = vlan ? xmlFirstElementChild(vlan) : NULL;
	uint16_t id;

	if (!vlan)
		return;
	if (nic->type == DOMAIN_NIC_USER)
		domain_refuse(p, -EOPNOTSUPP, where, "vlan: passt knows no tags: remove it");
	native = first ? domain_xml_attr(first, "nativeMode") : NULL;
	/* libvirt's own rule: more than one tag, or a native one, make a trunk. */
	nic->trunk = (trunk && !strcmp(trunk, "yes")) || native || (first && xmlNextElementSibling(first));
	if (!first) {
		domain_refuse(p, -EINVAL, where, "vlan: it has no <tag>");
	} else if (!nic->trunk) {
		if (read_tag(p, first, where, &id) == 0)
			nic->vlan = id;
	} else {
		for (xmlNode *tag = first; tag; tag = xmlNextElementSibling(tag))
			trunk_tag(p, nic, tag, where);
	}
}

/* ---- addresses ---- */

static int address_parse(const char *text, struct domain_address *ret)
{
	*ret = (struct domain_address){0};
	if (inet_pton(AF_INET, text, ret->bytes) == 1) {
		ret->prefix = 32;
		return 0;
	}
	ret->v6 = true;
	ret->prefix = 128;
	return inet_pton(AF_INET6, text, ret->bytes) == 1 ? 0 : -EINVAL;
}

static void read_address(struct domain_parser *p, struct domain_nic *nic, xmlNode *ip, const char *where)
{
	_cleanup_free_ char *text = domain_xml_attr(ip, "address"), *family = domain_xml_attr(ip, "family"),
			    *prefix = domain_xml_attr(ip, "prefix");
	struct domain_address address;
	uint64_t bits;

	if (!text || address_parse(text, &address) < 0 ||
	    (family && strcmp(family, address.v6 ? "ipv6" : "ipv4") != 0)) {
		domain_refuse(p, -EINVAL, where, "ip address '%s' is none%s%s", text ? text : "",
			      family ? " of family " : "", family ? family : "");
		return;
	}
	bits = address.prefix;
	if (prefix && (domain_xml_u64(prefix, &bits) < 0 || bits > address.prefix))
		domain_refuse(p, -EINVAL, where, "ip prefix '%s': 0 to %u", prefix, address.prefix);
	/* passt has both: an address, and the net that it is in. Elsewhere the guest may send from it alone. */
	if (nic->type == DOMAIN_NIC_USER)
		address.prefix = (unsigned int)bits;
	for (size_t i = 0; i < nic->address_count && nic->type == DOMAIN_NIC_USER; i++) {
		if (nic->addresses[i].v6 == address.v6)
			domain_refuse(p, -EOPNOTSUPP, where, "ip: passt gives one address of a family: remove one");
	}
	if (nic->address_count == DOMAIN_ADDRESSES_MAX)
		domain_refuse(p, -EOPNOTSUPP, where, "more than %u addresses are not supported", DOMAIN_ADDRESSES_MAX);
	else
		nic->addresses[nic->address_count++] = address;
}

/* ---- ports ---- */

/* A port, 1 to 65535; @ret stays if there is none. Return: whether it can be used. */
static bool read_port(struct domain_parser *p, xmlNode *range, const char *name, uint16_t *ret, const char *where)
{
	_cleanup_free_ char *text = domain_xml_attr(range, name);
	uint64_t value;

	if (!text)
		return true;
	if (domain_xml_u64(text, &value) < 0 || value < 1 || value > UINT16_MAX) {
		domain_refuse(p, -EINVAL, where, "portForward range %s '%s': 1 to 65535", name, text);
		return false;
	}
	*ret = (uint16_t)value;
	return true;
}

static void read_range(struct domain_parser *p, struct domain_forward *forward, xmlNode *node, const char *where)
{
	_cleanup_free_ char *exclude = domain_xml_attr(node, "exclude");
	struct domain_range range = {.exclude = exclude && !strcmp(exclude, "yes")};

	if (!read_port(p, node, "start", &range.start, where))
		return;
	range.end = range.to = range.start;
	if (!read_port(p, node, "end", &range.end, where) || !read_port(p, node, "to", &range.to, where))
		return;
	if (!range.start || range.end < range.start || range.to + (range.end - range.start) > UINT16_MAX)
		domain_refuse(p, -EINVAL, where, "portForward range: start, and an end that is not before it");
	else if (range.exclude && range.to != range.start)
		domain_refuse(p, -EINVAL, where, "portForward range: what is excluded goes nowhere: remove to");
	else if (forward->range_count == ARRAY_SIZE(forward->ranges))
		domain_refuse(p, -EOPNOTSUPP, where,
			      "portForward: more than %zu ranges are not supported: use another one",
			      ARRAY_SIZE(forward->ranges));
	else
		forward->ranges[forward->range_count++] = range;
}

static void read_forward(struct domain_parser *p, struct domain_nic *nic, xmlNode *node, const char *where)
{
	_cleanup_free_ char *proto = domain_xml_attr(node, "proto"), *address = domain_xml_attr(node, "address"),
			    *dev = domain_xml_attr(node, "dev");
	struct domain_forward forward = {.udp = proto && !strcmp(proto, "udp")}, *more;
	struct domain_address parsed;

	if (!proto || (!forward.udp && strcmp(proto, "tcp") != 0))
		domain_refuse(p, -EINVAL, where, "portForward proto '%s': it is tcp or udp", proto ? proto : "");
	if (address && address_parse(address, &parsed) < 0)
		domain_refuse(p, -EINVAL, where, "portForward address '%s' is none", address);
	else if (address)
		strcpy(forward.address, address);
	if (dev && !domain_xml_ifname(dev))
		domain_refuse(p, -EINVAL, where, "portForward dev '%s' is no network device's name", dev);
	else if (dev)
		strcpy(forward.dev, dev);
	for (xmlNode *range = xmlFirstElementChild(node); range; range = xmlNextElementSibling(range))
		if (!strcmp((const char *)range->name, "range"))
			read_range(p, &forward, range, where);
	if ((address || dev) && (!forward.range_count || forward.ranges[0].exclude))
		domain_refuse(p, -EOPNOTSUPP, where,
			      "portForward with an address or dev: begin with a range that says which ports");
	if (nic->forward_count == DOMAIN_FORWARDS_MAX) {
		domain_refuse(p, -EOPNOTSUPP, where, "more than %u portForwards are not supported",
			      DOMAIN_FORWARDS_MAX);
		return;
	}
	more = reallocarray(nic->forwards, nic->forward_count + 1, sizeof(*more));
	if (!more) {
		domain_refuse(p, -ENOMEM, where, "no memory");
		return;
	}
	more[nic->forward_count++] = forward;
	nic->forwards = more;
}

void domain_xml_nic_more(struct domain_parser *p, struct domain_nic *nic, xmlNode *node, const char *where)
{
	xmlNode *bandwidth = domain_xml_child(node, "bandwidth");

	read_bandwidth(p, &nic->inbound, bandwidth ? domain_xml_child(bandwidth, "inbound") : NULL, where);
	read_bandwidth(p, &nic->outbound, bandwidth ? domain_xml_child(bandwidth, "outbound") : NULL, where);
	read_vlan(p, nic, domain_xml_child(node, "vlan"), where);
	for (xmlNode *n = xmlFirstElementChild(node); n; n = xmlNextElementSibling(n)) {
		if (!strcmp((const char *)n->name, "ip"))
			read_address(p, nic, n, where);
		else if (!strcmp((const char *)n->name, "portForward") && nic->type == DOMAIN_NIC_USER)
			read_forward(p, nic, n, where);
		else if (!strcmp((const char *)n->name, "portForward"))
			domain_refuse(p, -EOPNOTSUPP, where, "portForward is for type='user'");
	}
}
