/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for a sandbox's agent: each stage has a name and a deadline, and the machine may end. */
#include "sandbox/sandbox.h"

#include "agent/frame.h"
#include "agent/protocol.h"
#include "sandbox/clock.h"
#include "sandbox/fail.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STAGES_MAX 64u /* each has a deadline, so that all have one */

struct wait {
    struct husk_sandbox *sandbox;
    char stage[128];
    int64_t deadline; /* CLOCK_MONOTONIC ms */
    unsigned stages;  /* so far, of the agent's */
    struct frame_reader reader;
    int connection; /* of the agent; -1: none yet */
};

static void begin_stage(struct wait *wait, const char *stage)
{
    char line[192];

    snprintf(wait->stage, sizeof wait->stage, "%s", stage);
    keep_one_line(wait->stage);
    wait->deadline = clock_ms() + wait->sandbox->stage_timeout;
    if (wait->sandbox->log.line && wait->sandbox->log.level >= HUSK_LOG_INFO) {
        snprintf(line, sizeof line, "sandbox: %s", wait->stage);
        wait->sandbox->log.line(wait->sandbox->log.context, HUSK_LOG_INFO, line);
    }
}

const char *sandbox_name_of_end(enum husk_end end)
{
    switch (end) {
    case HUSK_POWER_OFF:
        return "powered off";
    case HUSK_RESET:
        return "reset itself";
    case HUSK_PANIC:
        return "panicked";
    case HUSK_TRIPLE_FAULT:
        return "crashed (triple fault)";
    default:
        return "ended";
    }
}

static int explain_end(struct wait *wait, struct husk_err *err)
{
    struct husk_sandbox *sandbox = wait->sandbox;
    struct husk_err failure = {0};
    enum husk_end end = husk_vm_wait(sandbox->vm, &failure);
    char last[160];

    console_tail_show(sandbox->console, sandbox->log.line ? &sandbox->log : NULL, last);
    if (end == HUSK_FAILURE) {
        if (err)
            *err = failure;
        return failure.code;
    }
    return fail(err, HUSK_ERR_SELF, -ESHUTDOWN, "the sandbox's guest %s while %s; it said last: %s",
                sandbox_name_of_end(end), wait->stage, last[0] ? last : "nothing");
}

static int explain_deadline(struct wait *wait, struct husk_err *err)
{
    char last[160];

    console_tail_show(wait->sandbox->console, wait->sandbox->log.line ? &wait->sandbox->log : NULL,
                      last);
    return fail(err, HUSK_ERR_HOST, -ETIMEDOUT, "the sandbox hangs while %s (no progress in %u s); its "
                "kernel said last: %s", wait->stage, wait->sandbox->stage_timeout / 1000,
                last[0] ? last : "nothing");
}

/* 1: it is ready; 0: there is more to come; or why it fails. */
static int serve_report(struct wait *wait, struct husk_err *err)
{
    int rc = frame_reader_read(&wait->reader, wait->connection);
    const char *text;

    if (rc == 0)
        return 0;
    if (rc < 0)
        return fail_sys(err, HUSK_ERR_SELF, rc, "the sandbox's agent broke off while %s", wait->stage);
    text = frame_field(&wait->reader, "text");
    switch (wait->reader.header.type) {
    case AGENT_READY:
        return 1;
    case AGENT_STAGE:
        if (++wait->stages > STAGES_MAX)
            return fail(err, HUSK_ERR_SELF, -EPROTO, "the sandbox's agent begins stage after stage and "
                        "is never ready; start the sandbox again");
        begin_stage(wait, text ? text : "starting");
        return 0;
    case AGENT_FAILED:
        return fail(err, HUSK_ERR_INPUT, -EIO, "the sandbox fails while %s: %.300s", wait->stage,
                    text ? text : "for no reason");
    default:
        return fail(err, HUSK_ERR_SELF, -EPROTO, "the sandbox's agent says what this version does not "
                    "know; install the one that belongs to it");
    }
}

static void take_agent(struct wait *wait, int listener)
{
    wait->connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (wait->connection >= 0)
        begin_stage(wait, "starting its agent");
}

static int await(struct wait *wait, int listener, struct husk_err *err)
{
    for (;;) {
        int64_t left = wait->deadline - clock_ms();
        struct pollfd sources[] = {
            {.fd = husk_vm_event_fd(wait->sandbox->vm), .events = POLLIN},
            {.fd = wait->connection >= 0 ? wait->connection : listener, .events = POLLIN},
            {.fd = wait->sandbox->cancel_fd, .events = POLLIN},
        };
        int rc = 0;

        if (left <= 0)
            return explain_deadline(wait, err);
        if (poll(sources, 3, (int)left) < 0)
            continue;
        if (sources[2].revents)
            return fail(err, HUSK_ERR_INPUT, -ECANCELED, "given up while %s", wait->stage);
        if (sources[1].revents && wait->connection < 0)
            take_agent(wait, listener);
        else if (sources[1].revents)
            rc = serve_report(wait, err);
        else if (sources[0].revents)
            rc = explain_end(wait, err);
        if (rc)
            return rc < 0 ? rc : 0;
    }
}

int sandbox_await_agent(struct husk_sandbox *sandbox, int listener, struct husk_err *err)
{
    struct wait wait = {
        .sandbox = sandbox,
        .connection = -1,
        .reader = {.limit = AGENT_FRAME_MAX, .flags = MSG_DONTWAIT},
    };
    int rc;

    begin_stage(&wait, "booting its kernel");
    rc = await(&wait, listener, err);
    if (wait.connection >= 0)
        close(wait.connection);
    frame_reader_release(&wait.reader);
    return rc;
}
