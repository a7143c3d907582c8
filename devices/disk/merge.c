/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/disk/merge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int merge_open(struct merge *merge)
{
    merge->runs = calloc(MERGE_RUNS, sizeof merge->runs[0]);
    if (!merge->runs)
        return -ENOMEM;
    return 0;
}

void merge_close(struct merge *merge)
{
    free(merge->runs);
    *merge = (struct merge){.held = NULL};
}

static bool is_run(const struct merge *merge, const struct disk_request *request)
{
    const struct merge_run *run = (const struct merge_run *)request;

    return run >= merge->runs && run < merge->runs + MERGE_RUNS;
}

static bool mergeable(const struct disk_request *request)
{
    return (request->operation == DISK_READ || request->operation == DISK_WRITE) &&
           request->iov_count > 0 && request->iov_count < MERGE_PIECES;
}

static uint64_t longest(enum disk_operation operation)
{
    return operation == DISK_READ ? MERGE_READ_MAX : MERGE_WRITE_MAX;
}

static bool follows(const struct disk_request *held, const struct disk_request *request)
{
    return request->operation == held->operation && request->durable == held->durable &&
           request->offset == held->offset + held->length &&
           held->length + request->length <= longest(held->operation) &&
           held->iov_count + request->iov_count <= MERGE_PIECES;
}

static void join(struct merge_run *run, struct disk_request *request)
{
    memcpy(run->iov + run->request.iov_count, request->iov,
           request->iov_count * sizeof request->iov[0]);
    run->request.iov_count += request->iov_count;
    run->request.length += request->length;
    request->next = NULL;
    run->last->next = request;
    run->last = request;
}

/* A run of one member. */
static void begin_run(struct merge_run *run, struct disk_request *request)
{
    run->request = (struct disk_request){
        .operation = request->operation,
        .durable = request->durable,
        .offset = request->offset,
        .length = request->length,
        .iov = run->iov,
        .iov_count = request->iov_count,
    };
    memcpy(run->iov, request->iov, request->iov_count * sizeof request->iov[0]);
    request->next = NULL;
    run->members = run->last = request;
}

static struct merge_run *claim_run(struct merge *merge)
{
    struct merge_run *run = merge->free;

    if (run)
        merge->free = run->next_free;
    else if (merge->runs_used < MERGE_RUNS)
        run = &merge->runs[merge->runs_used++];
    return run;
}

/* The run that `held` is, or becomes; NULL: there is none left. */
static struct merge_run *run_of(struct merge *merge, struct disk_request *held)
{
    struct merge_run *run;

    if (is_run(merge, held))
        return (struct merge_run *)held;
    run = claim_run(merge);
    if (run)
        begin_run(run, held);
    return run;
}

bool merge_take(struct merge *merge, struct disk_request *request, struct disk_request **release)
{
    struct merge_run *run;

    *release = merge->held;
    if (!mergeable(request)) {
        merge->held = NULL;
        return false;
    }
    run = merge->held && follows(merge->held, request) ? run_of(merge, merge->held) : NULL;
    if (run) {
        *release = NULL;
        join(run, request);
        request = &run->request;
    }
    merge->held = request;
    return true;
}

struct disk_request *merge_release(struct merge *merge)
{
    struct disk_request *held = merge->held;

    merge->held = NULL;
    return held;
}

struct disk_request *merge_take_apart(struct merge *merge, struct disk_request *request)
{
    struct merge_run *run = (struct merge_run *)request;

    if (!is_run(merge, request))
        return NULL;
    run->next_free = merge->free;
    merge->free = run;
    return run->members;
}
