/* SPDX-License-Identifier: Apache-2.0 */
#include "support/mock_pci.h"

#include <linux/virtio_mmio.h>
#include <linux/virtio_pci.h>
#include <stdlib.h>
#include <string.h>

#define SLOT 1u
#define QUEUE_VECTOR 1u /* of queue 0; vector 0 is the configuration's */

static void must(bool condition)
{
    if (!condition)
        abort();
}

/* --- accesses --- */

uint32_t mock_pci_config_read(struct mock_pci *pci, unsigned offset, unsigned size)
{
    uint32_t value = 0;

    pci_ecam_ops.read(&pci->bus, SLOT << 15 | offset, &value, size);
    return value;
}

void mock_pci_config_write(struct mock_pci *pci, unsigned offset, unsigned size, uint32_t value)
{
    pci_ecam_ops.write(&pci->bus, SLOT << 15 | offset, &value, size);
}

/* Offset of the BAR in the window. */
static uint64_t bar(struct mock_pci *pci)
{
    return mock_pci_config_read(pci, PCI_BASE_ADDRESS_0, 4) - MOCK_PCI_WINDOW;
}

uint64_t mock_pci_read(struct mock_pci *pci, uint64_t offset, unsigned size)
{
    uint64_t value = ~0ull;

    pci_window_ops.read(&pci->bus, bar(pci) + offset, &value, size);
    return size == 8 ? value : value & ((1ull << 8 * size) - 1);
}

void mock_pci_write(struct mock_pci *pci, uint64_t offset, unsigned size, uint64_t value)
{
    pci_window_ops.write(&pci->bus, bar(pci) + offset, &value, size);
}

/* --- life --- */

static void enable_msix(struct mock_pci *pci)
{
    unsigned at = pci->transport.msix.capability + PCI_MSIX_FLAGS;

    for (unsigned i = 0; i < pci->transport.msix.count; i++)
        mock_pci_write(pci, MOCK_PCI_TABLE + i * PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL,
                       4, 0);
    mock_pci_config_write(pci, at, 2, PCI_MSIX_FLAGS_ENABLE);
}

/* A reset takes the vectors away. */
static void choose_vectors(struct mock_pci *pci)
{
    uint64_t selected = mock_pci_read(pci, MOCK_PCI_COMMON + VIRTIO_PCI_COMMON_Q_SELECT, 2);

    mock_pci_write(pci, MOCK_PCI_COMMON + VIRTIO_PCI_COMMON_MSIX, 2, 0);
    for (unsigned i = 0; i < pci->transport.device->queue_count; i++) {
        mock_pci_write(pci, MOCK_PCI_COMMON + VIRTIO_PCI_COMMON_Q_SELECT, 2, i);
        mock_pci_write(pci, MOCK_PCI_COMMON + VIRTIO_PCI_COMMON_Q_MSIX, 2, QUEUE_VECTOR + i);
    }
    mock_pci_write(pci, MOCK_PCI_COMMON + VIRTIO_PCI_COMMON_Q_SELECT, 2, selected);
}

void mock_pci_open(struct mock_pci *pci, struct virtio_device *device)
{
    const struct pci_window window = {MOCK_PCI_WINDOW, MOCK_PCI_WINDOW_SIZE};
    struct wires wires = mock_wires(&pci->wires);

    memset(pci, 0, sizeof *pci);
    pci_bus_init(&pci->bus, &window);
    must(virtio_pci_open(&pci->transport, device, &pci->bus, MOCK_PCI_GSI, &wires, NULL) == 0);
    enable_msix(pci);
    choose_vectors(pci);
}

void mock_pci_close(struct mock_pci *pci)
{
    virtio_pci_close(&pci->transport);
    pci_bus_destroy(&pci->bus);
}

void mock_pci_reset(struct mock_pci *pci)
{
    const struct pci_bar *registers = &pci->transport.function.bar;
    const uint8_t zero = 0;

    registers->ops->write(registers->device, MOCK_PCI_COMMON + VIRTIO_PCI_COMMON_STATUS, &zero, 1);
}

/* --- registers of virtio-mmio --- */

/* The field of the common configuration for a register, or -1. */
static int field_of(uint64_t offset)
{
    switch (offset) {
    case VIRTIO_MMIO_DEVICE_FEATURES:
        return VIRTIO_PCI_COMMON_DF;
    case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
        return VIRTIO_PCI_COMMON_DFSELECT;
    case VIRTIO_MMIO_DRIVER_FEATURES:
        return VIRTIO_PCI_COMMON_GF;
    case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
        return VIRTIO_PCI_COMMON_GFSELECT;
    case VIRTIO_MMIO_QUEUE_SEL:
        return VIRTIO_PCI_COMMON_Q_SELECT;
    case VIRTIO_MMIO_QUEUE_NUM_MAX:
    case VIRTIO_MMIO_QUEUE_NUM:
        return VIRTIO_PCI_COMMON_Q_SIZE;
    case VIRTIO_MMIO_QUEUE_READY:
        return VIRTIO_PCI_COMMON_Q_ENABLE;
    case VIRTIO_MMIO_STATUS:
        return VIRTIO_PCI_COMMON_STATUS;
    case VIRTIO_MMIO_QUEUE_DESC_LOW:
        return VIRTIO_PCI_COMMON_Q_DESCLO;
    case VIRTIO_MMIO_QUEUE_DESC_HIGH:
        return VIRTIO_PCI_COMMON_Q_DESCHI;
    case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
        return VIRTIO_PCI_COMMON_Q_AVAILLO;
    case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
        return VIRTIO_PCI_COMMON_Q_AVAILHI;
    case VIRTIO_MMIO_QUEUE_USED_LOW:
        return VIRTIO_PCI_COMMON_Q_USEDLO;
    case VIRTIO_MMIO_QUEUE_USED_HIGH:
        return VIRTIO_PCI_COMMON_Q_USEDHI;
    case VIRTIO_MMIO_CONFIG_GENERATION:
        return VIRTIO_PCI_COMMON_CFGGENERATION;
    default:
        return -1;
    }
}

static unsigned width_of(int field)
{
    if (field == VIRTIO_PCI_COMMON_STATUS || field == VIRTIO_PCI_COMMON_CFGGENERATION)
        return 1;
    return field >= VIRTIO_PCI_COMMON_Q_SELECT && field <= VIRTIO_PCI_COMMON_Q_NOFF ? 2 : 4;
}

uint32_t mock_pci_read_register(struct mock_pci *pci, uint64_t offset)
{
    int field = field_of(offset);

    if (offset >= VIRTIO_MMIO_CONFIG)
        return (uint32_t)mock_pci_read(pci, MOCK_PCI_CONFIG + offset - VIRTIO_MMIO_CONFIG, 4);
    if (offset == VIRTIO_MMIO_DEVICE_ID)
        return mock_pci_config_read(pci, PCI_DEVICE_ID, 2) - 0x1040;
    if (offset == VIRTIO_MMIO_INTERRUPT_STATUS) {
        mock_pci_take_interrupts(pci);
        return pci->interrupt_status;
    }
    return field < 0 ? 0
                     : (uint32_t)mock_pci_read(pci, MOCK_PCI_COMMON + (uint64_t)field,
                                               width_of(field));
}

static void write_field(struct mock_pci *pci, int field, uint32_t value)
{
    unsigned width = width_of(field);

    if (width < 4 && value >> 8 * width)
        return; /* what has no bits there cannot be written */
    mock_pci_write(pci, MOCK_PCI_COMMON + (uint64_t)field, width, value);
    if (field == VIRTIO_PCI_COMMON_STATUS && value == 0) {
        mock_pci_take_interrupts(pci);
        pci->interrupt_status = 0;
        choose_vectors(pci);
    }
}

void mock_pci_write_register(struct mock_pci *pci, uint64_t offset, uint32_t value)
{
    int field = field_of(offset);

    if (offset >= VIRTIO_MMIO_CONFIG)
        mock_pci_write(pci, MOCK_PCI_CONFIG + offset - VIRTIO_MMIO_CONFIG, 4, value);
    else if (offset == VIRTIO_MMIO_QUEUE_NOTIFY && value < 0x100)
        mock_pci_write(pci, MOCK_PCI_NOTIFY + value * 4, 2, value);
    else if (offset == VIRTIO_MMIO_INTERRUPT_ACK)
        pci->interrupt_status &= ~value;
    else if (field >= 0)
        write_field(pci, field, value);
}

bool mock_pci_take_interrupts(struct mock_pci *pci)
{
    bool any = false;

    for (unsigned i = 0; i < pci->transport.msix.count; i++) {
        if (!irq_take(&pci->transport.msix.vectors[i].irq))
            continue;
        pci->interrupt_status |= i < QUEUE_VECTOR ? VIRTIO_MMIO_INT_CONFIG : VIRTIO_MMIO_INT_VRING;
        any = true;
    }
    return any;
}
