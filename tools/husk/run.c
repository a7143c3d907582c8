/* SPDX-License-Identifier: Apache-2.0 */
/*
 * husk run: one machine on this process's terminal and signals.
 *
 * Signals are blocked before any thread exists and read from a signalfd, so no handler runs
 * anywhere. The main thread waits for whichever comes first: the machine's end, a signal, a key.
 */
#include "commands.h"
#include "options.h"
#include "stats.h"
#include "status.h"
#include "terminal.h"
#include "timing.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define MS_PER_SECOND 1000u

struct run {
    struct run_options options;
    struct terminal terminal;
    struct husk_vm *vm;
    int signal_fd;
    bool powering_off; /* the guest's power button was pressed */
    int killed_by; /* signal; 0: none */
};

/* Raw mode is left for the length of the line, or it would be a staircase. */
static void print_line(void *context, enum husk_log_level level, const char *line)
{
    const struct terminal *terminal = context;

    (void)level;
    fprintf(stderr, terminal->raw ? "husk: %s\r\n" : "husk: %s\n", line);
}

static int status_of_error(const struct husk_err *err)
{
    switch (err->kind) {
    case HUSK_ERR_INPUT:
        return STATUS_USAGE;
    case HUSK_ERR_HOST:
        return STATUS_HOST;
    case HUSK_ERR_SELF:
        break;
    }
    return STATUS_FAILURE;
}

static int report_error(const struct husk_err *err)
{
    fprintf(stderr, "husk: %s\n", err->message);
    return status_of_error(err);
}

static int print_config(const struct husk_config *config)
{
    char *json = husk_config_to_json(config);
    bool written;

    if (!json) {
        fputs("husk: cannot print the configuration: a path or name in it is not UTF-8, which JSON has "
              "to be\n", stderr);
        return STATUS_USAGE;
    }
    written = puts(json) >= 0 && fflush(stdout) == 0;
    if (!written)
        fprintf(stderr, "husk: cannot print the configuration: %s\n", strerror(errno));
    free(json);
    return written ? 0 : STATUS_FAILURE;
}

/*
 * All by which a person or a limit ends a program, so that the terminal is restored, and SIGUSR1,
 * which says that an image has another size. What our parent ignores for us (nohup, a shell's
 * background job) stays ignored: a blocked signal would come through the signalfd in spite of that.
 */
static int open_signals(void)
{
    static const int served[] = {SIGINT,  SIGTERM, SIGHUP,   SIGQUIT, SIGUSR1, SIGUSR2,
                                 SIGALRM, SIGXCPU, SIGWINCH, SIGTSTP, SIGCONT};
    struct sigaction action;
    sigset_t signals;

    sigemptyset(&signals);
    for (size_t i = 0; i < sizeof served / sizeof served[0]; i++)
        if (sigaction(served[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&signals, served[i]);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN); /* a closed stdout is an error to be reported, not a death */
    return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void pass_window_size(struct run *run)
{
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        husk_vm_resize_console(run->vm, size.ws_col, size.ws_row);
}

/* Somebody has changed the size of an image. */
static void refresh_disks(struct run *run)
{
    struct husk_err err;

    for (uint32_t i = 0; i < run->options.config.disk_count; i++)
        if (husk_vm_refresh_disk(run->vm, i, &err))
            print_line(&run->terminal, HUSK_LOG_ERROR, err.message);
}

static void end_machine(struct run *run, int by, uint32_t grace_ms)
{
    run->killed_by = by;
    husk_vm_stop(run->vm, grace_ms);
}

/* Who asks twice does not want to wait, as with any program that takes long to end. */
static void ask_to_end(struct run *run, int by)
{
    end_machine(run, by, run->powering_off ? 0 : run->options.stop_grace * MS_PER_SECOND);
    run->powering_off = true;
}

static void serve_signal(struct run *run)
{
    struct signalfd_siginfo info;

    if (read(run->signal_fd, &info, sizeof info) != sizeof info)
        return;
    switch (info.ssi_signo) {
    case SIGWINCH:
        pass_window_size(run);
        break;
    case SIGUSR1:
        refresh_disks(run);
        break;
    case SIGTSTP:
        terminal_leave(&run->terminal);
        raise(SIGSTOP);
        break;
    case SIGCONT:
        terminal_enter(&run->terminal);
        break;
    case SIGTERM:
    case SIGINT:
        ask_to_end(run, (int)info.ssi_signo);
        break;
    default:
        end_machine(run, (int)info.ssi_signo, 0);
        break;
    }
}

static void wait_for_end(struct run *run)
{
    enum { ENDED, SIGNAL, KEYS, SOURCES };
    struct pollfd sources[SOURCES] = {
        [ENDED] = {.fd = husk_vm_event_fd(run->vm), .events = POLLIN},
        [SIGNAL] = {.fd = run->signal_fd, .events = POLLIN},
        [KEYS] = {.fd = run->terminal.fd, .events = POLLIN},
    };

    while (!(sources[ENDED].revents & POLLIN)) {
        if (poll(sources, SOURCES, -1) < 0)
            continue;
        if (sources[SIGNAL].revents & POLLIN)
            serve_signal(run);
        if (sources[KEYS].revents && terminal_pump(&run->terminal)) {
            sources[KEYS].fd = -1;
            end_machine(run, SIGINT, 0);
        }
    }
}

static int status_of_end(const struct run *run, enum husk_end end, const struct husk_err *err)
{
    switch (end) {
    case HUSK_POWER_OFF:
        return STATUS_POWER_OFF;
    case HUSK_RESET:
        return STATUS_RESET;
    case HUSK_PANIC:
        fprintf(stderr, "husk: the guest's kernel panicked\n");
        return STATUS_PANIC;
    case HUSK_TRIPLE_FAULT:
        fprintf(stderr, "husk: the guest's processor gave up (triple fault)\n");
        return STATUS_TRIPLE_FAULT;
    case HUSK_REQUEST:
        return STATUS_SIGNAL + run->killed_by;
    case HUSK_FAILURE:
    case HUSK_RUNNING:
        break;
    }
    return report_error(err);
}

static int report_timing(const struct run *run, uint64_t start)
{
    struct husk_timing timing = {.size = sizeof timing};

    if (!run->options.timing)
        return 0;
    husk_vm_timing(run->vm, &timing);
    timing_print(&timing, start);
    if (!run->options.timing_file)
        return 0;
    return timing_write(&timing, start, run->options.timing_file);
}

static int report_stats(const struct run *run)
{
    const char *path = run->options.stats_file;

    return path ? stats_write(run->vm, path) : 0;
}

/* Output that nobody could read is an error of the run, as it is for any filter. */
static int report_output(const struct run *run)
{
    int code = husk_vm_output_error(run->vm);

    if (code)
        fprintf(stderr, "husk: the guest's output was lost: cannot write standard output: %s\n",
                strerror(-code));
    return code;
}

/* The machine's life between creation and destruction. */
static int live(struct run *run, uint64_t start)
{
    struct husk_err err = {0};
    enum husk_end end;
    int status;

    terminal_enter(&run->terminal);
    if (husk_vm_start(run->vm, &err)) {
        terminal_leave(&run->terminal);
        return report_error(&err);
    }
    if (run->options.config.console == HUSK_CONSOLE_VIRTIO)
        pass_window_size(run);
    wait_for_end(run);
    end = husk_vm_wait(run->vm, &err);
    terminal_leave(&run->terminal);
    status = status_of_end(run, end, &err);
    if (report_timing(run, start) && status == 0)
        status = STATUS_FAILURE;
    if (report_stats(run) && status == 0)
        status = STATUS_FAILURE;
    if (report_output(run) && status == 0)
        status = STATUS_FAILURE;
    return status;
}

static int create_and_run(struct run *run, uint64_t start)
{
    struct husk_config *config = &run->options.config;
    const struct husk_log log = {print_line, &run->terminal,
                                 run->options.verbose ? HUSK_LOG_INFO : HUSK_LOG_WARNING};
    struct husk_err err = {0};
    int status, rc;

    run->signal_fd = open_signals();
    rc = run->signal_fd < 0 ? -errno : terminal_open(&run->terminal, STDIN_FILENO);
    if (rc) {
        fprintf(stderr, "husk: cannot set up signals and terminal: %s\n", strerror(-rc));
        return STATUS_FAILURE;
    }
    config->console_out_fd = STDOUT_FILENO;
    config->console_in_fd = run->terminal.fd >= 0 ? run->terminal.pipe_out
                            : isatty(STDIN_FILENO) ? -1
                                                   : STDIN_FILENO;
    if (husk_vm_create(config, &log, &run->vm, &err))
        status = report_error(&err);
    else
        status = live(run, start);
    husk_vm_destroy(run->vm);
    terminal_close(&run->terminal);
    close(run->signal_fd);
    return status;
}

int run_command(int argc, char **argv, uint64_t start)
{
    struct run run = {.signal_fd = -1, .terminal = {.fd = -1}};
    int status = 0;

    switch (options_parse(&run.options, argc, argv)) {
    case OPTIONS_DONE:
        break;
    case OPTIONS_BAD:
        status = STATUS_USAGE;
        break;
    case OPTIONS_RUN:
        if (run.options.print_config)
            status = print_config(&run.options.config);
        else
            status = create_and_run(&run, start);
        break;
    }
    options_release(&run.options);
    return status;
}
