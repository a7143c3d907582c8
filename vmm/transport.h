/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a machine's virtio devices are carried: by virtio-mmio or by virtio-pci. Who makes devices
 * (vmm/virtio_bus.c) knows this table, and not which of the two it is.
 */
#ifndef HUSK_VMM_TRANSPORT_H
#define HUSK_VMM_TRANSPORT_H

#include "vmm/machine.h"

struct transport {
    /* What all devices share; NULL: nothing. */
    int (*prepare)(struct machine *machine, struct err *err);
    /* Gives virtio->device, the machine's next, registers on its bus. */
    int (*open)(struct machine *machine, struct machine_virtio *virtio, struct err *err);
    /* Gives KVM its kicks and interrupts; NULL: the guest decides where they are, and when. */
    int (*connect)(struct machine *machine, struct machine_virtio *virtio, struct err *err);
    /* The device has been destroyed. */
    void (*close)(struct machine_virtio *virtio);
};

/* The one that the machine's configuration asks for. */
const struct transport *machine_transport(const struct machine *machine);

#endif
