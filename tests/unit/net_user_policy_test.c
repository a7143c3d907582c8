/* SPDX-License-Identifier: Apache-2.0 */
/* What the policy of a denied egress lets through, and what it answers: frame by frame. */
#include "support/policy_fixture.h"

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

/* From elsewhere it may come with any source, and the gateway's stands for the host's loopback. */
static void the_gateway_is_no_peer_of_an_open_forward(void **state)
{
    (void)state;
    open_policy(NULL, 0);
    see(udp_of(HOST, 9000, GUEST, 5454, "x", 1));
    assert_denied(udp_of(GUEST, 5454, HOST, 9000, "x", 1));
    see(udp_of(0x7f000001, 9000, GUEST, 5454, "x", 1));
    assert_denied(udp_of(GUEST, 5454, 0x7f000001, 9000, "x", 1));
    see(udp_of(SERVER, 9000, GUEST, 5454, "x", 1));
    assert_passes(udp_of(GUEST, 5454, SERVER, 9000, "x", 1));
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
        cmocka_unit_test_teardown(the_gateway_is_no_peer_of_an_open_forward, close_policy),
        cmocka_unit_test_teardown(keeps_a_bounded_number_of_peers, close_policy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
