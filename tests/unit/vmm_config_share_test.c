/* SPDX-License-Identifier: Apache-2.0 */
/* Shares of a configuration: as options, as JSON, by the API, and what is wrong with them. */
#include "vmm/config.h"
#include "support/failure.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void add(struct husk_config *config, const char *option)
{
    struct husk_err err = {0};

    if (husk_config_add_share(config, option, &err))
        fail_msg("%s", err.message);
}

static void reads_the_option(void **state)
{
    struct husk_config config;

    (void)state;
    husk_config_init(&config);
    assert_int_equal(config.share_count, 0);
    add(&config, "a=/x,,y=z");
    add(&config, "b=/,ro,one_file_system,program=/bin/v");
    add(&config, "c=socket,socket");
    assert_int_equal(config.share_count, 3);
    assert_string_equal(config.shares[0].tag, "a");
    assert_string_equal(config.shares[0].path, "/x,y=z");
    assert_false(config.shares[0].read_only || config.shares[0].one_file_system);
    assert_true(config.shares[1].read_only && config.shares[1].one_file_system);
    assert_string_equal(config.shares[1].program, "/bin/v");
    assert_true(config.shares[2].socket);
    husk_config_release(&config);
    assert_int_equal(config.share_count, 0);
    assert_null(config.shares);
}

static void says_what_is_wrong_with_it(void **state)
{
    static const struct {
        const char *option, *message;
        int code;
    } options[] = {
        {"", "share \"\": has no \"=\"; give TAG=PATH", -EINVAL},
        {"/srv", "has no \"=\"", -EINVAL},
        {"=/srv", "tag: is empty; give the name", -EINVAL},
        {"t=", "path: is empty; give a path", -EINVAL},
        {"0123456789012345678901234567890123456=/", "tag: 37 bytes long; give 1 to 36",
         -ENAMETOOLONG},
        {"taken=/", "tag: another share has \"taken\"", -EEXIST},
        {"t=/,rw", "unknown option \"rw\"; did you mean \"ro\"?", -EINVAL},
        {"t=/,cache=none", "unknown option \"cache\"; there are ro,", -EINVAL},
        {"t=/,ro=1", "ro: takes no value", -EINVAL},
        {"t=/,program=", "program: give a value", -EINVAL},
        {"t=/s,socket,ro", "socket: who serves it decides", -EINVAL},
        {"t=/s,socket,one_file_system", "socket: who serves it decides", -EINVAL},
        {"t=/s,program=x,socket", "socket: who serves it decides", -EINVAL},
    };
    struct husk_config config;

    (void)state;
    husk_config_init(&config);
    add(&config, "taken=/");
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        struct husk_err err = {0};

        assert_failure(husk_config_add_share(&config, options[i].option, &err), options[i].code,
                       &err, options[i].message);
        assert_int_equal(config.share_count, 1);
    }
    husk_config_release(&config);
}

static void takes_no_more_than_there_can_be(void **state)
{
    struct husk_config config;
    struct husk_err err = {0};
    char option[16];

    (void)state;
    husk_config_init(&config);
    for (unsigned i = 0; i < HUSK_SHARES_MAX; i++) {
        snprintf(option, sizeof option, "t%u=/", i);
        add(&config, option);
    }
    assert_failure(husk_config_add_share(&config, "t=/", &err), -ENOSPC, &err, "one too many");
    husk_config_release(&config);
}

static void reads_and_writes_json(void **state)
{
    static const char text[] = "{\"shares\": [{\"tag\": \"a\", \"path\": \"/x\", \"read_only\": true},"
                               " {\"tag\": \"b\", \"path\": \"/y\", \"one_file_system\": true, "
                               "\"program\": \"v\"}, {\"tag\": \"c\", \"path\": \"/z\", "
                               "\"socket\": true}]}";
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
    assert_int_equal(again.share_count, 3);
    assert_string_equal(again.shares[0].tag, "a");
    assert_string_equal(again.shares[0].path, "/x");
    assert_true(again.shares[0].read_only && again.shares[1].one_file_system);
    assert_false(again.shares[1].read_only || again.shares[1].socket);
    assert_string_equal(again.shares[1].program, "v");
    assert_true(again.shares[2].socket);
    free(written);
    husk_config_release(&config);
    husk_config_release(&again);
}

static void says_what_is_wrong_with_json(void **state)
{
    static const struct {
        const char *text, *message;
        int code;
    } texts[] = {
        {"{\"shares\": {}}", "shares: is an object; give an array", -EINVAL},
        {"{\"shares\": [\"a\"]}", "shares[0]: is a string; give an object", -EINVAL},
        {"{\"shares\": [{\"path\": \"/\"}]}", "shares[0]: tag: is empty", -EINVAL},
        {"{\"shares\": [{\"tag\": \"a\"}]}", "shares[0]: path: is empty", -EINVAL},
        {"{\"shares\": [{\"tag\": \"a\", \"path\": \"/\"}, {\"tag\": \"a\", \"path\": \"/\"}]}",
         "shares[1]: tag: another share has \"a\"", -EEXIST},
        {"{\"shares\": [{\"tga\": \"a\"}]}", "did you mean \"tag\"?", -EINVAL},
        {"{\"shares\": [{\"tag\": \"a\", \"path\": \"/\", \"read_only\": 1}]}",
         "shares[0].read_only: is an integer; give true or false", -EINVAL},
    };
    struct husk_config config;

    (void)state;
    husk_config_init(&config);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct husk_err err = {0};

        assert_failure(husk_config_parse_json(&config, texts[i].text, strlen(texts[i].text),
                                              "text", &err),
                       texts[i].code, &err, texts[i].message);
    }
    husk_config_release(&config);
}

static void the_api_is_checked_and_copied(void **state)
{
    struct husk_share shares[] = {{.tag = "a", .path = "/x", .read_only = true},
                                  {.tag = "b", .path = "/y", .program = "v"}};
    struct machine_config machine;
    struct husk_config config;
    struct err err = {0};

    (void)state;
    husk_config_init(&config);
    config.kernel = "vmlinuz";
    config.shares = shares;
    config.share_count = 2;
    assert_int_equal(config_validate(&config, &machine, &err), 0);
    assert_int_equal(machine.share_count, 2);
    assert_string_equal(machine.shares[0].tag, "a");
    assert_ptr_not_equal(machine.shares[0].tag, shares[0].tag);
    assert_true(machine.shares[0].read_only);
    assert_string_equal(machine.shares[1].program, "v");
    machine_config_free(&machine);
    shares[1].tag = "a";
    assert_failure(config_validate(&config, &machine, &err), -EEXIST, &err, "shares[1]: tag: another");
    shares[1].tag = "b";
    shares[1].reserved[4] = 1;
    assert_failure(config_validate(&config, &machine, &err), -EINVAL, &err, "reserved: is not 0");
    shares[1] = (struct husk_share){.tag = "b"};
    assert_failure(config_validate(&config, &machine, &err), -EINVAL, &err, "path: is empty");
    config.share_count = HUSK_SHARES_MAX + 1;
    assert_failure(config_validate(&config, &machine, &err), -ERANGE, &err, "shares: 17 are too many");
    husk_config_release(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_option),
        cmocka_unit_test(says_what_is_wrong_with_it),
        cmocka_unit_test(takes_no_more_than_there_can_be),
        cmocka_unit_test(reads_and_writes_json),
        cmocka_unit_test(says_what_is_wrong_with_json),
        cmocka_unit_test(the_api_is_checked_and_copied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
