/* SPDX-License-Identifier: Apache-2.0 */
/* One queue on one mock ring, without a device: what the tests of virtqueues share. */
#ifndef HUSK_TESTS_QUEUE_FIXTURE_H
#define HUSK_TESTS_QUEUE_FIXTURE_H

#include "support/mock_driver.h"

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

/* A new ring of `size`, in the guest's format. */
static inline void restart_sized(struct fixture *f, uint64_t features, uint16_t size)
{
    struct virtq_setup setup;
    const char *fault = NULL;

    mock_ring_place(&f->ring, &f->guest, 0, size);
    mock_ring_setup(&f->ring, &setup);
    if (f->guest.packed)
        features |= MOCK_PACKED;
    assert_int_equal(
        virtq_start(&f->queue, &f->guest.memory, &setup, VIRTQ_SIZE_MAX, features, &fault), 0);
}

static inline void restart(struct fixture *f, uint64_t features)
{
    restart_sized(f, features, SIZE);
}

static inline int open_fixture(void **state)
{
    static struct fixture f;

    mock_guest_open(&f.guest);
    restart(&f, MOCK_INDIRECT);
    *state = &f;
    return 0;
}

static inline int close_fixture(void **state)
{
    struct fixture *f = *state;

    mock_guest_close(&f->guest);
    return 0;
}

static inline int pop(struct fixture *f)
{
    memset(&f->chain, 0xee, sizeof f->chain);
    return virtq_pop(&f->queue, &f->chain);
}

/* The next pop finds the queue broken; so it stays, whatever comes, and leaves the rings alone. */
static inline void expect_broken(struct fixture *f, const char *fault)
{
    const struct mock_descriptor good = {BUFFER, 8, 0, 0};
    uint16_t used = mock_used_idx(&f->ring);

    assert_int_equal(pop(f), -EPROTO);
    assert_non_null(f->queue.fault);
    if (!strstr(f->queue.fault, fault))
        fail_msg("\"%s\" is not about: %s", f->queue.fault, fault);
    mock_add(&f->ring, &good, 1);
    assert_int_equal(pop(f), -EPROTO);
    virtq_push(&f->queue, (struct virtq_token){0, 1}, 0);
    assert_int_equal(mock_used_idx(&f->ring), used);
    assert_false(virtq_wants_interrupt(&f->queue));
    assert_false(virtq_enable_kicks(&f->queue));
}

static inline void breaks(struct fixture *f, const char *fault,
                          const struct mock_descriptor *buffers, unsigned count)
{
    restart(f, MOCK_INDIRECT);
    mock_add(&f->ring, buffers, count);
    expect_broken(f, fault);
}

/* One chain through the queue; whether it caused an interrupt. */
static inline bool round_trip(struct fixture *f)
{
    const struct mock_descriptor buffer = {BUFFER, 8, 0, 0};
    uint16_t name = mock_add(&f->ring, &buffer, 1);
    uint32_t taken, length;

    assert_int_equal(pop(f), 1);
    virtq_push(&f->queue, f->chain.token, 0);
    assert_true(mock_take(&f->ring, &taken, &length));
    assert_int_equal(taken, name);
    return virtq_wants_interrupt(&f->queue);
}

/* The position of the n-th slot that is used, as event indexes count. */
static inline uint16_t position(const struct fixture *f, uint32_t n)
{
    return (uint16_t)(f->guest.packed ? n % (2 * SIZE) : n);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

#endif
