/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command in a sandbox: one connection that controls it, one for each stream, and a thread that
 * moves bytes between these and the caller's descriptors until all is said.
 */
#include "sandbox/sandbox.h"

#include "agent/frame.h"
#include "agent/protocol.h"
#include "agent/pump.h"
#include "core/thread.h"
#include "sandbox/fail.h"
#include "sandbox/link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOSS_WAIT_MS 1000
#define STACK_SIZE ((size_t)64 * 1024)

enum { STATUS_FAILED = 125, STATUS_SIGNAL = 128 };

struct husk_process {
    struct husk_vm *vm; /* the sandbox's; NULL: another process's */
    int control;
    pthread_mutex_t control_lock; /* of writing to it */
    struct frame_reader reader;
    int sockets[AGENT_STREAMS]; /* -1: none */
    int files[AGENT_STREAMS];   /* the caller's, duplicated; -1: none */
    struct pump pumps[AGENT_STREAMS];
    uint64_t max_output;

    pthread_t thread;
    bool has_thread;
    int abort;     /* eventfd: nobody waits any more */
    int done;      /* eventfd: `result` and `lost` are final */
    bool exited;
    bool lost;     /* the sandbox ended before the command did */
    bool cut;      /* output of it was not written: result.message says why */
    uint64_t closed_moved; /* bytes of outputs that have ended */
    struct husk_exit result;
    atomic_bool final; /* what the thread has written may be read: a descriptor alone orders nothing */
};

void husk_command_init_size(struct husk_command *command, size_t size)
{
    const struct husk_command defaults = {
        .size = (uint32_t)size, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1};

    memset(command, 0, size);
    memcpy(command, &defaults, size < sizeof defaults ? size : sizeof defaults);
}

/* --- asking for it --- */

static void add_all(struct fields *fields, const char *key, const char *const *values)
{
    for (; values && *values; values++)
        fields_add(fields, key, *values);
}

/* On a terminal one stream goes both ways. */
static unsigned streams_of(const struct husk_command *command)
{
    if (command->terminal)
        return 1u << AGENT_STDIN;
    return (command->stdin_fd >= 0 ? 1u << AGENT_STDIN : 0) |
           (command->stdout_fd >= 0 ? 1u << AGENT_STDOUT : 0) |
           (command->stderr_fd >= 0 ? 1u << AGENT_STDERR : 0);
}

static int ask(struct husk_process *process, const struct husk_sandbox *sandbox,
               const struct husk_command *command, struct husk_err *err)
{
    struct fields fields = {0};

    add_all(&fields, "argument", command->arguments);
    add_all(&fields, "environment", command->environment);
    if (command->folder)
        fields_add(&fields, "folder", command->folder);
    if (command->user)
        fields_add(&fields, "user", command->user);
    fields_add_number(&fields, "terminal", command->terminal);
    fields_add_number(&fields, "columns", command->columns);
    fields_add_number(&fields, "rows", command->rows);
    fields_add_number(&fields, "streams", streams_of(command));
    if (fields.size > AGENT_JOB_MAX)
        process->control = fail(err, HUSK_ERR_INPUT, -E2BIG, "arguments and environment are longer than "
                                "%u MiB", AGENT_JOB_MAX >> 20);
    else
        process->control = sandbox_ask(sandbox, AGENT_EXEC, &fields, err);
    fields_release(&fields);
    return process->control < 0 ? process->control : 0;
}

static void conclude(struct husk_process *process)
{
    atomic_store_explicit(&process->final, true, memory_order_release);
    eventfd_write(process->done, 1);
}

/* The command does not run. */
static void note_failure(struct husk_process *process)
{
    const char *text = frame_field(&process->reader, "text");
    uint64_t status = STATUS_FAILED, code = 0;

    frame_number(&process->reader, "status", 255, &status);
    frame_number(&process->reader, "code", 4095, &code);
    process->result.status = (int)status;
    snprintf(process->result.message, sizeof process->result.message, "%.160s%s%s",
             text ? text : "the agent refuses it", code ? ": " : "",
             code ? strerror((int)code) : "");
    keep_one_line(process->result.message);
    process->exited = true;
}

/* 1: the port for the streams; 0: it does not run, as noted; or -errno. */
static int await_port(struct husk_process *process, uint32_t *port, struct husk_err *err)
{
    int rc = link_read_frame(process->control, &process->reader);
    uint64_t number;

    if (rc == 1 && process->reader.header.type == AGENT_FAILED) {
        note_failure(process);
        return 0;
    }
    if (rc == 1 && process->reader.header.type == AGENT_LISTENING &&
        frame_number(&process->reader, "port", UINT32_MAX, &number)) {
        *port = (uint32_t)number;
        return 1;
    }
    if (rc == 0)
        return fail(err, HUSK_ERR_SELF, -ETIMEDOUT, "the sandbox's agent does not answer");
    return fail(err, HUSK_ERR_SELF, -ESHUTDOWN, "the sandbox has ended, or its agent is gone");
}

static int name_stream(int socket, unsigned stream, struct husk_err *err)
{
    struct fields fields = {0};
    int rc;

    fields_add_number(&fields, "number", stream);
    rc = frame_send(socket, AGENT_STREAM, &fields);
    fields_release(&fields);
    link_wait_for_ever(socket);
    return rc ? fail_sys(err, HUSK_ERR_SELF, -ESHUTDOWN, "the sandbox's agent is gone") : 0;
}

static int connect_streams(struct husk_process *process, const struct husk_sandbox *sandbox,
                           unsigned streams, uint32_t port, struct husk_err *err)
{
    int sockets[AGENT_STREAMS], *next = sockets;
    int rc = link_connect(sandbox->socket, port, sockets,
                          (unsigned)__builtin_popcount(streams), err);

    if (rc)
        return rc;
    for (unsigned i = 0; i < AGENT_STREAMS; i++)
        if (streams >> i & 1)
            process->sockets[i] = *next++;
    for (unsigned i = 0; i < AGENT_STREAMS && rc == 0; i++)
        if (process->sockets[i] >= 0)
            rc = name_stream(process->sockets[i], i, err);
    return rc;
}

/* --- streams --- */

/*
 * A terminal may take less than poll() promises, and a write to it wait. Where it can be opened anew,
 * it does not, and the caller's own descriptor stays as it is.
 */
static int open_terminal(int fd)
{
    char path[32];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return isatty(fd) ? open(path, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC) : -1;
}

static int duplicate(int fd, bool is_output, struct husk_err *err)
{
    int copy = is_output ? open_terminal(fd) : -1;

    if (copy < 0)
        copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return copy < 0 ? fail_sys(err, HUSK_ERR_INPUT, -errno, "descriptor %d", fd) : copy;
}

static int open_stream(struct husk_process *process, unsigned stream, int fd, int socket,
                       struct husk_err *err)
{
    int rc;

    if (fd < 0 || socket < 0)
        return 0;
    process->files[stream] = duplicate(fd, stream != AGENT_STDIN, err);
    if (process->files[stream] < 0)
        return process->files[stream];
    fd = process->files[stream];
    if (stream == AGENT_STDIN)
        rc = pump_open(&process->pumps[stream], fd, socket);
    else
        rc = pump_open(&process->pumps[stream], socket, fd);
    return rc ? fail_sys(err, HUSK_ERR_HOST, rc, "cannot move a stream") : 0;
}

static int open_streams(struct husk_process *process, const struct husk_command *command,
                        struct husk_err *err)
{
    const int fds[AGENT_STREAMS] = {command->stdin_fd, command->stdout_fd, command->stderr_fd};
    int rc = 0;

    for (unsigned i = 0; i < AGENT_STREAMS && rc == 0; i++) {
        bool both_ways = command->terminal && i == AGENT_STDOUT;

        rc = open_stream(process, i, fds[i], process->sockets[both_ways ? AGENT_STDIN : i], err);
    }
    return rc;
}

/* What the command wrote has arrived, or what it reads has ended. */
static void end_stream(struct husk_process *process, unsigned stream, enum pump_state state)
{
    int socket = process->pumps[stream].to;

    if (stream != AGENT_STDIN) {
        int error = process->pumps[stream].error;

        if (state == PUMP_BROKEN) /* the command is to hear that nobody reads it */
            shutdown(process->pumps[stream].from, SHUT_RDWR);
        if (error && error != EPIPE && !process->cut) {
            process->cut = true;
            snprintf(process->result.message, sizeof process->result.message,
                     "its output cannot be written: %s", strerror(error));
        }
        process->closed_moved += process->pumps[stream].moved;
    } else if (socket >= 0) {
        shutdown(socket, SHUT_WR);
    }
    pump_close(&process->pumps[stream]);
    if (process->files[stream] >= 0)
        close(process->files[stream]); /* who reads a pipe of ours sees its end */
    process->files[stream] = -1;
}

static bool is_open(const struct husk_process *process, unsigned stream)
{
    return process->pumps[stream].from >= 0;
}

/* Both outputs together: what one has left is what the other has not used. */
static bool is_over_limit(struct husk_process *process)
{
    struct pump *out = &process->pumps[AGENT_STDOUT], *err = &process->pumps[AGENT_STDERR];
    uint64_t total = out->moved + err->moved + process->closed_moved;

    if (process->max_output == 0)
        return false;
    if (total > process->max_output)
        return true;
    out->most = process->max_output - process->closed_moved - err->moved;
    err->most = process->max_output - process->closed_moved - out->moved;
    return false;
}

/* --- the thread --- */

static void note_exit(struct husk_process *process)
{
    uint64_t number;

    if (frame_number(&process->reader, "signal", NSIG - 1, &number)) {
        process->result.signal = (int)number;
        process->result.status = STATUS_SIGNAL + (int)number;
    } else if (frame_number(&process->reader, "status", 255, &number)) {
        process->result.status = (int)number;
    }
    process->exited = true;
}

static void serve_control(struct husk_process *process)
{
    int rc = frame_reader_read(&process->reader, process->control);

    if (rc == 0)
        return;
    if (rc < 0) {
        process->lost = !process->exited;
        process->exited = true;
    } else if (process->reader.header.type == AGENT_EXITED) {
        note_exit(process);
    } else if (process->reader.header.type == AGENT_FAILED) {
        note_failure(process);
    }
}

static void cut_output(struct husk_process *process)
{
    snprintf(process->result.message, sizeof process->result.message,
             "it wrote more than %llu bytes and was ended", (unsigned long long)process->max_output);
    process->max_output = 0;
    process->cut = true;
    husk_process_signal(process, SIGKILL);
    for (unsigned i = AGENT_STDOUT; i < AGENT_STREAMS; i++)
        if (is_open(process, i))
            end_stream(process, i, PUMP_BROKEN);
}

static void serve_streams(struct husk_process *process, const struct pollfd *entries)
{
    for (unsigned i = 0; i < AGENT_STREAMS && !is_over_limit(process); i++) {
        enum pump_state state =
            is_open(process, i) ? pump_move(&process->pumps[i], entries + 2 * (size_t)i) : PUMP_RUNS;

        if (state != PUMP_RUNS)
            end_stream(process, i, state);
    }
    if (is_over_limit(process))
        cut_output(process);
}

static bool is_done(const struct husk_process *process)
{
    return process->exited && !is_open(process, AGENT_STDOUT) && !is_open(process, AGENT_STDERR);
}

/* Nothing more comes; what has come is still read from the sockets, up to their ends. */
static void note_end_of_machine(struct husk_process *process)
{
    process->lost = true;
    process->exited = true;
    for (unsigned i = 0; i < AGENT_STREAMS; i++)
        if (process->sockets[i] >= 0)
            shutdown(process->sockets[i], SHUT_RDWR);
}

static void *live(void *argument)
{
    enum { CONTROL, ABORT, MACHINE, PUMPS, SOURCES = PUMPS + 2 * AGENT_STREAMS };
    struct husk_process *process = argument;
    struct pollfd sources[SOURCES];
    int machine = process->vm ? husk_vm_event_fd(process->vm) : -1;

    while (!is_done(process)) {
        sources[CONTROL] =
            (struct pollfd){.fd = process->exited ? -1 : process->control, .events = POLLIN};
        sources[ABORT] = (struct pollfd){.fd = process->abort, .events = POLLIN};
        sources[MACHINE] = (struct pollfd){
            .fd = process->exited ? -1 : machine, .events = POLLIN};
        for (unsigned i = 0; i < AGENT_STREAMS; i++)
            pump_poll(&process->pumps[i], &sources[PUMPS + 2 * i]);
        if (poll(sources, SOURCES, -1) < 0)
            continue;
        if (sources[ABORT].revents)
            break;
        serve_streams(process, &sources[PUMPS]);
        if (sources[CONTROL].revents)
            serve_control(process);
        else if (sources[MACHINE].revents)
            note_end_of_machine(process);
    }
    conclude(process);
    return NULL;
}

static int start_thread(struct husk_process *process, struct husk_err *err)
{
    int rc;

    process->reader.flags = MSG_DONTWAIT;
    rc = thread_start(&process->thread, STACK_SIZE, live, process);
    process->has_thread = rc == 0;
    return rc ? fail_sys(err, HUSK_ERR_HOST, rc, "cannot make a thread") : 0;
}

/* --- for the caller --- */

static struct husk_process *allocate(void)
{
    struct husk_process *process = calloc(1, sizeof *process);

    if (!process)
        return NULL;
    process->control = -1;
    process->reader.limit = AGENT_FRAME_MAX;
    process->abort = eventfd(0, EFD_CLOEXEC);
    process->done = eventfd(0, EFD_CLOEXEC);
    pthread_mutex_init(&process->control_lock, NULL);
    for (unsigned i = 0; i < AGENT_STREAMS; i++) {
        process->sockets[i] = process->files[i] = -1;
        process->pumps[i] = (struct pump)PUMP_CLOSED;
    }
    return process;
}

static int run(struct husk_process *process, const struct husk_sandbox *sandbox,
               const struct husk_command *command, struct husk_err *err)
{
    uint32_t port = 0;
    int rc;

    if (process->abort < 0 || process->done < 0)
        return fail_sys(err, HUSK_ERR_HOST, -EMFILE, "cannot make an eventfd");
    process->vm = sandbox->vm;
    process->max_output = command->max_output;
    rc = ask(process, sandbox, command, err);
    if (rc)
        return rc;
    rc = await_port(process, &port, err);
    if (rc == 0)
        conclude(process);
    if (rc <= 0)
        return rc;
    rc = connect_streams(process, sandbox, streams_of(command), port, err);
    rc = rc ?: open_streams(process, command, err);
    is_over_limit(process);
    return rc ?: start_thread(process, err);
}

int husk_sandbox_exec(struct husk_sandbox *sandbox, const struct husk_command *command,
                      struct husk_process **out, struct husk_err *err)
{
    struct husk_command own = {0};
    struct husk_process *process;
    int rc;

    if (command->size < sizeof(uint32_t) || command->size > sizeof own)
        return fail(err, HUSK_ERR_INPUT, -EINVAL, "the command is of another version of libhusk; call "
                    "husk_command_init() first");
    memcpy(&own, command, command->size);
    if (!own.arguments || !own.arguments[0])
        return fail(err, HUSK_ERR_INPUT, -EINVAL, "there is no command to run");
    process = allocate();
    if (!process)
        return fail(err, HUSK_ERR_HOST, -ENOMEM, "out of memory");
    rc = run(process, sandbox, &own, err);
    if (rc) {
        husk_process_destroy(process);
        return rc;
    }
    *out = process;
    return 0;
}

int husk_process_event_fd(const struct husk_process *process)
{
    return process->done;
}

/* The connection breaks a moment before the machine has ended. */
static int explain_loss(const struct husk_process *process, struct husk_err *err)
{
    struct pollfd ended = {.fd = process->vm ? husk_vm_event_fd(process->vm) : -1, .events = POLLIN};
    const char *how = "ended";

    if (process->vm && poll(&ended, 1, LOSS_WAIT_MS) > 0)
        how = sandbox_name_of_end(husk_vm_wait(process->vm, NULL));
    return fail(err, HUSK_ERR_INPUT, -ESHUTDOWN, "the sandbox %s before the command had exited", how);
}

int husk_process_wait(struct husk_process *process, int timeout_ms, struct husk_exit *result,
                      struct husk_err *err)
{
    struct pollfd done = {.fd = process->done, .events = POLLIN};
    struct husk_exit own;
    int ready;

    while ((ready = poll(&done, 1, timeout_ms)) < 0 && errno == EINTR)
        ;
    if (ready <= 0 || !atomic_load_explicit(&process->final, memory_order_acquire))
        return fail(err, HUSK_ERR_INPUT, -ETIMEDOUT, "the command still runs");
    if (process->lost)
        return explain_loss(process, err);
    own = process->result;
    own.size = result->size;
    if (process->cut)
        own.status = STATUS_FAILED;
    memcpy(result, &own, result->size < sizeof own ? result->size : sizeof own);
    return 0;
}

static void send_control(struct husk_process *process, uint32_t type, const struct fields *fields)
{
    pthread_mutex_lock(&process->control_lock);
    frame_send(process->control, type, fields);
    pthread_mutex_unlock(&process->control_lock);
}

void husk_process_signal(struct husk_process *process, int signal)
{
    struct fields fields = {0};

    fields_add_number(&fields, "number", (uint64_t)signal);
    send_control(process, AGENT_SIGNAL, &fields);
    fields_release(&fields);
}

void husk_process_resize(struct husk_process *process, uint16_t columns, uint16_t rows)
{
    struct fields fields = {0};

    fields_add_number(&fields, "columns", columns);
    fields_add_number(&fields, "rows", rows);
    send_control(process, AGENT_WINDOW, &fields);
    fields_release(&fields);
}

void husk_process_destroy(struct husk_process *process)
{
    if (!process)
        return;
    if (process->has_thread) {
        eventfd_write(process->abort, 1);
        pthread_join(process->thread, NULL);
    }
    for (unsigned i = 0; i < AGENT_STREAMS; i++) {
        pump_close(&process->pumps[i]);
        if (process->files[i] >= 0)
            close(process->files[i]);
        if (process->sockets[i] >= 0)
            close(process->sockets[i]);
    }
    if (process->control >= 0)
        close(process->control);
    if (process->abort >= 0)
        close(process->abort);
    if (process->done >= 0)
        close(process->done);
    frame_reader_release(&process->reader);
    pthread_mutex_destroy(&process->control_lock);
    free(process);
}
