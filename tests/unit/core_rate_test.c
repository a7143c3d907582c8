/* SPDX-License-Identifier: Apache-2.0 */
/* Token buckets in a time of the test's own. */
#include "core/rate.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)
#define START (1234567 * SECOND + 89)

static void no_limit_takes_everything(void **state)
{
    struct rate rate;

    (void)state;
    rate_init(&rate, 0, 0, START);
    for (unsigned i = 0; i < 1000; i++)
        assert_true(rate_take(&rate, UINT64_C(1) << 62, START));
    assert_int_equal(rate_next(&rate, START), START);
}

static void a_burst_passes_at_once_and_no_more(void **state)
{
    struct rate rate;

    (void)state;
    rate_init(&rate, 1000, 50, START);
    for (unsigned i = 0; i < 50; i++)
        assert_true(rate_take(&rate, 1, START));
    assert_false(rate_take(&rate, 1, START));
    assert_false(rate_take(&rate, 1, START + SECOND / 1000 - 90)); /* a unit is 1 ms */
    assert_true(rate_take(&rate, 1, START + SECOND / 1000));
    assert_false(rate_take(&rate, 1, START + SECOND / 1000));
    /* However long nothing is taken, the bucket holds no more than it holds. */
    for (unsigned i = 0; i < 50; i++)
        assert_true(rate_take(&rate, 1, START + 1000 * SECOND));
    assert_false(rate_take(&rate, 1, START + 1000 * SECOND));
}

static void a_burst_of_zero_is_a_tenth_of_a_second(void **state)
{
    struct rate rate;

    (void)state;
    rate_init(&rate, 1000, 0, START);
    assert_int_equal(rate.burst, 100);
    rate_init(&rate, 3, 0, START);
    assert_int_equal(rate.burst, 1);
}

/* Rates that do not divide a nanosecond's second, looked at at odd times, for a day. */
static void nothing_is_lost_or_won_in_the_long_run(void **state)
{
    static const uint64_t rates[] = {1, 3, 7, 999, 1000003, 123456789, RATE_MAX - 1};

    (void)state;
    for (unsigned i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        uint64_t now = 0, end = 86400 * SECOND, step = 10 * SECOND / 3 + 7, taken = 0;
        uint64_t piece = rates[i] / 20 + 1, earned;
        struct rate rate;

        rate_init(&rate, rates[i], 5 * rates[i], 0);
        while (now < end) {
            while (rate_take(&rate, piece, now))
                taken += piece;
            now += step;
        }
        now -= step;
        earned = (uint64_t)((unsigned __int128)now * rates[i] / SECOND) + 5 * rates[i];
        assert_true(taken >= earned && taken < earned + piece);
    }
}

static void the_next_time_is_the_first_that_works(void **state)
{
    uint64_t now = START, next;
    struct rate rate;

    (void)state;
    rate_init(&rate, 777, 10, now);
    for (unsigned i = 1; i < 1000; i++) {
        assert_int_equal(rate_next(&rate, now), now);
        assert_true(rate_take(&rate, 11 + i % 13, now));
        next = rate_next(&rate, now);
        assert_true(next > now);
        assert_false(rate_take(&rate, 1, next - 1));
        now = next;
    }
}

/* More than the bucket holds: it passes when there is anything, and is paid for afterwards. */
static void large_requests_leave_a_debt(void **state)
{
    struct rate rate;

    (void)state;
    rate_init(&rate, 1000, 10, START);
    assert_true(rate_take(&rate, 5010, START));
    assert_false(rate_take(&rate, 1, START + 4 * SECOND));
    assert_false(rate_take(&rate, 1, START + 5 * SECOND - 100));
    assert_true(rate_take(&rate, 1, START + 5 * SECOND + SECOND / 1000));
}

static void positions_may_wrap(void **state)
{
    uint64_t now = UINT64_C(1) << 58; /* nine years of uptime: the position is past 2^64 */
    struct rate rate;

    (void)state;
    rate_init(&rate, RATE_MAX, 4096, now);
    assert_true(rate_take(&rate, 4096, now));
    assert_false(rate_take(&rate, 1, now));
    assert_true(rate_take(&rate, 1, rate_next(&rate, now)));
    now += 3600 * 24 * 365 * SECOND;
    assert_true(rate_take(&rate, 4096, now));
    assert_false(rate_take(&rate, 1, now));
}

static void a_pair_takes_from_both_or_none(void **state)
{
    struct rate_pair pair;

    (void)state;
    rate_init(&pair.bytes, 1000, 100, START);
    rate_init(&pair.operations, 10, 3, START);
    assert_true(rate_pair_limits(&pair));
    assert_true(rate_pair_take(&pair, 100, START));
    for (unsigned i = 0; i < 10; i++)
        assert_false(rate_pair_take(&pair, 1, START)); /* no bytes, and no operation is lost */
    assert_int_equal(rate_pair_next(&pair, START), rate_next(&pair.bytes, START));
    assert_true(rate_pair_take(&pair, 1, START + SECOND / 1000));
    assert_true(rate_pair_take(&pair, 1, START + SECOND / 500));
    assert_false(rate_pair_take(&pair, 1, START + SECOND / 100)); /* no operations */
    assert_true(rate_pair_next(&pair, START + SECOND / 100) >= START + SECOND / 10 - 90);
    rate_init(&pair.bytes, 0, 0, START);
    rate_init(&pair.operations, 0, 0, START);
    assert_false(rate_pair_limits(&pair));
}

#define TAKERS 4u
#define STEPS 100000u

struct taker {
    struct rate *rate;
    uint64_t taken;
    pthread_t thread;
};

static void *take_many(void *argument)
{
    struct taker *taker = argument;

    for (uint64_t i = 0; i < STEPS; i++)
        taker->taken += rate_take(taker->rate, 1, START + i * 1000);
    return NULL;
}

/* Each sees another time, as threads do; together they get what there is and not one unit more. */
static void threads_share_one_bucket(void **state)
{
    struct taker takers[TAKERS];
    uint64_t taken = 0;
    struct rate rate;

    (void)state;
    rate_init(&rate, 100000, 1000, START);
    for (unsigned i = 0; i < TAKERS; i++) {
        takers[i] = (struct taker){.rate = &rate};
        assert_int_equal(pthread_create(&takers[i].thread, NULL, take_many, &takers[i]), 0);
    }
    for (unsigned i = 0; i < TAKERS; i++) {
        pthread_join(takers[i].thread, NULL);
        taken += takers[i].taken;
    }
    while (rate_take(&rate, 1, START + (STEPS - 1) * 1000))
        taken++;
    assert_in_range(taken, STEPS / 10, 1000 + STEPS / 10);
}

static void what_is_owed_is_waited_for(void **state)
{
    struct rate rate;

    (void)state;
    rate_init(&rate, 1000, 100, 0);
    assert_true(rate_take(&rate, 1, 0));
    rate_owe(&rate, 1099);
    assert_false(rate_take(&rate, 1, 0));
    assert_false(rate_take(&rate, 1, SECOND - 1));
    assert_true(rate_take(&rate, 1, SECOND + SECOND / 500));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_limit_takes_everything),
        cmocka_unit_test(a_burst_passes_at_once_and_no_more),
        cmocka_unit_test(a_burst_of_zero_is_a_tenth_of_a_second),
        cmocka_unit_test(nothing_is_lost_or_won_in_the_long_run),
        cmocka_unit_test(the_next_time_is_the_first_that_works),
        cmocka_unit_test(large_requests_leave_a_debt),
        cmocka_unit_test(positions_may_wrap),
        cmocka_unit_test(a_pair_takes_from_both_or_none),
        cmocka_unit_test(threads_share_one_bucket),
        cmocka_unit_test(what_is_owed_is_waited_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
