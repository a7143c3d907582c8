/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device on a real loop thread, and "vCPU" threads that drive its registers: nothing may
 * deadlock or race, whatever the driver does when. Most useful under ThreadSanitizer.
 */
#include "devices/console/console.h"
#include "devices/virtio/console.h"
#include "support/mock_driver.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS 300u

struct fixture {
    struct mock_guest guest;
    struct console console;
    struct virtio_device *device;
    struct mock_driver driver;
    atomic_bool stop;
};

static int open_fixture(void **state)
{
    static struct fixture f;

    f = (struct fixture){.stop = false};
    mock_guest_open(&f.guest);
    assert_int_equal(console_open(&f.console, &f.guest.loop, -1, -1, NULL), 0);
    assert_int_equal(virtio_console_create(&f.device, &f.guest.environment, &f.console, NULL), 0);
    mock_driver_open(&f.driver, &f.guest, f.device);
    assert_int_equal(loop_start(&f.guest.loop, NULL), 0);
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;

    loop_stop(&f->guest.loop);
    virtio_device_destroy(f->device);
    mock_driver_close(&f->driver);
    console_close(&f->console);
    mock_guest_close(&f->guest);
    return 0;
}

/* A second vCPU: reads everything, kicks, acknowledges. */
static void *disturb(void *argument)
{
    struct fixture *f = argument;

    while (!atomic_load(&f->stop)) {
        for (uint64_t offset = 0; offset < VIRTIO_MMIO_WINDOW; offset += 4)
            mock_read32(&f->driver, offset);
        mock_write32(&f->driver, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
        mock_write32(&f->driver, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
        mock_write32(&f->driver, VIRTIO_MMIO_INTERRUPT_ACK, 3);
        mock_write32(&f->driver, VIRTIO_MMIO_CONFIG + 8, 'x');
    }
    return NULL;
}

static void resize_on_loop(void *argument)
{
    struct fixture *f = argument;

    virtio_console_resize(f->device, (uint16_t)(f->device->config_generation % 200), 24);
}

static void *host(void *argument)
{
    struct fixture *f = argument;

    while (!atomic_load(&f->stop))
        loop_call(&f->guest.loop, resize_on_loop, f);
    return NULL;
}

/* Set up, print, wait for the answer, reset; over and over. */
static void resets_and_traffic_do_not_deadlock(void **state)
{
    struct fixture *f = *state;
    struct mock_ring *ring = &f->driver.rings[1];
    pthread_t vcpu, control;

    assert_int_equal(pthread_create(&vcpu, NULL, disturb, f), 0);
    assert_int_equal(pthread_create(&control, NULL, host, f), 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        assert_true(mock_negotiate(&f->driver, MOCK_VERSION_1 | MOCK_EVENT_IDX));
        mock_queue(&f->driver, 0, 16);
        mock_queue(&f->driver, 1, 16);
        /* Every other time the buffer is there before the device is. */
        if (round % 2)
            mock_driver_ok(&f->driver);
        mock_add(ring, &(struct mock_descriptor){MOCK_BUFFERS, 100, 0, 0}, 1);
        if (round % 2 == 0)
            mock_driver_ok(&f->driver);
        mock_write32(&f->driver, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
        while (mock_used_idx(ring) == 0)
            usleep(10); /* ctest's time limit is the limit */
    }
    atomic_store(&f->stop, true);
    pthread_join(vcpu, NULL);
    pthread_join(control, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(resets_and_traffic_do_not_deadlock)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
