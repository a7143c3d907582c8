/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels to disks: that data is where it belongs and errors are told, the same list of tests for
 * each engine and each way to the host's disk.
 */
#include "devices/disk/channel.h"
#include "support/apart.h"
#include "support/pump.h"
#include "support/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (1024ull * 1024)
#define DEPTH 64u

/* What the list of tests runs with. */
static enum disk_engine_choice engine;
static enum disk_cache cache;

/* In front of libc's: a host that is interrupted at every other call, and transfers little. */
static size_t transfer_limit; /* bytes a call; 0: as the host does it */
static unsigned transfer_calls;
static unsigned syncs;
static int sync_error;

static ssize_t transfer_little(bool writing, int fd, const struct iovec *iov, int count, off_t at)
{
    struct iovec piece[1024];
    size_t left = transfer_limit ? transfer_limit : SIZE_MAX;
    int used = 0;

    if (transfer_limit && transfer_calls++ % 2 == 0) {
        errno = EINTR;
        return -1;
    }
    for (; used < count && left > 0; used++) {
        piece[used] = iov[used];
        if (piece[used].iov_len > left)
            piece[used].iov_len = left;
        left -= piece[used].iov_len;
    }
    return syscall(writing ? SYS_pwritev : SYS_preadv, fd, piece, used, at, 0);
}

ssize_t preadv(int fd, const struct iovec *iov, int count, off_t at)
{
    return transfer_little(false, fd, iov, count, at);
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t at)
{
    return transfer_little(true, fd, iov, count, at);
}

/* Counts, and fails if it is told to. */
int fdatasync(int fd)
{
    syncs++;
    if (sync_error) {
        errno = sync_error;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

struct fixture {
    struct scratch scratch;
    struct loop loop;
    struct disk *disk;
    struct disk_channel *channel;
    unsigned settled;
    struct err err;
};

static void count_settled(void *context)
{
    ((struct fixture *)context)->settled++;
}

static int open_fixture(void **state)
{
    static struct fixture f;

    f = (struct fixture){.err.code = 0};
    scratch_open(&f.scratch);
    assert_int_equal(loop_open(&f.loop, NULL), 0);
    *state = &f;
    return 0;
}

static void open_disk(struct fixture *f, const char *path, bool read_only)
{
    const struct disk_options options = {path, read_only, cache, engine};
    const struct disk_channel_options channel = {
        .loop = &f->loop, .depth = DEPTH, .settled = count_settled, .context = f};

    if (disk_open(&f->disk, &options, &f->err) ||
        disk_channel_open(&f->channel, f->disk, &channel, &f->err))
        fail_msg("%s", f->err.message);
}

static void close_disk(struct fixture *f)
{
    disk_channel_close(f->channel);
    disk_close(f->disk);
    f->channel = NULL;
    f->disk = NULL;
}

/* A sparse image of this size. */
static struct fixture *with_image(void **state, uint64_t size)
{
    struct fixture *f = *state;

    open_disk(f, scratch_file(&f->scratch, "image", size), false);
    return f;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;

    close_disk(f);
    loop_close(&f->loop);
    scratch_close(&f->scratch);
    return 0;
}

/* --- requests --- */

static int last_result;
static unsigned results;

static void keep_result(struct disk_request *request, int result)
{
    (void)request;
    last_result = result;
    results++;
}

/* Submits and returns the result; exactly one must come, by the loop alone. */
static int run(struct fixture *f, struct disk_request request)
{
    request.done = keep_result;
    results = 0;
    f->settled = 0;
    disk_channel_submit(f->channel, &request);
    disk_channel_commit(f->channel);
    while (results == 0)
        assert_true(pump_some(&f->loop));
    assert_int_equal(results, 1);
    assert_true(f->settled > 0);
    return last_result;
}

static int transfer(struct fixture *f, enum disk_operation operation, uint64_t offset,
                    const struct iovec *iov, unsigned count)
{
    struct iovec list[512]; /* for the disk to use up */
    struct disk_request request = {.operation = operation, .offset = offset, .iov = list,
                                   .iov_count = count};

    memcpy(list, iov, count * sizeof *iov);
    for (unsigned i = 0; i < count; i++)
        request.length += iov[i].iov_len;
    return run(f, request);
}

static int transfer_bytes(struct fixture *f, enum disk_operation operation, uint64_t offset,
                          void *bytes, size_t size)
{
    return transfer(f, operation, offset, &(struct iovec){bytes, size}, 1);
}

static int range(struct fixture *f, enum disk_operation operation, uint64_t offset,
                 uint64_t length, bool unmap)
{
    return run(f, (struct disk_request){.operation = operation, .offset = offset,
                                           .length = length, .unmap = unmap});
}

/* More pieces than one system call takes, of unequal size. */
static void long_list(struct fixture *f)
{
    enum { PIECES = 500 };
    static uint8_t out[PIECES * 300], in[PIECES * 300];
    struct iovec list[PIECES];
    size_t at = 0;

    for (size_t i = 0; i < sizeof out; i++)
        out[i] = (uint8_t)(i * 31 + i / 251);
    for (unsigned i = 0; i < PIECES; i++) {
        size_t size = i % 7 == 0 ? 0 : 1 + i % 299;

        list[i] = (struct iovec){out + at, size};
        at += size;
    }
    assert_int_equal(transfer(f, DISK_WRITE, 512, list, PIECES), 0);
    assert_int_equal(transfer_bytes(f, DISK_READ, 512, in, at), 0);
    assert_memory_equal(in, out, at);
    memset(in, 0, sizeof in);
    for (unsigned i = 0; i < PIECES; i++)
        list[i].iov_base = in + ((uint8_t *)list[i].iov_base - out);
    assert_int_equal(transfer(f, DISK_READ, 512, list, PIECES), 0);
    assert_memory_equal(in, out, at);
    assert_int_equal(run(f, (struct disk_request){.operation = DISK_FLUSH}), 0);
}

static void long_lists_keep_their_order(void **state)
{
    long_list(with_image(state, MIB));
}

/* Nothing is lost, nothing done twice, wherever the host stops in the list. */
static void short_transfers_go_on_where_they_ended(void **state)
{
    static const size_t limits[] = {1000, 511, 37};
    struct fixture *f = with_image(state, MIB);

    for (unsigned i = 0; i < 3; i++) {
        transfer_limit = limits[i];
        long_list(f);
    }
    transfer_limit = 0;
}

static void nothing_passes_the_end(void **state)
{
    struct fixture *f = with_image(state, 4096);
    struct stat status;
    char bytes[1024] = {0};

    assert_int_equal(transfer_bytes(f, DISK_WRITE, 4096, bytes, 512), -EINVAL);
    assert_int_equal(transfer_bytes(f, DISK_WRITE, 3584, bytes, 1024), -EINVAL);
    assert_int_equal(transfer_bytes(f, DISK_READ, ~0ull - 511, bytes, 512), -EINVAL);
    assert_int_equal(range(f, DISK_DISCARD, 512, ~0ull - 511, false), -EINVAL);
    assert_int_equal(range(f, DISK_WRITE_ZEROES, 4096, 1, false), -EINVAL);
    assert_int_equal(stat(f->scratch.path, &status), 0);
    assert_int_equal(status.st_size, 4096);
}

static void read_only_disks_stay_as_they_are(void **state)
{
    struct fixture *f = *state;
    char bytes[512] = {1};

    open_disk(f, scratch_file(&f->scratch, "image", 4096), true);
    assert_int_equal(transfer_bytes(f, DISK_WRITE, 0, bytes, 512), -EROFS);
    assert_int_equal(range(f, DISK_DISCARD, 0, 512, false), -EROFS);
    assert_int_equal(range(f, DISK_WRITE_ZEROES, 0, 512, true), -EROFS);
    assert_int_equal(transfer_bytes(f, DISK_READ, 0, bytes, 512), 0);
    assert_int_equal(bytes[0], 0);
    assert_int_equal(run(f, (struct disk_request){.operation = DISK_FLUSH}), 0);
}

static void a_shrunken_image_is_an_error_not_a_loop(void **state)
{
    struct fixture *f = with_image(state, 8192);
    char bytes[8192];

    assert_int_equal(truncate(f->scratch.path, 1024), 0);
    assert_int_equal(transfer_bytes(f, DISK_READ, 0, bytes, sizeof bytes), -EIO);
}

static uint64_t blocks(struct fixture *f)
{
    struct stat status;

    assert_int_equal(stat(f->scratch.path, &status), 0);
    return (uint64_t)status.st_blocks * 512;
}

static void fill(struct fixture *f, uint8_t value)
{
    static uint8_t bytes[MIB];

    memset(bytes, value, sizeof bytes);
    assert_int_equal(transfer_bytes(f, DISK_WRITE, 0, bytes, sizeof bytes), 0);
    assert_int_equal(run(f, (struct disk_request){.operation = DISK_FLUSH}), 0);
}

/* Bytes [0, MIB) are `value`, but [from, to) are zeros. */
static void expect_zeros(struct fixture *f, uint8_t value, size_t from, size_t to)
{
    static uint8_t bytes[MIB];

    assert_int_equal(transfer_bytes(f, DISK_READ, 0, bytes, sizeof bytes), 0);
    for (size_t i = 0; i < sizeof bytes; i++)
        if (bytes[i] != (i >= from && i < to ? 0 : value))
            fail_msg("byte %zu is %u", i, bytes[i]);
}

static void discard_gives_space_back(void **state)
{
    struct fixture *f = with_image(state, MIB);
    uint64_t before;

    fill(f, 0xa5);
    before = blocks(f);
    assert_true(before >= MIB);
    assert_int_equal(range(f, DISK_DISCARD, MIB / 4, MIB / 2, false), 0);
    assert_true(blocks(f) <= before - MIB / 2 + 65536);
    expect_zeros(f, 0xa5, MIB / 4, MIB / 4 * 3);
    assert_int_equal(range(f, DISK_DISCARD, 0, 0, false), 0);
}

static void write_zeroes_keeps_or_gives_back(void **state)
{
    struct fixture *f = with_image(state, MIB);
    uint64_t before;

    fill(f, 0x5a);
    before = blocks(f);
    /* Not aligned to any block of the host's. */
    assert_int_equal(range(f, DISK_WRITE_ZEROES, 512, MIB / 2 + 1024, false), 0);
    expect_zeros(f, 0x5a, 512, MIB / 2 + 1536);
    assert_true(blocks(f) >= before - 65536);
    assert_int_equal(range(f, DISK_WRITE_ZEROES, 512, MIB / 2 + 1024, true), 0);
    expect_zeros(f, 0x5a, 512, MIB / 2 + 1536);
    assert_true(blocks(f) <= before - MIB / 2 + 65536);
}

/* A limit on file sizes in the middle of a write: part of it is written, then the host refuses. */
static void a_refused_write_is_an_error(void **state)
{
    struct fixture *f = with_image(state, MIB);
    struct rlimit old, small;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    static uint8_t bytes[65536], zeros[4096];
    int rc;

    fill(f, 0x11);
    memset(bytes, 0x22, sizeof bytes);
    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){MIB / 2 + 4096, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    rc = transfer_bytes(f, DISK_WRITE, MIB / 2, bytes, sizeof bytes);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, handler);
    assert_int_equal(rc, -EFBIG);
    assert_int_equal(transfer_bytes(f, DISK_READ, MIB / 2 + 4096, zeros, sizeof zeros), 0);
    assert_int_equal(zeros[0], 0x11);
}

static int write_to_full_host(void *argument)
{
    struct fixture *f = argument;
    const char *folder = f->scratch.folder;
    static uint8_t bytes[MIB];

    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", folder, "tmpfs", 0, "size=256k") < 0)
        return APART_CANNOT_TRY;
    if (loop_open(&f->loop, NULL)) /* the parent keeps its own */
        return 1;
    open_disk(f, scratch_file(&f->scratch, "image", sizeof bytes), false);
    if (transfer_bytes(f, DISK_WRITE, 0, bytes, sizeof bytes) != -ENOSPC)
        return 2;
    /* Space comes back, and with it the disk. tmpfs has no ZERO_RANGE: zeros go as data. */
    if (range(f, DISK_DISCARD, 0, sizeof bytes, false) != 0)
        return 3;
    memset(bytes, 7, sizeof bytes);
    if (transfer_bytes(f, DISK_WRITE, 0, bytes, 131072) != 0)
        return 4;
    if (range(f, DISK_WRITE_ZEROES, 512, 100 * 1024, false) != 0)
        return 5;
    if (transfer_bytes(f, DISK_READ, 0, bytes, 131072) != 0)
        return 6;
    if (bytes[511] != 7 || bytes[512] != 0 || bytes[100 * 1024 + 511] != 0 ||
        bytes[100 * 1024 + 512] != 7)
        return 7;
    return 0;
}

static void a_full_host_is_an_error(void **state)
{
    run_apart(write_to_full_host, *state, "CAP_SYS_ADMIN, to mount a small tmpfs");
}

/* --- many at once --- */

struct job {
    struct disk_request request;
    struct iovec iov;
    int result;
    unsigned done;
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

static uint8_t pattern(unsigned block, size_t at)
{
    return (uint8_t)(block * 37 + at / 3 + 1);
}

/*
 * As many as the channel takes, in an order that no disk keeps, then a drain in the midst. `shift`
 * bytes misplace the memory.
 */
static void many_at_once(struct fixture *f, size_t shift)
{
    enum { BLOCK = 8192 };
    static uint8_t memory[DEPTH][BLOCK + 512] __attribute__((aligned(4096)));
    static struct job jobs[DEPTH];

    for (unsigned i = 0; i < DEPTH; i++)
        for (size_t at = 0; at < BLOCK; at++)
            memory[i][shift + at] = pattern(i, at);
    for (unsigned i = 0; i < DEPTH; i++)
        submit_job(f, &jobs[i], DISK_WRITE, (uint64_t)(i * 29 % DEPTH) * BLOCK,
                   memory[i] + shift, BLOCK);
    disk_channel_commit(f->channel);
    disk_channel_drain(f->channel);
    expect_done(jobs, DEPTH);

    memset(memory, 0, sizeof memory);
    for (unsigned i = 0; i < DEPTH; i++)
        submit_job(f, &jobs[i], DISK_READ, (uint64_t)(i * 29 % DEPTH) * BLOCK,
                   memory[i] + shift, BLOCK);
    disk_channel_drain(f->channel); /* no commit: what was kept back is handed over as well */
    expect_done(jobs, DEPTH);
    for (unsigned i = 0; i < DEPTH; i++)
        for (size_t at = 0; at < BLOCK; at++)
            if (memory[i][shift + at] != pattern(i, at))
                fail_msg("block %u is wrong at byte %zu", i, at);
}

static void a_full_channel_keeps_requests_apart(void **state)
{
    struct fixture *f = with_image(state, MIB);
    const struct disk_counters *counters = disk_channel_counters(f->channel);

    many_at_once(f, 0);
    assert_int_equal(counter_read(&counters->requests[DISK_READ]), DEPTH);
    assert_int_equal(counter_read(&counters->requests[DISK_WRITE]), DEPTH);
    assert_int_equal(counter_read(&counters->bytes_read), DEPTH * 8192);
    assert_int_equal(counter_read(&counters->bytes_written), DEPTH * 8192);
    assert_int_equal(counter_read(&counters->errors), 0);
    if (engine == DISK_ENGINE_IO_URING) /* one for the writes, one for the reads */
        assert_int_equal(counter_read(&counters->batches), 2);
}

/* Memory that no direct transfer takes: copied where that is necessary, one after the other. */
static void misplaced_memory_is_no_obstacle(void **state)
{
    struct fixture *f = with_image(state, MIB);

    many_at_once(f, 1);
    many_at_once(f, 4);
    many_at_once(f, 511);
}

/* Longer than what is copied at a time, in pieces that fit no block. */
static void long_misplaced_transfers_are_whole(void **state)
{
    struct fixture *f = with_image(state, MIB);
    static uint8_t out[MIB + 1], in[MIB + 1];
    const struct iovec list[] = {
        {out + 1, 100}, {out + 101, 300000}, {out + 300101, 1}, {out + 300102, MIB - 300101}};

    for (size_t i = 0; i < sizeof out; i++)
        out[i] = (uint8_t)(i * 13 + i / 255);
    assert_int_equal(transfer(f, DISK_WRITE, 0, list, 4), 0);
    assert_int_equal(transfer_bytes(f, DISK_READ, 0, in + 1, MIB), 0);
    assert_memory_equal(in + 1, out + 1, MIB);
}

/* Requests of every kind in one batch; the next ones come from within `done`. */
static struct fixture *chained;
static unsigned chain_left;

static void next_in_chain(struct disk_request *request, int result)
{
    assert_int_equal(result, 0);
    if (chain_left-- > 1)
        disk_channel_submit(chained->channel, request);
}

static void done_may_submit(void **state)
{
    struct disk_request request = {.operation = DISK_FLUSH, .done = next_in_chain};

    chained = with_image(state, 4096);
    chain_left = 100;
    disk_channel_submit(chained->channel, &request);
    disk_channel_drain(chained->channel);
    assert_int_equal(chain_left, 0);
}

/* --- durability --- */

static void durable_writes_are_writes_and_flushes(void **state)
{
    struct fixture *f = with_image(state, MIB);
    struct iovec iov = {(uint8_t[512]){3}, 512};
    uint8_t byte[512];

    syncs = 0;
    assert_int_equal(run(f, (struct disk_request){.operation = DISK_WRITE, .durable = true,
                                                  .offset = 512, .length = 512, .iov = &iov,
                                                  .iov_count = 1}), 0);
    assert_int_equal(run(f, (struct disk_request){.operation = DISK_WRITE_ZEROES, .durable = true,
                                                  .offset = 4096, .length = 4096}), 0);
    assert_int_equal(transfer_bytes(f, DISK_READ, 512, byte, 512), 0);
    assert_int_equal(byte[0], 3);
    if (engine == DISK_ENGINE_SYNC)
        assert_int_equal(syncs, cache == DISK_CACHE_UNSAFE ? 0 : 2);
}

static void flushes_reach_the_host_unless_unsafe(void **state)
{
    struct fixture *f = with_image(state, 4096);

    syncs = 0;
    assert_int_equal(run(f, (struct disk_request){.operation = DISK_FLUSH}), 0);
    if (engine == DISK_ENGINE_SYNC)
        assert_int_equal(syncs, cache == DISK_CACHE_UNSAFE ? 0 : 1);
}

/* The host says once that data is lost, and would be content the next time. */
static void a_failed_flush_is_not_forgotten(void **state)
{
    struct fixture *f = with_image(state, 4096);
    char bytes[512] = {0};

    sync_error = EIO;
    assert_int_equal(run(f, (struct disk_request){.operation = DISK_FLUSH}), -EIO);
    sync_error = 0;
    assert_int_equal(run(f, (struct disk_request){.operation = DISK_FLUSH}), -EIO);
    assert_int_equal(transfer_bytes(f, DISK_WRITE, 0, bytes, 512), 0);
    assert_int_equal(run(f, (struct disk_request){.operation = DISK_FLUSH}), -EIO);
    assert_int_equal(counter_read(&disk_channel_counters(f->channel)->errors), 3);
}

/* --- engines --- */

/* As seccomp profiles of containers do it. */
static void forbid_io_uring(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0)
        _exit(77);
}

static char last_line[512];

static void keep_line(void *context, enum log_level level, const char *line)
{
    (void)context;
    (void)level;
    snprintf(last_line, sizeof last_line, "%s", line);
}

/* In a child: 0, or which step went wrong. */
static int use_disk_without_io_uring(struct fixture *f)
{
    const struct log log = {keep_line, NULL, LOG_LEVEL_INFO};
    const struct disk_channel_options options = {.loop = &f->loop, .depth = 1, .log = &log};
    struct disk_options disk = {.path = scratch_file(&f->scratch, "image", 4096)};

    forbid_io_uring();
    if (disk_open(&f->disk, &disk, NULL) ||
        disk_channel_open(&f->channel, f->disk, &options, NULL))
        return 1;
    if (disk_channel_engine(f->channel))
        return 2;
    last_result = 1;
    disk_channel_submit(f->channel, &(struct disk_request){.operation = DISK_FLUSH,
                                                           .done = keep_result});
    if (last_result || strcmp(disk_channel_engine(f->channel), "sync") != 0)
        return 3;
    if (!strstr(last_line, "io_uring"))
        return 4;
    close_disk(f);
    disk.engine = DISK_ENGINE_IO_URING;
    if (disk_open(&f->disk, &disk, NULL) ||
        disk_channel_open(&f->channel, f->disk, &options, &f->err) != -EPERM)
        return 5;
    return strstr(f->err.message, "engine=sync") ? 0 : 6;
}

static void without_io_uring_there_is_the_sync_engine(void **state)
{
    pid_t child = fork();
    int status;

    if (child == 0)
        _exit(use_disk_without_io_uring(*state));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void the_engine_is_the_one_asked_for(void **state)
{
    struct fixture *f = with_image(state, 4096);

    assert_int_equal(run(f, (struct disk_request){.operation = DISK_FLUSH}), 0);
    assert_string_equal(disk_channel_engine(f->channel),
                        engine == DISK_ENGINE_SYNC ? "sync" : "io_uring");
}

/* --- the lists --- */

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

static const struct CMUnitTest everywhere[] = {
    TEST(the_engine_is_the_one_asked_for),
    TEST(long_lists_keep_their_order),
    TEST(nothing_passes_the_end),
    TEST(read_only_disks_stay_as_they_are),
    TEST(a_shrunken_image_is_an_error_not_a_loop),
    TEST(discard_gives_space_back),
    TEST(write_zeroes_keeps_or_gives_back),
    TEST(a_refused_write_is_an_error),
    TEST(a_full_channel_keeps_requests_apart),
    TEST(misplaced_memory_is_no_obstacle),
    TEST(long_misplaced_transfers_are_whole),
    TEST(done_may_submit),
    TEST(durable_writes_are_writes_and_flushes),
    TEST(flushes_reach_the_host_unless_unsafe),
};

/* On a small tmpfs, which knows no O_DIRECT before Linux 6.6. */
static const struct CMUnitTest with_page_cache[] = {
    TEST(a_full_host_is_an_error),
};

/* libc's functions are in the way of this engine only. */
static const struct CMUnitTest synchronous[] = {
    TEST(short_transfers_go_on_where_they_ended),
    TEST(a_failed_flush_is_not_forgotten),
};

static const struct CMUnitTest engines[] = {
    TEST(without_io_uring_there_is_the_sync_engine),
};

/* Whether files of tests can be read and written past the page cache: a tmpfs has no O_DIRECT. */
static bool has_direct_io(void)
{
    struct scratch scratch;
    int fd;

    scratch_open(&scratch);
    fd = open(scratch_file(&scratch, "image", 4096), O_RDWR | O_DIRECT);
    if (fd >= 0)
        close(fd);
    scratch_close(&scratch);
    return fd >= 0;
}

int main(void)
{
    bool direct_io = has_direct_io();
    int failed = cmocka_run_group_tests_name("engines", engines, NULL, NULL);

    for (engine = DISK_ENGINE_IO_URING; engine <= DISK_ENGINE_SYNC; engine++) {
        for (cache = DISK_CACHE_WRITEBACK; cache <= DISK_CACHE_UNSAFE; cache++) {
            if (cache == DISK_CACHE_NONE && !direct_io) {
                print_message("not tested: cache=none, for the temporary folder is on a tmpfs\n");
                continue;
            }
            print_message("engine %d, cache %d\n", engine, cache);
            failed += cmocka_run_group_tests(everywhere, NULL, NULL);
            if (cache != DISK_CACHE_NONE)
                failed += cmocka_run_group_tests(with_page_cache, NULL, NULL);
        }
    }
    engine = DISK_ENGINE_SYNC;
    cache = DISK_CACHE_WRITEBACK;
    failed += cmocka_run_group_tests(synchronous, NULL, NULL);
    return failed;
}
