/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU after a pause: kvm-clock has a flag for that (Documentation/virt/kvm/x86/msr.rst). */
#include "arch/arch.h"

/* KVM refuses it for a guest that does not use kvm-clock. */
void arch_vcpu_resume(const struct vcpu *vcpu)
{
    kvm_ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, NULL);
}
