/* SPDX-License-Identifier: Apache-2.0 */
#include "core/rate.h"

#define SECOND UINT64_C(1000000000)

typedef unsigned __int128 wide;

/* Units earned since the clock's zero. Positions are compared in their lower half, and may wrap. */
static wide earned_by(const struct rate *rate, uint64_t now)
{
    return (wide)now * rate->per_second / SECOND;
}

/* a - b of two positions that are not far apart. */
static int64_t distance(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b);
}

void rate_init(struct rate *rate, uint64_t per_second, uint64_t burst, uint64_t now)
{
    if (burst == 0)
        burst = per_second / 10 > 0 ? per_second / 10 : 1;
    rate->per_second = per_second;
    rate->burst = burst;
    atomic_init(&rate->spent, (uint64_t)earned_by(rate, now) - burst);
}

bool rate_take(struct rate *rate, uint64_t units, uint64_t now)
{
    uint64_t earned, fullest, spent, from;

    if (rate->per_second == 0)
        return true;
    earned = (uint64_t)earned_by(rate, now);
    fullest = earned - rate->burst;
    spent = atomic_load_explicit(&rate->spent, memory_order_relaxed);
    do {
        from = distance(spent, fullest) > 0 ? spent : fullest;
        if (distance(earned, from) <= 0)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&rate->spent, &spent, from + units,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

void rate_owe(struct rate *rate, uint64_t units)
{
    if (rate->per_second)
        atomic_fetch_add_explicit(&rate->spent, units, memory_order_relaxed);
}

void rate_give_back(struct rate *rate, uint64_t units)
{
    if (rate->per_second)
        atomic_fetch_sub_explicit(&rate->spent, units, memory_order_relaxed);
}

uint64_t rate_next(const struct rate *rate, uint64_t now)
{
    uint64_t spent = atomic_load_explicit(&rate->spent, memory_order_relaxed);
    wide earned = earned_by(rate, now);
    int64_t debt = distance(spent, (uint64_t)earned);

    if (rate->per_second == 0 || debt < 0)
        return now;
    return (uint64_t)(((earned + (uint64_t)debt + 1) * SECOND + rate->per_second - 1) /
                      rate->per_second);
}

bool rate_pair_take(struct rate_pair *pair, uint64_t bytes, uint64_t now)
{
    if (!rate_take(&pair->operations, 1, now))
        return false;
    if (rate_take(&pair->bytes, bytes, now))
        return true;
    rate_give_back(&pair->operations, 1);
    return false;
}

uint64_t rate_pair_next(const struct rate_pair *pair, uint64_t now)
{
    uint64_t bytes = rate_next(&pair->bytes, now);
    uint64_t operations = rate_next(&pair->operations, now);

    return bytes > operations ? bytes : operations;
}
