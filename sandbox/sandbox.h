/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox as its own files see it. */
#ifndef HUSK_SANDBOX_SANDBOX_H
#define HUSK_SANDBOX_SANDBOX_H

#include "husk.h"
#include "sandbox/console.h"
#include "sandbox/place.h"

struct husk_sandbox {
    struct place place;
    struct place_info info; /* as it was written last */
    char socket[PLACE_FOLDER_MAX + 32]; /* of its vsock */
    struct husk_vm *vm;     /* NULL: another process's */
    struct console_tail *console;
    struct husk_log log;    /* line NULL: none */
    uint32_t stage_timeout; /* ms */
    int cancel_fd;          /* of the start; -1: none */
    int layer;              /* descriptor that locks the file of the layer; -1: none */
};

/* Waits until the agent says that commands can run. `listener` is where it reports. */
int sandbox_await_agent(struct husk_sandbox *sandbox, int listener, struct husk_err *err);

/* What the guest has done: "powered off". */
const char *sandbox_name_of_end(enum husk_end end);

/* A connection to the agent, on which `type` with `fields` is asked for; or -errno. */
int sandbox_ask(const struct husk_sandbox *sandbox, uint32_t type, const void *fields,
                struct husk_err *err);

#endif
