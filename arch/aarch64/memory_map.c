/* SPDX-License-Identifier: Apache-2.0 */
/* RAM is one range above all devices; see layout.h for the map. */
#include "arch/aarch64/layout.h"
#include "arch/arch.h"

unsigned arch_memory_map(uint64_t size, struct memory_range *ranges)
{
    ranges[0] = (struct memory_range){gpa(LAYOUT_RAM), size};
    return 1;
}
