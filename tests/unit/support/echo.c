/* SPDX-License-Identifier: Apache-2.0 */
#include "support/echo.h"

#include "core/state.h"

#include <stdlib.h>
#include <string.h>

static void echo_activate(struct virtio_device *device)
{
    ((struct echo *)device)->activated++;
}

static void echo_notify(struct virtio_device *device, unsigned queue)
{
    struct echo *echo = (struct echo *)device;
    struct virtio_batch batch;
    struct virtq_chain chain;

    echo->notified[queue]++;
    virtio_batch_begin(&batch, &device->queues[queue]);
    while (virtio_batch_next(&batch, &chain)) {
        echo->served++;
        virtio_queue_push(&device->queues[queue], chain.token, 1);
    }
    virtio_queue_interrupt(&device->queues[queue]);
}

static void echo_write_config(struct virtio_device *device, unsigned offset, const void *bytes,
                              unsigned size)
{
    struct echo *echo = (struct echo *)device;

    echo->written_offset = offset;
    echo->written_size = size;
    memcpy(echo->written, bytes, size);
}

static void echo_drain(struct virtio_device *device, unsigned queue)
{
    (void)queue;
    ((struct echo *)device)->drains++;
}

static void echo_reset(struct virtio_device *device)
{
    ((struct echo *)device)->resets++;
}

static void echo_save(struct virtio_device *device, struct state_writer *writer)
{
    state_begin(writer, "echo", 1);
    state_put_u32(writer, ((struct echo *)device)->memory);
    state_end(writer);
}

static int echo_restore(struct virtio_device *device, struct state_reader *reader, struct err *err)
{
    (void)err;
    state_enter(reader, "echo", 1);
    ((struct echo *)device)->memory = state_get_u32(reader);
    state_leave(reader);
    return 0;
}

static void echo_destroy(struct virtio_device *device)
{
    virtio_device_release(device);
}

static const struct virtio_device_ops echo_ops = {
    .name = "echo",
    .device_id = 42,
    .activate = echo_activate,
    .notify = echo_notify,
    .write_config = echo_write_config,
    .drain_queue = echo_drain,
    .reset = echo_reset,
    .save = echo_save,
    .restore = echo_restore,
    .destroy = echo_destroy,
};

void echo_open(struct echo *echo, struct mock_guest *guest)
{
    const struct virtio_queue_options queues[] = {
        {.size_max = ECHO_QUEUE_SIZE},
        {.size_max = VIRTQ_SIZE_MAX},
    };

    *echo = (struct echo){.memory = 0};
    if (virtio_device_init(&echo->device, &echo_ops, &guest->environment, queues, 2,
                           MOCK_FEATURE(ECHO_FEATURE), NULL))
        abort();
    virtio_device_set_config(&echo->device, ECHO_CONFIG, ECHO_CONFIG_SIZE);
}
