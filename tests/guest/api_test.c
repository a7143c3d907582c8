/* SPDX-License-Identifier: Apache-2.0 */
/* libhusk in one process: many machines after another, two at once, and nothing left of them. */
#include "husk.h"

#include <dirent.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SKIPPED 77
#define MACHINES 100

/* A machine's end is waited for this long; it takes some milliseconds. */
#define PATIENCE_MS 30000

static char payload[4096]; /* path */

static void configure(struct husk_config *config, const char *word, int output)
{
    husk_config_init(config);
    config->kernel = payload;
    config->command_line = word;
    config->console_out_fd = output;
}

static struct husk_vm *create(const char *word, int output)
{
    struct husk_config config;
    struct husk_vm *vm = NULL;
    struct husk_err err = {0};

    configure(&config, word, output);
    if (husk_vm_create(&config, NULL, &vm, &err))
        fail_msg("%s", err.message);
    return vm;
}

static struct husk_vm *start(const char *word, int output)
{
    struct husk_vm *vm = create(word, output);
    struct husk_err err = {0};

    if (husk_vm_start(vm, &err))
        fail_msg("%s", err.message);
    return vm;
}

static unsigned count_entries(const char *folder)
{
    DIR *directory = opendir(folder);
    unsigned count = 0;

    assert_non_null(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static bool ends_in_time(const struct husk_vm *vm)
{
    struct pollfd ended = {.fd = husk_vm_event_fd(vm), .events = POLLIN};

    return poll(&ended, 1, PATIENCE_MS) == 1;
}

/* Mappings of guests are 256 MiB each: a hundred that stay would show. */
static unsigned long mapped_pages(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    char line[128] = "";

    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    fclose(file);
    return strtoul(line, NULL, 10); /* the first number: size */
}

static void nothing_is_left(void **state)
{
    unsigned files, threads;
    unsigned long pages;

    (void)state;
    husk_vm_destroy(start("hello", -1)); /* what libc sets up once is there now */
    files = count_entries("/proc/self/fd");
    threads = count_entries("/proc/self/task");
    pages = mapped_pages();
    for (unsigned i = 0; i < MACHINES; i++) {
        struct husk_vm *vm = start("hello", -1);

        assert_true(ends_in_time(vm));
        assert_int_equal(husk_vm_wait(vm, NULL), HUSK_POWER_OFF);
        husk_vm_destroy(vm);
    }
    assert_int_equal(count_entries("/proc/self/fd"), files);
    assert_int_equal(count_entries("/proc/self/task"), threads);
    assert_true(mapped_pages() < pages + (256ul << 20) / 4096);
}

static void machines_need_not_run_or_end(void **state)
{
    unsigned files = count_entries("/proc/self/fd");

    (void)state;
    husk_vm_destroy(create("hello", -1));
    husk_vm_destroy(start("spin", -1));
    husk_vm_destroy(start("halt", -1));
    husk_vm_destroy(NULL);
    assert_int_equal(count_entries("/proc/self/fd"), files);
}

static void read_line(int fd, const char *expected)
{
    char line[32] = "";

    for (size_t used = 0; used < strlen(expected); used++) {
        struct pollfd polled = {.fd = fd, .events = POLLIN};

        assert_int_equal(poll(&polled, 1, PATIENCE_MS), 1);
        assert_int_equal(read(fd, line + used, 1), 1);
    }
    assert_string_equal(line, expected);
}

static void two_at_once(void **state)
{
    int first_pipe[2], second_pipe[2];
    struct husk_vm *first, *second;

    (void)state;
    assert_int_equal(pipe(first_pipe), 0);
    assert_int_equal(pipe(second_pipe), 0);
    first = start("spin", first_pipe[1]);
    second = start("halt", second_pipe[1]);
    read_line(first_pipe[0], "spinning\n");
    read_line(second_pipe[0], "halted\n");

    husk_vm_stop(first);
    assert_int_equal(husk_vm_wait(first, NULL), HUSK_REQUEST);
    assert_int_equal(poll(&(struct pollfd){.fd = husk_vm_event_fd(second), .events = POLLIN}, 1, 0),
                     0);
    husk_vm_destroy(first);
    husk_vm_stop(second);
    assert_int_equal(husk_vm_wait(second, NULL), HUSK_REQUEST);
    husk_vm_destroy(second);
    for (unsigned i = 0; i < 2; i++) {
        close(first_pipe[i]);
        close(second_pipe[i]);
    }
}

static void failed_creation_leaves_nothing(void **state)
{
    unsigned files = count_entries("/proc/self/fd"), threads = count_entries("/proc/self/task");
    const struct husk_disk disk = {.path = "/does/not/exist"};
    struct husk_config config;
    struct husk_vm *vm = NULL;
    struct husk_err err = {0};

    (void)state;
    configure(&config, "hello", -1);
    config.disks = &disk;
    config.disk_count = 1;
    assert_true(husk_vm_create(&config, NULL, &vm, &err) < 0);
    assert_int_equal(err.kind, HUSK_ERR_INPUT);
    assert_null(vm);
    config.disk_count = 0;
    config.kernel = "/dev/null";
    assert_true(husk_vm_create(&config, NULL, &vm, &err) < 0);
    assert_int_equal(count_entries("/proc/self/fd"), files);
    assert_int_equal(count_entries("/proc/self/task"), threads);
}

static void timing_is_in_order(void **state)
{
    struct husk_timing timing = {.size = sizeof timing};
    struct husk_vm *vm = start("hello", -1);

    (void)state;
    husk_vm_wait(vm, NULL);
    husk_vm_timing(vm, &timing);
    assert_true(timing.create > 0 && timing.create < timing.created);
    assert_true(timing.created < timing.first_run && timing.first_run < timing.first_exit);
    assert_true(timing.first_exit < timing.ended);
    assert_int_equal(timing.userspace, 0);
    husk_vm_destroy(vm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_left),
        cmocka_unit_test(machines_need_not_run_or_end),
        cmocka_unit_test(two_at_once),
        cmocka_unit_test(failed_creation_leaves_nothing),
        cmocka_unit_test(timing_is_in_order),
    };

    if (access("/dev/kvm", F_OK) != 0) {
        puts("skipped: there is no /dev/kvm");
        return SKIPPED;
    }
    snprintf(payload, sizeof payload, "%s/ends", getenv("HUSK_PAYLOADS") ?: ".");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
