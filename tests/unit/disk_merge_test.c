/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that follow each other on the disk, by either engine. */
#include "devices/disk/channel.h"
#include "devices/disk/merge.h"
#include "support/scratch.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define DEPTH 64u

static enum disk_engine_choice engine;

struct fixture {
    struct scratch scratch;
    struct loop loop;
    struct disk *disk;
    struct disk_channel *channel;
};

static struct fixture *with_image(void **state, uint64_t size)
{
    struct fixture *f = *state;
    const struct disk_options options = {.path = scratch_file(&f->scratch, "image", size),
                                         .engine = engine};
    const struct disk_channel_options channel = {.loop = &f->loop, .depth = DEPTH};

    assert_int_equal(disk_open(&f->disk, &options, NULL), 0);
    assert_int_equal(disk_channel_open(&f->channel, f->disk, &channel, NULL), 0);
    return f;
}

static int open_fixture(void **state)
{
    static struct fixture f;

    f = (struct fixture){.disk = NULL};
    scratch_open(&f.scratch);
    assert_int_equal(loop_open(&f.loop, NULL), 0);
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;

    disk_channel_close(f->channel);
    disk_close(f->disk);
    loop_close(&f->loop);
    scratch_close(&f->scratch);
    return 0;
}

struct job {
    struct disk_request request;
    struct iovec iov;
    unsigned done;
    int result;
};

static void job_done(struct disk_request *request, int result)
{
    struct job *job = request->owner;

    job->result = result;
    job->done++;
}

static void submit_job(struct fixture *f, struct job *job, enum disk_operation operation,
                       uint64_t offset, void *bytes, size_t size)
{
    *job = (struct job){.iov = {bytes, size}};
    job->request = (struct disk_request){
        .operation = operation,
        .offset = offset,
        .length = size,
        .iov = &job->iov,
        .iov_count = 1,
        .owner = job,
        .done = job_done,
    };
    disk_channel_submit(f->channel, &job->request);
}

static void expect_done(const struct job *jobs, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(jobs[i].done, 1);
        assert_int_equal(jobs[i].result, 0);
    }
}

static void read_back(struct fixture *f, uint64_t offset, void *bytes, size_t size)
{
    struct job job;

    submit_job(f, &job, DISK_READ, offset, bytes, size);
    disk_channel_commit(f->channel);
    disk_channel_drain(f->channel);
    expect_done(&job, 1);
}

static uint8_t pattern(unsigned block, size_t at)
{
    return (uint8_t)(block * 37 + at / 3 + 1);
}

enum { PIECE = 4096, PIECES = 40 };

static uint8_t pieces[PIECES][PIECE] __attribute__((aligned(4096)));
static struct job piece_jobs[PIECES];

static uint64_t merged(const struct fixture *f)
{
    return counter_read(&disk_channel_counters(f->channel)->merged);
}

static void fill_pieces(unsigned seed)
{
    for (unsigned i = 0; i < PIECES; i++)
        for (size_t at = 0; at < PIECE; at++)
            pieces[i][at] = seed ? pattern(i + seed, at) : 0;
}

static void expect_pieces(unsigned seed)
{
    for (unsigned i = 0; i < PIECES; i++)
        for (size_t at = 0; at < PIECE; at++)
            assert_int_equal(pieces[i][at], pattern(i + seed, at));
}

static void neighbours_go_to_the_host_as_one(void **state)
{
    struct fixture *f = with_image(state, PIECES * PIECE);

    fill_pieces(7);
    for (unsigned i = 0; i < PIECES; i++)
        submit_job(f, &piece_jobs[i], DISK_WRITE, i * PIECE, pieces[i], PIECE);
    disk_channel_commit(f->channel);
    disk_channel_drain(f->channel);
    expect_done(piece_jobs, PIECES);
    assert_int_equal(merged(f), PIECES);

    fill_pieces(0);
    for (unsigned i = 0; i < PIECES; i++)
        submit_job(f, &piece_jobs[i], DISK_READ, i * PIECE, pieces[i], PIECE);
    disk_channel_commit(f->channel);
    disk_channel_drain(f->channel);
    expect_done(piece_jobs, PIECES);
    expect_pieces(7);
    assert_int_equal(merged(f), 2 * PIECES);
    assert_int_equal(counter_read(&disk_channel_counters(f->channel)->requests[DISK_READ]),
                     PIECES);
    assert_int_equal(counter_read(&disk_channel_counters(f->channel)->bytes_read),
                     PIECES * PIECE);
}

/* Neither other directions, nor gaps, nor what is durable at once, nor a flush in between. */
static void only_neighbours_are_merged(void **state)
{
    struct fixture *f = with_image(state, PIECES * PIECE);
    struct job flush;

    fill_pieces(3);
    for (unsigned i = 0; i < 8; i += 2)
        submit_job(f, &piece_jobs[i], DISK_WRITE, i * PIECE, pieces[i], PIECE);
    submit_job(f, &piece_jobs[1], DISK_READ, 7 * PIECE, pieces[1], PIECE);
    submit_job(f, &piece_jobs[3], DISK_WRITE, 8 * PIECE, pieces[3], PIECE);
    submit_job(f, &flush, DISK_FLUSH, 0, NULL, 0);
    submit_job(f, &piece_jobs[5], DISK_WRITE, 9 * PIECE, pieces[5], PIECE);
    disk_channel_commit(f->channel);
    disk_channel_drain(f->channel);
    assert_int_equal(flush.done, 1);
    assert_int_equal(merged(f), 0);
}

/* One of a run fails, here because it passes the end: the others do not suffer. */
static void a_bad_one_among_neighbours_fails_alone(void **state)
{
    struct fixture *f = with_image(state, (PIECES - 1) * PIECE);

    fill_pieces(5);
    for (unsigned i = 0; i < PIECES; i++)
        submit_job(f, &piece_jobs[i], DISK_WRITE, i * PIECE, pieces[i], PIECE);
    disk_channel_commit(f->channel);
    disk_channel_drain(f->channel);
    expect_done(piece_jobs, PIECES - 1);
    assert_int_equal(piece_jobs[PIECES - 1].done, 1);
    assert_int_equal(piece_jobs[PIECES - 1].result, -EINVAL);
    fill_pieces(0);
    read_back(f, 0, pieces, (PIECES - 1) * PIECE);
    assert_int_equal(pieces[PIECES - 2][0], pattern(PIECES - 2 + 5, 0));
    assert_int_equal(pieces[0][77], pattern(5, 77));
}

/* Pairs with gaps between them: more runs than there is memory for, and so the rest goes alone. */
static void more_runs_than_there_are_go_unmerged(void **state)
{
    enum { JOBS = DEPTH };
    static struct job jobs[JOBS];
    static uint8_t sectors[JOBS][512] __attribute__((aligned(4096)));
    struct fixture *f = with_image(state, JOBS * 512 * 2);

    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < JOBS; i++) {
            memset(sectors[i], (int)(i + round + 1), 512);
            submit_job(f, &jobs[i], DISK_WRITE, (i / 2 * 4 + i % 2) * 512ull, sectors[i], 512);
        }
        disk_channel_commit(f->channel);
        disk_channel_drain(f->channel);
        expect_done(jobs, JOBS);
    }
    for (unsigned i = 0; i < JOBS; i++) {
        uint8_t back[512] __attribute__((aligned(512)));

        read_back(f, (i / 2 * 4 + i % 2) * 512ull, back, 512);
        assert_int_equal(back[511], (uint8_t)(i + 3));
    }
}

/* Requests of 128 KiB without end: how many make a run. */
static unsigned members_of_a_run(enum disk_operation operation)
{
    enum { SIZE = 128 << 10, REQUESTS = 64 };
    struct disk_request requests[REQUESTS], *released = NULL;
    struct iovec iov = {NULL, SIZE};
    struct merge merge = {.held = NULL};
    unsigned count = 0;

    assert_int_equal(merge_open(&merge), 0);
    for (; count < REQUESTS && !released; count++) {
        requests[count] = (struct disk_request){.operation = operation,
                                                .offset = (uint64_t)count * SIZE,
                                                .length = SIZE,
                                                .iov = &iov,
                                                .iov_count = 1};
        assert_true(merge_take(&merge, &requests[count], &released));
    }
    assert_non_null(released);
    assert_int_equal(released->length, (count - 1) * SIZE);
    assert_int_equal(released->iov_count, count - 1);
    merge_close(&merge);
    return count - 1;
}

static void writes_make_longer_runs_than_reads(void **state)
{
    (void)state;
    assert_int_equal(members_of_a_run(DISK_READ), 2);
    assert_int_equal(members_of_a_run(DISK_WRITE), 16);
}

/* A run as long as any, with a part of it past the end of the disk; then it is read back. */
static void a_long_run_of_writes_arrives_whole(void **state)
{
    enum { SIZE = 128 << 10, WRITES = 20 };
    static uint8_t bytes[WRITES][SIZE] __attribute__((aligned(4096)));
    static struct job jobs[WRITES];
    struct fixture *f = with_image(state, (WRITES - 1) * SIZE);

    for (unsigned i = 0; i < WRITES; i++) {
        memset(bytes[i], (int)i + 1, SIZE);
        submit_job(f, &jobs[i], DISK_WRITE, (uint64_t)i * SIZE, bytes[i], SIZE);
    }
    disk_channel_commit(f->channel);
    disk_channel_drain(f->channel);
    expect_done(jobs, WRITES - 1);
    assert_int_equal(jobs[WRITES - 1].done, 1);
    assert_int_equal(jobs[WRITES - 1].result, -EINVAL);
    memset(bytes, 0, sizeof bytes);
    read_back(f, 0, bytes, (WRITES - 1) * SIZE);
    for (unsigned i = 0; i < WRITES - 1; i++)
        for (size_t at = 0; at < SIZE; at += 511)
            assert_int_equal(bytes[i][at], i + 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(neighbours_go_to_the_host_as_one),
        TEST(only_neighbours_are_merged),
        TEST(a_bad_one_among_neighbours_fails_alone),
        TEST(more_runs_than_there_are_go_unmerged),
        TEST(writes_make_longer_runs_than_reads),
        TEST(a_long_run_of_writes_arrives_whole),
    };
    int failed = 0;

    for (engine = DISK_ENGINE_IO_URING; engine <= DISK_ENGINE_SYNC; engine++)
        failed += cmocka_run_group_tests(tests, NULL, NULL);
    return failed;
}
