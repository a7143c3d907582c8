/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of the guest's frames libslirp may see, where egress is denied: only what a rule allows
 * (devices/net/egress.h), and what answers a forward.
 *
 *     ARP, DHCP          pass: they are answered by libslirp itself, as pings of the gateway are
 *     TCP                a SYN passes if a rule allows its destination. All other segments pass, as
 *                        libslirp makes connections of SYNs only and resets what belongs to none
 *     UDP, pings         each passes if a rule allows its destination, or if it answers a datagram
 *                        that came by a forward
 *     questions of names are not libslirp's: those that a rule allows are to be asked (names.h), and
 *                        what the answers say is added to the addresses that are allowed
 *     the rest           is dropped; so are fragments, but where all of an address is allowed
 *
 * What is denied is answered, so that programs fail at once instead of waiting. This is pure: no
 * system calls, and time is given in seconds. Everything it keeps is bounded.
 */
#ifndef HUSK_DEVICES_NET_USER_POLICY_H
#define HUSK_DEVICES_NET_USER_POLICY_H

#include "devices/net/egress.h"
#include "devices/net/forward.h"
#include "devices/net/user/dns.h"
#include "devices/net/user/packet.h"

/* Addresses of names, at a time; the one that would expire first makes room. */
#define POLICY_ADDRESSES_MAX 256u
#define POLICY_ADDRESS_SECONDS 60u /* at least, and after the last use */
#define POLICY_ADDRESS_SECONDS_MAX 86400u

/* Others that have sent a datagram to a forward, at a time. */
#define POLICY_PEERS_MAX 128u
#define POLICY_PEER_SECONDS 240u

#define POLICY_ANSWERS_MAX 200u /* a second; beyond, what is denied is dropped silently */

#define POLICY_FRAME_MAX (PACKET_DATAGRAM_HEADER + DNS_MESSAGE_MAX)

struct policy;

enum policy_verdict {
    POLICY_PASS,
    POLICY_DROP,
    POLICY_ANSWER, /* the guest gets `frame` */
    POLICY_ASK,    /* `question` goes to the name server, and its answer back to `asked` */
};

struct policy_result {
    struct packet_ends asked;
    struct dns_question question;
    size_t size;
    uint8_t frame[POLICY_FRAME_MAX];
};

/* Rules (at most NET_EGRESS_MAX) and forwards (at most NET_FORWARDS_MAX) are copied. NULL: no memory. */
struct policy *policy_create(const struct net_egress *rules, unsigned rule_count,
                             const struct net_forward *forwards, unsigned forward_count);
void policy_destroy(struct policy *policy);

/*
 * An address of this host (in its byte order): rules open it that name it, "any" and what a name server
 * says do not, as with the addresses of clouds' own services. Errors: -ENOMEM.
 */
int policy_guard(struct policy *policy, uint32_t address);

/* Judges a frame of the guest's. */
enum policy_verdict policy_judge(struct policy *policy, const uint8_t *frame, size_t size,
                                 uint32_t now, struct policy_result *result);

/* Looks at a frame that libslirp sends to the guest. */
void policy_see(struct policy *policy, const uint8_t *frame, size_t size, uint32_t now);

/* Takes the addresses from the answer to a question that was asked. */
void policy_learn(struct policy *policy, const struct dns_question *question,
                  const uint8_t *message, size_t size, uint32_t now);

#endif
