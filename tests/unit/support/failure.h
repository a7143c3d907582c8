/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asserts that a call failed with this code, and that its message has this text in it.
 */
#ifndef HUSK_TESTS_FAILURE_H
#define HUSK_TESTS_FAILURE_H

#include "core/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#define assert_failure(rc, expected, err, text)                                                   \
    do {                                                                                          \
        assert_int_equal((rc), (expected));                                                       \
        assert_int_equal((err)->code, (expected));                                                \
        if (!strstr((err)->message, (text)) || strchr((err)->message, '\n'))                      \
            fail_msg("message is \"%s\", not \"...%s...\"", (err)->message, (text));              \
    } while (0)

#endif
