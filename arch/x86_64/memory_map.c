/* SPDX-License-Identifier: Apache-2.0 */
/* RAM around the hole below 4 GiB; see layout.h for the map. */
#include "arch/arch.h"
#include "arch/x86_64/layout.h"

unsigned arch_memory_map(uint64_t size, struct memory_range *ranges)
{
    uint64_t low = size < LAYOUT_HOLE ? size : LAYOUT_HOLE;

    ranges[0] = (struct memory_range){gpa(0), low};
    if (size == low)
        return 1;
    ranges[1] = (struct memory_range){gpa(LAYOUT_HIGH_RAM), size - low};
    return 2;
}
