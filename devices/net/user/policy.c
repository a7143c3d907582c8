/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/net/user/policy.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define HOST (NET_USER_NETWORK | NET_USER_HOST)
#define NAMESERVER (NET_USER_NETWORK | NET_USER_NAMESERVER)
#define EVERYONE 0xffffffffu
#define DHCP_SERVER 67u

/* Where clouds tell a machine who it is, and give it keys. */
static const struct {
    uint32_t address;
    uint32_t mask;
} cloud_services[] = {
    {0xa9fe0000, 0xffff0000}, /* 169.254.0.0/16, of most */
    {0xa83f8110, 0xffffffff}, /* 168.63.129.16, Azure's */
    {0x646464c8, 0xffffffff}, /* 100.100.100.200, Alibaba Cloud's */
};

/* Of a name that was asked for. */
struct address {
    uint32_t address;
    uint32_t expires; /* seconds; 0: there is none */
    uint64_t rules;   /* a bit for each that allows the name */
};

/* Who has sent a datagram to a forward. */
struct peer {
    uint32_t peer;
    uint32_t guest;
    uint16_t peer_port;
    uint16_t guest_port;
    uint32_t expires;
};

struct policy {
    struct net_egress rules[NET_EGRESS_MAX];
    unsigned rule_count;
    struct net_forward forwards[NET_FORWARDS_MAX]; /* those of datagrams */
    unsigned forward_count;
    struct address addresses[POLICY_ADDRESSES_MAX];
    struct peer peers[POLICY_PEERS_MAX];
    uint32_t *guarded; /* this host's own addresses */
    unsigned guarded_count;
    uint32_t answers_second; /* the one that is counted in */
    unsigned answers;
};

_Static_assert(NET_EGRESS_MAX <= 64, "a bit for each");

struct policy *policy_create(const struct net_egress *rules, unsigned rule_count,
                             const struct net_forward *forwards, unsigned forward_count)
{
    struct policy *policy = calloc(1, sizeof *policy);

    if (!policy)
        return NULL;
    for (unsigned i = 0; i < rule_count && i < NET_EGRESS_MAX; i++)
        policy->rules[policy->rule_count++] = rules[i];
    for (unsigned i = 0; i < forward_count && i < NET_FORWARDS_MAX; i++)
        if (forwards[i].udp)
            policy->forwards[policy->forward_count++] = forwards[i];
    return policy;
}

void policy_destroy(struct policy *policy)
{
    if (!policy)
        return;
    free(policy->guarded);
    free(policy);
}

/* --- guarded addresses --- */

int policy_guard(struct policy *policy, uint32_t address)
{
    uint32_t *guarded = reallocarray(policy->guarded, policy->guarded_count + 1, sizeof *guarded);

    if (!guarded)
        return -ENOMEM;
    guarded[policy->guarded_count++] = address;
    policy->guarded = guarded;
    return 0;
}

static bool is_guarded(const struct policy *policy, uint32_t address)
{
    for (size_t i = 0; i < sizeof cloud_services / sizeof cloud_services[0]; i++)
        if ((address & cloud_services[i].mask) == cloud_services[i].address)
            return true;
    for (unsigned i = 0; i < policy->guarded_count; i++)
        if (policy->guarded[i] == address)
            return true;
    return false;
}

/* --- addresses of names --- */

/* With these rules: names that share an address may be allowed other ports, and expire later. */
static struct address *find_address(struct policy *policy, uint32_t address, uint64_t rules,
                                    uint32_t now)
{
    for (unsigned i = 0; i < POLICY_ADDRESSES_MAX; i++)
        if (policy->addresses[i].address == address && policy->addresses[i].rules == rules &&
            policy->addresses[i].expires > now)
            return &policy->addresses[i];
    return NULL;
}

static void keep_until(struct address *address, uint32_t expires)
{
    if (address->expires < expires)
        address->expires = expires;
}

/* A place for a new one: an empty one, or the one that expires first. */
static struct address *make_room(struct policy *policy)
{
    struct address *first = &policy->addresses[0];

    for (unsigned i = 1; i < POLICY_ADDRESSES_MAX; i++)
        if (policy->addresses[i].expires < first->expires)
            first = &policy->addresses[i];
    return first;
}

struct lesson {
    struct policy *policy;
    uint64_t rules;
    uint32_t now;
};

/* Names are others' to set: they must not lead to this host, nor to a cloud's own services. */
static void learn_address(void *context, uint32_t address, uint32_t seconds)
{
    const struct lesson *lesson = context;
    struct address *kept;

    if (net_egress_is_barred(address) || is_guarded(lesson->policy, address))
        return;
    if (seconds < POLICY_ADDRESS_SECONDS)
        seconds = POLICY_ADDRESS_SECONDS;
    if (seconds > POLICY_ADDRESS_SECONDS_MAX)
        seconds = POLICY_ADDRESS_SECONDS_MAX;
    kept = find_address(lesson->policy, address, lesson->rules, lesson->now);
    if (!kept) {
        kept = make_room(lesson->policy);
        *kept = (struct address){.address = address, .rules = lesson->rules};
    }
    keep_until(kept, lesson->now + seconds);
}

static uint64_t rules_for_name(const struct policy *policy, const char *name)
{
    uint64_t rules = 0;

    for (unsigned i = 0; i < policy->rule_count && *name; i++)
        if (net_egress_has_name(&policy->rules[i], name))
            rules |= UINT64_C(1) << i;
    return rules;
}

/* Rules that allow all addresses need to learn none. */
static uint64_t rules_that_learn(const struct policy *policy, const char *name)
{
    uint64_t rules = rules_for_name(policy, name);

    for (unsigned i = 0; i < policy->rule_count; i++)
        if (policy->rules[i].kind == NET_EGRESS_ANY)
            rules &= ~(UINT64_C(1) << i);
    return rules;
}

void policy_learn(struct policy *policy, const struct dns_question *question,
                  const uint8_t *message, size_t size, uint32_t now)
{
    struct lesson lesson = {policy, rules_that_learn(policy, question->name), now};

    if (lesson.rules)
        dns_find_addresses(question, message, size, learn_address, &lesson);
}

/* --- rules --- */

static bool allows_host(const struct policy *policy, const struct packet *packet)
{
    for (unsigned i = 0; i < policy->rule_count; i++)
        if (policy->rules[i].kind == NET_EGRESS_HOST &&
            net_egress_has_port(&policy->rules[i], packet->protocol, packet->destination_port))
            return true;
    return false;
}

static bool have_port(const struct policy *policy, uint64_t rules, const struct packet *packet)
{
    for (unsigned i = 0; i < policy->rule_count; i++)
        if (rules >> i & 1 &&
            net_egress_has_port(&policy->rules[i], packet->protocol, packet->destination_port))
            return true;
    return false;
}

static bool allows_learned(struct policy *policy, const struct packet *packet, uint32_t now)
{
    for (unsigned i = 0; i < POLICY_ADDRESSES_MAX; i++) {
        struct address *address = &policy->addresses[i];

        if (address->address == packet->destination && address->expires > now &&
            have_port(policy, address->rules, packet)) {
            keep_until(address, now + POLICY_ADDRESS_SECONDS);
            return true;
        }
    }
    return false;
}

/* "any" is any other host; this one's addresses are opened by rules that name them. */
static bool has_address(const struct policy *policy, const struct net_egress *rule, uint32_t address)
{
    return net_egress_has_address(rule, address) &&
           !(rule->kind == NET_EGRESS_ANY && is_guarded(policy, address));
}

static bool allows(struct policy *policy, const struct packet *packet, uint32_t now)
{
    if (packet->destination == HOST)
        return allows_host(policy, packet);
    for (unsigned i = 0; i < policy->rule_count; i++)
        if (has_address(policy, &policy->rules[i], packet->destination) &&
            net_egress_has_port(&policy->rules[i], packet->protocol, packet->destination_port))
            return true;
    return !net_egress_is_barred(packet->destination) && allows_learned(policy, packet, now);
}

/* Whatever its reassembled packet is, it may go there. */
static bool allows_all_of(const struct policy *policy, uint32_t destination)
{
    for (unsigned i = 0; i < policy->rule_count; i++)
        if (has_address(policy, &policy->rules[i], destination) && !policy->rules[i].protocol &&
            !policy->rules[i].first_port)
            return true;
    return false;
}

/* --- forwards of datagrams --- */

/*
 * A forward leads to that port, and `source` is where an answer would go. The gateway's address stands
 * for 127.0.0.1, but a datagram from elsewhere can have it as well, and would open a port of loopback:
 * it counts where all forwards to the port listen on loopback alone.
 */
static bool may_be_peer(const struct policy *policy, uint32_t source, uint32_t guest, uint16_t port)
{
    bool forwarded = false;

    for (unsigned i = 0; i < policy->forward_count; i++) {
        const struct net_forward *forward = &policy->forwards[i];

        if (forward->guest != guest || forward->guest_port != port)
            continue;
        forwarded = true;
        if (source == HOST && forward->host >> 24 != 127)
            return false;
    }
    return forwarded && (source == HOST || !net_egress_is_barred(source));
}

static struct peer *find_peer(struct policy *policy, const struct peer *wanted)
{
    for (unsigned i = 0; i < POLICY_PEERS_MAX; i++) {
        struct peer *peer = &policy->peers[i];

        if (peer->peer == wanted->peer && peer->peer_port == wanted->peer_port &&
            peer->guest == wanted->guest && peer->guest_port == wanted->guest_port)
            return peer;
    }
    return NULL;
}

/*
 * Those that come to other ports of the guest answer what it has sent, or are nobody's: to them it
 * may send what rules allow. The name server's are no peer, or questions would go past the rules.
 */
void policy_see(struct policy *policy, const uint8_t *frame, size_t size, uint32_t now)
{
    struct packet packet;
    struct peer seen, *peer;

    if (policy->forward_count == 0 || !packet_read(&packet, frame, size) || packet.fragment ||
        packet.protocol != IPPROTO_UDP || packet.source == NAMESERVER ||
        !may_be_peer(policy, packet.source, packet.destination, packet.destination_port))
        return;
    seen = (struct peer){.peer = packet.source,
                         .peer_port = packet.source_port,
                         .guest = packet.destination,
                         .guest_port = packet.destination_port,
                         .expires = now + POLICY_PEER_SECONDS};
    peer = find_peer(policy, &seen);
    for (unsigned i = 0; i < POLICY_PEERS_MAX && !peer; i++)
        if (policy->peers[i].expires <= now)
            peer = &policy->peers[i];
    if (!peer) { /* the one heard longest ago */
        peer = &policy->peers[0];
        for (unsigned i = 1; i < POLICY_PEERS_MAX; i++)
            if (policy->peers[i].expires < peer->expires)
                peer = &policy->peers[i];
    }
    *peer = seen;
}

static bool answers_peer(struct policy *policy, const struct packet *packet, uint32_t now)
{
    const struct peer wanted = {.peer = packet->destination,
                                .peer_port = packet->destination_port,
                                .guest = packet->source,
                                .guest_port = packet->source_port};
    struct peer *peer = find_peer(policy, &wanted);

    return peer && peer->expires > now;
}

/* --- answers --- */

/* True if the guest may be told; what it sends to many, or from nowhere, is never answered. */
static bool may_answer(struct policy *policy, const struct packet *packet, uint32_t now)
{
    if (packet->destination >> 28 >= 14 || packet->destination == (NET_USER_NETWORK | 255) ||
        packet->source == 0)
        return false;
    if (policy->answers_second != now) {
        policy->answers_second = now;
        policy->answers = 0;
    }
    return policy->answers++ < POLICY_ANSWERS_MAX;
}

static enum policy_verdict deny(struct policy *policy, const struct packet *packet, uint32_t now,
                                struct policy_result *result)
{
    if (!may_answer(policy, packet, now))
        return POLICY_DROP;
    result->size = packet->protocol == IPPROTO_TCP ? packet_write_reset(packet, result->frame)
                                                   : packet_write_prohibited(packet, result->frame);
    return POLICY_ANSWER;
}

/* --- names --- */

static enum policy_verdict judge_question(struct policy *policy, const struct packet *packet,
                                          uint32_t now, struct policy_result *result)
{
    uint8_t *message = result->frame + PACKET_DATAGRAM_HEADER;
    int code = dns_read_question(&result->question, packet->payload, packet->payload_size);

    if (code < 0)
        return POLICY_DROP;
    result->asked = (struct packet_ends){.source = packet->source,
                                         .source_port = packet->source_port,
                                         .destination = packet->destination,
                                         .destination_port = packet->destination_port};
    memcpy(result->asked.sender, packet->sender, sizeof packet->sender);
    if (code == 0 && rules_for_name(policy, result->question.name))
        return POLICY_ASK;
    if (!may_answer(policy, packet, now))
        return POLICY_DROP;
    result->size = dns_write_error(&result->question, code ? (enum dns_code)code : DNS_REFUSED, message);
    result->size = packet_write_datagram(&result->asked, result->frame, result->size);
    return POLICY_ANSWER;
}

/* --- protocols --- */

static enum policy_verdict judge_tcp(struct policy *policy, const struct packet *packet,
                                     uint32_t now, struct policy_result *result)
{
    if ((packet->tcp_flags & (PACKET_TCP_SYN | PACKET_TCP_ACK)) != PACKET_TCP_SYN)
        return POLICY_PASS; /* of a connection, or of none: libslirp knows */
    return allows(policy, packet, now) ? POLICY_PASS : deny(policy, packet, now, result);
}

static enum policy_verdict judge_udp(struct policy *policy, const struct packet *packet,
                                     uint32_t now, struct policy_result *result)
{
    if (packet->destination_port == DHCP_SERVER &&
        (packet->destination == HOST || packet->destination == EVERYONE))
        return POLICY_PASS;
    if (packet->destination == NAMESERVER && packet->destination_port == DNS_PORT)
        return judge_question(policy, packet, now, result);
    if (packet->destination != NAMESERVER &&
        (allows(policy, packet, now) || answers_peer(policy, packet, now)))
        return POLICY_PASS;
    return deny(policy, packet, now, result);
}

/* Errors are never answered; libslirp has no use for any, nor for other requests. */
static enum policy_verdict judge_icmp(struct policy *policy, const struct packet *packet,
                                      uint32_t now, struct policy_result *result)
{
    if (packet->icmp_type != PACKET_ICMP_ECHO)
        return POLICY_DROP;
    if (packet->destination == HOST || allows(policy, packet, now))
        return POLICY_PASS;
    return deny(policy, packet, now, result);
}

enum policy_verdict policy_judge(struct policy *policy, const uint8_t *frame, size_t size,
                                 uint32_t now, struct policy_result *result)
{
    struct packet packet;

    if (packet_frame_kind(frame, size) == PACKET_ARP)
        return POLICY_PASS;
    if (!packet_read(&packet, frame, size))
        return POLICY_DROP;
    if (packet.fragment)
        return allows_all_of(policy, packet.destination) ? POLICY_PASS : POLICY_DROP;
    switch (packet.protocol) {
    case IPPROTO_TCP:
        return judge_tcp(policy, &packet, now, result);
    case IPPROTO_UDP:
        return judge_udp(policy, &packet, now, result);
    case IPPROTO_ICMP:
        return judge_icmp(policy, &packet, now, result);
    default:
        return POLICY_DROP;
    }
}
