/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A station that answers ARP, and sends UDP datagrams back to where they came from. Words of the
 * command line: "pairs" uses two queue pairs, "starve" has few buffers and no hurry. It turns off
 * when a datagram comes to port 9, or when the link goes down.
 *
 * With "refuse" it accepts all features but one, then all, then none, each until port 9 is heard of.
 */
#include "virtio.h"

#include <linux/virtio_net.h>

#define PAIRS_MAX 2
#define BUFFER_SIZE 2048
#define BUFFERS (RING_SIZE / 2)
#define FEW_BUFFERS 2
#define CONTROL_QUEUE 4
#define HEADER_SIZE 12
#define DELAY 2000     /* turns of an empty loop, some microseconds each where it is interpreted */
#define LOOK_AT_LINK 512 /* polls between two looks at the configuration space */

#define FEATURE(bit) (1u << VIRTIO_NET_F_##bit)

struct frame {
    uint8_t header[HEADER_SIZE];
    uint8_t to[6], from[6];
    uint16_t type; /* big-endian, as everything that follows */
    union {
        struct {
            uint16_t hardware, protocol;
            uint8_t sizes[2];
            uint16_t operation;
            uint8_t sender[10], target[10]; /* MAC and IPv4 addresses */
        } arp;
        struct {
            uint8_t version, service;
            uint16_t length, id, fragment;
            uint8_t hops, protocol;
            uint16_t checksum;
            uint8_t source[4], destination[4];
            uint16_t source_port, destination_port;
            uint16_t datagram_size, datagram_checksum;
        } udp;
    };
} __attribute__((packed));

struct pair {
    struct virtio receive, send;
    union ring receive_ring, send_ring;
    uint16_t received, sent;
    uint8_t buffers[BUFFERS][BUFFER_SIZE];
};

static struct pair pairs[PAIRS_MAX];
static struct virtio device;
static bool starving, said_goodbye;
static const uint8_t address[4] = {10, 0, 0, 2};

static void swap(void *a, void *b, size_t size)
{
    uint8_t kept[10];

    memcpy(kept, a, size);
    memcpy(a, b, size);
    memcpy(b, kept, size);
}

static uint16_t swapped(uint16_t value)
{
    return __builtin_bswap16(value);
}

static void read_mac(uint8_t mac[6])
{
    for (unsigned i = 0; i < 6; i++)
        mac[i] = *(volatile uint8_t *)(virtio_config(&device) + i);
}

/* Makes the answer of the question; false: there is none. */
static bool answer(struct frame *frame)
{
    memcpy(frame->to, frame->from, sizeof frame->to);
    read_mac(frame->from);
    memset(frame->header, 0, sizeof frame->header);
    if (frame->type == swapped(0x0806) && frame->arp.operation == swapped(1) &&
        memcmp(frame->arp.target + 6, address, 4) == 0) {
        frame->arp.operation = swapped(2);
        memcpy(frame->arp.target, frame->from, 6);
        swap(frame->arp.sender, frame->arp.target, 10);
        return true;
    }
    if (frame->type != swapped(0x0800) || frame->udp.protocol != 17)
        return false;
    said_goodbye = said_goodbye || frame->udp.destination_port == swapped(9);
    swap(frame->udp.source, frame->udp.destination, 4);
    swap(&frame->udp.source_port, &frame->udp.destination_port, 2);
    frame->udp.datagram_checksum = 0; /* none: it may have come as a part of one */
    return true;
}

static void offer(struct pair *pair, uint16_t buffer)
{
    virtio_describe(&pair->receive, buffer, pair->buffers[buffer], BUFFER_SIZE,
                    VRING_DESC_F_WRITE, 0);
    virtio_offer_head(&pair->receive, buffer);
    virtio_kick(&pair->receive);
}

static void send(struct pair *pair, uint16_t buffer, uint32_t size)
{
    virtio_describe(&pair->send, 0, pair->buffers[buffer], size, 0, 0);
    virtio_offer_head(&pair->send, 0);
    virtio_kick(&pair->send);
    if (!virtio_wait(&pair->send, ++pair->sent))
        check("sent", false);
}

/* Answers one frame, if one came. */
static bool serve(struct pair *pair)
{
    struct vring_used_elem used;

    if (virtio_used(&pair->receive) == pair->received)
        return false;
    used = pair->receive_ring.split.used.ring[pair->received++ % RING_SIZE];
    for (volatile unsigned i = 0; starving && i < DELAY; i++)
        ;
    if (answer((struct frame *)pair->buffers[used.id]))
        send(pair, (uint16_t)used.id, used.len);
    offer(pair, (uint16_t)used.id);
    return true;
}

static void set_up(struct virtio *queue, uint32_t index, union ring *ring)
{
    *queue = device;
    queue->queue = index;
    queue->ring = ring;
    virtio_set_queue(queue, RING_SIZE);
}

/* Tells the device to use all pairs. */
static bool use_pairs(uint16_t count)
{
    static union ring ring;
    static uint8_t command[4];
    static volatile uint8_t ack = VIRTIO_NET_ERR;
    struct virtio control;

    set_up(&control, CONTROL_QUEUE, &ring);
    virtio_write(&device, VIRTIO_MMIO_STATUS,
                 virtio_status(&device) | VIRTIO_CONFIG_S_DRIVER_OK);
    command[0] = VIRTIO_NET_CTRL_MQ;
    command[1] = VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET;
    memcpy(command + 2, &count, sizeof count);
    virtio_describe(&control, 0, command, sizeof command, VRING_DESC_F_NEXT, 1);
    virtio_describe(&control, 1, (void *)&ack, 1, VRING_DESC_F_WRITE, 0);
    virtio_offer_head(&control, 0);
    virtio_kick(&control);
    return virtio_wait(&control, 1) && ack == VIRTIO_NET_OK;
}

static bool link_is_up(void)
{
    return *(volatile uint16_t *)(virtio_config(&device) + 6) & VIRTIO_NET_S_LINK_UP;
}

/* With so many pairs and these features of the low word. */
static bool start(unsigned count, uint32_t features)
{
    if (!virtio_negotiate(&device, features))
        return false;
    for (unsigned i = 0; i < count; i++) {
        pairs[i].received = pairs[i].sent = 0;
        set_up(&pairs[i].receive, 2 * i, &pairs[i].receive_ring);
        set_up(&pairs[i].send, 2 * i + 1, &pairs[i].send_ring);
    }
    if (count > 1)
        check("pairs", use_pairs((uint16_t)count));
    else
        virtio_write(&device, VIRTIO_MMIO_STATUS,
                     virtio_status(&device) | VIRTIO_CONFIG_S_DRIVER_OK);
    for (unsigned i = 0; i < count; i++)
        for (uint16_t buffer = 0; buffer < (starving ? FEW_BUFFERS : BUFFERS); buffer++)
            offer(&pairs[i], buffer);
    return true;
}

static void serve_all(unsigned count)
{
    unsigned polls = 0;

    said_goodbye = false;
    print("ready\n");
    while (!said_goodbye && (++polls % LOOK_AT_LINK != 0 || link_is_up()))
        for (unsigned i = 0; i < count; i++)
            serve(&pairs[i]);
    print(said_goodbye ? "goodbye\n" : "link down\n");
    for (unsigned i = 0; i < count; i++)
        print_value("received", pairs[i].received);
}

/* Bits of both words, but for those of the ring's format. */
static void try(uint64_t features)
{
    bool started;

    device.more = (uint32_t)(features >> 32);
    started = start(1, (uint32_t)features);
    print_value("features", features);
    check("start", started);
    if (started)
        serve_all(1);
}

static void refuse(void)
{
    uint64_t all = (uint64_t)virtio_offered(&device, 1) << 32 | virtio_offered(&device, 0);
    uint32_t refused = 0;

    all &= ~(UINT64_C(1) << VIRTIO_F_VERSION_1 | UINT64_C(1) << VIRTIO_F_RING_PACKED);
    for (unsigned bit = 0; bit < 64; bit++) {
        if (!(all >> bit & 1))
            continue;
        try(all & ~(UINT64_C(1) << bit));
        refused++;
    }
    try(all);
    try(0);
    print_value("offered", all);
    print_value("refused", refused);
}

void guest_main(void)
{
    unsigned count = asked("pairs") ? 2 : 1;
    uint32_t features = FEATURE(MAC) | FEATURE(STATUS);
    bool found = virtio_find(&device, 0, NULL) && device.id == VIRTIO_ID_NET;

    check("device", found);
    if (!found)
        return;
    starving = asked("starve");
    if (asked("refuse")) {
        refuse();
        return;
    }
    if (count > 1)
        features |= FEATURE(CTRL_VQ) | FEATURE(MQ);
    if (start(count, features))
        serve_all(count);
}
