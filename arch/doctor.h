/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bare-metal probes for `husk doctor`: an architecture's second, smaller contract.
 *
 * A probe is a few instructions that run with nothing around them, in a virtual machine of their
 * own, so that one which KVM cannot run stops no other. The machine has RAM from address 0, the
 * interrupt controllers, and one device, whose four registers of 32 bits each are at
 * ARCH_DOCTOR_MMIO and, where the architecture has port I/O, at ARCH_DOCTOR_PORT as well:
 *
 *     +0   RESULT    write: the probe has ended; one of DOCTOR_*
 *     +4   ECHO      write a value, then read its complement
 *     +8   RAISE     write: the device raises its interrupt, ARCH_DOCTOR_GSI
 *
 * A write of 0 at ARCH_DOCTOR_DOORBELL signals an ioeventfd, which the host looks at.
 *
 * Shared with assembly, which sees the constants only.
 */
#ifndef HUSK_ARCH_DOCTOR_H
#define HUSK_ARCH_DOCTOR_H

#define DOCTOR_REGISTERS_SIZE 12
#define DOCTOR_RESULT 0
#define DOCTOR_ECHO 4
#define DOCTOR_RAISE 8

#define DOCTOR_PASSED 1
#define DOCTOR_FAILED 2        /* it ran, and did something else than it should */
#define DOCTOR_ABSENT 3        /* CPUID does not offer it, so nobody will use it */
#define DOCTOR_EXCEPTION 0x100 /* plus the vector: it faulted */

#ifdef __x86_64__
#define ARCH_DOCTOR_PORT 0x5e0
#define ARCH_DOCTOR_MMIO 0xd0000000
#define ARCH_DOCTOR_DOORBELL 0xd0001000
#define ARCH_DOCTOR_GSI 5
#define ARCH_DOCTOR_MEMORY 0x400000
#endif

#ifndef __ASSEMBLER__

#include "core/boot.h"
#include "core/err.h"
#include "core/memory.h"

#include <stdbool.h>

enum arch_probe_stage {
    ARCH_PROBE_MACHINE, /* what every guest needs: Husk cannot work without */
    ARCH_PROBE_KERNEL,  /* what an unmodified kernel executes besides */
};

struct arch_probe {
    const char *name; /* what is probed: "XSAVE, XRSTOR" */
    const char *code; /* its first instruction, within the payload */
    enum arch_probe_stage stage;
    bool rings;       /* passed only if the doorbell's ioeventfd was signalled too */
};

/* All probes, those of ARCH_PROBE_MACHINE first. */
const struct arch_probe *arch_probes(unsigned *count);

/* Puts the payload in guest memory; *entry is where the boot vCPU starts to run `probe`. */
int arch_probe_load(const struct arch_probe *probe, const struct guest_memory *memory,
                    struct boot_entry *entry, struct err *err);

#endif
#endif
