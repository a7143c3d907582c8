/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads virtio disks as a driver would, polling for completions, and says what it counted.
 *
 *     disks=N queues=M     drive so many disks (1) by so many queues each (1)
 *     cycles=N             TSC cycles that a case is measured (its warm-up takes a quarter more)
 *     requests=N           rather than for a time, measure for so many requests
 *     interrupts=1         cause and acknowledge interrupts, as a driver that sleeps would
 *     packed=1             by packed rings
 *     case=OP:ORDER:SIZE:DEPTH ...
 *                          OP: read, write; ORDER: random, sequential; DEPTH: in flight, per queue
 *
 * A line per case: "result CASE cycles= requests= kicks= kicking= p50= p99= errors=", of which
 * kicking is cycles spent in kicks, and p50 and p99 are cycles of latency. Each 4 KiB block of a
 * disk starts with its own byte offset: the host has made the images so, writes keep it so, and a
 * read that brings anything else is an error.
 */
#include "virtio.h"

#include <linux/virtio_blk.h>

#define LANES_MAX 16u
#define DEPTH_MAX 128u
#define BLOCK 4096u
#define SECTOR 512u
#define WANTED_FEATURES \
    (FEATURE(VIRTIO_BLK_F_FLUSH) | FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | \
     FEATURE(VIRTIO_RING_F_EVENT_IDX))

/* Latencies of 64 cycles share a bucket; the last bucket has all that took longer. */
#define BUCKET_SHIFT 6
#define BUCKETS (1u << 16)

struct load {
    bool write;
    bool random;
    uint32_t size;
    uint32_t depth;
};

/* One request in flight: descriptor `i` of the ring is always the table of slot `i`. */
struct slot {
    struct vring_desc table[3];
    struct virtio_blk_outhdr header;
    uint64_t submitted;
    uint8_t *data;
    volatile uint8_t status;
};

/* A queue that is driven. */
struct lane {
    struct ring ring;
    struct slot slots[DEPTH_MAX];
    uint64_t blocks; /* of the load's size, on the disk */
    uint64_t next;   /* in sequence */
    uint64_t random;
    unsigned in_flight;
};

struct counts {
    uint64_t requests;
    uint64_t errors;
};

static struct lane lanes[LANES_MAX];
static unsigned lane_count;
static uint32_t latencies[BUCKETS];
static struct counts counts;

static uint64_t next_random(struct lane *lane)
{
    lane->random ^= lane->random << 13;
    lane->random ^= lane->random >> 7;
    lane->random ^= lane->random << 17;
    return lane->random;
}

static uint64_t choose_block(struct lane *lane, const struct load *load)
{
    if (load->random)
        return (uint64_t)((unsigned __int128)next_random(lane) * lane->blocks >> 64);
    lane->next = lane->next + 1 < lane->blocks ? lane->next + 1 : 0;
    return lane->next;
}

static void stamp(uint8_t *data, uint32_t size, uint64_t offset)
{
    for (uint32_t at = 0; at < size; at += BLOCK)
        *(volatile uint64_t *)(data + at) = offset + at;
}

static bool stamped(const uint8_t *data, uint32_t size, uint64_t offset)
{
    for (uint32_t at = 0; at < size; at += BLOCK)
        if (*(const volatile uint64_t *)(data + at) != offset + at)
            return false;
    return true;
}

static void submit(struct lane *lane, const struct load *load, uint16_t index)
{
    struct slot *slot = &lane->slots[index];
    uint64_t offset = choose_block(lane, load) * load->size;

    slot->header.sector = offset / SECTOR;
    slot->status = UINT8_MAX;
    stamp(slot->data, load->size, load->write ? offset : ~offset);
    slot->submitted = cycles_now();
    ring_add(&lane->ring, index);
    lane->in_flight++;
}

static void complete(struct lane *lane, const struct load *load, uint16_t index, uint64_t now)
{
    struct slot *slot = &lane->slots[index];
    uint64_t bucket = (now - slot->submitted) >> BUCKET_SHIFT;

    latencies[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    counts.requests++;
    lane->in_flight--;
    if (slot->status != VIRTIO_BLK_S_OK ||
        (!load->write && !stamped(slot->data, load->size, slot->header.sector * SECTOR)))
        counts.errors++;
}

/* Takes what has come back, and sends as much again while `more`. */
static void turn(struct lane *lane, const struct load *load, bool more)
{
    uint16_t ready = ring_ready(&lane->ring);
    uint64_t now;

    if (ready == 0) {
        pause();
        return;
    }
    now = cycles_now();
    while (ready-- > 0) {
        uint16_t index = (uint16_t)ring_take(&lane->ring).id;

        complete(lane, load, index, now);
        if (more)
            submit(lane, load, index);
    }
    ring_rearm(&lane->ring);
    ring_publish(&lane->ring);
}

static void prepare(struct lane *lane, const struct load *load)
{
    for (uint16_t i = 0; i < load->depth; i++) {
        struct slot *slot = &lane->slots[i];

        slot->header.type = load->write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN;
        ring_describe(&lane->ring, slot->table, 0, 3, &slot->header, sizeof slot->header, 0);
        ring_describe(&lane->ring, slot->table, 1, 3, slot->data, load->size,
                      load->write ? 0 : VRING_DESC_F_WRITE);
        ring_describe(&lane->ring, slot->table, 2, 3, &slot->status, 1, VRING_DESC_F_WRITE);
        lane->ring.descriptors[i] = (struct vring_desc){
            (uintptr_t)slot->table, sizeof slot->table, VRING_DESC_F_INDIRECT, 0};
        submit(lane, load, i);
    }
    ring_publish(&lane->ring);
}

/* Goes on until both the time and the count are over; the requests stay in flight. */
static void keep_going(const struct load *load, uint64_t cycles, uint64_t requests)
{
    uint64_t start = cycles_now();

    do {
        for (unsigned i = 0; i < lane_count; i++)
            turn(&lanes[i], load, true);
    } while (cycles_now() - start < cycles || counts.requests < requests);
}

static void drain(const struct load *load)
{
    for (unsigned i = 0; i < lane_count; i++)
        while (lanes[i].in_flight > 0)
            turn(&lanes[i], load, false);
}

static void clear_counts(void)
{
    counts.requests = 0;
    memset(latencies, 0, sizeof latencies);
    for (unsigned i = 0; i < lane_count; i++)
        lanes[i].ring.kicks = lanes[i].ring.kick_cycles = 0;
}

static void print_kicks(void)
{
    uint64_t kicks = 0, cycles = 0;

    for (unsigned i = 0; i < lane_count; i++) {
        kicks += lanes[i].ring.kicks;
        cycles += lanes[i].ring.kick_cycles;
    }
    print_value("kicks", kicks);
    print_value("kicking", cycles);
}

static uint64_t latency(unsigned percent)
{
    uint64_t seen = 0;
    unsigned bucket = 0;

    while (bucket < BUCKETS - 1 && (seen += latencies[bucket]) * 100 < counts.requests * percent)
        bucket++;
    return (uint64_t)bucket << BUCKET_SHIFT;
}

static void measure(const struct load *load, const char *name)
{
    uint64_t limit = option_number("cycles", 0), requests = option_number("requests", 0), cycles;

    if (requests)
        limit = 0;
    counts.errors = 0;
    for (unsigned i = 0; i < lane_count; i++)
        prepare(&lanes[i], load);
    keep_going(load, limit / 4, 0);
    clear_counts();
    cycles = cycles_now();
    keep_going(load, limit, requests ? requests : 1);
    cycles = cycles_now() - cycles;
    print("result ");
    print_word(name);
    print_value("cycles", cycles);
    print_value("requests", counts.requests);
    print_kicks();
    print_value("p50", latency(50));
    print_value("p99", latency(99));
    drain(load);
    print_value("errors", counts.errors);
    print("\n");
}

static struct load parse(const char *text)
{
    struct load load = {.write = parse_word(&text, "write:")};

    if (!load.write && !parse_word(&text, "read:"))
        fail("a case that neither reads nor writes");
    load.random = parse_word(&text, "random:");
    if (!load.random && !parse_word(&text, "sequential:"))
        fail("a case in no order");
    load.size = (uint32_t)parse_number(&text);
    text++;
    load.depth = (uint32_t)parse_number(&text);
    if (load.size % BLOCK || load.depth == 0 || load.depth > DEPTH_MAX)
        fail("a case of a size or depth that is not known here");
    return load;
}

/* Every page is touched once, so that no case pays for it. */
static void place_buffers(const struct load *load)
{
    uint8_t *at = (uint8_t *)GUEST_HEAP;

    for (unsigned i = 0; i < lane_count; i++)
        for (unsigned j = 0; j < load->depth; j++, at += load->size) {
            lanes[i].slots[j].data = at;
            stamp(at, load->size, 0);
        }
}

static void add_lane(const struct virtio *disk, unsigned queue)
{
    struct lane *lane = &lanes[lane_count++];

    lane->random = 0x9e3779b97f4a7c15ull * lane_count;
    virtio_add_queue(disk, queue, &lane->ring, option_number("interrupts", 0));
}

static void start_disk(unsigned index, unsigned queues)
{
    uint64_t wanted = WANTED_FEATURES | (queues > 1 ? FEATURE(VIRTIO_BLK_F_MQ) : 0);
    struct virtio disk;

    if (option_number("packed", 0))
        wanted |= FEATURE(VIRTIO_F_RING_PACKED);
    virtio_find(&disk, VIRTIO_ID_BLOCK, index);
    if ((virtio_negotiate(&disk, wanted) & wanted) != wanted)
        fail("the disk lacks a feature");
    disk.packed = wanted & FEATURE(VIRTIO_F_RING_PACKED);
    for (unsigned i = 0; i < queues; i++)
        add_lane(&disk, i);
    virtio_go(&disk);
}

/* All disks are of one size, which the host says. */
static void set_blocks(const struct load *load)
{
    for (unsigned i = 0; i < lane_count; i++)
        lanes[i].blocks = option_number("size", 0) / load->size;
    if (lanes[0].blocks == 0)
        fail("no size= of the disks");
}

void guest_main(void)
{
    unsigned disks = (unsigned)option_number("disks", 1);
    unsigned queues = (unsigned)option_number("queues", 1);

    if (disks * queues > LANES_MAX)
        fail("too many queues");
    for (unsigned i = 0; i < disks; i++)
        start_disk(i, queues);
    wait_for_host();
    for (const char *name = option("case", NULL); name; name = option("case", name)) {
        struct load load = parse(name);

        set_blocks(&load);
        place_buffers(&load);
        measure(&load, name);
    }
    print_done();
}
