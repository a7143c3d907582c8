/* SPDX-License-Identifier: Apache-2.0 */
/* What virtio-mmio has to itself; the rest is tested by virtio_device_test.c. */
#include "support/echo.h"
#include "support/mock_driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define BUFFER MOCK_BUFFERS
#define FEATURE_A ECHO_FEATURE
#define SIZE ECHO_QUEUE_SIZE

struct fixture {
    struct mock_guest guest;
    struct echo echo;
    struct mock_driver driver;
};

static int open_fixture(void **state)
{
    static struct fixture f;

    mock_guest_open(&f.guest);
    echo_open(&f.echo, &f.guest);
    mock_driver_open(&f.driver, &f.guest, &f.echo.device);
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;

    virtio_device_destroy(&f->echo.device);
    mock_driver_close(&f->driver);
    mock_guest_close(&f->guest);
    return 0;
}

static void add_buffers(struct fixture *f, unsigned queue, unsigned count)
{
    const struct mock_descriptor buffer = {BUFFER, 8, VRING_DESC_F_WRITE, 0};

    while (count-- > 0)
        mock_add(&f->driver.rings[queue], &buffer, 1);
}

static void the_window_introduces_itself(void **state)
{
    struct mock_driver *driver = &((struct fixture *)*state)->driver;
    uint64_t rings = MOCK_INDIRECT | MOCK_EVENT_IDX | (driver->guest->packed ? MOCK_PACKED : 0);

    assert_int_equal(mock_read32(driver, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
    assert_int_equal(mock_read32(driver, VIRTIO_MMIO_VERSION), 2);
    assert_int_equal(mock_read32(driver, VIRTIO_MMIO_DEVICE_ID), 42);
    assert_int_equal(mock_offered(driver), MOCK_FEATURE(FEATURE_A) | MOCK_VERSION_1 | rings);
    mock_write32(driver, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
    assert_int_equal(mock_read32(driver, VIRTIO_MMIO_DEVICE_FEATURES), 0);
    mock_write32(driver, VIRTIO_MMIO_QUEUE_SEL, 1);
    assert_int_equal(mock_read32(driver, VIRTIO_MMIO_QUEUE_NUM_MAX), VIRTQ_SIZE_MAX);
    mock_write32(driver, VIRTIO_MMIO_QUEUE_SEL, 2);
    assert_int_equal(mock_read32(driver, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
    assert_int_equal(mock_read32(driver, VIRTIO_MMIO_SHM_LEN_LOW), UINT32_MAX);
    assert_int_equal(mock_read32(driver, VIRTIO_MMIO_SHM_BASE_HIGH), UINT32_MAX);
    assert_int_equal(virtio_mmio_queue_count(&driver->mmio), 2);
    assert_true(virtio_mmio_queue_notify_fd(&driver->mmio, 1) >= 0);
    assert_int_equal(virtio_mmio_queue_notify_fd(&driver->mmio, 2), -1);
}

/* Every width at every offset, reading and writing: nothing may change but what 4.2.2 defines. */
static void odd_accesses_are_harmless(void **state)
{
    struct fixture *f = *state;
    const uint64_t ones = ~0ull;

    mock_start(&f->driver, 0, SIZE);
    for (unsigned size = 1; size <= 8; size *= 2) {
        for (uint64_t offset = 0; offset + size <= VIRTIO_MMIO_WINDOW; offset++) {
            uint64_t value = ones;

            virtio_mmio_ops.read(&f->driver.mmio, offset, &value, size);
            if (offset < VIRTIO_MMIO_CONFIG && (size != 4 || offset % 4 != 0)) {
                assert_int_equal(value & (size == 8 ? ones : (1ull << 8 * size) - 1), 0);
                virtio_mmio_ops.write(&f->driver.mmio, offset, &ones, size);
            }
        }
    }
    assert_int_equal(mock_status(&f->driver), MOCK_ALIVE);
    assert_int_equal(f->echo.resets, 1);
    add_buffers(f, 0, 1);
    mock_kick(&f->driver, 0);
    assert_true(mock_take(&f->driver.rings[0], NULL, NULL));
}

static void queue_ready_0_stops_a_queue(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, 0, SIZE);
    mock_write32(&f->driver, VIRTIO_MMIO_QUEUE_SEL, 0);
    assert_int_equal(mock_read32(&f->driver, VIRTIO_MMIO_QUEUE_READY), 1);
    mock_write32(&f->driver, VIRTIO_MMIO_QUEUE_READY, 0);
    assert_int_equal(mock_read32(&f->driver, VIRTIO_MMIO_QUEUE_READY), 0);
    add_buffers(f, 0, 1);
    add_buffers(f, 1, 1);
    mock_kick(&f->driver, 0);
    mock_kick(&f->driver, 1);
    assert_false(mock_take(&f->driver.rings[0], NULL, NULL));
    assert_true(mock_take(&f->driver.rings[1], NULL, NULL));
    mock_write32(&f->driver, VIRTIO_MMIO_QUEUE_READY, 1); /* only after a reset */
    assert_int_equal(mock_read32(&f->driver, VIRTIO_MMIO_QUEUE_READY), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_window_introduces_itself),
        TEST(odd_accesses_are_harmless),
        TEST(queue_ready_0_stops_a_queue),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
