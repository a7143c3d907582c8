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
    uint16_t used = virtio->ring->used.idx, next = size > 0 ? 1 : 2;

    header = (struct virtio_blk_outhdr){.type = type, .sector = sector};
    status = BLOCK_NO_ANSWER;
    virtio_describe(virtio, 0, &header, sizeof header, VRING_DESC_F_NEXT, next);
    virtio_describe(virtio, 1, data, size,
                    VRING_DESC_F_NEXT | (device_writes(type) ? VRING_DESC_F_WRITE : 0), 2);
    virtio_describe(virtio, 2, (void *)&status, 1, VRING_DESC_F_WRITE, 0);
    virtio_submit(virtio, 0);
    return virtio_wait(virtio, (uint16_t)(used + 1)) ? status : BLOCK_NO_ANSWER;
}

uint64_t block_capacity(const struct virtio *virtio)
{
    return read32(virtio->base + VIRTIO_MMIO_CONFIG) |
           (uint64_t)read32(virtio->base + VIRTIO_MMIO_CONFIG + 4) << 32;
}
