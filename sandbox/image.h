/* SPDX-License-Identifier: Apache-2.0 */
/* Disk images of a sandbox: what is in a given one, and those that are made by mkfs.ext4. */
#ifndef HUSK_SANDBOX_IMAGE_H
#define HUSK_SANDBOX_IMAGE_H

#include "husk.h"

#include <limits.h>
#include <stdint.h>

/* The name of the kernel's driver for the file system in it. Errors: -EINVAL none that is known. */
int image_type(const char *path, const char **type, struct husk_err *err);

/*
 * An image of a folder's contents, from the cache if nothing in the folder has changed since it was
 * made; how far that is, is logged each second. Errors: -EIO with what mkfs.ext4 says; -ENOENT it
 * is not installed; -ECANCELED `cancel_fd` polls readable.
 */
int image_pack(const char *folder, const struct husk_log *log, int cancel_fd, char path[PATH_MAX],
               struct husk_err *err);

/* How long mkfs.ext4 may take for an empty file system. */
struct image_patience {
    int cancel_fd;    /* given up when this polls readable; -1: not */
    uint32_t timeout; /* ms */
};

/*
 * An empty file system of `size` bytes, as a file without a name that is gone with its descriptor.
 * Returns that. Errors: those of run_finish().
 */
int image_scratch(uint64_t size, const struct image_patience *patience, struct husk_err *err);

/*
 * The same in a file that stays: it is made if it is not there, of `size` bytes (0: 4 GiB), and used as
 * it is otherwise. The descriptor has it locked. Errors: -EBUSY another sandbox uses it.
 */
int image_layer(const char *path, uint64_t size, const struct image_patience *patience,
                struct husk_err *err);

#endif
