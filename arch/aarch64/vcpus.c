/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vCPUs with their features, then the GIC, which must know all of them, then the PMU, whose
 * interrupt is the GIC's (Linux, virt/kvm/api.rst 4.82 and devices/vcpu.rst).
 */
#include "arch/aarch64/board.h"
#include "arch/aarch64/host.h"
#include "arch/aarch64/layout.h"

#include <errno.h>

/* KVM's MPIDR: 16 vCPUs a cluster, because a GICv3 reaches no more with one write. */
#define AFFINITY0_BITS 4
#define AFFINITY1_SHIFT 8

static uint32_t feature_bits(const struct arch_host *host, unsigned index)
{
    uint32_t bits = 1u << KVM_ARM_VCPU_PSCI_0_2;

    if (index > 0)
        bits |= 1u << KVM_ARM_VCPU_POWER_OFF;
    if (has_feature(host, FEATURE_SVE))
        bits |= 1u << KVM_ARM_VCPU_SVE;
    if (has_feature(host, FEATURE_PAUTH))
        bits |= 1u << KVM_ARM_VCPU_PTRAUTH_ADDRESS | 1u << KVM_ARM_VCPU_PTRAUTH_GENERIC;
    if (has_feature(host, FEATURE_PMU))
        bits |= 1u << KVM_ARM_VCPU_PMU_V3;
    return bits;
}

static int initialise(const struct arch_host *host, const struct vm *vm, const struct vcpu *vcpu,
                      struct err *err)
{
    int sve = KVM_ARM_VCPU_SVE;
    struct kvm_vcpu_init init;
    int rc = kvm_ioctl(vm->fd, KVM_ARM_PREFERRED_TARGET, &init);

    if (rc < 0)
        return err_sys(err, rc, "KVM does not tell its preferred processor");
    init.features[0] = feature_bits(host, vcpu->index);
    rc = kvm_ioctl(vcpu->fd, KVM_ARM_VCPU_INIT, &init);
    if (rc == 0 && has_feature(host, FEATURE_SVE))
        rc = kvm_ioctl(vcpu->fd, KVM_ARM_VCPU_FINALIZE, &sve);
    return rc < 0 ? err_sys(err, rc, "KVM refuses the features of vCPU %u", vcpu->index) : 0;
}

static int open_vcpus(const struct arch_host *host, const struct vm *vm,
                      const struct vcpu_world *world, struct vcpu *vcpus, unsigned *opened,
                      struct err *err)
{
    int rc = 0;

    while (rc == 0 && *opened < host->options.cpus) {
        struct vcpu *vcpu = &vcpus[*opened];

        rc = vcpu_open(vcpu, vm, *opened, world, err);
        if (rc)
            return rc;
        ++*opened;
        rc = initialise(host, vm, vcpu, err);
    }
    return rc;
}

static int start_pmu(const struct vcpu *vcpu, struct err *err)
{
    int interrupt = LAYOUT_PPI_BASE + LAYOUT_PMU_PPI;
    struct kvm_device_attr attr = {
        .group = KVM_ARM_VCPU_PMU_V3_CTRL,
        .attr = KVM_ARM_VCPU_PMU_V3_IRQ,
        .addr = (uintptr_t)&interrupt,
    };
    int rc = kvm_ioctl(vcpu->fd, KVM_SET_DEVICE_ATTR, &attr);

    attr.attr = KVM_ARM_VCPU_PMU_V3_INIT;
    if (rc == 0)
        rc = kvm_ioctl(vcpu->fd, KVM_SET_DEVICE_ATTR, &attr);
    return rc < 0 ? err_sys(err, rc, "KVM refuses the PMU of vCPU %u", vcpu->index) : 0;
}

int arch_vcpus_create(struct arch_host *host, const struct vm *vm, const struct vcpu_world *world,
                      struct vcpu *vcpus, struct err *err)
{
    unsigned opened = 0;
    int rc = open_vcpus(host, vm, world, vcpus, &opened, err);

    if (rc == 0)
        rc = gic_create(&host->gic, vm, err);
    for (unsigned i = 0; i < opened && rc == 0 && has_feature(host, FEATURE_PMU); i++)
        rc = start_pmu(&vcpus[i], err);
    while (rc && opened > 0)
        vcpu_close(&vcpus[--opened]);
    return rc;
}

uint32_t arch_vcpu_affinity(unsigned index)
{
    return (index & ((1u << AFFINITY0_BITS) - 1)) | index >> AFFINITY0_BITS << AFFINITY1_SHIFT;
}
