/* SPDX-License-Identifier: Apache-2.0 */
#include "core/program.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* `folder` is that of the running program or of this library; `relative` leads from it to ours. */
static bool try_folder(char path[PATH_MAX], const char *folder, const char *relative,
                       const char *name)
{
    int size = snprintf(path, PATH_MAX, "%s/%s%s", folder, relative, name);

    return size > 0 && size < PATH_MAX && access(path, X_OK) == 0;
}

static void cut_name(char *path)
{
    char *name = strrchr(path, '/');

    if (name)
        *name = '\0';
}

/* A program that loads this library may be anywhere; the library is where it was installed. */
static bool find_near_library(char path[PATH_MAX], const char *name)
{
    char folder[PATH_MAX];
    Dl_info library;

    if (!dladdr((void *)(uintptr_t)find_near_library, &library))
        return false;
    snprintf(folder, sizeof folder, "%s", library.dli_fname);
    cut_name(folder);
    return try_folder(path, folder, "../libexec/husk/", name) ||
           try_folder(path, folder, "../../libexec/husk/", name); /* from lib/TRIPLET */
}

int program_find(char path[PATH_MAX], const char *name, struct err *err)
{
    char folder[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", folder, sizeof folder - 1);

    folder[size > 0 ? size : 0] = '\0';
    cut_name(folder);
    if (try_folder(path, folder, "", name) ||
        try_folder(path, folder, "../libexec/husk/", name) || find_near_library(path, name))
        return 0;
    return err_set(err, -ENOENT, "%s is neither in %.200s nor in ../libexec/husk of that; install it "
                   "there", name, folder);
}
