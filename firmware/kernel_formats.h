/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel formats behind kernel_load(). Internal to firmware.
 */
#ifndef HUSK_FIRMWARE_KERNEL_FORMATS_H
#define HUSK_FIRMWARE_KERNEL_FORMATS_H

#include "firmware/image.h"
#include "firmware/kernel.h"

#include <stdbool.h>

#define KERNEL_HEAD_SIZE 4096u

/* All that a format needs to load a kernel. */
struct kernel_source {
    struct image image;
    uint8_t head[KERNEL_HEAD_SIZE]; /* the first bytes of the file */
    size_t head_size;               /* less than KERNEL_HEAD_SIZE only when the file is */
    const struct guest_memory *memory;
    struct kernel_limits limits;
};

/* One format: whether a file has it, and how it is loaded; as kernel_load(). */
struct kernel_loader {
    bool (*detect)(const struct kernel_source *source);
    int (*load)(const struct kernel_source *source, struct kernel *kernel, struct err *err);
};

extern const struct kernel_loader bzimage_loader;
extern const struct kernel_loader elf_loader;
extern const struct kernel_loader image_loader;
extern const struct kernel_loader gzip_image_loader;
extern const struct kernel_loader zboot_image_loader;

/* Says what `head` looks like, which none of the machine's loaders knows; returns -ENOEXEC. */
int kernel_refuse(const struct kernel_machine *machine, const uint8_t *head, size_t size,
                  struct err *err);

/* Checks that [base, base + size) is inside the limits and in one region of guest memory. */
int kernel_check_range(const struct kernel_source *source, struct gpa base, uint64_t size,
                       struct err *err);

#endif
