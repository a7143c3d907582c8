/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/x86_64/host.h"
#include "arch/x86_64/layout.h"
#include "core/thread.h"

#include <errno.h>
#include <stdlib.h>

#define FETCH_STACK_SIZE ((size_t)64 * 1024)

#define REQUIRED(name) {name, #name, NULL}
#define USEFUL(name, use) {name, #name, use}

/* KVM on x86 has had all that is required since Linux 4.12. */
static const struct arch_capability capabilities[] = {
    REQUIRED(KVM_CAP_USER_MEMORY),
    REQUIRED(KVM_CAP_IRQCHIP),
    REQUIRED(KVM_CAP_IRQFD),
    REQUIRED(KVM_CAP_IOEVENTFD),
    REQUIRED(KVM_CAP_EXT_CPUID),
    REQUIRED(KVM_CAP_IMMEDIATE_EXIT),
    USEFUL(KVM_CAP_TSC_DEADLINE_TIMER, "cheap guest timers"),
    USEFUL(KVM_CAP_ADJUST_CLOCK, "a guest clock that survives a pause"),
    USEFUL(KVM_CAP_EXIT_ON_EMULATION_FAILURE, "exact reports of what KVM cannot run"),
    USEFUL(KVM_CAP_SIGNAL_MSI, "virtio over PCI"),
    USEFUL(KVM_CAP_IRQ_ROUTING, "virtio over PCI"),
    USEFUL(KVM_CAP_IRQFD_RESAMPLE, "level interrupts without exits"),
    USEFUL(KVM_CAP_DIRTY_LOG_RING, "snapshots of a running guest"),
};

const struct arch_capability *arch_capabilities(unsigned *count)
{
    *count = sizeof capabilities / sizeof capabilities[0];
    return capabilities;
}

static int check_capabilities(const struct kvm *kvm, struct err *err)
{
    for (unsigned i = 0; i < sizeof capabilities / sizeof capabilities[0]; i++)
        if (!capabilities[i].use && !kvm_capability(kvm, capabilities[i].number))
            return err_set(err, -ENOTSUP, "this host's KVM lacks %s; a newer kernel has it",
                           capabilities[i].name);
    return 0;
}

static void *fetch(void *argument)
{
    struct arch_host *host = argument;

    host->cpuid.header.nent = CPUID_ENTRIES_MAX;
    host->fetch_result = kvm_ioctl(host->kvm->fd, KVM_GET_SUPPORTED_CPUID, &host->cpuid);
    return NULL;
}

/* Without a thread the fetch still works, only later: when the first vCPU asks for it. */
static void start_fetch(struct arch_host *host)
{
    host->thread_running = thread_start(&host->thread, FETCH_STACK_SIZE, fetch, host) == 0;
    if (!host->thread_running)
        fetch(host);
}

/* KVM's CPUID is passed on whole, but for the PMU, which no guest gets. */
const char *const *arch_features(unsigned *count)
{
    *count = 0;
    return NULL;
}

int arch_host_open(const struct kvm *kvm, const struct arch_options *options,
                   struct arch_host **out, struct err *err)
{
    struct arch_host *host;
    int rc = check_capabilities(kvm, err);

    if (rc)
        return rc;
    host = calloc(1, sizeof *host);
    if (!host)
        return err_set(err, -ENOMEM, "out of memory");
    host->kvm = kvm;
    host->options = *options;
    start_fetch(host);
    *out = host;
    return 0;
}

int arch_host_wait(struct arch_host *host, struct err *err)
{
    if (host->thread_running) {
        pthread_join(host->thread, NULL);
        host->thread_running = false;
    }
    if (host->fetch_result < 0)
        return err_sys(err, host->fetch_result, "KVM does not tell the CPUID it supports");
    return 0;
}

void arch_host_close(struct arch_host *host)
{
    if (!host)
        return;
    arch_host_wait(host, NULL);
    free(host);
}

int arch_vm_open(struct arch_host *host, struct vm *vm, struct err *err)
{
    uint64_t identity_map = LAYOUT_IDENTITY_MAP_PAGE;
    int rc = vm_open(vm, host->kvm, 0, err);

    if (rc)
        return rc;
    rc = kvm_ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map);
    if (rc < 0)
        return err_sys(err, rc, "KVM refuses its identity-map page");
    rc = kvm_ioctl(vm->fd, KVM_SET_TSS_ADDR, (void *)(uintptr_t)LAYOUT_TSS);
    if (rc < 0)
        return err_sys(err, rc, "KVM refuses its TSS address");
    return 0;
}

/*
 * Once all memory is there the capability is given back: an instruction of guest userspace that
 * KVM cannot emulate then gets #UD, and a process in the guest cannot end the machine.
 */
int arch_memory_deferred(const struct vm *vm, bool deferred)
{
    struct kvm_enable_cap cap = {
        .cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE,
        .args = {deferred},
    };

    return kvm_ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

static struct kvm_irq_routing_entry pin(uint32_t gsi, uint32_t irqchip, uint32_t number)
{
    return (struct kvm_irq_routing_entry){
        .gsi = gsi,
        .type = KVM_IRQ_ROUTING_IRQCHIP,
        .u.irqchip = {.irqchip = irqchip, .pin = number},
    };
}

/* Every gsi is a pin of the I/O APIC; the first 16 are pins of the two PICs as well. */
unsigned arch_irqchip_routes(struct kvm_irq_routing_entry *routes, uint32_t *gsi_count)
{
    unsigned count = 0;

    for (uint32_t gsi = 0; gsi < LAYOUT_GSI_COUNT; gsi++) {
        routes[count++] = pin(gsi, KVM_IRQCHIP_IOAPIC, gsi);
        if (gsi < 16)
            routes[count++] = pin(gsi, gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE,
                                  gsi % 8);
    }
    *gsi_count = LAYOUT_GSI_COUNT;
    return count;
}

void arch_message_route(const struct arch_host *host, const struct msi_message *message,
                        struct kvm_irq_routing_entry *route)
{
    (void)host;
    route->type = KVM_IRQ_ROUTING_MSI;
    route->u.msi.address_lo = (uint32_t)message->address;
    route->u.msi.address_hi = (uint32_t)(message->address >> 32);
    route->u.msi.data = message->data;
}
