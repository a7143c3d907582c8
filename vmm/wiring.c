/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/wiring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int wiring_open(struct wiring *wiring, const struct vm *vm, const struct arch_host *host,
                const struct wiring_sink *sink, struct err *err)
{
    struct kvm_irq_routing *routing;

    if (!kvm_capability(vm->kvm, KVM_CAP_IRQ_ROUTING))
        return err_set(err, -ENOTSUP, "this host's KVM cannot route interrupts, which PCI needs; "
                                      "use --bus mmio");
    routing = calloc(1, sizeof *routing + ARCH_IRQCHIP_ROUTES_MAX * sizeof routing->entries[0]);
    if (!routing)
        return err_set(err, -ENOMEM, "out of memory");
    *wiring = (struct wiring){.vm = vm, .host = host, .sink = *sink, .routing = routing};
    wiring->pins = arch_irqchip_routes(routing->entries, &wiring->first_gsi);
    routing->nr = wiring->pins;
    pthread_mutex_init(&wiring->lock, NULL);
    return 0;
}

void wiring_close(struct wiring *wiring)
{
    if (!wiring->routing)
        return;
    pthread_mutex_destroy(&wiring->lock);
    free(wiring->routing);
    wiring->routing = NULL;
}

int wiring_claim_gsis(struct wiring *wiring, unsigned count, uint32_t *first, struct err *err)
{
    unsigned used = wiring->routing->nr;
    struct kvm_irq_routing *routing =
        realloc(wiring->routing,
                sizeof *routing + (used + count) * sizeof routing->entries[0]);

    if (!routing)
        return err_set(err, -ENOMEM, "out of memory");
    wiring->routing = routing;
    *first = wiring->first_gsi + used - wiring->pins;
    for (unsigned i = 0; i < count; i++)
        routing->entries[used + i] = (struct kvm_irq_routing_entry){
            .gsi = *first + i,
            .type = KVM_IRQ_ROUTING_MSI,
        };
    routing->nr += count;
    return 0;
}

/* --- wires --- */

static bool same_route(const struct kvm_irq_routing_entry *one,
                       const struct kvm_irq_routing_entry *other)
{
    return one->type == other->type && one->flags == other->flags &&
           memcmp(one->u.pad, other->u.pad, sizeof one->u.pad) == 0;
}

/* Under the lock. */
static int route(struct wiring *wiring, uint32_t gsi, const struct msi_message *message,
                 struct err *err)
{
    struct kvm_irq_routing_entry *present =
        &wiring->routing->entries[wiring->pins + gsi - wiring->first_gsi];
    struct kvm_irq_routing_entry wanted = {.gsi = gsi, .u.pad = {0}};

    arch_message_route(wiring->host, message, &wanted);
    if (same_route(present, &wanted))
        return 0;
    *present = wanted;
    return vm_route_irqs(wiring->vm, wiring->routing, err);
}

static void connect_message(void *context, const struct irq_line *irq,
                            const struct msi_message *message)
{
    struct wiring *wiring = context;
    struct err err = {.blame = ERR_BLAME_HOST};
    int rc;

    pthread_mutex_lock(&wiring->lock);
    rc = route(wiring, irq->gsi, message, &err);
    if (rc == 0)
        rc = vm_connect_irq(wiring->vm, irq, &err);
    pthread_mutex_unlock(&wiring->lock);
    if (rc)
        wiring->sink.failed(wiring->sink.context, &err);
}

static void disconnect_message(void *context, const struct irq_line *irq)
{
    struct wiring *wiring = context;

    vm_disconnect_irq(wiring->vm, irq, NULL); /* it fails only for what is not connected */
}

/* Without its doorbell a notification comes as an exit. */
static void connect_doorbell(void *context, uint64_t address, int fd)
{
    struct wiring *wiring = context;

    vm_add_doorbell(wiring->vm, address, fd, NULL);
}

static void disconnect_doorbell(void *context, uint64_t address, int fd)
{
    struct wiring *wiring = context;

    vm_remove_doorbell(wiring->vm, address, fd, NULL);
}

struct wires wiring_wires(struct wiring *wiring)
{
    static const struct wires_ops ops = {connect_message, disconnect_message, connect_doorbell,
                                         disconnect_doorbell};

    return (struct wires){&ops, wiring};
}
