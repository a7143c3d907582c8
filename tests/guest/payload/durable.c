/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes numbers to the first disk, each to the next of some sectors, and says one when the device
 * has said that it is durable. It goes on until it is killed.
 */
#include "block.h"

#define SECTORS 64u
#define COUNT 1000000u

static union ring ring;
static struct virtio disk;
static uint64_t sector[SECTOR_SIZE / 8];

static bool write_number(uint64_t number)
{
    for (unsigned i = 0; i < SECTOR_SIZE / 8; i++)
        sector[i] = number;
    return block_request(&disk, VIRTIO_BLK_T_OUT, number % SECTORS, sector, sizeof sector) ==
               VIRTIO_BLK_S_OK &&
           block_request(&disk, VIRTIO_BLK_T_FLUSH, 0, NULL, 0) == VIRTIO_BLK_S_OK;
}

void guest_main(void)
{
    check("find", virtio_find(&disk, 0, &ring) && disk.id == VIRTIO_ID_BLOCK);
    check("start", virtio_start(&disk, 1u << VIRTIO_BLK_F_FLUSH));
    for (uint64_t number = 1; number <= COUNT; number++) {
        if (!write_number(number)) {
            check("write", false);
            return;
        }
        print_value("durable", number);
    }
}
