/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that were compiled with another husk.h than the library: older ones, whose structs end
 * earlier, and newer ones, whose structs go on.
 */
#include "vmm/config.h"
#include "vmm/husk.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What such programs know: less than all fields, or one more. */
#define OLDER_SIZE offsetof(struct husk_config, rings)

struct newer_config {
    struct husk_config config;
    uint64_t added;
};

struct newer_disk {
    struct husk_disk disk;
    uint64_t added;
};

struct newer_net {
    struct husk_net net;
    uint64_t added;
};

struct newer_vsock {
    struct husk_vsock vsock;
    uint64_t added;
};

struct newer_share {
    struct husk_share share;
    uint64_t added;
};

static void init_newer(struct newer_config *newer)
{
    husk_config_init_sizes(&newer->config, sizeof *newer, sizeof(struct newer_disk),
                           sizeof(struct newer_net), sizeof(struct newer_vsock),
                           sizeof(struct newer_share));
    newer->config.kernel = "vmlinuz";
}

static void assert_unknown(const struct husk_config *config, const char *what)
{
    struct husk_err err = {0};

    assert_int_equal(husk_config_check(config, &err), -E2BIG);
    assert_int_equal(err.kind, HUSK_ERR_INPUT);
    assert_non_null(strstr(err.message, what));
    assert_non_null(strstr(err.message, husk_version()));
    assert_null(husk_config_to_json(config));
}

static void what_is_added_and_not_set_is_accepted(void **state)
{
    const struct newer_disk disks[] = {{.disk.path = "a"}, {.disk.path = "b"}};
    const struct newer_net nets[] = {{.net.kind = HUSK_NET_USER}, {.net = {.kind = HUSK_NET_TAP,
                                                                           .name = "tap0"}}};
    struct machine_config checked;
    struct newer_config newer;
    struct err err = {0};

    (void)state;
    init_newer(&newer);
    newer.config.disks = &disks[0].disk;
    newer.config.nets = &nets[0].net;
    newer.config.disk_count = newer.config.net_count = 2;
    assert_int_equal(config_validate(&newer.config, &checked, &err), 0);
    assert_string_equal(checked.disks[0].path, "a");
    assert_string_equal(checked.disks[1].path, "b");
    assert_string_equal(checked.nets[1].name, "tap0");
    machine_config_free(&checked);
}

static void what_is_added_and_set_is_refused(void **state)
{
    struct newer_disk disks[] = {{.disk.path = "a"}, {.disk.path = "b"}};
    struct newer_net net = {.net.kind = HUSK_NET_USER};
    struct newer_vsock vsock = {.vsock.path = "socket"};
    struct newer_share share = {.share = {.tag = "a", .path = "/"}};
    struct newer_config newer;

    (void)state;
    init_newer(&newer);
    newer.added = UINT64_C(1) << 63;
    assert_unknown(&newer.config, "husk_config");
    init_newer(&newer);
    newer.config.disks = &disks[0].disk;
    newer.config.disk_count = 2;
    disks[1].added = 1;
    assert_unknown(&newer.config, "husk_disk");
    init_newer(&newer);
    newer.config.nets = &net.net;
    newer.config.net_count = 1;
    net.added = 1;
    assert_unknown(&newer.config, "husk_net");
    init_newer(&newer);
    newer.config.vsock = &vsock.vsock;
    assert_int_equal(husk_config_check(&newer.config, NULL), 0);
    vsock.added = 1;
    assert_unknown(&newer.config, "husk_vsock");
    init_newer(&newer);
    newer.config.shares = &share.share;
    newer.config.share_count = 1;
    assert_int_equal(husk_config_check(&newer.config, NULL), 0);
    share.added = 1;
    assert_unknown(&newer.config, "husk_share");
}

/* An array of the caller's elements becomes one of the library's when something is appended. */
static void arrays_of_others_grow(void **state)
{
    const struct newer_disk disk = {.disk = {.path = "a", .read_only = true}};
    const struct newer_share share = {.share = {.tag = "t", .path = "/"}};
    struct newer_config newer;
    struct husk_err err = {0};
    char *json;

    (void)state;
    init_newer(&newer);
    newer.config.disks = &disk.disk;
    newer.config.disk_count = 1;
    assert_int_equal(husk_config_add_net(&newer.config, "tap=tap0", &err), 0);
    assert_ptr_equal(newer.config.disks, &disk); /* what nobody touches stays the caller's */
    assert_int_equal(newer.config.disk_size, sizeof disk);
    assert_int_equal(newer.config.net_size, sizeof(struct husk_net));
    assert_int_equal(husk_config_add_disk(&newer.config, "b", &err), 0);
    assert_int_equal(newer.config.disk_size, sizeof(struct husk_disk));
    assert_string_equal(newer.config.disks[0].path, "a");
    assert_true(newer.config.disks[0].read_only);
    assert_string_equal(newer.config.disks[1].path, "b");
    newer.config.shares = &share.share;
    newer.config.share_count = 1;
    assert_int_equal(husk_config_add_share(&newer.config, "u=/srv", &err), 0);
    assert_int_equal(newer.config.share_size, sizeof(struct husk_share));
    assert_string_equal(newer.config.shares[0].tag, "t");
    json = husk_config_to_json(&newer.config);
    assert_non_null(strstr(json, "tap0"));
    free(json);

    husk_config_release(&newer.config);
    assert_int_equal(newer.config.size, sizeof newer);
    assert_int_equal(newer.config.disk_size, sizeof(struct newer_disk));
    assert_int_equal(newer.config.net_size, sizeof(struct newer_net));
    assert_int_equal(newer.config.share_size, sizeof(struct newer_share));
    assert_null(newer.config.disks);
}

/* An older caller's struct, with what lies behind it. */
union older {
    struct husk_config config;
    unsigned char bytes[sizeof(struct husk_config)];
};

static void init_older(union older *older)
{
    memset(older, 0xa5, sizeof *older);
    husk_config_init_sizes(&older->config, OLDER_SIZE, sizeof(struct husk_disk),
                           sizeof(struct husk_net), sizeof(struct husk_vsock),
                           sizeof(struct husk_share));
    older->config.kernel = "vmlinuz";
}

static void assert_nothing_behind(const union older *older)
{
    for (size_t at = OLDER_SIZE; at < sizeof *older; at++)
        assert_int_equal(older->bytes[at], 0xa5);
}

static void what_the_caller_lacks_has_its_default(void **state)
{
    struct machine_config checked;
    union older older;
    struct err err = {0};

    (void)state;
    init_older(&older);
    assert_int_equal(config_validate(&older.config, &checked, &err), 0);
    assert_int_equal(checked.rings, HUSK_RINGS_SPLIT);
    machine_config_free(&checked);
    assert_nothing_behind(&older);
}

static void loaders_write_no_more_than_the_caller_has(void **state)
{
    static const char known[] = "{\"cpus\": 2, \"disks\": [{\"path\": \"a\"}]}";
    static const char unknown[] = "{\"cpus\": 3, \"rings\": \"packed\"}";
    static const char shares[] = "{\"shares\": [{\"tag\": \"t\", \"path\": \"/\"}]}";
    union older older;
    struct husk_err err = {0};

    (void)state;
    init_older(&older);
    assert_int_equal(
        husk_config_parse_json(&older.config, known, sizeof known - 1, "a.json", &err), 0);
    assert_int_equal(older.config.cpus, 2);
    assert_string_equal(older.config.disks[0].path, "a");
    assert_int_equal(
        husk_config_parse_json(&older.config, unknown, sizeof unknown - 1, "b.json", &err), -E2BIG);
    assert_non_null(strstr(err.message, "b.json: "));
    assert_int_equal(
        husk_config_parse_json(&older.config, shares, sizeof shares - 1, "c.json", &err), -E2BIG);
    assert_nothing_behind(&older);
    husk_config_release(&older.config);
    assert_nothing_behind(&older);
}

static void nonsense_is_refused(void **state)
{
    const struct husk_disk disk = {.path = "a"};
    struct husk_config config;
    struct husk_err err = {0};

    (void)state;
    husk_config_init(&config);
    config.kernel = "vmlinuz";
    config.disks = &disk;
    config.disk_count = 1;
    config.disk_size = 0;
    assert_int_equal(husk_config_check(&config, &err), -EINVAL);
    assert_non_null(strstr(err.message, "husk_config_init()"));
    config.disk_size = 1u << 20;
    assert_int_equal(husk_config_check(&config, &err), -EINVAL);
    config.size = 1u << 20;
    assert_int_equal(husk_config_check(&config, &err), -EINVAL);
    config.size = 8;
    assert_int_equal(husk_config_check(&config, &err), -EINVAL);
    assert_int_equal(husk_config_add_disk(&config, "b", &err), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_added_and_not_set_is_accepted),
        cmocka_unit_test(what_is_added_and_set_is_refused),
        cmocka_unit_test(arrays_of_others_grow),
        cmocka_unit_test(what_the_caller_lacks_has_its_default),
        cmocka_unit_test(loaders_write_no_more_than_the_caller_has),
        cmocka_unit_test(nonsense_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
