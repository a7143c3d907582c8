/* SPDX-License-Identifier: Apache-2.0 */
/* Entry by the Linux 64-bit boot protocol: long mode, identity map, rsi = zero page. */
    .section .text.first, "ax"
    .globl _start
_start:
    mov $stack_end, %esp
    mov %rsi, %rdi
    call boot_from_zero_page
    call guest_main
    call power_off
    .section .bss
    .balign 16
    .skip 16384
stack_end:
    .section .note.GNU-stack, "", @progbits
