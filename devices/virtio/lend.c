/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   driver --kick--> who has the queue --call--> the driver, where the transport has an eventfd
 *                                     `--call--> called() -> queue_interrupt(), where it has none
 *                                     `--fault-> faulted() -> DEVICE_NEEDS_RESET
 *
 * The kick is the queue's own eventfd, which its loop does not watch meanwhile.
 */
#include "devices/virtio/lend.h"

#include "core/lent_ring.h"

#include <stddef.h>

/* Who has it has seen that the driver wants to be interrupted. */
static void called(struct loop_source *source, uint32_t events)
{
    struct virtio_queue *queue =
        (void *)((char *)source - offsetof(struct virtio_queue, call));

    (void)events;
    if (queue->lent)
        virtio_queue_raise(queue);
}

static void faulted(struct loop_source *source, uint32_t events)
{
    struct virtio_queue *queue =
        (void *)((char *)source - offsetof(struct virtio_queue, fault));

    (void)events;
    if (!queue->lent)
        return;
    virtio_device_break(queue->device, "bad ring or buffer, as found by who serves it");
    virtio_queue_take_back(queue);
}

void virtio_queue_init_loan(struct virtio_queue *queue)
{
    queue->call = (struct loop_source){.fd = -1, .ready = called};
    queue->fault = (struct loop_source){.fd = -1, .ready = faulted};
}

int virtio_queue_make_lendable(struct virtio_queue *queue, struct err *err)
{
    int rc = loop_watch_event(queue->loop, &queue->call, "a queue's interrupts", err);

    if (rc == 0)
        rc = loop_watch_event(queue->loop, &queue->fault, "a queue's faults", err);
    if (rc)
        err_prefix(err, "virtio-%s", queue->device->ops->name);
    return rc;
}

/* Where an interrupt for the queue goes. */
static int call_event(const struct virtio_queue *queue)
{
    const struct virtio_device *device = queue->device;
    int event = -1;

    if (device->transport_ops->queue_event)
        event = device->transport_ops->queue_event(device->transport, queue->index);
    return event < 0 ? queue->call.fd : event;
}

static struct lent_ring describe(const struct virtio_queue *queue)
{
    const struct virtq *ring = &queue->ring;

    return (struct lent_ring){
        .size = ring->size,
        .descriptors = ring->split.descriptors,
        .avail = ring->split.avail,
        .used = ring->split.used,
        .position = ring->next_avail,
        .kick = queue->kick.fd,
        .call = call_event(queue),
        .fault = queue->fault.fd,
    };
}

/*
 * Who has it may have heard the kicks that came before when he was not ready yet, so he is kicked
 * when he is.
 */
bool virtio_queue_lend(struct virtio_queue *queue)
{
    struct lent_ring ring;

    if (queue->call.fd < 0)
        return false;
    ring = describe(queue);
    loop_watch(queue->loop, &queue->kick, 0);
    queue->lent = queue->device->ops->lend_queue(queue->device, queue->index, &ring);
    if (queue->lent)
        virtio_queue_kick(queue);
    else
        loop_watch(queue->loop, &queue->kick, EPOLLIN | EPOLLET);
    return queue->lent;
}

void virtio_queue_take_back(struct virtio_queue *queue)
{
    struct virtio_device *device = queue->device;

    virtq_continue_at(&queue->ring, device->ops->take_back_queue(device, queue->index));
    queue->lent = false;
    loop_watch(queue->loop, &queue->kick, EPOLLIN | EPOLLET);
}

void virtio_queue_recall(struct virtio_queue *queue)
{
    if (!queue->lent)
        return;
    virtio_queue_take_back(queue);
    virtio_queue_raise(queue); /* one may be missing for what was given back last */
    queue->running = true;
    loop_add_poll(queue->loop, &queue->poll);
    virtio_queue_kick(queue);
}
