/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pvpanic (the "pvpanic device" document in QEMU's docs/specs): one byte port. Reading tells
 * which events the host understands, writing reports one.
 *
 * Only "panicked" is offered. A guest with a crash kernel loaded then reports nothing, and so is
 * left alone to write its dump.
 */
#ifndef HUSK_DEVICES_LEGACY_PVPANIC_H
#define HUSK_DEVICES_LEGACY_PVPANIC_H

#include "core/bus.h"
#include "core/state.h"
#include "devices/legacy/power.h"

#define PVPANIC_SIZE 1u

struct pvpanic {
    struct power_sink sink;
};

extern const struct bus_ops pvpanic_ops;

void pvpanic_init(struct pvpanic *pvpanic, struct power_sink sink);

/* There is no state; the section is there so that it can come. */
void pvpanic_reset(struct pvpanic *pvpanic);
void pvpanic_save(const struct pvpanic *pvpanic, struct state_writer *writer);
void pvpanic_restore(struct pvpanic *pvpanic, struct state_reader *reader);

#endif
