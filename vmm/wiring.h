/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/wires.h as KVM does it: a message is a route of a gsi and an irqfd on it, a doorbell an
 * ioeventfd.
 *
 * KVM_SET_GSI_ROUTING replaces the whole table and waits for all users of the old one, so the
 * table is kept here and given to KVM only when a message differs from what the gsi had: a guest
 * that masks and unmasks a vector causes no new table.
 */
#ifndef HUSK_VMM_WIRING_H
#define HUSK_VMM_WIRING_H

#include "arch/arch.h"
#include "core/err.h"
#include "core/kvm.h"
#include "core/wires.h"

#include <pthread.h>
#include <stdint.h>

/* Told, on a vCPU's thread, that KVM has refused an interrupt; must not call back. */
struct wiring_sink {
    void (*failed)(void *context, const struct err *err);
    void *context;
};

struct wiring {
    const struct vm *vm;
    const struct arch_host *host;
    struct wiring_sink sink;
    pthread_mutex_t lock; /* guards the routing; a leaf */
    struct kvm_irq_routing *routing; /* the controllers' pins, then a message for each gsi */
    unsigned pins;                   /* entries of the controllers */
    uint32_t first_gsi;              /* of the messages */
};

/* For a vm whose irqchip may come later. -ENOTSUP when the host's KVM has no routing. */
int wiring_open(struct wiring *wiring, const struct vm *vm, const struct arch_host *host,
                const struct wiring_sink *sink, struct err *err);
/* No vCPU runs any more. Harmless on a zeroed or closed one. */
void wiring_close(struct wiring *wiring);

/* Gives out `count` gsis for messages, the first in *first. Before vCPUs run. */
int wiring_claim_gsis(struct wiring *wiring, unsigned count, uint32_t *first, struct err *err);

struct wires wiring_wires(struct wiring *wiring);

#endif
