/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The in-kernel interrupt controller (Linux, Documentation/virt/kvm/devices/arm-vgic*.rst): a GICv3
 * with an ITS for messages, or where the host has none a GICv2. Messages to its v2m frame are SPIs,
 * and nobody needs to serve the frame: devices write no messages, they raise eventfds.
 */
#ifndef HUSK_ARCH_AARCH64_GIC_H
#define HUSK_ARCH_AARCH64_GIC_H

#include "arch/arch.h"

#include <stdbool.h>

enum gic_kind { GIC_V2, GIC_V3 };

struct gic {
    enum gic_kind kind;
    bool messages; /* with an ITS, or a v2m frame */
};

/*
 * Chooses what `vm`'s host can do. Errors, all -ENOTSUP: it has no GIC, no way for messages that
 * are asked for, or too few vCPUs.
 */
int gic_choose(struct gic *gic, const struct vm *vm, const struct arch_options *options,
               struct err *err);

/* Creates it, once all vCPUs are initialised. */
int gic_create(const struct gic *gic, const struct vm *vm, struct err *err);

#endif
