/* SPDX-License-Identifier: Apache-2.0 */
/* Reads files into memory, a system call for each piece; see firmware/image.h. */
#include "firmware/image.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

int image_open(struct image *image, int fd, struct err *err)
{
    struct stat status;

    if (fstat(fd, &status))
        return err_sys(err, -errno, "cannot look at it");
    if (S_ISDIR(status.st_mode))
        return err_set(err, -EISDIR, "is a directory; name a file");
    if (!S_ISREG(status.st_mode))
        return err_set(err, -EINVAL, "is not a regular file; copy it to one");
    if (status.st_size <= 0)
        return err_set(err, -EINVAL, "is empty; copy it again");
    *image = (struct image){.fd = fd, .size = (uint64_t)status.st_size};
    return 0;
}

int image_read(const struct image *image, uint64_t offset, void *to, uint64_t size,
               struct err *err)
{
    uint8_t *next = to;

    if (offset > image->size || size > image->size - offset)
        return err_set(err, -EINVAL,
                       "is truncated: its headers speak of %llu bytes at offset %llu, but it has "
                       "only %llu; copy it again",
                       (unsigned long long)size, (unsigned long long)offset,
                       (unsigned long long)image->size);
    while (size > 0) {
        ssize_t got = pread(image->fd, next, size, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys(err, -errno, "cannot read it");
        if (got == 0)
            return err_set(err, -EINVAL, "shrinks while it is read; leave it alone meanwhile");
        next += got;
        offset += (uint64_t)got;
        size -= (uint64_t)got;
    }
    return 0;
}

int image_load(const struct image *image, uint64_t offset, const struct guest_memory *memory,
               struct gpa to, uint64_t size, struct err *err)
{
    void *host = memory_at(memory, to, size);

    if (!host)
        return err_set(err, -EFAULT, "no guest memory for %llu bytes at 0x%llx",
                       (unsigned long long)size, (unsigned long long)to.v);
    return image_read(image, offset, host, size, err);
}
