/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest cannot find out by itself. The MACHINE_ constants come from machine.h when this is compiled. */
#include "platform.asli"

DefinitionBlock ("", "DSDT", 2, "BULKHD", "BULKHEAD", 1)
{
	Name (\_S5, Package () {MACHINE_ACPI_S5_TYPE, 0, 0, 0})

	Scope (\_SB)
	{
		Device (COM1)
		{
			Name (_HID, EisaId ("PNP0501"))
			Name (_UID, 1)
			Name (_STA, 0x0F)
			Name (_CRS, ResourceTemplate () {
				IO (Decode16, MACHINE_UART_PORT, MACHINE_UART_PORT, 1, MACHINE_UART_LEN)
				Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) {MACHINE_UART_GSI}
			})
		}

		/* no interrupt: the clock has no line */
		Device (RTC0)
		{
			Name (_HID, EisaId ("PNP0B00"))
			Name (_STA, 0x0F)
			Name (_CRS, ResourceTemplate () {
				IO (Decode16, MACHINE_RTC_PORT, MACHINE_RTC_PORT, 1, MACHINE_RTC_LEN)
			})
		}

		/* guests take the addresses of synthetic devices from this window */
		Device (VMOD)
		{
			Name (_HID, "ACPI0004")
			Name (_UID, 0)
			Name (_STA, 0x0F)
			Name (_CRS, ResourceTemplate () {
				QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite, 0,
					MACHINE_VMBUS_MMIO_GPA, MACHINE_VMBUS_MMIO_LAST, 0, MACHINE_VMBUS_MMIO_LEN)
			})

			Device (VMBS)
			{
				Name (_HID, "VMBus")
				Name (_UID, 0)
				Name (_STA, 0x0F)
			}
		}
	}
}
