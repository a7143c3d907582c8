/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One PCI function: its configuration space, one memory BAR, a list of capabilities (PCI 3.0,
 * chapter 6). Knows nothing of what the function does.
 *
 * The configuration space is bytes and a mask of the bits that the guest may change; that alone
 * gives registers, the sizing of the BAR and its relocation their meaning. A BAR has 32 bits and
 * is not prefetchable. There is no interrupt pin: interrupts are messages (devices/pci/msix.h).
 *
 * Accesses come from several vCPU threads. `lock` guards the configuration space, and is there for
 * the registers behind the BAR as well; where the BAR is decoded is atomic, so that finding a
 * function by address takes no lock.
 */
#ifndef HUSK_DEVICES_PCI_FUNCTION_H
#define HUSK_DEVICES_PCI_FUNCTION_H

#include "core/bus.h"
#include "core/err.h"
#include "core/state.h"

#include <linux/pci_regs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define PCI_CONFIG_SIZE 256u

/* The base of a BAR that is not decoded. */
#define PCI_NOWHERE UINT64_MAX

struct pci_identity {
    uint16_t vendor;
    uint16_t device;
    uint32_t class_code; /* base class, subclass and interface, a byte each */
    uint8_t revision;
    uint16_t subsystem_vendor;
    uint16_t subsystem;
};

struct pci_function;

/* Called under the function's lock; NULL where there is nothing to do. */
struct pci_function_ops {
    /* The guest is about to read, or has written, [offset, offset + size) of the space. */
    void (*before_read)(struct pci_function *function, unsigned offset, unsigned size);
    void (*after_write)(struct pci_function *function, unsigned offset, unsigned size);
    /* The BAR was decoded at `from` and is now at `to`; either may be PCI_NOWHERE. */
    void (*moved)(struct pci_function *function, uint64_t from, uint64_t to);
};

struct pci_bar {
    uint32_t size; /* a power of two, at least 16; 0: no BAR */
    const struct bus_ops *ops;
    void *device;
    _Atomic uint64_t base; /* where it is decoded now, or PCI_NOWHERE */
};

/* Addresses that the host bridge passes on to BARs. */
struct pci_window {
    uint64_t base;
    uint64_t size;
};

struct pci_function {
    const struct pci_function_ops *ops;
    pthread_mutex_t lock;
    uint8_t config[PCI_CONFIG_SIZE];
    uint8_t writable[PCI_CONFIG_SIZE]; /* the bits that the guest may change */
    unsigned config_end;               /* where the next capability goes */
    unsigned last_link;                /* offset of the byte that will point to it */
    struct pci_bar bar;
    struct pci_window window; /* empty until the function is on a bus */
    uint16_t requester;       /* bus, slot and function, as messages are signed */
};

void pci_function_init(struct pci_function *function, const struct pci_identity *identity,
                       const struct pci_function_ops *ops);
void pci_function_destroy(struct pci_function *function);

/* --- while it is built --- */

/* BAR 0: `size` bytes, a power of two, that `ops` serve. */
void pci_function_set_bar(struct pci_function *function, uint32_t size, const struct bus_ops *ops,
                          void *device);

/*
 * Adds a capability of `size` bytes, a multiple of 4, of which the first two are filled in here.
 * Returns its offset. All of a machine's must fit.
 */
unsigned pci_function_add_capability(struct pci_function *function, uint8_t id,
                                     const void *content, unsigned size);

/* Lets the guest change the `mask` bits of the byte at `offset`. */
void pci_function_allow(struct pci_function *function, unsigned offset, uint8_t mask);

/* What firmware does: places the BAR at `base`, in `window`, and turns decoding on. */
void pci_function_place(struct pci_function *function, const struct pci_window *window,
                        uint64_t base);

/* --- while it runs --- */

/* Aligned accesses of 1, 2 or 4 bytes within the space. Any thread. */
void pci_function_read(struct pci_function *function, unsigned offset, void *data, unsigned size);
void pci_function_write(struct pci_function *function, unsigned offset, const void *data,
                        unsigned size);

/* Little-endian values of the space; under the lock, or in ops. */
uint32_t pci_function_get(const struct pci_function *function, unsigned offset, unsigned size);

static inline bool pci_overlaps(unsigned offset, unsigned size, unsigned at, unsigned length)
{
    return offset < at + length && at < offset + size;
}

/* What the guest can change. Restore calls ops->moved, not ops->after_write. */
void pci_function_save(struct pci_function *function, struct state_writer *writer);
int pci_function_restore(struct pci_function *function, struct state_reader *reader,
                         struct err *err);

#endif
