/* SPDX-License-Identifier: Apache-2.0 */
/* The DSDT's content: \_S5 and the devices that no bus enumerates. Internal to firmware. */
#ifndef HUSK_FIRMWARE_DSDT_H
#define HUSK_FIRMWARE_DSDT_H

#include "firmware/acpi.h"
#include "firmware/aml.h"

void dsdt_write(struct aml *aml, const struct acpi_config *config);

#endif
