/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is soldered onto the machine: the devices, tables and boot image that are not virtio. One
 * file an architecture, board_ARCH.c, joins arch/ARCH/layout.h with firmware/ and devices/.
 */
#ifndef HUSK_VMM_BOARD_H
#define HUSK_VMM_BOARD_H

#include "vmm/machine.h"

/* Puts the fixed devices on the buses. The result is owned by the caller. */
int board_create(struct machine *machine, struct board **board, struct err *err);
void board_destroy(struct board *board);

/* The PCI bus; NULL when the machine has none. It is the board's. */
struct pci_bus *board_pci_bus(struct board *board);

/* Address and gsi of virtio-mmio window `slot`; -ENOSPC when there are no more. */
int board_virtio_slot(unsigned slot, uint64_t *window, uint32_t *gsi, struct err *err);

/*
 * Has the guest hear that somebody wants it to power off. Any thread. -ENOTSUP: the board has no
 * button.
 */
int board_press_power_button(const struct machine *machine, struct err *err);

/*
 * Loads kernel and initrd, writes the command line and the tables that describe the machine, and
 * sets machine->entry and machine->memory_used.
 */
int board_load(struct machine *machine, struct err *err);

/* Whether the guest's kernel, reset with these flags (KVM_SYSTEM_EVENT_RESET), has panicked. */
bool board_reset_is_panic(const struct board *board, uint64_t flags);

/* Connects the fixed devices' interrupts; the interrupt controllers exist. */
int board_connect(struct machine *machine, struct board *board, struct err *err);

#endif
