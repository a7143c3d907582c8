/* SPDX-License-Identifier: Apache-2.0 */
/* The transport-independent half of every virtio device; see device.h for who runs what where. */
#include "devices/virtio/device.h"

#include "core/event.h"
#include "devices/virtio/lend.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
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

/* Nothing may touch the queues of a device that is. */
static bool broken(const struct virtio_device *device)
{
    return status_has(device, VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED);
}

bool virtio_queue_usable(const struct virtio_queue *queue)
{
    return queue->running && !broken(queue->device);
}

void virtio_queue_raise(struct virtio_queue *queue)
{
    counter_add(&queue->counters.interrupts, 1);
    queue->device->transport_ops->queue_interrupt(queue->device->transport, queue->index);
}

/* --- life --- */

static void kicked(struct loop_source *source, uint32_t events)
{
    struct virtio_queue *queue =
        (void *)((char *)source - offsetof(struct virtio_queue, kick));
    struct virtio_device *device = queue->device;

    (void)events;
    counter_add(&queue->counters.kicks, 1);
    if (virtio_queue_usable(queue))
        device->ops->notify(device, queue->index);
}

static struct virtio_queue *queue_of_poll(struct loop_poll *poll)
{
    return (void *)((char *)poll - offsetof(struct virtio_queue, poll));
}

/* A queue that is not watched waits for something else: its device, or a reset. */
static bool look(struct loop_poll *poll)
{
    struct virtio_queue *queue = queue_of_poll(poll);

    if (!queue->watched || !virtq_available(&queue->ring) || broken(queue->device))
        return false;
    counter_add(&queue->counters.polls, 1);
    queue->device->ops->notify(queue->device, queue->index);
    return true;
}

static bool ask_for_kicks(struct loop_poll *poll)
{
    struct virtio_queue *queue = queue_of_poll(poll);

    if (!queue->watched || queue->kicks_wanted || broken(queue->device))
        return false;
    queue->kicks_wanted = true;
    return virtq_enable_kicks(&queue->ring);
}

static int open_queue(struct virtio_device *device, unsigned index,
                      const struct virtio_queue_options *options, struct err *err)
{
    struct virtio_queue *queue = &device->queues[index];
    int rc;

    *queue = (struct virtio_queue){
        .device = device,
        .index = index,
        .loop = options->loop ?: device->environment.loop,
        .size_max = options->size_max,
        .kick = {.ready = kicked},
        .poll = {.look = look, .sleep = ask_for_kicks},
    };
    virtio_queue_init_loan(queue);
    rc = loop_watch_event(queue->loop, &queue->kick, "a queue", err);
    if (rc)
        err_prefix(err, "virtio-%s", device->ops->name);
    return rc;
}

int virtio_device_init(struct virtio_device *device, const struct virtio_device_ops *ops,
                       const struct virtio_environment *environment,
                       const struct virtio_queue_options *queues, unsigned queue_count,
                       uint64_t features, struct err *err)
{
    int rc = 0;

    *device = (struct virtio_device){
        .ops = ops,
        .environment = *environment,
        .offered = features | FEATURES_OF_ALL_DEVICES,
        .queue_count = queue_count,
    };
    if (environment->packed_rings)
        device->offered |= FEATURE(VIRTIO_F_RING_PACKED);
    device->queues = calloc(queue_count, sizeof device->queues[0]);
    if (!device->queues)
        return err_set(err, -ENOMEM, "virtio-%s: out of memory", ops->name);
    for (unsigned i = 0; i < queue_count; i++)
        device->queues[i].kick.fd = device->queues[i].call.fd = device->queues[i].fault.fd = -1;
    pthread_mutex_init(&device->config_lock, NULL);
    for (unsigned i = 0; i < queue_count && rc == 0; i++)
        rc = open_queue(device, i, &queues[i], err);
    if (rc)
        virtio_device_release(device);
    return rc;
}

static void close_event(struct loop *loop, struct loop_source *event)
{
    if (event->fd < 0)
        return;
    loop_watch(loop, event, 0);
    close(event->fd);
}

void virtio_device_release(struct virtio_device *device)
{
    for (unsigned i = 0; i < device->queue_count; i++) {
        struct virtio_queue *queue = &device->queues[i];

        if (queue->kick.fd >= 0)
            loop_remove_poll(queue->loop, &queue->poll);
        close_event(queue->loop, &queue->kick);
        close_event(queue->loop, &queue->call);
        close_event(queue->loop, &queue->fault);
    }
    pthread_mutex_destroy(&device->config_lock);
    free(device->queues);
    device->queues = NULL;
}

static void drain_queue(struct virtio_queue *queue)
{
    struct virtio_device *device = queue->device;

    if (queue->lent)
        virtio_queue_take_back(queue);
    else if (device->ops->drain_queue)
        device->ops->drain_queue(device, queue->index);
}

void virtio_device_destroy(struct virtio_device *device)
{
    if (!device)
        return;
    for (unsigned i = 0; i < device->queue_count; i++)
        drain_queue(&device->queues[i]);
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

static void stop_queue_on_loop(void *argument)
{
    struct virtio_queue *queue = argument;
    eventfd_t kicks;

    drain_queue(queue);
    if (!queue->device->ops->lends_to_process) /* a count that stays costs one look, later */
        eventfd_read(queue->kick.fd, &kicks);
    loop_remove_poll(queue->loop, &queue->poll);
    queue->running = queue->watched = false;
    virtq_stop(&queue->ring);
}

static void stop_queue(struct virtio_queue *queue)
{
    loop_call(queue->loop, stop_queue_on_loop, queue);
}

/* 2.4: after it the device is as after create, but for its configuration space and counters. */
static void reset_on_loop(void *argument)
{
    struct virtio_device *device = argument;

    for (unsigned i = 0; i < device->queue_count; i++)
        stop_queue(&device->queues[i]);
    device->active = false;
    if (device->ops->reset)
        device->ops->reset(device);
    for (unsigned i = 0; i < device->queue_count; i++)
        device->queues[i].setup = (struct virtq_setup){0};
    device->accepted = 0;
    atomic_store(&device->status, 0);
}

/* Starts the ring of every queue that the driver made ready; 0 or -EINVAL and the fault. */
static int start_rings(struct virtio_device *device, const char **fault)
{
    for (unsigned i = 0; i < device->queue_count; i++) {
        struct virtio_queue *queue = &device->queues[i];
        int rc;

        if (!queue->setup.ready)
            continue;
        rc = virtq_start(&queue->ring, device->environment.memory, &queue->setup,
                         queue->size_max, device->accepted, fault);
        if (rc == 0)
            continue;
        while (i-- > 0)
            virtq_stop(&device->queues[i].ring);
        return rc;
    }
    return 0;
}

/* Kicks that came before the queue ran found it asleep: look at it once. */
static void run_queue_on_loop(void *argument)
{
    struct virtio_queue *queue = argument;

    virtio_queue_kick(queue);
    if (virtio_queue_lend(queue)) {
        if (queue->ring.next_used > 0) /* restored: an interrupt may have been on its way */
            virtio_queue_raise(queue);
        return;
    }
    queue->running = true;
    loop_add_poll(queue->loop, &queue->poll);
}

static void run_queues(struct virtio_device *device)
{
    for (unsigned i = 0; i < device->queue_count; i++)
        if (device->queues[i].ring.started)
            loop_call(device->queues[i].loop, run_queue_on_loop, &device->queues[i]);
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

    if (start_rings(device, &fault)) {
        virtio_device_break(device, fault);
        return;
    }
    activate(device);
    run_queues(device);
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
    if (!atomic_exchange(&device->fault_logged, true))
        log_line(device->environment.log, LOG_LEVEL_WARNING,
                 "virtio-%s: the guest's driver broke the device, which waits for a reset: %s",
                 device->ops->name, reason);
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
    return index < device->queue_count ? &device->queues[index] : NULL;
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

void virtio_queue_set_ready(struct virtio_queue *queue, bool ready)
{
    if (queues_configurable(queue->device)) {
        queue->setup.ready = ready;
    } else if (!ready && queue->setup.ready) {
        stop_queue(queue);
        queue->setup.ready = false;
    }
}

/* --- configuration space --- */

/* How many of `size` bytes at `offset` exist. Under config_lock, or on the device's loop. */
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

void virtio_device_keep_config(struct virtio_device *device, const void *config, unsigned size)
{
    pthread_mutex_lock(&device->config_lock);
    memcpy(device->config, config, size);
    device->config_size = size;
    device->config_generation++;
    pthread_mutex_unlock(&device->config_lock);
}

void virtio_device_set_config(struct virtio_device *device, const void *config, unsigned size)
{
    virtio_device_keep_config(device, config, size);
    if (device->active && !broken(device))
        device->transport_ops->config_interrupt(device->transport);
}

/* --- queues at work --- */

void virtio_queue_kick(struct virtio_queue *queue)
{
    if (queue->device->ops->lends_to_process)
        event_signal(queue->kick.fd, queue->loop->wake.fd);
    else
        eventfd_write(queue->kick.fd, 1);
}

void virtio_queue_look_again(struct virtio_queue *queue)
{
    queue->watched = true;
}

void virtio_queue_push(struct virtio_queue *queue, struct virtq_token token, uint32_t written)
{
    virtq_push(&queue->ring, token, written);
    counter_add(&queue->counters.chains, 1);
}

void virtio_queue_push_all(struct virtio_queue *queue, const struct virtq_used *used,
                           unsigned count)
{
    virtq_push_all(&queue->ring, used, count);
    counter_add(&queue->counters.chains, count);
}

void virtio_queue_interrupt(struct virtio_queue *queue)
{
    if (virtq_wants_interrupt(&queue->ring))
        virtio_queue_raise(queue);
}

void virtio_batch_begin(struct virtio_batch *batch, struct virtio_queue *queue)
{
    *batch = (struct virtio_batch){queue, TURN_CHAINS, TURN_BYTES};
    virtq_suppress_kicks(&queue->ring);
    queue->kicks_wanted = queue->watched = false;
}

void virtio_batch_charge_bytes(struct virtio_batch *batch, uint64_t bytes)
{
    batch->bytes_left -= bytes < batch->bytes_left ? bytes : batch->bytes_left;
}

bool virtio_batch_next(struct virtio_batch *batch, struct virtq_chain *chain)
{
    struct virtio_queue *queue = batch->queue;
    uint64_t bytes;
    int rc;

    if (!virtio_queue_usable(queue))
        return false;
    if (batch->chains_left == 0 || batch->bytes_left == 0) {
        queue->watched = true;
        return false;
    }
    rc = virtq_pop(&queue->ring, chain);
    queue->watched = rc == 0;
    if (rc < 0)
        virtio_device_break(queue->device, queue->ring.fault);
    if (rc <= 0)
        return false;
    bytes = chain->readable_size + chain->writable_size;
    counter_add(&queue->counters.bytes, bytes);
    batch->chains_left--;
    virtio_batch_charge_bytes(batch, bytes);
    return true;
}

bool virtio_batch_charge(struct virtio_batch *batch)
{
    if (batch->chains_left > 0 && --batch->chains_left > 0)
        return true;
    virtio_queue_kick(batch->queue);
    return false;
}

void virtio_batch_undo(struct virtio_batch *batch, struct virtq_token token)
{
    virtq_undo_pop(&batch->queue->ring, token);
}

/* --- counters --- */

void virtio_queue_count(const struct virtio_queue *queue, const struct counter_sink *sink)
{
    const struct virtio_queue_counters *counters = &queue->counters;
    const struct virtio_device *device = queue->device;

    counter_give(sink, "kicks", &counters->kicks);
    counter_give(sink, "polls", &counters->polls);
    counter_give(sink, "interrupts", &counters->interrupts);
    counter_give(sink, "chains", &counters->chains);
    counter_give(sink, "bytes", &counters->bytes);
    counter_give(sink, "errors", &counters->errors);
    if (device->ops->count)
        device->ops->count(device, queue->index, sink);
}

/* --- pauses --- */

static void drain_on_loop(void *argument)
{
    drain_queue(argument);
}

void virtio_device_suspend(struct virtio_device *device)
{
    for (unsigned i = 0; i < device->queue_count; i++)
        loop_call(device->queues[i].loop, drain_on_loop, &device->queues[i]);
}

/* One that was lent does not run, but for its ring. */
static void resume_queue_on_loop(void *argument)
{
    struct virtio_queue *queue = argument;

    if (queue->running)
        virtio_queue_kick(queue);
    else if (queue->ring.started && !broken(queue->device))
        run_queue_on_loop(queue);
}

void virtio_device_resume(struct virtio_device *device)
{
    for (unsigned i = 0; i < device->queue_count; i++)
        loop_call(device->queues[i].loop, resume_queue_on_loop, &device->queues[i]);
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

struct queue_save {
    struct virtio_queue *queue;
    struct state_writer *writer;
};

static void save_queue_on_loop(void *argument)
{
    struct queue_save *save = argument;
    bool lent = save->queue->lent;

    drain_queue(save->queue);
    virtq_save(&save->queue->ring, save->writer);
    if (lent)
        virtio_queue_lend(save->queue);
}

void virtio_device_save(struct virtio_device *device, struct state_writer *writer)
{
    state_begin(writer, "virtio", 1);
    state_put_u32(writer, device->ops->device_id);
    state_put_u8(writer, virtio_device_status(device));
    state_put_u64(writer, device->accepted);
    state_put_u32(writer, device->config_generation);
    for (unsigned i = 0; i < device->queue_count; i++)
        save_setup(&device->queues[i], writer);
    state_end(writer);
    state_begin(writer, "virtqueues", 1);
    for (unsigned i = 0; i < device->queue_count; i++) {
        struct queue_save save = {&device->queues[i], writer};

        loop_call(save.queue->loop, save_queue_on_loop, &save);
    }
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
    for (unsigned i = 0; i < device->queue_count; i++)
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
    rc = active ? start_rings(device, &fault) : 0;
    if (rc)
        return err_set(err, rc, "virtio-%s: the saved state has a bad queue: %s",
                       device->ops->name, fault);
    state_enter(reader, "virtqueues", 1);
    for (unsigned i = 0; i < device->queue_count; i++)
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
        run_queues(device);
    return rc;
}
