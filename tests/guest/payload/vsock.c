/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that accepts every connection and sends back what comes, until one to port 9. With "call"
 * it begins by connecting to port 6000 of the host, and with "deaf" it offers no buffers.
 */
#include "virtio.h"

#include <linux/virtio_vsock.h>

#define BUFFERS (RING_SIZE / 2)
#define BUFFER_SIZE 4096
#define HEADER_SIZE sizeof(struct virtio_vsock_hdr)
#define HOST_CID 2
#define CALL_PORT 6000
#define CALLER_PORT 77
#define GOODBYE_PORT 9

struct packet {
    struct virtio_vsock_hdr header;
    uint8_t payload[BUFFER_SIZE - HEADER_SIZE];
};

static struct virtio device, receive, send;
static union ring receive_ring, send_ring;
static struct packet buffers[BUFFERS], out;
static uint16_t received, sent;
static uint64_t cid;
static uint32_t forwarded; /* of all connections, of which there is one at a time */

static void offer(uint16_t buffer)
{
    virtio_describe(&receive, buffer, &buffers[buffer], BUFFER_SIZE, VRING_DESC_F_WRITE, 0);
    virtio_offer_head(&receive, buffer);
    virtio_kick(&receive);
}

/* Sends what is in `out`. */
static void transmit(void)
{
    virtio_describe(&send, 0, &out, (uint32_t)HEADER_SIZE + out.header.len, 0, 0);
    virtio_offer_head(&send, 0);
    virtio_kick(&send);
    if (!virtio_wait(&send, ++sent))
        check("sent", false);
}

static void say(uint16_t operation, uint32_t host_port, uint32_t guest_port)
{
    out.header = (struct virtio_vsock_hdr){
        .src_cid = cid,
        .dst_cid = HOST_CID,
        .src_port = guest_port,
        .dst_port = host_port,
        .type = VIRTIO_VSOCK_TYPE_STREAM,
        .op = operation,
        .buf_alloc = 1 << 16,
        .fwd_cnt = forwarded,
    };
    transmit();
}

static void send_back(const struct packet *packet)
{
    say(VIRTIO_VSOCK_OP_CREDIT_UPDATE, packet->header.src_port, packet->header.dst_port);
    out.header.op = VIRTIO_VSOCK_OP_RW;
    out.header.len = packet->header.len;
    memcpy(out.payload, packet->payload, packet->header.len);
    transmit();
}

static void answer(const struct packet *packet)
{
    const struct virtio_vsock_hdr *header = &packet->header;

    switch (header->op) {
    case VIRTIO_VSOCK_OP_REQUEST:
        forwarded = 0;
        say(VIRTIO_VSOCK_OP_RESPONSE, header->src_port, header->dst_port);
        break;
    case VIRTIO_VSOCK_OP_RESPONSE:
        print("called\n");
        break;
    case VIRTIO_VSOCK_OP_RW:
        forwarded += header->len;
        send_back(packet);
        break;
    case VIRTIO_VSOCK_OP_SHUTDOWN:
        say(VIRTIO_VSOCK_OP_RST, header->src_port, header->dst_port);
        break;
    case VIRTIO_VSOCK_OP_RST:
        print("reset\n");
        break;
    }
}

/* False: somebody has said goodbye. */
static bool serve_one(void)
{
    struct vring_used_elem used;
    bool goodbye;

    if (virtio_used(&receive) == received)
        return true;
    used = receive_ring.split.used.ring[received++ % RING_SIZE];
    goodbye = buffers[used.id].header.dst_port == GOODBYE_PORT;
    answer(&buffers[used.id]);
    offer((uint16_t)used.id);
    return !goodbye;
}

static void set_up(struct virtio *queue, uint32_t index, union ring *ring)
{
    *queue = device;
    queue->queue = index;
    queue->ring = ring;
    virtio_set_queue(queue, RING_SIZE);
}

static bool find(void)
{
    for (unsigned i = 0; i < 4; i++)
        if (virtio_find(&device, i, NULL) && device.id == VIRTIO_ID_VSOCK)
            return true;
    return false;
}

void guest_main(void)
{
    bool found = find() && virtio_negotiate(&device, 0);

    check("device", found);
    if (!found)
        return;
    set_up(&receive, 0, &receive_ring);
    set_up(&send, 1, &send_ring);
    virtio_write(&device, VIRTIO_MMIO_STATUS,
                 virtio_status(&device) | VIRTIO_CONFIG_S_DRIVER_OK);
    cid = *(volatile uint32_t *)virtio_config(&device);
    print_value("cid", cid);
    for (uint16_t buffer = 0; buffer < BUFFERS && !asked("deaf"); buffer++)
        offer(buffer);
    if (asked("call"))
        say(VIRTIO_VSOCK_OP_REQUEST, CALL_PORT, CALLER_PORT);
    print("ready\n");
    while (serve_one())
        ;
    print("goodbye\n");
}
