/* SPDX-License-Identifier: Apache-2.0 */
#include "core/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

int kvm_ioctl(int fd, unsigned long request, void *argument)
{
    int rc;

    do
        rc = ioctl(fd, request, argument);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : rc;
}

static int explain_open(const char *path, int code, struct err *err)
{
    switch (code) {
    case -ENOENT:
        return err_set(err, code,
                       "%s does not exist; load the kvm_intel or kvm_amd module (arm64: boot this "
                       "host at EL2), and enable virtualisation in the firmware or nested "
                       "virtualisation in the host",
                       path);
    case -EACCES:
    case -EPERM:
        return err_set(err, code,
                       "cannot open %s: permission denied; add yourself to group kvm "
                       "(usermod -aG kvm USER, then log in again)",
                       path);
    case -ENODEV:
    case -ENXIO:
        return err_set(err, code,
                       "cannot open %s: no virtualisation on this host; enable it in the firmware",
                       path);
    default:
        return err_sys(err, code, "cannot open %s", path);
    }
}

int kvm_open(struct kvm *kvm, const char *path, struct err *err)
{
    int version, size;

    kvm->fd = open(path, O_RDWR | O_CLOEXEC);
    if (kvm->fd < 0)
        return explain_open(path, -errno, err);
    version = kvm_ioctl(kvm->fd, KVM_GET_API_VERSION, NULL);
    if (version != KVM_API_VERSION) {
        kvm_close(kvm);
        if (version < 0)
            return err_set(err, -ENODEV, "%s is not a KVM device", path);
        return err_set(err, -EPROTO,
                       "%s speaks KVM API version %d, this program %d; use a kernel of this "
                       "millennium",
                       path, version, KVM_API_VERSION);
    }
    size = kvm_ioctl(kvm->fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
    if (size < (int)sizeof(struct kvm_run)) {
        kvm_close(kvm);
        return err_set(err, -EPROTO, "%s: kvm_run of %d bytes is too small", path, size);
    }
    kvm->run_size = (size_t)size;
    return 0;
}

void kvm_close(struct kvm *kvm)
{
    if (kvm->fd >= 0)
        close(kvm->fd);
    kvm->fd = -1;
}

int kvm_capability(const struct kvm *kvm, unsigned capability)
{
    int value = kvm_ioctl(kvm->fd, KVM_CHECK_EXTENSION, (void *)(uintptr_t)capability);

    return value < 0 ? 0 : value;
}

int vm_open(struct vm *vm, const struct kvm *kvm, unsigned long type, struct err *err)
{
    int fd = kvm_ioctl(kvm->fd, KVM_CREATE_VM, (void *)type);

    *vm = (struct vm){.fd = fd < 0 ? -1 : fd, .kvm = kvm};
    return fd < 0 ? err_sys(err, fd, "KVM cannot create a virtual machine") : 0;
}

void vm_close(struct vm *vm)
{
    if (vm->fd >= 0)
        close(vm->fd);
    vm->fd = -1;
}

int vm_add_memslot(struct vm *vm, struct gpa base, uint64_t size, void *host, struct err *err)
{
    struct kvm_userspace_memory_region region = {
        .slot = vm->memslot_count,
        .guest_phys_addr = base.v,
        .memory_size = size,
        .userspace_addr = (uintptr_t)host,
    };
    int rc = kvm_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region);

    if (rc < 0)
        return err_sys(err, rc, "KVM refuses %llu MiB of memory at 0x%llx",
                       (unsigned long long)(size >> 20), (unsigned long long)base.v);
    vm->memslot_count++;
    return 0;
}

int vm_add_ioeventfd(const struct vm *vm, uint64_t address, uint32_t value, int fd,
                     struct err *err)
{
    struct kvm_ioeventfd kick = {
        .datamatch = value,
        .addr = address,
        .len = 4,
        .fd = fd,
        .flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
    };
    int rc = kvm_ioctl(vm->fd, KVM_IOEVENTFD, &kick);

    return rc < 0 ? err_sys(err, rc, "KVM refuses an ioeventfd at 0x%llx",
                            (unsigned long long)address)
                  : 0;
}

static int change_doorbell(const struct vm *vm, uint64_t address, int fd, uint32_t flags,
                           struct err *err)
{
    struct kvm_ioeventfd doorbell = {.addr = address, .fd = fd, .flags = flags};
    int rc = kvm_ioctl(vm->fd, KVM_IOEVENTFD, &doorbell);

    return rc < 0 ? err_sys(err, rc, "KVM refuses a doorbell at 0x%llx",
                            (unsigned long long)address)
                  : 0;
}

int vm_add_doorbell(const struct vm *vm, uint64_t address, int fd, struct err *err)
{
    return change_doorbell(vm, address, fd, 0, err);
}

int vm_remove_doorbell(const struct vm *vm, uint64_t address, int fd, struct err *err)
{
    return change_doorbell(vm, address, fd, KVM_IOEVENTFD_FLAG_DEASSIGN, err);
}

static int change_irqfd(const struct vm *vm, const struct irq_line *irq, uint32_t flags,
                        struct err *err)
{
    struct kvm_irqfd connection = {.fd = (uint32_t)irq->fd, .gsi = irq->gsi, .flags = flags};
    int rc = kvm_ioctl(vm->fd, KVM_IRQFD, &connection);

    return rc < 0 ? err_sys(err, rc, "KVM refuses an irqfd for gsi %u", irq->gsi) : 0;
}

int vm_connect_irq(const struct vm *vm, const struct irq_line *irq, struct err *err)
{
    return change_irqfd(vm, irq, 0, err);
}

int vm_disconnect_irq(const struct vm *vm, const struct irq_line *irq, struct err *err)
{
    return change_irqfd(vm, irq, KVM_IRQFD_FLAG_DEASSIGN, err);
}

int vm_pulse_irq(const struct vm *vm, uint32_t gsi, struct err *err)
{
    struct kvm_irq_level level = {.irq = gsi, .level = 1};
    int rc = kvm_ioctl(vm->fd, KVM_IRQ_LINE, &level);

    level.level = 0;
    if (rc == 0)
        rc = kvm_ioctl(vm->fd, KVM_IRQ_LINE, &level);
    return rc < 0 ? err_sys(err, rc, "KVM refuses interrupt %u", gsi) : 0;
}

int vm_route_irqs(const struct vm *vm, struct kvm_irq_routing *routing, struct err *err)
{
    int rc = kvm_ioctl(vm->fd, KVM_SET_GSI_ROUTING, routing);

    return rc < 0 ? err_sys(err, rc, "KVM refuses to route %u interrupts", routing->nr) : 0;
}
