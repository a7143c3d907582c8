/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/find.h"

#include "core/program.h"
#include "sandbox/fail.h"

#include <errno.h>
#include <stdbool.h>
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
    return fail(err, HUSK_ERR_INPUT, -ENOENT, "no kernel is given, and this host's own, %s, cannot be read "
                "(%s); give one by --kernel", path, strerror(errno));
}

int find_program(char path[PATH_MAX], const char *name, struct husk_err *err)
{
    struct err inner = {0};
    int rc = program_find(path, name, &inner);

    return rc ? fail(err, HUSK_ERR_HOST, rc, "%s", inner.message) : 0;
}

int find_tool(char path[PATH_MAX], const char *name, const char *package, struct husk_err *err)
{
    static const char *const folders[] = {"/usr/sbin", "/sbin", "/usr/bin", "/bin",
                                          "/usr/local/sbin", "/usr/local/bin"};

    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        if (snprintf(path, PATH_MAX, "%s/%s", folders[i], name) > 0 && access(path, X_OK) == 0)
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
    snprintf(path + strlen(path), sizeof "/husk", "/husk");
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return fail_sys(err, HUSK_ERR_HOST, -errno, "cannot make the folder %s", path);
    return 0;
}
