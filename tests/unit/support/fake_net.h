/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network with all offloads and several pairs, whose host is the test: each pair is a socket that
 * keeps the bounds of frames, headers included, as a tap's descriptor does.
 */
#ifndef HUSK_TESTS_FAKE_NET_H
#define HUSK_TESTS_FAKE_NET_H

#include "devices/net/backend.h"

#include <stdint.h>

#define FAKE_NET_MTU 1400u
#define FAKE_NET_OFFLOADS                                                                         \
    (NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6 | NET_OFFLOAD_ECN | NET_OFFLOAD_UFO | \
     NET_OFFLOAD_USO)

struct fake_net {
    struct net net;
    int host[NET_PAIRS_MAX]; /* the test's ends, non-blocking */
    unsigned offloads;       /* what is set */
    unsigned pairs_used;     /* bit n: pair n */
    unsigned sends;          /* calls of send() that took something */
    bool gone;               /* as an interface that was removed */
    unsigned gap;            /* so many slots stay empty, as if no frame had been there yet */
};

/* net_close(&fake->net) ends it, but for the test's ends: fake_net_leave(). */
void fake_net_open(struct fake_net *fake, unsigned pairs, unsigned offloads);
void fake_net_leave(struct fake_net *fake);

#endif
