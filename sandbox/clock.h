/* SPDX-License-Identifier: Apache-2.0 */
/* The clock of deadlines, in the unit of poll(2). */
#ifndef HUSK_SANDBOX_CLOCK_H
#define HUSK_SANDBOX_CLOCK_H

#include "core/timing.h"

/* CLOCK_MONOTONIC in milliseconds. */
static inline int64_t clock_ms(void)
{
    return (int64_t)(timing_now() / 1000000);
}

#endif
