/* SPDX-License-Identifier: Apache-2.0 */
/* What <interface> means: a NIC, and what is behind it. What one says of speed, VLANs and ports: domain_xml_nic_more.c.
 */
#include <ctype.h>
#include <errno.h>
#include <libxml/tree.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <uuid/uuid.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "domain_xml_int.h"
#include "domain_xml_nic.h"

#define NIC_PATH    "/domain/devices/interface"
#define MTU_DEFAULT 1500u

/* By <interface type=>; what is after the colon of an internal one's name says more. */
static const struct {
	const char *name, *refusal;
	enum domain_nic_type type;
} types[] = {
	{"bridge", NULL, DOMAIN_NIC_BRIDGE},
	{"ethernet", NULL, DOMAIN_NIC_ETHERNET},
	{"user", NULL, DOMAIN_NIC_USER},
	{"direct", NULL, DOMAIN_NIC_DIRECT},
	{"internal", NULL, DOMAIN_NIC_SERVER},
	{"network",
	 "libvirt's networks are not known here: use type='bridge' with the name of a bridge, or type='user'", 0},
	{"vhostuser", "vhost-user is not supported: use type='internal' for a socket", 0},
	{"hostdev", "host devices are not supported: use another type", 0},
};

const char *domain_nic_type_name(enum domain_nic_type type)
{
	static const char *const names[] = {
		[DOMAIN_NIC_BRIDGE] = "bridge", [DOMAIN_NIC_ETHERNET] = "ethernet", [DOMAIN_NIC_USER] = "user",
		[DOMAIN_NIC_DIRECT] = "direct", [DOMAIN_NIC_SERVER] = "server",	    [DOMAIN_NIC_CLIENT] = "client",
	};

	return names[type];
}

/* ---- MAC addresses, names ---- */

void domain_mac_text(const uint8_t mac[6], char ret[DOMAIN_MAC_TEXT])
{
	snprintf(ret, DOMAIN_MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

static int mac_parse(const char *text, uint8_t ret[6])
{
	for (unsigned int i = 0; i < 6; i++, text += 3) {
		char two[3] = "";

		if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]) ||
		    text[2] != (i < 5 ? ':' : '\0'))
			return -EINVAL;
		memcpy(two, text, 2);
		ret[i] = (uint8_t)strtoul(two, NULL, 16);
	}
	return 0;
}

static bool mac_is_zero(const uint8_t mac[6])
{
	static const uint8_t zero[6];

	return !memcmp(mac, zero, sizeof(zero));
}

static void nic_mac(struct domain_parser *p, struct domain_nic *nic, xmlNode *node, const char *where)
{
	xmlNode *mac = domain_xml_child(node, "mac");
	_cleanup_free_ char *text = mac ? domain_xml_attr(mac, "address") : NULL;

	if (!mac)
		return;
	if (!text || mac_parse(text, nic->mac) < 0 || mac_is_zero(nic->mac) || (nic->mac[0] & 1)) {
		domain_refuse(p, -EINVAL, where,
			      "mac address '%s': it is six bytes like 52:54:00:12:34:56, and none of a group",
			      text ? text : "");
		return;
	}
	for (size_t i = 0; i < p->d->nic_count; i++) {
		if (!memcmp(p->d->nics[i].mac, nic->mac, sizeof(nic->mac)))
			domain_refuse(p, -EINVAL, where, "mac address %s is that of another interface, too", text);
	}
}

static void nic_alias(struct domain_parser *p, struct domain_nic *nic, xmlNode *node, const char *where)
{
	xmlNode *alias = domain_xml_child(node, "alias");
	_cleanup_free_ char *name = alias ? domain_xml_attr(alias, "name") : NULL;

	if (!alias)
		return;
	if (!name || !*name || strlen(name) >= sizeof(nic->alias) ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != strlen(name)) {
		domain_refuse(p, -EINVAL, where, "alias '%s': 1 to %u letters, digits, '-' and '_'", name ? name : "",
			      DOMAIN_ALIAS_MAX - 1);
		return;
	}
	strcpy(nic->alias, name);
	for (size_t i = 0; i < p->d->nic_count; i++) {
		if (!strcmp(p->d->nics[i].alias, name))
			domain_refuse(p, -EINVAL, where, "alias '%s' is that of another interface", name);
	}
}

/* As Linux takes it. Return: whether it can be used. */
bool domain_xml_ifname(const char *name)
{
	size_t len = strlen(name);

	if (!len || len >= DOMAIN_IFNAME_MAX || !strcmp(name, ".") || !strcmp(name, ".."))
		return false;
	for (; *name; name++) {
		if (*name <= 0x20 || *name > 0x7e || strchr("/:%", *name))
			return false;
	}
	return true;
}

/* ---- what is behind it ---- */

/* A socket: "server:NAME", "client:NAME" or "client:/PATH". */
static void source_socket(struct domain_parser *p, struct domain_nic *nic, char *given, const char *where)
{
	static const char server[] = "server:", client[] = "client:";
	_cleanup_free_ char *name = given;
	const char *at = NULL;

	if (name && !strncmp(name, server, sizeof(server) - 1)) {
		at = name + sizeof(server) - 1;
	} else if (name && !strncmp(name, client, sizeof(client) - 1)) {
		nic->type = DOMAIN_NIC_CLIENT;
		at = name + sizeof(client) - 1;
	}
	if (!at || !domain_xml_clean(at) || strlen(at) > 96 ||
	    !(*at == '/' ? nic->type == DOMAIN_NIC_CLIENT : *at && *at != '.' && !strchr(at, '/'))) {
		domain_refuse(p, -EINVAL, where,
			      "source name '%s': it is server:NAME, client:NAME (of the same host), or client:/PATH, "
			      "at most 96 "
			      "bytes",
			      name ? name : "");
		return;
	}
	nic->source = strdup(at);
	if (!nic->source)
		domain_refuse(p, -ENOMEM, where, "no memory");
}

static void source_device(struct domain_parser *p, struct domain_nic *nic, char *name, const char *what,
			  const char *where)
{
	if (name && domain_xml_ifname(name)) {
		nic->source = name;
		return;
	}
	domain_refuse(p, -EINVAL, where, "source %s '%s': name a %s of the host's", what, name ? name : "",
		      nic->type == DOMAIN_NIC_BRIDGE ? "bridge" : "network device");
	free(name);
}

static void source_macvtap(struct domain_parser *p, struct domain_nic *nic, xmlNode *source, const char *where)
{
	static const char *const modes[] = {
		[DOMAIN_MACVTAP_VEPA] = "vepa",
		[DOMAIN_MACVTAP_BRIDGE] = "bridge",
		[DOMAIN_MACVTAP_PRIVATE] = "private",
		[DOMAIN_MACVTAP_PASSTHROUGH] = "passthrough",
	};
	_cleanup_free_ char *mode = source ? domain_xml_attr(source, "mode") : NULL;

	source_device(p, nic, source ? domain_xml_attr(source, "dev") : NULL, "dev", where);
	for (size_t i = 0; mode && i < ARRAY_SIZE(modes); i++) {
		if (strcmp(mode, modes[i]) != 0)
			continue;
		nic->mode = (enum domain_macvtap_mode)i;
		return;
	}
	if (mode)
		domain_refuse(p, -EOPNOTSUPP, where,
			      "source mode '%s' is not supported: use bridge, private, vepa or passthrough", mode);
}

static void nic_source(struct domain_parser *p, struct domain_nic *nic, xmlNode *node, const char *where)
{
	xmlNode *source = domain_xml_child(node, "source");
	_cleanup_free_ char *dev = NULL;

	switch (nic->type) {
	case DOMAIN_NIC_BRIDGE:
		source_device(p, nic, source ? domain_xml_attr(source, "bridge") : NULL, "bridge", where);
		break;
	case DOMAIN_NIC_DIRECT:
		source_macvtap(p, nic, source, where);
		break;
	case DOMAIN_NIC_USER: /* by default passt finds the device by the default route */
		dev = source ? domain_xml_attr(source, "dev") : NULL;
		if (dev)
			source_device(p, nic, take_ptr(dev), "dev", where);
		break;
	case DOMAIN_NIC_SERVER:
	case DOMAIN_NIC_CLIENT:
		source_socket(p, nic, source ? domain_xml_attr(source, "name") : NULL, where);
		break;
	case DOMAIN_NIC_ETHERNET:
		if (source && xmlFirstElementChild(source))
			domain_refuse(p, -EOPNOTSUPP, where,
				      "source: addresses of the host's side are not set: remove it");
		break;
	}
}

/* ---- Open vSwitch ---- */

/* Names go to a program's command line and into a database: none may be read as anything else. */
static bool is_plain(const char *name)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:";

	return *name != '-' && strspn(name, plain) == strlen(name);
}

static void port_parameters(struct domain_parser *p, struct domain_nic *nic, xmlNode *parameters, const char *where)
{
	_cleanup_free_ char *id = domain_xml_attr(parameters, "interfaceid"),
			    *profile = domain_xml_attr(parameters, "profileid");

	if (id && domain_uuid_normalise(id, nic->iface_id) < 0)
		domain_refuse(p, -EINVAL, where, "virtualport interfaceid '%s' is not a UUID", id);
	if (profile && (strlen(profile) >= sizeof(nic->profile_id) || !is_plain(profile)))
		domain_refuse(p, -EINVAL, where,
			      "virtualport profileid '%s': at most %u letters, digits, '-', '_', '.' and ':'", profile,
			      DOMAIN_PROFILE_MAX - 1);
	else if (profile)
		strcpy(nic->profile_id, profile);
}

/* Behind source and target. */
static void nic_virtualport(struct domain_parser *p, struct domain_nic *nic, xmlNode *node, const char *where)
{
	xmlNode *port = domain_xml_child(node, "virtualport"),
		*parameters = port ? domain_xml_child(port, "parameters") : NULL;
	_cleanup_free_ char *type = port ? domain_xml_attr(port, "type") : NULL;

	if (!port)
		return;
	if (!type || strcmp(type, "openvswitch") != 0) {
		domain_refuse(p, -EOPNOTSUPP, where, "virtualport type '%s' is not supported: use openvswitch",
			      type ? type : "");
		return;
	}
	if (nic->type != DOMAIN_NIC_BRIDGE) {
		domain_refuse(p, -EOPNOTSUPP, where, "virtualport is for type='bridge'");
		return;
	}
	nic->on_ovs = true;
	if (parameters)
		port_parameters(p, nic, parameters, where);
	if ((nic->source && !is_plain(nic->source)) || !is_plain(nic->dev))
		domain_refuse(p, -EINVAL, where,
			      "virtualport: bridge and target have letters, digits, '-', '_', '.' and ':' in their "
			      "names");
}

static void nic_target(struct domain_parser *p, struct domain_nic *nic, xmlNode *node, const char *where)
{
	xmlNode *target = domain_xml_child(node, "target");
	_cleanup_free_ char *dev = target ? domain_xml_attr(target, "dev") : NULL,
			    *managed = target ? domain_xml_attr(target, "managed") : NULL;

	nic->existing = managed && !strcmp(managed, "no");
	if (nic->existing && nic->type != DOMAIN_NIC_ETHERNET)
		domain_refuse(p, -EOPNOTSUPP, where, "target managed 'no' is for type='ethernet'");
	if (nic->existing && !dev)
		domain_refuse(p, -EINVAL, where, "target managed 'no': name the tap that is there: dev=");
	if (!dev)
		return;
	if (domain_nic_streams(nic))
		domain_keep(p, NIC_PATH "/target/@dev", "has no effect: there is no device of the host's behind it");
	else if (!domain_xml_ifname(dev))
		domain_refuse(p, -EINVAL, where,
			      "target dev '%s': at most %u characters, and no '/', ':', '%%' or blank", dev,
			      DOMAIN_IFNAME_MAX - 1);
	/* As libvirt's own dumps have them: not names that somebody chose. */
	else if (strncmp(dev, "vnet", 4) != 0 && strncmp(dev, "macvtap", 7) != 0)
		strcpy(nic->dev, dev);
}

static void nic_backend(struct domain_parser *p, const struct domain_nic *nic, xmlNode *node, const char *where)
{
	xmlNode *backend = domain_xml_child(node, "backend");
	_cleanup_free_ char *type = backend ? domain_xml_attr(backend, "type") : NULL;

	if (type && (strcmp(type, "passt") != 0 || nic->type != DOMAIN_NIC_USER))
		domain_refuse(p, -EOPNOTSUPP, where, "backend type '%s': type='user' has passt, the others none", type);
}

static void nic_model(struct domain_parser *p, xmlNode *node)
{
	xmlNode *model = domain_xml_child(node, "model");
	_cleanup_free_ char *type = model ? domain_xml_attr(model, "type") : NULL;

	if (type && strcmp(type, "netvsc") != 0)
		domain_keep(p, NIC_PATH "/model/@type", "has no effect: each NIC is a netvsc");
}

/* ---- the whole ---- */

static void nic_numbers(struct domain_parser *p, struct domain_nic *nic, xmlNode *node, const char *where)
{
	xmlNode *mtu = domain_xml_child(node, "mtu"), *driver = domain_xml_child(node, "driver"),
		*link = domain_xml_child(node, "link");
	_cleanup_free_ char *size = mtu ? domain_xml_attr(mtu, "size") : NULL,
			    *queues = driver ? domain_xml_attr(driver, "queues") : NULL,
			    *state = link ? domain_xml_attr(link, "state") : NULL;
	_cleanup_free_ char *trust = domain_xml_attr(node, "trustGuestRxFilters");
	uint64_t value = MTU_DEFAULT;

	if (size && (domain_xml_u64(size, &value) < 0 || value < DOMAIN_MTU_MIN || value > DOMAIN_MTU_MAX))
		domain_refuse(p, -EINVAL, where, "mtu size '%s': %u to %u", size, DOMAIN_MTU_MIN, DOMAIN_MTU_MAX);
	nic->mtu = (unsigned int)value;
	value = 1;
	if (queues && (domain_xml_u64(queues, &value) < 0 || value < 1 || value > DOMAIN_NIC_QUEUES_MAX))
		domain_refuse(p, -EINVAL, where, "driver queues '%s': 1 to %u", queues, DOMAIN_NIC_QUEUES_MAX);
	if (value > 1 && domain_nic_streams(nic)) {
		domain_keep(p, NIC_PATH "/driver/@queues", "has no effect: a stream has one");
		value = 1;
	}
	nic->queues = (unsigned int)value;
	nic->link_down = state && !strcmp(state, "down");
	if (state && !nic->link_down && strcmp(state, "up") != 0)
		domain_refuse(p, -EINVAL, where, "link state '%s': it is up or down", state);
	nic->trusted = trust && !strcmp(trust, "yes");
}

size_t domain_descriptors(const struct domain *d)
{
	size_t count = d->disk_count;

	for (size_t i = 0; i < d->disk_count; i++)
		count += domain_reserves(&d->disks[i]);
	for (size_t i = 0; i < d->nic_count; i++)
		count += d->nics[i].queues;
	return count;
}

static void check_room(struct domain_parser *p, const struct domain_nic *nic, const char *where)
{
	if (p->d->nic_count >= DOMAIN_NICS_MAX)
		domain_refuse(p, -EOPNOTSUPP, where, "more than %u interfaces are not supported", DOMAIN_NICS_MAX);
	else if (domain_descriptors(p->d) + nic->queues > DOMAIN_DESCRIPTORS_MAX)
		domain_refuse(p, -EOPNOTSUPP, where,
			      "more than %u disks and queues of interfaces together are not supported",
			      DOMAIN_DESCRIPTORS_MAX);
}

void domain_nic_done(struct domain_nic *nic)
{
	free(nic->source);
	free(nic->forwards);
}

static int find_type(struct domain_parser *p, xmlNode *node, const char *where, enum domain_nic_type *ret)
{
	_cleanup_free_ char *type = domain_xml_attr(node, "type");

	for (size_t i = 0; type && i < ARRAY_SIZE(types); i++) {
		if (strcmp(type, types[i].name) != 0)
			continue;
		*ret = types[i].type;
		if (!types[i].refusal)
			return 0;
		domain_refuse(p, -EOPNOTSUPP, where, "type '%s': %s", type, types[i].refusal);
		return -EOPNOTSUPP;
	}
	domain_refuse(p, -EOPNOTSUPP, where,
		      "type '%s' is not supported: use bridge, ethernet, user, direct or internal", type ? type : "");
	return -EOPNOTSUPP;
}

void domain_xml_nic(struct domain_parser *p, xmlNode *node, const char *where)
{
	struct domain_nic nic = {0}, *more;

	if (find_type(p, node, where, &nic.type) < 0)
		return;
	nic_source(p, &nic, node, where);
	nic_mac(p, &nic, node, where);
	nic_alias(p, &nic, node, where);
	nic_target(p, &nic, node, where);
	nic_virtualport(p, &nic, node, where);
	nic_backend(p, &nic, node, where);
	nic_model(p, node);
	nic_numbers(p, &nic, node, where);
	domain_xml_nic_more(p, &nic, node, where);
	check_room(p, &nic, where);
	more = reallocarray(p->d->nics, p->d->nic_count + 1, sizeof(*more));
	if (!more) {
		domain_nic_done(&nic);
		domain_refuse(p, -ENOMEM, where, "no memory");
		return;
	}
	more[p->d->nic_count++] = nic;
	p->d->nics = more;
}

/* ---- what it lacks ---- */

static bool alias_taken(const struct domain *d, const char *name)
{
	for (size_t i = 0; i < d->nic_count; i++) {
		if (!strcmp(d->nics[i].alias, name))
			return true;
	}
	return false;
}

static int complete_alias(struct domain *d, struct domain_nic *nic, xmlNode *node)
{
	char name[DOMAIN_ALIAS_MAX];
	unsigned int n = 0;
	xmlNode *alias;

	do
		snprintf(name, sizeof(name), "net%u", n++);
	while (alias_taken(d, name));
	strcpy(nic->alias, name);
	alias = xmlNewChild(node, NULL, (const xmlChar *)"alias", NULL);
	return alias && xmlNewProp(alias, (const xmlChar *)"name", (const xmlChar *)name) ? 0 : -ENOMEM;
}

/* In the block that KVM's guests have. */
static int complete_mac(struct domain_nic *nic, xmlNode *node)
{
	char text[DOMAIN_MAC_TEXT];
	xmlNode *mac;

	memcpy(nic->mac, (const uint8_t[]){0x52, 0x54, 0x00}, 3);
	if (getrandom(nic->mac + 3, 3, 0) != 3)
		return -EIO;
	domain_mac_text(nic->mac, text);
	mac = xmlNewChild(node, NULL, (const xmlChar *)"mac", NULL);
	return mac && xmlNewProp(mac, (const xmlChar *)"address", (const xmlChar *)text) ? 0 : -ENOMEM;
}

/* By which controllers know the port, also after a restart. */
static int complete_port(struct domain_nic *nic, xmlNode *node)
{
	xmlNode *port = domain_xml_child(node, "virtualport"), *parameters = domain_xml_child(port, "parameters");
	uuid_t uuid;

	uuid_generate_random(uuid);
	uuid_unparse_lower(uuid, nic->iface_id);
	if (!parameters)
		parameters = xmlNewChild(port, NULL, (const xmlChar *)"parameters", NULL);
	return parameters && xmlNewProp(parameters, (const xmlChar *)"interfaceid", (const xmlChar *)nic->iface_id)
		       ? 0
		       : -ENOMEM;
}

int domain_xml_complete_nics(struct domain_parser *p, xmlDoc *doc)
{
	xmlNode *devices = domain_xml_child(xmlDocGetRootElement(doc), "devices");
	int r = 0;

	for (size_t i = 0; r == 0 && i < p->d->nic_count; i++) {
		struct domain_nic *nic = &p->d->nics[i];
		xmlNode *node = domain_xml_nth(devices, "interface", i);

		if (!*nic->alias) {
			r = complete_alias(p->d, nic, node);
			p->completed = true;
		}
		if (r == 0 && mac_is_zero(nic->mac)) {
			r = complete_mac(nic, node);
			p->completed = true;
		}
		if (r == 0 && nic->on_ovs && !*nic->iface_id) {
			r = complete_port(nic, node);
			p->completed = true;
		}
	}
	return r;
}

int domain_find_nic(const struct domain *domain, const char *alias, size_t *ret_index, struct err *err)
{
	for (size_t i = 0; i < domain->nic_count; i++) {
		if (strcmp(domain->nics[i].alias, alias) != 0)
			continue;
		*ret_index = i;
		return 0;
	}
	return err_set(err, -ENOENT, "VM %s: it has no NIC %s: see \"vmctl nic list %s\"", domain->name, alias,
		       domain->name);
}
