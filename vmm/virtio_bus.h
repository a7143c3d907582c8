/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's virtio devices: made from its configuration, put on its bus, wired to KVM. */
#ifndef HUSK_VMM_VIRTIO_BUS_H
#define HUSK_VMM_VIRTIO_BUS_H

#include "vmm/machine.h"

/* Creates every virtio device that the configuration asks for, and claims its window. */
int virtio_bus_create(struct machine *machine, struct err *err);

/* Waits for backends that are started beside the machine: user-mode networks, shares. */
int virtio_bus_await(struct machine *machine, struct err *err);

/*
 * Gives KVM the kicks and interrupts of all of them, as far as the guest does not decide on them;
 * the interrupt controllers exist.
 */
int virtio_bus_connect(struct machine *machine, struct err *err);

/*
 * Looks at the size of a disk's image again and tells the guest of a new one. Any thread; waits for
 * the machine's loop. Errors: -ENOENT no such disk; as disk_refresh().
 */
int virtio_bus_refresh_disk(struct machine *machine, unsigned index, struct err *err);

/*
 * Asks the guest to give up `bytes` of its memory in all. Any thread; waits for the machine's loop.
 * Errors: -ENOENT no balloon; -ERANGE more than the guest has.
 */
int virtio_bus_set_balloon(struct machine *machine, uint64_t bytes, struct err *err);

/* Frees the devices, then their backends. Nothing runs any more. */
void virtio_bus_destroy(struct machine *machine);

#endif
