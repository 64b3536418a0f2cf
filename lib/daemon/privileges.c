/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Becoming an ordinary user for good. The order matters: the bounding set can only be emptied with CAP_SETPCAP, groups
 * and users only be changed with CAP_SETGID and CAP_SETUID; the sets that hold them are emptied last.
 */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/daemon.h"

/* Without CAP_SETPCAP (an ordinary user) it stays as it is, which harms nobody: there are no new privileges anyway. */
static int empty_bounding_set(void)
{
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EPERM)
			return -errno;
	}
	return 0;
}

/* Of those that we have, only @keep stay. */
static int reduce_capability_sets(uint64_t keep)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 || syscall(SYS_capget, &header, sets) < 0)
		return -errno;
	for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		sets[i].permitted &= (uint32_t)(keep >> (32 * i));
		sets[i].effective = sets[i].permitted;
		sets[i].inheritable = 0;
	}
	return syscall(SYS_capset, &header, sets) < 0 ? -errno : 0;
}

int daemon_keep_capabilities(uint64_t keep, struct err *err)
{
	int r = empty_bounding_set();

	if (r == 0)
		r = reduce_capability_sets(keep);
	return r < 0 ? err_set(err, r, "cannot give up capabilities: %s", strerrordesc_np(-r)) : 0;
}

static int change_user(uid_t uid, gid_t gid)
{
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	return 0;
}

/* Whether there is no way back. */
static bool is_final(uid_t uid, gid_t gid)
{
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid;

	if (getresuid(&ruid, &euid, &suid) < 0 || getresgid(&rgid, &egid, &sgid) < 0)
		return false;
	return ruid == uid && euid == uid && suid == uid && rgid == gid && egid == gid && sgid == gid &&
	       getgroups(0, NULL) == 0 && (uid == 0 || setuid(0) < 0);
}

int daemon_drop_privileges(uid_t uid, gid_t gid, struct err *err)
{
	bool root = geteuid() == 0;
	int dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
	int r = empty_bounding_set();

	if (r == 0 && root)
		r = change_user(uid, gid);
	if (r == 0)
		r = reduce_capability_sets(0);
	if (r == 0 && root && !is_final(uid, gid))
		r = -EPERM;
	/* A change of user resets it, also where daemon_init() left it for debuggers. */
	if (r == 0 && root && dumpable == 1 && prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
		r = -errno;
	if (r < 0)
		return err_set(
			err, r,
			"cannot become user %u, group %u without privileges: %s: start it as root or as that user", uid,
			gid, strerrordesc_np(-r));
	return 0;
}
