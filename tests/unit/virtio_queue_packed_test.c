/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is particular to packed rings: wrap counters, ids, chains that lie one descriptor behind
 * the other, used descriptors in place of available ones, event suppression structures.
 */
#include "support/queue_fixture.h"

#include "core/state.h"

#define AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED (1u << VRING_PACKED_DESC_F_USED)

/* The flags of the first lap, whose wrap counter is 1, and of the second. */
#define AVAILABLE_1 AVAIL
#define AVAILABLE_0 USED

static int open_packed(void **state)
{
    struct fixture *f;

    open_fixture(state);
    f = *state;
    f->guest.packed = true;
    restart(f, MOCK_INDIRECT);
    return 0;
}

static struct vring_packed_desc *slot(struct fixture *f, unsigned index)
{
    return mock_at(&f->guest, f->ring.descriptors + index * sizeof(struct vring_packed_desc),
                   sizeof(struct vring_packed_desc));
}

/* A descriptor of 8 bytes at `index`, with exactly these flags. */
static void put(struct fixture *f, uint16_t index, unsigned flags)
{
    mock_set_descriptor(&f->ring, index,
                        &(struct mock_descriptor){BUFFER, 8, (uint16_t)flags, index});
}

/* --- availability --- */

static void a_descriptor_is_available_in_its_lap_only(void **state)
{
    struct fixture *f = *state;
    static const unsigned flags[] = {0, AVAIL, USED, AVAIL | USED};

    for (unsigned lap = 0; lap < 2; lap++) {
        for (unsigned i = 0; i < 4; i++) {
            restart_sized(f, 0, 1);
            if (lap == 1)
                round_trip(f);
            put(f, 0, flags[i]);
            assert_int_equal(virtq_enable_kicks(&f->queue),
                             flags[i] == (lap == 0 ? AVAILABLE_1 : AVAILABLE_0));
            assert_int_equal(pop(f), flags[i] == (lap == 0 ? AVAILABLE_1 : AVAILABLE_0));
        }
    }
}

static void any_size_goes_round(void **state)
{
    struct fixture *f = *state;
    static const uint16_t sizes[] = {1, 2, 3, 5, 7, 100, 255, 256};
    const struct mock_descriptor buffers[] = {
        {BUFFER, 8, 0, 0},
        {BUFFER, 9, VRING_DESC_F_WRITE, 0},
    };

    for (unsigned s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        restart_sized(f, 0, sizes[s]);
        for (unsigned i = 0; i < 3u * sizes[s] + 3; i++) {
            unsigned count = sizes[s] > 1 ? 1 + i % 2 : 1; /* some chains go across the end */
            uint16_t id = mock_add(&f->ring, buffers + 2 - count, count);
            uint32_t name, length;

            assert_int_equal(pop(f), 1);
            assert_int_equal(f->chain.token.id, id);
            assert_int_equal(f->chain.token.slots, count);
            assert_int_equal(f->chain.writable_size, 9);
            virtq_push(&f->queue, f->chain.token, 9);
            assert_int_equal(pop(f), 0);
            assert_true(mock_take(&f->ring, &name, &length));
            assert_int_equal(name, id);
            assert_int_equal(length, 9);
        }
    }
}

/* --- used descriptors --- */

static void used_descriptors_say_what_was_written(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor buffer = {BUFFER, 8, VRING_DESC_F_WRITE, 0};

    mock_add(&f->ring, &buffer, 1);
    assert_int_equal(pop(f), 1);
    virtq_push(&f->queue, f->chain.token, 5);
    assert_int_equal(slot(f, 0)->flags, AVAIL | USED | VRING_DESC_F_WRITE);
    assert_int_equal(slot(f, 0)->len, 5);

    mock_add(&f->ring, &buffer, 1);
    assert_int_equal(pop(f), 1);
    virtq_push(&f->queue, f->chain.token, 0);
    assert_int_equal(slot(f, 1)->flags, AVAIL | USED);
}

/* Chains of 3, 1 and 2 descriptors are used as second, third, first. */
static void chains_complete_in_any_order(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor buffers[3] = {{BUFFER, 8, 0, 0}, {BUFFER, 8, 0, 0},
                                               {BUFFER, 8, VRING_DESC_F_WRITE, 0}};
    static const unsigned counts[] = {3, 1, 2};
    struct virtq_token tokens[3];
    uint16_t ids[3];
    uint32_t name, length;

    for (unsigned i = 0; i < 3; i++)
        ids[i] = mock_add(&f->ring, buffers + 3 - counts[i], counts[i]);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pop(f), 1);
        tokens[i] = f->chain.token;
    }
    virtq_push(&f->queue, tokens[1], 1);
    virtq_push(&f->queue, tokens[2], 2);
    virtq_push(&f->queue, tokens[0], 3);
    assert_int_equal(slot(f, 0)->id, ids[1]); /* skips 1 */
    assert_int_equal(slot(f, 1)->id, ids[2]); /* skips 2 */
    assert_int_equal(slot(f, 3)->id, ids[0]);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(mock_take(&f->ring, &name, &length));
        assert_int_equal(name, ids[(i + 1) % 3]);
        assert_int_equal(length, i + 1);
    }
    assert_false(mock_take(&f->ring, NULL, NULL));
    assert_true(virtq_wants_interrupt(&f->queue));
}

/* The id is the driver's own, and of a chain the last descriptor has it (2.8.6). */
static void any_id_comes_back(void **state)
{
    struct fixture *f = *state;

    mock_set_descriptor(&f->ring, 0,
                        &(struct mock_descriptor){BUFFER, 8, AVAIL | VRING_DESC_F_NEXT, 7});
    mock_set_descriptor(&f->ring, 1, &(struct mock_descriptor){BUFFER, 8, AVAIL, 0xfffe});
    assert_int_equal(pop(f), 1);
    virtq_push(&f->queue, f->chain.token, 0);
    assert_int_equal(slot(f, 0)->id, 0xfffe);
    assert_int_equal(f->queue.next_used, 2);
}

/* --- indirect tables --- */

/* Of their flags only WRITE means something (2.8.7), and they may lie at any address. */
static void indirect_tables_are_lists(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor reference = {TABLE + 1, 3 * 16,
                                              VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE, 0};
    const struct mock_descriptor list[] = {
        {BUFFER, 1, VRING_DESC_F_INDIRECT, 9},
        {BUFFER + 100, 2, VRING_DESC_F_NEXT, 0},
        {BUFFER + 200, 4, VRING_DESC_F_WRITE | AVAIL | USED, 0},
    };
    uint16_t id;

    for (unsigned i = 0; i < 3; i++)
        mock_set_table_entry(&f->guest, TABLE + 1, i, &list[i]);
    id = mock_add(&f->ring, &reference, 1);
    assert_int_equal(pop(f), 1);
    assert_int_equal(f->chain.token.id, id);
    assert_int_equal(f->chain.token.slots, 1);
    assert_int_equal(f->chain.readable_count, 2);
    assert_int_equal(f->chain.readable_size, 3);
    assert_int_equal(f->chain.writable_count, 1);
    assert_int_equal(f->chain.writable_size, 4);
}

/* --- abuse --- */

static void bad_chains_break_the_queue(void **state)
{
    struct fixture *f = *state;

    /* The chain's next descriptor was never written, or is used, or of another lap. */
    restart(f, 0);
    put(f, 0, AVAILABLE_1 | VRING_DESC_F_NEXT);
    expect_broken(f, "not available");
    restart(f, 0);
    put(f, 0, AVAILABLE_1 | VRING_DESC_F_NEXT);
    put(f, 1, AVAIL | USED);
    expect_broken(f, "not available");
    restart(f, 0);
    put(f, 0, AVAILABLE_1 | VRING_DESC_F_NEXT);
    put(f, 1, AVAILABLE_0);
    expect_broken(f, "not available");

    /* It goes round and round. */
    restart(f, 0);
    for (uint16_t i = 0; i < SIZE; i++)
        put(f, i, AVAILABLE_1 | VRING_DESC_F_NEXT);
    expect_broken(f, "longer than the queue");
    restart_sized(f, 0, 1);
    put(f, 0, AVAILABLE_1 | VRING_DESC_F_NEXT);
    expect_broken(f, "longer than the queue");

    /* It runs into descriptors that are in flight. */
    restart(f, 0);
    put(f, 0, AVAILABLE_1);
    assert_int_equal(pop(f), 1);
    for (uint16_t i = 1; i < SIZE; i++)
        put(f, i, AVAILABLE_1 | VRING_DESC_F_NEXT);
    expect_broken(f, "not available");
}

static void indirect_descriptors_stand_alone(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor reference = {TABLE, 16, AVAILABLE_1 | VRING_DESC_F_INDIRECT, 1};
    struct mock_descriptor chained = reference;

    mock_set_table_entry(&f->guest, TABLE, 0, &(struct mock_descriptor){BUFFER, 8, 0, 0});
    chained.flags |= VRING_DESC_F_NEXT;
    mock_set_descriptor(&f->ring, 0, &chained);
    put(f, 1, AVAILABLE_1);
    expect_broken(f, "has a next one");

    restart(f, MOCK_INDIRECT);
    put(f, 0, AVAILABLE_1 | VRING_DESC_F_NEXT);
    mock_set_descriptor(&f->ring, 1, &reference);
    expect_broken(f, "indirect descriptor in a chain");
}

/* The driver offers a second lap before anything of the first came back. */
static void overtaking_the_device_breaks_the_queue(void **state)
{
    struct fixture *f = *state;

    for (uint16_t i = 0; i < SIZE; i++)
        put(f, i, AVAILABLE_1);
    for (unsigned i = 0; i < SIZE; i++)
        assert_int_equal(pop(f), 1);
    assert_int_equal(pop(f), 0);
    put(f, 0, AVAILABLE_0);
    assert_int_equal(pop(f), -EPROTO);
    assert_non_null(strstr(f->queue.fault, "in flight"));
}

static void only_packed_layouts_start(void **state)
{
    struct fixture *f = *state;
    struct virtq_setup setup;
    const char *fault;

    mock_ring_setup(&f->ring, &setup);
    setup.driver_area.v += 2;
    assert_int_equal(
        virtq_start(&f->queue, &f->guest.memory, &setup, SIZE, MOCK_PACKED, &fault), -EINVAL);
    setup.driver_area.v = END_OF_MEMORY - 4;
    setup.device_area.v = END_OF_MEMORY - 4;
    setup.size = 3;
    assert_int_equal(
        virtq_start(&f->queue, &f->guest.memory, &setup, SIZE, MOCK_PACKED, &fault), 0);
}

/* --- event suppression --- */

static void set_driver_event(struct fixture *f, uint16_t off_wrap, uint16_t flags)
{
    struct vring_packed_desc_event *event = mock_at(&f->guest, f->ring.avail, sizeof *event);

    event->off_wrap = off_wrap;
    event->flags = flags;
}

static void events_are_wished_at_a_descriptor(void **state)
{
    struct fixture *f = *state;
    const uint16_t wrap = 1u << VRING_PACKED_EVENT_F_WRAP_CTR;

    restart(f, MOCK_EVENT_IDX);
    set_driver_event(f, 2 | wrap, VRING_PACKED_EVENT_FLAG_DESC);
    for (unsigned i = 0; i < 3 * SIZE; i++)
        assert_int_equal(round_trip(f), i == 2 || i == 2 + 2 * SIZE);
    set_driver_event(f, 2, VRING_PACKED_EVENT_FLAG_DESC); /* of the second lap */
    for (unsigned i = 3 * SIZE; i < 4 * SIZE; i++)
        assert_int_equal(round_trip(f), i == 3 * SIZE + 2);
    set_driver_event(f, 2, VRING_PACKED_EVENT_FLAG_DISABLE);
    assert_false(round_trip(f));
    set_driver_event(f, 2, VRING_PACKED_EVENT_FLAG_ENABLE);
    assert_true(round_trip(f));
    /* What the driver may not write: a reserved value, a descriptor that is not there. */
    set_driver_event(f, 2, 3);
    assert_true(round_trip(f));
    set_driver_event(f, SIZE, VRING_PACKED_EVENT_FLAG_DESC);
    assert_true(round_trip(f));
    /* Reserved bits mean nothing. */
    set_driver_event(f, 2, 0xfff0 | VRING_PACKED_EVENT_FLAG_DISABLE);
    assert_false(round_trip(f));

    restart(f, 0); /* DESC without EVENT_IDX */
    set_driver_event(f, 5 | wrap, VRING_PACKED_EVENT_FLAG_DESC);
    assert_true(round_trip(f));
}

/* An event in the middle of a chain comes when the chain is used, though no descriptor there is. */
static void an_event_may_lie_within_a_chain(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor buffers[3] = {
        {BUFFER, 8, 0, 0}, {BUFFER, 8, 0, 0}, {BUFFER, 8, 0, 0}};

    restart(f, MOCK_EVENT_IDX);
    set_driver_event(f, 4 | 1u << VRING_PACKED_EVENT_F_WRAP_CTR, VRING_PACKED_EVENT_FLAG_DESC);
    for (unsigned i = 0; i < 3; i++) {
        mock_add(&f->ring, buffers, 3);
        assert_int_equal(pop(f), 1);
        virtq_push(&f->queue, f->chain.token, 0);
        assert_int_equal(virtq_wants_interrupt(&f->queue), i == 1);
    }
}

/* --- snapshots --- */

static void positions_that_do_not_exist_are_refused(void **state)
{
    struct fixture *f = *state;
    struct state_writer writer = {0};
    struct state_reader reader;

    f->queue.next_used = 2 * SIZE;
    state_begin(&writer, "q", 1);
    virtq_save(&f->queue, &writer);
    state_end(&writer);
    reader = (struct state_reader){.data = writer.data, .size = writer.size};
    state_enter(&reader, "q", 1);
    virtq_restore(&f->queue, &reader);
    assert_true(state_failed(&reader));
    assert_int_equal(f->queue.next_used, 0);
    state_writer_free(&writer);
}

#define PACKED_TEST(name) cmocka_unit_test_setup_teardown(name, open_packed, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PACKED_TEST(a_descriptor_is_available_in_its_lap_only),
        PACKED_TEST(any_size_goes_round),
        PACKED_TEST(used_descriptors_say_what_was_written),
        PACKED_TEST(chains_complete_in_any_order),
        PACKED_TEST(any_id_comes_back),
        PACKED_TEST(indirect_tables_are_lists),
        PACKED_TEST(bad_chains_break_the_queue),
        PACKED_TEST(indirect_descriptors_stand_alone),
        PACKED_TEST(overtaking_the_device_breaks_the_queue),
        PACKED_TEST(only_packed_layouts_start),
        PACKED_TEST(events_are_wished_at_a_descriptor),
        PACKED_TEST(an_event_may_lie_within_a_chain),
        PACKED_TEST(positions_that_do_not_exist_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
