/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this host's KVM lets a guest see of the processor.
 *
 * KVM_GET_SUPPORTED_CPUID executes CPUID dozens of times, each of which traps where the host is
 * itself a guest: hundreds of microseconds, as long as everything else of a start together. It
 * needs only /dev/kvm, so a thread fetches it while the virtual machine is created.
 */
#ifndef HUSK_ARCH_X86_64_HOST_H
#define HUSK_ARCH_X86_64_HOST_H

#include "arch/arch.h"
#include "core/kvm.h"

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>

#define CPUID_ENTRIES_MAX 128

struct cpuid_table {
    struct kvm_cpuid2 header; /* header.nent entries are valid */
    struct kvm_cpuid_entry2 entries[CPUID_ENTRIES_MAX];
};

struct arch_host {
    const struct kvm *kvm;
    struct arch_options options;
    pthread_t thread;
    bool thread_running;
    int fetch_result;          /* 0 or -errno, valid once the thread has ended */
    struct cpuid_table cpuid;  /* as KVM supports it, before any vCPU's own values */
};

/* Waits for the fetch; 0, or -errno with a message. */
int arch_host_wait(struct arch_host *host, struct err *err);

#endif
