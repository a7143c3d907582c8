/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU's registers by KVM_GET_ONE_REG and KVM_SET_ONE_REG (Linux, virt/kvm/api.rst 4.68). */
#ifndef HUSK_ARCH_AARCH64_REGISTERS_H
#define HUSK_ARCH_AARCH64_REGISTERS_H

#include "core/kvm.h"

#include <linux/kvm.h>
#include <stdint.h>

/* What userspace runs with, by its name in struct kvm_regs: "regs.pc". */
#define CORE_REGISTER(name)                                                                       \
    (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(name))
#define GENERAL_REGISTER(number) (CORE_REGISTER(regs.regs[0]) + 2ull * (number))

/* System registers by their encoding (Arm DDI 0487, D19 "System register descriptions"). */
#define REGISTER_SCTLR_EL1 ARM64_SYS_REG(3, 0, 1, 0, 0)
#define REGISTER_TTBR0_EL1 ARM64_SYS_REG(3, 0, 2, 0, 0)
#define REGISTER_TTBR1_EL1 ARM64_SYS_REG(3, 0, 2, 0, 1)
#define REGISTER_ESR_EL1 ARM64_SYS_REG(3, 0, 5, 2, 0)
#define REGISTER_FAR_EL1 ARM64_SYS_REG(3, 0, 6, 0, 0)
#define REGISTER_VBAR_EL1 ARM64_SYS_REG(3, 0, 12, 0, 0)

static inline int register_get(int vcpu, uint64_t id, uint64_t *value)
{
    struct kvm_one_reg one = {.id = id, .addr = (uintptr_t)value};

    return kvm_ioctl(vcpu, KVM_GET_ONE_REG, &one);
}

static inline int register_set(int vcpu, uint64_t id, uint64_t value)
{
    struct kvm_one_reg one = {.id = id, .addr = (uintptr_t)&value};

    return kvm_ioctl(vcpu, KVM_SET_ONE_REG, &one);
}

#endif
