/* SPDX-License-Identifier: Apache-2.0 */
/* What is counted of disks: LUNs as units of the VSP's statistics, SCSI commands as requests of theirs. */
#ifndef STORAGED_OBSERVE_H
#define STORAGED_OBSERVE_H

#include "abi/guid.h"
#include "scsi.h"
#include "vsp/stats.h"

/** observe_lun - @lun, on the controller of this instance, is counted from now on. @fresh: it has just come; else a
 * predecessor may have counted it. */
void observe_lun(struct stats *stats, const struct abi_guid *instance, struct scsi_lun *lun, bool fresh);

/**
 * observe_done - what a command counts as whose done() is called, and its LUN has one less under way. Reads and writes
 * are those with a buffer of the initiator's, whatever they do to the medium besides; an error is every end but GOOD
 * and a unit attention, which the initiator answers by sending the command again.
 */
void observe_done(const struct scsi_request *request, struct stats_account *ret);

#endif
