/* SPDX-License-Identifier: Apache-2.0 */
/* Frames over a stream socket, with a peer that is slow, wrong or gone. */
#include "devices/net/net.h"
#include "support/mock_driver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct mock_guest guest; /* for its loop */
    struct net *net;
    int peer;
    unsigned receivable, sendable, link_changes;
};

static void receivable(void *device, unsigned pair)
{
    struct fixture *f = device;

    f->receivable++;
    net_want_receive(f->net, pair, false);
}

static void sendable(void *device, unsigned pair)
{
    (void)pair;
    ((struct fixture *)device)->sendable++;
}

static void link_changed(void *device)
{
    ((struct fixture *)device)->link_changes++;
}

static const struct net_front_end front_end = {receivable, sendable, link_changed};

static int open_fixture(void **state)
{
    static struct fixture f;
    struct err err;
    int ends[2];

    f = (struct fixture){.peer = -1};
    mock_guest_open(&f.guest);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    f.peer = ends[1];
    if (net_open_fd(&f.net, ends[0], &err) ||
        net_attach(f.net, &front_end, &f, &f.guest.loop, &f.guest.log, &err))
        fail_msg("%s", err.message);
    close(ends[0]);
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;

    net_close(f->net);
    mock_guest_close(&f->guest);
    if (f->peer >= 0)
        close(f->peer);
    return 0;
}

/* --- the peer --- */

static void peer_sends(struct fixture *f, const void *bytes, size_t size)
{
    assert_int_equal(send(f->peer, bytes, size, MSG_DONTWAIT), size);
    mock_settle(&f->guest);
}

static void peer_sends_frame(struct fixture *f, uint32_t size, uint8_t fill)
{
    uint8_t bytes[4 + 2048];
    uint32_t length = htonl(size);

    memcpy(bytes, &length, 4);
    memset(bytes + 4, fill, size);
    peer_sends(f, bytes, 4 + size);
}

static uint8_t received[NET_FRAME_ROOM];

/* Takes a frame into `received`, in two pieces. */
static ssize_t receive(struct fixture *f)
{
    const struct iovec iov[] = {{received, 20}, {received + 20, sizeof received - 20}};
    struct net_slot slot = {.iov = iov, .count = 2};

    memset(received, 0xee, sizeof received);
    return net_receive(f->net, 0, &slot, 1) == 1 ? (ssize_t)slot.size : -EAGAIN;
}

static void expect_frame(struct fixture *f, uint32_t size, uint8_t fill)
{
    static const uint8_t header[NET_HEADER_SIZE];

    assert_int_equal(receive(f), NET_HEADER_SIZE + size);
    assert_memory_equal(received, header, sizeof header);
    for (uint32_t i = 0; i < size; i++)
        assert_int_equal(received[NET_HEADER_SIZE + i], fill);
    assert_int_equal(received[NET_HEADER_SIZE + size], 0xee);
}

/* Reads exactly `size` bytes, serving the loop meanwhile. */
static void peer_reads(struct fixture *f, void *to, size_t size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t got = recv(f->peer, (uint8_t *)to + done, size - done, MSG_DONTWAIT);

        if (got < 0) {
            assert_int_equal(errno, EAGAIN);
            assert_true(mock_turn(&f->guest) > 0);
            continue;
        }
        assert_true(got > 0);
        done += (size_t)got;
    }
}

static void peer_expects_frame(struct fixture *f, uint32_t size, uint8_t fill)
{
    static uint8_t bytes[NET_FRAME_MAX];
    uint32_t length;

    peer_reads(f, &length, 4);
    assert_int_equal(ntohl(length), size);
    peer_reads(f, bytes, size);
    for (uint32_t i = 0; i < size; i++)
        assert_int_equal(bytes[i], fill);
}

/* --- tests --- */

static void frames_come_in_their_order(void **state)
{
    struct fixture *f = *state;
    uint64_t syscalls;

    for (uint8_t i = 0; i < 20; i++)
        peer_sends_frame(f, 60u + i, i);
    assert_int_equal(f->receivable, 0); /* nobody wants them yet */
    net_want_receive(f->net, 0, true);
    mock_settle(&f->guest);
    assert_int_equal(f->receivable, 1);
    for (uint8_t i = 0; i < 20; i++)
        expect_frame(f, 60u + i, i);
    syscalls = counter_read(&net_received(f->net, 0)->syscalls);
    assert_int_equal(syscalls, 1);
    assert_int_equal(receive(f), -EAGAIN);
    assert_int_equal(counter_read(&net_received(f->net, 0)->frames), 20);
    assert_int_equal(counter_read(&net_received(f->net, 0)->bytes), 20 * 60 + 190);
}

static void a_frame_may_come_byte_by_byte(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[4 + 60] = {0, 0, 0, 60};

    memset(bytes + 4, 7, 60);
    for (size_t i = 0; i < sizeof bytes; i++) {
        assert_int_equal(receive(f), -EAGAIN);
        peer_sends(f, bytes + i, 1);
    }
    expect_frame(f, 60, 7);
    peer_sends_frame(f, 61, 8);
    expect_frame(f, 61, 8);
}

static void the_largest_frame_passes(void **state)
{
    struct fixture *f = *state;
    static uint8_t bytes[4 + NET_FRAME_MAX];
    uint32_t length = htonl(NET_FRAME_MAX);

    memset(bytes, 5, sizeof bytes);
    memcpy(bytes, &length, 4);
    peer_sends(f, bytes, sizeof bytes);
    assert_int_equal(receive(f), NET_FRAME_ROOM);
    assert_memory_equal(received + NET_HEADER_SIZE, bytes + 4, NET_FRAME_MAX);
}

static void impossible_lengths_end_the_link(void **state)
{
    static const uint32_t lengths[] = {0, 1, 13, NET_FRAME_MAX + 1, UINT32_MAX};

    for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct fixture *f = *state;
        uint8_t bytes[64] = {0};
        uint32_t length = htonl(lengths[i]);

        memcpy(bytes, &length, 4);
        peer_sends_frame(f, 60, 1);
        peer_sends(f, bytes, sizeof bytes);
        expect_frame(f, 60, 1);
        assert_int_equal(receive(f), -EAGAIN);
        assert_false(net_link(f->net));
        mock_settle(&f->guest);
        assert_int_equal(f->link_changes, 1);
        assert_int_equal(f->guest.log_lines, 1);
        assert_int_equal(receive(f), -EAGAIN);
        close_fixture(state);
        open_fixture(state);
    }
}

static void a_peer_that_goes_takes_the_link_down(void **state)
{
    struct fixture *f = *state;
    const struct iovec iov = {received, 100};
    const struct net_frame frame = {&iov, 1, 100};

    net_want_receive(f->net, 0, true);
    peer_sends_frame(f, 60, 1);
    net_want_receive(f->net, 0, true);
    close(f->peer);
    f->peer = -1;
    mock_settle(&f->guest);
    expect_frame(f, 60, 1); /* what it had sent still comes */
    assert_true(net_link(f->net));
    assert_int_equal(receive(f), -EAGAIN);
    net_want_receive(f->net, 0, true);
    mock_settle(&f->guest); /* and does not spin */
    assert_int_equal(f->link_changes, 1);
    assert_non_null(strstr(f->guest.last_log_line, "the peer is gone"));
    assert_int_equal(net_send(f->net, 0, &frame, 1), 1);
    assert_int_equal(counter_read(&net_sent(f->net, 0)->dropped), 1);
    assert_int_equal(f->guest.log_lines, 1);
}

static void a_batch_is_one_system_call(void **state)
{
    struct fixture *f = *state;
    static uint8_t bytes[16][200];
    struct iovec iov[16][2];
    struct net_frame frames[16];

    for (uint8_t i = 0; i < 16; i++) {
        memset(bytes[i], i, sizeof bytes[i]);
        iov[i][0] = (struct iovec){bytes[i], 5};
        iov[i][1] = (struct iovec){bytes[i] + 5, 100u + i - 5};
        frames[i] = (struct net_frame){iov[i], 2, 100u + i};
    }
    assert_int_equal(net_send(f->net, 0, frames, 16), 16);
    assert_int_equal(counter_read(&net_sent(f->net, 0)->syscalls), 1);
    for (uint8_t i = 0; i < 16; i++)
        peer_expects_frame(f, 100u + i - NET_HEADER_SIZE, i);
}

/* Frames of many sizes against a socket that takes them in arbitrary portions. */
static void a_slow_peer_gets_every_byte(void **state)
{
    struct fixture *f = *state;
    static uint8_t bytes[NET_FRAME_ROOM];
    const unsigned total = 200;
    unsigned sent = 0, expected = 0;

    while (expected < total) {
        uint32_t size = 1000 + 317 * (sent % 200);
        const struct iovec iov = {bytes, NET_HEADER_SIZE + size};
        const struct net_frame frame = {&iov, 1, NET_HEADER_SIZE + size};
        unsigned before = f->sendable;

        memset(bytes, (int)(sent & 0xff), sizeof bytes);
        if (sent < total && net_send(f->net, 0, &frame, 1) == 1) {
            sent++;
            continue;
        }
        peer_expects_frame(f, 1000 + 317 * (expected % 200), (uint8_t)expected);
        expected++;
        mock_settle(&f->guest);
        assert_true(f->sendable <= before + 1);
    }
    assert_true(f->sendable > 0);
    assert_int_equal(counter_read(&net_sent(f->net, 0)->frames), total);
    assert_int_equal(counter_read(&net_sent(f->net, 0)->dropped), 0);
}

static void what_is_no_stream_is_refused(void **state)
{
    struct fixture *f = *state;
    int fds[2];
    struct net *net;
    struct err err;

    assert_int_equal(pipe(fds), 0);
    assert_true(net_open_fd(&net, fds[0], &err) < 0);
    assert_non_null(strstr(err.message, "neither a tap interface's nor a stream socket"));
    close(fds[0]);
    close(fds[1]);
    assert_int_equal(net_open_fd(&net, 1000, &err), -EBADF);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
    assert_int_equal(net_open_fd(&net, fds[0], &err), -EINVAL);
    close(fds[0]);
    close(fds[1]);
    fds[0] = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(net_open_fd(&net, fds[0], &err), -ENOTCONN);
    close(fds[0]);
    assert_int_equal(net_open_stream(&net, "/nonexistent/socket", &err), -ENOENT);
    assert_non_null(strstr(err.message, "stream \"/nonexistent/socket\": cannot connect"));
    assert_true(net_link(f->net));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(frames_come_in_their_order),
        TEST(a_frame_may_come_byte_by_byte),
        TEST(the_largest_frame_passes),
        TEST(impossible_lengths_end_the_link),
        TEST(a_peer_that_goes_takes_the_link_down),
        TEST(a_batch_is_one_system_call),
        TEST(a_slow_peer_gets_every_byte),
        TEST(what_is_no_stream_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
