/* SPDX-License-Identifier: Apache-2.0 */
/* The public API over struct machine: nothing here but translation. */
#include "devices/fs/share.h"
#include "devices/virtio/balloon.h"
#include "vmm/config.h"
#include "vmm/config_sizes.h"
#include "vmm/husk.h"
#include "vmm/log_sinks.h"
#include "vmm/machine.h"
#include "vmm/public_err.h"
#include "vmm/virtio_bus.h"
#include "vmm/stats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct husk_vm {
    struct machine *machine;
    struct log_sinks sinks;
};

const char *husk_version(void)
{
    return HUSK_VERSION;
}

static int check_share(const struct husk_share *share, struct err *err)
{
    const struct share_options options = {
        .socket = share->socket,
        .read_only = share->read_only,
        .one_file_system = share->one_file_system,
        .program = share->program,
    };

    err->blame = ERR_BLAME_HOST;
    return share_check(&options, err);
}

int husk_share_check_size(const struct husk_share *share, size_t size, struct husk_err *public_err)
{
    struct err err = {.blame = ERR_BLAME_INPUT};
    struct husk_share read;
    int rc = config_read_share(share, size, &read, &err);

    rc = rc ?: check_share(&read, &err);
    return rc ? public_err_pass(public_err, &err) : 0;
}

static struct husk_vm *allocate(void)
{
    struct husk_vm *vm = calloc(1, sizeof *vm);

    if (vm)
        log_sinks_init(&vm->sinks);
    return vm;
}

static int create(const struct husk_config *config, const struct husk_log *first,
                  struct husk_vm *vm, struct err *err)
{
    struct log log = log_sinks_log(&vm->sinks);
    struct machine_config checked = {0};
    int rc = first && first->line ? log_sinks_add(&vm->sinks, first, &log, err) : 0;

    err->blame = ERR_BLAME_INPUT;
    if (rc == 0)
        rc = config_validate(config, &checked, err);
    if (rc)
        return rc;
    err->blame = ERR_BLAME_HOST; /* where no step of the construction says otherwise */
    return machine_create(&checked, &log, &vm->machine, err);
}

int husk_vm_create(const struct husk_config *config, const struct husk_log *log,
                   struct husk_vm **out, struct husk_err *public_err)
{
    struct err err = {.blame = ERR_BLAME_HOST};
    struct husk_vm *vm = allocate();
    int rc = vm ? create(config, log, vm, &err) : err_set(&err, -ENOMEM, "out of memory");

    if (rc) {
        husk_vm_destroy(vm);
        return public_err_pass(public_err, &err);
    }
    *out = vm;
    return 0;
}

int husk_vm_start(struct husk_vm *vm, struct husk_err *public_err)
{
    struct err err = {.blame = ERR_BLAME_SELF};
    int rc = machine_start(vm->machine, &err);

    if (rc == -EAGAIN || rc == -ENOMEM) /* the host has no more threads */
        err.blame = ERR_BLAME_HOST;
    return rc ? public_err_pass(public_err, &err) : 0;
}

int husk_vm_event_fd(const struct husk_vm *vm)
{
    return vm->machine->ended_fd;
}

enum husk_end husk_vm_wait(struct husk_vm *vm, struct husk_err *public_err)
{
    struct err failure = {0};
    enum husk_end end = machine_wait(vm->machine, &failure);

    if (end == HUSK_FAILURE)
        public_err_pass(public_err, &failure);
    return end;
}

int husk_vm_output_error(const struct husk_vm *vm)
{
    return console_output_error(&vm->machine->console);
}

void husk_vm_stop(struct husk_vm *vm, uint32_t grace_ms)
{
    machine_power_off(vm->machine, grace_ms);
}

int husk_vm_pause(struct husk_vm *vm, struct husk_err *public_err)
{
    struct err err = {.blame = ERR_BLAME_INPUT};

    return machine_pause(vm->machine, &err) ? public_err_pass(public_err, &err) : 0;
}

int husk_vm_resume(struct husk_vm *vm, struct husk_err *public_err)
{
    struct err err = {.blame = ERR_BLAME_INPUT};

    return machine_resume(vm->machine, &err) ? public_err_pass(public_err, &err) : 0;
}

enum husk_state husk_vm_state(struct husk_vm *vm)
{
    return machine_state(vm->machine);
}

int husk_vm_add_log(struct husk_vm *vm, const struct husk_log *log, struct husk_err *public_err)
{
    struct err err = {.blame = ERR_BLAME_INPUT};

    if (log_sinks_add(&vm->sinks, log, &vm->machine->log, &err))
        return public_err_pass(public_err, &err);
    return 0;
}

void husk_vm_remove_log(struct husk_vm *vm, const struct husk_log *log)
{
    log_sinks_remove(&vm->sinks, log, &vm->machine->log);
}

int husk_vm_refresh_disk(struct husk_vm *vm, uint32_t index, struct husk_err *public_err)
{
    struct err err = {.blame = ERR_BLAME_INPUT};

    return virtio_bus_refresh_disk(vm->machine, index, &err) ? public_err_pass(public_err, &err) : 0;
}

void husk_vm_resize_console(struct husk_vm *vm, uint16_t columns, uint16_t rows)
{
    machine_resize_console(vm->machine, columns, rows);
}

int husk_vm_set_balloon(struct husk_vm *vm, uint64_t bytes, struct husk_err *public_err)
{
    struct err err = {.blame = ERR_BLAME_INPUT};

    return virtio_bus_set_balloon(vm->machine, bytes, &err) ? public_err_pass(public_err, &err) : 0;
}

/* As much of ours as the caller's struct has; of a newer one the rest is zero. */
static void give(void *theirs, size_t their_size, const void *ours, size_t size)
{
    memcpy(theirs, ours, their_size < size ? their_size : size);
    if (their_size > size)
        memset((char *)theirs + size, 0, their_size - size);
}

void husk_vm_memory(const struct husk_vm *vm, struct husk_memory *memory)
{
    const struct machine *machine = vm->machine;
    struct virtio_balloon_figures balloon = {0};
    struct husk_memory now = {
        .size = memory->size,
        .given = memory_size(&machine->memory),
        .resident = memory_resident(&machine->memory),
    };

    if (machine->balloon)
        balloon = virtio_balloon_figures(machine->balloon);
    now.balloon_target = balloon.target;
    now.ballooned = balloon.actual;
    now.discarded = balloon.discarded;
    give(memory, memory->size, &now, sizeof now);
}

void husk_vm_timing(const struct husk_vm *vm, struct husk_timing *timing)
{
    const struct timing *marks = &vm->machine->timing;
    const struct husk_timing now = {
        .size = timing->size,
        .create = marks->at[TIMING_CREATE],
        .created = marks->at[TIMING_CREATED],
        .first_run = marks->at[TIMING_FIRST_RUN],
        .first_access = marks->at[TIMING_FIRST_ACCESS],
        .userspace = marks->at[TIMING_USERSPACE],
        .ended = marks->at[TIMING_STOPPED],
    };

    give(timing, timing->size, &now, sizeof now);
}

char *husk_vm_stats(const struct husk_vm *vm)
{
    return stats_json(vm->machine);
}

void husk_vm_destroy(struct husk_vm *vm)
{
    if (!vm)
        return;
    machine_destroy(vm->machine);
    log_sinks_destroy(&vm->sinks);
    free(vm);
}
