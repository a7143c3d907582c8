/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PL011 UART (Arm DDI 0183) between a page of registers and a console.
 *
 * The transmit FIFO is empty again when a write to DR returns (devices/legacy/serial_line.h).
 * Reception starts when the receiver is on and the guest has unmasked one of its interrupts: Linux
 * throws away what the FIFO holds before that. A receive interrupt stays asserted as long as there
 * are bytes, whatever ICR says. There are no line errors, no modem but one that is always ready, no
 * DMA, and no timing: the divisors are stored only.
 */
#ifndef HUSK_DEVICES_LEGACY_PL011_H
#define HUSK_DEVICES_LEGACY_PL011_H

#include "core/bus.h"
#include "core/irq.h"
#include "core/state.h"
#include "devices/legacy/primecell.h"
#include "devices/legacy/serial_line.h"

#include <stdbool.h>
#include <stdint.h>

#define PL011_SIZE PRIMECELL_SIZE

struct pl011 {
    struct serial_line line; /* its lock guards everything below but the pointer */
    struct irq_line *irq;
    uint32_t integer_divisor;
    uint32_t fraction_divisor;
    uint32_t line_control;
    uint32_t control;
    uint32_t fifo_levels;
    uint32_t interrupt_mask; /* IMSC: the interrupts that are let through */
    bool transmit_pending;   /* the transmit FIFO became empty, and ICR has not acknowledged that */
    uint32_t asserted;       /* masked interrupts at the last look */
};

extern const struct bus_ops pl011_ops;

/* As uart16550_init(). */
void pl011_init(struct pl011 *uart, struct console *console, struct irq_line *irq);
void pl011_destroy(struct pl011 *uart);

/* As the chip's nUARTRST pin; bytes that were received and not read are lost. */
void pl011_reset(struct pl011 *uart);

/* Call with all vCPUs stopped. Restore sets the reader to failed when the state makes no sense. */
void pl011_save(struct pl011 *uart, struct state_writer *writer);
void pl011_restore(struct pl011 *uart, struct state_reader *reader);

#endif
