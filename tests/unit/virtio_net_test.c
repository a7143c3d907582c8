/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio network device between a mock driver and a network that is the test. */
#include "support/net_fixture.h"

#include "devices/virtio/net_parts.h"

#include <sys/socket.h>

#define TURN_FRAMES 128u /* device.c's TURN_CHAINS */

/* --- configuration --- */

static void the_configuration_tells_the_network(void **state)
{
    struct fixture *f = *state;
    struct virtio_net_config config;
    uint64_t offered = mock_offered(&f->driver);

    virtio_device_read_config(f->device, 0, &config, sizeof config);
    assert_memory_equal(config.mac, mac, sizeof mac);
    assert_int_equal(config.status, VIRTIO_NET_S_LINK_UP);
    assert_int_equal(config.max_virtqueue_pairs, 2);
    assert_int_equal(config.mtu, FAKE_NET_MTU);
    assert_true(offered & FEATURE(HOST_TSO4) && offered & FEATURE(GUEST_TSO6));
    assert_true(offered & FEATURE(MQ) && offered & FEATURE(CTRL_VQ) && offered & MERGEABLE);
    assert_false(offered & FEATURE(CTRL_RX));
}

static void a_simple_network_offers_little(void **state)
{
    struct virtio_net_options options = plain_options();
    struct fixture *f = *state;
    uint64_t offered;

    close_fixture(state);
    options.mtu = 9000;
    create(f, 1, 0, &options);
    offered = mock_offered(&f->driver);
    assert_int_equal(f->device->queue_count, 2);
    assert_int_equal(offered & 0xffffffu & ~(FEATURE(MAC) | FEATURE(STATUS) | FEATURE(MTU) |
                                             MERGEABLE), 0);
    assert_int_equal(offered >> 50 & 0x7f, 0);
    mock_start(&f->driver, 0, SIZE);
}

/* --- receiving --- */

static void a_frame_lands_in_one_buffer(void **state)
{
    struct fixture *f = *state;

    for (unsigned merged = 0; merged < 2; merged++) {
        f->next_buffer = 0;
        mock_start(&f->driver, merged ? MERGEABLE : 0, SIZE);
        refill(f, 4, 2000);
        for (unsigned i = 0; i < 3; i++)
            arrive(f, 100 + i, i);
        mock_settle(&f->guest);
        assert_true(mock_interrupted(&f->driver, NULL));
        for (unsigned i = 0; i < 3; i++)
            expect_frame(f, i, 1, 100 + i, i);
        assert_true(nothing_received(f));
    }
    assert_int_equal(counter_read(&f->device->queues[RECEIVE].counters.interrupts), 2);
}

static void a_large_frame_is_spread_over_buffers(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, MERGEABLE, SIZE);
    refill(f, SIZE, 1000);
    /* The first one comes as a surprise, and the second one is expected. */
    for (unsigned i = 0; i < 2; i++) {
        arrive(f, 5001, i);
        mock_settle(&f->guest);
        expect_frame(f, 6 * i, 6, 5001, i);
    }
    arrive(f, 4000, 9);
    mock_settle(&f->guest);
    expect_frame(f, 12, 4, 4000, 9);
}

static void the_largest_frame_fits(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, MERGEABLE, SIZE);
    for (unsigned i = 0; i < 3; i++) {
        refill(f, SIZE, 0x1200);
        arrive(f, NET_FRAME_ROOM, i);
        mock_settle(&f->guest);
        expect_frame(f, SIZE * i, 15, NET_FRAME_ROOM, i);
        arrive(f, 0x1200, 3);
        mock_settle(&f->guest);
        expect_frame(f, SIZE * i + 15, 1, 0x1200, 3);
    }
}

static void a_chain_of_many_pieces_is_one_buffer(void **state)
{
    struct fixture *f = *state;
    struct mock_descriptor pieces[8];
    struct virtio_net_hdr_v1 *header;
    uint32_t length;

    mock_start(&f->driver, MERGEABLE, SIZE);
    for (unsigned i = 0; i < 8; i++)
        pieces[i] = (struct mock_descriptor){buffer_at(0) + i * 0x1000, i < 2 ? 7 : 500,
                                             VRING_DESC_F_WRITE, 0};
    mock_add(&f->driver.rings[RECEIVE], pieces, 8);
    mock_kick(&f->driver, RECEIVE);
    header = mock_at(&f->guest, buffer_at(0), 7); /* its end lies in the second piece */
    arrive(f, 2000, 5);
    mock_settle(&f->guest);
    assert_true(mock_take(&f->driver.rings[RECEIVE], NULL, &length));
    assert_int_equal(length, 2000);
    assert_int_equal(header->flags, pattern(5, 0));
    assert_int_equal(*(uint8_t *)mock_at(&f->guest, buffer_at(0) + 0x1003, 1), 1);
}

static void without_merging_a_frame_that_is_too_large_is_lost(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, 0, SIZE);
    refill(f, 3, 1000);
    arrive(f, 1001, 1);
    arrive(f, 1000, 2);
    mock_settle(&f->guest);
    expect_frame(f, 0, 1, 1000, 2);
    assert_true(nothing_received(f));
}

static void without_merging_no_frame_is_spread(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, 0, SIZE);
    refill(f, 8, 1000);
    arrive(f, 500, 1); /* the next time two buffers are in hand */
    mock_settle(&f->guest);
    expect_frame(f, 0, 1, 500, 1);
    arrive(f, 1500, 2);
    arrive(f, 400, 3);
    mock_settle(&f->guest);
    expect_frame(f, 1, 1, 400, 3);
    assert_true(nothing_received(f));
}

static unsigned long overflows(const struct fixture *f)
{
    const struct virtio_net *net = (const struct virtio_net *)f->device;

    return (unsigned long)counter_read(&net->receivers[0].overflows);
}

/* However many frames come that no buffer is large enough for, others have their turns. */
static void what_is_lost_is_lost_in_turns(void **state)
{
    static const uint8_t frame[100];
    struct fixture *f = *state;
    unsigned long sent = 0, turns = 0;

    mock_start(&f->driver, 0, SIZE);
    refill(f, 1, 20);
    while (send(f->fake.host[0], frame, sizeof frame, MSG_DONTWAIT) > 0)
        sent++;
    assert_true(sent > TURN_FRAMES);
    while (overflows(f) < sent && turns <= sent) {
        unsigned long before = overflows(f);

        mock_turn(&f->guest);
        turns++;
        assert_in_range(overflows(f) - before, 0, TURN_FRAMES);
    }
    assert_int_equal(overflows(f), sent);
    assert_true(nothing_received(f));
}

static void no_buffers_mean_no_polling(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, MERGEABLE, SIZE);
    for (unsigned i = 0; i < 10; i++)
        arrive(f, 200, i);
    assert_int_equal(mock_turn(&f->guest), 0);
    for (unsigned round = 0; round < 5; round++) {
        refill(f, 2, 1000);
        expect_frame(f, 2 * round, 1, 200, 2 * round);
        expect_frame(f, 2 * round + 1, 1, 200, 2 * round + 1);
        assert_true(nothing_received(f));
        assert_int_equal(mock_turn(&f->guest), 0);
    }
    refill(f, 1, 1000);
    arrive(f, 300, 77); /* the network is watched again by itself */
    mock_settle(&f->guest);
    expect_frame(f, 10, 1, 300, 77);
}

static void a_frame_waits_for_enough_buffers(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, MERGEABLE, SIZE);
    refill(f, 2, 1000);
    arrive(f, 3500, 1);
    arrive(f, 100, 2);
    mock_settle(&f->guest);
    assert_true(nothing_received(f)); /* not half of it either */
    assert_int_equal(mock_turn(&f->guest), 0);
    refill(f, 1, 1000);
    assert_true(nothing_received(f));
    refill(f, 2, 1000);
    expect_frame(f, 0, 4, 3500, 1);
    expect_frame(f, 4, 1, 100, 2);
}

/* Small frames that come at once, a large one among them, and one that came late. */
static void frames_keep_their_order(void **state)
{
    struct fixture *f = *state;

    for (unsigned gap = 0; gap < 4; gap++) {
        f->next_buffer = 0;
        mock_start(&f->driver, MERGEABLE, SIZE);
        refill(f, 7, 1000);
        for (unsigned i = 0; i < 3; i++) {
            arrive(f, 100, i); /* some more at once each time */
            mock_settle(&f->guest);
            expect_frame(f, i, 1, 100, i);
        }
        f->fake.gap = gap;
        arrive(f, 200, 10);
        arrive(f, 2500, 11);
        arrive(f, 300, 12);
        mock_settle(&f->guest);
        mock_kick(&f->driver, RECEIVE);
        expect_frame(f, 3, 1, 200, 10);
        assert_false(nothing_received(f));
        expect_frame(f, 4, 3, 2500, 11);
        assert_true(nothing_received(f));
        refill(f, 1, 1000);
        expect_frame(f, 7, 1, 300, 12);
    }
}

/* Long enough for every place in which the device keeps buffers, with some left over each time. */
static void frames_of_all_sizes_in_a_row(void **state)
{
    struct fixture *f = *state;
    unsigned taken = 0;

    mock_start(&f->driver, MERGEABLE, SIZE);
    refill(f, SIZE, 1000);
    for (unsigned i = 0; i < 600; i++) {
        const uint32_t sizes[2] = {100 + i * 577 % 6000, 100 + i * 1031 % 6000};
        unsigned before = taken;

        for (unsigned k = 0; k < 2; k++)
            arrive(f, sizes[k], i + k);
        mock_settle(&f->guest);
        for (unsigned k = 0; k < 2; k++) {
            unsigned buffers = (sizes[k] + 999) / 1000;

            expect_frame(f, taken, buffers, sizes[k], i + k);
            taken += buffers;
        }
        refill(f, taken - before, 1000);
    }
}

static void a_frame_that_no_ring_can_hold_is_lost(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, MERGEABLE, SIZE);
    refill(f, SIZE, 100);
    arrive(f, 5000, 1);
    arrive(f, 150, 2);
    mock_settle(&f->guest);
    expect_frame(f, 0, 2, 150, 2);
}

static void a_buffer_without_room_for_a_header_breaks_the_device(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, MERGEABLE, SIZE);
    refill(f, 1, NET_HEADER_SIZE - 1);
    assert_true(mock_status(&f->driver) & VIRTIO_CONFIG_S_NEEDS_RESET);
    assert_int_equal(f->guest.log_lines, 1);
    arrive(f, 100, 1);
    assert_int_equal(mock_turn(&f->guest), 0);
    f->next_buffer = 0;
    mock_start(&f->driver, MERGEABLE, SIZE);
    refill(f, 1, 200);
    expect_frame(f, 0, 1, 100, 1);
}

static void a_flood_is_served_in_turns(void **state)
{
    struct fixture *f = *state;
    const struct virtio_queue_counters *counters = &f->device->queues[RECEIVE].counters;
    uint64_t before;

    mock_start(&f->driver, MERGEABLE, 256);
    for (unsigned i = 0; i < 256; i++)
        mock_add(&f->driver.rings[RECEIVE],
                 &(struct mock_descriptor){BUFFERS + i * 0x200, 0x200, VRING_DESC_F_WRITE, 0}, 1);
    for (unsigned i = 0; i < 200; i++)
        arrive(f, 60, i);
    before = counter_read(&counters->kicks) + counter_read(&counters->polls);
    virtio_queue_kick(&f->device->queues[RECEIVE]);
    mock_settle(&f->guest);
    assert_in_range(counter_read(&counters->kicks) + counter_read(&counters->polls) - before, 2, 9);
    assert_int_equal(mock_used_idx(&f->driver.rings[RECEIVE]), 200);
}

/* --- sending --- */

static void frames_are_sent_as_one_batch(void **state)
{
    struct fixture *f = *state;

    for (unsigned offloads = 0; offloads < 2; offloads++) {
        mock_start(&f->driver, offloads ? FEATURE(CSUM) : 0, SIZE);
        f->fake.sends = 0;
        for (unsigned i = 0; i < 5; i++)
            put_frame(f, i, 100 + i, i % 2 ? 100 + i : 12 + i, i);
        mock_kick(&f->driver, SEND);
        for (unsigned i = 0; i < 5; i++)
            expect_sent(f, 100 + i, i, offloads);
        assert_int_equal(f->fake.sends, 1);
        assert_int_equal(mock_used_idx(&f->driver.rings[SEND]), 5);
    }
}

static void what_is_no_frame_is_not_sent(void **state)
{
    static const uint32_t sizes[] = {1, NET_HEADER_SIZE, NET_HEADER_SIZE + NET_FRAME_MIN - 1,
                                     NET_FRAME_ROOM + 1};
    struct fixture *f = *state;

    mock_start(&f->driver, FEATURE(CSUM), SIZE);
    for (unsigned i = 0; i < 4; i++)
        put_frame(f, i, sizes[i], sizes[i], i);
    mock_add(&f->driver.rings[SEND],
             &(struct mock_descriptor){buffer_at(5), 100, VRING_DESC_F_WRITE, 0}, 1);
    put_frame(f, 6, NET_HEADER_SIZE + NET_FRAME_MIN, 20, 6);
    mock_kick(&f->driver, SEND);
    expect_sent(f, NET_HEADER_SIZE + NET_FRAME_MIN, 6, true);
    assert_true(nothing_sent(f));
    assert_int_equal(mock_used_idx(&f->driver.rings[SEND]), 6);
    assert_int_equal(counter_read(&f->device->queues[SEND].counters.errors), 5);
    assert_int_equal(mock_status(&f->driver) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
}

/* Fills the network with large frames until it takes no more; returns how many were offered. */
static unsigned fill_network(struct fixture *f)
{
    unsigned count = 0;

    do {
        put_frame(f, count % SIZE, 60000, 12, count);
        count++;
        mock_kick(&f->driver, SEND);
    } while (mock_used_idx(&f->driver.rings[SEND]) == count);
    return count;
}

static void a_full_network_is_waited_for(void **state)
{
    struct fixture *f = *state;
    unsigned count;

    mock_start(&f->driver, FEATURE(CSUM), SIZE);
    count = fill_network(f);
    assert_int_equal(mock_turn(&f->guest), 0);
    put_frame(f, count, 100, 100, count);
    mock_kick(&f->driver, SEND);
    for (unsigned i = 0; i < count; i++) {
        expect_sent(f, 60000, i, true);
        mock_settle(&f->guest);
    }
    expect_sent(f, 100, count, true);
    assert_int_equal(mock_used_idx(&f->driver.rings[SEND]), count + 1);
}

/* What waits for something else than the ring is not looked at over and over. */
static void waiting_frames_keep_nobody_busy(void **state)
{
    struct fixture *f = *state;
    unsigned count, turns = 0;

    mock_start(&f->driver, FEATURE(CSUM) | MERGEABLE, SIZE);
    count = fill_network(f);
    put_frame(f, count, 100, 100, count); /* no kick: the loop would see it by itself */
    while (mock_turn(&f->guest) > 0)
        assert_true(++turns < 100);
    refill(f, 4, 1000);
    for (unsigned i = 0; i < 3; i++)
        arrive(f, 100, i);
    mock_settle(&f->guest);
    offer(f, 4, 1000);
    for (turns = 0; mock_turn(&f->guest) > 0;)
        assert_true(++turns < 100);
}

static void frames_in_hand_are_dropped_when_the_link_is_lost(void **state)
{
    struct fixture *f = *state;
    unsigned count;

    mock_start(&f->driver, FEATURE(CSUM) | MERGEABLE, SIZE);
    refill(f, 2, 1000);
    count = fill_network(f);
    assert_int_equal(shutdown(f->fake.host[0], SHUT_WR), 0);
    mock_settle(&f->guest);
    assert_int_equal(mock_used_idx(&f->driver.rings[SEND]), count);
}

static void a_lost_link_shows_and_swallows(void **state)
{
    struct fixture *f = *state;
    struct virtio_net_config config;
    uint32_t causes;

    mock_start(&f->driver, MERGEABLE, SIZE);
    refill(f, 2, 1000);
    close(f->fake.host[0]);
    f->fake.host[0] = -1;
    mock_settle(&f->guest);
    assert_true(mock_interrupted(&f->driver, &causes));
    assert_true(causes & VIRTIO_MMIO_INT_CONFIG);
    virtio_device_read_config(f->device, 0, &config, sizeof config);
    assert_int_equal(config.status, 0);
    put_frame(f, 3, 100, 100, 1);
    mock_kick(&f->driver, SEND);
    assert_int_equal(mock_used_idx(&f->driver.rings[SEND]), 1);
    mock_start(&f->driver, MERGEABLE, SIZE); /* a link that is down is no reason not to start */
    refill(f, 2, 1000);
    assert_int_equal(mock_turn(&f->guest), 0);
}

/* --- control --- */

static void pairs_join_and_leave(void **state)
{
    struct fixture *f = *state;
    struct mock_ring *second = &f->driver.rings[2];

    mock_start(&f->driver, MERGEABLE | CONTROLLABLE, SIZE);
    mock_add(second, &(struct mock_descriptor){buffer_at(0), 1000, VRING_DESC_F_WRITE, 0}, 1);
    mock_kick(&f->driver, 2);
    arrive_on(f, 1, 100, 1);
    mock_settle(&f->guest);
    assert_int_equal(mock_used_idx(second), 0);

    assert_int_equal(set_pairs(f, 2), VIRTIO_NET_OK);
    assert_int_equal(f->fake.pairs_used, 3);
    assert_int_equal(mock_used_idx(second), 1);

    assert_int_equal(set_pairs(f, 1), VIRTIO_NET_OK);
    assert_int_equal(f->fake.pairs_used, 1);
    mock_add(second, &(struct mock_descriptor){buffer_at(0), 1000, VRING_DESC_F_WRITE, 0}, 1);
    mock_kick(&f->driver, 2);
    arrive_on(f, 1, 100, 1);
    assert_int_equal(mock_turn(&f->guest), 0);

    assert_int_equal(set_pairs(f, 2), VIRTIO_NET_OK);
    mock_start(&f->driver, MERGEABLE | CONTROLLABLE, SIZE);
    assert_int_equal(f->fake.pairs_used, 1);
}

static void bad_commands_change_nothing(void **state)
{
    struct fixture *f = *state;
    const uint64_t zeros[2] = {0};

    mock_start(&f->driver, MERGEABLE | CONTROLLABLE | FEATURE(GUEST_CSUM), SIZE);
    assert_int_equal(set_pairs(f, 0), VIRTIO_NET_ERR);
    assert_int_equal(set_pairs(f, 3), VIRTIO_NET_ERR);
    assert_int_equal(set_pairs(f, 0x8001), VIRTIO_NET_ERR);
    assert_int_equal(set_offloads(f, FEATURE(GUEST_TSO4)), VIRTIO_NET_ERR); /* not accepted */
    assert_int_equal(set_offloads(f, FEATURE(HOST_TSO4)), VIRTIO_NET_ERR);
    for (unsigned size = 0; size < 16; size++) {
        if (size != 2)
            assert_int_equal(run_command(f, CONTROL, VIRTIO_NET_CTRL_MQ, 0, zeros, size),
                             VIRTIO_NET_ERR);
        if (size != 8)
            assert_int_equal(run_command(f, CONTROL, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, zeros,
                                         size), VIRTIO_NET_ERR);
    }
    for (unsigned class = 0; class < 8; class++)
        assert_int_equal(run_command(f, CONTROL, class, 7, zeros, 2), VIRTIO_NET_ERR);
    assert_int_equal(f->fake.pairs_used, 1);
    assert_int_equal(f->fake.offloads, NET_OFFLOAD_CSUM);
    assert_int_equal(mock_status(&f->driver) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
}

static void a_command_needs_room_for_its_answer(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, CONTROLLABLE, SIZE);
    mock_add(&f->driver.rings[CONTROL], &(struct mock_descriptor){COMMAND, 4, 0, 0}, 1);
    mock_kick(&f->driver, CONTROL);
    assert_true(mock_status(&f->driver) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

static void offloads_follow_what_is_accepted(void **state)
{
    const uint64_t all = FEATURE(GUEST_CSUM) | FEATURE(GUEST_TSO4) | FEATURE(GUEST_TSO6) |
                         FEATURE(GUEST_ECN) | FEATURE(GUEST_UFO) | MOCK_FEATURE(54);
    struct fixture *f = *state;

    assert_int_equal(f->fake.offloads, 0);
    mock_start(&f->driver, CONTROLLABLE | all, SIZE);
    assert_int_equal(f->fake.offloads, FAKE_NET_OFFLOADS & ~NET_OFFLOAD_USO); /* a half of it */
    assert_int_equal(set_offloads(f, FEATURE(GUEST_CSUM)), VIRTIO_NET_OK);
    assert_int_equal(f->fake.offloads, NET_OFFLOAD_CSUM);
    mock_start(&f->driver, CONTROLLABLE | all | MOCK_FEATURE(55), SIZE);
    assert_int_equal(f->fake.offloads, FAKE_NET_OFFLOADS);
    mock_write32(&f->driver, VIRTIO_MMIO_STATUS, 0);
    assert_int_equal(f->fake.offloads, 0);
}

/* 5.1.2: N is 1 for a driver that has not accepted several pairs. */
static void without_multiqueue_queue_2_is_control(void **state)
{
    struct fixture *f = *state;
    const uint64_t none = 0;

    mock_start(&f->driver, FEATURE(CTRL_VQ) | FEATURE(CTRL_GUEST_OFFLOADS) | FEATURE(GUEST_CSUM),
               SIZE);
    assert_int_equal(f->fake.offloads, NET_OFFLOAD_CSUM);
    assert_int_equal(run_command(f, 2, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &none, sizeof none),
                     VIRTIO_NET_OK);
    assert_int_equal(f->fake.offloads, 0);
}

/* --- life --- */

static void the_device_works_again_after_a_reset(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 3; i++) {
        f->next_buffer = 0;
        mock_start(&f->driver, MERGEABLE | FEATURE(CSUM), SIZE);
        refill(f, 2, 1000);
        arrive(f, 100, 1);
        mock_settle(&f->guest);
        expect_frame(f, 0, 1, 100, 1);
        arrive(f, 3000, i); /* is held, and lost with the reset */
        mock_settle(&f->guest);
        fill_network(f);
        mock_write32(&f->driver, VIRTIO_MMIO_STATUS, 0);
        while (!nothing_sent(f))
            recv(f->fake.host[0], &(char){0}, 1, 0);
        mock_settle(&f->guest);
    }
}

static void a_snapshot_keeps_queues_and_offloads(void **state)
{
    struct fixture *f = *state;
    struct state_writer writer = {0};
    struct state_reader reader;
    struct err err;

    mock_start(&f->driver, MERGEABLE | CONTROLLABLE | FEATURE(GUEST_CSUM), SIZE);
    refill(f, 3, 1000);
    assert_int_equal(set_pairs(f, 2), VIRTIO_NET_OK);
    virtio_device_save(f->device, &writer);
    mock_write32(&f->driver, VIRTIO_MMIO_STATUS, 0);
    reader = (struct state_reader){.data = writer.data, .size = writer.size};
    if (virtio_device_restore(f->device, &reader, &err))
        fail_msg("%s", err.message);
    mock_settle(&f->guest);
    assert_int_equal(f->fake.pairs_used, 3);
    assert_int_equal(f->fake.offloads, NET_OFFLOAD_CSUM);
    arrive(f, 2500, 4); /* needs all three buffers */
    mock_settle(&f->guest);
    expect_frame(f, 0, 3, 2500, 4);
    state_writer_free(&writer);
}

/* Whether so many frames come within the pump's patience; none of them at once but the first. */
static void limits_hold_back_frames(void **state)
{
    struct virtio_net_options options = plain_options();
    struct fixture *f = *state;
    uint64_t before;

    close_fixture(state);
    rate_init(&options.receive_rate.operations, 10, 1, timing_now());
    rate_init(&options.send_rate.bytes, 1000, 1, timing_now());
    create(f, 1, FAKE_NET_OFFLOADS, &options);
    mock_start(&f->driver, MERGEABLE | FEATURE(CSUM), SIZE);
    before = timing_now();
    refill(f, 4, 1000);
    for (unsigned i = 0; i < 4; i++) {
        arrive(f, 100, i);
        put_frame(f, SIZE / 2 + i, 112, 112, i);
    }
    mock_kick(&f->driver, SEND);
    assert_int_equal(mock_used_idx(&f->driver.rings[RECEIVE]), 1);
    assert_int_equal(mock_used_idx(&f->driver.rings[SEND]), 1);
    while (mock_used_idx(&f->driver.rings[RECEIVE]) < 4 ||
           mock_used_idx(&f->driver.rings[SEND]) < 4)
        assert_true(pump(&f->guest.loop, PUMP_PATIENCE_MS) > 0);
    assert_true(timing_now() - before >= 275 * 1000 * 1000);
    for (unsigned i = 0; i < 4; i++) {
        expect_frame(f, i, 1, 100, i);
        expect_sent(f, 112, i, true);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_configuration_tells_the_network),
        TEST(a_simple_network_offers_little),
        TEST(a_frame_lands_in_one_buffer),
        TEST(a_large_frame_is_spread_over_buffers),
        TEST(the_largest_frame_fits),
        TEST(a_chain_of_many_pieces_is_one_buffer),
        TEST(without_merging_a_frame_that_is_too_large_is_lost),
        TEST(without_merging_no_frame_is_spread),
        TEST(what_is_lost_is_lost_in_turns),
        TEST(no_buffers_mean_no_polling),
        TEST(a_frame_waits_for_enough_buffers),
        TEST(frames_keep_their_order),
        TEST(frames_of_all_sizes_in_a_row),
        TEST(a_frame_that_no_ring_can_hold_is_lost),
        TEST(a_buffer_without_room_for_a_header_breaks_the_device),
        TEST(a_flood_is_served_in_turns),
        TEST(frames_are_sent_as_one_batch),
        TEST(what_is_no_frame_is_not_sent),
        TEST(a_full_network_is_waited_for),
        TEST(waiting_frames_keep_nobody_busy),
        TEST(frames_in_hand_are_dropped_when_the_link_is_lost),
        TEST(a_lost_link_shows_and_swallows),
        TEST(pairs_join_and_leave),
        TEST(bad_commands_change_nothing),
        TEST(a_command_needs_room_for_its_answer),
        TEST(offloads_follow_what_is_accepted),
        TEST(without_multiqueue_queue_2_is_control),
        TEST(the_device_works_again_after_a_reset),
        TEST(a_snapshot_keeps_queues_and_offloads),
        TEST(limits_hold_back_frames),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
