/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio.h"

#include <linux/virtio_mmio.h>
#include <linux/virtio_pci.h>

#define MMIO_MAGIC 0x74726976u
#define MMIO_WINDOWS 32u
#define NEGOTIATED \
    (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK)

static void mmio_find(struct virtio *virtio, const char *windows, uint32_t id, unsigned index)
{
    uint64_t base = parse_number(&windows), stride;

    windows++;
    stride = parse_number(&windows);
    for (unsigned i = 0; i < MMIO_WINDOWS; i++, base += stride) {
        if (read32(base + VIRTIO_MMIO_MAGIC_VALUE) != MMIO_MAGIC ||
            read32(base + VIRTIO_MMIO_DEVICE_ID) != id || index-- > 0)
            continue;
        *virtio = (struct virtio){
            .common = base,
            .config = base + VIRTIO_MMIO_CONFIG,
            .notify = base + VIRTIO_MMIO_QUEUE_NOTIFY,
        };
        return;
    }
    fail("no such virtio-mmio device");
}

void virtio_find(struct virtio *virtio, uint32_t id, unsigned index)
{
    const char *windows = option("mmio", NULL);

    if (windows)
        mmio_find(virtio, windows, id, index);
    else
        pci_find(virtio, id, index);
}

static void set_status(const struct virtio *virtio, uint8_t status)
{
    if (virtio->pci)
        write8(virtio->common + VIRTIO_PCI_COMMON_STATUS, status);
    else
        write32(virtio->common + VIRTIO_MMIO_STATUS, status);
}

static uint32_t status(const struct virtio *virtio)
{
    return virtio->pci ? read8(virtio->common + VIRTIO_PCI_COMMON_STATUS)
                       : read32(virtio->common + VIRTIO_MMIO_STATUS);
}

static uint32_t offered(const struct virtio *virtio, unsigned word)
{
    write32(virtio->common +
                (virtio->pci ? VIRTIO_PCI_COMMON_DFSELECT : VIRTIO_MMIO_DEVICE_FEATURES_SEL),
            word);
    return read32(virtio->common +
                  (virtio->pci ? VIRTIO_PCI_COMMON_DF : VIRTIO_MMIO_DEVICE_FEATURES));
}

static void accept(const struct virtio *virtio, unsigned word, uint32_t bits)
{
    write32(virtio->common +
                (virtio->pci ? VIRTIO_PCI_COMMON_GFSELECT : VIRTIO_MMIO_DRIVER_FEATURES_SEL),
            word);
    write32(virtio->common +
                (virtio->pci ? VIRTIO_PCI_COMMON_GF : VIRTIO_MMIO_DRIVER_FEATURES),
            bits);
}

uint64_t virtio_negotiate(const struct virtio *virtio, uint64_t wanted)
{
    uint64_t accepted;

    set_status(virtio, 0);
    while (status(virtio) != 0)
        pause();
    set_status(virtio, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
    accepted = (offered(virtio, 0) | (uint64_t)offered(virtio, 1) << 32) &
               (wanted | FEATURE(VIRTIO_F_VERSION_1));
    accept(virtio, 0, (uint32_t)accepted);
    accept(virtio, 1, (uint32_t)(accepted >> 32));
    set_status(virtio, NEGOTIATED);
    if (status(virtio) != NEGOTIATED)
        fail("the device refuses its own features");
    return accepted;
}

static void set_area(uint64_t low, const void *area)
{
    write32(low, (uint32_t)(uintptr_t)area);
    write32(low + 4, (uint32_t)((uintptr_t)area >> 32));
}

struct areas {
    const void *descriptors, *driver, *device;
};

static struct areas areas_of(const struct ring *ring)
{
    if (ring->is_packed)
        return (struct areas){ring->packed.ring, &ring->packed.driver_event,
                              &ring->packed.device_event};
    return (struct areas){ring->descriptors, &ring->avail, &ring->used};
}

static void mmio_add_queue(const struct virtio *virtio, unsigned index, struct ring *ring)
{
    struct areas areas = areas_of(ring);
    uint64_t base = virtio->common;

    write32(base + VIRTIO_MMIO_QUEUE_SEL, index);
    if (read32(base + VIRTIO_MMIO_QUEUE_NUM_MAX) < RING_SIZE)
        fail("the queue is too small");
    write32(base + VIRTIO_MMIO_QUEUE_NUM, RING_SIZE);
    set_area(base + VIRTIO_MMIO_QUEUE_DESC_LOW, areas.descriptors);
    set_area(base + VIRTIO_MMIO_QUEUE_AVAIL_LOW, areas.driver);
    set_area(base + VIRTIO_MMIO_QUEUE_USED_LOW, areas.device);
    write32(base + VIRTIO_MMIO_QUEUE_READY, 1);
    ring->notify_address = virtio->notify;
    ring->wide_notify = true;
    ring->acknowledge_address = base + VIRTIO_MMIO_INTERRUPT_STATUS;
}

/* Every queue has the first MSI-X vector, which pci_find() has aimed at a disabled APIC. */
static void pci_add_queue(const struct virtio *virtio, unsigned index, struct ring *ring)
{
    struct areas areas = areas_of(ring);
    uint64_t common = virtio->common;

    write16(common + VIRTIO_PCI_COMMON_Q_SELECT, (uint16_t)index);
    if (read16(common + VIRTIO_PCI_COMMON_Q_SIZE) < RING_SIZE)
        fail("the queue is too small");
    write16(common + VIRTIO_PCI_COMMON_Q_SIZE, RING_SIZE);
    write16(common + VIRTIO_PCI_COMMON_Q_MSIX, 0);
    set_area(common + VIRTIO_PCI_COMMON_Q_DESCLO, areas.descriptors);
    set_area(common + VIRTIO_PCI_COMMON_Q_AVAILLO, areas.driver);
    set_area(common + VIRTIO_PCI_COMMON_Q_USEDLO, areas.device);
    ring->notify_address =
        virtio->notify + read16(common + VIRTIO_PCI_COMMON_Q_NOFF) * virtio->notify_multiplier;
    write16(common + VIRTIO_PCI_COMMON_Q_ENABLE, 1);
}

void virtio_add_queue(const struct virtio *virtio, unsigned index, struct ring *ring,
                      bool interrupts)
{
    memset(ring, 0, sizeof *ring);
    ring->index = (uint16_t)index;
    ring->interrupts = interrupts;
    ring->is_packed = virtio->packed;
    ring_set_event(ring);
    if (virtio->pci)
        pci_add_queue(virtio, index, ring);
    else
        mmio_add_queue(virtio, index, ring);
}

void virtio_go(const struct virtio *virtio)
{
    set_status(virtio, NEGOTIATED | VIRTIO_CONFIG_S_DRIVER_OK);
}
