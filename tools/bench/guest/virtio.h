/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding and starting a virtio device on either transport (virtio 1.2, 4.1 and 4.2). The command
 * line says where to look:
 *
 *     mmio=BASE:STRIDE   register windows of virtio-mmio
 *     ecam=BASE          PCI configuration space in memory; without both: ports 0xcf8 and 0xcfc
 *     bars=BASE          addresses for BARs that nobody has assigned
 */
#ifndef HUSK_BENCH_VIRTIO_H
#define HUSK_BENCH_VIRTIO_H

#include "ring.h"

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>

#define FEATURE(bit) (1ull << (bit))

struct virtio {
    bool pci;
    uint64_t common; /* virtio-mmio's window, or virtio-pci's common configuration */
    uint64_t config; /* the device's configuration space */
    uint64_t notify;
    uint32_t notify_multiplier;
    bool packed; /* the rings to come; the caller's, once VIRTIO_F_RING_PACKED is accepted */
};

/* The `index`-th device of a kind, counted in the order of its bus; fails if there is none. */
void virtio_find(struct virtio *virtio, uint32_t id, unsigned index);

/* Resets, and accepts `wanted` as far as it is offered, which it returns. */
uint64_t virtio_negotiate(const struct virtio *virtio, uint64_t wanted);

/* Sets up a queue with a clean ring. */
void virtio_add_queue(const struct virtio *virtio, unsigned index, struct ring *ring,
                      bool interrupts);

void virtio_go(const struct virtio *virtio);

/* --- pci.c: where a device of the PCI bus has its registers --- */

void pci_find(struct virtio *virtio, uint32_t id, unsigned index);

#endif
