/* SPDX-License-Identifier: Apache-2.0 */
#include "support/mock_driver.h"

#include "core/irq.h"

#include <stdlib.h>
#include <string.h>

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
    const char *rings = getenv("HUSK_TEST_RINGS");
    const struct memory_range range = {gpa(MOCK_MEMORY_BASE), MOCK_MEMORY_SIZE};

    *guest = (struct mock_guest){.packed = rings && strcmp(rings, "packed") == 0};
    guest->log = (struct log){keep_line, guest, LOG_LEVEL_DEBUG};
    must(memory_create(&guest->memory, &range, 1, NULL) == 0);
    must(loop_open(&guest->loop, NULL) == 0);
    guest->environment = (struct virtio_environment){
        .memory = &guest->memory,
        .loop = &guest->loop,
        .log = &guest->log,
        .packed_rings = guest->packed,
    };
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
    return loop_turn(&guest->loop, 0);
}

void mock_settle(struct mock_guest *guest)
{
    unsigned turns = 0;

    while (mock_turn(guest) > 0)
        must(++turns < 10000); /* or the loop spins */
}

/* --- driver --- */

static void open_driver(struct mock_driver *driver, struct mock_guest *guest,
                        struct virtio_device *device)
{
    *driver = (struct mock_driver){.guest = guest, .device = device};
    must(device->queue_count <= MOCK_QUEUES_MAX);
}

void mock_driver_open_pci(struct mock_driver *driver, struct mock_guest *guest,
                          struct virtio_device *device)
{
    open_driver(driver, guest, device);
    driver->on_pci = true;
    mock_pci_open(&driver->pci, device);
}

void mock_driver_open(struct mock_driver *driver, struct mock_guest *guest,
                      struct virtio_device *device)
{
    const char *bus = getenv("HUSK_TEST_BUS");

    if (bus && strcmp(bus, "pci") == 0) {
        mock_driver_open_pci(driver, guest, device);
        return;
    }
    open_driver(driver, guest, device);
    must(virtio_mmio_open(&driver->mmio, device, 5, NULL) == 0);
}

void mock_driver_close(struct mock_driver *driver)
{
    if (driver->on_pci)
        mock_pci_close(&driver->pci);
    else
        virtio_mmio_close(&driver->mmio);
}

uint32_t mock_read32(struct mock_driver *driver, uint64_t offset)
{
    uint32_t value = UINT32_MAX;

    if (driver->on_pci)
        return mock_pci_read_register(&driver->pci, offset);
    virtio_mmio_ops.read(&driver->mmio, offset, &value, sizeof value);
    return value;
}

void mock_write32(struct mock_driver *driver, uint64_t offset, uint32_t value)
{
    if (driver->on_pci)
        mock_pci_write_register(&driver->pci, offset, value);
    else
        virtio_mmio_ops.write(&driver->mmio, offset, &value, sizeof value);
}

void mock_read_config(struct mock_driver *driver, uint64_t offset, void *data, unsigned size)
{
    if (driver->on_pci)
        bus_set_value(data, size, mock_pci_read(&driver->pci, MOCK_PCI_CONFIG + offset, size));
    else
        virtio_mmio_ops.read(&driver->mmio, VIRTIO_MMIO_CONFIG + offset, data, size);
}

void mock_write_config(struct mock_driver *driver, uint64_t offset, const void *data,
                       unsigned size)
{
    if (driver->on_pci)
        mock_pci_write(&driver->pci, MOCK_PCI_CONFIG + offset, size, bus_value(data, size));
    else
        virtio_mmio_ops.write(&driver->mmio, VIRTIO_MMIO_CONFIG + offset, data, size);
}

void mock_save(struct mock_driver *driver, struct state_writer *writer)
{
    if (driver->on_pci)
        virtio_pci_save(&driver->pci.transport, writer);
    else
        virtio_mmio_save(&driver->mmio, writer);
}

int mock_restore(struct mock_driver *driver, struct state_reader *reader, struct err *err)
{
    return driver->on_pci ? virtio_pci_restore(&driver->pci.transport, reader, err)
                          : virtio_mmio_restore(&driver->mmio, reader, err);
}

void mock_reset(struct mock_driver *driver)
{
    if (driver->on_pci)
        mock_pci_reset(&driver->pci);
    else
        mock_write32(driver, VIRTIO_MMIO_STATUS, 0);
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
    mock_accept(driver, features | (driver->guest->packed ? MOCK_PACKED : 0));
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
    for (unsigned i = 0; i < driver->device->queue_count; i++)
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
    bool raised = driver->on_pci ? mock_pci_take_interrupts(&driver->pci)
                                 : irq_take(&driver->mmio.irq);
    uint32_t status = mock_read32(driver, VIRTIO_MMIO_INTERRUPT_STATUS);

    mock_write32(driver, VIRTIO_MMIO_INTERRUPT_ACK, status);
    if (causes)
        *causes = status;
    return raised;
}
