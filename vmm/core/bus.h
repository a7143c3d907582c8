/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An address space of device registers (port I/O or MMIO): who answers at which address.
 *
 * The bus is filled while the machine is built and is constant while vCPUs run, so look-ups take
 * no lock. Handlers run on vCPU threads, several at once: a device guards its own registers.
 */
#ifndef HUSK_CORE_BUS_H
#define HUSK_CORE_BUS_H

#include "core/err.h"

#include <stdint.h>

#define BUS_RANGES_MAX 64

/*
 * `offset` counts from the start of the device's range; `size` is what the guest used (1, 2, 4 or
 * 8 bytes; any alignment); offset + size never passes the end of the range. `data` is
 * little-endian guest data. A read fills all `size` bytes (they hold 0xff on entry).
 */
struct bus_ops {
    void (*read)(void *device, uint64_t offset, void *data, unsigned size);
    void (*write)(void *device, uint64_t offset, const void *data, unsigned size);
};

struct bus_range {
    uint64_t base;
    uint64_t size;
    const struct bus_ops *ops; /* either handler may be NULL: reads give ones, writes vanish */
    void *device;
};

struct bus {
    struct bus_range ranges[BUS_RANGES_MAX]; /* ascending, disjoint */
    unsigned count;
};

/* Claims [base, base + size). Errors: -EEXIST on overlap, -ENOSPC when full, -EINVAL if empty. */
int bus_add(struct bus *bus, uint64_t base, uint64_t size, const struct bus_ops *ops, void *device,
            struct err *err);

/* A read that nobody claims gives all ones; a write that nobody claims is dropped. */
void bus_read(const struct bus *bus, uint64_t address, void *data, unsigned size);
void bus_write(const struct bus *bus, uint64_t address, const void *data, unsigned size);

/* Little-endian value of an access, and the reverse; `size` is 1, 2, 4 or 8. */
uint64_t bus_value(const void *data, unsigned size);
void bus_set_value(void *data, unsigned size, uint64_t value);

#endif
