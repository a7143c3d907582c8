/* SPDX-License-Identifier: Apache-2.0 */
/* Connections by the thousand: limits, descriptors, ports, and that none is left over. */
#include "support/vsock_fixture.h"

#include "support/pump.h"

#include <sys/resource.h>

#define MANY 2000u
#define FEW 100u

/* A vsock takes half of what is allowed when it is opened. */
static rlim_t set_limit(rlim_t descriptors)
{
    struct rlimit limit;
    rlim_t before;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    before = limit.rlim_cur;
    limit.rlim_cur = descriptors < limit.rlim_max ? descriptors : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return before;
}

static int open_many(void **state)
{
    set_limit(4 * MANY);
    return open_fixture(state);
}

/* Then there are descriptors enough for the test itself. */
static int open_few(void **state)
{
    rlim_t before = set_limit(2 * FEW);
    int rc = open_fixture(state);

    set_limit(before);
    return rc;
}

/* Connections of the guest that the device admits, from port `first` on, until one is refused. */
static unsigned connect_guests(struct fixture *f, int listener, uint32_t first, int *fds,
                               unsigned most)
{
    for (unsigned i = 0; i < most; i++) {
        struct virtio_vsock_hdr header;

        say(f, OP(REQUEST), PORT, first + i);
        assert_true(hear(f, &header, NULL));
        refill(f, 1);
        if (header.op == OP(RST))
            return i;
        assert_int_equal(header.op, OP(RESPONSE));
        assert_true(header.buf_alloc >= 4096);
        fds[i] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        assert_true(fds[i] >= 0);
    }
    return most;
}

static void thousands_of_connections_leave_nothing(void **state)
{
    struct fixture *f = *state;
    static int fds[MANY];
    size_t before;
    int listener = unix_socket(f->port_path, true);

    start(f, SIZE);
    before = descriptors();
    for (unsigned round = 0; round < 3; round++) {
        unsigned count = connect_guests(f, listener, 1, fds, MANY);

        if (count < MANY)
            fail_msg("only %u connections; this test needs %u descriptors", count, 4 * MANY);
        for (unsigned i = 0; i < MANY; i += 7)
            say_data(f, PORT, 1 + i, 10, i);
        for (unsigned i = 0; i < MANY; i += 7)
            assert_int_equal(read_pattern(fds[i], i, 20), 10);
        for (unsigned i = 0; i < MANY; i++) {
            if (i % 2 == 0)
                say_shutdown(f, PORT, 1 + i, 3);
            close(fds[i]);
            mock_settle(&f->guest);
            expect_of(f, i % 2 == 0 ? OP(RST) : OP(SHUTDOWN), PORT, 1 + i);
            refill(f, 1);
            if (i % 2 == 1)
                say(f, OP(RST), PORT, 1 + i);
        }
        assert_int_equal(descriptors(), before);
    }
    assert_int_equal(counter_read(&vsock_from_guest(f->vsock)->connections), 3 * MANY);
    assert_int_equal(counter_read(&vsock_from_guest(f->vsock)->closed), 3 * MANY);
    expect_silence(f);
    close(listener);
}

static void over_the_limit_the_guest_is_reset_and_a_program_closed(void **state)
{
    struct fixture *f = *state;
    int fds[FEW + 1], listener = unix_socket(f->port_path, true), program, unseen;
    size_t before;

    start(f, SIZE);
    before = descriptors();
    assert_int_equal(connect_guests(f, listener, 1, fds, FEW + 1), FEW);
    unseen = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (unseen >= 0) { /* of the guest that was refused */
        expect_end(unseen);
        close(unseen);
    }
    program = unix_socket(f->path, false);
    mock_settle(&f->guest);
    expect_end(program);
    close(program);

    say_shutdown(f, PORT, 1, 3);
    expect_of(f, OP(RST), PORT, 1);
    refill(f, 1);
    close(fds[0]);
    assert_int_equal(connect_guests(f, listener, 1000, fds, 1), 1);
    mock_reset(&f->driver);
    for (unsigned i = 0; i < FEW; i++)
        close(fds[i]);
    assert_int_equal(descriptors(), before);
    close(listener);
}

/* Queues that are promised are bounded in all: the more there are, the smaller they get. */
static void what_is_promised_is_bounded(void **state)
{
    struct fixture *f = *state;
    int listener = unix_socket(f->port_path, true);
    uint64_t promised = 0;
    static int fds[MANY];

    start(f, SIZE);
    for (unsigned i = 0; i < MANY; i++) {
        struct virtio_vsock_hdr header;

        fds[i] = connect_guest(f, listener, 1 + i);
        header = expect(f, OP(RESPONSE));
        refill(f, 1);
        promised += header.buf_alloc;
        if (i == 0)
            assert_int_equal(header.buf_alloc, 256 << 10);
    }
    assert_in_range(promised, 32 << 20, (64 << 20) + MANY * 4096);
    mock_reset(&f->driver);
    for (unsigned i = 0; i < MANY; i++)
        close(fds[i]);
    start(f, SIZE); /* and all of it comes back */
    say(f, OP(REQUEST), PORT, 1);
    assert_int_equal(expect(f, OP(RESPONSE)).buf_alloc, 256 << 10);
    close(listener);
}

/* Without descriptors a program waits, and nothing spins, until there are some again. */
static void a_program_waits_for_a_descriptor(void **state)
{
    struct fixture *f = *state;
    int program, filler[64], listener = unix_socket(f->port_path, true);
    rlim_t before;
    unsigned count = 0;

    start(f, SIZE);
    program = unix_socket(f->path, false);
    before = set_limit(descriptors() + 20);
    while (count < 64 && (filler[count] = dup(program)) >= 0)
        count++;
    write_text(program, "CONNECT 5000\n");
    mock_settle(&f->guest); /* or it would turn for ever */
    expect_silence(f);
    assert_int_equal(f->guest.log_lines, 1);
    say(f, OP(REQUEST), PORT, GUEST_PORT);
    expect_of(f, OP(RST), PORT, GUEST_PORT);

    while (count > 0)
        close(filler[--count]);
    set_limit(before);
    for (unsigned i = 0; i < 100 && mock_used_idx(&f->driver.rings[RECEIVE]) == 1; i++)
        pump(&f->guest.loop, PUMP_PATIENCE_MS / 100);
    expect(f, OP(REQUEST));
    close(program);
    close(listener);
}

static void a_port_in_use_is_not_given_again(void **state)
{
    struct fixture *f = *state;
    uint32_t ports[50];
    int fds[50];

    start(f, SIZE);
    for (unsigned i = 0; i < 50; i++) {
        fds[i] = connect_host(f, &ports[i]);
        refill(f, 1);
        for (unsigned k = 0; k < i; k++)
            assert_int_not_equal(ports[i], ports[k]);
    }
    for (unsigned i = 0; i < 50; i++)
        close(fds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(thousands_of_connections_leave_nothing, open_many,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(over_the_limit_the_guest_is_reset_and_a_program_closed,
                                        open_few, close_fixture),
        cmocka_unit_test_setup_teardown(what_is_promised_is_bounded, open_many, close_fixture),
        cmocka_unit_test_setup_teardown(a_program_waits_for_a_descriptor, open_few,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(a_port_in_use_is_not_given_again, open_many,
                                        close_fixture),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
