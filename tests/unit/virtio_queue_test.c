/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What holds for queues of either format, which the same tests run over: good chains, bad buffers,
 * layouts, notifications, snapshots. What is particular to one format is in
 * virtio_queue_split_test.c and virtio_queue_packed_test.c.
 */
#include "support/queue_fixture.h"

#include "core/state.h"

/* --- chains --- */

static void a_chain_is_two_lists(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor buffers[] = {
        {BUFFER, 16, 0, 0},
        {BUFFER + 0x1000, 32, 0, 0},
        {BUFFER + 0x2000, 64, VRING_DESC_F_WRITE, 0},
    };
    uint32_t expected, name, length;
    struct virtq_token token;

    assert_int_equal(pop(f), 0);
    expected = mock_add(&f->ring, buffers, 3);
    assert_int_equal(pop(f), 1);
    token = f->chain.token;
    assert_int_equal(f->chain.readable_count, 2);
    assert_int_equal(f->chain.writable_count, 1);
    assert_int_equal(f->chain.readable_size, 48);
    assert_int_equal(f->chain.writable_size, 64);
    assert_ptr_equal(virtq_readable(&f->chain)[1].iov_base, mock_at(&f->guest, BUFFER + 0x1000, 1));
    assert_int_equal(virtq_readable(&f->chain)[1].iov_len, 32);
    assert_ptr_equal(virtq_writable(&f->chain)[0].iov_base, mock_at(&f->guest, BUFFER + 0x2000, 1));
    assert_int_equal(pop(f), 0);

    assert_false(mock_take(&f->ring, &name, &length));
    virtq_push(&f->queue, token, 77);
    assert_true(mock_take(&f->ring, &name, &length));
    assert_int_equal(name, expected);
    assert_int_equal(length, 77);
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
    virtq_push(&f->queue, f->chain.token, 0);

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

/* Of any length, several at a time, and with others in flight. */
static void undone_pops_come_again(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor buffers[] = {{BUFFER, 8, 0, 0}, {BUFFER, 9, 0, 0}};
    struct virtq_token first, second, third;

    for (unsigned i = 0; i < 4 * SIZE; i++) {
        mock_add(&f->ring, buffers, 1);
        mock_add(&f->ring, buffers, 2);
        mock_add(&f->ring, buffers + 1, 1);
        assert_int_equal(pop(f), 1);
        first = f->chain.token;
        assert_int_equal(pop(f), 1);
        second = f->chain.token;
        assert_int_equal(pop(f), 1);
        third = f->chain.token;
        virtq_undo_pop(&f->queue, third);
        virtq_undo_pop(&f->queue, second);
        assert_int_equal(pop(f), 1);
        assert_int_equal(f->chain.token.id, second.id);
        assert_int_equal(f->chain.readable_size, 17);
        assert_int_equal(pop(f), 1);
        assert_int_equal(f->chain.token.id, third.id);
        assert_int_equal(f->chain.readable_size, 9);
        assert_int_equal(pop(f), 0);
        virtq_push(&f->queue, third, 0);
        virtq_push(&f->queue, first, 0);
        virtq_push(&f->queue, second, 0);
        while (mock_take(&f->ring, NULL, NULL))
            ;
    }
    assert_int_equal(mock_used_idx(&f->ring), 4 * SIZE * 3);
}

/* --- abuse --- */

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

static void bad_indirect_tables_break_the_queue(void **state)
{
    struct fixture *f = *state;
    struct mock_descriptor reference = {TABLE, 16, VRING_DESC_F_INDIRECT, 0};
    const struct mock_descriptor buffer = {BUFFER, 8, 0, 0};
    const struct mock_descriptor nowhere = {END_OF_MEMORY, 8, 0, 0};

    mock_set_table_entry(&f->guest, TABLE, 0, &buffer);
    restart(f, 0);
    mock_add(&f->ring, &reference, 1);
    expect_broken(f, "without the feature");

    reference.length = 0;
    breaks(f, "odd length", &reference, 1);
    reference.length = 15;
    breaks(f, "odd length", &reference, 1);
    reference.length = 17;
    breaks(f, "odd length", &reference, 1);
    reference.length = UINT32_MAX;
    breaks(f, "odd length", &reference, 1);
    reference.length = UINT32_MAX - 15;
    breaks(f, "table is not in memory", &reference, 1);
    reference = (struct mock_descriptor){END_OF_MEMORY - 16, 32, VRING_DESC_F_INDIRECT, 0};
    breaks(f, "table is not in memory", &reference, 1);

    reference = (struct mock_descriptor){TABLE, 16, VRING_DESC_F_INDIRECT, 0};
    mock_set_table_entry(&f->guest, TABLE, 0, &nowhere);
    breaks(f, "buffer is not in memory", &reference, 1);
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
    breaks(f, "longer than the", &reference, 1);
}

/* 2.7.5.2: exactly 4 GiB can be told as a length that was written, a byte more can not. */
static void a_chain_has_at_most_4_gib(void **state)
{
    const uint32_t part = 64u << 20, count = 64;
    const struct memory_range range = {gpa(MOCK_MEMORY_BASE), part};
    const struct mock_descriptor exact = {TABLE, count * 16, VRING_DESC_F_INDIRECT, 0};
    const struct mock_descriptor more = {TABLE, (count + 1) * 16, VRING_DESC_F_INDIRECT, 0};
    struct fixture *f = *state, large = *f;

    assert_int_equal(memory_create(&large.guest.memory, &range, 1, NULL), 0);
    for (unsigned i = 0; i < count; i++)
        mock_set_table_entry(&large.guest, TABLE, i,
                             &(struct mock_descriptor){MOCK_MEMORY_BASE, part, VRING_DESC_F_NEXT,
                                                       (uint16_t)(i + 1)});
    mock_set_table_entry(&large.guest, TABLE, count, &(struct mock_descriptor){BUFFER, 1, 0, 0});
    restart(&large, MOCK_INDIRECT);
    /* The last of exactly 4 GiB has no next one. */
    mock_set_table_entry(&large.guest, TABLE, count - 1,
                         &(struct mock_descriptor){MOCK_MEMORY_BASE, part, 0, 0});
    mock_add(&large.ring, &exact, 1);
    assert_int_equal(pop(&large), 1);
    assert_int_equal(large.chain.readable_size, UINT64_C(1) << 32);
    mock_set_table_entry(&large.guest, TABLE, count - 1,
                         &(struct mock_descriptor){MOCK_MEMORY_BASE, part, VRING_DESC_F_NEXT,
                                                   (uint16_t)count});
    mock_add(&large.ring, &more, 1);
    expect_broken(&large, "4 GiB");
    memory_destroy(&large.guest.memory);
}

/* --- layout --- */

static void only_possible_layouts_start(void **state)
{
    struct fixture *f = *state;
    uint64_t features = f->guest.packed ? MOCK_PACKED : 0;
    struct virtq_setup good;
    struct virtq_setup bad[] = {[15] = {0}};
    unsigned n = 0;
    const char *fault;

    mock_ring_setup(&f->ring, &good);
    for (unsigned i = 0; i < 16; i++)
        bad[i] = good;
    bad[n++].size = 0;
    bad[n++].size = 2 * SIZE;
    bad[n++].size = 0x10000 + SIZE;
    bad[n++].descriptor_area.v += 8;
    bad[n++].driver_area.v += 1;
    bad[n++].device_area.v += 2;
    bad[n++].descriptor_area.v = END_OF_MEMORY - SIZE * 16 + 16;
    bad[n++].driver_area.v = END_OF_MEMORY;
    bad[n++].device_area.v = END_OF_MEMORY;
    bad[n++].descriptor_area.v = 0;
    bad[n++].device_area.v = ~0ull - 3;
    bad[n++].driver_area.v = ~0ull - 3;
    for (unsigned i = 0; i < n; i++) {
        fault = NULL;
        assert_int_equal(
            virtq_start(&f->queue, &f->guest.memory, &bad[i], SIZE, features, &fault), -EINVAL);
        assert_non_null(fault);
        assert_false(f->queue.started);
        assert_int_equal(pop(f), 0);
    }
    good.descriptor_area.v = END_OF_MEMORY - SIZE * 16;
    assert_int_equal(virtq_start(&f->queue, &f->guest.memory, &good, SIZE, features, &fault), 0);
}

static void a_stopped_queue_touches_nothing(void **state)
{
    struct fixture *f = *state;

    virtq_stop(&f->queue);
    assert_int_equal(pop(f), 0);
    virtq_push(&f->queue, (struct virtq_token){0, 1}, 0);
    virtq_undo_pop(&f->queue, (struct virtq_token){0, 1});
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
    virtq_push(&f->queue, f->chain.token, 0);
    assert_true(virtq_wants_interrupt(&f->queue));
    assert_false(virtq_wants_interrupt(&f->queue)); /* asked already */

    mock_set_avail_flags(&f->ring, VRING_AVAIL_F_NO_INTERRUPT);
    mock_add(&f->ring, &buffer, 1);
    assert_int_equal(pop(f), 1);
    virtq_push(&f->queue, f->chain.token, 0);
    assert_false(virtq_wants_interrupt(&f->queue));
}

static void event_idx_holds_across_the_wrap(void **state)
{
    struct fixture *f = *state;
    uint32_t total = 3 * 65536;

    restart(f, MOCK_EVENT_IDX);
    for (uint32_t i = 0; i < total; i++) {
        /* The driver wants to hear of every 1000th and of those around the wrap. */
        bool wanted = i % 1000 == 0 || (i & 0xffff) >= 0xfffe || (i & 0xffff) <= 1;

        mock_set_used_event(&f->ring, position(f, wanted ? i : i + 10));
        assert_int_equal(round_trip(f), wanted);
        assert_false(virtq_enable_kicks(&f->queue));
        assert_int_equal(mock_avail_event(&f->ring), position(f, i + 1));
        assert_int_equal(mock_used_idx(&f->ring), (uint16_t)(i + 1));
    }
    virtq_suppress_kicks(&f->queue); /* the position, which is in the past then, does it */
    assert_int_equal(mock_used_flags(&f->ring), 0);
}

static void one_interrupt_for_a_batch(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor buffer = {BUFFER, 8, 0, 0};

    restart(f, MOCK_EVENT_IDX);
    for (unsigned i = 0; i < SIZE; i++)
        mock_add(&f->ring, &buffer, 1);
    mock_set_used_event(&f->ring, position(f, 3)); /* in the middle of the batch */
    while (pop(f) == 1)
        virtq_push(&f->queue, f->chain.token, 0);
    assert_true(virtq_wants_interrupt(&f->queue));
    assert_false(virtq_wants_interrupt(&f->queue));
    while (mock_take(&f->ring, NULL, NULL))
        ;
    mock_set_used_event(&f->ring, position(f, SIZE + 2));
    assert_false(round_trip(f));
    assert_false(round_trip(f));
    assert_true(round_trip(f));
    assert_false(round_trip(f));
}

/* A driver that polls can be a lap ahead before it is asked whether it wants to hear of it. */
static void a_batch_longer_than_the_ring_passes_every_event(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor buffer = {BUFFER, 8, 0, 0};

    restart(f, MOCK_EVENT_IDX);
    mock_set_used_event(&f->ring, position(f, 1));
    for (unsigned i = 0; i < 5 * SIZE; i++) {
        mock_add(&f->ring, &buffer, 1);
        assert_int_equal(pop(f), 1);
        virtq_push(&f->queue, f->chain.token, 0);
        assert_true(mock_take(&f->ring, NULL, NULL));
    }
    assert_true(virtq_wants_interrupt(&f->queue));
}

/* --- snapshots --- */

static void positions_survive_a_snapshot(void **state)
{
    struct fixture *f = *state;
    uint64_t features = MOCK_EVENT_IDX | (f->guest.packed ? MOCK_PACKED : 0);
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
        virtq_start(&f->queue, &f->guest.memory, &setup, SIZE, features, &fault), 0);
    reader = (struct state_reader){.data = writer.data, .size = writer.size};
    state_enter(&reader, "q", 1);
    virtq_restore(&f->queue, &reader);
    state_leave(&reader);
    assert_false(state_failed(&reader));
    state_writer_free(&writer);

    assert_int_equal(pop(f), 0);
    mock_set_used_event(&f->ring, position(f, SIZE + 3));
    assert_true(round_trip(f));
    assert_int_equal(mock_used_idx(&f->ring), SIZE + 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_chain_is_two_lists),
        TEST(chains_may_be_as_long_as_the_limits),
        TEST(empty_buffers_are_left_out),
        TEST(a_buffer_may_end_where_memory_ends),
        TEST(undone_pops_come_again),
        TEST(bad_buffers_break_the_queue),
        TEST(bad_indirect_tables_break_the_queue),
        TEST(too_long_an_indirect_chain_breaks_the_queue),
        TEST(a_chain_has_at_most_4_gib),
        TEST(only_possible_layouts_start),
        TEST(a_stopped_queue_touches_nothing),
        TEST(without_event_idx_flags_decide),
        TEST(event_idx_holds_across_the_wrap),
        TEST(one_interrupt_for_a_batch),
        TEST(a_batch_longer_than_the_ring_passes_every_event),
        TEST(positions_survive_a_snapshot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
