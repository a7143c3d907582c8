/* SPDX-License-Identifier: Apache-2.0 */
/* The registers of virtio-pci; see pci.h. Touches registers and interrupts, no queue. */
#include "devices/virtio/pci.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_pci.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define VENDOR 0x1af4u
#define DEVICE_BASE 0x1040u
#define REVISION 1u
#define STATE_VERSION 1

/* Parts of BAR 0. */
#define COMMON_AT 0x0000u
#define COMMON_SIZE (VIRTIO_PCI_COMMON_Q_USEDHI + 4u)
#define ISR_AT 0x0400u
#define ISR_SIZE 1u
#define ISR_QUEUE 1u
#define CONFIG_AT 0x0800u
#define CONFIG_SIZE VIRTIO_CONFIG_SIZE_MAX
#define TABLE_AT 0x1000u
#define PENDING_AT 0x1800u
#define PENDING_SIZE (MSIX_VECTORS_MAX / 8)
#define NOTIFY_AT 0x2000u
#define NOTIFY_STRIDE 4u
#define NOTIFY_SIZE (VIRTIO_PCI_BAR_SIZE - NOTIFY_AT)

_Static_assert(TABLE_AT + MSIX_TABLE_SIZE_MAX <= PENDING_AT, "room for the MSI-X table");

/* --- interrupts: any thread, no lock --- */

/* 4.1.4.5.1: a queue's bit is for drivers without MSI-X, the configuration's for all. */
static void queue_interrupt(void *context, unsigned queue)
{
    struct virtio_pci *transport = context;

    if (!atomic_load(&transport->msix.enabled))
        atomic_fetch_or(&transport->isr, ISR_QUEUE);
    msix_raise(&transport->msix, atomic_load(&transport->queue_vectors[queue]));
}

static void config_interrupt(void *context)
{
    struct virtio_pci *transport = context;

    atomic_fetch_or(&transport->isr, VIRTIO_PCI_ISR_CONFIG);
    msix_raise(&transport->msix, atomic_load(&transport->config_vector));
}

/*
 * Masked or not, as msix.h says; without MSI-X there is the queue's bit. Another vector that the
 * driver gives to a queue in use, which Linux never does, is in force from the next activation on.
 */
static int queue_event(void *context, unsigned queue)
{
    const struct virtio_pci *transport = context;

    if (!atomic_load(&transport->msix.enabled))
        return -1;
    return msix_event(&transport->msix, atomic_load(&transport->queue_vectors[queue]));
}

static const struct virtio_transport_ops transport_ops = {queue_interrupt, config_interrupt,
                                                          queue_event};

/* --- doorbells: under the lock --- */

static uint64_t doorbell(uint64_t base, unsigned queue)
{
    return base + NOTIFY_AT + (uint64_t)queue * NOTIFY_STRIDE;
}

static void ring_by(struct virtio_pci *transport, uint64_t base,
                    void (*change)(void *context, uint64_t address, int fd))
{
    struct virtio_device *device = transport->device;

    for (unsigned i = 0; i < device->queue_count; i++)
        change(transport->wires.context, doorbell(base, i),
               virtio_device_queue(device, i)->kick.fd);
}

/*
 * Doorbells are where the BAR is, while the driver has use for them. Guests move their BARs about,
 * and turn decoding on and off, before a driver starts; that must cost nothing.
 */
static void follow_doorbells(struct virtio_pci *transport)
{
    const struct wires_ops *ops = transport->wires.ops;
    bool wanted = virtio_device_status(transport->device) & VIRTIO_CONFIG_S_DRIVER_OK;
    uint64_t base = wanted ? transport->function.bar.base : PCI_NOWHERE;

    if (base == transport->doorbells)
        return;
    if (transport->doorbells != PCI_NOWHERE)
        ring_by(transport, transport->doorbells, ops->disconnect_doorbell);
    if (base != PCI_NOWHERE)
        ring_by(transport, base, ops->connect_doorbell);
    transport->doorbells = base;
}

/* --- common configuration (4.1.4.3): under the lock --- */

/* The width of the field at each offset; 64-bit fields are written in halves (4.1.3.1). */
static const uint8_t widths[COMMON_SIZE] = {
    [VIRTIO_PCI_COMMON_DFSELECT] = 4,  [VIRTIO_PCI_COMMON_DF] = 4,
    [VIRTIO_PCI_COMMON_GFSELECT] = 4,  [VIRTIO_PCI_COMMON_GF] = 4,
    [VIRTIO_PCI_COMMON_MSIX] = 2,      [VIRTIO_PCI_COMMON_NUMQ] = 2,
    [VIRTIO_PCI_COMMON_STATUS] = 1,    [VIRTIO_PCI_COMMON_CFGGENERATION] = 1,
    [VIRTIO_PCI_COMMON_Q_SELECT] = 2,  [VIRTIO_PCI_COMMON_Q_SIZE] = 2,
    [VIRTIO_PCI_COMMON_Q_MSIX] = 2,    [VIRTIO_PCI_COMMON_Q_ENABLE] = 2,
    [VIRTIO_PCI_COMMON_Q_NOFF] = 2,    [VIRTIO_PCI_COMMON_Q_DESCLO] = 4,
    [VIRTIO_PCI_COMMON_Q_DESCHI] = 4,  [VIRTIO_PCI_COMMON_Q_AVAILLO] = 4,
    [VIRTIO_PCI_COMMON_Q_AVAILHI] = 4, [VIRTIO_PCI_COMMON_Q_USEDLO] = 4,
    [VIRTIO_PCI_COMMON_Q_USEDHI] = 4,
};

static bool is_field(uint64_t offset, unsigned size)
{
    return offset < COMMON_SIZE && widths[offset] == size;
}

/* Fields of the selected queue; all are 0 where there is none. */
static uint32_t read_queue(struct virtio_pci *transport, uint64_t offset)
{
    const struct virtio_queue *queue =
        virtio_device_queue(transport->device, transport->queue_select);
    const struct virtq_setup *setup;

    if (!queue)
        return 0;
    setup = &queue->setup;
    switch (offset) {
    case VIRTIO_PCI_COMMON_Q_SIZE:
        return setup->size ? setup->size : queue->size_max;
    case VIRTIO_PCI_COMMON_Q_MSIX:
        return transport->queue_vectors[queue->index];
    case VIRTIO_PCI_COMMON_Q_ENABLE:
        return setup->ready;
    case VIRTIO_PCI_COMMON_Q_NOFF:
        return queue->index;
    case VIRTIO_PCI_COMMON_Q_DESCLO:
        return (uint32_t)setup->descriptor_area.v;
    case VIRTIO_PCI_COMMON_Q_DESCHI:
        return (uint32_t)(setup->descriptor_area.v >> 32);
    case VIRTIO_PCI_COMMON_Q_AVAILLO:
        return (uint32_t)setup->driver_area.v;
    case VIRTIO_PCI_COMMON_Q_AVAILHI:
        return (uint32_t)(setup->driver_area.v >> 32);
    case VIRTIO_PCI_COMMON_Q_USEDLO:
        return (uint32_t)setup->device_area.v;
    case VIRTIO_PCI_COMMON_Q_USEDHI:
        return (uint32_t)(setup->device_area.v >> 32);
    default:
        return 0;
    }
}

static uint32_t read_common(struct virtio_pci *transport, uint64_t offset)
{
    struct virtio_device *device = transport->device;

    switch (offset) {
    case VIRTIO_PCI_COMMON_DFSELECT:
        return transport->offered_select;
    case VIRTIO_PCI_COMMON_DF:
        return virtio_device_offered(device, transport->offered_select);
    case VIRTIO_PCI_COMMON_GFSELECT:
        return transport->accepted_select;
    case VIRTIO_PCI_COMMON_GF:
        return transport->accepted_select < 2
                   ? (uint32_t)(device->accepted >> 32 * transport->accepted_select)
                   : 0;
    case VIRTIO_PCI_COMMON_MSIX:
        return transport->config_vector;
    case VIRTIO_PCI_COMMON_NUMQ:
        return device->queue_count;
    case VIRTIO_PCI_COMMON_STATUS:
        return virtio_device_status(device);
    case VIRTIO_PCI_COMMON_CFGGENERATION:
        return virtio_device_config_generation(device);
    case VIRTIO_PCI_COMMON_Q_SELECT:
        return transport->queue_select;
    default:
        return read_queue(transport, offset);
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
    case VIRTIO_PCI_COMMON_Q_SIZE:
        setup->size = value;
        break;
    case VIRTIO_PCI_COMMON_Q_DESCLO:
        set_low(&setup->descriptor_area, value);
        break;
    case VIRTIO_PCI_COMMON_Q_DESCHI:
        set_high(&setup->descriptor_area, value);
        break;
    case VIRTIO_PCI_COMMON_Q_AVAILLO:
        set_low(&setup->driver_area, value);
        break;
    case VIRTIO_PCI_COMMON_Q_AVAILHI:
        set_high(&setup->driver_area, value);
        break;
    case VIRTIO_PCI_COMMON_Q_USEDLO:
        set_low(&setup->device_area, value);
        break;
    case VIRTIO_PCI_COMMON_Q_USEDHI:
        set_high(&setup->device_area, value);
        break;
    default: /* read-only */
        break;
    }
}

/* 4.1.5.1.2.1: a vector that cannot be had reads back as none. */
static uint16_t possible_vector(const struct virtio_pci *transport, uint32_t vector)
{
    return vector < transport->msix.count ? (uint16_t)vector : VIRTIO_MSI_NO_VECTOR;
}

static void write_queue(struct virtio_pci *transport, uint64_t offset, uint32_t value)
{
    struct virtio_queue *queue = virtio_device_queue(transport->device, transport->queue_select);
    struct virtq_setup *setup;

    if (!queue)
        return;
    if (offset == VIRTIO_PCI_COMMON_Q_MSIX) {
        transport->queue_vectors[queue->index] = possible_vector(transport, value);
        return;
    }
    setup = virtio_queue_writable_setup(queue);
    if (!setup)
        return;
    if (offset != VIRTIO_PCI_COMMON_Q_ENABLE) {
        write_setup(setup, offset, value);
    } else if (value == 1) { /* only a reset disables */
        if (setup->size == 0)
            setup->size = queue->size_max; /* a driver need not write what it reads there */
        virtio_queue_set_ready(queue, true);
    }
}

/* What the transport itself forgets in a reset; the device is inactive. */
static void forget(struct virtio_pci *transport)
{
    transport->isr = 0;
    transport->offered_select = transport->accepted_select = transport->queue_select = 0;
    transport->config_vector = VIRTIO_MSI_NO_VECTOR;
    for (unsigned i = 0; i < transport->device->queue_count; i++)
        transport->queue_vectors[i] = VIRTIO_MSI_NO_VECTOR;
}

static void write_status(struct virtio_pci *transport, uint32_t value)
{
    virtio_device_write_status(transport->device, value);
    if (value == 0)
        forget(transport);
    follow_doorbells(transport);
}

static void write_common(struct virtio_pci *transport, uint64_t offset, uint32_t value)
{
    switch (offset) {
    case VIRTIO_PCI_COMMON_DFSELECT:
        transport->offered_select = value;
        break;
    case VIRTIO_PCI_COMMON_GFSELECT:
        transport->accepted_select = value;
        break;
    case VIRTIO_PCI_COMMON_GF:
        virtio_device_accept(transport->device, transport->accepted_select, value);
        break;
    case VIRTIO_PCI_COMMON_MSIX:
        transport->config_vector = possible_vector(transport, value);
        break;
    case VIRTIO_PCI_COMMON_STATUS:
        write_status(transport, value);
        break;
    case VIRTIO_PCI_COMMON_Q_SELECT:
        transport->queue_select = (uint16_t)value;
        break;
    default:
        write_queue(transport, offset, value);
        break;
    }
}

/* --- BAR 0 --- */

/* Whether [offset, offset + size) is in the part of `length` bytes at `start`. */
static bool within(uint64_t offset, unsigned size, uint64_t start, uint64_t length)
{
    return offset >= start && offset - start < length && size <= length - (offset - start);
}

static void read_bar_locked(struct virtio_pci *transport, uint64_t offset, void *data,
                            unsigned size)
{
    memset(data, 0, size);
    if (is_field(offset, size))
        bus_set_value(data, size, read_common(transport, offset));
    else if (within(offset, size, ISR_AT, ISR_SIZE)) /* reading clears (4.1.4.5) */
        bus_set_value(data, size, atomic_exchange(&transport->isr, 0));
    else if (within(offset, size, CONFIG_AT, CONFIG_SIZE))
        virtio_device_read_config(transport->device, offset - CONFIG_AT, data, size);
    else if (within(offset, size, TABLE_AT, MSIX_TABLE_SIZE_MAX))
        msix_read_table(&transport->msix, offset - TABLE_AT, data, size);
    else if (within(offset, size, PENDING_AT, PENDING_SIZE))
        msix_read_pending(&transport->msix, offset - PENDING_AT, data, size);
}

static void write_bar_locked(struct virtio_pci *transport, uint64_t offset, const void *data,
                             unsigned size)
{
    if (is_field(offset, size))
        write_common(transport, offset, (uint32_t)bus_value(data, size));
    else if (within(offset, size, CONFIG_AT, CONFIG_SIZE))
        virtio_device_write_config(transport->device, offset - CONFIG_AT, data, size);
    else if (within(offset, size, TABLE_AT, MSIX_TABLE_SIZE_MAX))
        msix_write_table(&transport->msix, offset - TABLE_AT, data, size);
}

/* A write that is a notification: of any size and value, as for a doorbell. No lock. */
static bool notified(struct virtio_pci *transport, uint64_t offset, unsigned size)
{
    struct virtio_queue *queue;

    if (!within(offset, size, NOTIFY_AT, NOTIFY_SIZE))
        return false;
    queue = virtio_device_queue(transport->device,
                                (uint32_t)((offset - NOTIFY_AT) / NOTIFY_STRIDE));
    if (queue && offset % NOTIFY_STRIDE == 0)
        virtio_queue_kick(queue);
    return true;
}

static void bar_read(void *context, uint64_t offset, void *data, unsigned size)
{
    struct virtio_pci *transport = context;

    pthread_mutex_lock(&transport->function.lock);
    read_bar_locked(transport, offset, data, size);
    pthread_mutex_unlock(&transport->function.lock);
}

static void bar_write(void *context, uint64_t offset, const void *data, unsigned size)
{
    struct virtio_pci *transport = context;

    if (notified(transport, offset, size))
        return;
    pthread_mutex_lock(&transport->function.lock);
    write_bar_locked(transport, offset, data, size);
    pthread_mutex_unlock(&transport->function.lock);
}

static const struct bus_ops bar_ops = {bar_read, bar_write};

/* --- configuration space --- */

static struct virtio_pci *transport_of(struct pci_function *function)
{
    return (struct virtio_pci *)((char *)function - offsetof(struct virtio_pci, function));
}

/*
 * 4.1.4.9: what the driver has written to the PCI configuration access capability says which part
 * of the BAR its data stands for. False where that is no part.
 */
static bool window_target(const struct virtio_pci *transport, uint32_t *offset, unsigned *size)
{
    const struct pci_function *function = &transport->function;
    unsigned at = transport->window_capability;

    *offset = pci_function_get(function, at + VIRTIO_PCI_CAP_OFFSET, 4);
    *size = pci_function_get(function, at + VIRTIO_PCI_CAP_LENGTH, 4);
    return pci_function_get(function, at + VIRTIO_PCI_CAP_BAR, 1) == 0 &&
           (*size == 1 || *size == 2 || *size == 4) && *offset % *size == 0 &&
           *offset < VIRTIO_PCI_BAR_SIZE;
}

static bool touches_window(const struct virtio_pci *transport, unsigned offset, unsigned size)
{
    return pci_overlaps(offset, size,
                        transport->window_capability +
                            (unsigned)offsetof(struct virtio_pci_cfg_cap, pci_cfg_data), 4);
}

static uint8_t *window_data(struct virtio_pci *transport)
{
    return transport->function.config + transport->window_capability +
           offsetof(struct virtio_pci_cfg_cap, pci_cfg_data);
}

static void before_config_read(struct pci_function *function, unsigned offset, unsigned size)
{
    struct virtio_pci *transport = transport_of(function);
    unsigned target_size;
    uint32_t target;

    if (touches_window(transport, offset, size) && window_target(transport, &target, &target_size))
        read_bar_locked(transport, target, window_data(transport), target_size);
}

static void after_config_write(struct pci_function *function, unsigned offset, unsigned size)
{
    struct virtio_pci *transport = transport_of(function);
    unsigned target_size;
    uint32_t target;

    msix_config_written(&transport->msix, function, offset, size);
    if (touches_window(transport, offset, size) &&
        window_target(transport, &target, &target_size) &&
        !notified(transport, target, target_size))
        write_bar_locked(transport, target, window_data(transport), target_size);
}

static void moved(struct pci_function *function, uint64_t from, uint64_t to)
{
    (void)from;
    (void)to;
    follow_doorbells(transport_of(function));
}

static const struct pci_function_ops function_ops = {
    .before_read = before_config_read,
    .after_write = after_config_write,
    .moved = moved,
};

/* --- life --- */

/* What a guest's tools call the device; its driver goes by the ids. */
static uint32_t class_code(uint32_t device_id)
{
    switch (device_id) {
    case VIRTIO_ID_NET:
        return 0x020000; /* Ethernet controller */
    case VIRTIO_ID_BLOCK:
        return 0x018000; /* other mass storage */
    case VIRTIO_ID_CONSOLE:
        return 0x078000; /* other communication */
    default:
        return 0xff0000; /* unassigned */
    }
}

static unsigned add_virtio_capability(struct virtio_pci *transport, uint8_t type, uint32_t offset,
                                      uint32_t length, unsigned size)
{
    uint8_t content[sizeof(struct virtio_pci_notify_cap)] = {
        [VIRTIO_PCI_CAP_LEN] = (uint8_t)size,
        [VIRTIO_PCI_CAP_CFG_TYPE] = type,
    };

    bus_set_value(content + VIRTIO_PCI_CAP_OFFSET, 4, offset);
    bus_set_value(content + VIRTIO_PCI_CAP_LENGTH, 4, length);
    if (type == VIRTIO_PCI_CAP_NOTIFY_CFG)
        bus_set_value(content + VIRTIO_PCI_NOTIFY_CAP_MULT, 4, NOTIFY_STRIDE);
    return pci_function_add_capability(&transport->function, PCI_CAP_ID_VNDR, content, size);
}

static void allow_window(struct virtio_pci *transport)
{
    unsigned at = transport->window_capability;

    pci_function_allow(&transport->function, at + VIRTIO_PCI_CAP_BAR, 0xff);
    for (unsigned i = VIRTIO_PCI_CAP_OFFSET; i < sizeof(struct virtio_pci_cfg_cap); i++)
        pci_function_allow(&transport->function, at + i, 0xff);
}

static void add_capabilities(struct virtio_pci *transport)
{
    const unsigned size = sizeof(struct virtio_pci_cap);

    add_virtio_capability(transport, VIRTIO_PCI_CAP_COMMON_CFG, COMMON_AT, COMMON_SIZE, size);
    add_virtio_capability(transport, VIRTIO_PCI_CAP_NOTIFY_CFG, NOTIFY_AT,
                          transport->device->queue_count * NOTIFY_STRIDE,
                          sizeof(struct virtio_pci_notify_cap));
    add_virtio_capability(transport, VIRTIO_PCI_CAP_ISR_CFG, ISR_AT, ISR_SIZE, size);
    if (transport->device->config_size > 0)
        add_virtio_capability(transport, VIRTIO_PCI_CAP_DEVICE_CFG, CONFIG_AT, CONFIG_SIZE, size);
    transport->window_capability = add_virtio_capability(
        transport, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, sizeof(struct virtio_pci_cfg_cap));
    allow_window(transport);
    msix_add_capability(&transport->msix, &transport->function, TABLE_AT, PENDING_AT);
}

static void build_function(struct virtio_pci *transport)
{
    uint32_t id = transport->device->ops->device_id;
    const struct pci_identity identity = {
        .vendor = VENDOR,
        .device = (uint16_t)(DEVICE_BASE + id),
        .class_code = class_code(id),
        .revision = REVISION,
        .subsystem_vendor = VENDOR,
        .subsystem = (uint16_t)(DEVICE_BASE + id),
    };

    pci_function_init(&transport->function, &identity, &function_ops);
    pci_function_set_bar(&transport->function, VIRTIO_PCI_BAR_SIZE, &bar_ops, transport);
    add_capabilities(transport);
}

unsigned virtio_pci_vector_count(const struct virtio_device *device)
{
    unsigned wanted = 1 + device->queue_count;

    return wanted < MSIX_VECTORS_MAX ? wanted : MSIX_VECTORS_MAX;
}

int virtio_pci_open(struct virtio_pci *transport, struct virtio_device *device,
                    struct pci_bus *bus, uint32_t first_gsi, const struct wires *wires,
                    struct err *err)
{
    int rc;

    *transport = (struct virtio_pci){
        .device = device,
        .wires = *wires,
        .doorbells = PCI_NOWHERE,
    };
    transport->queue_vectors = calloc(device->queue_count, sizeof transport->queue_vectors[0]);
    if (!transport->queue_vectors)
        return err_set(err, -ENOMEM, "out of memory");
    forget(transport);
    rc = msix_open(&transport->msix, virtio_pci_vector_count(device), first_gsi, wires, err);
    if (rc) {
        free(transport->queue_vectors);
        return rc;
    }
    build_function(transport);
    rc = pci_bus_plug(bus, &transport->function, err);
    if (rc)
        virtio_pci_close(transport);
    else
        virtio_device_attach(device, &transport_ops, transport);
    return rc;
}

void virtio_pci_close(struct virtio_pci *transport)
{
    pci_function_destroy(&transport->function);
    msix_close(&transport->msix);
    free(transport->queue_vectors);
}

/* --- snapshots --- */

void virtio_pci_save(struct virtio_pci *transport, struct state_writer *writer)
{
    pci_function_save(&transport->function, writer);
    msix_save(&transport->msix, writer);
    state_begin(writer, "virtio-pci", STATE_VERSION);
    state_put_u32(writer, transport->offered_select);
    state_put_u32(writer, transport->accepted_select);
    state_put_u16(writer, transport->queue_select);
    state_put_u8(writer, transport->isr);
    state_put_u16(writer, transport->config_vector);
    for (unsigned i = 0; i < transport->device->queue_count; i++)
        state_put_u16(writer, transport->queue_vectors[i]);
    state_end(writer);
    virtio_device_save(transport->device, writer);
}

static void restore_registers(struct virtio_pci *transport, struct state_reader *reader)
{
    state_enter(reader, "virtio-pci", STATE_VERSION);
    transport->offered_select = state_get_u32(reader);
    transport->accepted_select = state_get_u32(reader);
    transport->queue_select = state_get_u16(reader);
    transport->isr = state_get_u8(reader) & (ISR_QUEUE | VIRTIO_PCI_ISR_CONFIG);
    transport->config_vector = possible_vector(transport, state_get_u16(reader));
    for (unsigned i = 0; i < transport->device->queue_count; i++)
        transport->queue_vectors[i] = possible_vector(transport, state_get_u16(reader));
    state_leave(reader);
}

/* An edge may have been on its way when we were saved: each vector in use gets one. */
static void raise_all(struct virtio_pci *transport)
{
    for (unsigned i = 0; i < transport->device->queue_count; i++)
        msix_raise(&transport->msix, transport->queue_vectors[i]);
    msix_raise(&transport->msix, transport->config_vector);
}

static int restore_all(struct virtio_pci *transport, struct state_reader *reader, struct err *err)
{
    int rc = pci_function_restore(&transport->function, reader, err);

    if (rc)
        return rc;
    msix_restore(&transport->msix, &transport->function, reader);
    restore_registers(transport, reader);
    if (state_failed(reader))
        return err_set(err, -EINVAL, "virtio-pci: the saved state is damaged");
    return virtio_device_restore(transport->device, reader, err);
}

int virtio_pci_restore(struct virtio_pci *transport, struct state_reader *reader, struct err *err)
{
    int rc = restore_all(transport, reader, err);

    follow_doorbells(transport);
    if (rc == 0)
        raise_all(transport);
    return rc;
}
