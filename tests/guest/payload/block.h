/* SPDX-License-Identifier: Apache-2.0 */
/* One virtio-blk request at a time (virtio 1.2, 5.2.6). */
#ifndef HUSK_GUEST_BLOCK_H
#define HUSK_GUEST_BLOCK_H

#include "virtio.h"

#include <linux/virtio_blk.h>

#define SECTOR_SIZE 512u
#define BLOCK_NO_ANSWER 0xff

/*
 * Does one request; `size` bytes of data go to the device when `type` is a write of some kind.
 * Returns the status byte, or BLOCK_NO_ANSWER.
 */
uint8_t block_request(const struct virtio *virtio, uint32_t type, uint64_t sector, void *data,
                      uint32_t size);

uint64_t block_capacity(const struct virtio *virtio);

#endif
