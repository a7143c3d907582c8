/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio_pci.h"

#include "arch/x86_64/layout.h"

#include <linux/virtio_mmio.h>
#include <linux/virtio_pci.h>

#define VENDOR 0x1af4u
#define DEVICE_BASE 0x1040u
#define CAPABILITIES_MAX 48

static uint8_t read8(uint64_t address)
{
    return *(volatile uint8_t *)address;
}

static uint16_t read16(uint64_t address)
{
    return *(volatile uint16_t *)address;
}

bool pci_present(void)
{
    return read32(LAYOUT_PCI_ECAM) != 0xffffffff;
}

uint64_t pci_bar(const struct virtio_pci *pci)
{
    return read32(pci->ecam + PCI_BASE_ADDRESS_0) & ~0xfu;
}

static void note_part(struct virtio_pci *pci, uint64_t capability)
{
    uint32_t offset = read32(capability + VIRTIO_PCI_CAP_OFFSET);

    switch (read8(capability + VIRTIO_PCI_CAP_CFG_TYPE)) {
    case VIRTIO_PCI_CAP_COMMON_CFG:
        pci->common = offset;
        break;
    case VIRTIO_PCI_CAP_NOTIFY_CFG:
        pci->notify = offset;
        pci->notify_stride = read32(capability + VIRTIO_PCI_NOTIFY_CAP_MULT);
        break;
    case VIRTIO_PCI_CAP_ISR_CFG:
        pci->isr = offset;
        break;
    case VIRTIO_PCI_CAP_DEVICE_CFG:
        pci->config = offset;
        break;
    default:
        break;
    }
}

static void read_capabilities(struct virtio_pci *pci)
{
    uint32_t at = read8(pci->ecam + PCI_CAPABILITY_LIST);

    for (unsigned i = 0; at && i < CAPABILITIES_MAX; i++) {
        uint8_t id = read8(pci->ecam + at);

        if (id == PCI_CAP_ID_MSIX)
            pci->msix = at;
        else if (id == PCI_CAP_ID_VNDR)
            note_part(pci, pci->ecam + at);
        at = read8(pci->ecam + at + PCI_CAP_LIST_NEXT);
    }
}

bool pci_find(struct virtio_pci *pci, unsigned index, uint32_t *id)
{
    *pci = (struct virtio_pci){.ecam = LAYOUT_PCI_ECAM + ((index + 1ull) << 15)};
    *id = 0;
    if (read16(pci->ecam + PCI_VENDOR_ID) != VENDOR)
        return false;
    *id = read16(pci->ecam + PCI_DEVICE_ID) - DEVICE_BASE;
    read_capabilities(pci);
    return true;
}

/* --- registers --- */

/* The field of the common configuration for a register, and its width; 0: none. */
static unsigned field_of(uint32_t offset, uint32_t *field)
{
    static const struct {
        uint16_t mmio;
        uint8_t field, width;
    } fields[] = {
        {VIRTIO_MMIO_DEVICE_FEATURES, VIRTIO_PCI_COMMON_DF, 4},
        {VIRTIO_MMIO_DEVICE_FEATURES_SEL, VIRTIO_PCI_COMMON_DFSELECT, 4},
        {VIRTIO_MMIO_DRIVER_FEATURES, VIRTIO_PCI_COMMON_GF, 4},
        {VIRTIO_MMIO_DRIVER_FEATURES_SEL, VIRTIO_PCI_COMMON_GFSELECT, 4},
        {VIRTIO_MMIO_QUEUE_SEL, VIRTIO_PCI_COMMON_Q_SELECT, 2},
        {VIRTIO_MMIO_QUEUE_NUM, VIRTIO_PCI_COMMON_Q_SIZE, 2},
        {VIRTIO_MMIO_QUEUE_READY, VIRTIO_PCI_COMMON_Q_ENABLE, 2},
        {VIRTIO_MMIO_STATUS, VIRTIO_PCI_COMMON_STATUS, 1},
        {VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTIO_PCI_COMMON_Q_DESCLO, 4},
        {VIRTIO_MMIO_QUEUE_DESC_HIGH, VIRTIO_PCI_COMMON_Q_DESCHI, 4},
        {VIRTIO_MMIO_QUEUE_AVAIL_LOW, VIRTIO_PCI_COMMON_Q_AVAILLO, 4},
        {VIRTIO_MMIO_QUEUE_AVAIL_HIGH, VIRTIO_PCI_COMMON_Q_AVAILHI, 4},
        {VIRTIO_MMIO_QUEUE_USED_LOW, VIRTIO_PCI_COMMON_Q_USEDLO, 4},
        {VIRTIO_MMIO_QUEUE_USED_HIGH, VIRTIO_PCI_COMMON_Q_USEDHI, 4},
    };

    for (unsigned i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (fields[i].mmio == offset) {
            *field = fields[i].field;
            return fields[i].width;
        }
    }
    return 0;
}

uint32_t pci_read_register(const struct virtio_pci *pci, uint32_t offset)
{
    uint64_t bar = pci_bar(pci);
    uint32_t field = 0;

    if (offset >= VIRTIO_MMIO_CONFIG)
        return read32(bar + pci->config + offset - VIRTIO_MMIO_CONFIG);
    switch (field_of(offset, &field)) {
    case 1:
        return read8(bar + pci->common + field);
    case 2:
        return read16(bar + pci->common + field);
    case 4:
        return read32(bar + pci->common + field);
    default:
        return 0;
    }
}

void pci_write_register(const struct virtio_pci *pci, uint32_t offset, uint32_t value)
{
    uint64_t bar = pci_bar(pci);
    uint32_t field = 0;

    if (offset == VIRTIO_MMIO_QUEUE_NOTIFY) {
        if (value < 0x100)
            *(volatile uint16_t *)(bar + pci->notify + value * pci->notify_stride) =
                (uint16_t)value;
        return;
    }
    switch (field_of(offset, &field)) {
    case 1:
        *(volatile uint8_t *)(bar + pci->common + field) = (uint8_t)value;
        break;
    case 2:
        *(volatile uint16_t *)(bar + pci->common + field) = (uint16_t)value;
        break;
    case 4:
        write32(bar + pci->common + field, value);
        break;
    default:
        break;
    }
}
