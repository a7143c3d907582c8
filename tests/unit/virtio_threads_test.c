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

/* --- queues on loops of their own --- */

struct echo {
    struct virtio_device device;
    struct guarded {
        uint64_t served; /* not atomic: ThreadSanitizer tells if two threads touch it */
        bool draining;
    } queues[2];
};

static void echo_notify(struct virtio_device *device, unsigned index)
{
    struct virtio_queue *queue = &device->queues[index];
    struct virtio_batch batch;
    struct virtq_chain chain;

    virtio_batch_begin(&batch, queue);
    while (virtio_batch_next(&batch, &chain)) {
        ((struct echo *)device)->queues[index].served++;
        virtio_queue_push(queue, chain.token, 0);
    }
    virtio_queue_interrupt(queue);
}

static void echo_drain(struct virtio_device *device, unsigned index)
{
    struct guarded *guarded = &((struct echo *)device)->queues[index];

    guarded->draining = !guarded->draining;
}

static void echo_destroy(struct virtio_device *device)
{
    virtio_device_release(device);
}

static const struct virtio_device_ops echo_ops = {
    .name = "echo",
    .device_id = 42,
    .notify = echo_notify,
    .drain_queue = echo_drain,
    .destroy = echo_destroy,
};

static void *kick_both(void *argument)
{
    struct fixture *f = argument;

    while (!atomic_load(&f->stop))
        for (unsigned i = 0; i < 2; i++)
            virtio_queue_kick(&f->device->queues[i]);
    return NULL;
}

/* Both queues at work, each on its loop, while a third thread kicks, and resets in between. */
static void a_queue_is_touched_by_its_own_loop_alone(void **state)
{
    struct fixture f = {.stop = false};
    struct loop loops[2];
    struct echo echo = {.queues = {{.served = 0}}};
    pthread_t kicker;

    (void)state;
    mock_guest_open(&f.guest);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(loop_open(&loops[i], NULL), 0);
    f.guest.environment.queue_loops = loops;
    f.guest.environment.queue_loop_count = 2;
    assert_int_equal(
        virtio_device_init(&echo.device, &echo_ops, &f.guest.environment,
                           (struct virtio_queue_options[]){
                               {64, virtio_environment_queue_loop(&f.guest.environment, 0)},
                               {64, virtio_environment_queue_loop(&f.guest.environment, 1)}},
                           2, 0, NULL), 0);
    assert_ptr_equal(echo.device.queues[0].loop, &loops[0]);
    assert_ptr_equal(echo.device.queues[1].loop, &loops[1]);
    f.device = &echo.device;
    mock_driver_open(&f.driver, &f.guest, f.device);
    assert_int_equal(loop_start(&f.guest.loop, NULL), 0);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(loop_start(&loops[i], NULL), 0);
    assert_int_equal(pthread_create(&kicker, NULL, kick_both, &f), 0);

    for (unsigned round = 0; round < ROUNDS; round++) {
        assert_true(mock_negotiate(&f.driver, MOCK_VERSION_1));
        for (unsigned i = 0; i < 2; i++)
            mock_queue(&f.driver, i, 16);
        mock_driver_ok(&f.driver);
        for (unsigned i = 0; i < 2; i++)
            mock_add(&f.driver.rings[i], &(struct mock_descriptor){MOCK_BUFFERS, 8, 0, 0}, 1);
        for (unsigned i = 0; i < 2; i++)
            while (mock_used_idx(&f.driver.rings[i]) == 0)
                usleep(10);
    }
    atomic_store(&f.stop, true);
    pthread_join(kicker, NULL);
    loop_stop(&f.guest.loop);
    for (unsigned i = 0; i < 2; i++)
        loop_stop(&loops[i]);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(echo.queues[i].served, ROUNDS);
    virtio_device_destroy(f.device);
    mock_driver_close(&f.driver);
    for (unsigned i = 0; i < 2; i++)
        loop_close(&loops[i]);
    mock_guest_close(&f.guest);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(resets_and_traffic_do_not_deadlock),
        cmocka_unit_test(a_queue_is_touched_by_its_own_loop_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
