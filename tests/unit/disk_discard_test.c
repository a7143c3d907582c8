/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Discards on a block device whose kernel has none that does not wait (before Linux 6.12): a file
 * that is called a device, as io_uring refuses the command for it, and ioctl() is the test's.
 */
#include "devices/disk/engine.h"
#include "support/pump.h"
#include "support/scratch.h"

#include <errno.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#define PIECES 5u
#define SIZE (PIECES * DISCARD_SIZE)

static unsigned pieces;
static uint64_t next_offset;

/* In front of libc's: counts discards, which must be of one piece each, in order. */
int ioctl(int fd, unsigned long what, ...)
{
    const uint64_t *range;
    va_list arguments;
    void *argument;

    va_start(arguments, what);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    if (what != BLKDISCARD)
        return (int)syscall(SYS_ioctl, fd, what, argument);
    range = argument;
    assert_int_equal(range[0], next_offset);
    assert_int_equal(range[1], DISCARD_SIZE);
    next_offset += range[1];
    pieces++;
    usleep(1000); /* more than a loop looks around for before it serves its sources */
    return 0;
}

struct fixture {
    struct scratch scratch;
    struct loop loop;
    struct disk *disk;
    struct disk_channel *channel;
    struct loop_source other;
    unsigned others_turns;
};

static void other_is_ready(struct loop_source *source, uint32_t events)
{
    struct fixture *f = (struct fixture *)((char *)source - offsetof(struct fixture, other));

    (void)events;
    f->others_turns++;
}

static int open_fixture(void **state)
{
    static struct fixture f;
    const struct disk_channel_options options = {.loop = &f.loop, .depth = 4};
    struct disk_options disk = {.engine = DISK_ENGINE_IO_URING};

    f = (struct fixture){.other = {.fd = -1, .ready = other_is_ready}};
    scratch_open(&f.scratch);
    disk.path = scratch_file(&f.scratch, "image", SIZE);
    assert_int_equal(loop_open(&f.loop, NULL), 0);
    assert_int_equal(disk_open(&f.disk, &disk, NULL), 0);
    assert_int_equal(disk_channel_open(&f.channel, f.disk, &options, NULL), 0);
    f.disk->block_device = true;
    assert_int_equal(loop_watch_event(&f.loop, &f.other, "another source", NULL), 0);
    loop_watch(&f.loop, &f.other, EPOLLOUT); /* always ready */
    pieces = 0;
    next_offset = 0;
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;

    disk_channel_close(f->channel);
    disk_close(f->disk);
    loop_watch(&f->loop, &f->other, 0);
    close(f->other.fd);
    loop_close(&f->loop);
    scratch_close(&f->scratch);
    return 0;
}

static unsigned done;
static int last_result;

static void keep_result(struct disk_request *request, int result)
{
    (void)request;
    last_result = result;
    done++;
}

static void begin_discard(struct fixture *f, struct disk_request *request)
{
    *request = (struct disk_request){
        .operation = DISK_DISCARD, .length = SIZE, .done = keep_result};
    done = 0;
    disk_channel_submit(f->channel, request);
    disk_channel_commit(f->channel);
}

static void others_have_their_turn_between_pieces(void **state)
{
    struct fixture *f = *state;
    struct disk_request request;

    begin_discard(f, &request);
    while (!done) {
        unsigned before = pieces, turns = f->others_turns;

        loop_turn(&f->loop, -1);
        assert_in_range(pieces - before, 0, 1);
        assert_int_equal(f->others_turns, turns + 1);
    }
    assert_int_equal(last_result, 0);
    assert_int_equal(pieces, PIECES);
    assert_null(f->loop.polls);
}

static void several_take_their_turns(void **state)
{
    struct fixture *f = *state;
    struct disk_request request, flush = {.operation = DISK_FLUSH, .done = keep_result};

    begin_discard(f, &request);
    loop_turn(&f->loop, -1);
    disk_channel_submit(f->channel, &flush);
    disk_channel_commit(f->channel);
    while (done < 2)
        assert_true(pump_some(&f->loop));
    assert_int_equal(last_result, 0);
    assert_int_equal(pieces, PIECES);
}

static void a_drain_gives_the_rest_up(void **state)
{
    struct fixture *f = *state;
    struct disk_request request;

    begin_discard(f, &request);
    while (pieces < 2)
        loop_turn(&f->loop, -1);
    disk_channel_drain(f->channel);
    assert_int_equal(done, 1);
    assert_int_equal(last_result, 0);
    assert_int_equal(pieces, 2);
    assert_null(f->loop.polls);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(others_have_their_turn_between_pieces),
        TEST(several_take_their_turns),
        TEST(a_drain_gives_the_rest_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
