/* SPDX-License-Identifier: Apache-2.0 */
/* The entropy source: it gives what looks random, but not without end. */
#include "devices/virtio/rng.h"
#include "support/mock_driver.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SIZE 64u
#define DATA MOCK_BUFFERS

struct fixture {
    struct mock_guest guest;
    struct virtio_device *device;
    struct mock_driver driver;
};

static int open_fixture(void **state)
{
    static struct fixture f;

    mock_guest_open(&f.guest);
    assert_int_equal(virtio_rng_create(&f.device, &f.guest.environment, NULL), 0);
    mock_driver_open(&f.driver, &f.guest, f.device);
    mock_start(&f.driver, 0, SIZE);
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;

    virtio_device_destroy(f->device);
    mock_driver_close(&f->driver);
    mock_guest_close(&f->guest);
    return 0;
}

/* Asks for bytes in two pieces; how many came. */
static uint32_t ask(struct fixture *f, uint32_t first, uint32_t second)
{
    const struct mock_descriptor buffers[] = {
        {DATA, first, VRING_DESC_F_WRITE, 0},
        {DATA + 0x10000, second, VRING_DESC_F_WRITE, 0},
    };
    uint32_t length;

    mock_add(&f->driver.rings[0], buffers, 2);
    mock_kick(&f->driver, 0);
    return mock_take(&f->driver.rings[0], NULL, &length) ? length : UINT32_MAX;
}

static void it_fills_buffers_with_different_bytes(void **state)
{
    struct fixture *f = *state;
    uint8_t first[64];

    assert_int_equal(ask(f, 64, 32), 96);
    memcpy(first, mock_at(&f->guest, DATA, 64), 64);
    assert_memory_not_equal(first, (const uint8_t[64]){0}, 64);
    assert_memory_not_equal(mock_at(&f->guest, DATA + 0x10000, 32), (const uint8_t[32]){0}, 32);
    assert_int_equal(ask(f, 64, 32), 96);
    assert_memory_not_equal(first, mock_at(&f->guest, DATA, 64), 64);
    assert_true(mock_interrupted(&f->driver, NULL));
}

static void one_request_gets_a_bounded_answer(void **state)
{
    struct fixture *f = *state;
    const uint8_t *beyond = mock_at(&f->guest, DATA + 4096, 4096);

    assert_int_equal(ask(f, 0x10000, 16), 4096);
    for (unsigned i = 0; i < 4096; i++)
        assert_int_equal(beyond[i], 0);
    assert_int_equal(ask(f, 4000, 200), 4096);
}

static void buffers_that_cannot_be_written_come_back_empty(void **state)
{
    struct fixture *f = *state;
    uint32_t length;

    mock_add(&f->driver.rings[0], &(struct mock_descriptor){DATA, 64, 0, 0}, 1);
    mock_kick(&f->driver, 0);
    assert_true(mock_take(&f->driver.rings[0], NULL, &length));
    assert_int_equal(length, 0);
}

/* The guest asks and asks: it is cut off, nothing spins, and after a while it gets more. */
static void the_rate_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct pollfd loop = {.fd = f->guest.loop.epoll_fd, .events = POLLIN};
    unsigned answered = 0;

    while (answered < 10000 && ask(f, 4096, 0) != UINT32_MAX)
        answered++;
    assert_in_range(answered, 10, 100);
    assert_int_equal(mock_turn(&f->guest), 0);
    /* A reset is no way around it. */
    mock_start(&f->driver, 0, SIZE);
    assert_int_equal(ask(f, 4096, 0), UINT32_MAX);
    assert_int_equal(poll(&loop, 1, 10000), 1); /* the timer */
    mock_settle(&f->guest);
    assert_true(mock_take(&f->driver.rings[0], NULL, NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_fills_buffers_with_different_bytes),
        TEST(one_request_gets_a_bounded_answer),
        TEST(buffers_that_cannot_be_written_come_back_empty),
        TEST(the_rate_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
