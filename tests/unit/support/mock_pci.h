/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver's way to a virtio device over PCI: it finds the device by ECAM, enables MSI-X, and
 * speaks the registers of virtio-mmio, each of which is translated to the one that virtio-pci has
 * for the same purpose. So a test that is written for one transport tests the other.
 */
#ifndef HUSK_TESTS_MOCK_PCI_H
#define HUSK_TESTS_MOCK_PCI_H

#include "devices/virtio/pci.h"
#include "support/mock_wires.h"

#include <stdbool.h>
#include <stdint.h>

#define MOCK_PCI_WINDOW 0xc0000000ull
#define MOCK_PCI_WINDOW_SIZE 0x100000ull
#define MOCK_PCI_GSI 24u

/* Parts of BAR 0 as the driver sees them. */
#define MOCK_PCI_COMMON 0x0000u
#define MOCK_PCI_ISR 0x0400u
#define MOCK_PCI_CONFIG 0x0800u
#define MOCK_PCI_TABLE 0x1000u
#define MOCK_PCI_NOTIFY 0x2000u

struct mock_pci {
    struct pci_bus bus;
    struct mock_wires wires;
    struct virtio_pci transport;
    _Atomic uint32_t interrupt_status; /* what an InterruptStatus register would hold */
};

/* The device is in slot 1, with MSI-X enabled and no vector masked. */
void mock_pci_open(struct mock_pci *pci, struct virtio_device *device);
void mock_pci_close(struct mock_pci *pci);

/* The device's configuration space, and its BAR, by the address that the BAR has now. */
uint32_t mock_pci_config_read(struct mock_pci *pci, unsigned offset, unsigned size);
void mock_pci_config_write(struct mock_pci *pci, unsigned offset, unsigned size, uint32_t value);
uint64_t mock_pci_read(struct mock_pci *pci, uint64_t offset, unsigned size);
void mock_pci_write(struct mock_pci *pci, uint64_t offset, unsigned size, uint64_t value);

/* Resets the device, even while its BAR is not decoded. */
void mock_pci_reset(struct mock_pci *pci);

/* The register of virtio-mmio at `offset`, by whatever virtio-pci has for it. */
uint32_t mock_pci_read_register(struct mock_pci *pci, uint64_t offset);
void mock_pci_write_register(struct mock_pci *pci, uint64_t offset, uint32_t value);

/* True if a vector was raised since the last call; interrupt_status gets its cause. */
bool mock_pci_take_interrupts(struct mock_pci *pci);

#endif
