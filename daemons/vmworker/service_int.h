/* SPDX-License-Identifier: Apache-2.0 */
/* What service.c (processes that we run) and service_foreign.c (processes that somebody else runs) share. */
#ifndef VMWORKER_SERVICE_INT_H
#define VMWORKER_SERVICE_INT_H

#include "service.h"

/* ---- service.c ---- */

void service_changed(struct provider *provider);

/** service_away - nobody serves from now on. */
void service_away(struct provider *provider);

/** service_describe_end - into s->message. @status: as of waitpid(); -1: not known. */
void service_describe_end(struct service *s, int status);

/** service_count_death - @ready_ns: since when it was ready; 0: it never was. Return: how long to wait before the next
 * start. */
uint64_t service_count_death(struct service *s, int status, uint64_t ready_ns);

/** service_be_patient - with a process that should do something, or end. */
void service_be_patient(struct provider *provider, uint64_t ns);

/* ---- service_foreign.c ---- */

/** service_foreign_attach - as service_attach(). */
int service_foreign_attach(struct provider *provider, const struct attachment *attachment, struct err *err);

/** service_foreign_lost - its connection has ended, or was. */
void service_foreign_lost(struct provider *provider);

/** service_foreign_kill - it is not our child, and we may be somebody else. Return: 0 or a negative errno. */
int service_foreign_kill(const struct service *s);

#endif
