/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The io_uring engine: the steps of a batch reach the host by one system call, and those that it
 * can do at once (cached reads, above all) are reported before that batch ends, without a further
 * wake-up. For the others the ring's descriptor is one of the loop's sources.
 *
 * The ring has room for every request of the channel. Its files are registered. Guest memory is
 * not: that would pin all of it, and cost the host what the guest does not use.
 */
#include "devices/disk/engine.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>

/* Since 5.7: all operations that are used here, and a completion queue that loses nothing. */
#define FEATURES_NEEDED (IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_FAST_POLL)

/* <linux/blkdev.h> of 6.12: discards that do not wait. */
#ifndef BLOCK_URING_CMD_DISCARD
#define BLOCK_URING_CMD_DISCARD _IO(0x12, 0)
#endif

enum { FILE_CACHED, FILE_DIRECT, FILE_SYNC, FILES };

struct disk_ring {
    struct io_uring uring;
    struct loop_source source;
    struct disk_channel *channel;
    /* Discards that the host does not do by the ring, in order, while there are any. */
    struct loop_poll poll;
    struct disk_request *discards, **last_discard;
};

/* --- discards that wait --- */

/*
 * Hosts before 6.12 have no discard that does not wait. There the loop waits, for one piece a turn:
 * its other sources are served in between.
 */
static bool must_wait(const struct disk_request *request, long result)
{
    return request->step.kind == STEP_DISCARD && (result == -EOPNOTSUPP || result == -EINVAL);
}

static void discard_later(struct disk_ring *ring, struct disk_request *request)
{
    if (!ring->discards) {
        ring->last_discard = &ring->discards;
        loop_add_poll(ring->channel->options.loop, &ring->poll);
    }
    request->next = NULL;
    *ring->last_discard = request;
    ring->last_discard = &request->next;
}

/* There is one. */
static struct disk_request *take_discard(struct disk_ring *ring)
{
    struct disk_request *request = ring->discards;

    ring->discards = request->next;
    if (!ring->discards)
        loop_remove_poll(ring->channel->options.loop, &ring->poll);
    return request;
}

/* --- completions --- */

/* Takes all completions that are there; whether there were any. */
static bool reap(struct disk_channel *channel)
{
    struct io_uring *uring = &channel->ring->uring;
    struct io_uring_cqe *completion;
    bool any = false;

    while (io_uring_peek_cqe(uring, &completion) == 0) {
        struct disk_request *request = io_uring_cqe_get_data(completion);
        long result = completion->res;

        io_uring_cqe_seen(uring, completion);
        if (must_wait(request, result))
            discard_later(channel->ring, request);
        else
            channel_stepped(channel, request, result);
        any = true;
    }
    return any;
}

/*
 * Hands over what was prepared. What can stop that is a host short of memory, or too many
 * completions that nobody took yet: taking them helps, and time does.
 */
static void hand_over(struct disk_channel *channel)
{
    struct io_uring *uring = &channel->ring->uring;

    if (io_uring_sq_ready(uring) > 0)
        counter_add(&channel->counters.batches, 1);
    while (io_uring_sq_ready(uring) > 0)
        if (io_uring_submit(uring) < 0 && !reap(channel))
            poll(NULL, 0, 1);
}

/* Until nothing more is done at once: a completion may have led to a further step. */
static bool hand_over_and_reap(struct disk_channel *channel)
{
    bool any = false;

    do
        hand_over(channel);
    while (reap(channel) && (any = true));
    return any;
}

static void commit(struct disk_channel *channel)
{
    hand_over_and_reap(channel);
}

static void ready(struct loop_source *source, uint32_t events)
{
    struct disk_ring *ring =
        (struct disk_ring *)((char *)source - offsetof(struct disk_ring, source));

    (void)events;
    if (reap(ring->channel)) {
        hand_over_and_reap(ring->channel);
        channel_settled(ring->channel);
    }
}

/* A turn of the loop for the discards. */
static bool discard_now(struct loop_poll *poll)
{
    struct disk_ring *ring = (struct disk_ring *)((char *)poll - offsetof(struct disk_ring, poll));
    struct disk_channel *channel = ring->channel;
    struct disk_request *request = take_discard(ring);

    channel_stepped(channel, request, step_discard(channel->disk, &request->step));
    hand_over_and_reap(channel);
    channel_settled(channel);
    return true;
}

static void wait(struct disk_channel *channel)
{
    struct io_uring_cqe *completion;

    hand_over(channel);
    if (channel->ring->discards)
        channel_stepped(channel, take_discard(channel->ring), -ECANCELED);
    else if (channel->in_flight > 0)
        io_uring_wait_cqe(&channel->ring->uring, &completion);
    if (reap(channel))
        channel_settled(channel);
}

/* --- steps --- */

static struct io_uring_sqe *next_entry(struct disk_channel *channel)
{
    struct io_uring_sqe *entry;

    while (!(entry = io_uring_get_sqe(&channel->ring->uring)))
        hand_over(channel);
    return entry;
}

static void prepare_transfer(struct io_uring_sqe *entry, struct disk_step *step, int file)
{
    unsigned count;
    struct iovec *iov = step_iov(step, &count);
    bool read = step->kind == STEP_READ;

    if (count == 1) {
        io_uring_prep_rw(read ? IORING_OP_READ : IORING_OP_WRITE, entry, file, iov->iov_base,
                         (unsigned)iov->iov_len, step->offset);
    } else {
        io_uring_prep_rw(read ? IORING_OP_READV : IORING_OP_WRITEV, entry, file, iov, count,
                         step->offset);
    }
}

/* The command's operands are where other operations have an address and, at the end, a third. */
static void prepare_discard(struct io_uring_sqe *entry, const struct disk_step *step)
{
    io_uring_prep_rw(IORING_OP_URING_CMD, entry, FILE_CACHED, NULL, 0, 0);
    entry->cmd_op = BLOCK_URING_CMD_DISCARD;
    entry->addr = step->offset;
    entry->addr3 = step->length;
}

static bool start(struct disk_channel *channel, struct disk_request *request, long *result)
{
    struct io_uring_sqe *entry = next_entry(channel);
    struct disk_step *step = &request->step;
    int file = step->direct ? FILE_DIRECT : FILE_CACHED;

    (void)result;
    switch (step->kind) {
    case STEP_READ:
    case STEP_WRITE:
        prepare_transfer(entry, step, file);
        break;
    case STEP_SYNC:
        io_uring_prep_fsync(entry, FILE_SYNC, IORING_FSYNC_DATASYNC);
        break;
    case STEP_ALLOCATE:
        io_uring_prep_fallocate(entry, file, step->mode, (off_t)step->offset,
                                (off_t)step->length);
        break;
    default:
        prepare_discard(entry, step);
        break;
    }
    io_uring_sqe_set_flags(entry, IOSQE_FIXED_FILE);
    io_uring_sqe_set_data(entry, request);
    return false;
}

/* --- life --- */

static int set_up(struct io_uring *uring, const struct disk_channel *channel)
{
    unsigned depth = channel->options.depth;
    /* The loop comes back from epoll_wait(2) anyway: nobody needs to interrupt it for us. */
    int rc = io_uring_queue_init(depth, uring, IORING_SETUP_CLAMP | IORING_SETUP_COOP_TASKRUN);

    if (rc == -EINVAL) /* before 5.19 */
        rc = io_uring_queue_init(depth, uring, IORING_SETUP_CLAMP);
    return rc;
}

/* Those that the channel does not have are -1, which is a file that cannot be used. */
static int register_files(struct disk_ring *ring, const struct disk_channel *channel)
{
    const int files[FILES] = {
        [FILE_CACHED] = channel->disk->fd,
        [FILE_DIRECT] = channel->disk->direct_fd,
        [FILE_SYNC] = channel->sync_fd,
    };

    if (!((ring->uring.features & FEATURES_NEEDED) == FEATURES_NEEDED))
        return -ENOSYS;
    return io_uring_register_files(&ring->uring, files, FILES);
}

static int open_engine(struct disk_channel *channel)
{
    struct disk_ring *ring = calloc(1, sizeof *ring);
    int rc;

    if (!ring)
        return -ENOMEM;
    rc = set_up(&ring->uring, channel);
    if (rc) {
        free(ring);
        return rc;
    }
    ring->channel = channel;
    ring->source = (struct loop_source){.fd = ring->uring.ring_fd, .ready = ready};
    ring->poll.look = discard_now;
    rc = register_files(ring, channel);
    if (rc == 0)
        rc = loop_watch(channel->options.loop, &ring->source, EPOLLIN);
    if (rc) {
        io_uring_queue_exit(&ring->uring);
        free(ring);
        return rc;
    }
    channel->ring = ring;
    return 0;
}

static void close_engine(struct disk_channel *channel)
{
    loop_watch(channel->options.loop, &channel->ring->source, 0);
    io_uring_queue_exit(&channel->ring->uring);
    free(channel->ring);
}

const struct disk_engine disk_engine_uring = {
    .name = "io_uring",
    .open = open_engine,
    .close = close_engine,
    .start = start,
    .commit = commit,
    .wait = wait,
};
