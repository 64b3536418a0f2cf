/* SPDX-License-Identifier: Apache-2.0 */
/* org.bulkhead.VM1: its NICs. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "dbus_faces.h"

void dbus_nic_attach(struct msgbus_call *call, void *arg)
{
	dbus_change_attach(call, arg, dbus_nic_attach, vm_attach_nic);
}

void dbus_nic_detach(struct msgbus_call *call, void *arg)
{
	dbus_change_detach(call, arg, dbus_nic_detach, vm_detach_nic);
}

void dbus_nic_set(struct msgbus_call *call, void *arg)
{
	dbus_change_set(call, arg, dbus_nic_set, vm_set_nic);
}

/* ---- capture ---- */

/* "CODE JT JF K" each, as tcpdump -ddd has them. Return: 0, -EINVAL. */
static int read_filter(char *const *lines, struct worker_filter *ret, size_t *ret_len)
{
	size_t n = 0;

	for (; lines[n]; n++) {
		unsigned int code, jt, jf, k;
		int end = 0;

		if (n == WORKER_FILTER_MAX || sscanf(lines[n], "%u %u %u %u%n", &code, &jt, &jf, &k, &end) != 4 ||
		    lines[n][end] || code > UINT16_MAX || jt > UINT8_MAX || jf > UINT8_MAX)
			return -EINVAL;
		ret[n] = (struct worker_filter){(uint16_t)code, (uint8_t)jt, (uint8_t)jf, k};
	}
	*ret_len = n;
	return 0;
}

void dbus_nic_capture(struct msgbus_call *call, void *arg)
{
	struct vm_face *face = arg;
	struct worker_filter filter[WORKER_FILTER_MAX];
	struct vm_capture capture = {.fd = -1, .filter = filter};
	const char *alias = "";
	char **lines = NULL;
	struct msgbus_in in;

	msgbus_call_in(call, &in);
	msgbus_in_read(&in, "shu", &alias, &capture.fd, &capture.snap_len);
	if (msgbus_in_strv(&in, &lines) < 0 || capture.fd < 0)
		msgbus_fail(call, -EINVAL, "capture: it cannot be read");
	else if (read_filter(lines, filter, &capture.filter_len) < 0)
		msgbus_fail(call, -EINVAL, "filter: instructions are \"CODE JT JF K\", at most 256");
	else if (dbus_change_begins(face, call, 0, 0, dbus_nic_capture))
		vm_capture_nic(face->vm, alias, &capture, dbus_change_reply, call);
	if (capture.fd >= 0)
		close(capture.fd);
	msgbus_strv_free(lines);
}

void dbus_nic_stop_capture(struct msgbus_call *call, void *arg)
{
	const struct vm_capture none = {.fd = -1};
	struct vm_face *face = arg;
	const char *alias = "";
	struct msgbus_in in;

	msgbus_call_in(call, &in);
	msgbus_in_read(&in, "s", &alias);
	if (dbus_change_begins(face, call, 0, 0, dbus_nic_stop_capture))
		vm_capture_nic(face->vm, alias, &none, dbus_change_reply, call);
}

/* ---- Interfaces ---- */

static void put_text(const char *text, void *arg)
{
	msgbus_out_write(arg, "s", text);
}

/* An entry whose value is a list that somebody writes. */
static void open_list(struct msgbus_out *dict, const char *key, struct msgbus_out *entry, struct msgbus_out *variant,
		      struct msgbus_out *list)
{
	msgbus_out_open(dict, 'e', NULL, entry);
	msgbus_out_write(entry, "s", key);
	msgbus_out_open(entry, 'v', "as", variant);
	msgbus_out_open(variant, 'a', "s", list);
}

static void close_list(struct msgbus_out *entry, struct msgbus_out *variant, struct msgbus_out *list)
{
	msgbus_out_close(list);
	msgbus_out_close(variant);
	msgbus_out_close(entry);
}

static void put_settings(struct msgbus_out *dict, const struct domain_nic *nic)
{
	struct msgbus_out entry, variant, list;

	open_list(dict, "Settings", &entry, &variant, &list);
	domain_nic_settings(nic, put_text, &list);
	close_list(&entry, &variant, &list);
}

static void put_addresses(struct msgbus_out *dict, const struct worker_nic *told)
{
	struct msgbus_out entry, variant, list;
	char text[INET6_ADDRSTRLEN];

	open_list(dict, "Addresses", &entry, &variant, &list);
	for (size_t i = 0; told && i < told->address_count; i++) {
		const struct domain_address *address = &told->addresses[i];

		if (inet_ntop(address->v6 ? AF_INET6 : AF_INET, address->bytes, text, sizeof(text)))
			msgbus_out_write(&list, "s", text);
	}
	close_list(&entry, &variant, &list);
}

/* NULL: it does not run, or has not told. */
static const struct worker_nic *find_told(const struct vm_info *info, const char *alias)
{
	for (size_t s = 0; s < info->service_count; s++)
		for (size_t i = 0; i < info->services[s].nic_count; i++)
			if (!strcmp(info->services[s].nics[i].alias, alias))
				return &info->services[s].nics[i];
	return NULL;
}

static void put_nic(struct msgbus_out *list, const struct domain_nic *nic, const struct worker_nic *told)
{
	char mac[DOMAIN_MAC_TEXT], guest_mac[DOMAIN_MAC_TEXT] = "";
	struct msgbus_out entry, inside;

	domain_mac_text(nic->mac, mac);
	if (told)
		domain_mac_text(told->mac, guest_mac);
	msgbus_out_open(list, 'e', NULL, &entry);
	msgbus_out_write(&entry, "s", nic->alias);
	msgbus_out_open(&entry, 'a', "{sv}", &inside);
	msgbus_out_entry(&inside, "Type", "s", domain_nic_type_name(nic->type));
	msgbus_out_entry(&inside, "Source", "s", nic->source ? nic->source : nic->dev);
	msgbus_out_entry(&inside, "MAC", "s", mac);
	msgbus_out_entry(&inside, "GuestMAC", "s", guest_mac);
	msgbus_out_entry(&inside, "Queues", "u", nic->queues);
	msgbus_out_entry(&inside, "MTU", "u", nic->mtu);
	msgbus_out_entry(&inside, "Link", "s", !told ? "" : told->link ? "up" : "down");
	msgbus_out_entry(&inside, "PeerGone", "b", (int)(told && told->peer_gone));
	msgbus_out_entry(&inside, "Capturing", "b", (int)(told && told->capturing));
	msgbus_out_entry(&inside, "Dropped", "t", told ? told->dropped : UINT64_C(0));
	put_settings(&inside, nic);
	put_addresses(&inside, told);
	msgbus_out_close(&inside);
	msgbus_out_close(&entry);
}

void dbus_nic_get_all(void *object, struct msgbus_out *out)
{
	const struct vm *vm = ((struct vm_face *)object)->vm;
	const struct domain *d = vm_domain(vm);
	struct msgbus_out list;
	struct vm_info info;

	vm_info(vm, &info);
	msgbus_out_open(out, 'a', "{sa{sv}}", &list);
	for (size_t i = 0; i < d->nic_count; i++)
		put_nic(&list, &d->nics[i], find_told(&info, d->nics[i].alias));
	msgbus_out_close(&list);
}
