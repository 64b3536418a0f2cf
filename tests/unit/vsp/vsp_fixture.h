/* SPDX-License-Identifier: Apache-2.0 */
/* A VSP of one device over a fake guest, with one channel, and a fake worker. */
#ifndef VSP_FIXTURE_H
#define VSP_FIXTURE_H

#include "fake_worker.h"
#include "vsp/vsp.h"

extern struct loop *loop;
extern struct fake_guest guest;
extern struct fake_channel peer;
extern struct fake_worker *worker;
extern struct vsp *vsp;
extern struct fake_packet got;
extern const char *gone; /* why the worker went away; NULL: it did not */

/** vf_init - @memory: bytes of the guest's; @ring_pages: of each ring; @provider: NULL: nothing but its name, "test".
 */
void vf_init(size_t memory, uint32_t ring_pages, const struct fake_provider *provider);
void vf_done(void);

/** vf_attach - a process attaches; also the next one, when vsp_free() has been done. */
void vf_attach(void);
/** vf_offer - its device; then it is ready, and the worker knows. */
void vf_offer(const char *name, const struct vsp_device_ops *ops, void *arg);

#endif
