/* SPDX-License-Identifier: Apache-2.0 */
/* Byte accesses to a device's registers, as a vCPU makes them, and power events as they come. */
#ifndef HUSK_TESTS_PORTS_H
#define HUSK_TESTS_PORTS_H

#include "core/bus.h"
#include "devices/legacy/power.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline void port_out(const struct bus_ops *ops, void *device, uint64_t offset, uint8_t value)
{
    ops->write(device, offset, &value, 1);
}

static inline uint8_t port_in(const struct bus_ops *ops, void *device, uint64_t offset)
{
    uint8_t value = 0xff;

    ops->read(device, offset, &value, 1);
    return value;
}

/* Accesses of every width at every offset, with every kind of value; they only have to end. */
static inline void port_abuse(const struct bus_ops *ops, void *device, unsigned range,
                              unsigned rounds)
{
    unsigned short seed[3] = {1, 2, 3};

    while (rounds-- > 0) {
        unsigned size = 1u << (nrand48(seed) % 4);
        uint64_t value = (uint64_t)mrand48();
        unsigned offset;

        if (size > range)
            size = 1;
        offset = (unsigned)nrand48(seed) % (range - size + 1);
        if (nrand48(seed) % 2)
            ops->write(device, offset, &value, size);
        else
            ops->read(device, offset, &value, size);
    }
}

/* The events that a device has reported, one letter each: O, R or P. */
struct power_record {
    char events[16];
};

static inline void power_record_event(void *context, enum power_event event)
{
    struct power_record *record = context;
    size_t length = strlen(record->events);

    if (length + 1 < sizeof record->events)
        record->events[length] = "ORP"[event];
}

static inline struct power_sink power_record_sink(struct power_record *record)
{
    return (struct power_sink){power_record_event, record};
}

#endif
