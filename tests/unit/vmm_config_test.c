/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations: what is accepted, what is refused and how that is said, and what is owned. */
#include "support/failure.h"
#include "vmm/config.h"
#include "vmm/husk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysinfo.h>

static int parse(struct husk_config *config, const char *text, struct husk_err *err)
{
    return husk_config_parse_json(config, text, strlen(text), "vm.json", err);
}

/* A configuration that is refused, and the line that says why. */
struct refusal {
    const char *text;
    int code;
    const char *message;
};

static void assert_refused(const struct refusal *refusal)
{
    struct husk_config config;
    struct husk_err err = {0};

    husk_config_init(&config);
    assert_failure(parse(&config, refusal->text, &err), refusal->code, &err, refusal->message);
    assert_memory_equal(err.message, "vm.json: ", 9);
    assert_int_equal(err.kind, HUSK_ERR_INPUT);
    husk_config_release(&config);
}

static void has_defaults_that_only_lack_a_kernel(void **state)
{
    struct husk_config config;
    struct husk_err err = {0};

    (void)state;
    husk_config_init(&config);
    assert_int_equal(config.size, sizeof config);
    assert_int_equal(config.cpus, 1);
    assert_int_equal(config.memory, 256u << 20);
    assert_int_equal(config.console, HUSK_CONSOLE_SERIAL);
    assert_int_equal(config.console_in_fd, -1);
    assert_int_equal(config.console_out_fd, -1);
    assert_failure(husk_config_check(&config, &err), -EINVAL, &err, "no kernel");
    config.kernel = "vmlinuz";
    assert_int_equal(husk_config_check(&config, NULL), 0);
}

static void reads_every_key(void **state)
{
    static const char text[] =
        "{\"kernel\": \"k\", \"initrd\": \"i\", \"append\": \"a b\", \"command_line\": \"c\","
        " \"cpus\": 2, \"memory\": \"512M\", \"console\": \"virtio\","
        " \"disks\": [{\"path\": \"p\", \"read_only\": true, \"serial\": \"s\"},"
        "             {\"path\": \"q\", \"read_only\": false}]}";
    struct husk_config config;
    struct husk_err err = {0};

    (void)state;
    husk_config_init(&config);
    if (parse(&config, text, &err))
        fail_msg("%s", err.message);
    assert_string_equal(config.kernel, "k");
    assert_string_equal(config.initrd, "i");
    assert_string_equal(config.append, "a b");
    assert_string_equal(config.command_line, "c");
    assert_int_equal(config.cpus, 2);
    assert_int_equal(config.memory, 512u << 20);
    assert_int_equal(config.console, HUSK_CONSOLE_VIRTIO);
    assert_int_equal(config.disk_count, 2);
    assert_string_equal(config.disks[0].path, "p");
    assert_string_equal(config.disks[0].serial, "s");
    assert_true(config.disks[0].read_only);
    assert_string_equal(config.disks[1].path, "q");
    assert_null(config.disks[1].serial);
    assert_false(config.disks[1].read_only);
    husk_config_release(&config);
}

static void leaves_alone_what_is_not_mentioned(void **state)
{
    const struct husk_disk disk = {.path = "first"};
    struct husk_config config;

    (void)state;
    husk_config_init(&config);
    config.kernel = "mine";
    config.disks = &disk;
    config.disk_count = 1;
    assert_int_equal(parse(&config, "{\"memory\": 67108864}", NULL), 0);
    assert_int_equal(config.memory, 64u << 20);
    assert_string_equal(config.kernel, "mine");
    assert_int_equal(config.cpus, 1);
    assert_ptr_equal(config.disks, &disk);
    assert_int_equal(parse(&config, "{\"disks\": [{\"path\": \"second\"}]}", NULL), 0);
    assert_int_equal(config.disk_count, 1);
    assert_string_equal(config.disks[0].path, "second");
    assert_string_equal(disk.path, "first");
    husk_config_release(&config);
}

static void refuses_what_is_no_json_object(void **state)
{
    static const struct refusal refusals[] = {
        {"", -EINVAL, "line 1, column 0"},
        {"{\n  \"cpus\": }", -EINVAL, "line 2, column 11"},
        {"{\"kernel\": \"k\"} x", -EINVAL, "line 1"},
        {"{\"cpus\": 1, \"cpus\": 2}", -EINVAL, "duplicate object key"},
        {"{\"kernel\": \"a\\u0000b\"}", -EINVAL, "line 1"},
        {"[1]", -EINVAL, "is an array; give an object such as {\"kernel\""},
        {"null", -EINVAL, "is null; give an object"},
        {"{\"kernel\": \"a\nb\"}", -EINVAL, "line 1"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        assert_refused(&refusals[i]);
}

static void names_the_key_that_is_wrong_and_what_would_be_right(void **state)
{
    static const struct refusal refusals[] = {
        {"{\"memroy\": 1}", -EINVAL, "unknown key \"memroy\"; did you mean \"memory\"?"},
        {"{\"frobnicate\": 1}", -EINVAL, "unknown key \"frobnicate\"; there are kernel, initrd"},
        {"{\"cpus\": \"2\"}", -EINVAL, "cpus: is a string; give an integer"},
        {"{\"cpus\": 1.5}", -EINVAL, "cpus: is a number with a fraction; give an integer"},
        {"{\"cpus\": 0}", -ERANGE, "cpus: 0 is not possible; give 1 to 64"},
        {"{\"cpus\": 65}", -ERANGE, "cpus: 65 is not possible"},
        {"{\"cpus\": -1}", -ERANGE, "cpus: -1 is not possible; give 1 to 64"},
        {"{\"iothreads\": 17}", -ERANGE, "iothreads: 17 is not possible; give 0 to 16"},
        {"{\"iothreads\": true}", -EINVAL, "iothreads: is a boolean; give an integer"},
        {"{\"cpus\": 4294967297}", -ERANGE, "cpus: 4294967297 is not possible"},
        {"{\"cpus\": 99999999999999999999}", -EINVAL, "line 1"},
        {"{\"memory\": true}", -EINVAL, "memory: is a boolean; give a size such as \"512M\""},
        {"{\"memory\": 0}", -ERANGE, "memory: 0 bytes are too little; give 32M or more"},
        {"{\"memory\": -1}", -ERANGE, "memory: is negative"},
        {"{\"memory\": \"2T\"}", -ERANGE, "too much; give 1024G or less"},
        {"{\"memory\": \"lots\"}", -EINVAL, "memory: \"lots\" is no size"},
        {"{\"memory\": 67108865}", -EINVAL, "no whole number of 4 KiB pages; give 65536K"},
        {"{\"kernel\": null}", -EINVAL, "kernel: is null; give a string"},
        {"{\"kernel\": {}}", -EINVAL, "kernel: is an object; give a string"},
        {"{\"kernel\": \"\"}", -EINVAL, "kernel: is empty; give a path"},
        {"{\"console\": \"tty\"}", -EINVAL, "console: there is no \"tty\"; give \"serial\""},
        {"{\"rings\": \"square\"}", -EINVAL,
         "rings: there is no \"square\"; give \"split\" or \"packed\""},
        {"{\"rings\": false}", -EINVAL, "rings: is a boolean; give \"split\" or \"packed\""},
        {"{\"console\": 1}", -EINVAL, "console: is an integer; give \"serial\""},
        {"{\"bus\": \"isa\"}", -EINVAL, "bus: there is no \"isa\"; give \"mmio\" or \"pci\""},
        {"{\"bus\": true}", -EINVAL, "bus: is a boolean; give \"mmio\" or \"pci\""},
        {"{\"disks\": {}}", -EINVAL, "disks: is an object; give an array"},
        {"{\"disks\": [1]}", -EINVAL, "disks[0]: is an integer; give an object"},
        {"{\"disks\": [{}]}", -EINVAL, "disks[0]: has no \"path\"; give one"},
        {"{\"disks\": [{\"path\": \"p\"}, {\"pth\": \"p\"}]}", -EINVAL,
         "disks[1]: unknown key \"pth\"; did you mean \"path\"?"},
        {"{\"disks\": [{\"path\": \"p\", \"read_only\": 1}]}", -EINVAL,
         "disks[0].read_only: is an integer; give true or false"},
        {"{\"disks\": [{\"path\": \"p\", \"serial\": \"123456789012345678901\"}]}", -EINVAL,
         "disks[0].serial: 21 bytes long; give 1 to 20"},
        {"{\"disks\": [{\"path\": \"p\", \"serial\": \"a\\tb\"}]}", -EINVAL,
         "disks[0].serial: contains a control character"},
        {"{\"disks\": [{\"path\": \"p\", \"cache\": \"no\"}]}", -EINVAL,
         "disks[0].cache: there is no \"no\"; give \"writeback\", \"none\" or \"unsafe\""},
        {"{\"disks\": [{\"path\": \"p\", \"engine\": 1}]}", -EINVAL, "disks[0].engine: is an integer"},
        {"{\"disks\": [{\"path\": \"p\", \"queues\": 0}]}", -ERANGE, "disks[0].queues: 0"},
        {"{\"disks\": [{\"path\": \"p\", \"iops\": 0}]}", -ERANGE, "disks[0].iops: 0 would let"},
        {"{\"disks\": [{\"path\": \"p\"}], \"cpus\": 0}", -ERANGE, "vm.json: cpus: 0"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        assert_refused(&refusals[i]);
}

static void bounds_the_number_of_disks_and_the_size_of_the_text(void **state)
{
    const size_t size = 2u << 20;
    char *text = malloc(size);
    struct husk_config config;
    struct husk_err err = {0};

    (void)state;
    snprintf(text, size, "{\"disks\": [{\"path\": \"0\"}");
    for (int i = 1; i <= HUSK_DISKS_MAX; i++)
        snprintf(text + strlen(text), 32, ", {\"path\": \"p\"}%s", i == HUSK_DISKS_MAX ? "]}" : "");
    assert_refused(&(struct refusal){text, -ENOSPC, "disks[15]: is one too many; give at most 15"});
    husk_config_init(&config);
    memset(text, ' ', size);
    assert_failure(husk_config_parse_json(&config, text, size, "big", &err), -EFBIG, &err,
                   "big: is larger than 1024 KiB");
    free(text);
}

static void writes_what_it_reads(void **state)
{
    static const struct husk_disk disks[] = {
        {.path = "a \"quoted\" disk", .serial = "S1", .read_only = true},
        {.path = "b"},
        {.path = "c", .cache = HUSK_CACHE_UNSAFE, .engine = HUSK_ENGINE_IO_URING, .queues = 3,
         .rate = {100 << 20, 7, 1000, 2000}},
    };
    struct husk_config config, again;
    struct husk_err err = {0};
    char *text, *text_again;

    (void)state;
    husk_config_init(&config);
    config.kernel = "bz\xc3\xa4Image";
    config.append = "quiet";
    config.cpus = 3;
    config.iothreads = 2;
    config.rings = HUSK_RINGS_PACKED;
    config.bus = HUSK_BUS_PCI;
    config.balloon = true;
    config.memory = (6ull << 30) + 4096;
    config.console = HUSK_CONSOLE_OFF;
    config.disks = disks;
    config.disk_count = 3;
    text = husk_config_to_json(&config);
    assert_non_null(text);
    husk_config_init(&again);
    if (parse(&again, text, &err))
        fail_msg("%s", err.message);
    assert_string_equal(again.kernel, config.kernel);
    assert_string_equal(again.append, "quiet");
    assert_null(again.initrd);
    assert_null(again.command_line);
    assert_int_equal(again.cpus, 3);
    assert_int_equal(again.iothreads, 2);
    assert_int_equal(again.rings, HUSK_RINGS_PACKED);
    assert_int_equal(again.bus, HUSK_BUS_PCI);
    assert_true(again.balloon);
    assert_int_equal(again.memory, config.memory);
    assert_int_equal(again.console, HUSK_CONSOLE_OFF);
    assert_int_equal(again.disk_count, 3);
    assert_string_equal(again.disks[0].path, disks[0].path);
    assert_string_equal(again.disks[0].serial, "S1");
    assert_true(again.disks[0].read_only);
    assert_null(again.disks[1].serial);
    assert_int_equal(again.disks[1].cache, HUSK_CACHE_WRITEBACK);
    assert_int_equal(again.disks[2].cache, HUSK_CACHE_UNSAFE);
    assert_int_equal(again.disks[2].engine, HUSK_ENGINE_IO_URING);
    assert_int_equal(again.disks[2].queues, 3);
    assert_memory_equal(&again.disks[2].rate, &disks[2].rate, sizeof disks[2].rate);
    text_again = husk_config_to_json(&again);
    assert_string_equal(text, text_again);
    free(text);
    free(text_again);
    husk_config_release(&again);
}

static void writes_memory_as_people_do(void **state)
{
    struct husk_config config;
    char *text;

    (void)state;
    husk_config_init(&config);
    text = husk_config_to_json(&config);
    assert_non_null(strstr(text, "\"memory\": \"256M\""));
    free(text);
    config.memory = 1ull << 40;
    text = husk_config_to_json(&config);
    assert_non_null(strstr(text, "\"memory\": \"1T\""));
    free(text);
}

static void writes_nothing_when_a_path_is_no_utf8(void **state)
{
    struct husk_config config;

    (void)state;
    husk_config_init(&config);
    config.kernel = "bz\xffImage";
    assert_null(husk_config_to_json(&config));
}

static void reads_sizes(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } sizes[] = {
        {"0", 0},
        {"123", 123},
        {"65536K", 64ull << 20},
        {"512M", 512ull << 20},
        {"6g", 6ull << 30},
        {"1T", 1ull << 40},
        {"18446744073709551615", UINT64_MAX},
        {"16777215T", 16777215ull << 40},
    };

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t bytes = 1;

        assert_int_equal(husk_parse_size(sizes[i].text, &bytes, NULL), 0);
        assert_int_equal(bytes, sizes[i].bytes);
    }
}

static void refuses_what_is_no_size(void **state)
{
    static const struct refusal refusals[] = {
        {"", -EINVAL, "\"\" is no size; give a whole number"},
        {"M", -EINVAL, "such as 512M"},
        {"-1", -EINVAL, "is no size"},
        {"+1", -EINVAL, "is no size"},
        {" 1", -EINVAL, "is no size"},
        {"1 ", -EINVAL, "is no size"},
        {"1 M", -EINVAL, "is no size"},
        {"1.5G", -EINVAL, "is no size"},
        {"12Q", -EINVAL, "is no size"},
        {"12MB", -EINVAL, "is no size"},
        {"0x10", -EINVAL, "is no size"},
        {"1\x10", -EINVAL, "is no size"},
        {"18446744073709551616", -ERANGE, "is too large"},
        {"16777216T", -ERANGE, "is too large"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct husk_err err = {0};
        uint64_t bytes = 7;

        assert_failure(husk_parse_size(refusals[i].text, &bytes, &err), refusals[i].code, &err,
                       refusals[i].message);
        assert_int_equal(bytes, 7);
    }
}

static void adds_disks_from_options(void **state)
{
    static const struct husk_disk mine = {.path = "mine"};
    struct husk_config config;

    (void)state;
    husk_config_init(&config);
    config.disks = &mine;
    config.disk_count = 1;
    assert_int_equal(husk_config_add_disk(&config, "root.img", NULL), 0);
    assert_int_equal(husk_config_add_disk(&config, "a,,b,ro,serial=x,,y", NULL), 0);
    assert_int_equal(husk_config_add_disk(&config, "c,serial=Z", NULL), 0);
    assert_int_equal(config.disk_count, 4);
    assert_string_equal(config.disks[0].path, "mine");
    assert_string_equal(config.disks[1].path, "root.img");
    assert_false(config.disks[1].read_only);
    assert_null(config.disks[1].serial);
    assert_string_equal(config.disks[2].path, "a,b");
    assert_true(config.disks[2].read_only);
    assert_string_equal(config.disks[2].serial, "x,y");
    assert_string_equal(config.disks[3].serial, "Z");
    assert_false(config.disks[3].read_only);
    assert_int_equal(husk_config_add_disk(&config, "d,cache=none,engine=sync,queues=4,bps=10M,"
                                          "bps_burst=1M,iops=500,iops_burst=50", NULL), 0);
    assert_int_equal(config.disks[4].cache, HUSK_CACHE_NONE);
    assert_int_equal(config.disks[4].engine, HUSK_ENGINE_SYNC);
    assert_int_equal(config.disks[4].queues, 4);
    assert_int_equal(config.disks[4].rate.bytes, 10 << 20);
    assert_int_equal(config.disks[4].rate.bytes_burst, 1 << 20);
    assert_int_equal(config.disks[4].rate.operations, 500);
    assert_int_equal(config.disks[4].rate.operations_burst, 50);
    husk_config_release(&config);
    assert_int_equal(config.disk_count, 0);
}

static void refuses_bad_disk_options(void **state)
{
    static const struct refusal refusals[] = {
        {"", -EINVAL, "disk \"\": is empty; give a path"},
        {",ro", -EINVAL, "is empty; give a path"},
        {"p,", -EINVAL, "unknown option \"\"; there are ro, serial, cache"},
        {"p,rw", -EINVAL, "disk \"p,rw\": unknown option \"rw\""},
        {"p,cach=none", -EINVAL, "unknown option \"cach\"; did you mean \"cache\"?"},
        {"p,ro=1", -EINVAL, "ro: takes no value"},
        {"p,cache", -EINVAL, "cache: give a value"},
        {"p,cache=no", -EINVAL, "cache: there is no \"no\"; give writeback, none or unsafe"},
        {"p,engine=uring", -EINVAL, "engine: there is no \"uring\"; give auto, io_uring or sync"},
        {"p,queues=0", -ERANGE, "queues: 0 is not possible"},
        {"p,queues=17", -ERANGE, "queues: 17 is not possible; give 1 to 16"},
        {"p,queues=x", -EINVAL, "queues: \"x\" is no number"},
        {"p,bps=0", -ERANGE, "bps: 0 would let nothing pass"},
        {"p,iops=fast", -EINVAL, "iops: \"fast\" is no size"},
        {"p,iops_burst=5", -EINVAL, "rate: a burst without a rate"},
        {"p,serial=", -EINVAL, "serial: give a value"},
        {"p,serial=123456789012345678901", -EINVAL, "serial: 21 bytes long"},
    };
    struct husk_config config;
    struct husk_err err = {0};

    (void)state;
    husk_config_init(&config);
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        assert_failure(husk_config_add_disk(&config, refusals[i].text, &err), refusals[i].code,
                       &err, refusals[i].message);
        assert_int_equal(config.disk_count, 0);
    }
    for (unsigned i = 0; i < HUSK_DISKS_MAX; i++)
        assert_int_equal(husk_config_add_disk(&config, "p", NULL), 0);
    assert_failure(husk_config_add_disk(&config, "p", &err), -ENOSPC, &err, "one too many");
    husk_config_release(&config);
}

/* One change to a good configuration, and what is said about it. */
static void assert_check_fails(const struct husk_config *config, int code, const char *message)
{
    struct machine_config checked = {.cpus = 9};
    struct husk_err public_err = {0};
    struct err err = {0};

    assert_failure(husk_config_check(config, &public_err), code, &public_err, message);
    assert_failure(config_validate(config, &checked, &err), code, &err, message);
    assert_int_equal(checked.cpus, 0);
}

static void checks_what_the_caller_has_set(void **state)
{
    struct husk_disk disk = {.path = "p"};
    struct husk_config good, bad;

    (void)state;
    husk_config_init(&good);
    good.kernel = "k";
    good.disks = &disk;
    good.disk_count = 1;
    assert_int_equal(husk_config_check(&good, NULL), 0);

    bad = good;
    bad.size = 0;
    assert_check_fails(&bad, -EINVAL, "call husk_config_init() first");
    bad = good;
    bad.kernel = "";
    assert_check_fails(&bad, -EINVAL, "kernel: is empty");
    bad = good;
    bad.initrd = "";
    assert_check_fails(&bad, -EINVAL, "initrd: is empty");
    bad = good;
    bad.append = bad.command_line = "x";
    assert_check_fails(&bad, -EINVAL, "leave one out");
    bad = good;
    bad.iothreads = 17;
    assert_check_fails(&bad, -ERANGE, "iothreads: 17 is not possible; give 0 to 16");
    bad = good;
    bad.cpus = 10000;
    assert_check_fails(&bad, -ERANGE, "cpus: 10000 is not possible; give 1 to 64");
    bad = good;
    bad.memory = 31u << 20;
    assert_check_fails(&bad, -ERANGE, "memory: 32505856 bytes are too little");
    bad = good;
    bad.bus = (enum husk_bus)2;
    assert_check_fails(&bad, -EINVAL, "bus: 2 is neither mmio nor pci");
    bad.bus = HUSK_BUS_MMIO;
    bad.console = (enum husk_console)3;
    assert_check_fails(&bad, -EINVAL, "console: 3 is none of");
    bad = good;
    bad.rings = (enum husk_rings)2;
    assert_check_fails(&bad, -EINVAL, "rings: 2 is none of split and packed");
    bad = good;
    bad.disk_count = HUSK_DISKS_MAX + 1;
    assert_check_fails(&bad, -ERANGE, "disks: 16 are too many; give 15 at most");
    bad = good;
    bad.disks = NULL;
    assert_check_fails(&bad, -EINVAL, "disks: the array is missing");
    disk.serial = "";
    assert_check_fails(&good, -EINVAL, "disks[0]: serial: 0 bytes long");
    disk.path = NULL;
    assert_check_fails(&good, -EINVAL, "disks[0]: path: is missing");
}

static void refuses_more_memory_than_the_host_has(void **state)
{
    struct machine_config checked;
    struct husk_config config;
    struct sysinfo host;
    struct err err = {0};

    (void)state;
    sysinfo(&host);
    if ((uint64_t)host.totalram * host.mem_unit >= 1ull << 40) {
        print_message("this host has as much memory as a machine can be given\n");
        skip();
    }
    husk_config_init(&config);
    config.kernel = "k";
    config.memory = 1ull << 40;
    assert_int_equal(husk_config_check(&config, NULL), 0);
    assert_failure(config_validate(&config, &checked, &err), -ERANGE, &err,
                   "memory: 1048576M is more than the host's");
}

static void takes_the_configuration_of_a_newer_caller(void **state)
{
    struct {
        struct husk_config config;
        uint64_t future_field;
    } newer = {0};

    (void)state;
    husk_config_init(&newer.config);
    newer.config.size = sizeof newer;
    newer.config.kernel = "k";
    assert_int_equal(husk_config_check(&newer.config, NULL), 0);
}

static void copies_all_of_it(void **state)
{
    char kernel[] = "kernel", path[] = "path", serial[] = "serial";
    struct husk_disk disk = {.path = path, .serial = serial, .read_only = true};
    struct machine_config checked;
    struct husk_config config;
    struct err err = {0};

    (void)state;
    husk_config_init(&config);
    config.kernel = kernel;
    config.append = "append";
    config.initrd = "initrd";
    config.cpus = 4;
    config.disks = &disk;
    config.disk_count = 1;
    config.console_in_fd = 5;
    config.console_out_fd = 6;
    if (config_validate(&config, &checked, &err))
        fail_msg("%s", err.message);
    kernel[0] = path[0] = serial[0] = '!';
    assert_string_equal(checked.kernel, "kernel");
    assert_string_equal(checked.append, "append");
    assert_string_equal(checked.initrd, "initrd");
    assert_null(checked.command_line);
    assert_int_equal(checked.cpus, 4);
    assert_int_equal(checked.memory, 256u << 20);
    assert_int_equal(checked.disk_count, 1);
    assert_string_equal(checked.disks[0].path, "path");
    assert_string_equal(checked.disks[0].serial, "serial");
    assert_true(checked.disks[0].read_only);
    assert_int_equal(checked.console_in_fd, 5);
    assert_int_equal(checked.console_out_fd, 6);
    machine_config_free(&checked);
    machine_config_free(&checked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_defaults_that_only_lack_a_kernel),
        cmocka_unit_test(reads_every_key),
        cmocka_unit_test(leaves_alone_what_is_not_mentioned),
        cmocka_unit_test(refuses_what_is_no_json_object),
        cmocka_unit_test(names_the_key_that_is_wrong_and_what_would_be_right),
        cmocka_unit_test(bounds_the_number_of_disks_and_the_size_of_the_text),
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(writes_memory_as_people_do),
        cmocka_unit_test(writes_nothing_when_a_path_is_no_utf8),
        cmocka_unit_test(reads_sizes),
        cmocka_unit_test(refuses_what_is_no_size),
        cmocka_unit_test(adds_disks_from_options),
        cmocka_unit_test(refuses_bad_disk_options),
        cmocka_unit_test(checks_what_the_caller_has_set),
        cmocka_unit_test(refuses_more_memory_than_the_host_has),
        cmocka_unit_test(takes_the_configuration_of_a_newer_caller),
        cmocka_unit_test(copies_all_of_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
