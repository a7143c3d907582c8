/* SPDX-License-Identifier: Apache-2.0 */
#include "support/apart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

void run_apart(int (*part)(void *argument), void *argument, const char *needs)
{
    pid_t child = fork();
    int status;

    if (child == 0)
        _exit(part(argument));
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == APART_CANNOT_TRY) {
        print_message("needs %s\n", needs);
        skip();
    }
    assert_int_equal(status, 0);
}

void must(bool holds, const char *what)
{
    if (holds)
        return;
    perror(what);
    _exit(1);
}
