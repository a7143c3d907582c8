/* SPDX-License-Identifier: Apache-2.0 */
/* What a sandbox is made of, where the caller does not say. */
#ifndef HUSK_SANDBOX_FIND_H
#define HUSK_SANDBOX_FIND_H

#include "husk.h"

#include <limits.h>

/* The kernel that this host runs. Errors: -ENOENT. */
int find_kernel(char path[PATH_MAX], struct husk_err *err);

/* A helper of Husk's, by program_find(). Errors: -ENOENT. */
int find_program(char path[PATH_MAX], const char *name, struct husk_err *err);

/* A program of the host's, in the usual places. Errors: -ENOENT, naming the package to install. */
int find_tool(char path[PATH_MAX], const char *name, const char *package, struct husk_err *err);

/* $XDG_CACHE_HOME/husk, or ~/.cache/husk; it is made. Errors: what mkdir(2) gives. */
int find_cache(char path[PATH_MAX], struct husk_err *err);

#endif
