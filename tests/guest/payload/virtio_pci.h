/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least of virtio-pci (virtio 1.2, 4.1): functions are found by ECAM, parts of the BAR by their
 * capabilities. The registers of virtio-mmio are translated, so that virtio.h is one driver.
 */
#ifndef HUSK_GUEST_VIRTIO_PCI_H
#define HUSK_GUEST_VIRTIO_PCI_H

#include "guest.h"

#include <linux/pci_regs.h>

struct virtio_pci {
    uint64_t ecam;   /* of the function's configuration space; 0: not on PCI */
    uint64_t common; /* parts of the BAR, as offsets */
    uint64_t notify;
    uint64_t isr;
    uint64_t config;
    uint32_t notify_stride;
    uint32_t msix; /* offset of the capability */
};

/* The machine has a PCI bus. */
bool pci_present(void);

/* The function in slot 1 + index, if it is one of virtio; *id is the device's. */
bool pci_find(struct virtio_pci *pci, unsigned index, uint32_t *id);

/* Where the BAR is now. */
uint64_t pci_bar(const struct virtio_pci *pci);

/* The register of virtio-mmio at `offset`, by whatever virtio-pci has for it. */
uint32_t pci_read_register(const struct virtio_pci *pci, uint32_t offset);
void pci_write_register(const struct virtio_pci *pci, uint32_t offset, uint32_t value);

#endif
