/* SPDX-License-Identifier: Apache-2.0 */
/* The public API over struct machine: nothing here but translation. */
#include "vmm/config.h"
#include "vmm/husk.h"
#include "vmm/machine.h"
#include "vmm/public_err.h"
#include "vmm/virtio_bus.h"
#include "vmm/stats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct husk_vm {
    struct machine *machine;
    struct husk_log log;
};

const char *husk_version(void)
{
    return HUSK_VERSION;
}

static void pass_log_line(void *context, enum log_level level, const char *line)
{
    const struct husk_log *log = context;

    log->line(log->context, (enum husk_log_level)level, line);
}

int husk_vm_create(const struct husk_config *config, const struct husk_log *log,
                   struct husk_vm **out, struct husk_err *public_err)
{
    struct machine_config checked = {0};
    struct err err = {.blame = ERR_BLAME_HOST};
    struct log sink = {0};
    struct husk_vm *vm = calloc(1, sizeof *vm);
    int rc;

    if (!vm) {
        err_set(&err, -ENOMEM, "out of memory");
        return public_err_pass(public_err, &err);
    }
    if (log && log->line) {
        vm->log = *log;
        sink = (struct log){pass_log_line, &vm->log, (enum log_level)log->level};
    }
    err.blame = ERR_BLAME_INPUT;
    rc = config_validate(config, &checked, &err);
    if (rc == 0) {
        err.blame = ERR_BLAME_HOST; /* where no step of the construction says otherwise */
        rc = machine_create(&checked, &sink, &vm->machine, &err);
    }
    if (rc) {
        free(vm);
        return public_err_pass(public_err, &err);
    }
    *out = vm;
    return 0;
}

int husk_vm_start(struct husk_vm *vm, struct husk_err *public_err)
{
    struct err err = {.blame = ERR_BLAME_SELF};

    return machine_start(vm->machine, &err) ? public_err_pass(public_err, &err) : 0;
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

void husk_vm_stop(struct husk_vm *vm)
{
    machine_stop(vm->machine, HUSK_REQUEST);
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

    memcpy(timing, &now, timing->size < sizeof now ? timing->size : sizeof now);
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
    free(vm);
}
