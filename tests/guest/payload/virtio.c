/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio.h"

#include "arch/x86_64/layout.h"

#define MAGIC 0x74726976u
#define FEATURES_OK (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | \
                     VIRTIO_CONFIG_S_FEATURES_OK)

/* Reads of a register, which each take some microseconds, before a device counts as dead. */
#define PATIENCE 100000

uint32_t virtio_read(const struct virtio *virtio, uint32_t offset)
{
    return virtio->pci.ecam ? pci_read_register(&virtio->pci, offset)
                            : read32(virtio->base + offset);
}

void virtio_write(const struct virtio *virtio, uint32_t offset, uint32_t value)
{
    if (virtio->pci.ecam)
        pci_write_register(&virtio->pci, offset, value);
    else
        write32(virtio->base + offset, value);
}

uint64_t virtio_config(const struct virtio *virtio)
{
    return virtio->pci.ecam ? pci_bar(&virtio->pci) + virtio->pci.config
                            : virtio->base + VIRTIO_MMIO_CONFIG;
}

bool virtio_find(struct virtio *virtio, unsigned index, union ring *ring)
{
    virtio->ring = ring;
    virtio->queue = 0;
    virtio->id = 0;
    if (pci_present()) {
        pci_find(&virtio->pci, index, &virtio->id);
        virtio->base = pci_bar(&virtio->pci);
        virtio->size = 0x1040; /* up to some of the MSI-X table */
        return virtio->id != 0;
    }
    virtio->pci.ecam = 0;
    virtio->base = LAYOUT_VIRTIO_MMIO + index * LAYOUT_VIRTIO_MMIO_STRIDE;
    virtio->size = LAYOUT_VIRTIO_MMIO_SIZE;
    if (read32(virtio->base + VIRTIO_MMIO_MAGIC_VALUE) == MAGIC)
        virtio->id = read32(virtio->base + VIRTIO_MMIO_DEVICE_ID);
    return virtio->id != 0;
}

uint32_t virtio_status(const struct virtio *virtio)
{
    return virtio_read(virtio, VIRTIO_MMIO_STATUS);
}

bool virtio_reset(const struct virtio *virtio)
{
    virtio_write(virtio, VIRTIO_MMIO_STATUS, 0);
    return virtio_status(virtio) == 0;
}

uint32_t virtio_offered(const struct virtio *virtio, uint32_t word)
{
    virtio_write(virtio, VIRTIO_MMIO_DEVICE_FEATURES_SEL, word);
    return virtio_read(virtio, VIRTIO_MMIO_DEVICE_FEATURES);
}

bool virtio_negotiate(const struct virtio *virtio, uint32_t features)
{
    if (!virtio_reset(virtio))
        return false;
    virtio_write(virtio, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    virtio_write(virtio, VIRTIO_MMIO_STATUS,
                 VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
    virtio_write(virtio, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    virtio_write(virtio, VIRTIO_MMIO_DRIVER_FEATURES, features);
    virtio_write(virtio, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    virtio_write(virtio, VIRTIO_MMIO_DRIVER_FEATURES,
                 1u << (VIRTIO_F_VERSION_1 - 32) | virtio->more |
                     (virtio->packed ? 1u << (VIRTIO_F_RING_PACKED - 32) : 0));
    virtio_write(virtio, VIRTIO_MMIO_STATUS, FEATURES_OK);
    return virtio_status(virtio) == FEATURES_OK;
}

static void set_area(const struct virtio *virtio, uint32_t low_register, const void *area)
{
    uint64_t address = (uintptr_t)area;

    virtio_write(virtio, low_register, (uint32_t)address);
    virtio_write(virtio, low_register + 4, (uint32_t)(address >> 32));
}

void virtio_place_queue(const struct virtio *virtio, uint32_t size)
{
    union ring *ring = virtio->ring;

    memset(ring, 0, sizeof *ring);
    virtio_write(virtio, VIRTIO_MMIO_QUEUE_SEL, virtio->queue);
    virtio_write(virtio, VIRTIO_MMIO_QUEUE_NUM, size);
    if (virtio->packed) {
        ring->packed.size = (uint16_t)size;
        set_area(virtio, VIRTIO_MMIO_QUEUE_DESC_LOW, ring->packed.descriptors);
        set_area(virtio, VIRTIO_MMIO_QUEUE_AVAIL_LOW, &ring->packed.driver_event);
        set_area(virtio, VIRTIO_MMIO_QUEUE_USED_LOW, &ring->packed.device_event);
    } else {
        set_area(virtio, VIRTIO_MMIO_QUEUE_DESC_LOW, ring->split.descriptors);
        set_area(virtio, VIRTIO_MMIO_QUEUE_AVAIL_LOW, &ring->split.avail);
        set_area(virtio, VIRTIO_MMIO_QUEUE_USED_LOW, &ring->split.used);
    }
}

void virtio_set_queue(const struct virtio *virtio, uint32_t size)
{
    virtio_place_queue(virtio, size);
    virtio_write(virtio, VIRTIO_MMIO_QUEUE_READY, 1);
}

bool virtio_start(const struct virtio *virtio, uint32_t features)
{
    if (!virtio_negotiate(virtio, features))
        return false;
    virtio_set_queue(virtio, RING_SIZE);
    virtio_write(virtio, VIRTIO_MMIO_STATUS, FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
    return virtio_status(virtio) == (FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
}

/* --- split rings --- */

void virtio_describe(const struct virtio *virtio, uint16_t index, const void *buffer,
                     uint32_t size, uint16_t flags, uint16_t next)
{
    virtio->ring->split.descriptors[index] = (struct vring_desc){
        .addr = (uintptr_t)buffer,
        .len = size,
        .flags = flags,
        .next = next,
    };
}

void virtio_offer_head(const struct virtio *virtio, uint16_t head)
{
    struct split_ring *ring = &virtio->ring->split;
    uint16_t idx = ring->avail.idx;

    ring->avail.ring[idx % RING_SIZE] = head;
    __atomic_store_n(&ring->avail.idx, (uint16_t)(idx + 1), __ATOMIC_RELEASE);
}

static void offer_split(const struct virtio *virtio, const struct buffer *buffers, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        virtio_describe(virtio, (uint16_t)i, (const void *)buffers[i].address, buffers[i].size,
                        buffers[i].flags | (i + 1 < count ? VRING_DESC_F_NEXT : 0),
                        (uint16_t)(i + 1));
    virtio_offer_head(virtio, 0);
}

/* --- packed rings --- */

static uint16_t forward(const struct packed_ring *ring, uint16_t position, unsigned slots)
{
    unsigned sum = position + slots;

    return (uint16_t)(sum < 2u * ring->size ? sum : sum - 2u * ring->size);
}

static bool wrap_counter(const struct packed_ring *ring, uint16_t position)
{
    return position < ring->size;
}

static uint16_t slot_of(const struct packed_ring *ring, uint16_t position)
{
    return wrap_counter(ring, position) ? position : (uint16_t)(position - ring->size);
}

/* The first descriptor becomes available last. The chain's id is where it begins. */
static void offer_packed(struct packed_ring *ring, const struct buffer *buffers, unsigned count)
{
    uint16_t id = slot_of(ring, ring->next_avail), first_flags = 0;

    for (unsigned i = 0; i < count; i++) {
        uint16_t position = forward(ring, ring->next_avail, i);
        struct vring_packed_desc *slot = &ring->descriptors[slot_of(ring, position)];
        uint16_t flags = (uint16_t)(buffers[i].flags |
                                    (wrap_counter(ring, position) ? PACKED_AVAIL : PACKED_USED) |
                                    (i + 1 < count ? VRING_DESC_F_NEXT : 0));

        slot->addr = buffers[i].address;
        slot->len = buffers[i].size;
        slot->id = id;
        if (i == 0)
            first_flags = flags;
        else
            slot->flags = flags;
    }
    ring->slots[id] = (uint16_t)count;
    __atomic_store_n(&ring->descriptors[id].flags, first_flags, __ATOMIC_RELEASE);
    ring->next_avail = forward(ring, ring->next_avail, count);
}

static uint16_t used_packed(struct packed_ring *ring)
{
    for (;;) {
        const struct vring_packed_desc *slot =
            &ring->descriptors[slot_of(ring, ring->next_used)];
        uint16_t flags = __atomic_load_n(&slot->flags, __ATOMIC_ACQUIRE);
        bool wrap = wrap_counter(ring, ring->next_used);

        if (!!(flags & PACKED_AVAIL) != wrap || !!(flags & PACKED_USED) != wrap)
            return ring->used_count;
        ring->next_used = forward(ring, ring->next_used, ring->slots[slot->id % RING_SIZE] ?: 1);
        ring->used_count++;
    }
}

/* --- either --- */

void virtio_offer(const struct virtio *virtio, const struct buffer *buffers, unsigned count)
{
    if (virtio->packed)
        offer_packed(&virtio->ring->packed, buffers, count);
    else
        offer_split(virtio, buffers, count);
}

void virtio_kick(const struct virtio *virtio)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    virtio_write(virtio, VIRTIO_MMIO_QUEUE_NOTIFY, virtio->queue);
}

void virtio_submit(const struct virtio *virtio, const struct buffer *buffers, unsigned count)
{
    virtio_offer(virtio, buffers, count);
    virtio_kick(virtio);
}

uint16_t virtio_used(const struct virtio *virtio)
{
    if (virtio->packed)
        return used_packed(&virtio->ring->packed);
    return __atomic_load_n(&virtio->ring->split.used.idx, __ATOMIC_ACQUIRE);
}

bool virtio_wait(const struct virtio *virtio, uint16_t count)
{
    for (unsigned i = 0; i < PATIENCE; i++) {
        if (virtio_used(virtio) == count)
            return true;
        if (virtio_status(virtio) & VIRTIO_CONFIG_S_NEEDS_RESET)
            return false;
    }
    return false;
}
