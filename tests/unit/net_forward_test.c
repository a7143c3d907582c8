/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of port forwards: what they mean, what is refused and how, which exclude each other. */
#include "devices/net/forward.h"
#include "support/failure.h"

#include <arpa/inet.h>
#include <errno.h>

static void reads_rules_long_and_short(void **state)
{
    static const struct {
        const char *rule, *full;
    } rules[] = {
        {"tcp:127.0.0.1:2222:10.0.2.15:22", "tcp:127.0.0.1:2222:10.0.2.15:22"},
        {"tcp:2222:22", "tcp:127.0.0.1:2222:10.0.2.15:22"},
        {"tcp:127.0.0.1:2222:22", "tcp:127.0.0.1:2222:10.0.2.15:22"},
        {"tcp::2222::22", "tcp:127.0.0.1:2222:10.0.2.15:22"},
        {"tcp::2222:22", "tcp:127.0.0.1:2222:10.0.2.15:22"},
        {"tcp:2222::22", "tcp:127.0.0.1:2222:10.0.2.15:22"},
        {"tcp:2222:10.0.2.16:22", "tcp:127.0.0.1:2222:10.0.2.16:22"},
        {"udp:0.0.0.0:1:10.0.2.254:65535", "udp:0.0.0.0:1:10.0.2.254:65535"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        struct net_forward forward;
        char text[NET_FORWARD_TEXT_MAX];
        struct err err = {0};

        if (net_forward_parse(&forward, rules[i].rule, &err))
            fail_msg("%s: %s", rules[i].rule, err.message);
        net_forward_print(&forward, text);
        assert_string_equal(text, rules[i].full);
    }
}

static void refuses_what_is_no_rule(void **state)
{
    static const struct {
        const char *rule, *message;
    } rules[] = {
        {"", "is no forward; give tcp|udp:[HOSTADDRESS]:HOSTPORT"},
        {"tcp", "is no forward"},
        {"tcp:2222", "is no forward"},
        {"tcp:2222-:22", "\"2222-\" is no port"},
        {"sctp:2222:22", "is no forward"},
        {"TCP:2222:22", "is no forward"},
        {"tcp:1:2:3:4:5", "is no forward"},
        {"tcp:1000000000000000000:22", "is no forward"},
        {"tcp:0:22", "\"0\" is no port; give 1 to 65535"},
        {"tcp:65536:22", "\"65536\" is no port"},
        {"tcp:4294967297:22", "\"4294967297\" is no port"},
        {"tcp:2222:-1", "\"-1\" is no port"},
        {"tcp:2222:22x", "\"22x\" is no port"},
        {"tcp:2222:", "\"\" is no port"},
        {"tcp:::", "\"\" is no port"},
        {"tcp:1.2.3:2222:22", "\"1.2.3\" is no IPv4 address"},
        {"tcp:localhost:2222:10.0.2.15:22", "\"localhost\" is no IPv4 address"},
        {"tcp:2222:10.0.3.15:22", "10.0.3.15 is no address of a guest; give 10.0.2.4"},
        {"tcp:2222:10.0.2.2:22", "10.0.2.2 is no address of a guest"},
        {"tcp:2222:10.0.2.255:22", "10.0.2.255 is no address of a guest"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        struct net_forward forward;
        struct err err = {0};

        assert_failure(net_forward_parse(&forward, rules[i].rule, &err), -EINVAL, &err,
                       rules[i].message);
    }
}

static bool overlap(const char *a, const char *b)
{
    struct net_forward forward_a, forward_b;

    assert_int_equal(net_forward_parse(&forward_a, a, NULL), 0);
    assert_int_equal(net_forward_parse(&forward_b, b, NULL), 0);
    assert_int_equal(net_forwards_overlap(&forward_b, &forward_a),
                     net_forwards_overlap(&forward_a, &forward_b));
    return net_forwards_overlap(&forward_a, &forward_b);
}

static void tells_which_exclude_each_other(void **state)
{
    (void)state;
    assert_true(overlap("tcp:2222:22", "tcp:2222:80"));
    assert_true(overlap("tcp:0.0.0.0:2222:22", "tcp:127.0.0.2:2222:22"));
    assert_false(overlap("tcp:2222:22", "udp:2222:22"));
    assert_false(overlap("tcp:2222:22", "tcp:2223:22"));
    assert_false(overlap("tcp:127.0.0.1:2222:22", "tcp:127.0.0.2:2222:22"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_rules_long_and_short),
        cmocka_unit_test(refuses_what_is_no_rule),
        cmocka_unit_test(tells_which_exclude_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
