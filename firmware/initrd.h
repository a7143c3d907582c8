/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads the initial RAM disk as high as its kernel allows, where it is least in the way.
 */
#ifndef HUSK_FIRMWARE_INITRD_H
#define HUSK_FIRMWARE_INITRD_H

#include "core/err.h"
#include "core/memory.h"
#include "firmware/kernel.h"

/*
 * Loads the whole file behind `fd` (a regular file; its offset is neither used nor moved) at the
 * highest page-aligned place inside `limits` and kernel->initrd_last that the kernel does not
 * use. *initrd is where it lies; its size is the file's.
 *
 * Errors: -ENOMEM when it does not fit, -EINVAL when the file is empty or shrinks meanwhile,
 * -EISDIR and others from the system.
 */
int initrd_load(const struct guest_memory *memory, int fd, const char *name,
                const struct kernel_limits *limits, const struct kernel *kernel,
                struct memory_range *initrd, struct err *err);

#endif
