/* SPDX-License-Identifier: Apache-2.0 */
/* What --timing prints and writes: the phases of a machine's start, counted from `start`. */
#ifndef HUSK_TOOLS_TIMING_H
#define HUSK_TOOLS_TIMING_H

#include "husk.h"

/* Prints a table to stderr. `start` is the program's start, CLOCK_MONOTONIC ns. */
void timing_print(const struct husk_timing *timing, uint64_t start);

/* Writes {"phase_us": {...}} to `path`. 0, or -errno after saying why on stderr. */
int timing_write(const struct husk_timing *timing, uint64_t start, const char *path);

#endif
