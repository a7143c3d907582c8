/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `husk doctor` runs in a guest, one probe a machine. This is guest code: the program that
 * carries it never executes it. It is entered as a Linux kernel is, at EL1 with the MMU off; see
 * doctor_payload.h for the map.
 *
 * x0 holds the probe's address. A probe ends by branching to passed, failed or absent. Any
 * exception it does not expect ends it too, and is reported by its class (ESR_EL1.EC); one that it
 * does expect continues at `resume`, by a branch and not by ERET, at EL1 with interrupts masked.
 */
#include "arch/aarch64/doctor_payload.h"
#include "arch/doctor.h"

    .arch armv8.3-a+sve

/* Exception classes (Arm DDI 0487, ESR_EL1); beyond them, the interrupt. */
#define CLASS_UNKNOWN 0x00
#define CLASS_SVC 0x15
#define CLASS_USER_DATA_ABORT 0x24
#define CLASS_DATA_ABORT 0x25
#define CLASS_BRK 0x3c
#define INTERRUPT 0x40
#define NOTHING_EXPECTED 0xff

#define ESR_CLASS_SHIFT 26

/* Translation: 39 bits of address, pages of 4 KiB, so that the first table has a GiB an entry. */
#define TCR_T0SZ 25
#define TCR_CACHED (0b11 << 12 | 0b01 << 10 | 0b01 << 8)
#define TCR_NO_TTBR1 (1 << 23)
#define TCR_ADDRESSES_40_BITS 2
#define MAIR_DEVICE_AND_NORMAL 0xff00
#define BLOCK_DEVICE 0x401      /* valid block, access flag, attribute 0 */
#define BLOCK_NORMAL 0x705      /* valid block, access flag, inner shareable, attribute 1 */
#define BLOCK_USER 0x40         /* AP[1] */
#define SCTLR_MMU_AND_CACHES (1 << 0 | 1 << 2 | 1 << 12)
#define SCTLR_ENIA_BIT 31

#define CPACR_FPEN (3 << 20)
#define CPACR_ZEN (3 << 16)

#define SPSR_EL0 0x3c0 /* interrupts masked */

/* Interrupts of the GIC. */
#define TIMER_INTERRUPT 27
#define DEVICE_INTERRUPT (32 + PAYLOAD_DEVICE_GSI)

/* GICv2 and GICv3 (Arm IHI 0048, IHI 0069). */
#define GICD_CTLR 0x000
#define GICD_IGROUPR1 0x084
#define GICD_ISENABLER1 0x104
#define GICD_ITARGETSR 0x800
#define GICD_ICFGR2 0xc08
#define GICD_IROUTER 0x6000
#define GICD_ENABLE_V3 0x12 /* group 1, affinity routing */
#define GICR_SGI_IGROUPR0 0x80
#define GICR_SGI_ISENABLER0 0x100
#define GICC_CTLR 0x00
#define GICC_PMR 0x04
#define GICC_IAR 0x0c
#define ICC_SRE_EL1 S3_0_C12_C12_5
#define ICC_PMR_EL1 S3_0_C4_C6_0
#define ICC_IGRPEN1_EL1 S3_0_C12_C12_7
#define ICC_IAR1_EL1 S3_0_C12_C12_0
#define EVERY_PRIORITY 0xff

#define PSCI_VERSION 0x84000000

.macro probe name
    .globl doctor_probe_\name
    .hidden doctor_probe_\name
    .type doctor_probe_\name, @object
doctor_probe_\name:
.endm

.macro load register, value
    movz \register, #((\value) & 0xffff)
    movk \register, #(((\value) >> 16) & 0xffff), lsl #16
.endm

/* The exception or interrupt goes on at `target`. */
.macro expect class, target
    adr x9, \target
    adr x10, resume
    str x9, [x10]
    mov x9, #\class
    str x9, [x10, #8]
.endm

/* Ends the probe unless the 4 bits at `shift` of an identification register are `least` or more. */
.macro need register, shift, least
    mrs x9, \register
    ubfx x9, x9, #\shift, #4
    cmp x9, #\least
    b.lo absent
.endm

    .section .rodata.doctor_payload, "a"
    .balign 4096
    .globl doctor_payload_start, doctor_payload_end
    .hidden doctor_payload_start, doctor_payload_end
    .type doctor_payload_start, @object

doctor_payload_start:
    load x9, PAYLOAD_STACK
    mov sp, x9
    adr x9, vectors
    msr vbar_el1, x9
    isb
    br x0

/* Four groups (EL1 with SP_EL0, EL1, EL0, 32-bit EL0) of four (synchronous, IRQ, FIQ, SError). */
    .balign 2048
vectors:
    .set vector, 0
    .rept 16
    .balign 128
    .if vector % 4 == 0
    b synchronous
    .else
    mov x9, #INTERRUPT
    b exception
    .endif
    .set vector, vector + 1
    .endr

synchronous:
    mrs x9, esr_el1
    lsr x9, x9, #ESR_CLASS_SHIFT
exception:
    adr x10, resume
    ldr x11, [x10, #8]
    cmp x9, x11
    b.ne unexpected
    mov x11, #NOTHING_EXPECTED
    str x11, [x10, #8]
    ldr x11, [x10]
    br x11
unexpected:
    add w9, w9, #DOCTOR_EXCEPTION
    b report

    .balign 8
resume:
    .quad 0, NOTHING_EXPECTED

passed:
    mov w9, #DOCTOR_PASSED
    b report
failed:
    mov w9, #DOCTOR_FAILED
    b report
absent:
    mov w9, #DOCTOR_ABSENT
report:
    load x10, PAYLOAD_DEVICE
    str w9, [x10, #DOCTOR_RESULT]
    msr daifset, #0xf
1:  wfi
    b 1b

/* --- what every guest needs --- */

probe el1
    mrs x0, CurrentEL
    cmp x0, #(1 << 2)
    b.ne failed
    b passed

probe mmio
    load x1, PAYLOAD_DEVICE
    load w2, 0x12345678
    str w2, [x1, #DOCTOR_ECHO]
    ldr w3, [x1, #DOCTOR_ECHO]
    mvn w2, w2
    cmp w2, w3
    b.ne failed
    b passed

probe ioeventfd
    load x1, PAYLOAD_DOORBELL
    str wzr, [x1]
    b passed

probe irqfd
    bl start_gic
    load x1, PAYLOAD_DEVICE
    expect INTERRUPT, 2f
    str wzr, [x1, #DOCTOR_RAISE]
    msr daifclr, #2
1:  b 1b
2:  bl acknowledge
    cmp x0, #DEVICE_INTERRUPT
    b.ne failed
    b passed

probe timer
    bl start_gic
    bl start_timer
    expect INTERRUPT, timer_fired
    msr daifclr, #2
1:  b 1b

timer_fired:
    bl acknowledge
    cmp x0, #TIMER_INTERRUPT
    b.ne failed
    b passed

/* --- what a kernel executes besides --- */

probe psci
    load w0, PSCI_VERSION
    hvc #0
    tbnz w0, #31, failed
    cmp w0, #2
    b.lo failed
    b passed

probe identity
    mrs x0, midr_el1
    cbz x0, failed
    mrs x0, mpidr_el1
    tbz x0, #31, failed
    mrs x0, ctr_el0
    mrs x0, dczid_el0
    mrs x0, clidr_el1
    mrs x0, id_aa64isar0_el1
    mrs x0, id_aa64isar1_el1
    mrs x0, id_aa64mmfr0_el1
    mrs x0, id_aa64mmfr1_el1
    mrs x0, id_aa64mmfr2_el1
    mrs x0, id_aa64dfr0_el1
    mrs x0, id_aa64pfr1_el1
    need id_aa64pfr0_el1, 4, 1
    b passed

probe counter
    mrs x0, cntfrq_el0
    cbz x0, failed
    mrs x1, cntvct_el0
1:  isb
    mrs x2, cntvct_el0
    cmp x2, x1
    b.lo failed
    b.eq 1b
    b passed

probe mmu
    bl start_mmu
    load x1, PAYLOAD_SCRATCH
    load x2, PAYLOAD_SCRATCH + PAYLOAD_USER
    load x3, 0x600df00d
    str x3, [x1]
    ldr x4, [x2]
    cmp x3, x4
    b.ne failed
    b passed

probe tlb
    bl start_mmu
    tlbi vmalle1is
    lsr x1, x30, #12
    tlbi vae1is, x1
    dsb ish
    isb
    b passed

probe cache
    bl start_mmu
    load x1, PAYLOAD_SCRATCH
    str x1, [x1]
    dc civac, x1
    dc cvau, x1
    dsb ish
    ic ivau, x1
    ic ialluis
    dsb ish
    isb
    mrs x2, dczid_el0
    tbnz x2, #4, passed
    dc zva, x1
    ldr x2, [x1]
    cbnz x2, failed
    b passed

probe exclusive
    bl start_mmu
    load x1, PAYLOAD_SCRATCH
    str xzr, [x1]
1:  ldaxr x2, [x1]
    add x2, x2, #5
    stlxr w3, x2, [x1]
    cbnz w3, 1b
    ldr x2, [x1]
    cmp x2, #5
    b.ne failed
    b passed

probe lse
    need id_aa64isar0_el1, 20, 2
    bl start_mmu
    load x1, PAYLOAD_SCRATCH
    mov x2, #7
    str x2, [x1]
    ldadd x2, x3, [x1]
    ldr x2, [x1]
    cmp x3, #7
    b.ne failed
    cmp x2, #14
    b.ne failed
    b passed

probe brk
    expect CLASS_BRK, passed
    brk #0
    b failed

probe undefined
    expect CLASS_UNKNOWN, passed
    .inst 0
    b failed

probe svc
    expect CLASS_SVC, passed
    svc #0
    b failed

probe page_fault
    bl start_mmu
    expect CLASS_DATA_ABORT, 1f
    load x1, PAYLOAD_UNMAPPED
    ldr x2, [x1]
    b failed
1:  mrs x2, far_el1
    cmp x1, x2
    b.ne failed
    b passed

probe user
    bl start_mmu
    expect CLASS_SVC, passed
    adr x0, 1f
    bl enter_user
1:  svc #0

probe user_fault
    bl start_mmu
    expect CLASS_USER_DATA_ABORT, passed
    adr x0, 1f
    bl enter_user
1:  load x1, PAYLOAD_SCRATCH
    ldr x2, [x1]
    svc #0

probe simd
    mov x0, #CPACR_FPEN
    msr cpacr_el1, x0
    isb
    fmov d0, #1.5
    fmov d1, #2.5
    fadd d0, d0, d1
    fcvtzu x0, d0
    cmp x0, #4
    b.ne failed
    movi v0.16b, #1
    addv b1, v0.16b
    umov w0, v1.b[0]
    cmp w0, #16
    b.ne failed
    b passed

probe sve
    need id_aa64pfr0_el1, 32, 1
    load x0, CPACR_FPEN | CPACR_ZEN
    msr cpacr_el1, x0
    isb
    rdvl x0, #1
    cmp x0, #16
    b.lo failed
    ptrue p0.b
    cntp x1, p0, p0.b
    cmp x0, x1
    b.ne failed
    b passed

/* An address signed is another one, if there are bits to sign with, and authenticated the same. */
probe pauth
    mrs x0, id_aa64isar1_el1
    ubfx x1, x0, #4, #8
    cbz x1, absent
    bl start_mmu
    load x0, 0x12345678
    msr S3_0_C2_C1_0, x0 /* APIAKeyLo_EL1 */
    msr S3_0_C2_C1_1, x0 /* APIAKeyHi_EL1 */
    mrs x0, sctlr_el1
    orr x0, x0, #(1 << SCTLR_ENIA_BIT)
    msr sctlr_el1, x0
    isb
    adr x0, passed
    mov x1, x0
    mov x2, #42
    pacia x0, x2
    autia x0, x2
    cmp x0, x1
    b.ne failed
    b passed

probe pmu
    mrs x0, id_aa64dfr0_el1
    ubfx x0, x0, #8, #4
    cbz x0, absent
    cmp x0, #0xf
    b.eq absent
    mov x0, #(1 << 31)
    msr pmcntenset_el0, x0
    mov x0, #1
    msr pmcr_el0, x0
    isb
    mrs x0, pmccntr_el0
    mov x2, #0x100000
1:  isb
    mrs x1, pmccntr_el0
    cmp x1, x0
    b.ne passed
    subs x2, x2, #1
    b.ne 1b
    b failed

probe debug
    msr oslar_el1, xzr
    isb
    load x0, PAYLOAD_BASE
    msr dbgbvr0_el1, x0
    mrs x1, dbgbvr0_el1
    cmp x0, x1
    b.ne failed
    mrs x0, mdscr_el1
    msr mdscr_el1, x0
    b passed

probe wfi
    bl start_gic
    bl start_timer
    expect INTERRUPT, timer_fired
    msr daifclr, #2
1:  wfi
    b 1b

/* --- tools --- */

/* An identity map of devices and RAM, and RAM again for user mode. */
start_mmu:
    load x0, PAYLOAD_TABLE
    mov x1, #BLOCK_DEVICE
    str x1, [x0]
    load x1, 0x40000000 + BLOCK_NORMAL
    str x1, [x0, #8]
    orr x1, x1, #BLOCK_USER
    str x1, [x0, #16]
    str xzr, [x0, #24]
    msr ttbr0_el1, x0
    load x1, MAIR_DEVICE_AND_NORMAL
    msr mair_el1, x1
    load x1, TCR_T0SZ | TCR_CACHED | TCR_NO_TTBR1
    mov x2, #TCR_ADDRESSES_40_BITS
    orr x1, x1, x2, lsl #32
    msr tcr_el1, x1
    dsb ish
    isb
    tlbi vmalle1
    dsb ish
    mrs x1, sctlr_el1
    load x2, SCTLR_MMU_AND_CACHES
    orr x1, x1, x2
    msr sctlr_el1, x1
    isb
    ret

/* Goes on at x0 in user mode, by user mode's addresses. */
enter_user:
    load x1, PAYLOAD_USER
    add x0, x0, x1
    msr elr_el1, x0
    mov x1, #SPSR_EL0
    msr spsr_el1, x1
    eret

/* Every interrupt that a probe uses comes through, from whichever GIC there is. */
start_gic:
    load x0, PAYLOAD_DISTRIBUTOR
    mov w1, #(1 << (DEVICE_INTERRUPT % 16 * 2 + 1)) /* an edge */
    str w1, [x0, #GICD_ICFGR2]
    mov w1, #(1 << (DEVICE_INTERRUPT % 32))
    str w1, [x0, #GICD_ISENABLER1]
    mrs x1, id_aa64pfr0_el1
    ubfx x1, x1, #24, #4
    cbz x1, start_gicv2
    mov w1, #-1
    str w1, [x0, #GICD_IGROUPR1]
    mov x2, #(GICD_IROUTER + 8 * DEVICE_INTERRUPT)
    str xzr, [x0, x2]
    mov w1, #GICD_ENABLE_V3
    str w1, [x0, #GICD_CTLR]
    load x0, PAYLOAD_REDISTRIBUTOR + 0x10000
    mov w1, #-1
    str w1, [x0, #GICR_SGI_IGROUPR0]
    mov w1, #(1 << TIMER_INTERRUPT)
    str w1, [x0, #GICR_SGI_ISENABLER0]
    mov x1, #1
    msr ICC_SRE_EL1, x1
    isb
    msr ICC_IGRPEN1_EL1, x1
    mov x1, #EVERY_PRIORITY
    msr ICC_PMR_EL1, x1
    isb
    ret
start_gicv2:
    mov w1, #1
    strb w1, [x0, #(GICD_ITARGETSR + DEVICE_INTERRUPT)]
    mov w2, #(1 << TIMER_INTERRUPT)
    str w2, [x0, #(GICD_ISENABLER1 - 4)]
    str w1, [x0, #GICD_CTLR]
    load x0, PAYLOAD_CPU_INTERFACE
    str w1, [x0, #GICC_CTLR]
    mov w1, #EVERY_PRIORITY
    str w1, [x0, #GICC_PMR]
    dsb sy
    ret

/* x0 becomes the number of the interrupt that has come. */
acknowledge:
    mrs x1, id_aa64pfr0_el1
    ubfx x1, x1, #24, #4
    cbz x1, 1f
    mrs x0, ICC_IAR1_EL1
    ret
1:  load x1, PAYLOAD_CPU_INTERFACE
    ldr w0, [x1, #GICC_IAR]
    ret

/* It fires in a millisecond. */
start_timer:
    mrs x0, cntfrq_el0
    mov x1, #1000
    udiv x0, x0, x1
    msr cntv_tval_el0, x0
    mov x0, #1
    msr cntv_ctl_el0, x0
    isb
    ret

doctor_payload_end:
