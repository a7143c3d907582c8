/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests on their way through an engine, step by step, and what they take turns at: the one
 * buffer for direct transfers whose memory the host does not take, and syncs.
 *
 * The host reports data that it lost once to each open file description, to whoever asks first.
 * Who asks at the same time, or transfers with O_DSYNC, can take the report away from a flush, which
 * then would be a success. So a channel syncs by a description that it uses for nothing else, and
 * one sync at a time, for all requests that waited for the last to end.
 */
#include "devices/disk/channel.h"
#include "devices/disk/engine.h"

#include "core/iov.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- life --- */

static int use_engine(struct disk_channel *channel, const struct disk_engine *engine)
{
    int rc = engine->open(channel);

    if (rc == 0)
        channel->engine = engine;
    return rc;
}

/* With the first request. */
static void choose_engine(struct disk_channel *channel)
{
    int rc;

    if (channel->disk->engine == DISK_ENGINE_AUTO) {
        rc = use_engine(channel, &disk_engine_uring);
        if (rc == 0)
            return;
        log_line(channel->options.log, LOG_LEVEL_INFO,
                 "disk %.40s: io_uring is not to be had here (%s); a slow disk will delay other "
                 "devices", channel->disk->identity, strerrordesc_np(-rc));
    }
    use_engine(channel, &disk_engine_sync);
}

int disk_channel_open(struct disk_channel **out, struct disk *disk,
                      const struct disk_channel_options *options, struct err *err)
{
    struct disk_channel *channel = calloc(1, sizeof *channel);
    int rc;

    if (!channel)
        return err_set(err, -ENOMEM, "disk: out of memory");
    channel->disk = disk;
    channel->options = *options;
    channel->last_waiting = &channel->waiting;
    channel->sync_fd = -1;
    rc = disk_needs_no_sync(disk) ? 0 : disk_open_again(disk, 0, &channel->sync_fd, err);
    if (rc) {
        err_prefix(err, "disk \"%s\"", disk->path);
        disk_channel_close(channel);
        return rc;
    }
    rc = merge_open(&channel->merge);
    if (rc == 0 && disk->direct_fd >= 0) {
        channel->bounce = aligned_alloc(DIRECT_ALIGNMENT_MAX, BOUNCE_SIZE);
        rc = channel->bounce ? 0 : -ENOMEM;
    }
    if (rc == 0 && disk->engine == DISK_ENGINE_IO_URING)
        rc = use_engine(channel, &disk_engine_uring);
    if (rc) {
        disk_channel_close(channel);
        if (rc == -ENOMEM)
            return err_set(err, rc, "disk: out of memory");
        return err_sys(err, rc, "this host has no io_uring, or forbids it; leave engine=io_uring "
                                "out, or use engine=sync");
    }
    *out = channel;
    return 0;
}

void disk_channel_close(struct disk_channel *channel)
{
    if (!channel)
        return;
    if (channel->engine)
        channel->engine->close(channel);
    merge_close(&channel->merge);
    if (channel->sync_fd >= 0)
        close(channel->sync_fd);
    free(channel->bounce);
    free(channel);
}

const char *disk_channel_engine(const struct disk_channel *channel)
{
    return channel->engine ? channel->engine->name : NULL;
}

const struct disk_counters *disk_channel_counters(const struct disk_channel *channel)
{
    return &channel->counters;
}

/* --- the bounce buffer --- */

static void wait_for_bounce(struct disk_channel *channel, struct disk_request *request)
{
    request->next = NULL;
    *channel->last_waiting = request;
    channel->last_waiting = &request->next;
}

/* Fills step->buffer; false: another request has the buffer, and this one is in the line. */
static bool take_bounce(struct disk_channel *channel, struct disk_request *request)
{
    struct disk_step *step = &request->step;
    size_t size = step->length < BOUNCE_SIZE ? (size_t)step->length : BOUNCE_SIZE;

    if (channel->bounced) {
        wait_for_bounce(channel, request);
        return false;
    }
    channel->bounced = request;
    step->buffer = (struct iovec){channel->bounce, size};
    if (step->kind == STEP_WRITE)
        iov_read(step->iov, step->iov_count, 0, channel->bounce, size);
    return true;
}

/* Puts what was read in its place. */
static void give_bounce(struct disk_channel *channel, struct disk_request *request, long result)
{
    struct disk_step *step = &request->step;

    if (step->kind == STEP_READ && result > 0)
        iov_write(step->iov, step->iov_count, 0, channel->bounce, (size_t)result);
    channel->bounced = NULL;
}

/* --- answers --- */

static void count(struct disk_channel *channel, const struct disk_request *request, int result)
{
    struct disk_counters *counters = &channel->counters;

    counter_add(&counters->requests[request->operation], 1);
    if (result)
        counter_add(&counters->errors, 1);
    else if (request->operation == DISK_READ)
        counter_add(&counters->bytes_read, request->length);
    else if (request->operation == DISK_WRITE)
        counter_add(&counters->bytes_written, request->length);
}

static void answer(struct disk_channel *channel, struct disk_request *request, int result)
{
    channel->in_flight--;
    count(channel, request, result);
    request->done(request, result);
}

/* A run answers for its members, unless it has failed: then each will be done for itself. */
static void finish(struct disk_channel *channel, struct disk_request *request, int result)
{
    struct disk_request *member = merge_take_apart(&channel->merge, request), *next;

    if (!member) {
        answer(channel, request, result);
        return;
    }
    for (; member; member = next) {
        next = member->next;
        counter_add(&channel->counters.merged, 1);
        if (result) {
            member->next = channel->again;
            channel->again = member;
        } else {
            answer(channel, member, 0);
        }
    }
}

/* --- syncs --- */

/* False: another sync is on its way, and the request is in the line for the next. */
static bool take_sync(struct disk_channel *channel, struct disk_request *request)
{
    if (channel->syncing == request)
        return true;
    if (channel->syncing) {
        request->next = channel->sync_line;
        channel->sync_line = request;
        return false;
    }
    request->next = NULL;
    channel->syncing = request;
    return true;
}

/* The sync of the first is done, and with it that of the others. */
static void give_sync(struct disk_channel *channel, long result)
{
    channel->synced = channel->syncing->next;
    channel->sync_result = result;
    channel->syncing = NULL;
}

/* --- steps --- */

/* What a step's result leads to, as operation_advance() says it. */
static int take_result(struct disk_channel *channel, struct disk_request *request, long result)
{
    if (channel->bounced == request)
        give_bounce(channel, request, result);
    if (channel->syncing == request)
        give_sync(channel, result);
    return operation_advance(channel->disk, request, result);
}

/* Who waits for all requests does not wait for the rest of one that is but a hint. */
static bool is_given_up(const struct disk_channel *channel, const struct disk_request *request)
{
    return channel->draining && request->operation == DISK_DISCARD;
}

/* Goes on until the request waits for the host or for its turn, or is done. */
static void work(struct disk_channel *channel, struct disk_request *request, int outcome)
{
    while (outcome == OPERATION_GOES_ON) {
        long result;

        if (is_given_up(channel, request)) {
            outcome = 0;
            break;
        }
        if (request->step.bounced && !take_bounce(channel, request))
            return;
        if (request->step.kind == STEP_SYNC && !take_sync(channel, request))
            return;
        if (!channel->engine->start(channel, request, &result))
            return;
        outcome = take_result(channel, request, result);
    }
    finish(channel, request, outcome);
}

static void begin(struct disk_channel *channel, struct disk_request *request)
{
    work(channel, request, operation_begin(channel->disk, request));
}

static struct disk_request *next_held(struct disk_channel *channel)
{
    struct disk_request *request = channel->again;

    if (!request)
        return merge_release(&channel->merge);
    channel->again = request->next;
    return request;
}

/* Nothing that might have been merged, or could not be, is kept back any longer. */
static void begin_held(struct disk_channel *channel)
{
    struct disk_request *held;

    while ((held = next_held(channel)))
        begin(channel, held);
}

/* The bounce buffer is free again: the next in line. */
static void serve_waiting(struct disk_channel *channel)
{
    while (channel->waiting && !channel->bounced) {
        struct disk_request *request = channel->waiting;

        channel->waiting = request->next;
        if (!channel->waiting)
            channel->last_waiting = &channel->waiting;
        work(channel, request, OPERATION_GOES_ON);
    }
}

/* Those for whom somebody else's sync was; then one for all that came meanwhile. */
static void serve_syncs(struct disk_channel *channel)
{
    while (channel->synced) {
        struct disk_request *request = channel->synced;

        channel->synced = request->next;
        work(channel, request,
             operation_advance(channel->disk, request, channel->sync_result));
    }
    while (channel->sync_line && !channel->syncing) {
        channel->syncing = channel->sync_line;
        channel->sync_line = NULL;
        work(channel, channel->syncing, OPERATION_GOES_ON);
    }
}

void channel_stepped(struct disk_channel *channel, struct disk_request *request, long result)
{
    work(channel, request, take_result(channel, request, result));
    serve_waiting(channel);
    serve_syncs(channel);
    begin_held(channel); /* what `done` has submitted is in no batch */
}

void channel_settled(struct disk_channel *channel)
{
    if (channel->options.settled)
        channel->options.settled(channel->options.context);
}

void disk_channel_submit(struct disk_channel *channel, struct disk_request *request)
{
    struct disk_request *released;
    bool kept;

    if (!channel->engine)
        choose_engine(channel);
    channel->in_flight++;
    kept = merge_take(&channel->merge, request, &released);
    if (released)
        begin(channel, released);
    if (!kept)
        begin(channel, request);
}

void disk_channel_commit(struct disk_channel *channel)
{
    begin_held(channel);
    if (channel->engine)
        channel->engine->commit(channel);
    channel_settled(channel); /* also of what was answered without asking the host */
}

void disk_channel_drain(struct disk_channel *channel)
{
    channel->draining = true;
    begin_held(channel);
    while (channel->in_flight > 0)
        channel->engine->wait(channel);
    channel->draining = false;
    channel_settled(channel);
}
