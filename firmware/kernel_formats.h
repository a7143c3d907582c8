/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel formats behind kernel_load(). Internal to firmware.
 *
 * A host-side decompressor would be one more format here: given a bzImage's header it would
 * unpack setup.payload_offset/payload_length, an ELF, and go on as elf_load() does.
 */
#ifndef HUSK_FIRMWARE_KERNEL_FORMATS_H
#define HUSK_FIRMWARE_KERNEL_FORMATS_H

#include "firmware/image.h"
#include "firmware/kernel.h"

#include <stdbool.h>

#define KERNEL_HEAD_SIZE 4096u

/* What makes a setup header one (boot.rst, "The real-mode kernel header"). */
#define SETUP_BOOT_FLAG 0xaa55u
#define SETUP_MAGIC 0x53726448u         /* "HdrS" */
#define SETUP_VERSION_WITH_64BIT 0x020cu /* 2.12, the first with xloadflags */

/* All that a format needs to load a kernel. */
struct kernel_source {
    struct image image;
    uint8_t head[KERNEL_HEAD_SIZE]; /* the first bytes of the file */
    size_t head_size;               /* less than KERNEL_HEAD_SIZE only when the file is */
    const struct guest_memory *memory;
    struct kernel_limits limits;
};

bool bzimage_detect(const struct kernel_source *source);
int bzimage_load(const struct kernel_source *source, struct kernel *kernel, struct err *err);

bool elf_detect(const struct kernel_source *source);
int elf_load(const struct kernel_source *source, struct kernel *kernel, struct err *err);

/* What a file that is no kernel looks like, with advice: "a gzip file; unpack it first". */
const char *kernel_guess(const uint8_t *head, size_t size);

/* Checks that [base, base + size) is inside the limits and in one region of guest memory. */
int kernel_check_range(const struct kernel_source *source, struct gpa base, uint64_t size,
                       struct err *err);

#endif
