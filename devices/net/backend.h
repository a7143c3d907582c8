/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the two halves of a network: what all have (net.c), and how frames reach the host (tap.c,
 * stream.c). For devices/net only.
 */
#ifndef HUSK_DEVICES_NET_BACKEND_H
#define HUSK_DEVICES_NET_BACKEND_H

#include "devices/net/net.h"

#include <stdatomic.h>

struct net_pair {
    struct net *net;
    unsigned index;
    struct loop *loop;
    struct loop_source source; /* the descriptor that frames go through */
    bool in_use;               /* net_set_pairs(); the pair's loop */
    bool awaits_room;          /* the pair's loop */
    struct vhost vhost;
    struct net_counters received;
    struct net_counters sent;
};

struct net_backend {
    /* As net.h; NULL where there is nothing to do. */
    int (*set_offloads)(struct net *net, unsigned offloads);
    int (*use_pair)(struct net_pair *pair, bool use); /* NULL where there is one pair */
    unsigned (*receive)(struct net_pair *pair, struct net_slot *slots, unsigned count);
    unsigned (*send)(struct net_pair *pair, const struct net_frame *frames, unsigned count);
    /* Whether the host still has what is behind it; NULL where frames tell. */
    bool (*exists)(const struct net *net);
    /* The host has room again. False: not enough for what was kept back, wait on. */
    bool (*flush)(struct net_pair *pair);
    void (*close)(struct net *net);
};

struct net {
    const struct net_backend *backend;
    char name[112];
    unsigned mtu;
    unsigned offloads;
    unsigned pair_count;
    unsigned pairs_in_use;
    struct net_pair pairs[NET_PAIRS_MAX];

    _Atomic bool link;
    struct loop_source link_event; /* eventfd; -1 until attached */
    struct loop_source links;      /* links.h; -1 unless vhost moves the frames */
    struct loop *loop;             /* main */
    const struct log *log;
    const struct net_front_end *front_end; /* NULL until attached */
    void *device;
};

/* Fills what net.c owns of a zeroed network, which the backend embeds as its first member. */
void net_init(struct net *net, const struct net_backend *backend, const char *name);

/* Adds a pair, and takes `fd` over for it. */
void net_add_pair(struct net *net, int fd);

/* The tap or the peer is gone: logs `reason` and tells the front end, once. Any pair's loop. */
void net_lose_link(struct net *net, const char *reason);

/* flush() will be called when the host has room. */
void net_await_room(struct net_pair *pair);

/* Makes a network of a descriptor; takes `fd` over, on error too. */
int net_adopt_tap(struct net **net, int fd, struct err *err);
int net_adopt_stream(struct net **net, int fd, const char *name, struct err *err);

#endif
