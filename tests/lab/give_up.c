/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks a guest to give up memory, sees it come to this host, and gives it back:
 *
 *     give_up KERNEL INITRD APPEND mmio|pci MIB
 *
 * The guest's output goes to standard output. At the end the machine's counters are in ./stats.
 */
#include "husk.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_SECONDS 240
#define MEMORY (512ull << 20)

static int fail(const char *what, const char *message)
{
    fprintf(stderr, "give_up: %s: %s\n", what, message);
    return 1;
}

static struct husk_memory memory_of(const struct husk_vm *vm)
{
    struct husk_memory memory = {.size = sizeof memory};

    husk_vm_memory(vm, &memory);
    return memory;
}

/* Asks for so much, and waits until the guest says that it has done it. */
static int ask(struct husk_vm *vm, uint64_t bytes)
{
    time_t deadline = time(NULL) + PATIENCE_SECONDS;
    struct husk_memory memory;
    struct husk_err err;

    if (husk_vm_set_balloon(vm, bytes, &err))
        return fail("husk_vm_set_balloon", err.message);
    do {
        if (time(NULL) > deadline || husk_vm_state(vm) != HUSK_STATE_RUNNING)
            return fail("the balloon", "it is not as it was asked to be");
        poll(NULL, 0, 100);
        memory = memory_of(vm);
    } while (memory.ballooned != bytes);
    fprintf(stderr, "given up %llu, discarded %llu, resident %llu KiB\n",
            (unsigned long long)memory.ballooned >> 10, (unsigned long long)memory.discarded >> 10,
            (unsigned long long)memory.resident >> 10);
    if (memory.resident > memory.given - bytes)
        return fail("the balloon", "what is in it is still on the host");
    return 0;
}

static int write_stats(const struct husk_vm *vm)
{
    char *stats = husk_vm_stats(vm);
    FILE *file = fopen("stats", "w");
    int rc = stats && file && fputs(stats, file) >= 0 ? 0 : fail("stats", "cannot be written");

    if (file)
        fclose(file);
    free(stats);
    return rc;
}

static int run(struct husk_vm *vm, uint64_t bytes)
{
    struct husk_err err;

    if (husk_vm_start(vm, &err))
        return fail("husk_vm_start", err.message);
    return ask(vm, bytes) || ask(vm, bytes / 2) || ask(vm, 0) || write_stats(vm);
}

int main(int argc, char **argv)
{
    struct husk_config config;
    struct husk_vm *vm = NULL;
    struct husk_err err;
    int status;

    if (argc != 6)
        return fail("usage", "give_up KERNEL INITRD APPEND mmio|pci MIB");
    husk_config_init(&config);
    config.kernel = argv[1];
    config.initrd = argv[2];
    config.append = argv[3];
    config.bus = strcmp(argv[4], "pci") == 0 ? HUSK_BUS_PCI : HUSK_BUS_MMIO;
    config.console_out_fd = STDOUT_FILENO;
    config.memory = MEMORY;
    config.balloon = true;
    if (husk_vm_create(&config, NULL, &vm, &err))
        return fail("husk_vm_create", err.message);
    status = run(vm, strtoull(argv[5], NULL, 10) << 20);
    husk_vm_destroy(vm);
    return status;
}
