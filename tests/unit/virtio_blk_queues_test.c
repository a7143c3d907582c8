/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a block device has beyond single requests: queues on loops of their own, rate limits, a cache
 * that the driver configures, a disk whose size changes.
 */
#include "core/timing.h"
#include "devices/virtio/blk.h"
#include "support/mock_driver.h"
#include "support/pump.h"
#include "support/scratch.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/virtio_blk.h>

#define MIB (1024ull * 1024)
#define SECOND UINT64_C(1000000000)
#define QUEUES 3u
#define LOOPS 2u
#define DEPTH 4u
#define BLOCK 4096u

/* Each queue has its own part of memory: header, status and data of DEPTH requests. */
#define SPACE(queue, slot) (MOCK_BUFFERS + ((queue) * DEPTH + (slot)) * 0x10000ull)
#define HEADER(queue, slot) SPACE(queue, slot)
#define STATUS(queue, slot) (SPACE(queue, slot) + 0x100)
#define DATA(queue, slot) (SPACE(queue, slot) + 0x1000)

#define FEATURES                                                                                  \
    (MOCK_FEATURE(VIRTIO_BLK_F_FLUSH) | MOCK_FEATURE(VIRTIO_BLK_F_CONFIG_WCE) | MOCK_EVENT_IDX)

/* In front of libc's: counts what is made durable. */
static atomic_uint syncs;

int fdatasync(int fd)
{
    syncs++;
    return (int)syscall(SYS_fdatasync, fd);
}

struct fixture {
    struct scratch scratch;
    struct mock_guest guest;
    struct loop loops[LOOPS];
    struct disk *disk;
    struct virtio_device *device;
    struct mock_driver driver;
};

static int open_fixture(void **state)
{
    static struct fixture f;

    scratch_open(&f.scratch);
    scratch_file(&f.scratch, "image", MIB);
    mock_guest_open(&f.guest);
    for (unsigned i = 0; i < LOOPS; i++)
        assert_int_equal(loop_open(&f.loops[i], NULL), 0);
    *state = &f;
    return 0;
}

static void open_device(struct fixture *f, enum disk_engine_choice engine,
                        const struct virtio_blk_options *options)
{
    const struct disk_options disk = {.path = f->scratch.path, .engine = engine};

    assert_int_equal(disk_open(&f->disk, &disk, NULL), 0);
    assert_int_equal(virtio_blk_create(&f->device, &f->guest.environment, options, f->disk, NULL),
                     0);
    mock_driver_open(&f->driver, &f->guest, f->device);
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;

    virtio_device_destroy(f->device);
    mock_driver_close(&f->driver);
    disk_close(f->disk);
    for (unsigned i = 0; i < LOOPS; i++)
        loop_close(&f->loops[i]);
    mock_guest_close(&f->guest);
    scratch_close(&f->scratch);
    return 0;
}

static void offer(struct fixture *f, unsigned queue, unsigned slot, uint32_t type, uint64_t sector)
{
    const struct virtio_blk_outhdr header = {.type = type, .sector = sector};
    const struct mock_descriptor buffers[] = {
        {HEADER(queue, slot), 16, 0, 0},
        {DATA(queue, slot), BLOCK, type == VIRTIO_BLK_T_IN ? VRING_DESC_F_WRITE : 0, 0},
        {STATUS(queue, slot), 1, VRING_DESC_F_WRITE, 0},
    };

    memcpy(mock_at(&f->guest, HEADER(queue, slot), sizeof header), &header, sizeof header);
    *(uint8_t *)mock_at(&f->guest, STATUS(queue, slot), 1) = 0xee;
    mock_add(&f->driver.rings[queue], buffers, 3);
}

static uint8_t status(struct fixture *f, unsigned queue, unsigned slot)
{
    return *(uint8_t *)mock_at(&f->guest, STATUS(queue, slot), 1);
}

/* On the test's own thread: one request of BLOCK bytes. */
static uint8_t run(struct fixture *f, uint32_t type, uint64_t sector)
{
    offer(f, 0, 0, type, sector);
    mock_kick(&f->driver, 0);
    while (!mock_take(&f->driver.rings[0], NULL, NULL))
        assert_true(pump_some(&f->guest.loop));
    return status(f, 0, 0);
}

static struct virtio_blk_config config_of(struct fixture *f)
{
    struct virtio_blk_config config;

    virtio_device_read_config(f->device, 0, &config, sizeof config);
    return config;
}

/* --- the disk's size --- */

static void the_driver_hears_of_a_new_size(void **state)
{
    struct fixture *f = *state;
    uint32_t causes = 0;

    open_device(f, DISK_ENGINE_AUTO, NULL);
    mock_start(&f->driver, FEATURES, 16);
    assert_int_equal(config_of(f).capacity, MIB / 512);
    assert_int_equal(run(f, VIRTIO_BLK_T_OUT, MIB / 512), VIRTIO_BLK_S_IOERR);
    mock_interrupted(&f->driver, NULL);

    assert_int_equal(virtio_blk_refresh(f->device, NULL), 0); /* nothing new */
    assert_false(mock_interrupted(&f->driver, &causes));
    assert_int_equal(truncate(f->scratch.path, 2 * MIB), 0);
    assert_int_equal(virtio_blk_refresh(f->device, NULL), 0);
    assert_true(mock_interrupted(&f->driver, &causes));
    assert_true(causes & VIRTIO_MMIO_INT_CONFIG);
    assert_int_equal(config_of(f).capacity, 2 * MIB / 512);
    assert_int_equal(run(f, VIRTIO_BLK_T_OUT, MIB / 512), VIRTIO_BLK_S_OK);

    assert_int_equal(truncate(f->scratch.path, MIB / 2), 0);
    assert_int_equal(run(f, VIRTIO_BLK_T_IN, MIB / 512), VIRTIO_BLK_S_IOERR); /* it is gone */
    assert_int_equal(virtio_blk_refresh(f->device, NULL), 0);
    assert_int_equal(config_of(f).capacity, MIB / 1024);
    assert_int_equal(run(f, VIRTIO_BLK_T_OUT, MIB / 1024), VIRTIO_BLK_S_IOERR);
    assert_int_equal(truncate(f->scratch.path, 1), 0);
    assert_true(virtio_blk_refresh(f->device, NULL) < 0);
    assert_int_equal(config_of(f).capacity, MIB / 1024);
}

/* --- the cache --- */

static void set_write_back(struct fixture *f, uint8_t value)
{
    mock_write_config(&f->driver, offsetof(struct virtio_blk_config, wce), &value, 1);
}

static void the_driver_may_do_without_a_cache(void **state)
{
    struct fixture *f = *state;

    open_device(f, DISK_ENGINE_SYNC, NULL); /* whose calls can be counted */
    mock_start(&f->driver, FEATURES, 16);
    assert_int_equal(config_of(f).wce, 1);
    syncs = 0;
    assert_int_equal(run(f, VIRTIO_BLK_T_OUT, 0), VIRTIO_BLK_S_OK);
    assert_int_equal(syncs, 0);
    set_write_back(f, 0);
    assert_int_equal(config_of(f).wce, 0);
    assert_int_equal(run(f, VIRTIO_BLK_T_OUT, 0), VIRTIO_BLK_S_OK);
    assert_int_equal(syncs, 1);
    mock_start(&f->driver, FEATURES, 16); /* a reset forgets it */
    assert_int_equal(config_of(f).wce, 1);
    assert_int_equal(run(f, VIRTIO_BLK_T_OUT, 0), VIRTIO_BLK_S_OK);
    assert_int_equal(syncs, 1);
    mock_start(&f->driver, MOCK_FEATURE(VIRTIO_BLK_F_FLUSH), 16);
    set_write_back(f, 0); /* not the driver's to configure: it has not accepted that */
    assert_int_equal(config_of(f).wce, 1);
}

/* --- rate limits --- */

struct named {
    const char *name;
    uint64_t value;
};

static void take_named(void *context, const char *name, uint64_t value)
{
    struct named *named = context;

    if (strcmp(name, named->name) == 0)
        named->value = value;
}

static uint64_t counter_named(struct fixture *f, const char *name)
{
    struct named named = {.name = name};

    virtio_queue_count(&f->device->queues[0], &(struct counter_sink){take_named, &named});
    return named.value;
}

/*
 * DEPTH requests under a limit that lets one pass at once, and a second one as soon as there is
 * anything in the bucket again: the others come when they may.
 */
static void takes_its_time(struct fixture *f, uint64_t expected)
{
    uint64_t begun = timing_now();
    unsigned turns = 0, taken = 0;

    for (unsigned slot = 0; slot < DEPTH; slot++)
        offer(f, 0, slot, VIRTIO_BLK_T_IN, slot * 8);
    mock_write32(&f->driver, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    while (taken < DEPTH) {
        turns += pump_some(&f->guest.loop);
        while (mock_take(&f->driver.rings[0], NULL, NULL))
            taken++;
    }
    assert_true(timing_now() - begun >= expected);
    assert_true(turns < 20); /* it slept */
    assert_true(counter_named(f, "limited") > 0);
    for (unsigned slot = 0; slot < DEPTH; slot++)
        assert_int_equal(status(f, 0, slot), VIRTIO_BLK_S_OK);
}

static void operations_are_limited(void **state)
{
    struct virtio_blk_options options = {.queues = 1};

    rate_init(&options.rate.operations, 50, 1, timing_now());
    open_device(*state, DISK_ENGINE_AUTO, &options);
    mock_start(&((struct fixture *)*state)->driver, FEATURES, 16);
    takes_its_time(*state, (DEPTH - 2) * SECOND / 50);
}

static void bytes_are_limited(void **state)
{
    struct virtio_blk_options options = {.queues = 1};

    rate_init(&options.rate.bytes, 50 * BLOCK, BLOCK, timing_now());
    open_device(*state, DISK_ENGINE_AUTO, &options);
    mock_start(&((struct fixture *)*state)->driver, FEATURES, 16);
    takes_its_time(*state, (DEPTH - 2) * SECOND / 50);
}

/* A request for zeros has few bytes, and the disk writes many. */
static void zeros_are_limited_by_what_they_cover(void **state)
{
    const struct virtio_blk_discard_write_zeroes range = {.num_sectors = 40 * BLOCK / 512};
    struct virtio_blk_options options = {.queues = 1};
    struct fixture *f = *state;
    uint64_t begun;

    rate_init(&options.rate.bytes, 100 * BLOCK, BLOCK, timing_now());
    open_device(f, DISK_ENGINE_AUTO, &options);
    mock_start(&f->driver, FEATURES | UINT64_C(1) << VIRTIO_BLK_F_WRITE_ZEROES, 16);
    begun = timing_now();
    for (unsigned slot = 0; slot < 2; slot++) {
        const struct virtio_blk_outhdr header = {.type = VIRTIO_BLK_T_WRITE_ZEROES};
        const struct mock_descriptor buffers[] = {
            {HEADER(0, slot), sizeof header, 0, 0},
            {DATA(0, slot), sizeof range, 0, 0},
            {STATUS(0, slot), 1, VRING_DESC_F_WRITE, 0},
        };

        memcpy(mock_at(&f->guest, HEADER(0, slot), sizeof header), &header, sizeof header);
        memcpy(mock_at(&f->guest, DATA(0, slot), sizeof range), &range, sizeof range);
        mock_add(&f->driver.rings[0], buffers, 3);
        mock_kick(&f->driver, 0);
        while (!mock_take(&f->driver.rings[0], NULL, NULL))
            assert_true(pump_some(&f->guest.loop));
        assert_int_equal(status(f, 0, slot), VIRTIO_BLK_S_OK);
    }
    assert_true(timing_now() - begun >= 38 * SECOND / 100); /* the first one's 40 but a burst's */
}

/* A reset while the limit holds a request back: it is not answered, and the device works again. */
static void a_limited_queue_can_be_reset(void **state)
{
    struct virtio_blk_options options = {.queues = 1};
    struct fixture *f = *state;

    rate_init(&options.rate.operations, 50, 1, timing_now());
    open_device(f, DISK_ENGINE_AUTO, &options);
    for (unsigned i = 0; i < 3; i++) {
        mock_start(&f->driver, FEATURES, 16);
        for (unsigned slot = 0; slot < DEPTH; slot++)
            offer(f, 0, slot, VIRTIO_BLK_T_IN, 0);
        mock_kick(&f->driver, 0);
    }
    mock_start(&f->driver, FEATURES, 16);
    assert_int_equal(run(f, VIRTIO_BLK_T_IN, 0), VIRTIO_BLK_S_OK);
}

/* --- several queues --- */

static void queues_are_spread_over_the_loops(void **state)
{
    const struct virtio_blk_options options = {.queues = QUEUES};
    struct fixture *f = *state;

    f->guest.environment.queue_loops = f->loops;
    f->guest.environment.queue_loop_count = LOOPS;
    open_device(f, DISK_ENGINE_AUTO, &options);
    assert_int_equal(f->device->queue_count, QUEUES);
    assert_true(mock_offered(&f->driver) & MOCK_FEATURE(VIRTIO_BLK_F_MQ));
    assert_int_equal(config_of(f).num_queues, QUEUES);
    for (unsigned i = 0; i < QUEUES; i++)
        assert_ptr_equal(f->device->queues[i].loop, &f->loops[i % LOOPS]);
}

struct worker {
    struct fixture *f;
    unsigned queue;
    unsigned rounds;
    unsigned faults;
    pthread_t thread;
};

/* Where a queue's slot writes, so that none meets another. */
static uint64_t sector_of(unsigned queue, unsigned slot)
{
    return (queue * DEPTH + slot) * (BLOCK / 512);
}

/* Offers DEPTH requests and waits for them, as a vCPU does: nobody serves the loops from here. */
static void exchange(struct worker *worker, uint32_t type)
{
    struct fixture *f = worker->f;
    struct mock_ring *ring = &f->driver.rings[worker->queue];

    for (unsigned slot = 0; slot < DEPTH; slot++)
        offer(f, worker->queue, slot, type, sector_of(worker->queue, slot));
    mock_write32(&f->driver, VIRTIO_MMIO_QUEUE_NOTIFY, worker->queue);
    for (unsigned taken = 0; taken < DEPTH;) {
        if (mock_take(ring, NULL, NULL))
            taken++;
        else
            usleep(10); /* ctest's time limit is the limit */
    }
    for (unsigned slot = 0; slot < DEPTH; slot++)
        worker->faults += status(f, worker->queue, slot) != VIRTIO_BLK_S_OK;
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct fixture *f = worker->f;

    for (unsigned round = 0; round < worker->rounds; round++) {
        for (unsigned slot = 0; slot < DEPTH; slot++)
            memset(mock_at(&f->guest, DATA(worker->queue, slot), BLOCK),
                   (int)(round + worker->queue * 16 + slot), BLOCK);
        exchange(worker, VIRTIO_BLK_T_OUT);
        for (unsigned slot = 0; slot < DEPTH; slot++)
            memset(mock_at(&f->guest, DATA(worker->queue, slot), BLOCK), 0xff, BLOCK);
        exchange(worker, VIRTIO_BLK_T_IN);
        for (unsigned slot = 0; slot < DEPTH; slot++) {
            const uint8_t *data = mock_at(&f->guest, DATA(worker->queue, slot), BLOCK);
            uint8_t expected = (uint8_t)(round + worker->queue * 16 + slot);

            worker->faults += data[0] != expected || data[BLOCK - 1] != expected;
        }
    }
    return NULL;
}

static void refresh_on_loop(void *device)
{
    virtio_blk_refresh(device, NULL);
}

/* Sizes change, and configuration and counters are read, while all queues are at work. */
static void disturb(struct fixture *f, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        assert_int_equal(truncate(f->scratch.path, (off_t)(i % 2 ? MIB : 2 * MIB)), 0);
        loop_call(&f->guest.loop, refresh_on_loop, f->device);
        config_of(f);
        counter_named(f, "reads");
    }
}

static void queues_work_side_by_side(void **state)
{
    struct virtio_blk_options options = {.queues = QUEUES};
    struct worker workers[QUEUES];
    struct fixture *f = *state;

    f->guest.environment.queue_loops = f->loops;
    f->guest.environment.queue_loop_count = LOOPS;
    /* A limit that is shared, and that nothing here reaches. */
    rate_init(&options.rate.bytes, RATE_MAX, 0, timing_now());
    open_device(f, DISK_ENGINE_AUTO, &options);
    assert_int_equal(loop_start(&f->guest.loop, NULL), 0);
    for (unsigned i = 0; i < LOOPS; i++)
        assert_int_equal(loop_start(&f->loops[i], NULL), 0);
    for (unsigned life = 0; life < 3; life++) {
        assert_true(mock_negotiate(&f->driver, FEATURES | MOCK_FEATURE(VIRTIO_BLK_F_MQ) |
                                                   MOCK_VERSION_1));
        for (unsigned i = 0; i < QUEUES; i++)
            mock_queue(&f->driver, i, 16);
        mock_driver_ok(&f->driver);
        for (unsigned i = 0; i < QUEUES; i++) {
            workers[i] = (struct worker){.f = f, .queue = i, .rounds = 50};
            assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
        }
        disturb(f, 50);
        for (unsigned i = 0; i < QUEUES; i++) {
            pthread_join(workers[i].thread, NULL);
            assert_int_equal(workers[i].faults, 0);
        }
        /* The next life begins, or the loops end, with requests in flight. */
        for (unsigned i = 0; i < QUEUES; i++)
            offer(f, i, 0, VIRTIO_BLK_T_OUT, sector_of(i, 0));
        for (unsigned i = 0; i < QUEUES; i++)
            mock_write32(&f->driver, VIRTIO_MMIO_QUEUE_NOTIFY, i);
    }
    loop_stop(&f->guest.loop);
    for (unsigned i = 0; i < LOOPS; i++)
        loop_stop(&f->loops[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_driver_hears_of_a_new_size),
        TEST(the_driver_may_do_without_a_cache),
        TEST(operations_are_limited),
        TEST(bytes_are_limited),
        TEST(zeros_are_limited_by_what_they_cover),
        TEST(a_limited_queue_can_be_reset),
        TEST(queues_are_spread_over_the_loops),
        TEST(queues_work_side_by_side),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
