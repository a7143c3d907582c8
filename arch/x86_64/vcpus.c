/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vCPUs and their identity: CPUID, the MSRs that firmware would have set, and the pins of their
 * local APICs.
 */
#include "arch/arch.h"
#include "arch/x86_64/cpuid.h"
#include "arch/x86_64/registers.h"

#include <string.h>

/* Local APIC: LVT entries for the LINT pins, as firmware leaves them (Intel SDM vol. 3A, 11.5). */
#define APIC_LVT_LINT0 0x350
#define APIC_LVT_LINT1 0x360
#define APIC_DELIVERY_NMI (4u << 8)
#define APIC_LVT_MASKED (1u << 16)

static int set_cpuid(struct arch_host *host, const struct vcpu *vcpu, struct err *err)
{
    struct cpuid_table table = host->cpuid;
    int rc;

    cpuid_for_vcpu(&table, vcpu->index, host->options.cpus);
    rc = kvm_ioctl(vcpu->fd, KVM_SET_CPUID2, &table);
    return rc < 0 ? err_sys(err, rc, "KVM refuses the CPUID of vCPU %u", vcpu->index) : 0;
}

static int set_msrs(const struct vcpu *vcpu, struct err *err)
{
    struct {
        struct kvm_msrs header;
        struct kvm_msr_entry entries[2];
    } msrs = {
        .entries =
            {
                {.index = MSR_IA32_MISC_ENABLE, .data = MSR_MISC_ENABLE_FAST_STRING},
                /* All memory is write-back unless a page table says otherwise. */
                {.index = MSR_MTRR_DEFAULT_TYPE, .data = MTRR_ENABLE | MTRR_WRITE_BACK},
            },
    };
    int rc;

    msrs.header.nmsrs = sizeof msrs.entries / sizeof msrs.entries[0];
    rc = kvm_ioctl(vcpu->fd, KVM_SET_MSRS, &msrs);
    return rc < 0 ? err_sys(err, rc, "KVM refuses the MSRs of vCPU %u", vcpu->index) : 0;
}

/*
 * NMIs arrive on LINT1. LINT0 is masked: KVM wires it to its 8259, which nobody programs, and
 * which would turn each device interrupt below 16 into an exception of that number as well.
 */
static int set_apic_pins(const struct vcpu *vcpu, struct err *err)
{
    struct kvm_lapic_state apic;
    uint32_t lint0 = APIC_LVT_MASKED, lint1 = APIC_DELIVERY_NMI;
    int rc = kvm_ioctl(vcpu->fd, KVM_GET_LAPIC, &apic);

    if (rc == 0) {
        memcpy(apic.regs + APIC_LVT_LINT0, &lint0, sizeof lint0);
        memcpy(apic.regs + APIC_LVT_LINT1, &lint1, sizeof lint1);
        rc = kvm_ioctl(vcpu->fd, KVM_SET_LAPIC, &apic);
    }
    return rc < 0 ? err_sys(err, rc, "KVM refuses the APIC pins of vCPU %u", vcpu->index) : 0;
}

static int prepare(struct arch_host *host, const struct vcpu *vcpu, struct err *err)
{
    int rc = set_cpuid(host, vcpu, err);

    if (rc == 0)
        rc = set_msrs(vcpu, err);
    if (rc == 0)
        rc = set_apic_pins(vcpu, err);
    return rc;
}

/* KVM makes a local APIC with each vCPU that comes after its I/O APIC. */
static int create_irqchip(const struct vm *vm, struct err *err)
{
    int rc = kvm_ioctl(vm->fd, KVM_CREATE_IRQCHIP, NULL);

    return rc < 0 ? err_sys(err, rc, "KVM cannot create its interrupt controllers") : 0;
}

int arch_vcpus_create(struct arch_host *host, const struct vm *vm, const struct vcpu_world *world,
                      struct vcpu *vcpus, struct err *err)
{
    unsigned count = host->options.cpus, opened = 0;
    int rc = create_irqchip(vm, err);

    while (rc == 0 && opened < count) {
        rc = vcpu_open(&vcpus[opened], vm, opened, world, err);
        if (rc == 0)
            opened++;
    }
    if (rc == 0)
        rc = arch_host_wait(host, err);
    for (unsigned i = 0; i < count && rc == 0; i++)
        rc = prepare(host, &vcpus[i], err);
    while (rc && opened > 0)
        vcpu_close(&vcpus[--opened]);
    return rc;
}
