/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio socket device: packets between two queues and a vsock, and the one event that there is.
 * All queues are on the device's loop, where the vsock is.
 *
 * A guest that offers no receive buffers is sent nothing; and once as many answers wait for it as
 * the vsock keeps, its transmit queue is left alone until it takes some.
 */
#include "devices/virtio/vsock.h"

#include "core/iov.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_vsock.h>
#include <stdlib.h>

enum { QUEUE_RECEIVE, QUEUE_SEND, QUEUE_EVENT, QUEUE_COUNT };

#define QUEUE_SIZE VIRTQ_SIZE_MAX
#define HEADER_SIZE ((uint32_t)sizeof(struct virtio_vsock_hdr))

#ifndef VIRTIO_VSOCK_F_STREAM /* virtio 1.2, 5.10.3 */
#define VIRTIO_VSOCK_F_STREAM 0
#endif

struct virtio_vsock {
    struct virtio_device device; /* first member: the two convert to each other */
    struct vsock *vsock;
    bool transport_reset; /* the driver has yet to hear that its connections are gone */
};

/* --- headers --- */

static void encode(struct virtio_vsock_hdr *header, const struct vsock_packet *packet)
{
    *header = (struct virtio_vsock_hdr){
        .src_cid = htole64(packet->source_cid),
        .dst_cid = htole64(packet->destination_cid),
        .src_port = htole32(packet->source_port),
        .dst_port = htole32(packet->destination_port),
        .len = htole32(packet->size),
        .type = htole16(packet->type),
        .op = htole16(packet->operation),
        .flags = htole32(packet->flags),
        .buf_alloc = htole32(packet->buffer_size),
        .fwd_cnt = htole32(packet->forwarded),
    };
}

static void decode(struct vsock_packet *packet, const struct virtio_vsock_hdr *header)
{
    *packet = (struct vsock_packet){
        .source_cid = le64toh(header->src_cid),
        .destination_cid = le64toh(header->dst_cid),
        .source_port = le32toh(header->src_port),
        .destination_port = le32toh(header->dst_port),
        .size = le32toh(header->len),
        .type = le16toh(header->type),
        .operation = le16toh(header->op),
        .flags = le32toh(header->flags),
        .buffer_size = le32toh(header->buf_alloc),
        .forwarded = le32toh(header->fwd_cnt),
    };
}

/* --- to the guest --- */

/* Fills the chain with a packet; its size, 0 if there is none. */
static uint32_t fill(struct virtio_vsock *self, const struct virtq_chain *chain)
{
    const struct iovec *iov = virtq_writable(chain);
    struct iovec payload[VIRTQ_SIZE_MAX];
    struct virtio_vsock_hdr header;
    struct vsock_packet packet;
    unsigned count = iov_slice(iov, chain->writable_count, HEADER_SIZE, VSOCK_PAYLOAD_MAX,
                               payload, VIRTQ_SIZE_MAX);

    if (!vsock_next(self->vsock, &packet, payload, count))
        return 0;
    encode(&header, &packet);
    iov_write(iov, chain->writable_count, 0, &header, HEADER_SIZE);
    return HEADER_SIZE + packet.size;
}

static void receive_turn(struct virtio_vsock *self)
{
    struct virtio_queue *queue = &self->device.queues[QUEUE_RECEIVE];
    struct virtio_batch batch;
    struct virtq_chain chain;

    virtio_batch_begin(&batch, queue);
    while (vsock_pending(self->vsock) && virtio_batch_next(&batch, &chain)) {
        bool has_room = chain.writable_size > HEADER_SIZE;
        uint32_t written = has_room ? fill(self, &chain) : 0;

        if (has_room && written == 0) {
            virtio_batch_undo(&batch, chain.token);
            break;
        }
        if (!has_room)
            counter_add(&queue->counters.errors, 1);
        virtio_queue_push(queue, chain.token, written);
    }
    virtio_queue_interrupt(queue);
}

/* --- from the guest --- */

static void take(struct virtio_vsock *self, const struct virtq_chain *chain)
{
    struct iovec payload[VIRTQ_SIZE_MAX];
    struct virtio_vsock_hdr header;
    struct vsock_packet packet;
    unsigned count;

    if (iov_read(virtq_readable(chain), chain->readable_count, 0, &header, HEADER_SIZE) <
        HEADER_SIZE) { /* whom should one answer? */
        counter_add(&self->device.queues[QUEUE_SEND].counters.errors, 1);
        return;
    }
    decode(&packet, &header);
    if (packet.size > chain->readable_size - HEADER_SIZE) {
        vsock_refuse(self->vsock, &packet);
        return;
    }
    count = iov_slice(virtq_readable(chain), chain->readable_count, HEADER_SIZE, packet.size,
                      payload, VIRTQ_SIZE_MAX);
    vsock_take(self->vsock, &packet, payload, count);
}

static void send_turn(struct virtio_vsock *self)
{
    struct virtio_queue *queue = &self->device.queues[QUEUE_SEND];
    struct virtio_batch batch;
    struct virtq_chain chain;

    virtio_batch_begin(&batch, queue);
    while (vsock_takes(self->vsock) && virtio_batch_next(&batch, &chain)) {
        take(self, &chain);
        virtio_queue_push(queue, chain.token, 0);
    }
    virtio_queue_interrupt(queue);
}

/* --- both --- */

/* What the guest has sent has answers, and what it takes makes room for more of them. */
static void turn(struct virtio_vsock *self)
{
    bool stalled = !vsock_takes(self->vsock);

    receive_turn(self);
    if (stalled && vsock_takes(self->vsock))
        virtio_queue_look_again(&self->device.queues[QUEUE_SEND]);
}

static void packets_ready(void *device)
{
    turn(device);
}

/* --- events --- */

/* VIRTIO_VSOCK_EVENT_TRANSPORT_RESET (5.10.6.7), once the driver has a buffer for it. */
static void event_turn(struct virtio_vsock *self)
{
    const struct virtio_vsock_event event = {htole32(VIRTIO_VSOCK_EVENT_TRANSPORT_RESET)};
    struct virtio_queue *queue = &self->device.queues[QUEUE_EVENT];
    struct virtio_batch batch;
    struct virtq_chain chain;

    virtio_batch_begin(&batch, queue);
    while (self->transport_reset && virtio_batch_next(&batch, &chain)) {
        size_t written = iov_write(virtq_writable(&chain), chain.writable_count, 0, &event,
                                   sizeof event);

        self->transport_reset = written < sizeof event;
        virtio_queue_push(queue, chain.token, (uint32_t)written);
    }
    virtio_queue_interrupt(queue);
}

/* --- device --- */

static void notify(struct virtio_device *device, unsigned queue)
{
    struct virtio_vsock *self = (struct virtio_vsock *)device;

    if (queue == QUEUE_EVENT) {
        event_turn(self);
        return;
    }
    if (queue == QUEUE_SEND)
        send_turn(self);
    turn(self);
}

static void activate(struct virtio_device *device)
{
    vsock_start(((struct virtio_vsock *)device)->vsock);
}

static void reset(struct virtio_device *device)
{
    struct virtio_vsock *self = (struct virtio_vsock *)device;

    vsock_stop(self->vsock);
    self->transport_reset = false;
}

static void count(const struct virtio_device *device, unsigned queue,
                  const struct counter_sink *sink)
{
    const struct virtio_vsock *self = (const struct virtio_vsock *)device;
    const struct vsock_counters *counters = queue == QUEUE_RECEIVE ? vsock_to_guest(self->vsock)
                                                                   : vsock_from_guest(self->vsock);

    if (queue == QUEUE_EVENT)
        return;
    counter_give(sink, "packets", &counters->packets);
    counter_give(sink, "payload_bytes", &counters->bytes);
    counter_give(sink, "resets", &counters->resets);
    counter_give(sink, "connections", &counters->connections);
    counter_give(sink, "connections_closed", &counters->closed);
}

static void publish_config(struct virtio_vsock *self)
{
    const struct virtio_vsock_config config = {htole64(vsock_cid(self->vsock))};

    virtio_device_set_config(&self->device, &config, sizeof config);
}

/*
 * There is nothing to save: a restored guest has none of its connections, and asks for its CID
 * anew when it hears of that.
 */
static int restore(struct virtio_device *device, struct state_reader *reader, struct err *err)
{
    struct virtio_vsock *self = (struct virtio_vsock *)device;

    (void)reader;
    (void)err;
    self->transport_reset = device->active;
    return 0;
}

static void destroy(struct virtio_device *device)
{
    struct virtio_vsock *self = (struct virtio_vsock *)device;

    vsock_detach(self->vsock);
    virtio_device_release(device);
    free(self);
}

static const struct virtio_device_ops ops = {
    .name = "vsock",
    .device_id = VIRTIO_ID_VSOCK,
    .activate = activate,
    .notify = notify,
    .reset = reset,
    .count = count,
    .restore = restore,
    .destroy = destroy,
};

int virtio_vsock_create(struct virtio_device **device,
                        const struct virtio_environment *environment, struct vsock *vsock,
                        struct err *err)
{
    const struct virtio_queue_options queues[QUEUE_COUNT] = {
        {.size_max = QUEUE_SIZE},
        {.size_max = QUEUE_SIZE},
        {.size_max = QUEUE_SIZE},
    };
    struct virtio_vsock *self = calloc(1, sizeof *self);
    int rc;

    if (!self)
        return err_set(err, -ENOMEM, "virtio-vsock: out of memory");
    rc = virtio_device_init(&self->device, &ops, environment, queues, QUEUE_COUNT,
                            UINT64_C(1) << VIRTIO_VSOCK_F_STREAM, err);
    if (rc) {
        free(self);
        return rc;
    }
    self->vsock = vsock;
    rc = vsock_attach(vsock, packets_ready, self, environment->loop, environment->log, err);
    if (rc) {
        destroy(&self->device);
        return rc;
    }
    publish_config(self);
    *device = &self->device;
    return 0;
}
