/* SPDX-License-Identifier: Apache-2.0 */
/* The stream of saved state: what is written is read, and nothing else is believed. */
#include "core/state.h"
#include "support/failure.h"

static struct state_reader reader_of(const struct state_writer *writer)
{
    return (struct state_reader){.data = writer->data, .size = writer->size};
}

static struct state_writer two_sections(void)
{
    struct state_writer writer = {0};

    state_begin(&writer, "first", 1);
    state_put_u8(&writer, 0x11);
    state_put_u16(&writer, 0x2233);
    state_put_u32(&writer, 0x44556677);
    state_put_u64(&writer, 0x8899aabbccddeeff);
    state_put_bytes(&writer, "bytes", 5);
    state_end(&writer);
    state_begin(&writer, "second", 7);
    state_end(&writer);
    return writer;
}

static void read_first(struct state_reader *reader)
{
    char bytes[5];

    state_enter(reader, "first", 1);
    assert_int_equal(state_get_u8(reader), 0x11);
    assert_int_equal(state_get_u16(reader), 0x2233);
    assert_int_equal(state_get_u32(reader), 0x44556677);
    assert_int_equal(state_get_u64(reader), 0x8899aabbccddeeff);
    state_get_bytes(reader, bytes, sizeof bytes);
    assert_memory_equal(bytes, "bytes", 5);
    state_leave(reader);
}

static void reads_what_was_written(void **state)
{
    struct state_writer writer = two_sections();
    struct state_reader reader = reader_of(&writer);

    (void)state;
    assert_false(writer.failed);
    read_first(&reader);
    state_enter(&reader, "second", 7);
    state_leave(&reader);
    assert_false(state_failed(&reader));
    assert_int_equal(reader.position, writer.size);
    state_writer_free(&writer);
}

static void has_the_documented_layout(void **state)
{
    static const uint8_t expected[] = {2, 'a', 'b', 0x34, 0x12, 2, 0, 0, 0, 0xcd, 0xab};
    struct state_writer writer = {0};

    (void)state;
    state_begin(&writer, "ab", 0x1234);
    state_put_u16(&writer, 0xabcd);
    state_end(&writer);
    assert_int_equal(writer.size, sizeof expected);
    assert_memory_equal(writer.data, expected, sizeof expected);
    state_writer_free(&writer);
}

static void refuses_another_name_or_version(void **state)
{
    struct state_writer writer = two_sections();
    static const struct {
        const char *name;
        uint16_t version;
    } others[] = {{"firsT", 1}, {"firs", 1}, {"first1", 1}, {"", 1}, {"first", 2}, {"second", 7}};

    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct state_reader reader = reader_of(&writer);

        state_enter(&reader, others[i].name, others[i].version);
        assert_true(state_failed(&reader));
        assert_int_equal(state_get_u8(&reader), 0);
    }
    state_writer_free(&writer);
}

static void stays_failed_and_gives_zeros(void **state)
{
    struct state_writer writer = two_sections();
    struct state_reader reader = reader_of(&writer);
    char bytes[5] = "xxxxx";

    (void)state;
    state_enter(&reader, "other", 1);
    state_get_bytes(&reader, bytes, sizeof bytes);
    assert_memory_equal(bytes, "\0\0\0\0\0", 5);
    assert_int_equal(state_get_u64(&reader), 0);
    state_leave(&reader);
    state_enter(&reader, "first", 1);
    assert_true(state_failed(&reader));
    state_writer_free(&writer);
}

static void fails_wherever_the_stream_is_cut(void **state)
{
    struct state_writer writer = two_sections();

    (void)state;
    for (size_t size = 0; size < writer.size; size++) {
        struct state_reader reader = {.data = writer.data, .size = size};
        char bytes[5];

        state_enter(&reader, "first", 1);
        state_get_u8(&reader);
        state_get_u16(&reader);
        state_get_u32(&reader);
        state_get_u64(&reader);
        state_get_bytes(&reader, bytes, sizeof bytes);
        state_leave(&reader);
        state_enter(&reader, "second", 7);
        state_leave(&reader);
        assert_true(state_failed(&reader));
    }
    state_writer_free(&writer);
}

static void does_not_read_past_a_section(void **state)
{
    struct state_writer writer = {0};
    struct state_reader reader;

    (void)state;
    state_begin(&writer, "a", 1);
    state_put_u8(&writer, 1);
    state_end(&writer);
    state_begin(&writer, "b", 1);
    state_end(&writer);
    reader = reader_of(&writer);
    state_enter(&reader, "a", 1);
    assert_int_equal(state_get_u16(&reader), 0);
    assert_true(state_failed(&reader));
    state_writer_free(&writer);
}

static void fails_when_bytes_are_left_over(void **state)
{
    struct state_writer writer = two_sections();
    struct state_reader reader = reader_of(&writer);

    (void)state;
    state_enter(&reader, "first", 1);
    state_get_u8(&reader);
    state_leave(&reader);
    assert_true(state_failed(&reader));
    state_writer_free(&writer);
}

static void refuses_sections_in_sections(void **state)
{
    struct state_writer writer = {0};
    struct state_writer good = two_sections();
    struct state_reader reader = reader_of(&good);

    (void)state;
    state_begin(&writer, "a", 1);
    state_begin(&writer, "b", 1);
    assert_true(writer.failed);
    state_writer_free(&writer);
    state_end(&writer);
    assert_true(writer.failed);
    state_writer_free(&writer);
    state_enter(&reader, "first", 1);
    state_enter(&reader, "first", 1);
    assert_true(state_failed(&reader));
    state_writer_free(&good);
}

static void refuses_to_leave_what_was_not_entered(void **state)
{
    struct state_reader reader = {0};

    (void)state;
    state_leave(&reader);
    assert_true(state_failed(&reader));
}

static void takes_nothing_of_nothing(void **state)
{
    struct state_reader reader = {0};
    struct state_writer writer = {0};

    (void)state;
    state_get_bytes(&reader, NULL, 0);
    state_put_bytes(&writer, NULL, 0);
    assert_false(state_failed(&reader));
    assert_false(writer.failed);
    assert_int_equal(state_get_u8(&reader), 0);
    assert_true(state_failed(&reader));
    state_writer_free(&writer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_was_written),
        cmocka_unit_test(has_the_documented_layout),
        cmocka_unit_test(refuses_another_name_or_version),
        cmocka_unit_test(stays_failed_and_gives_zeros),
        cmocka_unit_test(fails_wherever_the_stream_is_cut),
        cmocka_unit_test(does_not_read_past_a_section),
        cmocka_unit_test(fails_when_bytes_are_left_over),
        cmocka_unit_test(refuses_sections_in_sections),
        cmocka_unit_test(refuses_to_leave_what_was_not_entered),
        cmocka_unit_test(takes_nothing_of_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
