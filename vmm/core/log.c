/* SPDX-License-Identifier: Apache-2.0 */
#include "core/log.h"

#include "core/err.h"

#include <stdarg.h>
#include <stdio.h>

void log_line(const struct log *log, enum log_level level, const char *format, ...)
{
    char line[512];
    va_list args;

    if (!log || !log->sink || level > log->level)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    keep_one_line(line);
    log->sink(log->context, level, line);
}
