/* SPDX-License-Identifier: Apache-2.0 */
/* The block device through its registers and ring, over real files. */
#include "devices/virtio/blk.h"
#include "support/mock_driver.h"
#include "support/pump.h"
#include "support/scratch.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/virtio_blk.h>

#define MIB (1024ull * 1024)
#define DISK_SIZE MIB
#define SECTORS (DISK_SIZE / 512)

#define HEADER MOCK_BUFFERS
#define STATUS (MOCK_BUFFERS + 0x100)
#define RANGES (MOCK_BUFFERS + 0x200)
#define TABLE (MOCK_BUFFERS + 0x10000)
#define DATA (MOCK_BUFFERS + 0x100000)

#define ALL_FEATURES                                                                              \
    (MOCK_FEATURE(VIRTIO_BLK_F_FLUSH) | MOCK_FEATURE(VIRTIO_BLK_F_DISCARD) |                      \
     MOCK_FEATURE(VIRTIO_BLK_F_WRITE_ZEROES) | MOCK_FEATURE(VIRTIO_BLK_F_SEG_MAX) |               \
     MOCK_FEATURE(VIRTIO_BLK_F_BLK_SIZE) | MOCK_INDIRECT)

/* What the list of tests runs with. */
static enum disk_engine_choice engine;

/* In front of libc's: count what reaches the host's disk. */
static unsigned syncs;

int fdatasync(int fd)
{
    syncs++;
    return (int)syscall(SYS_fdatasync, fd);
}

struct fixture {
    struct scratch scratch;
    struct mock_guest guest;
    struct disk *disk;
    struct virtio_device *device;
    struct mock_driver driver;
    struct mock_ring *ring;
};

static void open_device_with(struct fixture *f, bool read_only, enum disk_engine_choice choice)
{
    const struct disk_options disk = {
        .path = f->scratch.path, .read_only = read_only, .engine = choice};
    const struct virtio_blk_options options = {.serial = "serial-0123456789-and-more"};
    struct err err;

    if (disk_open(&f->disk, &disk, &err) ||
        virtio_blk_create(&f->device, &f->guest.environment, &options, f->disk, &err))
        fail_msg("%s", err.message);
    mock_driver_open(&f->driver, &f->guest, f->device);
}

static void open_device(struct fixture *f, bool read_only)
{
    open_device_with(f, read_only, engine);
}

static void close_device(struct fixture *f)
{
    virtio_device_destroy(f->device);
    mock_driver_close(&f->driver);
    disk_close(f->disk);
}

static int open_fixture(void **state)
{
    static struct fixture f;

    scratch_open(&f.scratch);
    scratch_file(&f.scratch, "image", DISK_SIZE);
    mock_guest_open(&f.guest);
    open_device(&f, false);
    f.ring = &f.driver.rings[0];
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;

    close_device(f);
    mock_guest_close(&f->guest);
    scratch_close(&f->scratch);
    return 0;
}

static uint8_t *data(struct fixture *f)
{
    return mock_at(&f->guest, DATA, DISK_SIZE);
}

static void put_header(struct fixture *f, uint32_t type, uint64_t sector)
{
    const struct virtio_blk_outhdr header = {.type = type, .sector = sector};

    memcpy(mock_at(&f->guest, HEADER, sizeof header), &header, sizeof header);
    *(uint8_t *)mock_at(&f->guest, STATUS, 1) = 0xee;
}

/* Serves the loop until so many requests are answered that were not taken yet. */
static void await(struct fixture *f, uint16_t count)
{
    while ((uint16_t)(mock_used_idx(f->ring) - f->ring->used_idx) < count)
        assert_true(pump_some(&f->guest.loop));
}

/* Runs the chain; the status byte, and the used length in `length` unless that is NULL. */
static uint8_t run(struct fixture *f, const struct mock_descriptor *buffers, unsigned count,
                   uint32_t *length)
{
    uint32_t head, used;
    uint16_t expected = mock_add(f->ring, buffers, count);

    mock_kick(&f->driver, 0);
    await(f, 1);
    assert_true(mock_take(f->ring, &head, &used));
    assert_int_equal(head, expected);
    if (length)
        *length = used;
    return *(uint8_t *)mock_at(&f->guest, STATUS, 1);
}

/* The usual chain: header, `size` bytes of data, status. */
static uint8_t request(struct fixture *f, uint32_t type, uint64_t sector, uint32_t size,
                       uint32_t *length)
{
    const uint16_t write = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID
                               ? VRING_DESC_F_WRITE : 0;
    const struct mock_descriptor buffers[] = {
        {HEADER, 16, 0, 0},
        {DATA, size, write, 0},
        {STATUS, 1, VRING_DESC_F_WRITE, 0},
    };

    put_header(f, type, sector);
    return run(f, buffers, 3, length);
}

static void pattern(uint8_t *bytes, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 509 + seed);
}

/* --- what the driver sees --- */

static void config_tells_the_disk(void **state)
{
    struct fixture *f = *state;
    struct virtio_blk_config config;

    virtio_device_read_config(f->device, 0, &config, sizeof config);
    assert_int_equal(mock_read32(&f->driver, VIRTIO_MMIO_DEVICE_ID), 2);
    assert_int_equal(config.capacity, SECTORS);
    assert_int_equal(config.blk_size, 512);
    assert_int_equal(config.seg_max, 254);
    assert_true(config.max_discard_sectors > 0 && config.max_discard_seg > 0);
    assert_true(config.max_write_zeroes_sectors > 0 && config.max_write_zeroes_seg > 0);
    assert_int_equal(config.write_zeroes_may_unmap, 1);
    assert_int_equal(mock_offered(&f->driver) & ALL_FEATURES, ALL_FEATURES);
    assert_false(mock_offered(&f->driver) & MOCK_FEATURE(VIRTIO_BLK_F_RO));
}

static void the_serial_is_20_bytes(void **state)
{
    struct fixture *f = *state;
    uint32_t length;

    mock_start(&f->driver, ALL_FEATURES, 16);
    assert_int_equal(request(f, VIRTIO_BLK_T_GET_ID, 0, 20, &length), VIRTIO_BLK_S_OK);
    assert_int_equal(length, 21);
    assert_memory_equal(data(f), "serial-0123456789-and-more", 20);
    assert_int_equal(data(f)[20], 0);
    assert_int_equal(request(f, VIRTIO_BLK_T_GET_ID, 0, 19, NULL), VIRTIO_BLK_S_IOERR);
}

/* --- data --- */

/* 2.7.8.2: so many bytes from the start were written, in whatever the driver lets us write. */
static void used_lengths_promise_no_more_than_was_written(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor identity[] = {
        {HEADER, 16, 0, 0},
        {DATA, 64, VRING_DESC_F_WRITE, 0},
        {STATUS, 1, VRING_DESC_F_WRITE, 0},
    };
    const struct mock_descriptor flush[] = {
        {HEADER, 16, 0, 0},
        {DATA, 512, VRING_DESC_F_WRITE, 0},
        {STATUS, 1, VRING_DESC_F_WRITE, 0},
    };
    uint32_t length;

    mock_start(&f->driver, ALL_FEATURES, 16);
    assert_int_equal(request(f, VIRTIO_BLK_T_GET_ID, 0, VIRTIO_BLK_ID_BYTES, &length), 0);
    assert_int_equal(length, VIRTIO_BLK_ID_BYTES + 1);
    put_header(f, VIRTIO_BLK_T_GET_ID, 0);
    assert_int_equal(run(f, identity, 3, &length), 0);
    assert_int_equal(length, VIRTIO_BLK_ID_BYTES);
    put_header(f, VIRTIO_BLK_T_FLUSH, 0);
    assert_int_equal(run(f, flush, 3, &length), 0);
    assert_int_equal(length, 0);
    assert_int_equal(request(f, VIRTIO_BLK_T_IN, 0, 512, &length), 0);
    assert_int_equal(length, 513);
    assert_int_equal(request(f, VIRTIO_BLK_T_OUT, 0, 512, &length), 0);
    assert_int_equal(length, 1);
}

static void what_is_written_is_read(void **state)
{
    struct fixture *f = *state;
    static uint8_t expected[65536];
    uint32_t length;

    mock_start(&f->driver, ALL_FEATURES, 16);
    for (unsigned i = 0; i < 8; i++) {
        pattern(data(f), sizeof expected, i);
        assert_int_equal(request(f, VIRTIO_BLK_T_OUT, i * 128, sizeof expected, &length),
                         VIRTIO_BLK_S_OK);
        assert_int_equal(length, 1);
    }
    assert_int_equal(request(f, VIRTIO_BLK_T_FLUSH, 0, 0, NULL), VIRTIO_BLK_S_OK);
    for (unsigned i = 8; i-- > 0;) {
        pattern(expected, sizeof expected, i);
        memset(data(f), 0, sizeof expected);
        assert_int_equal(request(f, VIRTIO_BLK_T_IN, i * 128, sizeof expected, &length),
                         VIRTIO_BLK_S_OK);
        assert_int_equal(length, sizeof expected + 1);
        assert_memory_equal(data(f), expected, sizeof expected);
    }
    assert_int_equal(counter_read(&f->device->queues[0].counters.errors), 0);
}

/* Header, data and status in pieces that have nothing to do with their borders (2.7.4). */
static void framing_is_the_drivers_choice(void **state)
{
    struct fixture *f = *state;
    const uint64_t out = MOCK_BUFFERS + 0x20000;
    const struct virtio_blk_outhdr header = {.type = VIRTIO_BLK_T_OUT, .sector = 4};
    uint8_t *bytes = mock_at(&f->guest, out, 16 + 1024);
    const struct mock_descriptor write[] = {
        {out, 3, 0, 0},
        {out + 3, 9, 0, 0},
        {out + 12, 4 + 100, 0, 0},
        {out + 116, 1, 0, 0},
        {out + 117, 16 + 1024 - 117, 0, 0},
        {STATUS, 1, VRING_DESC_F_WRITE, 0},
    };
    const struct mock_descriptor read[] = {
        {HEADER, 1, 0, 0},
        {HEADER + 1, 15, 0, 0},
        {DATA, 700, VRING_DESC_F_WRITE, 0},
        {DATA + 700, 325, VRING_DESC_F_WRITE, 0}, /* the end of the data, and the status */
    };
    uint32_t length;

    mock_start(&f->driver, ALL_FEATURES, 16);
    memcpy(bytes, &header, 16);
    pattern(bytes + 16, 1024, 5);
    assert_int_equal(run(f, write, 6, &length), VIRTIO_BLK_S_OK);
    put_header(f, VIRTIO_BLK_T_IN, 4);
    data(f)[1024] = 0xee;
    run(f, read, 4, &length);
    assert_int_equal(data(f)[1024], VIRTIO_BLK_S_OK);
    assert_int_equal(length, 1025);
    assert_memory_equal(data(f), bytes + 16, 1024);
}

/* seg_max segments behind one indirect descriptor, each on a page of its own, out of order. */
static void many_segments_make_one_request(void **state)
{
    struct fixture *f = *state;
    enum { SEGMENTS = 254 };
    const struct mock_descriptor reference = {TABLE, (SEGMENTS + 2) * 16, VRING_DESC_F_INDIRECT, 0};
    static uint8_t expected[SEGMENTS * 512];

    mock_start(&f->driver, ALL_FEATURES, 16);
    for (unsigned pass = 0; pass < 2; pass++) {
        uint16_t write = pass ? VRING_DESC_F_WRITE : 0;

        put_header(f, pass ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT, 10);
        mock_set_table_entry(&f->guest, TABLE, 0,
                             &(struct mock_descriptor){HEADER, 16, VRING_DESC_F_NEXT, 1});
        for (unsigned i = 0; i < SEGMENTS; i++) {
            uint64_t at = DATA + (uint64_t)(SEGMENTS - 1 - i) * 4096;

            mock_set_table_entry(&f->guest, TABLE, i + 1,
                                 &(struct mock_descriptor){at, 512, VRING_DESC_F_NEXT | write,
                                                           (uint16_t)(i + 2)});
            if (pass == 0)
                pattern(mock_at(&f->guest, at, 512), 512, i);
            else
                memset(mock_at(&f->guest, at, 512), 0, 512);
            pattern(expected + i * 512, 512, i);
        }
        mock_set_table_entry(&f->guest, TABLE, SEGMENTS + 1,
                             &(struct mock_descriptor){STATUS, 1, VRING_DESC_F_WRITE, 0});
        assert_int_equal(run(f, &reference, 1, NULL), VIRTIO_BLK_S_OK);
    }
    for (unsigned i = 0; i < SEGMENTS; i++)
        assert_memory_equal(mock_at(&f->guest, DATA + (uint64_t)(SEGMENTS - 1 - i) * 4096, 512),
                            expected + i * 512, 512);
}

static void a_full_ring_is_one_batch(void **state)
{
    struct fixture *f = *state;
    uint16_t size = 256;
    uint32_t head, length;

    mock_start(&f->driver, ALL_FEATURES | MOCK_EVENT_IDX, size);
    put_header(f, VIRTIO_BLK_T_IN, 0);
    for (unsigned i = 0; i < 64; i++) {
        const struct mock_descriptor buffers[] = {
            {HEADER, 16, 0, 0},
            {DATA + i * 512, 512, VRING_DESC_F_WRITE, 0},
            {STATUS + i, 1, VRING_DESC_F_WRITE, 0},
        };

        *(uint8_t *)mock_at(&f->guest, STATUS + i, 1) = 0xee;
        mock_add(f->ring, buffers, 3);
    }
    mock_kick(&f->driver, 0);
    await(f, 64);
    for (unsigned i = 0; i < 64; i++) {
        assert_true(mock_take(f->ring, &head, &length));
        assert_int_equal(*(uint8_t *)mock_at(&f->guest, STATUS + i, 1), VIRTIO_BLK_S_OK);
        assert_int_equal(length, 513);
    }
    assert_int_equal(counter_read(&f->device->queues[0].counters.interrupts), 1);
}

/* --- bad requests --- */

static void requests_past_the_end_fail(void **state)
{
    struct fixture *f = *state;
    uint32_t length;

    mock_start(&f->driver, ALL_FEATURES, 16);
    memset(data(f), 0x77, 1024);
    assert_int_equal(request(f, VIRTIO_BLK_T_IN, SECTORS, 512, &length), VIRTIO_BLK_S_IOERR);
    assert_int_equal(length, 0); /* no byte of the data is promised */
    assert_int_equal(request(f, VIRTIO_BLK_T_IN, SECTORS - 1, 1024, NULL), VIRTIO_BLK_S_IOERR);
    assert_int_equal(request(f, VIRTIO_BLK_T_IN, ~0ull, 512, NULL), VIRTIO_BLK_S_IOERR);
    assert_int_equal(request(f, VIRTIO_BLK_T_OUT, ~0ull / 512 + 1, 512, &length),
                     VIRTIO_BLK_S_IOERR);
    assert_int_equal(length, 1);
    assert_int_equal(request(f, VIRTIO_BLK_T_OUT, SECTORS, 512, NULL), VIRTIO_BLK_S_IOERR);
    assert_int_equal(request(f, VIRTIO_BLK_T_IN, SECTORS - 1, 512, NULL), VIRTIO_BLK_S_OK);
    assert_int_equal(data(f)[0], 0);
    assert_int_equal(data(f)[512], 0x77);
    assert_int_equal(counter_read(&f->device->queues[0].counters.errors), 5);
    assert_int_equal(mock_status(&f->driver), MOCK_ALIVE);
}

static void odd_requests_are_answered(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor short_header[] = {
        {HEADER, 15, 0, 0},
        {STATUS, 1, VRING_DESC_F_WRITE, 0},
    };
    const struct mock_descriptor only_status[] = {{STATUS, 1, VRING_DESC_F_WRITE, 0}};

    mock_start(&f->driver, ALL_FEATURES, 16);
    assert_int_equal(request(f, VIRTIO_BLK_T_IN, 0, 511, NULL), VIRTIO_BLK_S_IOERR);
    assert_int_equal(request(f, VIRTIO_BLK_T_OUT, 0, 513, NULL), VIRTIO_BLK_S_IOERR);
    assert_int_equal(request(f, 2, 0, 512, NULL), VIRTIO_BLK_S_UNSUPP);
    assert_int_equal(request(f, 0xffffffff, 0, 512, NULL), VIRTIO_BLK_S_UNSUPP);
    put_header(f, VIRTIO_BLK_T_IN, 0);
    assert_int_equal(run(f, short_header, 2, NULL), VIRTIO_BLK_S_IOERR);
    put_header(f, VIRTIO_BLK_T_IN, 0);
    assert_int_equal(run(f, only_status, 1, NULL), VIRTIO_BLK_S_IOERR);
    assert_int_equal(request(f, VIRTIO_BLK_T_IN, 0, 0, NULL), VIRTIO_BLK_S_OK);
    assert_int_equal(mock_status(&f->driver), MOCK_ALIVE);
}

static void no_room_for_a_status_needs_a_reset(void **state)
{
    struct fixture *f = *state;
    const struct mock_descriptor header = {HEADER, 16, 0, 0};
    const struct mock_descriptor empty = {HEADER, 0, 0, 0};

    for (unsigned i = 0; i < 300; i++) { /* more often than there are request slots */
        mock_start(&f->driver, ALL_FEATURES, 16);
        put_header(f, VIRTIO_BLK_T_FLUSH, 0);
        mock_add(f->ring, i % 2 ? &header : &empty, 1);
        mock_kick(&f->driver, 0);
        assert_true(mock_status(&f->driver) & VIRTIO_CONFIG_S_NEEDS_RESET);
        assert_int_equal(mock_used_idx(f->ring), 0);
    }
    assert_int_equal(f->guest.log_lines, 1);
    mock_start(&f->driver, ALL_FEATURES, 16);
    assert_int_equal(request(f, VIRTIO_BLK_T_IN, 0, 512, NULL), VIRTIO_BLK_S_OK);
}

static void features_not_accepted_do_not_exist(void **state)
{
    struct fixture *f = *state;

    mock_start(&f->driver, 0, 16);
    memset(data(f), 0, 16);
    assert_int_equal(request(f, VIRTIO_BLK_T_FLUSH, 0, 0, NULL), VIRTIO_BLK_S_UNSUPP);
    assert_int_equal(request(f, VIRTIO_BLK_T_DISCARD, 0, 16, NULL), VIRTIO_BLK_S_UNSUPP);
    assert_int_equal(request(f, VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, NULL), VIRTIO_BLK_S_UNSUPP);
}

static void who_cannot_flush_writes_through(void **state)
{
    struct fixture *f = *state;

    close_device(f);
    open_device_with(f, false, DISK_ENGINE_SYNC); /* whose calls can be counted */
    mock_start(&f->driver, 0, 16);
    syncs = 0;
    assert_int_equal(request(f, VIRTIO_BLK_T_OUT, 0, 512, NULL), VIRTIO_BLK_S_OK);
    assert_int_equal(syncs, 1);
    assert_false(mock_take(f->ring, NULL, NULL)); /* one answer for both */

    mock_start(&f->driver, ALL_FEATURES, 16);
    syncs = 0;
    assert_int_equal(request(f, VIRTIO_BLK_T_OUT, 0, 512, NULL), VIRTIO_BLK_S_OK);
    assert_int_equal(syncs, 0);
    assert_int_equal(request(f, VIRTIO_BLK_T_FLUSH, 0, 0, NULL), VIRTIO_BLK_S_OK);
    assert_int_equal(syncs, 1);
}

static void read_only_disks_refuse_writes(void **state)
{
    struct fixture *f = *state;

    close_device(f);
    open_device(f, true);
    assert_true(mock_offered(&f->driver) & MOCK_FEATURE(VIRTIO_BLK_F_RO));
    assert_false(mock_offered(&f->driver) & MOCK_FEATURE(VIRTIO_BLK_F_DISCARD));
    mock_start(&f->driver, 0, 16); /* whether the driver accepts RO or not */
    memset(data(f), 0x55, 512);
    assert_int_equal(request(f, VIRTIO_BLK_T_OUT, 0, 512, NULL), VIRTIO_BLK_S_IOERR);
    assert_int_equal(request(f, VIRTIO_BLK_T_IN, 0, 512, NULL), VIRTIO_BLK_S_OK);
    assert_int_equal(data(f)[0], 0);
}

/* --- discard and write zeroes --- */

static uint8_t ranges(struct fixture *f, uint32_t type,
                      const struct virtio_blk_discard_write_zeroes *list, unsigned count,
                      uint32_t size)
{
    const struct mock_descriptor buffers[] = {
        {HEADER, 16, 0, 0},
        {RANGES, size, 0, 0},
        {STATUS, 1, VRING_DESC_F_WRITE, 0},
    };

    memcpy(mock_at(&f->guest, RANGES, 1024), list, count * sizeof list[0]);
    put_header(f, type, 0);
    return run(f, buffers, 3, NULL);
}

static void fill_disk(struct fixture *f)
{
    memset(data(f), 0x5a, DISK_SIZE);
    assert_int_equal(request(f, VIRTIO_BLK_T_OUT, 0, DISK_SIZE, NULL), VIRTIO_BLK_S_OK);
    assert_int_equal(request(f, VIRTIO_BLK_T_FLUSH, 0, 0, NULL), VIRTIO_BLK_S_OK);
}

static uint64_t blocks(struct fixture *f)
{
    struct stat status;

    assert_int_equal(stat(f->scratch.path, &status), 0);
    return (uint64_t)status.st_blocks;
}

static void discard_leaves_holes(void **state)
{
    struct fixture *f = *state;
    const struct virtio_blk_discard_write_zeroes list[] = {
        {.sector = 0, .num_sectors = 512},
        {.sector = 1024, .num_sectors = 512},
        {.sector = 5, .num_sectors = 0},
    };
    uint64_t before;

    mock_start(&f->driver, ALL_FEATURES, 16);
    fill_disk(f);
    before = blocks(f);
    assert_int_equal(ranges(f, VIRTIO_BLK_T_DISCARD, list, 3, 48), VIRTIO_BLK_S_OK);
    assert_true(blocks(f) <= before - 1024 + 128);
    assert_int_equal(request(f, VIRTIO_BLK_T_IN, 0, DISK_SIZE, NULL), VIRTIO_BLK_S_OK);
    for (unsigned sector = 0; sector < SECTORS; sector++)
        assert_int_equal(data(f)[sector * 512],
                         sector < 512 || (sector >= 1024 && sector < 1536) ? 0 : 0x5a);
}

static void write_zeroes_writes_zeroes(void **state)
{
    struct fixture *f = *state;
    struct virtio_blk_discard_write_zeroes range = {.sector = 3, .num_sectors = 1000};

    mock_start(&f->driver, ALL_FEATURES, 16);
    for (uint32_t unmap = 0; unmap < 2; unmap++) {
        fill_disk(f);
        range.flags = unmap;
        assert_int_equal(ranges(f, VIRTIO_BLK_T_WRITE_ZEROES, &range, 1, 16), VIRTIO_BLK_S_OK);
        assert_int_equal(request(f, VIRTIO_BLK_T_IN, 0, DISK_SIZE, NULL), VIRTIO_BLK_S_OK);
        for (unsigned sector = 0; sector < SECTORS; sector++)
            assert_int_equal(data(f)[sector * 512], sector >= 3 && sector < 1003 ? 0 : 0x5a);
    }
}

static void bad_ranges_change_nothing(void **state)
{
    struct fixture *f = *state;
    struct virtio_blk_discard_write_zeroes list[64] = {[1] = {.sector = 0, .num_sectors = 8}};
    struct virtio_blk_config config;
    uint64_t before;

    mock_start(&f->driver, ALL_FEATURES, 16);
    fill_disk(f);
    before = blocks(f);
    virtio_device_read_config(f->device, 0, &config, sizeof config);
    list[0].num_sectors = 8;

    assert_int_equal(ranges(f, VIRTIO_BLK_T_DISCARD, list, 1, 0), VIRTIO_BLK_S_IOERR);
    assert_int_equal(ranges(f, VIRTIO_BLK_T_DISCARD, list, 1, 15), VIRTIO_BLK_S_IOERR);
    assert_int_equal(ranges(f, VIRTIO_BLK_T_DISCARD, list, 2, 17), VIRTIO_BLK_S_IOERR);
    assert_int_equal(ranges(f, VIRTIO_BLK_T_DISCARD, list, 64,
                            (config.max_discard_seg + 1) * 16), VIRTIO_BLK_S_IOERR);
    assert_int_equal(ranges(f, VIRTIO_BLK_T_WRITE_ZEROES, list, 64,
                            (config.max_write_zeroes_seg + 1) * 16), VIRTIO_BLK_S_IOERR);
    /* The first range is good, the second is not: neither is carried out. */
    list[1].sector = SECTORS;
    assert_int_equal(ranges(f, VIRTIO_BLK_T_DISCARD, list, 2, 32), VIRTIO_BLK_S_IOERR);
    list[1] = (struct virtio_blk_discard_write_zeroes){~0ull, 2, 0};
    assert_int_equal(ranges(f, VIRTIO_BLK_T_DISCARD, list, 2, 32), VIRTIO_BLK_S_IOERR);
    list[1] = (struct virtio_blk_discard_write_zeroes){0, config.max_discard_sectors + 1, 0};
    assert_int_equal(ranges(f, VIRTIO_BLK_T_DISCARD, list, 2, 32), VIRTIO_BLK_S_IOERR);
    list[1] = (struct virtio_blk_discard_write_zeroes){0, 8, 1}; /* unmap is not for discard */
    assert_int_equal(ranges(f, VIRTIO_BLK_T_DISCARD, list, 2, 32), VIRTIO_BLK_S_UNSUPP);
    assert_int_equal(blocks(f), before);
    list[0].flags = 2;
    assert_int_equal(ranges(f, VIRTIO_BLK_T_WRITE_ZEROES, list, 1, 16), VIRTIO_BLK_S_UNSUPP);
    list[0].flags = 0;
    list[0].num_sectors = config.max_write_zeroes_sectors + 1;
    assert_int_equal(ranges(f, VIRTIO_BLK_T_WRITE_ZEROES, list, 1, 16), VIRTIO_BLK_S_IOERR);
    assert_int_equal(request(f, VIRTIO_BLK_T_IN, 0, 512, NULL), VIRTIO_BLK_S_OK);
    assert_int_equal(data(f)[0], 0x5a);
}

static void limits_hold_on_big_disks(void **state)
{
    struct fixture *f = *state;
    struct virtio_blk_discard_write_zeroes range = {.sector = 1};
    struct virtio_blk_config config;

    close_device(f);
    scratch_file(&f->scratch, "big", 16ull << 30);
    open_device(f, false);
    virtio_device_read_config(f->device, 0, &config, sizeof config);
    mock_start(&f->driver, ALL_FEATURES, 16);
    range.num_sectors = config.max_discard_sectors;
    assert_int_equal(ranges(f, VIRTIO_BLK_T_DISCARD, &range, 1, 16), VIRTIO_BLK_S_OK);
    range.num_sectors++;
    assert_int_equal(ranges(f, VIRTIO_BLK_T_DISCARD, &range, 1, 16), VIRTIO_BLK_S_IOERR);
    range = (struct virtio_blk_discard_write_zeroes){1, config.max_write_zeroes_sectors, 1};
    assert_int_equal(ranges(f, VIRTIO_BLK_T_WRITE_ZEROES, &range, 1, 16), VIRTIO_BLK_S_OK);
    range.num_sectors++;
    assert_int_equal(ranges(f, VIRTIO_BLK_T_WRITE_ZEROES, &range, 1, 16), VIRTIO_BLK_S_IOERR);
    assert_int_equal(request(f, VIRTIO_BLK_T_OUT, config.capacity - 8, 4096, NULL),
                     VIRTIO_BLK_S_OK);
}

/* As many segments as a chain holds, all over the same memory; the first of `first` bytes. */
static uint8_t longest_read(struct fixture *f, const struct virtio_blk_config *config,
                            uint32_t first)
{
    struct mock_descriptor buffers[256] = {{HEADER, 16, 0, 0}};
    unsigned count = 1;

    put_header(f, VIRTIO_BLK_T_IN, 0);
    while (count <= config->seg_max) {
        uint32_t size = count == 1 ? first : config->size_max;

        buffers[count++] = (struct mock_descriptor){DATA, size, VRING_DESC_F_WRITE, 0};
    }
    buffers[count++] = (struct mock_descriptor){STATUS, 1, VRING_DESC_F_WRITE, 0};
    return run(f, buffers, count, NULL);
}

static void no_transfer_is_longer_than_was_offered(void **state)
{
    struct fixture *f = *state;
    struct virtio_blk_config config;

    close_device(f);
    scratch_file(&f->scratch, "big", 1ull << 30);
    open_device(f, false);
    virtio_device_read_config(f->device, 0, &config, sizeof config);
    mock_start(&f->driver, ALL_FEATURES, 256);
    assert_int_equal(longest_read(f, &config, config.size_max), VIRTIO_BLK_S_OK);
    assert_int_equal(longest_read(f, &config, config.size_max + 512), VIRTIO_BLK_S_IOERR);
}

/* --- trouble --- */

static void a_failing_host_is_an_error_and_one_line(void **state)
{
    struct fixture *f = *state;
    struct rlimit old, small;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);

    mock_start(&f->driver, ALL_FEATURES, 16);
    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){4096, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(request(f, VIRTIO_BLK_T_OUT, 0, 8192, NULL), VIRTIO_BLK_S_IOERR);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, handler);
    assert_int_equal(f->guest.log_lines, 1);
    assert_non_null(strstr(f->guest.last_log_line, "File too large"));
    assert_int_equal(request(f, VIRTIO_BLK_T_OUT, 0, 8192, NULL), VIRTIO_BLK_S_OK);
    assert_int_equal(mock_status(&f->driver), MOCK_ALIVE);
}

static void the_device_works_again_after_any_reset(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 400; i++) {
        mock_start(&f->driver, ALL_FEATURES, 16);
        put_header(f, VIRTIO_BLK_T_IN, 0);
        if (i % 3 == 0) { /* with a request on the ring that was never served */
            const struct mock_descriptor buffers[] = {{HEADER, 16, 0, 0},
                                                      {STATUS, 1, VRING_DESC_F_WRITE, 0}};

            mock_add(f->ring, buffers, 2);
            mock_write32(&f->driver, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
            mock_write32(&f->driver, VIRTIO_MMIO_STATUS, 0);
        } else {
            assert_int_equal(request(f, VIRTIO_BLK_T_IN, 0, 512, NULL), VIRTIO_BLK_S_OK);
        }
    }
}

static void a_snapshot_belongs_to_its_disk(void **state)
{
    struct fixture *f = *state;
    struct state_writer writer = {0};
    struct state_reader reader;
    struct err err = {0};

    mock_start(&f->driver, ALL_FEATURES, 16);
    memset(data(f), 0x42, 512);
    assert_int_equal(request(f, VIRTIO_BLK_T_OUT, 9, 512, NULL), VIRTIO_BLK_S_OK);
    mock_save(&f->driver, &writer);
    close_device(f);

    for (unsigned i = 0; i < 2; i++) {
        struct mock_ring ring = *f->ring;

        if (i == 0)
            scratch_file(&f->scratch, "other", DISK_SIZE / 2);
        else
            strcpy(strrchr(f->scratch.path, '/'), "/image");
        open_device(f, false);
        *f->ring = ring;
        reader = (struct state_reader){.data = writer.data, .size = writer.size};
        if (i == 0) {
            assert_int_equal(mock_restore(&f->driver, &reader, &err), -EINVAL);
            assert_non_null(strstr(err.message, "another disk"));
            close_device(f);
        } else {
            assert_int_equal(mock_restore(&f->driver, &reader, &err), 0);
        }
    }
    mock_settle(&f->guest);
    memset(data(f), 0, 512);
    assert_int_equal(request(f, VIRTIO_BLK_T_IN, 9, 512, NULL), VIRTIO_BLK_S_OK);
    assert_int_equal(data(f)[511], 0x42);
    state_writer_free(&writer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(config_tells_the_disk),
        TEST(the_serial_is_20_bytes),
        TEST(used_lengths_promise_no_more_than_was_written),
        TEST(what_is_written_is_read),
        TEST(framing_is_the_drivers_choice),
        TEST(many_segments_make_one_request),
        TEST(a_full_ring_is_one_batch),
        TEST(requests_past_the_end_fail),
        TEST(odd_requests_are_answered),
        TEST(no_room_for_a_status_needs_a_reset),
        TEST(features_not_accepted_do_not_exist),
        TEST(who_cannot_flush_writes_through),
        TEST(read_only_disks_refuse_writes),
        TEST(discard_leaves_holes),
        TEST(write_zeroes_writes_zeroes),
        TEST(bad_ranges_change_nothing),
        TEST(limits_hold_on_big_disks),
        TEST(no_transfer_is_longer_than_was_offered),
        TEST(a_failing_host_is_an_error_and_one_line),
        TEST(the_device_works_again_after_any_reset),
        TEST(a_snapshot_belongs_to_its_disk),
    };

    int failed = 0;

    for (engine = DISK_ENGINE_AUTO; engine <= DISK_ENGINE_SYNC; engine++) {
        print_message("engine %d\n", engine);
        failed += cmocka_run_group_tests(tests, NULL, NULL);
    }
    return failed;
}
