/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flushes and durable writes at the same time, on a host that loses data and says so once to each
 * description, as Linux does. The engine is the test, which decides when a step is done.
 */
#include "devices/disk/engine.h"
#include "support/scratch.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define CHANNELS 2u
#define STEPS_MAX 16u

struct fixture {
    struct scratch scratch;
    struct loop loop;
    struct disk *disk;
    struct disk_channel *channels[CHANNELS];
};

/* --- the host --- */

static struct started {
    struct disk_channel *channel;
    struct disk_request *request;
} started[STEPS_MAX];

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
    (void)result;
    assert_true(started_count < STEPS_MAX);
    started[started_count++] = (struct started){channel, request};
    return false;
}

static const struct disk_engine fake = {
    .name = "fake",
    .open = fake_open,
    .close = fake_nothing,
    .start = fake_start,
    .commit = fake_nothing,
    .wait = fake_nothing,
};

/* The oldest step that was started, which must be of this kind, is done. */
static void finish_step(enum disk_step_kind kind, long result)
{
    struct started first = started[0];

    assert_true(started_count > 0);
    assert_int_equal(first.request->step.kind, kind);
    memmove(started, started + 1, --started_count * sizeof started[0]);
    channel_stepped(first.channel, first.request, result);
}

/* --- requests --- */

struct job {
    struct disk_request request;
    struct iovec iov;
    uint8_t bytes[512];
    unsigned done;
    int result;
};

static void job_done(struct disk_request *request, int result)
{
    struct job *job = request->owner;

    job->result = result;
    job->done++;
}

static void begin_flush(struct disk_channel *channel, struct job *job)
{
    *job = (struct job){.request = {.operation = DISK_FLUSH, .owner = job, .done = job_done}};
    disk_channel_submit(channel, &job->request);
    disk_channel_commit(channel);
}

static void begin_durable_write(struct disk_channel *channel, struct job *job)
{
    *job = (struct job){.iov = {job->bytes, sizeof job->bytes}};
    job->request = (struct disk_request){
        .operation = DISK_WRITE,
        .durable = true,
        .length = sizeof job->bytes,
        .iov = &job->iov,
        .iov_count = 1,
        .owner = job,
        .done = job_done,
    };
    disk_channel_submit(channel, &job->request);
    disk_channel_commit(channel);
}

static void expect(const struct job *job, unsigned done, int result)
{
    assert_int_equal(job->done, done);
    assert_int_equal(job->result, result);
}

static int open_fixture(void **state)
{
    static struct fixture f;
    const struct disk_channel_options options = {.loop = &f.loop, .depth = STEPS_MAX};
    struct disk_options disk = {.cache = DISK_CACHE_WRITEBACK};

    scratch_open(&f.scratch);
    disk.path = scratch_file(&f.scratch, "image", 4096);
    assert_int_equal(loop_open(&f.loop, NULL), 0);
    assert_int_equal(disk_open(&f.disk, &disk, NULL), 0);
    for (unsigned i = 0; i < CHANNELS; i++) {
        assert_int_equal(disk_channel_open(&f.channels[i], f.disk, &options, NULL), 0);
        f.channels[i]->engine = &fake;
    }
    started_count = 0;
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(started_count, 0);
    for (unsigned i = 0; i < CHANNELS; i++) {
        assert_int_equal(f->channels[i]->in_flight, 0);
        disk_channel_close(f->channels[i]);
    }
    disk_close(f->disk);
    loop_close(&f->loop);
    scratch_close(&f->scratch);
    return 0;
}

/* --- tests --- */

/* Nobody else asks by a channel's description, so that nobody takes a report away from it. */
static void each_channel_syncs_by_its_own_description(void **state)
{
    struct fixture *f = *state;
    const struct disk_step sync = {.kind = STEP_SYNC}, write = {.kind = STEP_WRITE};
    int first = step_fd(f->channels[0], &sync), second = step_fd(f->channels[1], &sync);

    assert_true(first >= 0 && second >= 0 && first != second);
    assert_int_not_equal(step_fd(f->channels[0], &write), first);
}

/* The host would give its report to one of two. */
static void a_channel_has_one_sync_at_a_time(void **state)
{
    struct disk_channel *channel = ((struct fixture *)*state)->channels[0];
    struct job first, second, third, last;

    begin_flush(channel, &first);
    begin_flush(channel, &second);
    begin_flush(channel, &third);
    assert_int_equal(started_count, 1);
    finish_step(STEP_SYNC, 0);
    expect(&first, 1, 0);
    assert_int_equal(started_count, 1);
    begin_flush(channel, &last);
    assert_int_equal(started_count, 1);
    expect(&second, 0, 0);
    finish_step(STEP_SYNC, 0);
    expect(&second, 1, 0);
    expect(&third, 1, 0);
    expect(&last, 0, 0);
    finish_step(STEP_SYNC, 0);
    expect(&last, 1, 0);
}

static void a_loss_concerns_all_that_wait_for_it(void **state)
{
    struct disk_channel *channel = ((struct fixture *)*state)->channels[0];
    struct job first, second, third, write, last;

    begin_durable_write(channel, &write);
    begin_flush(channel, &first);
    finish_step(STEP_WRITE, 512);
    begin_flush(channel, &second);
    begin_flush(channel, &third);
    finish_step(STEP_SYNC, 0);
    expect(&first, 1, 0);
    finish_step(STEP_SYNC, -ENOSPC);
    expect(&write, 1, -ENOSPC);
    expect(&second, 1, -ENOSPC);
    expect(&third, 1, -ENOSPC);
    begin_flush(channel, &last);
    finish_step(STEP_SYNC, 0);
    expect(&last, 1, -EIO);
}

/* What was lost before is not theirs, and a flush after it still tells of that. */
static void durable_writes_go_on_after_a_loss(void **state)
{
    struct fixture *f = *state;
    struct job write, flush;

    begin_flush(f->channels[0], &flush);
    finish_step(STEP_SYNC, -EIO);
    expect(&flush, 1, -EIO);
    begin_durable_write(f->channels[1], &write);
    finish_step(STEP_WRITE, 512);
    expect(&write, 0, 0);
    finish_step(STEP_SYNC, 0);
    expect(&write, 1, 0);
    begin_flush(f->channels[1], &flush);
    finish_step(STEP_SYNC, 0);
    expect(&flush, 1, -EIO);
}

/* The guest knows of it: the disk has lost nothing. */
static void a_refused_write_is_no_loss(void **state)
{
    struct disk_channel *channel = ((struct fixture *)*state)->channels[0];
    struct job write, flush;

    begin_durable_write(channel, &write);
    finish_step(STEP_WRITE, -ENOSPC);
    expect(&write, 1, -ENOSPC);
    begin_flush(channel, &flush);
    finish_step(STEP_SYNC, 0);
    expect(&flush, 1, 0);
}

static void an_interrupted_sync_is_done_again(void **state)
{
    struct disk_channel *channel = ((struct fixture *)*state)->channels[0];
    struct job jobs[4];

    for (unsigned i = 0; i < 4; i++)
        begin_flush(channel, &jobs[i]);
    finish_step(STEP_SYNC, -ECANCELED);
    finish_step(STEP_SYNC, -EINTR);
    while (started_count > 0) {
        assert_int_equal(started_count, 1);
        finish_step(STEP_SYNC, 0);
    }
    for (unsigned i = 0; i < 4; i++)
        expect(&jobs[i], 1, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_channel_syncs_by_its_own_description),
        TEST(a_channel_has_one_sync_at_a_time),
        TEST(a_loss_concerns_all_that_wait_for_it),
        TEST(durable_writes_go_on_after_a_loss),
        TEST(a_refused_write_is_no_loss),
        TEST(an_interrupted_sync_is_done_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
