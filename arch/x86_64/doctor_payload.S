/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `husk doctor` runs in a guest, one probe a machine. This is guest code: the program that
 * carries it never executes it. It is entered as a Linux kernel is, in long mode with an identity
 * map; see doctor_payload.h for the map.
 *
 * rsi holds the probe's address. A probe ends by jumping to passed, failed or absent. Any fault or
 * interrupt it does not expect ends it too, and is reported by its vector; one that it does expect
 * continues at `resume`, by a jump and not by IRETQ, because IRETQ has a probe of its own.
 */
#include "arch/doctor.h"
#include "arch/x86_64/doctor_payload.h"

/* Selectors in the order that SYSCALL and SYSRET want; the first two as arch_vcpu_enter() has. */
#define KERNEL_CODE 0x10
#define KERNEL_DATA 0x18
#define USER_CODE32 0x23
#define USER_DATA 0x2b
#define USER_CODE 0x33
#define TASK 0x40

#define CR0_TS_BIT 3
#define CR0_EM_BIT 2
#define CR0_MP_BIT 1
#define CR4_PGE_BIT 7
#define CR4_OSFXSR_BIT 9
#define CR4_FSGSBASE_BIT 16
#define CR4_OSXSAVE_BIT 18
#define CR4_SMAP_BIT 21

#define MSR_APIC_BASE 0x1b
#define MSR_PAT 0x277
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC_ID 0x802
#define MSR_X2APIC_SPURIOUS 0x80f
#define MSR_XSS 0xda0
#define MSR_EFER 0xc0000080
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_FMASK 0xc0000084
#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_TSC_AUX 0xc0000103

/* Local APIC registers (Intel SDM vol. 3A, table 11-1). */
#define APIC_SPURIOUS 0xf0
#define APIC_TIMER 0x320
#define APIC_TIMER_COUNT 0x380
#define APIC_TIMER_DIVIDE 0x3e0
#define APIC_ENABLED 0x1ff
#define APIC_MODE_DEADLINE (2 << 17)
#define APIC_DIVIDE_BY_1 0xb

#define EXCEPTIONS 32
#define VECTOR_UD 6
#define VECTOR_BREAKPOINT 3
#define VECTOR_PAGE_FAULT 14
#define VECTOR_INTERRUPT 32
#define NOTHING_EXPECTED -1

#define PAGE_USER 4
#define PAGE_FAULT_USER_READ_PRESENT 5

.macro probe name
    .globl doctor_probe_\name
    .hidden doctor_probe_\name
    .type doctor_probe_\name, @object
doctor_probe_\name:
.endm

/* The fault or interrupt `vector` goes on at `target`. */
.macro expect vector, target
    lea \target(%rip), %rax
    mov %rax, resume(%rip)
    movq $\vector, expected(%rip)
.endm

/* Ends the probe unless CPUID `leaf`/`subleaf` has bit `bit` of `register`. */
.macro need_cpuid leaf, subleaf, register, bit
    mov $\leaf, %eax
    mov $\subleaf, %ecx
    cpuid
    bt $\bit, %\register
    jnc absent
.endm

.macro write_msr msr, value
    mov $\msr, %ecx
    mov $\value, %eax
    xor %edx, %edx
    wrmsr
.endm

/* The MSR becomes the address of `symbol`, below 4 GiB. */
.macro write_msr_address msr, symbol
    mov $\msr, %ecx
    lea \symbol(%rip), %rax
    xor %edx, %edx
    wrmsr
.endm

.macro set_cr4 bit
    mov %cr4, %rax
    bts $\bit, %rax
    mov %rax, %cr4
.endm

    .section .rodata.doctor_payload, "a"
    .code64
    .balign 64
    .globl doctor_payload_start, doctor_payload_end
    .hidden doctor_payload_start, doctor_payload_end
    .type doctor_payload_start, @object

doctor_payload_start:
    cli
    cld
    mov $PAYLOAD_STACK, %esp
    call build_idt
    lidt idt_pointer(%rip)
    jmp *%rsi

/* One interrupt gate for each stub (Intel SDM vol. 3A, figure 6-8). */
build_idt:
    lea stubs(%rip), %rax
    mov $PAYLOAD_IDT, %edi
    mov $(EXCEPTIONS + 1), %ecx
1:  mov %ax, (%rdi)
    movw $KERNEL_CODE, 2(%rdi)
    movw $0x8e00, 4(%rdi)
    mov %rax, %rdx
    shr $16, %rdx
    mov %dx, 6(%rdi)
    movq $0, 8(%rdi)
    add $16, %rax
    add $16, %rdi
    dec %ecx
    jnz 1b
    ret

/* 16 bytes each. Vectors 8, 10 to 14, 17, 21, 29 and 30 come with an error code. */
    .balign 16
stubs:
    .set vector, 0
    .rept EXCEPTIONS + 1
    .balign 16
    .if !((vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || (vector == 21) \
          || (vector == 29) || (vector == 30))
    push $0
    .endif
    push $vector
    jmp exception
    .set vector, vector + 1
    .endr

/* rsp: vector, error code, rip, cs, rflags, rsp, ss */
exception:
    pop %rax
    cmp %rax, expected(%rip)
    jne unexpected
    movq $NOTHING_EXPECTED, expected(%rip)
    pop error_code(%rip)
    mov 24(%rsp), %rsp
    jmp *resume(%rip)
unexpected:
    add $DOCTOR_EXCEPTION, %eax
    jmp report

passed:
    mov $DOCTOR_PASSED, %eax
    jmp report
failed:
    mov $DOCTOR_FAILED, %eax
    jmp report
absent:
    mov $DOCTOR_ABSENT, %eax
report:
    mov $(PAYLOAD_DEVICE_PORT + DOCTOR_RESULT), %edx
    out %eax, %dx
    cli
1:  hlt
    jmp 1b

/* --- what every guest needs --- */

probe long_mode
    mov $0x123456789abcdef0, %r8
    lea (%r8, %r8), %r9
    mov $0x2468acf13579bde0, %rax
    cmp %rax, %r9
    jne failed
    jmp passed

probe pio
    mov $0x12345678, %eax
    mov $(PAYLOAD_DEVICE_PORT + DOCTOR_ECHO), %edx
    out %eax, %dx
    in %dx, %eax
    cmp $~0x12345678, %eax
    jne failed
    jmp passed

probe mmio
    mov $(PAYLOAD_DEVICE + DOCTOR_ECHO), %ebx
    movl $0x12345678, (%rbx)
    mov (%rbx), %eax
    cmp $~0x12345678, %eax
    jne failed
    jmp passed

probe ioeventfd
    mov $PAYLOAD_DOORBELL, %ebx
    movl $0, (%rbx)
    jmp passed

probe irqfd
    call enable_apic
    mov $PAYLOAD_IOAPIC, %ebx
    movl $(0x10 + 2 * PAYLOAD_DEVICE_GSI + 1), (%rbx)
    movl $0, 0x10(%rbx)
    movl $(0x10 + 2 * PAYLOAD_DEVICE_GSI), (%rbx)
    movl $VECTOR_INTERRUPT, 0x10(%rbx)
    expect VECTOR_INTERRUPT, passed
    sti
    mov $(PAYLOAD_DEVICE_PORT + DOCTOR_RAISE), %edx
    out %eax, %dx
1:  jmp 1b

probe timer
    call enable_apic
    expect VECTOR_INTERRUPT, passed
    call start_timer
    sti
1:  jmp 1b

enable_apic:
    mov $PAYLOAD_LAPIC, %ebx
    movl $APIC_ENABLED, APIC_SPURIOUS(%rbx)
    ret

/* One shot, a millisecond or less from now; rbx is the APIC. */
start_timer:
    movl $VECTOR_INTERRUPT, APIC_TIMER(%rbx)
    movl $APIC_DIVIDE_BY_1, APIC_TIMER_DIVIDE(%rbx)
    movl $100000, APIC_TIMER_COUNT(%rbx)
    ret

/* --- what an unmodified kernel executes besides --- */

probe cpuid
    xor %eax, %eax
    cpuid
    test %eax, %eax
    jz failed
    jmp passed

probe tsc
    rdtsc
    mov %eax, %ebx
    rdtsc
    cmp %eax, %ebx
    je failed
    need_cpuid 0x80000001, 0, edx, 27
    write_msr MSR_TSC_AUX, 77
    rdtscp
    cmp $77, %ecx
    jne failed
    jmp passed

probe msr
    mov $MSR_EFER, %ecx
    rdmsr
    bts $0, %eax
    bts $11, %eax
    wrmsr
    mov $MSR_PAT, %ecx
    rdmsr
    wrmsr
    write_msr MSR_FS_BASE, 0x12345000
    mov $MSR_FS_BASE, %ecx
    rdmsr
    cmp $0x12345000, %eax
    jne failed
    write_msr MSR_FMASK, 0x47700
    write_msr_address MSR_LSTAR, syscall_entry
    jmp passed

probe control
    mov %cr0, %rax
    bts $CR0_MP_BIT, %rax
    btr $CR0_EM_BIT, %rax
    bts $CR0_TS_BIT, %rax
    mov %rax, %cr0
    clts
    mov %cr0, %rax
    bt $CR0_TS_BIT, %rax
    jc failed
    set_cr4 CR4_PGE_BIT
    set_cr4 CR4_OSFXSR_BIT
    mov %cr3, %rax
    mov %rax, %cr3
    jmp passed

probe debug
    xor %eax, %eax
    mov %rax, %dr0
    mov $0x400, %eax
    mov %rax, %dr7
    mov %dr6, %rax
    mov %rax, %dr6
    jmp passed

probe segments
    call load_segments
    str %ax
    cmp $TASK, %ax
    jne failed
    jmp passed

/* The kernel's own GDT and TSS, every selector loaded anew. */
load_segments:
    lgdt gdt_pointer(%rip)
    lidt idt_pointer(%rip)
    mov $KERNEL_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    mov $TASK, %eax
    ltr %ax
    pushq $KERNEL_CODE
    lea 1f(%rip), %rax
    push %rax
    lretq
1:  ret

probe string
    lea doctor_payload_start(%rip), %rsi
    mov $PAYLOAD_SCRATCH, %edi
    mov $256, %ecx
    rep movsb
    xor %eax, %eax
    mov $32, %ecx
    rep stosq
    lea doctor_payload_start(%rip), %rsi
    mov $PAYLOAD_SCRATCH, %edi
    mov $256, %ecx
    repe cmpsb
    jne failed
    jmp passed

probe atomic
    mov $PAYLOAD_SCRATCH, %edi
    mov $5, %eax
    lock xadd %eax, (%rdi)
    lock cmpxchg %ecx, (%rdi)
    need_cpuid 1, 0, ecx, 13
    mov $PAYLOAD_SCRATCH, %edi
    mov (%rdi), %rax
    mov 8(%rdi), %rdx
    mov $1, %ebx
    mov $2, %ecx
    lock cmpxchg16b (%rdi)
    jnz failed
    cmpq $2, 8(%rdi)
    jne failed
    jmp passed

/* The first page of the second GiB shows two different pages, one after the other. */
probe invlpg
    mov $(PAYLOAD_PAGE_TABLES + 3 * 4096), %edi
    mov $0x40000000, %ebx
    movl $1, PAYLOAD_SCRATCH
    movl $2, PAYLOAD_SCRATCH + PAYLOAD_KERNEL_ONLY
    movq $0x83, (%rdi)
    invlpg (%rbx)
    cmpl $1, PAYLOAD_SCRATCH(%rbx)
    jne failed
    movq $(PAYLOAD_KERNEL_ONLY | 0x83), (%rdi)
    invlpg (%rbx)
    cmpl $2, PAYLOAD_SCRATCH(%rbx)
    jne failed
    jmp passed

probe invpcid
    need_cpuid 7, 0, ebx, 10
    mov $2, %eax
    invpcid zeros(%rip), %rax
    jmp passed

probe smap
    need_cpuid 7, 0, ebx, 20
    set_cr4 CR4_SMAP_BIT
    stac
    clac
    jmp passed

probe fsgsbase
    need_cpuid 7, 0, ebx, 0
    set_cr4 CR4_FSGSBASE_BIT
    mov $PAYLOAD_SCRATCH, %eax
    wrfsbase %rax
    rdfsbase %rdx
    cmp %rax, %rdx
    jne failed
    jmp passed

probe swapgs
    write_msr MSR_GS_BASE, PAYLOAD_SCRATCH
    write_msr MSR_KERNEL_GS_BASE, PAYLOAD_SCRATCH + 64
    movl $7, PAYLOAD_SCRATCH + 64
    swapgs
    cmpl $7, %gs:0
    jne failed
    jmp passed

probe fpu
    call enable_fpu
    mov $PAYLOAD_SCRATCH, %edi
    fninit
    fnstcw (%rdi)
    cmpw $0x37f, (%rdi)
    jne failed
    fxsave64 (%rdi)
    fxrstor64 (%rdi)
    jmp passed

probe sse
    call enable_fpu
    mov $PAYLOAD_SCRATCH, %edi
    movups doctor_payload_start(%rip), %xmm0
    movups %xmm0, (%rdi)
    mov doctor_payload_start(%rip), %rax
    cmp %rax, (%rdi)
    jne failed
    pxor %xmm0, %xmm0
    jmp passed

enable_fpu:
    mov %cr0, %rax
    bts $CR0_MP_BIT, %rax
    btr $CR0_EM_BIT, %rax
    btr $CR0_TS_BIT, %rax
    mov %rax, %cr0
    set_cr4 CR4_OSFXSR_BIT
    ret

probe xsave
    need_cpuid 1, 0, ecx, 26
    call enable_xsave
    mov $PAYLOAD_SCRATCH, %edi
    mov $3, %eax
    xor %edx, %edx
    xsave64 (%rdi)
    xrstor64 (%rdi)
    jmp passed

probe xsaves
    need_cpuid 1, 0, ecx, 26
    need_cpuid 0xd, 1, eax, 3
    call enable_xsave
    write_msr MSR_XSS, 0
    mov $PAYLOAD_SCRATCH, %edi
    mov $3, %eax
    xor %edx, %edx
    xsaves64 (%rdi)
    xrstors64 (%rdi)
    jmp passed

/* x87 and SSE state under XSAVE. */
enable_xsave:
    call enable_fpu
    set_cr4 CR4_OSXSAVE_BIT
    xor %ecx, %ecx
    xor %edx, %edx
    mov $3, %eax
    xsetbv
    xgetbv
    cmp $3, %eax
    jne failed
    ret

probe int3
    expect VECTOR_BREAKPOINT, passed
    int3
    jmp failed

probe ud2
    expect VECTOR_UD, passed
    ud2
    jmp failed

probe page_fault
    expect VECTOR_PAGE_FAULT, 1f
    mov $0x4000000000, %rbx
    mov (%rbx), %eax
    jmp failed
1:  mov %cr2, %rax
    cmp %rax, %rbx
    jne failed
    jmp passed

probe iretq
    mov %rsp, %rbx
    pushq $KERNEL_DATA
    push %rbx
    pushfq
    pushq $KERNEL_CODE
    lea passed(%rip), %rax
    push %rax
    iretq

probe user_fault
    call load_segments
    call open_to_user
    expect VECTOR_PAGE_FAULT, 1f
    lea user_reads(%rip), %rax
    jmp enter_user
1:  cmpq $PAGE_FAULT_USER_READ_PRESENT, error_code(%rip)
    jne failed
    jmp passed

probe syscall
    call load_segments
    call open_to_user
    mov $MSR_EFER, %ecx
    rdmsr
    bts $0, %eax
    wrmsr
    mov $MSR_STAR, %ecx
    xor %eax, %eax
    mov $((USER_CODE32 << 16) | KERNEL_CODE), %edx
    wrmsr
    write_msr MSR_FMASK, 0x47700
    write_msr_address MSR_LSTAR, syscall_entry
    xor %r8d, %r8d
    lea user_calls(%rip), %rax
    jmp enter_user

/* Comes here twice: from IRETQ's user mode, then from SYSRET's. */
syscall_entry:
    inc %r8d
    cmp $2, %r8d
    je passed
    sysretq

user_calls:
    syscall
    syscall

user_reads:
    mov PAYLOAD_KERNEL_ONLY, %eax
    ud2

/* Lets user mode reach the first 2 MiB, and gives the processor a stack to come back to. */
open_to_user:
    orq $PAGE_USER, PAYLOAD_PAGE_TABLES
    orq $PAGE_USER, PAYLOAD_PAGE_TABLES + 4096
    orq $PAGE_USER, PAYLOAD_PAGE_TABLES + 2 * 4096
    mov %cr3, %rax
    mov %rax, %cr3
    movq $PAYLOAD_STACK, PAYLOAD_TSS + 4
    ret

/* rax: where user mode starts. */
enter_user:
    pushq $USER_DATA
    pushq $PAYLOAD_USER_STACK
    pushq $2
    pushq $USER_CODE
    push %rax
    iretq

probe x2apic
    need_cpuid 1, 0, ecx, 21
    mov $MSR_APIC_BASE, %ecx
    rdmsr
    bts $10, %eax
    wrmsr
    mov $MSR_X2APIC_ID, %ecx
    rdmsr
    test %eax, %eax
    jnz failed
    write_msr MSR_X2APIC_SPURIOUS, APIC_ENABLED
    jmp passed

probe hlt
    call enable_apic
    expect VECTOR_INTERRUPT, passed
    call start_timer
    sti
1:  hlt
    jmp 1b

probe deadline
    need_cpuid 1, 0, ecx, 24
    call enable_apic
    expect VECTOR_INTERRUPT, passed
    movl $(APIC_MODE_DEADLINE | VECTOR_INTERRUPT), APIC_TIMER(%rbx)
    mfence
    rdtsc
    add $100000, %eax
    adc $0, %edx
    mov $MSR_TSC_DEADLINE, %ecx
    wrmsr
    sti
1:  hlt
    jmp 1b

/* --- data --- */

    .balign 16
gdt:
    .quad 0
    .quad 0
    .quad 0x00af9b000000ffff /* KERNEL_CODE */
    .quad 0x00cf93000000ffff /* KERNEL_DATA */
    .quad 0x00cffb000000ffff /* USER_CODE32 */
    .quad 0x00cff3000000ffff /* USER_DATA */
    .quad 0x00affb000000ffff /* USER_CODE */
    .quad 0
    .word 0x67, PAYLOAD_TSS & 0xffff /* TASK */
    .byte (PAYLOAD_TSS >> 16) & 0xff, 0x89, 0, PAYLOAD_TSS >> 24
    .quad 0
gdt_end:

/* The limit, then the address, which is where the payload is put. */
gdt_pointer:
    .word gdt_end - gdt - 1
    .quad PAYLOAD_BASE + (gdt - doctor_payload_start)
idt_pointer:
    .word 16 * (EXCEPTIONS + 1) - 1
    .quad PAYLOAD_IDT

    .balign 16
zeros:
    .quad 0, 0
expected:
    .quad NOTHING_EXPECTED
resume:
    .quad 0
error_code:
    .quad 0
doctor_payload_end:

    .section .note.GNU-stack, "", @progbits
