/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which interrupt controller a machine gets, and which interrupts and processors are known by which
 * numbers. KVM is the test's: ioctl() is answered here.
 */
#include "arch/aarch64/board.h"
#include "arch/aarch64/host.h"
#include "arch/aarch64/layout.h"
#include "support/failure.h"

#include <errno.h>
#include <stdio.h>

/* --- KVM --- */

#define VM_FD 1000
#define DEVICE_FD 1001 /* closed by who is tested, in vain */

static struct {
    uint32_t offered; /* device types, a bit each */
    char calls[256];  /* devices made and attributes set, in order */
} fake;

static void note(const char *what, unsigned first, unsigned second)
{
    size_t used = strlen(fake.calls);

    snprintf(fake.calls + used, sizeof fake.calls - used, "%s%u.%u ", what, first, second);
}

static int create(struct kvm_create_device *device)
{
    if (!(fake.offered >> device->type & 1)) {
        errno = ENODEV;
        return -1;
    }
    if (!(device->flags & KVM_CREATE_DEVICE_TEST)) {
        note("new ", device->type, 0);
        device->fd = DEVICE_FD;
    }
    return 0;
}

int __wrap_open(const char *path, int flags, ...);
int __wrap_ioctl(int fd, unsigned long request, void *argument);

int __wrap_open(const char *path, int flags, ...)
{
    (void)path;
    (void)flags;
    errno = ENOENT;
    return -1;
}

int __wrap_ioctl(int fd, unsigned long request, void *argument)
{
    const struct kvm_device_attr *attr = argument;

    if (request == KVM_CREATE_DEVICE)
        return create(argument);
    assert_int_equal(request, KVM_SET_DEVICE_ATTR);
    assert_int_equal(fd, DEVICE_FD);
    note("", attr->group, (unsigned)attr->attr);
    return 0;
}

#define OFFERS(type) (1u << KVM_DEV_TYPE_ARM_VGIC_##type)

static int choose(struct gic *gic, uint32_t offered, unsigned cpus, bool messages, struct err *err)
{
    const struct vm vm = {.fd = VM_FD};
    const struct arch_options options = {.cpus = cpus, .messages = messages};

    fake.offered = offered;
    fake.calls[0] = '\0';
    *err = (struct err){0};
    return gic_choose(gic, &vm, &options, err);
}

/* --- tests --- */

static void the_best_controller_is_chosen(void **state)
{
    struct gic gic;
    struct err err;

    (void)state;
    assert_int_equal(choose(&gic, OFFERS(V2) | OFFERS(V3) | OFFERS(ITS), 64, true, &err), 0);
    assert_int_equal(gic.kind, GIC_V3);
    assert_true(gic.messages);
    assert_int_equal(choose(&gic, OFFERS(V3), 64, false, &err), 0);
    assert_false(gic.messages);
    assert_int_equal(choose(&gic, OFFERS(V2), 8, true, &err), 0);
    assert_int_equal(gic.kind, GIC_V2);
    assert_true(gic.messages);
}

static void a_host_that_cannot_says_why(void **state)
{
    struct gic gic;
    struct err err;

    (void)state;
    assert_failure(choose(&gic, 0, 1, false, &err), -ENOTSUP, &err, "neither GICv3 nor GICv2");
    assert_failure(choose(&gic, OFFERS(V3), 1, true, &err), -ENOTSUP, &err,
                   "no ITS, which PCI needs; use --bus mmio");
    assert_failure(choose(&gic, OFFERS(V2), 9, false, &err), -ENOTSUP, &err,
                   "9 vCPUs are more than the 8 of a GICv2");
}

static void assert_created(uint32_t offered, bool messages, const char *calls)
{
    const struct vm vm = {.fd = VM_FD};
    struct gic gic;
    struct err err;

    assert_int_equal(choose(&gic, offered, 1, messages, &err), 0);
    assert_int_equal(gic_create(&gic, &vm, &err), 0);
    assert_string_equal(fake.calls, calls);
}

/* New ones are 5 GICv2, 7 GICv3, 8 ITS. Groups: 0 addresses, 3 how many interrupts, 4.0 initialise. */
static void a_controller_has_its_places_before_it_is_initialised(void **state)
{
    const uint32_t v3 = OFFERS(V3) | OFFERS(ITS);

    (void)state;
    assert_created(v3, false, "new 7.0 3.0 0.2 0.3 4.0 ");
    assert_created(v3, true, "new 7.0 3.0 0.2 0.3 4.0 new 8.0 0.4 4.0 ");
    assert_created(OFFERS(V2), true, "new 5.0 3.0 0.0 0.1 4.0 ");
}

static void every_pin_is_the_interrupt_of_its_number(void **state)
{
    struct kvm_irq_routing_entry routes[ARCH_IRQCHIP_ROUTES_MAX];
    uint32_t gsi_count;
    unsigned count = arch_irqchip_routes(routes, &gsi_count);

    (void)state;
    assert_int_equal(count, gsi_count);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(routes[i].gsi, i);
        assert_int_equal(routes[i].type, KVM_IRQ_ROUTING_IRQCHIP);
        assert_int_equal(routes[i].u.irqchip.pin, i);
    }
}

static void an_its_is_told_who_sends(void **state)
{
    const struct arch_host host = {.gic = {GIC_V3, true}};
    const struct msi_message message = {0x123408090040, 7, 0x18};
    struct kvm_irq_routing_entry route = {.gsi = 70};

    (void)state;
    arch_message_route(&host, &message, &route);
    assert_int_equal(route.gsi, 70);
    assert_int_equal(route.type, KVM_IRQ_ROUTING_MSI);
    assert_int_equal(route.flags, KVM_MSI_VALID_DEVID);
    assert_int_equal(route.u.msi.address_lo, 0x08090040);
    assert_int_equal(route.u.msi.address_hi, 0x1234);
    assert_int_equal(route.u.msi.data, 7);
    assert_int_equal(route.u.msi.devid, 0x18);
}

/* The frame's own interrupts, and nobody else's, whatever the guest writes into a vector. */
static void a_v2m_frame_makes_interrupts_of_messages(void **state)
{
    const struct arch_host host = {.gic = {GIC_V2, true}};
    const uint32_t first = LAYOUT_SPI_BASE + LAYOUT_GSI_COUNT;
    const uint32_t outside[] = {0, 31, 33, first - 1, first + LAYOUT_GICV2M_SPI_COUNT, UINT32_MAX};
    struct msi_message message = {.data = first + 3};
    struct kvm_irq_routing_entry route = {0};

    (void)state;
    arch_message_route(&host, &message, &route);
    assert_int_equal(route.type, KVM_IRQ_ROUTING_IRQCHIP);
    assert_int_equal(route.u.irqchip.pin, LAYOUT_GSI_COUNT + 3);
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        message.data = outside[i];
        route = (struct kvm_irq_routing_entry){0};
        arch_message_route(&host, &message, &route);
        assert_int_equal(route.type, KVM_IRQ_ROUTING_MSI);
    }
}

/* reset_mpidr() in Linux's arch/arm64/kvm: sixteen to a cluster. */
static void processors_are_known_by_their_affinities(void **state)
{
    (void)state;
    assert_int_equal(arch_vcpu_affinity(0), 0);
    assert_int_equal(arch_vcpu_affinity(15), 15);
    assert_int_equal(arch_vcpu_affinity(16), 0x100);
    assert_int_equal(arch_vcpu_affinity(63), 0x30f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_controller_is_chosen),
        cmocka_unit_test(a_host_that_cannot_says_why),
        cmocka_unit_test(a_controller_has_its_places_before_it_is_initialised),
        cmocka_unit_test(every_pin_is_the_interrupt_of_its_number),
        cmocka_unit_test(an_its_is_told_who_sends),
        cmocka_unit_test(a_v2m_frame_makes_interrupts_of_messages),
        cmocka_unit_test(processors_are_known_by_their_affinities),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
