/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest in user mode may reach, where it may not reach everything: rules.
 *
 *     [tcp:|udp:]TARGET[:PORT[-PORT]]
 *
 *     10.1.0.0/16, 192.0.2.7   addresses
 *     NAME                     what the host's name server says that NAME is
 *     *.NAME                   all names below NAME, which itself is not one
 *     host                     this host's own 127.0.0.1, by ports
 *     any                      all addresses but the host's own and clouds' services, and all names
 *
 * Without a protocol both are meant, without ports all, and then pings too.
 */
#ifndef HUSK_DEVICES_NET_EGRESS_H
#define HUSK_DEVICES_NET_EGRESS_H

#include "core/err.h"

#include <stdbool.h>
#include <stdint.h>

#define NET_EGRESS_MAX 64u
#define NET_EGRESS_NAME_SIZE 254u /* 253 characters (RFC 1035) and a NUL */

enum net_egress_kind {
    NET_EGRESS_ANY,
    NET_EGRESS_ADDRESS,
    NET_EGRESS_NAME,
    NET_EGRESS_BELOW, /* *.NAME */
    NET_EGRESS_HOST,
};

/* Numbers in the host's byte order. */
struct net_egress {
    enum net_egress_kind kind;
    uint8_t protocol; /* IPPROTO_TCP, IPPROTO_UDP, or 0: both */
    uint16_t first_port; /* 0: all, and what has no ports */
    uint16_t last_port;
    uint32_t address;
    uint32_t mask;
    char name[NET_EGRESS_NAME_SIZE]; /* small letters, no dot at the end */
};

/* Errors: -EINVAL, with a message that says what would be right. */
int net_egress_parse(struct net_egress *rule, const char *text, struct err *err);

/* True if packets of this kind can be what it allows; `port` is of no interest but to TCP and UDP. */
bool net_egress_has_port(const struct net_egress *rule, uint8_t protocol, uint16_t port);

bool net_egress_has_address(const struct net_egress *rule, uint32_t address);

/* True if the guest may ask for `name`, which is as a rule's. */
bool net_egress_has_name(const struct net_egress *rule, const char *name);

/*
 * Addresses that lead to the host itself or to no single other host (loopback, "this network",
 * the guest's own network, multicast, broadcast): no rule for addresses or names opens them.
 */
bool net_egress_is_barred(uint32_t address);

#endif
