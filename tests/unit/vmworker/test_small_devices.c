/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "dev/dev.h"

static unsigned int resets, power_offs;

static void fake_reset(void *arg)
{
	resets++;
}

static void fake_power_off(void *arg)
{
	power_offs++;
}

static const struct device_host fake_host = {.reset = fake_reset, .power_off = fake_power_off};

static void *build(const struct device_desc *desc)
{
	void *state = malloc(desc->state_size);

	desc->init(state, &fake_host);
	return state;
}

static void destroy(const struct device_desc *desc, void *state)
{
	desc->done(state);
	free(state);
}

Test(i8042, status_is_always_ready)
{
	void *kbc = build(&i8042_device);

	cr_assert_eq(i8042_device.read(kbc, 4, 1), 0);
	i8042_device.write(kbc, 4, 1, 0xaa);
	cr_assert_eq(i8042_device.read(kbc, 4, 1), 0, "no command is answered");
	cr_assert_eq(i8042_device.read(kbc, 0, 1), 0);
	cr_assert_eq(i8042_device.read(kbc, 3, 1), 0xff);
	cr_assert_eq(resets, 0);
	destroy(&i8042_device, kbc);
}

Test(i8042, pulse_resets)
{
	void *kbc = build(&i8042_device);

	i8042_device.write(kbc, 4, 1, 0xff);
	cr_assert_eq(resets, 0, "pulses nothing");
	i8042_device.write(kbc, 4, 1, 0xfe);
	cr_assert_eq(resets, 1);
	i8042_device.write(kbc, 0, 1, 0xfe);
	cr_assert_eq(resets, 1, "only as a command");
	destroy(&i8042_device, kbc);
}

Test(i8042, output_port_resets)
{
	void *kbc = build(&i8042_device);

	i8042_device.write(kbc, 4, 1, 0xd1);
	i8042_device.write(kbc, 0, 1, 0xdf); /* A20 on */
	i8042_device.write(kbc, 0, 1, 0x00);
	cr_assert_eq(resets, 0);
	i8042_device.write(kbc, 4, 1, 0xd1);
	i8042_device.write(kbc, 0, 1, 0xde);
	cr_assert_eq(resets, 1);
	destroy(&i8042_device, kbc);
}

Test(i8042, port_b_never_hangs_a_loop)
{
	void *kbc = build(&i8042_device);
	uint32_t first = i8042_device.read(kbc, 1, 1);

	cr_assert_eq(first & 0x20, 0x20);
	cr_assert_neq(first & 0x10, i8042_device.read(kbc, 1, 1) & 0x10);
	i8042_device.write(kbc, 1, 1, 0xf1);
	cr_assert_eq(i8042_device.read(kbc, 1, 1) & 0xcf, 0x01);
	destroy(&i8042_device, kbc);
}

Test(i8042, save_and_load)
{
	void *kbc = build(&i8042_device);
	uint8_t buf[DEVICE_SAVE_MAX];
	size_t len;

	i8042_device.write(kbc, 1, 1, 0x03);
	i8042_device.write(kbc, 4, 1, 0xd1);
	len = i8042_device.save(kbc, buf, sizeof(buf));
	i8042_device.reset(kbc);
	cr_assert_eq(i8042_device.load(kbc, buf, len), 0);
	cr_assert_eq(i8042_device.read(kbc, 1, 1) & 0x0f, 0x03);
	i8042_device.write(kbc, 0, 1, 0x00);
	cr_assert_eq(resets, 1);
	buf[2] = 2;
	cr_assert_eq(i8042_device.load(kbc, buf, len), -EPROTO);
	cr_assert_eq(i8042_device.load(kbc, buf, 1), -EPROTO);
	buf[0]++;
	cr_assert_eq(i8042_device.load(kbc, buf, len), -EPROTONOSUPPORT);
	destroy(&i8042_device, kbc);
}

Test(acpi_pm, soft_off)
{
	void *pm = build(&acpi_pm_device);

	acpi_pm_device.write(pm, 0, 1, 5 << 2);
	cr_assert_eq(power_offs, 0, "not enabled");
	cr_assert_eq(acpi_pm_device.read(pm, 0, 1), 5 << 2);
	acpi_pm_device.write(pm, 0, 1, 0x20 | 1 << 2);
	acpi_pm_device.write(pm, 0, 1, 0x20);
	cr_assert_eq(power_offs, 0, "no other state");
	acpi_pm_device.write(pm, 0, 1, 0x20 | 5 << 2);
	cr_assert_eq(power_offs, 1);
	cr_assert_eq(acpi_pm_device.read(pm, 0, 1), 5 << 2, "the enable bit is write-only");
	cr_assert_eq(resets, 0);
	destroy(&acpi_pm_device, pm);
}

Test(acpi_pm, sleep_status)
{
	void *pm = build(&acpi_pm_device);

	cr_assert_eq(acpi_pm_device.read(pm, 1, 1), 0);
	acpi_pm_device.write(pm, 1, 1, 0x80);
	cr_assert_eq(acpi_pm_device.read(pm, 1, 1), 0);
	cr_assert_eq(resets + power_offs, 0);
	destroy(&acpi_pm_device, pm);
}

Test(acpi_pm, reset_register)
{
	void *pm = build(&acpi_pm_device);

	acpi_pm_device.write(pm, 2, 1, 0);
	cr_assert_eq(resets, 0);
	acpi_pm_device.write(pm, 2, 1, 1);
	cr_assert_eq(resets, 1);
	destroy(&acpi_pm_device, pm);
}

Test(acpi_pm, save_and_load)
{
	void *pm = build(&acpi_pm_device);
	uint8_t buf[DEVICE_SAVE_MAX];
	size_t len;

	acpi_pm_device.write(pm, 0, 1, 3 << 2);
	len = acpi_pm_device.save(pm, buf, sizeof(buf));
	acpi_pm_device.reset(pm);
	cr_assert_eq(acpi_pm_device.read(pm, 0, 1), 0);
	cr_assert_eq(acpi_pm_device.load(pm, buf, len), 0);
	cr_assert_eq(acpi_pm_device.read(pm, 0, 1), 3 << 2);
	cr_assert_eq(acpi_pm_device.load(pm, buf, 0), -EPROTO);
	buf[1] = 0x20;
	cr_assert_eq(acpi_pm_device.load(pm, buf, len), -EPROTO);
	buf[0]++;
	cr_assert_eq(acpi_pm_device.load(pm, buf, len), -EPROTONOSUPPORT);
	destroy(&acpi_pm_device, pm);
}
