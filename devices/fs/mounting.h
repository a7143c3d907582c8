/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory mounted once more, where one process alone sees it: on a thread that leaves this
 * process's mount namespace for a copy of it, and on which that process is started then.
 */
#ifndef HUSK_DEVICES_FS_MOUNTING_H
#define HUSK_DEVICES_FS_MOUNTING_H

#include "core/err.h"

#include <stdbool.h>

struct mounting {
    const char *path;
    bool read_only;
    bool one_file_system; /* not what is mounted below the directory */
    /*
     * Called once the directory is mounted at `source`; its result is that of all. Without the
     * privilege to mount, and where that is not needed, `source` is the path itself.
     */
    int (*then)(void *context, const char *source, bool mounted);
    void *context;
};

/* Errors: -EPERM not without root, -ENOSYS not on this host, or what then() gives. */
int mounting_do(const struct mounting *mounting, struct err *err);

#endif
