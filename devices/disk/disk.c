/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disk images: opening, checking and locking them, and what they are. What is done to their
 * content is the engine's business (engine.h).
 */
#include "devices/disk/disk.h"
#include "devices/disk/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether the image could at least be read, where it cannot be opened for writing. */
static bool readable(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static int explain_open(const struct disk_options *options, int code, struct err *err)
{
    switch (code) {
    case -EISDIR:
        return err_set(err, code, "is a directory; give an image file or a block device");
    case -EBUSY:
        return err_set(err, code, "is in use by the host (mounted, or part of another device); "
                                  "release it first, or add ',ro'");
    case -EACCES:
    case -EPERM:
    case -EROFS:
        if (!options->read_only && readable(options->path))
            return err_set(err, code, "can only be read here (%s); add ',ro' to use it "
                                      "read-only, or make it writable", strerrordesc_np(-code));
        return err_sys(err, code, "cannot open; check its mode and owner");
    case -ENOENT:
        return err_set(err, code, "does not exist; check the path");
    default:
        return err_sys(err, code, "cannot open");
    }
}

/* O_NONBLOCK: opening a FIFO or a terminal by mistake must not wait; on disks it does nothing. */
static int open_image(struct disk *disk, const struct disk_options *options, struct err *err)
{
    int flags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (options->read_only ? O_RDONLY : O_RDWR);
    struct stat before;

    /* On a block device O_EXCL keeps out, and respects, mounts and other exclusive users. */
    if (!options->read_only && stat(options->path, &before) == 0 && S_ISBLK(before.st_mode))
        flags |= O_EXCL;
    disk->fd = open(options->path, flags);
    return disk->fd < 0 ? explain_open(options, -errno, err) : 0;
}

/* Kind, size and block size. */
static int examine(struct disk *disk, const char *path, struct err *err)
{
    struct stat status;
    int block_size;

    if (fstat(disk->fd, &status) < 0)
        return err_sys(err, -errno, "cannot examine");
    if (S_ISDIR(status.st_mode))
        return explain_open(&(struct disk_options){path, true}, -EISDIR, err);
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
        return err_set(err, -EINVAL, "is neither a regular file nor a block device");

    disk->block_device = S_ISBLK(status.st_mode);
    disk->block_size = DISK_SECTOR;
    disk->size = (uint64_t)status.st_size;
    if (disk->block_device) {
        if (ioctl(disk->fd, BLKGETSIZE64, &disk->size) < 0 ||
            ioctl(disk->fd, BLKSSZGET, &block_size) < 0)
            return err_sys(err, -errno, "cannot ask for the size of the block device");
        disk->block_size = (uint32_t)block_size;
    }
    snprintf(disk->identity, sizeof disk->identity, "%llx-%llx",
             (unsigned long long)(disk->block_device ? status.st_rdev : status.st_dev),
             (unsigned long long)(disk->block_device ? 0 : status.st_ino));
    if (disk->size == 0)
        return err_set(err, -EINVAL, "is empty; make it the size that the guest's disk shall "
                                     "have: truncate -s 1G '%s'", path);
    if (disk->size % DISK_SECTOR != 0)
        return err_set(err, -EINVAL,
                       "has %llu bytes, which is no multiple of %u; extend it: "
                       "truncate -s %%%u '%s'",
                       (unsigned long long)disk->size, DISK_SECTOR, DISK_SECTOR, path);
    return 0;
}

static int lock(const struct disk *disk, struct err *err)
{
    struct flock whole_file = {
        .l_type = disk->read_only ? F_RDLCK : F_WRLCK,
        .l_whence = SEEK_SET,
    };

    if (fcntl(disk->fd, F_OFD_SETLK, &whole_file) == 0)
        return 0;
    switch (errno) {
    case EAGAIN:
    case EACCES:
        return err_set(err, -EBUSY, "is in use by another process or machine; stop that first%s",
                       disk->read_only ? "" : ", or use ',ro' for both");
    case ENOLCK:
    case EOPNOTSUPP:
    case EINVAL:
        return 0; /* a filesystem without locks */
    default:
        return err_sys(err, -errno, "cannot lock");
    }
}

int disk_open(struct disk **out, const struct disk_options *options, struct err *err)
{
    struct disk *disk = calloc(1, sizeof *disk);
    int rc;

    if (!disk)
        return err_set(err, -ENOMEM, "disk \"%s\": out of memory", options->path);
    disk->read_only = options->read_only;
    rc = open_image(disk, options, err);
    if (rc == 0)
        rc = examine(disk, options->path, err);
    if (rc == 0)
        rc = lock(disk, err);
    if (rc) {
        err_prefix(err, "disk \"%s\"", options->path);
        disk_close(disk);
        return rc;
    }
    *out = disk;
    return 0;
}

void disk_close(struct disk *disk)
{
    if (!disk)
        return;
    if (disk->fd >= 0)
        close(disk->fd);
    free(disk);
}

uint64_t disk_size(const struct disk *disk)
{
    return disk->size;
}

uint32_t disk_block_size(const struct disk *disk)
{
    return disk->block_size;
}

bool disk_read_only(const struct disk *disk)
{
    return disk->read_only;
}

void disk_identity(const struct disk *disk, char identity[DISK_IDENTITY_SIZE])
{
    memset(identity, 0, DISK_IDENTITY_SIZE);
    memcpy(identity, disk->identity, strnlen(disk->identity, DISK_IDENTITY_SIZE));
}

void disk_attach(struct disk *disk, void (*settled)(void *context), void *context)
{
    disk->settled = settled;
    disk->context = context;
}

/* What no engine shall have to check. */
static int check(const struct disk *disk, const struct disk_request *request)
{
    if (request->operation == DISK_FLUSH)
        return 0;
    if (request->offset > disk->size || request->length > disk->size - request->offset)
        return -EINVAL;
    if (disk->read_only && request->operation != DISK_READ)
        return -EROFS;
    return 0;
}

void disk_submit(struct disk *disk, struct disk_request *request)
{
    int rc = check(disk, request);

    if (rc)
        request->done(request, rc);
    else
        disk_engine_submit(disk, request);
}

void disk_commit(struct disk *disk)
{
    disk_engine_commit(disk);
}

void disk_drain(struct disk *disk)
{
    disk_engine_drain(disk);
}
