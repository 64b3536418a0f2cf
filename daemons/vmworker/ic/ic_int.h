/* SPDX-License-Identifier: Apache-2.0 */
/* What the table of services, their channels and the services themselves share. */
#ifndef VMWORKER_IC_INT_H
#define VMWORKER_IC_INT_H

#include "base/log.h"
#include "ic/ic.h"
#include "ic/ic_parse.h"

struct ic_channel;

/*
 * A service: a row of the table in ic.c. Constant. Functions may be NULL; they are called on a channel that has
 * negotiated, but for closed().
 */
struct ic_service {
	const char *name;
	struct abi_guid interface_guid, instance_guid;
	uint16_t type; /* of its messages: enum ic_message_type */
	struct ic_versions versions;
	uint64_t
		period_ns; /* between two ticks; while an answer is outstanding the guest is signalled again as often */
	void (*ready)(struct ic_channel *channel);
	/* An answer to ic_channel_send(). */
	void (*answer)(struct ic_channel *channel, const struct ic_message *message);
	/* The guest asks for something itself. */
	void (*request)(struct ic_channel *channel, const struct ic_message *message);
	void (*tick)(struct ic_channel *channel);
	/* The vCPUs run from now on, or stand still. */
	void (*running)(struct ic_channel *channel, bool running);
	/* No answer comes any more; ready() may follow. */
	void (*closed)(struct ic_channel *channel);
};

extern const struct ic_service ic_shutdown_service, ic_heartbeat_service, ic_timesync_service;

enum ic_channel_state {
	IC_CLOSED,
	IC_NEGOTIATING,
	IC_READY,
	IC_UNFIT, /* open for the guest, but not used: no version in common, or corrupt */
};

/* Invariants: @channel is there, and @kick is watched, in NEGOTIATING and READY; it is there in UNFIT. @timer is armed
 * only while the vCPUs run. */
struct ic_channel {
	struct ic *ic;
	const struct ic_service *service;
	uint32_t offer_id;
	enum ic_channel_state state;
	struct channel channel;
	struct loop_source *kick, *timer;
	struct ic_version framework, version; /* READY */
	uint8_t transaction_id;		      /* of the last request */
	bool waiting;			      /* for the answer to it: only one is under way */
	struct log_limit limit;
};

struct ic {
	struct loop *loop;
	const struct guest_mem *mem;
	const struct signal_map *cells;
	struct ic_host host;
	struct bus_provider *provider;
	bool running;
	struct loop_source *pace; /* armed while it has told of a change a short time ago */
	bool pacing, more;	  /* and there was another one since */
	struct ic_channel channel[IC_SERVICES];

	struct {
		ic_done_fn done; /* NULL: nobody waits */
		void *arg;
		struct loop_source *deadline;
	} shutdown;
	struct {
		enum ic_heartbeat_state state;
		uint64_t sequence;
		unsigned int missed;
	} heartbeat;
	struct {
		bool sync; /* tell the time as soon as the last answer is there */
	} timesync;
};

/* ---- ic.c ---- */

/** ic_tell - something has changed. A guest can bring that about as often as it likes: the VM hears of it at most every
 * IC_PACE_NS. */
void ic_tell(struct ic *ic);
/** ic_pace_over - the timer's callback. @arg: the struct ic. */
void ic_pace_over(void *arg);
#define IC_PACE_NS (200 * 1000 * 1000ull)

/* ---- ic_channel.c ---- */

/** ic_channel_open - Return: 0 or a negative errno: the descriptors of @open stay the bus's in either case. */
int ic_channel_open(struct ic_channel *channel, const struct bus_open *open);
/** ic_channel_close - the guest's memory is let go. Closed is allowed. */
void ic_channel_close(struct ic_channel *channel);
/** ic_channel_running - as ic_running(). */
void ic_channel_running(struct ic_channel *channel, bool running);
/**
 * ic_channel_send - a request. @body: @len bytes, at most IC_BODY_MAX.
 * Return: 0; -ENOTCONN (not READY); -EBUSY (the last one is not answered yet); -EPROTO: the channel is UNFIT now.
 */
int ic_channel_send(struct ic_channel *channel, const void *body, size_t len);
/** ic_channel_on_timer - the timer's callback. */
void ic_channel_on_timer(void *arg);

/* ---- shutdown.c ---- */

/** ic_shutdown_finish - who asked for it gets @code with @text. */
void ic_shutdown_finish(struct ic *ic, int code, const char *text);
/** ic_shutdown_overdue - the deadline's callback. @arg: the struct ic. */
void ic_shutdown_overdue(void *arg);

#endif
