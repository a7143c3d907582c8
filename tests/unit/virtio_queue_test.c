/* SPDX-License-Identifier: Apache-2.0 */
/* The ring walker alone: good chains in every shape, and every way of breaking a ring. */
#include "support/mock_driver.h"

#include "core/state.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SIZE 16u
#define BUFFER MOCK_BUFFERS
#define TABLE (MOCK_BUFFERS + 0x100000)
#define END_OF_MEMORY (MOCK_MEMORY_BASE + MOCK_MEMORY_SIZE)

struct fixture {
    struct mock_guest guest;
    struct mock_ring ring;
    struct virtq queue;
    struct virtq_chain chain;
};

static void restart(struct fixture *f, uint64_t features)
{
    struct virtq_setup setup;
    const char *fault = NULL;

    mock_ring_place(&f->ring, &f->guest, 0, SIZE);
    mock_ring_setup(&f->ring, &setup);
    assert_int_equal(virtq_start(&f->queue, &f->guest.memory, &setup, SIZE, features, &fault), 0);
}

static int open_fixture(void **state)
{
    static struct fixture f;

    mock_guest_open(&f.guest);
    restart(&f, MOCK_INDIRECT);
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;

    mock_guest_close(&f->guest);
    return 0;
}

static int pop(struct fixture *f)
{
    memset(&f->chain, 0xee, sizeof f->chain);
    return virtq_pop(&f->queue, &f->chain);
}

/* --- chains --- */

static void a_chain_is_two_lists(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor buffers[] = {
        {BUFFER, 16, 0, 0},
        {BUFFER + 0x1000, 32, 0, 0},
        {BUFFER + 0x2000, 64, VRING_DESC_F_WRITE, 0},
    };
    uint32_t head, length;

    assert_int_equal(pop(f), 0);
    mock_add(&f->ring, buffers, 3);
    assert_int_equal(pop(f), 1);
    assert_int_equal(f->chain.head, 0);
    assert_int_equal(f->chain.readable_count, 2);
    assert_int_equal(f->chain.writable_count, 1);
    assert_int_equal(f->chain.readable_size, 48);
    assert_int_equal(f->chain.writable_size, 64);
    assert_ptr_equal(virtq_readable(&f->chain)[1].iov_base, mock_at(&f->guest, BUFFER + 0x1000, 1));
    assert_int_equal(virtq_readable(&f->chain)[1].iov_len, 32);
    assert_ptr_equal(virtq_writable(&f->chain)[0].iov_base, mock_at(&f->guest, BUFFER + 0x2000, 1));
    assert_int_equal(pop(f), 0);

    assert_false(mock_take(&f->ring, &head, &length));
    virtq_push(&f->queue, 0, 77);
    assert_true(mock_take(&f->ring, &head, &length));
    assert_int_equal(head, 0);
    assert_int_equal(length, 77);
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

static void chains_may_be_as_long_as_the_limits(void **state)
{
    struct fixture *f = *state;
    struct mock_descriptor buffers[SIZE];
    const struct mock_descriptor reference = {TABLE, VIRTQ_SIZE_MAX * 16, VRING_DESC_F_INDIRECT, 0};

    for (unsigned i = 0; i < SIZE; i++)
        buffers[i] = (struct mock_descriptor){BUFFER + i, 1, 0, 0};
    mock_add(&f->ring, buffers, SIZE);
    assert_int_equal(pop(f), 1);
    assert_int_equal(f->chain.readable_count, SIZE);
    virtq_push(&f->queue, f->chain.head, 0);

    for (unsigned i = 0; i < VIRTQ_SIZE_MAX; i++)
        mock_set_table_entry(&f->guest, TABLE, i,
                             &(struct mock_descriptor){
                                 BUFFER + i, 1, i + 1 < VIRTQ_SIZE_MAX ? VRING_DESC_F_NEXT : 0,
                                 (uint16_t)(i + 1)});
    mock_add(&f->ring, &reference, 1);
    assert_int_equal(pop(f), 1);
    assert_int_equal(f->chain.readable_count, VIRTQ_SIZE_MAX);
}

static void empty_buffers_are_left_out(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor buffers[] = {
        {~0ull, 0, 0, 0},
        {BUFFER, 5, 0, 0},
        {0, 0, VRING_DESC_F_WRITE, 0},
    };

    mock_add(&f->ring, buffers, 3);
    assert_int_equal(pop(f), 1);
    assert_int_equal(f->chain.readable_count, 1);
    assert_int_equal(f->chain.writable_count, 0);
    assert_int_equal(f->chain.readable_size, 5);
}

static void a_buffer_may_end_where_memory_ends(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor buffer = {END_OF_MEMORY - 8, 8, 0, 0};

    mock_add(&f->ring, &buffer, 1);
    assert_int_equal(pop(f), 1);
}

static void an_undone_pop_comes_again(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor buffer = {BUFFER, 8, 0, 0};

    for (unsigned i = 0; i < 2 * SIZE; i++) {
        mock_add(&f->ring, &buffer, 1);
        assert_int_equal(pop(f), 1);
        virtq_undo_pop(&f->queue);
        assert_int_equal(pop(f), 1);
        assert_int_equal(f->chain.head, i % SIZE);
        virtq_push(&f->queue, f->chain.head, 0);
    }
}

/* --- abuse --- */

static void expect_broken(struct fixture *f, const char *fault)
{
    const struct mock_descriptor good = {BUFFER, 8, 0, 0};
    uint16_t used = mock_used_idx(&f->ring);

    assert_int_equal(pop(f), -EPROTO);
    assert_non_null(f->queue.fault);
    assert_non_null(strstr(f->queue.fault, fault));
    /* It stays broken, whatever comes, and leaves the rings alone. */
    mock_add(&f->ring, &good, 1);
    assert_int_equal(pop(f), -EPROTO);
    virtq_push(&f->queue, 0, 0);
    assert_int_equal(mock_used_idx(&f->ring), used);
    assert_false(virtq_wants_interrupt(&f->queue));
    assert_false(virtq_enable_kicks(&f->queue));
}

static void breaks(struct fixture *f, const char *fault, const struct mock_descriptor *buffers,
                   unsigned count)
{
    restart(f, MOCK_INDIRECT);
    mock_add(&f->ring, buffers, count);
    expect_broken(f, fault);
}

static void bad_buffers_break_the_queue(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor beyond = {END_OF_MEMORY, 1, 0, 0};
    const struct mock_descriptor below = {MOCK_MEMORY_BASE - 1, 2, 0, 0};
    const struct mock_descriptor across = {END_OF_MEMORY - 8, 9, 0, 0};
    const struct mock_descriptor wrapping = {~0ull - 3, 8, 0, 0};
    const struct mock_descriptor order[] = {
        {BUFFER, 8, VRING_DESC_F_WRITE, 0},
        {BUFFER, 8, 0, 0},
    };
    const struct mock_descriptor order_of_empty[] = {
        {BUFFER, 0, VRING_DESC_F_WRITE, 0},
        {BUFFER, 8, 0, 0},
    };

    breaks(f, "not in memory", &beyond, 1);
    breaks(f, "not in memory", &below, 1);
    breaks(f, "not in memory", &across, 1);
    breaks(f, "not in memory", &wrapping, 1);
    breaks(f, "behind a writable", order, 2);
    breaks(f, "behind a writable", order_of_empty, 2);
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

static void bad_indirect_tables_break_the_queue(void **state)
{
    struct fixture *f = *state;
    struct mock_descriptor reference = {TABLE, 16, VRING_DESC_F_INDIRECT, 0};
    const struct mock_descriptor buffer = {BUFFER, 8, 0, 0};

    mock_set_table_entry(&f->guest, TABLE, 0, &buffer);
    restart(f, 0);
    mock_add(&f->ring, &reference, 1);
    expect_broken(f, "without the feature");

    reference.length = 0;
    breaks(f, "odd length", &reference, 1);
    reference.length = 17;
    breaks(f, "odd length", &reference, 1);
    reference = (struct mock_descriptor){END_OF_MEMORY - 16, 32, VRING_DESC_F_INDIRECT, 0};
    breaks(f, "table is not in memory", &reference, 1);

    reference = (struct mock_descriptor){TABLE, 16, VRING_DESC_F_INDIRECT, 0};
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

static void too_long_an_indirect_chain_breaks_the_queue(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor reference = {TABLE, (VIRTQ_SIZE_MAX + 1) * 16,
                                              VRING_DESC_F_INDIRECT, 0};

    for (unsigned i = 0; i <= VIRTQ_SIZE_MAX; i++)
        mock_set_table_entry(&f->guest, TABLE, i,
                             &(struct mock_descriptor){BUFFER, 1,
                                                       i < VIRTQ_SIZE_MAX ? VRING_DESC_F_NEXT : 0,
                                                       (uint16_t)(i + 1)});
    breaks(f, "longer than the queue", &reference, 1);
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

/* --- layout --- */

static void only_possible_layouts_start(void **state)
{
    struct fixture *f = *state;
    struct virtq_setup good;
    struct virtq_setup bad[] = {[15] = {0}};
    unsigned n = 0;
    const char *fault;

    mock_ring_setup(&f->ring, &good);
    for (unsigned i = 0; i < 16; i++)
        bad[i] = good;
    bad[n++].size = 0;
    bad[n++].size = 3;
    bad[n++].size = 2 * SIZE;
    bad[n++].size = 0x10000 + SIZE;
    bad[n++].descriptor_area.v += 8;
    bad[n++].driver_area.v += 1;
    bad[n++].device_area.v += 2;
    bad[n++].descriptor_area.v = END_OF_MEMORY - SIZE * 16 + 16;
    bad[n++].driver_area.v = END_OF_MEMORY - (6 + 2 * SIZE) + 2;
    bad[n++].device_area.v = END_OF_MEMORY - (6 + 8 * SIZE) + 2;
    bad[n++].descriptor_area.v = 0;
    bad[n++].device_area.v = ~0ull - 3;
    for (unsigned i = 0; i < n; i++) {
        fault = NULL;
        assert_int_equal(virtq_start(&f->queue, &f->guest.memory, &bad[i], SIZE, 0, &fault),
                         -EINVAL);
        assert_non_null(fault);
        assert_false(f->queue.started);
        assert_int_equal(pop(f), 0);
    }
    good.descriptor_area.v = END_OF_MEMORY - SIZE * 16;
    assert_int_equal(virtq_start(&f->queue, &f->guest.memory, &good, SIZE, 0, &fault), 0);
    mock_ring_setup(&f->ring, &good);
    good.driver_area.v = END_OF_MEMORY - (6 + 2 * SIZE);
    assert_int_equal(virtq_start(&f->queue, &f->guest.memory, &good, SIZE, 0, &fault), 0);
    mock_ring_setup(&f->ring, &good);
    good.device_area.v = (END_OF_MEMORY - (6 + 8 * SIZE)) & ~3ull;
    assert_int_equal(virtq_start(&f->queue, &f->guest.memory, &good, SIZE, 0, &fault), 0);
}

static void a_stopped_queue_touches_nothing(void **state)
{
    struct fixture *f = *state;

    virtq_stop(&f->queue);
    assert_int_equal(pop(f), 0);
    virtq_push(&f->queue, 0, 0);
    virtq_suppress_kicks(&f->queue);
    assert_false(virtq_enable_kicks(&f->queue));
    assert_false(virtq_wants_interrupt(&f->queue));
    assert_int_equal(mock_used_idx(&f->ring), 0);
}

/* --- notifications --- */

static void without_event_idx_flags_decide(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor buffer = {BUFFER, 8, 0, 0};

    virtq_suppress_kicks(&f->queue);
    assert_int_equal(mock_used_flags(&f->ring), VRING_USED_F_NO_NOTIFY);
    assert_false(virtq_enable_kicks(&f->queue));
    assert_int_equal(mock_used_flags(&f->ring), 0);
    mock_add(&f->ring, &buffer, 1);
    assert_true(virtq_enable_kicks(&f->queue));

    assert_int_equal(pop(f), 1);
    assert_false(virtq_wants_interrupt(&f->queue)); /* nothing pushed */
    virtq_push(&f->queue, 0, 0);
    assert_true(virtq_wants_interrupt(&f->queue));
    assert_false(virtq_wants_interrupt(&f->queue)); /* asked already */

    mock_set_avail_flags(&f->ring, VRING_AVAIL_F_NO_INTERRUPT);
    mock_add(&f->ring, &buffer, 1);
    assert_int_equal(pop(f), 1);
    virtq_push(&f->queue, 1, 0);
    assert_false(virtq_wants_interrupt(&f->queue));
}

/* One chain through the queue; whether it caused an interrupt. */
static bool round_trip(struct fixture *f)
{
    const struct mock_descriptor buffer = {BUFFER, 8, 0, 0};

    mock_add(&f->ring, &buffer, 1);
    assert_int_equal(pop(f), 1);
    virtq_push(&f->queue, f->chain.head, 0);
    return virtq_wants_interrupt(&f->queue);
}

static void event_idx_holds_across_the_wrap(void **state)
{
    struct fixture *f = *state;
    uint32_t total = 3 * 65536;

    restart(f, MOCK_EVENT_IDX);
    for (uint32_t i = 0; i < total; i++) {
        /* The driver wants to hear of every 1000th and of those around the wrap. */
        bool wanted = i % 1000 == 0 || (i & 0xffff) >= 0xfffe || (i & 0xffff) <= 1;

        mock_set_used_event(&f->ring, (uint16_t)(wanted ? i : i + 10));
        assert_int_equal(round_trip(f), wanted);
        assert_false(virtq_enable_kicks(&f->queue));
        assert_int_equal(mock_avail_event(&f->ring), (uint16_t)(i + 1));
        assert_int_equal(mock_used_idx(&f->ring), (uint16_t)(i + 1));
    }
    /* With the feature the flags mean nothing, on both sides (2.7.7.2, 2.7.10). */
    mock_set_avail_flags(&f->ring, VRING_AVAIL_F_NO_INTERRUPT);
    mock_set_used_event(&f->ring, (uint16_t)total);
    assert_true(round_trip(f));
    virtq_suppress_kicks(&f->queue);
    assert_int_equal(mock_used_flags(&f->ring), 0);
}

static void one_interrupt_for_a_batch(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor buffer = {BUFFER, 8, 0, 0};

    restart(f, MOCK_EVENT_IDX);
    for (unsigned i = 0; i < SIZE; i++)
        mock_add(&f->ring, &buffer, 1);
    mock_set_used_event(&f->ring, 3); /* in the middle of the batch */
    while (pop(f) == 1)
        virtq_push(&f->queue, f->chain.head, 0);
    assert_true(virtq_wants_interrupt(&f->queue));
    assert_false(virtq_wants_interrupt(&f->queue));

    mock_set_used_event(&f->ring, (uint16_t)(2 * SIZE)); /* behind the next batch */
    for (unsigned i = 0; i < SIZE; i++)
        mock_add(&f->ring, &buffer, 1);
    while (pop(f) == 1)
        virtq_push(&f->queue, f->chain.head, 0);
    assert_false(virtq_wants_interrupt(&f->queue));
}

/* --- snapshots --- */

static void positions_survive_a_snapshot(void **state)
{
    struct fixture *f = *state;
    struct state_writer writer = {0};
    struct state_reader reader;
    struct virtq_setup setup;
    const char *fault;

    restart(f, MOCK_EVENT_IDX);
    for (unsigned i = 0; i < SIZE + 3; i++)
        round_trip(f);
    state_begin(&writer, "q", 1);
    virtq_save(&f->queue, &writer);
    state_end(&writer);

    mock_ring_setup(&f->ring, &setup);
    assert_int_equal(
        virtq_start(&f->queue, &f->guest.memory, &setup, SIZE, MOCK_EVENT_IDX, &fault), 0);
    reader = (struct state_reader){.data = writer.data, .size = writer.size};
    state_enter(&reader, "q", 1);
    virtq_restore(&f->queue, &reader);
    state_leave(&reader);
    assert_false(state_failed(&reader));
    state_writer_free(&writer);

    assert_int_equal(pop(f), 0);
    mock_set_used_event(&f->ring, SIZE + 3);
    assert_true(round_trip(f));
    assert_int_equal(mock_used_idx(&f->ring), SIZE + 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_chain_is_two_lists),
        TEST(an_indirect_table_may_follow_direct_buffers),
        TEST(chains_may_be_as_long_as_the_limits),
        TEST(empty_buffers_are_left_out),
        TEST(a_buffer_may_end_where_memory_ends),
        TEST(an_undone_pop_comes_again),
        TEST(bad_buffers_break_the_queue),
        TEST(bad_links_break_the_queue),
        TEST(bad_indirect_tables_break_the_queue),
        TEST(a_table_in_the_middle_of_the_queue_is_no_way_to_nest),
        TEST(too_long_an_indirect_chain_breaks_the_queue),
        TEST(a_leaping_avail_index_breaks_the_queue),
        TEST(reusing_heads_in_flight_breaks_the_queue),
        TEST(only_possible_layouts_start),
        TEST(a_stopped_queue_touches_nothing),
        TEST(without_event_idx_flags_decide),
        TEST(event_idx_holds_across_the_wrap),
        TEST(one_interrupt_for_a_batch),
        TEST(positions_survive_a_snapshot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
