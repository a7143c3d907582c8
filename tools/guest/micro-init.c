/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first program of the micro guest: tells the monitor that userspace is
 * reached, by one byte on the timing port, and becomes the shell that runs
 * micro-init.sh. No libc, so that nothing stands before the mark.
 */
#include <asm/unistd.h>

#define TIMING_PORT 0x5f0
#define TIMING_USERSPACE 3

static long system_call(long number, long first, long second, long third)
{
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(number), "D"(first), "S"(second), "d"(third)
                     : "rcx", "r11", "memory");
    return result;
}

static void mark_userspace(void)
{
    if (system_call(__NR_ioperm, TIMING_PORT, 1, 1) == 0)
        __asm__ volatile("outb %%al, %%dx" : : "a"(TIMING_USERSPACE), "d"(TIMING_PORT));
}

void _start(void)
{
    static const char *const arguments[] = {"/bin/busybox", "sh", "/etc/init.sh", 0};
    static const char *const environment[] = {"PATH=/bin", "HOME=/", "TERM=linux", 0};

    mark_userspace();
    system_call(__NR_execve, (long)arguments[0], (long)arguments, (long)environment);
    system_call(__NR_exit, 127, 0, 0);
    __builtin_unreachable();
}
