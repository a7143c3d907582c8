/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A part of a test that takes namespaces for itself, and so a process of its own. It cannot assert:
 * its result is 0, the number of the step that went wrong, or APART_CANNOT_TRY.
 */
#ifndef HUSK_TESTS_APART_H
#define HUSK_TESTS_APART_H

#include <stdbool.h>

#define APART_CANNOT_TRY 77

/* Skips the test, saying what it `needs`, or fails unless the part returns 0. */
void run_apart(int (*part)(void *argument), void *argument, const char *needs);

/* In the part: ends it, with `what` and errno, unless that holds. */
void must(bool holds, const char *what);

#endif
