/* SPDX-License-Identifier: Apache-2.0 */
/* Frames on a stream socket, cut anywhere; what does not fit or is not read stays bounded. */
#include "devices/net/user/frames.h"
#include "support/failure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct wire {
    int near, far;
    struct frame_input input;
    struct frame_output output;
};

static struct wire *wire_open(void)
{
    struct wire *wire = calloc(1, sizeof *wire);
    int ends[2];

    assert_non_null(wire);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    wire->near = ends[0];
    wire->far = ends[1];
    return wire;
}

static void wire_close(struct wire *wire)
{
    close(wire->near);
    close(wire->far);
    free(wire);
}

static void send_bytes(struct wire *wire, const void *bytes, size_t size)
{
    assert_int_equal(write(wire->far, bytes, size), size);
    assert_int_equal(frame_input_fill(&wire->input, wire->near), size);
}

static void takes_frames_however_they_are_cut(void **state)
{
    static const uint8_t stream[] = {0, 0, 0, 3, 'a', 'b', 'c', 0, 0, 0, 1, 'd'};
    struct wire *wire = wire_open();

    (void)state;
    for (size_t cut = 0; cut <= sizeof stream; cut++) {
        char seen[8] = "";
        const uint8_t *frame;
        ssize_t size;

        for (size_t part = 0; part < 2; part++) {
            size_t from = part ? cut : 0, to = part ? sizeof stream : cut;

            if (from < to)
                send_bytes(wire, stream + from, to - from);
            while ((size = frame_input_next(&wire->input, &frame)) > 0) {
                strncat(seen, (const char *)frame, (size_t)size);
                strcat(seen, ".");
            }
            assert_int_equal(size, 0);
        }
        assert_string_equal(seen, "abc.d.");
    }
    wire_close(wire);
}

static void refuses_sizes_that_no_frame_has(void **state)
{
    static const uint8_t bad[][4] = {{0, 0, 0, 0}, {0, 1, 0, 65}, {0xff, 0xff, 0xff, 0xff}};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct wire *wire = wire_open();
        const uint8_t *frame;

        send_bytes(wire, bad[i], 4);
        assert_int_equal(frame_input_next(&wire->input, &frame), -EPROTO);
        assert_int_equal(frame_input_next(&wire->input, &frame), -EPROTO);
        wire_close(wire);
    }
}

static void tells_the_end_of_the_stream(void **state)
{
    struct wire *wire = wire_open();

    (void)state;
    assert_int_equal(frame_input_fill(&wire->input, wire->near), -EAGAIN);
    shutdown(wire->far, SHUT_WR);
    assert_int_equal(frame_input_fill(&wire->input, wire->near), 0);
    wire_close(wire);
}

/* The size of frame `number` of a long exchange, which covers all sizes and wraps the ring. */
static size_t size_of(unsigned number)
{
    return 1 + number * 7919u % FRAME_MAX;
}

static void expect_frames(struct wire *wire, unsigned *next)
{
    const uint8_t *frame;
    ssize_t size;

    while (frame_input_fill(&wire->input, wire->far) > 0) {
        while ((size = frame_input_next(&wire->input, &frame)) > 0) {
            assert_int_equal(size, size_of(*next));
            assert_int_equal(frame[0], (uint8_t)*next);
            assert_int_equal(frame[size - 1], (uint8_t)*next);
            (*next)++;
        }
        assert_int_equal(size, 0);
    }
}

static void sends_what_it_has_taken_in_order(void **state)
{
    static uint8_t bytes[FRAME_MAX];
    struct wire *wire = wire_open();
    unsigned received = 0, sent = 0;

    (void)state;
    while (sent < 2000) {
        memset(bytes, (uint8_t)sent, sizeof bytes);
        if (frame_output_put(&wire->output, bytes, size_of(sent))) {
            sent++;
            continue;
        }
        assert_true(wire->output.size > FRAME_OUTPUT_SIZE - FRAME_MAX - FRAME_PREFIX_SIZE);
        assert_int_equal(frame_output_flush(&wire->output, wire->near), 0);
        expect_frames(wire, &received);
    }
    while (received < sent) {
        assert_int_equal(frame_output_flush(&wire->output, wire->near), 0);
        expect_frames(wire, &received);
    }
    assert_int_equal(wire->output.size, 0);
    wire_close(wire);
}

static void does_not_die_of_a_peer_that_is_gone(void **state)
{
    struct wire *wire = wire_open();

    (void)state;
    assert_true(frame_output_put(&wire->output, (const uint8_t *)"x", 1));
    close(wire->far);
    assert_int_equal(frame_output_flush(&wire->output, wire->near), -EPIPE);
    wire->far = -1;
    wire_close(wire);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_frames_however_they_are_cut),
        cmocka_unit_test(refuses_sizes_that_no_frame_has),
        cmocka_unit_test(tells_the_end_of_the_stream),
        cmocka_unit_test(sends_what_it_has_taken_in_order),
        cmocka_unit_test(does_not_die_of_a_peer_that_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
