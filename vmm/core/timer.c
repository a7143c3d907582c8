/* SPDX-License-Identifier: Apache-2.0 */
#include "core/timer.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)

/* A timer that was armed anew or disarmed since the loop saw it is not readable any more. */
static void ready(struct loop_source *source, uint32_t events)
{
    struct timer *timer = (struct timer *)source; /* its first member */
    uint64_t expirations;

    (void)events;
    if (read(source->fd, &expirations, sizeof expirations) == (ssize_t)sizeof expirations)
        timer->expired(timer->context);
}

int timer_open(struct timer *timer, struct loop *loop, void (*expired)(void *context),
               void *context, struct err *err)
{
    int rc;

    *timer = (struct timer){.source.ready = ready, .expired = expired, .context = context};
    timer->source.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    rc = timer->source.fd < 0 ? -errno : loop_watch(loop, &timer->source, EPOLLIN);
    if (rc) {
        timer_close(timer);
        return err_sys(err, rc, "cannot make a timer");
    }
    return 0;
}

void timer_close(struct timer *timer)
{
    if (timer->source.fd >= 0)
        close(timer->source.fd);
    timer->source.fd = -1;
}

static void set(struct timer *timer, uint64_t at)
{
    const struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(at / SECOND), .tv_nsec = (long)(at % SECOND)},
    };

    timerfd_settime(timer->source.fd, TFD_TIMER_ABSTIME, &when, NULL);
}

void timer_arm(struct timer *timer, uint64_t at)
{
    set(timer, at > 0 ? at : 1); /* zero would disarm it */
}

void timer_disarm(struct timer *timer)
{
    set(timer, 0);
}
