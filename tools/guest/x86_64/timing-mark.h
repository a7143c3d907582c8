/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telling the monitor that userspace is reached: the byte 3 on the timing port (husk(1)). For
 * programs without a libc, so that nothing stands before the mark. Needs root, for ioperm(2).
 */
#ifndef HUSK_TOOLS_GUEST_TIMING_MARK_H
#define HUSK_TOOLS_GUEST_TIMING_MARK_H

#include <asm/unistd.h>

#define TIMING_PORT 0x5f0
#define TIMING_USERSPACE 3

static inline long system_call(long number, long first, long second, long third)
{
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(number), "D"(first), "S"(second), "d"(third)
                     : "rcx", "r11", "memory");
    return result;
}

static inline void mark_userspace(void)
{
    if (system_call(__NR_ioperm, TIMING_PORT, 1, 1) == 0)
        __asm__ volatile("outb %%al, %%dx" : : "a"(TIMING_USERSPACE), "d"(TIMING_PORT));
}

#endif
