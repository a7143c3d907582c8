/* SPDX-License-Identifier: Apache-2.0 */
#include "block.h"

static bool device_writes(uint32_t type)
{
    return type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
}

uint8_t block_request(const struct virtio *virtio, uint32_t type, uint64_t sector, void *data,
                      uint32_t size)
{
    static struct virtio_blk_outhdr header;
    static volatile uint8_t status;
    const struct buffer buffers[] = {
        {(uintptr_t)&header, sizeof header, 0},
        {(uintptr_t)data, size, device_writes(type) ? VRING_DESC_F_WRITE : 0},
        {(uintptr_t)&status, 1, VRING_DESC_F_WRITE},
    };
    const struct buffer without_data[] = {buffers[0], buffers[2]};
    uint16_t used = virtio_used(virtio);

    header = (struct virtio_blk_outhdr){.type = type, .sector = sector};
    status = BLOCK_NO_ANSWER;
    if (size > 0)
        virtio_submit(virtio, buffers, 3);
    else
        virtio_submit(virtio, without_data, 2);
    return virtio_wait(virtio, (uint16_t)(used + 1)) ? status : BLOCK_NO_ANSWER;
}

uint64_t block_capacity(const struct virtio *virtio)
{
    return virtio_read(virtio, VIRTIO_MMIO_CONFIG) |
           (uint64_t)virtio_read(virtio, VIRTIO_MMIO_CONFIG + 4) << 32;
}
