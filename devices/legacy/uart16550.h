/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 16550A UART (National Semiconductor PC16550D data sheet) between eight byte-wide registers
 * and a console.
 *
 * Transmission takes no time: the vCPU that writes THR writes the byte to the host, waits there
 * if the reader is slow, and THR is empty again when the write returns. The lock is not held
 * meanwhile, so other vCPUs reach every register.
 *
 * Reception starts when the guest raises RTS. Without it (or in loopback), and while the queue
 * is full, input stays with the host, so that nothing is lost to a booting driver's self-tests.
 * There are no line errors, no modem but one that is always ready, and no timing: the divisor is
 * stored only.
 */
#ifndef HUSK_DEVICES_LEGACY_UART16550_H
#define HUSK_DEVICES_LEGACY_UART16550_H

#include "core/bus.h"
#include "core/irq.h"
#include "core/state.h"
#include "devices/console/console.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define UART16550_SIZE 8u /* bytes of the register block */

/* Larger than the chip's 16 bytes, which a guest cannot notice and which saves wake-ups. */
#define UART16550_QUEUE_SIZE 256u

struct uart16550 {
    pthread_mutex_t lock; /* guards everything below but the pointers */
    struct console *console;
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
    bool wants_input;      /* what the console was last told */
    uint16_t queue_head;
    uint16_t queue_used;
    uint8_t queue[UART16550_QUEUE_SIZE];
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
