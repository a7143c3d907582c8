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

/* Walks the part of the list that a copy covers, one piece of contiguous memory at a time. */
static size_t copy(const struct iovec *iov, unsigned count, size_t offset, uint8_t *to,
                   const uint8_t *from, size_t size)
{
    size_t done = 0;

    for (unsigned i = 0; i < count && done < size; i++) {
        struct iovec piece;

        if (iov_slice(&iov[i], 1, offset, size - done, &piece, 1) == 0) {
            offset -= iov[i].iov_len;
            continue;
        }
        if (to)
            memcpy(to + done, piece.iov_base, piece.iov_len);
        else
            memcpy(piece.iov_base, from + done, piece.iov_len);
        done += piece.iov_len;
        offset = 0;
    }
    return done;
}

size_t iov_read(const struct iovec *iov, unsigned count, size_t offset, void *to, size_t size)
{
    return copy(iov, count, offset, to, NULL, size);
}

size_t iov_write(const struct iovec *iov, unsigned count, size_t offset, const void *from,
                 size_t size)
{
    return copy(iov, count, offset, NULL, from, size);
}
