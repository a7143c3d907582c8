/* SPDX-License-Identifier: Apache-2.0 */
/* Frames from a peer that may send anything, in pieces of any size. */
#include "agent/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LIMIT 4096u

static void open_pair(int ends[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
}

static void send_raw(int fd, uint32_t type, uint32_t size, const void *payload, size_t sent)
{
    const struct frame_header header = {.type = type, .size = size};

    assert_int_equal(frame_send_bytes(fd, &header, sizeof header), 0);
    assert_int_equal(frame_send_bytes(fd, payload, sent), 0);
}

static void fields_come_as_they_were_added(void **state)
{
    struct frame_reader reader = {.limit = LIMIT};
    struct fields fields = {0};
    uint64_t number = 0;
    size_t at = 0;
    int ends[2];

    (void)state;
    open_pair(ends);
    fields_add(&fields, "name", "one");
    fields_add(&fields, "name", "");
    fields_add(&fields, "named", "other");
    fields_add_number(&fields, "big", UINT64_MAX);
    assert_int_equal(frame_send(ends[0], 7, &fields), 0);
    assert_int_equal(frame_reader_read(&reader, ends[1]), 1);
    assert_true(reader.complete);
    assert_int_equal(reader.header.type, 7);
    assert_string_equal(field_next(reader.payload, reader.header.size, "name", &at), "one");
    assert_string_equal(field_next(reader.payload, reader.header.size, "name", &at), "");
    assert_null(field_next(reader.payload, reader.header.size, "name", &at));
    assert_string_equal(frame_field(&reader, "named"), "other");
    assert_null(frame_field(&reader, "nam"));
    assert_true(frame_number(&reader, "big", UINT64_MAX, &number));
    assert_true(number == UINT64_MAX);
    fields_release(&fields);
    frame_reader_release(&reader);
    assert_int_equal(reader.limit, LIMIT);
    close(ends[0]);
    close(ends[1]);
}

/* Many callers have a default in it. */
static void a_bad_number_is_not_stored(void **state)
{
    static const char *const bad[] = {"", "-1", " 1", "+1", "1x", "0x1", "101",
                                      "4294967296", "99999999999999999999"};
    uint64_t number = 42;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct fields fields = {0};

        fields_add(&fields, "n", bad[i]);
        assert_false(field_number(fields.bytes, fields.size, "n", 100, &number));
        assert_int_equal(number, 42);
        fields_release(&fields);
    }
    assert_false(field_number(NULL, 0, "n", 100, &number));
    assert_true(field_number("n=100", sizeof "n=100", "n", 100, &number));
    assert_int_equal(number, 100);
}

static void frames_arrive_byte_by_byte(void **state)
{
    struct frame_reader reader = {.limit = LIMIT, .flags = MSG_DONTWAIT};
    const struct frame_header header = {.type = 3, .size = 4};
    char bytes[sizeof header + 4];
    int ends[2];

    (void)state;
    open_pair(ends);
    memcpy(bytes, &header, sizeof header);
    memcpy(bytes + sizeof header, "a=b", 4);
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < sizeof bytes; i++) {
            assert_int_equal(frame_reader_read(&reader, ends[1]), 0);
            assert_false(reader.complete);
            assert_int_equal(frame_send_bytes(ends[0], bytes + i, 1), 0);
            if (i == sizeof bytes - 1) {
                assert_int_equal(frame_reader_read(&reader, ends[1]), 1);
                assert_string_equal(frame_field(&reader, "a"), "b");
            }
        }
    frame_reader_release(&reader);
    close(ends[0]);
    close(ends[1]);
}

static void a_frame_without_payload_is_one(void **state)
{
    struct frame_reader reader = {.limit = 0};
    int ends[2];

    (void)state;
    open_pair(ends);
    assert_int_equal(frame_send(ends[0], 9, NULL), 0);
    assert_int_equal(frame_reader_read(&reader, ends[1]), 1);
    assert_int_equal(reader.header.size, 0);
    assert_null(frame_field(&reader, "any"));
    frame_reader_release(&reader);
    close(ends[0]);
    close(ends[1]);
}

/* And whoever reads on all the same has a header next, not a payload that has no room. */
static void too_large_a_frame_is_refused(void **state)
{
    static const uint32_t sizes[] = {LIMIT + 1, 0x7fffffff, UINT32_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct frame_reader reader = {.limit = LIMIT};
        int ends[2];

        open_pair(ends);
        send_raw(ends[0], 1, sizes[i], "", 0);
        assert_int_equal(frame_reader_read(&reader, ends[1]), -EMSGSIZE);
        send_raw(ends[0], 2, 4, "k=v", 4);
        assert_int_equal(frame_reader_read(&reader, ends[1]), 1);
        assert_int_equal(reader.header.type, 2);
        frame_reader_release(&reader);
        close(ends[0]);
        close(ends[1]);
    }
}

static void a_payload_that_does_not_end_is_refused(void **state)
{
    struct frame_reader reader = {.limit = LIMIT};
    int ends[2];

    (void)state;
    open_pair(ends);
    send_raw(ends[0], 1, 3, "k=v", 3);
    assert_int_equal(frame_reader_read(&reader, ends[1]), -EPROTO);
    assert_false(reader.complete);
    send_raw(ends[0], 2, 4, "k=v", 4);
    assert_int_equal(frame_reader_read(&reader, ends[1]), 1);
    frame_reader_release(&reader);
    close(ends[0]);
    close(ends[1]);
}

static void a_peer_may_break_off_anywhere(void **state)
{
    const struct frame_header header = {.type = 3, .size = 4};
    char bytes[sizeof header + 4];

    (void)state;
    memcpy(bytes, &header, sizeof header);
    memcpy(bytes + sizeof header, "a=b", 4);
    for (size_t size = 0; size < sizeof bytes; size++) {
        struct frame_reader reader = {.limit = LIMIT};
        int ends[2];

        open_pair(ends);
        assert_int_equal(frame_send_bytes(ends[0], bytes, size), 0);
        close(ends[0]);
        assert_int_equal(frame_reader_read(&reader, ends[1]), -ECONNRESET);
        assert_int_equal(frame_send(ends[1], 1, NULL), -EPIPE);
        frame_reader_release(&reader);
        close(ends[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_come_as_they_were_added),
        cmocka_unit_test(a_bad_number_is_not_stored),
        cmocka_unit_test(frames_arrive_byte_by_byte),
        cmocka_unit_test(a_frame_without_payload_is_one),
        cmocka_unit_test(too_large_a_frame_is_refused),
        cmocka_unit_test(a_payload_that_does_not_end_is_refused),
        cmocka_unit_test(a_peer_may_break_off_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
