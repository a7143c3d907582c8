/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues of both formats beside a model of what a virtqueue is: chains are taken in the order in
 * which they were offered and come back in the order in which they were given back, both sides
 * hear of what they asked to hear of. Driver and device take random steps; every ring has a seed,
 * which a failure prints and HUSK_TEST_SEED runs again.
 */
#include "support/queue_fixture.h"

#include "core/state.h"

#include <stdlib.h>

#define RINGS 100u
#define STEPS 10000u
#define BUFFERS_MAX 12u
#define CHAINS_MAX VIRTQ_SIZE_MAX /* each takes a slot at least */

#define CHECK(condition)                                                                          \
    do {                                                                                          \
        if (!(condition))                                                                         \
            fail_msg("HUSK_TEST_SEED=%llu, step %u: %s", (unsigned long long)m->seed, m->step,    \
                     #condition);                                                                 \
    } while (0)

struct model_chain {
    struct mock_descriptor buffers[BUFFERS_MAX];
    unsigned count;
    unsigned slots; /* of the ring */
    uint16_t name;
    uint32_t written;
    bool exists;
    struct virtq_token token;
};

/* Chains in an order. */
struct list {
    struct model_chain *chains[CHAINS_MAX];
    unsigned count;
};

/* A chain is offered, then in flight, then given back, until the driver takes it back. */
struct model {
    struct fixture *f;
    uint64_t seed, random;
    unsigned step;
    uint64_t features;
    uint32_t period;
    struct model_chain chains[CHAINS_MAX];
    struct list offered, in_flight, given;
    unsigned free_slots;       /* descriptors that the driver may use */
    uint64_t used, considered; /* slots used ever, and when an interrupt was last considered */
    bool by_position;          /* the driver waits for `event`; otherwise `wants_all` decides */
    bool wants_all;
    uint16_t event;
    bool asleep; /* the device sleeps until it is kicked */
};

/* --- randomness: xorshift64* --- */

static uint32_t any(struct model *m, uint32_t below)
{
    m->random ^= m->random >> 12;
    m->random ^= m->random << 25;
    m->random ^= m->random >> 27;
    return (uint32_t)((m->random * UINT64_C(2685821657736338717)) >> 33) % below;
}

static void append(struct list *list, struct model_chain *chain)
{
    list->chains[list->count++] = chain;
}

static struct model_chain *take_out(struct list *list, unsigned index)
{
    struct model_chain *chain = list->chains[index];

    list->count--;
    for (; index < list->count; index++)
        list->chains[index] = list->chains[index + 1];
    return chain;
}

static struct model_chain *new_chain(struct model *m)
{
    for (unsigned i = 0; i < CHAINS_MAX; i++)
        if (!m->chains[i].exists)
            return &m->chains[i];
    fail_msg("a ring with more chains than slots");
    return NULL;
}

/* --- the driver --- */

static void invent_buffers(struct model *m, struct model_chain *chain)
{
    unsigned readable = any(m, chain->count + 1);

    for (unsigned i = 0; i < chain->count; i++)
        chain->buffers[i] = (struct mock_descriptor){
            .address = BUFFER + any(m, 0x80000),
            .length = any(m, 8) == 0 ? 0 : any(m, 5000),
            .flags = i < readable ? 0 : VRING_DESC_F_WRITE,
        };
}

/* Each chain's indirect table has its own place. */
static uint16_t add_indirect(struct model *m, struct model_chain *chain)
{
    uint64_t table = TABLE + (uint64_t)(chain - m->chains) * BUFFERS_MAX * 16;
    const struct mock_descriptor reference = {table, chain->count * 16, VRING_DESC_F_INDIRECT, 0};

    for (unsigned i = 0; i < chain->count; i++) {
        struct mock_descriptor entry = chain->buffers[i];

        entry.next = (uint16_t)(i + 1);
        if (i + 1 < chain->count)
            entry.flags |= VRING_DESC_F_NEXT;
        mock_set_table_entry(&m->f->guest, table, i, &entry);
    }
    return mock_add(&m->f->ring, &reference, 1);
}

/* Positions as event indexes count them: of what was offered, in slots. */
static uint16_t offered_position(const struct mock_ring *ring)
{
    return ring->packed ? ring->avail_position : ring->avail_idx;
}

static uint32_t distance(const struct model *m, uint16_t from, uint16_t to)
{
    return (to + m->period - from) % m->period;
}

/* The driver's rule for kicks, after it offered what begins at `before` (2.7.10, 2.8.10). */
static bool must_kick(const struct model *m, uint16_t before)
{
    const struct mock_ring *ring = &m->f->ring;

    if (!(m->features & MOCK_EVENT_IDX))
        return !(mock_used_flags(ring) & VRING_USED_F_NO_NOTIFY);
    return distance(m, before, mock_avail_event(ring)) <
           distance(m, before, offered_position(ring));
}

static void offer(struct model *m)
{
    uint16_t before = offered_position(&m->f->ring);
    bool indirect = m->features & MOCK_INDIRECT && any(m, 3) == 0;
    struct model_chain *chain;

    if (m->free_slots == 0)
        return;
    chain = new_chain(m);
    chain->exists = true;
    chain->count = 1 + any(m, BUFFERS_MAX);
    if (!indirect && chain->count > m->free_slots)
        chain->count = m->free_slots;
    chain->slots = indirect ? 1 : chain->count;
    invent_buffers(m, chain);
    chain->name = indirect ? add_indirect(m, chain)
                           : mock_add(&m->f->ring, chain->buffers, chain->count);
    m->free_slots -= chain->slots;
    append(&m->offered, chain);
    if (m->asleep)
        CHECK(must_kick(m, before));
    m->asleep = false;
}

static void take(struct model *m)
{
    struct model_chain *chain;
    uint32_t name, length;

    if (m->given.count == 0) {
        CHECK(!mock_take(&m->f->ring, &name, &length));
        return;
    }
    chain = take_out(&m->given, 0);
    chain->exists = false;
    CHECK(mock_take(&m->f->ring, &name, &length));
    CHECK(name == chain->name);
    CHECK(length == chain->written);
    m->free_slots += chain->slots;
}

static void wish(struct model *m)
{
    m->by_position = m->features & MOCK_EVENT_IDX;
    m->wants_all = any(m, 2);
    if (m->by_position) {
        m->event = (uint16_t)((m->used + any(m, m->f->ring.size + 3)) % m->period);
        mock_set_used_event(&m->f->ring, m->event);
    } else {
        mock_set_avail_flags(&m->f->ring, m->wants_all ? 0 : VRING_AVAIL_F_NO_INTERRUPT);
    }
}

/* --- the device --- */

static void expect_chain(struct model *m, const struct model_chain *chain)
{
    const struct virtq_chain *got = &m->f->chain;
    uint64_t sizes[2] = {0, 0};
    unsigned counts[2] = {0, 0};

    for (unsigned i = 0; i < chain->count; i++) {
        const struct mock_descriptor *buffer = &chain->buffers[i];
        bool writable = buffer->flags & VRING_DESC_F_WRITE;
        const struct iovec *iov = &got->iov[counts[0] + counts[1]];

        if (buffer->length == 0)
            continue;
        CHECK(iov->iov_len == buffer->length);
        CHECK(iov->iov_base == mock_at(&m->f->guest, buffer->address, buffer->length));
        sizes[writable] += buffer->length;
        counts[writable]++;
    }
    CHECK(got->readable_count == counts[0] && got->writable_count == counts[1]);
    CHECK(got->readable_size == sizes[0] && got->writable_size == sizes[1]);
}

static void take_from_ring(struct model *m)
{
    struct model_chain *chain = m->offered.chains[0];

    if (m->offered.count == 0) {
        CHECK(pop(m->f) == 0);
        return;
    }
    CHECK(pop(m->f) == 1);
    expect_chain(m, chain);
    if (any(m, 6) == 0) {
        virtq_undo_pop(&m->f->queue, m->f->chain.token);
        return;
    }
    chain->token = m->f->chain.token;
    chain->written = any(m, 2) ? any(m, 10000) : 0;
    append(&m->in_flight, take_out(&m->offered, 0));
}

static void give_back(struct model *m)
{
    struct virtq_used used[4];
    unsigned count = 1 + any(m, 4);

    if (count > m->in_flight.count)
        count = m->in_flight.count;
    for (unsigned i = 0; i < count; i++) {
        struct model_chain *chain = take_out(&m->in_flight, any(m, m->in_flight.count));

        used[i] = (struct virtq_used){chain->token, chain->written};
        append(&m->given, chain);
        m->used += m->f->ring.packed ? chain->slots : 1;
    }
    if (count == 1)
        virtq_push(&m->f->queue, used[0].token, used[0].written);
    else
        virtq_push_all(&m->f->queue, used, count);
}

static void consider_interrupt(struct model *m)
{
    bool expected = false;

    if (m->by_position)
        for (uint64_t slot = m->considered; slot < m->used; slot++)
            expected |= slot % m->period == m->event;
    else
        expected = m->wants_all && m->used > m->considered;
    CHECK(virtq_wants_interrupt(&m->f->queue) == expected);
    m->considered = m->used;
}

static void go_to_sleep(struct model *m)
{
    bool more = virtq_enable_kicks(&m->f->queue);

    CHECK(more == (m->offered.count > 0));
    m->asleep = !more;
}

static void stay_awake(struct model *m)
{
    virtq_suppress_kicks(&m->f->queue);
    m->asleep = false;
}

/* With nothing in flight, as a device saves itself. */
static void save_and_restore(struct model *m)
{
    struct fixture *f = m->f;
    struct state_writer writer = {0};
    struct state_reader reader;
    struct virtq_setup setup;
    const char *fault;

    if (m->in_flight.count > 0)
        return;
    state_begin(&writer, "q", 1);
    virtq_save(&f->queue, &writer);
    state_end(&writer);
    virtq_stop(&f->queue);
    mock_ring_setup(&f->ring, &setup);
    CHECK(virtq_start(&f->queue, &f->guest.memory, &setup, VIRTQ_SIZE_MAX,
                      m->features | (f->guest.packed ? MOCK_PACKED : 0), &fault) == 0);
    reader = (struct state_reader){.data = writer.data, .size = writer.size};
    state_enter(&reader, "q", 1);
    virtq_restore(&f->queue, &reader);
    state_leave(&reader);
    CHECK(!state_failed(&reader));
    state_writer_free(&writer);
}

/* --- all of it --- */

static void run(struct fixture *f, bool packed, uint64_t seed)
{
    static void (*const steps[])(struct model *) = {
        offer, offer, offer, take_from_ring, take_from_ring, take_from_ring, give_back, give_back,
        take, take, take, wish, consider_interrupt, go_to_sleep, stay_awake, save_and_restore,
    };
    static struct model models[1];
    struct model *m = models;
    uint16_t size;

    *m = (struct model){.f = f, .seed = seed, .random = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15)};
    size = (uint16_t)(packed ? 1 + any(m, VIRTQ_SIZE_MAX) : 1u << any(m, 9));
    if (any(m, 2))
        size = (uint16_t)(packed ? size % 8 + 1u : 1u << size % 4); /* small ones go round often */
    m->features = (any(m, 2) ? MOCK_INDIRECT : 0) | (any(m, 2) ? MOCK_EVENT_IDX : 0);
    m->period = packed ? 2u * size : 65536;
    m->free_slots = size;
    f->guest.packed = packed;
    restart_sized(f, m->features, size);
    wish(m);
    for (m->step = 0; m->step < STEPS; m->step++)
        steps[any(m, sizeof steps / sizeof steps[0])](m);
}

static void run_many(struct fixture *f, bool packed)
{
    const char *chosen = getenv("HUSK_TEST_SEED");
    uint64_t seed = chosen ? strtoull(chosen, NULL, 0) : 1000;

    for (unsigned i = 0; i < (chosen ? 1 : RINGS); i++)
        run(f, packed, seed + i);
}

static void split_queues_are_as_the_model(void **state)
{
    run_many(*state, false);
}

static void packed_queues_are_as_the_model(void **state)
{
    run_many(*state, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(split_queues_are_as_the_model),
        TEST(packed_queues_are_as_the_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
