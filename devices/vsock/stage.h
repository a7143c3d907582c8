/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that wait for a socket: a bounded ring, which has memory only while it holds any. */
#ifndef HUSK_DEVICES_VSOCK_STAGE_H
#define HUSK_DEVICES_VSOCK_STAGE_H

#include <stdint.h>
#include <sys/uio.h>

struct vsock_stage {
    uint8_t *bytes; /* NULL while it is empty */
    uint32_t capacity;
    uint32_t start;
    uint32_t size;
};

/* An empty one. */
void vsock_stage_init(struct vsock_stage *stage, uint32_t capacity);

/*
 * Appends bytes [offset, offset + size) of the list, which fit. Errors: -ENOMEM, and the stage is
 * as before.
 */
int vsock_stage_put(struct vsock_stage *stage, const struct iovec *iov, unsigned count,
                    size_t offset, uint32_t size);

/* All of it in order, as at most two pieces; returns how many. */
unsigned vsock_stage_pieces(const struct vsock_stage *stage, struct iovec pieces[2]);

/* Forgets the first `size` bytes, which are there. */
void vsock_stage_drop(struct vsock_stage *stage, uint32_t size);

#endif
