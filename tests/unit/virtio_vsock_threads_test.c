/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket device on a real loop thread, while a "vCPU" starts and resets it, programs of the
 * host come and go, and somebody reads its counters. Most useful under ThreadSanitizer.
 */
#include "support/vsock_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#define ROUNDS 200u

struct threads {
    struct fixture *f;
    int listener;
    atomic_bool stop;
};

static void *come_and_go(void *argument)
{
    struct threads *threads = argument;

    while (!atomic_load(&threads->stop)) {
        int accepted = accept4(threads->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        int fd = try_socket(threads->f->path, false);

        if (fd >= 0)
            send(fd, "CONNECT 5000\nhello", 18, MSG_NOSIGNAL);
        if (accepted >= 0) {
            send(accepted, "hello", 5, MSG_NOSIGNAL);
            close(accepted);
        }
        if (fd >= 0)
            close(fd);
    }
    return NULL;
}

static void ignore(void *context, const char *name, uint64_t value)
{
    (void)context;
    (void)name;
    (void)value;
}

static void *count(void *argument)
{
    struct threads *threads = argument;

    while (!atomic_load(&threads->stop))
        for (unsigned i = 0; i < 3; i++)
            virtio_queue_count(&threads->f->device->queues[i],
                               &(struct counter_sink){ignore, NULL});
    return NULL;
}

/* Sets it up, connects, says something, waits until that was taken, and resets it. */
static void drive(struct fixture *f)
{
    const struct virtio_vsock_hdr request = header_of(f, OP(REQUEST), PORT, GUEST_PORT, 0);
    const struct virtio_vsock_hdr data = header_of(f, OP(RW), PORT, GUEST_PORT, 10);

    assert_true(mock_negotiate(&f->driver, MOCK_VERSION_1));
    for (unsigned i = 0; i < 3; i++)
        mock_queue(&f->driver, i, SIZE);
    mock_driver_ok(&f->driver);
    for (unsigned i = 0; i < 16; i++)
        mock_add(&f->driver.rings[RECEIVE],
                 &(struct mock_descriptor){buffer_at(i), BUFFER_SIZE, VRING_DESC_F_WRITE, 0}, 1);
    mock_write32(&f->driver, VIRTIO_MMIO_QUEUE_NOTIFY, RECEIVE);
    put(f, &request, 0, 0);
    mock_write32(&f->driver, VIRTIO_MMIO_QUEUE_NOTIFY, SEND);
    while (mock_used_idx(&f->driver.rings[SEND]) < 1)
        usleep(10); /* ctest's time limit is the limit */
    put(f, &data, 10, 0);
    mock_write32(&f->driver, VIRTIO_MMIO_QUEUE_NOTIFY, SEND);
    while (mock_used_idx(&f->driver.rings[SEND]) < 2)
        usleep(10);
    mock_reset(&f->driver);
}

static void resets_and_connections_do_not_race(void **state)
{
    struct fixture *f = *state;
    struct threads threads = {.f = f, .listener = unix_socket(f->port_path, true)};
    pthread_t host, reader;

    assert_int_equal(loop_start(&f->guest.loop, NULL), 0);
    assert_int_equal(pthread_create(&host, NULL, come_and_go, &threads), 0);
    assert_int_equal(pthread_create(&reader, NULL, count, &threads), 0);
    for (unsigned round = 0; round < ROUNDS; round++)
        drive(f);
    atomic_store(&threads.stop, true);
    pthread_join(host, NULL);
    pthread_join(reader, NULL);
    loop_stop(&f->guest.loop);
    assert_int_equal(counter_read(&vsock_from_guest(f->vsock)->connections),
                     counter_read(&vsock_from_guest(f->vsock)->closed));
    close(threads.listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(resets_and_connections_do_not_race, open_fixture,
                                        close_fixture),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
