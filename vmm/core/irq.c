/* SPDX-License-Identifier: Apache-2.0 */
#include "core/irq.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

int irq_open(struct irq_line *irq, uint32_t gsi, struct err *err)
{
    irq->gsi = gsi;
    irq->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (irq->fd < 0)
        return err_sys(err, -errno, "cannot make an eventfd for gsi %u", gsi);
    return 0;
}

void irq_close(struct irq_line *irq)
{
    if (irq->fd >= 0)
        close(irq->fd);
    irq->fd = -1;
}

void irq_raise(struct irq_line *irq)
{
    /* EAGAIN: the counter is full of edges that nobody took, so one more changes nothing. */
    eventfd_write(irq->fd, 1);
}

bool irq_take(struct irq_line *irq)
{
    eventfd_t edges;

    return eventfd_read(irq->fd, &edges) == 0;
}
