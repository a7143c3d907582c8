/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forwards of user-mode networking: a port of the host that leads to a port of the guest.
 *
 *     tcp|udp:[HOSTADDRESS:]HOSTPORT:[GUESTADDRESS:]GUESTPORT
 *
 * An address can be left out, with or without its colon: the host's is then 127.0.0.1, so that
 * nobody but this host comes in, and the guest's the one that DHCP gives it.
 */
#ifndef HUSK_DEVICES_NET_FORWARD_H
#define HUSK_DEVICES_NET_FORWARD_H

#include "core/err.h"

#include <stdbool.h>
#include <stdint.h>

#define NET_FORWARDS_MAX 64u
#define NET_FORWARD_TEXT_MAX 64u

/* The guest's network: 10.0.2.0/24, of which these are the last bytes. */
#define NET_USER_NETWORK 0x0a000200u
#define NET_USER_MASK 0xffffff00u
#define NET_USER_HOST 2u       /* the gateway, and the host's own 127.0.0.1 */
#define NET_USER_NAMESERVER 3u
#define NET_USER_GUEST 15u     /* what DHCP gives */

/* Numbers in the host's byte order. */
struct net_forward {
    bool udp;
    uint32_t host; /* an IPv4 address; 0: all of the host's */
    uint16_t host_port;
    uint32_t guest;
    uint16_t guest_port;
};

/* Errors: -EINVAL, with a message that says what would be right. */
int net_forward_parse(struct net_forward *forward, const char *text, struct err *err);

/* The rule in full: net_forward_parse() reads it back as it is. */
void net_forward_print(const struct net_forward *forward, char text[NET_FORWARD_TEXT_MAX]);

/* True if both want the same packets of the host. */
bool net_forwards_overlap(const struct net_forward *a, const struct net_forward *b);

#endif
