/* SPDX-License-Identifier: Apache-2.0 */
#include "core/timer.h"
#include "core/timing.h"
#include "support/failure.h"
#include "support/pump.h"

#include <errno.h>
#include <sys/resource.h>

#define MILLISECOND UINT64_C(1000000)

struct fixture {
    struct loop loop;
    struct timer timer;
    unsigned expired;
    uint64_t expired_at;
};

static void note(void *context)
{
    struct fixture *f = context;

    f->expired++;
    f->expired_at = timing_now();
}

static int open_fixture(void **state)
{
    static struct fixture f;

    f.expired = 0;
    assert_int_equal(loop_open(&f.loop, NULL), 0);
    assert_int_equal(timer_open(&f.timer, &f.loop, note, &f, NULL), 0);
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;

    timer_close(&f->timer);
    timer_close(&f->timer);
    loop_close(&f->loop);
    return 0;
}

static void it_expires_once_and_not_before(void **state)
{
    struct fixture *f = *state;
    uint64_t at = timing_now() + 5 * MILLISECOND;

    assert_int_equal(pump(&f->loop, 0), 0);
    timer_arm(&f->timer, at);
    assert_int_equal(pump(&f->loop, PUMP_PATIENCE_MS), 1);
    assert_int_equal(f->expired, 1);
    assert_true(f->expired_at >= at);
    assert_int_equal(pump(&f->loop, 20), 0);
}

static void what_is_past_expires_at_once(void **state)
{
    struct fixture *f = *state;

    timer_arm(&f->timer, 0);
    assert_int_equal(pump(&f->loop, PUMP_PATIENCE_MS), 1);
    timer_arm(&f->timer, timing_now() - MILLISECOND);
    assert_int_equal(pump(&f->loop, PUMP_PATIENCE_MS), 1);
    assert_int_equal(f->expired, 2);
}

static void the_last_time_counts(void **state)
{
    struct fixture *f = *state;

    timer_arm(&f->timer, timing_now() + 3600000 * MILLISECOND);
    timer_arm(&f->timer, timing_now() + MILLISECOND);
    assert_int_equal(pump(&f->loop, PUMP_PATIENCE_MS), 1);
    assert_int_equal(f->expired, 1);
}

static void a_disarmed_timer_stays_silent(void **state)
{
    struct fixture *f = *state;

    timer_arm(&f->timer, timing_now());
    timer_disarm(&f->timer);
    f->timer.source.ready(&f->timer.source, EPOLLIN); /* the loop had seen it already */
    assert_int_equal(pump(&f->loop, 20), 0);
    assert_int_equal(f->expired, 0);
}

static void says_when_there_are_no_descriptors_left(void **state)
{
    struct fixture *f = *state;
    struct rlimit limit, none;
    struct timer timer;
    struct err err = {0};

    getrlimit(RLIMIT_NOFILE, &limit);
    none = (struct rlimit){0, limit.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    assert_failure(timer_open(&timer, &f->loop, note, f, &err), -EMFILE, &err, "timer");
    setrlimit(RLIMIT_NOFILE, &limit);
    timer_close(&timer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_expires_once_and_not_before),
        TEST(what_is_past_expires_at_once),
        TEST(the_last_time_counts),
        TEST(a_disarmed_timer_stays_silent),
        TEST(says_when_there_are_no_descriptors_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
