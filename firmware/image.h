/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that goes into guest memory: what kernel and initrd loaders share. Internal to firmware.
 */
#ifndef HUSK_FIRMWARE_IMAGE_H
#define HUSK_FIRMWARE_IMAGE_H

#include "core/err.h"
#include "core/memory.h"

#include <stddef.h>
#include <stdint.h>

#define MIB (1ull << 20)

struct image {
    int fd;        /* borrowed */
    uint64_t size; /* bytes, as of image_open(); not 0 */
};

/*
 * Messages carry no name; the caller puts it in front. Errors: -EISDIR, -EINVAL for an empty file
 * or one that is no regular file, and what fstat() says.
 */
int image_open(struct image *image, int fd, struct err *err);

/* Reads exactly `size` bytes at `offset`; -EINVAL when the file ends before. */
int image_read(const struct image *image, uint64_t offset, void *to, uint64_t size,
               struct err *err);

/* The same, into guest memory; -EFAULT when [to, to + size) is not in one region of it. */
int image_load(const struct image *image, uint64_t offset, const struct guest_memory *memory,
               struct gpa to, uint64_t size, struct err *err);

/* Rounds up to a whole number of MiB. */
static inline uint64_t image_mib(uint64_t bytes)
{
    return bytes / MIB + (bytes % MIB != 0);
}

#endif
