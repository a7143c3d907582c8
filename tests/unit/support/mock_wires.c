/* SPDX-License-Identifier: Apache-2.0 */
#include "support/mock_wires.h"

#include <stdlib.h>

static void must(bool condition)
{
    if (!condition)
        abort();
}

static void connect_message(void *context, const struct irq_line *irq,
                            const struct msi_message *message)
{
    struct mock_wires *mock = context;

    must(irq->gsi < MOCK_WIRES_MAX && !mock->lines[irq->gsi].connected);
    mock->lines[irq->gsi].connected = true;
    mock->lines[irq->gsi].message = *message;
    mock->changes++;
}

static void disconnect_message(void *context, const struct irq_line *irq)
{
    struct mock_wires *mock = context;

    must(mock->lines[irq->gsi].connected);
    mock->lines[irq->gsi].connected = false;
    mock->changes++;
}

static void connect_doorbell(void *context, uint64_t address, int fd)
{
    struct mock_wires *mock = context;

    must(mock->doorbell_count < MOCK_WIRES_MAX);
    mock->doorbells[mock->doorbell_count].address = address;
    mock->doorbells[mock->doorbell_count++].fd = fd;
    mock->changes++;
}

static void disconnect_doorbell(void *context, uint64_t address, int fd)
{
    struct mock_wires *mock = context;
    unsigned i = 0;

    while (i < mock->doorbell_count &&
           (mock->doorbells[i].address != address || mock->doorbells[i].fd != fd))
        i++;
    must(i < mock->doorbell_count);
    mock->doorbells[i] = mock->doorbells[--mock->doorbell_count];
    mock->changes++;
}

struct wires mock_wires(struct mock_wires *mock)
{
    static const struct wires_ops ops = {connect_message, disconnect_message, connect_doorbell,
                                         disconnect_doorbell};

    return (struct wires){&ops, mock};
}

int mock_doorbell(const struct mock_wires *mock, uint64_t address)
{
    for (unsigned i = 0; i < mock->doorbell_count; i++)
        if (mock->doorbells[i].address == address)
            return mock->doorbells[i].fd;
    return -1;
}
