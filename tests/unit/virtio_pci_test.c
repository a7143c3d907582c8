/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What virtio-pci has to itself: capabilities, registers of every width, vectors, doorbells. The
 * rest is tested by virtio_device_test.c and the tests of devices, which run over both transports.
 */
#include "support/echo.h"
#include "support/mock_driver.h"

#include <linux/virtio_pci.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SIZE ECHO_QUEUE_SIZE
#define COMMON(field) (MOCK_PCI_COMMON + VIRTIO_PCI_COMMON_##field)
#define BASE MOCK_PCI_WINDOW
#define ELSEWHERE (MOCK_PCI_WINDOW + 0x40000)

struct fixture {
    struct mock_guest guest;
    struct echo echo;
    struct mock_driver driver;
    struct mock_pci *pci;
};

static int open_fixture(void **state)
{
    static struct fixture f;

    mock_guest_open(&f.guest);
    echo_open(&f.echo, &f.guest);
    mock_driver_open_pci(&f.driver, &f.guest, &f.echo.device);
    f.pci = &f.driver.pci;
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;

    virtio_device_destroy(&f->echo.device);
    mock_driver_close(&f->driver);
    mock_guest_close(&f->guest);
    return 0;
}

static void add_buffer(struct fixture *f, unsigned queue)
{
    const struct mock_descriptor buffer = {MOCK_BUFFERS, 8, VRING_DESC_F_WRITE, 0};

    mock_add(&f->driver.rings[queue], &buffer, 1);
}

static void set_msix(struct fixture *f, uint16_t flags)
{
    mock_pci_config_write(f->pci, f->pci->transport.msix.capability + PCI_MSIX_FLAGS, 2, flags);
}

static void mask_vector(struct fixture *f, unsigned vector, bool masked)
{
    mock_pci_write(f->pci, MOCK_PCI_TABLE + vector * 16 + 12, 4, masked);
}

static void choose_vector(struct fixture *f, unsigned queue, uint16_t vector)
{
    mock_pci_write(f->pci, COMMON(Q_SELECT), 2, queue);
    mock_pci_write(f->pci, COMMON(Q_MSIX), 2, vector);
}

static bool raised(struct fixture *f, unsigned vector)
{
    return irq_take(&f->pci->transport.msix.vectors[vector].irq);
}

/* Offset of the capability that describes a part of this kind, or 0. */
static unsigned capability(struct fixture *f, uint8_t type)
{
    unsigned at = mock_pci_config_read(f->pci, PCI_CAPABILITY_LIST, 1);

    for (unsigned i = 0; at && i < 48; i++) {
        if (mock_pci_config_read(f->pci, at, 1) == PCI_CAP_ID_VNDR &&
            mock_pci_config_read(f->pci, at + VIRTIO_PCI_CAP_CFG_TYPE, 1) == type)
            return at;
        at = mock_pci_config_read(f->pci, at + PCI_CAP_LIST_NEXT, 1);
    }
    return 0;
}

static void assert_part(struct fixture *f, uint8_t type, uint32_t offset, uint32_t length)
{
    unsigned at = capability(f, type);

    assert_true(at > 0);
    assert_int_equal(mock_pci_config_read(f->pci, at + VIRTIO_PCI_CAP_BAR, 1), 0);
    assert_int_equal(mock_pci_config_read(f->pci, at + VIRTIO_PCI_CAP_OFFSET, 4), offset);
    assert_int_equal(mock_pci_config_read(f->pci, at + VIRTIO_PCI_CAP_LENGTH, 4), length);
}

/* --- what it is --- */

static void capabilities_say_where_everything_is(void **state)
{
    struct fixture *f = *state;
    unsigned notify = capability(f, VIRTIO_PCI_CAP_NOTIFY_CFG);

    assert_int_equal(mock_pci_config_read(f->pci, PCI_VENDOR_ID, 4), (0x1040u + 42) << 16 | 0x1af4);
    assert_true(mock_pci_config_read(f->pci, PCI_REVISION_ID, 1) >= 1);
    assert_int_equal(mock_pci_config_read(f->pci, PCI_INTERRUPT_PIN, 1), 0);
    assert_part(f, VIRTIO_PCI_CAP_COMMON_CFG, MOCK_PCI_COMMON, 56);
    assert_part(f, VIRTIO_PCI_CAP_NOTIFY_CFG, MOCK_PCI_NOTIFY, 8);
    assert_part(f, VIRTIO_PCI_CAP_ISR_CFG, MOCK_PCI_ISR, 1);
    assert_part(f, VIRTIO_PCI_CAP_DEVICE_CFG, MOCK_PCI_CONFIG, VIRTIO_CONFIG_SIZE_MAX);
    assert_part(f, VIRTIO_PCI_CAP_PCI_CFG, 0, 0);
    assert_int_equal(mock_pci_config_read(f->pci, notify + VIRTIO_PCI_NOTIFY_CAP_MULT, 4), 4);
    assert_int_equal(f->pci->transport.msix.count, 3);
}

static void common_configuration_reads_as_specified(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(mock_pci_read(f->pci, COMMON(NUMQ), 2), 2);
    mock_pci_write(f->pci, COMMON(Q_SELECT), 2, 1);
    assert_int_equal(mock_pci_read(f->pci, COMMON(Q_SIZE), 2), VIRTQ_SIZE_MAX);
    assert_int_equal(mock_pci_read(f->pci, COMMON(Q_NOFF), 2), 1);
    assert_int_equal(mock_pci_read(f->pci, COMMON(Q_ENABLE), 2), 0);
    mock_pci_write(f->pci, COMMON(Q_SELECT), 2, 2); /* not there */
    assert_int_equal(mock_pci_read(f->pci, COMMON(Q_SIZE), 2), 0);
    assert_int_equal(mock_pci_read(f->pci, COMMON(Q_SELECT), 2), 2);
    mock_pci_write(f->pci, COMMON(DFSELECT), 4, 7);
    assert_int_equal(mock_pci_read(f->pci, COMMON(DFSELECT), 4), 7);
    assert_int_equal(mock_pci_read(f->pci, COMMON(DF), 4), 0);
    mock_pci_write(f->pci, COMMON(GFSELECT), 4, 7);
    assert_int_equal(mock_pci_read(f->pci, COMMON(GF), 4), 0);

    assert_true(mock_negotiate(&f->driver, MOCK_VERSION_1));
    mock_pci_write(f->pci, COMMON(GFSELECT), 4, 1);
    assert_int_equal(mock_pci_read(f->pci, COMMON(GF), 4), f->echo.device.accepted >> 32);
    mock_queue_registers(&f->driver, 0, 8, 0x123456780, 0x223456782, 0x323456784);
    assert_int_equal(mock_pci_read(f->pci, COMMON(Q_SIZE), 2), 8);
    assert_int_equal(mock_pci_read(f->pci, COMMON(Q_ENABLE), 2), 1);
    assert_int_equal(mock_pci_read(f->pci, COMMON(Q_DESCLO), 4), 0x23456780);
    assert_int_equal(mock_pci_read(f->pci, COMMON(Q_DESCHI), 4), 1);
    assert_int_equal(mock_pci_read(f->pci, COMMON(Q_AVAILLO), 4), 0x23456782);
    assert_int_equal(mock_pci_read(f->pci, COMMON(Q_USEDHI), 4), 3);
}

static void a_queue_has_its_largest_size_unless_told(void **state)
{
    struct fixture *f = *state;

    assert_true(mock_negotiate(&f->driver, MOCK_VERSION_1));
    mock_pci_write(f->pci, COMMON(Q_SELECT), 2, 1);
    mock_pci_write(f->pci, COMMON(Q_ENABLE), 2, 1);
    assert_int_equal(f->echo.device.queues[1].setup.size, VIRTQ_SIZE_MAX);
}

static void only_a_reset_disables_a_queue(void **state)
{
    struct fixture *f = *state;

    assert_true(mock_negotiate(&f->driver, MOCK_VERSION_1));
    mock_queue(&f->driver, 0, SIZE);
    mock_pci_write(f->pci, COMMON(Q_ENABLE), 2, 0);
    assert_int_equal(mock_pci_read(f->pci, COMMON(Q_ENABLE), 2), 1);
    mock_driver_ok(&f->driver);
    mock_pci_write(f->pci, COMMON(Q_ENABLE), 2, 0);
    assert_int_equal(mock_pci_read(f->pci, COMMON(Q_ENABLE), 2), 1);
    mock_write32(&f->driver, VIRTIO_MMIO_STATUS, 0);
    assert_int_equal(mock_pci_read(f->pci, COMMON(Q_ENABLE), 2), 0);
}

/*
 * Every width at every offset, reading and writing. What is no field of that width does nothing;
 * notifications are left out, for there any access is one.
 */
static void odd_accesses_are_harmless(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, 0, SIZE);
    for (unsigned size = 1; size <= 8; size *= 2)
        for (uint64_t offset = 0; offset + size <= VIRTIO_PCI_BAR_SIZE; offset++) {
            bool aligned = offset % size == 0 && size <= 4;

            mock_pci_read(f->pci, offset, size);
            if (offset >= MOCK_PCI_CONFIG && aligned)
                continue; /* the MSI-X table, which may be written */
            if (offset + size > MOCK_PCI_NOTIFY)
                mock_pci_write(f->pci, offset, size, ~0ull);
            else if (!aligned || (offset == COMMON(STATUS) && size != 1))
                mock_pci_write(f->pci, offset, size, 0);
        }
    assert_int_equal(mock_status(&f->driver), MOCK_ALIVE);
    assert_int_equal(f->echo.resets, 1);
    add_buffer(f, 0);
    mock_kick(&f->driver, 0);
    assert_true(mock_take(&f->driver.rings[0], NULL, NULL));
    assert_true(mock_interrupted(&f->driver, NULL));
}

/* --- vectors --- */

static void each_queue_has_the_vector_it_was_given(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, 0, SIZE);
    choose_vector(f, 0, 2);
    choose_vector(f, 1, 0);
    add_buffer(f, 0);
    mock_kick(&f->driver, 0);
    assert_true(!raised(f, 0) && !raised(f, 1) && raised(f, 2));
    add_buffer(f, 1);
    mock_kick(&f->driver, 1);
    assert_true(raised(f, 0) && !raised(f, 1) && !raised(f, 2));
    mock_pci_write(f->pci, COMMON(MSIX), 2, 1);
    virtio_device_set_config(&f->echo.device, "abcdefghij", 10);
    assert_true(!raised(f, 0) && raised(f, 1) && !raised(f, 2));
}

static void without_a_vector_there_is_silence(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, 0, SIZE);
    choose_vector(f, 0, VIRTIO_MSI_NO_VECTOR);
    choose_vector(f, 1, 3); /* does not exist */
    assert_int_equal(mock_pci_read(f->pci, COMMON(Q_MSIX), 2), VIRTIO_MSI_NO_VECTOR);
    mock_pci_write(f->pci, COMMON(MSIX), 2, 0x1234);
    assert_int_equal(mock_pci_read(f->pci, COMMON(MSIX), 2), VIRTIO_MSI_NO_VECTOR);
    for (unsigned queue = 0; queue < 2; queue++) {
        add_buffer(f, queue);
        mock_kick(&f->driver, queue);
    }
    virtio_device_set_config(&f->echo.device, "abcdefghij", 10);
    assert_int_equal(f->echo.served, 2);
    assert_false(mock_interrupted(&f->driver, NULL));
}

static void a_reset_takes_the_vectors_away(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, 0, SIZE);
    mock_pci_write(f->pci, COMMON(STATUS), 1, 0);
    assert_int_equal(mock_pci_read(f->pci, COMMON(MSIX), 2), VIRTIO_MSI_NO_VECTOR);
    assert_int_equal(mock_pci_read(f->pci, COMMON(Q_MSIX), 2), VIRTIO_MSI_NO_VECTOR);
    assert_int_equal(mock_pci_read(f->pci, MOCK_PCI_TABLE + 12, 4), 0); /* the table stays */
}

static void a_masked_vector_waits(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, 0, SIZE);
    mask_vector(f, 1, true);
    add_buffer(f, 0);
    mock_kick(&f->driver, 0);
    assert_int_equal(mock_pci_read(f->pci, 0x1800, 8), 2);
    mask_vector(f, 1, false);
    assert_int_equal(mock_pci_read(f->pci, 0x1800, 8), 0);
    assert_true(raised(f, 1));
    set_msix(f, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
    add_buffer(f, 1);
    mock_kick(&f->driver, 1);
    assert_int_equal(mock_pci_read(f->pci, 0x1800, 4), 4);
    set_msix(f, PCI_MSIX_FLAGS_ENABLE);
    assert_true(raised(f, 2));
}

/* No INTx: a driver without MSI-X polls, and may do it by the ISR status. */
static void without_msix_the_isr_status_tells(void **state)
{
    struct fixture *f = *state;

    set_msix(f, 0);
    mock_start(&f->driver, 0, SIZE);
    add_buffer(f, 0);
    mock_kick(&f->driver, 0);
    virtio_device_set_config(&f->echo.device, "abcdefghij", 10);
    assert_int_equal(mock_pci_read(f->pci, MOCK_PCI_ISR, 1), 3);
    assert_int_equal(mock_pci_read(f->pci, MOCK_PCI_ISR, 1), 0); /* reading clears */
    set_msix(f, PCI_MSIX_FLAGS_ENABLE);
    assert_false(mock_interrupted(&f->driver, NULL));
    add_buffer(f, 0);
    mock_kick(&f->driver, 0);
    virtio_device_set_config(&f->echo.device, "0123456789", 10);
    assert_int_equal(mock_pci_read(f->pci, MOCK_PCI_ISR, 1), 2); /* queues have their vectors */
}

/* --- doorbells --- */

static void assert_doorbells(struct fixture *f, uint64_t base)
{
    assert_int_equal(f->pci->wires.doorbell_count, 2);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(mock_doorbell(&f->pci->wires, base + MOCK_PCI_NOTIFY + 4ull * i),
                         f->echo.device.queues[i].kick.fd);
}

static void doorbells_are_there_while_the_device_is_active(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(f->pci->wires.doorbell_count, 0);
    mock_start(&f->driver, 0, SIZE);
    assert_doorbells(f, BASE);
    mock_write32(&f->driver, VIRTIO_MMIO_STATUS, 0);
    assert_int_equal(f->pci->wires.doorbell_count, 0);
}

/* What a guest does before its driver starts must cost nothing. */
static void sizing_wires_nothing(void **state)
{
    struct fixture *f = *state;
    unsigned changes = f->pci->wires.changes;

    for (unsigned i = 0; i < 8; i++) {
        mock_pci_config_write(f->pci, PCI_COMMAND, 2, 0);
        mock_pci_config_write(f->pci, PCI_BASE_ADDRESS_0, 4, 0xffffffff);
        mock_pci_config_write(f->pci, PCI_BASE_ADDRESS_0, 4, BASE);
        mock_pci_config_write(f->pci, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    }
    assert_int_equal(f->pci->wires.changes, changes);
}

static void doorbells_follow_the_bar(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, 0, SIZE);
    mock_pci_config_write(f->pci, PCI_BASE_ADDRESS_0, 4, ELSEWHERE);
    assert_doorbells(f, ELSEWHERE);
    mock_pci_config_write(f->pci, PCI_COMMAND, 2, 0);
    assert_int_equal(f->pci->wires.doorbell_count, 0);
    mock_pci_config_write(f->pci, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    assert_doorbells(f, ELSEWHERE);
    mock_pci_config_write(f->pci, PCI_BASE_ADDRESS_0, 4, 0xfee00000); /* not in the window */
    assert_int_equal(f->pci->wires.doorbell_count, 0);
    mock_pci_config_write(f->pci, PCI_BASE_ADDRESS_0, 4, BASE);
    assert_doorbells(f, BASE);
    add_buffer(f, 0);
    mock_kick(&f->driver, 0);
    assert_true(mock_take(&f->driver.rings[0], NULL, NULL));
}

/* As a doorbell, a notification is where it is, whatever its size and value. */
static void notifications_are_addresses(void **state)
{
    struct fixture *f = *state;
    const struct counter *kicks = &f->echo.device.queues[0].counters.kicks;
    uint64_t before;

    mock_start(&f->driver, 0, SIZE);
    for (unsigned size = 1; size <= 8; size *= 2) {
        add_buffer(f, 1);
        mock_pci_write(f->pci, MOCK_PCI_NOTIFY + 4, size, 0x77);
        mock_settle(&f->guest);
        assert_true(mock_take(&f->driver.rings[1], NULL, NULL));
    }
    before = counter_read(kicks);
    mock_pci_write(f->pci, MOCK_PCI_NOTIFY + 2, 2, 0);
    mock_pci_write(f->pci, MOCK_PCI_NOTIFY + 8, 2, 0);
    mock_pci_write(f->pci, VIRTIO_PCI_BAR_SIZE - 2, 2, 0);
    mock_settle(&f->guest);
    assert_int_equal(counter_read(kicks), before);
}

/* --- the PCI configuration access capability --- */

static void aim(struct fixture *f, uint8_t bar, uint32_t offset, uint32_t length)
{
    unsigned at = capability(f, VIRTIO_PCI_CAP_PCI_CFG);

    mock_pci_config_write(f->pci, at + VIRTIO_PCI_CAP_BAR, 1, bar);
    mock_pci_config_write(f->pci, at + VIRTIO_PCI_CAP_OFFSET, 4, offset);
    mock_pci_config_write(f->pci, at + VIRTIO_PCI_CAP_LENGTH, 4, length);
}

static void configuration_space_reaches_the_bar(void **state)
{
    struct fixture *f = *state;
    unsigned data = capability(f, VIRTIO_PCI_CAP_PCI_CFG) + sizeof(struct virtio_pci_cap);

    aim(f, 0, COMMON(NUMQ), 2);
    assert_int_equal(mock_pci_config_read(f->pci, data, 2), 2);
    aim(f, 0, MOCK_PCI_CONFIG, 4);
    assert_int_equal(mock_pci_config_read(f->pci, data, 4), 0x33323130);
    mock_pci_config_write(f->pci, data, 4, 0x64636261);
    assert_int_equal(f->echo.written_size, 4);
    assert_memory_equal(f->echo.written, "abcd", 4);

    mock_start(&f->driver, 0, SIZE);
    add_buffer(f, 0);
    aim(f, 0, MOCK_PCI_NOTIFY, 2);
    mock_pci_config_write(f->pci, data, 2, 0);
    mock_settle(&f->guest);
    assert_true(mock_take(&f->driver.rings[0], NULL, NULL));
    aim(f, 0, COMMON(STATUS), 1);
    mock_pci_config_write(f->pci, data, 1, 0);
    assert_int_equal(mock_status(&f->driver), 0);
}

static void a_bad_aim_hits_nothing(void **state)
{
    static const struct {
        uint8_t bar;
        uint32_t offset, length;
    } bad[] = {
        {1, MOCK_PCI_CONFIG, 4},          {0, MOCK_PCI_CONFIG, 0},     {0, MOCK_PCI_CONFIG, 3},
        {0, MOCK_PCI_CONFIG, 8},          {0, MOCK_PCI_CONFIG, ~0u},   {0, MOCK_PCI_CONFIG + 2, 4},
        {0, VIRTIO_PCI_BAR_SIZE, 4},      {0, ~0u, 1},                 {0, ~3u, 4},
        {0xff, VIRTIO_PCI_BAR_SIZE - 4, 4},
    };
    struct fixture *f = *state;
    unsigned data = capability(f, VIRTIO_PCI_CAP_PCI_CFG) + sizeof(struct virtio_pci_cap);

    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        aim(f, bad[i].bar, bad[i].offset, bad[i].length);
        mock_pci_config_write(f->pci, data, 4, 0x5a5a5a5a);
        assert_int_equal(mock_pci_config_read(f->pci, data, 4), 0x5a5a5a5a);
    }
    assert_int_equal(f->echo.written_size, 0);
}

/* --- snapshots --- */

static void a_snapshot_is_wired_again(void **state)
{
    struct fixture *f = *state;
    struct state_writer writer = {0};
    struct state_reader reader;
    struct mock_driver driver;
    struct echo copy;

    mock_start(&f->driver, 0, SIZE);
    mock_pci_config_write(f->pci, PCI_BASE_ADDRESS_0, 4, ELSEWHERE);
    mock_pci_write(f->pci, MOCK_PCI_TABLE + 16, 4, 0xfee01000);
    mask_vector(f, 1, true);
    mask_vector(f, 1, false);
    mock_save(&f->driver, &writer);

    echo_open(&copy, &f->guest);
    mock_driver_open_pci(&driver, &f->guest, &copy.device);
    for (unsigned i = 0; i < 3; i++) /* as a machine that has not run has them */
        mock_pci_write(&driver.pci, MOCK_PCI_TABLE + i * 16 + 12, 4, 1);
    reader = (struct state_reader){.data = writer.data, .size = writer.size};
    assert_int_equal(mock_restore(&driver, &reader, NULL), 0);
    assert_int_equal(driver.pci.wires.doorbell_count, 2);
    assert_int_equal(mock_doorbell(&driver.pci.wires, ELSEWHERE + MOCK_PCI_NOTIFY),
                     copy.device.queues[0].kick.fd);
    for (unsigned i = 0; i < 3; i++)
        assert_true(driver.pci.wires.lines[MOCK_PCI_GSI + i].connected);
    assert_int_equal(driver.pci.wires.lines[MOCK_PCI_GSI + 1].message.address, 0xfee01000);
    assert_int_equal(driver.pci.wires.lines[MOCK_PCI_GSI + 1].message.requester, 1 << 3); /* slot 1 */
    assert_int_equal(mock_pci_read(&driver.pci, COMMON(MSIX), 2), 0);
    state_writer_free(&writer);
    virtio_device_destroy(&copy.device);
    mock_driver_close(&driver);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(capabilities_say_where_everything_is),
        TEST(common_configuration_reads_as_specified),
        TEST(a_queue_has_its_largest_size_unless_told),
        TEST(only_a_reset_disables_a_queue),
        TEST(odd_accesses_are_harmless),
        TEST(each_queue_has_the_vector_it_was_given),
        TEST(without_a_vector_there_is_silence),
        TEST(a_reset_takes_the_vectors_away),
        TEST(a_masked_vector_waits),
        TEST(without_msix_the_isr_status_tells),
        TEST(doorbells_are_there_while_the_device_is_active),
        TEST(sizing_wires_nothing),
        TEST(doorbells_follow_the_bar),
        TEST(notifications_are_addresses),
        TEST(configuration_space_reaches_the_bar),
        TEST(a_bad_aim_hits_nothing),
        TEST(a_snapshot_is_wired_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
