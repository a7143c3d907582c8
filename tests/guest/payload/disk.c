/* SPDX-License-Identifier: Apache-2.0 */
/* Every kind of request to the first disk, over a split or "packed" ring; the host looks at the
 * file afterwards. */
#include "block.h"

#define WRITTEN_SECTOR 8
#define ZEROED_SECTOR 16
#define DISCARDED_SECTOR 32
#define COUNT 64u /* sectors written from WRITTEN_SECTOR on */

static union ring ring;
static struct virtio disk;
static uint64_t written[COUNT * SECTOR_SIZE / 8];
static uint64_t back[COUNT * SECTOR_SIZE / 8];

/* What the host expects too: each 8 bytes hold their own place on the disk. */
static void fill(void)
{
    for (unsigned i = 0; i < sizeof written / 8; i++)
        written[i] = WRITTEN_SECTOR * SECTOR_SIZE + i * 8;
}

static bool same(const void *a, const void *b, size_t size)
{
    size_t words = size / 8;
    bool equal;

    __asm__ volatile("repe cmpsq" : "+S"(a), "+D"(b), "+c"(words), "=@ccz"(equal) : : "memory");
    return equal;
}

static void clear_sectors(uint32_t type, uint64_t sector, uint32_t count, const char *name)
{
    struct virtio_blk_discard_write_zeroes range = {.sector = sector, .num_sectors = count};

    check(name, block_request(&disk, type, 0, &range, sizeof range) == VIRTIO_BLK_S_OK);
}

void guest_main(void)
{
    char id[VIRTIO_BLK_ID_BYTES + 1] = {0};
    bool read_only = asked("read-only");
    bool started;
    uint32_t features = read_only ? 1u << VIRTIO_BLK_F_RO
                                  : 1u << VIRTIO_BLK_F_FLUSH | 1u << VIRTIO_BLK_F_DISCARD |
                                        1u << VIRTIO_BLK_F_WRITE_ZEROES;

    disk.packed = asked("packed");
    check("find", virtio_find(&disk, 0, &ring) && disk.id == VIRTIO_ID_BLOCK);
    started = virtio_start(&disk, features);
    check("start", started);
    if (!started)
        return;
    print_value("capacity", block_capacity(&disk));
    check("id", block_request(&disk, VIRTIO_BLK_T_GET_ID, 0, id, VIRTIO_BLK_ID_BYTES) == 0);
    print("id=");
    print(id);
    print("\n");
    fill();
    if (read_only) {
        check("refused", block_request(&disk, VIRTIO_BLK_T_OUT, WRITTEN_SECTOR, written,
                                       sizeof written) == VIRTIO_BLK_S_IOERR);
        return;
    }
    check("write", block_request(&disk, VIRTIO_BLK_T_OUT, WRITTEN_SECTOR, written,
                                 sizeof written) == VIRTIO_BLK_S_OK);
    check("flush", block_request(&disk, VIRTIO_BLK_T_FLUSH, 0, NULL, 0) == VIRTIO_BLK_S_OK);
    check("read", block_request(&disk, VIRTIO_BLK_T_IN, WRITTEN_SECTOR, back, sizeof back) ==
                      VIRTIO_BLK_S_OK);
    check("same", same(written, back, sizeof back));
    clear_sectors(VIRTIO_BLK_T_WRITE_ZEROES, ZEROED_SECTOR, 8, "write zeroes");
    clear_sectors(VIRTIO_BLK_T_DISCARD, DISCARDED_SECTOR, 8, "discard");
    check("beyond the end", block_request(&disk, VIRTIO_BLK_T_IN, block_capacity(&disk), back,
                                          SECTOR_SIZE) == VIRTIO_BLK_S_IOERR);
    check("unknown request", block_request(&disk, 77, 0, back, SECTOR_SIZE) ==
                                 VIRTIO_BLK_S_UNSUPP);
    check("reset", virtio_start(&disk, features));
    check("again", block_request(&disk, VIRTIO_BLK_T_IN, WRITTEN_SECTOR, back, SECTOR_SIZE) ==
                       VIRTIO_BLK_S_OK && same(written, back, SECTOR_SIZE));
}
