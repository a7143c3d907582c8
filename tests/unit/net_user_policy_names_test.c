/* SPDX-License-Identifier: Apache-2.0 */
/* Names under a denied egress: which may be asked for, and which addresses their answers open. */
#include "support/policy_fixture.h"

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

/* What it points to is a header that the question that leaves does not have. */
static void refuses_a_compressed_question(void **state)
{
    struct message message = {.bytes = {0x12, 0x34, 1, 0, 0, 1, [12] = 1, 'a', 0xc0, 10, 0, 1, 0, 1},
                              .size = 20};

    (void)state;
    OPEN("a");
    assert_int_equal(ask(question("a", 1)), POLICY_ASK);
    assert_refused(message, DNS_FORMAT_ERROR, false);
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

/* This host's own addresses, and those by which a cloud tells a machine who it is. */
static void only_rules_that_say_so_lead_to_guarded_addresses(void **state)
{
    static const uint32_t addresses[] = {SERVER, 0xa9fea9fe, 0xa83f8110, 0x646464c8};

    (void)state;
    OPEN("any", "a.test", "192.0.2.7", "169.254.0.0/16");
    assert_passes(tcp(0xa9fea9fe, 80, SYN));
    OPEN("any", "a.test");
    assert_passes(tcp(SERVER, 80, SYN));
    assert_int_equal(policy_guard(policy, OTHER), 0);
    assert_int_equal(policy_guard(policy, SERVER), 0);
    for (unsigned i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        learn_address("a.test", addresses[i], 60);
        assert_denied(tcp(addresses[i], 80, SYN));
        assert_dropped(with_fragment(udp(addresses[i], 80), 0x2000));
    }
    assert_passes(tcp(OTHER + 1, 80, SYN));
}

/* What one name opens there, the other's time does not keep open. */
static void names_share_an_address_but_not_its_time(void **state)
{
    (void)state;
    OPEN("a.test:22", "b.test:443");
    learn_address("a.test", SERVER, 60);
    learn_address("b.test", SERVER, 600);
    assert_passes(tcp(SERVER, 22, SYN));
    now += 60;
    assert_passes(tcp(SERVER, 443, SYN));
    assert_denied(tcp(SERVER, 22, SYN));
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
        cmocka_unit_test_teardown(asks_what_a_rule_allows, close_policy),
        cmocka_unit_test_teardown(refuses_what_no_rule_allows, close_policy),
        cmocka_unit_test_teardown(refuses_a_compressed_question, close_policy),
        cmocka_unit_test_teardown(writes_questions_anew, close_policy),
        cmocka_unit_test_teardown(opens_the_addresses_of_a_name, close_policy),
        cmocka_unit_test_teardown(forgets_an_address_that_is_not_used, close_policy),
        cmocka_unit_test_teardown(follows_names_of_names, close_policy),
        cmocka_unit_test_teardown(names_never_lead_to_the_host, close_policy),
        cmocka_unit_test_teardown(only_rules_that_say_so_lead_to_guarded_addresses, close_policy),
        cmocka_unit_test_teardown(names_share_an_address_but_not_its_time, close_policy),
        cmocka_unit_test_teardown(reads_broken_answers_as_far_as_they_go, close_policy),
        cmocka_unit_test_teardown(recognises_the_answer_to_a_question, close_policy),
        cmocka_unit_test_teardown(keeps_a_bounded_number_of_addresses, close_policy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
