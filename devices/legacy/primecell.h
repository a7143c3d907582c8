/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Arm's PrimeCell peripherals have in common: a page of 32-bit registers, which end in eight
 * that say what the peripheral is, a byte each (for example Arm DDI 0183, section 3.3).
 */
#ifndef HUSK_DEVICES_LEGACY_PRIMECELL_H
#define HUSK_DEVICES_LEGACY_PRIMECELL_H

#include <stdbool.h>
#include <stdint.h>

#define PRIMECELL_SIZE 0x1000u

/* Whether an access begins at a register and reaches no other; the low part of it may be meant. */
static inline bool primecell_is_access(uint64_t offset, unsigned size)
{
    return offset % 4 == 0 && size <= 4;
}

/* The identification register at `offset` of the peripheral `id`; 0 where there is none. */
static inline uint32_t primecell_identity(uint64_t offset, uint32_t id)
{
    const uint64_t first = 0xfe0, cell = 0xff0;
    const uint32_t cell_id = 0xb105f00d;

    if (offset < first || offset % 4)
        return 0;
    return (offset < cell ? id >> (offset - first) / 4 * 8 : cell_id >> (offset - cell) / 4 * 8) &
           0xff;
}

#endif
