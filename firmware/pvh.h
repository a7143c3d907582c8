/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hvm_start_info, version 1, with its module list and memory map: what a kernel entered by PVH
 * gets in ebx (Xen, docs/misc/pvh.pandoc and public/arch-x86/hvm/start_info.h).
 */
#ifndef HUSK_FIRMWARE_PVH_H
#define HUSK_FIRMWARE_PVH_H

#include "core/err.h"
#include "core/memory.h"
#include "firmware/boot_parameters.h"

/*
 * Writes everything into `area`, whose base (8-byte aligned, below 4 GiB) then holds the
 * start_info. Errors: -ENOSPC when the area is too small, -EFAULT when it is not in memory.
 */
int pvh_write(const struct guest_memory *memory, struct memory_range area,
              const struct boot_parameters *parameters, struct err *err);

#endif
