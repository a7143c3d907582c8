/* SPDX-License-Identifier: Apache-2.0 */
/* The vsock of a configuration: as an option, as JSON, by the API, and what is wrong with it. */
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
    assert_null(config.vsock);
    if (husk_config_set_vsock(&config, "a,,b", &err))
        fail_msg("%s", err.message);
    assert_string_equal(config.vsock->path, "a,b");
    assert_int_equal(config.vsock->cid, 0);
    if (husk_config_set_vsock(&config, "c,cid=4294967294", &err))
        fail_msg("%s", err.message);
    assert_string_equal(config.vsock->path, "c");
    assert_int_equal(config.vsock->cid, UINT32_C(4294967294));
    husk_config_release(&config);
}

static void says_what_is_wrong_with_it(void **state)
{
    static const struct {
        const char *option, *message;
        int code;
    } options[] = {
        {"", "vsock \"\": path: is empty; give one", -EINVAL},
        {",cid=3", "path: is empty", -EINVAL},
        {"v,cid", "cid: give a value", -EINVAL},
        {"v,cid=", "cid: give a value", -EINVAL},
        {"v,cid=2", "cid: 2 is not possible; give 3 to 4294967294", -ERANGE},
        {"v,cid=0", "cid: 0 is not possible; give 3 to", -ERANGE},
        {"v,cid=4294967295", "cid: 4294967295 is not possible", -ERANGE},
        {"v,cid=99999999999999999999", "is no number", -EINVAL},
        {"v,cid=-3", "cid: \"-3\" is no number", -EINVAL},
        {"v,cid=3x", "is no number", -EINVAL},
        {"v,sid=3", "unknown option \"sid\"; did you mean \"cid\"?", -EINVAL},
        {"v,port=3", "unknown option \"port\"; there are cid", -EINVAL},
    };
    struct husk_config config;

    (void)state;
    husk_config_init(&config);
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        struct husk_err err = {0};

        assert_failure(husk_config_set_vsock(&config, options[i].option, &err), options[i].code,
                       &err, options[i].message);
        assert_null(config.vsock);
    }
    husk_config_release(&config);
}

static void reads_and_writes_json(void **state)
{
    static const char text[] = "{\"vsock\": {\"path\": \"v\", \"cid\": 5}}";
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
    assert_string_equal(again.vsock->path, "v");
    assert_int_equal(again.vsock->cid, 5);
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
        {"{\"vsock\": \"v\"}", "vsock: is a string; give an object", -EINVAL},
        {"{\"vsock\": {}}", "vsock: path: is empty", -EINVAL},
        {"{\"vsock\": {\"path\": \"v\", \"cid\": 1}}", "vsock.cid: 1 is not possible", -ERANGE},
        {"{\"vsock\": {\"path\": \"v\", \"cid\": \"3\"}}", "vsock.cid: is a string", -EINVAL},
        {"{\"vsock\": {\"pahth\": \"v\"}}", "did you mean \"path\"?", -EINVAL},
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
    struct husk_vsock vsock = {.path = "v"};
    struct machine_config machine;
    struct husk_config config;
    struct err err = {0};
    char path[98];

    (void)state;
    husk_config_init(&config);
    config.kernel = "vmlinuz";
    config.vsock = &vsock;
    assert_int_equal(config_validate(&config, &machine, &err), 0);
    assert_string_equal(machine.vsock.path, "v");
    assert_ptr_not_equal(machine.vsock.path, vsock.path);
    assert_int_equal(machine.vsock.cid, 3);
    machine_config_free(&machine);
    vsock.cid = 2;
    assert_failure(config_validate(&config, &machine, &err), -ERANGE, &err, "vsock: cid: 2");
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    vsock = (struct husk_vsock){.path = path};
    assert_failure(config_validate(&config, &machine, &err), -ENAMETOOLONG, &err,
                   "vsock: path: 97 bytes are too many");
    vsock.path = NULL;
    assert_failure(config_validate(&config, &machine, &err), -EINVAL, &err, "vsock: path");
    husk_config_release(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_option),
        cmocka_unit_test(says_what_is_wrong_with_it),
        cmocka_unit_test(reads_and_writes_json),
        cmocka_unit_test(says_what_is_wrong_with_json),
        cmocka_unit_test(the_api_is_checked_and_copied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
