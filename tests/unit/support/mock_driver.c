/* SPDX-License-Identifier: Apache-2.0 */
#include "support/mock_driver.h"

#include "core/irq.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

/* The mock is used by unit tests and fuzz targets; what fails here is a fault of theirs. */
static void must(bool condition)
{
    if (!condition)
        abort();
}

/* --- guest --- */

static void keep_line(void *context, enum log_level level, const char *line)
{
    struct mock_guest *guest = context;

    (void)level;
    guest->log_lines++;
    strncpy(guest->last_log_line, line, sizeof guest->last_log_line - 1);
}

void mock_guest_open(struct mock_guest *guest)
{
    const struct memory_range range = {gpa(MOCK_MEMORY_BASE), MOCK_MEMORY_SIZE};

    *guest = (struct mock_guest){.log_lines = 0};
    guest->log = (struct log){keep_line, guest, LOG_LEVEL_DEBUG};
    must(memory_create(&guest->memory, &range, 1, NULL) == 0);
    must(loop_open(&guest->loop, NULL) == 0);
    guest->environment = (struct virtio_environment){&guest->memory, &guest->loop, &guest->log};
}

void mock_guest_close(struct mock_guest *guest)
{
    loop_close(&guest->loop);
    memory_destroy(&guest->memory);
}

void *mock_at(const struct mock_guest *guest, uint64_t address, uint64_t size)
{
    void *host = memory_at(&guest->memory, gpa(address), size);

    must(host != NULL);
    return host;
}

unsigned mock_turn(struct mock_guest *guest)
{
    struct epoll_event events[8];
    int count = epoll_wait(guest->loop.epoll_fd, events, 8, 0);

    for (int i = 0; i < count; i++) {
        struct loop_source *source = events[i].data.ptr;

        if (source->events)
            source->ready(source, events[i].events);
    }
    return count > 0 ? (unsigned)count : 0;
}

void mock_settle(struct mock_guest *guest)
{
    for (unsigned turns = 0; turns < 10000 && mock_turn(guest) > 0; turns++)
        ;
}

/* --- rings --- */

#define RING_SPACE 0x10000ull /* of one queue; each part gets a fixed place in it */
#define AVAIL_AT 0x8000ull
#define USED_AT 0xa000ull

void mock_ring_place(struct mock_ring *ring, const struct mock_guest *guest, unsigned index,
                     uint16_t size)
{
    uint64_t base = MOCK_RINGS + index * RING_SPACE;

    memset(mock_at(guest, base, RING_SPACE), 0, RING_SPACE);
    *ring = (struct mock_ring){
        .guest = guest,
        .size = size,
        .descriptors = base,
        .avail = base + AVAIL_AT,
        .used = base + USED_AT,
    };
}

void mock_ring_setup(const struct mock_ring *ring, struct virtq_setup *setup)
{
    *setup = (struct virtq_setup){ring->size, gpa(ring->descriptors), gpa(ring->avail),
                                  gpa(ring->used), true};
}

void mock_set_table_entry(const struct mock_guest *guest, uint64_t table, unsigned index,
                          const struct mock_descriptor *descriptor)
{
    struct vring_desc entry = {descriptor->address, descriptor->length, descriptor->flags,
                               descriptor->next};

    memcpy(mock_at(guest, table + index * sizeof entry, sizeof entry), &entry, sizeof entry);
}

void mock_set_descriptor(const struct mock_ring *ring, uint16_t index,
                         const struct mock_descriptor *descriptor)
{
    mock_set_table_entry(ring->guest, ring->descriptors, index, descriptor);
}

static uint16_t *word(const struct mock_ring *ring, uint64_t address)
{
    return mock_at(ring->guest, address, sizeof(uint16_t));
}

void mock_set_avail_idx(const struct mock_ring *ring, uint16_t idx)
{
    __atomic_store_n(word(ring, ring->avail + 2), idx, __ATOMIC_SEQ_CST);
}

void mock_offer(struct mock_ring *ring, uint16_t head)
{
    *word(ring, ring->avail + 4 + 2ull * (ring->avail_idx % ring->size)) = head;
    mock_set_avail_idx(ring, ++ring->avail_idx);
}

uint16_t mock_add(struct mock_ring *ring, const struct mock_descriptor *buffers, unsigned count)
{
    uint16_t head = ring->next_descriptor % ring->size;

    for (unsigned i = 0; i < count; i++) {
        struct mock_descriptor copy = buffers[i];
        uint16_t index = ring->next_descriptor++ % ring->size;

        copy.next = ring->next_descriptor % ring->size;
        copy.flags &= VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT;
        if (i + 1 < count)
            copy.flags |= VRING_DESC_F_NEXT;
        mock_set_descriptor(ring, index, &copy);
    }
    mock_offer(ring, head);
    return head;
}

uint16_t mock_used_idx(const struct mock_ring *ring)
{
    return __atomic_load_n(word(ring, ring->used + 2), __ATOMIC_ACQUIRE);
}

bool mock_take(struct mock_ring *ring, uint32_t *head, uint32_t *length)
{
    struct vring_used_elem element;

    if (mock_used_idx(ring) == ring->used_idx)
        return false;
    memcpy(&element,
           mock_at(ring->guest, ring->used + 4 + 8ull * (ring->used_idx % ring->size), 8), 8);
    ring->used_idx++;
    if (head)
        *head = element.id;
    if (length)
        *length = element.len;
    return true;
}

uint16_t mock_used_flags(const struct mock_ring *ring)
{
    return *word(ring, ring->used);
}

uint16_t mock_avail_event(const struct mock_ring *ring)
{
    return *word(ring, ring->used + 4 + 8ull * ring->size);
}

void mock_set_used_event(const struct mock_ring *ring, uint16_t value)
{
    *word(ring, ring->avail + 4 + 2ull * ring->size) = value;
}

void mock_set_avail_flags(const struct mock_ring *ring, uint16_t flags)
{
    *word(ring, ring->avail) = flags;
}

/* --- driver --- */

void mock_driver_open(struct mock_driver *driver, struct mock_guest *guest,
                      struct virtio_device *device)
{
    *driver = (struct mock_driver){.guest = guest, .device = device};
    must(device->ops->queue_count <= MOCK_QUEUES_MAX);
    must(virtio_mmio_open(&driver->mmio, device, 5, NULL) == 0);
}

void mock_driver_close(struct mock_driver *driver)
{
    virtio_mmio_close(&driver->mmio);
}

uint32_t mock_read32(struct mock_driver *driver, uint64_t offset)
{
    uint32_t value = UINT32_MAX;

    virtio_mmio_ops.read(&driver->mmio, offset, &value, sizeof value);
    return value;
}

void mock_write32(struct mock_driver *driver, uint64_t offset, uint32_t value)
{
    virtio_mmio_ops.write(&driver->mmio, offset, &value, sizeof value);
}

uint32_t mock_status(struct mock_driver *driver)
{
    return mock_read32(driver, VIRTIO_MMIO_STATUS);
}

uint64_t mock_offered(struct mock_driver *driver)
{
    uint64_t low;

    mock_write32(driver, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
    low = mock_read32(driver, VIRTIO_MMIO_DEVICE_FEATURES);
    mock_write32(driver, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
    return low | (uint64_t)mock_read32(driver, VIRTIO_MMIO_DEVICE_FEATURES) << 32;
}

void mock_accept(struct mock_driver *driver, uint64_t features)
{
    mock_write32(driver, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    mock_write32(driver, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
    mock_write32(driver, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    mock_write32(driver, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32));
}

bool mock_negotiate(struct mock_driver *driver, uint64_t features)
{
    uint32_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE;

    mock_write32(driver, VIRTIO_MMIO_STATUS, 0);
    mock_write32(driver, VIRTIO_MMIO_STATUS, status);
    status |= VIRTIO_CONFIG_S_DRIVER;
    mock_write32(driver, VIRTIO_MMIO_STATUS, status);
    mock_accept(driver, features);
    status |= VIRTIO_CONFIG_S_FEATURES_OK;
    mock_write32(driver, VIRTIO_MMIO_STATUS, status);
    return mock_status(driver) == status;
}

void mock_queue_registers(struct mock_driver *driver, unsigned index, uint32_t size,
                          uint64_t descriptors, uint64_t avail, uint64_t used)
{
    mock_write32(driver, VIRTIO_MMIO_QUEUE_SEL, index);
    mock_write32(driver, VIRTIO_MMIO_QUEUE_NUM, size);
    mock_write32(driver, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)descriptors);
    mock_write32(driver, VIRTIO_MMIO_QUEUE_DESC_HIGH, (uint32_t)(descriptors >> 32));
    mock_write32(driver, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)avail);
    mock_write32(driver, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, (uint32_t)(avail >> 32));
    mock_write32(driver, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)used);
    mock_write32(driver, VIRTIO_MMIO_QUEUE_USED_HIGH, (uint32_t)(used >> 32));
    mock_write32(driver, VIRTIO_MMIO_QUEUE_READY, 1);
}

void mock_queue(struct mock_driver *driver, unsigned index, uint16_t size)
{
    struct mock_ring *ring = &driver->rings[index];

    mock_ring_place(ring, driver->guest, index, size);
    mock_queue_registers(driver, index, size, ring->descriptors, ring->avail, ring->used);
}

void mock_driver_ok(struct mock_driver *driver)
{
    mock_write32(driver, VIRTIO_MMIO_STATUS,
                 mock_status(driver) | VIRTIO_CONFIG_S_DRIVER_OK);
}

void mock_start(struct mock_driver *driver, uint64_t features, uint16_t size)
{
    must(mock_negotiate(driver, features | MOCK_VERSION_1));
    for (unsigned i = 0; i < driver->device->ops->queue_count; i++)
        mock_queue(driver, i, size);
    mock_driver_ok(driver);
    mock_settle(driver->guest);
    mock_interrupted(driver, NULL);
}

void mock_kick(struct mock_driver *driver, unsigned queue)
{
    mock_write32(driver, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
    mock_settle(driver->guest);
}

bool mock_interrupted(struct mock_driver *driver, uint32_t *causes)
{
    uint32_t status = mock_read32(driver, VIRTIO_MMIO_INTERRUPT_STATUS);

    mock_write32(driver, VIRTIO_MMIO_INTERRUPT_ACK, status);
    if (causes)
        *causes = status;
    return irq_take(&driver->mmio.irq);
}
