/* SPDX-License-Identifier: Apache-2.0 */
/* What a block device is to its driver: features, configuration space, life. */
#include "devices/virtio/blk_parts.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define FEATURE(bit) (UINT64_C(1) << VIRTIO_BLK_F_##bit)

_Static_assert(DISK_IDENTITY_SIZE == VIRTIO_BLK_ID_BYTES, "an identity is a serial number");

/* --- what the driver sees --- */

static uint64_t features(const struct disk *disk, unsigned queues)
{
    uint64_t bits = FEATURE(SIZE_MAX) | FEATURE(SEG_MAX) | FEATURE(BLK_SIZE) | FEATURE(TOPOLOGY) |
                    FEATURE(FLUSH);

    if (disk_read_only(disk))
        bits |= FEATURE(RO);
    else
        bits |= FEATURE(DISCARD) | FEATURE(WRITE_ZEROES) | FEATURE(CONFIG_WCE);
    if (queues > 1)
        bits |= FEATURE(MQ);
    return bits;
}

static uint8_t exponent(uint32_t blocks)
{
    return blocks > 1 ? (uint8_t)(31 - __builtin_clz(blocks)) : 0;
}

static void publish_config(struct virtio_blk *blk)
{
    uint32_t block_size = disk_block_size(blk->disk);
    struct disk_topology topology = disk_topology(blk->disk);
    struct virtio_blk_config config = {
        .capacity = htole64(disk_size(blk->disk) / DISK_SECTOR),
        .size_max = htole32(BLK_SEGMENT_SIZE_MAX),
        .seg_max = htole32(BLK_SEGMENTS_MAX),
        .blk_size = htole32(block_size),
        .physical_block_exp = exponent(topology.physical_block / block_size),
        .min_io_size = htole16((uint16_t)(topology.minimum_io / block_size)),
        .opt_io_size = htole32(topology.optimal_io / block_size),
        .wce = atomic_load(&blk->write_back),
        .num_queues = htole16((uint16_t)blk->device.queue_count),
        .max_discard_sectors = htole32(BLK_DISCARD_SECTORS_MAX),
        .max_discard_seg = htole32(BLK_DISCARD_RANGES_MAX),
        .discard_sector_alignment = htole32(block_size / DISK_SECTOR),
        .max_write_zeroes_sectors = htole32(BLK_ZEROES_SECTORS_MAX),
        .max_write_zeroes_seg = htole32(BLK_ZEROES_RANGES_MAX),
        .write_zeroes_may_unmap = 1,
    };

    virtio_device_set_config(&blk->device, &config, sizeof config);
}

/* 5.2.5: the one writable field is the cache's mode. */
static void write_config(struct virtio_device *device, unsigned offset, const void *bytes,
                         unsigned size)
{
    struct virtio_blk *blk = (struct virtio_blk *)device;

    if (offset != offsetof(struct virtio_blk_config, wce) || size != 1 ||
        !virtio_device_has(device, VIRTIO_BLK_F_CONFIG_WCE))
        return;
    atomic_store(&blk->write_back, *(const uint8_t *)bytes & 1);
    publish_config(blk);
}

int virtio_blk_refresh(struct virtio_device *device, struct err *err)
{
    struct virtio_blk *blk = (struct virtio_blk *)device;
    uint64_t before = disk_size(blk->disk);
    int rc = disk_refresh(blk->disk, err);

    if (rc == 0 && disk_size(blk->disk) != before)
        publish_config(blk);
    return rc;
}

/* --- life --- */

static struct blk_queue *queue_of(const struct virtio_device *device, unsigned queue)
{
    return &((const struct virtio_blk *)device)->queues[queue];
}

static void notify(struct virtio_device *device, unsigned queue)
{
    blk_queue_turn(queue_of(device, queue));
}

static void drain_queue(struct virtio_device *device, unsigned queue)
{
    disk_channel_drain(queue_of(device, queue)->channel);
}

static void reset(struct virtio_device *device)
{
    struct virtio_blk *blk = (struct virtio_blk *)device;

    if (atomic_exchange(&blk->write_back, true) == false)
        publish_config(blk);
}

static void count(const struct virtio_device *device, unsigned index,
                  const struct counter_sink *sink)
{
    static const char *const names[DISK_OPERATIONS] = {
        [DISK_READ] = "reads",       [DISK_WRITE] = "writes",
        [DISK_FLUSH] = "flushes",    [DISK_DISCARD] = "discards",
        [DISK_WRITE_ZEROES] = "write_zeroes",
    };
    const struct blk_queue *queue = queue_of(device, index);
    const struct disk_counters *counters = disk_channel_counters(queue->channel);

    for (unsigned i = 0; i < DISK_OPERATIONS; i++)
        counter_give(sink, names[i], &counters->requests[i]);
    counter_give(sink, "bytes_read", &counters->bytes_read);
    counter_give(sink, "bytes_written", &counters->bytes_written);
    counter_give(sink, "merged", &counters->merged);
    counter_give(sink, "batches", &counters->batches);
    counter_give(sink, "disk_errors", &counters->errors);
    counter_give(sink, "limited", &queue->limited);
}

static void save(struct virtio_device *device, struct state_writer *writer)
{
    struct virtio_blk *blk = (struct virtio_blk *)device;

    state_begin(writer, "virtio-blk", 2);
    state_put_u64(writer, disk_size(blk->disk));
    state_put_u8(writer, disk_read_only(blk->disk));
    state_put_u8(writer, atomic_load(&blk->write_back));
    state_end(writer);
}

/* The disk must be the one that the guest knows. */
static int restore(struct virtio_device *device, struct state_reader *reader, struct err *err)
{
    struct virtio_blk *blk = (struct virtio_blk *)device;
    bool read_only, write_back;
    uint64_t size;

    state_enter(reader, "virtio-blk", 2);
    size = state_get_u64(reader);
    read_only = state_get_u8(reader);
    write_back = state_get_u8(reader);
    state_leave(reader);
    if (state_failed(reader) || size != disk_size(blk->disk) ||
        read_only != disk_read_only(blk->disk))
        return err_set(err, -EINVAL, "virtio-blk: the saved state belongs to another disk "
                                     "(of another size, or not read-only alike)");
    atomic_store(&blk->write_back, write_back);
    publish_config(blk);
    return 0;
}

static void release(struct virtio_blk *blk)
{
    for (unsigned i = 0; blk->queues && i < blk->device.queue_count; i++)
        blk_queue_close(&blk->queues[i]);
    free(blk->queues);
    virtio_device_release(&blk->device);
    free(blk);
}

static void destroy(struct virtio_device *device)
{
    release((struct virtio_blk *)device);
}

static const struct virtio_device_ops ops = {
    .name = "blk",
    .device_id = VIRTIO_ID_BLOCK,
    .notify = notify,
    .drain_queue = drain_queue,
    .write_config = write_config,
    .reset = reset,
    .count = count,
    .save = save,
    .restore = restore,
    .destroy = destroy,
};

static int init_device(struct virtio_blk *blk, const struct virtio_environment *environment,
                       unsigned queues, struct err *err)
{
    struct virtio_queue_options options[VIRTIO_BLK_QUEUES_MAX];

    for (unsigned i = 0; i < queues; i++)
        options[i] = (struct virtio_queue_options){
            BLK_QUEUE_SIZE, virtio_environment_queue_loop(environment, i)};
    return virtio_device_init(&blk->device, &ops, environment, options, queues,
                              features(blk->disk, queues), err);
}

static int open_queues(struct virtio_blk *blk, struct err *err)
{
    int rc = 0;

    blk->queues = calloc(blk->device.queue_count, sizeof blk->queues[0]);
    if (!blk->queues)
        return err_set(err, -ENOMEM, "virtio-blk: out of memory");
    for (unsigned i = 0; i < blk->device.queue_count && rc == 0; i++)
        rc = blk_queue_open(blk, i, err);
    return rc;
}

static void set_serial(struct virtio_blk *blk, const char *serial)
{
    if (serial && *serial)
        memcpy(blk->serial, serial, strnlen(serial, sizeof blk->serial));
    else
        disk_identity(blk->disk, blk->serial);
}

int virtio_blk_create(struct virtio_device **device, const struct virtio_environment *environment,
                      const struct virtio_blk_options *options, struct disk *disk,
                      struct err *err)
{
    static const struct virtio_blk_options none;
    struct virtio_blk *blk = calloc(1, sizeof *blk);
    int rc;

    if (!blk)
        return err_set(err, -ENOMEM, "virtio-blk: out of memory");
    if (!options)
        options = &none;
    blk->disk = disk;
    blk->rate = options->rate;
    atomic_init(&blk->write_back, true);
    set_serial(blk, options->serial);
    rc = init_device(blk, environment, options->queues ? options->queues : 1, err);
    if (rc) {
        free(blk);
        return rc;
    }
    rc = open_queues(blk, err);
    if (rc) {
        release(blk);
        return rc;
    }
    publish_config(blk);
    *device = &blk->device;
    return 0;
}
