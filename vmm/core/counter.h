/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters that cost nothing: each is written by one thread, with plain loads and stores, and may
 * be read by any other at any time. What is read may lag behind, and is never torn.
 */
#ifndef HUSK_CORE_COUNTER_H
#define HUSK_CORE_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

struct counter {
    _Atomic uint64_t value;
};

/* By the thread that owns it. */
static inline void counter_add(struct counter *counter, uint64_t count)
{
    uint64_t value = atomic_load_explicit(&counter->value, memory_order_relaxed);

    atomic_store_explicit(&counter->value, value + count, memory_order_relaxed);
}

static inline uint64_t counter_read(const struct counter *counter)
{
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

/* Who takes counters by name, one call each; `name` is a key of JSON ("requests_read"). */
struct counter_sink {
    void (*take)(void *context, const char *name, uint64_t value);
    void *context;
};

static inline void counter_give(const struct counter_sink *sink, const char *name,
                                const struct counter *counter)
{
    sink->take(sink->context, name, counter_read(counter));
}

#endif
