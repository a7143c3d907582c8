/* SPDX-License-Identifier: Apache-2.0 */
/* MSI-X over eventfds that are connected and disconnected; see msix.h. */
#include "devices/pci/msix.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define STATE_VERSION 1

enum entry_word { ADDRESS_LOW, ADDRESS_HIGH, DATA, CONTROL, ENTRY_WORDS };

/* The bits of an entry that exist: an address is a multiple of 4, control has the mask alone. */
static const uint32_t entry_bits[ENTRY_WORDS] = {
    [ADDRESS_LOW] = ~3u,
    [ADDRESS_HIGH] = ~0u,
    [DATA] = ~0u,
    [CONTROL] = PCI_MSIX_ENTRY_CTRL_MASKBIT,
};

/* --- life --- */

int msix_open(struct msix *msix, unsigned count, uint32_t first_gsi, const struct wires *wires,
              struct err *err)
{
    int rc = 0;

    *msix = (struct msix){.wires = *wires};
    msix->vectors = calloc(count, sizeof msix->vectors[0]);
    if (!msix->vectors)
        return err_set(err, -ENOMEM, "out of memory");
    while (msix->count < count && rc == 0) {
        struct msix_vector *vector = &msix->vectors[msix->count];

        vector->entry[CONTROL] = PCI_MSIX_ENTRY_CTRL_MASKBIT;
        rc = irq_open(&vector->irq, first_gsi + msix->count, err);
        if (rc == 0)
            msix->count++;
    }
    if (rc)
        msix_close(msix);
    return rc;
}

void msix_close(struct msix *msix)
{
    for (unsigned i = 0; i < msix->count; i++)
        irq_close(&msix->vectors[i].irq);
    free(msix->vectors);
    *msix = (struct msix){.count = 0};
}

void msix_add_capability(struct msix *msix, struct pci_function *function, uint32_t table,
                         uint32_t pending)
{
    uint8_t content[PCI_CAP_MSIX_SIZEOF] = {0};

    bus_set_value(content + PCI_MSIX_FLAGS, 2, msix->count - 1);
    bus_set_value(content + PCI_MSIX_TABLE, 4, table);
    bus_set_value(content + PCI_MSIX_PBA, 4, pending);
    msix->function = function;
    msix->capability =
        pci_function_add_capability(function, PCI_CAP_ID_MSIX, content, sizeof content);
    pci_function_allow(function, msix->capability + PCI_MSIX_FLAGS + 1,
                       (PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL) >> 8);
}

/* --- masks --- */

/* Takes and gives back what is pending, so that it is delivered and then no longer counted. */
static void connect_vector(struct msix *msix, struct msix_vector *vector)
{
    const struct msi_message message = {
        .address = (uint64_t)vector->entry[ADDRESS_HIGH] << 32 | vector->entry[ADDRESS_LOW],
        .data = vector->entry[DATA],
        .requester = msix->function->requester,
    };
    bool pending = irq_take(&vector->irq);

    msix->wires.ops->connect_message(msix->wires.context, &vector->irq, &message);
    if (pending)
        irq_raise(&vector->irq);
}

static void update(struct msix *msix, struct msix_vector *vector)
{
    bool open = msix->enabled && !msix->function_masked && vector->entry[CONTROL] == 0;

    if (open == vector->connected)
        return;
    vector->connected = open;
    if (open)
        connect_vector(msix, vector);
    else
        msix->wires.ops->disconnect_message(msix->wires.context, &vector->irq);
}

static void follow_flags(struct msix *msix, const struct pci_function *function)
{
    uint32_t flags = pci_function_get(function, msix->capability + PCI_MSIX_FLAGS, 2);

    msix->function_masked = flags & PCI_MSIX_FLAGS_MASKALL;
    atomic_store(&msix->enabled, flags & PCI_MSIX_FLAGS_ENABLE);
    for (unsigned i = 0; i < msix->count; i++)
        update(msix, &msix->vectors[i]);
}

/* Messages that nobody will hear of are forgotten, not kept for the next driver. */
static void forget_pending(struct msix *msix)
{
    for (unsigned i = 0; i < msix->count; i++)
        irq_take(&msix->vectors[i].irq);
}

void msix_config_written(struct msix *msix, const struct pci_function *function, unsigned offset,
                         unsigned size)
{
    if (!pci_overlaps(offset, size, msix->capability + PCI_MSIX_FLAGS, 2))
        return;
    follow_flags(msix, function);
    if (!msix->enabled)
        forget_pending(msix);
}

/* --- table and pending bits --- */

static bool is_access(uint64_t offset, unsigned size)
{
    return (size == 4 || size == 8) && offset % size == 0;
}

/* The entry word at `offset`, and which one it is; NULL beyond the table. */
static uint32_t *word_at(const struct msix *msix, uint64_t offset, struct msix_vector **vector,
                         enum entry_word *word)
{
    if (offset / PCI_MSIX_ENTRY_SIZE >= msix->count)
        return NULL;
    *vector = &msix->vectors[offset / PCI_MSIX_ENTRY_SIZE];
    *word = (enum entry_word)(offset % PCI_MSIX_ENTRY_SIZE / 4);
    return &(*vector)->entry[*word];
}

void msix_read_table(const struct msix *msix, uint64_t offset, void *data, unsigned size)
{
    struct msix_vector *vector;
    enum entry_word word;

    memset(data, 0, size);
    if (!is_access(offset, size))
        return;
    for (unsigned at = 0; at < size; at += 4) {
        const uint32_t *value = word_at(msix, offset + at, &vector, &word);

        if (value)
            bus_set_value((uint8_t *)data + at, 4, *value);
    }
}

void msix_write_table(struct msix *msix, uint64_t offset, const void *data, unsigned size)
{
    struct msix_vector *vector;
    enum entry_word word;

    if (!is_access(offset, size))
        return;
    for (unsigned at = 0; at < size; at += 4) {
        uint32_t *value = word_at(msix, offset + at, &vector, &word);

        if (!value)
            return;
        *value = (uint32_t)bus_value((const uint8_t *)data + at, 4) & entry_bits[word];
        update(msix, vector);
    }
}

static bool is_pending(const struct msix_vector *vector)
{
    struct pollfd edges = {.fd = vector->irq.fd, .events = POLLIN};

    return !vector->connected && poll(&edges, 1, 0) > 0;
}

void msix_read_pending(const struct msix *msix, uint64_t offset, void *data, unsigned size)
{
    uint64_t bits = 0;

    if (is_access(offset, size))
        for (unsigned bit = 0; bit < 8 * size; bit++) {
            uint64_t vector = offset * 8 + bit;

            if (vector < msix->count && is_pending(&msix->vectors[vector]))
                bits |= UINT64_C(1) << bit;
        }
    bus_set_value(data, size, bits);
}

int msix_event(const struct msix *msix, unsigned vector)
{
    return vector < msix->count ? msix->vectors[vector].irq.fd : -1;
}

void msix_raise(struct msix *msix, unsigned vector)
{
    if (vector < msix->count && atomic_load(&msix->enabled))
        irq_raise(&msix->vectors[vector].irq);
}

/* --- snapshots --- */

void msix_save(const struct msix *msix, struct state_writer *writer)
{
    state_begin(writer, "msix", STATE_VERSION);
    for (unsigned i = 0; i < msix->count; i++) {
        for (unsigned word = 0; word < ENTRY_WORDS; word++)
            state_put_u32(writer, msix->vectors[i].entry[word]);
        state_put_u8(writer, is_pending(&msix->vectors[i]));
    }
    state_end(writer);
}

void msix_restore(struct msix *msix, const struct pci_function *function,
                  struct state_reader *reader)
{
    state_enter(reader, "msix", STATE_VERSION);
    for (unsigned i = 0; i < msix->count; i++) {
        struct msix_vector *vector = &msix->vectors[i];

        vector->entry[CONTROL] = PCI_MSIX_ENTRY_CTRL_MASKBIT;
        update(msix, vector); /* so that it is connected to what it has then */
        for (unsigned word = 0; word < ENTRY_WORDS; word++)
            vector->entry[word] = state_get_u32(reader) & entry_bits[word];
        if (state_get_u8(reader))
            irq_raise(&vector->irq);
    }
    state_leave(reader);
    follow_flags(msix, function);
}
