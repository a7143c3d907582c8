/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio devices on PCI bus 0: finds one, assigns BARs that firmware has not (or out of reach),
 * and switches MSI-X on, with one vector at an APIC that is disabled: the monitor has all the work
 * of an interrupt, and the guest, which polls, is left alone.
 */
#include "virtio.h"

#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA 0xcfc
#define SLOTS 32u
#define VIRTIO_VENDOR 0x1af4u
#define MODERN 0x1040u       /* + the device's kind */
#define TRANSITIONAL_NET 0x1000u
#define TRANSITIONAL_BLOCK 0x1001u
#define LAPIC 0xfee00000u
#define VECTOR 0x40u

static uint32_t config_read(unsigned slot, unsigned offset)
{
    uint64_t ecam = option_number("ecam", 0);

    if (ecam)
        return read32(ecam + (slot << 15) + (offset & ~3u));
    out32(CONFIG_ADDRESS, 1u << 31 | slot << 11 | (offset & ~3u));
    return in32(CONFIG_DATA);
}

static void config_write(unsigned slot, unsigned offset, uint32_t value)
{
    uint64_t ecam = option_number("ecam", 0);

    if (ecam) {
        write32(ecam + (slot << 15) + offset, value);
        return;
    }
    out32(CONFIG_ADDRESS, 1u << 31 | slot << 11 | offset);
    out32(CONFIG_DATA, value);
}

static uint8_t config_read8(unsigned slot, unsigned offset)
{
    return (uint8_t)(config_read(slot, offset) >> (offset % 4 * 8));
}

static bool is_virtio(unsigned slot, uint32_t id)
{
    uint32_t name = config_read(slot, PCI_VENDOR_ID), device = name >> 16;

    if ((name & 0xffff) != VIRTIO_VENDOR)
        return false;
    return device == MODERN + id || (id == VIRTIO_ID_NET && device == TRANSITIONAL_NET) ||
           (id == VIRTIO_ID_BLOCK && device == TRANSITIONAL_BLOCK);
}

/* The next free address for a BAR of this size. */
static uint64_t allocate(uint64_t size)
{
    static uint64_t next;
    uint64_t address;

    if (!next)
        next = option_number("bars", 0);
    if (!next)
        fail("a BAR has no address, and bars= is not there");
    address = (next + size - 1) / size * size;
    next = address + size;
    return address;
}

static uint64_t bar_address(unsigned slot, unsigned bar)
{
    unsigned offset = PCI_BASE_ADDRESS_0 + bar * 4;
    uint32_t low = config_read(slot, offset);
    bool wide = (low & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64;
    uint64_t address = low & PCI_BASE_ADDRESS_MEM_MASK;

    if (wide)
        address |= (uint64_t)config_read(slot, offset + 4) << 32;
    if (address == 0 || address > UINT32_MAX) { /* not assigned, or not mapped */
        config_write(slot, offset, UINT32_MAX);
        address = allocate(-(config_read(slot, offset) & (uint32_t)PCI_BASE_ADDRESS_MEM_MASK));
        config_write(slot, offset, (uint32_t)address);
        if (wide)
            config_write(slot, offset + 4, (uint32_t)(address >> 32));
    }
    return address;
}

static void use_virtio_capability(struct virtio *virtio, unsigned slot, unsigned at)
{
    uint64_t address =
        bar_address(slot, config_read8(slot, at + offsetof(struct virtio_pci_cap, bar))) +
        config_read(slot, at + offsetof(struct virtio_pci_cap, offset));

    switch (config_read8(slot, at + offsetof(struct virtio_pci_cap, cfg_type))) {
    case VIRTIO_PCI_CAP_COMMON_CFG:
        virtio->common = address;
        break;
    case VIRTIO_PCI_CAP_DEVICE_CFG:
        virtio->config = address;
        break;
    case VIRTIO_PCI_CAP_NOTIFY_CFG:
        virtio->notify = address;
        virtio->notify_multiplier = config_read(slot, at + sizeof(struct virtio_pci_cap));
        break;
    }
}

static void use_msix(unsigned slot, unsigned at)
{
    uint32_t table = config_read(slot, at + PCI_MSIX_TABLE);
    uint64_t entry =
        bar_address(slot, table & PCI_MSIX_TABLE_BIR) + (table & PCI_MSIX_TABLE_OFFSET);

    config_write(slot, at, config_read(slot, at) | (uint32_t)PCI_MSIX_FLAGS_ENABLE << 16);
    write32(entry + PCI_MSIX_ENTRY_LOWER_ADDR, LAPIC);
    write32(entry + PCI_MSIX_ENTRY_UPPER_ADDR, 0);
    write32(entry + PCI_MSIX_ENTRY_DATA, VECTOR);
    write32(entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 0);
}

/* Virtio's capability of configuration access by the configuration space itself names no BAR. */
static void use_capabilities(struct virtio *virtio, unsigned slot)
{
    unsigned next;

    for (unsigned at = config_read8(slot, PCI_CAPABILITY_LIST); at; at = next) {
        uint8_t id = config_read8(slot, at);

        next = config_read8(slot, at + PCI_CAP_LIST_NEXT);
        if (id == PCI_CAP_ID_MSIX)
            use_msix(slot, at);
        else if (id == PCI_CAP_ID_VNDR &&
                 config_read8(slot, at + offsetof(struct virtio_pci_cap, cfg_type)) !=
                     VIRTIO_PCI_CAP_PCI_CFG)
            use_virtio_capability(virtio, slot, at);
    }
}

void pci_find(struct virtio *virtio, uint32_t id, unsigned index)
{
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        if (!is_virtio(slot, id) || index-- > 0)
            continue;
        *virtio = (struct virtio){.pci = true};
        config_write(slot, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
        use_capabilities(virtio, slot);
        if (!virtio->common || !virtio->notify)
            fail("a virtio device without its registers");
        return;
    }
    fail("no such virtio-pci device");
}
