/* SPDX-License-Identifier: Apache-2.0 */
/* Filling a struct husk_err; `err` may be NULL. Each returns `code`, a negative errno. */
#ifndef HUSK_SANDBOX_FAIL_H
#define HUSK_SANDBOX_FAIL_H

#include "core/err.h"
#include "husk.h"

/* The message ends in what to do. */
int fail(struct husk_err *err, enum husk_err_kind kind, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* As fail(), with ": " and the text of the errno behind. */
int fail_sys(struct husk_err *err, enum husk_err_kind kind, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
