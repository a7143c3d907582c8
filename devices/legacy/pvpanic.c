/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/legacy/pvpanic.h"

#define EVENT_PANICKED 0x01u

static void read_events(void *device, uint64_t offset, void *data, unsigned size)
{
    (void)device;
    (void)offset;
    bus_set_value(data, size, EVENT_PANICKED);
}

static void write_event(void *device, uint64_t offset, const void *data, unsigned size)
{
    struct pvpanic *pvpanic = device;

    (void)offset;
    if (bus_value(data, size) & EVENT_PANICKED)
        pvpanic->sink.event(pvpanic->sink.context, POWER_EVENT_PANIC);
}

const struct bus_ops pvpanic_ops = {.read = read_events, .write = write_event};

void pvpanic_init(struct pvpanic *pvpanic, struct power_sink sink)
{
    *pvpanic = (struct pvpanic){.sink = sink};
}

void pvpanic_reset(struct pvpanic *pvpanic)
{
    (void)pvpanic;
}

void pvpanic_save(const struct pvpanic *pvpanic, struct state_writer *writer)
{
    (void)pvpanic;
    state_begin(writer, "pvpanic", 1);
    state_end(writer);
}

void pvpanic_restore(struct pvpanic *pvpanic, struct state_reader *reader)
{
    (void)pvpanic;
    state_enter(reader, "pvpanic", 1);
    state_leave(reader);
}
