/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue of a block device: turns requests of the guest into requests to a disk.
 *
 *     readable                                    writable
 *     header {type, -, sector} | data to write    data read, or identity | status byte
 *
 * How these are cut into descriptors is the driver's choice (2.7.4), so header, data and status
 * are found by byte position. The status is the last writable byte.
 */
#include "devices/virtio/blk_parts.h"

#include "core/iov.h"
#include "core/timing.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_SIZE sizeof(struct virtio_blk_outhdr)
#define STATUS_SIZE 1u

_Static_assert(DISK_SECTOR == 1u << 9, "virtio's sector (5.2.4)");

/* --- requests as such --- */

static struct blk_request *claim(struct blk_queue *queue)
{
    struct blk_request *request = queue->free_requests[--queue->free_count];

    request->queue = queue;
    return request;
}

static void release(struct blk_request *request)
{
    struct blk_queue *queue = request->queue;

    queue->free_requests[queue->free_count++] = request;
}

/* What was written from the start, if it is the status and nothing else. */
static uint32_t status_alone(const struct blk_request *request)
{
    return request->chain.writable_size == STATUS_SIZE ? STATUS_SIZE : 0;
}

/*
 * Answers a request. The used length promises that so many bytes from the start were written
 * (2.7.8.2), so after an error only a writable part that is all status counts.
 */
static void answer(struct blk_request *request, uint8_t status)
{
    struct blk_queue *queue = request->queue;
    uint32_t written = request->written;

    *request->status = status;
    if (status != VIRTIO_BLK_S_OK) {
        counter_add(&queue->ring->counters.errors, 1);
        written = status_alone(request);
    }
    queue->used[queue->used_count++] = (struct virtq_used){request->chain.token, written};
    release(request);
}

/* A disk that is full or failing tends to stay so, and the guest retries: say it once. */
static void log_disk_error(struct virtio_blk *blk, const struct disk_request *disk, int result)
{
    static const char *const words[DISK_OPERATIONS] = {
        [DISK_READ] = "read",       [DISK_WRITE] = "write",
        [DISK_FLUSH] = "flush",     [DISK_DISCARD] = "discard a part of",
        [DISK_WRITE_ZEROES] = "write zeros to",
    };

    if (!atomic_exchange(&blk->error_logged, true))
        log_line(blk->device.environment.log, LOG_LEVEL_ERROR,
                 "virtio-blk %.20s: the host could not %s its disk at byte %llu: %s", blk->serial,
                 words[disk->operation], (unsigned long long)disk->offset,
                 strerrordesc_np(-result));
}

/* Discards move nothing, and a reset does not wait for them. */
static uint64_t bytes_to_move(const struct disk_request *disk)
{
    return disk->operation == DISK_DISCARD ? 0 : disk->length;
}

static void submit_range(struct blk_request *request);

static void disk_done(struct disk_request *disk, int result)
{
    struct blk_request *request = disk->owner;

    request->queue->in_flight -= bytes_to_move(disk);
    if (result) {
        log_disk_error(request->queue->blk, disk, result);
        answer(request, VIRTIO_BLK_S_IOERR);
    } else if (++request->range < request->range_count) {
        submit_range(request);
    } else {
        answer(request, VIRTIO_BLK_S_OK);
    }
}

/*
 * 5.2.6.2: a driver that cannot flush is promised a write-through cache; one that can configure
 * the cache says which it wants.
 */
static bool write_through(struct virtio_blk *blk)
{
    if (virtio_device_has(&blk->device, VIRTIO_BLK_F_CONFIG_WCE))
        return !atomic_load_explicit(&blk->write_back, memory_order_relaxed);
    return !virtio_device_has(&blk->device, VIRTIO_BLK_F_FLUSH);
}

static void submit(struct blk_request *request, enum disk_operation operation, uint64_t offset,
                   uint64_t length)
{
    struct disk_request *disk = &request->disk;

    disk->operation = operation;
    disk->offset = offset;
    disk->length = length;
    disk->durable = operation != DISK_READ && write_through(request->queue->blk);
    disk->owner = request;
    disk->done = disk_done;
    request->queue->in_flight += bytes_to_move(disk);
    disk_channel_submit(request->queue->channel, disk);
}

/* --- requests by type --- */

static bool in_range(const struct blk_request *request, uint64_t sector, uint64_t count)
{
    uint64_t capacity = disk_size(request->queue->blk->disk) / DISK_SECTOR;

    return sector <= capacity && count <= capacity - sector;
}

/* The data is what the chain has apart from header and status, which are cut off its list. */
static uint64_t find_data_to_read(struct blk_request *request)
{
    struct virtq_chain *chain = &request->chain;
    struct iovec *iov = chain->iov + chain->readable_count;
    struct iovec *last = &iov[chain->writable_count - 1];

    last->iov_len -= STATUS_SIZE;
    request->disk.iov = iov;
    request->disk.iov_count = chain->writable_count - (last->iov_len == 0);
    return chain->writable_size - STATUS_SIZE;
}

static uint64_t find_data_to_write(struct blk_request *request)
{
    struct virtq_chain *chain = &request->chain;
    struct iovec *iov = chain->iov;
    size_t header = HEADER_SIZE;

    for (; header > 0 && header >= iov->iov_len; iov++)
        header -= iov->iov_len;
    if (header > 0) {
        iov->iov_base = (char *)iov->iov_base + header;
        iov->iov_len -= header;
    }
    request->disk.iov = iov;
    request->disk.iov_count = chain->readable_count - (unsigned)(iov - chain->iov);
    return chain->readable_size - HEADER_SIZE;
}

static void transfer(struct blk_request *request, enum disk_operation operation, uint64_t sector)
{
    uint64_t size = operation == DISK_READ ? find_data_to_read(request)
                                           : find_data_to_write(request);

    if (operation == DISK_READ)
        request->written = (uint32_t)request->chain.writable_size;
    if (size % DISK_SECTOR != 0 || size > BLK_TRANSFER_SIZE_MAX ||
        !in_range(request, sector, size / DISK_SECTOR))
        answer(request, VIRTIO_BLK_S_IOERR);
    else
        submit(request, operation, sector * DISK_SECTOR, size);
}

static void identify(struct blk_request *request)
{
    const struct virtq_chain *chain = &request->chain;

    if (chain->writable_size < VIRTIO_BLK_ID_BYTES + STATUS_SIZE) {
        answer(request, VIRTIO_BLK_S_IOERR);
        return;
    }
    iov_write(virtq_writable(chain), chain->writable_count, 0, request->queue->blk->serial,
              VIRTIO_BLK_ID_BYTES);
    request->written = VIRTIO_BLK_ID_BYTES;
    if (chain->writable_size == VIRTIO_BLK_ID_BYTES + STATUS_SIZE)
        request->written += STATUS_SIZE;
    answer(request, VIRTIO_BLK_S_OK);
}

/* What DISCARD and WRITE_ZEROES allow; otherwise they are the same. */
struct range_rules {
    enum disk_operation operation;
    uint32_t ranges_max;
    uint32_t sectors_max;
    uint32_t flags; /* VIRTIO_BLK_WRITE_ZEROES_FLAG_... */
};

static const struct range_rules discard_rules = {DISK_DISCARD, BLK_DISCARD_RANGES_MAX,
                                                 BLK_DISCARD_SECTORS_MAX, 0};
static const struct range_rules zeroes_rules = {DISK_WRITE_ZEROES, BLK_ZEROES_RANGES_MAX,
                                                BLK_ZEROES_SECTORS_MAX,
                                                VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP};

/* Copies range `i` out of the guest's memory and checks it; VIRTIO_BLK_S_... */
static uint8_t take_range(struct blk_request *request, const struct range_rules *rules, unsigned i)
{
    const struct virtq_chain *chain = &request->chain;
    struct virtio_blk_discard_write_zeroes *range = &request->ranges[i];
    uint32_t sectors;

    iov_read(virtq_readable(chain), chain->readable_count, HEADER_SIZE + i * sizeof *range, range,
             sizeof *range);
    sectors = le32toh(range->num_sectors);
    if (le32toh(range->flags) & ~rules->flags)
        return VIRTIO_BLK_S_UNSUPP; /* 5.2.6.2 */
    if (sectors > rules->sectors_max || !in_range(request, le64toh(range->sector), sectors))
        return VIRTIO_BLK_S_IOERR;
    return VIRTIO_BLK_S_OK;
}

/*
 * A range costs what it covers: a turn ends by it, and where the host cannot do better zeros are bytes
 * that are written.
 */
static void charge(struct blk_request *request, uint64_t size)
{
    request->queue->covered += size;
    if (request->disk.operation == DISK_WRITE_ZEROES)
        rate_owe(&request->queue->blk->rate.bytes, size);
}

/* One range after the other, so that a request is one request to the disk at any time. */
static void submit_range(struct blk_request *request)
{
    const struct virtio_blk_discard_write_zeroes *range = &request->ranges[request->range];
    uint64_t size = (uint64_t)le32toh(range->num_sectors) * DISK_SECTOR;

    charge(request, size);
    request->disk.unmap = le32toh(range->flags) & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
    submit(request, request->disk.operation, le64toh(range->sector) * DISK_SECTOR, size);
}

/* All ranges are checked before any is carried out. */
static void change_ranges(struct blk_request *request, const struct range_rules *rules)
{
    uint64_t size = request->chain.readable_size - HEADER_SIZE;
    uint64_t count = size / sizeof request->ranges[0];
    uint8_t status = VIRTIO_BLK_S_OK;

    if (count == 0 || count > rules->ranges_max || size % sizeof request->ranges[0] != 0)
        status = VIRTIO_BLK_S_IOERR;
    for (unsigned i = 0; i < count && status == VIRTIO_BLK_S_OK; i++)
        status = take_range(request, rules, i);
    if (status != VIRTIO_BLK_S_OK) {
        answer(request, status);
        return;
    }
    request->range_count = (unsigned)count;
    request->disk.operation = rules->operation;
    submit_range(request);
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

static void carry_out(struct blk_request *request, uint32_t type, uint64_t sector)
{
    switch (type) {
    case VIRTIO_BLK_T_IN:
        transfer(request, DISK_READ, sector);
        break;
    case VIRTIO_BLK_T_OUT:
        transfer(request, DISK_WRITE, sector);
        break;
    case VIRTIO_BLK_T_FLUSH:
        submit(request, DISK_FLUSH, 0, 0);
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

static void start(struct blk_request *request)
{
    const struct virtq_chain *chain = &request->chain;
    struct virtio_device *device = &request->queue->blk->device;
    struct virtio_blk_outhdr header;
    const struct iovec *last;
    uint32_t type;

    if (chain->writable_size < STATUS_SIZE) {
        virtio_device_break(device, "request without room for its status");
        release(request);
        return;
    }
    last = &virtq_writable(chain)[chain->writable_count - 1];
    request->status = (uint8_t *)last->iov_base + last->iov_len - STATUS_SIZE;
    request->written = status_alone(request);
    request->range = request->range_count = 0;
    if (iov_read(virtq_readable(chain), chain->readable_count, 0, &header, HEADER_SIZE) !=
        HEADER_SIZE) {
        answer(request, VIRTIO_BLK_S_IOERR);
        return;
    }
    type = le32toh(header.type);
    if (virtio_device_has(device, required_feature(type)))
        carry_out(request, type, le64toh(header.sector));
    else
        answer(request, VIRTIO_BLK_S_UNSUPP);
}

/* --- turns --- */

/* Counted are the bytes of data. */
static uint64_t price(const struct virtq_chain *chain)
{
    uint64_t size = chain->readable_size + chain->writable_size;

    return size > HEADER_SIZE + STATUS_SIZE ? size - HEADER_SIZE - STATUS_SIZE : 0;
}

/* False when the rate limit does not let the request pass now; then the timer brings a turn. */
static bool may_pass(struct blk_queue *queue, const struct virtq_chain *chain)
{
    struct rate_pair *rate = &queue->blk->rate;
    uint64_t now;

    if (!rate_pair_limits(rate))
        return true;
    now = timing_now();
    if (rate_pair_take(rate, price(chain), now))
        return true;
    counter_add(&queue->limited, 1);
    timer_arm(&queue->timer, rate_pair_next(rate, now));
    return false;
}

/* Takes the next request and starts it; false at the end of the turn. */
static bool take_request(struct blk_queue *queue, struct virtio_batch *batch)
{
    struct blk_request *request = claim(queue);

    if (!virtio_batch_next(batch, &request->chain)) {
        release(request);
        return false;
    }
    if (!may_pass(queue, &request->chain)) {
        virtio_batch_undo(batch, request->chain.token);
        release(request);
        return false;
    }
    queue->covered = 0;
    start(request);
    virtio_batch_charge_bytes(batch, queue->covered);
    return true;
}

static bool has_room(const struct blk_queue *queue)
{
    return queue->in_flight < BLK_IN_FLIGHT_MAX;
}

void blk_queue_turn(struct blk_queue *queue)
{
    struct virtio_batch batch;

    virtio_batch_begin(&batch, queue->ring);
    while (has_room(queue) && take_request(queue, &batch))
        ;
    queue->held_back = !has_room(queue);
    disk_channel_commit(queue->channel);
}

static void settled(void *context)
{
    struct blk_queue *queue = context;

    virtio_queue_push_all(queue->ring, queue->used, queue->used_count);
    queue->used_count = 0;
    virtio_queue_interrupt(queue->ring);
    if (queue->held_back && has_room(queue)) {
        queue->held_back = false;
        virtio_queue_look_again(queue->ring);
    }
}

static void may_go_on(void *context)
{
    struct blk_queue *queue = context;

    if (virtio_queue_usable(queue->ring))
        blk_queue_turn(queue);
}

/* --- life --- */

static int make_requests(struct blk_queue *queue, struct err *err)
{
    queue->requests = calloc(BLK_QUEUE_SIZE + 1, sizeof queue->requests[0]);
    if (!queue->requests)
        return err_set(err, -ENOMEM, "virtio-blk: out of memory");
    for (unsigned i = BLK_QUEUE_SIZE + 1; i-- > 0;)
        queue->free_requests[queue->free_count++] = &queue->requests[i];
    return 0;
}

int blk_queue_open(struct virtio_blk *blk, unsigned index, struct err *err)
{
    struct blk_queue *queue = &blk->queues[index];
    const struct disk_channel_options options = {
        .loop = blk->device.queues[index].loop,
        .depth = BLK_QUEUE_SIZE,
        .log = blk->device.environment.log,
        .settled = settled,
        .context = queue,
    };
    int rc = 0;

    *queue = (struct blk_queue){
        .blk = blk,
        .ring = &blk->device.queues[index],
        .timer = TIMER_CLOSED,
    };
    if ((rc = make_requests(queue, err)) < 0 ||
        (rc = disk_channel_open(&queue->channel, blk->disk, &options, err)) < 0)
        return rc;
    if (rate_pair_limits(&blk->rate))
        rc = timer_open(&queue->timer, options.loop, may_go_on, queue, err);
    return rc;
}

void blk_queue_close(struct blk_queue *queue)
{
    if (queue->timer.source.fd >= 0 && queue->blk)
        timer_close(&queue->timer);
    disk_channel_close(queue->channel);
    free(queue->requests);
}
