/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads a virtio network device as a driver would, polling for completions.
 *
 *     cycles=N         TSC cycles that sending is measured (its warm-up takes a quarter more)
 *     frames=N         frames of a round that receives; with cycles=0, so many are sent
 *     rounds=N         how often a case receives so many (1)
 *     interrupts=1     cause and acknowledge interrupts, as a driver that sleeps would
 *     case=send:SIZE, case=receive:SIZE ...
 *
 * A line per case: "result CASE cycles= frames= bytes= kicks= kicking=". To receive, the guest says
 * "wait CASE" with no buffer in its ring; the host fills the queue of its interface, and sends a
 * byte; the guest then takes frames as fast as they come, until all have come, or none comes any
 * more. So nothing but the monitor works meanwhile. Frames beyond 1514 bytes are TCP segments yet
 * to be cut (GSO), lie in pages, and are received into pages (VIRTIO_NET_F_MRG_RXBUF).
 */
#include "virtio.h"

#include <linux/virtio_net.h>

#define RECEIVE_QUEUE 0
#define SEND_QUEUE 1
#define PAGE 4096u
#define PLAIN_MAX 1514u
#define FRAME_MAX (16 * PAGE)
#define PIECES_MAX (FRAME_MAX / PAGE + 1)
#define SENDING 128u /* frames in flight */
#define ETHERNET_SIZE 14u
#define HEADERS_SIZE (ETHERNET_SIZE + 20u + 20u) /* with IPv4 and TCP */
#define SEGMENT 1448u
#define OFFLOADS                                                                     \
    (FEATURE(VIRTIO_NET_F_CSUM) | FEATURE(VIRTIO_NET_F_GUEST_CSUM) |                 \
     FEATURE(VIRTIO_NET_F_HOST_TSO4) | FEATURE(VIRTIO_NET_F_GUEST_TSO4) |            \
     FEATURE(VIRTIO_NET_F_MRG_RXBUF))
#define WANTED_FEATURES \
    (OFFLOADS | FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | FEATURE(VIRTIO_RING_F_EVENT_IDX))

#define HEADER_SIZE sizeof(struct virtio_net_hdr_v1)

/* The end of a case that receives: so many cycles without a frame. */
#define SILENCE 500000000u

struct totals {
    uint64_t frames;
    uint64_t bytes;
};

static struct virtio net;
static struct ring receiving, sending;
static struct vring_desc tables[SENDING][PIECES_MAX];

/* Buffers lie side by side, one for each frame to send or page to receive into. */
static uint8_t *buffer(unsigned index)
{
    return (uint8_t *)GUEST_HEAP + index * (uint64_t)(FRAME_MAX + PAGE);
}

static void start(void)
{
    bool interrupts = option_number("interrupts", 0);

    if ((virtio_negotiate(&net, WANTED_FEATURES) & WANTED_FEATURES) != WANTED_FEATURES)
        fail("the network device lacks a feature");
    virtio_add_queue(&net, RECEIVE_QUEUE, &receiving, interrupts);
    virtio_add_queue(&net, SEND_QUEUE, &sending, interrupts);
    virtio_go(&net);
}

static void print_result(const char *name, uint64_t cycles, const struct totals *totals,
                         const struct ring *ring)
{
    print("result ");
    print_word(name);
    print_value("cycles", cycles);
    print_value("frames", totals->frames);
    print_value("bytes", totals->bytes);
    print_value("kicks", ring->kicks);
    print_value("kicking", ring->kick_cycles);
    print("\n");
}

/* --- sending --- */

static void put_big_endian(uint8_t *at, uint32_t value, unsigned bytes)
{
    while (bytes-- > 0)
        *at++ = (uint8_t)(value >> bytes * 8);
}

/* A frame to somebody else, which the host drops as soon as it has looked at the address. */
static void write_frame(uint8_t *at, uint32_t size)
{
    struct virtio_net_hdr_v1 *header = (void *)at;
    uint8_t *frame = at + HEADER_SIZE, *ip = frame + ETHERNET_SIZE, *tcp = ip + 20;

    memset(at, 0, HEADER_SIZE + HEADERS_SIZE);
    if (size > PLAIN_MAX)
        *header = (struct virtio_net_hdr_v1){
            .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
            .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
            .hdr_len = HEADERS_SIZE,
            .gso_size = SEGMENT,
            .csum_start = ETHERNET_SIZE + 20,
            .csum_offset = 16,
        };
    put_big_endian(frame, 0x02000000, 4);
    put_big_endian(frame + 4, 0x0099, 2);
    put_big_endian(frame + 6, 0x02000000, 4);
    put_big_endian(frame + 10, 0x0001, 2);
    put_big_endian(frame + 12, 0x0800, 2);
    ip[0] = 0x45;
    put_big_endian(ip + 2, size - ETHERNET_SIZE, 2);
    ip[8] = 64;
    ip[9] = 6;
    put_big_endian(ip + 12, 0xc6336401, 4); /* 198.51.100.1 */
    put_big_endian(ip + 16, 0xc6336402, 4);
    tcp[12] = 5 << 4;
    tcp[13] = 0x10; /* ACK */
}

/* One descriptor for a frame of one page; a table of pages for a larger one. */
static void describe(unsigned index, uint32_t size)
{
    struct vring_desc *table = tables[index];
    uint32_t left = (uint32_t)HEADER_SIZE + size;
    uint8_t *at = buffer(index);
    uint16_t count = 0;

    write_frame(at, size);
    for (; left > 0; count++) {
        uint32_t piece = left < PAGE ? left : PAGE;

        table[count] =
            (struct vring_desc){(uintptr_t)at, piece, VRING_DESC_F_NEXT, (uint16_t)(count + 1)};
        at += piece;
        left -= piece;
    }
    table[count - 1].flags = 0;
    sending.descriptors[index] =
        count == 1 ? table[0]
                   : (struct vring_desc){(uintptr_t)table, count * (uint32_t)sizeof *table,
                                         VRING_DESC_F_INDIRECT, 0};
}

static void keep_sending(struct totals *totals, uint32_t size, uint64_t cycles, uint64_t frames)
{
    uint64_t start = cycles_now();

    do {
        uint16_t ready = ring_ready(&sending);

        if (ready == 0)
            pause();
        totals->frames += ready;
        totals->bytes += (uint64_t)ready * size;
        if (ready == 0)
            continue;
        while (ready-- > 0)
            ring_add(&sending, (uint16_t)ring_take(&sending).id);
        ring_rearm(&sending);
        ring_publish(&sending);
    } while (cycles_now() - start < cycles || totals->frames < frames);
}

static void measure_sending(const char *name, uint32_t size)
{
    uint64_t limit = option_number("cycles", 0), frames = option_number("frames", 1), cycles;
    struct totals totals = {0, 0};

    start();
    for (uint16_t i = 0; i < SENDING; i++) {
        describe(i, size);
        ring_add(&sending, i);
    }
    ring_publish(&sending);
    keep_sending(&totals, size, limit / 4, 1);
    totals = (struct totals){0, 0};
    sending.kicks = sending.kick_cycles = 0;
    cycles = cycles_now();
    keep_sending(&totals, size, limit, frames);
    cycles = cycles_now() - cycles;
    print_result(name, cycles, &totals, &sending);
}

/* --- receiving --- */

static void offer_all(void)
{
    for (uint16_t i = 0; i < RING_SIZE; i++) {
        uint8_t *at = (uint8_t *)GUEST_HEAP + i * PAGE;

        *(volatile uint8_t *)at = 0; /* no case pays for touching it first */
        receiving.descriptors[i] =
            (struct vring_desc){(uintptr_t)at, PAGE, VRING_DESC_F_WRITE, 0};
        ring_add(&receiving, i);
    }
    ring_publish(&receiving);
}

/* A frame's first buffer says in how many it lies. */
static void take(struct totals *totals, uint16_t ready)
{
    static unsigned left;

    while (ready-- > 0) {
        struct vring_used_elem used = ring_take(&receiving);
        const struct virtio_net_hdr_v1 *header =
            (const void *)(uintptr_t)receiving.descriptors[used.id].addr;

        totals->bytes += used.len;
        if (left == 0) {
            left = header->num_buffers;
            totals->bytes -= HEADER_SIZE;
        }
        if (--left == 0)
            totals->frames++;
        ring_add(&receiving, (uint16_t)used.id);
    }
    ring_rearm(&receiving);
    ring_publish(&receiving);
}

/* Returns how many cycles it took until the last frame came. */
static uint64_t receive_round(const char *name, struct totals *totals)
{
    uint64_t begun, last, now, wanted = totals->frames + option_number("frames", 0);

    print("wait ");
    print_word(name);
    print("\n");
    read_byte();
    begun = last = cycles_now();
    offer_all();
    do {
        uint16_t ready = ring_ready(&receiving);

        now = cycles_now();
        if (ready == 0) {
            pause();
            continue;
        }
        take(totals, ready);
        last = now = cycles_now();
    } while (totals->frames < wanted && now - last < SILENCE);
    return last - begun;
}

static void measure_receiving(const char *name)
{
    uint64_t cycles = 0, rounds = option_number("rounds", 1);
    struct totals totals = {0, 0};

    for (uint64_t i = 0; i < rounds; i++) {
        start();
        cycles += receive_round(name, &totals);
    }
    print_result(name, cycles, &totals, &receiving);
}

void guest_main(void)
{
    virtio_find(&net, VIRTIO_ID_NET, 0);
    wait_for_host();
    for (const char *name = option("case", NULL); name; name = option("case", name)) {
        const char *text = name;
        bool sends = parse_word(&text, "send:");
        uint64_t size;

        if (!sends && !parse_word(&text, "receive:"))
            fail("a case that neither sends nor receives");
        size = parse_number(&text);
        if (size < HEADERS_SIZE || size > FRAME_MAX - HEADER_SIZE)
            fail("a case of a size that is not known here");
        if (sends)
            measure_sending(name, (uint32_t)size);
        else
            measure_receiving(name);
    }
    print_done();
}
