/* SPDX-License-Identifier: Apache-2.0 */
#include "machines.h"

#include <errno.h>
#include <dirent.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

const char *payload(const char *name)
{
    static _Thread_local char path[4096];

    snprintf(path, sizeof path, "%s/%s", getenv("HUSK_PAYLOADS") ?: ".", name);
    return path;
}

void configure(struct husk_config *config, const char *word, int output)
{
    husk_config_init(config);
    config->kernel = payload("ends");
    config->command_line = word;
    config->console_out_fd = output;
}

struct husk_vm *create(const char *word, int output)
{
    struct husk_config config;
    struct husk_vm *vm = NULL;
    struct husk_err err = {0};

    configure(&config, word, output);
    if (husk_vm_create(&config, NULL, &vm, &err))
        fail_msg("%s", err.message);
    return vm;
}

static void start_vm(struct husk_vm *vm)
{
    struct husk_err err = {0};

    if (husk_vm_start(vm, &err))
        fail_msg("%s", err.message);
}

struct husk_vm *start(const char *word, int output)
{
    struct husk_vm *vm = create(word, output);

    start_vm(vm);
    return vm;
}

struct husk_vm *start_config(const struct husk_config *config)
{
    struct husk_vm *vm = NULL;
    struct husk_err err = {0};

    if (husk_vm_create(config, NULL, &vm, &err))
        fail_msg("%s", err.message);
    start_vm(vm);
    return vm;
}

unsigned count_entries(const char *folder)
{
    DIR *directory = opendir(folder);
    unsigned count = 0;

    assert_non_null(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

bool ends_in_time(const struct husk_vm *vm)
{
    struct pollfd ended = {.fd = husk_vm_event_fd(vm), .events = POLLIN};

    return poll(&ended, 1, PATIENCE_MS) == 1;
}

static unsigned long mapped_pages(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    char line[128] = "";

    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    fclose(file);
    return strtoul(line, NULL, 10); /* the first number: size */
}

static unsigned count_mappings(void)
{
    FILE *file = fopen("/proc/self/maps", "re");
    unsigned count = 0;
    int character;

    assert_non_null(file);
    while ((character = getc(file)) != EOF)
        count += character == '\n';
    fclose(file);
    return count;
}

struct usage usage(void)
{
    return (struct usage){
        .files = count_entries("/proc/self/fd"),
        .threads = count_entries("/proc/self/task"),
        .mappings = count_mappings(),
        .pages = mapped_pages(),
    };
}

void assert_nothing_left(const struct usage *before, unsigned machines)
{
    struct usage now = usage();

    assert_int_equal(now.files, before->files);
    assert_int_equal(now.threads, before->threads);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    if (getenv("HUSK_SANITIZED") && *getenv("HUSK_SANITIZED"))
        return; /* it keeps books in memory of its own */
    assert_in_range(now.mappings, 0, before->mappings + machines / 2);
    assert_true(now.pages < before->pages + (256ul << 20) / 4096);
}

void read_line(int fd, const char *expected)
{
    char line[32] = "";

    for (size_t used = 0; used < strlen(expected); used++) {
        struct pollfd polled = {.fd = fd, .events = POLLIN};

        assert_int_equal(poll(&polled, 1, PATIENCE_MS), 1);
        assert_int_equal(read(fd, line + used, 1), 1);
    }
    assert_string_equal(line, expected);
}
