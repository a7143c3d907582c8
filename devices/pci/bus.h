/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI bus 0 behind an ECAM host bridge (PCI Express 6.0, section 7.2.2): 32 slots with a function
 * each, reached by memory alone; there is no configuration by port I/O.
 *
 *     ECAM     slot << 15 | register      a page for each function, of which 256 bytes are used
 *     window   the BARs                   wherever in it the guest puts them
 *
 * Both are ranges of core/bus.h, which are constant while vCPUs run. In the window the function is
 * looked up by its BAR's present address, without a lock: an access that meets a BAR on its way
 * elsewhere is served before or after the move.
 *
 * BARs have their places, and decoding is on, before the guest starts, as firmware leaves them.
 */
#ifndef HUSK_DEVICES_PCI_BUS_H
#define HUSK_DEVICES_PCI_BUS_H

#include "core/bus.h"
#include "core/err.h"
#include "devices/pci/function.h"

#define PCI_SLOTS 32u /* the first is the host bridge's */
#define PCI_ECAM_SIZE 0x100000u

struct pci_bus {
    struct pci_window window; /* below 4 GiB */
    uint64_t next_bar;        /* what is free in the window begins here */
    struct pci_function bridge;
    struct pci_function *slots[PCI_SLOTS]; /* borrowed; NULL: empty */
};

void pci_bus_init(struct pci_bus *bus, const struct pci_window *window);
void pci_bus_destroy(struct pci_bus *bus);

/*
 * Puts `function`, which has a BAR and must outlive the bus's use, into the first empty slot, and
 * the BAR into the window. Before vCPUs run. -ENOSPC when all slots are taken, or the window is.
 */
int pci_bus_plug(struct pci_bus *bus, struct pci_function *function, struct err *err);

/* For bus_add(): PCI_ECAM_SIZE bytes of configuration space; and the window. */
extern const struct bus_ops pci_ecam_ops;
extern const struct bus_ops pci_window_ops;

#endif
