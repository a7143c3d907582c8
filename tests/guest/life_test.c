/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be asked of a running machine from any thread: to pause, to go on, to power off, to say
 * what it does and to whom it logs. Run it under ThreadSanitizer as well.
 */
#include "machines.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PIPE_SIZE 4096
#define SECTORS 64u /* that the payload "durable" writes */
#define DISK_SIZE 65536u
#define PARALLEL 8
#define CYCLES 4
#define CYCLES_FULL 500 /* with HUSK_FULL in the environment */

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Some milliseconds in which the host has really worked: another machine's whole life. */
static void let_time_pass(void)
{
    struct husk_vm *vm = start("hello", -1);

    assert_true(ends_in_time(vm));
    husk_vm_destroy(vm);
}

static void pause_vm(struct husk_vm *vm)
{
    struct husk_err err = {0};

    if (husk_vm_pause(vm, &err))
        fail_msg("%s", err.message);
    assert_int_equal(husk_vm_state(vm), HUSK_STATE_PAUSED);
}

static void resume_vm(struct husk_vm *vm)
{
    struct husk_err err = {0};

    if (husk_vm_resume(vm, &err))
        fail_msg("%s", err.message);
    assert_int_equal(husk_vm_state(vm), HUSK_STATE_RUNNING);
}

static bool readable(int fd, int timeout_ms)
{
    return poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, timeout_ms) == 1;
}

static size_t drain(int fd)
{
    char bytes[PIPE_SIZE];
    size_t drained = 0;

    while (readable(fd, 0))
        drained += (size_t)read(fd, bytes, sizeof bytes);
    return drained;
}

/* --- pauses --- */

static void a_paused_guest_is_silent(void **state)
{
    struct husk_config config;
    struct husk_vm *vm;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    configure(&config, "flood", ends[1]);
    config.cpus = 3;
    vm = start_config(&config);
    for (unsigned i = 0; i < 20; i++) {
        assert_true(readable(ends[0], PATIENCE_MS));
        pause_vm(vm);
        drain(ends[0]);
        let_time_pass();
        assert_false(readable(ends[0], 0));
        resume_vm(vm);
    }
    assert_true(readable(ends[0], PATIENCE_MS));
    husk_vm_destroy(vm);
    close(ends[0]);
    close(ends[1]);
}

/* Its vCPU waits outside the guest, for a reader who may be the one who wants the pause. */
static void a_guest_that_nobody_reads_can_be_paused(void **state)
{
    const uint64_t deadline = now_ms() + PATIENCE_MS;
    struct husk_vm *vm;
    int ends[2], waiting = 0;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fcntl(ends[1], F_SETPIPE_SZ, PIPE_SIZE), PIPE_SIZE);
    vm = start("flood", ends[1]);
    while (waiting < PIPE_SIZE && now_ms() < deadline) {
        sched_yield();
        assert_int_equal(ioctl(ends[0], FIONREAD, &waiting), 0);
    }
    pause_vm(vm);
    assert_int_equal(drain(ends[0]), PIPE_SIZE);
    let_time_pass();
    assert_false(readable(ends[0], 0));
    resume_vm(vm);
    assert_true(readable(ends[0], PATIENCE_MS));
    husk_vm_destroy(vm);
    close(ends[0]);
    close(ends[1]);
}

static void assert_disk_stays(int fd)
{
    static char before[DISK_SIZE], after[DISK_SIZE];

    assert_int_equal(pread(fd, before, sizeof before, 0), sizeof before);
    let_time_pass();
    assert_int_equal(pread(fd, after, sizeof after, 0), sizeof after);
    assert_memory_equal(before, after, sizeof before);
}

static void pause_under_load(enum husk_bus bus, uint32_t iothreads, const struct husk_disk *like)
{
    char path[] = "/tmp/husk-life-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC), ends[2];
    struct husk_disk disk = *like;
    struct husk_config config;
    struct husk_vm *vm;

    disk.path = path;
    assert_int_equal(ftruncate(fd, DISK_SIZE), 0);
    assert_int_equal(pipe(ends), 0);
    configure(&config, bus == HUSK_BUS_PCI ? "pci" : "mmio", ends[1]);
    config.kernel = payload("durable");
    config.disks = &disk;
    config.disk_count = 1;
    config.bus = bus;
    config.iothreads = iothreads;
    vm = start_config(&config);
    read_line(ends[0], "ok find\nok start\n");
    for (unsigned i = 0; i < 20; i++) {
        assert_true(readable(ends[0], PATIENCE_MS)); /* it goes on */
        pause_vm(vm);
        drain(ends[0]);
        assert_disk_stays(fd);
        assert_false(readable(ends[0], 0));
        assert_int_equal(husk_vm_refresh_disk(vm, 0, NULL), 0); /* devices still answer */
        resume_vm(vm);
    }
    assert_true(readable(ends[0], PATIENCE_MS));
    pause_vm(vm);
    husk_vm_destroy(vm);
    close(ends[0]);
    close(ends[1]);
    close(fd);
    unlink(path);
}

static void pauses_under_disk_load(void **state)
{
    const struct husk_disk quick = {.engine = HUSK_ENGINE_AUTO};
    const struct husk_disk sync = {.engine = HUSK_ENGINE_SYNC};
    const struct husk_disk slow = {.rate.operations = 500, .rate.operations_burst = 1};

    (void)state;
    pause_under_load(HUSK_BUS_MMIO, 0, &quick);
    pause_under_load(HUSK_BUS_MMIO, 2, &sync);
    pause_under_load(HUSK_BUS_PCI, 1, &quick);
    pause_under_load(HUSK_BUS_MMIO, 0, &slow); /* its next request waits for its time */
}

static void what_does_not_run_is_not_paused(void **state)
{
    struct husk_vm *vm = create("spin", -1);
    struct husk_err err = {0};

    (void)state;
    assert_int_equal(husk_vm_state(vm), HUSK_STATE_CREATED);
    assert_int_equal(husk_vm_pause(vm, &err), -EINVAL);
    assert_non_null(strstr(err.message, "not been started"));
    assert_int_equal(husk_vm_resume(vm, &err), -EINVAL);

    assert_int_equal(husk_vm_start(vm, NULL), 0);
    resume_vm(vm);
    pause_vm(vm);
    pause_vm(vm);
    husk_vm_stop(vm, PATIENCE_MS); /* a paused guest hears of nothing */
    assert_true(ends_in_time(vm));
    assert_int_equal(husk_vm_wait(vm, NULL), HUSK_REQUEST);
    assert_int_equal(husk_vm_state(vm), HUSK_STATE_ENDED);
    assert_int_equal(husk_vm_pause(vm, &err), -ESHUTDOWN);
    assert_int_equal(husk_vm_resume(vm, &err), -ESHUTDOWN);
    assert_non_null(strstr(err.message, "ended"));
    husk_vm_destroy(vm);
}

/* --- stopping --- */

static void who_is_stopped_before_the_start_has_ended(void **state)
{
    struct husk_vm *vm = create("spin", -1);
    struct husk_err err = {0};

    (void)state;
    husk_vm_stop(vm, PATIENCE_MS);
    assert_int_equal(husk_vm_state(vm), HUSK_STATE_ENDED);
    assert_true(ends_in_time(vm));
    assert_int_equal(husk_vm_wait(vm, NULL), HUSK_REQUEST);
    assert_int_equal(husk_vm_start(vm, &err), -ESHUTDOWN);
    assert_non_null(strstr(err.message, "stopped before"));
    assert_int_equal(husk_vm_wait(vm, NULL), HUSK_REQUEST);
    husk_vm_destroy(vm);
}

static struct husk_vm *start_said(const char *word, const char *said)
{
    struct husk_vm *vm;
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    vm = start(word, ends[1]);
    read_line(ends[0], said);
    close(ends[0]);
    close(ends[1]);
    return vm;
}

static void the_power_button_is_heard(void **state)
{
    struct husk_vm *vm = start_said("button", "listening\n");

    (void)state;
    husk_vm_stop(vm, PATIENCE_MS);
    assert_true(ends_in_time(vm));
    assert_int_equal(husk_vm_wait(vm, NULL), HUSK_POWER_OFF);
    husk_vm_destroy(vm);
}

static void who_does_not_hear_is_cut_off(void **state)
{
    struct husk_vm *vm = start_said("spin", "spinning\n");
    const uint64_t begun = now_ms();

    (void)state;
    husk_vm_stop(vm, 100);
    assert_int_equal(husk_vm_pause(vm, NULL), -ESHUTDOWN);
    assert_true(ends_in_time(vm));
    assert_true(now_ms() - begun >= 100);
    assert_int_equal(husk_vm_wait(vm, NULL), HUSK_REQUEST);
    husk_vm_destroy(vm);
}

static void the_last_grace_counts(void **state)
{
    struct husk_vm *vm = start_said("spin", "spinning\n");

    (void)state;
    husk_vm_stop(vm, UINT32_MAX);
    husk_vm_stop(vm, 1);
    assert_true(ends_in_time(vm));
    husk_vm_destroy(vm);
    vm = start_said("spin", "spinning\n");
    husk_vm_stop(vm, UINT32_MAX);
    husk_vm_destroy(vm);
}

/* --- the log --- */

static void count_line(void *context, enum husk_log_level level, const char *line)
{
    assert_int_equal(level, HUSK_LOG_ERROR);
    assert_string_not_equal(line, "");
    atomic_fetch_add((atomic_uint *)context, 1);
}

static void every_callback_hears_of_the_log(void **state)
{
    atomic_uint lines[3] = {0};
    const struct husk_log logs[3] = {{count_line, &lines[0], HUSK_LOG_ERROR},
                                     {count_line, &lines[1], HUSK_LOG_ERROR},
                                     {count_line, &lines[2], HUSK_LOG_ERROR}};
    const struct husk_log none = {0};
    struct husk_config config;
    struct husk_vm *vm = NULL;
    struct husk_err err = {0};

    (void)state;
    configure(&config, "triple-fault", -1);
    assert_int_equal(husk_vm_create(&config, &logs[0], &vm, &err), 0);
    assert_int_equal(husk_vm_add_log(vm, &logs[1], &err), 0);
    for (unsigned i = 2; i < HUSK_LOGS_MAX; i++)
        assert_int_equal(husk_vm_add_log(vm, &logs[2], &err), 0);
    assert_int_equal(husk_vm_add_log(vm, &logs[2], &err), -ENOSPC);
    assert_int_equal(husk_vm_add_log(vm, &none, &err), -EINVAL);
    husk_vm_remove_log(vm, &logs[2]);
    assert_int_equal(husk_vm_start(vm, NULL), 0);
    assert_int_equal(husk_vm_wait(vm, NULL), HUSK_TRIPLE_FAULT);
    assert_true(lines[0] > 0);
    assert_int_equal(lines[0], lines[1]);
    assert_int_equal(lines[2], 0);
    husk_vm_destroy(vm);
}

/* --- many threads --- */

/* One life after another; how many steps of them failed. */
static void *live_often(void *argument)
{
    const unsigned cycles = getenv("HUSK_FULL") ? CYCLES_FULL : CYCLES;
    uintptr_t failed = 0;

    (void)argument;
    for (unsigned i = 0; i < cycles; i++) {
        const struct husk_net net = {.kind = HUSK_NET_USER, .name = getenv("HUSK_NET_USER"), .fd = -1};
        struct husk_config config;
        struct husk_vm *vm = NULL;

        configure(&config, i % 2 ? "spin" : "halt", -1);
        config.cpus = 1 + i % 3;
        config.iothreads = i % 2;
        config.nets = &net;
        config.net_count = i % 4 == 3; /* a child of this process */
        if (husk_vm_create(&config, NULL, &vm, NULL)) {
            failed++;
            continue;
        }
        failed += husk_vm_start(vm, NULL) != 0;
        failed += husk_vm_pause(vm, NULL) != 0;
        failed += husk_vm_resume(vm, NULL) != 0;
        husk_vm_stop(vm, 0);
        failed += husk_vm_wait(vm, NULL) != HUSK_REQUEST;
        husk_vm_destroy(vm);
    }
    return (void *)failed;
}

static void run_together(void *(*function)(void *), void *argument)
{
    pthread_t threads[PARALLEL];
    void *failed;

    for (unsigned i = 0; i < PARALLEL; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, function, argument), 0);
    for (unsigned i = 0; i < PARALLEL; i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
}

static void many_machines_on_many_threads(void **state)
{
    struct usage before;

    (void)state;
    run_together(live_often, NULL); /* what libc sets up once is there now */
    before = usage();
    run_together(live_often, NULL);
    assert_nothing_left(&before, PARALLEL * CYCLES);
}

/* Everything that any thread may ask, of one machine, until it has ended. */
static void *ask_often(void *argument)
{
    struct husk_vm *vm = argument;
    uintptr_t failed = 0;

    for (unsigned i = 0; i < 50; i++) {
        char *stats = husk_vm_stats(vm);
        int rc = i % 2 ? husk_vm_pause(vm, NULL) : husk_vm_resume(vm, NULL);

        failed += !stats;
        failed += rc != 0 && rc != -ESHUTDOWN;
        failed += husk_vm_state(vm) == HUSK_STATE_CREATED;
        husk_vm_resize_console(vm, 80, 24);
        free(stats);
    }
    husk_vm_stop(vm, 0);
    failed += husk_vm_wait(vm, NULL) != HUSK_REQUEST;
    return (void *)failed;
}

static void one_machine_on_many_threads(void **state)
{
    struct husk_vm *vm = start("spin", -1);

    (void)state;
    run_together(ask_often, vm);
    husk_vm_destroy(vm);
}

static struct husk_memory memory_of(const struct husk_vm *vm)
{
    struct husk_memory memory = {.size = sizeof memory};

    husk_vm_memory(vm, &memory);
    return memory;
}

/* The guest says by and by that it has given up so much. */
static void await_balloon(struct husk_vm *vm, uint64_t bytes)
{
    uint64_t deadline = now_ms() + PATIENCE_MS;

    while (memory_of(vm).ballooned != bytes) {
        if (now_ms() > deadline)
            fail_msg("the guest has given up %llu bytes, not %llu",
                     (unsigned long long)memory_of(vm).ballooned, (unsigned long long)bytes);
        poll(NULL, 0, 1);
    }
}

static void a_guest_gives_up_what_it_is_asked_for(void **state)
{
    const uint64_t bytes = 1 << 20;
    struct husk_config config;
    struct husk_memory memory;
    struct husk_vm *vm;

    (void)state;
    configure(&config, "give", -1);
    config.kernel = payload("balloon");
    config.balloon = true;
    vm = start_config(&config);
    assert_int_equal(husk_vm_set_balloon(vm, bytes, NULL), 0);
    await_balloon(vm, bytes);
    memory = memory_of(vm);
    assert_int_equal(memory.given, config.memory);
    assert_int_equal(memory.balloon_target, bytes);
    assert_true(memory.discarded >= bytes);
    assert_in_range(memory.resident, 4096, config.memory / 2);
    pause_vm(vm);
    assert_int_equal(husk_vm_set_balloon(vm, 0, NULL), 0); /* it hears of it later */
    assert_int_equal(memory_of(vm).balloon_target, 0);
    assert_int_equal(memory_of(vm).ballooned, bytes);
    assert_int_equal(husk_vm_resume(vm, NULL), 0); /* after which it ends, maybe at once */
    assert_true(ends_in_time(vm));
    assert_int_equal(husk_vm_wait(vm, NULL), HUSK_POWER_OFF);
    assert_int_equal(memory_of(vm).ballooned, 0);
    husk_vm_destroy(vm);
}

static void without_a_balloon_nothing_can_be_asked_for(void **state)
{
    struct husk_vm *vm = create("hello", -1);
    struct husk_config config;
    struct husk_memory memory = memory_of(vm);
    struct husk_err err = {0};

    (void)state;
    assert_int_equal(husk_vm_set_balloon(vm, 0, &err), -ENOENT);
    assert_int_equal(err.kind, HUSK_ERR_INPUT);
    assert_non_null(strstr(err.message, "create it with one"));
    assert_int_equal(memory.given, 256 << 20);
    assert_int_equal(memory.balloon_target + memory.ballooned + memory.discarded, 0);
    memory = (struct husk_memory){.size = offsetof(struct husk_memory, resident)}; /* an older program */
    husk_vm_memory(vm, &memory);
    assert_int_equal(memory.given, 256 << 20);
    assert_int_equal(memory.resident, 0);
    husk_vm_destroy(vm);

    configure(&config, "hello", -1);
    config.balloon = true;
    assert_int_equal(husk_vm_create(&config, NULL, &vm, NULL), 0);
    assert_int_equal(husk_vm_set_balloon(vm, config.memory, NULL), 0);
    assert_int_equal(husk_vm_set_balloon(vm, config.memory + 1, &err), -ERANGE);
    assert_non_null(strstr(err.message, "give less"));
    assert_int_equal(memory_of(vm).balloon_target, config.memory);
    husk_vm_destroy(vm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_paused_guest_is_silent),
        cmocka_unit_test(a_guest_that_nobody_reads_can_be_paused),
        cmocka_unit_test(pauses_under_disk_load),
        cmocka_unit_test(what_does_not_run_is_not_paused),
        cmocka_unit_test(who_is_stopped_before_the_start_has_ended),
        cmocka_unit_test(the_power_button_is_heard),
        cmocka_unit_test(who_does_not_hear_is_cut_off),
        cmocka_unit_test(the_last_grace_counts),
        cmocka_unit_test(every_callback_hears_of_the_log),
        cmocka_unit_test(a_guest_gives_up_what_it_is_asked_for),
        cmocka_unit_test(without_a_balloon_nothing_can_be_asked_for),
        cmocka_unit_test(many_machines_on_many_threads),
        cmocka_unit_test(one_machine_on_many_threads),
    };

    if (access("/dev/kvm", F_OK) != 0) {
        puts("skipped: there is no /dev/kvm");
        return SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
