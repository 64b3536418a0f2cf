/* SPDX-License-Identifier: Apache-2.0 */
/* What service.c (processes that we run) and service_foreign.c (processes that somebody else runs) share. */
#ifndef VMWORKER_SERVICE_INT_H
#define VMWORKER_SERVICE_INT_H

#include "service.h"

/* ---- service.c ---- */

void service_changed(struct provider *provider);

/** service_away - nobody serves from now on. */
void service_away(struct provider *provider);

/** service_describe_end - into s->message. @program: who. @status: as of waitpid(); -1: not known. */
void service_describe_end(struct service *s, const char *program, int status);

/** service_own_fault - whether a process that ended with @status died of what it did. */
bool service_own_fault(int status);

/** service_count_death - what is known at once. */
void service_count_death(struct service *s);

/* What is known once somebody has told how it ended. */
struct service_death {
	int status;		/* as above */
	uint64_t ready_ns;	/* since when it was ready; 0: it never was */
	uint64_t well_until_ns; /* its end, or its last sign of life */
	bool hung;
};

/** service_judge_death - faults and failures in a row. Return: how long to wait before the next start. */
uint64_t service_judge_death(struct service *s, const struct service_death *death);

/** service_back_off - one more failure in a row. Return: as above. */
uint64_t service_back_off(struct service *s);

/** service_be_patient - with a process that should do something, or end. */
void service_be_patient(struct provider *provider, uint64_t ns);

/** service_upgrade_fail - it is over. @why: a line. */
void service_upgrade_fail(struct provider *provider, int code, const char *why);

/** service_reads_too_little - whether it could not read what the last one has left. */
bool service_reads_too_little(const struct service *s, const struct attachment *attachment);
/** service_refuse_version - for that. Its process ends now; s->refusal is why. Return: -EPROTO with a line. */
int service_refuse_version(struct service *s, const struct attachment *attachment, struct err *err);

/* ---- service_foreign.c ---- */

/** service_foreign_attach - as service_attach(). */
int service_foreign_attach(struct provider *provider, const struct attachment *attachment, struct err *err);

/** service_foreign_lost - its connection has ended, or was. */
void service_foreign_lost(struct provider *provider);

/** service_foreign_kill - it is not our child, and we may be somebody else. Return: 0 or a negative errno. */
int service_foreign_kill(const struct service *s);

/** service_foreign_end - provider.now has handed over, or will not: it must end. */
void service_foreign_end(struct provider *provider);

/** service_foreign_late - patience has ended. */
void service_foreign_late(struct provider *provider);

/** service_foreign_go_on - a pause is over: who has told of an end is answered. */
void service_foreign_go_on(struct provider *provider);

/** service_foreign_upgrade - ask provider.now to hand over to whoever comes next. Return: 0 or a negative errno. */
int service_foreign_upgrade(struct provider *provider, int program_fd, struct err *err);

void service_foreign_done(struct service *s);

#endif
