/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports of Open vSwitch, by ovs-vsctl.
 *
 * Theory of operation: what is asked stands in one queue, and one ovs-vsctl at a time does it, as a child with a time
 * limit; so who comes to a name comes after who has left it. A port is known by what stands beside it in the database:
 * the VM's UUID, the NIC's MAC address, and which manager has made it. What is to go is looked up by that first: a
 * port of that name may be anybody's. What a manager did not live to remove, the next one finds (ovs_sweep()): ports
 * of ours whose device is not there any more, at once, and again when no ovs-vsctl of the former one can be left, which
 * goes on by itself; a host that starts anew removes them itself (transient). What could not be removed is swept, too,
 * after a pause that doubles up to a minute, until the switch answers.
 *
 *	plug:   [ovs-vsctl find] -> [ovs-vsctl del-port] -> [ovs-vsctl add-port] -> answered
 *	set:    [ovs-vsctl set] -> answered
 *	unplug: [ovs-vsctl find] -> [ovs-vsctl del-port] -> answered
 *	                ^---- there are more ----+
 *
 * Limits: a job removes some hundred ports. Context: the loop's thread.
 * Spec: ovs-vsctl(8), ovs-vswitchd.conf.db(5) of Open vSwitch 3.1.
 */
#ifndef VMMGMTD_OVS_H
#define VMMGMTD_OVS_H

#include "base/err.h"
#include "base/syscalls.h"
#include "domain.h"
#include "ipc/loop.h"

struct ovs;
struct spawner;

/** ovs_calls - what this needs in the sandbox. */
extern const struct syscall_list ovs_calls;

/** ovs_done_fn - @error: 0 or a negative errno, with a line that says what to do. Once, never from inside a request. */
typedef void (*ovs_done_fn)(int error, const char *text, void *arg);

/** ovs_new - @spawner, @base (the manager's runtime folders, by which its ports are known) outlive it. */
int ovs_new(struct loop *loop, struct spawner *spawner, const char *base, struct ovs **ret_ovs);
/** ovs_free - what is under way goes on; all answers are -ECANCELED. NULL is allowed. */
void ovs_free(struct ovs *ovs);

/**
 * ovs_plug - make the device @name a port of the NIC's bridge. Where it was a port of ours, it is none any more; a port
 * of that name that is somebody else's stays, and is an error.
 * @nic, @name, @uuid: copied. @owner: for ovs_abandon().
 * Return: 0: @done follows; -ENOENT (no ovs-vsctl), -ENOMEM, with a line.
 */
int ovs_plug(struct ovs *ovs, const struct domain_nic *nic, const char *name, const char *uuid, const void *owner,
	     ovs_done_fn done, void *arg, struct err *err);

/** ovs_set - the same for what the port's VLANs are from now on. */
int ovs_set(struct ovs *ovs, const struct domain_nic *nic, const char *name, const void *owner, ovs_done_fn done,
	    void *arg, struct err *err);

/** ovs_unplug - remove the port of a NIC of the VM @uuid, or (NULL) the ports of all its NICs, if there are any. @done
 * may be NULL: then failures are logged. Return: as ovs_plug(). */
int ovs_unplug(struct ovs *ovs, const char *uuid, const struct domain_nic *nic, const void *owner, ovs_done_fn done,
	       void *arg, struct err *err);

/** ovs_sweep - at a manager's start: remove the ports of ours whose device is gone. Nothing is done without ovs-vsctl.
 */
void ovs_sweep(struct ovs *ovs);

/** ovs_abandon - @owner wants nothing any more: what it waits for is answered -ECANCELED, now; what has begun goes on.
 */
void ovs_abandon(struct ovs *ovs, const void *owner);

#endif
