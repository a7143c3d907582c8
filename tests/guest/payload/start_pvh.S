/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry by PVH: 32-bit protected mode without paging, ebx = hvm_start_info. Maps 4 GiB by 2 MiB
 * pages, as the Linux protocol would have it, and goes on in long mode.
 */
#define CR0_PG 0x80000000
#define CR4_PAE 0x20
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100
#define PRESENT_WRITABLE 3
#define LARGE 0x80
#define XEN_ELFNOTE_PHYS32_ENTRY 18

    .section .note.xen, "a", @note
    .long 4, 4, XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long _start

    .section .text.first, "ax"
    .code32
    .globl _start
_start:
    movl $pdpt + PRESENT_WRITABLE, pml4
    mov $directories + PRESENT_WRITABLE, %eax
    mov $pdpt, %edi
    mov $4, %ecx
1:  mov %eax, (%edi)
    add $4096, %eax
    add $8, %edi
    dec %ecx
    jnz 1b
    mov $PRESENT_WRITABLE + LARGE, %eax
    mov $directories, %edi
    mov $2048, %ecx
2:  mov %eax, (%edi)
    add $0x200000, %eax
    add $8, %edi
    dec %ecx
    jnz 2b
    mov $pml4, %eax
    mov %eax, %cr3
    mov $CR4_PAE, %eax
    mov %eax, %cr4
    mov $MSR_EFER, %ecx
    mov $EFER_LME, %eax
    xor %edx, %edx
    wrmsr
    mov %cr0, %eax
    or $CR0_PG, %eax
    mov %eax, %cr0
    lgdt gdt_pointer
    ljmp $0x10, $long_mode
    .code64
long_mode:
    mov $0x18, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $stack_end, %esp
    mov %ebx, %edi
    call boot_from_pvh
    call guest_main
    call power_off

    .section .data
    .balign 8
gdt:
    .quad 0, 0
    .quad 0x00af9b000000ffff
    .quad 0x00cf93000000ffff
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long gdt

    .section .bss
    .balign 4096
pml4:
    .skip 4096
pdpt:
    .skip 4096
directories:
    .skip 4 * 4096
    .skip 16384
stack_end:
    .section .note.GNU-stack, "", @progbits
