/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User-mode networking as this process sees it: a child, husk-net-user (devices/net/user), that
 * serves the guest's frames on a stream socket. So neither libslirp nor glib is in the process
 * that holds the guest's memory.
 *
 * The child is made while the machine is built, and waited for at the end of that. It dies with
 * this process, however that ends. If it dies first, the network's link goes down and the machine
 * goes on. It is waited for only by its own descriptor, so it neither takes nor leaves another's
 * child; but SIGCHLD comes, as for any child.
 */
#ifndef HUSK_DEVICES_NET_USER_PROCESS_H
#define HUSK_DEVICES_NET_USER_PROCESS_H

#include "core/err.h"
#include "core/log.h"
#include "devices/net/egress.h"
#include "devices/net/forward.h"
#include "devices/net/net.h"

#include <stdbool.h>

/* In bytes. The largest packet is one that leaves room for a second in libslirp's window. */
#define NET_USER_MTU_MIN 576u
#define NET_USER_MTU_MAX 65520u
#define NET_USER_MTU_DEFAULT 32000u

struct net_user;

struct net_user_options {
    /* NULL: beside the running program, in ../libexec/husk of that, or of where libhusk is */
    const char *program;
    const struct net_forward *forwards;
    unsigned forward_count; /* at most NET_FORWARDS_MAX, no two of which overlap */
    bool restricted;        /* the guest reaches nothing; only forwards lead in */
    unsigned mtu;
    bool egress_denied; /* the guest reaches what a rule allows; forwards lead in */
    const char *const *allows; /* rules as text (egress.h) */
    unsigned allow_count;      /* at most NET_EGRESS_MAX */
};

/*
 * Starts the child and makes the network that leads to it; both are the caller's. The child's
 * fate is net_user_await()'s to tell. Errors: -ENOENT it is not installed; what spawning gives.
 */
int net_user_start(struct net_user **user, struct net **net,
                   const struct net_user_options *options, struct err *err);

/*
 * Returns when it is ready for frames, with all ports taken; logs what of its lock-down this host
 * does not allow, as information. Errors: -EADDRINUSE and the like, naming the forward; -ECHILD it
 * has ended; -ETIMEDOUT.
 */
int net_user_await(struct net_user *user, const struct log *log, struct err *err);

/* Ends the child, and waits until it is gone. NULL is harmless. */
void net_user_stop(struct net_user *user);

#endif
