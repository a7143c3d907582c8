/* SPDX-License-Identifier: Apache-2.0 */
#include "support/failure.h"

#include <errno.h>

static void sets_code_and_message(void **state)
{
    struct err err = {0};

    (void)state;
    assert_int_equal(err_set(&err, -EINVAL, "disk %d", 3), -EINVAL);
    assert_int_equal(err.code, -EINVAL);
    assert_string_equal(err.message, "disk 3");
    assert_int_equal(err_set(&err, -ENOENT, "gone"), -ENOENT);
    assert_string_equal(err.message, "gone");
}

static void adds_the_text_of_the_errno(void **state)
{
    struct err err = {0};

    (void)state;
    assert_int_equal(err_sys(&err, -EACCES, "cannot open %s", "x"), -EACCES);
    assert_string_equal(err.message, "cannot open x: Permission denied");
}

static void puts_context_in_front(void **state)
{
    struct err err = {0};

    (void)state;
    err_set(&err, -EBUSY, "in use");
    err_prefix(&err, "disk \"%s\"", "a");
    err_prefix(&err, "vm");
    assert_string_equal(err.message, "vm: disk \"a\": in use");
    assert_int_equal(err.code, -EBUSY);
}

static void works_without_an_object(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, -EINVAL, "x"), -EINVAL);
    assert_int_equal(err_sys(NULL, -EACCES, "x"), -EACCES);
    err_prefix(NULL, "x");
}

static void cuts_what_is_too_long(void **state)
{
    char text[2 * ERR_MESSAGE_MAX];
    struct err err = {0};

    (void)state;
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    err_set(&err, -EINVAL, "%s", text);
    assert_int_equal(strlen(err.message), ERR_MESSAGE_MAX - 1);
    err_sys(&err, -EINVAL, "%s", text);
    assert_int_equal(strlen(err.message), ERR_MESSAGE_MAX - 1);
    err_prefix(&err, "front");
    assert_int_equal(strlen(err.message), ERR_MESSAGE_MAX - 1);
    assert_memory_equal(err.message, "front: aaa", 10);
    err_prefix(&err, "%s", text);
    assert_int_equal(strlen(err.message), ERR_MESSAGE_MAX - 1);
}

static void stays_one_line_of_plain_text(void **state)
{
    struct err err = {0};

    (void)state;
    err_set(&err, -EINVAL, "a%cb", '\n');
    assert_string_equal(err.message, "a?b");
    err_sys(&err, -EACCES, "%s", "\x1b[31m");
    assert_string_equal(err.message, "?[31m: Permission denied");
    err_prefix(&err, "%s", "\r\x7f\xc3\xa4");
    assert_string_equal(err.message, "??\xc3\xa4: ?[31m: Permission denied");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_code_and_message),
        cmocka_unit_test(adds_the_text_of_the_errno),
        cmocka_unit_test(puts_context_in_front),
        cmocka_unit_test(works_without_an_object),
        cmocka_unit_test(cuts_what_is_too_long),
        cmocka_unit_test(stays_one_line_of_plain_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
