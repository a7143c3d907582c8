/* SPDX-License-Identifier: Apache-2.0 */
/* What is particular to split rings: linked descriptors, head indexes, the avail index. */
#include "support/queue_fixture.h"

static int open_split(void **state)
{
    struct fixture *f;

    open_fixture(state);
    f = *state;
    f->guest.packed = false;
    restart(f, MOCK_INDIRECT);
    return 0;
}

static void an_indirect_table_may_follow_direct_buffers(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor buffers[] = {
        {BUFFER, 16, 0, 0},
        /* The write flag of the reference means nothing (2.7.5.3.2). The table is unaligned. */
        {TABLE + 1, 3 * 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE, 0},
    };

    /* Out of order inside the table: 0 -> 2 -> 1. */
    mock_set_table_entry(&f->guest, TABLE + 1, 0,
                         &(struct mock_descriptor){BUFFER + 100, 1, VRING_DESC_F_NEXT, 2});
    mock_set_table_entry(&f->guest, TABLE + 1, 2,
                         &(struct mock_descriptor){BUFFER + 200, 2,
                                                   VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1});
    mock_set_table_entry(&f->guest, TABLE + 1, 1,
                         &(struct mock_descriptor){BUFFER + 300, 4, VRING_DESC_F_WRITE, 0});
    mock_add(&f->ring, buffers, 2);
    assert_int_equal(pop(f), 1);
    assert_int_equal(f->chain.readable_count, 2);
    assert_int_equal(f->chain.readable_size, 17);
    assert_int_equal(f->chain.writable_count, 2);
    assert_int_equal(f->chain.writable_size, 6);
    assert_ptr_equal(virtq_writable(&f->chain)[0].iov_base, mock_at(&f->guest, BUFFER + 200, 1));
}

static void bad_links_break_the_queue(void **state)
{
    struct fixture *f = *state;

    /* To itself, in a circle of two, and out of the table. */
    restart(f, 0);
    mock_set_descriptor(&f->ring, 3,
                        &(struct mock_descriptor){BUFFER, 8, VRING_DESC_F_NEXT, 3});
    mock_offer(&f->ring, 3);
    expect_broken(f, "loop");

    restart(f, 0);
    mock_set_descriptor(&f->ring, 3, &(struct mock_descriptor){BUFFER, 0, VRING_DESC_F_NEXT, 4});
    mock_set_descriptor(&f->ring, 4, &(struct mock_descriptor){BUFFER, 0, VRING_DESC_F_NEXT, 3});
    mock_offer(&f->ring, 3);
    expect_broken(f, "loop");

    restart(f, 0);
    mock_set_descriptor(&f->ring, 0,
                        &(struct mock_descriptor){BUFFER, 8, VRING_DESC_F_NEXT, SIZE});
    mock_offer(&f->ring, 0);
    expect_broken(f, "past the end");

    restart(f, 0);
    mock_offer(&f->ring, SIZE);
    expect_broken(f, "head index");

    restart(f, 0);
    mock_offer(&f->ring, UINT16_MAX);
    expect_broken(f, "head index");
}

static void bad_links_in_indirect_tables_break_the_queue(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor reference = {TABLE, 16, VRING_DESC_F_INDIRECT, 0};

    mock_set_table_entry(&f->guest, TABLE, 0, &reference);
    breaks(f, "indirect table in an indirect table", &reference, 1);

    mock_set_table_entry(&f->guest, TABLE, 0,
                         &(struct mock_descriptor){BUFFER, 8, VRING_DESC_F_NEXT, 1});
    breaks(f, "past the end", &reference, 1);

    mock_set_table_entry(&f->guest, TABLE, 0,
                         &(struct mock_descriptor){BUFFER, 8, VRING_DESC_F_NEXT, 0});
    breaks(f, "loop", &reference, 1);

    restart(f, MOCK_INDIRECT);
    mock_set_descriptor(&f->ring, 0,
                        &(struct mock_descriptor){
                            TABLE, 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, 1});
    mock_offer(&f->ring, 0);
    expect_broken(f, "has a next one");
}

static void a_table_in_the_middle_of_the_queue_is_no_way_to_nest(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor reference = {f->ring.descriptors, 16, VRING_DESC_F_INDIRECT, 0};

    /* An indirect table that is the main table: its first entry refers to itself. */
    breaks(f, "indirect table in an indirect table", &reference, 1);
}

static void a_leaping_avail_index_breaks_the_queue(void **state)
{
    struct fixture *f = *state;

    mock_set_avail_idx(&f->ring, SIZE + 1);
    expect_broken(f, "ran ahead");
    restart(f, 0);
    mock_set_avail_idx(&f->ring, UINT16_MAX); /* backwards is far ahead */
    expect_broken(f, "ran ahead");
}

static void reusing_heads_in_flight_breaks_the_queue(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor buffer = {BUFFER, 8, 0, 0};

    for (unsigned i = 0; i < SIZE; i++) {
        mock_add(&f->ring, &buffer, 1);
        assert_int_equal(pop(f), 1);
    }
    mock_add(&f->ring, &buffer, 1);
    expect_broken(f, "in flight");
}

static void only_split_layouts_start(void **state)
{
    struct fixture *f = *state;
    struct virtq_setup setup;
    const char *fault;

    mock_ring_setup(&f->ring, &setup);
    setup.size = 3;
    assert_int_equal(virtq_start(&f->queue, &f->guest.memory, &setup, SIZE, 0, &fault), -EINVAL);
    assert_non_null(strstr(fault, "power of two"));

    mock_ring_setup(&f->ring, &setup);
    setup.driver_area.v = END_OF_MEMORY - (6 + 2 * SIZE) + 2;
    assert_int_equal(virtq_start(&f->queue, &f->guest.memory, &setup, SIZE, 0, &fault), -EINVAL);
    setup.driver_area.v -= 2;
    assert_int_equal(virtq_start(&f->queue, &f->guest.memory, &setup, SIZE, 0, &fault), 0);

    mock_ring_setup(&f->ring, &setup);
    setup.device_area.v = END_OF_MEMORY - (4 + 8 * SIZE); /* no room for avail_event */
    assert_int_equal(virtq_start(&f->queue, &f->guest.memory, &setup, SIZE, 0, &fault), -EINVAL);
    setup.device_area.v -= 4;
    assert_int_equal(virtq_start(&f->queue, &f->guest.memory, &setup, SIZE, 0, &fault), 0);
}

/* With EVENT_IDX the flags mean nothing, on both sides (2.7.7.2, 2.7.10). */
static void event_idx_overrules_the_flags(void **state)
{
    struct fixture *f = *state;

    restart(f, MOCK_EVENT_IDX);
    mock_set_avail_flags(&f->ring, VRING_AVAIL_F_NO_INTERRUPT);
    mock_set_used_event(&f->ring, 0);
    assert_true(round_trip(f));
}

#define SPLIT_TEST(name) cmocka_unit_test_setup_teardown(name, open_split, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPLIT_TEST(an_indirect_table_may_follow_direct_buffers),
        SPLIT_TEST(bad_links_break_the_queue),
        SPLIT_TEST(bad_links_in_indirect_tables_break_the_queue),
        SPLIT_TEST(a_table_in_the_middle_of_the_queue_is_no_way_to_nest),
        SPLIT_TEST(a_leaping_avail_index_breaks_the_queue),
        SPLIT_TEST(reusing_heads_in_flight_breaks_the_queue),
        SPLIT_TEST(only_split_layouts_start),
        SPLIT_TEST(event_idx_overrules_the_flags),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
