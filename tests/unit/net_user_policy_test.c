/* SPDX-License-Identifier: Apache-2.0 */
/* What the policy of a denied egress lets through, and what it answers: frame by frame. */
#include "devices/net/user/policy.h"
#include "support/failure.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

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

static int close_policy(void **state)
{
    (void)state;
    policy_destroy(policy);
    policy = NULL;
    return 0;
}

/* Rules, and a forward of UDP to the guest's port 5353 and of TCP to 22. */
static void open_policy(const char *const *texts, unsigned count)
{
    struct net_egress rules[NET_EGRESS_MAX];
    struct net_forward forwards[2];

    for (unsigned i = 0; i < count; i++)
        assert_int_equal(net_egress_parse(&rules[i], texts[i], NULL), 0);
    assert_int_equal(net_forward_parse(&forwards[0], "tcp:2222:22", NULL), 0);
    assert_int_equal(net_forward_parse(&forwards[1], "udp:5353:5353", NULL), 0);
    close_policy(NULL);
    now = 1000;
    policy = policy_create(rules, count, forwards, 2);
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

static void put_16(uint8_t *to, unsigned value)
{
    to[0] = (uint8_t)(value >> 8);
    to[1] = (uint8_t)value;
}

static void put_32(uint8_t *to, uint32_t value)
{
    put_16(to, value >> 16);
    put_16(to + 2, value & 0xffff);
}

static unsigned get_16(const uint8_t *from)
{
    return (unsigned)from[0] << 8 | from[1];
}

static uint32_t get_32(const uint8_t *from)
{
    return (uint32_t)get_16(from) << 16 | get_16(from + 2);
}

static struct frame ipv4(uint8_t protocol, uint32_t from, uint32_t to, const void *payload, size_t size)
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

static struct frame tcp(uint32_t to, uint16_t port, uint8_t flags)
{
    uint8_t segment[20] = {0};

    put_16(segment, 4000);
    put_16(segment + 2, port);
    put_32(segment + 4, 77);
    segment[12] = 5 << 4;
    segment[13] = flags;
    return ipv4(IPPROTO_TCP, GUEST, to, segment, sizeof segment);
}

static struct frame udp_of(uint32_t from, uint16_t from_port, uint32_t to, uint16_t port,
                           const void *payload, size_t size)
{
    uint8_t datagram[1500] = {0};

    put_16(datagram, from_port);
    put_16(datagram + 2, port);
    put_16(datagram + 4, (unsigned)(8 + size));
    memcpy(datagram + 8, payload, size);
    return ipv4(IPPROTO_UDP, from, to, datagram, 8 + size);
}

static struct frame udp(uint32_t to, uint16_t port)
{
    return udp_of(GUEST, 4000, to, port, "hello", 5);
}

static struct frame ping(uint32_t to)
{
    return ipv4(IPPROTO_ICMP, GUEST, to, "\x08\x00\x00\x00\x00\x01\x00\x01", 8);
}

static enum policy_verdict judge(struct frame frame)
{
    return policy_judge(policy, frame.bytes, frame.size, now, &result);
}

static void assert_passes(struct frame frame)
{
    assert_int_equal(judge(frame), POLICY_PASS);
}

static void assert_dropped(struct frame frame)
{
    assert_int_equal(judge(frame), POLICY_DROP);
}

static unsigned sum_of(const uint8_t *from, size_t size)
{
    unsigned total = 0;

    for (size_t i = 0; i < size; i++)
        total += i % 2 ? from[i] : (unsigned)from[i] << 8;
    while (total >> 16)
        total = (total & 0xffff) + (total >> 16);
    return total;
}

/* What comes back is for the guest, and sums up. */
static const uint8_t *answered(struct frame frame, uint8_t protocol)
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
static void assert_denied(struct frame frame)
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

/* --- without names --- */

static void denies_what_no_rule_allows(void **state)
{
    (void)state;
    OPEN("tcp:192.0.2.0/24:80-81", "udp:192.0.2.7:53", "198.51.100.1");
    assert_passes(tcp(SERVER, 80, SYN));
    assert_passes(tcp(SERVER, 81, SYN));
    assert_denied(tcp(SERVER, 82, SYN));
    assert_denied(tcp(SERVER, 53, SYN));
    assert_denied(udp(SERVER, 80));
    assert_passes(udp(SERVER, 53));
    assert_denied(udp(SERVER + 1, 53));
    assert_denied(ping(SERVER));
    assert_passes(tcp(OTHER, 1, SYN));
    assert_passes(udp(OTHER, 1));
    assert_passes(ping(OTHER));
    assert_denied(tcp(OTHER + 1, 1, SYN));
}

static void denies_the_host_but_for_its_ports(void **state)
{
    (void)state;
    OPEN("any", "tcp:host:8000", "udp:host:53");
    assert_passes(tcp(HOST, 8000, SYN));
    assert_denied(tcp(HOST, 8001, SYN));
    assert_denied(tcp(HOST, 53, SYN));
    assert_denied(udp(HOST, 8000));
    assert_passes(udp(HOST, 53));
    assert_denied(udp(HOST, 69)); /* TFTP */
    assert_denied(tcp(NAMESERVER, 8000, SYN));
    assert_denied(tcp(NAMESERVER, 53, SYN));
    assert_denied(udp(NAMESERVER, 54));
    assert_denied(ping(NAMESERVER));
    for (unsigned i = 0; i < 5; i++) {
        static const uint32_t addresses[] = {0x7f000001, 0, 0x7fffffff, 0x0a000207, 0x0a0002fe};

        assert_denied(tcp(addresses[i], 8000, SYN));
        assert_denied(udp(addresses[i], 53));
        assert_denied(ping(addresses[i]));
    }
    assert_passes(tcp(SERVER, 8000, SYN));
    assert_passes(ping(HOST)); /* libslirp answers it itself */
}

/* What goes to many is never answered. */
static void drops_what_goes_to_many(void **state)
{
    static const uint32_t many[] = {0xffffffff, 0xe00000fb, 0xf0000001, 0x0a0002ff};

    (void)state;
    OPEN("any", "host:1-65535");
    for (unsigned i = 0; i < 4; i++) {
        assert_dropped(tcp(many[i], 80, SYN));
        assert_dropped(udp(many[i], 53));
        assert_dropped(ping(many[i]));
    }
    assert_dropped(udp_of(0, 4000, NAMESERVER, 54, "x", 1)); /* from nowhere */
}

static void passes_arp_and_dhcp(void **state)
{
    struct frame arp = {.bytes = {[12] = 0x08, [13] = 0x06}, .size = 42};

    (void)state;
    open_policy(NULL, 0);
    assert_passes(arp);
    assert_passes(udp_of(0, 68, 0xffffffff, 67, "x", 1));
    assert_passes(udp(HOST, 67));
    assert_denied(udp(NAMESERVER, 67));
    assert_denied(udp(SERVER, 67));
}

/* libslirp makes connections of SYNs alone, so the rest is its business. */
static void judges_the_first_segment_of_a_connection(void **state)
{
    (void)state;
    open_policy(NULL, 0);
    assert_denied(tcp(SERVER, 80, SYN));
    assert_denied(tcp(SERVER, 80, SYN | 0x08));
    assert_denied(tcp(SERVER, 80, SYN | PACKET_TCP_FIN));
    assert_denied(tcp(HOST, 2222, SYN));
    assert_passes(tcp(HOST, 50000, SYN | ACK)); /* as answers a forward */
    assert_passes(tcp(SERVER, 80, ACK));
    assert_passes(tcp(SERVER, 80, PACKET_TCP_RST));
    assert_passes(tcp(SERVER, 80, PACKET_TCP_FIN));
}

static struct frame with_fragment(struct frame frame, unsigned field)
{
    put_16(frame.bytes + 20, field);
    return frame;
}

static void passes_fragments_only_where_all_is_allowed(void **state)
{
    (void)state;
    OPEN("192.0.2.7:80", "udp:192.0.2.8", "198.51.100.1", "host:1-65535");
    for (unsigned i = 0; i < 4; i++) {
        static const unsigned fields[] = {0x2000, 0x0001, 0x8000, 0x3fff};

        assert_dropped(with_fragment(tcp(SERVER, 80, ACK), fields[i]));
        assert_dropped(with_fragment(tcp(SERVER, 80, SYN), fields[i]));
        assert_dropped(with_fragment(udp(SERVER + 1, 80), fields[i]));
        assert_dropped(with_fragment(udp(HOST, 80), fields[i]));
        assert_dropped(with_fragment(udp(NAMESERVER, 53), fields[i]));
        assert_passes(with_fragment(udp(OTHER, 80), fields[i]));
    }
    assert_passes(with_fragment(tcp(SERVER, 80, SYN), 0x4000));
}

static void drops_what_is_malformed(void **state)
{
    struct frame whole, frame;

    (void)state;
    OPEN("any");
    whole = tcp(SERVER, 80, ACK);
    for (size_t size = 0; size < whole.size; size++)
        assert_int_equal(policy_judge(policy, whole.bytes, size, now, &result), POLICY_DROP);
    frame = whole, frame.bytes[14] = 0x44; /* a header of 16 bytes */
    assert_dropped(frame);
    frame = whole, frame.bytes[14] = 0x4f; /* longer than the packet */
    assert_dropped(frame);
    frame = whole, frame.bytes[14] = 0x65;
    assert_dropped(frame);
    frame = whole, frame.bytes[17]--; /* the segment's last byte is none of the packet's */
    assert_dropped(frame);
    frame = whole, frame.bytes[46] = 0xf0; /* TCP's header is longer than the segment */
    assert_dropped(frame);
    frame = whole, frame.bytes[12] = 0x86, frame.bytes[13] = 0xdd;
    assert_dropped(frame);
    frame = whole, frame.bytes[12] = 0x88, frame.bytes[13] = 0xf8; /* NC-SI, which libslirp answers */
    assert_dropped(frame);
    frame = udp(SERVER, 80), frame.bytes[39]++; /* longer than it is */
    assert_dropped(frame);
    assert_dropped(ipv4(IPPROTO_IGMP, GUEST, SERVER, "01234567", 8));
    assert_dropped(ipv4(IPPROTO_ICMP, GUEST, SERVER, "\x03\x03\x00\x00\x00\x00\x00\x00", 8));
}

/* The options that stand before what is judged do not hide it. */
static void looks_behind_options(void **state)
{
    struct frame plain, frame;

    (void)state;
    OPEN("tcp:192.0.2.7:80");
    plain = tcp(SERVER, 81, SYN);
    frame = plain;
    frame.bytes[14] = 0x46;
    put_16(frame.bytes + 16, 44);
    put_32(frame.bytes + 34, SERVER << 16 | 80); /* would be the ports */
    memcpy(frame.bytes + 38, plain.bytes + 34, 20);
    frame.size += 4;
    assert_int_equal(judge(frame), POLICY_ANSWER);
    put_16(frame.bytes + 40, 80);
    assert_passes(frame);
}

static void answers_no_more_than_it_may(void **state)
{
    (void)state;
    open_policy(NULL, 0);
    for (unsigned i = 0; i < POLICY_ANSWERS_MAX; i++)
        assert_int_equal(judge(tcp(SERVER, 80, SYN)), POLICY_ANSWER);
    assert_dropped(tcp(SERVER, 80, SYN));
    assert_dropped(udp(SERVER, 80));
    now++;
    assert_denied(tcp(SERVER, 80, SYN));
}

/* --- forwards of datagrams --- */

static void see(struct frame frame)
{
    policy_see(policy, frame.bytes, frame.size, now);
}

static void lets_the_guest_answer_a_forward(void **state)
{
    (void)state;
    open_policy(NULL, 0);
    assert_denied(udp_of(GUEST, 5353, HOST, 9000, "x", 1));
    see(udp_of(HOST, 9000, GUEST, 5353, "x", 1));
    assert_passes(udp_of(GUEST, 5353, HOST, 9000, "x", 1));
    assert_denied(udp_of(GUEST, 5353, HOST, 9001, "x", 1));
    assert_denied(udp_of(GUEST, 5354, HOST, 9000, "x", 1));
    assert_int_equal(judge(udp_of(GUEST + 1, 5353, HOST, 9000, "x", 1)), POLICY_ANSWER);
    assert_denied(udp_of(GUEST, 5353, SERVER, 9000, "x", 1));
    now += POLICY_PEER_SECONDS - 1;
    assert_passes(udp_of(GUEST, 5353, HOST, 9000, "x", 1));
    now++;
    assert_denied(udp_of(GUEST, 5353, HOST, 9000, "x", 1));
}

/* What comes to a port that is not forwarded opens nothing, nor does the name server. */
static void only_forwards_open_something(void **state)
{
    (void)state;
    open_policy(NULL, 0);
    see(udp_of(SERVER, 9000, GUEST, 4000, "x", 1));
    assert_denied(udp_of(GUEST, 4000, SERVER, 9000, "x", 1));
    see(udp_of(SERVER, 9000, GUEST, 22, "x", 1)); /* forwarded for TCP */
    assert_denied(udp_of(GUEST, 22, SERVER, 9000, "x", 1));
    see(udp_of(NAMESERVER, 9000, GUEST, 5353, "x", 1));
    assert_denied(udp_of(GUEST, 5353, NAMESERVER, 9000, "x", 1));
    see(tcp(GUEST, 5353, ACK));
    assert_denied(udp_of(GUEST, 5353, GUEST, 4000, "x", 1));
}

static void keeps_a_bounded_number_of_peers(void **state)
{
    (void)state;
    open_policy(NULL, 0);
    for (unsigned i = 0; i <= POLICY_PEERS_MAX; i++, now += i == 1)
        see(udp_of(SERVER, (uint16_t)(9000 + i), GUEST, 5353, "x", 1));
    assert_denied(udp_of(GUEST, 5353, SERVER, 9000, "x", 1));
    for (unsigned i = 1; i <= POLICY_PEERS_MAX; i++)
        assert_passes(udp_of(GUEST, 5353, SERVER, (uint16_t)(9000 + i), "x", 1));
}

/* --- names --- */

/* A name on the wire. Its size. */
static size_t put_name(uint8_t *to, const char *name)
{
    size_t used = 0;

    while (*name) {
        size_t length = strcspn(name, ".");

        to[used] = (uint8_t)length;
        memcpy(to + used + 1, name, length);
        used += length + 1;
        name += length + (name[length] == '.');
    }
    to[used] = 0;
    return used + 1;
}

struct message {
    uint8_t bytes[1400];
    size_t size;
};

static struct message question(const char *name, uint16_t type)
{
    struct message message = {.bytes = {0x12, 0x34, 1, 0, 0, 1}, .size = 12};

    message.size += put_name(message.bytes + 12, name);
    put_16(message.bytes + message.size, type);
    put_16(message.bytes + message.size + 2, 1);
    message.size += 4;
    return message;
}

/* A record more; its owner is `name`. */
static void add_record(struct message *message, const char *name, uint16_t type, uint32_t seconds,
                       const void *data, size_t size)
{
    uint8_t *at = message->bytes + message->size;

    at += put_name(at, name);
    put_16(at, type);
    put_16(at + 2, 1);
    put_32(at + 4, seconds);
    put_16(at + 8, (unsigned)size);
    memcpy(at + 10, data, size);
    message->size = (size_t)(at + 10 + size - message->bytes);
    message->bytes[7]++;
    message->bytes[2] |= 0x80;
}

static void add_address(struct message *message, const char *name, uint32_t address, uint32_t seconds)
{
    uint8_t data[4];

    put_32(data, address);
    add_record(message, name, 1, seconds, data, sizeof data);
}

static void add_other_name(struct message *message, const char *name, const char *other)
{
    uint8_t data[256];

    add_record(message, name, 5, 60, data, put_name(data, other));
}

static enum policy_verdict ask(struct message message)
{
    return judge(udp_of(GUEST, 4000, NAMESERVER, 53, message.bytes, message.size));
}

/* The question of `name` is asked and answered by `answer`. */
static void learn(const char *name, struct message answer)
{
    assert_int_equal(ask(question(name, 1)), POLICY_ASK);
    assert_true(dns_is_answer(&result.question, 0x1234, answer.bytes, answer.size));
    policy_learn(policy, &result.question, answer.bytes, answer.size, now);
}

static void learn_address(const char *name, uint32_t address, uint32_t seconds)
{
    struct message answer = question(name, 1);

    add_address(&answer, name, address, seconds);
    learn(name, answer);
}

static void asks_what_a_rule_allows(void **state)
{
    struct message message = question("Www.Example.org", 1);

    (void)state;
    OPEN("www.example.org:80", "192.0.2.0/24");
    assert_int_equal(ask(message), POLICY_ASK);
    assert_string_equal(result.question.name, "www.example.org");
    assert_int_equal(result.question.id, 0x1234);
    assert_int_equal(result.asked.source, GUEST);
    assert_int_equal(result.asked.source_port, 4000);
    assert_int_equal(result.asked.destination, NAMESERVER);
    assert_int_equal(ask(question("www.example.org", 28)), POLICY_ASK);
    assert_int_equal(ask(question("example.org", 1)), POLICY_ANSWER);
    OPEN("any:80");
    assert_int_equal(ask(question("example.org", 1)), POLICY_ASK);
    assert_int_equal(ask(question("", 2)), POLICY_ANSWER);
}

/* Refuses with `code`; the question comes back if it could be read. */
static void assert_refused(struct message message, unsigned code, bool with_question)
{
    const uint8_t *datagram =
        answered(udp_of(GUEST, 4000, NAMESERVER, 53, message.bytes, message.size), IPPROTO_UDP);
    const uint8_t *answer = datagram + 8;

    assert_int_equal(get_32(result.frame + 26), NAMESERVER);
    assert_int_equal(get_16(datagram), 53);
    assert_int_equal(get_16(datagram + 2), 4000);
    assert_int_equal(get_16(datagram + 4) + 34, result.size);
    assert_int_equal(get_16(answer), 0x1234);
    assert_int_equal(answer[2] & 0x80, 0x80);
    assert_int_equal(answer[3] & 15, code);
    assert_int_equal(get_16(answer + 4), with_question);
    if (with_question)
        assert_memory_equal(answer + 12, message.bytes + 12, result.size - 34 - 8 - 12);
}

static void refuses_what_no_rule_allows(void **state)
{
    struct message message;

    (void)state;
    OPEN("*.example.org", "192.0.2.0/24");
    assert_refused(question("example.org", 1), DNS_REFUSED, true);
    assert_refused(question("example.net", 1), DNS_REFUSED, true);
    assert_refused(question("7.2.0.192.in-addr.arpa", 12), DNS_REFUSED, true);
    message = question("x.example.org", 1), message.bytes[message.size - 1] = 3; /* class CHAOS */
    assert_refused(message, DNS_REFUSED, true);
    message = question("xyexample.org", 1), message.bytes[14] = '.'; /* a dot in a label */
    assert_refused(message, DNS_REFUSED, true);
    message = question("x\001.example.org", 1);
    assert_refused(message, DNS_REFUSED, true);
    message = question("x.example.org", 1), message.bytes[2] = 0x28; /* an update */
    assert_refused(message, DNS_NOT_IMPLEMENTED, false);
    message = question("x.example.org", 1), message.bytes[5] = 2;
    assert_refused(message, DNS_FORMAT_ERROR, false);
    message = question("x.example.org", 1), message.bytes[7] = 1;
    assert_refused(message, DNS_FORMAT_ERROR, false);
    message = question("x.example.org", 1), message.bytes[12] = 0xc0; /* a pointer to itself */
    message.bytes[13] = 12;
    assert_refused(message, DNS_FORMAT_ERROR, false);
    message = question("x.example.org", 1), message.size--;
    assert_refused(message, DNS_FORMAT_ERROR, false);
    message = question("x.example.org", 1), message.bytes[11] = 1; /* and there is none */
    assert_refused(message, DNS_FORMAT_ERROR, true);
    message = question("x.example.org", 1), message.bytes[2] = 0x81; /* an answer */
    assert_int_equal(ask(message), POLICY_DROP);
    message = question("x.example.org", 1), message.size = 11;
    assert_int_equal(ask(message), POLICY_DROP);
}

/* The question that leaves is our own: no room to hide anything in but the name. */
static void writes_questions_anew(void **state)
{
    struct message message = question("a.test", 1);
    static const uint8_t edns[] = {0, 0, 41, 0x10, 0, 0, 0, 0x80, 0, 0, 6, 'h', 'i', 'd', 'd', 'e', 'n'};
    uint8_t written[DNS_MESSAGE_MAX];
    size_t size;

    (void)state;
    OPEN("a.test");
    memcpy(message.bytes + message.size, edns, sizeof edns);
    message.size += sizeof edns;
    message.bytes[2] = 0x07; /* with flags that a question has not */
    message.bytes[3] = 0xff;
    message.bytes[11] = 1;
    assert_int_equal(ask(message), POLICY_ASK);
    size = dns_write_question(&result.question, 0x4321, written);
    assert_int_equal(size, 12 + 12 + 11);
    assert_memory_equal(written, "\x43\x21\x01\x30\0\1\0\0\0\0\0\1", 12);
    assert_memory_equal(written + 12, message.bytes + 12, 12);
    assert_memory_equal(written + 24, "\0\0\x29\x04\xd0\0\0\0\0\0\0", 11);
}

static void opens_the_addresses_of_a_name(void **state)
{
    (void)state;
    OPEN("tcp:a.test:80", "b.test");
    assert_denied(tcp(SERVER, 80, SYN));
    learn_address("a.test", SERVER, 300);
    assert_passes(tcp(SERVER, 80, SYN));
    assert_denied(tcp(SERVER, 81, SYN));
    assert_denied(udp(SERVER, 80));
    assert_denied(ping(SERVER));
    assert_dropped(with_fragment(udp(SERVER, 80), 0x2000));
    learn_address("b.test", SERVER, 300);
    assert_passes(tcp(SERVER, 81, SYN));
    assert_passes(ping(SERVER));
}

static void forgets_an_address_that_is_not_used(void **state)
{
    (void)state;
    OPEN("a.test");
    learn_address("a.test", SERVER, 1);
    learn_address("a.test", OTHER, 300);
    now += POLICY_ADDRESS_SECONDS - 1;
    assert_passes(udp(SERVER, 80));
    now += POLICY_ADDRESS_SECONDS - 1;
    assert_passes(udp(SERVER, 80));
    now += POLICY_ADDRESS_SECONDS;
    assert_denied(udp(SERVER, 80));
    assert_passes(udp(OTHER, 80)); /* 179 s */
    now += 122;
    assert_denied(udp(OTHER, 80));
    learn_address("a.test", SERVER, UINT32_MAX);
    now += POLICY_ADDRESS_SECONDS_MAX;
    assert_denied(udp(SERVER, 80));
}

static void follows_names_of_names(void **state)
{
    struct message answer = question("www.a.test", 1);

    (void)state;
    OPEN("*.a.test");
    add_address(&answer, "c.test", SERVER, 60); /* before what leads there */
    add_other_name(&answer, "WWW.a.test", "b.test");
    add_other_name(&answer, "b.test", "c.test");
    add_address(&answer, "evil.test", OTHER, 60);
    learn("www.a.test", answer);
    assert_passes(tcp(SERVER, 80, SYN));
    assert_denied(tcp(OTHER, 80, SYN));
    answer = question("x.a.test", 1); /* in a circle */
    add_other_name(&answer, "x.a.test", "y.test");
    add_other_name(&answer, "y.test", "x.a.test");
    add_address(&answer, "x.a.test", OTHER, 60);
    learn("x.a.test", answer);
    assert_passes(tcp(OTHER, 80, SYN));
}

static void names_never_lead_to_the_host(void **state)
{
    static const uint32_t addresses[] = {0x7f000001, 0, HOST, NAMESERVER, 0xa9fea9fe, 0xe0000001};

    (void)state;
    OPEN("a.test");
    for (unsigned i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        learn_address("a.test", addresses[i], 60);
        assert_int_not_equal(judge(tcp(addresses[i], 80, SYN)), POLICY_PASS);
    }
}

/* Cut anywhere, an answer is read as far as it goes. */
static void reads_broken_answers_as_far_as_they_go(void **state)
{
    struct message answer = question("a.test", 1);
    size_t first, whole;

    (void)state;
    OPEN("a.test");
    assert_int_equal(ask(question("a.test", 1)), POLICY_ASK);
    add_address(&answer, "a.test", SERVER, 60);
    first = answer.size;
    add_address(&answer, "a.test", OTHER, 60);
    whole = answer.size;
    for (size_t size = answer.size = 24; size < whole; size++)
        policy_learn(policy, &result.question, answer.bytes, size, now);
    assert_true(first < whole);
    assert_passes(tcp(SERVER, 80, SYN));
    assert_denied(tcp(OTHER, 80, SYN));
}

static void recognises_the_answer_to_a_question(void **state)
{
    struct message answer = question("a.test", 1);

    (void)state;
    OPEN("a.test");
    assert_int_equal(ask(question("a.test", 1)), POLICY_ASK);
    add_address(&answer, "a.test", SERVER, 60);
    assert_true(dns_is_answer(&result.question, 0x1234, answer.bytes, answer.size));
    assert_false(dns_is_answer(&result.question, 0x1235, answer.bytes, answer.size));
    assert_false(dns_is_answer(&result.question, 0x1234, answer.bytes, 23));
    answer.bytes[13] ^= 1;
    assert_false(dns_is_answer(&result.question, 0x1234, answer.bytes, answer.size));
    answer.bytes[13] ^= 1;
    answer.bytes[2] &= 0x7f;
    assert_false(dns_is_answer(&result.question, 0x1234, answer.bytes, answer.size));
}

/* The address that would be forgotten first makes room. */
static void keeps_a_bounded_number_of_addresses(void **state)
{
    (void)state;
    OPEN("*.test");
    learn_address("first.test", SERVER, 100);
    for (unsigned i = 0; i < POLICY_ADDRESSES_MAX; i++)
        learn_address("more.test", OTHER + i, 200);
    assert_denied(udp(SERVER, 80));
    for (unsigned i = 0; i < POLICY_ADDRESSES_MAX; i++)
        assert_passes(udp(OTHER + i, 80));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(denies_what_no_rule_allows, close_policy),
        cmocka_unit_test_teardown(denies_the_host_but_for_its_ports, close_policy),
        cmocka_unit_test_teardown(drops_what_goes_to_many, close_policy),
        cmocka_unit_test_teardown(passes_arp_and_dhcp, close_policy),
        cmocka_unit_test_teardown(judges_the_first_segment_of_a_connection, close_policy),
        cmocka_unit_test_teardown(passes_fragments_only_where_all_is_allowed, close_policy),
        cmocka_unit_test_teardown(drops_what_is_malformed, close_policy),
        cmocka_unit_test_teardown(looks_behind_options, close_policy),
        cmocka_unit_test_teardown(answers_no_more_than_it_may, close_policy),
        cmocka_unit_test_teardown(lets_the_guest_answer_a_forward, close_policy),
        cmocka_unit_test_teardown(only_forwards_open_something, close_policy),
        cmocka_unit_test_teardown(keeps_a_bounded_number_of_peers, close_policy),
        cmocka_unit_test_teardown(asks_what_a_rule_allows, close_policy),
        cmocka_unit_test_teardown(refuses_what_no_rule_allows, close_policy),
        cmocka_unit_test_teardown(writes_questions_anew, close_policy),
        cmocka_unit_test_teardown(opens_the_addresses_of_a_name, close_policy),
        cmocka_unit_test_teardown(forgets_an_address_that_is_not_used, close_policy),
        cmocka_unit_test_teardown(follows_names_of_names, close_policy),
        cmocka_unit_test_teardown(names_never_lead_to_the_host, close_policy),
        cmocka_unit_test_teardown(reads_broken_answers_as_far_as_they_go, close_policy),
        cmocka_unit_test_teardown(recognises_the_answer_to_a_question, close_policy),
        cmocka_unit_test_teardown(keeps_a_bounded_number_of_addresses, close_policy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
