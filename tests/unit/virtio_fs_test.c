/* SPDX-License-Identifier: Apache-2.0 */
/* A file system device whose queues are lent to a peer, and what the guest has when that fails. */
#include "devices/virtio/fs.h"
#include "support/fake_peer.h"
#include "support/mock_driver.h"
#include "support/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/fuse.h>
#include <linux/virtio_fs.h>

#define SIZE 16u
#define QUEUES 2u
#define PROTOCOL (UINT64_C(1) << 30)
#define REPLY_ACK (UINT64_C(1) << 3)
#define PEER_FEATURES (MOCK_VERSION_1 | MOCK_EVENT_IDX | MOCK_PACKED | PROTOCOL)
#define ANSWER (MOCK_BUFFERS + 0x1000)

struct fixture {
    struct mock_guest guest;
    struct scratch scratch;
    struct fake_peer fake;
    struct share *share;
    struct virtio_device *device;
    struct mock_driver driver;
};

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(address.sun_path, path, strlen(path));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static void open_share(struct fixture *f)
{
    struct share_options options = {.socket = true};
    struct err err = {0};
    char path[sizeof f->scratch.folder + 8];
    int listener;

    snprintf(path, sizeof path, "%s/socket", f->scratch.folder);
    listener = listen_at(path);
    options.path = path;
    if (share_start(&f->share, &options, &f->guest.memory, &err))
        fail_msg("%s", err.message);
    fake_peer_start(&f->fake, accept(listener, NULL, NULL), PEER_FEATURES, REPLY_ACK);
    close(listener);
}

static int open_fixture(void **state)
{
    const struct memory_range range = {gpa(MOCK_MEMORY_BASE), MOCK_MEMORY_SIZE};
    static struct fixture f;
    struct err err = {0};

    mock_guest_open(&f.guest);
    f.guest.environment.packed_rings = true;
    f.guest.packed = false;
    memory_destroy(&f.guest.memory);
    assert_int_equal(memory_create_shared(&f.guest.memory, &range, 1, NULL), 0);
    scratch_open(&f.scratch);
    open_share(&f);
    if (virtio_fs_create(&f.device, &f.guest.environment, "files", f.share, &err) ||
        virtio_fs_await(f.device, &err))
        fail_msg("%s", err.message);
    mock_driver_open(&f.driver, &f.guest, f.device);
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;

    virtio_device_destroy(f->device);
    mock_driver_close(&f->driver);
    share_close(f->share);
    fake_peer_stop(&f->fake);
    assert_string_equal(f->fake.broken_rule, "");
    scratch_close(&f->scratch);
    mock_guest_close(&f->guest);
    return 0;
}

static bool is_lent(struct fixture *f, unsigned index)
{
    return fake_peer_ring(&f->fake, index).enabled;
}

/* --- with a good peer --- */

static void test_what_the_driver_sees(void **state)
{
    struct fixture *f = *state;
    struct virtio_fs_config config;

    mock_read_config(&f->driver, offsetof(struct virtio_fs_config, num_request_queues),
                     &config.num_request_queues, 4);
    for (unsigned i = 0; i < sizeof config.tag; i++)
        mock_read_config(&f->driver, i, &config.tag[i], 1);
    assert_int_equal(config.num_request_queues, 1);
    assert_memory_equal(config.tag, "files\0\0\0", 8);
    assert_int_equal(config.tag[35], 0);
    assert_int_equal(mock_offered(&f->driver), MOCK_VERSION_1 | MOCK_EVENT_IDX);
}

static void test_rings_are_lent(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, MOCK_EVENT_IDX, SIZE);
    for (unsigned i = 0; i < QUEUES; i++) {
        const struct mock_ring *mock = &f->driver.rings[i];
        struct fake_peer_ring ring = fake_peer_ring(&f->fake, i);

        assert_true(ring.enabled);
        assert_int_equal(ring.size, SIZE);
        assert_int_equal(ring.descriptors, (uintptr_t)mock_at(&f->guest, mock->descriptors, 1));
        assert_int_equal(ring.avail, (uintptr_t)mock_at(&f->guest, mock->avail, 1));
        assert_int_equal(ring.used, (uintptr_t)mock_at(&f->guest, mock->used, 1));
    }
    pthread_mutex_lock(&f->fake.lock);
    assert_int_equal(f->fake.accepted, MOCK_VERSION_1 | MOCK_EVENT_IDX | PROTOCOL);
    pthread_mutex_unlock(&f->fake.lock);
}

/* The loop sleeps on, and the peer finds the kick, as it does one that came before. */
static void test_kick(void **state)
{
    struct fixture *f = *state;
    eventfd_t kicks;

    mock_start(&f->driver, 0, SIZE);
    assert_int_equal(eventfd_read(fake_peer_ring(&f->fake, 1).kick, &kicks), 0);
    mock_kick(&f->driver, 1);
    assert_int_equal(eventfd_read(fake_peer_ring(&f->fake, 1).kick, &kicks), 0);
    assert_int_equal(counter_read(&f->device->queues[1].counters.kicks), 0);
}

static void test_interrupt(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, 0, SIZE);
    mock_interrupted(&f->driver, NULL);
    eventfd_write(fake_peer_ring(&f->fake, 1).call, 1);
    mock_settle(&f->guest);
    assert_true(mock_interrupted(&f->driver, NULL));
}

static void set_position(struct fixture *f, unsigned index, unsigned position)
{
    pthread_mutex_lock(&f->fake.lock);
    f->fake.rings[index].position = position;
    pthread_mutex_unlock(&f->fake.lock);
}

static void test_reset(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, 0, SIZE);
    set_position(f, 1, 7);
    mock_reset(&f->driver);
    for (unsigned i = 0; i < QUEUES; i++)
        assert_int_equal(fake_peer_ring(&f->fake, i).kick, -1);
    mock_start(&f->driver, 0, SIZE);
    assert_true(is_lent(f, 0) && is_lent(f, 1));
    assert_int_equal(fake_peer_ring(&f->fake, 1).position, 0);
}

static void test_pause(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, 0, SIZE);
    set_position(f, 1, 5);
    virtio_device_suspend(f->device);
    assert_false(is_lent(f, 0) || is_lent(f, 1));
    set_position(f, 1, 0);
    virtio_device_resume(f->device);
    assert_true(is_lent(f, 0) && is_lent(f, 1));
    assert_int_equal(fake_peer_ring(&f->fake, 1).position, 5);
}

static void test_broken_ring(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, 0, SIZE);
    eventfd_write(fake_peer_ring(&f->fake, 1).fault, 1);
    mock_settle(&f->guest);
    assert_true(mock_status(&f->driver) & VIRTIO_CONFIG_S_NEEDS_RESET);
    assert_int_equal(f->guest.log_lines, 1);
    assert_false(is_lent(f, 1));
}

/* --- with a bad one --- */

static void add_request(struct fixture *f, uint64_t unique)
{
    const struct mock_descriptor buffers[] = {
        {MOCK_BUFFERS, sizeof(struct fuse_in_header), 0, 0},
        {ANSWER, 64, VRING_DESC_F_WRITE, 0},
    };
    const struct fuse_in_header request = {.len = sizeof request, .opcode = FUSE_GETATTR,
                                           .unique = unique};

    memcpy(mock_at(&f->guest, MOCK_BUFFERS, sizeof request), &request, sizeof request);
    mock_add(&f->driver.rings[1], buffers, 2);
}

static void assert_refused(struct fixture *f, uint64_t unique)
{
    const struct fuse_out_header *answer = mock_at(&f->guest, ANSWER, sizeof *answer);
    uint32_t name, written;

    assert_true(mock_take(&f->driver.rings[1], &name, &written));
    assert_int_equal(written, sizeof *answer);
    assert_int_equal(answer->len, sizeof *answer);
    assert_int_equal(answer->error, -ENOTCONN);
    assert_int_equal(answer->unique, unique);
}

/* The guest has errors, one line is logged, and the device is alive. */
static void assert_lost(struct fixture *f, const char *reason)
{
    mock_settle(&f->guest);
    assert_int_equal(f->guest.log_lines, 1);
    assert_non_null(strstr(f->guest.last_log_line, "share files: lost virtiofsd"));
    assert_non_null(strstr(f->guest.last_log_line, reason));
    add_request(f, 0x123456789);
    mock_kick(&f->driver, 1);
    mock_settle(&f->guest);
    assert_refused(f, 0x123456789);
    assert_true(mock_interrupted(&f->driver, NULL));
    assert_int_equal(mock_status(&f->driver), MOCK_ALIVE);
}

static void test_peer_ends(void **state)
{
    const struct mock_descriptor forget = {MOCK_BUFFERS, 48, 0, 0};
    struct fixture *f = *state;
    uint32_t name, written;

    mock_start(&f->driver, 0, SIZE);
    shutdown(f->fake.fd, SHUT_RDWR);
    assert_lost(f, "it ended");
    mock_add(&f->driver.rings[0], &forget, 1);
    mock_kick(&f->driver, 0);
    mock_settle(&f->guest);
    assert_true(mock_take(&f->driver.rings[0], &name, &written));
    assert_int_equal(written, 0);
    assert_int_equal(counter_read(&f->device->queues[1].counters.errors), 1);
    mock_start(&f->driver, 0, SIZE); /* again, without a second line */
    assert_lost(f, "it ended");
}

/* What it has taken and not given back is answered too, and where it went on is known. */
static void test_peer_ends_at_work(void **state)
{
    struct fixture *f = *state;
    struct vring_used *used;

    mock_start(&f->driver, 0, SIZE);
    add_request(f, 1);
    add_request(f, 2);
    used = mock_at(&f->guest, f->driver.rings[1].used, sizeof *used);
    used->ring[0] = (struct vring_used_elem){.id = 0, .len = 16};
    used->idx = 1;
    shutdown(f->fake.fd, SHUT_RDWR);
    mock_settle(&f->guest);
    assert_int_equal(mock_used_idx(&f->driver.rings[1]), 2);
    assert_true(mock_interrupted(&f->driver, NULL));
    f->driver.rings[1].used_idx = 1;
    assert_refused(f, 2);
}

/* The flag that says whether events wait is his as much as ours. */
static void take_events(struct fixture *f, eventfd_t count)
{
    for (unsigned i = 0; i < QUEUES; i++) {
        int kick = fake_peer_ring(&f->fake, i).kick;
        eventfd_t kicks;

        eventfd_read(kick, &kicks);
        assert_int_equal(fcntl(kick, F_SETFL, 0), 0);
        assert_int_equal(count > 0 ? eventfd_write(kick, count) : 0, 0);
    }
}

static void test_full_events_hold_up_nothing(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, 0, SIZE);
    take_events(f, UINT64_MAX - 1);
    alarm(60);
    shutdown(f->fake.fd, SHUT_RDWR);
    assert_lost(f, "it ended");
    mock_reset(&f->driver);
    alarm(0);
}

static void test_empty_events_hold_up_nothing(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, 0, SIZE);
    take_events(f, 0);
    alarm(60);
    mock_reset(&f->driver);
    mock_start(&f->driver, 0, SIZE);
    alarm(0);
    assert_true(is_lent(f, 1));
}

static void test_peer_says_what_it_may_not(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, 0, SIZE);
    assert_int_equal(send(f->fake.fd, "boo", 3, MSG_NOSIGNAL), 3);
    assert_lost(f, "it breaks the protocol");
}

static void test_refused_features(void **state)
{
    struct fixture *f = *state;

    fake_peer_fail(&f->fake, FAKE_SET_FEATURES, FAKE_REFUSAL);
    mock_start(&f->driver, 0, SIZE);
    assert_lost(f, "it refuses");
}

/* The first ring is lent already when the second is not taken. */
static void test_refused_ring(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, 0, SIZE);
    mock_reset(&f->driver);
    assert_true(mock_negotiate(&f->driver, MOCK_VERSION_1));
    mock_queue(&f->driver, 0, SIZE);
    mock_queue(&f->driver, 1, SIZE);
    fake_peer_fail(&f->fake, FAKE_SET_VRING_ENABLE, FAKE_END);
    mock_driver_ok(&f->driver);
    assert_lost(f, "it ended");
    assert_false(f->device->queues[0].lent || f->device->queues[1].lent);
}

/* A reset and a pause have an end, and so has the peer. */
static void test_silence_at_reset(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, 0, SIZE);
    share_peer(f->share)->patience = 50;
    fake_peer_fail(&f->fake, FAKE_GET_VRING_BASE, FAKE_SILENCE);
    mock_reset(&f->driver);
    assert_int_equal(mock_status(&f->driver), 0);
    mock_start(&f->driver, 0, SIZE);
    assert_lost(f, "it does not answer");
}

static void test_silence_at_pause(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, 0, SIZE);
    share_peer(f->share)->patience = 50;
    fake_peer_fail(&f->fake, FAKE_GET_VRING_BASE, FAKE_SILENCE);
    virtio_device_suspend(f->device);
    assert_false(f->device->queues[0].lent || f->device->queues[1].lent);
    virtio_device_resume(f->device);
    assert_lost(f, "it does not answer");
}

static void test_silence_at_the_end(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, 0, SIZE);
    share_peer(f->share)->patience = 50;
    fake_peer_fail(&f->fake, FAKE_GET_VRING_BASE, FAKE_SILENCE);
}

/* A request that is none. */
static void test_nonsense_is_answered(void **state)
{
    const struct mock_descriptor too_short[] = {{MOCK_BUFFERS, 3, 0, 0},
                                                {ANSWER, 15, VRING_DESC_F_WRITE, 0}};
    const struct mock_descriptor no_request = {ANSWER, 16, VRING_DESC_F_WRITE, 0};
    struct fixture *f = *state;
    uint32_t name, written;

    mock_start(&f->driver, 0, SIZE);
    shutdown(f->fake.fd, SHUT_RDWR);
    mock_settle(&f->guest);
    mock_add(&f->driver.rings[1], too_short, 2);
    mock_add(&f->driver.rings[1], &no_request, 1);
    mock_kick(&f->driver, 1);
    mock_settle(&f->guest);
    assert_true(mock_take(&f->driver.rings[1], &name, &written));
    assert_int_equal(written, 0);
    assert_refused(f, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_the_driver_sees),
        TEST(test_rings_are_lent),
        TEST(test_kick),
        TEST(test_interrupt),
        TEST(test_reset),
        TEST(test_pause),
        TEST(test_broken_ring),
        TEST(test_peer_ends),
        TEST(test_peer_ends_at_work),
        TEST(test_full_events_hold_up_nothing),
        TEST(test_empty_events_hold_up_nothing),
        TEST(test_peer_says_what_it_may_not),
        TEST(test_refused_features),
        TEST(test_refused_ring),
        TEST(test_silence_at_reset),
        TEST(test_silence_at_pause),
        TEST(test_silence_at_the_end),
        TEST(test_nonsense_is_answered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
