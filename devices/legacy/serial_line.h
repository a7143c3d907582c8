/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every UART does with the host: its lock, a queue of received bytes that the host fills while
 * the guest wants it, and bytes out.
 *
 * Transmission takes no time: the vCPU that sends writes the byte to the host and waits there if
 * the reader is slow. The lock is not held meanwhile, so other vCPUs reach every register.
 *
 * While the guest is not ready, and while the queue is full, input stays with the host, so that
 * nothing is lost to a booting driver's self-tests.
 */
#ifndef HUSK_DEVICES_LEGACY_SERIAL_LINE_H
#define HUSK_DEVICES_LEGACY_SERIAL_LINE_H

#include "core/state.h"
#include "devices/console/console.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Larger than any chip's FIFO, which a guest cannot notice and which saves wake-ups. */
#define SERIAL_LINE_QUEUE_SIZE 256u

/* Both are called under the lock. */
struct serial_line_ops {
    bool (*ready)(const void *uart); /* its receiver is on, and somebody will hear of bytes */
    void (*received)(void *uart);    /* bytes came; on the loop's thread */
};

struct serial_line {
    pthread_mutex_t lock; /* guards what follows, and the UART's registers */
    struct console *console;
    const struct serial_line_ops *ops;
    void *uart;
    bool wants_input; /* what the console was last told */
    uint16_t head;
    uint16_t used;
    uint8_t queue[SERIAL_LINE_QUEUE_SIZE];
};

/* Attaches to `console`, which is borrowed. Cannot fail. */
void serial_line_init(struct serial_line *line, struct console *console,
                      const struct serial_line_ops *ops, void *uart);
void serial_line_destroy(struct serial_line *line);

/* A vCPU's access to the UART lies between these two. The second tells the console of changes. */
void serial_line_begin(struct serial_line *line);
void serial_line_finish(struct serial_line *line);

/* What follows is called under the lock. */

/* The oldest received byte, which is gone then; 0 when there is none. */
uint8_t serial_line_pop(struct serial_line *line);
/* A byte from the UART itself (loopback); false when the queue is full. */
bool serial_line_push(struct serial_line *line, uint8_t byte);
void serial_line_clear(struct serial_line *line);

/* Sends one byte to the host, during which the lock is not held. */
void serial_line_send(struct serial_line *line, uint8_t byte);

/* The queue alone. Restore sets the reader to failed when the state makes no sense. */
void serial_line_save(const struct serial_line *line, struct state_writer *writer);
void serial_line_restore(struct serial_line *line, struct state_reader *reader);

#endif
