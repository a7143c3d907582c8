/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio entropy source. A bucket of bytes, refilled by a timer, bounds what the guest gets in a
 * second; while it is empty the queue is left alone.
 */
#include "devices/virtio/rng.h"

#include "core/timer.h"
#include "core/timing.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <sys/random.h>

#define QUEUE_SIZE 64u

/* 1 MiB/s: far more than a guest needs to seed itself, and little work for the host. */
#define REFILL_BYTES (128u * 1024)
#define REFILL_NANOSECONDS 125000000
#define REQUEST_BYTES_MAX 4096u

struct virtio_rng {
    struct virtio_device device; /* first member: the two convert to each other */
    struct timer timer;
    bool waiting;    /* the timer runs, and kicks the queue when it ends */
    unsigned bucket; /* bytes that may be given before the next refill */
};

static void wait_for_refill(struct virtio_rng *rng)
{
    if (!rng->waiting)
        timer_arm(&rng->timer, timing_now() + REFILL_NANOSECONDS);
    rng->waiting = true;
}

/*
 * Fills the chain's first bytes; 0 when the host has no entropy yet (early in its own boot), for
 * which the loop must not wait.
 */
static uint32_t fill(struct virtio_rng *rng, const struct virtq_chain *chain)
{
    uint32_t written = 0;

    for (unsigned i = 0; i < chain->writable_count && written < REQUEST_BYTES_MAX; i++) {
        const struct iovec *piece = &virtq_writable(chain)[i];
        size_t room = REQUEST_BYTES_MAX - written;
        ssize_t got = getrandom(piece->iov_base, piece->iov_len < room ? piece->iov_len : room,
                                GRND_NONBLOCK);

        if (got <= 0)
            break;
        written += (uint32_t)got;
        if ((size_t)got < piece->iov_len)
            break;
    }
    rng->bucket -= written < rng->bucket ? written : rng->bucket;
    return written;
}

static void notify(struct virtio_device *device, unsigned queue)
{
    struct virtio_rng *rng = (struct virtio_rng *)device;
    struct virtio_batch batch;
    struct virtq_chain chain;

    virtio_batch_begin(&batch, &device->queues[queue]);
    while (virtio_batch_next(&batch, &chain)) {
        uint32_t written = rng->bucket > 0 ? fill(rng, &chain) : 0;

        if (written == 0 && chain.writable_size > 0) {
            virtio_batch_undo(&batch, chain.token);
            wait_for_refill(rng);
            break;
        }
        virtio_queue_push(&device->queues[queue], chain.token, written);
    }
    virtio_queue_interrupt(&device->queues[queue]);
}

/* The wait is over; the bucket is full again. */
static void refill(void *context)
{
    struct virtio_rng *rng = context;

    rng->waiting = false;
    rng->bucket = REFILL_BYTES;
    virtio_queue_kick(&rng->device.queues[0]);
}

/*
 * The bucket outlives a reset, so that resetting is no way to get more. There is nothing else,
 * and so nothing to save or restore either.
 */
static void destroy(struct virtio_device *device)
{
    struct virtio_rng *rng = (struct virtio_rng *)device;

    timer_close(&rng->timer);
    virtio_device_release(device);
    free(rng);
}

static const struct virtio_device_ops ops = {
    .name = "rng",
    .device_id = VIRTIO_ID_RNG,
    .notify = notify,
    .destroy = destroy,
};

int virtio_rng_create(struct virtio_device **device, const struct virtio_environment *environment,
                      struct err *err)
{
    const struct virtio_queue_options queue = {.size_max = QUEUE_SIZE};
    struct virtio_rng *rng = calloc(1, sizeof *rng);
    int rc;

    if (!rng)
        return err_set(err, -ENOMEM, "virtio-rng: out of memory");
    rc = virtio_device_init(&rng->device, &ops, environment, &queue, 1, 0, err);
    if (rc) {
        free(rng);
        return rc;
    }
    rng->bucket = REFILL_BYTES;
    rc = timer_open(&rng->timer, environment->loop, refill, rng, err);
    if (rc) {
        virtio_device_release(&rng->device);
        free(rng);
        return rc;
    }
    *device = &rng->device;
    return 0;
}
