/* SPDX-License-Identifier: Apache-2.0 */
/* Builds the message chain of core/err.h. */
#include "core/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void keep_one_line(char *text)
{
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
}

int err_set(struct err *err, int code, const char *format, ...)
{
    va_list args;

    if (err) {
        err->code = code;
        va_start(args, format);
        vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
        keep_one_line(err->message);
    }
    return code;
}

int err_sys(struct err *err, int code, const char *format, ...)
{
    va_list args;
    int used;

    if (err) {
        err->code = code;
        va_start(args, format);
        used = vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
        if (used >= 0 && (size_t)used < sizeof err->message)
            snprintf(err->message + used, sizeof err->message - (size_t)used, ": %s",
                     strerrordesc_np(-code));
        keep_one_line(err->message);
    }
    return code;
}

void err_prefix(struct err *err, const char *format, ...)
{
    char tail[ERR_MESSAGE_MAX];
    va_list args;
    int used;

    if (!err)
        return;
    memcpy(tail, err->message, sizeof tail);
    va_start(args, format);
    used = vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    if (used >= 0 && (size_t)used < sizeof err->message)
        snprintf(err->message + used, sizeof err->message - (size_t)used, ": %.*s",
                 (int)sizeof err->message - used, tail);
    keep_one_line(err->message);
}
