/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The I/O thread's event loop: epoll over sources, plus calls from other threads.
 *
 * Devices live on the loop: queues, backends and device state are touched by its thread only, and
 * so need no lock. A vCPU thread that must change a device (reset, activation) does it by
 * loop_call(), which runs the function on the loop's thread and waits for it. The loop never
 * waits for a vCPU, so this cannot deadlock.
 */
#ifndef HUSK_CORE_LOOP_H
#define HUSK_CORE_LOOP_H

#include "core/err.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct loop_source {
    int fd;
    /* `events` as epoll_wait gave them (EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP). */
    void (*ready)(struct loop_source *source, uint32_t events);
    uint32_t events; /* what the loop watches now; kept by loop_watch() */
};

struct loop_call;

struct loop {
    int epoll_fd;
    struct loop_source wake;
    pthread_mutex_t lock;
    pthread_cond_t done;
    struct loop_call *calls; /* waiting to be run, newest first */
    pthread_t thread;
    pthread_t self;          /* as the thread itself knows it; set before it runs anything */
    bool running; /* from loop_announce() or loop_start() to the end of the thread */
    bool stopping;
};

int loop_open(struct loop *loop, struct err *err);
void loop_close(struct loop *loop);

/*
 * Watches source->fd for `events` (0: stop watching). A source that has been watched must stay
 * valid until the loop has stopped. 0 or -errno; -EPERM means that the fd is a regular file,
 * which is always ready and cannot be watched.
 */
int loop_watch(struct loop *loop, struct loop_source *source, uint32_t events);

/*
 * From now on calls of other threads wait for the thread that loop_start() will start. For an owner
 * that has something more urgent to start in between.
 */
void loop_announce(struct loop *loop);

/*
 * Serves events and calls on a new thread until loop_stop(). All signals are blocked in it. If it
 * cannot be started, calls that wait are served by the calling thread, and the loop is as before.
 */
int loop_start(struct loop *loop, struct err *err);

/* Serves what has been asked for, then ends the thread and waits for it. Not from the loop. */
void loop_stop(struct loop *loop);

/*
 * Runs function(argument) on the loop's thread and returns when it has run. Called on the loop's
 * own thread, or while no thread runs the loop, it is a plain call.
 */
void loop_call(struct loop *loop, void (*function)(void *argument), void *argument);

#endif
