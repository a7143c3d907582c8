/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio.h"

#include "arch/x86_64/layout.h"

#define MAGIC 0x74726976u
#define FEATURES_OK (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | \
                     VIRTIO_CONFIG_S_FEATURES_OK)

/* Reads of a register, which each take some microseconds, before a device counts as dead. */
#define PATIENCE 100000

bool virtio_find(struct virtio *virtio, unsigned index, struct ring *ring)
{
    virtio->base = LAYOUT_VIRTIO_MMIO + index * LAYOUT_VIRTIO_MMIO_STRIDE;
    virtio->ring = ring;
    virtio->id = 0;
    if (read32(virtio->base + VIRTIO_MMIO_MAGIC_VALUE) == MAGIC)
        virtio->id = read32(virtio->base + VIRTIO_MMIO_DEVICE_ID);
    return virtio->id != 0;
}

uint32_t virtio_status(const struct virtio *virtio)
{
    return read32(virtio->base + VIRTIO_MMIO_STATUS);
}

bool virtio_reset(const struct virtio *virtio)
{
    write32(virtio->base + VIRTIO_MMIO_STATUS, 0);
    return virtio_status(virtio) == 0;
}

bool virtio_negotiate(const struct virtio *virtio, uint32_t features)
{
    if (!virtio_reset(virtio))
        return false;
    write32(virtio->base + VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    write32(virtio->base + VIRTIO_MMIO_STATUS,
            VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
    write32(virtio->base + VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    write32(virtio->base + VIRTIO_MMIO_DRIVER_FEATURES, features);
    write32(virtio->base + VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    write32(virtio->base + VIRTIO_MMIO_DRIVER_FEATURES, 1u << (VIRTIO_F_VERSION_1 - 32));
    write32(virtio->base + VIRTIO_MMIO_STATUS, FEATURES_OK);
    return virtio_status(virtio) == FEATURES_OK;
}

static void set_area(const struct virtio *virtio, uint32_t low_register, const void *area)
{
    uint64_t address = (uintptr_t)area;

    write32(virtio->base + low_register, (uint32_t)address);
    write32(virtio->base + low_register + 4, (uint32_t)(address >> 32));
}

void virtio_set_queue(const struct virtio *virtio, uint32_t size)
{
    memset(virtio->ring, 0, sizeof *virtio->ring);
    write32(virtio->base + VIRTIO_MMIO_QUEUE_SEL, 0);
    write32(virtio->base + VIRTIO_MMIO_QUEUE_NUM, size);
    set_area(virtio, VIRTIO_MMIO_QUEUE_DESC_LOW, virtio->ring->descriptors);
    set_area(virtio, VIRTIO_MMIO_QUEUE_AVAIL_LOW, &virtio->ring->avail);
    set_area(virtio, VIRTIO_MMIO_QUEUE_USED_LOW, &virtio->ring->used);
    write32(virtio->base + VIRTIO_MMIO_QUEUE_READY, 1);
}

bool virtio_start(const struct virtio *virtio, uint32_t features)
{
    if (!virtio_negotiate(virtio, features))
        return false;
    virtio_set_queue(virtio, RING_SIZE);
    write32(virtio->base + VIRTIO_MMIO_STATUS, FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
    return virtio_status(virtio) == (FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
}

void virtio_submit(const struct virtio *virtio, uint16_t head)
{
    struct ring *ring = virtio->ring;
    uint16_t idx = ring->avail.idx;

    ring->avail.ring[idx % RING_SIZE] = head;
    __atomic_store_n(&ring->avail.idx, (uint16_t)(idx + 1), __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    write32(virtio->base + VIRTIO_MMIO_QUEUE_NOTIFY, 0);
}

bool virtio_wait(const struct virtio *virtio, uint16_t count)
{
    for (unsigned i = 0; i < PATIENCE; i++) {
        if (__atomic_load_n(&virtio->ring->used.idx, __ATOMIC_ACQUIRE) == count)
            return true;
        if (virtio_status(virtio) & VIRTIO_CONFIG_S_NEEDS_RESET)
            return false;
    }
    return false;
}

void virtio_describe(const struct virtio *virtio, uint16_t index, const void *buffer,
                     uint32_t size, uint16_t flags, uint16_t next)
{
    virtio->ring->descriptors[index] = (struct vring_desc){
        .addr = (uintptr_t)buffer,
        .len = size,
        .flags = flags,
        .next = next,
    };
}
