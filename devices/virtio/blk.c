/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio block device: turns requests of the guest into requests to a disk.
 *
 *     readable                                    writable
 *     header {type, -, sector} | data to write    data read, or identity | status byte
 *
 * How these are cut into descriptors is the driver's choice (2.7.4), so header, data and status
 * are found by byte position. The status is the last writable byte.
 */
#include "devices/virtio/blk.h"

#include "core/iov.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_SIZE VIRTQ_SIZE_MAX
#define SEGMENTS_MAX (QUEUE_SIZE - 2) /* a chain also holds header and status */

/* One request may keep the host's disk busy for a moment, not for minutes. */
#define SEGMENT_SIZE_MAX (UINT32_C(256) << 10)
#define TRANSFER_SIZE_MAX ((uint64_t)SEGMENTS_MAX * SEGMENT_SIZE_MAX)
#define DISCARD_RANGES_MAX 16u
#define DISCARD_SECTORS_MAX (UINT32_C(4) << (30 - 9))
#define ZEROES_RANGES_MAX 1u
#define ZEROES_SECTORS_MAX (UINT32_C(64) << (20 - 9))

#define HEADER_SIZE sizeof(struct virtio_blk_outhdr)
#define STATUS_SIZE 1u

_Static_assert(DISK_SECTOR == 1u << 9, "virtio's sector (5.2.4)");
_Static_assert(DISK_IDENTITY_SIZE == VIRTIO_BLK_ID_BYTES, "an identity is a serial number");

struct blk_request {
    struct virtio_blk *blk;
    uint16_t slot;
    uint8_t status;   /* VIRTIO_BLK_S_... */
    unsigned pending; /* parts that the disk works on */
    struct virtq_chain chain;
    struct iovec data[VIRTQ_SIZE_MAX]; /* the chain's data without header and status */
    struct disk_request parts[DISCARD_RANGES_MAX];
};

struct virtio_blk {
    struct virtio_device device; /* first member: the two convert to each other */
    struct disk *disk;
    uint64_t capacity; /* sectors */
    char serial[VIRTIO_BLK_ID_BYTES];
    bool disk_error_logged;
    /*
     * One request for each descriptor and one to pop into, so that there always is one. The slot
     * used last is used next, and memory that no guest needs is never touched.
     */
    struct blk_request *requests;
    uint16_t free_slots[QUEUE_SIZE + 1];
    unsigned free_count;
};

/* --- requests as such --- */

static struct blk_request *claim(struct virtio_blk *blk)
{
    uint16_t slot = blk->free_slots[--blk->free_count];
    struct blk_request *request = &blk->requests[slot];

    request->blk = blk;
    request->slot = slot;
    return request;
}

static void release(struct blk_request *request)
{
    struct virtio_blk *blk = request->blk;

    blk->free_slots[blk->free_count++] = request->slot;
}

/*
 * Answers a request. The used length promises that so many bytes from the start were written
 * (2.7.8.2), so after an error only a writable part that is all status counts.
 */
static void answer(struct blk_request *request, uint8_t status)
{
    struct virtq_chain *chain = &request->chain;
    uint64_t written = chain->writable_size;

    iov_write(virtq_writable(chain), chain->writable_count, chain->writable_size - STATUS_SIZE,
              &status, STATUS_SIZE);
    if (status != VIRTIO_BLK_S_OK) {
        request->blk->device.errors++;
        written = written == STATUS_SIZE ? STATUS_SIZE : 0;
    }
    virtio_queue_push(&request->blk->device.queues[0], chain->head, (uint32_t)written);
    release(request);
}

/* A disk that is full or failing tends to stay so, and the guest retries: say it once. */
static void log_disk_error(struct virtio_blk *blk, const struct disk_request *part, int result)
{
    if (!blk->disk_error_logged)
        log_line(blk->device.environment.log, LOG_LEVEL_ERROR,
                 "virtio-blk %.20s: the host could not %s its disk at byte %llu: %s", blk->serial,
                 part->operation == DISK_READ ? "read" : "write",
                 (unsigned long long)part->offset, strerrordesc_np(-result));
    blk->disk_error_logged = true;
}

static void part_done(struct disk_request *part, int result);

/* The disk's parts of a request; the last one that is done answers it. */
static void submit(struct blk_request *request, unsigned count)
{
    struct disk *disk = request->blk->disk;

    request->status = VIRTIO_BLK_S_OK;
    request->pending = count;
    for (unsigned i = 0; i < count; i++) {
        request->parts[i].done = part_done;
        request->parts[i].owner = request;
    }
    for (unsigned i = 0; i < count; i++)
        disk_submit(disk, &request->parts[i]);
}

static void submit_flush(struct blk_request *request)
{
    request->parts[0] = (struct disk_request){.operation = DISK_FLUSH};
    submit(request, 1);
}

static void part_done(struct disk_request *part, int result)
{
    struct blk_request *request = part->owner;
    struct virtio_blk *blk = request->blk;

    if (result) {
        log_disk_error(blk, part, result);
        request->status = VIRTIO_BLK_S_IOERR;
    }
    if (--request->pending > 0)
        return;
    /* 5.2.6.2: a driver that cannot flush is promised a write-through cache. */
    if (part->operation == DISK_WRITE && request->status == VIRTIO_BLK_S_OK &&
        !virtio_device_has(&blk->device, VIRTIO_BLK_F_FLUSH))
        submit_flush(request);
    else
        answer(request, request->status);
}

/* --- requests by type --- */

static bool in_range(const struct virtio_blk *blk, uint64_t sector, uint64_t count)
{
    return sector <= blk->capacity && count <= blk->capacity - sector;
}

static void transfer(struct blk_request *request, enum disk_operation operation, uint64_t sector)
{
    const struct virtq_chain *chain = &request->chain;
    uint64_t size;
    unsigned count;

    if (operation == DISK_READ) {
        size = chain->writable_size - STATUS_SIZE;
        count = iov_slice(virtq_writable(chain), chain->writable_count, 0, size, request->data,
                          VIRTQ_SIZE_MAX);
    } else {
        size = chain->readable_size - HEADER_SIZE;
        count = iov_slice(virtq_readable(chain), chain->readable_count, HEADER_SIZE, size,
                          request->data, VIRTQ_SIZE_MAX);
    }
    if (size % DISK_SECTOR != 0 || size > TRANSFER_SIZE_MAX ||
        !in_range(request->blk, sector, size / DISK_SECTOR)) {
        answer(request, VIRTIO_BLK_S_IOERR);
        return;
    }
    request->parts[0] = (struct disk_request){
        .operation = operation,
        .offset = sector * DISK_SECTOR,
        .length = size,
        .iov = request->data,
        .iov_count = count,
    };
    submit(request, 1);
}

static void identify(struct blk_request *request)
{
    const struct virtq_chain *chain = &request->chain;

    if (chain->writable_size < VIRTIO_BLK_ID_BYTES + STATUS_SIZE) {
        answer(request, VIRTIO_BLK_S_IOERR);
        return;
    }
    iov_write(virtq_writable(chain), chain->writable_count, 0, request->blk->serial,
              VIRTIO_BLK_ID_BYTES);
    answer(request, VIRTIO_BLK_S_OK);
}

/* What DISCARD and WRITE_ZEROES allow; otherwise they are the same. */
struct range_rules {
    enum disk_operation operation;
    uint32_t ranges_max;
    uint32_t sectors_max;
    uint32_t flags; /* VIRTIO_BLK_WRITE_ZEROES_FLAG_... */
};

static const struct range_rules discard_rules = {DISK_DISCARD, DISCARD_RANGES_MAX,
                                                 DISCARD_SECTORS_MAX, 0};
static const struct range_rules zeroes_rules = {DISK_WRITE_ZEROES, ZEROES_RANGES_MAX,
                                                ZEROES_SECTORS_MAX,
                                                VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP};

/* Checks range `i` of the request and makes it a part for the disk; VIRTIO_BLK_S_... */
static uint8_t prepare_range(struct blk_request *request, const struct range_rules *rules,
                             unsigned i)
{
    const struct virtq_chain *chain = &request->chain;
    struct virtio_blk_discard_write_zeroes range;
    uint32_t flags, sectors;
    uint64_t sector;

    iov_read(virtq_readable(chain), chain->readable_count, HEADER_SIZE + i * sizeof range, &range,
             sizeof range);
    flags = le32toh(range.flags);
    sectors = le32toh(range.num_sectors);
    sector = le64toh(range.sector);
    if (flags & ~rules->flags)
        return VIRTIO_BLK_S_UNSUPP; /* 5.2.6.2 */
    if (sectors > rules->sectors_max || !in_range(request->blk, sector, sectors))
        return VIRTIO_BLK_S_IOERR;
    request->parts[i] = (struct disk_request){
        .operation = rules->operation,
        .unmap = flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP,
        .offset = sector * DISK_SECTOR,
        .length = (uint64_t)sectors * DISK_SECTOR,
    };
    return VIRTIO_BLK_S_OK;
}

/* All ranges are checked before any is carried out. */
static void change_ranges(struct blk_request *request, const struct range_rules *rules)
{
    uint64_t size = request->chain.readable_size - HEADER_SIZE;
    uint64_t count = size / sizeof(struct virtio_blk_discard_write_zeroes);
    uint8_t status = VIRTIO_BLK_S_OK;

    if (count == 0 || count > rules->ranges_max ||
        size % sizeof(struct virtio_blk_discard_write_zeroes) != 0)
        status = VIRTIO_BLK_S_IOERR;
    for (unsigned i = 0; i < count && status == VIRTIO_BLK_S_OK; i++)
        status = prepare_range(request, rules, i);
    if (status == VIRTIO_BLK_S_OK)
        submit(request, (unsigned)count);
    else
        answer(request, status);
}

/* The feature bit without which a type does not exist; VERSION_1, which all have, for the rest. */
static unsigned required_feature(uint32_t type)
{
    switch (type) {
    case VIRTIO_BLK_T_FLUSH:
        return VIRTIO_BLK_F_FLUSH;
    case VIRTIO_BLK_T_DISCARD:
        return VIRTIO_BLK_F_DISCARD;
    case VIRTIO_BLK_T_WRITE_ZEROES:
        return VIRTIO_BLK_F_WRITE_ZEROES;
    default:
        return VIRTIO_F_VERSION_1;
    }
}

static void start(struct blk_request *request)
{
    const struct virtq_chain *chain = &request->chain;
    struct virtio_blk_outhdr header;
    uint32_t type;

    if (chain->writable_size < STATUS_SIZE) {
        virtio_device_break(&request->blk->device, "request without room for its status");
        release(request);
        return;
    }
    if (iov_read(virtq_readable(chain), chain->readable_count, 0, &header, HEADER_SIZE) !=
        HEADER_SIZE) {
        answer(request, VIRTIO_BLK_S_IOERR);
        return;
    }
    type = le32toh(header.type);
    if (!virtio_device_has(&request->blk->device, required_feature(type))) {
        answer(request, VIRTIO_BLK_S_UNSUPP);
        return;
    }
    switch (type) {
    case VIRTIO_BLK_T_IN:
        transfer(request, DISK_READ, le64toh(header.sector));
        break;
    case VIRTIO_BLK_T_OUT:
        transfer(request, DISK_WRITE, le64toh(header.sector));
        break;
    case VIRTIO_BLK_T_FLUSH:
        submit_flush(request);
        break;
    case VIRTIO_BLK_T_GET_ID:
        identify(request);
        break;
    case VIRTIO_BLK_T_DISCARD:
        change_ranges(request, &discard_rules);
        break;
    case VIRTIO_BLK_T_WRITE_ZEROES:
        change_ranges(request, &zeroes_rules);
        break;
    default:
        answer(request, VIRTIO_BLK_S_UNSUPP);
        break;
    }
}

/* --- device --- */

static void notify(struct virtio_device *device, unsigned queue)
{
    struct virtio_blk *blk = (struct virtio_blk *)device;
    struct blk_request *request = claim(blk);
    struct virtio_batch batch;

    virtio_batch_begin(&batch, &device->queues[queue]);
    while (virtio_batch_next(&batch, &request->chain)) {
        start(request);
        request = claim(blk);
    }
    release(request);
    disk_commit(blk->disk);
    virtio_queue_interrupt(&device->queues[queue]);
}

static void settled(void *context)
{
    struct virtio_blk *blk = context;

    virtio_queue_interrupt(&blk->device.queues[0]);
}

static void drain(struct virtio_device *device)
{
    disk_drain(((struct virtio_blk *)device)->disk);
}

static void save(struct virtio_device *device, struct state_writer *writer)
{
    const struct virtio_blk *blk = (const struct virtio_blk *)device;

    state_begin(writer, "virtio-blk", 1);
    state_put_u64(writer, blk->capacity);
    state_put_u8(writer, disk_read_only(blk->disk));
    state_end(writer);
}

/* Nothing of a block device changes but its disk, which must be the one that the guest knows. */
static int restore(struct virtio_device *device, struct state_reader *reader, struct err *err)
{
    const struct virtio_blk *blk = (const struct virtio_blk *)device;
    uint64_t capacity;
    bool read_only;

    state_enter(reader, "virtio-blk", 1);
    capacity = state_get_u64(reader);
    read_only = state_get_u8(reader);
    state_leave(reader);
    if (state_failed(reader) || capacity != blk->capacity ||
        read_only != disk_read_only(blk->disk))
        return err_set(err, -EINVAL, "virtio-blk: the saved state belongs to another disk "
                                     "(of another size, or not read-only alike)");
    return 0;
}

static void destroy(struct virtio_device *device)
{
    struct virtio_blk *blk = (struct virtio_blk *)device;

    disk_attach(blk->disk, NULL, NULL);
    virtio_device_release(device);
    free(blk->requests);
    free(blk);
}

static const struct virtio_device_ops ops = {
    .name = "blk",
    .device_id = VIRTIO_ID_BLOCK,
    .queue_count = 1,
    .notify = notify,
    .drain = drain,
    .save = save,
    .restore = restore,
    .destroy = destroy,
};

static uint64_t features(const struct disk *disk)
{
    uint64_t bits = UINT64_C(1) << VIRTIO_BLK_F_SIZE_MAX | UINT64_C(1) << VIRTIO_BLK_F_SEG_MAX |
                    UINT64_C(1) << VIRTIO_BLK_F_BLK_SIZE | UINT64_C(1) << VIRTIO_BLK_F_FLUSH;

    if (disk_read_only(disk))
        bits |= UINT64_C(1) << VIRTIO_BLK_F_RO;
    else
        bits |= UINT64_C(1) << VIRTIO_BLK_F_DISCARD | UINT64_C(1) << VIRTIO_BLK_F_WRITE_ZEROES;
    return bits;
}

static void publish_config(struct virtio_blk *blk)
{
    uint32_t block_size = disk_block_size(blk->disk);
    struct virtio_blk_config config = {
        .capacity = htole64(blk->capacity),
        .size_max = htole32(SEGMENT_SIZE_MAX),
        .seg_max = htole32(SEGMENTS_MAX),
        .blk_size = htole32(block_size),
        .max_discard_sectors = htole32(DISCARD_SECTORS_MAX),
        .max_discard_seg = htole32(DISCARD_RANGES_MAX),
        .discard_sector_alignment = htole32(block_size / DISK_SECTOR),
        .max_write_zeroes_sectors = htole32(ZEROES_SECTORS_MAX),
        .max_write_zeroes_seg = htole32(ZEROES_RANGES_MAX),
        .write_zeroes_may_unmap = 1,
    };

    virtio_device_set_config(&blk->device, &config, sizeof config);
}

int virtio_blk_create(struct virtio_device **device, const struct virtio_environment *environment,
                      const struct virtio_blk_options *options, struct disk *disk,
                      struct err *err)
{
    static const uint16_t sizes[] = {QUEUE_SIZE};
    const char *serial = options ? options->serial : NULL;
    struct virtio_blk *blk = calloc(1, sizeof *blk);
    int rc;

    if (blk)
        blk->requests = calloc(QUEUE_SIZE + 1, sizeof blk->requests[0]);
    if (!blk || !blk->requests) {
        free(blk);
        return err_set(err, -ENOMEM, "virtio-blk: out of memory");
    }
    rc = virtio_device_init(&blk->device, &ops, environment, sizes, features(disk), err);
    if (rc) {
        free(blk->requests);
        free(blk);
        return rc;
    }
    blk->disk = disk;
    blk->capacity = disk_size(disk) / DISK_SECTOR;
    blk->free_count = QUEUE_SIZE + 1;
    for (unsigned i = 0; i < blk->free_count; i++)
        blk->free_slots[i] = (uint16_t)(QUEUE_SIZE - i);
    if (serial && *serial)
        memcpy(blk->serial, serial, strnlen(serial, sizeof blk->serial));
    else
        disk_identity(disk, blk->serial);
    disk_attach(disk, settled, blk);
    publish_config(blk);
    *device = &blk->device;
    return 0;
}
