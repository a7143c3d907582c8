/* SPDX-License-Identifier: Apache-2.0 */
#include "core/loop.h"

#include "core/thread.h"
#include "core/timing.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS_A_WAIT 16
#define LOOP_STACK_SIZE ((size_t)512 << 10)

/* What the window opens with, how far it grows, and for how long no source is asked at most. */
#define WINDOW_MIN 4000u
#define WINDOW_MAX 32000u
#define UNWATCHED_MAX 64000u

/* Lives on the stack of the thread that waits for it. */
struct loop_call {
    struct loop_call *next;
    void (*function)(void *argument);
    void *argument;
    bool done;
};

/* Its work is that epoll_wait() returned. */
static void woken(struct loop_source *source, uint32_t events)
{
    (void)source;
    (void)events;
}

int loop_open(struct loop *loop, struct err *err)
{
    int rc;

    *loop = (struct loop){.epoll_fd = -1, .wake = {.fd = -1, .ready = woken}};
    pthread_mutex_init(&loop->lock, NULL);
    pthread_cond_init(&loop->done, NULL);
    pthread_cond_init(&loop->asked, NULL);
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    rc = loop->epoll_fd < 0 ? err_sys(err, -errno, "cannot make an event loop")
                            : loop_watch_event(loop, &loop->wake, "the loop's wake-up", err);
    if (rc)
        loop_close(loop);
    return rc;
}

void loop_close(struct loop *loop)
{
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    if (loop->wake.fd >= 0)
        close(loop->wake.fd);
    loop->epoll_fd = loop->wake.fd = -1;
    pthread_cond_destroy(&loop->asked);
    pthread_cond_destroy(&loop->done);
    pthread_mutex_destroy(&loop->lock);
}

int loop_watch(struct loop *loop, struct loop_source *source, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    uint32_t before = source->events;
    int operation = EPOLL_CTL_MOD;

    if (events == before)
        return 0;
    if (before == 0)
        operation = EPOLL_CTL_ADD;
    else if (events == 0)
        operation = EPOLL_CTL_DEL;
    source->events = events; /* first, for the loop may be there before epoll_ctl() returns */
    if (epoll_ctl(loop->epoll_fd, operation, source->fd, &event) == 0)
        return 0;
    source->events = before;
    return -errno;
}

int loop_watch_event(struct loop *loop, struct loop_source *source, const char *purpose,
                     struct err *err)
{
    int rc;

    source->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    rc = source->fd < 0 ? -errno : loop_watch(loop, source, EPOLLIN | EPOLLET);
    if (rc == 0)
        return 0;
    if (source->fd >= 0)
        close(source->fd);
    source->fd = -1;
    return err_sys(err, rc, "cannot watch %s", purpose);
}

void loop_add_poll(struct loop *loop, struct loop_poll *poll)
{
    poll->next = loop->polls;
    loop->polls = poll;
}

void loop_remove_poll(struct loop *loop, struct loop_poll *poll)
{
    for (struct loop_poll **link = &loop->polls; *link; link = &(*link)->next) {
        if (*link == poll) {
            *link = poll->next;
            return;
        }
    }
}

static bool look_at_all(const struct loop *loop)
{
    bool worked = false;

    for (struct loop_poll *poll = loop->polls, *next; poll; poll = next) {
        next = poll->next; /* it may remove itself */
        worked |= poll->look(poll);
    }
    return worked;
}

/* Looks for work until none has come for the window's length, since `idle_since`; false if so. */
static bool look_around(const struct loop *loop, uint64_t *idle_since)
{
    uint64_t begun = timing_now(), now;
    bool worked;

    *idle_since = begun;
    do {
        worked = look_at_all(loop);
        now = timing_now();
        if (worked)
            *idle_since = now;
        if (now - begun > UNWATCHED_MAX)
            return true;
    } while (now - *idle_since < loop->window);
    return worked;
}

/* True if the loop must not wait after all. */
static bool refuse_sleep(const struct loop *loop)
{
    bool refuse = false;

    for (struct loop_poll *poll = loop->polls; poll; poll = poll->next)
        refuse |= poll->sleep && poll->sleep(poll);
    return refuse;
}

/* `idle` is how long the loop had nothing to do: would a longer window have spared the wait? */
static void adapt_window(struct loop *loop, uint64_t idle)
{
    if (idle > WINDOW_MAX)
        loop->window = 0;
    else if (idle > loop->window)
        loop->window = loop->window ? 2 * loop->window : WINDOW_MIN;
    if (loop->window > WINDOW_MAX)
        loop->window = WINDOW_MAX;
}

unsigned loop_turn(struct loop *loop, int timeout)
{
    struct epoll_event events[EVENTS_A_WAIT];
    uint64_t idle_since = 0;
    bool worked = loop->polls && (look_around(loop, &idle_since) || refuse_sleep(loop));
    bool waits = timeout != 0 && !worked;
    int count = epoll_wait(loop->epoll_fd, events, EVENTS_A_WAIT, waits ? timeout : 0);

    if (loop->polls && waits)
        adapt_window(loop, timing_now() - idle_since);
    for (int i = 0; i < count; i++) {
        struct loop_source *source = events[i].data.ptr;

        /* An earlier handler of this batch may have stopped watching it. */
        if (source->events)
            source->ready(source, events[i].events);
    }
    return worked + (count > 0 ? (unsigned)count : 0);
}

/* Runs what other threads asked for, oldest first. */
static void run_calls(struct loop *loop)
{
    struct loop_call *calls, *ordered = NULL;

    pthread_mutex_lock(&loop->lock);
    calls = loop->calls;
    loop->calls = NULL;
    pthread_mutex_unlock(&loop->lock);

    while (calls) {
        struct loop_call *next = calls->next;

        calls->next = ordered;
        ordered = calls;
        calls = next;
    }
    while (ordered) {
        struct loop_call *call = ordered;

        ordered = call->next;
        call->function(call->argument);
        pthread_mutex_lock(&loop->lock);
        call->done = true; /* from here on `call` belongs to its owner's stack again */
        pthread_cond_broadcast(&loop->done);
        pthread_mutex_unlock(&loop->lock);
    }
}

/* The end of the loop, seen under the lock so that no call can slip in behind it unserved. */
static bool should_end(struct loop *loop)
{
    bool end;

    pthread_mutex_lock(&loop->lock);
    end = loop->stopping && !loop->calls;
    if (end)
        loop->running = false;
    pthread_mutex_unlock(&loop->lock);
    return end;
}

/* What a held loop does instead of a turn: waits until it is asked for something. */
static void await_call(struct loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    while (!loop->calls && !loop->stopping)
        pthread_cond_wait(&loop->asked, &loop->lock);
    pthread_mutex_unlock(&loop->lock);
}

static void *serve(void *argument)
{
    struct loop *loop = argument;

    pthread_setname_np(pthread_self(), "io");
    pthread_mutex_lock(&loop->lock);
    loop->self = pthread_self();
    pthread_mutex_unlock(&loop->lock);

    while (!should_end(loop)) {
        if (loop->held)
            await_call(loop);
        else
            loop_turn(loop, -1);
        run_calls(loop);
    }
    return NULL;
}

static void set_running(struct loop *loop, bool running)
{
    pthread_mutex_lock(&loop->lock);
    loop->running = running;
    loop->stopping = false;
    pthread_mutex_unlock(&loop->lock);
}

void loop_announce(struct loop *loop)
{
    set_running(loop, true);
}

int loop_start(struct loop *loop, struct err *err)
{
    int rc;

    set_running(loop, true);
    rc = thread_start(&loop->thread, LOOP_STACK_SIZE, serve, loop);
    if (rc) {
        set_running(loop, false);
        run_calls(loop);
        return err_sys(err, rc, "cannot start the I/O thread");
    }
    return 0;
}

void loop_stop(struct loop *loop)
{
    bool started;

    pthread_mutex_lock(&loop->lock);
    started = loop->running;
    loop->stopping = true;
    pthread_cond_signal(&loop->asked);
    pthread_mutex_unlock(&loop->lock);
    eventfd_write(loop->wake.fd, 1);
    if (started)
        pthread_join(loop->thread, NULL);
}

void loop_call(struct loop *loop, void (*function)(void *argument), void *argument)
{
    struct loop_call call = {.function = function, .argument = argument};

    pthread_mutex_lock(&loop->lock);
    if (!loop->running || pthread_equal(loop->self, pthread_self())) {
        pthread_mutex_unlock(&loop->lock);
        function(argument);
        return;
    }
    call.next = loop->calls;
    loop->calls = &call;
    pthread_cond_signal(&loop->asked);
    eventfd_write(loop->wake.fd, 1);
    while (!call.done)
        pthread_cond_wait(&loop->done, &loop->lock);
    pthread_mutex_unlock(&loop->lock);
}

static void hold_on_loop(void *argument)
{
    ((struct loop *)argument)->held = true;
}

static void let_go_on_loop(void *argument)
{
    ((struct loop *)argument)->held = false;
}

void loop_hold(struct loop *loop, bool held)
{
    loop_call(loop, held ? hold_on_loop : let_go_on_loop, loop);
}
