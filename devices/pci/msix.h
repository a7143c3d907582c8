/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MSI-X (PCI 3.0, section 6.8.2): a table of messages, a mask for each and one for all, pending
 * bits.
 *
 * An interrupt is an edge on the vector's eventfd, and nothing else: raising takes no lock and
 * asks for no mask. While the vector is masked nobody is connected to the eventfd, whose count is
 * then the pending bit; unmasking connects it to the message that the table holds at that moment,
 * and what was pending is delivered. A message that is changed while its vector is not masked, which
 * the specification leaves undefined, is used from the next unmasking on.
 *
 * With MSI-X disabled, interrupts are dropped: there is no pin to fall back to.
 *
 * All but msix_raise() and msix_event() is called under the lock of the function whose capability this is.
 */
#ifndef HUSK_DEVICES_PCI_MSIX_H
#define HUSK_DEVICES_PCI_MSIX_H

#include "core/irq.h"
#include "core/state.h"
#include "core/wires.h"
#include "devices/pci/function.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define MSIX_VECTORS_MAX 128u
#define MSIX_TABLE_SIZE_MAX ((uint64_t)MSIX_VECTORS_MAX * PCI_MSIX_ENTRY_SIZE)

struct msix_vector {
    uint32_t entry[PCI_MSIX_ENTRY_SIZE / 4];
    struct irq_line irq;
    bool connected;
};

struct msix {
    struct wires wires;
    struct msix_vector *vectors;
    unsigned count;
    const struct pci_function *function; /* whose vectors they are */
    unsigned capability; /* its offset in the configuration space */
    bool function_masked;
    atomic_bool enabled;
};

/* `count` vectors (1 to MSIX_VECTORS_MAX), whose lines have the gsis from `first_gsi` on. */
int msix_open(struct msix *msix, unsigned count, uint32_t first_gsi, const struct wires *wires,
              struct err *err);
void msix_close(struct msix *msix);

/* Adds the capability, with table and pending bits at these offsets of BAR 0. */
void msix_add_capability(struct msix *msix, struct pci_function *function, uint32_t table,
                         uint32_t pending);

/* The guest has written to the configuration space, perhaps to the capability. */
void msix_config_written(struct msix *msix, const struct pci_function *function, unsigned offset,
                         unsigned size);

/* Accesses to the table, `offset` from its start; only aligned ones of 4 and 8 bytes count. */
void msix_read_table(const struct msix *msix, uint64_t offset, void *data, unsigned size);
void msix_write_table(struct msix *msix, uint64_t offset, const void *data, unsigned size);

/* Reads of the pending bits, which are read-only. */
void msix_read_pending(const struct msix *msix, uint64_t offset, void *data, unsigned size);

/* An interrupt. Any thread, no lock; harmless for a vector that does not exist. */
void msix_raise(struct msix *msix, unsigned vector);

/* The vector's eventfd, for who raises it without us while MSI-X is enabled; -1: no such vector. */
int msix_event(const struct msix *msix, unsigned vector);

/* Table and pending bits; the capability is saved with the function, and restored before. */
void msix_save(const struct msix *msix, struct state_writer *writer);
void msix_restore(struct msix *msix, const struct pci_function *function,
                  struct state_reader *reader);

#endif
