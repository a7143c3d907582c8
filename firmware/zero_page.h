/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The "zero page": struct boot_params, by which the Linux 64-bit boot protocol passes everything
 * (Documentation/arch/x86/boot.rst and zero-page.rst in Linux).
 */
#ifndef HUSK_FIRMWARE_ZERO_PAGE_H
#define HUSK_FIRMWARE_ZERO_PAGE_H

#include "core/err.h"
#include "core/memory.h"
#include "firmware/boot_parameters.h"
#include "firmware/kernel.h"

#define ZERO_PAGE_SIZE 4096u

/* Writes the zero page at `at`. Errors: -EFAULT when the page is not in memory. */
int zero_page_write(const struct guest_memory *memory, struct gpa at, const struct kernel *kernel,
                    const struct boot_parameters *parameters, struct err *err);

#endif
