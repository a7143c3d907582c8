/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three byte registers through which a guest on hardware-reduced ACPI turns itself off or
 * resets itself (ACPI 6.4, 4.8.3.7 and 4.8.3.6), at consecutive ports:
 *
 *     0  sleep control: SLP_TYPx in bits 4:2, SLP_EN in bit 5
 *     1  sleep status:  WAK_STS in bit 7, cleared by writing 1
 *     2  reset:         the FADT's RESET_VALUE resets, others do nothing
 */
#ifndef HUSK_DEVICES_LEGACY_ACPI_POWER_H
#define HUSK_DEVICES_LEGACY_ACPI_POWER_H

#include "core/bus.h"
#include "core/state.h"
#include "devices/legacy/power.h"

#include <stdatomic.h>
#include <stdint.h>

#define ACPI_POWER_SIZE 3u

struct acpi_power {
    struct power_sink sink;
    uint8_t s5_type;
    uint8_t reset_value;
    _Atomic uint8_t sleep_type; /* what the guest last wrote, in its place in the register */
    _Atomic uint8_t status;
};

extern const struct bus_ops acpi_power_ops;

/* `s5_type` is SLP_TYPa of the DSDT's \_S5 package, 0 to 7; `reset_value` the FADT's. */
void acpi_power_init(struct acpi_power *power, uint8_t s5_type, uint8_t reset_value,
                     struct power_sink sink);
void acpi_power_reset(struct acpi_power *power);

/* Call with all vCPUs stopped. */
void acpi_power_save(const struct acpi_power *power, struct state_writer *writer);
void acpi_power_restore(struct acpi_power *power, struct state_reader *reader);

#endif
