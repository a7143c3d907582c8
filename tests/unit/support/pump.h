/* SPDX-License-Identifier: Apache-2.0 */
/* Serves a loop's sources on the test's own thread, step by step. */
#ifndef HUSK_TESTS_PUMP_H
#define HUSK_TESTS_PUMP_H

#include "core/loop.h"

#define PUMP_PATIENCE_MS 5000 /* for what must happen */

/* Waits up to `patience` ms for sources to be ready and calls them once: how many there were. */
static inline int pump(struct loop *loop, int patience)
{
    return (int)loop_turn(loop, patience);
}

/*
 * Waits until there was work, at most for PUMP_PATIENCE_MS; false if there was none. io_uring
 * interrupts waits, some for nothing.
 */
static inline bool pump_some(struct loop *loop)
{
    for (unsigned interrupted = 0; interrupted < 100; interrupted++)
        if (pump(loop, PUMP_PATIENCE_MS / 100) > 0)
            return true;
    return false;
}

#endif
