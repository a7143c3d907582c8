/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first program of the micro guest: marks that userspace is reached and becomes the shell
 * that runs micro-init.sh.
 */
#include "timing-mark.h"

void _start(void)
{
    static const char *const arguments[] = {"/bin/busybox", "sh", "/etc/init.sh", 0};
    static const char *const environment[] = {"PATH=/bin", "HOME=/", "TERM=linux", 0};

    mark_userspace();
    system_call(__NR_execve, (long)arguments[0], (long)arguments, (long)environment);
    system_call(__NR_exit, 127, 0, 0);
    __builtin_unreachable();
}
