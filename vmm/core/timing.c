/* SPDX-License-Identifier: Apache-2.0 */
#include "core/timing.h"

#include <time.h>

uint64_t timing_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void timing_mark(struct timing *timing, enum timing_phase phase)
{
    uint64_t unset = 0;

    if (atomic_load_explicit(&timing->at[phase], memory_order_relaxed) == 0)
        atomic_compare_exchange_strong(&timing->at[phase], &unset, timing_now());
}
