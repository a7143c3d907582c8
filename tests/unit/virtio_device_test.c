/* SPDX-License-Identifier: Apache-2.0 */
/* Status, features, registers, configuration space and turns, with a device that does little. */
#include "support/echo.h"
#include "support/mock_driver.h"

#include "core/state.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

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

/* --- registers --- */

static void registers_of_absent_queues_do_nothing(void **state)
{
    struct fixture *f = *state;

    assert_true(mock_negotiate(&f->driver, MOCK_VERSION_1));
    mock_queue_registers(&f->driver, 7, SIZE, BUFFER, BUFFER, BUFFER);
    assert_int_equal(mock_read32(&f->driver, VIRTIO_MMIO_QUEUE_READY), 0);
    mock_kick(&f->driver, 7);
    mock_kick(&f->driver, UINT32_MAX);
    assert_int_equal(f->echo.notified[0] + f->echo.notified[1], 0);
}

/* --- status --- */

static void status_moves_in_order_only(void **state)
{
    struct mock_driver *driver = &((struct fixture *)*state)->driver;

    assert_int_equal(mock_status(driver), 0);
    mock_write32(driver, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_DRIVER);
    assert_int_equal(mock_status(driver), 0);
    mock_write32(driver, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_DRIVER_OK);
    assert_int_equal(mock_status(driver), 0);
    mock_write32(driver, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    assert_int_equal(mock_status(driver), 1);
    /* A write that leaves a bit out is no way to clear it (2.1.1). */
    mock_write32(driver, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_DRIVER);
    assert_int_equal(mock_status(driver), 1);
    mock_write32(driver, VIRTIO_MMIO_STATUS, 3);
    assert_int_equal(mock_status(driver), 3);
    mock_write32(driver, VIRTIO_MMIO_STATUS, 3 | VIRTIO_CONFIG_S_DRIVER_OK);
    assert_int_equal(mock_status(driver), 3);
    /* Nor can the driver set what is the device's, or bits that do not exist. */
    mock_write32(driver, VIRTIO_MMIO_STATUS, 3 | VIRTIO_CONFIG_S_NEEDS_RESET | 0x30);
    assert_int_equal(mock_status(driver), 3);
    mock_write32(driver, VIRTIO_MMIO_STATUS, 0x100);
    assert_int_equal(mock_status(driver), 3);
}

static void features_decide_over_features_ok(void **state)
{
    struct mock_driver *driver = &((struct fixture *)*state)->driver;

    assert_false(mock_negotiate(driver, 0));
    assert_false(mock_negotiate(driver, MOCK_FEATURE(FEATURE_A)));
    assert_false(mock_negotiate(driver, MOCK_VERSION_1 | MOCK_FEATURE(FEATURE_A + 1)));
    assert_false(mock_negotiate(driver, MOCK_VERSION_1 | MOCK_FEATURE(63)));
    /* The driver may think again. */
    mock_accept(driver, MOCK_VERSION_1);
    mock_write32(driver, VIRTIO_MMIO_STATUS, 11);
    assert_int_equal(mock_status(driver), 11);
    /* Features are final now. */
    mock_accept(driver, MOCK_VERSION_1 | MOCK_FEATURE(FEATURE_A));
    assert_false(virtio_device_has(driver->device, FEATURE_A));

    mock_write32(driver, VIRTIO_MMIO_STATUS, 0);
    mock_write32(driver, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    mock_accept(driver, MOCK_VERSION_1); /* before DRIVER: not heard */
    mock_write32(driver, VIRTIO_MMIO_STATUS, 11);
    assert_int_equal(mock_status(driver), 3);
}

static void failed_ends_all_but_reset(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, 0, SIZE);
    mock_write32(&f->driver, VIRTIO_MMIO_STATUS, MOCK_ALIVE | VIRTIO_CONFIG_S_FAILED);
    assert_int_equal(mock_status(&f->driver), MOCK_ALIVE | VIRTIO_CONFIG_S_FAILED);
    add_buffers(f, 0, 1);
    mock_kick(&f->driver, 0);
    assert_false(mock_take(&f->driver.rings[0], NULL, NULL));

    mock_write32(&f->driver, VIRTIO_MMIO_STATUS, 0);
    mock_write32(&f->driver, VIRTIO_MMIO_STATUS, 1);
    mock_write32(&f->driver, VIRTIO_MMIO_STATUS, 1 | VIRTIO_CONFIG_S_FAILED);
    mock_write32(&f->driver, VIRTIO_MMIO_STATUS, 3 | VIRTIO_CONFIG_S_FAILED);
    assert_int_equal(mock_status(&f->driver), 1 | VIRTIO_CONFIG_S_FAILED);
}

/* --- queues --- */

static void a_kick_before_activation_is_not_lost(void **state)
{
    struct fixture *f = *state;

    assert_true(mock_negotiate(&f->driver, MOCK_VERSION_1));
    mock_queue(&f->driver, 0, SIZE);
    add_buffers(f, 0, 2);
    mock_kick(&f->driver, 0);
    assert_int_equal(f->echo.notified[0], 0);
    assert_false(mock_take(&f->driver.rings[0], NULL, NULL));
    mock_driver_ok(&f->driver);
    mock_settle(&f->guest);
    assert_true(mock_take(&f->driver.rings[0], NULL, NULL));
    assert_true(mock_take(&f->driver.rings[0], NULL, NULL));
    assert_true(mock_interrupted(&f->driver, NULL));
}

static void the_layout_freezes(void **state)
{
    struct fixture *f = *state;
    struct virtq_setup *setup = &f->echo.device.queues[0].setup;
    struct virtq_setup before;

    /* Not before FEATURES_OK either. */
    mock_queue_registers(&f->driver, 0, SIZE, BUFFER, BUFFER, BUFFER);
    assert_int_equal(setup->size, 0);

    mock_start(&f->driver, 0, SIZE);
    before = *setup;
    mock_queue_registers(&f->driver, 0, 4, BUFFER, BUFFER, BUFFER);
    assert_memory_equal(&before, setup, sizeof before);
    add_buffers(f, 0, 5);
    mock_kick(&f->driver, 0);
    assert_int_equal(f->echo.served, 5);
}

static void a_bad_layout_needs_a_reset(void **state)
{
    struct fixture *f = *state;
    uint32_t causes;

    assert_true(mock_negotiate(&f->driver, MOCK_VERSION_1));
    mock_queue(&f->driver, 1, SIZE);
    mock_queue_registers(&f->driver, 0, SIZE, ~0xfull, BUFFER, BUFFER);
    mock_driver_ok(&f->driver);
    assert_int_equal(mock_status(&f->driver), MOCK_ALIVE | VIRTIO_CONFIG_S_NEEDS_RESET);
    assert_true(mock_interrupted(&f->driver, &causes));
    assert_int_equal(causes, VIRTIO_MMIO_INT_CONFIG);
    assert_int_equal(f->guest.log_lines, 1);
    assert_int_equal(f->echo.activated, 0);
    add_buffers(f, 1, 1);
    mock_kick(&f->driver, 1);
    assert_int_equal(f->echo.served, 0);
}

static void a_broken_ring_needs_a_reset_and_is_logged_once(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor nowhere = {0, 16, 0, 0};
    uint32_t causes;

    for (unsigned i = 0; i < 3; i++) {
        mock_start(&f->driver, 0, SIZE);
        mock_add(&f->driver.rings[0], &nowhere, 1);
        mock_kick(&f->driver, 0);
        assert_int_equal(mock_status(&f->driver), MOCK_ALIVE | VIRTIO_CONFIG_S_NEEDS_RESET);
        assert_true(mock_interrupted(&f->driver, &causes));
        assert_int_equal(causes, VIRTIO_MMIO_INT_CONFIG);
        /* The whole device waits, not that queue alone. */
        add_buffers(f, 1, 1);
        mock_kick(&f->driver, 1);
        assert_false(mock_take(&f->driver.rings[1], NULL, NULL));
        assert_false(mock_interrupted(&f->driver, NULL));
    }
    assert_int_equal(f->guest.log_lines, 1);
    mock_start(&f->driver, 0, SIZE);
    add_buffers(f, 0, 1);
    mock_kick(&f->driver, 0);
    assert_true(mock_take(&f->driver.rings[0], NULL, NULL));
}

static void a_reset_forgets_everything(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, MOCK_FEATURE(FEATURE_A), SIZE);
    add_buffers(f, 0, 1);
    mock_kick(&f->driver, 0);
    add_buffers(f, 0, 3);
    mock_write32(&f->driver, VIRTIO_MMIO_QUEUE_NOTIFY, 0); /* not served yet */
    assert_int_not_equal(mock_read32(&f->driver, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
    mock_write32(&f->driver, VIRTIO_MMIO_STATUS, 0);
    mock_settle(&f->guest);
    assert_int_equal(f->echo.served, 1);
    assert_int_equal(mock_status(&f->driver), 0);
    assert_int_equal(mock_read32(&f->driver, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
    mock_write32(&f->driver, VIRTIO_MMIO_QUEUE_SEL, 0);
    assert_int_equal(mock_read32(&f->driver, VIRTIO_MMIO_QUEUE_READY), 0);
    assert_int_equal(f->echo.device.accepted, 0);
    assert_true(f->echo.drains > 0);

    for (unsigned i = 0; i < 50; i++) {
        mock_start(&f->driver, i % 2 ? MOCK_EVENT_IDX : 0, i % 3 ? SIZE : SIZE / 2);
        add_buffers(f, 0, 3);
        mock_kick(&f->driver, 0);
        for (unsigned n = 0; n < 3; n++)
            assert_true(mock_take(&f->driver.rings[0], NULL, NULL));
    }
}

/* A kick that was on its way when the driver reset the device is not the next driver's. */
static void a_reset_takes_kicks_back(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, 0, SIZE);
    mock_write32(&f->driver, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    mock_write32(&f->driver, VIRTIO_MMIO_STATUS, 0);
    assert_int_equal(mock_turn(&f->guest), 0);
}

/* --- notifications --- */

static void a_full_ring_gives_one_interrupt(void **state)
{
    struct fixture *f = *state;
    uint32_t causes;

    mock_start(&f->driver, MOCK_EVENT_IDX, SIZE);
    add_buffers(f, 0, SIZE);
    mock_kick(&f->driver, 0);
    assert_int_equal(mock_used_idx(&f->driver.rings[0]), SIZE);
    assert_int_equal(mock_avail_event(&f->driver.rings[0]), SIZE);
    assert_int_equal(counter_read(&f->echo.device.queues[0].counters.interrupts), 1);
    assert_int_equal(counter_read(&f->echo.device.queues[0].counters.chains), SIZE);
    assert_true(mock_interrupted(&f->driver, &causes));
    assert_int_equal(causes, VIRTIO_MMIO_INT_VRING);
    assert_int_equal(mock_read32(&f->driver, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}

static void an_acknowledgement_clears_only_its_bits(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, 0, SIZE);
    add_buffers(f, 0, 1);
    mock_kick(&f->driver, 0);
    virtio_device_set_config(&f->echo.device, "abcdefghij", 10);
    assert_int_equal(mock_read32(&f->driver, VIRTIO_MMIO_INTERRUPT_STATUS), 3);
    mock_write32(&f->driver, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
    assert_int_equal(mock_read32(&f->driver, VIRTIO_MMIO_INTERRUPT_STATUS), 2);
}

/* A queue that always has more must not keep the loop from the other one. */
static void turns_are_bounded(void **state)
{
    struct fixture *f = *state;
    unsigned turns = 0;

    mock_start(&f->driver, 0, SIZE);
    mock_queue(&f->driver, 1, SIZE); /* frozen: changes nothing but the mock's ring */
    mock_write32(&f->driver, VIRTIO_MMIO_STATUS, 0);
    assert_true(mock_negotiate(&f->driver, MOCK_VERSION_1));
    mock_queue(&f->driver, 0, SIZE);
    mock_queue(&f->driver, 1, VIRTQ_SIZE_MAX);
    mock_driver_ok(&f->driver);
    mock_settle(&f->guest);

    add_buffers(f, 1, VIRTQ_SIZE_MAX);
    mock_turn(&f->guest);
    assert_in_range(mock_used_idx(&f->driver.rings[1]), 1, VIRTQ_SIZE_MAX - 1);
    while (mock_turn(&f->guest) > 0)
        turns++;
    assert_in_range(turns, 1, VIRTQ_SIZE_MAX);
    assert_int_equal(mock_used_idx(&f->driver.rings[1]), VIRTQ_SIZE_MAX);
}

static void turns_are_bounded_in_bytes(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor big = {BUFFER, 0x200000, VRING_DESC_F_WRITE, 0};

    mock_start(&f->driver, 0, SIZE);
    for (unsigned i = 0; i < 8; i++)
        mock_add(&f->driver.rings[0], &big, 1);
    mock_write32(&f->driver, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    mock_turn(&f->guest);
    assert_in_range(mock_used_idx(&f->driver.rings[0]), 1, 4);
    mock_settle(&f->guest);
    assert_int_equal(mock_used_idx(&f->driver.rings[0]), 8);
}

/* --- configuration space --- */

static void config_is_read_at_any_width(void **state)
{
    struct fixture *f = *state;
    struct mock_driver *driver = &f->driver;
    uint64_t value = 0;

    assert_int_equal(mock_read32(driver, VIRTIO_MMIO_CONFIG + 1), 0x34333231);
    mock_read_config(driver, 6, &value, 8);
    assert_int_equal(value, 0x39383736); /* the end of it, then zeros */
    assert_int_equal(mock_read32(driver, VIRTIO_MMIO_CONFIG + 0xfc), 0);
}

static void config_changes_are_announced(void **state)
{
    struct fixture *f = *state;
    uint32_t generation = mock_read32(&f->driver, VIRTIO_MMIO_CONFIG_GENERATION);
    uint32_t causes;

    virtio_device_set_config(&f->echo.device, "abcdefghij", 10);
    assert_int_not_equal(mock_read32(&f->driver, VIRTIO_MMIO_CONFIG_GENERATION), generation);
    assert_false(mock_interrupted(&f->driver, NULL)); /* nobody is there to be interrupted */

    mock_start(&f->driver, 0, SIZE);
    generation = mock_read32(&f->driver, VIRTIO_MMIO_CONFIG_GENERATION);
    virtio_device_set_config(&f->echo.device, "ABCDEFGHIJ", 10);
    assert_int_not_equal(mock_read32(&f->driver, VIRTIO_MMIO_CONFIG_GENERATION), generation);
    assert_true(mock_interrupted(&f->driver, &causes));
    assert_int_equal(causes, VIRTIO_MMIO_INT_CONFIG);
}

static void config_writes_reach_the_device_clipped(void **state)
{
    struct fixture *f = *state;

    mock_write_config(&f->driver, 8, "wxyz", 4);
    assert_int_equal(f->echo.written_offset, 8);
    assert_int_equal(f->echo.written_size, 2);
    assert_memory_equal(f->echo.written, "wx", 2);
    f->echo.written_size = 0;
    mock_write_config(&f->driver, 10, "wxyz", 4);
    assert_int_equal(f->echo.written_size, 0);
    /* The device decides what a write means; the space itself is as it was. */
    assert_int_equal(mock_read32(&f->driver, VIRTIO_MMIO_CONFIG + 6), 0x39383736);
}

/* --- snapshots --- */

/* Saves f's device and restores it into a second one, which goes on with f->driver's rings. */
static int move(struct fixture *f, struct echo *copy, struct mock_driver *driver, size_t damage,
                struct err *err)
{
    struct state_writer writer = {0};
    struct state_reader reader;
    int rc;

    mock_save(&f->driver, &writer);
    assert_false(writer.failed);
    for (unsigned i = 0; i < f->echo.device.queue_count; i++) /* its machine runs no more */
        loop_remove_poll(&f->guest.loop, &f->echo.device.queues[i].poll);
    if (damage)
        writer.data[damage % writer.size] ^= 0xff;
    echo_open(copy, &f->guest);
    mock_driver_open(driver, &f->guest, &copy->device);
    reader = (struct state_reader){.data = writer.data, .size = writer.size};
    rc = mock_restore(driver, &reader, err);
    state_writer_free(&writer);
    return rc;
}

static void a_snapshot_goes_on_where_it_was(void **state)
{
    struct fixture *f = *state;
    struct mock_driver driver;
    struct echo copy;
    uint32_t causes;

    mock_start(&f->driver, MOCK_EVENT_IDX | MOCK_FEATURE(FEATURE_A), SIZE);
    f->echo.memory = 0x12345678;
    mock_set_used_event(&f->driver.rings[0], 6);
    add_buffers(f, 0, 7);
    mock_kick(&f->driver, 0);
    add_buffers(f, 1, 1); /* offered, its kick not served: restore must look */
    mock_write32(&f->driver, VIRTIO_MMIO_QUEUE_SEL, 1);

    assert_int_equal(move(f, &copy, &driver, 0, NULL), 0);
    assert_int_equal(copy.memory, 0x12345678);
    assert_int_equal(copy.activated, 1);
    assert_int_equal(copy.device.accepted, f->echo.device.accepted);
    assert_true(mock_interrupted(&driver, &causes));
    assert_true(causes & VIRTIO_MMIO_INT_VRING);
    assert_int_equal(virtio_device_status(&copy.device), MOCK_ALIVE);
    mock_settle(&f->guest);
    assert_int_equal(copy.served, 1);
    assert_int_equal(mock_used_idx(&f->driver.rings[1]), 1);
    assert_int_equal(mock_used_idx(&f->driver.rings[0]), 7);
    virtio_device_destroy(&copy.device);
    mock_driver_close(&driver);
}

static void a_snapshot_in_the_middle_of_set_up_works(void **state)
{
    struct fixture *f = *state;
    struct mock_driver driver;
    struct echo copy;

    assert_true(mock_negotiate(&f->driver, MOCK_VERSION_1));
    mock_queue(&f->driver, 0, SIZE);
    assert_int_equal(move(f, &copy, &driver, 0, NULL), 0);
    assert_int_equal(copy.activated, 0);
    assert_int_equal(virtio_device_status(&copy.device), 11);
    virtio_device_write_status(&copy.device, MOCK_ALIVE);
    add_buffers(f, 0, 2);
    virtio_queue_kick(&copy.device.queues[0]);
    mock_settle(&f->guest);
    assert_int_equal(copy.served, 2);
    virtio_device_destroy(&copy.device);
    mock_driver_close(&driver);
}

static void a_snapshot_with_features_not_offered_is_refused(void **state)
{
    struct fixture *f = *state;
    struct state_writer writer = {0};
    struct state_reader reader;
    struct err err = {0};

    mock_start(&f->driver, MOCK_FEATURE(FEATURE_A), SIZE);
    mock_save(&f->driver, &writer);
    mock_write32(&f->driver, VIRTIO_MMIO_STATUS, 0);
    f->echo.device.offered &= ~MOCK_FEATURE(FEATURE_A); /* as another version of us would */
    reader = (struct state_reader){.data = writer.data, .size = writer.size};
    assert_int_equal(mock_restore(&f->driver, &reader, &err), -EINVAL);
    assert_non_null(strstr(err.message, "not of this device"));
    assert_int_equal(mock_status(&f->driver), 0);
    state_writer_free(&writer);
}

/* Any one damaged byte: refused, or a device that works by the rules; never a crash. */
static void damaged_snapshots_are_survived(void **state)
{
    struct fixture *f = *state;
    unsigned refused = 0;

    mock_start(&f->driver, MOCK_EVENT_IDX, SIZE);
    for (size_t at = 1; at < 600; at++) {
        struct err err = {0};
        struct mock_driver driver;
        struct echo copy;

        if (move(f, &copy, &driver, at, &err)) {
            assert_true(err.code < 0);
            refused++;
        }
        virtio_queue_kick(&copy.device.queues[0]);
        mock_settle(&f->guest);
        virtio_device_destroy(&copy.device);
        mock_driver_close(&driver);
    }
    assert_true(refused > 100);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(registers_of_absent_queues_do_nothing),
        TEST(status_moves_in_order_only),
        TEST(features_decide_over_features_ok),
        TEST(failed_ends_all_but_reset),
        TEST(a_kick_before_activation_is_not_lost),
        TEST(the_layout_freezes),
        TEST(a_bad_layout_needs_a_reset),
        TEST(a_broken_ring_needs_a_reset_and_is_logged_once),
        TEST(a_reset_forgets_everything),
        TEST(a_reset_takes_kicks_back),
        TEST(a_full_ring_gives_one_interrupt),
        TEST(an_acknowledgement_clears_only_its_bits),
        TEST(turns_are_bounded),
        TEST(turns_are_bounded_in_bytes),
        TEST(config_is_read_at_any_width),
        TEST(config_changes_are_announced),
        TEST(config_writes_reach_the_device_clipped),
        TEST(a_snapshot_goes_on_where_it_was),
        TEST(a_snapshot_in_the_middle_of_set_up_works),
        TEST(a_snapshot_with_features_not_offered_is_refused),
        TEST(damaged_snapshots_are_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
