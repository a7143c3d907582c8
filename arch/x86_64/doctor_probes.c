/* SPDX-License-Identifier: Apache-2.0 */
/* The list of probes; their code is in doctor_payload.S. */
#include "arch/doctor.h"
#include "arch/x86_64/doctor_payload.h"
#include "arch/x86_64/layout.h"

#include <errno.h>

_Static_assert(PAYLOAD_LAPIC == LAYOUT_LAPIC, "as in layout.h");
_Static_assert(PAYLOAD_IOAPIC == LAYOUT_IOAPIC, "as in layout.h");
_Static_assert(PAYLOAD_PAGE_TABLES == LAYOUT_PAGE_TABLES, "as in layout.h");
_Static_assert(PAYLOAD_BASE >= LAYOUT_KERNEL_MIN, "where kernels are");

const struct arch_probe_machine arch_probe_machine = {
    .memory = PAYLOAD_MEMORY,
    .registers = PAYLOAD_DEVICE,
    .doorbell = PAYLOAD_DOORBELL,
    .port = PAYLOAD_DEVICE_PORT,
    .gsi = PAYLOAD_DEVICE_GSI,
};

extern const char doctor_payload_start[], doctor_payload_end[];

/* stage, symbol, whether it rings the doorbell, name */
#define PROBES(PROBE)                                                                             \
    PROBE(MACHINE, long_mode, false, "64-bit mode")                                               \
    PROBE(MACHINE, pio, false, "port I/O")                                                        \
    PROBE(MACHINE, mmio, false, "MMIO")                                                           \
    PROBE(MACHINE, ioeventfd, true, "ioeventfd: the guest kicks a device")                        \
    PROBE(MACHINE, irqfd, false, "irqfd: a device interrupts the guest")                          \
    PROBE(MACHINE, timer, false, "local APIC timer interrupt")                                    \
    PROBE(KERNEL, cpuid, false, "CPUID")                                                          \
    PROBE(KERNEL, tsc, false, "RDTSC, RDTSCP")                                                    \
    PROBE(KERNEL, msr, false, "RDMSR, WRMSR")                                                     \
    PROBE(KERNEL, control, false, "CR0, CR3, CR4, CLTS")                                          \
    PROBE(KERNEL, debug, false, "debug registers")                                                \
    PROBE(KERNEL, segments, false, "LGDT, LIDT, LTR, LRETQ, MOV to segments")                     \
    PROBE(KERNEL, string, false, "REP MOVS, STOS, CMPS")                                          \
    PROBE(KERNEL, atomic, false, "LOCK XADD, CMPXCHG16B")                                         \
    PROBE(KERNEL, invlpg, false, "INVLPG")                                                        \
    PROBE(KERNEL, invpcid, false, "INVPCID")                                                      \
    PROBE(KERNEL, smap, false, "STAC, CLAC")                                                      \
    PROBE(KERNEL, fsgsbase, false, "WRFSBASE, RDFSBASE")                                          \
    PROBE(KERNEL, swapgs, false, "SWAPGS")                                                        \
    PROBE(KERNEL, fpu, false, "FNINIT, FXSAVE, FXRSTOR")                                          \
    PROBE(KERNEL, sse, false, "SSE in the kernel")                                                \
    PROBE(KERNEL, xsave, false, "XSETBV, XSAVE, XRSTOR")                                          \
    PROBE(KERNEL, xsaves, false, "XSAVES, XRSTORS")                                               \
    PROBE(KERNEL, int3, false, "INT3 through the IDT")                                            \
    PROBE(KERNEL, ud2, false, "UD2 through the IDT")                                              \
    PROBE(KERNEL, page_fault, false, "page fault in the kernel")                                  \
    PROBE(KERNEL, iretq, false, "IRETQ")                                                          \
    PROBE(KERNEL, user_fault, false, "IRETQ to user mode and a page fault there")                 \
    PROBE(KERNEL, syscall, false, "SYSCALL, SYSRET")                                              \
    PROBE(KERNEL, x2apic, false, "x2APIC")                                                        \
    PROBE(KERNEL, hlt, false, "HLT until the APIC timer")                                         \
    PROBE(KERNEL, deadline, false, "HLT until the TSC deadline timer")

#define DECLARE(stage, symbol, rings, name) extern const char doctor_probe_##symbol[];
PROBES(DECLARE)

#define LIST(stage, symbol, rings, name)                                                          \
    {name, doctor_probe_##symbol, ARCH_PROBE_##stage, rings},

const struct arch_probe *arch_probes(unsigned *count)
{
    static const struct arch_probe probes[] = {PROBES(LIST)};

    *count = sizeof probes / sizeof probes[0];
    return probes;
}

int arch_probe_load(const struct arch_probe *probe, const struct guest_memory *memory,
                    struct boot_entry *entry, struct err *err)
{
    size_t size = (size_t)(doctor_payload_end - doctor_payload_start);

    *entry = (struct boot_entry){
        .protocol = BOOT_LINUX64,
        .entry = gpa(PAYLOAD_BASE),
        .parameters = gpa(PAYLOAD_BASE + (uint64_t)(probe->code - doctor_payload_start)),
    };
    if (memory_write(memory, gpa(PAYLOAD_BASE), doctor_payload_start, size))
        return err_set(err, -EFAULT, "no memory for the payload");
    return 0;
}
