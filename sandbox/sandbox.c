/* SPDX-License-Identifier: Apache-2.0 */
/* A sandbox that is there: names, its end, and others' sandboxes. */
#include "sandbox/sandbox.h"

#include "agent/frame.h"
#include "agent/protocol.h"
#include "sandbox/fail.h"
#include "sandbox/link.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int sandbox_ask(const struct husk_sandbox *sandbox, uint32_t type, const void *fields,
                struct husk_err *err)
{
    int socket, rc = link_connect(sandbox->socket, AGENT_PORT, &socket, 1, err);

    if (rc)
        return rc;
    rc = frame_send(socket, type, fields);
    if (rc == 0)
        return socket;
    close(socket);
    return fail_sys(err, HUSK_ERR_SELF, -ESHUTDOWN, "the sandbox's agent is gone");
}

int husk_sandbox_open(const char *name, struct husk_sandbox **out, struct husk_err *err)
{
    struct husk_sandbox *sandbox = calloc(1, sizeof *sandbox);
    int rc;

    if (!sandbox)
        return fail(err, HUSK_ERR_HOST, -ENOMEM, "out of memory");
    rc = place_find(&sandbox->place, name, err);
    if (rc == 0 && (place_read_info(&sandbox->place, &sandbox->info) ||
                    !place_is_held(&sandbox->place)))
        rc = fail(err, HUSK_ERR_INPUT, -ENOENT, "the sandbox \"%s\" has ended; 'husk logs %s' shows what "
                  "it wrote", name, name);
    if (rc) {
        free(sandbox);
        return rc;
    }
    sandbox->info.keep = false; /* that is its own process's */
    place_path(&sandbox->place, "vsock", sandbox->socket);
    sandbox->layer = -1;
    *out = sandbox;
    return 0;
}

const char *husk_sandbox_name(const struct husk_sandbox *sandbox)
{
    return sandbox->place.name;
}

const char *husk_sandbox_folder(const struct husk_sandbox *sandbox)
{
    return sandbox->place.folder;
}

struct husk_vm *husk_sandbox_vm(const struct husk_sandbox *sandbox)
{
    return sandbox->vm;
}

void husk_sandbox_set_status(struct husk_sandbox *sandbox, int status)
{
    sandbox->info.status = status;
}

/* --- its end --- */

#define FOR_EVER UINT32_MAX
#define SIGNALS_SENT 10
#define SIGNALS_APART_MS 50

/* 1 once the descriptor polls readable, 0 after `ms`. */
static int await(int fd, uint32_t ms)
{
    struct pollfd source = {.fd = fd, .events = POLLIN};
    int timeout = ms == FOR_EVER ? -1 : ms < INT32_MAX ? (int)ms : INT32_MAX;
    int ready;

    while ((ready = poll(&source, 1, timeout)) < 0 && errno == EINTR)
        ;
    return ready > 0;
}

static int stop_own(struct husk_sandbox *sandbox, uint32_t grace_ms)
{
    if (!await(husk_vm_event_fd(sandbox->vm), grace_ms)) {
        husk_vm_stop(sandbox->vm, 0);
        await(husk_vm_event_fd(sandbox->vm), FOR_EVER);
    }
    return 0;
}

/*
 * A first SIGTERM is its command's, a second one its own, which it can still answer by giving the
 * terminal back; they are one if it has not seen the first when the second comes.
 */
static bool end_by_signals(int pidfd)
{
    for (unsigned i = 0; i < SIGNALS_SENT; i++) {
        syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0);
        if (await(pidfd, SIGNALS_APART_MS))
            return true;
    }
    return false;
}

/* A process that is there for this sandbox alone ends with it, by force if need be. */
static int stop_other(struct husk_sandbox *sandbox, uint32_t grace_ms, struct husk_err *err)
{
    int pidfd, rc = 0;

    if (!sandbox->info.dedicated) {
        for (uint32_t waited = 0; place_is_held(&sandbox->place); waited += 20) {
            if (waited >= grace_ms)
                return fail(err, HUSK_ERR_HOST, -ETIMEDOUT, "the sandbox \"%s\" still runs; end process "
                            "%d, which it belongs to", sandbox->place.name, sandbox->info.pid);
            poll(NULL, 0, 20);
        }
        return 0;
    }
    pidfd = (int)syscall(SYS_pidfd_open, sandbox->info.pid, 0);
    if (pidfd < 0)
        return 0;
    if (place_is_held(&sandbox->place) && !await(pidfd, grace_ms) && !end_by_signals(pidfd)) {
        if (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0)
            rc = fail_sys(err, HUSK_ERR_HOST, -errno, "cannot end process %d", sandbox->info.pid);
        else
            await(pidfd, FOR_EVER);
    }
    close(pidfd);
    return rc;
}

int husk_sandbox_stop(struct husk_sandbox *sandbox, uint32_t grace_ms, struct husk_err *err)
{
    if (grace_ms > 0) {
        int socket = sandbox_ask(sandbox, AGENT_STOP, NULL, NULL);

        if (socket >= 0)
            close(socket);
        else
            grace_ms = 0;
    }
    return sandbox->vm ? stop_own(sandbox, grace_ms) : stop_other(sandbox, grace_ms, err);
}

void husk_sandbox_destroy(struct husk_sandbox *sandbox)
{
    if (!sandbox)
        return;
    husk_vm_destroy(sandbox->vm);
    console_tail_close(sandbox->console);
    if (sandbox->layer >= 0)
        close(sandbox->layer);
    if (sandbox->place.lock >= 0 && sandbox->info.keep) {
        sandbox->info.exited = true;
        place_write_info(&sandbox->place, &sandbox->info, NULL);
    }
    place_close(&sandbox->place, sandbox->info.keep);
    free(sandbox);
}

int husk_sandbox_remove(const char *name, struct husk_err *err)
{
    return place_remove(name, err);
}

/* --- all of them --- */

struct listing {
    void (*report)(void *context, const struct husk_sandbox_info *info);
    void *context;
};

/* Rss of /proc/PID/smaps_rollup, which has what is shared with helpers too. */
static uint64_t resident(int pid)
{
    char path[48], line[128];
    uint64_t kib = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
    file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "Rss:", 4) == 0) {
            kib = strtoull(line + 4, NULL, 10);
            break;
        }
    if (file)
        fclose(file);
    return kib * 1024;
}

static void report_one(void *context, const struct place *place)
{
    const struct listing *listing = context;
    struct place_info info = {.status = -1};
    struct husk_sandbox_info shown = {.name = place->name, .folder = place->folder};
    bool held = place_is_held(place);

    if (place_read_info(place, &info) && !held)
        return;
    shown.command = info.command;
    shown.status = info.status;
    shown.started = info.started;
    shown.pid = info.pid;
    shown.state = held         ? info.ready ? HUSK_SANDBOX_RUNNING : HUSK_SANDBOX_STARTING
                  : info.exited ? HUSK_SANDBOX_EXITED
                                : HUSK_SANDBOX_LOST;
    if (held)
        shown.memory = resident(info.pid);
    listing->report(listing->context, &shown);
}

int husk_sandbox_list(void (*report)(void *context, const struct husk_sandbox_info *info),
                      void *context, struct husk_err *err)
{
    struct listing listing = {report, context};

    return place_each(report_one, &listing, err);
}
