/* SPDX-License-Identifier: Apache-2.0 */
#include "stats.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int write_line(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    int rc;

    if (!file)
        return -errno;
    rc = fprintf(file, "%s\n", text) < 0 ? -errno : 0;
    return fclose(file) != 0 && rc == 0 ? -errno : rc;
}

int stats_write(const struct husk_vm *vm, const char *path)
{
    char *json = husk_vm_stats(vm);
    int rc = json ? write_line(path, json) : -ENOMEM;

    free(json);
    if (rc)
        fprintf(stderr, "husk: cannot write \"%s\": %s\n", path, strerror(-rc));
    return rc;
}
