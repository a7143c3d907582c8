/* SPDX-License-Identifier: Apache-2.0 */
/* MSI-X: who is connected to which message when, and what is pending. */
#include "devices/pci/msix.h"
#include "support/failure.h"
#include "support/mock_wires.h"

#include <string.h>

#define COUNT 3u
#define GSI 24u
#define ENABLE PCI_MSIX_FLAGS_ENABLE
#define MASKALL PCI_MSIX_FLAGS_MASKALL

struct fixture {
    struct mock_wires wires;
    struct pci_function function;
    struct msix msix;
};

static struct fixture *fixture_of(struct pci_function *function)
{
    return (struct fixture *)((char *)function - offsetof(struct fixture, function));
}

static void after_write(struct pci_function *function, unsigned offset, unsigned size)
{
    msix_config_written(&fixture_of(function)->msix, function, offset, size);
}

static const struct pci_function_ops ops = {.after_write = after_write};

static void open_msix(struct fixture *f)
{
    const struct pci_identity identity = {.vendor = 1};
    struct wires wires = mock_wires(&f->wires);

    memset(f, 0, sizeof *f);
    pci_function_init(&f->function, &identity, &ops);
    assert_int_equal(msix_open(&f->msix, COUNT, GSI, &wires, NULL), 0);
    msix_add_capability(&f->msix, &f->function, 0x1000, 0x1800);
}

static void close_msix(struct fixture *f)
{
    msix_close(&f->msix);
    pci_function_destroy(&f->function);
}

static int open_fixture(void **state)
{
    static struct fixture f;

    open_msix(&f);
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    close_msix(*state);
    return 0;
}

static void set_flags(struct fixture *f, uint16_t flags)
{
    pci_function_write(&f->function, f->msix.capability + PCI_MSIX_FLAGS, &flags, 2);
}

static void set_word(struct fixture *f, unsigned vector, unsigned word, uint32_t value)
{
    msix_write_table(&f->msix, vector * 16 + word * 4, &value, 4);
}

static uint32_t get_word(struct fixture *f, unsigned vector, unsigned word)
{
    uint32_t value;

    msix_read_table(&f->msix, vector * 16 + word * 4, &value, 4);
    return value;
}

static void set_message(struct fixture *f, unsigned vector, uint64_t address, uint32_t data)
{
    set_word(f, vector, 0, (uint32_t)address);
    set_word(f, vector, 1, (uint32_t)(address >> 32));
    set_word(f, vector, 2, data);
}

static void mask(struct fixture *f, unsigned vector, bool masked)
{
    set_word(f, vector, 3, masked);
}

static bool connected(const struct fixture *f, unsigned vector)
{
    return f->wires.lines[GSI + vector].connected;
}

static uint64_t pending(struct fixture *f)
{
    uint64_t bits;

    msix_read_pending(&f->msix, 0, &bits, sizeof bits);
    return bits;
}

static bool delivered(struct fixture *f, unsigned vector)
{
    return connected(f, vector) && irq_take(&f->msix.vectors[vector].irq);
}

static void the_capability_says_what_there_is(void **state)
{
    struct fixture *f = *state;
    unsigned at = f->msix.capability;

    assert_int_equal(pci_function_get(&f->function, at, 1), PCI_CAP_ID_MSIX);
    assert_int_equal(pci_function_get(&f->function, at + PCI_MSIX_FLAGS, 2), COUNT - 1);
    assert_int_equal(pci_function_get(&f->function, at + PCI_MSIX_TABLE, 4), 0x1000);
    assert_int_equal(pci_function_get(&f->function, at + PCI_MSIX_PBA, 4), 0x1800);
    set_flags(f, 0xffff);
    assert_int_equal(pci_function_get(&f->function, at + PCI_MSIX_FLAGS, 2),
                     ENABLE | MASKALL | (COUNT - 1));
}

static void vectors_start_masked(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(get_word(f, i, 3), 1);
    set_flags(f, ENABLE);
    assert_int_equal(f->wires.changes, 0);
}

static void unmasking_connects_the_message(void **state)
{
    struct fixture *f = *state;

    set_flags(f, ENABLE);
    set_message(f, 1, 0x1234567fee01007, 0x4051);
    assert_int_equal(get_word(f, 1, 0), 0xfee01004); /* addresses are multiples of 4 */
    mask(f, 1, false);
    assert_true(connected(f, 1));
    assert_int_equal(f->wires.lines[GSI + 1].message.address, 0x1234567fee01004);
    assert_int_equal(f->wires.lines[GSI + 1].message.data, 0x4051);
    assert_false(connected(f, 0));
    msix_raise(&f->msix, 1);
    assert_true(delivered(f, 1));
    assert_int_equal(pending(f), 0);
    mask(f, 1, true);
    assert_false(connected(f, 1));
    set_message(f, 1, 0xfee02000, 0x4052);
    mask(f, 1, false);
    assert_int_equal(f->wires.lines[GSI + 1].message.data, 0x4052);
    assert_int_equal(f->wires.changes, 3);
}

static void what_comes_while_masked_is_pending(void **state)
{
    struct fixture *f = *state;

    set_flags(f, ENABLE);
    msix_raise(&f->msix, 0);
    msix_raise(&f->msix, 2);
    msix_raise(&f->msix, 2);
    assert_int_equal(pending(f), 5);
    mask(f, 2, false);
    assert_int_equal(pending(f), 1);
    assert_true(delivered(f, 2));
    assert_false(delivered(f, 2)); /* once */
    mask(f, 2, true);
    assert_int_equal(pending(f), 1);
}

static void the_function_mask_holds_all_back(void **state)
{
    struct fixture *f = *state;

    set_flags(f, ENABLE | MASKALL);
    for (unsigned i = 0; i < COUNT; i++)
        mask(f, i, false);
    assert_int_equal(f->wires.changes, 0);
    msix_raise(&f->msix, 0);
    msix_raise(&f->msix, 1);
    assert_int_equal(pending(f), 3);
    set_flags(f, ENABLE);
    assert_int_equal(pending(f), 0);
    assert_true(delivered(f, 0) && delivered(f, 1) && !delivered(f, 2));
    set_flags(f, ENABLE | MASKALL);
    for (unsigned i = 0; i < COUNT; i++)
        assert_false(connected(f, i));
}

static void disabled_means_silent(void **state)
{
    struct fixture *f = *state;

    mask(f, 0, false);
    assert_false(connected(f, 0));
    msix_raise(&f->msix, 0);
    assert_int_equal(pending(f), 0);
    set_flags(f, ENABLE);
    assert_true(connected(f, 0));
    assert_false(delivered(f, 0));
    mask(f, 1, true);
    msix_raise(&f->msix, 1);
    set_flags(f, 0); /* the next driver is not to hear of it */
    assert_false(connected(f, 0));
    set_flags(f, ENABLE);
    assert_int_equal(pending(f), 0);
}

static void vectors_that_are_not_there_do_nothing(void **state)
{
    struct fixture *f = *state;
    uint64_t value = ~0ull;

    set_flags(f, ENABLE);
    msix_raise(&f->msix, COUNT);
    msix_raise(&f->msix, 0xffff);
    mask(f, COUNT, false);
    assert_int_equal(get_word(f, COUNT, 3), 0);
    msix_read_pending(&f->msix, 8, &value, 8);
    assert_int_equal(value, 0);
    assert_int_equal(f->wires.changes, 0);
}

/* Every width at every offset; what is not an aligned 4 or 8 bytes changes nothing, reads 0. */
static void odd_accesses_are_harmless(void **state)
{
    struct fixture *f = *state;
    const uint64_t zeros = 0;

    set_flags(f, ENABLE);
    for (unsigned size = 1; size <= 8; size *= 2)
        for (uint64_t offset = 0; offset + size <= MSIX_TABLE_SIZE_MAX; offset++) {
            uint64_t value = ~0ull;

            if (size >= 4 && offset % size == 0)
                continue;
            msix_write_table(&f->msix, offset, &zeros, size);
            msix_read_table(&f->msix, offset, &value, size);
            assert_int_equal(value << (64 - 8 * size), 0);
        }
    assert_int_equal(f->wires.changes, 0);
}

static void eight_bytes_are_two_words(void **state)
{
    struct fixture *f = *state;
    const uint64_t address = 0x11fee00000, open = 0x4041;
    uint64_t value;

    set_flags(f, ENABLE);
    msix_write_table(&f->msix, 0, &address, 8);
    msix_write_table(&f->msix, 8, &open, 8); /* data, and the mask off */
    assert_true(connected(f, 0));
    assert_int_equal(f->wires.lines[GSI].message.address, address);
    assert_int_equal(f->wires.lines[GSI].message.data, 0x4041);
    msix_read_table(&f->msix, 8, &value, 8);
    assert_int_equal(value, open);
}

static void a_snapshot_keeps_table_and_pending(void **state)
{
    struct fixture *f = *state;
    struct fixture copy;
    struct state_writer writer = {0};
    struct state_reader reader;

    set_flags(f, ENABLE);
    set_message(f, 0, 0xfee00000, 0x41);
    mask(f, 0, false);
    msix_raise(&f->msix, 2);
    pci_function_save(&f->function, &writer);
    msix_save(&f->msix, &writer);

    open_msix(&copy);
    reader = (struct state_reader){.data = writer.data, .size = writer.size};
    assert_int_equal(pci_function_restore(&copy.function, &reader, NULL), 0);
    msix_restore(&copy.msix, &copy.function, &reader);
    assert_false(state_failed(&reader));
    assert_true(connected(&copy, 0));
    assert_int_equal(copy.wires.lines[GSI].message.data, 0x41);
    assert_int_equal(pending(&copy), 4);
    mask(&copy, 2, false);
    assert_true(delivered(&copy, 2));
    close_msix(&copy);
    state_writer_free(&writer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_capability_says_what_there_is),
        TEST(vectors_start_masked),
        TEST(unmasking_connects_the_message),
        TEST(what_comes_while_masked_is_pending),
        TEST(the_function_mask_holds_all_back),
        TEST(disabled_means_silent),
        TEST(vectors_that_are_not_there_do_nothing),
        TEST(odd_accesses_are_harmless),
        TEST(eight_bytes_are_two_words),
        TEST(a_snapshot_keeps_table_and_pending),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
