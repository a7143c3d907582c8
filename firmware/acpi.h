/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hardware-reduced ACPI tables: what the machine is, told so that a stock kernel needs to probe
 * for nothing (ACPI 6.5; virtio-mmio by HID LNRO0005, as the virtio specification leaves to the
 * platform).
 *
 *     RSDP -> XSDT -> FADT -> DSDT (\_S5 and the devices)
 *                  -> MADT         (processors, I/O APIC)
 *                  -> MCFG         (the PCI bus's configuration space, if there is a bus)
 *
 * A guest powers off by writing SLP_TYP and SLP_EN to the sleep control register and reboots by
 * writing the reset value to the reset register.
 */
#ifndef HUSK_FIRMWARE_ACPI_H
#define HUSK_FIRMWARE_ACPI_H

#include "core/err.h"
#include "core/memory.h"

#include <stdint.h>

#define ACPI_CPUS_MAX 1024u
#define ACPI_VIRTIO_MMIO_MAX 64u
#define ACPI_ECAM_SIZE 0x100000u

struct acpi_virtio_mmio {
    uint64_t base; /* below 4 GiB */
    uint32_t size; /* bytes */
    uint32_t gsi;  /* edge, active high */
};

/* Ports are I/O ports, interrupts are gsis, edge-triggered and active high. */
struct acpi_config {
    const uint32_t *apic_ids; /* one a processor; the boot processor first */
    unsigned cpu_count;
    uint32_t lapic_base;
    uint32_t ioapic_base;
    uint8_t ioapic_id;

    uint16_t sleep_control_port; /* one byte each */
    uint16_t sleep_status_port;
    uint8_t sleep_type_s5; /* the SLP_TYP (0..7) that powers the machine off */
    uint16_t reset_port;
    uint8_t reset_value;

    uint16_t serial_port; /* 16550, eight ports; 0: none */
    uint32_t serial_gsi;
    uint16_t rtc_port; /* CMOS RTC, two ports; 0: none, and the FADT says so */
    uint32_t rtc_gsi;  /* 0: the RTC raises no interrupt */
    uint16_t pvpanic_port; /* 0: none */

    uint32_t power_button_gsi; /* 0: no button */

    const struct acpi_virtio_mmio *virtio_mmio;
    unsigned virtio_mmio_count;

    /* PCI: bus 0 alone, no interrupt pins. */
    uint64_t ecam_base; /* of its 1 MiB of configuration space, below 4 GiB; 0: no PCI */
    uint32_t pci_window_base; /* where BARs may be */
    uint32_t pci_window_size;
};

/*
 * Writes all tables into `area`, the RSDP at its base (16-byte aligned), which *rsdp then is.
 * Errors: -EINVAL for a configuration that no table can express, -ENOSPC when the area is too
 * small, -EFAULT when it is not in guest memory.
 */
int acpi_build(const struct guest_memory *memory, struct memory_range area,
               const struct acpi_config *config, struct gpa *rsdp, struct err *err);

#endif
