/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile driver of a device on PCI: configuration space, BAR, MSI-X, snapshots. Whatever it
 * does, what is wired must be what the registers say.
 */
#include "support/echo.h"
#include "virtio_script.h"

#include "devices/virtio/pci.h"

#define REQUIRE(condition)                                                                        \
    do {                                                                                          \
        if (!(condition))                                                                         \
            __builtin_trap();                                                                     \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_doorbells(const struct mock_driver *driver)
{
    const struct virtio_pci *transport = &driver->pci.transport;
    bool active = virtio_device_status(driver->device) & VIRTIO_CONFIG_S_DRIVER_OK;
    uint64_t base = transport->function.bar.base;

    if (!active || base == PCI_NOWHERE) {
        REQUIRE(driver->pci.wires.doorbell_count == 0);
        return;
    }
    REQUIRE(base >= MOCK_PCI_WINDOW &&
            base + VIRTIO_PCI_BAR_SIZE <= MOCK_PCI_WINDOW + MOCK_PCI_WINDOW_SIZE);
    REQUIRE(driver->pci.wires.doorbell_count == driver->device->queue_count);
    for (unsigned i = 0; i < driver->device->queue_count; i++)
        REQUIRE(mock_doorbell(&driver->pci.wires, base + MOCK_PCI_NOTIFY + 4ull * i) ==
                driver->device->queues[i].kick.fd);
}

static void check_vectors(const struct mock_driver *driver)
{
    const struct msix *msix = &driver->pci.transport.msix;

    for (unsigned i = 0; i < msix->count; i++) {
        const uint32_t *entry = msix->vectors[i].entry;
        bool open = msix->enabled && !msix->function_masked && entry[3] == 0;

        REQUIRE(driver->pci.wires.lines[MOCK_PCI_GSI + i].connected == open);
        REQUIRE((entry[0] & 3) == 0 && entry[3] <= 1);
    }
}

/* What follows the script sees to it that each step of it is checked. */
static void check(void *context, uint8_t argument)
{
    (void)argument;
    check_doorbells(context);
    check_vectors(context);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mock_guest guest;
    struct mock_driver driver;
    struct echo echo;

    mock_guest_open(&guest);
    guest.environment.packed_rings = true;
    echo_open(&echo, &guest);
    mock_driver_open_pci(&driver, &guest, &echo.device);
    script_run(&driver, data, size, check, &driver);
    check(&driver, 0);
    virtio_device_destroy(&echo.device);
    mock_driver_close(&driver);
    mock_guest_close(&guest);
    return 0;
}
