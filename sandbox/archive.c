/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/archive.h"

#include "sandbox/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_SIZE 110u
#define FILE_MAX (64u << 20)
#define ROOM_FIRST (4u << 20)

int archive_open(struct archive *archive, struct husk_err *err)
{
    *archive = (struct archive){.fd = memfd_create("husk-initramfs", MFD_CLOEXEC)};
    return archive->fd < 0 ? fail_sys(err, HUSK_ERR_HOST, -errno, "cannot make an initramfs") : 0;
}

void archive_close(struct archive *archive)
{
    if (archive->fd >= 0)
        close(archive->fd);
    free(archive->bytes);
    *archive = (struct archive){.fd = -1};
}

/* Room for so many more bytes, zeroed, and the padding behind them; NULL: no memory. */
static char *extend(struct archive *archive, size_t size)
{
    size_t padded = (size + 3) & ~(size_t)3, room = archive->room ? archive->room : ROOM_FIRST;
    char *at;

    while (room - archive->size < padded)
        room *= 2;
    if (room != archive->room) {
        char *bytes = realloc(archive->bytes, room);

        if (!bytes)
            return NULL;
        archive->bytes = bytes;
        archive->room = room;
    }
    at = archive->bytes + archive->size;
    memset(at + size, 0, padded - size);
    archive->size += padded;
    return at;
}

/* The header and the name, which are padded together. */
static int add_header(struct archive *archive, const char *name, uint32_t mode, uint32_t size,
                      struct husk_err *err)
{
    size_t name_size = strlen(name) + 1;
    char header[HEADER_SIZE + 1];
    char *at = extend(archive, HEADER_SIZE + name_size);

    if (!at)
        return fail(err, HUSK_ERR_HOST, -ENOMEM, "out of memory for the initramfs");
    /* magic; inode, mode, uid, gid, links, mtime, size; device and rdev, two each; name; check */
    snprintf(header, sizeof header, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
             ++archive->entries, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, (uint32_t)name_size, 0);
    memcpy(at, header, HEADER_SIZE);
    memcpy(at + HEADER_SIZE, name, name_size);
    return 0;
}

int archive_add_folder(struct archive *archive, const char *name, struct husk_err *err)
{
    return add_header(archive, name, S_IFDIR | 0755, 0, err);
}

int archive_add_bytes(struct archive *archive, const char *name, uint32_t mode, const void *bytes,
                      size_t size, struct husk_err *err)
{
    int rc = add_header(archive, name, S_IFREG | mode, (uint32_t)size, err);
    char *at;

    if (rc)
        return rc;
    at = extend(archive, size);
    if (!at)
        return fail(err, HUSK_ERR_HOST, -ENOMEM, "out of memory for the initramfs");
    memcpy(at, bytes, size);
    return 0;
}

static int read_into(struct archive *archive, int fd, size_t size, const char *path,
                     struct husk_err *err)
{
    char *at = extend(archive, size);

    if (!at)
        return fail(err, HUSK_ERR_HOST, -ENOMEM, "out of memory for the initramfs");
    for (size_t done = 0; done < size;) {
        ssize_t got = read(fd, at + done, size - done);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return fail_sys(err, HUSK_ERR_HOST, got < 0 ? -errno : -EIO, "cannot read \"%s\"", path);
        done += (size_t)got;
    }
    return 0;
}

int archive_add_file(struct archive *archive, const char *name, uint32_t mode, const char *path,
                     struct husk_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    int rc;

    if (fd < 0)
        return fail_sys(err, HUSK_ERR_INPUT, -errno, "cannot open \"%s\"", path);
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_size > FILE_MAX)
        rc = fail(err, HUSK_ERR_INPUT, -EINVAL, "\"%s\" is no file of at most %u MiB", path,
                  FILE_MAX >> 20);
    else
        rc = add_header(archive, name, S_IFREG | mode, (uint32_t)status.st_size, err);
    rc = rc ?: read_into(archive, fd, (size_t)status.st_size, path, err);
    close(fd);
    return rc;
}

int archive_finish(struct archive *archive, struct husk_err *err)
{
    int rc = add_header(archive, "TRAILER!!!", 0, 0, err);

    for (size_t done = 0; done < archive->size && rc == 0;) {
        ssize_t written = write(archive->fd, archive->bytes + done, archive->size - done);

        if (written < 0 && errno != EINTR)
            rc = fail_sys(err, HUSK_ERR_HOST, -errno, "cannot write the initramfs");
        else if (written > 0)
            done += (size_t)written;
    }
    free(archive->bytes);
    archive->bytes = NULL;
    archive->size = archive->room = 0;
    return rc;
}
