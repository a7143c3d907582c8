/* SPDX-License-Identifier: Apache-2.0 */
/* The clock as Linux's mc146818 code reads and sets it, against a clock that the test turns. */
#include "devices/legacy/rtc_cmos.h"
#include "support/failure.h"
#include "support/ports.h"

#define NEW_YEARS_EVE 1798761599 /* 2026-12-31 23:59:59 UTC, a Thursday */

static void test_clock(void *context, struct timespec *now)
{
    *now = *(const struct timespec *)context;
}

static uint8_t cmos_read(struct rtc_cmos *rtc, uint8_t index)
{
    port_out(&rtc_cmos_ops, rtc, 0, index);
    return port_in(&rtc_cmos_ops, rtc, 1);
}

static void cmos_write(struct rtc_cmos *rtc, uint8_t index, uint8_t value)
{
    port_out(&rtc_cmos_ops, rtc, 0, index);
    port_out(&rtc_cmos_ops, rtc, 1, value);
}

/* Century, year, month, day, hours, minutes, seconds as the registers hold them. */
static void assert_time(struct rtc_cmos *rtc, const uint8_t expected[7])
{
    static const uint8_t registers[] = {0x32, 9, 8, 7, 4, 2, 0};

    for (unsigned i = 0; i < 7; i++)
        assert_int_equal(cmos_read(rtc, registers[i]), expected[i]);
}

static void set_time(struct rtc_cmos *rtc, const uint8_t time[7])
{
    static const uint8_t registers[] = {0x32, 9, 8, 7, 4, 2, 0};
    uint8_t b = cmos_read(rtc, 0x0b);

    cmos_write(rtc, 0x0b, b | 0x80);
    for (unsigned i = 0; i < 7; i++)
        cmos_write(rtc, registers[i], time[i]);
    cmos_write(rtc, 0x0b, b);
}

static void shows_the_hosts_time_in_bcd(void **state)
{
    struct timespec now = {.tv_sec = NEW_YEARS_EVE};
    struct rtc_cmos rtc;

    (void)state;
    rtc_cmos_init(&rtc, test_clock, &now);
    assert_time(&rtc, (uint8_t[]){0x20, 0x26, 0x12, 0x31, 0x23, 0x59, 0x59});
    assert_int_equal(cmos_read(&rtc, 6), 5);
    now.tv_sec++;
    assert_time(&rtc, (uint8_t[]){0x20, 0x27, 0x01, 0x01, 0x00, 0x00, 0x00});
    rtc_cmos_destroy(&rtc);
}

static void shows_binary_and_twelve_hours_when_asked(void **state)
{
    struct timespec now = {.tv_sec = NEW_YEARS_EVE};
    struct rtc_cmos rtc;

    (void)state;
    rtc_cmos_init(&rtc, test_clock, &now);
    cmos_write(&rtc, 0x0b, 0x06);
    assert_time(&rtc, (uint8_t[]){20, 26, 12, 31, 23, 59, 59});
    cmos_write(&rtc, 0x0b, 0x04);
    assert_int_equal(cmos_read(&rtc, 4), 0x80 | 11);
    cmos_write(&rtc, 0x0b, 0x00);
    assert_int_equal(cmos_read(&rtc, 4), 0x80 | 0x11);
    now.tv_sec++;
    assert_int_equal(cmos_read(&rtc, 4), 0x12);
    now.tv_sec += 43200;
    assert_int_equal(cmos_read(&rtc, 4), 0x92);
    now.tv_sec += 3600;
    assert_int_equal(cmos_read(&rtc, 4), 0x81);
    rtc_cmos_destroy(&rtc);
}

static void runs_on_from_what_the_guest_sets(void **state)
{
    struct timespec now = {.tv_sec = NEW_YEARS_EVE};
    struct rtc_cmos rtc;

    (void)state;
    rtc_cmos_init(&rtc, test_clock, &now);
    /* On the way it is 31 February, which must not become March. */
    set_time(&rtc, (uint8_t[]){0x20, 0x28, 0x02, 0x29, 0x13, 0x14, 0x15});
    assert_time(&rtc, (uint8_t[]){0x20, 0x28, 0x02, 0x29, 0x13, 0x14, 0x15});
    now.tv_sec += 45;
    assert_time(&rtc, (uint8_t[]){0x20, 0x28, 0x02, 0x29, 0x13, 0x15, 0x00});
    cmos_write(&rtc, 4, 0x07); /* without SET */
    assert_time(&rtc, (uint8_t[]){0x20, 0x28, 0x02, 0x29, 0x07, 0x15, 0x00});
    rtc_cmos_destroy(&rtc);
}

static void takes_twelve_hours(void **state)
{
    struct timespec now = {.tv_sec = NEW_YEARS_EVE};
    struct rtc_cmos rtc;

    (void)state;
    rtc_cmos_init(&rtc, test_clock, &now);
    cmos_write(&rtc, 0x0b, 0x00);
    cmos_write(&rtc, 4, 0x12); /* midnight */
    cmos_write(&rtc, 0x0b, 0x02);
    assert_int_equal(cmos_read(&rtc, 4), 0x00);
    cmos_write(&rtc, 0x0b, 0x00);
    cmos_write(&rtc, 4, 0x92); /* noon */
    cmos_write(&rtc, 0x0b, 0x02);
    assert_int_equal(cmos_read(&rtc, 4), 0x12);
    rtc_cmos_destroy(&rtc);
}

static void stands_still_while_set_is_on(void **state)
{
    struct timespec now = {.tv_sec = NEW_YEARS_EVE, .tv_nsec = 999999999};
    struct rtc_cmos rtc;

    (void)state;
    rtc_cmos_init(&rtc, test_clock, &now);
    cmos_write(&rtc, 0x0b, 0x82);
    now.tv_sec += 100;
    assert_int_equal(cmos_read(&rtc, 0), 0x59);
    assert_int_equal(cmos_read(&rtc, 0x0a) & 0x80, 0);
    cmos_write(&rtc, 0x0b, 0x02);
    assert_time(&rtc, (uint8_t[]){0x20, 0x26, 0x12, 0x31, 0x23, 0x59, 0x59});
    rtc_cmos_destroy(&rtc);
}

static void is_found_working_at_once(void **state)
{
    struct timespec now = {.tv_sec = NEW_YEARS_EVE, .tv_nsec = 999755999};
    struct rtc_cmos rtc;

    (void)state;
    rtc_cmos_init(&rtc, test_clock, &now);
    assert_int_equal(cmos_read(&rtc, 0x0a), 0x26);
    now.tv_nsec++;
    assert_int_equal(cmos_read(&rtc, 0x0a), 0xa6); /* 244 us before the next second */
    now = (struct timespec){.tv_sec = NEW_YEARS_EVE + 1};
    assert_int_equal(cmos_read(&rtc, 0x0a), 0x26);
    assert_int_equal(cmos_read(&rtc, 0x0d), 0x80);
    assert_int_equal(cmos_read(&rtc, 0x0c), 0);
    cmos_write(&rtc, 0x0d, 0);
    assert_int_equal(cmos_read(&rtc, 0x0d), 0x80);
    cmos_write(&rtc, 0x0a, 0xff);
    assert_int_equal(cmos_read(&rtc, 0x0a), 0x7f);
    cmos_write(&rtc, 0x0b, 0x72); /* interrupts that never come stay off */
    assert_int_equal(cmos_read(&rtc, 0x0b), 0x02);
    rtc_cmos_destroy(&rtc);
}

static void keeps_memory_and_alarms(void **state)
{
    struct rtc_cmos rtc;

    (void)state;
    rtc_cmos_init(&rtc, NULL, NULL);
    cmos_write(&rtc, 0x01, 0x11);
    cmos_write(&rtc, 0x0f, 0x5a);
    cmos_write(&rtc, 0xff, 0xa5); /* bit 7 belongs to the NMI mask */
    assert_int_equal(cmos_read(&rtc, 0x01), 0x11);
    assert_int_equal(cmos_read(&rtc, 0x0f), 0x5a);
    assert_int_equal(cmos_read(&rtc, 0x7f), 0xa5);
    assert_int_equal(port_in(&rtc_cmos_ops, &rtc, 0), 0xff);
    rtc_cmos_reset(&rtc);
    assert_int_equal(cmos_read(&rtc, 0x0f), 0x5a);
    rtc_cmos_destroy(&rtc);
}

static void uses_the_hosts_clock_by_default(void **state)
{
    struct rtc_cmos rtc;
    time_t before, after;
    uint8_t seconds;
    bool between = false;

    (void)state;
    rtc_cmos_init(&rtc, NULL, NULL);
    cmos_write(&rtc, 0x0b, 0x06);
    before = time(NULL);
    seconds = cmos_read(&rtc, 0);
    after = time(NULL) + 1; /* time() may lag behind clock_gettime() by a tick */
    for (time_t t = before; t <= after; t++)
        between |= t % 60 == seconds;
    assert_true(between);
    rtc_cmos_destroy(&rtc);
}

static void state_survives(void **state)
{
    struct timespec now = {.tv_sec = NEW_YEARS_EVE};
    struct state_writer writer = {0};
    struct state_reader reader;
    struct rtc_cmos rtc, other;

    (void)state;
    rtc_cmos_init(&rtc, test_clock, &now);
    rtc_cmos_init(&other, test_clock, &now);
    set_time(&rtc, (uint8_t[]){0x19, 0x99, 0x01, 0x02, 0x03, 0x04, 0x05});
    cmos_write(&rtc, 0x40, 0x77);
    rtc_cmos_save(&rtc, &writer);
    reader = (struct state_reader){.data = writer.data, .size = writer.size};
    rtc_cmos_restore(&other, &reader);
    assert_false(state_failed(&reader));
    assert_int_equal(port_in(&rtc_cmos_ops, &other, 1), 0x77);
    assert_time(&other, (uint8_t[]){0x19, 0x99, 0x01, 0x02, 0x03, 0x04, 0x05});

    /* A broken stream changes nothing: cut short, or an offset that would overflow. */
    rtc_cmos_init(&other, test_clock, &now);
    reader = (struct state_reader){.data = writer.data, .size = writer.size - 1};
    rtc_cmos_restore(&other, &reader);
    assert_true(state_failed(&reader));
    memset(writer.data + 1 + strlen("rtc_cmos") + 2 + 4 + 1, 0x7f, 8);
    reader = (struct state_reader){.data = writer.data, .size = writer.size};
    rtc_cmos_restore(&other, &reader);
    assert_true(state_failed(&reader));
    assert_time(&other, (uint8_t[]){0x20, 0x26, 0x12, 0x31, 0x23, 0x59, 0x59});
    state_writer_free(&writer);
    rtc_cmos_destroy(&rtc);
    rtc_cmos_destroy(&other);
}

/* Whatever a guest writes can be saved and restored, and the clock still runs. */
static void survives_nonsense(void **state)
{
    struct timespec now = {.tv_sec = NEW_YEARS_EVE};
    struct rtc_cmos rtc;

    (void)state;
    rtc_cmos_init(&rtc, test_clock, &now);
    for (unsigned round = 0; round < 100; round++) {
        struct state_writer writer = {0};
        struct state_reader reader;

        for (uint8_t index = 0; index < RTC_CMOS_MEMORY; index++)
            cmos_write(&rtc, index, (uint8_t)(0xff - round * index));
        port_abuse(&rtc_cmos_ops, &rtc, RTC_CMOS_SIZE, 1000);
        rtc_cmos_save(&rtc, &writer);
        reader = (struct state_reader){.data = writer.data, .size = writer.size};
        rtc_cmos_restore(&rtc, &reader);
        assert_false(state_failed(&reader));
        state_writer_free(&writer);
    }
    cmos_write(&rtc, 0x0b, 0x06);
    assert_true(cmos_read(&rtc, 0) < 60);
    rtc_cmos_destroy(&rtc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_the_hosts_time_in_bcd),
        cmocka_unit_test(shows_binary_and_twelve_hours_when_asked),
        cmocka_unit_test(runs_on_from_what_the_guest_sets),
        cmocka_unit_test(takes_twelve_hours),
        cmocka_unit_test(stands_still_while_set_is_on),
        cmocka_unit_test(is_found_working_at_once),
        cmocka_unit_test(keeps_memory_and_alarms),
        cmocka_unit_test(uses_the_hosts_clock_by_default),
        cmocka_unit_test(state_survives),
        cmocka_unit_test(survives_nonsense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
