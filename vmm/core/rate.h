/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rate limits as token buckets: so many units a second, and a burst that may pass at once after
 * idle time. Disks and networks count bytes and operations with it.
 *
 * A bucket is one position on an endless line of units. `earned` grows with time alone, computed
 * from it anew each time and so without drift; `spent` grows with what is taken, and is never
 * further behind than the burst. What lies between them may be taken:
 *
 *           |<-------- burst -------->|
 *     ------+---------------+---------+------> units
 *                         spent     earned
 *
 * Who finds the bucket not empty passes whole and may leave a debt, which later takers wait for.
 * So requests larger than the burst pass too, and none is starved by smaller ones; in any time t,
 * at most burst + t * per_second units and one request more pass.
 *
 * Any number of threads share a bucket without a lock. Time is the caller's, so that tests have
 * their own; it is CLOCK_MONOTONIC's nanoseconds otherwise (core/timing.h).
 */
#ifndef HUSK_CORE_RATE_H
#define HUSK_CORE_RATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Past it, positions could wrap within years. */
#define RATE_MAX (UINT64_C(1) << 36) /* units a second, and units of burst */

struct rate {
    uint64_t per_second; /* 0: everything passes */
    uint64_t burst;
    _Atomic uint64_t spent;
};

/*
 * A full bucket. `per_second` and `burst` are at most RATE_MAX; a burst of 0 stands for a tenth of
 * a second's units. While nobody takes.
 */
void rate_init(struct rate *rate, uint64_t per_second, uint64_t burst, uint64_t now);

/* Takes `units` (at most 2^62) if the bucket is not empty. */
bool rate_take(struct rate *rate, uint64_t units, uint64_t now);

/* Takes units that rate_take() did not know of, and that are spent in any case. */
void rate_owe(struct rate *rate, uint64_t units);

/* Puts back what was taken and is not used after all. */
void rate_give_back(struct rate *rate, uint64_t units);

/* The first time at which rate_take() finds something, if nobody else takes: `now` or later. */
uint64_t rate_next(const struct rate *rate, uint64_t now);

/* What limits a disk or one direction of a network. */
struct rate_pair {
    struct rate bytes;
    struct rate operations;
};

static inline bool rate_pair_limits(const struct rate_pair *pair)
{
    return pair->bytes.per_second || pair->operations.per_second;
}

/* Takes one operation of so many bytes, from both buckets or from none. */
bool rate_pair_take(struct rate_pair *pair, uint64_t bytes, uint64_t now);

/* When rate_pair_take() can next succeed. */
uint64_t rate_pair_next(const struct rate_pair *pair, uint64_t now);

#endif
