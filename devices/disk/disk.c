/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disk images: opening, checking and locking them, and what they are. What is done to their
 * content is the channels' business (channel.h).
 */
#include "devices/disk/disk.h"
#include "devices/disk/image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
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

/*
 * O_NONBLOCK: opening a FIFO or a terminal by mistake must not wait. What is opened here is looked
 * at and locked; requests go by descriptions of their own, without that flag (io_uring would fail
 * what it cannot do at once) and without the lock (io_uring lets go of files some time after the
 * process has ended, but the next one may want the image at once).
 */
static int open_image(struct disk *disk, const struct disk_options *options, struct err *err)
{
    int flags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (options->read_only ? O_RDONLY : O_RDWR);
    struct stat before;

    /* On a block device O_EXCL keeps out, and respects, mounts and other exclusive users. */
    if (!options->read_only && stat(options->path, &before) == 0 && S_ISBLK(before.st_mode))
        flags |= O_EXCL;
    disk->lock_fd = open(options->path, flags);
    return disk->lock_fd < 0 ? explain_open(options, -errno, err) : 0;
}

int disk_open_again(const struct disk *disk, int flags, int *fd, struct err *err)
{
    struct stat first, again;

    *fd = open(disk->path, flags | O_CLOEXEC | (disk->read_only ? O_RDONLY : O_RDWR));
    if (*fd < 0)
        return err_sys(err, -errno, "cannot open a second time");
    if (fstat(disk->lock_fd, &first) < 0 || fstat(*fd, &again) < 0 ||
        first.st_dev != again.st_dev || first.st_ino != again.st_ino)
        return err_set(err, -ESTALE, "was replaced while it was opened; try again");
    return 0;
}

/* --- what the image is --- */

static int ask_size(const struct disk *disk, uint64_t *size, struct err *err)
{
    struct stat status;

    if (fstat(disk->lock_fd, &status) < 0)
        return err_sys(err, -errno, "cannot examine");
    *size = (uint64_t)status.st_size;
    if (disk->block_device && ioctl(disk->lock_fd, BLKGETSIZE64, size) < 0)
        return err_sys(err, -errno, "cannot ask for the size of the block device");
    if (*size == 0)
        return err_set(err, -EINVAL, "is empty; make it the size that the guest's disk shall "
                                     "have: truncate -s 1G IMAGE");
    if (*size % DISK_SECTOR != 0)
        return err_set(err, -EINVAL,
                       "has %llu bytes, which is no multiple of %u; extend it: "
                       "truncate -s %%%u IMAGE",
                       (unsigned long long)*size, DISK_SECTOR, DISK_SECTOR);
    return 0;
}

static bool power_of_two(uint32_t value)
{
    return value && !(value & (value - 1));
}

/* What a block device says of itself; what it does not say stays as it is. */
static void ask_topology(struct disk *disk)
{
    unsigned physical, minimum, optimal;

    if (ioctl(disk->lock_fd, BLKPBSZGET, &physical) == 0 && physical >= DISK_SECTOR)
        disk->topology.physical_block = physical;
    if (ioctl(disk->lock_fd, BLKIOMIN, &minimum) == 0)
        disk->topology.minimum_io = minimum;
    if (ioctl(disk->lock_fd, BLKIOOPT, &optimal) == 0)
        disk->topology.optimal_io = optimal;
}

/* Kind, size, block size and identity. */
static int examine(struct disk *disk, struct err *err)
{
    struct stat status;
    uint64_t size = 0;
    uint32_t preferred;
    int block_size, rc;

    if (fstat(disk->lock_fd, &status) < 0)
        return err_sys(err, -errno, "cannot examine");
    preferred = (uint32_t)status.st_blksize; /* its type depends on the architecture */
    if (S_ISDIR(status.st_mode))
        return explain_open(&(struct disk_options){.read_only = true}, -EISDIR, err);
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
        return err_set(err, -EINVAL, "is neither a regular file nor a block device");

    disk->block_device = S_ISBLK(status.st_mode);
    disk->block_size = DISK_SECTOR;
    disk->topology.physical_block = disk->topology.minimum_io = DISK_SECTOR;
    if (disk->block_device) {
        if (ioctl(disk->lock_fd, BLKSSZGET, &block_size) < 0)
            return err_sys(err, -errno, "cannot ask for the block size of the block device");
        disk->block_size = (uint32_t)block_size;
        ask_topology(disk);
    } else if (power_of_two(preferred) && preferred >= DISK_SECTOR) {
        disk->topology.physical_block = disk->topology.minimum_io = preferred;
    }
    snprintf(disk->identity, sizeof disk->identity, "%llx-%llx",
             (unsigned long long)(disk->block_device ? status.st_rdev : status.st_dev),
             (unsigned long long)(disk->block_device ? 0 : status.st_ino));
    rc = ask_size(disk, &size, err);
    atomic_init(&disk->size, size);
    return rc;
}

/* --- past the page cache --- */

/* A host that does not tell: whatever of its logical block sizes works. */
static uint32_t try_alignment(const struct disk *disk)
{
    uint32_t alignment = disk->block_size;
    void *block = aligned_alloc(DIRECT_ALIGNMENT_MAX, DIRECT_ALIGNMENT_MAX);

    while (block && alignment < DIRECT_ALIGNMENT_MAX &&
           pread(disk->direct_fd, block, alignment, 0) < 0)
        alignment *= 2;
    free(block);
    return alignment;
}

static int ask_alignment(struct disk *disk, struct err *err)
{
    struct statx status = {0};
    uint32_t memory = 0, offset = 0;

    if (statx(disk->direct_fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) == 0 &&
        status.stx_mask & STATX_DIOALIGN) {
        memory = status.stx_dio_mem_align;
        offset = status.stx_dio_offset_align;
    }
    if (offset == 0)
        memory = offset = try_alignment(disk);
    if (!power_of_two(memory) || !power_of_two(offset) || memory > DIRECT_ALIGNMENT_MAX ||
        offset > DIRECT_ALIGNMENT_MAX)
        return err_set(err, -EINVAL, "cache=none: the host wants transfers of %u bytes at "
                                     "multiples of %u; leave cache=none out", offset, memory);
    disk->memory_alignment = memory;
    disk->offset_alignment = offset > DISK_SECTOR ? offset : DISK_SECTOR;
    return 0;
}

static int open_direct(struct disk *disk, const struct disk_options *options, struct err *err)
{
    int rc;

    if (options->cache != DISK_CACHE_NONE)
        return 0;
    rc = disk_open_again(disk, O_DIRECT, &disk->direct_fd, err);
    if (rc == -EINVAL)
        return err_set(err, -EINVAL, "cache=none: its filesystem cannot go past the host's page "
                                     "cache (no O_DIRECT); leave cache=none out");
    rc = rc ?: ask_alignment(disk, err);
    if (rc == 0 && disk_size(disk) % disk->offset_alignment == 0 &&
        disk->block_size < disk->offset_alignment)
        disk->block_size = disk->offset_alignment;
    return rc;
}

/* --- life --- */

static int lock(const struct disk *disk, struct err *err)
{
    struct flock whole_file = {
        .l_type = disk->read_only ? F_RDLCK : F_WRLCK,
        .l_whence = SEEK_SET,
    };

    if (fcntl(disk->lock_fd, F_OFD_SETLK, &whole_file) == 0)
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

static int make_zeros(struct disk *disk, struct err *err)
{
    void *zeros;

    if (disk->read_only)
        return 0;
    zeros = mmap(NULL, DISK_ZEROS_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (zeros == MAP_FAILED)
        return err_sys(err, -errno, "cannot map zeros");
    disk->zeros = zeros;
    return 0;
}

int disk_open(struct disk **out, const struct disk_options *options, struct err *err)
{
    struct disk *disk = calloc(1, sizeof *disk);
    int rc;

    if (!disk)
        return err_set(err, -ENOMEM, "disk \"%s\": out of memory", options->path);
    disk->lock_fd = disk->fd = disk->direct_fd = -1;
    disk->read_only = options->read_only;
    disk->cache = options->cache;
    disk->engine = options->engine;
    disk->path = strdup(options->path);
    if (!disk->path) {
        disk_close(disk);
        return err_set(err, -ENOMEM, "disk \"%s\": out of memory", options->path);
    }
    if ((rc = open_image(disk, options, err)) < 0 || (rc = examine(disk, err)) < 0 ||
        (rc = lock(disk, err)) < 0 ||
        (rc = disk_open_again(disk, 0, &disk->fd, err)) < 0 ||
        (rc = open_direct(disk, options, err)) < 0 || (rc = make_zeros(disk, err)) < 0) {
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
    if (disk->zeros)
        munmap((void *)disk->zeros, DISK_ZEROS_SIZE);
    if (disk->direct_fd >= 0)
        close(disk->direct_fd);
    if (disk->fd >= 0)
        close(disk->fd);
    if (disk->lock_fd >= 0)
        close(disk->lock_fd);
    free(disk->path);
    free(disk);
}

int disk_refresh(struct disk *disk, struct err *err)
{
    uint64_t size;
    int rc = ask_size(disk, &size, err);

    if (rc == 0)
        atomic_store(&disk->size, size);
    return rc;
}

uint64_t disk_size(const struct disk *disk)
{
    return atomic_load_explicit(&disk->size, memory_order_relaxed);
}

enum disk_cache disk_cache(const struct disk *disk)
{
    return disk->cache;
}

struct disk_topology disk_topology(const struct disk *disk)
{
    return disk->topology;
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
