/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /dev/kvm and one virtual machine: thin, checked wrappers around the ioctls that every
 * architecture uses (Linux: Documentation/virt/kvm/api.rst). What only one architecture has is in
 * its folder under arch/.
 */
#ifndef HUSK_CORE_KVM_H
#define HUSK_CORE_KVM_H

#include "core/err.h"
#include "core/irq.h"
#include "core/memory.h"

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>

struct kvm {
    int fd;          /* -1 while closed */
    size_t run_size; /* bytes of a vCPU's shared kvm_run area */
};

/*
 * Opens /dev/kvm and checks its API version. Errors, each with what to do: -ENOENT (no such
 * device), -EACCES, -ENODEV (no virtualisation), -EPROTO (another API version).
 */
int kvm_open(struct kvm *kvm, const char *path, struct err *err);
void kvm_close(struct kvm *kvm);

/* KVM_CHECK_EXTENSION: the value, 0 if the host lacks the capability. */
int kvm_capability(const struct kvm *kvm, unsigned capability);

/* An ioctl that is made again when a signal interrupts it; the result, or -errno. */
int kvm_ioctl(int fd, unsigned long request, void *argument);

struct vm {
    int fd; /* -1 while closed */
    const struct kvm *kvm;
    unsigned memslot_count;
};

/* `type` is the architecture's; 0 is the default machine. */
int vm_open(struct vm *vm, const struct kvm *kvm, unsigned long type, struct err *err);
void vm_close(struct vm *vm);

/* Backs guest-physical [base, base + size) with host memory, in a memslot of its own. */
int vm_add_memslot(struct vm *vm, struct gpa base, uint64_t size, void *host, struct err *err);

/* A 4-byte guest write of `value` at MMIO address `address` signals eventfd `fd`, with no exit. */
int vm_add_ioeventfd(const struct vm *vm, uint64_t address, uint32_t value, int fd,
                     struct err *err);

/*
 * A guest write at MMIO address `address`, of any size and value, signals eventfd `fd`. A host that
 * cannot do that (x86 before Linux 4.5) says -EINVAL; two at one address are -EEXIST.
 */
int vm_add_doorbell(const struct vm *vm, uint64_t address, int fd, struct err *err);
int vm_remove_doorbell(const struct vm *vm, uint64_t address, int fd, struct err *err);

/* Each irq_raise() becomes an edge on the line's gsi, without a thread in between. */
int vm_connect_irq(const struct vm *vm, const struct irq_line *irq, struct err *err);
/* Undoes it: no edge is on its way any more when it returns. */
int vm_disconnect_irq(const struct vm *vm, const struct irq_line *irq, struct err *err);

/* Raises and lowers a gsi: an edge. For what happens seldom; an irq_line costs no system call. */
int vm_pulse_irq(const struct vm *vm, uint32_t gsi, struct err *err);

/* Says what each gsi leads to; replaces all that was said before, the controllers' pins too. */
int vm_route_irqs(const struct vm *vm, struct kvm_irq_routing *routing, struct err *err);

#endif
