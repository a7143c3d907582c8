/* SPDX-License-Identifier: Apache-2.0 */
/* Who answers where on bus 0; see bus.h. */
#include "devices/pci/bus.h"

#include <errno.h>
#include <string.h>

#define ECAM_FUNCTION_SHIFT 12u
#define ECAM_FUNCTIONS_PER_SLOT 8u
#define PCI_REQUESTER_SLOT_SHIFT 3u /* bus 0, function 0 */
#define ECAM_REGISTERS (1u << ECAM_FUNCTION_SHIFT)

/* A generic PCIe host bridge, known to guests from other machines. */
static const struct pci_identity bridge_identity = {
    .vendor = 0x1b36,
    .device = 0x0008,
    .class_code = 0x060000,
};

static const struct pci_function_ops bridge_ops = {0};

void pci_bus_init(struct pci_bus *bus, const struct pci_window *window)
{
    *bus = (struct pci_bus){.window = *window, .next_bar = window->base};
    pci_function_init(&bus->bridge, &bridge_identity, &bridge_ops);
    bus->slots[0] = &bus->bridge;
}

void pci_bus_destroy(struct pci_bus *bus)
{
    pci_function_destroy(&bus->bridge);
}

static unsigned empty_slot(const struct pci_bus *bus)
{
    unsigned slot = 0;

    while (slot < PCI_SLOTS && bus->slots[slot])
        slot++;
    return slot;
}

int pci_bus_plug(struct pci_bus *bus, struct pci_function *function, struct err *err)
{
    const struct pci_window *window = &bus->window;
    uint64_t size = function->bar.size;
    uint64_t base = (bus->next_bar + size - 1) & ~(size - 1);
    unsigned slot = empty_slot(bus);

    if (slot == PCI_SLOTS)
        return err_set(err, -ENOSPC, "too many PCI devices: %u fit; use fewer disks or networks",
                       PCI_SLOTS - 1);
    if (base - window->base > window->size || size > window->size - (base - window->base))
        return err_set(err, -ENOSPC, "PCI: no room for %u bytes of registers",
                       function->bar.size);
    bus->next_bar = base + size;
    bus->slots[slot] = function;
    function->requester = (uint16_t)(slot << PCI_REQUESTER_SLOT_SHIFT);
    pci_function_place(function, window, base);
    return 0;
}

/* --- ECAM --- */

/*
 * The function for an access, or NULL; *offset becomes the register's. Only naturally aligned
 * accesses of up to 4 bytes are defined (7.2.2): others reach nobody.
 */
static struct pci_function *configured(const struct pci_bus *bus, uint64_t *offset, unsigned size)
{
    uint64_t number = *offset >> ECAM_FUNCTION_SHIFT;

    if ((size != 1 && size != 2 && size != 4) || *offset % size != 0 ||
        number % ECAM_FUNCTIONS_PER_SLOT != 0 ||
        number / ECAM_FUNCTIONS_PER_SLOT >= PCI_SLOTS)
        return NULL;
    *offset %= ECAM_REGISTERS;
    return bus->slots[number / ECAM_FUNCTIONS_PER_SLOT];
}

/* Beyond the 256 bytes there are no extended capabilities, which zeros say. */
static void ecam_read(void *device, uint64_t offset, void *data, unsigned size)
{
    struct pci_function *function = configured(device, &offset, size);

    if (!function)
        return;
    if (offset < PCI_CONFIG_SIZE)
        pci_function_read(function, (unsigned)offset, data, size);
    else
        memset(data, 0, size);
}

static void ecam_write(void *device, uint64_t offset, const void *data, unsigned size)
{
    struct pci_function *function = configured(device, &offset, size);

    if (function && offset < PCI_CONFIG_SIZE)
        pci_function_write(function, (unsigned)offset, data, size);
}

const struct bus_ops pci_ecam_ops = {ecam_read, ecam_write};

/* --- the window --- */

/* The BAR that holds all of the access, or NULL; *offset, from the window, becomes the BAR's. */
static const struct pci_bar *decoding(const struct pci_bus *bus, uint64_t *offset, unsigned size)
{
    uint64_t address = bus->window.base + *offset;

    for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
        const struct pci_bar *bar;
        uint64_t base;

        if (!bus->slots[slot])
            continue;
        bar = &bus->slots[slot]->bar;
        base = atomic_load(&bar->base);
        if (base == PCI_NOWHERE || address < base || address - base >= bar->size ||
            size > bar->size - (address - base))
            continue;
        *offset = address - base;
        return bar;
    }
    return NULL;
}

static void window_read(void *device, uint64_t offset, void *data, unsigned size)
{
    const struct pci_bar *bar = decoding(device, &offset, size);

    if (bar)
        bar->ops->read(bar->device, offset, data, size);
}

static void window_write(void *device, uint64_t offset, const void *data, unsigned size)
{
    const struct pci_bar *bar = decoding(device, &offset, size);

    if (bar)
        bar->ops->write(bar->device, offset, data, size);
}

const struct bus_ops pci_window_ops = {window_read, window_write};
