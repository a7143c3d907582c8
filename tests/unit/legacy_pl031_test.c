/* SPDX-License-Identifier: Apache-2.0 */
/* The clock as Linux's rtc-pl031 driver reads and sets it, against a clock that the test turns. */
#include "devices/legacy/pl031.h"
#include "support/failure.h"

enum { DR = 0x00, MR = 0x04, LR = 0x08, CR = 0x0c, IMSC = 0x10, RIS = 0x14, PERIPHERAL_ID = 0xfe0 };

static uint64_t test_clock(void *context)
{
    return *(const uint64_t *)context;
}

static uint32_t in(struct pl031 *rtc, uint64_t offset)
{
    uint32_t value = 0xffffffff;

    pl031_ops.read(rtc, offset, &value, 4);
    return value;
}

static void out(struct pl031 *rtc, uint64_t offset, uint32_t value)
{
    pl031_ops.write(rtc, offset, &value, 4);
}

static void shows_the_hosts_time(void **state)
{
    uint64_t now = 1798761599;
    struct pl031 rtc;

    (void)state;
    pl031_init(&rtc, test_clock, &now);
    assert_int_equal(in(&rtc, DR), 1798761599);
    now++;
    assert_int_equal(in(&rtc, DR), 1798761600);
    assert_int_equal(in(&rtc, CR), 1);
    assert_int_equal(in(&rtc, RIS), 0);
    pl031_init(&rtc, NULL, NULL);
    assert_true(in(&rtc, DR) > 1700000000);
}

static void runs_on_from_what_was_set(void **state)
{
    uint64_t now = 1000;
    struct pl031 rtc;

    (void)state;
    pl031_init(&rtc, test_clock, &now);
    out(&rtc, LR, 500);
    now += 7;
    assert_int_equal(in(&rtc, DR), 507);
    pl031_reset(&rtc);
    assert_int_equal(in(&rtc, DR), 507);
}

static void is_known_by_its_identity(void **state)
{
    static const uint8_t identity[] = {0x31, 0x10, 0x14, 0x00, 0x0d, 0xf0, 0x05, 0xb1};
    struct pl031 rtc;

    (void)state;
    pl031_init(&rtc, NULL, NULL);
    for (unsigned i = 0; i < sizeof identity; i++)
        assert_int_equal(in(&rtc, PERIPHERAL_ID + 4 * i), identity[i]);
}

static void state_survives(void **state)
{
    struct state_writer writer = {0};
    struct state_reader reader;
    uint64_t now = 1000;
    struct pl031 rtc;

    (void)state;
    pl031_init(&rtc, test_clock, &now);
    out(&rtc, LR, 5);
    out(&rtc, MR, 77);
    out(&rtc, IMSC, 3);
    pl031_save(&rtc, &writer);
    for (size_t cut = 0; cut <= writer.size; cut++) {
        pl031_init(&rtc, test_clock, &now);
        reader = (struct state_reader){.data = writer.data, .size = cut};
        pl031_restore(&rtc, &reader);
        assert_int_equal(state_failed(&reader), cut < writer.size);
        assert_int_equal(in(&rtc, DR), cut < writer.size ? 1000 : 5);
        assert_int_equal(in(&rtc, MR), cut < writer.size ? 0 : 77);
        assert_int_equal(in(&rtc, IMSC), cut < writer.size ? 0 : 1);
    }
    state_writer_free(&writer);
}

static void ignores_accesses_that_meet_no_register(void **state)
{
    uint64_t now = 1000, wide = UINT64_MAX;
    struct pl031 rtc;

    (void)state;
    pl031_init(&rtc, test_clock, &now);
    pl031_ops.write(&rtc, LR, &wide, 8);
    pl031_ops.write(&rtc, LR + 2, &wide, 2);
    assert_int_equal(in(&rtc, DR), 1000);
    pl031_ops.read(&rtc, DR + 1, &wide, 1);
    assert_int_equal(wide & 0xff, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_the_hosts_time),
        cmocka_unit_test(runs_on_from_what_was_set),
        cmocka_unit_test(is_known_by_its_identity),
        cmocka_unit_test(state_survives),
        cmocka_unit_test(ignores_accesses_that_meet_no_register),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
