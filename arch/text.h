/* SPDX-License-Identifier: Apache-2.0 */
/* Text that grows piece by piece in a buffer of fixed size; what does not fit is left out. */
#ifndef HUSK_ARCH_TEXT_H
#define HUSK_ARCH_TEXT_H

#include <stddef.h>

struct text {
    char *at;    /* always a NUL is here, if there is room for any */
    size_t room; /* bytes, with that NUL */
};

void text_append(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
