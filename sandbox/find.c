/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/find.h"

#include "sandbox/fail.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

int find_kernel(char path[PATH_MAX], struct husk_err *err)
{
    struct utsname host;

    uname(&host);
    snprintf(path, PATH_MAX, "/boot/vmlinuz-%s", host.release);
    if (access(path, R_OK) == 0)
        return 0;
    return fail_sys(err, HUSK_ERR_INPUT, -ENOENT, "no kernel is given, and this host's own, %s, cannot be "
                    "read; give one by --kernel", path);
}

static bool try_program(char path[PATH_MAX], const char *folder, const char *relative,
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
    return try_program(path, folder, "../libexec/husk/", name) ||
           try_program(path, folder, "../../libexec/husk/", name); /* from lib/TRIPLET */
}

int find_program(char path[PATH_MAX], const char *name, struct husk_err *err)
{
    char folder[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", folder, sizeof folder - 1);

    folder[size > 0 ? size : 0] = '\0';
    cut_name(folder);
    if (try_program(path, folder, "", name) ||
        try_program(path, folder, "../libexec/husk/", name) || find_near_library(path, name))
        return 0;
    return fail(err, HUSK_ERR_HOST, -ENOENT, "%s is neither in %.200s nor in ../libexec/husk of that; "
                "install it there", name, folder);
}

int find_tool(char path[PATH_MAX], const char *name, const char *package, struct husk_err *err)
{
    static const char *const folders[] = {"/usr/sbin", "/sbin", "/usr/bin", "/bin",
                                          "/usr/local/sbin", "/usr/local/bin"};

    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        if (try_program(path, folders[i], "", name))
            return 0;
    return fail(err, HUSK_ERR_HOST, -ENOENT, "this needs %s; install the package %s", name, package);
}

int find_cache(char path[PATH_MAX], struct husk_err *err)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    bool given = cache && cache[0] == '/';

    snprintf(path, PATH_MAX, "%.3000s%s", given ? cache : home ? home : "/root",
             given ? "" : "/.cache");
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return fail_sys(err, HUSK_ERR_HOST, -errno, "cannot make the folder %s", path);
    strcat(path, "/husk");
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return fail_sys(err, HUSK_ERR_HOST, -errno, "cannot make the folder %s", path);
    return 0;
}
