/* SPDX-License-Identifier: Apache-2.0 */
#include "core/iov.h"

#include <stdint.h>
#include <string.h>

size_t iov_size(const struct iovec *iov, unsigned count)
{
    size_t size = 0;

    for (unsigned i = 0; i < count; i++)
        size += iov[i].iov_len;
    return size;
}

unsigned iov_slice(const struct iovec *iov, unsigned count, size_t offset, size_t size,
                   struct iovec *out, unsigned room)
{
    unsigned used = 0;

    for (unsigned i = 0; i < count && used < room && size > 0; i++) {
        size_t length = iov[i].iov_len;

        if (offset >= length) {
            offset -= length;
            continue;
        }
        length -= offset;
        if (length > size)
            length = size;
        out[used++] = (struct iovec){(uint8_t *)iov[i].iov_base + offset, length};
        size -= length;
        offset = 0;
    }
    return used;
}

/* What is left of a list while a copy walks it. */
struct cursor {
    const struct iovec *iov;
    unsigned count;
    size_t offset;
};

/* The next piece of contiguous memory, of at most `size` bytes; its length is 0 at the end. */
static struct iovec take(struct cursor *cursor, size_t size)
{
    struct iovec piece = {0};

    while (size > 0 && cursor->count > 0 &&
           iov_slice(cursor->iov, 1, cursor->offset, size, &piece, 1) == 0) {
        cursor->offset -= cursor->iov->iov_len;
        cursor->iov++;
        cursor->count--;
    }
    cursor->offset += piece.iov_len;
    return piece;
}

size_t iov_read(const struct iovec *iov, unsigned count, size_t offset, void *to, size_t size)
{
    struct cursor cursor = {iov, count, offset};
    struct iovec piece;
    size_t done = 0;

    while ((piece = take(&cursor, size - done)).iov_len > 0) {
        memcpy((uint8_t *)to + done, piece.iov_base, piece.iov_len);
        done += piece.iov_len;
    }
    return done;
}

size_t iov_write(const struct iovec *iov, unsigned count, size_t offset, const void *from,
                 size_t size)
{
    struct cursor cursor = {iov, count, offset};
    struct iovec piece;
    size_t done = 0;

    while ((piece = take(&cursor, size - done)).iov_len > 0) {
        memcpy(piece.iov_base, (const uint8_t *)from + done, piece.iov_len);
        done += piece.iov_len;
    }
    return done;
}
