/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device has wired anew while the machine runs, in words that do not say by whom: by KVM in
 * a machine, by a mock in a test. Only devices whose guest decides on addresses and interrupts
 * need it, those on PCI.
 *
 *     message   edges of an irq_line become a write of `data` to `address` (MSI)
 *     doorbell  a write by the guest at `address`, of any size and value, signals an eventfd
 *
 * Nothing is lost while a line has no message: its eventfd counts the edges, which is what PCI
 * calls pending, and gives them on when a message is connected. A doorbell is a short cut only;
 * without one the write ends in the device's registers, so connecting it may fail unheard.
 */
#ifndef HUSK_CORE_WIRES_H
#define HUSK_CORE_WIRES_H

#include "core/irq.h"

#include <stdint.h>

struct msi_message {
    uint64_t address;
    uint32_t data;
    uint32_t requester; /* which device writes: its bus, slot and function on PCI */
};

/*
 * Called on vCPU threads, several at once, under locks of the device: must not call back. What was
 * disconnected has no effect any more when the call returns.
 */
struct wires_ops {
    void (*connect_message)(void *context, const struct irq_line *irq,
                            const struct msi_message *message);
    void (*disconnect_message)(void *context, const struct irq_line *irq);
    void (*connect_doorbell)(void *context, uint64_t address, int fd);
    void (*disconnect_doorbell)(void *context, uint64_t address, int fd);
};

struct wires {
    const struct wires_ops *ops;
    void *context;
};

#endif
