/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bus.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

int bus_add(struct bus *bus, uint64_t base, uint64_t size, const struct bus_ops *ops, void *device,
            struct err *err)
{
    unsigned at = 0;

    if (size == 0 || base + size - 1 < base)
        return err_set(err, -EINVAL, "bus: empty or wrapping range at 0x%llx",
                       (unsigned long long)base);
    if (bus->count == BUS_RANGES_MAX)
        return err_set(err, -ENOSPC, "bus: no room for more than %u devices", BUS_RANGES_MAX);
    while (at < bus->count && bus->ranges[at].base < base)
        at++;
    if ((at > 0 && base - bus->ranges[at - 1].base < bus->ranges[at - 1].size) ||
        (at < bus->count && bus->ranges[at].base - base < size))
        return err_set(err, -EEXIST, "bus: range at 0x%llx is taken", (unsigned long long)base);
    memmove(&bus->ranges[at + 1], &bus->ranges[at], (bus->count - at) * sizeof bus->ranges[0]);
    bus->ranges[at] = (struct bus_range){base, size, ops, device};
    bus->count++;
    return 0;
}

/* The range that holds all of [address, address + size), or NULL. */
static const struct bus_range *find(const struct bus *bus, uint64_t address, unsigned size)
{
    unsigned low = 0, high = bus->count;

    while (low < high) {
        unsigned middle = (low + high) / 2;
        const struct bus_range *range = &bus->ranges[middle];

        if (address < range->base)
            high = middle;
        else if (address - range->base >= range->size)
            low = middle + 1;
        else
            return size <= range->size - (address - range->base) ? range : NULL;
    }
    return NULL;
}

void bus_read(const struct bus *bus, uint64_t address, void *data, unsigned size)
{
    const struct bus_range *range = find(bus, address, size);

    memset(data, 0xff, size);
    if (range && range->ops->read)
        range->ops->read(range->device, address - range->base, data, size);
}

void bus_write(const struct bus *bus, uint64_t address, const void *data, unsigned size)
{
    const struct bus_range *range = find(bus, address, size);

    if (range && range->ops->write)
        range->ops->write(range->device, address - range->base, data, size);
}

uint64_t bus_value(const void *data, unsigned size)
{
    uint64_t value = 0;

    memcpy(&value, data, size);
    return le64toh(value);
}

void bus_set_value(void *data, unsigned size, uint64_t value)
{
    uint64_t little = htole64(value);

    memcpy(data, &little, size);
}
