/* SPDX-License-Identifier: Apache-2.0 */
/* The transport-independent half of every virtio device; see device.h for who runs what where. */
#include "devices/virtio/device.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STATUS_BY_DRIVER                                                                          \
    (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK |         \
     VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FAILED)

#define FEATURE(bit) (UINT64_C(1) << (bit))
#define FEATURES_OF_ALL_DEVICES                                                                   \
    (FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_RING_F_INDIRECT_DESC) |                         \
     FEATURE(VIRTIO_RING_F_EVENT_IDX))

/* One turn at a queue: enough to batch well, little enough to be fair to the other sources. */
#define TURN_CHAINS 128u
#define TURN_BYTES (UINT64_C(4) << 20)

static bool status_has(const struct virtio_device *device, uint8_t bits)
{
    return virtio_device_status(device) & bits;
}

/* The device may use its queues. */
static bool usable(const struct virtio_device *device)
{
    return device->active &&
           !status_has(device, VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED);
}

/* --- life --- */

static void kicked(struct loop_source *source, uint32_t events)
{
    struct virtio_queue *queue =
        (void *)((char *)source - offsetof(struct virtio_queue, kick));
    struct virtio_device *device = queue->device;
    eventfd_t count;

    (void)events;
    eventfd_read(source->fd, &count);
    queue->counters.kicks++;
    if (usable(device) && queue->ring.started)
        device->ops->notify(device, queue->index);
}

static int open_queue(struct virtio_device *device, unsigned index, uint16_t size_max,
                      struct err *err)
{
    struct virtio_queue *queue = &device->queues[index];
    int rc;

    *queue = (struct virtio_queue){
        .device = device,
        .index = index,
        .size_max = size_max,
        .kick = {.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), .ready = kicked},
    };
    if (queue->kick.fd < 0)
        return err_sys(err, -errno, "virtio-%s: cannot make an eventfd", device->ops->name);
    rc = loop_watch(device->environment.loop, &queue->kick, EPOLLIN);
    if (rc)
        return err_sys(err, rc, "virtio-%s: cannot watch a queue", device->ops->name);
    return 0;
}

int virtio_device_init(struct virtio_device *device, const struct virtio_device_ops *ops,
                       const struct virtio_environment *environment, const uint16_t *sizes,
                       uint64_t features, struct err *err)
{
    int rc = 0;

    *device = (struct virtio_device){
        .ops = ops,
        .environment = *environment,
        .offered = features | FEATURES_OF_ALL_DEVICES,
    };
    device->queues = calloc(ops->queue_count, sizeof device->queues[0]);
    if (!device->queues)
        return err_set(err, -ENOMEM, "virtio-%s: out of memory", ops->name);
    for (unsigned i = 0; i < ops->queue_count; i++)
        device->queues[i].kick.fd = -1;
    pthread_mutex_init(&device->config_lock, NULL);
    for (unsigned i = 0; i < ops->queue_count && rc == 0; i++)
        rc = open_queue(device, i, sizes[i], err);
    if (rc)
        virtio_device_release(device);
    return rc;
}

void virtio_device_release(struct virtio_device *device)
{
    for (unsigned i = 0; i < device->ops->queue_count; i++) {
        struct loop_source *kick = &device->queues[i].kick;

        if (kick->fd < 0)
            continue;
        loop_watch(device->environment.loop, kick, 0);
        close(kick->fd);
    }
    pthread_mutex_destroy(&device->config_lock);
    free(device->queues);
    device->queues = NULL;
}

void virtio_device_destroy(struct virtio_device *device)
{
    if (!device)
        return;
    if (device->ops->drain)
        device->ops->drain(device);
    device->ops->destroy(device);
}

void virtio_device_attach(struct virtio_device *device,
                          const struct virtio_transport_ops *transport_ops, void *transport)
{
    device->transport_ops = transport_ops;
    device->transport = transport;
}

/* --- status --- */

uint8_t virtio_device_status(const struct virtio_device *device)
{
    return atomic_load(&device->status);
}

static void set_status(struct virtio_device *device, uint8_t bit)
{
    atomic_fetch_or(&device->status, bit);
}

static void stop_queues(struct virtio_device *device)
{
    for (unsigned i = 0; i < device->ops->queue_count; i++)
        virtq_stop(&device->queues[i].ring);
}

static void drain(struct virtio_device *device)
{
    if (device->active && device->ops->drain)
        device->ops->drain(device);
}

/* 2.4: after it the device is as after create, but for its configuration space and counters. */
static void reset_on_loop(void *argument)
{
    struct virtio_device *device = argument;
    eventfd_t kicks;

    drain(device);
    stop_queues(device);
    device->active = false;
    if (device->ops->reset)
        device->ops->reset(device);
    for (unsigned i = 0; i < device->ops->queue_count; i++) {
        device->queues[i].setup = (struct virtq_setup){0};
        eventfd_read(device->queues[i].kick.fd, &kicks);
    }
    device->accepted = 0;
    atomic_store(&device->status, 0);
}

/* Starts every queue that the driver made ready; 0 or -EINVAL and the fault. */
static int start_queues(struct virtio_device *device, const char **fault)
{
    for (unsigned i = 0; i < device->ops->queue_count; i++) {
        struct virtio_queue *queue = &device->queues[i];
        int rc;

        if (!queue->setup.ready)
            continue;
        rc = virtq_start(&queue->ring, device->environment.memory, &queue->setup,
                         queue->size_max, device->accepted, fault);
        if (rc) {
            stop_queues(device);
            return rc;
        }
    }
    return 0;
}

/* Kicks that came before the device was active found it asleep: look at every queue once. */
static void wake_queues(struct virtio_device *device)
{
    for (unsigned i = 0; i < device->ops->queue_count; i++)
        if (device->queues[i].ring.started)
            virtio_queue_kick(&device->queues[i]);
}

static void activate(struct virtio_device *device)
{
    device->active = true;
    if (device->ops->activate)
        device->ops->activate(device);
}

static void activate_on_loop(void *argument)
{
    struct virtio_device *device = argument;
    const char *fault;

    if (start_queues(device, &fault)) {
        virtio_device_break(device, fault);
        return;
    }
    activate(device);
    wake_queues(device);
}

static bool features_acceptable(const struct virtio_device *device)
{
    return !(device->accepted & ~device->offered) &&
           virtio_device_has(device, VIRTIO_F_VERSION_1);
}

/* Takes the steps of 3.1.1 that the driver asks for, in their order, as far as they are allowed. */
static void advance(struct virtio_device *device, uint32_t wanted)
{
    static const uint8_t steps[] = {
        VIRTIO_CONFIG_S_ACKNOWLEDGE,
        VIRTIO_CONFIG_S_DRIVER,
        VIRTIO_CONFIG_S_FEATURES_OK,
        VIRTIO_CONFIG_S_DRIVER_OK,
    };

    for (unsigned i = 0; i < sizeof steps; i++) {
        if (status_has(device, steps[i]))
            continue;
        if (!(wanted & steps[i]))
            return;
        if (steps[i] == VIRTIO_CONFIG_S_FEATURES_OK && !features_acceptable(device))
            return;
        set_status(device, steps[i]);
        if (steps[i] == VIRTIO_CONFIG_S_DRIVER_OK)
            loop_call(device->environment.loop, activate_on_loop, device);
    }
}

void virtio_device_write_status(struct virtio_device *device, uint32_t value)
{
    uint8_t status = virtio_device_status(device);

    if (value == 0) {
        loop_call(device->environment.loop, reset_on_loop, device);
        return;
    }
    if (status & STATUS_BY_DRIVER & ~value)
        return; /* 2.1.1: only a reset clears bits */
    if (value & VIRTIO_CONFIG_S_FAILED)
        set_status(device, VIRTIO_CONFIG_S_FAILED);
    if (!status_has(device, VIRTIO_CONFIG_S_FAILED | VIRTIO_CONFIG_S_NEEDS_RESET))
        advance(device, value);
}

void virtio_device_break(struct virtio_device *device, const char *reason)
{
    if (status_has(device, VIRTIO_CONFIG_S_NEEDS_RESET))
        return;
    set_status(device, VIRTIO_CONFIG_S_NEEDS_RESET);
    if (!device->fault_logged)
        log_line(device->environment.log, LOG_LEVEL_WARNING,
                 "virtio-%s: the guest's driver broke the device, which waits for a reset: %s",
                 device->ops->name, reason);
    device->fault_logged = true;
    if (status_has(device, VIRTIO_CONFIG_S_DRIVER_OK) && device->transport_ops)
        device->transport_ops->config_interrupt(device->transport);
}

/* --- features --- */

uint32_t virtio_device_offered(const struct virtio_device *device, uint32_t word)
{
    return word < 2 ? (uint32_t)(device->offered >> 32 * word) : 0;
}

void virtio_device_accept(struct virtio_device *device, uint32_t word, uint32_t bits)
{
    uint64_t mask;

    if (word > 1 || !status_has(device, VIRTIO_CONFIG_S_DRIVER) ||
        status_has(device, VIRTIO_CONFIG_S_FEATURES_OK))
        return;
    mask = (uint64_t)UINT32_MAX << 32 * word;
    device->accepted = (device->accepted & ~mask) | (uint64_t)bits << 32 * word;
}

/* --- set-up of queues --- */

struct virtio_queue *virtio_device_queue(struct virtio_device *device, uint32_t index)
{
    return index < device->ops->queue_count ? &device->queues[index] : NULL;
}

static bool queues_configurable(const struct virtio_device *device)
{
    return status_has(device, VIRTIO_CONFIG_S_FEATURES_OK) &&
           !status_has(device, VIRTIO_CONFIG_S_DRIVER_OK);
}

struct virtq_setup *virtio_queue_writable_setup(struct virtio_queue *queue)
{
    return queues_configurable(queue->device) && !queue->setup.ready ? &queue->setup : NULL;
}

static void stop_queue_on_loop(void *argument)
{
    struct virtio_queue *queue = argument;

    drain(queue->device);
    virtq_stop(&queue->ring);
}

void virtio_queue_set_ready(struct virtio_queue *queue, bool ready)
{
    if (queues_configurable(queue->device)) {
        queue->setup.ready = ready;
    } else if (!ready && queue->setup.ready) {
        loop_call(queue->device->environment.loop, stop_queue_on_loop, queue);
        queue->setup.ready = false;
    }
}

/* --- configuration space --- */

/* How many of `size` bytes at `offset` exist. Under config_lock, or on the loop's thread. */
static unsigned config_overlap(const struct virtio_device *device, uint64_t offset, unsigned size)
{
    if (offset >= device->config_size)
        return 0;
    return size < device->config_size - offset ? size : device->config_size - (unsigned)offset;
}

void virtio_device_read_config(struct virtio_device *device, uint64_t offset, void *bytes,
                               unsigned size)
{
    memset(bytes, 0, size);
    pthread_mutex_lock(&device->config_lock);
    size = config_overlap(device, offset, size);
    if (size > 0)
        memcpy(bytes, device->config + offset, size);
    pthread_mutex_unlock(&device->config_lock);
}

struct config_write {
    struct virtio_device *device;
    uint64_t offset;
    const void *bytes;
    unsigned size;
};

static void write_config_on_loop(void *argument)
{
    const struct config_write *write = argument;
    unsigned size = config_overlap(write->device, write->offset, write->size);

    if (size > 0)
        write->device->ops->write_config(write->device, (unsigned)write->offset, write->bytes,
                                         size);
}

void virtio_device_write_config(struct virtio_device *device, uint64_t offset, const void *bytes,
                                unsigned size)
{
    struct config_write write = {device, offset, bytes, size};

    if (device->ops->write_config)
        loop_call(device->environment.loop, write_config_on_loop, &write);
}

uint32_t virtio_device_config_generation(struct virtio_device *device)
{
    uint32_t generation;

    pthread_mutex_lock(&device->config_lock);
    generation = device->config_generation;
    pthread_mutex_unlock(&device->config_lock);
    return generation;
}

void virtio_device_set_config(struct virtio_device *device, const void *config, unsigned size)
{
    pthread_mutex_lock(&device->config_lock);
    memcpy(device->config, config, size);
    device->config_size = size;
    device->config_generation++;
    pthread_mutex_unlock(&device->config_lock);
    if (usable(device))
        device->transport_ops->config_interrupt(device->transport);
}

/* --- queues at work --- */

void virtio_queue_kick(struct virtio_queue *queue)
{
    eventfd_write(queue->kick.fd, 1);
}

void virtio_queue_push(struct virtio_queue *queue, uint16_t head, uint32_t written)
{
    virtq_push(&queue->ring, head, written);
    queue->counters.chains++;
}

void virtio_queue_interrupt(struct virtio_queue *queue)
{
    if (!virtq_wants_interrupt(&queue->ring))
        return;
    queue->counters.interrupts++;
    queue->device->transport_ops->queue_interrupt(queue->device->transport, queue->index);
}

void virtio_batch_begin(struct virtio_batch *batch, struct virtio_queue *queue)
{
    *batch = (struct virtio_batch){queue, TURN_CHAINS, TURN_BYTES};
    virtq_suppress_kicks(&queue->ring);
}

/* As virtq_pop(), but an empty ring is left only when the driver knows that it must kick. */
static int pop_or_sleep(struct virtq *ring, struct virtq_chain *chain)
{
    int rc = virtq_pop(ring, chain);

    if (rc == 0 && virtq_enable_kicks(ring)) {
        virtq_suppress_kicks(ring);
        rc = virtq_pop(ring, chain);
    }
    return rc;
}

bool virtio_batch_next(struct virtio_batch *batch, struct virtq_chain *chain)
{
    struct virtio_queue *queue = batch->queue;
    uint64_t bytes;
    int rc;

    if (!usable(queue->device))
        return false;
    if (batch->chains_left == 0 || batch->bytes_left == 0) {
        virtio_queue_kick(queue);
        return false;
    }
    rc = pop_or_sleep(&queue->ring, chain);
    if (rc < 0)
        virtio_device_break(queue->device, queue->ring.fault);
    if (rc <= 0)
        return false;
    bytes = chain->readable_size + chain->writable_size;
    queue->counters.bytes += bytes;
    batch->chains_left--;
    batch->bytes_left -= bytes < batch->bytes_left ? bytes : batch->bytes_left;
    return true;
}

void virtio_batch_undo(struct virtio_batch *batch)
{
    virtq_undo_pop(&batch->queue->ring);
}

/* --- snapshots --- */

static void save_setup(const struct virtio_queue *queue, struct state_writer *writer)
{
    state_put_u32(writer, queue->setup.size);
    state_put_u64(writer, queue->setup.descriptor_area.v);
    state_put_u64(writer, queue->setup.driver_area.v);
    state_put_u64(writer, queue->setup.device_area.v);
    state_put_u8(writer, queue->setup.ready);
}

void virtio_device_save(struct virtio_device *device, struct state_writer *writer)
{
    drain(device);
    state_begin(writer, "virtio", 1);
    state_put_u32(writer, device->ops->device_id);
    state_put_u8(writer, virtio_device_status(device));
    state_put_u64(writer, device->accepted);
    state_put_u32(writer, device->config_generation);
    for (unsigned i = 0; i < device->ops->queue_count; i++)
        save_setup(&device->queues[i], writer);
    state_end(writer);
    state_begin(writer, "virtqueues", 1);
    for (unsigned i = 0; i < device->ops->queue_count; i++)
        virtq_save(&device->queues[i].ring, writer);
    state_end(writer);
    if (device->ops->save)
        device->ops->save(device, writer);
}

/* Each bit needs its predecessor, and FEATURES_OK needs features that we offer. */
static bool status_possible(const struct virtio_device *device, uint8_t status)
{
    uint8_t steps = status & (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
                              VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FEATURES_OK);

    if (status & ~(STATUS_BY_DRIVER | VIRTIO_CONFIG_S_NEEDS_RESET))
        return false;
    switch (steps) {
    case 0:
    case VIRTIO_CONFIG_S_ACKNOWLEDGE:
    case VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER:
        return true;
    case STATUS_BY_DRIVER & ~(VIRTIO_CONFIG_S_FAILED | VIRTIO_CONFIG_S_DRIVER_OK):
    case STATUS_BY_DRIVER & ~VIRTIO_CONFIG_S_FAILED:
        return features_acceptable(device);
    default:
        return false;
    }
}

static void restore_setup(struct virtio_queue *queue, struct state_reader *reader)
{
    queue->setup.size = state_get_u32(reader);
    queue->setup.descriptor_area = gpa(state_get_u64(reader));
    queue->setup.driver_area = gpa(state_get_u64(reader));
    queue->setup.device_area = gpa(state_get_u64(reader));
    queue->setup.ready = state_get_u8(reader);
}

/* What the driver wrote to the registers; nothing of it is in force yet. */
static int restore_registers(struct virtio_device *device, struct state_reader *reader,
                             uint8_t *status, struct err *err)
{
    uint32_t id;

    state_enter(reader, "virtio", 1);
    id = state_get_u32(reader);
    *status = state_get_u8(reader);
    device->accepted = state_get_u64(reader);
    device->config_generation = state_get_u32(reader);
    for (unsigned i = 0; i < device->ops->queue_count; i++)
        restore_setup(&device->queues[i], reader);
    state_leave(reader);
    if (state_failed(reader) || id != device->ops->device_id ||
        !status_possible(device, *status))
        return err_set(err, -EINVAL, "virtio-%s: the saved state is not of this device",
                       device->ops->name);
    return 0;
}

int virtio_device_restore(struct virtio_device *device, struct state_reader *reader,
                          struct err *err)
{
    const char *fault;
    uint8_t status;
    bool active;
    int rc = restore_registers(device, reader, &status, err);

    if (rc)
        return rc;
    active = status & VIRTIO_CONFIG_S_DRIVER_OK && !(status & VIRTIO_CONFIG_S_NEEDS_RESET);
    rc = active ? start_queues(device, &fault) : 0;
    if (rc)
        return err_set(err, rc, "virtio-%s: the saved state has a bad queue: %s",
                       device->ops->name, fault);
    state_enter(reader, "virtqueues", 1);
    for (unsigned i = 0; i < device->ops->queue_count; i++)
        virtq_restore(&device->queues[i].ring, reader);
    state_leave(reader);
    atomic_store(&device->status, status);
    if (active)
        activate(device);
    if (device->ops->restore)
        rc = device->ops->restore(device, reader, err);
    if (rc == 0 && state_failed(reader))
        rc = err_set(err, -EINVAL, "virtio-%s: the saved state is damaged", device->ops->name);
    if (rc == 0 && active)
        wake_queues(device);
    return rc;
}
