/* SPDX-License-Identifier: Apache-2.0 */
/* How a driver can break a packed ring: flags, chains, indirect tables, event suppression. */
#include "abuse.h"

static struct vring_packed_desc table[2];

/* Writes descriptor `index` as it is, for the first lap. */
static void put(uint16_t index, uint64_t address, uint32_t size, unsigned flags)
{
    ring.packed.descriptors[index] = (struct vring_packed_desc){
        .addr = address,
        .len = size,
        .id = index,
        .flags = (uint16_t)(flags | PACKED_AVAIL),
    };
}

static void chain_has_no_end(void)
{
    for (uint16_t i = RING_SIZE; i-- > 0;)
        put(i, (uintptr_t)buffer, 16, VRING_DESC_F_NEXT);
    virtio_kick(&device);
}

static void chain_is_not_written(void)
{
    put(0, (uintptr_t)buffer, 16, VRING_DESC_F_NEXT);
    virtio_kick(&device);
}

static void chain_goes_on_in_another_lap(void)
{
    put(1, (uintptr_t)buffer, 16, 0);
    ring.packed.descriptors[1].flags = PACKED_USED;
    put(0, (uintptr_t)buffer, 16, VRING_DESC_F_NEXT);
    virtio_kick(&device);
}

static void indirect_in_a_chain(void)
{
    virtio_start(&device, 1u << VIRTIO_RING_F_INDIRECT_DESC);
    put(1, (uintptr_t)table, sizeof table, VRING_DESC_F_INDIRECT);
    put(0, (uintptr_t)buffer, 16, VRING_DESC_F_NEXT);
    virtio_kick(&device);
}

static void indirect_table(uint64_t address, uint32_t size, uint16_t flags)
{
    virtio_start(&device, 1u << VIRTIO_RING_F_INDIRECT_DESC);
    put(0, address, size, VRING_DESC_F_INDIRECT | flags);
    virtio_kick(&device);
}

static void indirect_with_a_next_one(void)
{
    indirect_table((uintptr_t)table, sizeof table, VRING_DESC_F_NEXT);
}

static void indirect_table_is_empty(void)
{
    indirect_table((uintptr_t)table, 0, 0);
}

static void indirect_table_of_odd_size(void)
{
    indirect_table((uintptr_t)table, 17, 0);
}

static void indirect_table_nowhere(void)
{
    indirect_table(NOWHERE, 16, 0);
}

static void indirect_table_is_endless(void)
{
    indirect_table(0, 0x4000000, 0);
}

static void driver_event_misaligned(void)
{
    start_with(RING_SIZE, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uintptr_t)&ring.packed.driver_event + 2);
}

/* --- what must be harmless --- */

static void size_is_no_power_of_two(void)
{
    start_with(3, VIRTIO_MMIO_QUEUE_DESC_LOW, (uintptr_t)&ring);
}

static void events_are_nonsense(void)
{
    ring.packed.driver_event = (struct vring_packed_desc_event){0xffff, 0xffff};
}

static void descriptors_of_another_lap(void)
{
    for (unsigned i = 0; i < RING_SIZE; i++)
        ring.packed.descriptors[i] = (struct vring_packed_desc){
            .addr = NOWHERE, .len = 16, .flags = PACKED_USED};
    virtio_kick(&device);
}

const struct abuse packed_abuses[] = {
    {"chain has no end", chain_has_no_end, NEEDS_RESET},
    {"chain is not written", chain_is_not_written, NEEDS_RESET},
    {"chain goes on in another lap", chain_goes_on_in_another_lap, NEEDS_RESET},
    {"indirect in a chain", indirect_in_a_chain, NEEDS_RESET},
    {"indirect with a next one", indirect_with_a_next_one, NEEDS_RESET},
    {"indirect table is empty", indirect_table_is_empty, NEEDS_RESET},
    {"indirect table of odd size", indirect_table_of_odd_size, NEEDS_RESET},
    {"indirect table nowhere", indirect_table_nowhere, NEEDS_RESET},
    {"indirect table is endless", indirect_table_is_endless, NEEDS_RESET},
    {"driver event misaligned", driver_event_misaligned, NEEDS_RESET},
    {"size is no power of two", size_is_no_power_of_two, WORKS},
    {"events are nonsense", events_are_nonsense, WORKS},
    {"descriptors of another lap", descriptors_of_another_lap, WORKS},
    {0},
};
