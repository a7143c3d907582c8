/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration space through ECAM, and BARs through the window, with a function that counts. */
#include "devices/pci/bus.h"
#include "support/failure.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define WINDOW 0xc0000000ull
#define WINDOW_SIZE 0x100000ull
#define BAR_SIZE 0x4000u

struct counter {
    struct pci_function function;
    unsigned reads, writes, moves;
    uint64_t last_offset, from, to;
    unsigned before, after;
};

struct fixture {
    struct pci_bus bus;
    struct counter counters[PCI_SLOTS];
};

static void bar_read(void *device, uint64_t offset, void *data, unsigned size)
{
    struct counter *counter = device;

    counter->reads++;
    counter->last_offset = offset;
    memset(data, 0x5a, size);
}

static void bar_write(void *device, uint64_t offset, const void *data, unsigned size)
{
    struct counter *counter = device;

    (void)data;
    (void)size;
    counter->writes++;
    counter->last_offset = offset;
}

static const struct bus_ops bar_ops = {bar_read, bar_write};

static void before_read(struct pci_function *function, unsigned offset, unsigned size)
{
    (void)offset;
    (void)size;
    ((struct counter *)function)->before++;
}

static void after_write(struct pci_function *function, unsigned offset, unsigned size)
{
    (void)offset;
    (void)size;
    ((struct counter *)function)->after++;
}

static void moved(struct pci_function *function, uint64_t from, uint64_t to)
{
    struct counter *counter = (struct counter *)function;

    counter->moves++;
    counter->from = from;
    counter->to = to;
}

static const struct pci_function_ops counter_ops = {before_read, after_write, moved};

static void open_counter(struct counter *counter)
{
    const struct pci_identity identity = {
        .vendor = 0x1234,
        .device = 0x5678,
        .class_code = 0xff0102,
        .revision = 3,
        .subsystem_vendor = 0x9abc,
        .subsystem = 0xdef0,
    };

    memset(counter, 0, sizeof *counter);
    pci_function_init(&counter->function, &identity, &counter_ops);
    pci_function_set_bar(&counter->function, BAR_SIZE, &bar_ops, counter);
}

static int open_fixture(void **state)
{
    static struct fixture f;
    const struct pci_window window = {WINDOW, WINDOW_SIZE};

    pci_bus_init(&f.bus, &window);
    for (unsigned i = 0; i < PCI_SLOTS; i++)
        open_counter(&f.counters[i]);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pci_bus_plug(&f.bus, &f.counters[i].function, NULL), 0);
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < PCI_SLOTS; i++)
        pci_function_destroy(&f->counters[i].function);
    pci_bus_destroy(&f->bus);
    return 0;
}

static uint64_t config_read(struct fixture *f, unsigned slot, unsigned offset, unsigned size)
{
    uint64_t ones = ~0ull;

    pci_ecam_ops.read(&f->bus, slot << 15 | offset, &ones, size);
    return size == 8 ? ones : ones & ((1ull << 8 * size) - 1);
}

static void config_write(struct fixture *f, unsigned slot, unsigned offset, unsigned size,
                         uint64_t value)
{
    pci_ecam_ops.write(&f->bus, slot << 15 | offset, &value, size);
}

static uint64_t window_read(struct fixture *f, uint64_t address, unsigned size)
{
    uint64_t ones = ~0ull;

    pci_window_ops.read(&f->bus, address - WINDOW, &ones, size);
    return size == 8 ? ones : ones & ((1ull << 8 * size) - 1);
}

/* --- configuration space --- */

static void functions_say_who_they_are(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(config_read(f, 0, PCI_VENDOR_ID, 4), 0x00081b36);
    assert_int_equal(config_read(f, 0, PCI_CLASS_DEVICE, 2), 0x0600);
    assert_int_equal(config_read(f, 1, PCI_VENDOR_ID, 4), 0x56781234);
    assert_int_equal(config_read(f, 1, PCI_DEVICE_ID, 2), 0x5678);
    assert_int_equal(config_read(f, 1, PCI_CLASS_REVISION, 4), 0xff010203);
    assert_int_equal(config_read(f, 1, PCI_SUBSYSTEM_VENDOR_ID, 4), 0xdef09abc);
    assert_int_equal(config_read(f, 1, PCI_HEADER_TYPE, 1), 0);
    assert_int_equal(config_read(f, 1, PCI_INTERRUPT_PIN, 1), 0);
    assert_int_equal(config_read(f, 1, 0x100, 4), 0); /* no extended capabilities */
}

static void nobody_reads_as_ones(void **state)
{
    struct fixture *f = *state;

    for (unsigned slot = 3; slot < PCI_SLOTS; slot++)
        assert_int_equal(config_read(f, slot, PCI_VENDOR_ID, 4), 0xffffffff);
    assert_int_equal(config_read(f, 1, 1 << 12, 4), 0xffffffff); /* function 1 of the slot */
    assert_int_equal(config_read(f, 1, 7 << 12, 2), 0xffff);
    config_write(f, 9, PCI_COMMAND, 2, 0xffff);
}

/* Every width at every offset: only aligned accesses of up to 4 bytes reach the function. */
static void odd_accesses_are_harmless(void **state)
{
    struct fixture *f = *state;
    uint8_t before[PCI_CONFIG_SIZE];

    memcpy(before, f->counters[0].function.config, sizeof before);
    for (unsigned size = 1; size <= 8; size *= 2)
        for (unsigned offset = 0; offset + size <= 0x1000; offset++) {
            bool defined = size <= 4 && offset % size == 0;

            if (!defined || offset >= PCI_CONFIG_SIZE)
                config_write(f, 1, offset, size, ~0ull);
            if (!defined)
                assert_int_equal(config_read(f, 1, offset, size),
                                 size == 8 ? ~0ull : (1ull << 8 * size) - 1);
            else
                config_read(f, 1, offset, size);
        }
    assert_memory_equal(before, f->counters[0].function.config, sizeof before);
    assert_int_equal(f->counters[0].after, 0);
}

static void only_writable_bits_change(void **state)
{
    struct fixture *f = *state;

    for (unsigned offset = 0; offset < PCI_CONFIG_SIZE; offset += 4)
        config_write(f, 1, offset, 4, 0xffffffff);
    assert_int_equal(config_read(f, 1, PCI_VENDOR_ID, 4), 0x56781234);
    assert_int_equal(config_read(f, 1, PCI_COMMAND, 2),
                     PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
    assert_int_equal(config_read(f, 1, PCI_STATUS, 2), 0);
    assert_int_equal(config_read(f, 1, PCI_CLASS_REVISION, 4), 0xff010203);
    assert_int_equal(config_read(f, 1, PCI_BASE_ADDRESS_0, 4), 0xffffffff & ~(BAR_SIZE - 1));
    for (unsigned bar = PCI_BASE_ADDRESS_1; bar <= PCI_BASE_ADDRESS_5; bar += 4)
        assert_int_equal(config_read(f, 1, bar, 4), 0);
    assert_int_equal(config_read(f, 1, PCI_ROM_ADDRESS, 4), 0);
    assert_int_equal(config_read(f, 1, PCI_INTERRUPT_LINE, 4), 0xff);
}

static void capabilities_form_a_list(void **state)
{
    struct fixture *f = *state;
    struct pci_function *function = &f->counters[0].function;
    const uint8_t content[12] = {0, 0, 0x11, 0x22, [11] = 0x33};
    unsigned first = pci_function_add_capability(function, PCI_CAP_ID_VNDR, content, 12);
    unsigned second = pci_function_add_capability(function, PCI_CAP_ID_MSIX, content, 12);

    assert_int_equal(config_read(f, 1, PCI_STATUS, 2), PCI_STATUS_CAP_LIST);
    assert_int_equal(config_read(f, 1, PCI_CAPABILITY_LIST, 1), first);
    assert_int_equal(config_read(f, 1, first, 4), 0x22110009 | second << 8);
    assert_int_equal(config_read(f, 1, second, 2), PCI_CAP_ID_MSIX);
    assert_int_equal(config_read(f, 1, second + 11, 1), 0x33);
    pci_function_allow(function, second + 11, 0xf0);
    config_write(f, 1, second + 8, 4, 0);
    assert_int_equal(config_read(f, 1, second + 11, 1), 0x03);
}

/* --- BARs --- */

static void bars_have_places_and_are_decoded(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(config_read(f, 1, PCI_BASE_ADDRESS_0, 4), WINDOW);
    assert_int_equal(config_read(f, 2, PCI_BASE_ADDRESS_0, 4), WINDOW + BAR_SIZE);
    assert_int_equal(config_read(f, 1, PCI_COMMAND, 2), PCI_COMMAND_MEMORY);
    assert_int_equal(window_read(f, WINDOW + 8, 4), 0x5a5a5a5a);
    assert_int_equal(window_read(f, WINDOW + BAR_SIZE + 0x10, 2), 0x5a5a);
    assert_int_equal(f->counters[1].last_offset, 0x10);
    pci_window_ops.write(&f->bus, BAR_SIZE - 4, "abcd", 4);
    assert_int_equal(f->counters[0].writes, 1);
    assert_int_equal(f->counters[0].last_offset, BAR_SIZE - 4);
    assert_int_equal(window_read(f, WINDOW + 2ull * BAR_SIZE, 4), 0xffffffff);
    assert_int_equal(window_read(f, WINDOW + BAR_SIZE - 2, 4), 0xffffffff); /* across two */
    assert_int_equal(f->counters[0].moves + f->counters[1].moves, 0);
}

/* As Linux does it: decoding off, all ones, read back, the old address, decoding on. */
static void sizing_leaves_everything_as_it_was(void **state)
{
    struct fixture *f = *state;

    config_write(f, 1, PCI_COMMAND, 2, 0);
    assert_int_equal(window_read(f, WINDOW, 4), 0xffffffff);
    assert_int_equal(f->counters[0].to, PCI_NOWHERE);
    config_write(f, 1, PCI_BASE_ADDRESS_0, 4, 0xffffffff);
    assert_int_equal(config_read(f, 1, PCI_BASE_ADDRESS_0, 4), 0xffffc000);
    config_write(f, 1, PCI_BASE_ADDRESS_0, 4, WINDOW);
    config_write(f, 1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    assert_int_equal(f->counters[0].moves, 2);
    assert_int_equal(f->counters[0].to, WINDOW);
    assert_int_equal(window_read(f, WINDOW, 1), 0x5a);
}

static void the_guest_moves_bars(void **state)
{
    struct fixture *f = *state;

    config_write(f, 1, PCI_BASE_ADDRESS_0, 4, WINDOW + 0x80000);
    assert_int_equal(f->counters[0].from, WINDOW);
    assert_int_equal(f->counters[0].to, WINDOW + 0x80000);
    assert_int_equal(window_read(f, WINDOW, 4), 0xffffffff);
    assert_int_equal(window_read(f, WINDOW + 0x80004, 4), 0x5a5a5a5a);
    /* A byte at a time, through addresses that are not in the window. */
    config_write(f, 1, PCI_BASE_ADDRESS_0 + 3, 1, 0);
    assert_int_equal(f->counters[0].to, PCI_NOWHERE);
    config_write(f, 1, PCI_BASE_ADDRESS_0 + 3, 1, 0xc0);
    assert_int_equal(f->counters[0].to, WINDOW + 0x80000);
    assert_int_equal(f->counters[0].moves, 3);
}

static void a_bar_outside_the_window_is_nowhere(void **state)
{
    static const uint32_t places[] = {0, 0x1000, 0xbfffc000, WINDOW + WINDOW_SIZE, 0xfee00000,
                                      0xffffffff};
    struct fixture *f = *state;

    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++) {
        config_write(f, 1, PCI_BASE_ADDRESS_0, 4, places[i]);
        assert_int_equal(f->counters[0].function.bar.base, PCI_NOWHERE);
        for (uint64_t at = WINDOW; at < WINDOW + WINDOW_SIZE; at += BAR_SIZE)
            window_read(f, at, 4);
        assert_int_equal(f->counters[0].reads, 0);
    }
}

/* Of two BARs at one address one answers; no more is said of it. */
static void bars_may_overlap(void **state)
{
    struct fixture *f = *state;

    config_write(f, 1, PCI_BASE_ADDRESS_0, 4, WINDOW + BAR_SIZE);
    assert_int_equal(window_read(f, WINDOW + BAR_SIZE, 4), 0x5a5a5a5a);
    assert_int_equal(f->counters[0].reads + f->counters[1].reads, 1);
}

static void a_bus_has_room_for_31(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};

    for (unsigned i = 2; i < PCI_SLOTS - 1; i++)
        assert_int_equal(pci_bus_plug(&f->bus, &f->counters[i].function, NULL), 0);
    assert_failure(pci_bus_plug(&f->bus, &f->counters[PCI_SLOTS - 1].function, &err), -ENOSPC,
                   &err, "31 fit");
    for (unsigned slot = 1; slot < PCI_SLOTS; slot++)
        assert_int_equal(config_read(f, slot, PCI_BASE_ADDRESS_0, 4),
                         WINDOW + (slot - 1) * (uint64_t)BAR_SIZE);
}

static void a_small_window_gets_full(void **state)
{
    const struct pci_window window = {WINDOW, BAR_SIZE + BAR_SIZE / 2};
    struct fixture *f = *state;
    struct pci_bus bus;
    struct err err = {0};

    pci_bus_init(&bus, &window);
    assert_int_equal(pci_bus_plug(&bus, &f->counters[5].function, NULL), 0);
    assert_failure(pci_bus_plug(&bus, &f->counters[6].function, &err), -ENOSPC, &err, "no room");
    pci_bus_destroy(&bus);
}

static void *move_about(void *argument)
{
    struct fixture *f = argument;

    for (unsigned i = 0; i < 20000; i++)
        config_write(f, 1, PCI_BASE_ADDRESS_0, 4, WINDOW + (i % 2 ? 0 : 0x40000));
    return NULL;
}

/* One vCPU moves a BAR while another uses it: each access is served, or meets nobody. */
static void a_bar_may_move_under_accesses(void **state)
{
    struct fixture *f = *state;
    pthread_t vcpu;

    assert_int_equal(pthread_create(&vcpu, NULL, move_about, f), 0);
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t value = window_read(f, WINDOW + (i % 3 ? 0 : 0x40000), 4);

        assert_true(value == 0x5a5a5a5a || value == 0xffffffff);
    }
    pthread_join(vcpu, NULL);
}

/* --- snapshots --- */

static void a_snapshot_keeps_what_the_guest_wrote(void **state)
{
    struct fixture *f = *state;
    struct counter *copy = &f->counters[20];
    struct state_writer writer = {0};
    struct state_reader reader;
    struct err err = {0};

    config_write(f, 1, PCI_BASE_ADDRESS_0, 4, WINDOW + 0x10000);
    config_write(f, 1, PCI_INTERRUPT_LINE, 1, 7);
    pci_function_save(&f->counters[0].function, &writer);
    assert_int_equal(pci_bus_plug(&f->bus, &copy->function, NULL), 0);
    reader = (struct state_reader){.data = writer.data, .size = writer.size};
    assert_int_equal(pci_function_restore(&copy->function, &reader, NULL), 0);
    assert_int_equal(copy->to, WINDOW + 0x10000);
    assert_int_equal(pci_function_get(&copy->function, PCI_INTERRUPT_LINE, 1), 7);

    reader = (struct state_reader){.data = writer.data, .size = writer.size - 1};
    assert_failure(pci_function_restore(&copy->function, &reader, &err), -EINVAL, &err,
                   "not of this device");
    reader = (struct state_reader){.data = writer.data, .size = writer.size};
    assert_failure(pci_function_restore(&f->bus.bridge, &reader, &err), -EINVAL, &err,
                   "not of this device");
    state_writer_free(&writer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(functions_say_who_they_are),
        TEST(nobody_reads_as_ones),
        TEST(odd_accesses_are_harmless),
        TEST(only_writable_bits_change),
        TEST(capabilities_form_a_list),
        TEST(bars_have_places_and_are_decoded),
        TEST(sizing_leaves_everything_as_it_was),
        TEST(the_guest_moves_bars),
        TEST(a_bar_outside_the_window_is_nowhere),
        TEST(bars_may_overlap),
        TEST(a_bus_has_room_for_31),
        TEST(a_small_window_gets_full),
        TEST(a_bar_may_move_under_accesses),
        TEST(a_snapshot_keeps_what_the_guest_wrote),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
