/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bare-metal probes for `husk doctor`: an architecture's second, smaller contract.
 *
 * A probe is a few instructions that run with nothing around them, in a virtual machine of their
 * own, so that one which KVM cannot run stops no other. The machine has RAM, the interrupt
 * controllers, and one device, whose registers of 32 bits each are in memory and, where the
 * architecture has port I/O, at ports as well:
 *
 *     +0   RESULT    write: the probe has ended; one of DOCTOR_*
 *     +4   ECHO      write a value, then read its complement
 *     +8   RAISE     write: the device raises its interrupt
 *
 * A write of 0 at its doorbell signals an ioeventfd, which the host looks at.
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
#define DOCTOR_ABSENT 3        /* the processor does not offer it, so nobody will use it */
#define DOCTOR_EXCEPTION 0x100 /* plus the vector: it faulted */

#ifndef __ASSEMBLER__

#include "core/boot.h"
#include "core/err.h"
#include "core/memory.h"

#include <stdbool.h>
#include <stdint.h>

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

/* The probes' machine, as the payload expects it. */
struct arch_probe_machine {
    uint64_t memory; /* bytes of RAM */
    uint64_t registers;
    uint64_t doorbell;
    uint16_t port; /* of the registers; 0: no port I/O */
    uint32_t gsi;  /* an edge */
};

extern const struct arch_probe_machine arch_probe_machine;

/* All probes, those of ARCH_PROBE_MACHINE first. */
const struct arch_probe *arch_probes(unsigned *count);

/* Puts the payload in guest memory; *entry is where the boot vCPU starts to run `probe`. */
int arch_probe_load(const struct arch_probe *probe, const struct guest_memory *memory,
                    struct boot_entry *entry, struct err *err);

#endif
#endif
