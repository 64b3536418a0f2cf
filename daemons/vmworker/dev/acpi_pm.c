/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registers of hardware-reduced ACPI: sleep control, sleep status, reset. boot/acpi.c names them in the FADT.
 * Sleep status (WAK_STS) always reads 0, for nothing is ever woken from. The only sleep state that the DSDT offers is
 * S5 (soft off); requests for any other are ignored.
 */
#include <errno.h>
#include <string.h>

#include "dev/dev.h"
#include "machine.h"

#define ACPI_PM_LEN 3u

#define SLEEP_CONTROL_TYPE	 0x1cu /* SLP_TYP */
#define SLEEP_CONTROL_TYPE_SHIFT 2u
#define SLEEP_CONTROL_ENABLE	 0x20u /* SLP_EN: write-only */

#define ACPI_PM_VERSION 1u

struct acpi_pm {
	struct device_host host;
	uint8_t sleep_type; /* SLP_TYP as last written, in place */
};

static void acpi_pm_reset(void *state)
{
	struct acpi_pm *pm = state;

	pm->sleep_type = 0;
}

static void acpi_pm_init(void *state, const struct device_host *host)
{
	struct acpi_pm *pm = state;

	pm->host = *host;
	acpi_pm_reset(pm);
}

static uint32_t acpi_pm_read(void *state, uint32_t offset, unsigned int size)
{
	const struct acpi_pm *pm = state;

	return offset == MACHINE_ACPI_SLEEP_CONTROL ? pm->sleep_type : 0;
}

static void acpi_pm_write(void *state, uint32_t offset, unsigned int size, uint32_t value)
{
	struct acpi_pm *pm = state;

	switch (offset) {
	case MACHINE_ACPI_SLEEP_CONTROL:
		pm->sleep_type = value & SLEEP_CONTROL_TYPE;
		if ((value & SLEEP_CONTROL_ENABLE) &&
		    pm->sleep_type >> SLEEP_CONTROL_TYPE_SHIFT == MACHINE_ACPI_S5_TYPE)
			pm->host.power_off(pm->host.arg);
		break;
	case MACHINE_ACPI_RESET:
		if (value == MACHINE_ACPI_RESET_VALUE)
			pm->host.reset(pm->host.arg);
		break;
	}
}

static size_t acpi_pm_save(const void *state, void *buf, size_t max)
{
	const struct acpi_pm *pm = state;
	const uint8_t saved[] = {ACPI_PM_VERSION, pm->sleep_type};

	memcpy(buf, saved, sizeof(saved));
	return sizeof(saved);
}

static int acpi_pm_load(void *state, const void *buf, size_t len)
{
	struct acpi_pm *pm = state;
	const uint8_t *saved = buf;

	if (len < 1)
		return -EPROTO;
	if (saved[0] != ACPI_PM_VERSION)
		return -EPROTONOSUPPORT;
	if (len != 2 || (saved[1] & ~SLEEP_CONTROL_TYPE))
		return -EPROTO;
	pm->sleep_type = saved[1];
	return 0;
}

static void acpi_pm_done(void *state)
{
}

const struct device_desc acpi_pm_device = {
	.name = "acpi-pm",
	.state_size = sizeof(struct acpi_pm),
	.region_len = ACPI_PM_LEN,
	.access_max = 1,
	.init = acpi_pm_init,
	.reset = acpi_pm_reset,
	.read = acpi_pm_read,
	.write = acpi_pm_write,
	.save = acpi_pm_save,
	.load = acpi_pm_load,
	.done = acpi_pm_done,
};
