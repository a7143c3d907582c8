/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio over PCI (virtio 1.2, section 4.1): modern only, interrupts by MSI-X only.
 *
 *     BAR 0   0x0000  common configuration      0x1000  MSI-X table
 *             0x0400  ISR status                0x1800  MSI-X pending bits
 *             0x0800  device configuration      0x2000  notifications, 4 bytes a queue
 *
 * The fast path takes no lock and makes no exit: a notification is a doorbell of its queue, which
 * is there while the device is active and its BAR is decoded; an interrupt is an edge on the
 * eventfd of the vector that the driver chose. All other registers are served on vCPU threads
 * under the PCI function's lock, which plays the part that virtio_mmio's plays: it is held across
 * loop_call(), and no loop takes it.
 *
 * There is no INTx. A driver that does not enable MSI-X gets no interrupt; it can poll its rings or
 * the ISR status, which tells what it would have been interrupted for.
 *
 * Vector 0 suits configuration changes and 1 + n queue n, but that is the driver's to choose.
 */
#ifndef HUSK_DEVICES_VIRTIO_PCI_H
#define HUSK_DEVICES_VIRTIO_PCI_H

#include "core/wires.h"
#include "devices/pci/bus.h"
#include "devices/pci/function.h"
#include "devices/pci/msix.h"
#include "devices/virtio/device.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define VIRTIO_PCI_BAR_SIZE 0x4000u

struct virtio_pci {
    struct virtio_device *device; /* borrowed */
    struct pci_function function;
    struct msix msix;
    struct wires wires;

    /* under function.lock */
    uint32_t offered_select;
    uint32_t accepted_select;
    uint16_t queue_select;
    unsigned window_capability; /* VIRTIO_PCI_CAP_PCI_CFG's offset */
    uint64_t doorbells;         /* the BAR's base that they are connected for, or PCI_NOWHERE */

    /* any thread */
    _Atomic uint8_t isr;
    _Atomic uint16_t config_vector;
    _Atomic uint16_t *queue_vectors; /* one for each queue */
};

/* Vectors, and so gsis, that a device with so many queues has. */
unsigned virtio_pci_vector_count(const struct virtio_device *device);

/*
 * Attaches to `device` and plugs the function into `bus`; device, bus and wires must outlive it.
 * `first_gsi` is the first of virtio_pci_vector_count() that are the transport's alone. On error
 * nothing is left to close.
 */
int virtio_pci_open(struct virtio_pci *transport, struct virtio_device *device,
                    struct pci_bus *bus, uint32_t first_gsi, const struct wires *wires,
                    struct err *err);
/* No vCPU and no loop runs any more. */
void virtio_pci_close(struct virtio_pci *transport);

/* Transport and device. No vCPU and no loop runs. */
void virtio_pci_save(struct virtio_pci *transport, struct state_writer *writer);
int virtio_pci_restore(struct virtio_pci *transport, struct state_reader *reader, struct err *err);

#endif
