/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio memory balloon. All queues are on the device's loop; a guest's memory is given back by one
 * system call for each run of pages, and whatever the guest says, nothing but its own memory is.
 *
 * What the guest says is a hint: pages that do not exist are left out. Each chain and each turn has
 * bounds, for the loop has other devices to serve.
 *
 * Which queue is for reports depends on whom one asks. The specification counts the queues that are
 * missing for lack of a feature (reports are in queue 4); Linux leaves them out (then it is queue 2).
 * As there are no statistics and no hints here, each queue from 2 on is one for reports.
 */
#include "devices/virtio/balloon.h"

#include "core/iov.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

enum { QUEUE_INFLATE, QUEUE_DEFLATE, QUEUE_REPORT_FIRST, QUEUE_COUNT = 5 };

/* Linux makes reports of up to 32 pieces, and none if the queue is smaller. */
#define QUEUE_SIZE 64u

/* Pages have 4 KiB in this protocol, whatever the guest's pages have (5.5.6). */
#define PAGE_SHIFT VIRTIO_BALLOON_PFN_SHIFT
#define PAGE_SIZE (UINT64_C(1) << PAGE_SHIFT)

/* Page numbers that are taken from a chain; Linux sends 256. */
#define NUMBERS_MAX 1024u

/* System calls after which a turn is over. A chain makes no more than NUMBERS_MAX. */
#define TURN_CALLS 256u

struct discard_counters {
    struct counter discards;  /* system calls */
    struct counter discarded; /* bytes given back to the host */
    struct counter refused;   /* pieces of memory that were not */
};

struct virtio_balloon {
    struct virtio_device device; /* first member: the two convert to each other */
    _Atomic uint32_t target;     /* pages */
    _Atomic uint32_t actual;
    uint32_t poison; /* what the guest expects in free pages; 0 is what the host leaves there */
    unsigned turn_calls;
    struct discard_counters counters[QUEUE_COUNT];
};

/* --- memory --- */

static void refuse(struct virtio_balloon *self, unsigned queue, uint64_t pieces)
{
    counter_add(&self->counters[queue].refused, pieces);
}

/* `host` is guest memory. */
static void discard(struct virtio_balloon *self, unsigned queue, const void *host, uint64_t size)
{
    struct discard_counters *counters = &self->counters[queue];
    uint64_t discarded;

    self->turn_calls++;
    if (memory_discard(self->device.environment.memory, host, size, &discarded) || discarded == 0) {
        refuse(self, queue, 1);
        return;
    }
    counter_add(&counters->discards, 1);
    counter_add(&counters->discarded, discarded);
}

/* --- the balloon --- */

/* Pages that follow each other, by their numbers. */
struct run {
    uint64_t first;
    uint64_t count;
};

static void end_run(struct virtio_balloon *self, struct run *run)
{
    const struct guest_memory *memory = self->device.environment.memory;
    uint64_t size = run->count << PAGE_SHIFT;
    const void *host = memory_at(memory, gpa(run->first << PAGE_SHIFT), size);

    if (host)
        discard(self, QUEUE_INFLATE, host, size);
    else
        refuse(self, QUEUE_INFLATE, run->count); /* it goes on from one region into the next */
    run->count = 0;
}

/*
 * Adds a page to the run, at either end, since guests allocate upwards as well as downwards: false if
 * it belongs to another.
 */
static bool extend(struct run *run, uint64_t page)
{
    if (page + 1 == run->first)
        run->first = page;
    else if (page != run->first + run->count)
        return false;
    run->count++;
    return true;
}

static void inflate_page(struct virtio_balloon *self, struct run *run, uint64_t page)
{
    if (!memory_at(self->device.environment.memory, gpa(page << PAGE_SHIFT), PAGE_SIZE)) {
        refuse(self, QUEUE_INFLATE, 1);
        return;
    }
    if (run->count > 0 && extend(run, page))
        return;
    if (run->count > 0)
        end_run(self, run);
    *run = (struct run){page, 1};
}

/* The chain is an array of page numbers (5.5.6). */
static void inflate(struct virtio_balloon *self, const struct virtq_chain *chain)
{
    uint64_t given = chain->readable_size / sizeof(__le32);
    struct run run = {0};
    __le32 numbers[NUMBERS_MAX];
    size_t count = iov_read(virtq_readable(chain), chain->readable_count, 0, numbers,
                            sizeof numbers) / sizeof numbers[0];

    for (size_t i = 0; i < count; i++)
        inflate_page(self, &run, le32toh(numbers[i]));
    if (run.count > 0)
        end_run(self, &run);
    refuse(self, QUEUE_INFLATE, given - count);
}

/* --- reports --- */

/*
 * The chain is the free memory itself (5.5.6.7). What the guest keeps poison in it would have to
 * find again: only zeros are there without the work that this is to save.
 */
static void report(struct virtio_balloon *self, unsigned queue, const struct virtq_chain *chain)
{
    bool wanted = virtio_device_has(&self->device, VIRTIO_BALLOON_F_REPORTING) &&
                  self->poison == 0;

    refuse(self, queue, chain->readable_count + (wanted ? 0 : chain->writable_count));
    for (unsigned i = 0; wanted && i < chain->writable_count; i++)
        discard(self, queue, virtq_writable(chain)[i].iov_base, virtq_writable(chain)[i].iov_len);
}

/* --- device --- */

/* Of a balloon that is let down nothing needs to be known: its pages fill as they are used. */
static void take(struct virtio_balloon *self, unsigned queue, const struct virtq_chain *chain)
{
    if (queue == QUEUE_INFLATE)
        inflate(self, chain);
    else if (queue >= QUEUE_REPORT_FIRST)
        report(self, queue, chain);
}

static void notify(struct virtio_device *device, unsigned index)
{
    struct virtio_balloon *self = (struct virtio_balloon *)device;
    struct virtio_queue *queue = &device->queues[index];
    struct virtio_batch batch;
    struct virtq_chain chain;

    self->turn_calls = 0;
    virtio_batch_begin(&batch, queue);
    while (self->turn_calls < TURN_CALLS && virtio_batch_next(&batch, &chain)) {
        take(self, index, &chain);
        virtio_queue_push(queue, chain.token, 0);
    }
    if (self->turn_calls >= TURN_CALLS)
        virtio_queue_look_again(queue);
    virtio_queue_interrupt(queue);
}

static struct virtio_balloon_config config_of(const struct virtio_balloon *self)
{
    return (struct virtio_balloon_config){
        .num_pages = htole32(atomic_load(&self->target)),
        .actual = htole32(atomic_load(&self->actual)),
        .poison_val = htole32(self->poison),
    };
}

static void publish_config(struct virtio_balloon *self)
{
    const struct virtio_balloon_config config = config_of(self);

    virtio_device_set_config(&self->device, &config, sizeof config);
}

/* The driver writes how much it has given up, and its poison; any part of them at a time. */
static void write_config(struct virtio_device *device, unsigned offset, const void *bytes,
                         unsigned size)
{
    struct virtio_balloon *self = (struct virtio_balloon *)device;
    struct virtio_balloon_config config = config_of(self);

    memcpy((uint8_t *)&config + offset, bytes, size);
    atomic_store(&self->actual, le32toh(config.actual));
    if (virtio_device_has(device, VIRTIO_BALLOON_F_PAGE_POISON))
        self->poison = le32toh(config.poison_val);
    config = config_of(self);
    virtio_device_keep_config(device, &config, sizeof config);
}

/* The guest has all of its memory again. How much of it the host wants stays. */
static void reset(struct virtio_device *device)
{
    struct virtio_balloon *self = (struct virtio_balloon *)device;

    atomic_store(&self->actual, 0);
    self->poison = 0;
    publish_config(self);
}

static void count(const struct virtio_device *device, unsigned queue,
                  const struct counter_sink *sink)
{
    const struct virtio_balloon *self = (const struct virtio_balloon *)device;
    const struct discard_counters *counters = &self->counters[queue];

    if (queue == QUEUE_INFLATE) {
        sink->take(sink->context, "target_pages", atomic_load(&self->target));
        sink->take(sink->context, "actual_pages", atomic_load(&self->actual));
    }
    if (queue == QUEUE_DEFLATE)
        return;
    counter_give(sink, "discards", &counters->discards);
    counter_give(sink, "discarded_bytes", &counters->discarded);
    counter_give(sink, "refused", &counters->refused);
}

static void save(struct virtio_device *device, struct state_writer *writer)
{
    const struct virtio_balloon *self = (const struct virtio_balloon *)device;

    state_begin(writer, "virtio-balloon", 1);
    state_put_u32(writer, atomic_load(&self->target));
    state_put_u32(writer, atomic_load(&self->actual));
    state_put_u32(writer, self->poison);
    state_end(writer);
}

static uint64_t all_pages(const struct virtio_balloon *self)
{
    return memory_size(self->device.environment.memory) >> PAGE_SHIFT;
}

static int restore(struct virtio_device *device, struct state_reader *reader, struct err *err)
{
    struct virtio_balloon *self = (struct virtio_balloon *)device;
    uint32_t target, actual, poison;

    state_enter(reader, "virtio-balloon", 1);
    target = state_get_u32(reader);
    actual = state_get_u32(reader);
    poison = state_get_u32(reader);
    state_leave(reader);
    if (state_failed(reader) || target > all_pages(self))
        return err_set(err, -EINVAL, "virtio-balloon: the saved state is damaged");
    atomic_store(&self->target, target);
    atomic_store(&self->actual, actual);
    self->poison = poison;
    publish_config(self);
    return 0;
}

static void destroy(struct virtio_device *device)
{
    virtio_device_release(device);
    free(device);
}

static const struct virtio_device_ops ops = {
    .name = "balloon",
    .device_id = VIRTIO_ID_BALLOON,
    .notify = notify,
    .write_config = write_config,
    .reset = reset,
    .count = count,
    .save = save,
    .restore = restore,
    .destroy = destroy,
};

int virtio_balloon_create(struct virtio_device **device,
                          const struct virtio_environment *environment, struct err *err)
{
    const uint64_t features = UINT64_C(1) << VIRTIO_BALLOON_F_DEFLATE_ON_OOM |
                              UINT64_C(1) << VIRTIO_BALLOON_F_PAGE_POISON |
                              UINT64_C(1) << VIRTIO_BALLOON_F_REPORTING;
    struct virtio_queue_options queues[QUEUE_COUNT];
    struct virtio_balloon *self = calloc(1, sizeof *self);
    int rc;

    if (!self)
        return err_set(err, -ENOMEM, "virtio-balloon: out of memory");
    for (unsigned i = 0; i < QUEUE_COUNT; i++)
        queues[i] = (struct virtio_queue_options){.size_max = QUEUE_SIZE};
    rc = virtio_device_init(&self->device, &ops, environment, queues, QUEUE_COUNT, features, err);
    if (rc) {
        free(self);
        return rc;
    }
    publish_config(self);
    *device = &self->device;
    return 0;
}

void virtio_balloon_set_target(struct virtio_device *device, uint64_t bytes)
{
    struct virtio_balloon *self = (struct virtio_balloon *)device;
    uint64_t pages = bytes >> PAGE_SHIFT;

    if (pages > all_pages(self))
        pages = all_pages(self);
    if (pages == atomic_exchange(&self->target, (uint32_t)pages))
        return;
    publish_config(self);
}

struct virtio_balloon_figures virtio_balloon_figures(const struct virtio_device *device)
{
    const struct virtio_balloon *self = (const struct virtio_balloon *)device;
    struct virtio_balloon_figures figures = {
        .target = (uint64_t)atomic_load(&self->target) << PAGE_SHIFT,
        .actual = (uint64_t)atomic_load(&self->actual) << PAGE_SHIFT,
    };

    if (figures.actual > memory_size(device->environment.memory)) /* it says what it likes */
        figures.actual = memory_size(device->environment.memory);
    for (unsigned i = 0; i < QUEUE_COUNT; i++)
        figures.discarded += counter_read(&self->counters[i].discarded);
    return figures;
}
