/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/text.h"

#include <stdarg.h>
#include <stdio.h>

void text_append(struct text *text, const char *format, ...)
{
    va_list args;
    int used;

    va_start(args, format);
    used = vsnprintf(text->at, text->room, format, args);
    va_end(args);
    if (used < 0 || text->room == 0)
        return;
    if ((size_t)used >= text->room)
        used = (int)text->room - 1;
    text->at += used;
    text->room -= (size_t)used;
}
