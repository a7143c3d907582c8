/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/aarch64/host.h"
#include "arch/aarch64/board.h"

#include <errno.h>
#include <stdlib.h>

#define REQUIRED(name) {name, #name, NULL}
#define USEFUL(name, use) {name, #name, use}

/* KVM_CREATE_VM's type 0 has this many bits of guest-physical address. */
#define DEFAULT_ADDRESS_BITS 40

/* KVM on arm64 has had all that is required since Linux 4.12. */
static const struct arch_capability capabilities[] = {
    REQUIRED(KVM_CAP_USER_MEMORY),
    REQUIRED(KVM_CAP_ONE_REG),
    REQUIRED(KVM_CAP_DEVICE_CTRL),
    REQUIRED(KVM_CAP_ARM_PSCI_0_2),
    REQUIRED(KVM_CAP_IRQFD),
    REQUIRED(KVM_CAP_IOEVENTFD),
    REQUIRED(KVM_CAP_IMMEDIATE_EXIT),
    USEFUL(KVM_CAP_ARM_SVE, "wide vectors in the guest"),
    USEFUL(KVM_CAP_ARM_PTRAUTH_ADDRESS, "signed pointers in the guest"),
    USEFUL(KVM_CAP_ARM_PMU_V3, "performance counters in the guest"),
    USEFUL(KVM_CAP_SIGNAL_MSI, "virtio over PCI"),
    USEFUL(KVM_CAP_IRQ_ROUTING, "virtio over PCI"),
    USEFUL(KVM_CAP_IRQFD_RESAMPLE, "level interrupts without exits"),
    USEFUL(KVM_CAP_DIRTY_LOG_RING_ACQ_REL, "snapshots of a running guest"),
};

const struct arch_capability *arch_capabilities(unsigned *count)
{
    *count = sizeof capabilities / sizeof capabilities[0];
    return capabilities;
}

const char *const *arch_features(unsigned *count)
{
    static const char *const names[FEATURES] = {
        [FEATURE_SVE] = "sve",
        [FEATURE_PAUTH] = "pauth",
        [FEATURE_PMU] = "pmu",
    };

    *count = FEATURES;
    return names;
}

static int check_capabilities(const struct kvm *kvm, struct err *err)
{
    for (unsigned i = 0; i < sizeof capabilities / sizeof capabilities[0]; i++)
        if (!capabilities[i].use && !kvm_capability(kvm, capabilities[i].number))
            return err_set(err, -ENOTSUP, "this host's KVM lacks %s; a newer kernel has it",
                           capabilities[i].name);
    return 0;
}

static uint32_t offered_features(const struct kvm *kvm)
{
    bool sve = kvm_capability(kvm, KVM_CAP_ARM_SVE);
    bool pauth = kvm_capability(kvm, KVM_CAP_ARM_PTRAUTH_ADDRESS) &&
                 kvm_capability(kvm, KVM_CAP_ARM_PTRAUTH_GENERIC);
    bool pmu = kvm_capability(kvm, KVM_CAP_ARM_PMU_V3);

    return (uint32_t)sve << FEATURE_SVE | (uint32_t)pauth << FEATURE_PAUTH |
           (uint32_t)pmu << FEATURE_PMU;
}

int arch_host_open(const struct kvm *kvm, const struct arch_options *options,
                   struct arch_host **out, struct err *err)
{
    struct arch_host *host;
    int rc = check_capabilities(kvm, err);

    if (rc)
        return rc;
    host = calloc(1, sizeof *host);
    if (!host)
        return err_set(err, -ENOMEM, "out of memory");
    host->kvm = kvm;
    host->options = *options;
    host->features = offered_features(kvm) & ~options->withheld;
    *out = host;
    return 0;
}

void arch_host_close(struct arch_host *host)
{
    free(host);
}

const struct gic *arch_host_gic(const struct arch_host *host)
{
    return &host->gic;
}

bool arch_host_has_pmu(const struct arch_host *host)
{
    return has_feature(host, FEATURE_PMU);
}

/* The default, unless the processor has fewer bits. */
static unsigned long vm_type(const struct kvm *kvm)
{
    int bits = kvm_capability(kvm, KVM_CAP_ARM_VM_IPA_SIZE);

    return bits && bits < DEFAULT_ADDRESS_BITS ? KVM_VM_TYPE_ARM_IPA_SIZE((unsigned)bits) : 0;
}

int arch_vm_open(struct arch_host *host, struct vm *vm, struct err *err)
{
    int rc = vm_open(vm, host->kvm, vm_type(host->kvm), err);

    return rc ?: gic_choose(&host->gic, vm, &host->options, err);
}

/* An access to memory without a memslot is often no MMIO to KVM but a fault in the guest. */
int arch_memory_deferred(const struct vm *vm, bool deferred)
{
    (void)vm;
    return deferred ? -ENOTSUP : 0;
}
