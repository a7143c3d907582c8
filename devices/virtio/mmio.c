/* SPDX-License-Identifier: Apache-2.0 */
/* The register window of virtio-mmio; see mmio.h. Touches registers and interrupts, no queue. */
#include "devices/virtio/mmio.h"

#include <errno.h>
#include <linux/virtio_mmio.h>
#include <string.h>

#define MAGIC 0x74726976u  /* "virt" */
#define VERSION 2u
#define VENDOR 0x4b535548u /* "HUSK" */
#define STATE_VERSION 1

_Static_assert(VIRTIO_MMIO_NOTIFY_OFFSET == VIRTIO_MMIO_QUEUE_NOTIFY, "4.2.2, table 4.1");
_Static_assert(VIRTIO_MMIO_WINDOW == VIRTIO_MMIO_CONFIG + 0x100, "room for a configuration space");
_Static_assert(VIRTIO_CONFIG_SIZE_MAX <= 0x100, "room for a configuration space");

/* --- interrupts: any thread, no lock --- */

static void interrupt(struct virtio_mmio *transport, uint32_t cause)
{
    atomic_fetch_or(&transport->interrupt_status, cause);
    irq_raise(&transport->irq);
}

static void queue_interrupt(void *transport, unsigned queue)
{
    (void)queue;
    interrupt(transport, VIRTIO_MMIO_INT_VRING);
}

static void config_interrupt(void *transport)
{
    interrupt(transport, VIRTIO_MMIO_INT_CONFIG);
}

static const struct virtio_transport_ops transport_ops = {queue_interrupt, config_interrupt, NULL};

/* --- registers: under the lock --- */

static uint32_t queue_register(struct virtio_mmio *transport, uint64_t offset)
{
    const struct virtio_queue *queue =
        virtio_device_queue(transport->device, transport->queue_index);

    if (!queue)
        return 0;
    return offset == VIRTIO_MMIO_QUEUE_NUM_MAX ? queue->size_max : queue->setup.ready;
}

static uint32_t read_register(struct virtio_mmio *transport, uint64_t offset)
{
    struct virtio_device *device = transport->device;

    switch (offset) {
    case VIRTIO_MMIO_MAGIC_VALUE:
        return MAGIC;
    case VIRTIO_MMIO_VERSION:
        return VERSION;
    case VIRTIO_MMIO_DEVICE_ID:
        return device->ops->device_id;
    case VIRTIO_MMIO_VENDOR_ID:
        return VENDOR;
    case VIRTIO_MMIO_DEVICE_FEATURES:
        return virtio_device_offered(device, transport->offered_word);
    case VIRTIO_MMIO_QUEUE_NUM_MAX:
    case VIRTIO_MMIO_QUEUE_READY:
        return queue_register(transport, offset);
    case VIRTIO_MMIO_STATUS:
        return virtio_device_status(device);
    case VIRTIO_MMIO_CONFIG_GENERATION:
        return virtio_device_config_generation(device);
    case VIRTIO_MMIO_SHM_LEN_LOW: /* no shared memory region: all ones (4.2.2) */
    case VIRTIO_MMIO_SHM_LEN_HIGH:
    case VIRTIO_MMIO_SHM_BASE_LOW:
    case VIRTIO_MMIO_SHM_BASE_HIGH:
        return UINT32_MAX;
    default: /* write-only, or reserved */
        return 0;
    }
}

static void set_low(struct gpa *address, uint32_t value)
{
    address->v = (address->v & ~(uint64_t)UINT32_MAX) | value;
}

static void set_high(struct gpa *address, uint32_t value)
{
    address->v = (address->v & UINT32_MAX) | (uint64_t)value << 32;
}

static void write_setup(struct virtq_setup *setup, uint64_t offset, uint32_t value)
{
    switch (offset) {
    case VIRTIO_MMIO_QUEUE_NUM:
        setup->size = value;
        break;
    case VIRTIO_MMIO_QUEUE_DESC_LOW:
        set_low(&setup->descriptor_area, value);
        break;
    case VIRTIO_MMIO_QUEUE_DESC_HIGH:
        set_high(&setup->descriptor_area, value);
        break;
    case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
        set_low(&setup->driver_area, value);
        break;
    case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
        set_high(&setup->driver_area, value);
        break;
    case VIRTIO_MMIO_QUEUE_USED_LOW:
        set_low(&setup->device_area, value);
        break;
    case VIRTIO_MMIO_QUEUE_USED_HIGH:
        set_high(&setup->device_area, value);
        break;
    default: /* read-only, or reserved */
        break;
    }
}

static void write_queue_register(struct virtio_mmio *transport, uint64_t offset, uint32_t value)
{
    struct virtio_queue *queue = virtio_device_queue(transport->device, transport->queue_index);
    struct virtq_setup *setup;

    if (!queue)
        return;
    if (offset == VIRTIO_MMIO_QUEUE_READY) {
        virtio_queue_set_ready(queue, value & 1);
        return;
    }
    setup = virtio_queue_writable_setup(queue);
    if (setup)
        write_setup(setup, offset, value);
}

static void write_status(struct virtio_mmio *transport, uint32_t value)
{
    virtio_device_write_status(transport->device, value);
    if (value == 0) {
        /* The device is inactive now, so nothing sets it again before the next DRIVER_OK. */
        atomic_store(&transport->interrupt_status, 0);
        transport->queue_index = transport->offered_word = transport->accepted_word = 0;
    }
}

static void write_register(struct virtio_mmio *transport, uint64_t offset, uint32_t value)
{
    switch (offset) {
    case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
        transport->offered_word = value;
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
        transport->accepted_word = value;
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES:
        virtio_device_accept(transport->device, transport->accepted_word, value);
        break;
    case VIRTIO_MMIO_QUEUE_SEL:
        transport->queue_index = value;
        break;
    case VIRTIO_MMIO_STATUS:
        write_status(transport, value);
        break;
    default:
        write_queue_register(transport, offset, value);
        break;
    }
}

/* --- the window --- */

/* 4.2.2.2: only aligned 32-bit accesses are defined below the configuration space. */
static bool is_register(uint64_t offset, unsigned size)
{
    return size == 4 && offset % 4 == 0;
}

static void mmio_read(void *context, uint64_t offset, void *data, unsigned size)
{
    struct virtio_mmio *transport = context;
    uint32_t value = 0;

    if (offset == VIRTIO_MMIO_INTERRUPT_STATUS && is_register(offset, size)) {
        bus_set_value(data, size, atomic_load(&transport->interrupt_status));
        return;
    }
    if (offset >= VIRTIO_MMIO_CONFIG) {
        virtio_device_read_config(transport->device, offset - VIRTIO_MMIO_CONFIG, data, size);
        return;
    }
    if (is_register(offset, size)) {
        pthread_mutex_lock(&transport->lock);
        value = read_register(transport, offset);
        pthread_mutex_unlock(&transport->lock);
    }
    bus_set_value(data, size, value);
}

static void mmio_write(void *context, uint64_t offset, const void *data, unsigned size)
{
    struct virtio_mmio *transport = context;
    uint32_t value = (uint32_t)bus_value(data, size);

    if (offset >= VIRTIO_MMIO_CONFIG) {
        pthread_mutex_lock(&transport->lock);
        virtio_device_write_config(transport->device, offset - VIRTIO_MMIO_CONFIG, data, size);
        pthread_mutex_unlock(&transport->lock);
    } else if (!is_register(offset, size)) {
        return;
    } else if (offset == VIRTIO_MMIO_INTERRUPT_ACK) {
        atomic_fetch_and(&transport->interrupt_status, ~value);
    } else if (offset == VIRTIO_MMIO_QUEUE_NOTIFY) {
        struct virtio_queue *queue = virtio_device_queue(transport->device, value);

        if (queue)
            virtio_queue_kick(queue);
    } else {
        pthread_mutex_lock(&transport->lock);
        write_register(transport, offset, value);
        pthread_mutex_unlock(&transport->lock);
    }
}

const struct bus_ops virtio_mmio_ops = {mmio_read, mmio_write};

/* --- life --- */

int virtio_mmio_open(struct virtio_mmio *transport, struct virtio_device *device, uint32_t gsi,
                     struct err *err)
{
    int rc;

    *transport = (struct virtio_mmio){.device = device};
    rc = irq_open(&transport->irq, gsi, err);
    if (rc)
        return rc;
    pthread_mutex_init(&transport->lock, NULL);
    virtio_device_attach(device, &transport_ops, transport);
    return 0;
}

void virtio_mmio_close(struct virtio_mmio *transport)
{
    irq_close(&transport->irq);
    pthread_mutex_destroy(&transport->lock);
}

unsigned virtio_mmio_queue_count(const struct virtio_mmio *transport)
{
    return transport->device->queue_count;
}

int virtio_mmio_queue_notify_fd(const struct virtio_mmio *transport, unsigned queue)
{
    const struct virtio_queue *found = virtio_device_queue(transport->device, queue);

    return found ? found->kick.fd : -1;
}

/* --- snapshots --- */

void virtio_mmio_save(struct virtio_mmio *transport, struct state_writer *writer)
{
    state_begin(writer, "virtio-mmio", STATE_VERSION);
    state_put_u32(writer, transport->offered_word);
    state_put_u32(writer, transport->accepted_word);
    state_put_u32(writer, transport->queue_index);
    state_put_u32(writer, atomic_load(&transport->interrupt_status));
    state_end(writer);
    virtio_device_save(transport->device, writer);
}

int virtio_mmio_restore(struct virtio_mmio *transport, struct state_reader *reader,
                        struct err *err)
{
    uint32_t pending;
    int rc;

    state_enter(reader, "virtio-mmio", STATE_VERSION);
    transport->offered_word = state_get_u32(reader);
    transport->accepted_word = state_get_u32(reader);
    transport->queue_index = state_get_u32(reader);
    pending = state_get_u32(reader) & (VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG);
    state_leave(reader);
    if (state_failed(reader))
        return err_set(err, -EINVAL, "virtio-mmio: the saved state is damaged");
    rc = virtio_device_restore(transport->device, reader, err);
    /* Edges may have been on the way when we were saved, and saving completed requests. */
    if (rc == 0 && virtio_device_status(transport->device) & VIRTIO_CONFIG_S_DRIVER_OK)
        pending |= VIRTIO_MMIO_INT_VRING;
    if (rc == 0 && pending)
        interrupt(transport, pending);
    return rc;
}
