/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every boot protocol tells the kernel, in whatever form it has for it.
 */
#ifndef HUSK_FIRMWARE_BOOT_PARAMETERS_H
#define HUSK_FIRMWARE_BOOT_PARAMETERS_H

#include "core/memory.h"
#include "firmware/memory_map.h"

struct boot_parameters {
    struct gpa command_line;    /* NUL-terminated, below 4 GiB */
    struct memory_range initrd; /* size 0: none */
    struct gpa rsdp;            /* 0: no ACPI tables */
    const struct memory_map *map;
};

#endif
