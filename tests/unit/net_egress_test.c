/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of what a guest reaches: what they mean, and what is refused and how. */
#include "devices/net/egress.h"
#include "support/failure.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

static uint32_t ip(const char *text)
{
    struct in_addr in;

    assert_int_equal(inet_pton(AF_INET, text, &in), 1);
    return ntohl(in.s_addr);
}

static struct net_egress rule(const char *text)
{
    struct net_egress parsed;
    struct err err = {0};

    if (net_egress_parse(&parsed, text, &err))
        fail_msg("%s: %s", text, err.message);
    return parsed;
}

/* Does the rule let this kind of packet to this address, as far as addresses go? */
static bool opens(const char *text, const char *address, uint8_t protocol, uint16_t port)
{
    const struct net_egress parsed = rule(text);

    return net_egress_has_address(&parsed, ip(address)) &&
           net_egress_has_port(&parsed, protocol, port);
}

static void reads_addresses_and_ports(void **state)
{
    (void)state;
    assert_true(opens("192.0.2.7", "192.0.2.7", IPPROTO_TCP, 1));
    assert_true(opens("192.0.2.7", "192.0.2.7", IPPROTO_ICMP, 0));
    assert_false(opens("192.0.2.7", "192.0.2.8", IPPROTO_TCP, 1));
    assert_true(opens("192.0.2.0/24:443", "192.0.2.255", IPPROTO_TCP, 443));
    assert_true(opens("192.0.2.0/24:443", "192.0.2.0", IPPROTO_UDP, 443));
    assert_false(opens("192.0.2.0/24:443", "192.0.3.0", IPPROTO_TCP, 443));
    assert_false(opens("192.0.2.0/24:443", "192.0.2.1", IPPROTO_TCP, 444));
    assert_false(opens("192.0.2.0/24:443", "192.0.2.1", IPPROTO_ICMP, 443));
    assert_true(opens("tcp:192.0.2.7:80-90", "192.0.2.7", IPPROTO_TCP, 80));
    assert_true(opens("tcp:192.0.2.7:80-90", "192.0.2.7", IPPROTO_TCP, 90));
    assert_false(opens("tcp:192.0.2.7:80-90", "192.0.2.7", IPPROTO_TCP, 91));
    assert_false(opens("tcp:192.0.2.7:80-90", "192.0.2.7", IPPROTO_UDP, 80));
    assert_false(opens("udp:192.0.2.7", "192.0.2.7", IPPROTO_ICMP, 0));
    assert_true(opens("udp:192.0.2.7", "192.0.2.7", IPPROTO_UDP, 65535));
    assert_true(opens("0.0.0.0/0:65535", "8.8.8.8", IPPROTO_TCP, 65535));
}

/* However wide a rule is, what leads to the host is asked for by "host" alone. */
static void never_opens_the_host(void **state)
{
    static const char *const addresses[] = {"127.0.0.1", "127.255.255.255", "0.0.0.0", "0.1.2.3",
                                            "10.0.2.2", "10.0.2.3", "10.0.2.255", "224.0.0.1",
                                            "240.0.0.1", "255.255.255.255"};
    static const char *const rules[] = {"any", "0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "10.0.0.0/8",
                                        "host:1"};

    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        for (size_t j = 0; j < sizeof addresses / sizeof addresses[0]; j++)
            if (opens(rules[i], addresses[j], IPPROTO_TCP, 1))
                fail_msg("%s opens %s", rules[i], addresses[j]);
    assert_true(opens("any", "10.0.3.2", IPPROTO_TCP, 1));
    assert_true(opens("10.0.0.0/8", "10.0.1.255", IPPROTO_TCP, 1));
}

static bool has_name(const char *text, const char *name)
{
    const struct net_egress parsed = rule(text);

    return net_egress_has_name(&parsed, name);
}

static void reads_names(void **state)
{
    (void)state;
    assert_true(has_name("www.example.org:80", "www.example.org"));
    assert_true(has_name("Www.Example.ORG.", "www.example.org"));
    assert_false(has_name("example.org", "www.example.org"));
    assert_true(has_name("*.example.org", "www.example.org"));
    assert_true(has_name("*.example.org", "a.b.example.org"));
    assert_false(has_name("*.example.org", "example.org"));
    assert_false(has_name("*.example.org", "xexample.org"));
    assert_false(has_name("*.example.org", ".example.org"));
    assert_false(has_name("*.example.org", "org"));
    assert_true(has_name("udp:any:1", "anything.at.all"));
    assert_false(has_name("0.0.0.0/0", "www.example.org"));
    assert_false(has_name("host:1", ""));
    assert_true(has_name("tcp:tcp", "tcp"));
    assert_false(opens("www.example.org", "0.0.0.0", IPPROTO_TCP, 1));
    assert_false(opens("www.example.org", "192.0.2.1", IPPROTO_TCP, 1));
}

static void refuses_what_is_no_rule(void **state)
{
    static const struct {
        const char *rule, *message;
    } rules[] = {
        {"", "is no rule; give [tcp:|udp:]TARGET[:PORT[-PORT]]"},
        {"tcp:", "is no rule"},
        {":80", "is no rule"},
        {"sctp:192.0.2.1:80", "is no rule"},
        {"2001:db8::1", "is no rule"},
        {"host", "host: opens ports one by one; give host:PORT"},
        {"udp:host", "give host:PORT"},
        {"host:0", "\"0\" is no port and no range"},
        {"192.0.2.1:", "\"\" is no port"},
        {"192.0.2.1:65536", "\"65536\" is no port"},
        {"192.0.2.1:90-80", "\"90-80\" is no port"},
        {"192.0.2.1:80-", "\"80-\" is no port"},
        {"192.0.2.1:-80", "\"-80\" is no port"},
        {"192.0.2.1:1-2-3", "is no port"},
        {"192.0.2", "\"192.0.2\" is no IPv4 address"},
        {"192.0.2.256", "is no IPv4 address"},
        {"192.0.2.1000000000000", "is no IPv4 address"},
        {"192.0.2.0/", "is no length of a prefix; give 0 to 32"},
        {"192.0.2.0/33", "is no length of a prefix"},
        {"192.0.2.0/00", "is no length of a prefix"},
        {"192.0.2.0/024", "is no length of a prefix"},
        {"192.0.2.0/24/8", "is no length of a prefix"},
        {"192.0.2.7/24", "192.0.2.7/24 has bits beyond its first 24"},
        {"127.0.0.1:80", "127.0.0.1 is this host; give host:PORT"},
        {"0.0.0.0", "0.0.0.0 means this host"},
        {"10.0.2.2:80", "10.0.2.2 is the guest's own network"},
        {"224.0.0.0/4", "is multicast"},
        {"255.255.255.255", "is multicast, broadcast"},
        {"localhost:80", "localhost is the guest itself there"},
        {"*", "\"*\" is no address and no name"},
        {"*.", "is no address and no name"},
        {"a.*.org", "is no address and no name"},
        {"a..org", "is no address and no name"},
        {".org", "is no address and no name"},
        {"de bian.org", "is no address and no name"},
        {"d\xc3\xa9.org", "is no address and no name"},
        {"a123456789b123456789c123456789d123456789e123456789f123456789g123.org",
         "is no address and no name"},
    };
    char name[300];

    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        struct net_egress parsed;
        struct err err = {0};

        assert_failure(net_egress_parse(&parsed, rules[i].rule, &err), -EINVAL, &err,
                       rules[i].message);
    }
    for (size_t length = 250; length < sizeof name; length++) {
        struct net_egress parsed;
        int wanted = length <= 253 ? 0 : -EINVAL;

        memset(name, 'a', length);
        for (size_t i = 40; i + 1 < length; i += 40)
            name[i] = '.';
        name[length] = '\0';
        assert_int_equal(net_egress_parse(&parsed, name, NULL), wanted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_addresses_and_ports),
        cmocka_unit_test(never_opens_the_host),
        cmocka_unit_test(reads_names),
        cmocka_unit_test(refuses_what_is_no_rule),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
