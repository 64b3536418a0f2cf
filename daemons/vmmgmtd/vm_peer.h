/* SPDX-License-Identifier: Apache-2.0 */
/* What is behind NICs that are streams: passt, sockets. Context: the loop's thread. */
#ifndef VMMGMTD_VM_PEER_H
#define VMMGMTD_VM_PEER_H

#include "vm_int.h"

/** vm_peer_calls - what this needs in the sandbox. */
extern const struct syscall_list vm_peer_calls;

/** vm_peer_open - the first one behind a NIC of @vm: @ret_fd is the VM's end. passt must be there; of a socket's other
 * side nobody need be. What the NIC must know of it is put into @nic. Return: 0; a negative errno with a line. */
int vm_peer_open(struct vm *vm, struct domain_nic *nic, struct err *err, int *ret_fd);
/** vm_peer_close - the NIC is gone: what is behind it is looked after no more, and ends with the VM's end of it. */
void vm_peer_close(struct vm *vm, const char *alias);
/** vm_peers_close - of all NICs. */
void vm_peers_close(struct vm *vm);
/** vm_peers_begin - a run begins: what was behind the NICs in an earlier one does not count. */
void vm_peers_begin(struct vm *vm);
/** vm_peers_save - write down, for a later vmmgmtd, what has been behind the NICs. */
void vm_peers_save(struct vm *vm);
/** vm_peers_adopt - an earlier vmmgmtd has opened them, and written down what it knew of them. */
void vm_peers_adopt(struct vm *vm);
/** vm_peers_look_after - after all that there are; those that are looked after already are left as they are. */
void vm_peers_look_after(struct vm *vm);
/** vm_peers_told - the worker has told of its services: look who has gone. */
void vm_peers_told(struct vm *vm);

/** vm_peers_are - what is behind the NICs of @domain, as the worker tells (worker_get_peers()). */
void vm_peers_are(struct domain *domain, const struct worker_nic_peer *peers, size_t count);
/** vm_nics_carry - what is behind the NICs of @from is behind those of the same alias of @to. */
void vm_nics_carry(struct domain *to, const struct domain *from);

#endif
