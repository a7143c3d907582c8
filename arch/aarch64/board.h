/* SPDX-License-Identifier: Apache-2.0 */
/* What vmm/board_aarch64.c describes to the guest beyond layout.h. */
#ifndef HUSK_ARCH_AARCH64_BOARD_H
#define HUSK_ARCH_AARCH64_BOARD_H

#include "arch/aarch64/gic.h"
#include "arch/arch.h"

/* What was chosen for the virtual machine that was opened last. */
const struct gic *arch_host_gic(const struct arch_host *host);

/* Whether its vCPUs have a PMU. */
bool arch_host_has_pmu(const struct arch_host *host);

/* The affinity of vCPU `index` in KVM's MPIDR, bits 23:0. */
uint32_t arch_vcpu_affinity(unsigned index);

#endif
