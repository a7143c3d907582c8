/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scatter-gather lists as `struct iovec` arrays: sizes, bounded copies, sub-ranges.
 * Copies stop at the shorter side, and a list is never read past its count.
 */
#ifndef HUSK_CORE_IOV_H
#define HUSK_CORE_IOV_H

#include <stddef.h>
#include <sys/uio.h>

/* Total bytes. Lists made by the virtqueue walker cannot overflow it. */
size_t iov_size(const struct iovec *iov, unsigned count);

/* Copies up to `size` bytes from the list at byte `offset`; returns how many were copied. */
size_t iov_read(const struct iovec *iov, unsigned count, size_t offset, void *to, size_t size);

/* Copies up to `size` bytes into the list at byte `offset`; returns how many were copied. */
size_t iov_write(const struct iovec *iov, unsigned count, size_t offset, const void *from,
                 size_t size);

/*
 * Makes `out` (room for `room` entries) describe bytes [offset, offset + size) of the list,
 * without copying data; returns the number of entries. What does not exist or fit is left out.
 */
unsigned iov_slice(const struct iovec *iov, unsigned count, size_t offset, size_t size,
                   struct iovec *out, unsigned room);

#endif
