/* SPDX-License-Identifier: Apache-2.0 */
/* How a driver can break a split ring: heads, the avail index, links. */
#include "abuse.h"

static void submit_head(uint16_t head)
{
    virtio_offer_head(&device, head);
    virtio_kick(&device);
}

static void head_out_of_range(void)
{
    submit_head(RING_SIZE);
}

static void head_far_out_of_range(void)
{
    submit_head(0xffff);
}

static void index_jumps(void)
{
    ring.split.avail.idx = 0x8000;
    virtio_kick(&device);
}

static void chain_is_a_loop(void)
{
    virtio_describe(&device, 0, buffer, 16, VRING_DESC_F_NEXT, 1);
    virtio_describe(&device, 1, buffer, 16, VRING_DESC_F_NEXT, 0);
    submit_head(0);
}

static void next_out_of_range(void)
{
    virtio_describe(&device, 0, buffer, 16, VRING_DESC_F_NEXT, RING_SIZE);
    submit_head(0);
}

static void size_is_no_power_of_two(void)
{
    start_with(3, VIRTIO_MMIO_QUEUE_DESC_LOW, (uintptr_t)&ring);
}

static void avail_misaligned(void)
{
    start_with(RING_SIZE, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uintptr_t)&ring.split.avail + 1);
}

const struct abuse split_abuses[] = {
    {"head out of range", head_out_of_range, NEEDS_RESET},
    {"head far out of range", head_far_out_of_range, NEEDS_RESET},
    {"index jumps", index_jumps, NEEDS_RESET},
    {"chain is a loop", chain_is_a_loop, NEEDS_RESET},
    {"next out of range", next_out_of_range, NEEDS_RESET},
    {"size is no power of two", size_is_no_power_of_two, NEEDS_RESET},
    {"avail misaligned", avail_misaligned, NEEDS_RESET},
    {0},
};
