/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a started processor begins: copied to CPUS_TRAMPOLINE by cpus.c, entered there in real
 * mode by a start-up IPI, and left for processor_main() in long mode on a stack of its own.
 */
#include "cpus.h"

#define AT(label) (CPUS_TRAMPOLINE + (label - trampoline_start))

    .section .data
    .globl trampoline_start, trampoline_end, trampoline_cr3
    .code16
trampoline_start:
    cli
    xor %ax, %ax
    mov %ax, %ds
    lgdtl AT(gdt_pointer)
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmpl $0x08, $AT(protected_mode)

    .code32
protected_mode:
    mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $0x20, %eax
    mov %eax, %cr4
    mov AT(trampoline_cr3), %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    mov $0x100, %eax
    xor %edx, %edx
    wrmsr
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
    ljmp $0x18, $AT(long_mode)

    .code64
long_mode:
    mov $1, %edi
    lock xadd %edi, next_processor
    mov %edi, %eax
    inc %eax
    imul $CPUS_STACK_SIZE, %eax, %eax
    lea processor_stacks(%rax), %rsp
    mov $processor_main, %eax
    call *%rax
1:  cli
    hlt
    jmp 1b

    .balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff
    .quad 0x00cf93000000ffff
    .quad 0x00af9b000000ffff
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long AT(gdt)
trampoline_cr3:
    .long 0
trampoline_end:

    .section .bss
    .balign 16
next_processor:
    .long 0
    .balign 16
processor_stacks:
    .skip CPUS_MAX * CPUS_STACK_SIZE
    .section .note.GNU-stack, "", @progbits
