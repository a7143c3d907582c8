/* SPDX-License-Identifier: Apache-2.0 */
/*
 * husk_doctor(): what the host offers, in the order in which it is needed. Each step that fails
 * makes the ones after it pointless, but for the probes of a stage, which are all run.
 */
#include "vmm/doctor.h"

#include "vmm/husk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/kvm.h>
#include <linux/userfaultfd.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KVM_DEVICE "/dev/kvm"
#define HUGE_PAGES "/sys/kernel/mm/transparent_hugepage/enabled"

#define GROUP_KVM "KVM"
#define GROUP_OPTIONAL "optional"
#define GROUP_MACHINE "a bare machine"
#define GROUP_KERNEL "unmodified 64-bit kernels"

#define ADVICE_MACHINE                                                                            \
    "this KVM is broken or partial; update the host's kernel, or use a host with hardware or "    \
    "nested virtualisation"
#define ADVICE_KERNEL                                                                             \
    "use a host whose KVM runs on hardware or nested virtualisation, or Husk's emulated one: "    \
    "tools/lab/run"

struct doctor {
    void (*report)(void *context, const struct husk_check *check);
    void *context;
    struct kvm kvm;
    struct arch_host *host;
};

static void say(const struct doctor *doctor, const char *group, const char *name,
                enum husk_check_result result, const char *detail, const char *advice)
{
    const struct husk_check check = {group, name, result, detail, advice};

    doctor->report(doctor->context, &check);
}

/* Messages read "what is wrong; what to do". */
static void say_failed(const struct doctor *doctor, const char *group, const char *name,
                       struct err *err)
{
    char *advice = strstr(err->message, "; ");

    if (advice)
        *advice = '\0';
    say(doctor, group, name, HUSK_CHECK_NO, err->message, advice ? advice + 2 : "");
}

/* --- KVM --- */

/* Which of the steps in check_device() kvm_open() came to. */
static unsigned steps_done(int code)
{
    switch (code) {
    case 0:
        return 3;
    case -EPROTO:
        return 2;
    case -EACCES:
    case -EPERM:
        return 1;
    default:
        return 0;
    }
}

static bool check_device(struct doctor *doctor)
{
    static const char *const steps[] = {
        "/dev/kvm",
        "permission to use /dev/kvm",
        "KVM API version 12",
    };
    struct err err;
    unsigned done = steps_done(kvm_open(&doctor->kvm, KVM_DEVICE, &err));

    for (unsigned i = 0; i < done; i++)
        say(doctor, GROUP_KVM, steps[i], HUSK_CHECK_YES, "", "");
    if (done == sizeof steps / sizeof steps[0])
        return true;
    say_failed(doctor, GROUP_KVM, steps[done], &err);
    return false;
}

static bool check_capabilities(const struct doctor *doctor)
{
    unsigned count;
    const struct arch_capability *capability = arch_capabilities(&count);
    bool all = true;

    for (; count > 0 && !capability->use; count--, capability++) {
        if (kvm_capability(&doctor->kvm, capability->number)) {
            say(doctor, GROUP_KVM, capability->name, HUSK_CHECK_YES, "", "");
            continue;
        }
        all = false;
        say(doctor, GROUP_KVM, capability->name, HUSK_CHECK_NO, "this host's KVM lacks it",
            "a newer kernel has it");
    }
    return all;
}

/* --- what Husk works without --- */

static void say_optional(const struct doctor *doctor, const char *name, bool present,
                         const char *use, const char *advice)
{
    say(doctor, GROUP_OPTIONAL, name, present ? HUSK_CHECK_YES : HUSK_CHECK_OPTIONAL, use,
        present ? "" : advice);
}

static void check_useful_capabilities(const struct doctor *doctor)
{
    unsigned count;
    const struct arch_capability *capability = arch_capabilities(&count);

    for (; count > 0; count--, capability++)
        if (capability->use)
            say_optional(doctor, capability->name,
                         kvm_capability(&doctor->kvm, capability->number) > 0, capability->use,
                         "a newer kernel may have it");
}

static bool closed(long fd)
{
    if (fd >= 0)
        close((int)fd);
    return fd >= 0;
}

static bool has_io_uring(void)
{
    struct io_uring_params parameters = {0};

    return closed(syscall(SYS_io_uring_setup, 1, &parameters));
}

static bool has_userfaultfd(void)
{
    return closed(syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY));
}

static bool has_huge_pages(void)
{
    char modes[64] = "";
    int fd = open(HUGE_PAGES, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return false;
    if (read(fd, modes, sizeof modes - 1) < 0)
        modes[0] = '\0';
    close(fd);
    return modes[0] && !strstr(modes, "[never]");
}

static bool usable(const char *device)
{
    return access(device, R_OK | W_OK) == 0;
}

static void check_optional(const struct doctor *doctor)
{
    check_useful_capabilities(doctor);
    say_optional(doctor, "io_uring", has_io_uring(), "disk requests in batches",
                 "set the sysctl kernel.io_uring_disabled to 0");
    say_optional(doctor, "userfaultfd", has_userfaultfd(), "memory that is loaded on demand",
                 "use a kernel with CONFIG_USERFAULTFD");
    say_optional(doctor, "transparent huge pages", has_huge_pages(), "fewer page faults",
                 "echo madvise > " HUGE_PAGES);
    say_optional(doctor, "/dev/net/tun", usable("/dev/net/tun"), "networking by tap devices",
                 "modprobe tun, and see that you may read and write it");
    say_optional(doctor, "/dev/vhost-net", usable("/dev/vhost-net"), "networking in the kernel",
                 "modprobe vhost_net, and see that you may read and write it");
    say_optional(doctor, "/dev/vhost-vsock", usable("/dev/vhost-vsock"), "sockets to the guest",
                 "modprobe vhost_vsock, and see that you may read and write it");
}

/* --- guest code --- */

static bool check_probe(const struct doctor *doctor, const struct arch_probe *probe,
                        const char *group, const char *advice)
{
    struct err err;

    switch (doctor_run_probe(doctor->host, probe, &err)) {
    case 0:
        say(doctor, group, probe->name, HUSK_CHECK_YES, "", "");
        return true;
    case -ENOTSUP:
        say(doctor, group, probe->name, HUSK_CHECK_YES, err.message, "");
        return true;
    default:
        say(doctor, group, probe->name, HUSK_CHECK_NO, err.message, advice);
        return false;
    }
}

static bool check_stage(const struct doctor *doctor, enum arch_probe_stage stage,
                        const char *group, const char *advice)
{
    unsigned count;
    const struct arch_probe *probes = arch_probes(&count);
    bool all = true;

    for (unsigned i = 0; i < count; i++)
        if (probes[i].stage == stage)
            all &= check_probe(doctor, &probes[i], group, advice);
    return all;
}

static enum husk_verdict check_guests(struct doctor *doctor)
{
    const struct arch_options options = {.cpus = 1};
    struct err err;

    if (arch_host_open(&doctor->kvm, &options, &doctor->host, &err)) {
        say_failed(doctor, GROUP_MACHINE, "the processor", &err);
        return HUSK_VERDICT_NO_KVM;
    }
    if (!check_stage(doctor, ARCH_PROBE_MACHINE, GROUP_MACHINE, ADVICE_MACHINE))
        return HUSK_VERDICT_NO_KVM;
    if (!check_stage(doctor, ARCH_PROBE_KERNEL, GROUP_KERNEL, ADVICE_KERNEL))
        return HUSK_VERDICT_NO_LINUX;
    return HUSK_VERDICT_LINUX;
}

enum husk_verdict husk_doctor(void (*report)(void *context, const struct husk_check *check),
                              void *context)
{
    struct doctor doctor = {.report = report, .context = context, .kvm = {.fd = -1}};
    enum husk_verdict verdict = HUSK_VERDICT_NO_KVM;

    if (check_device(&doctor) && check_capabilities(&doctor)) {
        check_optional(&doctor);
        verdict = check_guests(&doctor);
    }
    arch_host_close(doctor.host);
    kvm_close(&doctor.kvm);
    return verdict;
}
