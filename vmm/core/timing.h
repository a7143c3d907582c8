/* SPDX-License-Identifier: Apache-2.0 */
/* When a machine reached each phase of its start. Marks are set once, from any thread. */
#ifndef HUSK_CORE_TIMING_H
#define HUSK_CORE_TIMING_H

#include <stdatomic.h>
#include <stdint.h>

enum timing_phase {
    TIMING_CREATE,     /* creation began */
    TIMING_CREATED,    /* the machine is built */
    TIMING_FIRST_RUN,  /* the first vCPU enters the guest for the first time */
    TIMING_FIRST_ACCESS, /* the guest's first access to a device: code of the guest has run */
    TIMING_USERSPACE,  /* the guest said so through the timing port */
    TIMING_STOPPED,    /* the guest runs no more */
    TIMING_PHASES
};

struct timing {
    _Atomic uint64_t at[TIMING_PHASES]; /* CLOCK_MONOTONIC ns; 0: not reached */
};

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t timing_now(void);

/* Records the first time only. */
void timing_mark(struct timing *timing, enum timing_phase phase);

#endif
