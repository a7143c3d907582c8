/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What firmware hands to arch: where the first vCPU starts, and by which protocol. Firmware has
 * written everything that the protocol wants in memory; arch sets the registers it wants.
 */
#ifndef HUSK_CORE_BOOT_H
#define HUSK_CORE_BOOT_H

#include "core/memory.h"

enum boot_protocol {
    BOOT_LINUX64, /* Linux x86 boot protocol, 64-bit entry: rsi = zero page */
    BOOT_PVH,     /* Xen PVH: 32-bit protected mode, ebx = hvm_start_info */
    BOOT_ARM64,   /* Linux arm64 boot protocol: MMU off, x0 = FDT */
};

struct boot_entry {
    enum boot_protocol protocol;
    struct gpa entry;      /* first instruction */
    struct gpa parameters; /* zero page, hvm_start_info or FDT */
};

#endif
