/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/vsock/stage.h"

#include "core/iov.h"

#include <errno.h>
#include <stdlib.h>

void vsock_stage_init(struct vsock_stage *stage, uint32_t capacity)
{
    *stage = (struct vsock_stage){.capacity = capacity};
}

int vsock_stage_put(struct vsock_stage *stage, const struct iovec *iov, unsigned count,
                    size_t offset, uint32_t size)
{
    uint32_t end = (uint32_t)(((uint64_t)stage->start + stage->size) % stage->capacity);
    uint32_t first = stage->capacity - end;

    if (size == 0)
        return 0;
    if (!stage->bytes)
        stage->bytes = malloc(stage->capacity);
    if (!stage->bytes)
        return -ENOMEM;
    if (first > size)
        first = size;
    iov_read(iov, count, offset, stage->bytes + end, first);
    iov_read(iov, count, offset + first, stage->bytes, size - first);
    stage->size += size;
    return 0;
}

unsigned vsock_stage_pieces(const struct vsock_stage *stage, struct iovec pieces[2])
{
    uint32_t first = stage->capacity - stage->start;

    if (stage->size == 0)
        return 0;
    if (first > stage->size)
        first = stage->size;
    pieces[0] = (struct iovec){stage->bytes + stage->start, first};
    pieces[1] = (struct iovec){stage->bytes, stage->size - first};
    return stage->size > first ? 2 : 1;
}

void vsock_stage_drop(struct vsock_stage *stage, uint32_t size)
{
    stage->start = (uint32_t)(((uint64_t)stage->start + size) % stage->capacity);
    stage->size -= size;
    if (stage->size > 0)
        return;
    free(stage->bytes);
    stage->bytes = NULL;
    stage->start = 0;
}
