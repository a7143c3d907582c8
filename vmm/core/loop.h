/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The I/O thread's event loop: epoll over sources, plus calls from other threads.
 *
 * Devices live on the loop: queues, backends and device state are touched by its thread only, and
 * so need no lock. A vCPU thread that must change a device (reset, activation) does it by
 * loop_call(), which runs the function on the loop's thread and waits for it. The loop never
 * waits for a vCPU, so this cannot deadlock.
 *
 * A wake-up costs microseconds, and its cause a system call of somebody else. So before the loop
 * waits it looks for work where that shows in memory (struct loop_poll), for a window of time that
 * adapts itself: it grows while work keeps coming soon after the loop has gone to wait, and closes
 * once the loop has waited for longer than the window can become. An idle loop polls nothing.
 */
#ifndef HUSK_CORE_LOOP_H
#define HUSK_CORE_LOOP_H

#include "core/err.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h> /* EPOLLIN and the like */

struct loop_source {
    int fd;
    /* `events` as epoll_wait gave them (EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP). */
    void (*ready)(struct loop_source *source, uint32_t events);
    uint32_t events; /* what the loop watches now; kept by loop_watch() */
};

/* Work that shows in memory: a ring that somebody else fills. */
struct loop_poll {
    /* Does what there is to do, without waiting; whether there was anything. */
    bool (*look)(struct loop_poll *poll);
    /*
     * The loop is about to wait, so from now on work must make a source ready. True: work came
     * meanwhile, for which no source may become ready. NULL: a source becomes ready anyway.
     */
    bool (*sleep)(struct loop_poll *poll);
    struct loop_poll *next; /* kept by the loop */
};

struct loop_call;

struct loop {
    int epoll_fd;
    struct loop_source wake;
    pthread_mutex_t lock;
    pthread_cond_t done;
    pthread_cond_t asked;    /* signalled for a thread that is held */
    struct loop_call *calls; /* waiting to be run, newest first */
    struct loop_poll *polls;
    uint64_t window;         /* ns, for which the loop looks at them before it waits */
    pthread_t thread;
    pthread_t self;          /* as the thread itself knows it; set before it runs anything */
    bool held; /* the thread's own: it serves calls alone */
    bool running; /* from loop_announce() or loop_start() to the end of the thread */
    bool stopping;
};

int loop_open(struct loop *loop, struct err *err);
void loop_close(struct loop *loop);

/*
 * Watches source->fd for `events` (0: stop watching). A source that has been watched must stay
 * valid until the loop has stopped. While the loop runs, other threads may begin to watch a source,
 * and the loop's own may do all. 0 or -errno; -EPERM means that the fd is a regular file,
 * which is always ready and cannot be watched.
 */
int loop_watch(struct loop *loop, struct loop_source *source, uint32_t events);

/*
 * Gives the source an eventfd of its own (non-blocking, in source->fd, to be closed by the owner)
 * and watches it: other threads, or the kernel, wake the loop by writing to it. It is watched
 * edge-triggered: each write, or several at once, makes the source ready, and nobody has to read
 * the count. `purpose` completes "cannot watch ..." in the error. On error source->fd is -1.
 */
int loop_watch_event(struct loop *loop, struct loop_source *source, const char *purpose,
                     struct err *err);

/* Looks at `poll` as well. On the loop's thread, or while no thread runs it. */
void loop_add_poll(struct loop *loop, struct loop_poll *poll);

/* No longer; harmless if it is not looked at. On the loop's thread, or while no thread runs it. */
void loop_remove_poll(struct loop *loop, struct loop_poll *poll);

/*
 * What the loop's thread does over and over: looks at the polls, waits up to `timeout` ms (-1: for
 * as long as it takes) if they had no work, and serves the sources that are ready. Returns how
 * many had work, all polls counted as one. For a test that is the loop's thread itself.
 */
unsigned loop_turn(struct loop *loop, int timeout);

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
 * Holds the loop, or lets it go on: while it is held its thread serves calls, and neither sources nor
 * polls, of which none is lost. In force when it returns. For a loop that is announced; not from
 * its own thread.
 */
void loop_hold(struct loop *loop, bool held);

/*
 * Runs function(argument) on the loop's thread and returns when it has run. Called on the loop's
 * own thread, or while no thread runs the loop, it is a plain call.
 */
void loop_call(struct loop *loop, void (*function)(void *argument), void *argument);

#endif
