/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel's modules: where they are, and which files a guest has to load in which order. */
#ifndef HUSK_SANDBOX_MODULES_H
#define HUSK_SANDBOX_MODULES_H

#include "husk.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define MODULES_MAX 64

struct modules {
    char folder[PATH_MAX]; /* with modules.dep */
    char *dependencies;    /* modules.dep; NULL: closed */
    char *built_in;        /* modules.builtin */
    char *files[MODULES_MAX]; /* below the folder, in the order of loading */
    unsigned count;
    unsigned early; /* so many of them before commands can run, the rest afterwards */
};

/*
 * Finds the modules of the kernel image at `kernel`: in `given` if that is not NULL, else beside the
 * image in lib/modules/VERSION, else in /lib/modules/VERSION. Errors: -ENOENT, with where it was
 * looked for.
 */
int modules_open(struct modules *modules, const char *kernel, const char *given,
                 struct husk_err *err);
void modules_close(struct modules *modules);

/*
 * Adds a module, by its name, and before it what it depends on; what is built into the kernel needs
 * no file. Errors: -ENOENT the kernel has no such module, which an `optional` one may be.
 */
int modules_add(struct modules *modules, const char *name, bool optional, struct husk_err *err);

/* What is added from here on may be loaded when commands can run already. */
void modules_begin_late(struct modules *modules);

#endif
