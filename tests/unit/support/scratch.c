/* SPDX-License-Identifier: Apache-2.0 */
#include "support/scratch.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void scratch_open(struct scratch *scratch)
{
    strcpy(scratch->folder, "/tmp/husk-test-XXXXXX");
    if (!mkdtemp(scratch->folder))
        abort();
}

void scratch_close(struct scratch *scratch)
{
    DIR *folder = opendir(scratch->folder);
    struct dirent *entry;

    while (folder && (entry = readdir(folder)) != NULL)
        if (entry->d_name[0] != '.' && unlinkat(dirfd(folder), entry->d_name, 0) < 0)
            unlinkat(dirfd(folder), entry->d_name, AT_REMOVEDIR);
    if (folder)
        closedir(folder);
    rmdir(scratch->folder);
}

const char *scratch_file(struct scratch *scratch, const char *name, uint64_t size)
{
    int fd;

    snprintf(scratch->path, sizeof scratch->path, "%s/%s", scratch->folder, name);
    fd = open(scratch->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
        abort();
    close(fd);
    return scratch->path;
}
