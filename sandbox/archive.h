/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An initramfs that is made in memory: the "newc" format of cpio, as Linux reads it
 * (Documentation/driver-api/early-userspace/buffer-format.rst), uncompressed.
 */
#ifndef HUSK_SANDBOX_ARCHIVE_H
#define HUSK_SANDBOX_ARCHIVE_H

#include "husk.h"

#include <stddef.h>
#include <stdint.h>

struct archive {
    int fd; /* memfd; -1: closed */
    char *bytes;
    size_t size, room;
    uint32_t entries;
};

int archive_open(struct archive *archive, struct husk_err *err);
void archive_close(struct archive *archive);

/* Names have no slash in front. Errors: -ENOMEM; of a file, what reading it gives. */
int archive_add_folder(struct archive *archive, const char *name, struct husk_err *err);
int archive_add_bytes(struct archive *archive, const char *name, uint32_t mode, const void *bytes,
                      size_t size, struct husk_err *err);
int archive_add_file(struct archive *archive, const char *name, uint32_t mode, const char *path,
                     struct husk_err *err);

/* Nothing more is added; the memfd holds it all. */
int archive_finish(struct archive *archive, struct husk_err *err);

#endif
