/* SPDX-License-Identifier: Apache-2.0 */
/* Tap interfaces of a configuration, and who moves their frames. */
#include "vmm/config.h"
#include "vmm/config_net.h"
#include "support/failure.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void reads_the_option(void **state)
{
    struct husk_config config;
    struct husk_err err = {0};

    (void)state;
    husk_config_init(&config);
    if (husk_config_add_net(&config, "tap=tap0,queues=2,vhost=on", &err) ||
        husk_config_add_net(&config, "tap=tap1,vhost=off,rx_bps=1M", &err))
        fail_msg("%s", err.message);
    assert_int_equal(config.nets[0].kind, HUSK_NET_TAP);
    assert_int_equal(config.nets[0].queues, 2);
    assert_true(config.nets[0].vhost);
    assert_false(config.nets[1].vhost);
    husk_config_release(&config);
}

static void says_what_is_wrong_with_it(void **state)
{
    static const struct {
        const char *option, *message;
    } options[] = {
        {"tap=t,vhost", "vhost: give a value"},
        {"tap=t,vhost=yes", "vhost: \"yes\" is none of on and off"},
        {"tap=t,vhost=on,rx_bps=1M", "vhost: the host's kernel knows no limits; leave out rx_"},
        {"tap=t,tx_pps=1000,vhost=on", "vhost: the host's kernel knows no limits; leave out rx_"},
        {"stream=s,vhost=on", "vhost: only a tap has it; leave it out"},
        {"user,vhost=on", "vhost: only a tap has it; leave it out"},
    };
    struct husk_config config;

    (void)state;
    husk_config_init(&config);
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        struct husk_err err = {0};

        assert_failure(husk_config_add_net(&config, options[i].option, &err), -EINVAL, &err,
                       options[i].message);
        assert_int_equal(config.net_count, 0);
    }
    husk_config_release(&config);
}

static void reads_and_writes_json(void **state)
{
    static const char text[] = "{\"nets\": [{\"tap\": \"tap0\", \"vhost\": true},"
                               " {\"tap\": \"tap1\", \"vhost\": false}]}";
    struct husk_config config, again;
    struct husk_err err = {0};
    char *written;

    (void)state;
    husk_config_init(&config);
    husk_config_init(&again);
    if (husk_config_parse_json(&config, text, strlen(text), "text", &err))
        fail_msg("%s", err.message);
    written = husk_config_to_json(&config);
    assert_non_null(written);
    assert_int_equal(husk_config_parse_json(&again, written, strlen(written), "written", &err), 0);
    assert_true(again.nets[0].vhost);
    assert_false(again.nets[1].vhost);
    free(written);
    husk_config_release(&config);
    husk_config_release(&again);
}

/* Descriptors have no name, and two machines' networks with one address could not share a bridge. */
static void descriptors_have_addresses_of_their_own(void **state)
{
    uint8_t first[CONFIG_MAC_SIZE], second[CONFIG_MAC_SIZE];
    struct husk_net net = {.kind = HUSK_NET_FD};
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    net.fd = ends[0];
    config_net_mac(&net, 0, first);
    config_net_mac(&net, 0, second);
    assert_memory_equal(first, second, sizeof first);
    net.fd = ends[1];
    config_net_mac(&net, 0, second);
    assert_memory_not_equal(first, second, sizeof first);
    close(ends[0]);
    close(ends[1]);
}

/* What husk_config_check() refuses is not followed into memory. */
static void rules_that_are_not_there_are_not_written(void **state)
{
    struct husk_net net = {.kind = HUSK_NET_USER, .forward_count = 1};
    struct husk_config config;

    (void)state;
    husk_config_init(&config);
    config.nets = &net;
    config.net_count = 1;
    assert_null(husk_config_to_json(&config));
    net = (struct husk_net){.kind = HUSK_NET_USER, .allows = (const char *const[]){"any"},
                            .allow_count = HUSK_ALLOWS_MAX + 1};
    assert_null(husk_config_to_json(&config));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_option),
        cmocka_unit_test(says_what_is_wrong_with_it),
        cmocka_unit_test(reads_and_writes_json),
        cmocka_unit_test(descriptors_have_addresses_of_their_own),
        cmocka_unit_test(rules_that_are_not_there_are_not_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
