/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio network device: features, configuration space and life. Queues 2n and 2n + 1 receive and
 * send; the control queue comes behind the last pair that the driver knows of (5.1.2).
 */
#include "devices/virtio/net_parts.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_SIZE VIRTQ_SIZE_MAX
#define QUEUES_MAX (2 * NET_PAIRS_MAX + 1)

/* Linux 6.2 */
#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO 56
#endif

#define FEATURE(bit) (UINT64_C(1) << VIRTIO_NET_F_##bit)

/* --- offloads --- */

/* What an offload of the network is called for frames that the guest sends and receives (5.1.3). */
static const struct {
    unsigned offload;
    uint64_t host;
    uint64_t guest;
} offload_features[] = {
    {NET_OFFLOAD_CSUM, FEATURE(CSUM), FEATURE(GUEST_CSUM)},
    {NET_OFFLOAD_TSO4, FEATURE(HOST_TSO4), FEATURE(GUEST_TSO4)},
    {NET_OFFLOAD_TSO6, FEATURE(HOST_TSO6), FEATURE(GUEST_TSO6)},
    {NET_OFFLOAD_ECN, FEATURE(HOST_ECN), FEATURE(GUEST_ECN)},
    {NET_OFFLOAD_UFO, FEATURE(HOST_UFO), FEATURE(GUEST_UFO)},
    {NET_OFFLOAD_USO, FEATURE(HOST_USO), FEATURE(GUEST_USO4) | FEATURE(GUEST_USO6)},
};

#define OFFLOAD_COUNT (sizeof offload_features / sizeof offload_features[0])

static uint64_t guest_features(unsigned offloads)
{
    uint64_t features = 0;

    for (unsigned i = 0; i < OFFLOAD_COUNT; i++)
        if (offloads & offload_features[i].offload)
            features |= offload_features[i].guest;
    return features;
}

static uint64_t host_features(unsigned offloads)
{
    uint64_t features = 0;

    for (unsigned i = 0; i < OFFLOAD_COUNT; i++)
        if (offloads & offload_features[i].offload)
            features |= offload_features[i].host;
    return features;
}

/* An offload with two features is on only with both. */
static unsigned offloads_of(uint64_t features)
{
    unsigned offloads = 0;

    for (unsigned i = 0; i < OFFLOAD_COUNT; i++)
        if ((features & offload_features[i].guest) == offload_features[i].guest)
            offloads |= offload_features[i].offload;
    return offloads;
}

int virtio_net_set_guest_offloads(struct virtio_net *self, uint64_t features)
{
    int rc;

    if (features & ~(self->device.accepted & guest_features(net_offloads(self->net))))
        return -EINVAL;
    rc = net_set_offloads(self->net, offloads_of(features));
    if (rc == 0)
        self->guest_offloads = features;
    return rc;
}

/* --- pairs --- */

int virtio_net_set_pairs(struct virtio_net *self, unsigned pairs)
{
    int rc = net_set_pairs(self->net, pairs);

    if (rc)
        return rc;
    self->pairs_in_use = pairs;
    for (unsigned i = 0; i < pairs; i++)
        virtio_queue_kick(&self->device.queues[(size_t)2 * i]); /* the network may have frames for it */
    return 0;
}

/* --- configuration space --- */

static unsigned mtu(const struct virtio_net *self)
{
    return self->options.mtu ? self->options.mtu : net_mtu(self->net);
}

static void publish_config(struct virtio_net *self)
{
    struct virtio_net_config config = {
        .status = htole16(net_link(self->net) ? VIRTIO_NET_S_LINK_UP : 0),
        .max_virtqueue_pairs = htole16((uint16_t)self->pair_count),
        .mtu = htole16((uint16_t)mtu(self)),
    };

    memcpy(config.mac, self->options.mac, sizeof config.mac);
    virtio_device_set_config(&self->device, &config,
                             offsetof(struct virtio_net_config, mtu) + sizeof config.mtu);
}

/* --- the network's side --- */

static void receivable(void *device, unsigned pair)
{
    net_receiver_turn(&((struct virtio_net *)device)->receivers[pair]);
}

static void sendable(void *device, unsigned pair)
{
    net_sender_turn(&((struct virtio_net *)device)->senders[pair]);
}

static void link_changed(void *device)
{
    publish_config(device);
}

static const struct net_front_end front_end = {receivable, sendable, link_changed};

static void receiver_may_go_on(void *context)
{
    net_receiver_turn(context);
}

static void sender_may_go_on(void *context)
{
    net_sender_turn(context);
}

/* --- device --- */

static unsigned vhost_index(unsigned queue)
{
    return queue % 2 == 0 ? VHOST_RECEIVE : VHOST_SEND;
}

static unsigned control_queue(const struct virtio_net *self)
{
    return virtio_device_has(&self->device, VIRTIO_NET_F_MQ) ? 2 * self->pair_count : 2;
}

static void notify(struct virtio_device *device, unsigned queue)
{
    struct virtio_net *self = (struct virtio_net *)device;

    if (queue == control_queue(self))
        net_control_turn(self, &device->queues[queue]);
    else if (queue >= 2 * self->pair_count)
        return; /* the control queue of a driver that has accepted several pairs */
    else if (queue % 2 == 0)
        net_receiver_turn(&self->receivers[queue / 2]);
    else
        net_sender_turn(&self->senders[queue / 2]);
}

static void drain_queue(struct virtio_device *device, unsigned queue)
{
    struct virtio_net *self = (struct virtio_net *)device;

    if (queue >= 2 * self->pair_count)
        return;
    if (queue % 2 == 0)
        net_receiver_drain(&self->receivers[queue / 2]);
    else
        net_sender_drain(&self->senders[queue / 2]);
}

/*
 * All that carry frames, while they lead somewhere; the control queue stays, and so a driver's of
 * one pair at index 2.
 */
static bool lend_queue(struct virtio_device *device, unsigned queue,
                       const struct lent_ring *ring)
{
    struct virtio_net *self = (struct virtio_net *)device;

    if (queue >= control_queue(self) || !net_link(self->net))
        return false;
    if (net_lend_ring(self->net, queue / 2, vhost_index(queue), ring) == 0)
        return true;
    if (net_link(self->net))
        virtio_device_break(device, "the host's kernel does not take a ring");
    return false;
}

static uint16_t take_back_queue(struct virtio_device *device, unsigned queue)
{
    struct virtio_net *self = (struct virtio_net *)device;

    return vhost_stop_ring(net_vhost(self->net, queue / 2), vhost_index(queue));
}

static void tell_vhost(struct virtio_net *self)
{
    for (unsigned i = 0; i < self->pair_count; i++) {
        struct vhost *vhost = net_vhost(self->net, i);

        if (vhost && vhost_set_features(vhost, self->device.accepted))
            virtio_device_break(&self->device, "the host's kernel does not take its features");
    }
}

static void activate(struct virtio_device *device)
{
    struct virtio_net *self = (struct virtio_net *)device;

    tell_vhost(self);
    virtio_net_set_guest_offloads(self,
                                  device->accepted & guest_features(net_offloads(self->net)));
}

static void reset(struct virtio_device *device)
{
    struct virtio_net *self = (struct virtio_net *)device;

    net_set_pairs(self->net, 1);
    net_set_offloads(self->net, 0);
    self->pairs_in_use = 1;
    self->guest_offloads = 0;
}

static void give_counters(const struct net_counters *counters, const struct counter_sink *sink)
{
    counter_give(sink, "frames", &counters->frames);
    counter_give(sink, "frame_bytes", &counters->bytes);
    counter_give(sink, "dropped", &counters->dropped);
    counter_give(sink, "syscalls", &counters->syscalls);
}

static void count(const struct virtio_device *device, unsigned queue,
                  const struct counter_sink *sink)
{
    const struct virtio_net *self = (const struct virtio_net *)device;

    if (queue >= 2 * self->pair_count)
        return;
    if (queue % 2 == 1) {
        give_counters(net_sent(self->net, queue / 2), sink);
        return;
    }
    give_counters(net_received(self->net, queue / 2), sink);
    counter_give(sink, "overflows", &self->receivers[queue / 2].overflows);
}

static void save(struct virtio_device *device, struct state_writer *writer)
{
    const struct virtio_net *self = (const struct virtio_net *)device;

    state_begin(writer, "virtio-net", 1);
    state_put_bytes(writer, self->options.mac, VIRTIO_NET_MAC_SIZE);
    state_put_u16(writer, (uint16_t)mtu(self));
    state_put_u16(writer, (uint16_t)self->pairs_in_use);
    state_put_u64(writer, self->guest_offloads);
    state_end(writer);
}

/* The guest keeps its address; the network must have what the guest has been told of. */
static int restore(struct virtio_device *device, struct state_reader *reader, struct err *err)
{
    struct virtio_net *self = (struct virtio_net *)device;
    uint8_t mac[VIRTIO_NET_MAC_SIZE] = {0};
    uint16_t saved_mtu, pairs;
    uint64_t offloads;

    state_enter(reader, "virtio-net", 1);
    state_get_bytes(reader, mac, sizeof mac);
    saved_mtu = state_get_u16(reader);
    pairs = state_get_u16(reader);
    offloads = state_get_u64(reader);
    state_leave(reader);
    if (state_failed(reader))
        return err_set(err, -EINVAL, "virtio-net: the saved state is damaged");
    if (saved_mtu != mtu(self) || virtio_net_set_pairs(self, pairs) ||
        virtio_net_set_guest_offloads(self, offloads))
        return err_set(err, -EINVAL, "virtio-net: the saved state belongs to another network "
                                     "(of another MTU, fewer queues or fewer offloads)");
    memcpy(self->options.mac, mac, sizeof mac);
    publish_config(self);
    return 0;
}

/* --- life --- */

static void free_parts(struct virtio_net *self)
{
    for (unsigned i = 0; i < self->pair_count && self->receivers && self->senders; i++) {
        timer_close(&self->receivers[i].timer);
        timer_close(&self->senders[i].timer);
    }
    free(self->receivers);
    free(self->senders);
    free(self);
}

static void destroy(struct virtio_device *device)
{
    struct virtio_net *self = (struct virtio_net *)device;

    net_detach(self->net);
    virtio_device_release(device);
    free_parts(self);
}

static const struct virtio_device_ops ops = {
    .name = "net",
    .device_id = VIRTIO_ID_NET,
    .activate = activate,
    .notify = notify,
    .drain_queue = drain_queue,
    .lend_queue = lend_queue,
    .take_back_queue = take_back_queue,
    .reset = reset,
    .count = count,
    .save = save,
    .restore = restore,
    .destroy = destroy,
};

/* The control queue is for several pairs, and for changing offloads. */
static bool has_control(const struct virtio_net *self)
{
    return self->pair_count > 1 || net_offloads(self->net);
}

static uint64_t features(const struct virtio_net *self)
{
    unsigned offloads = net_offloads(self->net);
    uint64_t bits = FEATURE(MAC) | FEATURE(STATUS) | FEATURE(MRG_RXBUF) |
                    guest_features(offloads) | host_features(offloads);

    if (mtu(self))
        bits |= FEATURE(MTU);
    if (has_control(self))
        bits |= FEATURE(CTRL_VQ);
    if (offloads)
        bits |= FEATURE(CTRL_GUEST_OFFLOADS);
    if (self->pair_count > 1)
        bits |= FEATURE(MQ);
    return bits;
}

static struct virtio_net *allocate(const struct virtio_net_options *options, struct net *net)
{
    struct virtio_net *self = calloc(1, sizeof *self);

    if (!self)
        return NULL;
    self->net = net;
    self->options = *options;
    self->pair_count = net_pairs(net);
    self->pairs_in_use = 1;
    self->receivers = calloc(self->pair_count, sizeof self->receivers[0]);
    self->senders = calloc(self->pair_count, sizeof self->senders[0]);
    if (!self->receivers || !self->senders) {
        free_parts(self);
        return NULL;
    }
    for (unsigned i = 0; i < self->pair_count; i++)
        self->receivers[i].timer = self->senders[i].timer = (struct timer)TIMER_CLOSED;
    return self;
}

/* A pair's queues are on one loop, because the network's descriptor is. */
static int init_device(struct virtio_net *self, const struct virtio_environment *environment,
                       struct err *err)
{
    struct virtio_queue_options queues[QUEUES_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < self->pair_count; i++) {
        struct loop *loop = virtio_environment_queue_loop(environment, i);

        queues[count++] = (struct virtio_queue_options){QUEUE_SIZE, loop};
        queues[count++] = (struct virtio_queue_options){QUEUE_SIZE, loop};
    }
    if (has_control(self))
        queues[count++] = (struct virtio_queue_options){.size_max = QUEUE_SIZE};
    return virtio_device_init(&self->device, &ops, environment, queues, count, features(self),
                              err);
}

static int make_lendable(struct virtio_net *self, unsigned pair, struct err *err)
{
    const struct vhost *vhost = net_vhost(self->net, pair);
    struct virtio_queue *queues = self->device.queues + (size_t)2 * pair;

    if (!vhost)
        return 0;
    self->device.offered = vhost_supported(vhost, self->device.offered);
    return virtio_queue_make_lendable(&queues[0], err)
               ?: virtio_queue_make_lendable(&queues[1], err);
}

static int init_pair(struct virtio_net *self, unsigned pair, struct err *err)
{
    struct net_receiver *receiver = &self->receivers[pair];
    struct net_sender *sender = &self->senders[pair];
    int rc = make_lendable(self, pair, err);

    net_receiver_init(receiver, self, pair);
    net_sender_init(sender, self, pair);
    net_place(self->net, pair, receiver->queue->loop);
    if (rc == 0 && rate_pair_limits(&self->options.receive_rate))
        rc = timer_open(&receiver->timer, receiver->queue->loop, receiver_may_go_on, receiver,
                        err);
    if (rc == 0 && rate_pair_limits(&self->options.send_rate))
        rc = timer_open(&sender->timer, sender->queue->loop, sender_may_go_on, sender, err);
    return rc;
}

int virtio_net_create(struct virtio_device **device, const struct virtio_environment *environment,
                      const struct virtio_net_options *options, struct net *net, struct err *err)
{
    struct virtio_net *self = allocate(options, net);
    int rc;

    if (!self)
        return err_set(err, -ENOMEM, "virtio-net: out of memory");
    rc = init_device(self, environment, err);
    if (rc) {
        free_parts(self);
        return rc;
    }
    rc = net_attach(net, &front_end, self, environment->loop, environment->log, err);
    for (unsigned i = 0; i < self->pair_count && rc == 0; i++)
        rc = init_pair(self, i, err);
    if (rc) {
        destroy(&self->device);
        return rc;
    }
    publish_config(self);
    *device = &self->device;
    return 0;
}
