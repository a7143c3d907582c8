/* SPDX-License-Identifier: Apache-2.0 */
/*
 * husk sandbox and husk exec. In the foreground this process is the sandbox; with --detach a child of
 * it is, which goes on when this one has printed the sandbox's name.
 */
#include "commands.h"
#include "job.h"
#include "sandbox_options.h"
#include "status.h"
#include "timing.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the guest may need to write its caches when a layer is kept. */
#define STOP_GRACE_MS 10000

static void print_line(void *context, enum husk_log_level level, const char *line)
{
    (void)context;
    (void)level;
    fprintf(stderr, "husk: %s\n", line);
}

static int report(const struct husk_err *err)
{
    fprintf(stderr, "husk: %s\n", err->message);
    return STATUS_SANDBOX;
}

/* Until there is a command, only signals that end it are heard; the others wait for it. */
static int start(struct sandbox_options *options, struct husk_sandbox **sandbox)
{
    const struct husk_log log = {print_line, NULL,
                                 options->verbose ? HUSK_LOG_INFO : HUSK_LOG_WARNING};
    struct signalfd_siginfo info;
    struct husk_err err = {0};
    int rc;

    options->config.cancel_fd = job_ending_signals();
    rc = husk_sandbox_start(&options->config, &log, sandbox, &err);
    if (rc == -ECANCELED && read(options->config.cancel_fd, &info, sizeof info) == sizeof info)
        rc = STATUS_SIGNAL + (int)info.ssi_signo;
    else if (rc)
        rc = report(&err);
    close(options->config.cancel_fd);
    return rc;
}

/* Files that the command was to leave; the first that cannot be had decides the status. */
static int fetch(struct husk_sandbox *sandbox, const struct sandbox_options *options)
{
    int status = 0;

    for (unsigned i = 0; i < options->outcome_count; i++) {
        struct husk_err err;

        if (husk_sandbox_get(sandbox, options->outcomes[i].guest, options->outcomes[i].host, 0, &err) &&
            status == 0)
            status = report(&err);
    }
    return status;
}

/* A kept layer, and files that are shared, want the guest's caches to be written. */
static bool leaves_something(const struct sandbox_options *options)
{
    bool shares = false;

    for (uint32_t i = 0; i < options->config.bind_count; i++)
        shares |= !options->binds[i].read_only;
    return options->config.layer || shares;
}

/* Who sends a second signal does not wait for that. */
static void end(struct husk_sandbox *sandbox, const struct sandbox_options *options, int status,
                bool hurry)
{
    if (leaves_something(options) && !hurry)
        husk_sandbox_stop(sandbox, STOP_GRACE_MS, NULL);
    husk_sandbox_set_status(sandbox, status);
    husk_sandbox_destroy(sandbox);
}

static void show_timing(const struct sandbox_options *options, struct husk_sandbox *sandbox,
                        uint64_t started)
{
    struct husk_timing timing = {.size = sizeof timing};

    if (!options->timing)
        return;
    husk_vm_timing(husk_sandbox_vm(sandbox), &timing);
    timing_print(&timing, started);
}

/* `hurry`: nothing of the sandbox is to be waited for. */
static int run(struct sandbox_options *options, struct husk_sandbox *sandbox, int signal_fd, bool *hurry)
{
    struct job job = {
        .sandbox = sandbox,
        .command = options->command,
        .timeout_ms = options->timeout_ms,
        .signal_fd = signal_fd,
    };
    int status = job_run(&job), fetched;

    *hurry = job.given_up && status != STATUS_TIMEOUT;
    if (!*hurry && (options->outcome_count > 0 || leaves_something(options)))
        job_release_signals(); /* a sandbox may take its time for that, for ever even */
    if (job.given_up)
        return status;
    fetched = fetch(sandbox, options);
    return status ? status : fetched;
}

static int foreground(struct sandbox_options *options, uint64_t started)
{
    struct husk_sandbox *sandbox = NULL;
    int signal_fd = job_signals(), status;
    bool hurry;

    options->config.dedicated = true;
    status = start(options, &sandbox);
    if (status)
        return status;
    status = run(options, sandbox, signal_fd, &hurry);
    show_timing(options, sandbox, started);
    end(sandbox, options, status, hurry);
    return status;
}

/* --- in the background --- */

static int open_log(const struct husk_sandbox *sandbox, const char *leaf)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", husk_sandbox_folder(sandbox), leaf);
    return open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
}

/* No terminal is held any more. What is said goes where the command's complaints do: husk logs. */
static void let_go(int err_log)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(err_log >= 0 ? err_log : null, STDERR_FILENO);
    close(null);
}

/* A sandbox without a command waits for its end: 0 if it powers off, or if a signal ends it. */
static int wait_for_end(struct husk_sandbox *sandbox)
{
    struct husk_vm *vm = husk_sandbox_vm(sandbox);
    struct pollfd sources[] = {
        {.fd = husk_vm_event_fd(vm), .events = POLLIN},
        {.fd = job_ending_signals(), .events = POLLIN},
    };
    int status = 0;

    while (poll(sources, 2, -1) < 0)
        ;
    close(sources[1].fd);
    if (sources[0].revents && husk_vm_wait(vm, NULL) != HUSK_POWER_OFF)
        status = STATUS_SANDBOX;
    return status;
}

/* False: who asked for it has gone meanwhile, and so has the sandbox, whose name nobody knows. */
static bool tell_name(struct husk_sandbox *sandbox, int told)
{
    char name[64];

    if (dprintf(told, "%s\n", husk_sandbox_name(sandbox)) > 0)
        return true;
    snprintf(name, sizeof name, "%s", husk_sandbox_name(sandbox));
    husk_sandbox_destroy(sandbox);
    husk_sandbox_remove(name, NULL);
    return false;
}

/* The child's life. `told` takes the name once the command can run. */
static int monitor(struct sandbox_options *options, int told)
{
    struct husk_sandbox *sandbox = NULL;
    int signal_fd, status;
    bool hurry = false;

    setsid();
    signal_fd = job_signals();
    options->config.keep = options->config.dedicated = true;
    status = start(options, &sandbox);
    if (status)
        return status;
    options->command.stdin_fd = -1;
    options->command.stdout_fd = open_log(sandbox, "stdout");
    options->command.stderr_fd = open_log(sandbox, "stderr");
    if (!tell_name(sandbox, told))
        return STATUS_SANDBOX;
    close(told);
    let_go(options->command.stderr_fd);
    status = options->command.arguments[0] ? run(options, sandbox, signal_fd, &hurry)
                                           : wait_for_end(sandbox);
    end(sandbox, options, status, hurry);
    return status;
}

static int detach(struct sandbox_options *options)
{
    char name[64];
    int ends[2], status;
    ssize_t size;
    pid_t child;

    if (pipe2(ends, O_CLOEXEC) < 0 || (child = fork()) < 0) {
        fprintf(stderr, "husk: cannot make a process: %s\n", strerror(errno));
        return STATUS_SANDBOX;
    }
    if (child == 0) {
        close(ends[0]);
        _exit(monitor(options, ends[1]));
    }
    close(ends[1]);
    size = read(ends[0], name, sizeof name);
    close(ends[0]);
    if (size > 0)
        return fwrite(name, 1, (size_t)size, stdout) == (size_t)size && fflush(stdout) == 0
                   ? 0
                   : STATUS_SANDBOX;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_SANDBOX;
}

/* --- commands --- */

static int run_in(struct sandbox_options *options, uint64_t started)
{
    struct husk_sandbox *sandbox;
    struct husk_err err = {0};
    int signal_fd = job_signals(), status;
    bool hurry;

    (void)started;
    if (husk_sandbox_open(options->name, &sandbox, &err))
        return report(&err);
    status = run(options, sandbox, signal_fd, &hurry);
    husk_sandbox_destroy(sandbox);
    return status;
}

static int with_options(int argc, char **argv, uint64_t started,
                        int (*act)(struct sandbox_options *options, uint64_t started))
{
    static struct sandbox_options options; /* too large for a stack */
    int status = STATUS_SANDBOX;

    switch (sandbox_options_parse(&options, argc, argv)) {
    case SANDBOX_DONE:
        status = 0;
        break;
    case SANDBOX_BAD:
        break;
    case SANDBOX_RUN:
        status = act(&options, started);
        break;
    }
    sandbox_options_release(&options);
    return status;
}

static int run_new(struct sandbox_options *options, uint64_t started)
{
    return options->detach ? detach(options) : foreground(options, started);
}

int sandbox_command(int argc, char **argv, uint64_t started)
{
    return with_options(argc, argv, started, run_new);
}

int exec_command(int argc, char **argv)
{
    return with_options(argc, argv, 0, run_in);
}
