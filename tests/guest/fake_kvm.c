/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into husk, makes KVM behave as no host at hand does. FAKE_KVM names what is faked:
 *
 *     version        KVM_GET_API_VERSION gives 11
 *     no-irqfd       KVM_CHECK_EXTENSION denies KVM_CAP_IRQFD
 *     one-vcpu       KVM_CHECK_EXTENSION says that a machine has one vCPU at most
 *     fail-entry     the first KVM_RUN ends in KVM_EXIT_FAIL_ENTRY
 *     run-error      KVM_RUN fails with EFAULT
 *     undecoded      KVM_RUN fails with ENOSYS
 *     unknown-exit   the first KVM_RUN ends for a reason that nobody knows
 *     interrupted    KVM_CREATE_VM is interrupted three times
 *     no-gic         KVM_CREATE_DEVICE makes nothing
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HARDWARE_REASON 0x80000021 /* VM entry failed: invalid guest state (Intel SDM, 27.8) */
#define UNKNOWN_REASON 9999
#define INTERRUPTIONS 3

int ioctl(int fd, unsigned long request, ...);

static struct kvm_run *run_area; /* of the last vCPU whose area was mapped */

static bool faking(const char *what)
{
    const char *asked = getenv("FAKE_KVM");

    return asked && strcmp(asked, what) == 0;
}

void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    void *(*real)(void *, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, "mmap");
    void *mapped = real(address, size, protection, flags, fd, offset);

    if (fd >= 0 && (flags & MAP_SHARED))
        run_area = mapped;
    return mapped;
}

static int fail(int code)
{
    errno = code;
    return -1;
}

static int fake_exit(uint32_t reason)
{
    run_area->exit_reason = reason;
    run_area->fail_entry.hardware_entry_failure_reason = HARDWARE_REASON;
    return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
    static int interruptions;
    int (*real)(int, unsigned long, void *) = dlsym(RTLD_NEXT, "ioctl");
    void *argument;
    va_list arguments;

    va_start(arguments, request);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    if (request == KVM_GET_API_VERSION && faking("version"))
        return KVM_API_VERSION - 1;
    if (request == KVM_CHECK_EXTENSION && (uintptr_t)argument == KVM_CAP_IRQFD &&
        faking("no-irqfd"))
        return 0;
    if (request == KVM_CHECK_EXTENSION && (uintptr_t)argument == KVM_CAP_MAX_VCPUS &&
        faking("one-vcpu"))
        return 1;
    if (request == KVM_RUN && faking("fail-entry"))
        return fake_exit(KVM_EXIT_FAIL_ENTRY);
    if (request == KVM_RUN && faking("run-error"))
        return fail(EFAULT);
    if (request == KVM_RUN && faking("undecoded"))
        return fail(ENOSYS);
    if (request == KVM_RUN && faking("unknown-exit"))
        return fake_exit(UNKNOWN_REASON);
    if (request == KVM_CREATE_VM && faking("interrupted") && interruptions++ < INTERRUPTIONS)
        return fail(EINTR);
    if (request == KVM_CREATE_DEVICE && faking("no-gic"))
        return fail(ENODEV);
    return real(fd, request, argument);
}
