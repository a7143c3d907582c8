/* SPDX-License-Identifier: Apache-2.0 */
/* Says how large the first disk is, and says it again when the device tells that it has changed. */
#include "block.h"

/* Reads of a register before nothing is expected any more; a read takes some microseconds. */
#define PATIENCE 4000000

static union ring ring;
static struct virtio disk;
static uint8_t sector[SECTOR_SIZE];

static bool config_changed(void)
{
    uint32_t causes = read32(disk.base + VIRTIO_MMIO_INTERRUPT_STATUS);

    write32(disk.base + VIRTIO_MMIO_INTERRUPT_ACK, causes);
    return causes & VIRTIO_MMIO_INT_CONFIG;
}

void guest_main(void)
{
    uint64_t before;
    bool changed = false;

    check("find", virtio_find(&disk, 0, &ring) && disk.id == VIRTIO_ID_BLOCK);
    check("start", virtio_start(&disk, 0));
    before = block_capacity(&disk);
    print_value("capacity", before);
    for (unsigned i = 0; i < PATIENCE && !changed; i++)
        changed = config_changed();
    check("told", changed);
    print_value("capacity", block_capacity(&disk));
    check("beyond the old end",
          block_request(&disk, VIRTIO_BLK_T_OUT, before, sector, sizeof sector) == VIRTIO_BLK_S_OK);
}
