/* SPDX-License-Identifier: Apache-2.0 */
/* What this host's KVM offers to aarch64 guests, and what of it the machine takes. */
#ifndef HUSK_ARCH_AARCH64_HOST_H
#define HUSK_ARCH_AARCH64_HOST_H

#include "arch/aarch64/gic.h"
#include "arch/arch.h"

struct arch_host {
    const struct kvm *kvm;
    struct arch_options options;
    uint32_t features; /* of arch_features(): offered, and not withheld */
    struct gic gic;
};

/* The places of arch_features(). */
enum feature { FEATURE_SVE, FEATURE_PAUTH, FEATURE_PMU, FEATURES };

static inline bool has_feature(const struct arch_host *host, enum feature feature)
{
    return host->features >> feature & 1;
}

#endif
