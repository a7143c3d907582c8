/* SPDX-License-Identifier: Apache-2.0 */
/* Serves a loop's sources on the test's own thread, step by step. */
#ifndef HUSK_TESTS_PUMP_H
#define HUSK_TESTS_PUMP_H

#include "core/loop.h"

#include <sys/epoll.h>

#define PUMP_PATIENCE_MS 5000 /* for what must happen */

/* Waits up to `patience` ms for sources to be ready and calls them once: how many there were. */
static inline int pump(struct loop *loop, int patience)
{
    struct epoll_event events[16];
    int count = epoll_wait(loop->epoll_fd, events, 16, patience);

    for (int i = 0; i < count; i++) {
        struct loop_source *source = events[i].data.ptr;

        if (source->events)
            source->ready(source, events[i].events);
    }
    return count;
}

#endif
