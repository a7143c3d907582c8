/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 16550A UART (National Semiconductor PC16550D data sheet) between eight byte-wide registers
 * and a console.
 *
 * THR is empty again when the write to it returns (devices/legacy/serial_line.h). Reception starts
 * when the guest raises RTS; without it, and in loopback, input stays with the host. There are no
 * line errors, no modem but one that is always ready, and no timing: the divisor is
 * stored only.
 */
#ifndef HUSK_DEVICES_LEGACY_UART16550_H
#define HUSK_DEVICES_LEGACY_UART16550_H

#include "core/bus.h"
#include "core/irq.h"
#include "core/state.h"
#include "devices/legacy/serial_line.h"

#include <stdbool.h>
#include <stdint.h>

#define UART16550_SIZE 8u /* bytes of the register block */

struct uart16550 {
    struct serial_line line; /* its lock guards everything below but the pointer */
    struct irq_line *irq;
    uint8_t interrupt_enable;
    uint8_t fifo_control;
    uint8_t line_control;
    uint8_t modem_control;
    uint8_t modem_delta; /* low half of MSR: changes since it was read */
    uint8_t scratch;
    uint8_t divisor_low;
    uint8_t divisor_high;
    bool overrun;          /* loopback only: the host's side is flow-controlled */
    bool transmit_pending; /* THR became empty and no IIR read has acknowledged that */
    uint8_t asserted;      /* enabled interrupt causes at the last look */
};

extern const struct bus_ops uart16550_ops;

/*
 * Puts the UART between `console` and `irq`, both borrowed, and attaches itself to the console.
 * Cannot fail. The state is that after reset.
 */
void uart16550_init(struct uart16550 *uart, struct console *console, struct irq_line *irq);
void uart16550_destroy(struct uart16550 *uart);

/* As the chip's MR pin; bytes that were received and not read are lost. */
void uart16550_reset(struct uart16550 *uart);

/* Call with all vCPUs stopped. Restore sets the reader to failed when the state makes no sense. */
void uart16550_save(struct uart16550 *uart, struct state_writer *writer);
void uart16550_restore(struct uart16550 *uart, struct state_reader *reader);

#endif
