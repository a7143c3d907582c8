/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The boot vCPU at its first instruction (Linux, Documentation/arch/arm64/booting.rst, "Call the
 * kernel image"): MMU off, interrupts masked, as KVM_ARM_VCPU_INIT leaves it; x0 = device tree,
 * x1 to x3 = 0.
 */
#include "arch/aarch64/registers.h"
#include "arch/arch.h"

int arch_vcpu_enter(const struct vcpu *vcpu, const struct guest_memory *memory,
                    const struct boot_entry *entry, struct err *err)
{
    int rc = register_set(vcpu->fd, CORE_REGISTER(regs.pc), entry->entry.v);

    (void)memory;
    if (rc == 0)
        rc = register_set(vcpu->fd, GENERAL_REGISTER(0), entry->parameters.v);
    return rc < 0 ? err_sys(err, rc, "KVM refuses the boot vCPU's registers") : 0;
}
