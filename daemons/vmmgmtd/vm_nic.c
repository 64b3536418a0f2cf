/* SPDX-License-Identifier: Apache-2.0 */
/* NICs of a VM. */
#include <errno.h>
#include <string.h>

#include "vm_int.h"

/* ---- MAC addresses ---- */

static bool has_mac(const struct domain *d, const uint8_t mac[6])
{
	for (size_t i = 0; i < d->nic_count; i++) {
		if (!memcmp(d->nics[i].mac, mac, 6))
			return true;
	}
	return false;
}

bool vm_uses_mac(const struct vm *vm, const uint8_t mac[6])
{
	return has_mac(&vm->domain, mac) || (vm->kept.xml && has_mac(&vm->kept, mac));
}

int vm_check_mac(const struct vm_env *env, const struct vm *vm, const struct domain_nic *nic, struct err *err)
{
	const char *owner = env->mac_owner ? env->mac_owner(nic->mac, vm, env->arg) : NULL;
	char text[DOMAIN_MAC_TEXT];

	domain_mac_text(nic->mac, text);
	return owner ? err_set(err, -EEXIST,
			       "NIC %s: MAC address %s is that of a NIC of VM %s: give it another, or leave it out",
			       nic->alias, text, owner)
		     : 0;
}
