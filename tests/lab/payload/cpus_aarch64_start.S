/* SPDX-License-Identifier: Apache-2.0 */
/* An arm64 Image (Linux, arm64/booting.rst) around cpus_aarch64.c: where its processors begin. */
#include "cpus_aarch64.h"

    .globl _start
_start:
    b first
    .long 0
    .quad 0          /* text_offset */
    .quad IMAGE_SIZE /* .bss and the stacks are in it */
    .quad 0xa        /* flags: little-endian, 4 KiB pages, anywhere in memory */
    .quad 0, 0, 0
    .ascii "ARM\x64"
    .long 0

first:
    mov x0, #0
    bl take_stack
    b boot_processor

/* x0 is what PSCI's CPU_ON was told to pass: the processor's index. */
    .globl other_start
other_start:
    bl take_stack
    b other_processor

take_stack:
    adrp x1, stacks
    add x1, x1, :lo12:stacks
    add x2, x0, #1
    mov x3, #STACK_SIZE
    madd x1, x2, x3, x1
    mov sp, x1
    ret
