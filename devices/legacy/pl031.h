/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PL031 real-time clock (Arm DDI 0224): seconds since 1970 in one register.
 *
 * It shows the host's UTC, moved by what the guest has set. The alarm is stored and never fires;
 * there is no interrupt.
 */
#ifndef HUSK_DEVICES_LEGACY_PL031_H
#define HUSK_DEVICES_LEGACY_PL031_H

#include "core/bus.h"
#include "core/state.h"
#include "devices/legacy/primecell.h"

#include <stdatomic.h>
#include <stdint.h>

#define PL031_SIZE PRIMECELL_SIZE

struct pl031 {
    uint64_t (*clock)(void *context); /* seconds since 1970, UTC */
    void *clock_context;
    _Atomic uint32_t offset; /* seconds: the guest's clock minus the host's */
    _Atomic uint32_t match;
    _Atomic uint32_t interrupt_mask;
};

extern const struct bus_ops pl031_ops;

/* `clock` NULL means the host's. Cannot fail. */
void pl031_init(struct pl031 *rtc, uint64_t (*clock)(void *context), void *clock_context);

/* A system reset: the clock goes on. */
void pl031_reset(struct pl031 *rtc);

/* Call with all vCPUs stopped. */
void pl031_save(struct pl031 *rtc, struct state_writer *writer);
void pl031_restore(struct pl031 *rtc, struct state_reader *reader);

#endif
