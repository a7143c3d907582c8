/* SPDX-License-Identifier: Apache-2.0 */
/* The list of probes; their code is in doctor_payload.S. */
#include "arch/aarch64/doctor_payload.h"
#include "arch/aarch64/layout.h"
#include "arch/doctor.h"

#include <errno.h>

_Static_assert(PAYLOAD_DISTRIBUTOR == LAYOUT_GIC_DISTRIBUTOR, "as in layout.h");
_Static_assert(PAYLOAD_CPU_INTERFACE == LAYOUT_GICV2_CPU_INTERFACE, "as in layout.h");
_Static_assert(PAYLOAD_REDISTRIBUTOR == LAYOUT_REDISTRIBUTORS, "as in layout.h");
_Static_assert(PAYLOAD_BASE >= LAYOUT_KERNEL_MIN, "where kernels are");

const struct arch_probe_machine arch_probe_machine = {
    .memory = PAYLOAD_MEMORY,
    .registers = PAYLOAD_DEVICE,
    .doorbell = PAYLOAD_DOORBELL,
    .gsi = PAYLOAD_DEVICE_GSI,
};

extern const char doctor_payload_start[], doctor_payload_end[];

/* stage, symbol, whether it rings the doorbell, name */
#define PROBES(PROBE)                                                                             \
    PROBE(MACHINE, el1, false, "64-bit kernel mode (EL1)")                                        \
    PROBE(MACHINE, mmio, false, "MMIO")                                                           \
    PROBE(MACHINE, ioeventfd, true, "ioeventfd: the guest kicks a device")                        \
    PROBE(MACHINE, irqfd, false, "irqfd: a device interrupts the guest")                          \
    PROBE(MACHINE, timer, false, "virtual timer interrupt")                                       \
    PROBE(KERNEL, psci, false, "PSCI 0.2 or later by HVC")                                        \
    PROBE(KERNEL, identity, false, "identification registers")                                    \
    PROBE(KERNEL, counter, false, "virtual counter")                                              \
    PROBE(KERNEL, mmu, false, "address translation")                                              \
    PROBE(KERNEL, tlb, false, "TLBI")                                                             \
    PROBE(KERNEL, cache, false, "DC, IC")                                                         \
    PROBE(KERNEL, exclusive, false, "LDXR, STXR")                                                 \
    PROBE(KERNEL, lse, false, "LDADD")                                                            \
    PROBE(KERNEL, brk, false, "BRK")                                                              \
    PROBE(KERNEL, undefined, false, "undefined instruction")                                      \
    PROBE(KERNEL, svc, false, "SVC")                                                              \
    PROBE(KERNEL, page_fault, false, "page fault in the kernel")                                  \
    PROBE(KERNEL, user, false, "ERET to user mode and SVC back")                                  \
    PROBE(KERNEL, user_fault, false, "page fault in user mode")                                   \
    PROBE(KERNEL, simd, false, "floating point and SIMD")                                         \
    PROBE(KERNEL, sve, false, "SVE")                                                              \
    PROBE(KERNEL, pauth, false, "PACIA, AUTIA")                                                   \
    PROBE(KERNEL, pmu, false, "cycle counter (PMU)")                                              \
    PROBE(KERNEL, debug, false, "debug registers")                                                \
    PROBE(KERNEL, wfi, false, "WFI until the virtual timer")

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
        .protocol = BOOT_ARM64,
        .entry = gpa(PAYLOAD_BASE),
        .parameters = gpa(PAYLOAD_BASE + (uint64_t)(probe->code - doctor_payload_start)),
    };
    if (memory_write(memory, gpa(PAYLOAD_BASE), doctor_payload_start, size))
        return err_set(err, -EFAULT, "no memory for the payload");
    return 0;
}
