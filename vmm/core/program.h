/* SPDX-License-Identifier: Apache-2.0 */
/* Where Husk's own helper programs are. */
#ifndef HUSK_CORE_PROGRAM_H
#define HUSK_CORE_PROGRAM_H

#include "core/err.h"

#include <limits.h>

/*
 * Finds the helper `name`: beside the running program, in ../libexec/husk of that, or in the
 * libexec/husk that belongs to where this library is installed. Errors: -ENOENT.
 */
int program_find(char path[PATH_MAX], const char *name, struct err *err);

#endif
