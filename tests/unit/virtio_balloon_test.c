/* SPDX-License-Identifier: Apache-2.0 */
/* The balloon: what a guest gives up or reports leaves the host's memory, and nothing else does. */
#include "devices/virtio/balloon.h"
#include "support/mock_driver.h"

#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/virtio_balloon.h>

#define SIZE 32u
#define PAGE 4096ull
#define INFLATE 0u
#define DEFLATE 1u
#define REPORTS_OF_LINUX 2u
#define REPORTS 4u

#define NUMBERS MOCK_BUFFERS                 /* arrays of page numbers */
#define VICTIM (MOCK_MEMORY_BASE + 0x200000) /* pages that the tests fill; to the end of memory */
#define VICTIM_PAGES 512u
#define MEMORY_END (MOCK_MEMORY_BASE + MOCK_MEMORY_SIZE)

#define ACTUAL offsetof(struct virtio_balloon_config, actual)
#define POISON offsetof(struct virtio_balloon_config, poison_val)

#define REPORTING MOCK_FEATURE(VIRTIO_BALLOON_F_REPORTING)
#define PAGE_POISON MOCK_FEATURE(VIRTIO_BALLOON_F_PAGE_POISON)

struct fixture {
    struct mock_guest guest;
    struct virtio_device *device;
    struct mock_driver driver;
};

static int open_fixture(void **state)
{
    static struct fixture f;

    if (sysconf(_SC_PAGESIZE) != PAGE)
        skip();
    mock_guest_open(&f.guest);
    assert_int_equal(virtio_balloon_create(&f.device, &f.guest.environment, NULL), 0);
    mock_driver_open(&f.driver, &f.guest, f.device);
    memset(mock_at(&f.guest, VICTIM, VICTIM_PAGES * PAGE), 0xee, VICTIM_PAGES * PAGE);
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;

    virtio_device_destroy(f->device);
    mock_driver_close(&f->driver);
    mock_guest_close(&f->guest);
    return 0;
}

/* Whether the victim's page still has what the test wrote; what is discarded reads as zeros. */
static bool is_there(struct fixture *f, unsigned page)
{
    const uint8_t *bytes = mock_at(&f->guest, VICTIM + page * PAGE, PAGE);

    for (unsigned i = 1; i < PAGE; i++)
        assert_int_equal(bytes[i], bytes[0]);
    assert_true(bytes[0] == 0 || bytes[0] == 0xee);
    return bytes[0] == 0xee;
}

/* Whether exactly the pages [first, end) of the victim are gone. */
static void assert_gone(struct fixture *f, unsigned first, unsigned end)
{
    for (unsigned i = 0; i < VICTIM_PAGES; i++)
        assert_int_equal(is_there(f, i), i < first || i >= end);
}

static uint32_t victim(unsigned page)
{
    return (uint32_t)(VICTIM / PAGE) + page;
}

struct lookup {
    const char *name;
    uint64_t value;
    bool found;
};

static void look_up(void *context, const char *name, uint64_t value)
{
    struct lookup *lookup = context;

    if (strcmp(name, lookup->name) == 0) {
        lookup->value = value;
        lookup->found = true;
    }
}

static uint64_t counted(struct fixture *f, unsigned queue, const char *name)
{
    struct lookup lookup = {.name = name};

    virtio_queue_count(&f->device->queues[queue], &(struct counter_sink){look_up, &lookup});
    assert_true(lookup.found);
    return lookup.value;
}

/* Gives the device a chain and takes it back; it is alive afterwards. */
static void send(struct fixture *f, unsigned queue, const struct mock_descriptor *buffers,
                 unsigned count)
{
    uint32_t length;

    mock_add(&f->driver.rings[queue], buffers, count);
    mock_kick(&f->driver, queue);
    assert_true(mock_take(&f->driver.rings[queue], NULL, &length));
    assert_int_equal(length, 0);
    assert_int_equal(mock_status(&f->driver), MOCK_ALIVE);
}

static void put_number(struct fixture *f, unsigned index, uint32_t number)
{
    const __le32 value = htole32(number);

    memcpy(mock_at(&f->guest, NUMBERS + index * sizeof value, sizeof value), &value, sizeof value);
}

static void send_numbers(struct fixture *f, unsigned queue, const uint32_t *numbers, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        put_number(f, i, numbers[i]);
    send(f, queue, &(struct mock_descriptor){NUMBERS, count * 4, 0, 0}, 1);
}

static void report(struct fixture *f, unsigned queue, uint64_t address, uint32_t size)
{
    send(f, queue, &(struct mock_descriptor){address, size, VRING_DESC_F_WRITE, 0}, 1);
}

static uint32_t read_field(struct fixture *f, uint64_t offset)
{
    __le32 value;

    mock_read_config(&f->driver, offset, &value, sizeof value);
    return le32toh(value);
}

static void write_field(struct fixture *f, uint64_t offset, uint32_t number)
{
    const __le32 value = htole32(number);

    mock_write_config(&f->driver, offset, &value, sizeof value);
}

/* --- the balloon --- */

static void pages_that_are_given_up_leave_the_host(void **state)
{
    struct fixture *f = *state;
    const uint32_t numbers[] = {victim(3), victim(4), victim(5)};

    mock_start(&f->driver, 0, SIZE);
    send_numbers(f, INFLATE, numbers, 3);
    assert_gone(f, 3, 6);
    assert_true(mock_interrupted(&f->driver, NULL));
    assert_int_equal(counted(f, INFLATE, "discards"), 1);
    assert_int_equal(counted(f, INFLATE, "discarded_bytes"), 3 * PAGE);
    assert_int_equal(counted(f, INFLATE, "refused"), 0);
    assert_int_equal(virtio_balloon_figures(f->device).discarded, 3 * PAGE);
}

/* One system call for each run of pages, upwards and downwards. */
static void neighbours_are_one_call(void **state)
{
    struct fixture *f = *state;
    uint32_t numbers[256];

    mock_start(&f->driver, 0, SIZE);
    for (unsigned i = 0; i < 256; i++)
        numbers[i] = victim(i < 128 ? i : 383 - i); /* 0 to 127, then 255 down to 128 */
    send_numbers(f, INFLATE, numbers, 256);
    assert_gone(f, 0, 256);
    assert_int_equal(counted(f, INFLATE, "discards"), 2);
    assert_int_equal(counted(f, INFLATE, "discarded_bytes"), 256 * PAGE);
}

static void the_same_page_again_is_harmless(void **state)
{
    struct fixture *f = *state;
    const uint32_t numbers[] = {victim(7), victim(7), victim(8), victim(7), victim(8)};

    mock_start(&f->driver, 0, SIZE);
    send_numbers(f, INFLATE, numbers, 5);
    send_numbers(f, INFLATE, numbers, 5);
    assert_gone(f, 7, 9);
}

static void page_numbers_lie_in_any_pieces(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor pieces[] = {{NUMBERS, 3, 0, 0}, {NUMBERS + 3, 5, 0, 0}};

    mock_start(&f->driver, 0, SIZE);
    put_number(f, 0, victim(20));
    put_number(f, 1, victim(21));
    send(f, INFLATE, pieces, 2);
    assert_gone(f, 20, 22);
}

static void pages_that_do_not_exist_are_left_out(void **state)
{
    struct fixture *f = *state;
    const uint32_t numbers[] = {
        0,                                       /* below the memory */
        (uint32_t)(MOCK_MEMORY_BASE / PAGE) - 1, /* just below */
        (uint32_t)(MEMORY_END / PAGE) - 1,       /* the last page */
        (uint32_t)(MEMORY_END / PAGE),           /* just above it */
        0x80000000,
        UINT32_MAX,
    };

    mock_start(&f->driver, 0, SIZE);
    send_numbers(f, INFLATE, numbers, 6);
    assert_gone(f, VICTIM_PAGES - 1, VICTIM_PAGES);
    assert_int_equal(counted(f, INFLATE, "refused"), 5);
    assert_int_equal(counted(f, INFLATE, "discarded_bytes"), PAGE);
}

static void a_chain_of_numbers_is_bounded(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, 0, SIZE);
    for (unsigned i = 0; i < 1500; i++)
        put_number(f, i, victim(i < 1023 ? 0 : i - 1023)); /* the 1024th is page 0, too */
    send(f, INFLATE, &(struct mock_descriptor){NUMBERS, 1500 * 4 + 3, 0, 0}, 1);
    assert_gone(f, 0, 1);
    assert_int_equal(counted(f, INFLATE, "refused"), 1500 - 1024);
}

/* Each chain has a page number of its own, and none is a neighbour: as many calls as pages. */
static void a_turn_is_bounded_and_goes_on(void **state)
{
    struct fixture *f = *state;
    struct mock_ring *ring = &f->driver.rings[INFLATE];

    mock_start(&f->driver, 0, SIZE);
    for (unsigned i = 0; i < 1024; i++)
        put_number(f, i, victim(i * 2 % VICTIM_PAGES));
    for (unsigned i = 0; i < 4; i++)
        mock_add(ring, &(struct mock_descriptor){NUMBERS, 4096, 0, 0}, 1);
    mock_write32(&f->driver, VIRTIO_MMIO_QUEUE_NOTIFY, INFLATE);
    mock_turn(&f->guest);
    assert_in_range(counted(f, INFLATE, "discards"), 256, 2048);
    assert_in_range(mock_used_idx(ring), 1, 2);
    mock_settle(&f->guest);
    assert_int_equal(mock_used_idx(ring), 4);
    assert_int_equal(counted(f, INFLATE, "discards"), 4096);
    for (unsigned i = 0; i < VICTIM_PAGES; i++)
        assert_int_equal(is_there(f, i), i % 2);
}

static void what_the_device_may_write_is_no_page_number(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, 0, SIZE);
    put_number(f, 0, victim(1));
    send(f, INFLATE, &(struct mock_descriptor){NUMBERS, 4, VRING_DESC_F_WRITE, 0}, 1);
    assert_gone(f, 0, 0);
}

static void a_balloon_that_is_let_down_costs_nothing(void **state)
{
    struct fixture *f = *state;
    const uint32_t numbers[] = {victim(3), UINT32_MAX};

    mock_start(&f->driver, 0, SIZE);
    send_numbers(f, DEFLATE, numbers, 2);
    assert_gone(f, 0, 0);
    assert_int_equal(virtio_balloon_figures(f->device).discarded, 0);
}

static void the_guest_hears_of_the_target(void **state)
{
    struct fixture *f = *state;
    uint32_t causes;

    virtio_balloon_set_target(f->device, 10 * PAGE + 100);
    mock_start(&f->driver, 0, SIZE);
    assert_int_equal(read_field(f, 0), 10);
    virtio_balloon_set_target(f->device, 20 * PAGE);
    assert_true(mock_interrupted(&f->driver, &causes));
    assert_int_equal(causes, VIRTIO_MMIO_INT_CONFIG);
    assert_int_equal(read_field(f, 0), 20);
    virtio_balloon_set_target(f->device, 20 * PAGE + 1);
    assert_false(mock_interrupted(&f->driver, NULL)); /* the same pages */
    virtio_balloon_set_target(f->device, UINT64_MAX);
    assert_int_equal(read_field(f, 0), MOCK_MEMORY_SIZE / PAGE);
    assert_int_equal(virtio_balloon_figures(f->device).target, MOCK_MEMORY_SIZE);
}

static void the_guest_says_how_far_it_is(void **state)
{
    struct fixture *f = *state;
    const uint8_t high = 1;

    mock_start(&f->driver, 0, SIZE);
    write_field(f, ACTUAL, 5);
    assert_false(mock_interrupted(&f->driver, NULL));
    assert_int_equal(read_field(f, ACTUAL), 5);
    assert_int_equal(virtio_balloon_figures(f->device).actual, 5 * PAGE);
    mock_write_config(&f->driver, ACTUAL + 1, &high, 1);
    assert_int_equal(virtio_balloon_figures(f->device).actual, 0x105 * PAGE);
    write_field(f, ACTUAL, UINT32_MAX); /* it may lie, but not for more than it has */
    assert_int_equal(virtio_balloon_figures(f->device).actual, MOCK_MEMORY_SIZE);
    write_field(f, 0, 7); /* the host's to say */
    write_field(f, POISON, 7);
    assert_int_equal(read_field(f, 0), 0);
    assert_int_equal(read_field(f, POISON), 0);
}

static void a_reset_lets_it_down(void **state)
{
    struct fixture *f = *state;

    virtio_balloon_set_target(f->device, 3 * PAGE);
    mock_start(&f->driver, PAGE_POISON, SIZE);
    write_field(f, ACTUAL, 3);
    write_field(f, POISON, 0xaaaaaaaa);
    mock_reset(&f->driver);
    assert_int_equal(virtio_balloon_figures(f->device).actual, 0);
    assert_int_equal(read_field(f, 0), 3); /* what the host wants stays */
    assert_int_equal(read_field(f, ACTUAL), 0);
    assert_int_equal(read_field(f, POISON), 0);
}

/* --- reports --- */

static void reported_memory_leaves_the_host(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor pieces[] = {
        {VICTIM + 8 * PAGE, 8 * PAGE, VRING_DESC_F_WRITE, 0},
        {VICTIM + 16 * PAGE, 16 * PAGE, VRING_DESC_F_WRITE, 0},
    };

    mock_start(&f->driver, REPORTING, SIZE);
    send(f, REPORTS, pieces, 2);
    assert_gone(f, 8, 32);
    assert_true(mock_interrupted(&f->driver, NULL));
    assert_int_equal(counted(f, REPORTS, "discards"), 2);
    assert_int_equal(counted(f, REPORTS, "discarded_bytes"), 24 * PAGE);
}

static void drivers_that_count_the_queues_differently_are_served(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, REPORTING, SIZE);
    report(f, REPORTS_OF_LINUX, VICTIM, PAGE);
    assert_gone(f, 0, 1);
}

static void who_has_not_asked_for_reports_makes_none(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, 0, SIZE);
    report(f, REPORTS, VICTIM, PAGE);
    report(f, REPORTS_OF_LINUX, VICTIM, PAGE);
    assert_gone(f, 0, 0);
    assert_int_equal(counted(f, REPORTS, "refused"), 1);
}

/* What the guest expects to find in free memory has to be there still. */
static void poisoned_memory_stays(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, REPORTING | PAGE_POISON, SIZE);
    write_field(f, POISON, 0xaaaaaaaa);
    assert_int_equal(read_field(f, POISON), 0xaaaaaaaa);
    report(f, REPORTS, VICTIM, PAGE);
    assert_gone(f, 0, 0);
    write_field(f, POISON, 0);
    report(f, REPORTS, VICTIM, PAGE);
    assert_gone(f, 0, 1);
}

static void memory_that_is_to_be_read_is_not_reported(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor pieces[] = {
        {VICTIM, PAGE, 0, 0},
        {VICTIM + PAGE, PAGE, VRING_DESC_F_WRITE, 0},
    };

    mock_start(&f->driver, REPORTING, SIZE);
    send(f, REPORTS, pieces, 2);
    assert_gone(f, 1, 2);
    assert_int_equal(counted(f, REPORTS, "refused"), 1);
}

/* Whole pages alone: what is beside them on the same page is not free. */
static void parts_of_pages_stay(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, REPORTING, SIZE);
    report(f, REPORTS, VICTIM + 1, PAGE - 1);
    report(f, REPORTS, VICTIM + 100, 200);
    report(f, REPORTS, VICTIM + PAGE - 1, PAGE);
    assert_gone(f, 0, 0);
    assert_int_equal(counted(f, REPORTS, "refused"), 3);
    assert_int_equal(counted(f, REPORTS, "discards"), 0);
    report(f, REPORTS, VICTIM + 10 * PAGE - 1, 2 * PAGE + 2);
    assert_gone(f, 10, 12);
}

static void a_report_of_what_is_not_memory_breaks_the_device(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor beyond = {MEMORY_END - PAGE, 2 * PAGE, VRING_DESC_F_WRITE, 0};

    mock_start(&f->driver, REPORTING, SIZE);
    mock_add(&f->driver.rings[REPORTS], &beyond, 1);
    mock_kick(&f->driver, REPORTS);
    assert_false(mock_take(&f->driver.rings[REPORTS], NULL, NULL));
    assert_true(mock_status(&f->driver) & VIRTIO_CONFIG_S_NEEDS_RESET);
    assert_gone(f, 0, 0);
    mock_start(&f->driver, REPORTING, SIZE);
    report(f, REPORTS, VICTIM, PAGE);
    assert_gone(f, 0, 1);
}

/* The ring itself is given back: the driver has broken it, and nobody else minds. */
static void a_guest_may_report_its_own_ring(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor ring = {
        MOCK_RINGS, MOCK_BUFFERS - MOCK_RINGS, VRING_DESC_F_WRITE, 0};

    mock_start(&f->driver, REPORTING, SIZE);
    mock_add(&f->driver.rings[REPORTS], &ring, 1);
    mock_kick(&f->driver, REPORTS);
    assert_int_equal(counted(f, REPORTS, "discarded_bytes"), MOCK_BUFFERS - MOCK_RINGS);
    mock_start(&f->driver, REPORTING, SIZE);
    report(f, REPORTS, VICTIM, PAGE);
    assert_gone(f, 0, 1);
}

/* --- both --- */

static void features_are_what_is_served(void **state)
{
    struct fixture *f = *state;
    uint64_t offered = mock_offered(&f->driver);

    assert_true(offered & REPORTING);
    assert_true(offered & PAGE_POISON);
    assert_true(offered & MOCK_FEATURE(VIRTIO_BALLOON_F_DEFLATE_ON_OOM));
    assert_false(offered & MOCK_FEATURE(VIRTIO_BALLOON_F_STATS_VQ));
    assert_false(offered & MOCK_FEATURE(VIRTIO_BALLOON_F_FREE_PAGE_HINT));
    assert_false(mock_negotiate(&f->driver,
                                MOCK_VERSION_1 | MOCK_FEATURE(VIRTIO_BALLOON_F_STATS_VQ)));
}

static void a_snapshot_keeps_it(void **state)
{
    struct fixture *f = *state;
    struct state_writer writer = {0};
    struct state_reader reader;

    mock_start(&f->driver, REPORTING | PAGE_POISON, SIZE);
    virtio_balloon_set_target(f->device, 30 * PAGE);
    write_field(f, ACTUAL, 12);
    write_field(f, POISON, 0xaaaaaaaa);
    mock_save(&f->driver, &writer);
    mock_reset(&f->driver);
    virtio_balloon_set_target(f->device, 0);

    reader = (struct state_reader){.data = writer.data, .size = writer.size};
    assert_int_equal(mock_restore(&f->driver, &reader, NULL), 0);
    assert_int_equal(read_field(f, 0), 30);
    assert_int_equal(virtio_balloon_figures(f->device).actual, 12 * PAGE);
    assert_int_equal(read_field(f, POISON), 0xaaaaaaaa);
    report(f, REPORTS, VICTIM, PAGE);
    assert_gone(f, 0, 0); /* it is poisoned still */

    mock_reset(&f->driver); /* a target that the host can not have set */
    writer.data[writer.size - 3 * 4 + 3] = 0xff;
    reader = (struct state_reader){.data = writer.data, .size = writer.size};
    assert_int_equal(mock_restore(&f->driver, &reader, NULL), -EINVAL);
    state_writer_free(&writer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pages_that_are_given_up_leave_the_host),
        TEST(neighbours_are_one_call),
        TEST(the_same_page_again_is_harmless),
        TEST(page_numbers_lie_in_any_pieces),
        TEST(pages_that_do_not_exist_are_left_out),
        TEST(a_chain_of_numbers_is_bounded),
        TEST(a_turn_is_bounded_and_goes_on),
        TEST(what_the_device_may_write_is_no_page_number),
        TEST(a_balloon_that_is_let_down_costs_nothing),
        TEST(the_guest_hears_of_the_target),
        TEST(the_guest_says_how_far_it_is),
        TEST(a_reset_lets_it_down),
        TEST(reported_memory_leaves_the_host),
        TEST(drivers_that_count_the_queues_differently_are_served),
        TEST(who_has_not_asked_for_reports_makes_none),
        TEST(poisoned_memory_stays),
        TEST(memory_that_is_to_be_read_is_not_reported),
        TEST(parts_of_pages_stay),
        TEST(a_report_of_what_is_not_memory_breaks_the_device),
        TEST(a_guest_may_report_its_own_ring),
        TEST(features_are_what_is_served),
        TEST(a_snapshot_keeps_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
