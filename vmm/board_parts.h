/* SPDX-License-Identifier: Apache-2.0 */
/* What the boards of all architectures have in common; for board_*.c only. */
#ifndef HUSK_VMM_BOARD_PARTS_H
#define HUSK_VMM_BOARD_PARTS_H

#include "devices/pci/bus.h"
#include "firmware/kernel.h"
#include "vmm/machine.h"

/* The bytes that a guest writes to the timing port, which the machine's phases come of. */
void board_mark_phase(void *machine, uint8_t phase);

/* Puts the PCI bus, with its ECAM at `ecam`, on the machine's. pci_bus_destroy(). */
int board_add_pci(struct machine *machine, struct pci_bus *bus, uint64_t ecam,
                  const struct pci_window *window, struct err *err);

/* Loads the kernel, and the initrd if there is one (*initrd has size 0 otherwise). */
int board_load_files(struct machine *machine, const struct kernel_limits *limits,
                     struct kernel *kernel, struct memory_range *initrd, struct err *err);

/*
 * The command line in `line` (room for `room` bytes): what the user gives whole, or the defaults
 * with what the user appends. `own` are the board's own defaults.
 */
int board_command_line(const struct machine *machine, const char *own, char *line, size_t room,
                       struct err *err);

#endif
