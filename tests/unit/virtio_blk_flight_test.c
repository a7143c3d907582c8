/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much a queue of a block device has in flight. The disk's engine is the test, which decides
 * when a step is done.
 */
#include "devices/disk/engine.h"
#include "devices/virtio/blk_parts.h"
#include "support/mock_driver.h"
#include "support/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define MIB (1024ull * 1024)
#define SIZE 16u

/* Each request has its own part of memory: header, range or data, status. */
#define HEADER(slot) (MOCK_BUFFERS + (slot) * 0x10000ull)
#define DATA(slot) (HEADER(slot) + 0x1000)
#define STATUS(slot) (HEADER(slot) + 0x100)

#define FEATURES                                                                                  \
    (MOCK_FEATURE(VIRTIO_BLK_F_FLUSH) | MOCK_FEATURE(VIRTIO_BLK_F_WRITE_ZEROES) |                 \
     MOCK_FEATURE(VIRTIO_BLK_F_DISCARD) | MOCK_EVENT_IDX)

struct fixture {
    struct scratch scratch;
    struct mock_guest guest;
    struct disk *disk;
    struct virtio_device *device;
    struct disk_channel *channel;
    struct mock_driver driver;
};

/* --- the host --- */

static struct disk_request *started[SIZE];
static unsigned started_count;

static int fake_open(struct disk_channel *channel)
{
    (void)channel;
    return 0;
}

static void fake_nothing(struct disk_channel *channel)
{
    (void)channel;
}

static bool fake_start(struct disk_channel *channel, struct disk_request *request, long *result)
{
    (void)channel;
    (void)result;
    assert_true(started_count < SIZE);
    started[started_count++] = request;
    return false;
}

/* The oldest step is done, all of it. */
static void finish_step(struct disk_channel *channel)
{
    struct disk_request *first = started[0];
    bool transfer = first->step.kind == STEP_READ || first->step.kind == STEP_WRITE;

    memmove(started, started + 1, --started_count * sizeof started[0]);
    channel_stepped(channel, first, transfer ? (long)first->step.length : 0);
    channel_settled(channel);
}

static void fake_wait(struct disk_channel *channel)
{
    finish_step(channel);
}

static const struct disk_engine fake = {
    .name = "fake",
    .open = fake_open,
    .close = fake_nothing,
    .start = fake_start,
    .commit = fake_nothing,
    .wait = fake_wait,
};

static int open_fixture(void **state)
{
    static struct fixture f;
    struct disk_options disk = {.cache = DISK_CACHE_WRITEBACK};

    scratch_open(&f.scratch);
    disk.path = scratch_file(&f.scratch, "image", 8192 * MIB);
    mock_guest_open(&f.guest);
    assert_int_equal(disk_open(&f.disk, &disk, NULL), 0);
    assert_int_equal(virtio_blk_create(&f.device, &f.guest.environment, NULL, f.disk, NULL), 0);
    f.channel = ((struct virtio_blk *)f.device)->queues[0].channel;
    f.channel->engine = &fake;
    started_count = 0;
    mock_driver_open(&f.driver, &f.guest, f.device);
    mock_start(&f.driver, FEATURES, SIZE);
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;

    virtio_device_destroy(f->device);
    mock_driver_close(&f->driver);
    disk_close(f->disk);
    mock_guest_close(&f->guest);
    scratch_close(&f->scratch);
    return 0;
}

/* --- requests --- */

static void offer(struct fixture *f, unsigned slot, uint32_t type, const void *data, uint32_t size)
{
    const struct virtio_blk_outhdr header = {.type = type};
    const struct mock_descriptor buffers[] = {
        {HEADER(slot), sizeof header, 0, 0},
        {DATA(slot), size, 0, 0},
        {STATUS(slot), 1, VRING_DESC_F_WRITE, 0},
    };

    memcpy(mock_at(&f->guest, HEADER(slot), sizeof header), &header, sizeof header);
    memcpy(mock_at(&f->guest, DATA(slot), size), data, size);
    *(uint8_t *)mock_at(&f->guest, STATUS(slot), 1) = 0xee;
    mock_add(&f->driver.rings[0], buffers, 3);
}

static void offer_ranges(struct fixture *f, unsigned slot, uint32_t type, uint64_t bytes,
                         unsigned count)
{
    struct virtio_blk_discard_write_zeroes ranges[2] = {
        {.num_sectors = (uint32_t)(bytes / 512)}, {.num_sectors = (uint32_t)(bytes / 512)}};

    offer(f, slot, type, ranges, count * (uint32_t)sizeof ranges[0]);
}

static void go(struct fixture *f)
{
    mock_kick(&f->driver, 0);
    mock_settle(&f->guest);
}

static void expect_answers(struct fixture *f, unsigned count)
{
    for (unsigned i = 0; i < SIZE / 4; i++)
        assert_int_equal(*(uint8_t *)mock_at(&f->guest, STATUS(i), 1),
                         i < count ? VIRTIO_BLK_S_OK : 0xee);
}

/* --- tests --- */

static void small_requests_are_taken_all_at_once(void **state)
{
    struct fixture *f = *state;
    const uint8_t data[512] = {0};

    for (unsigned i = 0; i < 4; i++)
        offer(f, i, VIRTIO_BLK_T_OUT, data, sizeof data);
    go(f);
    assert_int_equal(started_count, 4);
    while (started_count > 0)
        finish_step(f->channel);
    mock_settle(&f->guest);
    expect_answers(f, 4);
}

/* Of large ones the next is taken when there is room, without another kick. */
static void large_requests_wait_for_room(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 4; i++)
        offer_ranges(f, i, VIRTIO_BLK_T_WRITE_ZEROES, BLK_IN_FLIGHT_MAX / 2, 1);
    go(f);
    assert_int_equal(started_count, 2);
    go(f);
    assert_int_equal(started_count, 2);
    finish_step(f->channel);
    mock_settle(&f->guest);
    expect_answers(f, 1);
    assert_int_equal(started_count, 2);
    finish_step(f->channel);
    finish_step(f->channel);
    mock_settle(&f->guest);
    assert_int_equal(started_count, 1);
    finish_step(f->channel);
    mock_settle(&f->guest);
    expect_answers(f, 4);
}

/* A reset waits for what the disk has, not for what the ring has. */
static void a_reset_waits_for_little(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 4; i++)
        offer_ranges(f, i, VIRTIO_BLK_T_WRITE_ZEROES, BLK_IN_FLIGHT_MAX, 1);
    go(f);
    mock_reset(&f->driver);
    expect_answers(f, 1);
    mock_start(&f->driver, FEATURES, SIZE);
    offer_ranges(f, 1, VIRTIO_BLK_T_WRITE_ZEROES, BLK_IN_FLIGHT_MAX, 1);
    go(f);
    finish_step(f->channel);
    mock_settle(&f->guest);
    expect_answers(f, 2);
}

/* Discards are a hint: of each the piece that the host has is waited for, and no other. */
static void a_reset_gives_discards_up(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 4; i++)
        offer_ranges(f, i, VIRTIO_BLK_T_DISCARD, 4 * DISCARD_SIZE, 2);
    go(f);
    assert_int_equal(started_count, 4);
    assert_int_equal(started[0]->step.length, DISCARD_SIZE);
    finish_step(f->channel);
    assert_int_equal(started_count, 4);
    assert_int_equal(started[3]->step.offset, DISCARD_SIZE);
    mock_reset(&f->driver);
    assert_int_equal(started_count, 0);
    expect_answers(f, 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(small_requests_are_taken_all_at_once),
        TEST(large_requests_wait_for_room),
        TEST(a_reset_waits_for_little),
        TEST(a_reset_gives_discards_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
