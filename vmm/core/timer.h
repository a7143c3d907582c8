/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A time at which a loop shall do something: a timerfd among its sources. For what happens seldom,
 * as when a limited queue may go on; arming is a system call.
 */
#ifndef HUSK_CORE_TIMER_H
#define HUSK_CORE_TIMER_H

#include "core/err.h"
#include "core/loop.h"

#include <stdint.h>

#define TIMER_CLOSED {.source.fd = -1}

struct timer {
    struct loop_source source;
    void (*expired)(void *context); /* on the loop's thread; may arm it again */
    void *context;
};

/* The timer is not armed. On error it is as TIMER_CLOSED. */
int timer_open(struct timer *timer, struct loop *loop, void (*expired)(void *context),
               void *context, struct err *err);

/* When no loop runs that it was opened for; harmless on a closed one. */
void timer_close(struct timer *timer);

/* Expires once at `at` (CLOCK_MONOTONIC ns; at once if that is past), replacing an earlier time. */
void timer_arm(struct timer *timer, uint64_t at);

/* It expires no more, even if its time has just come. On the loop's thread. */
void timer_disarm(struct timer *timer);

#endif
