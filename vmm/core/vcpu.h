/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU: its KVM descriptor, its thread, and the loop around KVM_RUN that hands each exit to the
 * bus that answers for the address.
 *
 * Stopping without a signal handler: the kick signal is blocked in the vCPU's thread and
 * unblocked by KVM only inside KVM_RUN (KVM_SET_SIGNAL_MASK). A kick sets immediate_exit, which
 * ends a KVM_RUN that is about to start, and sends the signal, which ends one that has started.
 * Blocked again on the way out, it never reaches a handler; the thread takes it back itself.
 */
#ifndef HUSK_CORE_VCPU_H
#define HUSK_CORE_VCPU_H

#include "core/bus.h"
#include "core/counter.h"
#include "core/err.h"
#include "core/kvm.h"
#include "core/memory.h"
#include "core/timing.h"

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum vcpu_end {
    VCPU_STOPPED,        /* vcpu_kick() */
    VCPU_POWER_OFF,      /* KVM_SYSTEM_EVENT_SHUTDOWN */
    VCPU_RESET,          /* KVM_SYSTEM_EVENT_RESET; code is its flags */
    VCPU_CRASHED,        /* KVM_SYSTEM_EVENT_CRASH */
    VCPU_TRIPLE_FAULT,   /* KVM_EXIT_SHUTDOWN */
    VCPU_INTERNAL_ERROR, /* an instruction that KVM cannot run; code: KVM_INTERNAL_ERROR_* */
    VCPU_FAIL_ENTRY,     /* KVM_EXIT_FAIL_ENTRY: the processor refuses the state */
    VCPU_RUN_FAILED,     /* KVM_RUN itself; code is the errno */
    VCPU_UNEXPECTED,     /* an exit that Husk does not know; code is its reason */
};

/* Why KVM_RUN returned. */
enum vcpu_exit {
    VCPU_EXIT_PIO,
    VCPU_EXIT_MMIO,
    VCPU_EXIT_MEMORY, /* the guest touched memory that had no memslot yet */
    VCPU_EXIT_SIGNAL,
    VCPU_EXIT_OTHER,
    VCPU_EXITS,
};

/* What a vCPU reaches: shared by all vCPUs of a machine, constant while they run. */
struct vcpu_world {
    const struct bus *pio;
    const struct bus *mmio;
    const struct guest_memory *memory;
    struct timing *timing;

    /*
     * Set when part of `memory` gets its memslots once the guest touches it. A first access to
     * that part comes out of KVM_RUN as MMIO, or as an instruction that KVM cannot emulate; both
     * are put right once complete_memory() has returned.
     */
    bool memory_deferred;
    void (*complete_memory)(void *context);
    /* The boot vCPU's first exit, on its thread, before it is served. May be NULL. */
    void (*first_exit)(void *context);
    /* After vcpu_interrupt(), on the vCPU's thread, outside KVM_RUN: returns when it may go on. */
    void (*interrupted)(void *context);
    /* The vCPU's loop is over; on its thread, once. `code` is the detail of a failure. */
    void (*ended)(void *context, unsigned index, enum vcpu_end end, uint64_t code);
    void *context;
};

struct vcpu {
    int fd; /* -1 while closed */
    unsigned index;
    struct kvm_run *run;
    size_t run_size;
    const struct vcpu_world *world;
    pthread_t thread;
    bool started;
    bool has_exited;
    bool may_retry; /* one failure is still to be blamed on deferred memory */
    atomic_bool stop;
    atomic_bool interrupt;
    struct counter exits[VCPU_EXITS];
};

/* Creates vCPU `index` (also its APIC or MPIDR index). Its registers are the architecture's. */
int vcpu_open(struct vcpu *vcpu, const struct vm *vm, unsigned index,
              const struct vcpu_world *world, struct err *err);

/* The thread must have ended. Harmless on a closed vCPU. */
void vcpu_close(struct vcpu *vcpu);

/* Starts the thread. All signals are blocked in it. */
int vcpu_start(struct vcpu *vcpu, struct err *err);

/* Makes the thread leave its loop soon; any thread, any number of times. */
void vcpu_kick(struct vcpu *vcpu);

/*
 * Makes the thread leave the guest soon and call world->interrupted(); any thread. Several that come
 * close to each other may be one.
 */
void vcpu_interrupt(struct vcpu *vcpu);

/* Waits for the thread's end; harmless when it never started. */
void vcpu_join(struct vcpu *vcpu);

#endif
