/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract that every architecture keeps: what a machine is made of below its devices.
 *
 * vmm/machine.c calls these functions in this order and knows no more of the processor. Where
 * devices sit (addresses, gsis, tables) is between arch/ARCH/layout.h and the architecture's
 * board file in vmm/.
 *
 *     arch_memory_map      which ranges of guest-physical addresses are RAM
 *     arch_host_open       what the host's KVM offers; slow parts run while the VM is created
 *     arch_vm_open         the virtual machine, before its first memslot
 *     arch_memory_deferred while part of memory is missing
 *     arch_vcpus_create    after the first memslot: vCPUs and interrupt controllers
 *     arch_vcpu_enter      the boot vCPU's registers and tables, as the boot protocol wants
 *     arch_vcpu_resume     after a pause
 *     arch_vcpu_describe   registers in words, when a guest cannot go on
 */
#ifndef HUSK_ARCH_H
#define HUSK_ARCH_H

#include "core/boot.h"
#include "core/err.h"
#include "core/kvm.h"
#include "core/memory.h"
#include "core/vcpu.h"
#include "core/wires.h"

#include <stddef.h>

#define ARCH_VCPUS_MAX 64
#define ARCH_IRQCHIP_ROUTES_MAX 64

/* Opaque; made by arch_host_open(). */
struct arch_host;

/*
 * Splits `size` bytes of RAM around the architecture's holes. Fills `ranges` (room for
 * MEMORY_REGIONS_MAX) in ascending order and returns how many there are.
 */
unsigned arch_memory_map(uint64_t size, struct memory_range *ranges);

/* A KVM capability that Husk looks for. */
struct arch_capability {
    unsigned number; /* KVM_CAP_* */
    const char *name;
    const char *use; /* what is better with it; NULL: Husk cannot do without */
};

/* All of them, the indispensable ones first; arch_host_open() checks those. */
const struct arch_capability *arch_capabilities(unsigned *count);

/* The names of what can be kept from the guest's processors; their places are bits below. */
const char *const *arch_features(unsigned *count);

/* What of the processor and of its interrupt controllers depends on the machine. */
struct arch_options {
    unsigned cpus;     /* how many vCPUs there will be */
    uint32_t withheld; /* of arch_features() */
    bool messages;     /* devices will send interrupts as messages (MSI) */
};

/*
 * Checks that the host offers what Husk cannot do without (a missing capability is named: -ENOTSUP)
 * and starts to fetch what every vCPU needs to know of the processor, on a thread of its own.
 * `kvm` must outlive the result. The result is owned by the caller; arch_host_close().
 */
int arch_host_open(const struct kvm *kvm, const struct arch_options *options,
                   struct arch_host **host, struct err *err);
void arch_host_close(struct arch_host *host);

/* As vm_open(), with what must be said before the first memslot. */
int arch_vm_open(struct arch_host *host, struct vm *vm, struct err *err);

/*
 * While memory is deferred, an instruction that KVM cannot emulate has to come out of KVM_RUN
 * before the guest notices, because it may have touched memory that has no memslot yet. Negative
 * where KVM cannot do that (x86 before Linux 5.18, and arm64): then no memory may be deferred.
 */
int arch_memory_deferred(const struct vm *vm, bool deferred);

/*
 * The routes of the controllers' pins as KVM makes them by itself, for who has to say them again
 * because there are others: fills `routes` (room for ARCH_IRQCHIP_ROUTES_MAX) and returns how
 * many. Their gsis are 0 to *gsi_count - 1.
 */
unsigned arch_irqchip_routes(struct kvm_irq_routing_entry *routes, uint32_t *gsi_count);

/* Fills in all but the gsi of a route that makes a message of each edge. */
void arch_message_route(const struct arch_host *host, const struct msi_message *message,
                        struct kvm_irq_routing_entry *route);

/*
 * Creates the in-kernel interrupt controllers and all of the options' vCPUs, in the order in which
 * KVM wants them, and gives each vCPU its features and its place in a topology of one socket with a
 * core of one thread for each. Waits for arch_host_open()'s thread. On error no vCPU stays open.
 */
int arch_vcpus_create(struct arch_host *host, const struct vm *vm, const struct vcpu_world *world,
                      struct vcpu *vcpus, struct err *err);

/* Sets the boot vCPU to the start of `entry`, writing what tables it needs to guest memory. */
int arch_vcpu_enter(const struct vcpu *vcpu, const struct guest_memory *memory,
                    const struct boot_entry *entry, struct err *err);

/*
 * Has the guest know that `vcpu`, which does not run, was paused by its host, so that its watchdogs
 * do not take the pause for a fault of its own. Nothing where the guest does not listen.
 */
void arch_vcpu_resume(const struct vcpu *vcpu);

/*
 * Describes registers and the bytes at the program counter, several lines, for a person. Always
 * leaves a string in `text`; what cannot be read is said there.
 */
void arch_vcpu_describe(const struct vcpu *vcpu, const struct guest_memory *memory, char *text,
                        size_t size);

#endif
