/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The egress policy of husk-net-user. The input is a rule's text up to a NUL, and then steps: a byte
 * that says what comes (a frame of the guest's, one to it, an answer of the name server), two with
 * its size, and its bytes. Whatever comes, what passes is what the rules allow.
 */
#include "devices/net/user/policy.h"

#include <stdlib.h>
#include <string.h>

#define GATEWAY 0x0a000202u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* A SYN or a fragment that goes to the host's own addresses never passes without a rule for ports. */
static void check_passed(const struct net_egress *rule, const uint8_t *frame, size_t size)
{
    struct packet packet;

    if (!packet_read(&packet, frame, size)) {
        require(packet_frame_kind(frame, size) == PACKET_ARP);
        return;
    }
    require(packet.fragment || packet.protocol == 1 || packet.protocol == 6 || packet.protocol == 17);
    if (packet.fragment)
        require(!net_egress_is_barred(packet.destination));
    else if (packet.protocol == 6 && (packet.tcp_flags & (PACKET_TCP_SYN | PACKET_TCP_ACK)) == PACKET_TCP_SYN)
        require(packet.destination == GATEWAY ? rule->kind == NET_EGRESS_HOST
                                              : !net_egress_is_barred(packet.destination));
}

/* What is answered can be read by who reads what we read, and goes back to where it came from. */
static void check_answer(const struct policy_result *result, const uint8_t *frame, size_t size)
{
    struct packet asked, answer;

    require(result->size <= sizeof result->frame && packet_read(&asked, frame, size));
    require(packet_read(&answer, result->frame, result->size));
    require(answer.destination == asked.source && !answer.fragment);
}

static void check_question(const struct policy_result *result, const struct net_egress *rule)
{
    uint8_t message[DNS_MESSAGE_MAX];
    struct dns_question again;
    size_t size = dns_write_question(&result->question, 7, message);

    require(size <= sizeof message && net_egress_has_name(rule, result->question.name));
    require(dns_read_question(&again, message, size) == 0);
    require(strcmp(again.name, result->question.name) == 0);
}

static void step(struct policy *policy, const struct net_egress *rule, uint8_t kind,
                 const uint8_t *bytes, size_t size, uint32_t now)
{
    static struct policy_result result; /* the question is the last one asked */
    static struct policy_result judged;
    enum policy_verdict verdict;

    if (kind % 4 == 1) {
        policy_see(policy, bytes, size, now);
    } else if (kind % 4 == 2) {
        dns_is_answer(&result.question, result.question.id, bytes, size);
        if (size >= DNS_HEADER_SIZE + result.question.wire_size)
            policy_learn(policy, &result.question, bytes, size, now);
    } else {
        verdict = policy_judge(policy, bytes, size, now, &judged);
        if (verdict == POLICY_PASS)
            check_passed(rule, bytes, size);
        else if (verdict == POLICY_ANSWER)
            check_answer(&judged, bytes, size);
        else if (verdict == POLICY_ASK)
            check_question(&judged, rule);
        if (verdict == POLICY_ASK)
            result = judged;
    }
}

static void run(const struct net_egress *rule, const uint8_t *data, size_t size)
{
    const struct net_forward forward = {
        .udp = true, .host_port = 5353, .guest = 0x0a00020f, .guest_port = 5353};
    struct policy *policy = policy_create(rule, 1, &forward, 1);
    uint32_t now = 1000;

    require(policy);
    while (size >= 3) {
        uint8_t kind = data[0];
        size_t length = (size_t)data[1] << 8 | data[2];
        uint8_t *exact; /* so that reading beyond it is noticed */

        data += 3, size -= 3;
        length = length < size ? length : size;
        exact = malloc(length ? length : 1);
        require(exact);
        memcpy(exact, data, length);
        now += kind >> 2;
        step(policy, rule, kind, exact, length, now);
        free(exact);
        data += length, size -= length;
    }
    policy_destroy(policy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, 0, size);
    struct net_egress rule;
    struct err err = {0};

    if (!end)
        return 0;
    if (net_egress_parse(&rule, (const char *)data, &err) == 0)
        run(&rule, end + 1, size - (size_t)(end + 1 - data));
    else
        require(err.code < 0 && err.message[0]);
    return 0;
}
