/* SPDX-License-Identifier: Apache-2.0 */
/* virtio network device (virtio 1.2, section 5.1). */
#ifndef HUSK_DEVICES_VIRTIO_NET_H
#define HUSK_DEVICES_VIRTIO_NET_H

#include "core/rate.h"
#include "devices/net/net.h"
#include "devices/virtio/device.h"

#define VIRTIO_NET_MAC_SIZE 6u

struct virtio_net_options {
    uint8_t mac[VIRTIO_NET_MAC_SIZE];
    uint16_t mtu; /* bytes; 0: what the network says */
    /* Of all queues together, rate_init() done; what is not limited costs nothing. */
    struct rate_pair receive_rate;
    struct rate_pair send_rate;
};

/*
 * With a network that has vhost the host's kernel serves the rings: no limits then, and no packed
 * rings.
 *
 * `net` stays the caller's, who closes it after the device is destroyed.
 */
int virtio_net_create(struct virtio_device **device, const struct virtio_environment *environment,
                      const struct virtio_net_options *options, struct net *net, struct err *err);

#endif
