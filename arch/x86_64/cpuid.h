/* SPDX-License-Identifier: Apache-2.0 */
/* What a vCPU answers to CPUID: KVM's table with the vCPU's own identity and topology. */
#ifndef HUSK_ARCH_X86_64_CPUID_H
#define HUSK_ARCH_X86_64_CPUID_H

#include "arch/x86_64/host.h"

/*
 * Rewrites `table` (KVM's supported values) for vCPU `index` of `count` in one socket, a core
 * each. Entries for leaves that the host lacks are not added, but for the topology leaves.
 */
void cpuid_for_vcpu(struct cpuid_table *table, unsigned index, unsigned count);

#endif
