/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry by PVH: 32-bit protected mode without paging, ebx = hvm_start_info. Maps 4 GiB by 2 MiB
 * pages, open to user mode, and goes on in long mode as a user program: where KVM interprets
 * kernel mode, user mode still runs at native speed. It may do port I/O, by the task's bitmap of
 * ports; IOPL alone is not enough, for such a KVM forgets it.
 * There is no interrupt table, interrupts are off, and any exception ends the machine.
 */
#define CR0_PG 0x80000000
#define CR4_PAE 0x20
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100
#define PRESENT_WRITABLE_USER 7
#define LARGE 0x80
#define TASK 0x28
#define TASK_SIZE 104
#define PORT_BITMAP_SIZE 8192
#define USER_RFLAGS 0x3002
#define USER_CODE 0x1b
#define USER_DATA 0x23
#define XEN_ELFNOTE_PHYS32_ENTRY 18

    .section .note.xen, "a", @note
    .long 4, 4, XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long _start

    .section .text.first, "ax"
    .code32
    .globl _start
_start:
    movl $pdpt + PRESENT_WRITABLE_USER, pml4
    mov $directories + PRESENT_WRITABLE_USER, %eax
    mov $pdpt, %edi
    mov $4, %ecx
1:  mov %eax, (%edi)
    add $4096, %eax
    add $8, %edi
    dec %ecx
    jnz 1b
    mov $PRESENT_WRITABLE_USER + LARGE, %eax
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
    mov $task, %eax
    mov %ax, gdt + TASK + 2
    shr $16, %eax
    mov %al, gdt + TASK + 4
    mov %ah, gdt + TASK + 7
    lgdt gdt_pointer
    ljmp $0x10, $long_mode
    .code64
long_mode:
    mov $USER_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov $TASK, %eax
    ltr %ax
    mov %ebx, %edi
    mov $kernel_stack_end, %esp
    push $USER_DATA
    push $user_stack_end - 8
    push $USER_RFLAGS
    push $USER_CODE
    push $guest_start
    iretq

    .section .data
    .balign 8
gdt:
    .quad 0, 0
    .quad 0x00af9b000000ffff
    .quad 0x00affb000000ffff
    .quad 0x00cff3000000ffff
    .quad 0x0000890000000000 + TASK_SIZE + PORT_BITMAP_SIZE, 0
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long gdt
    .balign 8
task: /* all zero but for where the bitmap is; zeros allow, and a byte of ones ends it */
    .skip 102
    .word TASK_SIZE
    .skip PORT_BITMAP_SIZE
    .byte 0xff

    .section .bss
    .balign 4096
pml4:
    .skip 4096
pdpt:
    .skip 4096
directories:
    .skip 4 * 4096
    .skip 4096
kernel_stack_end:
    .skip 65536
user_stack_end:
    .section .note.GNU-stack, "", @progbits
