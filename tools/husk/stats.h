/* SPDX-License-Identifier: Apache-2.0 */
/* What --stats writes: a machine's counters. */
#ifndef HUSK_TOOLS_STATS_H
#define HUSK_TOOLS_STATS_H

#include "husk.h"

/* Writes them to `path` as JSON. 0, or -errno after saying why on stderr. */
int stats_write(const struct husk_vm *vm, const char *path);

#endif
