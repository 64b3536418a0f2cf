/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a core device is. A device is one constant descriptor and a block of state. It knows offsets in its own region,
 * its state and its host callbacks; it knows no address, no bus, no KVM, no VM and no other device.
 *
 * Context: every device function runs with the machine's lock held, on a vCPU thread or the event loop; so do the
 * callbacks that a device makes. A device never blocks.
 */
#ifndef VMWORKER_DEVICE_H
#define VMWORKER_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEVICE_SAVE_MAX 4096u

/* What a device may ask of its surroundings. Callbacks that a device does not need may be NULL. */
struct device_host {
	void (*set_line)(void *arg, bool level);		/* raise or lower my interrupt line */
	void (*output)(void *arg, const void *buf, size_t len); /* serial: bytes to the outside */
	void (*power_off)(void *arg);				/* the guest asks for power-off */
	void (*reset)(void *arg);				/* the guest asks for a reset of the whole machine */
	void (*input_ready)(void *arg);	      /* serial: there is room again for bytes that input() refused */
	uint64_t (*wall_clock_ns)(void *arg); /* nanoseconds since 1970, UTC */
	uint64_t (*now_ns)(void *arg);	      /* monotonic */
	void *arg;
};

struct device_desc {
	const char *name;
	size_t state_size;
	uint32_t region_len;	 /* bytes of its I/O region */
	unsigned int access_max; /* widest access that it decodes: 1, 2 or 4; wider ones arrive as single bytes */
	void (*init)(void *state, const struct device_host *host);
	void (*reset)(void *state);
	/* @size: 1, 2 or 4, at most access_max; an access never crosses the region's end. Reads of nothing return all
	 * ones. */
	uint32_t (*read)(void *state, uint32_t offset, unsigned int size);
	void (*write)(void *state, uint32_t offset, unsigned int size, uint32_t value);
	/* bytes from the outside (serial); NULL if it takes none. Return: how many were taken; the rest is offered
	 * again after the device has called host->input_ready or at the next chance. */
	size_t (*input)(void *state, const void *buf, size_t len);
	/*
	 * The saved form: versioned by its first byte. save: returns its length, at most @max (DEVICE_SAVE_MAX is
	 * always enough); load: 0, -EPROTO, or -EPROTONOSUPPORT for a version it does not know: the state is then
	 * unchanged. Neither makes a callback.
	 */
	size_t (*save)(const void *state, void *buf, size_t max);
	int (*load)(void *state, const void *buf, size_t len);
	void (*done)(void *state);
};

#endif
