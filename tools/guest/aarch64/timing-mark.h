/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telling the monitor that userspace is reached: the byte 3 at the timing address (husk(1)). For
 * programs without a libc, so that nothing stands before the mark. Needs root, for a node of the
 * device that maps physical memory.
 *
 * QEMU's virt machine has the data register of fw_cfg at this address, which takes no writes: there
 * the mark harms nothing, and KVM's tracepoints show it.
 */
#ifndef HUSK_TOOLS_GUEST_TIMING_MARK_H
#define HUSK_TOOLS_GUEST_TIMING_MARK_H

#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/stat.h>

#define TIMING_WINDOW 0x09020000L
#define TIMING_WINDOW_SIZE 0x1000L
#define TIMING_USERSPACE 3

#define MEMORY_NODE "/husk-timing"
#define MEMORY_DEVICE (1L << 8 | 1L) /* what /dev/mem is; there may be no /dev yet */

static inline long system_call6(long number, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;

    __asm__ volatile("svc #0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
}

static inline long system_call(long number, long first, long second, long third)
{
    return system_call6(number, first, second, third, 0, 0, 0);
}

/* The window, or a negative error number. The node is there no longer than it is needed. */
static inline long map_timing_window(void)
{
    long fd, window;

    system_call6(__NR_mknodat, AT_FDCWD, (long)MEMORY_NODE, S_IFCHR | 0600, MEMORY_DEVICE, 0, 0);
    fd = system_call6(__NR_openat, AT_FDCWD, (long)MEMORY_NODE, O_RDWR, 0, 0, 0);
    window = system_call6(__NR_mmap, 0, TIMING_WINDOW_SIZE, PROT_WRITE, MAP_SHARED, fd,
                          TIMING_WINDOW);
    system_call(__NR_close, fd, 0, 0);
    system_call(__NR_unlinkat, AT_FDCWD, (long)MEMORY_NODE, 0);
    return window;
}

static inline void mark_userspace(void)
{
    long window = map_timing_window();

    if (window > 0)
        *(volatile unsigned char *)window = TIMING_USERSPACE;
}

#endif
