/* SPDX-License-Identifier: Apache-2.0 */
/* A policy of a denied egress, and frames for it. Of one test alone: it has state and functions. */
#ifndef HUSK_TESTS_POLICY_FIXTURE_H
#define HUSK_TESTS_POLICY_FIXTURE_H

#include "devices/net/user/policy.h"
#include "support/failure.h"

#include <netinet/in.h>
#include <string.h>

#define GUEST 0x0a00020fu
#define HOST 0x0a000202u
#define NAMESERVER 0x0a000203u
#define SERVER 0xc0000207u /* 192.0.2.7 */
#define OTHER 0xc6336401u  /* 198.51.100.1 */
#define SYN PACKET_TCP_SYN
#define ACK PACKET_TCP_ACK

static struct policy *policy;
static struct policy_result result;
static uint32_t now;

static inline int close_policy(void **state)
{
    (void)state;
    policy_destroy(policy);
    policy = NULL;
    return 0;
}

/* Rules; forwards of UDP to the guest's port 5353, and from all addresses to 5454; one of TCP to 22. */
static inline void open_policy(const char *const *texts, unsigned count)
{
    struct net_egress rules[NET_EGRESS_MAX];
    struct net_forward forwards[3];

    for (unsigned i = 0; i < count; i++)
        assert_int_equal(net_egress_parse(&rules[i], texts[i], NULL), 0);
    assert_int_equal(net_forward_parse(&forwards[0], "tcp:2222:22", NULL), 0);
    assert_int_equal(net_forward_parse(&forwards[1], "udp:5353:5353", NULL), 0);
    assert_int_equal(net_forward_parse(&forwards[2], "udp:0.0.0.0:5454::5454", NULL), 0);
    close_policy(NULL);
    now = 1000;
    policy = policy_create(rules, count, forwards, 3);
    assert_non_null(policy);
}

#define OPEN(...)                                                                                \
    open_policy((const char *const[]){__VA_ARGS__},                                              \
                sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

/* --- frames --- */

struct frame {
    uint8_t bytes[2048];
    size_t size;
};

static inline void put_16(uint8_t *to, unsigned value)
{
    to[0] = (uint8_t)(value >> 8);
    to[1] = (uint8_t)value;
}

static inline void put_32(uint8_t *to, uint32_t value)
{
    put_16(to, value >> 16);
    put_16(to + 2, value & 0xffff);
}

static inline unsigned get_16(const uint8_t *from)
{
    return (unsigned)from[0] << 8 | from[1];
}

static inline uint32_t get_32(const uint8_t *from)
{
    return (uint32_t)get_16(from) << 16 | get_16(from + 2);
}

static inline struct frame ipv4(uint8_t protocol, uint32_t from, uint32_t to, const void *payload, size_t size)
{
    struct frame frame = {.size = 34 + size};
    uint8_t *ip = frame.bytes + 14;

    memset(frame.bytes, 0xff, 6);
    memcpy(frame.bytes + 6, "\x52\x54\x00\x12\x34\x56", 6);
    put_16(frame.bytes + 12, 0x0800);
    ip[0] = 0x45;
    put_16(ip + 2, (unsigned)(20 + size));
    ip[8] = 64;
    ip[9] = protocol;
    put_32(ip + 12, from);
    put_32(ip + 16, to);
    memcpy(ip + 20, payload, size);
    return frame;
}

static inline struct frame tcp(uint32_t to, uint16_t port, uint8_t flags)
{
    uint8_t segment[20] = {0};

    put_16(segment, 4000);
    put_16(segment + 2, port);
    put_32(segment + 4, 77);
    segment[12] = 5 << 4;
    segment[13] = flags;
    return ipv4(IPPROTO_TCP, GUEST, to, segment, sizeof segment);
}

static inline struct frame udp_of(uint32_t from, uint16_t from_port, uint32_t to, uint16_t port,
                           const void *payload, size_t size)
{
    uint8_t datagram[1500] = {0};

    put_16(datagram, from_port);
    put_16(datagram + 2, port);
    put_16(datagram + 4, (unsigned)(8 + size));
    memcpy(datagram + 8, payload, size);
    return ipv4(IPPROTO_UDP, from, to, datagram, 8 + size);
}

static inline struct frame udp(uint32_t to, uint16_t port)
{
    return udp_of(GUEST, 4000, to, port, "hello", 5);
}

static inline struct frame ping(uint32_t to)
{
    return ipv4(IPPROTO_ICMP, GUEST, to, "\x08\x00\x00\x00\x00\x01\x00\x01", 8);
}

static inline enum policy_verdict judge(struct frame frame)
{
    return policy_judge(policy, frame.bytes, frame.size, now, &result);
}

static inline void assert_passes(struct frame frame)
{
    assert_int_equal(judge(frame), POLICY_PASS);
}

static inline void assert_dropped(struct frame frame)
{
    assert_int_equal(judge(frame), POLICY_DROP);
}

static inline unsigned sum_of(const uint8_t *from, size_t size)
{
    unsigned total = 0;

    for (size_t i = 0; i < size; i++)
        total += i % 2 ? from[i] : (unsigned)from[i] << 8;
    while (total >> 16)
        total = (total & 0xffff) + (total >> 16);
    return total;
}

/* What comes back is for the guest, and sums up. */
static inline const uint8_t *answered(struct frame frame, uint8_t protocol)
{
    const uint8_t *ip = result.frame + 14;

    assert_int_equal(judge(frame), POLICY_ANSWER);
    assert_memory_equal(result.frame, "\x52\x54\x00\x12\x34\x56\x52\x55\x0a\x00\x02\x02\x08\x00", 14);
    assert_int_equal(get_16(ip + 2) + 14, result.size);
    assert_int_equal(sum_of(ip, 20), 0xffff);
    assert_int_equal(ip[9], protocol);
    assert_int_equal(get_32(ip + 16), GUEST);
    return ip + 20;
}

/* Refused by a reset, or by ICMP. */
static inline void assert_denied(struct frame frame)
{
    if (frame.bytes[23] == IPPROTO_TCP) {
        const uint8_t *segment = answered(frame, IPPROTO_TCP);
        uint8_t pseudo[12 + 20] = {0};

        assert_int_equal(get_32(result.frame + 26), get_32(frame.bytes + 30));
        assert_int_equal(get_16(segment + 2), 4000);
        assert_int_equal(get_32(segment + 8), 78);
        assert_int_equal(segment[13], PACKET_TCP_RST | ACK);
        memcpy(pseudo, result.frame + 26, 8);
        pseudo[9] = IPPROTO_TCP;
        pseudo[11] = 20;
        memcpy(pseudo + 12, segment, 20);
        assert_int_equal(sum_of(pseudo, sizeof pseudo), 0xffff);
    } else {
        const uint8_t *message = answered(frame, IPPROTO_ICMP);

        assert_int_equal(get_32(result.frame + 26), HOST);
        assert_int_equal(get_16(message), 3 << 8 | 13);
        assert_int_equal(sum_of(message, result.size - 34), 0xffff);
        assert_memory_equal(message + 8, frame.bytes + 14, 28);
    }
}

static inline struct frame with_fragment(struct frame frame, unsigned field)
{
    put_16(frame.bytes + 20, field);
    return frame;
}

#endif
