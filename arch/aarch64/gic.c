/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/aarch64/gic.h"
#include "arch/aarch64/host.h"
#include "arch/aarch64/layout.h"

#include <errno.h>
#include <unistd.h>

#define GICV2_VCPUS_MAX 8u

_Static_assert(LAYOUT_GSI_COUNT <= ARCH_IRQCHIP_ROUTES_MAX, "every pin has a route");
_Static_assert(LAYOUT_VIRTIO_GSI_END <= LAYOUT_GSI_COUNT, "every window has a pin");

/* --- choice --- */

static bool offers(const struct vm *vm, uint32_t type)
{
    struct kvm_create_device device = {.type = type, .flags = KVM_CREATE_DEVICE_TEST};

    return kvm_ioctl(vm->fd, KVM_CREATE_DEVICE, &device) == 0;
}

static int choose_v2(struct gic *gic, const struct arch_options *options, struct err *err)
{
    *gic = (struct gic){.kind = GIC_V2, .messages = options->messages};
    if (options->cpus > GICV2_VCPUS_MAX)
        return err_set(err, -ENOTSUP, "%u vCPUs are more than the %u of a GICv2, and this host has "
                       "no GICv3; lower --cpus", options->cpus, GICV2_VCPUS_MAX);
    return 0;
}

int gic_choose(struct gic *gic, const struct vm *vm, const struct arch_options *options,
               struct err *err)
{
    if (!offers(vm, KVM_DEV_TYPE_ARM_VGIC_V3)) {
        if (offers(vm, KVM_DEV_TYPE_ARM_VGIC_V2))
            return choose_v2(gic, options, err);
        return err_set(err, -ENOTSUP, "this host's KVM has no interrupt controller for guests, "
                       "neither GICv3 nor GICv2; use a host that has one");
    }
    *gic = (struct gic){.kind = GIC_V3, .messages = options->messages};
    if (gic->messages && !offers(vm, KVM_DEV_TYPE_ARM_VGIC_ITS))
        return err_set(err, -ENOTSUP,
                       "this host's KVM has no ITS, which PCI needs; use --bus mmio");
    return 0;
}

/* --- creation --- */

static int create_device(const struct vm *vm, uint32_t type, struct err *err)
{
    struct kvm_create_device device = {.type = type};
    int rc = kvm_ioctl(vm->fd, KVM_CREATE_DEVICE, &device);

    return rc < 0 ? err_sys(err, rc, "KVM cannot create its interrupt controller")
                  : (int)device.fd;
}

static int set(int device, uint32_t group, uint64_t attribute, const void *value, struct err *err)
{
    struct kvm_device_attr attr = {
        .group = group, .attr = attribute, .addr = (uintptr_t)value};
    int rc = kvm_ioctl(device, KVM_SET_DEVICE_ATTR, &attr);

    return rc < 0 ? err_sys(err, rc, "KVM refuses its interrupt controller's attribute %u.%llu",
                            group, (unsigned long long)attribute)
                  : 0;
}

static int set_address(int device, uint64_t type, uint64_t address, struct err *err)
{
    return set(device, KVM_DEV_ARM_VGIC_GRP_ADDR, type, &address, err);
}

static int place_v3(int device, struct err *err)
{
    int rc = set_address(device, KVM_VGIC_V3_ADDR_TYPE_DIST, LAYOUT_GIC_DISTRIBUTOR, err);

    return rc ?: set_address(device, KVM_VGIC_V3_ADDR_TYPE_REDIST, LAYOUT_REDISTRIBUTORS, err);
}

static int place_v2(int device, struct err *err)
{
    int rc = set_address(device, KVM_VGIC_V2_ADDR_TYPE_DIST, LAYOUT_GIC_DISTRIBUTOR, err);

    return rc ?: set_address(device, KVM_VGIC_V2_ADDR_TYPE_CPU, LAYOUT_GICV2_CPU_INTERFACE, err);
}

static int initialise(int device, struct err *err)
{
    return set(device, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL, err);
}

/* KVM keeps the devices of a virtual machine until its end; nobody needs their descriptors. */
static int create_gic(const struct gic *gic, const struct vm *vm, struct err *err)
{
    bool v3 = gic->kind == GIC_V3;
    uint32_t interrupts = LAYOUT_SPI_BASE + LAYOUT_GSI_COUNT;
    int device = create_device(vm, v3 ? KVM_DEV_TYPE_ARM_VGIC_V3 : KVM_DEV_TYPE_ARM_VGIC_V2, err);
    int rc;

    if (device < 0)
        return device;
    if (!v3 && gic->messages)
        interrupts += LAYOUT_GICV2M_SPI_COUNT;
    rc = set(device, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &interrupts, err);
    if (rc == 0)
        rc = v3 ? place_v3(device, err) : place_v2(device, err);
    if (rc == 0)
        rc = initialise(device, err);
    close(device);
    return rc;
}

static int create_its(const struct vm *vm, struct err *err)
{
    int device = create_device(vm, KVM_DEV_TYPE_ARM_VGIC_ITS, err), rc;

    if (device < 0)
        return device;
    rc = set_address(device, KVM_VGIC_ITS_ADDR_TYPE, LAYOUT_ITS, err);
    if (rc == 0)
        rc = initialise(device, err);
    close(device);
    return rc;
}

int gic_create(const struct gic *gic, const struct vm *vm, struct err *err)
{
    int rc = create_gic(gic, vm, err);

    if (rc == 0 && gic->kind == GIC_V3 && gic->messages)
        rc = create_its(vm, err);
    return rc;
}

/* --- routes --- */

static void route_to_spi(struct kvm_irq_routing_entry *route, uint32_t spi)
{
    route->type = KVM_IRQ_ROUTING_IRQCHIP;
    route->u.irqchip.irqchip = 0;
    route->u.irqchip.pin = spi;
}

unsigned arch_irqchip_routes(struct kvm_irq_routing_entry *routes, uint32_t *gsi_count)
{
    for (uint32_t gsi = 0; gsi < LAYOUT_GSI_COUNT; gsi++) {
        routes[gsi] = (struct kvm_irq_routing_entry){.gsi = gsi};
        route_to_spi(&routes[gsi], gsi);
    }
    *gsi_count = LAYOUT_GSI_COUNT;
    return LAYOUT_GSI_COUNT;
}

/*
 * To an ITS a message is what a device writes, and who it is. A v2m frame's message is the number
 * of an interrupt among the frame's own; others lead to an ITS that is not there, and vanish.
 */
void arch_message_route(const struct arch_host *host, const struct msi_message *message,
                        struct kvm_irq_routing_entry *route)
{
    uint32_t spi = message->data - LAYOUT_SPI_BASE;

    if (host->gic.kind == GIC_V2 && spi - LAYOUT_GSI_COUNT < LAYOUT_GICV2M_SPI_COUNT) {
        route_to_spi(route, spi);
        return;
    }
    route->type = KVM_IRQ_ROUTING_MSI;
    route->flags = KVM_MSI_VALID_DEVID;
    route->u.msi.address_lo = (uint32_t)message->address;
    route->u.msi.address_hi = (uint32_t)(message->address >> 32);
    route->u.msi.data = message->data;
    route->u.msi.devid = message->requester;
}
