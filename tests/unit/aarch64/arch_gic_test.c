/* SPDX-License-Identifier: Apache-2.0 */
/* Which interrupts and processors are known by which numbers; nothing here needs KVM. */
#include "arch/aarch64/board.h"
#include "arch/aarch64/host.h"
#include "arch/aarch64/layout.h"
#include "support/failure.h"

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
        cmocka_unit_test(every_pin_is_the_interrupt_of_its_number),
        cmocka_unit_test(an_its_is_told_who_sends),
        cmocka_unit_test(a_v2m_frame_makes_interrupts_of_messages),
        cmocka_unit_test(processors_are_known_by_their_affinities),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
