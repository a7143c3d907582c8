/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration space: bytes under a mask; see function.h. */
#include "devices/pci/function.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define STATE_VERSION 1

static void set(struct pci_function *function, unsigned offset, unsigned size, uint32_t value)
{
    bus_set_value(function->config + offset, size, value);
}

uint32_t pci_function_get(const struct pci_function *function, unsigned offset, unsigned size)
{
    return (uint32_t)bus_value(function->config + offset, size);
}

/* --- building --- */

void pci_function_init(struct pci_function *function, const struct pci_identity *identity,
                       const struct pci_function_ops *ops)
{
    *function = (struct pci_function){
        .ops = ops,
        .config_end = PCI_STD_HEADER_SIZEOF,
        .last_link = PCI_CAPABILITY_LIST,
        .bar.base = PCI_NOWHERE,
    };
    pthread_mutex_init(&function->lock, NULL);
    set(function, PCI_VENDOR_ID, 2, identity->vendor);
    set(function, PCI_DEVICE_ID, 2, identity->device);
    set(function, PCI_CLASS_REVISION, 4, identity->class_code << 8 | identity->revision);
    set(function, PCI_SUBSYSTEM_VENDOR_ID, 2, identity->subsystem_vendor);
    set(function, PCI_SUBSYSTEM_ID, 2, identity->subsystem);
    pci_function_allow(function, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    pci_function_allow(function, PCI_COMMAND + 1, PCI_COMMAND_INTX_DISABLE >> 8);
    pci_function_allow(function, PCI_INTERRUPT_LINE, 0xff);
}

void pci_function_destroy(struct pci_function *function)
{
    pthread_mutex_destroy(&function->lock);
}

void pci_function_allow(struct pci_function *function, unsigned offset, uint8_t mask)
{
    function->writable[offset] |= mask;
}

void pci_function_set_bar(struct pci_function *function, uint32_t size, const struct bus_ops *ops,
                          void *device)
{
    function->bar.size = size;
    function->bar.ops = ops;
    function->bar.device = device;
    bus_set_value(function->writable + PCI_BASE_ADDRESS_0, 4, ~(size - 1));
}

unsigned pci_function_add_capability(struct pci_function *function, uint8_t id,
                                     const void *content, unsigned size)
{
    unsigned at = function->config_end;

    memcpy(function->config + at, content, size);
    function->config[at] = id;
    function->config[at + PCI_CAP_LIST_NEXT] = 0;
    function->config[function->last_link] = (uint8_t)at;
    function->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
    function->last_link = at + PCI_CAP_LIST_NEXT;
    function->config_end += size;
    return at;
}

/* --- the BAR --- */

/* Where the configuration space says that the BAR is decoded; the window must hold all of it. */
static uint64_t decoded(const struct pci_function *function)
{
    const struct pci_window *window = &function->window;
    uint64_t size = function->bar.size;
    uint64_t base = pci_function_get(function, PCI_BASE_ADDRESS_0, 4);

    if (size == 0 || !(function->config[PCI_COMMAND] & PCI_COMMAND_MEMORY) ||
        base < window->base || base - window->base >= window->size ||
        size > window->size - (base - window->base))
        return PCI_NOWHERE;
    return base;
}

static void follow_bar(struct pci_function *function)
{
    uint64_t from = function->bar.base, to = decoded(function);

    if (from == to)
        return;
    atomic_store(&function->bar.base, to);
    if (function->ops->moved)
        function->ops->moved(function, from, to);
}

void pci_function_place(struct pci_function *function, const struct pci_window *window,
                        uint64_t base)
{
    function->window = *window;
    set(function, PCI_BASE_ADDRESS_0, 4, (uint32_t)base);
    function->config[PCI_COMMAND] |= PCI_COMMAND_MEMORY;
    atomic_store(&function->bar.base, decoded(function));
}

/* --- accesses --- */

void pci_function_read(struct pci_function *function, unsigned offset, void *data, unsigned size)
{
    pthread_mutex_lock(&function->lock);
    if (function->ops->before_read)
        function->ops->before_read(function, offset, size);
    memcpy(data, function->config + offset, size);
    pthread_mutex_unlock(&function->lock);
}

static void write_byte(struct pci_function *function, unsigned offset, uint8_t value)
{
    uint8_t mask = function->writable[offset];

    function->config[offset] = (uint8_t)((function->config[offset] & ~mask) | (value & mask));
}

void pci_function_write(struct pci_function *function, unsigned offset, const void *data,
                        unsigned size)
{
    const uint8_t *bytes = data;

    pthread_mutex_lock(&function->lock);
    for (unsigned i = 0; i < size; i++)
        write_byte(function, offset + i, bytes[i]);
    follow_bar(function);
    if (function->ops->after_write)
        function->ops->after_write(function, offset, size);
    pthread_mutex_unlock(&function->lock);
}

/* --- snapshots --- */

void pci_function_save(struct pci_function *function, struct state_writer *writer)
{
    state_begin(writer, "pci-function", STATE_VERSION);
    state_put_bytes(writer, function->config, sizeof function->config);
    state_end(writer);
}

int pci_function_restore(struct pci_function *function, struct state_reader *reader,
                         struct err *err)
{
    uint8_t config[PCI_CONFIG_SIZE];

    state_enter(reader, "pci-function", STATE_VERSION);
    state_get_bytes(reader, config, sizeof config);
    state_leave(reader);
    if (state_failed(reader) || memcmp(config, function->config, PCI_COMMAND) != 0)
        return err_set(err, -EINVAL, "PCI: the saved state is not of this device");
    for (unsigned i = 0; i < sizeof config; i++)
        write_byte(function, i, config[i]);
    follow_bar(function);
    return 0;
}
