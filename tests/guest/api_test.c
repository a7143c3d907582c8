/* SPDX-License-Identifier: Apache-2.0 */
/* libhusk in one process: many machines after another, two at once, and nothing left of them. */
#include "machines.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MACHINES 100
#define MACHINES_FULL 5000 /* with HUSK_FULL in the environment */
#define MACHINES_A_REPORT 500

static void run_to_power_off(void)
{
    struct husk_vm *vm = start("hello", -1);

    assert_true(ends_in_time(vm));
    assert_int_equal(husk_vm_wait(vm, NULL), HUSK_POWER_OFF);
    husk_vm_destroy(vm);
}

static void nothing_is_left(void **state)
{
    const unsigned machines = getenv("HUSK_FULL") ? MACHINES_FULL : MACHINES;
    struct usage before;

    (void)state;
    run_to_power_off(); /* what libc sets up once is there now */
    before = usage();
    for (unsigned i = 1; i <= machines; i++) {
        run_to_power_off();
        if (i % MACHINES_A_REPORT == 0)
            fprintf(stderr, "%u of %u machines\n", i, machines);
    }
    assert_nothing_left(&before, machines);
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

    husk_vm_stop(first, 0);
    assert_int_equal(husk_vm_wait(first, NULL), HUSK_REQUEST);
    assert_int_equal(poll(&(struct pollfd){.fd = husk_vm_event_fd(second), .events = POLLIN}, 1, 0),
                     0);
    husk_vm_destroy(first);
    husk_vm_stop(second, 0);
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

static void starts_once(void **state)
{
    struct husk_vm *vm = start("halt", -1);
    struct husk_err err = {0};

    (void)state;
    assert_int_equal(husk_vm_start(vm, &err), -EALREADY);
    assert_int_equal(err.code, -EALREADY);
    assert_string_not_equal(err.message, "");
    husk_vm_stop(vm, 0); /* it runs as before, and has not failed */
    assert_int_equal(husk_vm_wait(vm, NULL), HUSK_REQUEST);
    assert_int_equal(husk_vm_start(vm, NULL), -EALREADY);
    husk_vm_destroy(vm);
}

#define MACHINE_THREADS 4

/* Which of the threads to come cannot be made, counted from 1; 0: none. */
static unsigned failing_thread;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*function)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*function)(void *), void *argument);

/* The linker's --wrap brings the library's calls here. */
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*function)(void *), void *argument)
{
    if (failing_thread > 0 && --failing_thread == 0)
        return EAGAIN;
    return __real_pthread_create(thread, attributes, function, argument);
}

/* A machine of three processors, which are a thread each, and the I/O thread. */
static void start_without_thread(unsigned failing)
{
    struct husk_config config;
    struct husk_vm *vm = NULL;
    struct husk_err err = {0}, failure = {0};

    configure(&config, "spin", -1);
    config.cpus = MACHINE_THREADS - 1;
    assert_int_equal(husk_vm_create(&config, NULL, &vm, &err), 0);
    failing_thread = failing;
    assert_int_equal(husk_vm_start(vm, &err), -EAGAIN);
    assert_int_equal(failing_thread, 0);
    assert_true(ends_in_time(vm));
    assert_int_equal(husk_vm_wait(vm, &failure), HUSK_FAILURE);
    assert_string_equal(failure.message, err.message);
    assert_non_null(strstr(err.message, "thread"));
    assert_int_equal(err.kind, HUSK_ERR_HOST);
    husk_vm_destroy(vm);
}

static void threads_that_cannot_be_made(void **state)
{
    struct usage before;

    (void)state;
    start_without_thread(MACHINE_THREADS); /* what libc sets up once is there now */
    before = usage();
    for (unsigned failing = 1; failing <= MACHINE_THREADS; failing++)
        start_without_thread(failing);
    assert_nothing_left(&before, MACHINE_THREADS);
}

/* Programs that were compiled when struct husk_config ended earlier, or later, than it does now. */
static void config_keeps_to_its_size(void **state)
{
    static const size_t sizes[] = {sizeof(uint32_t), offsetof(struct husk_config, memory),
                                   sizeof(struct husk_config), sizeof(struct husk_config) + 64};
    union {
        struct husk_config config;
        unsigned char bytes[sizeof(struct husk_config) + 128];
    } caller;

    (void)state;
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        memset(&caller, 0xa5, sizeof caller);
        husk_config_init_sizes(&caller.config, sizes[i], sizeof(struct husk_disk),
                               sizeof(struct husk_net), sizeof(struct husk_vsock),
                               sizeof(struct husk_share));
        assert_int_equal(caller.config.size, sizes[i]);
        for (size_t at = sizes[i]; at < sizeof caller; at++)
            assert_int_equal(caller.bytes[at], 0xa5);
        for (size_t at = sizeof caller.config; at < sizes[i]; at++)
            assert_int_equal(caller.bytes[at], 0);
        if (sizes[i] < sizeof caller.config)
            continue;
        husk_config_release(&caller.config);
        assert_int_equal(caller.config.size, sizes[i]);
    }
}

/* A program that was compiled with more figures than there are sees none in their place. */
static void what_is_not_known_is_zero(void **state)
{
    struct {
        struct husk_timing timing;
        uint64_t added;
    } newer = {.added = UINT64_MAX};
    struct {
        struct husk_memory memory;
        uint64_t added;
    } memory = {.added = UINT64_MAX};
    struct husk_vm *vm = create("hello", -1);

    (void)state;
    newer.timing.size = sizeof newer;
    memory.memory.size = sizeof memory;
    husk_vm_timing(vm, &newer.timing);
    husk_vm_memory(vm, &memory.memory);
    assert_true(newer.timing.created > 0 && memory.memory.given > 0);
    assert_int_equal(newer.added, 0);
    assert_int_equal(memory.added, 0);
    husk_vm_destroy(vm);
}

static void faults_are_blamed_on_who_made_them(void **state)
{
    struct husk_config config;
    struct husk_vm *vm = NULL;
    struct husk_err err = {0};

    (void)state;
    configure(&config, "hello", -1);
    config.console_out_fd = 9999;
    assert_int_equal(husk_vm_create(&config, NULL, &vm, &err), -EBADF);
    assert_int_equal(err.kind, HUSK_ERR_INPUT);
}

static void timing_is_in_order(void **state)
{
    struct husk_timing timing = {.size = sizeof timing};
    struct husk_vm *vm = start("hello", -1);

    (void)state;
    husk_vm_wait(vm, NULL);
    husk_vm_timing(vm, &timing);
    assert_true(timing.create > 0 && timing.create < timing.created);
    assert_true(timing.created < timing.first_run && timing.first_run < timing.first_access);
    assert_true(timing.first_access < timing.ended);
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
        cmocka_unit_test(starts_once),
        cmocka_unit_test(threads_that_cannot_be_made),
        cmocka_unit_test(config_keeps_to_its_size),
        cmocka_unit_test(what_is_not_known_is_zero),
        cmocka_unit_test(faults_are_blamed_on_who_made_them),
        cmocka_unit_test(timing_is_in_order),
    };

    if (access("/dev/kvm", F_OK) != 0) {
        puts("skipped: there is no /dev/kvm");
        return SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
