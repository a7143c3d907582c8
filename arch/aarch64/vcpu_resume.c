/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU after a pause: KVM has no way to tell an arm64 guest. */
#include "arch/arch.h"

void arch_vcpu_resume(const struct vcpu *vcpu)
{
    (void)vcpu;
}
