/* SPDX-License-Identifier: Apache-2.0 */
/* User-mode networks of a configuration: as an option, as JSON, checked and copied. */
#include "vmm/config.h"
#include "support/failure.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void reads_the_option(void **state)
{
    struct husk_config config;
    struct husk_err err = {0};

    (void)state;
    husk_config_init(&config);
    if (husk_config_add_net(&config, "user", &err) ||
        husk_config_add_net(&config, "user=/opt/net,mtu=1500,hostfwd=tcp:2222:22,restrict,"
                                     "hostfwd=udp:53:53", &err))
        fail_msg("%s", err.message);
    assert_int_equal(config.net_count, 2);
    assert_int_equal(config.nets[0].kind, HUSK_NET_USER);
    assert_null(config.nets[0].name);
    assert_int_equal(config.nets[0].forward_count, 0);
    assert_false(config.nets[0].restricted);
    assert_string_equal(config.nets[1].name, "/opt/net");
    assert_int_equal(config.nets[1].mtu, 1500);
    assert_int_equal(config.nets[1].forward_count, 2);
    assert_string_equal(config.nets[1].forwards[0], "tcp:2222:22");
    assert_string_equal(config.nets[1].forwards[1], "udp:53:53");
    assert_true(config.nets[1].restricted);
    husk_config_release(&config);
}

static void says_what_is_wrong_with_it(void **state)
{
    static const struct {
        const char *option, *message;
    } options[] = {
        {"user=", "user: give a program's path"},
        {"user,hostfwd", "hostfwd: give a value"},
        {"user,hostfwd=", "hostfwd: give a value"},
        {"user,hostfwd=2222:22", "hostfwd \"2222:22\": is no forward; give tcp|udp:"},
        {"user,hostfwd=tcp:2222:22,hostfwd=tcp:0.0.0.0:2222:80",
         "hostfwd \"tcp:0.0.0.0:2222:80\": wants the same packets as \"tcp:2222:22\""},
        {"user,restrict=yes", "restrict: takes no value"},
        {"user,mtu=575", "mtu: 575 is not possible; give 576 to 65520"},
        {"user,mtu=65521", "mtu: 65521 is not possible"},
        {"user,queues=2", "queues: only a tap has several"},
        {"user,hostfw=tcp:1:1", "did you mean \"hostfwd\"?"},
        {"tap=t,hostfwd=tcp:1:1", "hostfwd: only user mode forwards"},
        {"stream=s,restrict", "restrict: only user mode restricts"},
        {"user,egress", "egress: give a value"},
        {"user,egress=no", "egress: \"no\" is none of deny and allow"},
        {"user,allow=host", "allow \"host\": host: opens ports one by one"},
        {"user,restrict,allow=any", "allow: with restrict nothing is reached"},
        {"tap=t,allow=any", "egress, allow: only user mode denies"},
        {"tap=t,egress=deny", "egress, allow: only user mode denies"},
        {"usr", "is no kind of network; begin with user"},
    };
    struct husk_config config;

    (void)state;
    husk_config_init(&config);
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        struct husk_err err = {0};
        int rc = husk_config_add_net(&config, options[i].option, &err);

        assert_true(rc == -EINVAL || rc == -ERANGE);
        assert_failure(rc, rc, &err, options[i].message);
        assert_int_equal(config.net_count, 0);
    }
    husk_config_release(&config);
}

static void reads_and_writes_json(void **state)
{
    static const char text[] =
        "{\"nets\": [{\"user\": true, \"hostfwd\": [\"tcp:2222:22\", \"udp:53:53\"],"
        " \"restrict\": true}, {\"user\": \"/opt/net\"}]}";
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
    assert_int_equal(again.net_count, 2);
    assert_null(again.nets[0].name);
    assert_int_equal(again.nets[0].forward_count, 2);
    assert_string_equal(again.nets[0].forwards[1], "udp:53:53");
    assert_true(again.nets[0].restricted);
    assert_int_equal(again.nets[1].kind, HUSK_NET_USER);
    assert_string_equal(again.nets[1].name, "/opt/net");
    free(written);
    husk_config_release(&config);
    husk_config_release(&again);
}

static void says_what_is_wrong_with_json(void **state)
{
    static const struct {
        const char *text, *message;
    } texts[] = {
        {"{\"nets\": [{}]}", "nets[0]: has none of"},
        {"{\"nets\": [{\"user\": false}]}", "nets[0].user: is a boolean; give true, or the path"},
        {"{\"nets\": [{\"user\": true, \"tap\": \"t\"}]}", "nets[0].tap: is one too many"},
        {"{\"nets\": [{\"tap\": \"t\", \"user\": true}]}", "nets[0].user: is one too many"},
        {"{\"nets\": [{\"user\": true, \"hostfwd\": \"tcp:1:1\"}]}",
         "nets[0].hostfwd: is a string; give an array"},
        {"{\"nets\": [{\"user\": true, \"hostfwd\": [1]}]}", "nets[0].hostfwd: is an integer"},
        {"{\"nets\": [{\"user\": true, \"hostfwd\": [\"tcp:1\"]}]}", "nets[0]: hostfwd \"tcp:1\""},
        {"{\"nets\": [{\"user\": true, \"restrict\": 1}]}", "nets[0].restrict: is an integer"},
        {"{\"nets\": [{\"user\": true, \"egress\": true}]}", "nets[0].egress: is a boolean"},
        {"{\"nets\": [{\"user\": true, \"egress\": \"x\"}]}", "nets[0].egress: \"x\" is none of"},
        {"{\"nets\": [{\"user\": true, \"allow\": \"any\"}]}",
         "nets[0].allow: is a string; give an array"},
        {"{\"nets\": [{\"user\": true, \"allow\": [\"0.0.0.0\"]}]}", "nets[0]: allow \"0.0.0.0\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct husk_config config;
        struct husk_err err = {0};

        husk_config_init(&config);
        assert_failure(husk_config_parse_json(&config, texts[i].text, strlen(texts[i].text), "f",
                                              &err),
                       -EINVAL, &err, texts[i].message);
        husk_config_release(&config);
    }
}

static void reads_what_is_allowed(void **state)
{
    struct husk_config config;
    struct husk_err err = {0};

    (void)state;
    husk_config_init(&config);
    if (husk_config_add_net(&config, "user,egress=deny", &err) ||
        husk_config_add_net(&config, "user,allow=192.0.2.0/24:443,allow=*.example.org", &err) ||
        husk_config_add_net(&config, "user,egress=allow", &err))
        fail_msg("%s", err.message);
    assert_true(config.nets[0].egress_denied);
    assert_int_equal(config.nets[0].allow_count, 0);
    assert_int_equal(config.nets[1].allow_count, 2);
    assert_string_equal(config.nets[1].allows[0], "192.0.2.0/24:443");
    assert_string_equal(config.nets[1].allows[1], "*.example.org");
    assert_false(config.nets[2].egress_denied);
    husk_config_release(&config);
}

static void reads_and_writes_what_is_allowed_as_json(void **state)
{
    static const char text[] =
        "{\"nets\": [{\"user\": true, \"allow\": [\"host:80\", \"a.test\"]},"
        " {\"user\": true, \"egress\": \"deny\"}, {\"user\": true, \"egress\": \"allow\"}]}";
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
    assert_int_equal(again.net_count, 3);
    assert_int_equal(again.nets[0].allow_count, 2);
    assert_string_equal(again.nets[0].allows[1], "a.test");
    assert_true(again.nets[1].egress_denied);
    assert_false(again.nets[2].egress_denied);
    free(written);
    husk_config_release(&config);
    husk_config_release(&again);
}

static void bounds_the_number_of_forwards(void **state)
{
    char option[64 * HUSK_FORWARDS_MAX] = "user";
    struct husk_config config;
    struct husk_err err = {0};

    (void)state;
    husk_config_init(&config);
    for (unsigned i = 0; i < HUSK_FORWARDS_MAX; i++)
        snprintf(option + strlen(option), sizeof option - strlen(option), ",hostfwd=tcp:%u:22",
                 1000 + i);
    assert_int_equal(husk_config_add_net(&config, option, &err), 0);
    assert_int_equal(config.nets[0].forward_count, HUSK_FORWARDS_MAX);
    strcat(option, ",hostfwd=tcp:2000:22");
    assert_failure(husk_config_add_net(&config, option, &err), -ENOSPC, &err, "is one too many");
    husk_config_release(&config);

    husk_config_init(&config);
    strcpy(option, "user");
    for (unsigned i = 0; i < HUSK_ALLOWS_MAX; i++)
        strcat(option, ",allow=any");
    assert_int_equal(husk_config_add_net(&config, option, &err), 0);
    assert_int_equal(config.nets[0].allow_count, HUSK_ALLOWS_MAX);
    strcat(option, ",allow=any");
    assert_failure(husk_config_add_net(&config, option, &err), -ENOSPC, &err, "is one too many");
    husk_config_release(&config);
}

static void copies_what_is_allowed(void **state)
{
    char rule[] = "192.0.2.7:443";
    const char *const rules[] = {rule, "host:80"};
    const struct husk_net nets[] = {
        {.kind = HUSK_NET_USER, .fd = -1, .allows = rules, .allow_count = 2},
        {.kind = HUSK_NET_USER, .fd = -1, .allow_count = 1},
        {.kind = HUSK_NET_USER, .fd = -1, .allows = rules, .allow_count = HUSK_ALLOWS_MAX + 1},
    };
    struct machine_config checked;
    struct husk_config config;
    struct err err = {0};

    (void)state;
    husk_config_init(&config);
    config.kernel = "k";
    config.nets = nets;
    config.net_count = 1;
    if (config_validate(&config, &checked, &err))
        fail_msg("%s", err.message);
    rule[0] = '!';
    assert_true(checked.nets[0].egress_denied); /* a rule is enough */
    assert_int_equal(checked.nets[0].allow_count, 2);
    assert_string_equal(checked.nets[0].allows[0], "192.0.2.7:443");
    machine_config_free(&checked);
    assert_failure(config_validate(&config, &checked, &err), -EINVAL, &err, "allow \"!92.0.2.7:443\"");
    config.nets = &nets[1];
    assert_failure(config_validate(&config, &checked, &err), -EINVAL, &err, "the rule is missing");
    config.nets = &nets[2];
    assert_failure(config_validate(&config, &checked, &err), -ERANGE, &err, "65 rules are too many");
}

static void copies_what_it_has_checked(void **state)
{
    char rule[] = "tcp:2222:10.0.2.20:22";
    const char *const rules[] = {rule};
    const struct husk_net net = {.kind = HUSK_NET_USER,
                                 .fd = -1,
                                 .forwards = rules,
                                 .forward_count = 1,
                                 .restricted = true};
    struct machine_config checked;
    struct husk_config config;
    struct err err = {0};

    (void)state;
    husk_config_init(&config);
    config.kernel = "k";
    config.nets = &net;
    config.net_count = 1;
    if (config_validate(&config, &checked, &err))
        fail_msg("%s", err.message);
    rule[0] = '!';
    assert_int_equal(checked.nets[0].forward_count, 1);
    assert_int_equal(checked.nets[0].forwards[0].host_port, 2222);
    assert_int_equal(checked.nets[0].forwards[0].guest, 0x0a000214);
    assert_true(checked.nets[0].restricted);
    machine_config_free(&checked);
    assert_failure(config_validate(&config, &checked, &err), -EINVAL, &err,
                   "nets[0]: hostfwd \"!cp:2222:10.0.2.20:22\": is no forward");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_option),
        cmocka_unit_test(says_what_is_wrong_with_it),
        cmocka_unit_test(reads_and_writes_json),
        cmocka_unit_test(says_what_is_wrong_with_json),
        cmocka_unit_test(reads_what_is_allowed),
        cmocka_unit_test(reads_and_writes_what_is_allowed_as_json),
        cmocka_unit_test(bounds_the_number_of_forwards),
        cmocka_unit_test(copies_what_is_allowed),
        cmocka_unit_test(copies_what_it_has_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
