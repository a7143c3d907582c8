/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 4, 0)))
static void fill(struct husk_err *err, enum husk_err_kind kind, int code, const char *format,
                 va_list arguments)
{
    err->code = code;
    err->kind = kind;
    vsnprintf(err->message, sizeof err->message, format, arguments);
    keep_one_line(err->message);
}

int fail(struct husk_err *err, enum husk_err_kind kind, int code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    if (err)
        fill(err, kind, code, format, arguments);
    va_end(arguments);
    return code;
}

int fail_sys(struct husk_err *err, enum husk_err_kind kind, int code, const char *format, ...)
{
    va_list arguments;
    size_t size;

    va_start(arguments, format);
    if (err) {
        fill(err, kind, code, format, arguments);
        size = strlen(err->message);
        snprintf(err->message + size, sizeof err->message - size, ": %s", strerror(-code));
    }
    va_end(arguments);
    return code;
}
