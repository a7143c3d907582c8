/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's network in user mode: libslirp, which ends the guest's connections and makes them
 * anew as this process's own sockets. The guest's side is a stream of frames (frames.h).
 *
 *     10.0.2.2   the gateway, which is also the host's own 127.0.0.1
 *     10.0.2.3   the name server, which asks the first one of /etc/resolv.conf
 *     10.0.2.15  what DHCP gives the guest
 *
 * All is bounded: frames that the guest does not take stop the reading of the sockets that they
 * come from, and what comes all the same (datagrams) is dropped.
 */
#ifndef HUSK_DEVICES_NET_USER_STACK_H
#define HUSK_DEVICES_NET_USER_STACK_H

#include "core/err.h"
#include "devices/net/egress.h"
#include "devices/net/forward.h"

#include <stdbool.h>

#define STACK_MTU_MIN 576u
#define STACK_MTU_MAX 65520u

/* Each connection of the guest takes a descriptor; more than this many it does not get. */
#define STACK_DESCRIPTORS_MAX 1024u

struct stack;

struct stack_options {
    const struct net_forward *forwards;
    unsigned forward_count;
    unsigned mtu;
    unsigned descriptors; /* what the process may have open, at most STACK_DESCRIPTORS_MAX */
    bool egress_denied;   /* the guest reaches what a rule allows; forwards lead in (policy.h) */
    const struct net_egress *allows;
    unsigned allow_count;
};

/*
 * Makes it and takes the forwards' ports; the options are not kept. On error nothing is left.
 * Errors: -EADDRINUSE and what bind(2) says, with the forward in the message; -ENOMEM.
 */
int stack_create(struct stack **stack, const struct stack_options *options, struct err *err);

/*
 * Serves the guest on the socket `fd`, which is made non-blocking, until its end. 0: the peer has
 * closed it. Errors: -EPROTO what came are no frames, or what the socket says.
 */
int stack_run(struct stack *stack, int fd);

/* NULL is harmless. */
void stack_destroy(struct stack *stack);

#endif
