/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel command line: Husk's defaults, overridden by what the user appends.
 *
 * A default `key` or `key=value` is left out when the user's text has a parameter of the same
 * key. Keys are compared as Linux compares them ('-' and '_' are the same), quotes keep spaces
 * inside a parameter, and what follows a lone `--` is for init and overrides nothing. Some keys
 * speak about one thing, so that each of them overrides the others:
 *
 *     quiet  debug  loglevel=  ignore_loglevel        how much the kernel prints
 *     ro  rw                                          how the root file system is mounted
 *
 * The user's parameters follow the remaining defaults, in their order.
 */
#ifndef HUSK_FIRMWARE_COMMAND_LINE_H
#define HUSK_FIRMWARE_COMMAND_LINE_H

#include "core/err.h"
#include "core/memory.h"
#include "firmware/kernel.h"

#include <stddef.h>

/*
 * Writes the line, NUL-terminated, into `line` (room for `room` bytes). `defaults` and `user` are
 * parameters separated by spaces; either may be NULL.
 * Errors: -E2BIG when it does not fit.
 */
int command_line_build(char *line, size_t room, const char *defaults, const char *user,
                       struct err *err);

/* -E2BIG when the line is longer than `most` bytes, or than the kernel takes. */
int command_line_check(const struct kernel *kernel, const char *line, uint64_t most,
                       struct err *err);

/*
 * Puts the line into guest memory at `area`, after a check against the kernel's own limit.
 * Errors: -E2BIG for a line too long for kernel or area, -EFAULT when area is not in memory.
 */
int command_line_load(const struct guest_memory *memory, struct memory_range area,
                      const struct kernel *kernel, const char *line, struct err *err);

#endif
