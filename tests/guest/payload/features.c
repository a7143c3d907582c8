/* SPDX-License-Identifier: Apache-2.0 */
/* A driver that refuses each feature of the first disk in turn, and then all; the disk works. */
#include "block.h"

#define SECTOR 8
#define WORDS (8 * SECTOR_SIZE / 8)

static union ring ring;
static struct virtio disk;
static uint64_t written[WORDS], back[WORDS];

/* Writes what depends on `round`, and reads it back. */
static bool works(uint32_t features, uint64_t round)
{
    bool same = true;

    for (unsigned i = 0; i < WORDS; i++) {
        written[i] = round << 32 | i;
        back[i] = 0;
    }
    if (block_request(&disk, VIRTIO_BLK_T_OUT, SECTOR, written, sizeof written) !=
        VIRTIO_BLK_S_OK)
        return false;
    if (block_request(&disk, VIRTIO_BLK_T_FLUSH, 0, NULL, 0) !=
        (features & 1u << VIRTIO_BLK_F_FLUSH ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_UNSUPP))
        return false;
    if (block_request(&disk, VIRTIO_BLK_T_IN, SECTOR, back, sizeof back) != VIRTIO_BLK_S_OK)
        return false;
    for (unsigned i = 0; i < WORDS; i++)
        same = same && written[i] == back[i];
    return same;
}

static void try(uint32_t features, uint64_t round)
{
    bool passed = virtio_start(&disk, features) && works(features, round);

    print_value("features", features);
    check(passed ? "works" : "fails", passed);
}

void guest_main(void)
{
    uint32_t all, refused = 0;

    disk.packed = asked("packed");
    check("find", virtio_find(&disk, 0, &ring) && disk.id == VIRTIO_ID_BLOCK);
    all = virtio_offered(&disk, 0);
    for (unsigned bit = 0; bit < 32; bit++) {
        if (!(all & 1u << bit))
            continue;
        try(all & ~(1u << bit), bit);
        refused++;
    }
    try(all, 32);
    try(0, 33);
    print_value("offered", all);
    print_value("refused", refused);
}
