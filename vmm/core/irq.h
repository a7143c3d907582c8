/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device's interrupt output: an eventfd that KVM turns into an edge on a gsi (irqfd).
 * The device knows only "raise"; in a test the eventfd is read back instead.
 */
#ifndef HUSK_CORE_IRQ_H
#define HUSK_CORE_IRQ_H

#include "core/err.h"

#include <stdbool.h>
#include <stdint.h>

struct irq_line {
    int fd; /* eventfd, non-blocking; -1 while closed */
    uint32_t gsi;
};

/* Makes the eventfd; connecting it to a virtual machine is vm_connect_irq() in core/kvm.h. */
int irq_open(struct irq_line *irq, uint32_t gsi, struct err *err);
void irq_close(struct irq_line *irq);

/* One edge. Never blocks; safe from any thread. */
void irq_raise(struct irq_line *irq);

/* Takes back edges that nobody consumed; true if there were any. For tests and resets. */
bool irq_take(struct irq_line *irq);

#endif
